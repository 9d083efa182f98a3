"""Speech-like signals for calibration when there is no recording: vowels, fricatives, pauses, levels and noise.

A voiced sound is a pulse train through three formant resonators, a fricative is high-passed noise; both follow in
syllables with pauses. That exercises the spectral peaks, onsets and silences that set a model's ranges, but no real
room, microphone or noise does: see docs/data.md for how far the ranges can be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Floats = NDArray[np.float64]

#: First three formants in Hz of five vowels of an adult voice.
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
#: Bandwidths in Hz of the three formants.
BANDWIDTHS = (80.0, 110.0, 160.0)


@dataclass(frozen=True)
class Voice:
    """A clip to make: pitch in Hz, level of the speech and of the noise in dB below full scale (RMS)."""

    name: str
    pitch_hz: float
    speech_db: float
    noise_db: float


#: What calibration without data is done on: levels 40 dB apart, signal-to-noise ratios from 40 dB down to 0 dB.
VOICES = (
    Voice("low voice, clean", 105.0, -22.0, -62.0),
    Voice("high voice, noisy", 215.0, -24.0, -34.0),
    Voice("quiet voice in noise", 130.0, -44.0, -44.0),
    Voice("loud voice", 180.0, -13.0, -50.0),
)

SECONDS = 6.0


def speech(voice: Voice, rate_hz: int, seconds: float, seed: int) -> Floats:
    """Samples in [-1, 1] at `rate_hz`; the same arguments give the same samples."""
    random = np.random.default_rng(seed)
    total = int(seconds * rate_hz)
    pieces: list[Floats] = []
    made = 0
    while made < total:
        piece = _syllable(voice.pitch_hz, rate_hz, random)
        silence = random.uniform(0.3, 0.9) if random.random() < 0.2 else random.uniform(0.0, 0.08)
        pause = np.zeros(int(rate_hz * silence))
        pieces += [piece, pause]
        made += piece.size + pause.size
    clean = np.concatenate(pieces)[:total]
    clean *= _amplitude(voice.speech_db) / np.sqrt(np.mean(np.square(clean)))
    return np.clip(clean + _noise(total, voice.noise_db, random), -1.0, 1.0)


def _amplitude(level_db: float) -> float:
    return float(10.0 ** (level_db / 20.0))


def _noise(size: int, level_db: float, random: np.random.Generator) -> Floats:
    """Noise that falls by 3 dB per octave or so, as rooms and streets do."""
    white = random.standard_normal(size)
    coloured = signal.lfilter([0.05, 0.0], [1.0, -0.95], white) + 0.1 * white
    return np.asarray(coloured * _amplitude(level_db) / np.sqrt(np.mean(np.square(coloured))))


def _syllable(pitch_hz: float, rate_hz: int, random: np.random.Generator) -> Floats:
    size = int(rate_hz * random.uniform(0.09, 0.26))
    voiced = _vowel(size, pitch_hz * random.uniform(0.85, 1.2), rate_hz, random) * random.uniform(0.3, 1.0)
    if random.random() < 0.45:
        return np.concatenate([_fricative(int(rate_hz * random.uniform(0.04, 0.12)), rate_hz, random), voiced])
    return voiced


def _vowel(size: int, pitch_hz: float, rate_hz: int, random: np.random.Generator) -> Floats:
    contour = pitch_hz * np.linspace(1.0, random.uniform(0.8, 1.15), size)
    phase = np.cumsum(contour / rate_hz)
    sound = np.diff(np.floor(phase), prepend=0.0)  # one pulse per period
    sound = np.asarray(signal.lfilter([1.0], [1.0, -0.97], sound))  # the glottis: -6 dB per octave
    tract = random.uniform(0.9, 1.15)  # length of the vocal tract
    for formant, bandwidth in zip(VOWELS[random.integers(len(VOWELS))], BANDWIDTHS, strict=True):
        if formant * tract < 0.45 * rate_hz:
            sound = _resonate(sound, formant * tract, bandwidth, rate_hz)
    return _faded(sound / (np.max(np.abs(sound)) + 1e-9), rate_hz)


def _resonate(sound: Floats, hz: float, bandwidth_hz: float, rate_hz: int) -> Floats:
    radius = np.exp(-np.pi * bandwidth_hz / rate_hz)
    a = [1.0, -2.0 * radius * np.cos(2.0 * np.pi * hz / rate_hz), radius * radius]
    return np.asarray(signal.lfilter([sum(a)], a, sound))


def _fricative(size: int, rate_hz: int, random: np.random.Generator) -> Floats:
    corner_hz = random.uniform(0.15, 0.3) * rate_hz
    sections = signal.butter(2, corner_hz, "highpass", fs=rate_hz, output="sos")
    return _faded(0.15 * np.asarray(signal.sosfilt(sections, random.standard_normal(size))), rate_hz)


def _faded(sound: Floats, rate_hz: int) -> Floats:
    """With 12 ms of onset and decay."""
    ramp = np.minimum(1.0, np.arange(sound.size) / (0.012 * rate_hz))
    return sound * ramp * ramp[::-1]
