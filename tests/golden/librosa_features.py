"""What librosa computes of a fixed signal: writes librosa_features.json beside this file.

    pip install librosa; python tests/golden/librosa_features.py

librosa brings numba and scikit-learn, too much for every run of the tests: the values are kept, with its version.
tests/test_audio_definitions.py compares our definitions with them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16000
MEL = {"sr": RATE, "n_fft": 512, "n_mels": 40, "fmin": 20.0, "fmax": 7600.0}
#: Scale, norm: those of librosa's filter banks.
BANKS = (("slaney", "slaney"), ("slaney", "none"), ("htk", "slaney"), ("htk", "none"))
#: Points and hop of centred transforms, and how the signal goes on beyond its ends.
TRANSFORMS = ((400, 160, "reflect"), (512, 128, "reflect"), (512, 256, "constant"))


def signal() -> Any:
    """A rising tone and its third, 0.1 s."""
    t = np.arange(RATE // 10) / RATE
    return 0.4 * np.sin(2 * np.pi * (200 * t + 9000 * t**2)) + 0.1 * np.cos(2 * np.pi * 3 * (200 * t + 9000 * t**2))


def main() -> None:
    import librosa

    x = signal()
    found: dict[str, Any] = {"librosa": librosa.__version__, "made_by": "python tests/golden/librosa_features.py"}
    for scale, norm in BANKS:
        bank = librosa.filters.mel(**MEL, htk=scale == "htk", norm=None if norm == "none" else norm, dtype=np.float64)
        found[f"mel {scale} {norm}"] = bank[::5, 2:200:3]
    for points, hop, mode in TRANSFORMS:
        spectra = np.abs(librosa.stft(x, n_fft=points, hop_length=hop, window="hann", center=True, pad_mode=mode))
        found[f"stft {points} {hop} {mode}"] = spectra.T[:3, ::7]
    for name, symmetric in (("periodic", False), ("symmetric", True)):
        found[f"hann {name}"] = librosa.filters.get_window("hann", 50, fftbins=not symmetric)
    power = librosa.feature.melspectrogram(y=x, **MEL, hop_length=160, pad_mode="reflect")
    db = librosa.power_to_db(power, amin=1e-10, top_db=None)
    found["mel db"] = db.T[:4, ::3]
    found["mfcc"] = librosa.feature.mfcc(S=db, n_mfcc=13).T[:4]
    lists = {
        k: np.round(np.asarray(v, np.float64), 9).tolist() if not isinstance(v, str) else v for k, v in found.items()
    }
    text = ",\n ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in lists.items())
    Path(__file__).with_suffix(".json").write_text("{\n " + text + "\n}\n")


if __name__ == "__main__":
    main()
