"""What torch and torchaudio compute of a fixed signal: writes torch_features.json beside this file.

    pip install torch torchaudio; python tests/golden/torch_features.py

Both are too much for every run of the tests: the values are kept, with their versions. tests/test_audio_definitions.py
compares our definitions with them; everything is computed in float64.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16000
#: Window, periodic or not, as torch names them.
WINDOWS = (("hann", True), ("hann", False), ("hamming", True), ("hamming", False), ("blackman", True))
#: Points, samples under the window, hop, and how the signal goes on beyond its ends (centred), or "none".
TRANSFORMS = (
    (512, 512, 256, "reflect"),
    (512, 400, 160, "constant"),
    (512, 400, 160, "none"),
    (400, 320, 200, "reflect"),
    (200, 200, 80, "none"),
)
#: Scale, norm, power.
MELS = (("htk", None, 2.0), ("htk", None, 1.0), ("slaney", "slaney", 2.0), ("htk", "slaney", 1.0))
BANDS = {"n_mels": 40, "f_min": 20.0, "f_max": 7600.0}
FBANK = {"num_mel_bins": 23, "low_freq": 20.0, "high_freq": 0.0, "dither": 0.0, "window_type": "povey"}


def signal() -> Any:
    """A rising tone and its third, 0.1 s."""
    t = np.arange(RATE // 10) / RATE
    return 0.4 * np.sin(2 * np.pi * (200 * t + 9000 * t**2)) + 0.1 * np.cos(2 * np.pi * 3 * (200 * t + 9000 * t**2))


def main() -> None:
    import torch
    import torchaudio

    torch.set_default_dtype(torch.float64)
    x = torch.from_numpy(signal())
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "torchaudio": torchaudio.__version__,
        "made_by": "python tests/golden/torch_features.py",
    }
    for name, periodic in WINDOWS:
        found[f"window {name} {periodic}"] = getattr(torch, f"{name}_window")(50, periodic=periodic)
    for points, length, hop, mode in TRANSFORMS:
        keys = {"n_fft": points, "win_length": length, "hop_length": hop, "window": torch.hann_window(length)}
        centre = {"center": False} if mode == "none" else {"center": True, "pad_mode": mode}
        spectra = torch.stft(x, **keys, **centre, return_complex=True)
        found[f"stft {points} {length} {hop} {mode}"] = torch.view_as_real(spectra.transpose(0, 1))[:3, ::9]
    common = {"sample_rate": RATE, "n_fft": 512, "win_length": 400, "hop_length": 160}
    for scale, norm, power in MELS:
        made = torchaudio.transforms.MelSpectrogram(**common, **BANDS, mel_scale=scale, norm=norm, power=power)
        mel = made(x).transpose(0, 1)
        found[f"mel {scale} {norm} {power:.0f}"] = mel[:4, ::3]
        found[f"log mel {scale} {norm} {power:.0f}"] = torch.log(mel + 1e-6)[:4, ::3]
    keys = {"n_fft": 512, "win_length": 400, "hop_length": 160, **BANDS}
    for log_mels in (False, True):
        mfcc = torchaudio.transforms.MFCC(RATE, n_mfcc=13, log_mels=log_mels, melkwargs=keys)
        found[f"mfcc {'log' if log_mels else 'db'}"] = mfcc(x).transpose(0, 1)[:4]
    plain = {"preemphasis_coefficient": 0.0, "remove_dc_offset": False, "sample_frequency": RATE}
    found["fbank"] = torchaudio.compliance.kaldi.fbank(x[None] * 32768.0, **FBANK, **plain)[:4, ::2]
    lists = {k: v if isinstance(v, str) else np.round(np.asarray(v), 10).tolist() for k, v in found.items()}
    text = ",\n ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in lists.items())
    Path(__file__).with_suffix(".json").write_text("{\n " + text + "\n}\n")


if __name__ == "__main__":
    main()
