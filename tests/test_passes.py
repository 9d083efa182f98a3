"""Rewrites: each recognises what it should, refuses what it should, and leaves every value as onnxruntime has it."""

import numpy as np
import pytest

from mcu_quant import passes
from mcu_quant.frontend import load
from mcu_quant.ir import Operator, TensorType, rebuild
from mcu_quant.passes import PASSES, optimise
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(4)


def reals(*values):
    return np.array(values, np.float32)


def optimised(tmp_path, nodes, inputs, outputs, constants=None, **more):
    """The graph after all passes, proven equal to the file in onnxruntime."""
    path = save(model(nodes, inputs, outputs, constants, **more), tmp_path)
    graph = optimise(load(path).graph)
    assert_same(path, graph, [{n: random(RNG, *s) for n, s in inputs.items() if n in graph.inputs} for _ in range(3)])
    return graph


def kinds(graph):
    return [op.op for op in graph.operators]


def rules(graph):
    return {r.rule for r in graph.rewrites}


# --- layout ------------------------------------------------------------------------------------------------------


def test_layout_that_leaves_the_order_is_one_view(tmp_path):
    nodes = [
        node("Transpose", "x", "a", perm=[0, 2, 1]),
        node("Tanh", "a", "b"),
        node("Transpose", "b", "c", perm=[2, 0, 1]),
        node("Unsqueeze", "c axis", "d"),
        node("Relu", "d", "y"),
    ]
    graph = optimised(tmp_path, nodes, {"x": [1, 8, 1]}, {"y": [8, 1, 1, 1]}, {"axis": [3]})
    assert kinds(graph) == ["Reshape", "Tanh", "Reshape", "Relu"]


def test_transposes_that_cancel_disappear(tmp_path):
    nodes = [
        node("Transpose", "x", "a", perm=[0, 2, 1]),
        node("Transpose", "a", "b", perm=[0, 2, 1]),
        node("Relu", "b", "y"),
    ]
    assert kinds(optimised(tmp_path, nodes, {"x": [2, 3, 4]}, {"y": [2, 3, 4]})) == ["Relu"]


def test_transposes_merge_where_they_do_not_cancel(tmp_path):
    nodes = [
        node("Transpose", "x", "a", perm=[1, 2, 0]),
        node("Transpose", "a", "b", perm=[0, 2, 1]),
        node("Relu", "b", "y"),
    ]
    graph = optimised(tmp_path, nodes, {"x": [2, 3, 4]}, {"y": [3, 2, 4]})
    assert kinds(graph) == ["Transpose", "Relu"]
    assert tuple(graph.operators[0].attributes["perm"]) == (1, 0, 2)


def test_a_transpose_that_moves_elements_stays(tmp_path):
    nodes = [node("Transpose", "x", "a", perm=[1, 0]), node("Relu", "a", "y")]
    assert kinds(optimised(tmp_path, nodes, {"x": [2, 3]}, {"y": [3, 2]})) == ["Transpose", "Relu"]


def test_slices_and_pads_of_everything_disappear(tmp_path):
    nodes = [
        node("Slice", "x zero end axis", "a"),
        node("Pad", "a nothing", "b"),
        node("Split", "b", "c", axis=0, num_outputs=1),
        node("Concat", "c", "d", axis=1),
        node("Relu", "d", "y"),
    ]
    constants = {"zero": [0], "end": [2**62], "axis": [1], "nothing": [0, 0, 0, 0]}
    assert kinds(optimised(tmp_path, nodes, {"x": [2, 3]}, {"y": [2, 3]}, constants)) == ["Relu"]


def test_a_slice_that_reverses_stays(tmp_path):
    nodes = [node("Slice", "x start end axis step", "a"), node("Tanh", "a", "y")]
    constants = {"start": [-1], "end": [-(2**62)], "axis": [1], "step": [-1]}
    assert kinds(optimised(tmp_path, nodes, {"x": [2, 3]}, {"y": [2, 3]}, constants)) == ["Slice", "Tanh"]


def test_a_pad_that_shifts_stays(tmp_path):
    nodes = [node("Pad", "x pads", "a"), node("Tanh", "a", "y")]
    graph = optimised(tmp_path, nodes, {"x": [2, 3]}, {"y": [2, 3]}, {"pads": [0, 1, 0, -1]})
    assert kinds(graph) == ["Pad", "Tanh"]


