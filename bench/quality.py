"""Quality of plans on whole pipelines, judged on other recordings than those they were made from.

    python -m bench.quality [PIPELINE ...] [--clips N] [--output bench/quality.json]

Plans are made from the four calibration clips: by the planner with the goals of PIPELINES, uniform INT8 and FP16, and
the preset tinydenoiser. Everything is judged against float onnxruntime, through the kernels that ship: losses per clip,
mean with its 95 % interval, worst; bytes against all-FP16; the share of multiplications in integers; seconds planning.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from joblib.externals.loky import get_reusable_executor
from scipy.io import wavfile
from scipy.stats import rankdata

from bench import speech
from bench.speech import GAINS, Step
from mcu_quant import api, boards, ops
from mcu_quant.api import PlanRequest, PrecisionRequest, Source, stages
from mcu_quant.api.planning import Planning
from mcu_quant.api.stages import Model
from mcu_quant.compare import Reference
from mcu_quant.data import Frame
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.interpret import Stream
from mcu_quant.ir import Array, Operator
from mcu_quant.lower import lower
from mcu_quant.precision import presets
from mcu_quant.precision.candidates import ways
from mcu_quant.precision.goal import Goal
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.program import Constant, Program

HERE = Path(__file__).resolve().parent
SHARED = HERE.parent.parent / "shared"
BOARD = "nucleo_h743zi2"

Losses = dict[str, list[float]]
"""Per measure, one figure per clip."""


@dataclass(frozen=True)
class Gate:
    """A bound on a figure of the table; `least` where larger is better."""

    figure: str
    bound: float
    least: bool = False

    def holds(self, figures: Mapping[str, float]) -> bool | None:
        """Whether the figure keeps the bound; None if it was not measured."""
        if self.figure not in figures:
            return None
        return figures[self.figure] >= self.bound if self.least else figures[self.figure] <= self.bound


@dataclass(frozen=True)
class Pipeline:
    """Models that work together, the dB their outputs are planned for, how they are judged, and the gates."""

    models: tuple[str, ...]
    goals: tuple[float, ...]
    judge: Callable[[Sequence[Setup], Sequence[PrecisionPlan], int | None], Losses]
    gates: tuple[Gate, ...]
    minimise: str = "balanced"
    #: share of multiplications in 8 x 8 bits that is asked for
    narrow: float | None = None
    #: what may be lost on the calibration clips, as `--max-loss`
    max_loss: tuple[str, float] | None = None

    def goal(self, db: float) -> Goal:
        """What a model of the pipeline is planned for."""
        return Goal(min_snr_db=db, minimise=self.minimise, narrow=self.narrow, max_loss=self.max_loss)


@dataclass(frozen=True, eq=False)
class Setup:
    """A model of a pipeline, ready to run in float and under plans."""

    model: Model
    outputs: tuple[str, ...]

    def reference(self) -> Step:
        """The model file in onnxruntime."""
        m = self.model
        return Step(Reference(m.file, m.graph, m.scalars, m.imported.stream), self.outputs)

    def program(self, plan: PrecisionPlan) -> Program:
        """The program of a plan on the board."""
        return lower(self.model.graph, plan, stages.target(boards.load(BOARD)))

    def planned(self, plan: PrecisionPlan) -> Step:
        """The kernels of a plan."""
        return Step(ProgramSession(self.program(plan)), self.outputs)


def setup(name: str) -> Setup:
    """Import a model of the shared folder."""
    model = stages.read(Source(SHARED / "models" / f"{name}.onnx"))
    return Setup(model, tuple(n for n in model.graph.outputs if ops.is_real(model.graph, n)))


# --- enhancement ---------------------------------------------------------------------------------------------------


#: Levels at which the output is compared with float's as well, in dB.
SOFTER_DB, LOUDER_DB = -30.0, 9.0

#: Frames of a first stage's mask that are compared, on its own state.
MASKS = 300


def enhancement(enhance: speech.Enhance) -> Callable[[Sequence[Setup], Sequence[PrecisionPlan], int | None], Losses]:
    """Judge by PESQ-WB (median over gains of both), SI-SDR, the SNR of the output against float at three levels, and of
    the mask where a first stage makes one."""

    def judge(models: Sequence[Setup], plans: Sequence[PrecisionPlan], clips: int | None) -> Losses:
        floats = [m.reference() for m in models]
        quantised = [m.planned(p) for m, p in zip(models, plans, strict=True)]
        names = ("pesq_loss", "si_sdr_loss_db", "snr_db", "snr_db softer", "snr_db louder", "snr_db of masks")
        found: Losses = {name: [] for name in names}
        for noisy in sorted((SHARED / "audio" / "valentini" / "noisy").glob("*.wav"))[:clips]:
            clean, x = speech.read(noisy.parent.parent / "clean" / noisy.name), speech.read(noisy)
            pairs = [(enhance(floats, gain * x), enhance(quantised, gain * x)) for gain in GAINS]
            found["pesq_loss"].append(
                float(np.median([speech.pesq(clean, a) - speech.pesq(clean, b) for a, b in pairs]))
            )
            a, b = pairs[GAINS.index(1.0)]
            found["si_sdr_loss_db"].append(speech.si_sdr(clean, a) - speech.si_sdr(clean, b))
            found["snr_db"].append(speech.snr(a, b))
            for name, db in (("snr_db softer", SOFTER_DB), ("snr_db louder", LOUDER_DB)):
                y = np.float32(10.0 ** (db / 20.0)) * x
                found[name].append(speech.snr(enhance(floats, y), enhance(quantised, y)))
            if enhance is speech.dtln:
                masks = (speech.dtln_masks(steps[0], x, MASKS) for steps in (floats, quantised))
                found["snr_db of masks"].append(speech.snr(*masks))
        return found

    return judge


# --- voice activity ------------------------------------------------------------------------------------------------


def voice_activity(detect: speech.Detect) -> Callable[[Sequence[Setup], Sequence[PrecisionPlan], int | None], Losses]:
    """Judge by the probability of every frame, decisions at 0.5, and the area under the curve against clean energy."""

    def judge(models: Sequence[Setup], plans: Sequence[PrecisionPlan], clips: int | None) -> Losses:
        (one,), (plan,) = models, plans
        floats, quantised = one.reference(), one.planned(plan)
        folder = SHARED / "audio" / "valentini"
        found: Losses = {"max_probability_change": [], "flips": [], "frames": []}
        every: list[tuple[Any, Any, Any]] = []
        for noisy in sorted((folder / "noisy").glob("*.wav"))[:clips]:
            x, clean = speech.read(noisy), speech.read(folder / "clean" / noisy.name)
            p, q = detect([floats], x), detect([quantised], x)
            found["max_probability_change"].append(float(np.abs(p - q).max()))
            found["flips"].append(float(np.sum((p > 0.5) != (q > 0.5))))
            found["frames"].append(float(len(p)))
            every.append((np.mean(clean[: 512 * len(p)].reshape(-1, 512) ** 2, axis=1), p, q))
        energy, a, b = (np.concatenate(each) for each in zip(*every, strict=True))
        voiced = energy > 1e-4 * energy.max()
        found["auc_loss"] = [_auc(voiced, a) - _auc(voiced, b)]
        return found

    return judge


def _auc(labels: Any, scores: Any) -> float:
    """Area under the ROC curve: how often a voiced frame scores above an unvoiced one."""
    ranks = rankdata(scores)  # frames that score alike share their rank
    n = int(labels.sum())
    return float((ranks[labels].sum() - n * (n + 1) / 2) / (n * (len(labels) - n)))


# --- keywords ------------------------------------------------------------------------------------------------------


def keywords(models: Sequence[Setup], plans: Sequence[PrecisionPlan], clips: int | None) -> Losses:
    """Judge by the SNR of the logits, pooled over clips, and by how often the largest class is the same."""
    (one,), (plan,) = models, plans
    session = ProgramSession(one.program(plan))
    held = session.program.holds[logits(one)]

    def planned(_: Path, frame: Frame) -> Array:
        session.reset()
        session.run(None, frame)
        return session.tap(held)

    return compared(one, planned, clips)


def compared(one: Setup, planned: Callable[[Path, Frame], Array], clips: int | None) -> Losses:
    """What `keywords` says of logits, given the recording or the last frame that the front end makes of it."""
    floats, edge = Stream(one.model.graph), logits(one)
    found: Losses = {"agree": [], "signal": [], "noise": [], "margin_of_flips": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = _varied(Path(scratch), clips)
        for path, clip in zip(sorted(folder.glob("*.wav")), stages.clips(one.model, folder), strict=True):
            floats.reset()
            frame = list(clip)[-1]
            a, b = (np.ravel(v).astype(float) for v in (floats.run(frame, [edge])[edge], planned(path, frame)))
            found["agree"].append(float(np.argmax(a) == np.argmax(b)))
            found["signal"].append(float(a @ a))
            found["noise"].append(float((a - b) @ (a - b)))
            top = np.sort(a)
            if np.argmax(a) != np.argmax(b):
                found["margin_of_flips"].append(float(top[-1] - top[-2]))
    return found


def logits(one: Setup) -> str:
    """What the model's softmax reads, or its output where it has none."""
    producer = one.model.graph.producer()
    edge = one.outputs[0]
    while ops.spec(op := producer[edge]).carries or op.op == "Softmax":
        edge = op.inputs[0]
    return edge


