"""What the planner knows of each operator: its ways, what they cost on a board, what they lose on clips."""

from __future__ import annotations

import math
import pickle
import random
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from bench.small_models import mask_lstm
from mcu_quant import boards, calibrate, cost, data, frontend, memory
from mcu_quant.api import stages
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.lower import lower, resolve
from mcu_quant.lowering import Target
from mcu_quant.passes import optimise
from mcu_quant.precision import parallel, presets
from mcu_quant.precision.candidates import ways
from mcu_quant.precision.cluster import cluster
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, from_toml, to_toml
from mcu_quant.precision.pricing import CALLER, FLOAT, price
from mcu_quant.precision.problem import CYCLES, FLASH, RAM, Problem
from mcu_quant.precision.sensitivity import Request, direct
from mcu_quant.precision.trial import LEVEL_WEIGHT, SETTLED, Scores, Trial, decibels, loss_of
from tests.onnx_models import model, node, save
from tests.onnx_models import random as drawn

BOARD = "nucleo_f446re"


@pytest.fixture(scope="module")
def trial(tmp_path_factory) -> Trial:
    """A masking LSTM on made-up frames."""
    graph = optimise(frontend.load(mask_lstm(tmp_path_factory.mktemp("model") / "mask.onnx")).graph)
    clips = data.load(None, None, {n: graph.types[n] for n in graph.inputs})
    target = stages.target(boards.load(BOARD))
    ranges = calibrate.calibrate(graph, clips, max_frames=60).ranges()
    start = presets.make(graph, "f32", target, ranges=ranges)
    made = Trial.of(graph, target, start, clips, plans=20)
    return replace(made, clips=tuple(clip[:24] for clip in made.clips[:2]))