def test_slices_of_slices_merge(tmp_path):
    nodes = [node("Slice", "x two nine axis", "a"), node("Slice", "a one six axis two", "b"), node("Tanh", "b", "y")]
    constants = {"one": [1], "two": [2], "six": [6], "nine": [9], "axis": [1]}
    graph = optimised(tmp_path, nodes, {"x": [2, 12]}, {"y": [2, 3]}, constants)
    assert kinds(graph) == ["Slice", "Tanh"]
    a = graph.operators[0].attributes
    assert list(range(a["starts"][0], a["ends"][0], a["steps"][0])) == [3, 5, 7]


@pytest.mark.parametrize(("index", "made"), [(-1, ["Slice", "Reshape"]), ([1, 2], ["Slice"]), ([2, 1], ["Gather"])])
def test_a_gather_of_neighbours_is_a_slice(tmp_path, index, made):
    shape = [2, 4] if np.ndim(index) == 0 else [2, 2, 4]
    nodes = [node("Gather", "x index", "a", axis=1), node("Tanh", "a", "y")]
    graph = optimised(tmp_path, nodes, {"x": [2, 3, 4]}, {"y": shape}, {"index": index})
    assert kinds(graph) == [*made, "Tanh"]


def test_an_output_keeps_its_name_whatever_disappears_before_it(tmp_path):
    nodes = [node("Relu", "x", "a"), node("Transpose", "a", "y", perm=[1, 0]), node("Identity", "x", "z")]
    graph = optimised(tmp_path, nodes, {"x": [1, 3]}, {"y": [3, 1], "a": [1, 3], "z": [1, 3]})
    assert graph.outputs == ("y", "a", "z")
    again = optimised(tmp_path, [node("Relu", "x", "a"), node("Identity", "a", "y")], {"x": [1, 3]}, {"y": [1, 3]})
    assert [(op.op, op.outputs) for op in again.operators] == [("Relu", ("y",))]


# --- arithmetic, constants, common subexpressions ----------------------------------------------------------------


def test_neutral_operations_disappear(tmp_path):
    nodes = [
        node("Add", "x zero", "a"),
        node("Mul", "one a", "b"),
        node("Sub", "b zero", "c"),
        node("Div", "c one", "d"),
        node("Pow", "d single", "e"),
        node("Tanh", "e", "y"),
    ]
    constants = {"zero": reals(0), "one": reals(1, 1, 1), "single": np.array(1, np.float32)}
    assert kinds(optimised(tmp_path, nodes, {"x": [2, 3]}, {"y": [2, 3]}, constants)) == ["Tanh"]


def test_neutral_operations_that_broadcast_or_turn_around_stay(tmp_path):
    nodes = [node("Mul", "x ones", "a"), node("Sub", "zero a", "y")]
    constants = {"zero": reals(0), "ones": np.ones((2, 3), np.float32)}
    assert kinds(optimised(tmp_path, nodes, {"x": [3]}, {"y": [2, 3]}, constants)) == ["Mul", "Sub"]


def test_arithmetic_takes_its_cheapest_form(tmp_path):
    nodes = [
        node("Pow", "x two", "a"),
        node("Sub", "a c", "b"),
        node("Div", "b four", "d"),
        node("Max", "d low", "e"),
        node("Min", "high e", "y"),
    ]
    constants = {"two": reals(2), "c": reals(0.5, 0.25, 1), "four": reals(4)}
    constants |= {"low": np.array(-0.2, np.float32), "high": np.array(0.1, np.float32)}
    graph = optimised(tmp_path, nodes, {"x": [2, 3]}, {"y": [2, 3]}, constants)
    assert kinds(graph) == ["Mul", "Add", "Mul", "Clip", "Clip"]


def test_reductions_over_nothing_are_views(tmp_path):
    nodes = [node("ReduceMean", "x axis", "a", keepdims=0), node("Tanh", "a", "y")]
    assert kinds(optimised(tmp_path, nodes, {"x": [2, 1, 3]}, {"y": [2, 3]}, {"axis": [1]})) == ["Reshape", "Tanh"]
    graph = optimised(tmp_path, nodes, {"x": [2, 2, 3]}, {"y": [2, 3]}, {"axis": [1]})
    assert kinds(graph) == ["Reduce", "Tanh"]