def _varied(folder: Path, clips: int | None) -> Path:
    """The keyword clips shifted, louder, quieter and with noise: drawn once and for all."""
    chance = np.random.default_rng(11)
    for path in sorted((SHARED / "audio" / "kws").glob("*.wav"))[:clips]:
        x = speech.read(path)
        for k in range(6):
            y = np.roll(x, int(chance.integers(-1600, 1600))) * 10.0 ** (chance.uniform(-12, 12) / 20)
            if k % 2:
                noise = chance.standard_normal(len(y))
                y = y + noise * np.sqrt(np.mean(y**2) / np.mean(noise**2)) * 10.0 ** (
                    -chance.choice([20, 10, 5, 0]) / 20
                )
            wavfile.write(folder / f"{path.stem}_{k}.wav", speech.RATE_HZ, (y.clip(-1, 1) * 32767).astype(np.int16))
    return folder


# --- over minutes --------------------------------------------------------------------------------------------------

#: A recording of so many seconds is played again and again for so long.
PIECE_SECONDS, STREAM_SECONDS = 10.0, 600.0

#: What activations lose is measured on so many frames.
PIECE_FRAMES = 300


def drift(one: Setup, plan: PrecisionPlan) -> float | None:
    """Noise of the outputs after ten minutes as a multiple of that after ten seconds, each over ten more.

    The same ten seconds of judged recordings are played all the time, the state carried, so that both hear the same
    behind the same. None of a model that keeps nothing.
    """
    pipeline = one.model.pipeline
    if not one.model.graph.states or pipeline is None:
        return None
    recordings = stages.clips(one.model, SHARED / "audio" / "valentini" / "noisy")
    count = round(PIECE_SECONDS / pipeline.frame_seconds)
    piece = list(islice(chain.from_iterable(recordings), count))
    floats, quantised = one.reference(), one.planned(plan)
    times = round(STREAM_SECONDS / PIECE_SECONDS) + 1
    noise = [_noise(floats, quantised, piece) for _ in range(times)]
    return noise[-1] / max(noise[1], 1e-30)


