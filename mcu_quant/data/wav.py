"""WAV files: PCM of 8 to 32 bits and float, as samples in [-1, 1], without reading the whole file where that can be.

Reading is scipy's (it is there for the solvers anyway, knows the extensible header, 24 bits and floats, and maps files
into memory); what it warns of or raises becomes one exception here.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

Floats = NDArray[np.float64]


class WavError(Exception):
    """A file that is not a readable WAV; the text says why."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Samples as stored (possibly mapped from the file), [frames] or [frames, channels]."""

    rate_hz: int
    stored: NDArray[Any]

    @property
    def channels(self) -> int:
        """1 for mono."""
        return 1 if self.stored.ndim == 1 else int(self.stored.shape[1])

    def __len__(self) -> int:
        return int(self.stored.shape[0])

    def samples(self, start: int, stop: int) -> Floats:
        """Samples [start, stop) as float64; full scale of integers is 1."""
        part = self.stored[start:stop]
        if part.dtype == np.uint8:
            return (part.astype(np.float64) - 128.0) / 128.0
        if part.dtype.kind == "i":
            return part.astype(np.float64) / 2.0 ** (8 * part.dtype.itemsize - 1)
        return part.astype(np.float64)


def read(path: Path) -> Recording:
    """Open a WAV file.

    Raises:
        WavError: if it cannot be read, is not a WAV, is compressed or is cut short.
    """
    if path.is_file() and not path.stat().st_size:
        raise WavError("is empty: 0 bytes")
    try:
        return _read(path, mapped=True)
    except WavError:
        return _read(path, mapped=False)  # 24 bits cannot be mapped; anything else fails again, with its reason


def _read(path: Path, mapped: bool) -> Recording:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            rate_hz, stored = wavfile.read(path, mmap=mapped)
        except OSError as error:
            raise WavError(f"cannot be read: {error.strerror or error}") from error
        except (ValueError, struct.error, EOFError, UnboundLocalError) as error:
            raise WavError(f"is not a WAV file that can be read: {error}") from error
    cut = next((str(w.message) for w in caught if "EOF" in str(w.message)), None)
    if cut:
        raise WavError(f"is cut short: {cut}")
    return Recording(int(rate_hz), stored)
