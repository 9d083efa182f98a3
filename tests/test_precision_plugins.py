"""Methods that are not there yet fit without a change: files in a folder, taken by the planner like its own.

A score by the gradient of a task's loss, which needs labels; a step that reconstructs layers when their formats are
settled; weights of 4 bits.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bench.small_models import mask_lstm
from mcu_quant import api, data, formats, frontend, ops, quantise
from mcu_quant.api import PlanRequest, PrecisionRequest, Source
from mcu_quant.api.planning import Planning
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.formats import QuantParams
from mcu_quant.interpret import Stream
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.ops import Formats, OpLowering
from mcu_quant.passes import optimise
from mcu_quant.precision import presets, sensitivity, steps
from mcu_quant.precision.candidates import ways
from mcu_quant.precision.goal import Goal
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, from_toml, to_toml
from mcu_quant.precision.strategies import strategies
from mcu_quant.rounding import Rounded

FISHER = '''
"""Squared first-order change of a task's loss, <g, Q(W) - W>^2, the mean over frames (as a Fisher diagonal has it)."""

from dataclasses import replace

import numpy as np

from mcu_quant.interpret import Stream
from mcu_quant.precision.sensitivity import Request, Sensitivity, Table
from mcu_quant.precision.sensitivity.weight_mse import quantised
from mcu_quant.precision.strategies import About

STEP = 1e-3


def task_losses(graph, clips):
    """Squared distance to the labels, frame by frame; to the model's own outputs where there are none."""
    found = []
    for clip in clips:
        stream, own = Stream(graph), Stream(BASE)
        labels = clip.labels() if clip.labels else (own.run(frame) for frame in clip)
        for frame, wanted in zip(clip, labels):
            made = stream.run(frame)
            found.append(sum(float(np.sum((made[n].astype(float) - wanted[n]) ** 2)) for n in graph.outputs))
    return np.array(found)


def score(request: Request) -> Table:
    global BASE
    graph = BASE = request.graph
    scores = {}
    for op in graph.operators:
        for way in request.ways.get(op.name, ()):
            names = [i for i in op.inputs if i in graph.constants and graph.constants[i].ndim > 1]
            if not names or not way.weights or way.weights == "f32":
                scores[op.name, way.name] = 0.0
                continue
            moved = []
            for sign in (1.0, -1.0):
                constants = dict(graph.constants)
                for n in names:
                    w = graph.constants[n].astype(float)
                    error = quantised(w.reshape(-1, w.shape[-1]), way.weights).reshape(w.shape) - w
                    constants[n] = w + sign * STEP * error
                moved.append(task_losses(replace(graph, constants=constants), request.labelled or CLIPS))
            scores[op.name, way.name] = float(np.mean(((moved[0] - moved[1]) / (2.0 * STEP)) ** 2))
    return Table(scores)


CLIPS = ()
STRATEGY = Sensitivity(
    About("fisher-like", "squared slope of a task's loss", needs=("labels",)), score, exact=False, needs_labels=True
)
'''

FIRST_ORDER = '''
"""The gradient of the distance to the model's own outputs, times the change of the weights."""

from mcu_quant.precision.sensitivity import Request, Sensitivity, Table
from mcu_quant.precision.strategies import About


def score(request: Request) -> Table:
    gradient = 0.0  # 2 J^T (y - y), at the weights in f32
    return Table({(op, way.name): gradient * way.bits for op, ways in request.ways.items() for way in ways})


STRATEGY = Sensitivity(About("first-order", "gradient times change of the weights"), score, exact=False)
'''

RECONSTRUCT = '''
"""Weights of chosen layers rounded up or down by coordinate descent on |X (Q(W) - W)|^2, from X^T X."""

from dataclasses import replace

import numpy as np

from mcu_quant import quantise
from mcu_quant.formats import QuantParams, get
from mcu_quant.precision.steps import Step
from mcu_quant.precision.strategies import About
from mcu_quant.rounding import Rounded


def descended(real, scale, second):
    exact = real / scale[:, None]
    low = np.floor(exact)
    up = np.rint(exact) > low
    h = second / np.trace(second)
    for _ in range(3):
        error = low + up - exact
        slope = error @ h
        for j in range(real.shape[1]):
            move = np.where(up[:, j], -1.0, 1.0)
            better = 2.0 * move * slope[:, j] + h[j, j] < 0.0
            slope += np.outer(np.where(better, move, 0.0), h[j])
            up[:, j] ^= better
    return up