def activations(one: Setup, plan: PrecisionPlan) -> float | None:
    """SNR of the outputs over ten seconds beside the same 8-bit weights under floats: what activations alone lose.

    8-bit weights can raise PESQ, and hide what activations do. None of a plan without 8-bit weights.
    """
    lines = {op.name: _weights_alone(op, one, plan.operators[op.name]) for op in presets.planned(one.model.graph)}
    if not any(line.weights for line in lines.values()):
        return None
    beside, planned = one.planned(replace(plan, operators=lines)), one.planned(plan)
    piece = islice(chain.from_iterable(stages.clips(one.model, SHARED / "audio" / "valentini" / "noisy")), PIECE_FRAMES)
    return -10.0 * float(np.log10(max(_noise(beside, planned, list(piece)), 1e-30)))


def _weights_alone(op: Operator, one: Setup, line: OperatorPlan) -> OperatorPlan:
    """An operator in f32, with the 8-bit weights that it has under the plan."""
    narrow = line.weights == "s8" or (line.weights is None and line.format in ("s8", "s16"))
    known = ways(op, one.model.graph, stages.target(boards.load(BOARD)))
    alone = [w.line for w in known if w.line.format == "f32" and w.line.weights == "s8"]
    return alone[0] if narrow and alone else OperatorPlan("f32")


