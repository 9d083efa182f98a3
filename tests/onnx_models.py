"""Small ONNX models for tests, written as lines of nodes, and the check that a graph does what the file does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from mcu_quant.interpret import Stream
from mcu_quant.ir import Graph
from mcu_quant.metrics import snr_db

Shape = Sequence[int | str | None]


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node, its inputs and outputs as words; `-` is an absent one. `name` and `domain` pass through."""
    words = [["" if w == "-" else w for w in text.split()] for text in (inputs, outputs)]
    return helper.make_node(kind, words[0], words[1], **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = 18,
    types: Mapping[str, int] | None = None,
    real: int = TensorProto.FLOAT,
    **more: Any,
) -> onnx.ModelProto:
    """A model; constants that are not arrays become int64."""
    types = types or {}
    arrays = {n: a if isinstance(a, np.ndarray) else np.array(a, np.int64) for n, a in (constants or {}).items()}
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(n, types.get(n, real), s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, types.get(n, real), s) for n, s in outputs.items()],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9, **more)
    return made


def save(made: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    onnx.save(made, str(path))
    return path


def random(rng: np.random.Generator, *shape: int, scale: float = 0.5) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape) * scale, np.float32)


def stream_reference(
    path: Path, graph: Graph, frames: Sequence[Mapping[str, np.ndarray]], fixed: Mapping[str, np.ndarray] | None = None
) -> list[dict[str, np.ndarray]]:
    """Run the file in onnxruntime frame by frame, its states carried as the graph pairs them."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    states = {s.input: np.asarray(s.initial) for s in graph.states}
    names = [o.name for o in session.get_outputs()]
    results = []
    for frame in frames:
        values = dict(zip(names, session.run(names, {**frame, **states, **(fixed or {})}), strict=True))
        states = {s.input: values[s.output] for s in graph.states}
        results.append(values)
    return results


def assert_same(
    path: Path,
    graph: Graph,
    frames: Sequence[Mapping[str, np.ndarray]],
    *,
    at_least_db: float = 110.0,
    fixed: Mapping[str, np.ndarray] | None = None,
) -> None:
    """The graph gives what onnxruntime gives for the file, on every output and state, over all frames together."""
    stream = Stream(graph)
    ours = [stream.run(frame) for frame in frames]
    theirs = stream_reference(path, graph, frames, fixed)
    for name in (*graph.outputs, *(s.output for s in graph.states)):
        reference = np.concatenate([np.ravel(t[name]) for t in theirs])
        result = np.concatenate([np.ravel(o[name]) for o in ours])
        assert ours[0][name].shape == theirs[0][name].shape
        assert np.abs(reference).max() > 0, f"{name} is silent: the comparison would say nothing"
        found = snr_db(reference, result)
        assert found >= at_least_db, f"{name}: {found:.1f} dB"