def test_means_of_means_merge_where_their_axes_are_neighbours(tmp_path):
    """Kernels reduce axes that stand side by side."""

    def twice(first, second):
        nodes = [node("ReduceMean", "x a", "m", keepdims=1), node("ReduceMean", "m b", "y", keepdims=1)]
        shape = [1 if a in (first, second) else n for a, n in enumerate([2, 3, 4, 5])]
        made = model(nodes, {"x": [2, 3, 4, 5]}, {"y": shape}, {"a": [first], "b": [second]})
        path = save(made, tmp_path)
        graph = optimise(load(path).graph)
        assert_same(path, graph, [{"x": random(RNG, 2, 3, 4, 5)}])
        return [op.attributes["axes"] for op in graph.operators if op.op == "Reduce"]

    assert twice(2, 1) == [(1, 2)]
    assert twice(1, 3) == [(1,), (3,)]


def test_constant_operators_fold_and_equal_constants_are_kept_once(tmp_path):
    w = random(RNG, 6, 4)
    nodes = [
        node("Split", "w", "v1 v2", axis=0, num_outputs=2),
        node("MatMul", "x v1", "a"),
        node("MatMul", "x v2", "b"),
        node("MatMul", "x v3", "c"),
        node("Concat", "a b c", "y", axis=1),
    ]
    graph = optimised(tmp_path, nodes, {"x": [2, 3]}, {"y": [2, 12]}, {"w": w, "v3": w[:3]})
    # the third product is the first one, once their weights are known to be the same
    assert kinds(graph) == ["Gemm", "Gemm", "Concat"]
    assert len(graph.constants) == 2


def test_what_is_computed_twice_is_computed_once(tmp_path):
    nodes = [
        node("Softmax", "x", "a", axis=-1),
        node("Softmax", "x", "b", axis=-1),
        node("Softmax", "x", "c", axis=0),
        node("Sub", "a c", "d"),
        node("Mul", "d b", "y"),
    ]
    assert kinds(optimised(tmp_path, nodes, {"x": [2, 3]}, {"y": [2, 3]})) == ["Softmax", "Softmax", "Sub", "Mul"]


# --- weights -----------------------------------------------------------------------------------------------------


def test_bias_scale_and_activation_move_into_a_matrix_product(tmp_path):
    nodes = [
        node("MatMul", "x w", "a", name="dense"),
        node("Add", "b a", "c"),
        node("Mul", "c s", "d"),
        node("Add", "d b", "e"),
        node("Relu", "e", "f"),
        node("Clip", "f - high", "y"),
    ]
    constants = {"w": random(RNG, 5, 4), "b": random(RNG, 1, 4), "s": random(RNG, 4), "high": np.array(0.3, np.float32)}
    graph = optimised(tmp_path, nodes, {"x": [1, 3, 5]}, {"y": [1, 3, 4]}, constants)
    [op] = graph.operators
    assert (op.op, op.name, len(op.inputs)) == ("Gemm", "dense", 3)
    assert (op.attributes["activation_min"], op.attributes["activation_max"]) == (0.0, np.float32(0.3))


def test_bias_and_activation_behind_a_view(tmp_path):
    nodes = [
        node("MatMul", "x w", "a"),
        node("Reshape", "a shape", "b"),
        node("Add", "b bias", "c"),
        node("Relu", "c", "y"),
    ]
    constants = {"w": random(RNG, 5, 4), "bias": random(RNG, 4), "shape": [1, 3, 4]}
    graph = optimised(tmp_path, nodes, {"x": [3, 5]}, {"y": [1, 3, 4]}, constants)
    assert kinds(graph) == ["Gemm", "Reshape"]


def test_a_view_that_splits_the_last_axis_keeps_the_bias_out(tmp_path):
    nodes = [node("MatMul", "x w", "a"), node("Reshape", "a shape", "b"), node("Add", "b bias", "y")]
    constants = {"w": random(RNG, 5, 4), "bias": random(RNG, 2), "shape": [3, 2, 2]}
    graph = optimised(tmp_path, nodes, {"x": [3, 5]}, {"y": [3, 2, 2]}, constants)
    assert kinds(graph) == ["Gemm", "Reshape", "Add"]


