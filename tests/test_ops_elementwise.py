"""Elementwise operators, reductions, softmax, normalisations: any shape, any scale, extreme values, memory reused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib.stride_tricks import as_strided
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from mcu_quant import formats, ops
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.interpret import execute
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.lower import lower
from mcu_quant.ops import NodeContext
from mcu_quant.ops.elementwise import BINARIES, LOOPS, few_loops, loops
from mcu_quant.ops.reduce import KINDS, runs
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Access, Buffer, Call, Program, Purpose, View

INTEGERS = ("s8", "s16")
some = settings(max_examples=60, deadline=None)
RANGES = st.tuples(st.floats(-100.0, 0.0), st.floats(0.0, 100.0)).filter(lambda r: r[1] - r[0] > 1e-3)


# --- one operator in one format --------------------------------------------------------------------------------------


def graph_of(operator: str, inputs: Mapping[str, Shape | Array], output: Shape, /, **attributes: Any) -> Graph:
    """One canonical operator "op" with output "y"; inputs given by shape are fed, those given by value constants."""
    constants = {n: v for n, v in inputs.items() if isinstance(v, np.ndarray)}
    shapes = {n: tuple(v.shape) if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    types = {n: TensorType(s) for n, s in {**shapes, "y": output}.items()}
    op = Operator("op", operator, tuple(inputs), ("y",), attributes)
    return Graph("test", tuple(n for n in inputs if n not in constants), ("y",), (op,), types, constants)


class Ran:
    """An operator in a format on given inputs: real inputs as stored, the stored output, and what reads both."""

    def __init__(self, graph: Graph, fmt: str, feeds: Mapping[str, Array], ranges: Mapping[str, tuple[float, float]]):
        self.program = program_of(graph, fmt, ranges)
        session = ProgramSession(self.program, verify=True)
        session.run(None, {n: np.asarray(v, np.float32) for n, v in feeds.items()})
        self.mismatches = session.mismatches
        self.y = session.raw("y").astype(np.int64)
        self.quant = self.program.edges["y"].type.quant
        self.format = formats.get(fmt)
        call = self.call()
        #: operands in f64, by parameter of the C function
        self.operands: dict[str, Array] = {}
        for name, arg in call.args.items():
            if getattr(arg, "access", None) is Access.READ:
                type_ = self.program.edges[arg.edge].type
                self.operands[name] = (
                    session.raw(arg.edge).astype(np.float64) - type_.quant.zero_point
                ) * type_.quant.scale

    def call(self) -> Call:
        """The call that computes."""
        return next(c for c in self.program.calls if c.purpose is Purpose.COMPUTE)

    def error(self, real: Array) -> Array:
        """Distance of the output from a real result, in steps, where the format can represent that at all."""
        assert self.quant
        steps = np.clip(real / self.quant.scale + self.quant.zero_point, self.format.minimum, self.format.maximum)
        return np.abs(self.y - steps)


def program_of(graph: Graph, fmt: str, ranges: Mapping[str, tuple[float, float]]) -> Program:
    plan = PrecisionPlan("test", "test", {"op": OperatorPlan(fmt)}, {n: Range(*r) for n, r in ranges.items()})
    return lower(graph, plan)


def drawn(shape: Shape, limits: tuple[float, float], seed: int) -> Array:
    """Values over a range and a little beyond, with both ends and zero among them."""
    random = np.random.default_rng(seed)
    x = random.uniform(1.1 * limits[0], 1.1 * limits[1], shape)
    special = np.array([limits[0], limits[1], 0.0])
    return np.where(random.random(shape) < 0.2, random.choice(special, shape), x).astype(np.float32)


# --- broadcasting ----------------------------------------------------------------------------------------------------


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=6, max_side=4))
def test_loops_visit_what_numpy_broadcasts(shapes: hnp.BroadcastableShapes) -> None:
    a, b = shapes.input_shapes
    found = loops(a, b)
    assert len(found.shape) <= max(1, len(shapes.result_shape))
    assert all(n > 1 for n in found.shape) or prod(found.shape) == 1
    for shape, steps in ((a, found.a_step), (b, found.b_step)):
        positions = np.arange(prod(shape), dtype=np.int64)
        walked = as_strided(positions, found.shape, [s * positions.itemsize for s in steps])
        assert np.array_equal(walked.ravel(), np.broadcast_to(positions.reshape(shape), shapes.result_shape).ravel())


def test_loops_are_few_where_axes_move_alike() -> None:
    assert loops((2, 3, 4, 5), (2, 3, 4, 5)).shape == (120,)
    assert loops((2, 3, 4, 5), (5,)).shape == (24, 5)
    assert loops((2, 3, 4, 5), ()).shape == (120,)
    assert loops((1, 1), (1, 1)).shape == (1,)
    assert loops((1, 8, 1, 9), (1, 8, 1, 1)).shape == (8, 9)


def test_too_many_loops_are_refused() -> None:
    graph = graph_of("Add", {"a": (2, 1) * 3 + (2,), "b": (1, 2) * 3 + (1,)}, (2,) * 7)
    assert "take 7" in str(few_loops(graph.operators[0], graph))
    graph = graph_of("Add", {"a": (2, 1) * 3, "b": (1, 2) * 3}, (2,) * LOOPS)
    assert few_loops(graph.operators[0], graph) is None


# --- two operands ----------------------------------------------------------------------------------------------------


def _binary(
    name: str, fmt: str, shapes: hnp.BroadcastableShapes, limits: list[tuple[float, float]], constant: bool
) -> Ran:
    a, b = shapes.input_shapes
    second: Shape | Array = drawn(b, limits[1], 2) if constant else b
    graph = graph_of(name, {"a": a, "b": second}, shapes.result_shape)
    feeds = {"a": drawn(a, limits[0], 1)} | ({} if constant else {"b": drawn(b, limits[1], 2)})
    return Ran(graph, fmt, feeds, {"a": limits[0], "b": limits[1], "y": limits[2]})


@pytest.mark.parametrize("fmt", INTEGERS)
@pytest.mark.parametrize("name", ["Add", "Sub", "Mul", "Max", "Min"])
@some
@given(
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=5),
    st.lists(RANGES, min_size=3, max_size=3),
)
def test_integers_of_any_shape_and_scale(
    name: str, fmt: str, shapes: hnp.BroadcastableShapes, limits: list[tuple[float, float]]
) -> None:
    ran = _binary(name, fmt, shapes, limits, constant=False)
    assert ran.mismatches == []
    p = ran.call().args["p"].fields
    # half a step of the last rounding, and what mq_elementwise.h and mq_fixed.h add to it
    bound = 0.5 + 2.0 ** (1 - p["fraction"]) if "fraction" in p else 0.5 + 2.0 ** (min(p["shift"], 0) - 1)
    assert np.all(ran.error(BINARIES[name].f(ran.operands["a"], ran.operands["b"])) <= bound + 1e-4)


@pytest.mark.parametrize("fmt", INTEGERS)
@some
@given(st.lists(RANGES, min_size=3, max_size=3), st.integers(1, 4), st.integers(1, 9))
def test_prelu_of_any_scale(fmt: str, limits: list[tuple[float, float]], rows: int, columns: int) -> None:
    graph = graph_of("PRelu", {"x": (rows, columns), "slope": (rows, 1)}, (rows, columns))
    feeds = {"x": drawn((rows, columns), limits[0], 1), "slope": drawn((rows, 1), limits[1], 2)}
    ran = Ran(graph, fmt, feeds, dict(zip(("x", "slope", "y"), limits, strict=True)))
    assert ran.mismatches == []
    x, slope = ran.operands["x"], ran.operands["slope"]
    assert np.all(ran.error(np.where(x < 0, x * slope, x)) <= 1.0 + 1e-4)


@pytest.mark.parametrize("fmt", INTEGERS)
@pytest.mark.parametrize("name", ["Add", "Sub", "Mul", "Max", "Min"])
@pytest.mark.parametrize("limits", [(1e-6, 1e-6, 1e3), (1e3, 1e-6, 1e-3), (1e3, 1e3, 0.1), (1e-30, 1.0, 1.0)])
def test_scales_far_apart(name: str, fmt: str, limits: tuple[float, ...]) -> None:
    """Results that vanish, and results that saturate at every corner of both inputs."""
    ends = [(-v, v) for v in limits]
    a, b = (np.array(e, np.float32) for e in ends[:2])
    feeds = {"a": np.repeat(a, 2)[None], "b": np.tile(b, 2)[None]}
    graph = graph_of(name, {"a": (1, 4), "b": (1, 4)}, (1, 4))
    ran = Ran(graph, fmt, feeds, dict(zip(("a", "b", "y"), ends, strict=True)))
    assert ran.mismatches == []
    real = BINARIES[name].f(ran.operands["a"], ran.operands["b"])
    assert ran.quant
    far = np.abs(real / ran.quant.scale) > 2 * ran.format.maximum
    assert np.all(ran.error(real)[far] == 0), "beyond the range it saturates on the right side"
    assert np.all(ran.error(real)[np.abs(real / ran.quant.scale) < 0.25] <= 0.75)


def test_constant_operand_is_quantised_on_its_own_range() -> None:
    shapes = hnp.BroadcastableShapes(((2, 3, 4), (3, 1)), (2, 3, 4))
    ran = _binary("Mul", "s16", shapes, [(-1.0, 1.0), (-50.0, 3.0), (-50.0, 50.0)], constant=True)
    assert ran.mismatches == []
    constant = next(c for c in ran.program.constants.values() if c.format == "s16")
    assert np.abs(constant.array).max() == 32767


def test_an_operand_may_be_used_twice() -> None:
    graph = graph_of("Mul", {"a": (3, 4)}, (3, 4))
    graph = replace(graph, operators=(Operator("op", "Mul", ("a", "a"), ("y",)),))
    ran = Ran(graph, "s16", {"a": drawn((3, 4), (-2.0, 2.0), 5)}, {"a": (-2.0, 2.0), "y": (0.0, 4.0)})
    assert ran.mismatches == []
    assert np.all(ran.error(ran.operands["a"] ** 2) <= 1.0)


# --- canonical forms -------------------------------------------------------------------------------------------------


def canonical(op: Operator, graph: Graph, opset: int = 18) -> Graph:
    """The graph with its one operator in canonical form."""
    spec = ops.by_onnx()[op.op]
    assert spec.canonicalise
    made = spec.canonicalise(op, NodeContext(graph, opset))
    return replace(
        graph,
        operators=made.operators,
        constants={**graph.constants, **made.constants},
        types={**graph.types, **made.types},
    )


@pytest.mark.parametrize("divisor", [[2.0, 0.0], [1e-40, 1.0], [3e38, 1.0]])
def test_division_by_what_has_no_reciprocal_stays(divisor: list[float]) -> None:
    graph = graph_of("Div", {"a": (3, 2), "b": np.array(divisor, np.float32)}, (3, 2))
    assert [o.op for o in canonical(graph.operators[0], graph).operators] == ["Div"]


def test_division_by_a_constant_multiplies() -> None:
    graph = graph_of("Div", {"a": (3, 2), "b": np.array([4.0, -0.5], np.float32)}, (3, 2))
    made = canonical(graph.operators[0], graph)
    assert [o.op for o in made.operators] == ["Mul"]
    x = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    assert np.array_equal(execute(made, {"a": x})["y"], x / np.array([4.0, -0.5], np.float32))


@pytest.mark.parametrize(
    ("exponent", "want"),
    [(1, "Reshape"), (2, "Mul"), (0.5, "Sqrt"), (-1.0, "Reciprocal"), (3, "Power"), (0.3, "Power"), (-2.0, "Power")],
)
def test_constant_powers(exponent: float, want: str) -> None:
    graph = graph_of("Pow", {"a": (5,), "b": np.array(exponent)}, (5,))
    made = canonical(graph.operators[0], graph)
    assert [o.op for o in made.operators] == [want]
    x = np.array([0.25, 0.5, 1.0, 2.0, 3.0], np.float32)
    assert np.allclose(execute(made, {"a": x})["y"], x**exponent, rtol=1e-6)


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Exp", "Swish", "Elu", "Softplus", "Sigmoid", "Relu"])
@pytest.mark.parametrize("limits", [(-4.0, 1.0), (-1.0, 4.0), (-8.0, 0.1)])
def test_16_bit_table_over_a_lopsided_range(name: str, limits: tuple[float, float]) -> None:
    """The table is symmetric, so f leaves its calibrated range inside it: that must cost nothing within the range."""
    x = np.linspace(*limits, 4001, dtype=np.float32)
    function = ops.activation.FUNCTIONS[name]  # type: ignore[attr-defined]
    parameters = dict(function.parameters)
    want = function.f(x.astype(np.float64), *parameters.values())
    ranges = {"x": limits, "y": (float(want.min()), float(want.max()))}
    ran = Ran(graph_of(name, {"x": x.shape}, x.shape, **parameters), "s16", {"x": x}, ranges)
    assert ran.mismatches == []
    step = np.abs(want).max() / 32767
    # rounding of x, of the table and of the result, and the bend of f between two points
    slope = np.abs(np.diff(want) / np.diff(x.astype(np.float64))).max()
    bend = np.abs(np.diff(want, 2)).max() / (x[1] - x[0]) ** 2 * (max(-limits[0], limits[1]) / 256) ** 2 / 8
    kink = slope * max(-limits[0], limits[1]) / 32767
    assert np.abs(ran.y * ran.quant.scale - want).max() <= 1.5 * step + kink + min(bend, step * 40)


@pytest.mark.parametrize("name", ["Sqrt", "Log", "Floor", "Reciprocal", "Tan"])
def test_sharp_functions_have_no_16_bit_table(name: str) -> None:
    graph = graph_of(name, {"x": (3,)}, (3,))
    reasons = ops.spec(name).formats(graph.operators[0], graph)
    assert reasons["s8"] is None
    assert "too sharply" in str(reasons["s16"])


def test_every_input_of_an_8_bit_table_is_exact() -> None:
    x = np.arange(-128, 128).astype(np.float32) / 32
    ran = Ran(graph_of("Tanh", {"x": (256,)}, (256,)), "s8", {"x": x}, {"x": (-4.0, 127 / 32), "y": (-1.0, 1.0)})
    assert ran.mismatches == []
    assert np.all(ran.error(np.tanh(ran.operands["x"])) <= 0.5 + 1e-9)


# --- reductions ------------------------------------------------------------------------------------------------------


@given(hnp.array_shapes(max_dims=5, max_side=4), st.data())
def test_runs_hold_all_axes_and_can_be_reduced_at_once(shape: Shape, data: st.DataObject) -> None:
    axes = sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    found = runs(shape, axes)
    covered = {a for part in found for a in part}
    assert all(shape[a] == 1 for a in set(axes) - covered)
    for part in found:
        between = set(range(part[0], part[-1] + 1)) - set(part)
        assert all(shape[a] == 1 for a in between)


@some
@given(
    st.sampled_from(sorted(KINDS)), hnp.array_shapes(max_dims=5, max_side=4), st.booleans(), st.booleans(), st.data()
)
def test_reductions_over_any_axes(kind: str, shape: Shape, keep: bool, old: bool, data: st.DataObject) -> None:
    """Whatever the canonical form splits it into means the same, and its kernels compute it."""
    axes = tuple(data.draw(st.sets(st.integers(-len(shape), -1))))
    names = {"sumsquare": "SumSquare", "logsum": "LogSum", "logsumexp": "LogSumExp"}
    over = tuple(a % len(shape) for a in axes) or tuple(range(len(shape)))
    y_shape = np.zeros(shape).sum(axis=over, keepdims=keep).shape
    inputs: dict[str, Shape | Array] = {"x": shape} if old or not axes else {"x": shape, "axes": np.array(axes)}
    attributes = {"keepdims": int(keep)} | ({"axes": axes} if old and axes else {})
    graph = graph_of(f"Reduce{names.get(kind, kind.capitalize())}", inputs, y_shape, **attributes)
    made = canonical(graph.operators[0], graph)
    x = np.random.default_rng(len(shape)).uniform(0.5, 1.5, shape).astype(np.float32)
    want = KINDS[kind].f(x.astype(np.float64), axis=over, keepdims=keep)
    assert np.allclose(execute(made, {"x": x})["y"], want, rtol=1e-5)
    plan = PrecisionPlan("test", "test", {o.name: OperatorPlan("f32") for o in made.operators})
    session = ProgramSession(lower(made, plan))
    assert np.allclose(session.run(None, {"x": x})[0], want, rtol=1e-5)


@pytest.mark.parametrize("fmt", INTEGERS)
@pytest.mark.parametrize("kind", ["sum", "mean", "max", "min"])
@some
@given(RANGES, RANGES, st.tuples(st.integers(1, 4), st.integers(1, 70), st.integers(1, 4)))
def test_integer_reductions(
    kind: str, fmt: str, limits: tuple[float, float], out: tuple[float, float], shape: tuple[int, int, int]
) -> None:
    graph = graph_of("Reduce", {"x": shape}, (shape[0], 1, shape[2]), kind=kind, axes=(1,), keepdims=True)
    ran = Ran(graph, fmt, {"x": drawn(shape, limits, 7)}, {"x": limits, "y": out})
    assert ran.mismatches == []
    real = KINDS[kind].f(ran.operands["x"], axis=1, keepdims=True)
    p = ran.call().args.get("p")
    bound = 0.5 + 2.0 ** (min(p.fields["shift"], 0) - 1) if p else 0.0
    assert np.all(ran.error(real) <= bound + 1e-6)


def test_a_sum_that_could_overflow_is_refused() -> None:
    for count, refused in ((32768, False), (65536, False), (65537, True)):
        graph = graph_of("Reduce", {"x": (1, count)}, (1, 1), kind="mean", axes=(1,), keepdims=True)
        reason = ops.spec("Reduce").formats(graph.operators[0], graph)["s16"]
        assert (reason is not None) == refused
    limits = (-1.0, 1.0)
    graph = graph_of("Reduce", {"x": (1, 65536)}, (1, 1), kind="mean", axes=(1,), keepdims=True)
    for end in limits:
        ran = Ran(graph, "s16", {"x": np.full((1, 65536), end)}, {"x": limits, "y": limits})
        assert ran.mismatches == []
        assert ran.y == 32767 * end


@pytest.mark.parametrize("kind", [k for k in KINDS if not KINDS[k].integer])
def test_other_kinds_are_refused_in_integers(kind: str) -> None:
    graph = graph_of("Reduce", {"x": (1, 5)}, (1, 1), kind=kind, axes=(1,), keepdims=True)
    assert "no kernel in integers" in str(ops.spec("Reduce").formats(graph.operators[0], graph)["s8"])


# --- softmax ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", INTEGERS)
@some
@given(RANGES, st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 3)))
@example((-1e-3, 0.0), (1, 3, 1))
@example((-100.0, 100.0), (2, 5, 3))
def test_integer_softmax(fmt: str, limits: tuple[float, float], shape: tuple[int, int, int]) -> None:
    ran = Ran(graph_of("Softmax", {"x": shape}, shape, axis=1), fmt, {"x": drawn(shape, limits, 8)}, {"x": limits})
    assert ran.mismatches == []
    exp = np.exp(ran.operands["x"] - ran.operands["x"].max(axis=1, keepdims=True))
    assert np.all(ran.error(exp / exp.sum(axis=1, keepdims=True)) <= 0.52)


@pytest.mark.parametrize("fmt", INTEGERS)
@pytest.mark.parametrize("count", [1, 2, 1000, 100_000])
def test_integer_softmax_of_equal_and_of_lonely_values(fmt: str, count: int) -> None:
    graph = graph_of("Softmax", {"x": (1, count)}, (1, count), axis=1)
    one, zero = {"s8": (256, -128), "s16": (32768, 0)}[fmt]
    ran = Ran(graph, fmt, {"x": np.full((1, count), -3.0)}, {"x": (-5.0, 5.0)})
    assert ran.mismatches == []
    assert np.all(np.abs(ran.y - min(one / count + zero, formats.get(fmt).maximum)) <= 0.5)
    lonely = np.full((1, count), -90.0)
    lonely[0, -1] = 90.0
    ran = Ran(graph, fmt, {"x": lonely}, {"x": (-90.0, 90.0)})
    assert ran.mismatches == []
    assert ran.y[0, -1] == formats.get(fmt).maximum
    assert np.all(ran.y[0, :-1] == zero)


@pytest.mark.parametrize("fmt", INTEGERS)
@some
@given(RANGES, st.floats(-300.0, -0.01), st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 3)))
def test_integer_log_softmax(fmt: str, limits: tuple[float, float], low: float, shape: tuple[int, int, int]) -> None:
    graph = graph_of("LogSoftmax", {"x": shape}, shape, axis=1)
    ran = Ran(graph, fmt, {"x": drawn(shape, limits, 9)}, {"x": limits, "y": (low, 0.0)})
    assert ran.mismatches == []
    shifted = ran.operands["x"] - ran.operands["x"].max(axis=1, keepdims=True)
    real = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    bound = 0.5 + 2.0 ** (1 - ran.call().args["p"].fields["fraction"])
    assert ran.quant
    assert np.all(ran.error(real) <= bound + 1e-6 / ran.quant.scale + 1e-6)


# --- normalisations --------------------------------------------------------------------------------------------------


def _normalised(x: Array, epsilon: float, centre: bool) -> Array:
    d = x - x.mean(axis=-1, keepdims=True) if centre else x
    power = (d * d).mean(axis=-1, keepdims=True) + epsilon
    return np.where(power > 0, d / np.sqrt(np.where(power > 0, power, 1.0)), 0.0)


@pytest.mark.parametrize("fmt", INTEGERS)
@pytest.mark.parametrize("name", ["LayerNormalization", "RMSNormalization"])
@some
@given(
    RANGES, RANGES, st.integers(1, 3), st.integers(1, 70), st.sampled_from([0.0, 1e-9, 1e-5, 1.0, 1e6]), st.booleans()
)
def test_integer_normalisation(
    name: str,
    fmt: str,
    limits: tuple[float, float],
    out: tuple[float, float],
    rows: int,
    count: int,
    epsilon: float,
    bias: bool,
) -> None:
    random = np.random.default_rng(count)
    gain = random.normal(0.0, out[1] - out[0], count).astype(np.float32)
    offset = random.normal(0.0, out[1] - out[0], count).astype(np.float32)
    inputs: dict[str, Shape | Array] = {"x": (rows, count), "gain": gain} | ({"bias": offset} if bias else {})
    graph = graph_of(name, inputs, (rows, count), axis=1, epsilon=epsilon)
    ran = Ran(graph, fmt, {"x": drawn((rows, count), limits, 10)}, {"x": limits, "y": out})
    assert ran.mismatches == []
    real = _normalised(ran.operands["x"], epsilon, name == "LayerNormalization") * gain + (offset if bias else 0.0)
    p = ran.call().args["p"].fields
    # epsilon is rounded to an integer; a row of few steps feels that
    x_scale = next(e.type.quant.scale for e in ran.program.edges.values() if e.name.startswith("x@"))
    coarse = epsilon * (count / x_scale) ** 2 < 1e4
    slack = 0.01 * np.abs(real / ran.quant.scale) if coarse and epsilon else 0.0
    assert np.all(ran.error(real) <= 0.5 + 2.0 ** (1 - p["fraction"]) + 0.01 + slack)


@pytest.mark.parametrize("fmt", INTEGERS)
@pytest.mark.parametrize("count", [1, 2, 3, 1024, 32767])
@pytest.mark.parametrize("kind", ["equal", "outlier", "corners", "zero"])
def test_normalisation_of_extreme_rows(fmt: str, count: int, kind: str) -> None:
    x = np.full((2, count), {"equal": 1.0, "outlier": -1.0, "corners": 1.0, "zero": 0.0}[kind])
    if kind == "outlier":
        x[:, 0] = 1.0
    if kind == "corners":
        x[:, ::2] = -1.0
    gain, bias = np.full(count, 1.5, np.float32), np.full(count, -0.25, np.float32)
    graph = graph_of("LayerNormalization", {"x": x.shape, "g": gain, "b": bias}, x.shape, axis=1, epsilon=1e-5)
    largest = 1.5 * np.sqrt(count) + 0.25
    ran = Ran(graph, fmt, {"x": x}, {"x": (-1.0, 1.0), "y": (-largest, largest)})
    assert ran.mismatches == []
    real = _normalised(ran.operands["x"], 1e-5, centre=True) * 1.5 - 0.25
    assert np.all(ran.error(real) <= 0.52)


def test_rows_too_long_for_integers_are_refused() -> None:
    graph = graph_of(
        "RMSNormalization", {"x": (1, 32768), "g": np.ones(32768, np.float32)}, (1, 32768), axis=1, epsilon=0.0
    )
    assert "32768" in str(ops.spec("RMSNormalization").formats(graph.operators[0], graph)["s16"])


@pytest.mark.parametrize("fmt", ["f32", "f16", *INTEGERS])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_group_normalisation(fmt: str, groups: int) -> None:
    """Against ONNX's own evaluator: shape inference does not know the operator, so no model of it can be a sample."""
    random = np.random.default_rng(groups)
    x = random.normal(size=(2, 6, 5, 3)).astype(np.float32)
    scale, bias = (random.normal(size=6).astype(np.float32) for _ in range(2))
    node = helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=groups, epsilon=1e-3)
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n in ("x", "y")]
    constants = [numpy_helper.from_array(scale, "s"), numpy_helper.from_array(bias, "b")]
    proto = helper.make_model(
        helper.make_graph([node], "g", info[:1], info[1:], constants), opset_imports=[helper.make_opsetid("", 21)]
    )
    (want,) = ReferenceEvaluator(proto).run(None, {"x": x})
    inputs = {"x": x.shape, "s": scale, "b": bias}
    graph = graph_of("GroupNormalization", inputs, x.shape, num_groups=groups, epsilon=1e-3)
    made = canonical(graph.operators[0], graph, 21)
    assert np.allclose(execute(made, {"x": x})["y"], want, atol=1e-5)
    program = program_of(made, fmt, {"x": (x.min(), x.max()), "y": (want.min(), want.max())})
    session = ProgramSession(program, verify=True)
    have = session.run(None, {"x": x})[0]
    assert session.mismatches == []
    error_db = -10 * np.log10(np.sum((have - want) ** 2) / np.sum(want**2))
    assert error_db > {"f32": 115.0, "f16": 60.0, "s16": 76.0, "s8": 33.0}[fmt]


