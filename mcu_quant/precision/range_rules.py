"""Which range 8 bits should cover: rules on the histogram of an edge. Values beyond are cut off.

    minmax      all that was seen
    percentile  the middle P % of the values (99.99 unless said), each end by itself
    std3        mean +- 3 standard deviations
    mse         the part [a low, b high] whose rounding and cutting off have the least squared error
    entropy     the part whose 256 steps tell least of the distribution away, as the divergence of Kullback and Leibler

None covers more than was seen. TinyDenoiser's scripts have std3 and minmax (arXiv:2210.07692); percentile, mse and
entropy are those of the common calibrators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, sqrt
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mcu_quant.precision.histograms import Histogram
from mcu_quant.precision.plan import Range

#: Steps of 8 bits.
STEPS = 256

#: Parts of what was seen that mse and entropy try, the largest first: a sixteenth is left at least.
PARTS = tuple(float(p) for p in np.linspace(1.0, 1.0 / 16.0, 31))

PERCENT = 99.99

Rule = Callable[[Histogram, float | None], Range]
"""From a histogram, and the rule's number if one was given."""


def minmax(seen: Histogram, _: float | None = None) -> Range:
    """All that was seen."""
    return Range(seen.low, seen.high)


def percentile(seen: Histogram, percent: float | None = None) -> Range:
    """The middle `percent` of the values: as many are cut off at either end."""
    outside = (1.0 - (PERCENT if percent is None else percent) / 100.0) / 2.0
    share = np.cumsum(seen.counts) / seen.total
    edges = seen.low + seen.width * np.arange(1, len(seen.counts) + 1)
    low = edges[np.searchsorted(share, outside, side="right")] - seen.width
    high = edges[np.searchsorted(share, 1.0 - outside, side="left")]
    return Range(float(low), float(high))


def std3(seen: Histogram, _: float | None = None) -> Range:
    """Mean +- 3 standard deviations, within what was seen."""
    mean = float(seen.counts @ seen.centres) / seen.total
    deviation = sqrt(float(seen.counts @ (seen.centres - mean) ** 2) / seen.total)
    return Range(max(seen.low, mean - 3.0 * deviation), min(seen.high, mean + 3.0 * deviation))


def mse(seen: Histogram, _: float | None = None) -> Range:
    """The part with the least squared error."""
    return _least(seen, lambda r: squared_error(seen, r))


def entropy(seen: Histogram, _: float | None = None) -> Range:
    """The part with the least divergence."""
    return _least(seen, lambda r: divergence(seen, r))


def _least(seen: Histogram, cost: Callable[[Range], float]) -> Range:
    """The part of least cost: from the best with both ends alike, and from all, one end is moved after the other."""
    alike = min((_part(seen, p, p) for p in PARTS), key=cost)
    return min((_moved(seen, start, cost) for start in (_part(seen, 1.0, 1.0), alike)), key=cost)


def _moved(seen: Histogram, best: Range, cost: Callable[[Range], float]) -> Range:
    whole = _part(seen, 1.0, 1.0)
    best = min((Range(best.low, p * whole.high) for p in PARTS), key=cost)
    best = min((Range(p * whole.low, best.high) for p in PARTS), key=cost)
    return min((Range(best.low, p * whole.high) for p in PARTS), key=cost)


def _part(seen: Histogram, low: float, high: float) -> Range:
    """Ends brought nearer to 0, which stays within."""
    return Range(low * min(seen.low, 0.0), high * max(seen.high, 0.0))


def squared_error(seen: Histogram, covered: Range, steps: int = STEPS) -> float:
    """Sum of squared errors: a twelfth of a squared step for each value within but 0, and what is cut off."""
    step = (max(covered.high, 0.0) - min(covered.low, 0.0)) / (steps - 1)
    beyond = np.maximum(seen.centres - covered.high, 0.0) + np.maximum(covered.low - seen.centres, 0.0)
    within = int(seen.counts[beyond == 0.0].sum()) - seen.zeros
    return float(seen.counts @ beyond**2) + max(within, 0) * step**2 / 12.0


def divergence(seen: Histogram, covered: Range, steps: int = STEPS) -> float:
    """Kullback-Leibler divergence of what was seen, cut off at the ends of a range, from its 256 steps.

    The bins of a step get its average, but those that are empty; as in the calibrator that made the method known.
    """
    inside = (seen.centres >= covered.low) & (seen.centres <= covered.high)
    if inside.sum() < steps:  # each bin is a step of its own then: nothing could be told
        return inf
    first, last = int(np.argmax(inside)), len(inside) - int(np.argmax(inside[::-1]))
    within = seen.counts[first:last].astype(np.float64)
    wanted = within.copy()
    wanted[0] += seen.counts[:first].sum()
    wanted[-1] += seen.counts[last:].sum()
    made = _averaged(within, steps)
    return _kullback_leibler(wanted, made)


def _averaged(counts: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    starts = np.unique(np.linspace(0, len(counts), steps + 1).astype(np.intp)[:-1])
    sums, filled = np.add.reduceat(counts, starts), np.add.reduceat((counts > 0).astype(np.float64), starts)
    each = np.repeat(sums / np.maximum(filled, 1.0), np.diff([*starts, len(counts)]))
    return np.where(counts > 0, each, 0.0)


def _kullback_leibler(wanted: NDArray[np.float64], made: NDArray[np.float64]) -> float:
    p, q = wanted / wanted.sum(), made / max(made.sum(), 1.0)
    some = p > 0
    # a bin that holds only what was cut off has no step of its own: as unlikely as can be told
    return float(np.sum(p[some] * np.log(p[some] / np.maximum(q[some], 1e-9))))


RULES: Mapping[str, Rule] = MappingProxyType(
    {"minmax": minmax, "percentile": percentile, "mse": mse, "entropy": entropy, "std3": std3}
)
