"""What exporters of this field write besides the obvious, in small models: each imported, rewritten and compared."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.frontend import load
from mcu_quant.passes import optimise
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(51)


def imported(tmp_path, made, frames=3, **more):
    path = save(made, tmp_path)
    graph = optimise(load(path).graph)
    given = [{n: random(RNG, *graph.shape(n), scale=2.0) for n in graph.inputs} for _ in range(frames)]
    assert_same(path, graph, given, **more)
    return graph


def kinds(graph):
    return [op.op for op in graph.operators if op.op != "Reshape"]


def scalar(value):
    return np.full([], value, np.float32)


# --- splits, slices, pads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opset", "attributes", "sizes"),
    [
        (11, {}, None),
        (13, {}, None),
        (18, {"num_outputs": 3}, None),
        (11, {"split": [1, 2, 3]}, None),
        (13, {}, [1, 2, 3]),
    ],
)
def test_split_with_and_without_sizes(tmp_path, opset, attributes, sizes):
    inputs = "x sizes" if sizes else "x"
    nodes = [node("Split", inputs, "a b c", axis=1, **attributes), node("Neg", "a", "p"), node("Neg", "b", "q")]
    last = [1, 3] if sizes or "split" in attributes else [1, 2]
    shapes = {"p": [1, 1 if last[1] == 3 else 2], "q": [1, 2], "c": last}
    imported(tmp_path, model(nodes, {"x": [1, 6]}, shapes, {"sizes": sizes} if sizes else {}, opset=opset))


def test_the_last_part_of_a_split_may_be_smaller(tmp_path):
    nodes = [node("Split", "x", "a b c", axis=-1, num_outputs=3), node("Neg", "b", "q")]
    imported(tmp_path, model(nodes, {"x": [1, 7]}, {"a": [1, 3], "q": [1, 3], "c": [1, 1]}))


def test_slices_of_length_zero_disappear(tmp_path):
    """A look-ahead of zero frames: nothing is cut off, nothing is appended."""
    nodes = [
        node("Slice", "x end end two", "none"),
        node("Concat", "none x", "joined", axis=2),
        node("Relu", "joined", "y"),
    ]
    made = model(nodes, {"x": [1, 3, 4]}, {"y": [1, 3, 4]}, {"end": [4], "two": [2]})
    assert kinds(imported(tmp_path, made)) == ["Relu"]


def test_what_is_made_of_nothing_is_known(tmp_path):
    """A cache of no frames that is padded to two, and the sum of no elements."""
    nodes = [
        node("Slice", "x end end two", "none"),
        node("Pad", "none pads", "zeros"),
        node("ReduceSum", "none two", "sum", keepdims=1),
        node("Concat", "zeros x", "joined", axis=2),
        node("Add", "joined sum", "shifted"),
        node("Relu", "shifted", "y"),
    ]
    constants = {"end": [4], "two": [2], "pads": [0, 0, 2, 0, 0, 0]}
    made = model(nodes, {"x": [1, 3, 4]}, {"y": [1, 3, 6]}, constants)
    assert set(kinds(imported(tmp_path, made))) <= {"Pad", "Concat", "Relu"}


def test_slices_beyond_the_ends(tmp_path):
    big, low = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    nodes = [node("Slice", "x a b axes", "s"), node("Slice", "s c d axes steps", "y")]
    constants = {"a": [-100, 1], "b": [big, -1], "c": [-1, big], "d": [low, -100], "axes": [1, 2], "steps": [-1, -2]}
    imported(tmp_path, model(nodes, {"x": [1, 3, 6]}, {"y": [1, 3, 2]}, constants))


@pytest.mark.parametrize("opset", [2, 11, 18])
def test_negative_pads_cut_off(tmp_path, opset):
    pads = [0, 0, 2, 0, 0, -3]
    if opset == 2:
        nodes, constants = [node("Pad", "x", "y", pads=pads)], {}
        opset = 10
    else:
        nodes, constants = [node("Pad", "x pads", "y")], {"pads": pads}
    imported(tmp_path, model(nodes, {"x": [1, 2, 6]}, {"y": [1, 2, 5]}, constants, opset=opset))


# --- how the file is written ------------------------------------------------------------------------------------------


def dense_nodes():
    return [node("MatMul", "x w", "p"), node("Add", "p b", "q"), node("Relu", "q", "y")]


def dense_weights():
    return {"w": random(RNG, 4, 3), "b": random(RNG, 3)}


def as_constants(arrays):
    """Weights as Constant nodes, in every way that ONNX has for numbers."""
    nodes = []
    for n, a in arrays.items():
        if a.ndim == 1:
            nodes.append(helper.make_node("Constant", [], [n], value_floats=[float(v) for v in a]))
        else:
            nodes.append(helper.make_node("Constant", [], [n], value=numpy_helper.from_array(a)))
    return nodes


def test_weights_as_constant_nodes(tmp_path):
    made = model([*as_constants(dense_weights()), *dense_nodes()], {"x": [1, 4]}, {"y": [1, 3]})
    assert kinds(imported(tmp_path, made)) == ["Gemm"]


def test_weights_behind_identity_transpose_and_cast(tmp_path):
    constants = {"wt": random(RNG, 3, 4).astype(np.float16), "b": random(RNG, 3)}
    nodes = [node("Cast", "wt", "wf", to=1), node("Transpose", "wf", "wi"), node("Identity", "wi", "w"), *dense_nodes()]
    assert kinds(imported(tmp_path, model(nodes, {"x": [1, 4]}, {"y": [1, 3]}, constants))) == ["Gemm"]


def test_nodes_in_reverse_order(tmp_path):
    made = model(dense_nodes()[::-1], {"x": [1, 4]}, {"y": [1, 3]}, dense_weights())
    assert kinds(imported(tmp_path, made)) == ["Gemm"]


def test_default_attributes_written_out(tmp_path):
    nodes = [
        node("Conv", "x w", "c", group=1, dilations=[1], strides=[1], pads=[0, 0], auto_pad="NOTSET", kernel_shape=[3]),
        node("Transpose", "c", "t", perm=[0, 2, 1]),
        node("Gemm", "f v b", "g", alpha=1.0, beta=1.0, transA=0, transB=0),
        node("Flatten", "t", "f", axis=1),
        node("Softmax", "g", "y", axis=-1),
    ]
    constants = {"w": random(RNG, 2, 3, 3), "v": random(RNG, 8, 4), "b": random(RNG, 4)}
    imported(tmp_path, model(nodes, {"x": [1, 3, 6]}, {"y": [1, 4]}, constants))


def test_names_of_any_kind(tmp_path):
    names = {
        "x": "serving_default/x:0",
        "p": "model;a/b;c:0",
        "q": "q 1",
        "w": "kernel/read:0",
        "b": "1b",
        "y": "Ünïts:1",
    }
    made = model(dense_nodes(), {"x": [1, 4]}, {"y": [1, 3]}, dense_weights())
    for entry in (*made.graph.input, *made.graph.output, *made.graph.initializer):
        entry.name = names[entry.name]
    for each in made.graph.node:
        each.input[:] = [names[i] for i in each.input]
        each.output[:] = [names[o] for o in each.output]
        each.name = f"a/b;{each.op_type}:0"
    assert kinds(imported(tmp_path, made)) == ["Gemm"]


def test_a_graph_converted_to_float16(tmp_path):
    """float16 weights and values between Casts, as conversion tools leave them: input and output stay float32."""
    constants = {"w": random(RNG, 4, 3).astype(np.float16), "b": random(RNG, 3).astype(np.float16)}
    nodes = [node("Cast", "x", "h", to=10), node("MatMul", "h w", "p"), node("Add", "p b", "q")]
    nodes += [node("Relu", "q", "r"), node("Cast", "r", "y", to=1)]
    graph = imported(tmp_path, model(nodes, {"x": [1, 4]}, {"y": [1, 3]}, constants), at_least_db=50.0)
    assert kinds(graph) == ["Gemm"]
    assert any(r.rule.startswith("float32 instead of float16") for r in graph.rewrites)


def test_inputs_and_outputs_in_float16(tmp_path):
    constants = {n: a.astype(np.float16) for n, a in dense_weights().items()}
    made = model(dense_nodes(), {"x": [1, 4]}, {"y": [1, 3]}, constants, real=TensorProto.FLOAT16)
    graph = optimise(load(save(made, tmp_path)).graph)
    assert kinds(graph) == ["Gemm"]
    assert {t.dtype for t in graph.types.values()} == {"float32"}


@pytest.mark.parametrize("opset", range(11, 21))
def test_the_same_model_in_every_opset(tmp_path, opset):
    since_13 = opset >= 13
    nodes = [
        node("Unsqueeze", "x" if not since_13 else "x one", "u", **({} if since_13 else {"axes": [1]})),
        node("Conv", "u w", "c", pads=[1, 1]),
        node(
            "ReduceMean", "c last" if opset >= 18 else "c", "m", keepdims=1, **({} if opset >= 18 else {"axes": [-1]})
        ),
        node("Sub", "c m", "d"),
        node("ReduceSum", "d last" if since_13 else "d", "s", keepdims=1, **({} if since_13 else {"axes": [-1]})),
        node("Add", "d s", "e"),
        node("Clip", "e low high", "k"),
        node("Squeeze", "k first" if since_13 else "k", "z", **({} if since_13 else {"axes": [0]})),
        node("Softmax", "z", "y", axis=1),
    ]
    constants = {"w": random(RNG, 2, 1, 3), "one": [1], "last": [-1], "first": [0]}
    constants |= {"low": scalar(-1), "high": scalar(np.inf)}
    imported(tmp_path, model(nodes, {"x": [1, 8]}, {"y": [2, 8]}, constants, opset=opset))


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_infinite_limits_are_legal(tmp_path):
    inf = np.full([], np.inf, np.float32)
    nodes = [
        node("Clip", "x low high", "c"),
        node("Max", "c minus", "m"),
        node("Min", "m high", "n"),
        node("Neg", "n", "y"),
    ]
    constants = {"low": scalar(0.1), "high": inf, "minus": scalar(-np.inf)}
    assert len(kinds(imported(tmp_path, model(nodes, {"x": [1, 4]}, {"y": [1, 4]}, constants)))) == 2


def test_an_infinite_mask_is_legal(tmp_path):
    """Attention masks add minus infinity."""
    mask = np.triu(np.full((4, 4), -np.inf, np.float32), 1)
    nodes = [node("Add", "x mask", "m"), node("Softmax", "m", "y", axis=-1)]
    imported(tmp_path, model(nodes, {"x": [1, 4, 4]}, {"y": [1, 4, 4]}, {"mask": mask}))


# --- normalisation ---------------------------------------------------------------------------------------------------


def normalised(square="Pow", opset=17, end="div"):
    axes = {"axes": [-1]} if opset < 18 else {}
    extra = " axes" if opset >= 18 else ""
    nodes = [
        node("ReduceMean", f"x{extra}", "m", keepdims=1, **axes),
        node("Sub", "x m", "d"),
        node("Sub", "x m", "d2") if end == "two subtractions" else node("Identity", "d", "d2"),
        node("Pow", "d2 two", "s") if square == "Pow" else node("Mul", "d2 d2", "s"),
        node("ReduceMean", f"s{extra}", "v", keepdims=1, **axes),
        node("Add", "eps v" if end == "pow" else "v eps", "e"),
    ]
    if end == "pow":
        nodes += [node("Pow", "e half", "root"), node("Mul", "d root", "n")]
    else:
        nodes += [node("Sqrt", "e", "root"), node("Div", "d root", "n")]
    return [*nodes, node("Mul", "gamma n", "g"), node("Add", "g beta", "y")]


NORM = {
    "two": scalar(2),
    "half": scalar(-0.5),
    "eps": scalar(1e-5),
    "gamma": random(RNG, 6) + 1,
    "beta": random(RNG, 6),
}


@pytest.mark.parametrize("opset", [11, 17, 18, 20])
@pytest.mark.parametrize("square", ["Pow", "Mul"])
@pytest.mark.parametrize("end", ["div", "two subtractions", "pow"])
def test_layer_normalisation_in_parts(tmp_path, square, opset, end):
    made = model(
        normalised(square, opset, end), {"x": [1, 4, 6]}, {"y": [1, 4, 6]}, {**NORM, "axes": [-1]}, opset=opset
    )
    assert kinds(imported(tmp_path, made)) == ["LayerNormalization"]


def test_layer_normalisation_by_instance_normalisation(tmp_path):
    """Every row is a channel of its own; gamma and beta follow behind."""
    nodes = [
        node("Reshape", "x rows", "r"),
        node("InstanceNormalization", "r ones zeros", "i", epsilon=1e-5),
        node("Reshape", "i back", "n"),
        node("Mul", "n gamma", "g"),
        node("Add", "g beta", "y"),
    ]
    constants = {"rows": [1, 4, 6], "back": [4, 6], "ones": np.ones(4, np.float32), "zeros": np.zeros(4, np.float32)}
    made = model(nodes, {"x": [4, 6]}, {"y": [4, 6]}, {**constants, "gamma": NORM["gamma"], "beta": NORM["beta"]})
    imported(tmp_path, made)


def test_layer_normalisation_by_pooling(tmp_path):
    nodes = [
        node("GlobalAveragePool", "x", "m"),
        node("Sub", "x m", "d"),
        node("Mul", "d d", "s"),
        node("GlobalAveragePool", "s", "v"),
        node("Add", "v eps", "e"),
        node("Sqrt", "e", "root"),
        node("Div", "d root", "n"),
        node("Mul", "n gamma", "g"),
        node("Add", "g beta", "y"),
    ]
    made = model(nodes, {"x": [1, 4, 6]}, {"y": [1, 4, 6]}, NORM)
    assert kinds(imported(tmp_path, made)) == ["LayerNormalization"]


def batch_norm(channels, name="bn"):
    return {
        f"{name}_s": random(RNG, channels) + 1,
        f"{name}_b": random(RNG, channels),
        f"{name}_m": random(RNG, channels),
        f"{name}_v": np.abs(random(RNG, channels)) + 0.5,
    }


def test_batch_normalisation_behind_a_convolution(tmp_path):
    nodes = [node("Conv", "x w b", "c"), node("BatchNormalization", "c bn_s bn_b bn_m bn_v", "y")]
    constants = {"w": random(RNG, 4, 3, 3), "b": random(RNG, 4), **batch_norm(4)}
    assert kinds(imported(tmp_path, model(nodes, {"x": [1, 3, 9]}, {"y": [1, 4, 7]}, constants))) == ["Conv"]


def test_batch_normalisation_behind_a_convolution_and_a_view(tmp_path):
    nodes = [
        node("Conv", "x w", "c"),
        node("Unsqueeze", "c last", "u"),
        node("BatchNormalization", "u bn_s bn_b bn_m bn_v", "n"),
        node("Squeeze", "n last", "y"),
    ]
    constants = {"w": random(RNG, 4, 3, 3), "last": [3], **batch_norm(4)}
    assert kinds(imported(tmp_path, model(nodes, {"x": [1, 3, 9]}, {"y": [1, 4, 7]}, constants))) == ["Conv"]


def test_batch_normalisation_behind_a_dense_layer(tmp_path):
    nodes = [
        node("MatMul", "x w", "c"),
        node("Transpose", "c", "t", perm=[0, 2, 1]),
        node("BatchNormalization", "t bn_s bn_b bn_m bn_v", "n"),
        node("Transpose", "n", "y", perm=[0, 2, 1]),
    ]
    constants = {"w": random(RNG, 3, 4), **batch_norm(4)}
    assert kinds(imported(tmp_path, model(nodes, {"x": [1, 5, 3]}, {"y": [1, 5, 4]}, constants))) == ["Gemm"]


def test_batch_normalisation_before_a_convolution(tmp_path):
    nodes = [node("BatchNormalization", "x bn_s bn_b bn_m bn_v", "n"), node("Conv", "n w b", "y")]
    constants = {"w": random(RNG, 4, 3, 3), "b": random(RNG, 4), **batch_norm(3)}
    assert kinds(imported(tmp_path, model(nodes, {"x": [1, 3, 9]}, {"y": [1, 4, 7]}, constants))) == ["Conv"]


@pytest.mark.parametrize("opset", [18, 21, 23])
def test_shapes_behind_a_group_normalisation(tmp_path, opset):
    """ONNX infers none since opset 21."""
    parameters = 2 if opset < 21 else 4
    nodes = [
        node("GroupNormalization", "x scale bias", "n", num_groups=2),
        node("Conv", "n w", "c", kernel_shape=[3], pads=[1, 1]),
        node("Relu", "c", "y"),
    ]
    constants = {"scale": random(RNG, parameters), "bias": random(RNG, parameters), "w": random(RNG, 3, 4, 3)}
    imported(tmp_path, model(nodes, {"x": [1, 4, 5]}, {"y": [1, 3, 5]}, constants, opset=opset))


def test_affine_prelu(tmp_path):
    """A gain and an offset per channel before PReLU (GTCRN's and DTLN's successors): into the convolution."""
    nodes = [node("Conv", "x w", "c"), node("Mul", "c g", "s"), node("Add", "s o", "a"), node("PRelu", "a slope", "y")]
    constants = {"w": random(RNG, 4, 3, 3), "slope": random(RNG, 4, 1)}
    constants |= {"g": random(RNG, 1, 4, 1) + 1, "o": random(RNG, 1, 4, 1)}
    assert kinds(imported(tmp_path, model(nodes, {"x": [1, 3, 9]}, {"y": [1, 4, 7]}, constants))) == ["Conv", "PRelu"]


def test_the_models_are_valid():
    onnx.checker.check_model(model(normalised(), {"x": [1, 4, 6]}, {"y": [1, 4, 6]}, {**NORM, "axes": [-1]}, opset=17))


@pytest.mark.parametrize("opset", [12, 15, 16])
@pytest.mark.parametrize("kind", ["GreaterOrEqual", "LessOrEqual"])
def test_comparisons_whose_shape_onnx_does_not_infer(kind, opset, tmp_path):
    nodes = [node(kind, "x limits", "mask"), node("Where", "mask x low", "kept"), node("Softmax", "kept", "y", axis=-1)]
    constants = {"limits": np.array([[0.1], [-0.2]], np.float32), "low": np.array(-9.0, np.float32)}
    path = save(model(nodes, {"x": [2, 6]}, {"y": [2, 6]}, constants, opset=opset), tmp_path)
    assert_same(path, load(path).graph, [{"x": random(np.random.default_rng(2), 2, 6)}])


@pytest.mark.parametrize("paired", [False, True])
def test_a_position_that_comes_out_again_is_a_state_and_no_choice(paired, tmp_path):
    """A counter of frames selects a row of a table; nothing has to be bound."""
    nodes = [
        node("Mod", "position size", "row"),
        node("Gather", "table row", "added", axis=0),
        node("Add", "x added", "y"),
        node("Add", "position one", "position_out"),
    ]
    constants = {"size": [4], "one": [1], "table": random(np.random.default_rng(3), 4, 5)}
    types = {"position": onnx.TensorProto.INT64, "position_out": onnx.TensorProto.INT64}
    shapes = {"x": [1, 5], "position": [1]}, {"y": [1, 5], "position_out": [1]}
    path = save(model(nodes, *shapes, constants, types=types), tmp_path)
    graph = load(path, states=[("position_out", "position")] if paired else []).graph
    assert [s.input for s in graph.states] == (["position"] if paired else [])
    frames = [{"x": random(np.random.default_rng(k), 1, 5)} for k in range(6)]
    if not paired:
        frames = [{**f, "position": np.array([k + 1], np.int64)} for k, f in enumerate(frames)]
    assert_same(path, graph, frames)


def test_a_sampling_rate_must_be_bound(tmp_path):
    nodes = [node("Cast", "sr", "rate", to=1), node("Mul", "x rate", "y")]
    made = model(nodes, {"x": [1, 5], "sr": []}, {"y": [1, 5]}, types={"sr": onnx.TensorProto.INT64})
    with pytest.raises(DiagnosticError, match="--bind sr=N"):
        load(save(made, tmp_path))
