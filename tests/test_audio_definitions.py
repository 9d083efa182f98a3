"""Front ends as librosa defines them: filter banks, centred transforms, decibels and MFCCs of a fixed signal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mcu_quant.data.audio import Dct, FrontEnd, Log, Mel, Stages, Stft, mel_filterbank, window
from mcu_quant.ir import Array
from tests.golden import librosa_features as golden

VALUES = json.loads(Path(golden.__file__).with_suffix(".json").read_text())
BANDS = Mel(40, 20.0, 7600.0, scale="slaney", sides="hz", norm="slaney")


def near(found: Array, name: str, tolerance: float) -> None:
    """All values, relative to the largest. librosa computes spectra in f32, where it is given f64 too."""
    wanted = np.array(VALUES[name])
    assert found.shape == wanted.shape
    assert np.max(np.abs(found - wanted)) < tolerance * np.max(np.abs(wanted)), name


@pytest.mark.parametrize(("scale", "norm"), golden.BANKS)
def test_filter_banks(scale: str, norm: str) -> None:
    bank = mel_filterbank(Mel(40, 20.0, 7600.0, scale=scale, sides="hz", norm=norm), 257, golden.RATE)
    near(bank.T[::5, 2:200:3], f"mel {scale} {norm}", 1e-7)


@pytest.mark.parametrize(("points", "hop", "mode"), golden.TRANSFORMS)
def test_centred_transforms(points: int, hop: int, mode: str) -> None:
    x = golden.signal()
    centre = "zeros" if mode == "constant" else mode
    stft = Stft(window="hann", length=points, hop=hop, fft=points, value="magnitude", centre=centre)
    made = FrontEnd(Stages(stft=stft), len(x), golden.RATE)(x)
    near(made[:3, ::7], f"stft {points} {hop} {mode}", 1e-6)


@pytest.mark.parametrize(("name", "symmetric"), [("periodic", False), ("symmetric", True)])
def test_windows(name: str, symmetric: bool) -> None:
    near(window("hann", 50, symmetric), f"hann {name}", 1e-8)


def test_decibels_and_mfcc() -> None:
    x = golden.signal()
    stft = Stft(window="hann", length=512, hop=160, value="power", centre="reflect")
    log = Log(base="10", floor=1e-10)
    decibels = 10 * FrontEnd(Stages(stft=stft, mel=BANDS, log=log), len(x), golden.RATE)(x)
    near(decibels[:4, ::3], "mel db", 1e-4)
    made = 10 * FrontEnd(Stages(stft=stft, mel=BANDS, log=log, dct=Dct(13)), len(x), golden.RATE)(x)
    near(made[:4], "mfcc", 1e-4)
