"""Convolution, pooling and products of activations over drawn shapes, at the ends of the number range, and refused."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mcu_quant import frontend, ops
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.lower import lower
from mcu_quant.ops import Sample, weight
from mcu_quant.ops import given as activation
from mcu_quant.ops.common.window import Window, as_row, windows
from mcu_quant.ops.matmul import BATCH_AXES, batches
from mcu_quant.passes import optimise
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from tests import helpers
from tests.inline_c import Inlines

#: What the drawn shapes reach in each lowering, in dB; far below what the samples reach, far above a wrong result.
FLOOR_DB = {
    ("f32", None, None): 100.0,
    ("f16", None, None): 45.0,
    ("s16", "s8", None): 25.0,
    ("s16", "s16", None): 55.0,
    ("s8", "s8", None): 18.0,
    ("s8", "s8", "s16"): 18.0,
}
WITHOUT_WEIGHTS = {
    ("f32", None, None): 100.0,
    ("f16", None, None): 45.0,
    ("s16", None, None): 55.0,
    ("s8", None, None): 18.0,
}

drawn = settings(max_examples=40, deadline=None, derandomize=True)


def check(sample: Sample, floors: dict[tuple[str, str | None, str | None], float], name: str) -> None:
    """The sample's reference is onnxruntime's, its C is as specified, and near the reference, in every lowering."""
    with tempfile.TemporaryDirectory() as folder:
        case = helpers.case(sample, Path(folder))
    assert helpers.snr_db(case.onnxruntime, helpers.interpreted(case.graph, case.frames)) >= 100.0
    for (fmt, weights, output), floor in floors.items():
        line = OperatorPlan(fmt, weights=weights, output=output)
        plan = helpers.plan_in(case.graph, fmt, case.frames, {op.op: line for op in case.graph.operators})
        ran = helpers.run(case.graph, plan, case.frames)
        assert any(name in call.kernel for call in ran.program.calls)
        assert ran.mismatches == []
        assert helpers.snr_db(case.onnxruntime, ran.outputs) >= floor, (fmt, weights, output)


# --- drawn shapes ----------------------------------------------------------------------------------------------------


@st.composite
def axes(draw: st.DrawFn, rank: int, largest: int = 4) -> list[int]:
    return draw(st.lists(st.integers(1, largest), min_size=rank, max_size=rank))


@st.composite
def convolutions(draw: st.DrawFn) -> Sample:
    rank, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    channels, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel, strides, dilations = draw(axes(rank)), draw(axes(rank, 3)), draw(axes(rank, 3))
    attributes: dict[str, Any] = {"strides": strides, "group": group, "kernel_shape": kernel}
    auto = draw(st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    pads = [0] * (2 * rank)
    if auto.startswith("SAME"):
        dilations = [1] * rank  # onnxruntime refuses others
    if auto == "NOTSET":
        pads = draw(st.lists(st.integers(0, 3), min_size=2 * rank, max_size=2 * rank))
        attributes["pads"] = pads
    else:
        attributes["auto_pad"] = auto
    attributes["dilations"] = dilations
    least = [max(1, (k - 1) * d + 1 - a - b) for k, d, a, b in zip(kernel, dilations, pads, pads[rank:], strict=False)]
    size = [n + extra - 1 for n, extra in zip(least, draw(axes(rank, 6)), strict=True)]
    low = draw(st.sampled_from([-1.0, 0.0, -0.1]))
    x = activation(draw(st.integers(1, 2)), group * channels, *size, low=low, high=1.0)
    bias = (weight(group * outputs),) if draw(st.booleans()) else ()
    opset = draw(st.sampled_from([11, 13, 18, 20]))
    return Sample("Conv", (x, weight(group * outputs, channels, *kernel), *bias), attributes, opset=opset)


@drawn
@given(convolutions())
def test_convolution(sample: Sample) -> None:
    check(sample, FLOOR_DB, "conv")


@st.composite
def transposed(draw: st.DrawFn) -> Sample:
    rank, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    channels, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size, kernel, strides, dilations = draw(axes(rank, 5)), draw(axes(rank)), draw(axes(rank)), draw(axes(rank, 3))
    full = [(n - 1) * s + (k - 1) * d + 1 for n, k, s, d in zip(size, kernel, strides, dilations, strict=True)]
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": group, "kernel_shape": kernel}
    how = draw(st.sampled_from(["pads", "pads", "output_shape", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if how == "pads":
        begin = [draw(st.integers(0, (f - 1) // 2)) for f in full]
        end = [draw(st.integers(0, f - 1 - b)) for f, b in zip(full, begin, strict=True)]
        extra = [draw(st.integers(0, s - 1)) for s in strides]
        attributes |= {"pads": [*begin, *end], "output_padding": extra}
    elif how == "output_shape":
        attributes["output_shape"] = [draw(st.integers(n, f)) for n, f in zip(size, full, strict=True)]
        attributes["auto_pad"] = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER"]))
    else:
        attributes["auto_pad"] = how
    x = activation(draw(st.integers(1, 2)), group * channels, *size, low=draw(st.sampled_from([-1.0, 0.0])), high=2.0)
    bias = (weight(group * outputs),) if draw(st.booleans()) else ()
    opset = draw(st.sampled_from([11, 13, 18, 20]))
    return Sample("ConvTranspose", (x, weight(group * channels, outputs, *kernel), *bias), attributes, opset=opset)


@drawn
@given(transposed())
def test_transposed_convolution(sample: Sample) -> None:
    check(sample, FLOOR_DB, "conv")


@st.composite
def pools(draw: st.DrawFn) -> Sample:
    name = draw(st.sampled_from(["MaxPool", "AveragePool", "LpPool"]))
    rank = draw(st.integers(1, 2))
    kernel, strides = draw(axes(rank)), draw(axes(rank, 3))
    opset = draw(st.sampled_from([11, 12, 18, 19, 20]))
    dilations = [1] * rank
    if name == "MaxPool" or (name == "AveragePool" and opset >= 19):
        dilations = draw(axes(rank, 3))
    begin, end = ([draw(st.integers(0, k - 1)) for k in kernel] for _ in range(2))
    size = [(k - 1) * d + n for k, d, n in zip(kernel, dilations, draw(axes(rank, 6)), strict=True)]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
    if any(d > 1 for d in dilations):
        attributes["dilations"] = dilations
    auto = draw(st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto == "NOTSET":
        attributes["pads"] = [*begin, *end]
        if name != "LpPool" and draw(st.booleans()):
            attributes["ceil_mode"] = 1
            total = [a + b for a, b in zip(begin, end, strict=True)]
            spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
            naive = [-(-(n + t - s) // step) + 1 for n, t, s, step in zip(size, total, spans, strides, strict=True)]
            kept = [
                windows(*axis, True) for axis in zip(size, spans, strides, zip(begin, end, strict=True), strict=True)
            ]
            assume(naive == kept)
    elif auto.startswith("SAME"):
        attributes["auto_pad"] = auto
        attributes.pop("dilations", None)  # onnxruntime pads as if there were none
        assume(all(k >= s for k, s in zip(kernel, strides, strict=True)))  # and refuses others
    else:
        attributes["auto_pad"] = auto
    if name == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    if name == "LpPool":
        attributes["p"] = draw(st.integers(1, 2))
    x = activation(draw(st.integers(1, 2)), 3, *size, low=draw(st.sampled_from([-1.0, 0.0, -0.1])), high=1.0)
    return Sample(name, (x,), attributes, opset=opset)


@drawn
@given(pools())
def test_pools(sample: Sample) -> None:
    floors = {k: v for k, v in WITHOUT_WEIGHTS.items() if sample.onnx != "LpPool" or k[0] in ("f32", "f16")}
    check(sample, floors, "pool")


@st.composite
def products(draw: st.DrawFn) -> Sample:
    lead = draw(st.lists(st.integers(1, 3), max_size=3))
    rows, depth, columns = (draw(st.integers(1, 9)) for _ in range(3))

    def side(*matrix: int) -> tuple[int, ...]:
        kept = lead[draw(st.integers(0, len(lead))) :]
        return (*(n if draw(st.booleans()) else 1 for n in kept), *matrix)

    a = side(rows, depth) if draw(st.booleans()) else (depth,)
    b = side(depth, columns) if draw(st.booleans()) else (depth,)
    assume(len(a) > 1 or len(b) > 1)
    left = activation(*a, low=draw(st.sampled_from([-1.0, 0.0])), high=1.5)
    if len(b) > 2 and draw(st.booleans()):
        return Sample("MatMul", (left, weight(*b)))
    if len(a) > 1 and draw(st.booleans()):
        return Sample("MatMul", (weight(*a), activation(*b, low=0.0, high=1.0)))
    return Sample("MatMul", (left, activation(*b, low=-0.3, high=1.0)))


@drawn
@given(products())
def test_products(sample: Sample) -> None:
    check(sample, WITHOUT_WEIGHTS, "matmul")


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["both", "a", "b"])), max_size=5))
def test_leading_axes_are_merged(axes: list[tuple[int, str]]) -> None:
    shapes = [tuple(n if kind in ("both", side) else 1 for n, kind in axes) for side in "ab"]
    sizes, *steps = batches(*shapes)
    assert all(n > 1 for n in sizes)
    position = np.indices(sizes).reshape(len(sizes), int(np.prod(sizes)))
    for shape, step in zip(shapes, steps, strict=True):
        numbered = np.arange(int(np.prod(shape))).reshape(shape)
        wanted = np.broadcast_to(numbered, np.broadcast_shapes(*shapes)).ravel()
        assert np.array_equal(np.array(step, int) @ position, wanted)


@st.composite
def equations(draw: st.DrawFn) -> Sample:
    sizes = dict(zip("ijkl", draw(axes(4, 5)), strict=True))
    dots = draw(axes(2, 3)) if draw(st.booleans()) else []
    terms, inputs = [], []
    for operand in range(draw(st.integers(1, 2))):
        named = "".join(draw(st.lists(st.sampled_from("ijkl"), unique=True, min_size=0 if dots else 1, max_size=4)))
        at = draw(st.integers(0, len(named))) if dots else 0
        hidden = [n if draw(st.booleans()) else 1 for n in dots]
        shape = [*(sizes[c] for c in named[:at]), *hidden, *(sizes[c] for c in named[at:])]
        terms.append(named[:at] + "..." * bool(dots) + named[at:])
        constant = operand == 1 and draw(st.booleans())
        assume(shape)
        inputs.append(weight(*shape) if constant else activation(*shape, low=-0.5, high=1.0))
    found = sorted({c for term in terms for c in term if c != "."})
    kept = "".join(draw(st.permutations(draw(st.lists(st.sampled_from(found), unique=True)) if found else [])))
    equation = ",".join(terms) + ("->" + "..." * bool(dots) + kept if draw(st.booleans()) else "")
    return Sample("Einsum", tuple(inputs), {"equation": equation})


@drawn
@given(equations())
def test_einsum(sample: Sample) -> None:
    check(sample, {("f32", None, None): 100.0, ("f16", None, None): 40.0, ("s16", None, None): 20.0}, "")


# --- the ends of the number range ------------------------------------------------------------------------------------


def one_operator(op: Operator, shapes: dict[str, tuple[int, ...]], constants: dict[str, np.ndarray]) -> Graph:
    types = {n: TensorType(s) for n, s in shapes.items()} | {n: TensorType(c.shape) for n, c in constants.items()}
    inputs = tuple(i for i in op.inputs if i and i not in constants)
    types[op.outputs[0]] = ops.spec(op).infer(op, [types[i] if i else None for i in op.inputs])[0]
    return Graph("g", inputs, op.outputs, (op,), types, constants)


def extreme_frames(shapes: dict[str, tuple[int, ...]], magnitude: float) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(5)
    signs = [np.ones, lambda s: -np.ones(s), lambda s: random.choice([-1.0, 1.0], s)]
    return [{n: (magnitude * f(s)).astype(np.float32) for n, s in shapes.items()} for f in signs]


def assert_saturates(graph: Graph, line: OperatorPlan, frames: list[dict[str, np.ndarray]], small: float) -> None:
    """Bit-equal where inputs are at the ends of their range, and both ends of the output's range are reached."""
    op = graph.operators[0]
    ranges = {n: Range(-1.0, 1.0) for n in graph.inputs} | {op.outputs[0]: Range(-small, small)}
    program = lower(graph, PrecisionPlan("g", "test", {op.name: line}, ranges))
    session = ProgramSession(program, verify=True)
    seen = []
    for frame in frames:
        session.run(None, frame)
        seen.append(session.raw(op.outputs[0]))
    assert session.mismatches == []
    limits = np.iinfo(seen[0].dtype)
    assert np.min(seen) == limits.min
    assert np.max(seen) == limits.max


