"""Attention block by block: the same numbers in every format, without the whole matrix of scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mcu_quant import memory, passes
from mcu_quant.frontend import load
from mcu_quant.ir import Graph
from mcu_quant.passes import attention, optimise
from tests import helpers
from tests.onnx_models import assert_same, model, node, random, save
from tests.test_loops import ran


def attend(heads: int, rows: int, mask: str = "", width: int = 8, **more: Any) -> onnx.ModelProto:
    """y = tanh(softmax(q k / 3 + mask) v); the mask is constant and causal, of the keys, or of every score."""
    constants = {"scale": np.array(1 / 3, np.float32)}
    inputs = {"q": [1, heads, rows, width], "k": [1, heads, width, rows], "v": [1, heads, rows, width]}
    nodes = [node("MatMul", "q k", "scores"), node("Mul", "scores scale", "scaled")]
    last = "scaled"
    if mask:
        last = "masked"
        nodes.append(node("Add", "scaled mask", "masked"))
    if mask == "causal":
        constants["mask"] = np.where(np.tril(np.ones((1, 1, rows, rows))) > 0, 0, -np.inf).astype(np.float32)
    elif mask:
        inputs["mask"] = {"keys": [1, 1, 1, rows], "scores": [1, heads, rows, rows]}[mask]
    nodes += [
        node("Softmax", last, "p", axis=-1, name="softmax"),
        node("MatMul", "p v", "y0"),
        node("Tanh", "y0", "y"),
        *more.get("nodes", ()),
    ]
    outputs = {"y": [1, heads, rows, width], **more.get("outputs", {})}
    return model(nodes, inputs, outputs, constants)


def both(made: onnx.ModelProto, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Graph, Graph, list[Any]]:
    """The graph with attention in blocks, the graph without, and frames."""
    path = save(made, folder)
    raw = load(path).graph
    blocks = optimise(raw)
    with patch.context() as context:
        context.setattr(passes, "split_attention", lambda graph: graph)
        whole = optimise(raw)
    rng = np.random.default_rng(4)
    frames = [{n: random(rng, *blocks.shape(n), scale=1.0) for n in blocks.inputs} for _ in range(1)]
    assert_same(path, blocks, frames)
    return blocks, whole, frames


CASES = [(1, 66, ""), (3, 48, "causal"), (1, 65, "causal"), (2, 48, "keys"), (2, 48, "scores")]


@pytest.mark.parametrize(("heads", "rows", "mask"), CASES)
def test_every_number_is_the_one_it_was(
    heads: int, rows: int, mask: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, whole, frames = both(attend(heads, rows, mask), tmp_path, monkeypatch)
    assert len(blocks.loops) == (2 if heads > 1 else 1) and not whole.loops
    for fmt in ("f32", "f16", "s16", "s8") if mask == "causal" else ("f32", "s8"):
        program, _ = ran(blocks, fmt, frames)
        plans = [helpers.plan_in(graph, fmt, frames) for graph in (blocks, whole)]
        # floats are summed in another order where numpy multiplies blocks, so that ranges differ in their last bits
        ranges = {**plans[0].ranges, **plans[1].ranges}
        one, other = (
            helpers.run(g, replace(p, ranges=ranges), frames) for g, p in zip((blocks, whole), plans, strict=True)
        )
        assert np.array_equal(one.outputs["y"], other.outputs["y"]), fmt
        assert memory.plan(program).arena_bytes < 0.75 * memory.plan(other.program).arena_bytes


def test_a_model_on_its_own_scales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands between the products for its scale alone, and behind them, goes into the loop, too."""
    made = attend(2, 48)
    grid = {"grid": np.array(0.05, np.float32), "half": np.array(1 / 256, np.float32), "zero": np.array(0, np.int8)}
    low = np.array(-128, np.int8)
    nodes = []
    for n in made.graph.node:
        nodes.append(n)
        edge = n.output[0]
        if edge != "y":
            scale, zero = ("half", "low") if edge == "p" else ("grid", "zero")
            n.output[0] = f"{edge}:real"
            nodes.append(node("QuantizeLinear", f"{edge}:real {scale} {zero}", f"{edge}:q"))
            nodes.append(node("DequantizeLinear", f"{edge}:q {scale} {zero}", edge))
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    for name, value in {**grid, "low": low}.items():
        made.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    path = save(made, tmp_path)
    blocks = optimise(load(path).graph)
    with monkeypatch.context() as context:
        context.setattr(passes, "split_attention", lambda graph: graph)
        whole = optimise(load(path).graph)
    rng = np.random.default_rng(4)
    frames = [{n: random(rng, *blocks.shape(n), scale=1.0) for n in blocks.inputs} for _ in range(2)]
    one, other = (helpers.run(g, helpers.plan_in(g, "s8", frames), frames) for g in (blocks, whole))
    assert blocks.loops and one.mismatches == []
    assert np.array_equal(one.outputs["y"], other.outputs["y"])
    assert len(one.program.calls) <= len(other.program.calls) + 1


@pytest.mark.parametrize(
    "made",
    [
        attend(1, 67),  # a prime number of rows
        attend(1, 40),  # too few scores
        attend(1, 66, nodes=[node("Neg", "p", "n")], outputs={"n": [1, 1, 66, 66]}),  # read elsewhere
    ],
    ids=["prime", "few", "read"],
)
def test_refused(made: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, _, _ = both(made, tmp_path, monkeypatch)
    assert not blocks.loops


def test_where_memory_is_needed_for_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wider layer behind it decides how much memory the model needs: blocks would only cost time."""
    made = attend(1, 66)
    made.graph.node.extend([node("MatMul", "y wide", "h"), node("Relu", "h", "r"), node("MatMul", "r back", "z")])
    rng = np.random.default_rng(4)
    for name, shape in (("wide", (8, 200)), ("back", (200, 8))):
        made.graph.initializer.append(onnx.numpy_helper.from_array(random(rng, *shape), name))
    made.graph.output.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1, 1, 66, 8]))
    blocks, _, _ = both(made, tmp_path, monkeypatch)
    assert not blocks.loops
    monkeypatch.setattr(attention, "_alive", lambda graph: {op.name: op.op == "Softmax" for op in graph.operators})
    assert optimise(load(tmp_path / "model.onnx").graph).loops


def test_the_operator_of_the_standard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention of opset 23 is taken by its definition, and then like one that is spelled out."""
    made = model(
        [node("Attention", "q k v", "y", is_causal=1)],
        {n: [1, 2, 48, 8] for n in "qkv"},
        {"y": [1, 2, 48, 8]},
        opset=23,
    )
    made.ir_version = 11
    path = save(made, tmp_path)
    blocks = optimise(load(path).graph)
    assert [loop.count for loop in blocks.loops] == [2, 3]
    rng = np.random.default_rng(4)
    assert_same(path, blocks, [{n: random(rng, 1, 2, 48, 8) for n in "qkv"}])
