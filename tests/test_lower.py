"""Lowering: conversions at boundaries, run-time scales, states that share memory, plans that cannot be done."""

from __future__ import annotations

import numpy as np
import pytest

from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.metrics import snr_db
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Purpose
from tests.test_codegen import RANGES, program, streaming_graph


def two_layers() -> tuple[Graph, dict[str, Range]]:
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(size=(16, 33)).astype(np.float32), "b": rng.normal(size=16).astype(np.float32)}
    types = {"x": TensorType((1, 33)), "h": TensorType((1, 16)), "y": TensorType((1, 16))}
    types |= {n: TensorType(a.shape) for n, a in constants.items()}
    operators = (Operator("fc", "Gemm", ("x", "w", "b"), ("h",)), Operator("act", "Sigmoid", ("h",), ("y",)))
    ranges = {"x": Range(-1, 1), "h": Range(-15, 15), "y": Range(0, 1)}
    return Graph("two", ("x",), ("y",), operators, types, constants), ranges


def planned(fc: OperatorPlan, act: OperatorPlan) -> tuple[Graph, PrecisionPlan]:
    graph, ranges = two_layers()
    return graph, PrecisionPlan("two", "test", {"fc": fc, "act": act}, ranges)


def test_conversions_are_explicit_calls() -> None:
    graph, plan = planned(OperatorPlan("s8"), OperatorPlan("f16"))
    made = lower(graph, plan)
    assert [(c.kernel, c.purpose) for c in made.calls] == [
        ("mq_convert_f32_s8", Purpose.CONVERT),
        ("mq_fully_connected_s8", Purpose.COMPUTE),
        ("mq_convert_s8_f16", Purpose.CONVERT),
        ("mq_map_f16", Purpose.COMPUTE),
        ("mq_convert_f16_f32", Purpose.CONVERT),
    ]


def test_a_reader_may_want_another_format_than_is_stored() -> None:
    graph, plan = planned(OperatorPlan("s8", output="f16"), OperatorPlan("s8"))
    made = lower(graph, plan)
    assert made.edges["h"].type.format == "f16"
    assert [c.kernel for c in made.calls if c.purpose is Purpose.CONVERT][1:3] == [
        "mq_convert_s8_f16",
        "mq_convert_f16_s8",
    ]


@pytest.mark.parametrize("f16", [True, False])
def test_run_time_scales_hold_at_every_level(f16: bool) -> None:
    """30 dB quieter or louder than calibrated, an input whose scale is found per frame loses nothing."""
    graph, plan = planned(OperatorPlan("s8", scale=ScaleKind.FRAME), OperatorPlan("f32"))
    session = ProgramSession(lower(graph, plan, Target(f16=f16)), verify=True)
    rng = np.random.default_rng(1)
    w, b = graph.constants["w"], graph.constants["b"]
    for gain in (0.03, 1.0, 30.0):
        x = (gain * rng.uniform(-1, 1, (1, 33))).astype(np.float32)
        session.run(None, {"x": x})
        assert snr_db(x @ w.T, session.tap("h") - b) > 30.0
        assert np.abs(session.tap("x@s8-frame") - x).max() <= np.abs(x).max() / 127
    session.run(None, {"x": np.zeros((1, 33), np.float32)})
    assert np.allclose(session.tap("h"), b, atol=1e-2)
    assert session.mismatches == []


def test_a_state_and_its_successor_share_memory() -> None:
    made = program("streaming", "s16")
    view = made.edges["y"].view
    assert view is not None and view.base == "s"
    assert not any(c.purpose is Purpose.COPY for c in made.calls)


def test_a_state_that_is_read_after_its_successor_is_written_is_copied() -> None:
    graph = streaming_graph()
    later = Graph(
        graph.name,
        graph.inputs,
        graph.outputs,
        (graph.operators[0], graph.operators[2], graph.operators[1]),  # tanh writes y, then the old s is read
        graph.types,
        graph.constants,
        graph.states,
    )
    plan = PrecisionPlan("s", "s16", {op.name: OperatorPlan("s16") for op in later.operators}, RANGES)
    made = lower(later, plan)
    assert made.edges["y"].view is None
    assert made.calls[-1].kernel == "mq_copy" and made.calls[-1].writes == ("s",)
    first, second = ProgramSession(made), ProgramSession(program("streaming", "s16"))
    rng = np.random.default_rng(2)
    for _ in range(5):
        x = {"x": rng.uniform(-1, 1, (1, 4)).astype(np.float32)}
        assert np.array_equal(first.run(None, x)[0], second.run(None, x)[0])


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        (OperatorPlan("f8"), "MQ303"),
        (OperatorPlan("s8", weights="f16"), "MQ303"),
        (OperatorPlan("f32", scale=ScaleKind.FRAME), "MQ303"),
    ],
)
def test_plans_that_no_kernel_can_do(choice: OperatorPlan, code: str) -> None:
    graph, plan = planned(choice, OperatorPlan("f32"))
    with pytest.raises(DiagnosticError) as caught:
        lower(graph, plan)
    assert [d.code for d in caught.value.diagnostics] == [code]
    assert caught.value.diagnostics[0].where == "fc" and caught.value.diagnostics[0].help


def test_f16_needs_a_board_that_stores_it() -> None:
    graph, plan = planned(OperatorPlan("f16"), OperatorPlan("f16"))
    with pytest.raises(DiagnosticError) as caught:
        lower(graph, plan, Target(f16=False))
    assert [d.code for d in caught.value.diagnostics] == ["MQ305", "MQ305"]  # all problems at once


def test_integers_without_ranges_are_refused() -> None:
    graph, plan = planned(OperatorPlan("s8"), OperatorPlan("s8"))
    with pytest.raises(DiagnosticError) as caught:
        lower(graph, PrecisionPlan("two", "test", plan.operators))
    assert caught.value.diagnostics[0].code == "MQ402"
