"""The planner: goals kept by what was measured, corrections where losses do not add up, reasons, the front."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from bench.small_models import mask_lstm
from mcu_quant import boards, calibrate, cost, data, frontend, memory
from mcu_quant.api import stages
from mcu_quant.cli import goals
from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.passes import optimise
from mcu_quant.precision import front, planner, presets, reasons
from mcu_quant.precision.candidates import offered, ways
from mcu_quant.precision.goal import MINIMISE, Goal, eased, missing
from mcu_quant.precision.plan import OperatorPlan
from mcu_quant.precision.plan_changes import in_words
from mcu_quant.precision.planner import Map, Task, UnreachableError
from mcu_quant.precision.pricing import CALLER
from mcu_quant.precision.problem import CYCLES, FLASH, LOSS, RAM, WIDE
from mcu_quant.precision.trial import decibels, frame_ns, loss_of

BOARD = boards.load("nucleo_f446re")

#: What a linker would add: the planner must find out.
OVERHEAD = {FLASH: 3000, RAM: 700}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Map:
    """A masking LSTM on made-up frames; sizes of the program instead of linked ones."""
    graph = optimise(frontend.load(mask_lstm(tmp_path_factory.mktemp("model") / "mask.onnx")).graph)
    clips = data.load(None, None, {n: graph.types[n] for n in graph.inputs})
    target = stages.target(BOARD)
    ranges = calibrate.calibrate(graph, clips, max_frames=60).ranges()
    start = presets.make(graph, "f32", target, ranges=ranges)
    start = replace(start, operators={n: OperatorPlan("f32") for n in start.operators})

    def weigh(plan):
        program = lower(graph, plan, target)
        placed = memory.plan(program)
        return {
            FLASH: program.weights_bytes + OVERHEAD[FLASH],
            RAM: placed.arena_bytes + placed.state_bytes + OVERHEAD[RAM],
            CYCLES: cost.estimate(program, BOARD).cycles,
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mcu_quant.precision.trial.cache_folder", tmp_path_factory.getbasetemp)
        patch.setattr("mcu_quant.precision.trial.WORK_NS", 2e8)
        yield planner.survey(Task(graph, BOARD, target, start, clips, weigh, jobs=1))


# --- goals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("db", [15.0, 30.0, 45.0, 70.0])
def test_a_quality_is_kept_as_measured_and_the_plan_is_smaller_than_f32(found, db):
    made = planner.solve(found, Goal(min_snr_db=db, minimise="flash"))
    plan = found.plan(made.choice)
    assert decibels(found.whole.loss(plan)) >= db
    assert made.measured[LOSS] == found.whole.loss(plan)
    assert made.measured[FLASH] == found.task.weigh(plan)[FLASH] < found.of_f32[FLASH]


def test_whole_plans_are_tried_on_more_than_single_operators(found, monkeypatch):
    assert found.whole is found.trial, "there are few plans"
    monkeypatch.setattr(planner, "WHOLE", 1)
    monkeypatch.setattr("mcu_quant.precision.trial.WORK_NS", 40 * frame_ns(found.task.graph))
    longer = planner.survey(found.task)
    assert longer.whole.frames > longer.trial.frames
    made = planner.solve(longer, Goal(min_snr_db=40.0))
    plan = longer.plan(made.choice)
    assert made.measured[LOSS] == longer.whole.loss(plan) != longer.trial.loss(plan)


def test_what_misses_a_limit_is_told_apart_from_it():
    hz = BOARD.clock.hz
    assert missing(LOSS, loss_of(32.96), loss_of(33.0), hz) == "32.96 dB where 33.00 dB is the least"
    assert missing(LOSS, loss_of(20.0), loss_of(33.0), hz) == "20.0 dB where 33.0 dB is the least"
    assert missing(FLASH, 102450.0, 102400.0, hz) == "flash 100.05 KiB where flash 100.00 KiB is the most"
    assert missing(WIDE, 0.2404, 0.24, hz).startswith("75.96 % of products")


def test_more_quality_never_takes_less_flash(found):
    sizes = [planner.solve(found, Goal(min_snr_db=db, minimise="flash")).measured[FLASH] for db in (15, 30, 45, 70)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_budgets_are_kept_and_the_rest_goes_into_quality(found):
    smallest = planner.solve(found, Goal(minimise="flash", min_snr_db=0.0)).measured
    floats = found.of_f32
    limit = int((smallest[FLASH] + floats[FLASH]) / 2)
    made = planner.solve(found, Goal(flash_bytes=limit))
    assert made.measured[FLASH] <= limit
    assert made.measured[LOSS] <= smallest[LOSS]
    free = planner.solve(found, Goal(minimise="loss"))
    assert free.measured[LOSS] == 0.0
    assert made.measured[LOSS] > 0.0


def test_latency_and_flash_can_lead_to_different_plans(found):
    fast = planner.solve(found, Goal(min_snr_db=40.0, minimise="latency")).measured
    small = planner.solve(found, Goal(min_snr_db=40.0, minimise="flash")).measured
    assert fast[CYCLES] <= small[CYCLES]
    assert small[FLASH] <= fast[FLASH]
    assert planner.solve(found, Goal(min_snr_db=40.0, minimise="energy")).measured == fast


def drawn(chance: random.Random, found: Map) -> Goal:
    """Limits that are often too tight together, in numbers that a command line can have."""
    most, hz = found.of_f32, BOARD.clock.hz
    return Goal(
        flash_bytes=int(chance.uniform(0.2, 0.6) * most[FLASH]),
        ram_bytes=int(chance.uniform(0.3, 0.9) * most[RAM]) if chance.random() < 0.5 else None,
        ms=chance.uniform(0.3, 0.9) * most[CYCLES] / hz * 1e3 if chance.random() < 0.5 else None,
        min_snr_db=round(chance.uniform(30.0, 90.0), 1),
        narrow=chance.choice((None, 0.5, 1.0)),
        minimise=chance.choice((None, *MINIMISE)),
    )


@pytest.mark.parametrize("seed", range(8))
def test_what_is_said_to_be_enough_is_enough(found, seed):
    """Each limit that is given way to as far as the answer says, in the round number it says, leads to a plan."""
    goal, hz = drawn(random.Random(seed), found), BOARD.clock.hz
    try:
        planner.solve(found, goal)
        return
    except UnreachableError as error:
        refused = error
    broken = planner.stated(found, goal).excess(refused.nearest.measured)
    assert broken, "the nearest plan breaks a limit"
    for name, amount in refused.needed.items():
        if amount == math.inf:
            continue
        wider, option = eased(goal, name, amount, hz)
        made = planner.solve(found, wider)
        assert not planner.stated(found, wider).excess(made.measured), option
        assert amount > goal.limits(hz)[name] * (1 - 1e-9), "a limit that was kept is no advice"


def test_the_advice_is_what_the_command_line_reads():
    hz = 100_000_000
    for resource, amount, option in (
        (FLASH, 20_001, "--max-flash 19.6K"),
        (RAM, 1024, "--max-ram 1K"),
        (CYCLES, 123_456.0, "--max-latency 1.24ms"),
        (LOSS, 1.01e-3, "--min-snr 29.9"),
        (WIDE, 0.123, "--min-8x8 87"),
    ):
        goal, text = eased(Goal(), resource, amount, hz)
        assert text == option
        name, value = option.split()
        read = goals.planning(**{name[2:].replace("-", "_").replace("min_8x8", "narrow"): value}).goal
        assert read == goal
        assert amount <= goal.limits(hz)[resource] * (1 + 1e-9)
    assert eased(Goal(min_snr_db=3.0), LOSS, 2.0, hz) == (Goal(), "without --min-snr")
    assert eased(Goal(narrow=1.0), WIDE, 1.0, hz) == (Goal(), "without --min-8x8")


def test_losses_that_do_not_add_up_are_corrected(found):
    """All scores a thousand times too small: the first plan misses, the next ones are asked for more."""
    told = replace(found.table, scores={k: v / 1000.0 for k, v in found.table.scores.items()})
    wrong = replace(found, table=told, groups=found.prices.groups(found.task.graph, found.ways, told.scores))
    made = planner.solve(wrong, Goal(min_snr_db=75.0, minimise="flash"))
    assert decibels(made.rounds[0].measured[LOSS]) < 75.0
    assert decibels(made.measured[LOSS]) >= 75.0
    assert len(made.rounds) > 1


def test_scores_that_are_too_large_do_not_keep_plans_large(found):
    told = replace(found.table, scores={k: v * 30.0 for k, v in found.table.scores.items()})
    wrong = replace(found, table=told, groups=found.prices.groups(found.task.graph, found.ways, told.scores))
    made = planner.solve(wrong, Goal(min_snr_db=35.0, minimise="flash"))
    right = planner.solve(found, Goal(min_snr_db=35.0, minimise="flash"))
    assert made.measured[FLASH] <= right.measured[FLASH] * 1.05


def test_what_the_user_fixed_stays(found):
    lstm = next(op.name for op in found.task.graph.operators if op.op == "LSTM")
    fixed = replace(found.task, fixed={lstm: OperatorPlan("f16", "--set")})
    made = planner.solve(planner.survey(fixed), Goal(min_snr_db=20.0, minimise="flash"))
    assert made.choice[lstm] == "f16"


def test_weights_in_8_bits_with_floats_around_are_chosen_where_flash_is_short(found):
    """Between f16, which takes twice the flash, and 8-bit activations, which lose more."""
    narrow = planner.solve(found, Goal(min_snr_db=20.0, minimise="flash"))
    wide = planner.solve(found, Goal(min_snr_db=75.0, minimise="flash"))
    goal = Goal(flash_bytes=int(0.5 * narrow.measured[FLASH] + 0.5 * wide.measured[FLASH]), minimise="loss")
    made = planner.solve(found, goal)
    assert any(line.weight_only for line in found.all_lines(made.choice).values())
    assert any("weight-only" in line.reason for line in reasons.lines(made).values())


def test_f32_with_8_bit_weights_is_offered_where_there_is_no_smaller_float(found):
    op = next(op for op in found.task.graph.operators if op.op == "LSTM")
    for f16 in (False, True):
        known = ways(op, found.task.graph, Target(f16=f16))
        left = {w.name for w in offered(known, Target(f16=f16))}
        assert ("f32:weights=s8" in left) is not f16
        assert ("f16:weights=s8" in left) is f16
        assert "f32:weights=s8" in {w.name for w in known}, "--set may ask for it"


# --- reasons -------------------------------------------------------------------------------------------------------


def test_reasons_quote_what_was_measured(found):
    made = planner.solve(found, Goal(min_snr_db=30.0, minimise="balanced"))
    lines = reasons.lines(made)
    assert {n: replace(line, reason="") for n, line in lines.items()} == found.all_lines(made.choice)
    lstm = next(op.name for op in found.task.graph.operators if op.op == "LSTM")
    alone = found.table.scores[lstm, made.choice[lstm]]
    assert lines[lstm].reason.startswith(in_words(found.way(lstm, made.choice[lstm]).line))
    assert f"{decibels(alone):.1f} dB alone" in lines[lstm].reason
    assert "cell state and gates in 16 bits" in lines[lstm].reason
    # a part is compared with all else as it is
    assert made.choice[lstm] == "s8:input=s8"
    gained = decibels(found.table.scores[lstm, "s8:scale=frame"]) - decibels(alone)
    assert f"input in s8: s8 with the scale of the frame gains {gained:.1f} dB" in lines[lstm].reason


def test_a_difference_is_told_in_words_and_in_units_that_people_read():
    change, hz = {FLASH: 2048.0, RAM: -12.0, CYCLES: 0.0}, 100_000_000
    assert reasons.compared(1e-5, 1e-4, change, hz) == "costs 10.0 dB, saves 12 B RAM, takes 2.0 KiB flash more"
    assert reasons.compared(1e-4, 1e-5, {**change, CYCLES: 178_000.0}, hz).startswith("gains 10.0 dB, saves 12 B RAM")
    assert reasons.compared(1e-4, 1e-4, {**change, CYCLES: 178_000.0}, hz).endswith("takes 2.0 KiB flash, 1.78 ms more")
    assert reasons.compared(1e-4, 1e-4, {**change, CYCLES: -732.0}, hz).startswith("saves 12 B RAM, 7.32 us, takes")
    assert reasons.compared(0.0, 1e-3, dict.fromkeys(change, 0.0), hz) == "leaves 30.0 dB"
    assert reasons.compared(0.0, 0.0, dict.fromkeys(change, 0.0), hz) == "the same"


def test_the_parts_of_attention_have_names():
    shapes = {"q": (4, 8), "k": (8, 4), "v": (4, 8), "s": (4, 4), "t": (4, 4), "u": (1, 4, 4), "p": (1, 4, 4)}
    types = {n: TensorType(shape) for n, shape in {**shapes, "r": (4, 4), "y": (4, 8), "c": ()}.items()}
    made = (
        Operator("scores", "MatMul", ("q", "k"), ("s",)),
        Operator("scale", "Mul", ("s", "c"), ("t",)),
        Operator("up", "Reshape", ("t",), ("u",), {"shape": (1, 4, 4)}),
        Operator("softmax", "Softmax", ("u",), ("p",), {"axis": 2}),
        Operator("down", "Reshape", ("p",), ("r",), {"shape": (4, 4)}),
        Operator("values", "MatMul", ("r", "v"), ("y",)),
    )
    graph = Graph("attention", ("q", "k", "v"), ("y",), made, types, {"c": np.array(0.5, np.float32)})
    named = {op.name: reasons.role(op, graph) for op in made}
    assert named["scores"] == "attention scores" and named["softmax"] == "attention weights"
    assert named["values"] == "attention values" and named["scale"] == ""


def test_the_parts_of_a_layer_are_named():
    line = OperatorPlan("s8", input="s16", weights="s8")
    assert in_words(line) == "s8 with input in s16 and weights in s8"


# --- the front -----------------------------------------------------------------------------------------------------


def test_the_front_holds_uniform_plans_and_the_preset_and_none_beats_the_best(found):
    points = front.front(found, "flash", 5)
    names = {p.name for p in points}
    assert {"all f32", "all f16", "all s16", "all s8", "tinydenoiser"} <= names
    assert sum(p.kind == front.SEARCHED for p in points) >= 3
    for p in points:
        assert p.measured[LOSS] == found.loss(p.choice)[0]
        beaten = [
            o
            for o in points
            if o.measured[FLASH] < p.measured[FLASH]
            and o.measured[LOSS] < p.measured[LOSS]
            and o.measured[CYCLES] < p.measured[CYCLES]
            and o.measured[RAM] < p.measured[RAM]
        ]
        assert not (p.best and beaten)
    rows = front.rows(points, BOARD.clock.hz)
    assert [r["flash_bytes"] for r in rows] == sorted(r["flash_bytes"] for r in rows)


def test_limits_are_tried_where_the_front_is_least_known(found, monkeypatch):
    """A staircase whose best step is hidden between limits that are equally far apart."""
    stairs = [(14.8, 90.0), (28.0, 95.0), (36.0, 97.0), (62.0, 160.0), (78.0, 316.0)]
    tried = []

    def solved(_, minimise, db):
        tried.append(db)
        quality, value = next((q, v) for q, v in stairs if db is None or q >= db)
        return front._Solved(quality, value, {"op": f"{value}"})

    monkeypatch.setattr(front, "_solved", solved)
    made = front._searched(found, "flash", 6)
    assert {choice["op"] for _, choice in made.values()} >= {"90.0", "97.0", "160.0", "316.0"}
    assert len(tried) <= front.MOST_SOLVED * 6 + 2
    monkeypatch.setattr(front, "_solved", lambda *_: front._Solved(90.0, 5.0, {"op": "f32"}))
    assert front._searched(found, "flash", 6) == {"searched, 70.0 dB": (front.SEARCHED, {"op": "f32"})}


def test_a_searched_plan_is_as_small_as_any_uniform_one_of_its_quality(found):
    points = front.front(found, "flash", 5)
    for uniform in (p for p in points if p.kind == front.FIXED and p.measured[LOSS] > 0.0):
        goal = Goal(min_snr_db=decibels(uniform.measured[LOSS]) - 1e-6, minimise="flash")
        made = planner.solve(found, goal)
        assert made.measured[FLASH] <= uniform.measured[FLASH] * 1.02, uniform.name


def test_the_tinydenoiser_preset_is_chosen_as_its_rule_says(found):
    choice = found.chosen(presets.make(found.task.graph, "tinydenoiser", found.task.target))
    formats = {op.op: choice[op.name].split(":")[0] for op in found.task.graph.operators if op.name in choice}
    assert formats["LSTM"] == "s8"
    assert set(formats.values()) == {"s8", "f16"}
    assert choice[CALLER] == "f32"
