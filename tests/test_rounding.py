"""Rounding that makes up for itself, and the moments of inputs that a plan carries for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.small_models import mask_lstm
from mcu_quant import data, frontend, quantise, rounding
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.formats import QuantParams
from mcu_quant.interpret import Stream
from mcu_quant.lower import lower
from mcu_quant.passes import optimise
from mcu_quant.precision import layer_inputs, presets
from mcu_quant.precision.plan import PrecisionPlan, Range, from_toml, to_toml
from tests.one_operator import graph_of


@pytest.fixture(scope="module")
def drawn():
    """Weights [40, 96], and inputs that move in four directions and a little on their own."""
    chance = np.random.default_rng(4)
    weights = chance.standard_normal((40, 96))
    inputs = chance.standard_normal((800, 4)) @ chance.standard_normal((4, 96)) + 0.2 * chance.standard_normal(
        (800, 96)
    )
    return weights, inputs


def error(weights, integers, scale, x) -> float:
    return float(np.mean((x @ (weights - integers * scale[:, None]).T) ** 2))


def test_errors_cancel_on_inputs_that_were_not_seen(drawn):
    weights, x = drawn
    scale = np.abs(weights).max(axis=1) / 127.0
    kept = rounding.moments(x[:400].T @ x[:400])
    made = rounding.compensated(weights, scale, 127, kept)
    nearest = np.rint(weights / scale[:, None])
    assert error(weights, made, scale, x[400:]) < 0.25 * error(weights, nearest, scale, x[400:])
    assert np.abs(made).max() <= 127


def test_inputs_without_correlation_leave_rounding_as_it_is(drawn):
    weights, _ = drawn
    scale = np.abs(weights).max(axis=1) / 127.0
    alone = np.vstack([np.zeros((1, 96)), np.linspace(0.1, 1.0, 96)[None]]).astype(np.float16)
    assert np.array_equal(rounding.compensated(weights, scale, 127, alone), np.rint(weights / scale[:, None]))


def test_moments_are_the_second_moments_up_to_scale(drawn):
    _, x = drawn
    second = x.T @ x
    kept = rounding.moments(second).astype(float)
    assert kept.shape == (rounding.DIRECTIONS + 1, 96)
    rebuilt = kept[:-1].T @ kept[:-1] + np.diag(kept[-1] ** 2)
    factor = np.trace(second) / np.trace(rebuilt)
    assert np.linalg.norm(factor * rebuilt - second) < 0.02 * np.linalg.norm(second)
    assert np.array_equal(rounding.moments(second), rounding.moments(1e6 * second))


def test_quantised_rows_use_them_for_8_bits_only(drawn):
    weights, x = drawn
    kept = rounding.moments(x.T @ x)
    unit = QuantParams(0.01)
    known = [quantise.Known(moments=m) for m in (None, kept)]
    plain, made = (quantise.rows(weights, None, unit, "s16", "s8", known=k) for k in known)
    assert np.array_equal(plain.scale, made.scale)
    assert np.count_nonzero(plain.weights != made.weights) > weights.size / 20
    wide = [quantise.rows(weights, None, unit, "s16", "s16", accumulator_bits=62, known=k) for k in known]
    assert np.array_equal(wide[0].weights, wide[1].weights)


# --- in a plan -----------------------------------------------------------------------------------------------------


def test_a_plan_carries_them_to_the_bit(drawn):
    kept = rounding.moments(drawn[1].T @ drawn[1])
    plan = PrecisionPlan("m", "planner", {}, {"x": Range(-1.0, 1.0)}, moments={"w é": kept})
    again = from_toml(to_toml(plan))
    assert np.array_equal(again.moments["w é"], kept)
    assert to_toml(again) == to_toml(plan)
    assert "f16 =" not in to_toml(replace(plan, moments={}))


@pytest.mark.parametrize(
    "kept", ['{ rows = 2, f16 = "AAAA" }', '{ rows = 2, f16 = "AHwAfA==" }', '{ rows = 3, f16 = "A" }']
)
def test_moments_that_are_none(kept):
    with pytest.raises(DiagnosticError, match="MQ304") as raised:
        from_toml(f"[operators]\n[moments]\nw = {kept}\n")
    assert "rows of finite numbers" in str(raised.value)


# --- of a model ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return optimise(frontend.load(mask_lstm(tmp_path_factory.mktemp("model") / "mask.onnx")).graph)


@pytest.fixture(scope="module")
def clips(graph):
    return data.load(None, None, {n: graph.types[n] for n in graph.inputs})


def test_what_is_collected_is_what_layers_read(graph, clips):
    found = layer_inputs.collect(graph, clips)
    lstm = next(op for op in graph.operators if op.op == "LSTM")
    dense = next(op for op in graph.operators if op.op == "Gemm")
    assert set(found) == {lstm.inputs[1], lstm.inputs[2], dense.inputs[1]}
    read = {lstm.inputs[1]: lstm.inputs[0], dense.inputs[1]: dense.inputs[0]}
    for weights, edge in read.items():
        sums = np.zeros(found[weights].second.shape)
        low, high = np.full(len(sums), np.inf), np.full(len(sums), -np.inf)
        for clip in clips:
            stream = Stream(graph)
            for frame in list(clip)[: layer_inputs.FRAMES // len(clips)]:
                x = stream.run(frame, [edge])[edge].reshape(-1, len(sums)).astype(float)
                sums += x.T @ x
                low, high = np.minimum(low, x.min(axis=0)), np.maximum(high, x.max(axis=0))
        assert np.allclose(found[weights].second, sums, rtol=1e-4)
        assert np.allclose(found[weights].low, low) and np.allclose(found[weights].high, high)


def test_a_program_of_a_plan_that_was_written_down_has_the_same_weights(graph, clips):
    ranges = {n: Range(-4.0, 4.0) for n in graph.types}
    plan = presets.make(graph, "s8", presets.Target(), ranges={**ranges, "Y_LSTM:cell": Range(-4.0, 4.0)})
    suited = replace(
        plan, moments={n: rounding.moments(i.second) for n, i in layer_inputs.collect(graph, clips).items()}
    )
    programs = [lower(graph, p) for p in (plan, suited, from_toml(to_toml(suited)))]
    plain, made, again = ({n: c.array for n, c in p.constants.items()} for p in programs)
    assert all(np.array_equal(made[n], again[n]) for n in made)
    assert any(not np.array_equal(plain[n], made[n]) for n in made if made[n].dtype == np.int8)


def looked_at(frames):
    """Second moments of what a layer reads, [frames, rows, 5], and the same of all rows."""
    weights = np.ones((4, 5), np.float32)
    graph = graph_of("Gemm", {"x": frames.shape[1:], "w": weights, "b": np.zeros(4, np.float32)}, (frames.shape[1], 4))
    clips = data.Clips((data.Clip("drawn", len(frames), lambda: iter([{"x": f} for f in frames])),), "drawn")
    return layer_inputs.collect(graph, clips)["w"].second


def second_moments(frames):
    rows = frames.reshape(-1, 5).astype(np.float64)
    return rows.T @ rows


@pytest.mark.parametrize("rows", [1, 40])
def test_all_rows_of_few_frames_are_looked_at(rows):
    """A model that hears a second at a time has few frames, each with many rows for its matrices."""
    x = np.random.default_rng(2).standard_normal((3, rows, 5)).astype(np.float32)
    assert np.allclose(looked_at(x), second_moments(x))


def test_of_many_rows_every_nth_frame_is_looked_at(monkeypatch):
    monkeypatch.setattr(layer_inputs, "ROWS", 80)
    x = np.random.default_rng(2).standard_normal((8, 40, 5)).astype(np.float32)
    assert np.allclose(looked_at(x), second_moments(x[::4]))
