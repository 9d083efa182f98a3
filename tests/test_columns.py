"""Inputs that are evened out, and scales found per frame: what they are for, on layers where it shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.small_models import mask_lstm
from mcu_quant import data, frontend
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.ops.common import columns
from mcu_quant.passes import optimise
from mcu_quant.precision import presets
from mcu_quant.precision.candidates import ways
from mcu_quant.precision.layer_inputs import collect
from mcu_quant.precision.plan import Columns, OperatorPlan, PrecisionPlan, Range, from_toml, to_toml
from mcu_quant.precision.steps import Given, equalise
from mcu_quant.precision.trial import Trial


def dense(inputs: int = 12, outputs: int = 9) -> Graph:
    """A layer whose first input is 300 times the others, with weights as small."""
    random = np.random.default_rng(3)
    w = random.standard_normal((outputs, inputs)).astype(np.float32)
    w[:, 0] /= 300.0
    types = {"x": TensorType((1, inputs)), "w": TensorType(w.shape), "y": TensorType((1, outputs))}
    return Graph("dense", ("x",), ("y",), (Operator("fc", "Gemm", ("x", "w"), ("y",)),), types, {"w": w})


def frames(count: int = 40, level: float = 1.0) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(4)
    x = random.standard_normal((count, 1, 12)).astype(np.float32) * level
    x[..., 0] *= 300.0
    return [{"x": frame} for frame in x]


def snr_db(graph: Graph, plan: PrecisionPlan, fed: list[dict[str, np.ndarray]]) -> float:
    session, w = ProgramSession(lower(graph, plan), verify=True), graph.constants["w"]
    made = np.concatenate([session.run(None, f)[0] for f in fed])
    wanted = np.concatenate([f["x"] @ w.T for f in fed])
    assert session.mismatches == []
    return float(10 * np.log10(np.sum(wanted**2) / np.sum((made - wanted) ** 2)))


def plan_of(graph: Graph, line: OperatorPlan, **more: object) -> PrecisionPlan:
    x = np.concatenate([f["x"] for f in frames()])
    y = x @ graph.constants["w"].T
    ranges = {"x": Range(float(x.min()), float(x.max())), "y": Range(float(y.min()), float(y.max()))}
    return replace(PrecisionPlan("dense", "test", {"fc": line}, ranges), **more)  # type: ignore[arg-type]


def of_inputs(exponent: float) -> Columns:
    x = np.concatenate([f["x"] for f in frames()])
    return Columns(exponent, x.min(axis=0), x.max(axis=0))


@pytest.mark.parametrize("line", [OperatorPlan("s8"), OperatorPlan("s8", output="s16"), OperatorPlan("s16")])
def test_inputs_that_are_evened_out_lose_less(line):
    graph = dense()
    plain = snr_db(graph, plan_of(graph, line), frames())
    evened = snr_db(graph, plan_of(graph, line, columns={"w": of_inputs(0.5)}), frames())
    assert evened > plain + 6.0


def test_with_exponent_1_every_input_has_the_same_range():
    one = of_inputs(1.0)
    s = columns.factors(one, dense().constants["w"])
    largest = np.maximum(-one.low, one.high) / s
    assert np.ptp(largest) < 1e-6 * largest.max()
    assert np.log2(s).mean() == pytest.approx(0.0, abs=1e-9)


def test_inputs_that_never_move_have_a_factor_of_1():
    one = Columns(0.5, np.array([-1.0, 0.0], np.float32), np.array([1.0, 0.0], np.float32))
    assert columns.factors(one, np.ones((3, 2)))[1] == 1.0


def test_a_plan_carries_columns_and_headroom():
    plan = replace(plan_of(dense(), OperatorPlan("s8"), columns={"w": of_inputs(0.25)}), headroom=4.0)
    again = from_toml(to_toml(plan))
    assert to_toml(again) == to_toml(plan)
    assert again.headroom == 4.0 and again.columns["w"].exponent == 0.25
    assert np.array_equal(again.columns["w"].low, plan.columns["w"].low)


@pytest.mark.parametrize("kept", ['f32 = "AAAA"', 'f32 = "AACAPwAAgL8="', 'f32 = "AADAfwAAwH8="'])
def test_columns_that_are_none(kept):
    with pytest.raises(DiagnosticError, match="MQ304"):
        from_toml(f"[operators]\n[columns]\nw = {{ exponent = 0.5, {kept} }}\n")


def test_16_bits_with_headroom_hold_what_is_louder():
    graph = dense()
    loud = frames(level=3.0)
    line = OperatorPlan("s16", weights="s16")
    tight, wide = (snr_db(graph, plan_of(graph, line, headroom=h), loud) for h in (1.0, 4.0))
    assert wide > tight + 10.0


@pytest.mark.parametrize(("fmt", "kind", "least"), [("s8", ScaleKind.FRAME, 30.0), ("s16", ScaleKind.FRAME_POW2, 38.0)])
@pytest.mark.parametrize("level", [1e-3, 1.0, 1e3])
def test_scales_per_frame_hold_at_every_level(fmt, kind, least, level):
    graph = dense()
    plan = plan_of(graph, OperatorPlan(fmt, scale=kind), columns={"w": of_inputs(0.5)})
    assert snr_db(graph, plan, frames(level=level)) > least


def test_silence_and_infinity_are_what_the_bias_is():
    graph = dense()
    for fmt, kind in (("s8", ScaleKind.FRAME), ("s16", ScaleKind.FRAME_POW2)):
        session = ProgramSession(lower(graph, plan_of(graph, OperatorPlan(fmt, scale=kind))), verify=True)
        assert not session.run(None, {"x": np.zeros((1, 12), np.float32)})[0].any()
        session.run(None, {"x": np.full((1, 12), 3e38, np.float32)})
        session.run(None, {"x": np.full((1, 12), 1e-38, np.float32)})
        assert session.mismatches == []


def test_the_step_keeps_what_was_measured_to_lose_less(tmp_path):
    graph = optimise(frontend.load(mask_lstm(tmp_path / "mask.onnx")).graph)
    clips = data.load(None, None, {n: graph.types[n] for n in graph.inputs})
    known = {op.name: ways(op, graph, Target()) for op in presets.planned(graph)}
    lines = dict.fromkeys(known, OperatorPlan("f32"))
    ranges = {n: Range(-4.0, 4.0) for n in graph.types} | {"Y_LSTM:cell": Range(-4.0, 4.0)}
    trial = Trial.of(graph, Target(), PrecisionPlan(graph.name, "t", lines, ranges), clips, 40)
    given = Given(
        {op.name: ways(op, graph, Target()) for op in graph.operators if op.name in lines}, collect(graph, clips)
    )
    chosen = equalise.apply(trial, given)
    for name in chosen.columns:
        op = next(o for o in graph.operators if name in o.inputs)
        line = {op.name: equalise.narrow(known[op.name]).line}
        assert replace(trial, start=chosen).loss(replace(trial, start=chosen).with_lines(line)) < trial.loss(
            trial.with_lines(line)
        )
