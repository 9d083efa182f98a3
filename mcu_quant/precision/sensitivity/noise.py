"""Noise that falls by a constant factor per bit, after Zhou et al. 2017 (arXiv:1712.01048): one run per operator.

    |r(b)|^2 = p e^(-alpha b),   alpha = ln 4

p of each operator is measured at its coarsest way, at the model's outputs with the state carried; the other ways follow
from their widths. The paper's robustness t, which sets layers of a classifier beside each other, is 1 here: what is
measured is the output itself. Formats differ in more than their width, so that this only ranks.
"""

from __future__ import annotations

import time
from math import log

import numpy as np

from mcu_quant import formats
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.parallel import losses
from mcu_quant.precision.sensitivity import Request, Sensitivity, Table
from mcu_quant.precision.strategies import About

ALPHA = log(4.0)


def magnitude_bits(fmt: str) -> float:
    """Bits that carry a value's magnitude, sign included: f16 has 11 of mantissa, f32 24."""
    kind = formats.get(fmt)
    return float(kind.bits if kind.integer else np.finfo(kind.dtype.name).nmant + 2)


def width(way: Way) -> float:
    """The narrowest of what a way computes with: it decides the noise."""
    return min(magnitude_bits(f) for f in (way.line.input or way.line.format, way.weights or way.line.format))


def score(request: Request) -> Table:
    """Noise of the outputs per operator and way, measured at one way each."""
    trial = request.trial
    assert trial is not None, "noise needs clips"
    began = time.monotonic()
    coarsest = {op: min(ways, key=lambda w: (width(w), w.bits, w.name)) for op, ways in request.ways.items()}
    plans = [{op: way.line} for op, way in coarsest.items()]
    found = losses(trial, plans, request.jobs, request.progress, "one way of each operator")
    at = dict(zip(coarsest, found, strict=True))
    scores = {
        (op, way.name): 0.0
        if way.line == trial.start.operators[op]
        else at[op] * 4.0 ** (width(coarsest[op]) - width(way))
        for op, ways in request.ways.items()
        for way in ways
    }
    return Table(scores, time.monotonic() - began)


STRATEGY = Sensitivity(
    About(
        "noise",
        "one measurement per operator, extrapolated to other formats by 6 dB per bit",
        paper="Zhou et al. 2017, arXiv:1712.01048",
        needs=("clips",),
        adapted="the output's own noise instead of a classifier's margin: all t are 1",
    ),
    score,
    exact=False,
)
