"""Elementwise operators: any shape, any scale, extreme values, memory reused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib.stride_tricks import as_strided

from mcu_quant import ops
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.interpret import execute
from mcu_quant.ir import Array, Operator, Shape, TensorType
from mcu_quant.lower import lower
from mcu_quant.ops.elementwise import BINARIES, LOOPS, few_loops, loops
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Buffer, View
from tests.one_operator import INTEGERS, RANGES, Ran, canonical, drawn, graph_of

some = settings(max_examples=60, deadline=None)


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
    if fmt in INTEGERS and name in ("Div", "Pow", "Mod", "Remainder"):
        assert ops.spec(name).lowering(fmt) is None
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