def test_group_parameters_of_old_opsets_are_per_channel() -> None:
    scale, bias = np.array([2.0, 3.0], np.float32), np.array([0.5, -0.5], np.float32)
    graph = graph_of("GroupNormalization", {"x": (1, 4, 3), "s": scale, "b": bias}, (1, 4, 3), num_groups=2)
    made = canonical(graph.operators[0], graph, 18)
    assert [made.constants[i].tolist() for i in made.operators[0].inputs[1:]] == [[2, 2, 3, 3], [0.5, 0.5, -0.5, -0.5]]


@pytest.mark.parametrize("fmt", ["f32", "f16", *INTEGERS])
def test_a_zero_vector_has_a_zero_direction(fmt: str) -> None:
    x = np.array([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]], np.float32)
    graph = graph_of("LpNormalization", {"x": (2, 3)}, (2, 3), axis=1, p=2)
    session = ProgramSession(program_of(graph, fmt, {"x": (0.0, 4.0), "y": (0.0, 1.0)}), verify=True)
    have = session.run(None, {"x": x})[0]
    assert session.mismatches == []
    assert np.allclose(have, [[0.6, 0.0, 0.8], [0.0, 0.0, 0.0]], atol=0.01)
    assert np.all(have[1] == 0.0)


# --- memory ----------------------------------------------------------------------------------------------------------


