"""Recurrent layers with sequence lengths that only data knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from mcu_quant.frontend import load
from mcu_quant.ir import Graph
from mcu_quant.passes import optimise
from tests import helpers
from tests.onnx_models import assert_same, model, node, random, save
from tests.test_loops import ran

STEPS, BATCH, INPUTS, UNITS = 12, 3, 5, 6
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
LEAST_DB = {"f32": 110.0, "f16": 55.0, "s16": 35.0, "s8": 30.0}


def layer(kind: str, direction: str = "forward", peepholes: bool = False, **attributes: Any) -> onnx.ModelProto:
    """One layer with initial states; `layout` 1 has batches first."""
    rng = np.random.default_rng(9)
    n = 2 if direction == "bidirectional" else 1
    first = attributes.get("layout", 0)
    state = [BATCH, n, UNITS] if first else [n, BATCH, UNITS]
    constants = {
        "W": random(rng, n, GATES[kind] * UNITS, INPUTS),
        "R": random(rng, n, GATES[kind] * UNITS, UNITS),
        "B": random(rng, n, 2 * GATES[kind] * UNITS, scale=0.2),
    }
    inputs = {"x": [BATCH, STEPS, INPUTS] if first else [STEPS, BATCH, INPUTS], "lens": [BATCH], "h0": state}
    outputs = {"y": [BATCH, STEPS, n, UNITS] if first else [STEPS, n, BATCH, UNITS], "yh": state}
    if kind == "LSTM":
        inputs["c0"] = outputs["yc"] = state
    if peepholes:
        constants["P"] = random(rng, n, 3 * UNITS)
    words = " ".join(["x W R B lens h0", *(["c0"] if kind == "LSTM" else []), *(["P"] if peepholes else [])])
    made = node(kind, words, " ".join(outputs), name="layer", hidden_size=UNITS, direction=direction, **attributes)
    return model([made], inputs, outputs, constants, types={"lens": TensorProto.INT32}, opset=14)


def frames_of(graph: Graph, count: int = 4) -> list[Any]:
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(count):
        feeds = {n: random(rng, *graph.shape(n)).clip(-0.95, 0.95) for n in graph.inputs if n != "lens"}
        frames.append({**feeds, "lens": rng.integers(1, STEPS + 1, BATCH).astype(np.int32)})
    return frames


def imported(made: onnx.ModelProto, folder: Path) -> tuple[Graph, list[Any]]:
    path = save(made, folder)
    graph = optimise(load(path).graph)
    frames = frames_of(graph)
    assert_same(path, graph, frames)
    return graph, frames


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", GATES)
def test_every_layer_in_every_format(kind: str, direction: str, tmp_path: Path) -> None:
    graph, frames = imported(layer(kind, direction), tmp_path)
    assert len(graph.loops) == (2 if direction == "bidirectional" else 1)
    for fmt, least in LEAST_DB.items():
        program, snr = ran(graph, fmt, frames)
        assert snr >= least, fmt
        assert {c.kernel for c in program.calls} & {f"mq_{kind.lower()}_{s}" for s in (fmt, f"s16_{fmt}")}


def test_functions_of_both_directions(tmp_path: Path) -> None:
    made = layer(
        "GRU",
        "bidirectional",
        activations=["HardSigmoid", "ScaledTanh", "Sigmoid", "Tanh"],
        activation_alpha=[0.3, 0.8],
        activation_beta=[0.4, 1.1],
        clip=0.9,
        linear_before_reset=1,
    )
    imported(made, tmp_path)


def test_peepholes(tmp_path: Path) -> None:
    graph, frames = imported(layer("LSTM", "reverse", peepholes=True), tmp_path)
    assert ran(graph, "f32", frames)[1] >= 110.0


def test_batches_first(tmp_path: Path) -> None:
    """onnxruntime does not run `layout` 1: the same layer with sequences first says what is right."""
    first = optimise(load(save(layer("LSTM", "bidirectional", layout=1), tmp_path)).graph)
    graph, frames = imported(layer("LSTM", "bidirectional"), tmp_path)
    turned = [{n: a if n == "lens" else np.swapaxes(a, 0, 1) for n, a in f.items()} for f in frames]
    wanted, made = helpers.interpreted(graph, frames), helpers.interpreted(first, turned)
    assert np.allclose(made["y"], np.transpose(wanted["y"], (0, 3, 1, 2, 4)), atol=1e-6)
    assert np.allclose(made["yh"], np.swapaxes(wanted["yh"], 1, 2), atol=1e-6)


def test_a_length_beyond_what_there_is(tmp_path: Path) -> None:
    """The C has no way to refuse it: longer is all steps, nothing or less leaves the state as it was."""
    graph, frames = imported(layer("GRU"), tmp_path)
    odd = [{**frames[0], "lens": np.array([STEPS + 7, 0, -3], np.int32)}]
    program, snr = ran(graph, "f32", odd)
    assert snr >= 110.0 and program
    y, yh = (helpers.interpreted(graph, odd)[n][0] for n in ("y", "yh"))
    assert np.array_equal(yh[0, 1:], odd[0]["h0"][0, 1:]) and not y[:, 0, 1:].any() and y[-1, 0, 0].any()