@pytest.fixture(scope="module")
def known(trial) -> dict:
    return {op.name: ways(op, trial.graph, trial.target) for op in presets.planned(trial.graph)}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Scores go to a folder of the test; compiled kernels stay where they are."""
    monkeypatch.setattr("mcu_quant.precision.trial.cache_folder", lambda: tmp_path)


def test_the_loss_is_that_at_the_worst_level(trial):
    """6 dB more than as recorded may be lost at another level."""
    soft = tuple({n: (a * 10**-1.5).astype(np.float32) for n, a in frame.items()} for frame in trial.clips[1])
    plan = trial.with_lines({op.name: OperatorPlan("s8") for op in presets.planned(trial.graph)})
    first, second = (replace(trial, clips=(clip,)).loss(plan) for clip in (trial.clips[0], soft))
    assert first > 0.0 and second > 0.0 and first != pytest.approx(second, rel=0.01)
    both = replace(trial, clips=(trial.clips[0], soft), levels_db=(0.0, -30.0))
    assert both.loss(plan) == pytest.approx(max(first, second * LEVEL_WEIGHT), rel=1e-6)
    assert both.at_levels(plan) == {0.0: pytest.approx(first, rel=1e-6), -30.0: pytest.approx(second, rel=1e-6)}
    swapped = replace(both, levels_db=(-30.0, 0.0))
    assert swapped.loss(plan) == pytest.approx(max(first * LEVEL_WEIGHT, second), rel=1e-6)
    assert swapped.digest != both.digest


@pytest.mark.parametrize("threshold", [0.0, 9.0])
def test_a_branch_that_no_clip_takes_counts_by_itself(tmp_path, threshold):
    """A second network that looks again when a word was heard, as in wake words: these clips hold none."""
    rng = np.random.default_rng(3)
    nodes = [  # what an If becomes
        node("MatMul", "x w", "first"),
        node("MatMul", "x v", "second"),
        node("Abs", "first", "level"),
        node("ReduceMax", "level", "largest", keepdims=0),
        node("GreaterOrEqual", "largest limit", "heard"),
        node("Where", "heard second first", "y"),
    ]
    weights = {name: drawn(rng, 8, 1) for name in "wv"}
    constants = {**weights, "limit": np.array(threshold, np.float32)}
    graph = optimise(frontend.load(save(model(nodes, {"x": [1, 8]}, {"y": [1, 1]}, constants), tmp_path)).graph)
    clips = data.load(None, None, {"x": graph.types["x"]})
    ranges = calibrate.calibrate(graph, clips, max_frames=60).ranges()
    made = Trial.of(graph, Target(), presets.make(graph, "f32", Target(), ranges=ranges), clips, plans=20)
    networks = [op.name for op in graph.operators if op.op == "Gemm"]
    assert len(networks) == 2 and len(made.untaken) == 1
    losses = [made.loss(made.with_line(name, OperatorPlan("s8"))) for name in networks]
    assert all(1e-6 < loss < 0.1 for loss in losses), losses


def test_other_levels_are_tried_where_a_recording_is_loudest(trial):
    frame = trial.clips[0][0]
    loudness = np.ones(120)
    loudness[60:100] = 3.0
    frames = [{n: np.full_like(a, k) for n, a in frame.items()} for k in loudness]
    clip = data.Clip("a", len(frames), lambda: iter(frames))
    softer = replace(clip, level_db=-30.0)
    clips = data.Clips((clip, clip), "made up", levels=(softer, softer))
    made = Trial.of(trial.graph, trial.target, trial.start, clips, plans=10**6)
    as_recorded, _, soft = made.clips
    assert made.levels_db == (0.0, 0.0, -30.0)
    assert len(soft) == SETTLED and all(f is g for f, g in zip(as_recorded, frames, strict=False))
    assert all(np.all(a == 3.0) for f in soft for a in f.values())


# --- ways ----------------------------------------------------------------------------------------------------------


def test_every_way_is_the_only_one_that_leads_to_its_lowering(trial, known):
    for op, found in known.items():
        names = [w.name for w in found]
        assert len(set(names)) == len(names)
        lines = {w.line for w in found}
        resolved = [resolve(trial.graph, trial.with_line(op, line), trial.target)[op][1] for line in lines]
        assert len({(id(low), line.scale, line.input) for low, line in zip(resolved, lines, strict=True)}) == len(found)


def test_the_name_of_a_way_is_what_set_takes(trial, known):
    for op, found in known.items():
        for way in found:
            (edit,) = presets.parse_edits([f"{op}={way.name}"])
            made = presets.edit(trial.start, trial.graph, [edit]).operators[op]
            assert replace(made, reason="") == way.line


def test_a_board_without_half_precision_has_no_way_in_it(trial, known):
    for op in presets.planned(trial.graph):
        found = ways(op, trial.graph, Target(f16=False))
        assert {w.name.split(":")[0] for w in found} == {"f32", "s16", "s8"}
        assert not any("f16" in (w.reads, w.stores) for w in found)
        assert any("f16" in (w.reads, w.stores) for w in known[op.name])


# --- prices --------------------------------------------------------------------------------------------------------


def problem_of(trial, known, board) -> Problem:
    prices = price(trial.graph, known, trial, board)
    losses = {(op, w.name): 0.0 for op, found in known.items() for w in found}
    groups = prices.groups(trial.graph, known, losses)
    return Problem(groups, {CYCLES: 1.0}, {}, prices.nets, prices.shared, {RAM: prices.points})


def measured(trial, known, choice, board) -> dict[str, float]:
    lines = {op: next(w.line for w in found if w.name == choice[op]) for op, found in known.items()}
    program = lower(trial.graph, trial.with_lines(lines), trial.target)
    placed = memory.plan(program)
    return {
        CYCLES: cost.estimate(program, board).cycles,
        FLASH: program.weights_bytes,
        RAM: placed.arena_bytes + placed.state_bytes,
    }


@pytest.mark.parametrize("fmt", ["f32", "f16", "s16", "s8"])
def test_prices_of_uniform_plans_are_what_their_programs_take(trial, known, fmt):
    board = boards.load(BOARD)
    problem = problem_of(trial, known, board)
    choice = {op: next((w.name for w in found if w.line.format == fmt), found[0].name) for op, found in known.items()}
    priced, found = problem.totals({**choice, CALLER: FLOAT}), measured(trial, known, choice, board)
    assert priced[CYCLES] == pytest.approx(found[CYCLES], rel=1e-3)
    assert priced[RAM] == pytest.approx(found[RAM], rel=0.1, abs=64)
    code = priced[FLASH] - found[FLASH]  # of kernels
    assert 0 < code < 12_000, "flash is weights and the code of the kernels"


@pytest.mark.parametrize("seed", range(4))
def test_prices_of_mixed_plans_are_near_what_their_programs_take(trial, known, seed):
    board = boards.load(BOARD)
    problem = problem_of(trial, known, board)
    chance = random.Random(seed)
    choice = {op: chance.choice(found).name for op, found in known.items()}
    priced, found = problem.totals({**choice, CALLER: FLOAT}), measured(trial, known, choice, board)
    assert priced[CYCLES] == pytest.approx(found[CYCLES], rel=0.02)
    assert found[RAM] <= priced[RAM] + 64


# --- losses --------------------------------------------------------------------------------------------------------


def test_direct_scores_are_what_one_changed_operator_does_to_the_outputs(trial, known):
    table = direct.score(Request(trial.graph, known, trial, jobs=1))
    assert set(table.scores) == {(op, w.name) for op, found in known.items() for w in found}
    lstm = next(op.name for op in trial.graph.operators if op.op == "LSTM")
    assert table.scores[lstm, "f32"] == 0.0
    coarse = table.scores[lstm, "s8:input=s8"]
    assert 0.0 < table.scores[lstm, "f16"] < table.scores[lstm, "s8:input=s16"] < coarse < 1.0
    assert coarse == trial.loss(trial.with_line(lstm, OperatorPlan("s8", input="s8")))


def test_the_state_is_carried_through_a_clip_and_not_between_clips(trial):
    lstm = next(op.name for op in trial.graph.operators if op.op == "LSTM")
    plan = trial.with_line(lstm, OperatorPlan("s8"))
    (a, b) = trial.clips
    swapped = replace(trial, clips=(b, a))
    assert swapped.loss(plan) == pytest.approx(trial.loss(plan), rel=1e-9)
    joined = replace(trial, clips=((*a, *b),))
    assert joined.loss(plan) != pytest.approx(trial.loss(plan), rel=1e-9)


def test_losses_are_measured_once(trial, monkeypatch):
    plans = [{op.name: OperatorPlan("s8")} for op in presets.planned(trial.graph)]
    first = parallel.losses(trial, [*plans, *plans], jobs=1)
    calls: list[PrecisionPlan] = []
    monkeypatch.setattr(Trial, "loss", lambda self, plan: calls.append(plan))
    again = replace(trial)
    assert parallel.losses(again, plans, jobs=1) == first[: len(plans)]
    assert calls == []
    reasoned = [{n: replace(line, reason="because")} for lines in plans for n, line in lines.items()]
    assert parallel.losses(again, reasoned, jobs=1) == first[: len(plans)]
    assert calls == []


def test_losses_of_other_frames_or_ranges_are_others(trial):
    fewer = replace(trial, clips=trial.clips[:1])
    narrow = replace(trial.start, ranges=dict(list(trial.start.ranges.items())[1:]))
    digests = {t.digest for t in (trial, fewer, replace(trial, start=narrow), replace(trial, target=Target()))}
    assert len(digests) == 4
    assert trial.digest == replace(trial).digest


def test_an_infinite_loss_is_kept_too(trial, tmp_path):
    Scores(trial).add([({"a": OperatorPlan("f16")}, math.inf)])
    assert Scores(trial).get({"a": OperatorPlan("f16")}) == math.inf
    assert Scores(trial).get({"a": OperatorPlan("s8")}) is None


def test_processes_find_what_one_process_finds(trial, monkeypatch):
    plans = [{op.name: OperatorPlan(fmt)} for op in presets.planned(trial.graph) for fmt in ("s8", "f16")]
    alone = [trial.loss(trial.with_lines(p)) for p in plans]
    monkeypatch.setattr(parallel, "ALONE_SECONDS", 0.0)
    said: list[str] = []
    assert parallel.losses(trial, plans, jobs=2, progress=said.append) == alone
    assert said[-1].startswith(f"measuring plans: {len(plans)} of {len(plans)}")


@pytest.mark.slow
def test_a_cluster_finds_what_one_process_finds(trial):
    from distributed import LocalCluster
    from joblib.parallel import get_active_backend

    plans = [{op.name: OperatorPlan(fmt)} for op in presets.planned(trial.graph) for fmt in ("s8", "f16")]
    alone = [trial.loss(trial.with_lines(p)) for p in plans]
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as local:
        address = local.scheduler_address
        with cluster(address) as processors:
            assert processors == 1
            found = [m for portion in parallel._spread(trial, plans, processors) for m in portion]
            assert "Dask" in type(get_active_backend()[0]).__name__
    assert sorted(loss for _, loss in found) == sorted(alone)


def test_a_cluster_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("mcu_quant.precision.cluster.TIMEOUT_SECONDS", 0.2)
    with pytest.raises(DiagnosticError, match="nobody answers"), cluster("tcp://127.0.0.1:9"):
        pass


def test_what_goes_to_processes_and_back_survives(trial):
    there = pickle.loads(pickle.dumps(trial))
    assert there.digest == trial.digest
    assert isinstance(there.graph.types, MappingProxyType)
    error = DiagnosticError([Diagnostic("MQ402", "x", "no range"), Diagnostic("MQ303", "y", "no kernel")])
    back = pickle.loads(pickle.dumps(error))
    assert back.diagnostics == error.diagnostics
    assert str(back) == str(error)


def test_decibels_and_losses_are_inverse():
    assert decibels(loss_of(30.0)) == pytest.approx(30.0)
    assert loss_of(30.0) == pytest.approx(1e-3)
    assert decibels(0.0) == math.inf


def test_an_output_that_is_not_finite_is_an_infinite_loss(trial, monkeypatch):
    broken = [[tuple(np.full_like(a, np.nan) for a in clip)] for clip in trial.reference]
    monkeypatch.setattr(Trial, "_outputs", lambda self, plans: iter(broken))
    assert trial.loss(trial.start) == math.inf


# --- the input of a recurrent layer --------------------------------------------------------------------------------


@pytest.mark.parametrize(("read", "kernel"), [("s8", "mq_lstm_s8"), ("s16", "mq_lstm_s16_s8")])
def test_the_plan_says_how_a_recurrent_layer_reads_its_input(trial, read, kernel):
    lstm = next(op.name for op in trial.graph.operators if op.op == "LSTM")
    plan = trial.with_line(lstm, OperatorPlan("s8", input=read))
    program = lower(trial.graph, from_toml(to_toml(plan)), trial.target)
    assert kernel in {call.kernel for call in program.calls}
    with pytest.raises(DiagnosticError, match="input f16"):
        lower(trial.graph, trial.with_line(lstm, OperatorPlan("s8", input="f16")), trial.target)


def test_plans_lose_together_what_each_loses_alone(trial, known):
    plans = [trial.with_line(op, found[-1].line) for op, found in known.items()]
    plans.append(trial.with_lines({op: found[0].line for op, found in known.items()}))
    assert trial.losses(plans) == [trial.loss(p) for p in plans]
