"""Weights to integers: per-row scales, biases at accumulator scale, and the proof that no accumulator overflows.

Every operator with a weight matrix (fully connected, convolution, recurrent layers) uses the same rule, so it stands
here once: `acc[o] = bias[o] + sum_i x[i] * w[o, i]`, `y[o] = y_zero + requantise(acc[o], multiplier[o], shift[o])`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcu_quant import fixed, formats, rounding
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array


@dataclass(frozen=True, eq=False)
class Rows:
    """A quantised weight matrix with everything its rows need.

    weights: [rows, columns] in the weight format; scale: [rows] real value of one weight step; bias: [rows] int64 at
    accumulator scale, with the input's zero point folded in; bound: [rows] largest |acc| for any legal input.
    """

    weights: Array
    scale: NDArray[np.float64]
    bias: NDArray[np.int64]
    bound: NDArray[np.int64]

    @property
    def accumulator_bits(self) -> int:
        """Bits of the widest accumulator, with sign."""
        return int(self.bound.max(initial=0)).bit_length() + 1


@dataclass(frozen=True, eq=False)
class Known:
    """What the model and the plan know of a weight matrix [rows, columns] and of what it is multiplied with.

    steps: of weights that the model has as whole numbers, the real value of one step of each. Where each row has one
    step, and its whole numbers fit the format, they are taken over as they are.
    moments: of the inputs (see `rounding`); with them the errors of weights in 8 bits or less make up for each other.
    means: of the inputs, [columns], or [groups, columns] where groups of rows read inputs of their own; biases make up
    for what rounding adds on average.
    powers_of_two: scales of rows are powers of two.
    rounded: which weights are rounded up, where a method tried that in the format at hand.
    """

    steps: Array | None = None
    moments: Array | None = None
    means: Array | None = None
    powers_of_two: bool = False
    rounded: rounding.Rounded | None = None

    def drift(self, error: NDArray[np.float64]) -> NDArray[np.float64]:
        """What an error of the weights [rows, columns] adds to each row on average: [rows]."""
        if self.means is None:
            return np.zeros(len(error))
        means = np.asarray(self.means, np.float64).reshape(-1, error.shape[1])
        each = error.reshape(len(means), -1, error.shape[1])
        drift: NDArray[np.float64] = np.einsum("gri,gi->gr", each, means)
        return drift.ravel()


NOTHING = Known()


def rows(
    weights: Array,
    bias: Array | None,
    x: QuantParams,
    x_format: str,
    weight_format: str = "s8",
    *,
    accumulator_bits: int = 32,
    known: Known = NOTHING,
) -> Rows:
    """Quantise a [rows, columns] matrix, symmetric, one scale per row.

    Where a row could overflow the accumulator on some input, its scale grows until it cannot: such rows lose weight
    resolution, never correctness. A zero row gets the scale of the largest row.
    """
    steps = known.steps
    real = np.asarray(weights, np.float64)
    real_bias = np.zeros(len(real)) if bias is None else np.asarray(bias, np.float64).ravel()
    fmt, xf = formats.get(weight_format), formats.get(x_format)
    # Armv6-M multiplies by halves, which takes a little room: mq_mulh_by_signed_halves
    limit = 2 ** (accumulator_bits - 1) - 2**18 - 1
    if steps is not None and (steps == steps[:, :1]).all():
        given = _whole(real, real_bias, np.asarray(steps[:, 0], np.float64), x, max(xf.maximum, -xf.minimum))
        fits = (given.weights >= fmt.minimum) & (given.weights <= fmt.maximum)
        if fits.all() and (given.bound <= limit).all():
            return replace(given, weights=given.weights.astype(fmt.dtype))
    peak = np.abs(real).max(axis=1, initial=0.0)
    scale = np.where(peak > 0, peak, peak.max(initial=0.0) or 1.0) / fmt.maximum
    # a bias far beyond what the weights can add (a dead row with an offset) must fit as well
    scale = np.maximum(scale, np.abs(real_bias) / (x.scale * (limit // 2)))
    if known.powers_of_two:
        scale = _power_of_two(real, scale, fmt.maximum)
    while True:
        w = _rounded(real, scale, fmt, known)
        exact = real_bias - known.drift(w * scale[:, None] - real)
        b = np.rint(exact / (scale * x.scale)).astype(np.int64) - x.zero_point * w.sum(axis=1)
        furthest = max(xf.maximum, -xf.minimum)
        bound = np.abs(b) + furthest * np.abs(w).sum(axis=1)
        over = bound > limit
        if not over.any():
            return Rows(w.astype(fmt.dtype), scale, b, bound)
        more = 2.0 if known.powers_of_two else np.maximum(bound / limit, 1.0 + 2.0**-7)
        scale = np.where(over, scale * more, scale)


def _rounded(
    real: NDArray[np.float64], scale: NDArray[np.float64], fmt: formats.Format, known: Known
) -> NDArray[np.int64]:
    """Weights in steps of their row: as was found or, in 8 bits at most, so that errors cancel; else to nearest."""
    if known.rounded is not None and known.rounded.fits(fmt.name, real.shape):
        return known.rounded.integers(real, scale, fmt.maximum)
    if known.moments is None or not fmt.narrow:
        return np.clip(np.rint(real / scale[:, None]), -fmt.maximum, fmt.maximum).astype(np.int64)
    return rounding.compensated(real, scale, fmt.maximum, known.moments)


def _power_of_two(real: NDArray[np.float64], scale: NDArray[np.float64], largest: int) -> NDArray[np.float64]:
    """Of each row the power of two that loses least: the one that covers it, or half of that, which cuts it off."""
    above = 2.0 ** np.ceil(np.log2(scale))

    def lost(step: NDArray[np.float64]) -> Array:
        made = np.clip(np.rint(real / step[:, None]), -largest, largest) * step[:, None]
        return np.asarray(np.sum((made - real) ** 2, axis=1))

    chosen: NDArray[np.float64] = np.where(lost(above / 2.0) < lost(above), above / 2.0, above)
    return chosen


def for_floats(
    weights: Array, bias: Array | None, known: Known = NOTHING, weight_format: str = "s8"
) -> tuple[Array, NDArray[np.float64], NDArray[np.float64] | None]:
    """Weights in integers for inputs in floats, [rows, columns], the scale of each row and its bias, if there is one.

    The same rounding as `rows`; there is no accumulator that could overflow.
    """
    made = rows(weights, None, QuantParams(1.0), "s8", weight_format, accumulator_bits=62, known=known)
    drift = known.drift(made.weights * made.scale[:, None] - np.asarray(weights, np.float64))
    if bias is None and not drift.any():
        return made.weights, made.scale, None
    given = 0.0 if bias is None else np.asarray(bias, np.float64).ravel()
    return made.weights, made.scale, given - drift


def _whole(real: Array, bias: Array, scale: NDArray[np.float64], x: QuantParams, furthest: int) -> Rows:
    """Rows of given scales; weights in 64 bits. `furthest` is the largest magnitude that an input is stored as."""
    w = np.rint(real / scale[:, None]).astype(np.int64)
    b = np.rint(bias / (scale * x.scale)).astype(np.int64) - x.zero_point * w.sum(axis=1)
    return Rows(w, scale, b, np.abs(b) + furthest * np.abs(w).sum(axis=1))


def factors(real: NDArray[np.float64] | float) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Requantisation factors of each row: int32 multipliers and int8 shifts."""
    return fixed.multipliers(np.atleast_1d(np.asarray(real, np.float64)))


def clamp(low: float, high: float, y: QuantParams, y_format: str) -> tuple[int, int]:
    """A fused activation's limits as stored values: [low, high] in reals, infinite where there is none."""
    fmt = formats.get(y_format)

    def stored(value: float, default: int) -> int:
        if np.isinf(value):
            return default
        return int(np.clip(round(value / y.scale) + y.zero_point, fmt.minimum, fmt.maximum))

    return stored(low, fmt.minimum), stored(high, fmt.maximum)


def dot(x: Array, w: Array) -> NDArray[np.int64]:
    """Exact integer `x @ w.T` through f64: every partial sum of the formats used here stays below 2**53."""
    product = np.asarray(x, np.float64) @ np.asarray(w, np.float64).T
    return product.astype(np.int64)
