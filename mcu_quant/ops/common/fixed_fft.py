"""Spectra in 32-bit integers with an exponent per frame: the specification of the s16 kernels of `kernels/spectrum`.

The same operations as the C, pass by pass, on int64 arrays; `firmware/include/mq_fft_s32.h` and `mq_spectrum_s32.h` say
what they are. Complex values are arrays with a last axis (re, im).
"""

from __future__ import annotations

from math import frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcu_quant import fixed
from mcu_quant.ops.common import fft

Ints = NDArray[np.int64]

#: sqrt(3)/2, and cos and sin of 72 and 144 degrees, in Q31.
_SIDE = 1859775393
_C1, _C2, _S1, _S2 = 663608942, -1737350766, 2042378317, 1262259218


def q31(table: NDArray[np.float64]) -> NDArray[np.int32]:
    """Factors in [-1, 1] in Q31; 1 is 1 - 2^-31, so that every factor can be negated."""
    return np.clip(np.rint(table * 2.0**31), 1 - 2**31, 2**31 - 1).astype(np.int32)


def dyadic(real: float) -> tuple[int, int]:
    """(m, e) with real ~ m 2^e, m in [2^30, 2^31)."""
    mantissa, exponent = frexp(real)
    m = round(mantissa * 2**31)
    return (m, exponent - 31) if m < 2**31 else (2**30, exponent - 30)


