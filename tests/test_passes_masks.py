"""A softmax whose input a mask takes elements out of, in all the ways exporters spell it."""

import numpy as np
import pytest
from onnx import TensorProto

from mcu_quant.frontend import load
from mcu_quant.passes import optimise
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(31)
HEADS, STEPS = 2, 5
SHAPE = [1, HEADS, STEPS, STEPS]
CAUSAL = np.tril(np.ones((STEPS, STEPS), bool))
BOOLS = TensorProto.BOOL


def imported(tmp_path, made, bools=()):
    path = save(made, tmp_path)
    graph = optimise(load(path).graph)
    frames = [
        {n: RNG.random(graph.shape(n)) < 0.6 if n in bools else 3 * random(RNG, *graph.shape(n)) for n in graph.inputs}
        for _ in range(5)
    ]
    assert_same(path, graph, frames)
    return graph


def kinds(graph):
    return [op.op for op in graph.operators]


def added(low, *more, keep=CAUSAL, bias=0.0):
    """Softmax(x + m)."""
    mask = np.where(keep, bias, low).astype(np.float32)
    nodes = [node("Add", "x mask", "masked"), node("Softmax", "masked", "p", axis=-1), *more]
    return model(nodes, {"x": SHAPE}, {"y" if more else "p": SHAPE}, {"mask": mask, "zero": np.zeros((), np.float32)})


@pytest.mark.parametrize("low", [-np.inf, -1e9, np.finfo(np.float32).min, -1e4])
def test_a_constant_mask_is_added(tmp_path, low):
    graph = imported(tmp_path, added(low))
    assert kinds(graph) == ["MaskedSoftmax"]
    assert all(np.isfinite(a).all() for a in graph.constants.values())


@pytest.mark.parametrize("low", [-np.inf, -1e9])
def test_what_is_added_besides_stays(tmp_path, low):
    graph = imported(tmp_path, added(low, bias=random(RNG, STEPS, STEPS)))
    assert kinds(graph) == ["Add", "MaskedSoftmax"]
    assert max(np.abs(a).max() for a in graph.constants.values()) < 10


def test_a_mask_per_head_is_spread(tmp_path):
    keep = np.stack([CAUSAL[-2:-1], ~CAUSAL[:1]])  # one row for all steps of a head
    assert kinds(imported(tmp_path, added(-np.inf, keep=keep))) == ["MaskedSoftmax"]


def test_zeros_and_questions_behind_an_infinite_mask_disappear(tmp_path):
    nan = [node("IsNaN", "p", "bad"), node("Where", "bad zero p", "y")]
    assert kinds(imported(tmp_path, added(-np.inf, *nan))) == ["MaskedSoftmax"]


def test_what_is_masked_is_masked_again(tmp_path):
    nodes = [
        node("Where", "away low x", "masked"),
        node("Softmax", "masked", "p", axis=-1),
        node("Where", "away zero p", "y"),
    ]
    constants = {"away": ~CAUSAL, "low": np.array(-np.inf, np.float32), "zero": np.zeros((), np.float32)}
    assert kinds(imported(tmp_path, model(nodes, {"x": SHAPE}, {"y": SHAPE}, constants))) == ["MaskedSoftmax"]


@pytest.mark.parametrize("kept_if", [True, False])
@pytest.mark.parametrize("shape", [[STEPS], [1, 1, 1, STEPS], SHAPE, [1, HEADS, 1, STEPS]])
def test_a_mask_that_is_computed(tmp_path, kept_if, shape):
    """Also rows in which nothing is kept: they are equal parts of what stands for infinity."""
    order = "c x low" if kept_if else "c low x"
    nodes = [node("Not", "mask", "c"), node("Where", order, "masked"), node("Softmax", "masked", "y", axis=-1)]
    constants = {"low": np.array(-1e9, np.float32)}
    inputs = {"x": SHAPE, "mask": shape}
    made = model(nodes, inputs, {"y": SHAPE}, constants, types={"mask": BOOLS})
    assert "MaskedSoftmax" in kinds(imported(tmp_path, made, bools=["mask"]))
    assert "Softmax" not in kinds(imported(tmp_path, made, bools=["mask"]))


def test_a_mask_in_another_shape(tmp_path):
    """Of keys, [batch, keys], spread over heads and queries, as PyTorch's attention has it."""
    nodes = [
        node("Where", "gone low zero", "bias"),
        node("Reshape", "bias rank4", "flat"),
        node("Expand", "flat heads", "spread"),
        node("Add", "x spread", "masked"),
        node("Softmax", "masked", "y", axis=-1),
    ]
    constants = {
        "zero": np.zeros((1, STEPS), np.float32),
        "low": np.array(-1e9, np.float32),
        "rank4": [1, 1, 1, STEPS],
        "heads": [1, HEADS, 1, STEPS],
    }
    made = model(nodes, {"x": SHAPE, "gone": [STEPS]}, {"y": SHAPE}, constants, types={"gone": BOOLS})
    graph = imported(tmp_path, made, bools=["gone"])
    assert {"MaskedSoftmax", "Xor"} <= set(kinds(graph)) <= {"MaskedSoftmax", "Xor", "Reshape"}


def test_two_masks(tmp_path):
    """A causal one, and one of what the caller says is there."""
    nodes = [
        node("Where", "here zero low", "bias"),
        node("Add", "x causal", "first"),
        node("Add", "first bias", "second"),
        node("Softmax", "second", "y", axis=-1),
    ]
    constants = {
        "zero": np.zeros((), np.float32),
        "low": np.array(-1e9, np.float32),
        "causal": np.where(CAUSAL, 0, -1e9).astype(np.float32),
    }
    made = model(nodes, {"x": SHAPE, "here": [STEPS]}, {"y": SHAPE}, constants, types={"here": BOOLS})
    path = save(made, tmp_path)
    graph = optimise(load(path).graph)
    here = np.array([True, True, False, True, False])  # the first is there: no row is without any
    assert_same(path, graph, [{"x": random(RNG, *SHAPE), "here": here}])
    assert kinds(graph) == ["And", "MaskedSoftmax"]


def test_what_is_no_mask_stays(tmp_path):
    assert "Softmax" in kinds(imported(tmp_path, added(-20.0)))
    other_axis = [node("Add", "x mask", "masked"), node("Softmax", "masked", "y", axis=1)]
    made = model(other_axis, {"x": SHAPE}, {"y": SHAPE}, {"mask": np.where(CAUSAL, 0, -1e9).astype(np.float32)})
    assert "Softmax" in kinds(imported(tmp_path, made))
    used = [*added(-1e9).graph.node, node("Neg", "masked", "z")]
    made = model(used, {"x": SHAPE}, {"p": SHAPE, "z": SHAPE}, {"mask": np.where(CAUSAL, 0, -1e9).astype(np.float32)})
    assert "Softmax" in kinds(imported(tmp_path, made))


def test_a_row_of_a_constant_without_any_stays(tmp_path):
    keep = CAUSAL & (np.arange(STEPS) > 0)[:, None]
    assert "Softmax" in kinds(imported(tmp_path, added(-1e9, keep=keep)))


def test_a_decided_choice_disappears(tmp_path):
    nodes = [node("Where", "yes x w", "a"), node("Where", "no w a", "b"), node("Relu", "b", "y")]
    constants = {"yes": np.ones((1, 3), bool), "no": np.zeros((), bool), "w": np.ones((1, 3), np.float32)}
    assert kinds(imported(tmp_path, model(nodes, {"x": [1, 3]}, {"y": [1, 3]}, constants))) == ["Relu"]
