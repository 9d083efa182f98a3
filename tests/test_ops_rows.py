"""Reductions, softmax and normalisations: any shape, any scale, extreme values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from mcu_quant import formats, ops
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.interpret import execute
from mcu_quant.ir import Array, Shape
from mcu_quant.lower import lower
from mcu_quant.ops.reduce import KINDS, runs
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from tests.one_operator import INTEGERS, RANGES, Ran, canonical, drawn, graph_of, program_of

some = settings(max_examples=60, deadline=None)


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
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("count", [2, 528, 4096])
@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e-3, 1e-2])
def test_values_far_below_epsilon_keep_their_precision(fmt: str, centre: bool, count: int, size: float) -> None:
    """A layer that hears nothing: y = x / sqrt(epsilon), to half a step of its own small range."""
    x = np.random.default_rng(count).uniform(-size, size, (2, count)).astype(np.float32)
    inputs: dict[str, Shape | Array] = {"x": x.shape, "g": np.ones(count, np.float32)}
    name = "LayerNormalization" if centre else "RMSNormalization"
    graph = graph_of(name, inputs, x.shape, axis=1, epsilon=1e-5)
    largest = 2.0 * size / np.sqrt(1e-5)
    ran = Ran(graph, fmt, {"x": x}, {"x": (-size, size), "y": (-largest, largest)})
    assert ran.mismatches == []
    assert np.all(ran.error(_normalised(ran.operands["x"], 1e-5, centre)) <= 0.52)
    assert np.abs(ran.y).max() > ran.format.maximum / 8


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
