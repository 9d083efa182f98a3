"""Scales that are powers of two, chosen jointly with the width: what HMQ searches by training, from histograms.

For every edge and integer format the exponents around the one that covers all that was seen are tried, and the one with
the least squared error is kept; so each width that the planner chooses from has a threshold of its own. Weights get the
power of two per row that loses least (`mcu_quant/quantise.py`). Requantisation is a shift then.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2

from mcu_quant import formats
from mcu_quant.precision import histograms
from mcu_quant.precision.histograms import Histogram
from mcu_quant.precision.plan import PrecisionPlan, Range
from mcu_quant.precision.range_rules import squared_error
from mcu_quant.precision.steps import Given, Step, graph_of
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial

#: Exponents below the one that covers everything which are tried as well.
BELOW = 3


def apply(trial: Trial, given: Given) -> PrecisionPlan:
    """The start with powers of two for all weights, and for every edge in 8 and in 16 bits."""
    assert given.clips is not None
    given.progress("choosing powers of two")
    seen = histograms.collect(graph_of(trial), given.clips.with_louder, trial.start.ranges)
    chosen = {name: {"s8": best(one), "s16": roomy(one, trial.start.headroom)} for name, one in seen.items()}
    return replace(trial.start, clipped={**trial.start.clipped, **chosen}, powers_of_two=True)


def best(seen: Histogram) -> Range:
    """What 8 bits cover with the step that loses least."""
    top = exponent(seen, "s8")
    return min((covered(seen, "s8", top - k) for k in range(BELOW + 1)), key=lambda r: squared_error(seen, r))


def roomy(seen: Histogram, headroom: float) -> Range:
    """What 16 bits cover with the smallest step that leaves the plan's headroom: nothing has to be cut off."""
    return covered(seen, "s16", exponent(seen, "s16", headroom))


def exponent(seen: Histogram, fmt: str, headroom: float = 1.0) -> int:
    """Of the smallest step with which a format covers all that was seen, so many times."""
    unit = covered(seen, fmt, 0)
    return ceil(log2(headroom * max(seen.high / (unit.high or 1.0), seen.low / (unit.low or -1.0))))


def covered(seen: Histogram, fmt: str, power: int) -> Range:
    """What a format covers with steps of 2^power; with a zero point, from 0 on where values have one sign."""
    kind, step = formats.get(fmt), 2.0**power
    lowest, highest = (kind.minimum, kind.maximum) if kind.asymmetric else (-kind.maximum, kind.maximum)
    if kind.asymmetric and seen.low >= 0.0:
        return Range(0.0, step * (highest - lowest))
    return Range(step * lowest, step * highest)


STRATEGY = Step(
    About(
        "pow2",
        "scales of weights and edges that are powers of two, each exponent by least squared error at its width",
        paper="Habi et al. 2020, HMQ, arXiv:2007.09952",
        needs=("clips",),
        adapted="the post-training part: thresholds from histograms for each width, instead of both by training",
    ),
    apply,
    order=2,
)
