"""How far a signal is from its reference: SNR, SI-SDR, NMSE, largest difference; streamed, in constant memory.

Decibels are always finite, so that they can be compared, averaged and written as JSON: two signals that are equal to
the bit give `EXACT_DB`, one that holds NaN or infinity where the reference does not gives `-EXACT_DB`. No two
different float32 signals that mean anything come near either.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite, log10

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: dB of a signal that is equal to its reference to the bit, and, negated, of one that has nothing to do with it.
EXACT_DB = 999.0


@dataclass(frozen=True)
class Difference:
    """How a test signal differs from its reference. Everything but counts is in the reference's units or in dB."""

    count: int
    #: 10 log10(|reference|^2 / |test - reference|^2)
    snr_db: float
    #: SNR after the scale of the reference that suits the test signal best: blind to a wrong gain
    si_sdr_db: float
    #: |test - reference|^2 / |reference|^2; 0 when equal, infinite only where the reference is all zero
    nmse: float
    #: largest |test - reference|
    max_abs: float
    #: values that are not equal
    unequal: int

    @property
    def exact(self) -> bool:
        """Equal to the bit."""
        return self.unequal == 0

    def as_dict(self) -> dict[str, float | int | None]:
        """JSON-ready: an infinite `nmse` or `max_abs` (NaN in the test signal, a silent reference) is None."""
        return {key: value if isfinite(value) else None for key, value in asdict(self).items()}


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """a . b on this thread: handing a few thousand products to BLAS's threads costs more than computing them."""
    return float(np.einsum("i,i->", a, b))


class Comparison:
    """Accumulates the difference of two streams, frame by frame. Equal values, NaN included, differ by zero."""

    def __init__(self) -> None:
        self._count = self._unequal = 0
        self._signal = self._error = self._cross = self._largest = 0.0

    def add(self, reference: ArrayLike, test: ArrayLike) -> None:
        """Take in one pair of arrays of the same shape.

        Raises:
            ValueError: if the shapes differ.
        """
        r, t = np.asarray(reference, np.float64).ravel(), np.asarray(test, np.float64).ravel()
        if np.shape(reference) != np.shape(test):
            raise ValueError(f"shapes differ: {np.shape(reference)} and {np.shape(test)}")
        self._count += r.size
        with np.errstate(invalid="ignore", over="ignore"):
            e = t - r
            error = _dot(e, e)
        if isfinite(error):  # so is everything else
            self._unequal += int(np.count_nonzero(e))
            self._signal += _dot(r, r)
            self._error += error
            self._cross += _dot(e, r)
            self._largest = max(self._largest, float(np.max(np.abs(e), initial=0.0)))
            return
        unequal = (r != t) & ~(np.isnan(r) & np.isnan(t))
        self._unequal += int(np.count_nonzero(unequal))
        with np.errstate(invalid="ignore", over="ignore"):
            e = np.where(unequal, t - r, 0.0)
            finite = np.where(np.isfinite(r), r, 0.0)
            self._signal += _dot(finite, finite)
            self._error += _dot(e, e)
            self._cross += _dot(e, finite)
        if e.size:
            self._largest = max(self._largest, _or_infinite(float(np.max(np.abs(e)))))

    def result(self) -> Difference:
        """The difference of everything added so far."""
        # |t - a r|^2 with the best a is |e|^2 - (e.r)^2 / |r|^2, which keeps its digits where |t|^2 - ... would not;
        # a reference of zeros has no gain to choose
        error = _or_infinite(self._error)
        signal = self._signal
        aligned = max(error - self._cross**2 / signal, 0.0) if signal > 0.0 and np.isfinite(error) else error
        gain = 1.0 + self._cross / signal if signal > 0.0 and np.isfinite(error) else 1.0
        return Difference(
            count=self._count,
            snr_db=_ratio_db(signal, error),
            si_sdr_db=_ratio_db(gain * gain * signal, aligned) if self._unequal else EXACT_DB,
            nmse=0.0 if error == 0.0 else error / signal if signal > 0.0 else float("inf"),
            max_abs=self._largest,
            unequal=self._unequal,
        )


def compare(reference: ArrayLike, test: ArrayLike) -> Difference:
    """The difference of two arrays of the same shape."""
    comparison = Comparison()
    comparison.add(reference, test)
    return comparison.result()


def snr_db(reference: ArrayLike, test: ArrayLike) -> float:
    """10 log10(|reference|^2 / |test - reference|^2), in [-EXACT_DB, EXACT_DB]."""
    return compare(reference, test).snr_db


def si_sdr_db(reference: ArrayLike, test: ArrayLike) -> float:
    """Scale-invariant SDR (Le Roux et al. 2019, without removing the mean), in [-EXACT_DB, EXACT_DB]."""
    return compare(reference, test).si_sdr_db


def nmse(reference: ArrayLike, test: ArrayLike) -> float:
    """|test - reference|^2 / |reference|^2."""
    return compare(reference, test).nmse


def max_abs(reference: ArrayLike, test: ArrayLike) -> float:
    """Largest |test - reference|."""
    return compare(reference, test).max_abs


def _ratio_db(signal: float, error: float) -> float:
    if error == 0.0:
        return EXACT_DB
    if signal == 0.0 or not np.isfinite(error):
        return -EXACT_DB
    return max(-EXACT_DB, min(EXACT_DB, 10.0 * (log10(signal) - log10(error))))


def _or_infinite(value: float) -> float:
    """NaN, which compares with nothing, as the infinity it stands for."""
    return float("inf") if np.isnan(value) else value
