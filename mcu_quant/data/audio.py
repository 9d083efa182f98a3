"""Audio front ends in numpy: from a block of samples to the array that a model reads.

A front end is a chain of stages, each of them optional and each a frozen value whose fields are the keys of a pipeline
file: `Emphasis`, `Stft`, `Mel`, `Log`, `Dct`, `Affine`. None of them is the raw block; `Stft` alone is a spectrum; with
`Mel`, `Log` and `Dct` it makes MFCCs. Everything is computed in float64 and given as float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcu_quant.ir import Array

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Emphasis:
    """y[n] = x[n] - coefficient * x[n - 1]; nothing is before the block."""

    coefficient: float


@dataclass(frozen=True)
class Stft:
    """X[t, k] = sum_n window[n] x[t * hop + n] exp(-2 pi i k n / fft), k = 0 .. fft / 2.

    Lengths in samples. `length` defaults to the whole block (one frame of analysis), `hop` and `fft` to `length`; a
    longer `fft` pads with zeros at the end. A window is periodic unless `symmetric`. With `window_length` it is that
    long, in the middle of a frame of `length` samples (`win_length` beside `n_fft` of librosa and torch).

    `centre` "reflect" or "zeros" puts half a window before the block and half behind it, mirrored or silent, so that
    frame t is centred on sample t * hop (librosa, torch). `drop_last` leaves out the last frame (Whisper).
    """

    window: str = "none"
    length: int = 0
    hop: int = 0
    fft: int = 0
    value: str = "magnitude"
    symmetric: bool = False
    centre: str = "none"
    drop_last: bool = False
    window_length: int = 0

    def resolved(self, block: int) -> Stft:
        """The same with every default spelled out for a block of so many samples."""
        length = self.length or block
        return replace(self, length=length, hop=self.hop or length, fft=self.fft or length)

    @property
    def bins(self) -> int:
        """Bins from 0 Hz to half the rate, both included."""
        return self.fft // 2 + 1

    def frames(self, block: int) -> int:
        """Frames of analysis that lie wholly inside the block and what is put around it."""
        around = 0 if self.centre == "none" else 2 * self.margin
        whole = 0 if block + around < self.length else 1 + (block + around - self.length) // self.hop
        return max(0, whole - self.drop_last)

    @property
    def margin(self) -> int:
        """Samples put on either side of a block whose frames are centred."""
        return self.length // 2


@dataclass(frozen=True)
class Mel:
    """Triangular bands, equally spaced on a scale of pitch: see `hz_to_mel`.

    The triangles' sides are straight on that scale where `sides` is "mel" (TensorFlow, Kaldi), in Hz where it is "hz"
    (librosa, torchaudio), or between bins, to which corners are rounded, where it is "bins" (GTCRN). `norm` "slaney"
    divides each band by half its width in Hz. The bin at 0 Hz belongs to no band where `sides` is "mel", as in
    TensorFlow.
    """

    bands: int
    low_hz: float
    high_hz: float
    scale: str = "htk"
    sides: str = "mel"
    norm: str = "none"


@dataclass(frozen=True)
class Log:
    """log_base(max(x, floor) + offset); `base` is "e", "2" or "10".

    With `range`, results are raised to no less than the block's largest minus that: 8 at base 10 is 80 dB.
    """

    base: str = "e"
    floor: float = 0.0
    offset: float = 0.0
    range: float = 0.0


@dataclass(frozen=True)
class Dct:
    """y[i] = sqrt(2 / N) sum_j x[j] cos(pi i (j + 1/2) / N) for the first `coefficients` i.

    `norm` "ortho" divides y[0] by sqrt(2); "flat" does not (TensorFlow).
    """

    coefficients: int
    norm: str = "ortho"


@dataclass(frozen=True)
class Affine:
    """x * scale + offset, limited to low .. high: the last stage."""

    scale: float = 1.0
    offset: float = 0.0
    low: float = -np.inf
    high: float = np.inf


def applied(how: Affine | None, x: Floats) -> Floats:
    """What the last stage makes of values; the values themselves without one."""
    return x if how is None else np.clip(x * how.scale + how.offset, how.low, how.high)


@dataclass(frozen=True)
class Stages:
    """A front end as written in a pipeline file. `mel` needs `stft`, `dct` needs `mel`."""

    emphasis: Emphasis | None = None
    stft: Stft | None = None
    mel: Mel | None = None
    log: Log | None = None
    dct: Dct | None = None
    affine: Affine | None = None
    bins_first: bool = False

    def output_shape(self, block: int) -> tuple[int, ...]:
        """Shape of what comes out for a block of so many samples, before it is reshaped for the model."""
        if self.stft is None:
            return (block,)
        stft = self.stft.resolved(block)
        bins = self.dct.coefficients if self.dct else self.mel.bands if self.mel else stft.bins
        shape = (bins, stft.frames(block)) if self.bins_first else (stft.frames(block), bins)
        return (*shape, 2) if stft.value == "complex" else shape


def window(name: str, length: int, symmetric: bool = False) -> Floats:
    """A window of that name, periodic unless symmetric.

    "sqrt-hann" is the square root of a Hann window, "povey" (Kaldi) its power of 0.85, and "vorbis" (RNNoise) the sine
    of pi/2 times it.
    """
    phase = 2.0 * np.pi * np.arange(length) / max(length - 1 if symmetric else length, 1)
    shapes: dict[str, Callable[[], Floats]] = {
        "none": lambda: np.ones(length),
        "hann": lambda: 0.5 - 0.5 * np.cos(phase),
        "sqrt-hann": lambda: np.abs(np.sin(phase / 2.0)),
        "hamming": lambda: 0.54 - 0.46 * np.cos(phase),
        "blackman": lambda: 0.42 - 0.5 * np.cos(phase) + 0.08 * np.cos(2.0 * phase),
        "povey": lambda: (0.5 - 0.5 * np.cos(phase)) ** 0.85,
        "vorbis": lambda: np.sin(np.pi / 2.0 * np.sin(phase / 2.0) ** 2),
    }
    return shapes[name]()


def window_of(stft: Stft) -> Floats:
    """The window of a transform, as long as a frame of it."""
    size = stft.window_length or stft.length
    before = (stft.length - size) // 2
    return np.pad(window(stft.window, size, stft.symmetric), (before, stft.length - size - before))


#: Where the logarithmic part of Slaney's scale begins: Hz and mel; and a step of it, 6.4 in 27 mel.
_SLANEY_HZ, _SLANEY_MEL, _SLANEY_STEP = 1000.0, 15.0, np.log(6.4) / 27.0


def hz_to_mel(hz: Floats, scale: str) -> Floats:
    """Frequencies on a scale of pitch.

    "htk" is 1127 ln(1 + f / 700), "slaney" linear below 1 kHz, and "erb" how many equivalent rectangular bandwidths lie
    below f, 21.4 log10(1 + 0.00437 f) (Glasberg and Moore 1990).
    """
    hz = np.asarray(hz, np.float64)
    if scale == "htk":
        return np.asarray(1127.0 * np.log1p(hz / 700.0))
    if scale == "erb":
        return np.asarray(21.4 * np.log10(1.0 + 0.00437 * hz))
    above = _SLANEY_MEL + np.log(np.maximum(hz, _SLANEY_HZ) / _SLANEY_HZ) / _SLANEY_STEP
    return np.where(hz < _SLANEY_HZ, hz * (_SLANEY_MEL / _SLANEY_HZ), above)


def mel_to_hz(mel: Floats, scale: str) -> Floats:
    """The inverse of `hz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    if scale == "htk":
        return np.asarray(700.0 * np.expm1(mel / 1127.0))
    if scale == "erb":
        return np.asarray((10.0 ** (mel / 21.4) - 1.0) / 0.00437)
    above = _SLANEY_HZ * np.exp((mel - _SLANEY_MEL) * _SLANEY_STEP)
    return np.where(mel < _SLANEY_MEL, mel * (_SLANEY_HZ / _SLANEY_MEL), above)


def mel_filterbank(mel: Mel, bins: int, rate_hz: float) -> Floats:
    """Weights [bins, bands] that take a spectrum of `bins` bins from 0 to half of `rate_hz` to bands."""
    bin_hz = np.linspace(0.0, rate_hz / 2.0, bins)
    low, high = hz_to_mel(np.array([mel.low_hz, mel.high_hz]), mel.scale)
    edges = np.linspace(low, high, mel.bands + 2)
    edges_hz = mel_to_hz(edges, mel.scale)
    at, corner = {
        "mel": (hz_to_mel(bin_hz, mel.scale), edges),
        "hz": (bin_hz, edges_hz),
        "bins": (np.arange(bins, dtype=np.float64), np.round(edges_hz / (rate_hz / 2.0) * (bins - 1))),
    }[mel.sides]
    left, centre, right = corner[:-2], corner[1:-1], corner[2:]
    here, apart = at[:, None], 1e-9  # two corners rounded to one bin have a side of no length
    rising = np.where(here < centre, (here - left) / np.maximum(centre - left, apart), 1.0)
    falling = np.where(here > centre, (right - here) / np.maximum(right - centre, apart), 1.0)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    if mel.sides == "mel":
        weights[0] = 0.0
    if mel.norm == "slaney":
        weights *= 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return np.asarray(weights)


def dct_matrix(dct: Dct, size: int) -> Floats:
    """Weights [size, coefficients] of a DCT-II."""
    j, i = np.arange(size)[:, None], np.arange(dct.coefficients)[None, :]
    weights = np.sqrt(2.0 / size) * np.cos(np.pi * i * (j + 0.5) / size)
    if dct.norm == "ortho":
        weights[:, 0] /= np.sqrt(2.0)
    return np.asarray(weights)


def logarithm(x: Floats, log: Log) -> Floats:
    """The stage `Log`, element by element."""
    functions = {"e": np.log, "2": np.log2, "10": np.log10}
    y = np.asarray(functions[log.base](np.maximum(x, log.floor) + log.offset))
    return np.maximum(y, y.max() - log.range) if log.range else y


class FrontEnd:
    """A chain of stages made ready for blocks of one length: tables are computed once, a call is a few numpy calls."""

    def __init__(self, stages: Stages, block: int, rate_hz: float) -> None:
        self._stages = stages
        self._stft = stages.stft.resolved(block) if stages.stft else None
        self._window = window_of(self._stft) if self._stft else np.ones(block)
        self._mel = mel_filterbank(stages.mel, self._stft.bins, rate_hz) if stages.mel and self._stft else None
        self._dct = dct_matrix(stages.dct, stages.mel.bands) if stages.dct and stages.mel else None

    def __call__(self, block: Floats, before: float = 0.0) -> Array:
        """What the model reads, float32, of shape `stages.output_shape(block.size)`; `before` is the sample before."""
        y: Floats = np.asarray(block, np.float64)
        if self._stages.emphasis is not None:
            y = y - self._stages.emphasis.coefficient * np.append(before, y[:-1])
        if self._stft is not None:
            y = self._spectrum(y, self._stft)
        if self._mel is not None:
            y = y @ self._mel
        if self._stages.log is not None:
            y = logarithm(y, self._stages.log)
        if self._dct is not None:
            y = y @ self._dct
        y = applied(self._stages.affine, y)
        if self._stages.bins_first:
            y = y.swapaxes(0, 1)
        return np.ascontiguousarray(y, np.float32)

    def _spectrum(self, block: Floats, stft: Stft) -> Floats:
        count = stft.frames(block.size)
        if stft.centre != "none":
            block = np.pad(block, stft.margin, "reflect" if stft.centre == "reflect" else "constant")
        frames = np.lib.stride_tricks.sliding_window_view(block, stft.length)[:: stft.hop][:count]
        spectrum = np.fft.rfft(frames * self._window, stft.fft)
        if stft.value == "complex":
            return np.stack([spectrum.real, spectrum.imag], axis=-1)
        magnitude = np.abs(spectrum)
        return np.square(magnitude) if stft.value == "power" else magnitude
