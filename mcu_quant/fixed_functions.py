"""Functions in fixed point in numpy, the twin of `firmware/include/mq_fixed_functions.h`: same names, same bits.

"Q24" is an integer that stands for itself times 2**-24. A factor is a multiplier and a shift as `fixed.requantise`
takes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcu_quant.fixed import S32_MAX, mulhr, rshr

Ints = NDArray[Any]

ONE_Q30 = 1 << 30


def bit_length(x: Ints) -> Ints:
    """Bits of non-negative numbers without leading zeros."""
    rest, bits = np.asarray(x, np.int64), np.zeros(np.shape(x), np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        over = (rest >> step) > 0
        rest, bits = np.where(over, rest >> step, rest), bits + over * step
    return bits + rest


def exp2_negative(x: Ints) -> Ints:
    """2**-x: x >= 0 in Q24, the result in Q30; relative error below 1.0e-7, plus half a step."""
    x = np.asarray(x, np.int64)
    whole, f = x >> 24, (x & 0xFFFFFF) << 7
    p: Ints = np.full(x.shape, -32466643)
    for coefficient in (158154409, -475000691, 1031565859, -1488514807, ONE_Q30):
        p = coefficient + mulhr(p, f)
    return np.where(whole > 31, 0, rshr(p, np.minimum(whole, 31)))


def log2(x: Ints) -> Ints:
    """log2(x), x >= 1, in Q24, rounded down; error below 1.1 steps."""
    x = np.asarray(x, np.int64)
    whole = bit_length(x) - 1
    m = np.where(whole >= 31, x >> np.maximum(whole - 31, 0), x << np.maximum(31 - whole, 0)).astype(np.uint64)
    result = whole
    for _ in range(24):
        m = (m * m) >> np.uint64(31)
        over = m >> np.uint64(32)
        result, m = result * 2 + over.astype(np.int64), m >> over
    return result


def reciprocal(x: Ints) -> tuple[Ints, Ints]:
    """1 / x, x >= 1, as multiplier and shift; relative error below 2**-29."""
    x = np.asarray(x, np.int64)
    drop = bit_length(x) - 31
    s = np.where(drop >= 0, x >> np.maximum(drop, 0), x << np.maximum(-drop, 0))
    return ((1 << 61) - 1) // s, -29 - drop


def mul_q30(a: Ints | int, b: Ints | int) -> Ints:
    """a * b in Q30, rounded."""
    return (np.asarray(a, np.int64) * np.asarray(b, np.int64) + (1 << 29)) >> 30


def rsqrt(x: Ints) -> tuple[Ints, Ints]:
    """1 / sqrt(x), x >= 1, as multiplier and shift; relative error below 2**-28."""
    x = np.asarray(x, np.int64)
    h = (bit_length(x) + 1) // 2 - 15
    v = np.where(h >= 0, x >> np.maximum(2 * h, 0), x << np.maximum(-2 * h, 0))
    r = 2 * (mul_q30(mul_q30(879699408, v) - 1763812389, v) + 1433893831)
    for _ in range(3):
        error = ONE_Q30 - mul_q30(mul_q30(v, r), r)
        r = np.minimum(r + ((r * error + (1 << 30)) >> 31), S32_MAX)
    return np.maximum(r, ONE_Q30), -13 - h