def _noise(floats: Step, quantised: Step, frames: Sequence[Mapping[str, Any]]) -> float:
    """|error|^2 / |output|^2 of all outputs together over some frames more."""
    error = signal = 0.0
    for feeds in frames:
        for a, b in zip(floats(feeds), quantised(feeds), strict=True):
            error += float(np.sum((np.asarray(a, float) - b) ** 2))
            signal += float(np.sum(np.asarray(a, float) ** 2))
    return error / max(signal, 1e-30)


# --- what a plan is ------------------------------------------------------------------------------------------------


def bytes_of(program: Program) -> int:
    """Weights, what is kept per row of them, and state; not the curves of gates, which are code."""
    curves = sum(c.bytes for c in program.constants.values() if c.name.startswith("gates:"))
    return program.weights_bytes - curves + sum(program.edges[s.edge].type.bytes for s in program.states)


def shares(program: Program) -> dict[str, float]:
    """Shares of the multiplications with 8-bit weights, and with 8 bits on both sides."""
    total = weights = both = 0
    for call in program.calls:
        macs = ops.kernels()[call.kernel].counts(program, call).macs
        if not macs:
            continue
        arrays = {program.constants[n].format for n in call.constants if program.constants[n].kind == "weights"}
        read = next((program.edges[e].type.format for e in call.reads), "")
        narrow = "s8" in arrays or (not any(isinstance(a, Constant) for a in call.args.values()) and read == "s8")
        total += macs
        weights += macs * narrow
        both += macs * (narrow and read == "s8")
    return {"macs_with_8_bit_weights": weights / max(1, total), "macs_8x8": both / max(1, total)}


def narrow_parameters(program: Program) -> tuple[int, int]:
    """Elements of weight matrices that are stored in 8 bits, and of all."""
    kept = [c for c in program.constants.values() if c.kind == "weights"]
    weights = [c for c in kept if not c.name.partition("#")[0].endswith((":bias", ":gain"))]
    return sum(c.array.size for c in weights if c.format == "s8"), sum(c.array.size for c in weights)


# --- the table -----------------------------------------------------------------------------------------------------

