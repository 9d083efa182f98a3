"""How good enhanced speech is, against the clean recording: PESQ, STOI, SI-SDR.

PESQ (ITU-T P.862.2, wideband, at 8 kHz narrowband) and STOI (Taal et al. 2011) come from the packages `pesq` and
`pystoi` (extra `quality`), which are imported only here; without them the figures are None.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcu_quant.metrics import si_sdr_db

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """Figures of one recording; None where a package is missing, or the recording is too short or silent for it."""

    pesq: float | None
    stoi: float | None
    si_sdr_db: float


def judge(clean: ArrayLike, heard: ArrayLike, rate_hz: int) -> Quality:
    """The quality of `heard` beside `clean`, of which the shorter one's length counts."""
    c, h = np.ravel(np.asarray(clean, np.float64)), np.ravel(np.asarray(heard, np.float64))
    size = min(c.size, h.size)
    c, h = c[:size], h[:size]
    return Quality(_pesq(c, h, rate_hz), _stoi(c, h, rate_hz), si_sdr_db(c, h))


def mean(found: Sequence[Quality]) -> Quality:
    """Means of figures, each over the recordings that have it."""
    pesq, stoi = [q.pesq for q in found if q.pesq is not None], [q.stoi for q in found if q.stoi is not None]
    return Quality(_mean(pesq), _mean(stoi), float(np.mean([q.si_sdr_db for q in found])))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def missing() -> tuple[str, ...]:
    """Packages that are not installed."""
    found = []
    for name in ("pesq", "pystoi"):
        try:
            __import__(name)
        except ImportError:
            found.append(name)
    return tuple(found)


def _pesq(clean: Floats, heard: Floats, rate_hz: int) -> float | None:
    if rate_hz not in (8000, 16000) or not heard.any() or not clean.any():
        return None
    try:
        import pesq
    except ImportError:
        return None
    band = "wb" if rate_hz == 16000 else "nb"
    value = pesq.pesq(rate_hz, clean, heard, band, on_error=pesq.PesqError.RETURN_VALUES)
    return None if value < 0 else float(value)  # negative: what kind of failure; the scale begins at 1


def _stoi(clean: Floats, heard: Floats, rate_hz: int) -> float | None:
    try:
        import pystoi
    except ImportError:
        return None
    if clean.size < rate_hz // 20:  # not two of its frames of 25.6 ms
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames")  # it would return 1e-5
        try:
            return float(pystoi.stoi(clean, heard, rate_hz))
        except RuntimeWarning:
            return None
