"""A denoiser trained from scratch on a CPU, and exported so that a microcontroller can stream it.

    pip install torch numpy scipy mcu-quant
    python train.py --output denoiser                 # on made-up speech and noise: minutes, to see the way
    python train.py --output denoiser --speech DIR --noise DIR    # folders of WAV files at 16 kHz: for a product

Writes denoiser/denoiser.onnx, denoiser/denoiser.toml (how audio becomes its input and its output audio) and some noisy
clips with their clean versions, for calibration and for listening.

The model sees one frame at a time: magnitudes of the spectrum of 256 samples, 128 apart, and the state of its recurrent
layer. It gives a mask, a factor per bin. The state is an input and an output, which is what lets it run frame by frame.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile
from torch import Tensor, nn

from mcu_quant.data import synthetic

RATE_HZ = 16000
LENGTH, HOP = 256, 128
BINS = LENGTH // 2 + 1
UNITS = 64
FRAMES = 96
#: Loudness as the ear has it, more or less: magnitudes to this power.
COMPRESSION = 0.3

PIPELINE = f"""title = "magnitudes of {LENGTH} samples, {HOP} apart; a mask for them comes out"
rate_hz = {RATE_HZ}

[block]
length = {LENGTH}
hop = {HOP}

[inputs.magnitude]
shape = [1, 1, {BINS}]
stft = {{ window = "sqrt-hann", value = "magnitude" }}

