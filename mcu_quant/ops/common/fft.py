"""Tables of fast Fourier transforms of real signals: what `kernels/spectrum` reads, made at generation time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Entries of `radices` in the C struct, the final 0 among them.
PASSES = 12

Complex = NDArray[np.complex128]


def radices(length: int) -> tuple[int, ...] | None:
    """Radices of the passes of a complex transform, 4 first; None where the length has another prime factor."""
    found = []
    for radix in (4, 2, 3, 5):
        while length % radix == 0:
            found.append(radix)
            length //= radix
    return tuple(found) if length == 1 and 0 < len(found) < PASSES else None


def is_fast(fft: int) -> bool:
    """Is there a fast transform of so many real samples?"""
    return fft >= 4 and fft % 2 == 0 and radices(fft // 2) is not None


def field(fft: int) -> tuple[int, ...]:
    """`radices` of the C struct."""
    found = radices(fft // 2)
    assert found
    return (*found, *[0] * (PASSES - len(found)))


def passes(length: int) -> Complex:
    """Factors w(p, k) = exp(-2 pi i p k / n) of each pass, for k = 1 .. r - 1, k fastest."""
    parts, n = [], length
    for r in radices(length) or ():
        p, k = np.arange(n // r)[:, None], np.arange(1, r)[None, :]
        parts.append(np.exp(-2j * np.pi * (p * k % n) / n).ravel())
        n //= r
    return np.concatenate(parts)


def twiddles(fft: int) -> NDArray[np.float64]:
    """The factors of all passes, then exp(-2 pi i k / fft) for k = 0 .. fft / 4, as pairs (re, im), flat."""
    turns = np.exp(-2j * np.pi * np.arange(fft // 4 + 1) / fft)
    both = np.concatenate([passes(fft // 2), turns])
    return np.stack([both.real, both.imag], axis=1).ravel()


def macs(fft: int) -> int:
    """Real multiplications of one transform, about: those of the passes and of taking the result apart."""
    return 4 * (len(passes(fft // 2)) * len(radices(fft // 2) or ()) + fft // 4)
