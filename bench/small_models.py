"""Small models made on the spot, for benchmarks that must not depend on files that are not in the project.

Their shapes are those of the field (a mask network, a voice activity detector), their weights are random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]


class Builder:
    """Collects nodes and weights of one model."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def weight(self, name: str, *shape: int) -> str:
        fan_in = shape[-1] if len(shape) > 1 else 16
        value = self._rng.normal(0.0, fan_in**-0.5, shape).astype(np.float32)
        self._weights.append(numpy_helper.from_array(value, name))
        return name

    def ints(self, name: str, *values: int) -> str:
        self._weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def node(self, kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        made = list(outputs) or [f"{kind.lower()}_{len(self._nodes)}"]
        self._nodes.append(helper.make_node(kind, inputs, made, name=f"{made[0]}_{kind}", **attributes))
        return made[0]

    def save(self, path: Path, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, tuple[int, ...]]) -> Path:
        graph = helper.make_graph(
            self._nodes,
            self.name,
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def mask_lstm(path: Path, bins: int = 129, units: int = 64) -> Path:
    """Spectrum to mask: LSTM with its state as cache inputs and outputs, fully connected, sigmoid."""
    b = Builder("mask_lstm", 1)
    w, r = b.weight("W", 1, 4 * units, bins), b.weight("R", 1, 4 * units, units)
    bias = b.weight("B", 1, 8 * units)
    b.node("LSTM", ["spectrum", w, r, bias, "", "h_in", "c_in"], "Y", "h_out", "c_out", hidden_size=units)
    flat = b.node("Reshape", ["Y", b.ints("flat", 1, units)])
    dense = b.node("Gemm", [flat, b.weight("D", bins, units), b.weight("Db", bins)], transB=1)
    b.node("Sigmoid", [dense], "mask")
    state = (1, 1, units)
    return b.save(
        path,
        {"spectrum": (1, 1, bins), "h_in": state, "c_in": state},
        {"mask": (1, bins), "h_out": state, "c_out": state},
    )


def conv_vad(path: Path, bins: int = 40, frames: int = 8, width: int = 32) -> Path:
    """Features to a probability: convolutions, depthwise convolution, mean over time, fully connected."""
    b = Builder("conv_vad", 2)
    x = b.node("Conv", ["features", b.weight("C1", width, bins, 3), b.weight("C1b", width)], pads=[1, 1])
    x = b.node("Relu", [x])
    x = b.node("Conv", [x, b.weight("C2", width, 1, 3), b.weight("C2b", width)], pads=[1, 1], group=width)
    x = b.node("Relu", [x])
    x = b.node("Conv", [x, b.weight("C3", width, width, 1), b.weight("C3b", width)])
    x = b.node("Tanh", [x])
    x = b.node("ReduceMean", [x], axes=[2], keepdims=0)
    x = b.node("Gemm", [x, b.weight("D", 1, width), b.weight("Db", 1)], transB=1)
    b.node("Sigmoid", [x], "speech")
    return b.save(path, {"features": (1, bins, frames)}, {"speech": (1, 1)})


MODELS: Mapping[str, Callable[[Path], Path]] = {"mask_lstm": mask_lstm, "conv_vad": conv_vad}