def bits(x: Any) -> Ints:
    """Bits of non-negative numbers below 2^63: 0 of 0, 1 of 1, 2 of 2 and 3, ..."""
    left, found = np.array(x, np.int64), np.zeros(np.shape(x), np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        high = (left >> step) > 0
        left = np.where(high, left >> step, left)
        found += np.where(high, step, 0)
    return np.asarray(found + left)


def shifted(x: Ints, shift: int) -> Ints:
    """x 2^shift, half rounded up where bits are lost."""
    return np.asarray(fixed.rshr(x, -shift) if shift < 0 else x << shift)


def room(x: Ints) -> int:
    """How far values may be shifted so that the sum of their magnitudes is below 2^29, which bounds any transform."""
    total = int(np.abs(x).sum())
    return 29 - total.bit_length() if total else 0


def product(a: Ints, w: Ints) -> Ints:
    """Complex products with factors in Q31, each part rounded."""
    re, im = 2 * a[..., 0], 2 * a[..., 1]
    parts = (
        fixed.mulhr(re, w[..., 0]) - fixed.mulhr(im, w[..., 1]),
        fixed.mulhr(re, w[..., 1]) + fixed.mulhr(im, w[..., 0]),
    )
    return np.stack(parts, axis=-1)


def _product_back(a: Ints, w: Ints) -> Ints:
    """The same with the conjugates of the factors."""
    re, im = 2 * a[..., 0], 2 * a[..., 1]
    parts = (
        fixed.mulhr(re, w[..., 0]) + fixed.mulhr(im, w[..., 1]),
        fixed.mulhr(im, w[..., 0]) - fixed.mulhr(re, w[..., 1]),
    )
    return np.stack(parts, axis=-1)


def _scaled(a: Ints, factor: int) -> Ints:
    return fixed.mulhr(2 * a, factor)


def _turned(a: Ints) -> Ints:
    return np.stack([a[..., 1], -a[..., 0]], axis=-1)


def _butterfly(a: list[Ints]) -> list[Ints]:
    if len(a) == 2:
        return [a[0] + a[1], a[0] - a[1]]
    if len(a) == 3:
        total = a[1] + a[2]
        middle, side = a[0] - fixed.rshr(total, 1), _turned(_scaled(a[1] - a[2], _SIDE))
        return [a[0] + total, middle + side, middle - side]
    if len(a) == 4:
        even, even_odd, odd, odd_odd = a[0] + a[2], a[0] - a[2], a[1] + a[3], _turned(a[1] - a[3])
        return [even + odd, even_odd + odd_odd, even - odd, even_odd - odd_odd]
    near, far = a[1] + a[4], a[2] + a[3]
    near_side, far_side = a[1] - a[4], a[2] - a[3]
    first, second = a[0] + (_scaled(near, _C1) + _scaled(far, _C2)), a[0] + (_scaled(near, _C2) + _scaled(far, _C1))
    first_side = _turned(_scaled(near_side, _S1) + _scaled(far_side, _S2))
    second_side = _turned(_scaled(near_side, _S2) - _scaled(far_side, _S1))
    return [a[0] + (near + far), first + first_side, second + second_side, second - second_side, first - first_side]


def transform(z: Ints, twiddles: Ints) -> Ints:
    """The complex transform of z [length, 2]; `twiddles` are those of its passes, pairs."""
    length = len(z)
    n, s, at = length, 1, 0
    for r in fft.radices(length) or ():
        m = n // r
        x = z.reshape(r, m, s, 2)  # x[q + s (p + m j)]
        b = _butterfly([x[j] for j in range(r)])
        w = twiddles[at : at + m * (r - 1)].reshape(m, r - 1, 2)
        for k in range(1, r):
            b[k] = np.concatenate([b[k][:1], product(b[k][1:], w[1:, k - 1, None])])
        z = np.stack(b, axis=1).reshape(length, 2)  # y[q + s (r p + k)]
        n, s, at = m, s * r, at + m * (r - 1)
    return z


def _tables(twiddles: Any, points: int) -> tuple[Ints, Ints]:
    pairs = np.asarray(twiddles, np.int64).reshape(-1, 2)
    turns = points // 4 + 1
    return pairs[:-turns], pairs[-turns:]


def spectrum(x: Any, window: Any, twiddles: Any, points: int) -> tuple[Ints, int]:
    """Twice the spectrum of a frame, [points/2 + 1, 2], and its exponent."""
    passes, turns = _tables(twiddles, points)
    m = points // 2
    samples = np.zeros(points, np.int64)
    samples[: len(window)] = np.asarray(x, np.int64) * np.asarray(window, np.int64)
    up = room(samples)
    z = transform(shifted(samples, up).reshape(m, 2), passes)
    y = np.zeros((m + 1, 2), np.int64)
    y[0, 0], y[m, 0] = 2 * (z[0, 0] + z[0, 1]), 2 * (z[0, 0] - z[0, 1])
    k = np.arange(1, m // 2 + 1)
    a, b = z[k], z[m - k] * np.array([1, -1])
    even, odd = a + b, _turned(product(a - b, turns[k]))
    y[m - k] = (even - odd) * np.array([1, -1])
    y[k] = even + odd
    return y, up + 16


def inverse(x: Any, exponent: int, twiddles: Any, points: int, m: int, e: int) -> NDArray[np.int16]:
    """The real signal of a spectrum with an exponent, narrowed to 16 bits."""
    passes, turns = _tables(twiddles, points)
    half = points // 2
    pairs = np.asarray(x, np.int64).reshape(half + 1, 2)
    shift = room(pairs) - 2
    v = shifted(pairs, shift)
    z = np.zeros((half, 2), np.int64)
    z[0] = v[0, 0] - v[half, 0], v[0, 0] + v[half, 0]
    k = np.arange(1, half // 2 + 1)
    a, b = v[k], v[half - k] * np.array([1, -1])
    even, odd = a + b, _product_back(a - b, turns[k])
    z[k, 0], z[k, 1] = even[:, 1] + odd[:, 0], even[:, 0] - odd[:, 1]
    z[half - k, 0], z[half - k, 1] = odd[:, 0] - even[:, 1], even[:, 0] + odd[:, 1]
    signal = transform(z, passes)[:, ::-1]
    return narrowed(signal.ravel(), m, e - exponent - shift)


def level_s16(value: Any, m: int, exponent: Any) -> Ints:
    """value m 2^exponent of non-negative values, half rounded up, limited to 32767."""
    v = np.asarray(value, np.int64)
    cut = np.maximum(bits(v) - 31, 0)
    made = (v >> cut) * m
    right = -(np.asarray(exponent, np.int64) + cut)
    gone, over = (made == 0) | (right > 62), (right <= 0) | (bits(made) - right > 16)
    safe = np.clip(right, 1, 62)
    rounded = (made + (np.int64(1) << (safe - 1))) >> safe
    return np.where(gone, 0, np.where(over, 32767, np.minimum(rounded, 32767)))


def narrowed(value: Any, m: int, exponent: Any) -> NDArray[np.int16]:
    """value m 2^exponent of values of both signs, half rounded up, limited to 16 bits."""
    shift = np.clip(np.asarray(exponent, np.int64) + 32, -31, 31)
    return fixed.saturate(fixed.requantise(value, m, shift), -32768, 32767).astype(np.int16)


def power(pairs: Ints) -> Ints:
    """re^2 + im^2, below 2^62."""
    return np.asarray(pairs[..., 0] ** 2 + pairs[..., 1] ** 2)


def magnitude(pairs: Ints) -> Ints:
    """The root of the upper 32 bits of re^2 + im^2."""
    square = power(pairs)
    size = bits(square)
    half = np.where(size > 32, (size - 31) // 2, 0)
    top = square >> (2 * half)
    root = np.floor(np.sqrt(top.astype(np.float64))).astype(np.int64)  # exact: top is below 2^32
    return np.asarray(root << half)


def log2_table() -> NDArray[np.int32]:
    """log2(1 + i / 128) in Q24."""
    return np.rint(np.log2(1.0 + np.arange(129) / 128.0) * 2.0**24).astype(np.int32)


def log2(x: Any, table: Any) -> Ints:
    """log2 of positive numbers in Q16, by table and linear between."""
    v, t = np.asarray(x, np.int64), np.asarray(table, np.int64)
    size = bits(v)
    top = np.where(size > 31, v >> np.maximum(size - 31, 0), v << np.maximum(31 - size, 0))
    i, rest = (top >> 23) & 127, top & 0x7FFFFF
    between = ((t[i + 1] - t[i]) * rest + (1 << 22)) >> 23
    return np.asarray((size - 1) * 65536 + fixed.rshr(t[i] + between, 8))