WEIGHTED = [pytest.param(OperatorPlan(f, weights=w, output=o), id=f"{f}-{w}-{o}") for f, w, o in list(FLOOR_DB)[2:]]


@pytest.mark.parametrize("line", WEIGHTED)
@pytest.mark.parametrize("signs", [1.0, -1.0, 0.0])
def test_convolution_at_the_ends(line: OperatorPlan, signs: float) -> None:
    """300 taps of 16-bit values fill the accumulator: the weights' scale must grow until they fit."""
    random = np.random.default_rng(3)
    w = np.full((2, 12, 5, 5), signs) if signs else random.choice([-1.0, 1.0], (2, 12, 5, 5))
    attributes = {"kernel_shape": (5, 5), "strides": (1, 1), "dilations": (1, 1), "pads": (2, 2, 2, 2), "group": 1}
    op = Operator("op", "Conv", ("x", "w", "b"), ("y",), attributes)
    constants = {"w": w.astype(np.float32), "b": np.array([300.0, -300.0], np.float32)}
    shapes = {"x": (1, 12, 6, 5)}
    assert_saturates(one_operator(op, shapes, constants), line, extreme_frames(shapes, 2.0), 1.0)


@pytest.mark.parametrize("line", WEIGHTED)
def test_transposed_convolution_at_the_ends(line: OperatorPlan) -> None:
    attributes = {"kernel_shape": (4, 4), "strides": (2, 2), "dilations": (1, 1), "pads": (1, 1, 1, 1), "group": 1}
    op = Operator("op", "ConvTranspose", ("x", "w"), ("y",), {**attributes, "output_padding": (0, 0)})
    constants = {"w": np.ones((64, 1, 4, 4), np.float32)}
    shapes = {"x": (1, 64, 5, 4)}
    graph = one_operator(op, shapes, constants)
    assert_saturates(graph, line, extreme_frames(shapes, 2.0), 1.0)
    # a zero point at one end makes x - x_zero as large as it can be
    ranges = {"x": Range(0.0, 1.0), "y": Range(0.0, 1000.0)}
    session = ProgramSession(lower(graph, PrecisionPlan("g", "test", {"op": line}, ranges)), verify=True)
    for frame in extreme_frames(shapes, 2.0):
        session.run(None, frame)
    assert session.mismatches == []


