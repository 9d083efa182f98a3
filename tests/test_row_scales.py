"""Scales found per frame: rows of a product each have their own, so that a loud one takes nothing from others."""

import numpy as np
import pytest

from mcu_quant.emulator.program import ProgramSession
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.metrics import snr_db
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range

FRAME = OperatorPlan("s8", scale=ScaleKind.FRAME)
LEVELS = np.array([1.0, 1e-3, 30.0, 0.1, 1e-2], np.float32)


def product(kind: str) -> Graph:
    """y[2, 5, 9] = x[2, 5, 40] times a matrix: the constant w, or the input b, one for both."""
    w = np.random.default_rng(2).normal(0, 0.3, (9, 40)).astype(np.float32)
    constant = kind == "Gemm"
    inputs, second = (("x",), "w") if constant else (("x", "b"), "b")
    op = Operator("op", kind, ("x", second), ("y",))
    types = {
        "x": TensorType((2, 5, 40)),
        "b": TensorType((40, 9)),
        "w": TensorType((9, 40)),
        "y": TensorType((2, 5, 9)),
    }
    used = {n: t for n, t in types.items() if n in (*op.inputs, *op.outputs)}
    return Graph("rows", inputs, ("y",), (op,), used, {"w": w} if constant else {})


@pytest.mark.parametrize("f16", [True, False])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_a_quiet_row_beside_a_loud_one_keeps_its_resolution(kind: str, positive: bool, f16: bool) -> None:
    graph = product(kind)
    low = 0.0 if positive else -30.0
    plan = PrecisionPlan("rows", "test", {"op": FRAME}, {"x": Range(low, 30.0), "b": Range(-1, 1), "y": Range(-1, 1)})
    session = ProgramSession(lower(graph, plan, Target(f16=f16)), verify=True)
    rng = np.random.default_rng(3)
    x = (LEVELS[:, None] * rng.uniform(0 if positive else -1, 1, (2, 5, 40))).astype(np.float32)
    b = rng.uniform(-1, 1, (40, 9)).astype(np.float32)
    [y] = session.run(["y"], {"x": x} if kind == "Gemm" else {"x": x, "b": b})
    wanted = x @ (graph.constants["w"].T if kind == "Gemm" else b)
    for k in np.ndindex(2, 5):
        assert snr_db(wanted[k], y[k]) > 30.0, k
    assert session.mismatches == []


def test_silent_rows_are_zero() -> None:
    graph = product("MatMul")
    plan = PrecisionPlan("rows", "test", {"op": FRAME}, {n: Range(-1, 1) for n in ("x", "b", "y")})
    session = ProgramSession(lower(graph, plan), verify=True)
    x = np.zeros((2, 5, 40), np.float32)
    x[0, 1] = 1.0
    [y] = session.run(["y"], {"x": x, "b": np.ones((40, 9), np.float32)})
    assert np.count_nonzero(y) == 9 and np.allclose(y[0, 1], 40.0, rtol=1e-2)
    assert session.mismatches == []
