"""Front ends as librosa, torch and torchaudio define them: windows, transforms, filter banks, decibels, MFCCs, Kaldi's
banks of a fixed signal; and bands of equivalent rectangular bandwidth as Glasberg and Moore, and GTCRN, have them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from mcu_quant.data.audio import (
    Affine,
    Dct,
    FrontEnd,
    Log,
    Mel,
    Stages,
    Stft,
    hz_to_mel,
    mel_filterbank,
    mel_to_hz,
    window,
)
from mcu_quant.ir import Array
from tests.golden import librosa_features as golden
from tests.golden import torch_features as torch

VALUES, TORCH = (json.loads(Path(made.__file__).with_suffix(".json").read_text()) for made in (golden, torch))
RATE = golden.RATE
BANDS = Mel(40, 20.0, 7600.0, scale="slaney", sides="hz", norm="slaney")


def near(found: Array, name: str, tolerance: float, values: dict[str, object] = VALUES) -> None:
    """All values, relative to the largest. librosa computes spectra in f32, where it is given f64 too."""
    wanted = np.array(values[name])
    assert found.shape == wanted.shape
    assert np.max(np.abs(found - wanted)) < tolerance * np.max(np.abs(wanted)), name


@pytest.mark.parametrize(("scale", "norm"), golden.BANKS)
def test_filter_banks(scale: str, norm: str) -> None:
    bank = mel_filterbank(Mel(40, 20.0, 7600.0, scale=scale, sides="hz", norm=norm), 257, RATE)
    near(bank.T[::5, 2:200:3], f"mel {scale} {norm}", 1e-7)


@pytest.mark.parametrize(("points", "hop", "mode"), golden.TRANSFORMS)
def test_centred_transforms(points: int, hop: int, mode: str) -> None:
    x = golden.signal()
    centre = "zeros" if mode == "constant" else mode
    stft = Stft(window="hann", length=points, hop=hop, fft=points, value="magnitude", centre=centre)
    made = FrontEnd(Stages(stft=stft), len(x), RATE)(x)
    near(made[:3, ::7], f"stft {points} {hop} {mode}", 1e-6)


@pytest.mark.parametrize(("name", "symmetric"), [("periodic", False), ("symmetric", True)])
def test_windows(name: str, symmetric: bool) -> None:
    near(window("hann", 50, symmetric), f"hann {name}", 1e-8)


def test_decibels_and_mfcc() -> None:
    x = golden.signal()
    stft = Stft(window="hann", length=512, hop=160, value="power", centre="reflect")
    log = Log(base="10", floor=1e-10)
    decibels = 10 * FrontEnd(Stages(stft=stft, mel=BANDS, log=log), len(x), RATE)(x)
    near(decibels[:4, ::3], "mel db", 1e-4)
    made = 10 * FrontEnd(Stages(stft=stft, mel=BANDS, log=log, dct=Dct(13)), len(x), RATE)(x)
    near(made[:4], "mfcc", 1e-4)


# --- torch and torchaudio --------------------------------------------------------------------------------------------

SIGNAL = torch.signal()
#: Of what is computed in float64 and given in float32.
ROUNDED = 1e-7


def front(**stages: object) -> Array:
    """The features of the whole signal."""
    return FrontEnd(Stages(**stages), len(SIGNAL), RATE)(SIGNAL)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "periodic"), torch.WINDOWS)
def test_windows_of_torch(name: str, periodic: bool) -> None:
    near(window(name, 50, not periodic), f"window {name} {periodic}", 1e-9, TORCH)


@pytest.mark.parametrize(("points", "length", "hop", "mode"), torch.TRANSFORMS)
def test_transforms_of_torch(points: int, length: int, hop: int, mode: str) -> None:
    """A window that is shorter than the transform lies in the middle, which is seen in the phases."""
    centre = {"constant": "zeros"}.get(mode, mode)
    stft = Stft(window="hann", length=points, window_length=length, hop=hop, value="complex", centre=centre)
    near(front(stft=stft)[:3, ::9], f"stft {points} {length} {hop} {mode}", ROUNDED, TORCH)


def spectrogram(power: float = 2.0) -> Stft:
    """What MelSpectrogram starts from."""
    value = "power" if power == 2.0 else "magnitude"
    return Stft(window="hann", length=512, window_length=400, hop=160, value=value, centre="reflect")


@pytest.mark.parametrize(("scale", "norm", "power"), torch.MELS)
def test_mel_spectrograms_of_torchaudio(scale: str, norm: str | None, power: float) -> None:
    mel = Mel(40, 20.0, 7600.0, scale=scale, sides="hz", norm=norm or "none")
    made = front(stft=spectrogram(power), mel=mel)
    near(made[:4, ::3], f"mel {scale} {norm} {power:.0f}", ROUNDED, TORCH)
    logs = front(stft=spectrogram(power), mel=mel, log=Log(offset=1e-6))
    near(logs[:4, ::3], f"log mel {scale} {norm} {power:.0f}", ROUNDED, TORCH)


@pytest.mark.parametrize(
    ("name", "log"), [("log", Log(offset=1e-6)), ("db", Log(base="10", floor=1e-10, range=8.0))], ids=["log", "db"]
)
def test_mfccs_of_torchaudio(name: str, log: Log) -> None:
    """Decibels no more than 80 below the largest; ten times the logarithm, before the cosine transform or behind it."""
    mel = Mel(40, 20.0, 7600.0, sides="hz")
    times = Affine(scale=10.0 if name == "db" else 1.0)
    near(front(stft=spectrogram(), mel=mel, log=log, dct=Dct(13), affine=times)[:4], f"mfcc {name}", ROUNDED, TORCH)


def test_banks_of_kaldi() -> None:
    """Its window, its bands, no less than the smallest step of f32; without its emphasis and mean of each frame."""
    stft = Stft(window="povey", symmetric=True, length=400, hop=160, fft=512, value="power")
    stages = Stages(stft=stft, mel=Mel(23, 20.0, RATE / 2.0), log=Log(floor=1.1920928955078125e-07))
    near(FrontEnd(stages, len(SIGNAL), RATE)(SIGNAL * 32768.0)[:4, ::2], "fbank", ROUNDED, TORCH)


# --- equivalent rectangular bandwidths ------------------------------------------------------------------------------


def test_a_step_of_the_erb_scale_is_one_bandwidth_wide() -> None:
    """ERB(f) = 24.7 (4.37 f / 1000 + 1) Hz (Glasberg and Moore 1990), whose inverse the scale integrates.

    Their 21.4 is rounded from 21.33.
    """
    hz = np.array([50.0, 200.0, 1000.0, 3000.0, 7000.0])
    slope = (hz_to_mel(hz + 0.01, "erb") - hz_to_mel(hz - 0.01, "erb")) / 0.02
    assert slope == pytest.approx(1.0 / (24.7 * (0.00437 * hz + 1.0)), rel=3.3e-3)
    assert mel_to_hz(hz_to_mel(hz, "erb"), "erb") == pytest.approx(hz)


def test_bands_of_gtcrn_are_those_of_its_weights(shared: Path) -> None:
    """Its 64 bands above bin 65 are triangles between whole bins; the first and the last are halves of one."""
    [weights] = [
        onnx.numpy_helper.to_array(t)
        for t in onnx.load(shared / "models" / "gtcrn_stream.onnx").graph.initializer
        if list(t.dims) == [192, 64]
    ]
    mel = Mel(62, 65 / 512 * RATE, RATE / 2.0, scale="erb", sides="bins")
    assert np.abs(mel_filterbank(mel, 257, RATE)[65:] - weights[:, 1:63]).max() < 1e-6