@pytest.mark.parametrize("fmt", ["s8", "s16"])
@pytest.mark.parametrize("depth", [1, 300])
def test_product_at_the_ends(fmt: str, depth: int) -> None:
    shapes = {"a": (2, 3, depth), "b": (2, depth, 2)}
    graph = one_operator(Operator("op", "MatMul", ("a", "b"), ("y",)), shapes, {})
    frames = [{**x, "b": b["b"]} for x in extreme_frames(shapes, 2.0) for b in extreme_frames(shapes, 2.0)]
    assert_saturates(graph, OperatorPlan(fmt), frames, 0.5)


@pytest.mark.parametrize("fmt", ["s8", "s16"])
def test_average_at_the_ends(fmt: str) -> None:
    attributes = {"kernel_shape": (7, 9), "strides": (1, 1), "dilations": (1, 1), "pads": (3, 4, 3, 4)}
    op = Operator("op", "AveragePool", ("x",), ("y",), {**attributes, "ceil_mode": 0, "count_include_pad": 0})
    shapes = {"x": (1, 2, 7, 9)}
    assert_saturates(one_operator(op, shapes, {}), OperatorPlan(fmt), extreme_frames(shapes, 2.0), 0.5)


def test_products_too_deep_for_s8_say_so() -> None:
    graph = one_operator(Operator("op", "MatMul", ("a", "b"), ("y",)), {"a": (1, 33026), "b": (33026, 1)}, {})
    reasons = ops.spec("MatMul").formats(graph.operators[0], graph)
    assert "33026" in (reasons["s8"] or "")
    assert reasons["s16"] is None