PIPELINES: Mapping[str, Pipeline] = {
    "dtln": Pipeline(
        ("dtln_stage1", "dtln_stage2"),
        (39.0, 39.0),
        enhancement(speech.dtln),
        (
            Gate("pesq_loss mean", 0.01),
            Gate("pesq_loss worst", 0.10),
            Gate("si_sdr_loss_db mean", 0.1),
            Gate("snr_db of masks mean", 35.0, least=True),
            Gate("bytes against all f16", 0.56),
            Gate("macs_with_8_bit_weights", 0.95, least=True),
        ),
        minimise="flash",
    ),
    "gtcrn": Pipeline(
        ("gtcrn_stream",),
        (31.0,),
        enhancement(speech.gtcrn),
        (
            Gate("pesq_loss mean", 0.03),
            Gate("pesq_loss worst", 0.12),
            Gate("snr_db mean", 30.0, least=True),
            Gate("snr_db worst", 22.0, least=True),
            Gate("snr_db softer mean", 30.0, least=True),
            Gate("snr_db softer worst", 22.0, least=True),
            Gate("snr_db louder mean", 30.0, least=True),
            Gate("snr_db louder worst", 22.0, least=True),
            Gate("parameters_with_8_bit_weights", 0.95, least=True),
            Gate("macs_8x8", 0.75, least=True),
        ),
        minimise="flash",
        narrow=0.76,
    ),
    "silero": Pipeline(
        ("silero_vad_16k",),
        (46.0,),
        voice_activity(speech.silero),
        (
            Gate("max_probability_change worst", 0.05),
            Gate("flips share", 0.001),
            Gate("auc_loss mean", 0.001),
            Gate("drift over 10 minutes", 1.5),
            Gate("bytes against all f16", 0.56),
            Gate("macs_8x8", 0.60, least=True),
        ),
        minimise="flash",
        narrow=0.62,
        max_loss=("change", 0.05),
    ),
    "kwt1": Pipeline(
        ("kwt1_mfcc",),
        (34.0,),
        keywords,
        (
            Gate("snr_db", 37.0, least=True),
            Gate("agree mean", 0.99, least=True),
            Gate("macs_8x8", 0.99, least=True),
            Gate("margin_of_flips worst", 0.2),
        ),
        minimise="loss",
        narrow=0.99,
    ),
    "arm_gru": Pipeline(
        ("armkws_gru_s",),
        (43.0,),
        keywords,
        (
            Gate("snr_db", 42.0, least=True),
            Gate("agree mean", 0.985, least=True),
            Gate("bytes against all f16", 0.56),
        ),
        minimise="flash",
    ),
    "arm_lstm": Pipeline(
        ("armkws_basic_lstm_s",),
        (36.0,),
        keywords,
        (
            Gate("snr_db", 42.0, least=True),
            Gate("agree mean", 0.985, least=True),
            Gate("bytes against all f16", 0.56),
        ),
        minimise="flash",
    ),
    "dscnn": Pipeline(
        ("mlperf_tiny_dscnn",),
        (29.0,),
        keywords,
        (Gate("snr_db", 29.0, least=True), Gate("agree mean", 0.98, least=True), Gate("macs_8x8", 0.85, least=True)),
        minimise="flash",
        narrow=0.86,
    ),
}

#: Plans beside the planner's.
FIXED = ("s8", "f16", "tinydenoiser")


def figures(losses: Losses) -> dict[str, float]:
    """Mean with its 95 % interval, and worst, of every measure."""
    found: dict[str, float] = {}
    for name, values in losses.items():
        if not values or name in ("signal", "noise", "frames"):
            continue
        worst = min if name == "agree" or name.startswith("snr_db") else max
        found[f"{name} mean"] = float(np.mean(values))
        found[f"{name} interval"] = (
            1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
        )
        found[f"{name} worst"] = float(worst(values))
    if "flips" in losses:
        found["flips share"] = sum(losses["flips"]) / sum(losses["frames"])
    if "noise" in losses:
        found["snr_db"] = float(10.0 * np.log10(sum(losses["signal"]) / max(1e-30, sum(losses["noise"]))))
    return found


