"""Rounding with compensation (GPTQ) of 8-bit weights, from the inputs of each layer on the calibration clips.

The plan carries the principal directions of every weighted input; `mcu_quant/rounding.py` has the mathematics.
A matrix keeps them only where the outputs were measured to lose less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain, combinations

from mcu_quant.precision.candidates import Way
from mcu_quant.precision.parallel import Lines
from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.precision.repeats import losses_alone
from mcu_quant.precision.steps import Given, Step, narrow
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial
from mcu_quant.rounding import moments


def apply(trial: Trial, given: Given) -> PrecisionPlan:
    """The start with the moments of those matrices that lose less with them, each layer alone in 8-bit weights.

    Of a recurrent layer's matrices each is tried, and all: errors of what it hears and of what it remembers do not go
    the same way, and one hides what the other gains.
    """
    found = {name: moments(one.second) for name, one in given.inputs.items() if one.second is not None}
    weights = {op.name: [i for i in op.inputs if i in found] for op in trial.graph.operators}
    tried = {op: way for op, known in given.ways.items() if weights.get(op) and (way := narrow(known))}
    subsets = {op: [s for n in range(1, len(weights[op]) + 1) for s in combinations(weights[op], n)] for op in tried}
    least = _losses(trial, tried, given, "rounding to nearest")
    kept: dict[str, tuple[str, ...]] = dict.fromkeys(tried, ())
    for k in range(max(map(len, subsets.values()), default=0)):
        of = {op: some[k] for op, some in subsets.items() if k < len(some)}
        every = replace(
            trial, start=replace(trial.start, moments={n: found[n] for names in of.values() for n in names})
        )
        made = _losses(every, {op: tried[op] for op in of}, given, "rounding with compensation")
        better = {op for op in of if made[op] < least[op]}
        kept |= {op: of[op] for op in better}
        least |= {op: made[op] for op in better}
    return replace(trial.start, moments={name: found[name] for name in sorted(chain(*kept.values()))})


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