# --- together with what follows --------------------------------------------------------------------------------------


def onnx_model(
    nodes: Sequence[onnx.NodeProto], x: Sequence[int], constants: dict[str, np.ndarray], opset: int = 18
) -> onnx.ModelProto:
    outputs = [o for n in nodes for o in n.output if not any(o in m.input for m in nodes)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [onnx.ValueInfoProto(name=o) for o in outputs],
        [numpy_helper.from_array(c.astype(np.float32), n) for n, c in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    inferred = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.output}
    del model.graph.output[:]
    model.graph.output.extend(inferred[o] for o in outputs)
    return model


def imported(model: onnx.ModelProto, folder: Path) -> Graph:
    onnx.save(model, folder / "model.onnx")
    return frontend.load(folder / "model.onnx").graph


@pytest.mark.parametrize(("kind", "channels", "outputs"), [("Conv", 6, 4), ("ConvTranspose", 4, 6)])
def test_normalisation_and_activation_are_folded(kind: str, channels: int, outputs: int, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    constants = {"w": random.normal(size=(4, 3, 3)), "v": random.uniform(0.5, 2.0, outputs)}
    constants |= {n: random.normal(size=outputs) for n in "stm"}
    nodes = [
        helper.make_node(kind, ["x", "w"], ["c"], group=2, strides=[2]),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    model = onnx_model(nodes, (1, channels, 9), constants)
    graph = optimise(imported(model, tmp_path))
    assert [op.op for op in graph.operators] == [kind]
    assert graph.operators[0].attributes["activation_min"] == 0.0
    x = random.normal(size=(1, channels, 9)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    want = session.run(None, {"x": x})[0]
    for fmt, floor in (("f32", 100.0), ("f16", 45.0), ("s16", 30.0), ("s8", 20.0)):
        ran = helpers.run(graph, helpers.plan_in(graph, fmt, [{"x": x}]), [{"x": x}])
        assert ran.mismatches == []
        assert ran.outputs["y"].min() >= 0.0
        assert helpers.snr_db({"y": want[None]}, ran.outputs) >= floor


def test_stride_one_becomes_a_convolution(tmp_path: Path) -> None:
    """GTCRN's decoder: dilated depthwise layers over a cache, of which one row is kept."""
    attributes = {"group": 4, "dilations": [5, 1], "pads": [10, 1, 10, 1], "kernel_shape": [3, 3]}
    sample = Sample("ConvTranspose", (activation(1, 4, 11, 9), weight(4, 1, 3, 3), weight(4)), attributes)
    op = helpers.case(sample, tmp_path).graph.operators[0]
    assert op.op == "Conv"
    assert op.attributes["pads"] == (0, 1, 0, 1)


def test_sum_with_constant_matrix_is_a_dense_layer(tmp_path: Path) -> None:
    sample = Sample("Einsum", (weight(6, 2, 3), activation(1, 4, 6)), {"equation": "ihd,bti->bthd"})
    kinds = [op.op for op in helpers.case(sample, tmp_path).graph.operators]
    assert "Gemm" in kinds
    assert set(kinds) <= {"Gemm", "Reshape"}


def test_columns_run_as_rows() -> None:
    window, size, output = as_row(Window((5, 1), (2, 1), (1, 1), (1, 0, 2, 0)), (9, 1), (4, 1))
    assert (window, size, output) == (Window((1, 5), (1, 2), (1, 1), (0, 1, 0, 2)), (1, 9), (1, 4))
    kept = Window((5, 1), pads=(0, 1, 0, 1))
    assert as_row(kept, (9, 1), (5, 3)) == (kept, (9, 1), (5, 3))


# --- refused ---------------------------------------------------------------------------------------------------------


def refusal(model: onnx.ModelProto, folder: Path) -> str:
    with pytest.raises(DiagnosticError) as caught:
        imported(model, folder)
    assert {d.code for d in caught.value.diagnostics} == {"MQ108"}
    return str(caught.value)


def test_computed_weights_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sigmoid", ["x"], ["w"]), helper.make_node("Conv", ["x", "w"], ["y"])]
    assert "'w' is computed at run time" in refusal(onnx_model(nodes, (2, 2, 3), {}), tmp_path)


def test_three_axes_are_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("ConvTranspose", ["c", "w"], ["y"]),
    ]
    told = refusal(onnx_model(nodes, (1, 2, 3, 4, 5), {"w": np.ones((2, 2, 1, 1, 1))}), tmp_path)
    assert told.count("this one has 3") == 2


def test_indices_are_refused(tmp_path: Path) -> None:
    model = onnx_model([helper.make_node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2])], (1, 2, 4), {})
    assert "second output" in refusal(model, tmp_path)


def test_windows_beyond_the_map_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2], strides=[3], pads=[1, 1], ceil_mode=1)]
    assert "[1, 1, 3] to some and [1, 1, 4] to others" in refusal(onnx_model(nodes, (1, 1, 7), {}), tmp_path)


