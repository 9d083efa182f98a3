"""Rounding with compensation (GPTQ) of 8-bit weights, from the inputs of each layer on the calibration clips.

The plan carries the principal directions of every weighted input; `mcu_quant/rounding.py` has the mathematics.
A layer keeps them only where its outputs were measured to lose less.
"""

from __future__ import annotations

from dataclasses import replace

from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.precision.repeats import losses_alone
from mcu_quant.precision.steps import Given, Step, narrow
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial
from mcu_quant.rounding import moments


def apply(trial: Trial, given: Given) -> PrecisionPlan:
    """The start with the moments of those layers that lose less with them, each measured alone in 8-bit weights."""
    found = {name: moments(one.second) for name, one in given.inputs.items() if one.second is not None}
    weights = {op.name: [i for i in op.inputs if i in found] for op in trial.graph.operators}
    tried = {op: way for op, known in given.ways.items() if weights.get(op) and (way := narrow(known))}
    plans = [{op: way.line} for op, way in tried.items()]
    plain = losses_alone(trial, plans, given.jobs, given.progress, "rounding to nearest")
    every = replace(trial, start=replace(trial.start, moments=found))
    made = losses_alone(every, plans, given.jobs, given.progress, "rounding with compensation")
    better = [op for op, a, b in zip(tried, plain, made, strict=True) if b < a]
    return replace(trial.start, moments={name: found[name] for op in better for name in weights[op]})


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
