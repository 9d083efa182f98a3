"""Spectrograms as PNG files, without a drawing library: decibels of short-time spectra as colours."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Analysis: points and step, in samples; decibels from the loudest colour to black.
POINTS, STEP, RANGE_DB = 512, 128, 80.0
#: Most columns of a picture.
COLUMNS = 1600
#: From silent to loud.
_COLOURS = np.array([[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]], float)


def spectrogram(samples: ArrayLike) -> bytes:
    """A PNG of samples of 16 bits: time across, 0 Hz at the bottom, half the rate on top. 0 dB is a full-scale tone."""
    x = np.ravel(np.asarray(samples, np.float64)) / 32768.0
    x = np.pad(x, (0, max(0, POINTS - x.size)))
    step = max(STEP, (x.size - POINTS) // COLUMNS)
    frames = np.lib.stride_tricks.sliding_window_view(x, POINTS)[::step] * np.hanning(POINTS)
    levels = np.abs(np.fft.rfft(frames)) / (POINTS / 4)
    decibels = 20.0 * np.log10(np.maximum(levels, 1e-9))
    shares = np.clip(1.0 + decibels / RANGE_DB, 0.0, 1.0).T[::-1]
    return png(_coloured(shares))


def _coloured(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours of numbers in [0, 1], linear between the anchors."""
    at = shares * (len(_COLOURS) - 1)
    low = np.minimum(at.astype(int), len(_COLOURS) - 2)
    part = (at - low)[..., None]
    return np.asarray(_COLOURS[low] * (1.0 - part) + _COLOURS[low + 1] * part, np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels [height, width, 3] as a PNG file."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, width * 3)], axis=1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    made = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        made += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return made
