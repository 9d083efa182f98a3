"""Methods that score without measuring every format: what each must do by its own formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.precision import planner
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.goal import Goal
from mcu_quant.precision.plan import OperatorPlan
from mcu_quant.precision.problem import LOSS
from mcu_quant.precision.sensitivity import Request, Table, direct, noise, weight_mse
from mcu_quant.precision.trial import Trial, decibels
from tests.test_planner import found  # noqa: F401 - the surveyed model

S8 = Way("s8", OperatorPlan("s8"), "s8", "s8", 8.0, "s8")
WIDE = Way("s16:weights=s16", OperatorPlan("s16", weights="s16"), "s16", "s16", 16.0, "s16")
HALF = Way("f16", OperatorPlan("f16"), "f16", "f16", 16.0, "f16")
FLOAT = Way("f32", OperatorPlan("f32"), "f32", "f32", 32.0, "f32")


def dense(weights) -> tuple[Graph, Operator]:
    op = Operator("dense", "Gemm", ("x", "w", ""), ("y",))
    types = {"x": TensorType((1, weights.shape[1])), "w": TensorType(weights.shape), "y": TensorType((1, len(weights)))}
    return Graph("g", ("x",), ("y",), (op,), types, {"w": weights}), op


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(2).standard_normal((24, 60)).astype(np.float32)


# --- weight-mse ----------------------------------------------------------------------------------------------------


def test_weight_error_is_that_of_uniform_rounding_per_row(weights):
    graph, op = dense(weights)
    step = np.abs(weights).max(axis=1) / 127.0
    expected = np.mean(step**2) / 12.0 / np.mean(weights.astype(float) ** 2)
    assert weight_mse.weight_error(op, graph, S8) == pytest.approx(expected, rel=0.1)
    assert weight_mse.weight_error(op, graph, WIDE) == pytest.approx(expected / 258.0**2, rel=0.1)
    assert weight_mse.weight_error(op, graph, FLOAT) == 0.0


def test_a_row_with_an_outlier_costs_more(weights):
    graph, op = dense(weights)
    spiky, same = dense(np.where(np.arange(60) == 7, 20.0, weights).astype(np.float32))
    assert weight_mse.weight_error(same, spiky, S8) > weight_mse.weight_error(op, graph, S8)


def test_wider_formats_score_less_and_no_clip_is_touched(weights, monkeypatch):
    graph, _ = dense(weights)
    monkeypatch.setattr(Trial, "loss", lambda self, plan: pytest.fail("no clip is needed"))
    table = weight_mse.score(Request(graph, {"dense": (S8, HALF, WIDE, FLOAT)}))
    scores = [table.scores["dense", w.name] for w in (S8, HALF, WIDE, FLOAT)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == 0.0 < scores[-2]


# --- noise ---------------------------------------------------------------------------------------------------------


def test_noise_measures_one_way_and_falls_by_6_db_per_bit(found, monkeypatch):  # noqa: F811
    measured = []
    monkeypatch.setattr(noise, "losses", lambda trial, plans, *_: [measured.append(p) or 1e-2 for p in plans])
    table = noise.score(Request(found.task.graph, found.ways, found.trial))
    assert len(measured) == len(found.ways)
    for op, known in found.ways.items():
        named = {w.name: w for w in known}
        assert table.scores[op, "f32"] == 0.0
        if "s8" in named and "f16" in named:
            assert table.scores[op, "s8"] == 1e-2
            assert decibels(table.scores[op, "f16"]) == pytest.approx(20.0 + 4 * 6.02, abs=0.1)


# --- in the planner ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weight-mse", "noise"])
def test_goals_are_kept_whatever_scores(found, name):  # noqa: F811
    """Scores that only rank lead to plans that are measured all the same."""
    made = planner.survey(replace(found.task, sensitivity=name))
    assert not made.exact
    assert -1.0 <= made.correlation <= 1.0
    outcome = planner.solve(made, Goal(min_snr_db=40.0, minimise="flash"))
    assert outcome.measured[LOSS] == made.whole.loss(made.plan(outcome.choice))
    assert decibels(outcome.measured[LOSS]) >= 40.0


def test_rank_correlation_is_spearmans():
    truth = Table({("a", str(i)): float(i) for i in range(6)})
    up = Table({("a", str(i)): float(i) ** 3 for i in range(6)})
    down = Table({("a", str(i)): -float(i) for i in range(6)})
    assert planner.spearman(up, truth) == pytest.approx(1.0)
    assert planner.spearman(down, truth) == pytest.approx(-1.0)
    assert planner.spearman(Table(dict.fromkeys(truth.scores, 1.0)), truth) == 0.0


def test_direct_scores_of_the_start_itself_are_not_measured(found, monkeypatch):  # noqa: F811
    asked = []
    monkeypatch.setattr(direct, "losses_alone", lambda trial, plans, *_: [asked.append(p) or 0.5 for p in plans])
    table = direct.score(Request(found.task.graph, found.ways, found.trial))
    assert all(line != OperatorPlan("f32") for plan in asked for line in plan.values())
    assert {v for (_, way), v in table.scores.items() if way == "f32"} == {0.0}
