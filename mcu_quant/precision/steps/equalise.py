"""Equalisation: inputs of a layer are divided by factors that its weights are multiplied with.

A spectrum's first bins, a cepstrum's coefficient 0 take the resolution of everything else in their tensor. The exponent
of SmoothQuant's rule (`mcu_quant/ops/common/columns.py`) is chosen per layer, W of a recurrent one included, by what
the outputs were measured to lose with 8-bit weights; a layer that loses less without it stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

from mcu_quant.ir import Operator
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.layer_inputs import Inputs
from mcu_quant.precision.parallel import Lines
from mcu_quant.precision.plan import Columns, PrecisionPlan
from mcu_quant.precision.repeats import losses_alone
from mcu_quant.precision.steps import Given, Step, narrow
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial

EXPONENTS = (0.25, 0.5, 0.75)

#: A layer is equalised only where that takes so much of its loss away: it is one more pass over its input.
WORTH = 0.8


def apply(trial: Trial, given: Given) -> PrecisionPlan:
    """The start with the columns of those layers that lose less with them, each with the best exponent."""
    seen = {name: one for name, one in given.inputs.items() if one.second is not None}
    weights = {op.name: name for op in trial.graph.operators if (name := _equalised(op)) in seen}
    tried: dict[str, Way] = {op: way for op in weights if (way := narrow(given.ways.get(op, ()))) is not None}
    plans: list[Lines] = [{op: way.line} for op, way in tried.items()]
    best = {
        op: (WORTH * loss, 0.0)
        for op, loss in zip(tried, losses_alone(trial, plans, given.jobs, given.progress, "layers"), strict=True)
    }
    for exponent in EXPONENTS:
        columns = {weights[op]: _columns(seen[weights[op]], exponent) for op in tried}
        every = replace(trial, start=replace(trial.start, columns=columns))
        found = losses_alone(every, plans, given.jobs, given.progress, f"layers with inputs evened out by {exponent:g}")
        best = {op: min(best[op], (loss, exponent)) for op, loss in zip(tried, found, strict=True)}
    chosen = {weights[op]: _columns(seen[weights[op]], a) for op, (_, a) in best.items() if a}
    return replace(trial.start, columns=dict(sorted(chosen.items())))


def _columns(one: Inputs, exponent: float) -> Columns:
    assert one.low is not None and one.high is not None
    return Columns(exponent, one.low, one.high)


def _equalised(op: Operator) -> str:
    """The matrix that the first input is multiplied with."""
    return op.inputs[1] if len(op.inputs) > 1 else ""


STRATEGY = Step(
    About(
        "equalise",
        "divides inputs of a layer by factors that even out their ranges, and multiplies its weights by them",
        paper="Xiao et al. 2022, SmoothQuant, arXiv:2211.10438",
        needs=("clips",),
        adapted="the exponent per layer by measured loss; the factors are applied where the input is converted",
        default=True,
    ),
    apply,
    order=4,
)