IN_PLACE: list[tuple[str, str, dict[str, Any], Callable[[int], dict[str, Shape | Array]]]] = [
    *((name, "a", {}, lambda n: {"a": (2, n), "b": (2, n)}) for name in BINARIES if name != "PRelu"),
    *((name, "b", {}, lambda n: {"a": (n,), "b": (2, n)}) for name in ("Add", "Mul")),
    ("PRelu", "x", {}, lambda n: {"x": (2, n), "slope": (n,)}),
    ("Tanh", "x", {}, lambda n: {"x": (2, n)}),
    ("Softmax", "x", {"axis": 0}, lambda n: {"x": (2, n)}),
    ("LogSoftmax", "x", {"axis": 1}, lambda n: {"x": (2, n)}),
    ("LpNormalization", "x", {"axis": 1, "p": 2}, lambda n: {"x": (2, n)}),
    (
        "LayerNormalization",
        "x",
        {"axis": 1, "epsilon": 1e-5},
        lambda n: {"x": (2, n), "g": np.ones(n, np.float32), "b": np.ones(n, np.float32)},
    ),
]


@pytest.mark.parametrize("fmt", ["f32", "f16", *INTEGERS])
@pytest.mark.parametrize(("name", "sink", "attributes", "inputs"), IN_PLACE)
def test_result_over_operand(
    name: str, sink: str, attributes: dict[str, Any], inputs: Callable[[int], dict[str, Shape | Array]], fmt: str
) -> None:
    """Where a kernel says that it works in place, it gives the same there."""
    if fmt in INTEGERS and name in ("Div", "Pow"):
        pytest.skip("not in integers")
    fed = {n: v for n, v in inputs(33).items() if not isinstance(v, np.ndarray)}
    graph = graph_of(name, inputs(33), (2, 33), **attributes)
    # no result may overwrite an input of the model, so the operands are made of them first
    before = tuple(Operator(f"neg_{n}", "Neg", (n,), (f"{n}_",)) for n in fed)
    op = graph.operators[0].with_inputs({n: f"{n}_" for n in fed})
    types = {**graph.types, **{f"{n}_": TensorType(s) for n, s in fed.items()}}
    graph = replace(graph, operators=(*before, op), types=types)
    ranges = {n: Range(-1.0, 1.0) for n in (*fed, *(f"{n}_" for n in fed))} | {"y": Range(-4.0, 4.0)}
    plan = PrecisionPlan("test", "test", {o.name: OperatorPlan(fmt) for o in graph.operators}, ranges)
    program = lower(graph, plan)
    call = next(c for c in program.calls if c.operator == "op")
    assert (sink, "y") in ops.kernels()[call.kernel].inplace
    operand = call.args[sink]
    assert isinstance(operand, Buffer)
    base = program.edges[operand.edge]
    over = {**program.edges, "y": replace(program.edges["y"], view=View(base.name), role=base.role)}
    apart, together = ProgramSession(program), ProgramSession(replace(program, edges=over, outputs=()))
    random = np.random.default_rng(12)
    feeds = {n: random.uniform(-1.0, -0.1, s).astype(np.float32) for n, s in fed.items()}
    apart.run(None, feeds)
    together.run([], feeds)
    assert np.array_equal(together.raw("y"), apart.raw("y"))
    assert np.abs(apart.tap("y")).max() > 0.0
