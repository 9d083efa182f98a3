"""Rounding with compensation (GPTQ) of 8-bit weights, from the inputs of each layer on the calibration clips.

The plan carries the principal directions of every weighted input; `mcu_quant/rounding.py` has the mathematics.
A matrix keeps them only where the outputs were measured to lose less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mcu_quant.ir import Array
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.parallel import Lines
from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.precision.repeats import losses_alone
from mcu_quant.precision.steps import Given, Step, narrow
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial
from mcu_quant.rounding import moments


def apply(trial: Trial, given: Given) -> PrecisionPlan:
    """The start with the moments of those matrices that lose less with them, each measured alone in 8-bit weights.

    The matrices of a recurrent layer are tried one after the other: errors of what it hears and of what it remembers
    do not go the same way.
    """
    found = {name: moments(one.second) for name, one in given.inputs.items() if one.second is not None}
    weights = {op.name: [i for i in op.inputs if i in found] for op in trial.graph.operators}
    tried = {op: way for op, known in given.ways.items() if weights.get(op) and (way := narrow(known))}
    plain = _losses(trial, tried, given, "rounding to nearest")
    kept: dict[str, Array] = {}
    for k in range(max((len(weights[op]) for op in tried), default=0)):
        of = {op: weights[op][k] for op in tried if k < len(weights[op])}
        every = replace(trial, start=replace(trial.start, moments={n: found[n] for n in of.values()}))
        made = _losses(every, {op: tried[op] for op in of}, given, "rounding with compensation")
        kept |= {name: found[name] for op, name in of.items() if made[op] < plain[op]}
    return replace(trial.start, moments=dict(sorted(kept.items())))


def _losses(trial: Trial, tried: Mapping[str, Way], given: Given, what: str) -> dict[str, float]:
    """Losses of single operators, each in its way."""
    plans: list[Lines] = [{op: way.line} for op, way in tried.items()]
    return dict(zip(tried, losses_alone(trial, plans, given.jobs, given.progress, what), strict=True))


STRATEGY = Step(
    About(
        "compensate",
        "rounds 8-bit weights so that errors cancel on the inputs that occur",
        paper="Frantar et al. 2022, GPTQ, arXiv:2210.17323",
        needs=("clips",),
        adapted="second moments from few principal directions, which the plan carries, instead of the whole matrix",
        default=True,
    ),
    apply,
    order=5,
)
