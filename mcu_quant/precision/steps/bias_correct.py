"""Bias correction: what rounding the weights adds to a row on average, b' = b - (Q(W) - W) E[x], is taken off its bias.

The plan carries E[x] and not the biases, so that the correction fits whatever the weights are rounded to (to nearest,
with compensation, at any width). Layers whose scale is found per frame have none: their mean moves with the level.
"""

from __future__ import annotations

from dataclasses import replace

from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Operator
from mcu_quant.precision.parallel import losses
from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.precision.steps import Given, Step, narrow
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial


def apply(trial: Trial, given: Given) -> PrecisionPlan:
    """The start with the means of those layers that lose less with them, each measured alone in 8-bit weights."""
    weights = {op.name: op.inputs[1] for op in trial.graph.operators if _has_bias(op) and op.inputs[1] in given.inputs}
    tried = {op: way for op in weights if (way := narrow(given.ways.get(op, ()), (ScaleKind.STATIC,)))}
    found = {weights[op]: given.inputs[weights[op]].mean for op in tried}
    plans = [{op: way.line} for op, way in tried.items()]
    plain = losses(trial, plans, given.jobs, given.progress, "biases as they are")
    every = replace(trial, start=replace(trial.start, means=found))
    made = losses(every, plans, given.jobs, given.progress, "biases that make up for rounding")
    better = [op for op, a, b in zip(tried, plain, made, strict=True) if b < a]
    return replace(trial.start, means={weights[op]: found[weights[op]] for op in better})


def _has_bias(op: Operator) -> bool:
    """Are the kernels of this layer given a bias per row? Of recurrent layers, it is added to W x."""
    return op.op in ("Gemm", "Conv", "LSTM", "GRU", "RNN")


STRATEGY = Step(
    About(
        "bias-correct",
        "biases make up for what rounding the weights of a layer adds on average",
        paper="Nagel et al. 2019, arXiv:1906.04721; Liu et al. 2021, arXiv:2106.14156",
        needs=("clips",),
        adapted="from mean inputs on the clips; kept where the outputs were measured to lose less",
    ),
    apply,
    order=6,
)