def test_training_is_refused(tmp_path: Path) -> None:
    names = ["x", "s", "t", "m", "v"]
    nodes = [helper.make_node("BatchNormalization", names, ["y", "rm", "rv"], training_mode=1)]
    assert "updates its statistics" in refusal(
        onnx_model(nodes, (1, 2, 3), {n: np.ones(2) for n in names[1:]}), tmp_path
    )


def test_what_is_no_norm_is_refused(tmp_path: Path) -> None:
    model = onnx_model([helper.make_node("LpPool", ["x"], ["y"], kernel_shape=[2], p=0)], (1, 2, 4), {})
    assert "p is 0" in refusal(model, tmp_path)


def test_alternating_leading_axes_are_refused() -> None:
    shapes = {"a": (2, 1, 2, 1, 2, 3), "b": (1, 2, 1, 2, 3, 2)}
    graph = one_operator(Operator("op", "MatMul", ("a", "b"), ("y",)), shapes, {})
    (constraint,) = ops.spec("MatMul").constraints
    assert constraint(graph.operators[0], graph) == "this one has 4"
    assert BATCH_AXES == 3


def test_sums_that_are_no_product_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["y"], equation="ij,ij->j")
    model = onnx_model([node], (1, 3), {"w": np.ones((2, 3))})
    assert "is repeated and summed" in refusal(model, tmp_path)


