"""Error of the weights alone, after MixQuant (Kloberdanz and Le 2023, arXiv:2309.17341): the first look without clips.

    score = |W - Q(W)|^2 / |W|^2 + noise of the formats its input and output are stored in

The paper compares widths of one layer by the error of its weights. Operators without weights would all be free, so the
resolution of activations is added, as if their largest value were PEAK times their rms. It says nothing of what the
model makes of an error: the planner prints how well it ranks beside `direct` (Spearman) wherever there are clips.
"""

from __future__ import annotations

import time

import numpy as np

from mcu_quant import formats
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.sensitivity import Request, Sensitivity, Table
from mcu_quant.precision.strategies import About
from mcu_quant.quantise import rows

#: Largest value of an activation over its rms: four sigma.
PEAK = 4.0

#: An input of scale 1 whose accumulators are never the limit: only the weights' own scales matter here.
_UNIT = QuantParams(1.0)


def score(request: Request) -> Table:
    """Relative errors per operator and way; no clips are touched."""
    began = time.monotonic()
    operators = {op.name: op for op in request.graph.operators}
    scores = {
        (name, way.name): weight_error(operators[name], request.graph, way) + storage_noise(way)
        for name, ways in request.ways.items()
        for way in ways
    }
    return Table(scores, time.monotonic() - began)


def weight_error(op: Operator, graph: Graph, way: Way) -> float:
    """|W - Q(W)|^2 / |W|^2 over the constant matrices of an operator."""
    error = signal = 0.0
    for name in op.inputs:
        value = graph.constants.get(name)
        if value is None or value.ndim < 2 or not np.issubdtype(value.dtype, np.floating):
            continue
        real = value.astype(np.float64).reshape(-1, value.shape[-1])
        error += float(np.sum((real - quantised(real, way.weights or way.line.format)) ** 2))
        signal += float(np.sum(real**2))
    return error / signal if signal else 0.0


def quantised(real: Array, fmt: str) -> Array:
    """A matrix as it comes back from a format, in reals."""
    kind = formats.get(fmt)
    if not kind.integer:
        return real.astype(kind.dtype).astype(np.float64)
    made = rows(real, None, _UNIT, "s8", fmt, accumulator_bits=62)
    return np.asarray(made.weights * made.scale[:, None], np.float64)


def storage_noise(way: Way) -> float:
    """Rounding noise of input and output, as a share of their power."""
    read = way.reads.partition("-")[0]
    return sum(_noise(fmt) for fmt in (read, way.stores))


def _noise(fmt: str) -> float:
    kind = formats.get(fmt)
    if kind.integer:
        return (PEAK / kind.maximum) ** 2 / 12.0
    return float(np.finfo(np.float16).eps) ** 2 / 12.0 if kind.name == "f16" else 0.0


STRATEGY = Sensitivity(
    About(
        "weight-mse",
        "error of the weights and resolution of activations, without clips: a first look, not a measurement",
        paper="Kloberdanz and Le 2023, MixQuant, arXiv:2309.17341",
        adapted="scores for the solver instead of the smallest width within a multiple of the 8-bit error",
    ),
    score,
    exact=False,
    needs_clips=False,
)