def apply(trial, given):
    found = dict(trial.start.rounded)
    for op in trial.graph.operators:
        line = given.chosen.get(op.name)
        seen = given.inputs.get(op.inputs[1]) if op.op == "Gemm" else None
        if line is None or seen is None or seen.second is None:
            continue
        way = next(w for w in given.ways[op.name] if replace(w.line, reason="") == replace(line, reason=""))
        if not way.weights or not get(way.weights).narrow:
            continue
        real = np.asarray(trial.graph.constants[op.inputs[1]], np.float64)
        scale = quantise.rows(real, None, QuantParams(1.0), "s8", way.weights, accumulator_bits=62).scale
        found[op.inputs[1]] = Rounded(way.weights, descended(real, scale, seen.second))
    return replace(trial.start, rounded=found)


STRATEGY = Step(About("reconstruct", "rounds weights of the chosen formats anew", needs=("clips",)), apply, after=True)
'''


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Puts files into folders that the planner looks into beside its own."""

    def add(kind, name, text):
        folder = tmp_path / "plugins" / kind.__name__.rsplit(".", 1)[-1]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(text)
        monkeypatch.setattr(kind, "__path__", [*kind.__path__, str(folder)])
        strategies.cache_clear()
        formats.formats.cache_clear()
        added.append(f"{kind.__name__}.{name}")

    added = []
    monkeypatch.setattr("mcu_quant.precision.trial.cache_folder", lambda: tmp_path / "scores")
    yield add
    monkeypatch.undo()
    strategies.cache_clear()
    formats.formats.cache_clear()
    for name in added:
        sys.modules.pop(name, None)


@pytest.fixture
def mask(tmp_path):
    """A small masking network, its clips, and labels: what it makes, a little off."""
    path = mask_lstm(tmp_path / "mask.onnx", bins=32, units=24)
    graph = optimise(frontend.load(path).graph)
    (name,), (output,) = graph.inputs, graph.outputs
    x = np.random.default_rng(5).exponential(1.0, (40, *graph.shape(name))).astype(np.float32)
    stream = Stream(graph)
    labels = np.round(np.stack([stream.run({name: frame})[output] for frame in x]), 1)
    for folder, more in (("labelled", {output: labels}), ("plain", {})):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "one.npz", **{name: x}, **more)
    dense = next(op.name for op in graph.operators if op.op == "Gemm")
    lines = {op.name: OperatorPlan("f32") for op in presets.planned(graph)}
    return SimpleNamespace(
        path=path,
        labelled=tmp_path / "labelled",
        plain=tmp_path / "plain",
        graph=graph,
        dense=dense,
        plan=PrecisionPlan("mask", "test", lines),
        frames=[{name: frame} for frame in x],
    )


SMALL = Goal(min_snr_db=25.0, minimise="flash")


def planned(mask, clips, goal=SMALL, edits=(), **asked):
    planning = Planning(goal, jobs=1, **asked)
    request = PlanRequest(Source(mask.path), "nucleo_f446re", PrecisionRequest(edits=edits), clips, planning)
    return api.make_plan(request).plan


# --- labels --------------------------------------------------------------------------------------------------------


def test_a_score_of_a_tasks_loss_finds_the_labels(plugins, mask):
    plugins(sensitivity, "fisher", FISHER)
    assert "fisher-like" in strategies("sensitivity")
    made = planned(mask, mask.labelled, sensitivity="fisher-like")
    assert "scores by fisher-like: Spearman" in made.planned
    assert {line.format for line in made.operators.values()} != {"f32"}


def test_without_labels_it_is_refused_with_the_reason(plugins, mask):
    plugins(sensitivity, "fisher", FISHER)
    with pytest.raises(DiagnosticError, match="MQ310") as refused:
        planned(mask, mask.plain, sensitivity="fisher-like")
    assert "whose gradient at the weights in f32 is zero" in str(refused.value)
    assert "--sensitivity fisher-like" in str(refused.value)


def test_scores_that_are_all_zero_are_not_used(plugins, mask):
    plugins(sensitivity, "first_order", FIRST_ORDER)
    with pytest.raises(DiagnosticError, match="MQ310") as refused:
        planned(mask, mask.plain, sensitivity="first-order")
    assert "scores are zero, so that nothing can be chosen by them" in str(refused.value)


def test_labels_lie_beside_recordings_too(tmp_path):
    from scipy.io import wavfile

    from mcu_quant import pipelines
    from mcu_quant.ir import TensorType

    silero = pipelines.ready_made()["silero_vad_16k"]
    inputs = {e.name: TensorType(e.shape) for e in silero.inputs}
    outputs = {"speech": TensorType((1, 1))}
    wavfile.write(tmp_path / "a.wav", silero.rate_hz, np.zeros(silero.rate_hz, np.int16))
    (clip,) = data.load(tmp_path, silero, inputs, outputs=outputs)
    assert clip.labels is None
    np.savez(tmp_path / "a.npz", speech=np.ones((len(clip), 1, 1)))
    made = data.load(tmp_path, silero, inputs, outputs=outputs)
    (clip,) = made.labelled
    assert [float(frame["speech"].item()) for frame in clip.labels()] == [1.0] * len(clip)
    np.savez(tmp_path / "a.npz", speech=np.ones((3, 1, 1)))
    with pytest.raises(DiagnosticError, match="labels for 3 frames"):
        data.load(tmp_path, silero, inputs, outputs=outputs)


# --- a step after the choice ---------------------------------------------------------------------------------------


def test_a_step_may_wait_for_the_formats(plugins, mask, tmp_path):
    plugins(steps, "reconstruct", RECONSTRUCT)
    before = planned(mask, mask.plain, steps=("compensate=off",))
    after = planned(mask, mask.plain, steps=("compensate=off", "reconstruct"))
    assert {n: replace(a, reason="") for n, a in after.operators.items()} == {
        n: replace(a, reason="") for n, a in before.operators.items()
    }
    assert after.steps.endswith("reconstruct") and after.rounded and not before.rounded
    lost = [float(p.planned.split("measured ")[1].split(" dB")[0]) for p in (before, after)]
    assert lost[1] > lost[0] + 0.2
    again = from_toml(to_toml(after))
    assert to_toml(again) == to_toml(after)
    programs = [lower(mask.graph, p) for p in (after, again, before)]
    assert all(np.array_equal(c.array, programs[1].constants[n].array) for n, c in programs[0].constants.items())
    assert str(programs[0]) == str(programs[2]), "the same calls, with other weights"
    assert any(not np.array_equal(c.array, programs[2].constants[n].array) for n, c in programs[0].constants.items())


def test_what_a_step_makes_worse_is_left_out(plugins, mask):
    plugins(steps, "worse", RECONSTRUCT.replace("up[:, j] ^= better", "up[:, j] ^= ~better"))
    made = planned(mask, mask.plain, steps=("reconstruct",))
    assert not made.rounded and "reconstruct" not in made.steps


def test_rounding_that_was_found_is_for_its_format_only():
    real = np.random.default_rng(1).standard_normal((6, 10))
    up = np.ones(real.shape, bool)
    known = quantise.Known(rounded=Rounded("s8", up))
    made = quantise.rows(real, None, QuantParams(1.0), "s8", known=known)
    assert np.array_equal(made.weights, np.minimum(np.floor(real / made.scale[:, None]) + 1, 127))
    wide, plain = (
        quantise.rows(real, None, QuantParams(1.0), "s8", "s16", accumulator_bits=62, known=k)
        for k in (known, quantise.NOTHING)
    )
    assert np.array_equal(wide.weights, plain.weights)


def test_a_bit_per_weight():
    def read(up):
        text = f'[operators]\n[rounded]\nw = {{ weights = "s8", rows = 2, columns = 5, up = "{up}" }}\n'
        return from_toml(text).rounded["w"].up.tolist()

    assert read("/4A=") == [[True] * 5, [True] * 4 + [False]]
    for wrong in ("/w==", "/4AA", "?"):
        with pytest.raises(DiagnosticError, match="MQ304"):
            read(wrong)


# --- weights of 4 bits ---------------------------------------------------------------------------------------------

S4 = '''
"""s4: 4-bit two's complement, for weights; a byte each until a kernel packs them."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("s4", "int8_t", np.dtype(np.int8), integer=True, minimum=-8, maximum=7)
'''


def _lower_4_bits(op, lo):
    """What the weight-only layer does, with weights of another format."""
    w = np.asarray(lo.weights_of(op.inputs[1]), np.float64)
    known = quantise.Known(moments=lo.plan.moments.get(op.inputs[1]), rounded=lo.plan.rounded.get(op.inputs[1]))
    weights, scale, _ = quantise.for_floats(w, None, known, "s4")
    bias = lo.weights_of(op.inputs[2]) if op.input(2) else np.zeros(len(w))
    kernel = f"mq_fully_connected_w8_{lo.formats.input}"
    lo.call(
        kernel,
        x=lo.read(op.inputs[0]),
        w=lo.matrix(kernel, "w", weights, "s4", hint=f"{op.name}:weights"),
        y=lo.write(op.outputs[0]),
        p=lo.struct(
            "mq_fully_connected_scaled_params",
            rows=1,
            inputs=w.shape[1],
            outputs=w.shape[0],
            bias=lo.constant(bias, "f32", hint=f"{op.name}:bias"),
            scale=lo.constant(scale, "f32", hint=f"{op.name}:scale", kind="table"),
            low=-np.inf,
            high=np.inf,
        ),
    )


@pytest.fixture
def four_bits(plugins, monkeypatch):
    """The format as a file, and one more lowering of fully connected layers."""
    plugins(formats, "s4", S4)
    gemm = ops.specs()["Gemm"]
    more = OpLowering("f32", Formats("f32", "f32", "s4"), _lower_4_bits)
    monkeypatch.setitem(ops._specs, "Gemm", replace(gemm, lowerings=(*gemm.lowerings, more)))


def test_weights_of_4_bits_are_candidates_like_others(four_bits, mask, tmp_path):
    dense = next(op for op in mask.graph.operators if op.name == mask.dense)
    known = {w.name: w for w in ways(dense, mask.graph, Target())}
    assert {"f32", "f32:weights=s8", "f32:weights=s4"} <= set(known)
    four = known["f32:weights=s4"]
    assert (four.weights, four.bits, four.line.weight_only) == ("s4", 18.0, True)
    made = planned(mask, mask.plain, edits=(f"{dense.name}={four.name}",))
    assert made.operators[dense.name].reason.startswith("weight-only, s4 weights and all else in f32")
    assert to_toml(from_toml(to_toml(made))) == to_toml(made)
    session = ProgramSession(lower(mask.graph, made), verify=True)
    for frame in mask.frames[:3]:
        session.run(None, frame)
    constant = next(c for n, c in session.program.constants.items() if c.format == "s4")
    assert np.abs(constant.array).max() == 7


def test_4_bits_lose_what_they_should_and_steps_improve_them(four_bits, plugins, mask):
    """Steps are 127 / 7 times as wide; and reconstruction works at any width."""
    real = np.asarray(next(mask.graph.constants[op.inputs[1]] for op in mask.graph.operators if op.op == "Gemm"), float)
    snr = {}
    for fmt in ("s8", "s4"):
        made = quantise.rows(real, None, QuantParams(1.0), "s8", fmt, accumulator_bits=62)
        snr[fmt] = 10 * np.log10(np.sum(real**2) / np.sum((made.weights * made.scale[:, None] - real) ** 2))
    assert snr["s8"] - snr["s4"] == pytest.approx(20 * np.log10(127 / 7), abs=1.0)
    plugins(steps, "reconstruct", RECONSTRUCT)
    dense = next(op for op in mask.graph.operators if op.op == "Gemm")
    fixed = (*(f"{op.name}=f32" for op in mask.graph.operators if op.op == "LSTM"), f"{dense.name}=f32:weights=s4")
    lost = []
    for taken in (("compensate=off",), ("compensate=off", "reconstruct")):
        made = planned(mask, mask.plain, Goal(min_snr_db=0.0, minimise="loss"), steps=taken, edits=fixed)
        lost.append(float(made.planned.split("measured ")[1].split(" dB")[0]))
    assert made.rounded[dense.inputs[1]].format == "s4"
    assert lost[1] > lost[0] + 1.0


def test_a_kernel_packs_them_two_in_a_byte(four_bits, mask, monkeypatch):
    """Storage is the kernel's: the plan, the matrix and what is measured know nothing of it."""
    name = "mq_fully_connected_w8_f32"

    def pairs(matrix, groups):
        low, high = matrix[:, 0::2].astype(np.uint8) & 15, matrix[:, 1::2].astype(np.uint8) << 4
        return (low | high).view(np.int8)

    plan = replace(
        mask.plan,
        operators={
            **mask.plan.operators,
            mask.dense: from_toml('[operators]\nx = { format = "f32", weights = "s4" }\n').operators["x"],
        },
    )
    plain = lower(mask.graph, plan)
    monkeypatch.setitem(ops._kernels, name, replace(ops.kernels()[name], pack={("scalar", "w"): pairs}))
    packed = lower(mask.graph, plan)
    sizes = [next(c.array.nbytes for c in p.constants.values() if c.format == "s4") for p in (plain, packed)]
    assert sizes[0] == 2 * sizes[1]
    assert packed.weights_bytes == plain.weights_bytes - sizes[1]