@pytest.mark.parametrize("value", [random(RNG, 3, 1), random(RNG, 2, 3, 4)])
def test_offsets_that_are_no_bias_stay(tmp_path, value):
    nodes = [node("MatMul", "x w", "a"), node("Add", "a c", "y")]
    shape = list(np.broadcast_shapes((3, 4), value.shape))
    graph = optimised(tmp_path, nodes, {"x": [3, 5]}, {"y": shape}, {"w": random(RNG, 5, 4), "c": value})
    assert kinds(graph) == ["Gemm", "Add"]


def test_a_result_that_is_used_twice_keeps_its_activation_apart(tmp_path):
    nodes = [node("MatMul", "x w", "a"), node("Relu", "a", "b"), node("Add", "a b", "y")]
    graph = optimised(tmp_path, nodes, {"x": [3, 5]}, {"y": [3, 4]}, {"w": random(RNG, 5, 4)})
    assert kinds(graph) == ["Gemm", "Relu", "Add"]


def test_a_scale_after_an_activation_stays(tmp_path):
    nodes = [node("MatMul", "x w", "a"), node("Relu", "a", "b"), node("Mul", "b s", "y")]
    constants = {"w": random(RNG, 5, 4), "s": random(RNG, 4)}
    assert kinds(optimised(tmp_path, nodes, {"x": [3, 5]}, {"y": [3, 4]}, constants)) == ["Gemm", "Mul"]


def normalisation(n):
    return {
        "gamma": random(RNG, n) + 1,
        "beta": random(RNG, n),
        "mean": random(RNG, n),
        "var": np.abs(random(RNG, n)) + np.float32(0.1),
    }