# --- two windows in a word -------------------------------------------------------------------------------------------


def test_two_products_in_one_multiplication(tmp_path: Path) -> None:
    """Every sum of two products that s8 has at the ends of its range, of both vectors, on cores without DSP."""
    own = """
    static int32_t dot(int32_t which, int32_t a, int32_t a1, int32_t b, int32_t b1, int32_t w, int32_t w1) {
        const uint32_t pairs[4] = {mq_turned_pair(a, b), mq_turned_pair(b, a), mq_turned_pair(a1, b1),
                                   mq_turned_pair(b1, a1)};
        const int8_t weights[2] = {(int8_t)w, (int8_t)w1};
        int32_t sums[4];
        mq_dots_of_pairs(pairs, weights, 2, sums);
        return sums[which];
    }
    """
    c = Inlines("mq_pair_dots.h", ["int32_t dot(" + ", ".join(["int32_t"] * 7) + ")"], tmp_path, own)
    ends = np.array([-128, -127, -1, 0, 1, 127], np.int32)
    a, a1, b, b1, w, w1 = (v.ravel() for v in np.meshgrid(*[ends] * 6))
    for which, (x, x1) in enumerate([(a, a1), (b, b1), (b, b1), (a, a1)]):
        assert np.array_equal(c["dot"](np.full_like(a, which), a, a1, b, b1, w, w1), -(x * w + x1 * w1))
