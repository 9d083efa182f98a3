"""Steps: what each must do by its own formula, and that a plan with what they found is built again to the byte."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.small_models import conv_vad, mask_lstm
from mcu_quant import calibrate, data, frontend, quantise
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.formats import QuantParams, get
from mcu_quant.interpret import Stream
from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.passes import optimise
from mcu_quant.precision import histograms, presets, range_rules, steps
from mcu_quant.precision.candidates import ways
from mcu_quant.precision.histograms import Histogram
from mcu_quant.precision.layer_inputs import collect
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range, from_toml, to_toml
from mcu_quant.precision.steps import Given, clip, cross_layer, pow2, states
from mcu_quant.precision.strategies import strategies
from mcu_quant.precision.trial import Trial
from mcu_quant.rebalance import rebalanced, renamed, spans

NORMAL = np.random.default_rng(1).standard_normal(200_000)
LAPLACE = np.random.default_rng(2).laplace(size=200_000)


def seen(values: np.ndarray) -> Histogram:
    low, high = float(values.min()), float(values.max())
    counting = histograms._Counting(Range(low, high))
    for part in np.array_split(values, 7):
        counting.add(part)
    return Histogram(low, high, counting.counts, counting.zeros)


def quantised_error(values: np.ndarray, covered: Range) -> float:
    """Of really rounding values to the 256 steps of a range."""
    s8 = get("s8")
    quant = s8.params(covered.low, covered.high)
    return float(np.sum((s8.dequantise(s8.quantise(values, quant), quant) - values) ** 2))


# --- ranges --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [NORMAL, LAPLACE, np.maximum(LAPLACE, 0.0)], ids=["normal", "laplace", "relu"])
def test_least_squared_error_is_what_an_exhaustive_search_finds(values):
    found = quantised_error(values, range_rules.mse(seen(values)))
    tried = [Range(p * values.min(), p * values.max()) for p in np.linspace(0.02, 1.0, 200)]
    assert found <= 1.02 * min(quantised_error(values, r) for r in tried)


def test_percentiles_cut_off_as_many_as_they_say():
    for percent in (99.0, 99.9):
        covered = range_rules.percentile(seen(NORMAL), percent)
        outside = np.mean((covered.low > NORMAL) | (covered.high < NORMAL))
        assert outside == pytest.approx(1.0 - percent / 100.0, abs=2e-3 * (100.0 - percent))
    assert range_rules.percentile(seen(NORMAL), 100.0) == range_rules.minmax(seen(NORMAL))


def test_three_standard_deviations():
    covered = range_rules.std3(seen(3.0 + 2.0 * NORMAL))
    assert (covered.low, covered.high) == pytest.approx((-3.0, 9.0), abs=0.02)
    within = range_rules.std3(seen(np.array([0.0, 1.0])))
    assert (within.low, within.high) == (0.0, 1.0)


def test_entropy_gives_up_outliers_and_nothing_else():
    even = np.random.default_rng(3).uniform(-1.0, 1.0, 400_000)
    assert range_rules.entropy(seen(even)) == Range(even.min(), even.max())
    outlier = range_rules.entropy(seen(np.append(even, 7.5)))
    assert 1.0 <= outlier.high < 2.0


def test_values_beyond_the_range_and_zeros_are_counted():
    one = histograms._Counting(Range(-1.0, 1.0))
    one.add(np.array([[-9.0, 0.0, 0.0, 9.0]]))
    assert one.counts[0] == one.counts[-1] == 1
    assert one.zeros == 2


# --- the model they are tried on -----------------------------------------------------------------------------------


def trial_of(path, frames: int = 24) -> tuple[Trial, Given]:
    graph = optimise(frontend.load(path).graph)
    clips = data.load(None, None, {n: graph.types[n] for n in graph.inputs})
    ranges = calibrate.calibrate_ranges(graph, clips, 60).edges
    lines = {op.name: OperatorPlan("f32") for op in presets.planned(graph)}
    trial = Trial.of(graph, Target(), PrecisionPlan(graph.name, "test", lines, ranges, headroom=4.0), clips, 20)
    trial = replace(trial, clips=tuple(c[:frames] for c in trial.clips[:2]))
    known = {op.name: ways(op, graph, Target()) for op in presets.planned(graph)}
    return trial, Given(known, collect(graph, clips), 1, clips=clips)


@pytest.fixture(scope="module")
def vad(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mcu_quant.precision.trial.cache_folder", tmp_path_factory.getbasetemp)
        yield trial_of(conv_vad(tmp_path_factory.mktemp("model") / "vad.onnx"))


@pytest.fixture(scope="module")
def mask(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mcu_quant.precision.trial.cache_folder", tmp_path_factory.getbasetemp)
        yield trial_of(mask_lstm(tmp_path_factory.mktemp("model") / "mask.onnx"))


def in_s8(trial: Trial, given: Given) -> PrecisionPlan:
    """Everything in 8 bits that can be."""
    narrow = {op: next((w.line for w in known if w.line.format == "s8"), None) for op, known in given.ways.items()}
    return trial.with_lines({op: line for op, line in narrow.items() if line})


def improved(fixture: tuple[Trial, Given], *names: str) -> Trial:
    trial, given = fixture
    return steps.improved(trial, given, steps.chosen(names, defaults=False))


# --- all of them ---------------------------------------------------------------------------------------------------


def test_every_step_says_what_it_does_and_has_a_place_in_the_order():
    known = strategies("steps")
    assert set(known) == {
        *("bias-correct", "clip", "compensate", "cross-layer", "equalise", "pow2", "states"),
    }
    assert len({s.order for s in known.values()}) == len(known)


def test_steps_are_taken_in_their_order_whatever_the_order_of_the_words():
    words = [str(t) for t in steps.chosen(("compensate", "clip=percentile:99.9", "cross-layer"), defaults=False)]
    assert words == ["cross-layer", "clip=percentile:99.9", "compensate"]
    assert [str(t) for t in steps.chosen(("clip",), defaults=False)] == ["clip=mse"]
    defaults = {t.step.about.name for t in steps.chosen(())}
    assert {t.step.about.name for t in steps.chosen(("compensate=off",))} == defaults - {"compensate"}


@pytest.mark.parametrize(
    ("text", "said"),
    [("klip=mse", "clip"), ("clip=msee", "mse"), ("clip=percentile:-1", "a number above 0"), ("pow2=yes", "off")],
)
def test_what_is_no_step(text, said):
    with pytest.raises(DiagnosticError, match="MQ900") as raised:
        steps.chosen((text,))
    assert said in str(raised.value)


def test_all_together_give_a_plan_that_is_built_again_to_the_byte(vad):
    trial, given = vad
    names = [f"{name}" for name in strategies("steps") if name != "pow2"]
    made = in_s8(improved(vad, *names), given)
    assert made.steps == "cross-layer, clip=mse, states, equalise, compensate, bias-correct"
    again = from_toml(to_toml(made))
    assert to_toml(again) == to_toml(made)
    first, second = (lower(trial.graph, p) for p in (made, again))
    assert str(first) == str(second)
    assert all(np.array_equal(a.array, second.constants[n].array) for n, a in first.constants.items())
    session = ProgramSession(first, verify=True)
    for frame in trial.clips[0][:3]:
        session.run(None, frame)
    assert session.mismatches == []


@pytest.mark.parametrize("name", ["cross-layer", "states", "equalise", "compensate", "bias-correct"])
@pytest.mark.parametrize("model", ["vad", "mask"])
def test_measured_steps_never_lose_more_of_one_layer(name, model, request):
    """Each operator that a step did something for, alone in 8-bit weights, against the same without the step."""
    trial, given = request.getfixturevalue(model)
    made = improved((trial, given), name)
    for op in trial.graph.operators:
        touched = {*op.inputs, f"{op.name}:cell"} & {*made.start.columns, *made.start.moments, *made.start.clipped}
        way = steps.narrow(given.ways.get(op.name, ()))
        if touched and way:
            assert made.loss(made.with_line(op.name, way.line)) < trial.loss(trial.with_line(op.name, way.line))


# --- clip, powers of two, states -----------------------------------------------------------------------------------


def test_clip_is_for_8_bits_only(vad):
    made = improved(vad, "clip=percentile:99").start
    assert made.clipped
    assert all(set(one) == {"s8"} for one in made.clipped.values())
    graph, wide = vad[0].graph, {op: OperatorPlan("s16") for op, known in vad[1].ways.items() if len(known) > 1}
    a, b = (lower(graph, replace(p, operators={**p.operators, **wide})) for p in (vad[0].start, made))
    assert str(a) == str(b)
    assert improved(vad, "clip=minmax").start.clipped == {}


def test_clipped_scales_cover_what_was_chosen(vad):
    trial, given = vad
    made = in_s8(improved(vad, "clip=std3"), given)
    program = lower(trial.graph, made)
    edges = [e for n, e in program.edges.items() if n in made.clipped and e.type.format == "s8" and e.view is None]
    assert edges
    for edge in edges:
        r = made.clipped[edge.name]["s8"]
        assert edge.type.quant == get("s8").params(r.low, r.high)


def test_powers_of_two_are_shifts(vad):
    trial, given = vad
    made = in_s8(improved(vad, "pow2"), given)
    program = lower(trial.graph, made)
    multipliers = [c.array for n, c in program.constants.items() if n.endswith(":multiplier")]
    assert multipliers
    for array in multipliers:
        assert set(array.tolist()) <= {1 << 30}, "a multiplier of 2^30 is nothing but a shift"
    scales = [e.type.quant.scale for n, e in program.edges.items() if n in made.clipped and e.type.quant]
    assert all(math.log2(s).is_integer() for s in scales)


@pytest.mark.parametrize("values", [NORMAL, LAPLACE, np.maximum(NORMAL, 0.0)], ids=["normal", "laplace", "relu"])
def test_the_exponent_is_the_best_of_its_neighbours(values):
    one = seen(values * 3.7)
    chosen = pow2.best(one)
    power = round(math.log2((chosen.high - chosen.low) / 255))
    own = quantised_error(values * 3.7, chosen)
    for other in (power - 1, power + 1):
        assert own <= 1.001 * quantised_error(values * 3.7, pow2.covered(one, "s8", other))
    wide = pow2.roomy(one, 4.0)
    assert 4.0 * max(one.high, -one.low) <= wide.high < 8.0 * max(one.high, -one.low)


def test_rows_of_weights_in_powers_of_two_lose_little():
    weights = np.random.default_rng(5).standard_normal((30, 80))
    plain, made = (
        quantise.rows(weights, None, QuantParams(0.1), "s8", known=quantise.Known(powers_of_two=p))
        for p in (False, True)
    )
    assert np.array_equal(np.log2(made.scale) % 1.0, np.zeros(30))
    errors = [np.mean((r.weights * r.scale[:, None] - weights) ** 2) for r in (plain, made)]
    assert errors[1] <= 4.0 * errors[0]


def integrator() -> tuple[Trial, Given]:
    """An LSTM whose forget gates are nearly 1: some cells grow to 30 behind closed output gates, others stay small."""
    units, inputs = 8, 4
    random = np.random.default_rng(6)
    w = random.standard_normal((1, 4 * units, inputs)).astype(np.float32)
    r = (0.1 * random.standard_normal((1, 4 * units, units))).astype(np.float32)
    b = np.zeros((1, 8 * units), np.float32)
    b[0, 2 * units : 3 * units] = 9.0  # forget
    b[0, 3 * units : 3 * units + 4] = 3.0  # four cells are driven upwards
    b[0, units : units + 4], w[0, units : units + 4] = -9.0, 0.0  # and never come out
    w[0, 3 * units + 4 :] *= 1e-3
    operator = Operator(
        "lstm",
        "LSTM",
        ("x", "W", "R", "B", "", "h", "c", ""),
        ("y", "h1", "c1"),
        {
            "direction": "forward",
            "hidden_size": units,
            "activations": ("Sigmoid", "Tanh", "Tanh"),
            "activation_alpha": (0.0,) * 3,
            "activation_beta": (0.0,) * 3,
            "clip": math.inf,
            "input_forget": 0,
        },
    )
    shapes = {"x": (60, 1, inputs), "y": (60, 1, 1, units), **dict.fromkeys(("h", "c", "h1", "c1"), (1, 1, units))}
    types = {n: TensorType(s) for n, s in shapes.items()} | {
        n: TensorType(a.shape) for n, a in (("W", w), ("R", r), ("B", b))
    }
    zero = np.zeros((1, 1, units), np.float32)
    graph = Graph("cells", ("x",), ("y",), (operator,), types, {"W": w, "R": r, "B": b, "h": zero, "c": zero})
    clips = data.load(None, None, {"x": types["x"]})
    ranges = calibrate.calibrate_ranges(graph, clips, 4).edges
    trial = Trial.of(graph, Target(), PrecisionPlan("cells", "t", {"lstm": OperatorPlan("f32")}, ranges), clips, 20)
    return trial, Given({"lstm": ways(operator, graph, Target())}, collect(graph, clips), 1)


def test_cells_get_the_range_that_loses_least(tmp_path, monkeypatch):
    monkeypatch.setattr("mcu_quant.precision.trial.cache_folder", lambda: tmp_path)
    trial, given = integrator()
    assert trial.start.ranges["lstm:cell"].magnitude > 16.0
    line = steps.narrow(given.ways["lstm"]).line

    def loss(power: int) -> float:
        clipped = {"lstm:cell": {"s16": Range(-(2.0**power), 2.0**power)}}
        at = replace(trial, start=replace(trial.start, clipped=clipped))
        return at.loss(at.with_line("lstm", line))

    losses = [loss(power) for power in states.POWERS]
    best = int(np.argmin(losses))
    assert best < 4, "the test wants a model for which covering everything is not best"
    chosen = steps.improved(trial, given, steps.chosen(("states",), defaults=False)).start.clipped
    assert chosen["lstm:cell"]["s16"] == Range(-(2.0**best), 2.0**best)


# --- bias correction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compensated", [False, True])
def test_the_mean_error_of_each_row_vanishes(compensated):
    """Below a thousandth of the range of what the layer makes, and far below what it was."""
    random = np.random.default_rng(7)
    x = np.maximum(random.standard_normal((500, 48)) + 0.7, 0.0)
    graph = Graph(
        "dense",
        ("x",),
        ("y",),
        (Operator("fc", "Gemm", ("x", "w"), ("y",)),),
        {"x": TensorType((1, 48)), "w": TensorType((20, 48)), "y": TensorType((1, 20))},
        {"w": random.standard_normal((20, 48)).astype(np.float32)},
    )
    w = graph.constants["w"]
    y = x @ w.T
    means = x.mean(axis=0, keepdims=True).astype(np.float32)
    ranges = {"x": Range(0.0, float(x.max())), "y": Range(float(y.min()), float(y.max()))}
    plan = PrecisionPlan("dense", "t", {"fc": OperatorPlan("s16")}, ranges)
    if compensated:
        from mcu_quant.rounding import moments

        plan = replace(plan, moments={"w": moments(x.T @ x)})

    def mean_error(p: PrecisionPlan) -> float:
        session = ProgramSession(lower(graph, p), verify=True)
        made = np.concatenate([session.run(None, {"x": row[None].astype(np.float32)})[0] for row in x])
        assert session.mismatches == []
        return float(np.abs((made - y).mean(axis=0)).max() / np.ptp(y))

    plain, corrected = mean_error(plan), mean_error(replace(plan, means={"w": means}))
    assert corrected < 1e-4 < 1e-3
    assert corrected < plain


def test_means_of_convolutions_in_groups_are_those_of_each_group():
    error, means = np.arange(24.0).reshape(4, 6), np.array([[1.0] * 6, [0.0, 1.0, 0, 0, 0, 0]])
    drift = quantise.Known(means=means).drift(error)
    assert drift.tolist() == [15.0, 51.0, 13.0, 19.0]


def test_what_layers_read_on_average(vad):
    trial, given = vad
    conv = next(op for op in trial.graph.operators if op.op == "Conv" and op.attributes["group"] > 1)
    groups = conv.attributes["group"]
    assert given.inputs[conv.inputs[1]].mean.shape == (groups, trial.graph.constants[conv.inputs[1]][0].size)
    assert given.inputs[conv.inputs[1]].second is None


# --- cross-layer equalisation --------------------------------------------------------------------------------------


def test_a_rebalanced_graph_computes_the_same(vad):
    graph, given = vad[0].graph, vad[1]
    found = spans(graph)
    assert len(found) >= 2
    random = np.random.default_rng(8)
    factors = {e: np.exp(random.standard_normal(s.channels)).astype(np.float32) for e, s in found.items()}
    other = rebalanced(graph, factors)
    assert {renamed(e) for e in found} <= other.types.keys()
    a, b = Stream(graph), Stream(other)
    for frame in next(iter(given.clips)):
        assert np.allclose(a.run(frame)[graph.outputs[0]], b.run(frame)[graph.outputs[0]], rtol=1e-4, atol=1e-6)
        break
    assert rebalanced(other, factors).operators == other.operators, "once is enough"


def uneven(last: str = "Gemm") -> Graph:
    """Two layers with a PRelu between them, whose channels differ by a factor of 200 that the second layer undoes."""
    random = np.random.default_rng(9)
    s = np.geomspace(0.07, 14.0, 16).astype(np.float32)
    w = (random.standard_normal((16, 12)) * s[:, None]).astype(np.float32)
    v = (random.standard_normal((10, 16)) / s).astype(np.float32)
    operators = (
        Operator("a", "Gemm", ("x", "w", "b"), ("p",)),
        Operator("f", "PRelu", ("p", "slope"), ("q",)),
        Operator("z", last, ("q", "v"), ("y",)),
    )
    shapes = {"x": (1, 12), "p": (1, 16), "q": (1, 16), "y": (1, 10)}
    constants = {"w": w, "v": v, "b": (0.1 * s).astype(np.float32), "slope": np.full(16, 0.25, np.float32)}
    types = {n: TensorType(shape) for n, shape in shapes.items()} | {
        n: TensorType(c.shape) for n, c in constants.items()
    }
    return Graph("uneven", ("x",), ("y",), operators, types, constants)


def test_channels_that_differ_are_brought_to_one_range(tmp_path, monkeypatch):
    monkeypatch.setattr("mcu_quant.precision.trial.cache_folder", lambda: tmp_path)
    graph = uneven()
    clips = data.load(None, None, {"x": graph.types["x"]})
    ranges = calibrate.calibrate_ranges(graph, clips, 60).edges
    lines = {op.name: OperatorPlan("f32") for op in presets.planned(graph)}
    trial = Trial.of(graph, Target(), PrecisionPlan("uneven", "t", lines, ranges), clips, 20)
    given = Given({op.name: ways(op, graph, Target()) for op in graph.operators}, collect(graph, clips), 1, clips=clips)
    made = steps.improved(trial, given, steps.chosen(("cross-layer",), defaults=False))
    s = made.start.rebalanced["p"]
    assert s.max() / s.min() > 50.0
    all_s8 = {op: OperatorPlan("s8") for op in lines}
    assert made.loss(made.with_lines(all_s8)) < 0.05 * trial.loss(trial.with_lines(all_s8))
    assert made.loss(made.start) < 1e-10
    program = lower(graph, made.with_lines(all_s8))
    assert len(program.calls) == len(lower(graph, trial.with_lines(all_s8)).calls), "nothing is computed in addition"
    assert "p" not in program.holds and renamed("p") in program.edges


def test_where_channels_cannot_be_rebalanced():
    graph = uneven()
    assert set(spans(graph)) == {"p"}
    assert spans(replace(graph, outputs=("y", "q"))) == {}, "the caller sees the channels"
    bounded = replace(graph.operators[0], attributes={"activation_min": 0.0, "activation_max": 6.0})
    assert spans(replace(graph, operators=(bounded, *graph.operators[1:]))) == {}, "6 would be another limit"
    bent = replace(graph.operators[1], op="Sigmoid")
    assert spans(replace(graph, operators=(graph.operators[0], bent, graph.operators[2]))) == {}
    twice = Operator("again", "Gemm", ("x", "v"), ("r",))
    assert spans(replace(graph, operators=(*graph.operators, twice))) == {}, "others have the same weights"


def test_factors_bring_every_channel_to_one_range():
    graph = uneven()
    span = spans(graph)["p"]
    largest = np.geomspace(1.0, 100.0, 16)
    s = cross_layer.factors(span, graph, largest, 1.0)
    assert np.ptp(np.log(largest / s)) < 1e-5


def test_the_rules_are_the_options_of_clip():
    assert set(clip.STRATEGY.options) == set(range_rules.RULES)