def rows(name: str, clips: int | None) -> Iterator[dict[str, Any]]:
    """One row per plan of a pipeline."""
    pipeline = PIPELINES[name]
    models = [setup(m) for m in pipeline.models]
    half = sum(bytes_of(m.program(_fixed(m, "f16"))) for m in models)
    for kind in ("planner", *FIXED):
        began, worked = time.monotonic(), _processor_seconds()
        goals = [pipeline.goal(db) for db in pipeline.goals]
        plans = [_plan(m, kind, goal) for m, goal in zip(models, goals, strict=True)]
        seconds, worked = time.monotonic() - began, _processor_seconds() - worked
        programs = [m.program(p) for m, p in zip(models, plans, strict=True)]
        losses = pipeline.judge(models, plans, clips)
        found = figures(losses) | {"bytes against all f16": sum(map(bytes_of, programs)) / half}
        drifts = [d for d in map(drift, models, plans) if d is not None]
        found |= {"drift over 10 minutes": max(drifts)} if drifts else {}
        parameters = [narrow_parameters(p) for p in programs]
        found["parameters_with_8_bit_weights"] = sum(n for n, _ in parameters) / sum(every for _, every in parameters)
        kept = [db for db in map(activations, models, plans) if db is not None]
        found |= {"snr_db beside 8-bit weights": min(kept)} if kept else {}
        weighted = [(shares(p), sum(ops.kernels()[c.kernel].counts(p, c).macs for c in p.calls)) for p in programs]
        for share in ("macs_with_8_bit_weights", "macs_8x8"):
            found[share] = sum(s[share] * macs for s, macs in weighted) / sum(macs for _, macs in weighted)
        gates = {f"{g.figure} {'>=' if g.least else '<='} {g.bound:g}": g.holds(found) for g in pipeline.gates}
        rounded = {k: round(v, 5) for k, v in found.items()}
        per_clip = {k: [round(v, 5) for v in values] for k, values in losses.items()}
        yield {
            "pipeline": name,
            "plan": kind,
            "seconds_planning": round(seconds, 1),
            "processor_seconds_planning": round(worked, 1),
            "gates": gates,
            "figures": rounded,
            "clips": per_clip,
        }


def _processor_seconds() -> float:
    """Of this process and of those that measured for it: what planning takes however busy the machine is."""
    get_reusable_executor().shutdown(wait=True)  # processes count when they have ended
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def _plan(one: Setup, kind: str, goal: Goal | None = None) -> PrecisionPlan:
    planning = Planning(goal) if kind == "planner" else Planning()
    precision = PrecisionRequest() if kind == "planner" else PrecisionRequest(kind)
    request = PlanRequest(Source(one.model.file), BOARD, precision, SHARED / "audio" / "calibration", planning)
    return api.make_plan(request).plan


def _fixed(one: Setup, preset: str) -> PrecisionPlan:
    return _plan(one, preset)


def line(row: Mapping[str, Any]) -> str:
    """A row for people."""
    shown = [f"{k} {v:.4g}" for k, v in row["figures"].items() if not k.endswith("interval")]
    missed = [g for g, held in row["gates"].items() if held is False]
    return f"{row['pipeline']} {row['plan']}: {', '.join(shown)}" + (f"; MISSES {'; '.join(missed)}" if missed else "")


def main() -> int:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(description="Quality of plans on whole pipelines.")
    parser.add_argument("pipelines", nargs="*", default=list(PIPELINES), metavar="PIPELINE")
    parser.add_argument("--clips", type=int, help="only the first so many clips")
    parser.add_argument("--output", type=Path, default=HERE / "quality.json")
    given = parser.parse_args()
    if not SHARED.is_dir():
        print(f"the models and recordings are not at {SHARED}", file=sys.stderr)
        return 2
    known = json.loads(given.output.read_text()) if given.output.is_file() else []
    for name in given.pipelines:
        for row in rows(name, given.clips):
            print(line(row), flush=True)
            same = (row["pipeline"], row["plan"])
            known = [r for r in known if (r["pipeline"], r["plan"]) != same] + [row]
            given.output.write_text("[\n" + ",\n".join(f" {json.dumps(r)}" for r in known) + "\n]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