@pytest.mark.parametrize("group", [1, 2])
def test_batch_normalisation_disappears_in_a_convolution(tmp_path, group):
    nodes = [
        node("Conv", "x w", "a", group=group, pads=[1, 1], name="conv"),
        node("BatchNormalization", "a gamma beta mean var", "b"),
        node("Relu", "b", "y"),
    ]
    constants = normalisation(6) | {"w": random(RNG, 6, 4 // group, 3)}
    graph = optimised(tmp_path, nodes, {"x": [1, 4, 9]}, {"y": [1, 6, 9]}, constants)
    assert [(op.op, op.name) for op in graph.operators] == [("Conv", "conv")]


@pytest.mark.parametrize("group", [1, 2])
def test_batch_normalisation_disappears_in_a_transposed_convolution(tmp_path, group):
    nodes = [
        node("ConvTranspose", "x w bias", "a", group=group, strides=[2]),
        node("BatchNormalization", "a gamma beta mean var", "y", epsilon=0.01),
    ]
    constants = normalisation(6) | {"w": random(RNG, 4, 6 // group, 3), "bias": random(RNG, 6)}
    graph = optimised(tmp_path, nodes, {"x": [1, 4, 5]}, {"y": [1, 6, 11]}, constants)
    assert len(graph.operators) == 1
    assert kinds(graph)[0] in ("Conv", "ConvTranspose")


def test_batch_normalisation_alone_is_a_scale_and_an_offset(tmp_path):
    nodes = [node("BatchNormalization", "x gamma beta mean var", "y")]
    graph = optimised(tmp_path, nodes, {"x": [1, 6, 5]}, {"y": [1, 6, 5]}, normalisation(6))
    assert kinds(graph) == ["Mul", "Add"]


def test_a_convolution_of_everything_is_a_matrix_product(tmp_path):
    nodes = [node("Conv", "x w b", "a", name="last"), node("Relu", "a", "y")]
    constants = {"w": random(RNG, 6, 4, 3), "b": random(RNG, 6)}
    graph = optimised(tmp_path, nodes, {"x": [1, 4, 3]}, {"y": [1, 6, 1]}, constants)
    assert kinds(graph) == ["Reshape", "Gemm", "Reshape"]
    assert graph.operators[1].name == "last"


@pytest.mark.parametrize(
    ("x", "w", "y", "attributes"),
    [
        ([1, 4, 4], [6, 4, 3], [1, 6, 2], {}),
        ([1, 4, 3], [4, 1, 3], [1, 4, 1], {"group": 4}),
        ([1, 4, 1], [6, 4, 3], [1, 6, 1], {"pads": [1, 1]}),
        ([2, 4, 3], [6, 4, 3], [2, 6, 1], {}),
    ],
)
def test_other_convolutions_stay(tmp_path, x, w, y, attributes):
    nodes = [node("Conv", "x w", "y", **attributes)]
    assert kinds(optimised(tmp_path, nodes, {"x": x}, {"y": y}, {"w": random(RNG, *w)})) == ["Conv"]


# --- the whole ---------------------------------------------------------------------------------------------------


def test_passes_are_deterministic_and_return_the_graph_itself_when_done(shared):
    imported = load(shared / "models" / "dtln_stage2.onnx")
    first, second = optimise(imported.graph), optimise(imported.graph)
    assert str(first) == str(second)
    assert first.rewrites == second.rewrites
    for rewrite in PASSES:
        assert rewrite(first) is first


def test_a_pass_that_makes_what_no_operator_can_do_is_caught(tmp_path, monkeypatch):
    def repeat_in_the_middle(graph):
        [op] = graph.operators
        if op.op != "Softmax":
            return graph
        keep = np.ones((2, 1, 4), bool)
        masked = Operator(op.name, "MaskedSoftmax", (*op.inputs, "keep"), op.outputs, {"empty": 0.0})
        return rebuild(graph, [masked], types={"keep": TensorType((2, 1, 4), "bool")}, constants={"keep": keep})

    graph = load(save(model([node("Softmax", "x", "y")], {"x": [2, 3, 4]}, {"y": [2, 3, 4]}), tmp_path)).graph
    monkeypatch.setattr(passes, "PASSES", (repeat_in_the_middle,))
    with pytest.raises(AssertionError, match="MaskedSoftmax: x has shape"):
        optimise(graph)


def test_every_operator_infers_what_the_graph_says(shared):
    from mcu_quant import ops

    for name, bind in (("silero_vad_16k", {"sequence": 576, "sr": 16000}), ("gtcrn_stream", {}), ("dtln_stage2", {})):
        graph = optimise(load(shared / "models" / f"{name}.onnx", bind).graph)
        for op in graph.operators:
            found = ops.spec(op).infer(op, [graph.types[i] if i else None for i in op.inputs])
            for edge, type_ in zip(op.outputs, found, strict=False):
                assert not edge or graph.types[edge] == type_, op


@pytest.mark.parametrize(
    ("name", "bind", "fixed", "frames", "expected"),
    [
        (
            "silero_vad_16k",
            {"sequence": 576, "sr": 16000},
            {"sr": np.array(16000)},
            20,
            {"LSTM": 1, "Conv": 4, "Gemm": 1, "Spectrum": 1, "Sqrt": 0},
        ),
        ("dtln_stage1", {}, {}, 20, {"LSTM": 2, "Gemm": 1, "Sigmoid": 1}),
        ("dtln_stage2", {}, {}, 20, {"LSTM": 2, "Gemm": 3, "LayerNormalization": 1, "Sigmoid": 1, "Mul": 1}),
        ("gtcrn_stream", {}, {}, 5, {"GRU": 14, "LayerNormalization": 4, "ScatterND": 0, "BatchNormalization": 0}),
        ("gtcrn_stream_unsimplified", {}, {}, 5, {"GRU": 14, "LayerNormalization": 4, "ScatterND": 0}),
        ("kwt1_mfcc", {}, {}, 1, {"LayerNormalization": 24, "Reciprocal": 0}),
        ("mlperf_tiny_dscnn", {}, {}, 2, {"Relu": 0, "Add": 0}),
        ("speech_embedding", {}, {}, 1, {"Max": 0}),
        ("speech_embedding_melspec", {"samples": 1760}, {}, 2, {}),
    ],
)
def test_real_models_mean_what_onnxruntime_says(shared, name, bind, fixed, frames, expected):
    path = shared / "models" / f"{name}.onnx"
    graph = optimise(load(path, bind).graph)
    data = [{n: random(RNG, *graph.shape(n), scale=0.1) for n in graph.inputs} for _ in range(frames)]
    assert_same(path, graph, data, at_least_db=95.0, fixed=fixed)
    for kind, count in expected.items():
        assert kinds(graph).count(kind) == count, kind
