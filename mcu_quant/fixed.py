"""Fixed-point primitives in numpy, the twin of `firmware/include/mq_fixed.h`: same names, same bits.

Arguments and results are integer arrays (int64 inside, so that nothing here overflows); a value that would not fit the
C type of a primitive is a contract violation and raises, as the checked C build traps. docs/numerics.md derives the
error bounds.
"""

from __future__ import annotations

from math import frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[Any]

S32_MIN, S32_MAX = -(2**31), 2**31 - 1


def _s32(x: Ints, what: str) -> Ints:
    if x.size and (x.min() < S32_MIN or x.max() > S32_MAX):
        raise OverflowError(f"{what} leaves 32 bits: [{x.min()}, {x.max()}]")
    return x


def multiplier(real: float) -> tuple[int, int]:
    """Dyadic form of a positive factor: `real ~ m * 2**(shift - 32)` with m in [2**30, 2**31).

    Returns (m, shift); the relative error is at most 2**-31. A positive shift is applied before the multiplication, a
    negative one after it, rounding (HAWQ-V3's dyadic arithmetic, arXiv 2011.10680, with SMMULR's high word).
    """
    if not real > 0.0 or real == float("inf"):
        raise ValueError(f"a requantisation factor must be positive and finite, not {real}")
    mantissa, exponent = frexp(real)  # real = mantissa * 2**exponent, mantissa in [0.5, 1)
    m = round(mantissa * 2**31)
    if m == 2**31:
        m, exponent = 2**30, exponent + 1
    # real = m * 2**(exponent - 31) = m * 2**((exponent + 1) - 32)
    shift = exponent + 1
    if shift < -31:
        return 0, 0  # below half a step for every 32-bit accumulator: the product is zero
    if shift > 31:
        return 2**31 - 1, 31  # every accumulator but zero saturates
    return m, shift


def multipliers(real: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """`multiplier` for each element: int32 multipliers and int8 shifts."""
    pairs = [multiplier(float(r)) for r in np.ravel(real)]
    m = np.array([p[0] for p in pairs], np.int32).reshape(np.shape(real))
    return m, np.array([p[1] for p in pairs], np.int8).reshape(np.shape(real))


def mulhr(a: Ints, b: Ints | int) -> Ints:
    """High word of the 64-bit product, rounded: (a * b + 2**31) >> 32. SMMULR; VRMULH.S32."""
    return (np.asarray(a, np.int64) * np.asarray(b, np.int64) + (1 << 31)) >> 32


def mulh(a: Ints, b: Ints | int) -> Ints:
    """High word of the 64-bit product, rounded down: (a * b) >> 32. SMMUL; VMULH.S32."""
    return (np.asarray(a, np.int64) * np.asarray(b, np.int64)) >> 32


def rshr(x: Ints, shift: Ints | int) -> Ints:
    """Shift right, half rounded up: floor(x / 2**shift + 1/2), shift in [0, 31]. VRSHL with a negative count."""
    s = np.asarray(shift, np.int64)
    return (np.asarray(x, np.int64) + ((np.int64(1) << s) >> 1)) >> s


def requantise(acc: Ints, m: Ints | int, shift: Ints | int) -> Ints:
    """The project's one requantisation: acc * m * 2**(shift - 32), half rounded up.

    mulhr(sat32(acc << shift), m) for shift >= 0, else rshr(mulh(acc, m), -shift), which rounds once, too. A shift that
    saturates gives a result beyond every 16-bit output, as the exact product would be.
    """
    s = np.asarray(shift, np.int64)
    wide = _s32(np.asarray(acc, np.int64), "requantise: accumulator") << np.maximum(s, 0)
    product = np.clip(wide, S32_MIN, S32_MAX) * np.asarray(m, np.int64)
    return rshr((product + np.where(s < 0, 0, 1 << 31)) >> 32, np.maximum(-s, 0))


def requantise64(acc: Ints, pre: int, m: Ints | int, shift: Ints | int) -> Ints:
    """`requantise` of a 64-bit accumulator that is first brought to 32 bits by a rounding shift of `pre` bits."""
    wide = np.asarray(acc, np.int64)
    narrow = (wide + ((np.int64(1) << pre) >> 1)) >> pre
    return requantise(_s32(narrow, "requantise64: narrowed accumulator"), m, shift)


def frame_factor(scale: float) -> tuple[int, int]:
    """`mq_frame_of`: a positive f32, or 0, as m * 2**(shift - 32) with 24 significant bits."""
    bits = int(np.float32(scale).view(np.uint32))
    exponent = bits >> 23
    return (((bits & 0x7FFFFF) | 0x800000) << 7 if exponent else 0), exponent - 125


def saturate(x: Ints, low: int, high: int) -> Ints:
    """x limited to [low, high]."""
    return np.clip(x, low, high)


#: Entries of an interpolation table: 2**9 intervals over the 16-bit input and the end point.
TABLE_INTERVALS = 512


def lookup(x: Ints, table: Ints) -> Ints:
    """A 16-bit function by table and linear interpolation: 513 entries of 16 bits over x in [-32768, 32767].

    With i = (x + 32768) >> 7 and f = (x + 32768) & 127: table[i] + rshr((table[i+1] - table[i]) * f, 7).
    """
    u = np.asarray(x, np.int64) + 32768
    i, f = u >> 7, u & 127
    t = np.asarray(table, np.int64)
    y: Ints = t[i] + rshr((t[i + 1] - t[i]) * f, 7)
    return y
