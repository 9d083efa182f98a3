"""Enhancement models at work on recordings: frame by frame, the state carried, audio in and audio out.

Every function takes sessions (`Step`) and gives samples: onnxruntime and programs of any plan run the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from mcu_quant.compare import Reference
from mcu_quant.emulator.program import ProgramSession

Samples = NDArray[np.float32]

#: Both loudness of one clip and of its quantised copy are changed by these factors: PESQ jumps by 0.5 at some of them.
GAINS = (0.98, 0.99, 1.0, 1.01, 1.02)

RATE_HZ = 16000


class Step:
    """One model, frame by frame: the outputs of a frame by name."""

    def __init__(self, session: Reference | ProgramSession, outputs: Sequence[str]) -> None:
        self._session, self._outputs = session, list(outputs)

    def reset(self) -> None:
        """Set the state to its initial value."""
        self._session.reset()

    def __call__(self, feeds: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        if isinstance(self._session, Reference):
            found = self._session.run(feeds)
            return [found[n] for n in self._outputs]
        return self._session.run(self._outputs, feeds)


Enhance = Callable[[Sequence[Step], Samples], Samples]


def dtln(steps: Sequence[Step], x: Samples) -> Samples:
    """DTLN, both stages: a mask on the spectrum of 512 samples every 128, then a filter on the block."""
    first, second = steps
    first.reset()
    second.reset()
    block, out = np.zeros(512, np.float32), np.zeros(len(x) + 512, np.float32)
    for start in range(0, len(x) - 127, 128):
        block = np.concatenate([block[128:], x[start : start + 128]])
        spectrum = np.fft.rfft(block)
        magnitude = np.abs(spectrum).astype(np.float32).reshape(1, 1, 257)
        (mask,) = first({"input_2": magnitude})
        masked = np.fft.irfft(spectrum * np.ravel(mask)).astype(np.float32)
        (cleaned,) = second({"input_4": masked.reshape(1, 1, 512)})
        out[start : start + 512] += np.ravel(cleaned)
    return out[384 : 384 + len(x)] if len(out) >= len(x) + 384 else out[: len(x)]


def dtln_masks(first: Step, x: Samples, frames: int) -> Samples:
    """What DTLN's first stage makes of the beginning of a recording, on its own state: [frames * 257]."""
    first.reset()
    padded = np.concatenate([np.zeros(384, np.float32), x])
    count = min(frames, len(x) // 128)
    spectra = (np.abs(np.fft.rfft(padded[k * 128 : k * 128 + 512])).astype(np.float32) for k in range(count))
    return np.concatenate([np.ravel(first({"input_2": s.reshape(1, 1, 257)})[0]) for s in spectra])


def gtcrn(steps: Sequence[Step], x: Samples) -> Samples:
    """GTCRN: spectrum to spectrum, frames of 512 every 256 with the root of a Hann window on both sides."""
    (model,) = steps
    model.reset()
    window = np.sqrt(np.hanning(513)[:512]).astype(np.float32)
    padded = np.concatenate([np.zeros(256, np.float32), x, np.zeros(512, np.float32)])
    out = np.zeros(len(padded) + 512, np.float32)
    for start in range(0, len(padded) - 511, 256):
        spectrum = np.fft.rfft(padded[start : start + 512] * window)
        mix = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32).reshape(1, 257, 1, 2)
        (enhanced,) = model({"mix": mix})
        pairs = np.asarray(enhanced).reshape(257, 2)
        out[start : start + 512] += np.fft.irfft(pairs[:, 0] + 1j * pairs[:, 1]).astype(np.float32) * window
    return out[256 : 256 + len(x)]


Detect = Callable[[Sequence[Step], Samples], Samples]


def silero(steps: Sequence[Step], x: Samples) -> Samples:
    """Silero VAD: the probability of every whole block of 512 samples, behind the 64 before it."""
    (model,) = steps
    model.reset()
    padded = np.concatenate([np.zeros(64, np.float32), x])
    blocks = (padded[start : start + 576].reshape(1, 576) for start in range(0, len(x) - 511, 512))
    return np.array([np.ravel(model({"input": block})[0])[0] for block in blocks], np.float32)


def read(path: Path) -> Samples:
    """A mono recording in [-1, 1)."""
    rate, samples = wavfile.read(path)
    assert rate == RATE_HZ, f"{path} has {rate} Hz"
    return (samples / 32768.0).astype(np.float32)


def si_sdr(clean: Samples, test: Samples) -> float:
    """Scale-invariant signal-to-distortion ratio in dB."""
    a, b = np.asarray(clean, float), np.asarray(test, float)
    target = (a @ b) / (a @ a) * a
    return float(10.0 * np.log10((target @ target) / max(1e-20, float((b - target) @ (b - target)))))


def pesq(clean: Samples, test: Samples) -> float:
    """PESQ, wide band."""
    from pesq import pesq as measure

    return float(measure(RATE_HZ, clean, test, "wb"))


def snr(reference: Samples, test: Samples) -> float:
    """Signal-to-noise ratio of a test signal against a reference, in dB."""
    error = np.asarray(test, float) - np.asarray(reference, float)
    signal = np.asarray(reference, float)
    return float(10.0 * np.log10(max(1e-30, signal @ signal) / max(1e-30, error @ error)))
