"""A small streaming model with everything the tool is for: audio in, an LSTM with state, a dense mask out."""

from pathlib import Path

import numpy as np
import onnx
from scipy.io import wavfile

from tests.onnx_models import model, node, random, save

UNITS, BLOCK, RATE_HZ = 6, 16, 16000

PIPELINE = f"""\
rate_hz = {RATE_HZ}
[block]
length = {BLOCK}
hop = {BLOCK}
[inputs.x]
shape = [1, 1, {BLOCK}]
"""


def proto() -> onnx.ModelProto:
    """x [1, 1, 16] -> LSTM(6) -> Gemm -> Sigmoid -> y [1, 16]; states h and c."""
    rng = np.random.default_rng(5)
    nodes = [
        node("LSTM", "x w r b - h_in c_in", "hs h_out c_out", hidden_size=UNITS, name="lstm"),
        node("Reshape", "h_out flat", "v", name="view"),
        node("Gemm", "v dw db", "d", name="dense", transB=1),
        node("Sigmoid", "d", "y", name="mask"),
    ]
    constants = {
        "w": random(rng, 1, 4 * UNITS, BLOCK),
        "r": random(rng, 1, 4 * UNITS, UNITS),
        "b": random(rng, 1, 8 * UNITS, scale=0.2),
        "dw": random(rng, BLOCK, UNITS, scale=0.8),
        "db": random(rng, BLOCK),
        "flat": [1, UNITS],
    }
    inputs = {"x": [1, 1, BLOCK], "h_in": [1, 1, UNITS], "c_in": [1, 1, UNITS]}
    outputs = {"y": [1, BLOCK], "h_out": [1, 1, UNITS], "c_out": [1, 1, UNITS]}
    return model(nodes, inputs, outputs, constants)


def write(folder: Path) -> Path:
    """The model, and beside it the pipeline that it is found with."""
    (folder / "tiny.toml").write_text(PIPELINE)
    return save(proto(), folder, "tiny.onnx")


def speech(folder: Path, clips: int = 2, seconds: float = 0.2, rate_hz: int = RATE_HZ) -> Path:
    """A folder of wav files."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(9)
    for i in range(clips):
        samples = rng.standard_normal(int(seconds * rate_hz)).clip(-3, 3) / 3
        wavfile.write(folder / f"clip{i}.wav", rate_hz, (samples * 32767).astype(np.int16))
    return folder