[output.audio]
from = "mask"
as = "mask"
window = "sqrt-hann"
"""


class Denoiser(nn.Module):
    """Magnitudes [frames, batch, bins] and a state [1, batch, units] to masks and the next state."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Linear(BINS, UNITS)
        self.gru = nn.GRU(UNITS, UNITS)
        self.wide = nn.Linear(UNITS, BINS)

    def forward(self, magnitude: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.tanh(self.narrow(torch.log(magnitude + 1e-3)))
        found, state = self.gru(features, state)
        return torch.sigmoid(self.wide(found)), state


# --- data ------------------------------------------------------------------------------------------------------------


def recordings(folder: Path) -> list[np.ndarray]:
    """All WAV files of a folder, as floats of at most 1."""
    found = []
    for path in sorted(folder.rglob("*.wav")):
        rate, samples = wavfile.read(path)
        if rate != RATE_HZ or samples.ndim != 1:
            raise SystemExit(f"{path}: {rate} Hz, {samples.ndim} dimensions; one channel at {RATE_HZ} Hz is needed")
        found.append(samples.astype(np.float32) / (32768.0 if samples.dtype == np.int16 else 1.0))
    if not found:
        raise SystemExit(f"{folder} holds no WAV files")
    return found


def made_up_speech(count: int, seconds: float = 4.0) -> list[np.ndarray]:
    """Syllables and pauses of several voices: the rhythm and harmonics of speech, without words."""
    voices = [synthetic.Voice("", pitch_hz, -20.0, -120.0) for pitch_hz in (95.0, 120.0, 150.0, 190.0, 230.0)]
    return [
        synthetic.speech(voices[i % len(voices)], RATE_HZ, seconds, seed=i).astype(np.float32) for i in range(count)
    ]


def made_up_noise(count: int, rng: np.random.Generator, seconds: float = 4.0) -> list[np.ndarray]:
    """Noise with slopes from white to brown, some of it swelling, some with a hum."""
    made = []
    size = int(seconds * RATE_HZ)
    for _ in range(count):
        spectrum = np.fft.rfft(rng.standard_normal(size))
        spectrum /= np.maximum(np.arange(spectrum.size), 20) ** rng.uniform(0.0, 1.0)
        noise = np.fft.irfft(spectrum, size)
        t = np.arange(size) / RATE_HZ
        noise /= noise.std()
        noise *= 1 + 0.5 * rng.uniform() * np.sin(2 * np.pi * rng.uniform(0.2, 2.0) * t)
        noise += 0.5 * rng.integers(0, 2) * np.sin(2 * np.pi * rng.choice([50, 60, 120, 400]) * t)
        made.append((noise / noise.std()).astype(np.float32))
    return made


def mixed(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> tuple[np.ndarray, np.ndarray]:
    """Noisy and clean, of the same length, so that neither is clipped."""
    size = min(speech.size, noise.size)
    speech, noise = speech[:size], noise[:size]
    gain = np.sqrt(np.mean(speech**2) / (np.mean(noise**2) * 10 ** (snr_db / 10) + 1e-12))
    noisy = speech + gain * noise
    scale = 0.7 / max(1e-6, float(np.abs(noisy).max()))
    return noisy * scale, speech * scale


def batches(speech: list[np.ndarray], noise: list[np.ndarray], size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Complex spectra of noisy and clean stretches, [frames, batch, bins], without end."""
    rng = np.random.default_rng(seed)
    window = torch.hann_window(LENGTH) ** 0.5
    samples = (FRAMES - 1) * HOP + LENGTH
    while True:
        pairs = []
        for _ in range(size):
            voice, other = speech[rng.integers(len(speech))], noise[rng.integers(len(noise))]
            cuts = [x[(at := rng.integers(max(1, x.size - samples))) : at + samples] for x in (voice, other)]
            pairs.append(mixed(*(np.pad(c, (0, samples - c.size)) for c in cuts), rng.uniform(-5, 15)))
        stacked = torch.from_numpy(np.array(pairs, np.float32) * 10 ** rng.uniform(-1.0, 0.0)).float()
        frames = stacked.unfold(-1, LENGTH, HOP) * window  # [batch, 2, frames, length]
        spectra = torch.fft.rfft(frames).permute(1, 2, 0, 3)
        yield spectra[0], spectra[1]


# --- training and export ---------------------------------------------------------------------------------------------


def train(model: Denoiser, data: Iterator[tuple[Tensor, Tensor]], steps: int) -> float:
    """Least squares on compressed magnitudes; returns the loss of the last steps."""
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    recent, began = 0.0, time.monotonic()
    for step in range(1, steps + 1):
        noisy, clean = next(data)
        magnitude = noisy.abs()
        mask, _ = model(magnitude, torch.zeros(1, magnitude.shape[1], UNITS))
        loss = torch.mean(((mask * magnitude + 1e-4) ** COMPRESSION - (clean.abs() + 1e-4) ** COMPRESSION) ** 2)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        recent = loss.item() if step == 1 else 0.95 * recent + 0.05 * loss.item()
        if step % 50 == 0 or step == steps:
            print(f"step {step:5} of {steps}: loss {recent:.5f}, {time.monotonic() - began:.0f} s", flush=True)
    return recent


def export(model: Denoiser, path: Path) -> None:
    """One frame, batch 1, the state as input and output: `state` and `state_out` pair by their names."""
    frame = (torch.zeros(1, 1, BINS), torch.zeros(1, 1, UNITS))
    names = {"input_names": ["magnitude", "state"], "output_names": ["mask", "state_out"]}
    torch.onnx.export(model.eval(), frame, str(path), opset_version=17, dynamo=False, **names)


def save_clips(folder: Path, speech: list[np.ndarray], noise: list[np.ndarray], count: int) -> None:
    """Noisy clips and their clean versions, from which nothing was learnt."""
    for i in range(count):
        for name, samples in zip(("noisy", "clean"), mixed(speech[i], noise[i], [0.0, 5.0, 10.0][i % 3]), strict=True):
            (folder / name).mkdir(parents=True, exist_ok=True)
            wavfile.write(folder / name / f"{i}.wav", RATE_HZ, np.rint(samples * 32767).astype(np.int16))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small denoiser and export it for mcu-quant.")
    parser.add_argument("--output", type=Path, default=Path("denoiser"))
    parser.add_argument("--speech", type=Path, help="folder of WAV files; made up if not given")
    parser.add_argument("--noise", type=Path, help="folder of WAV files; made up if not given")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    rng = np.random.default_rng(asked.seed)
    speech = recordings(asked.speech) if asked.speech else made_up_speech(48)
    noise = recordings(asked.noise) if asked.noise else made_up_noise(48, rng)
    kept = [max(1, len(x) // 8) for x in (speech, noise)]
    model = Denoiser()
    train(model, batches(speech[kept[0] :], noise[kept[1] :], asked.batch, asked.seed), asked.steps)
    asked.output.mkdir(parents=True, exist_ok=True)
    export(model, asked.output / "denoiser.onnx")
    (asked.output / "denoiser.toml").write_text(PIPELINE)
    save_clips(asked.output, speech, noise, min(*kept, 6))
    print(f"{asked.output}/denoiser.onnx: now mcu-quant build {asked.output}/denoiser.onnx --audio ...")


if __name__ == "__main__":
    main()
