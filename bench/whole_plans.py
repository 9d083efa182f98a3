"""The table of `bench.quality` through the whole path: plans of models in firmware with front and back end.

    python -m bench.whole_plans [dtln gtcrn silero kwt1 ...] [--clips N] [--output bench/whole_plans.json]

A plan of `bench.quality` is laid over the pipeline that its models are in, whose ends stay in floats; a folder is built
with it, and recordings of 16-bit samples are streamed through the folder's C: audio is compared with what onnxruntime
makes in the authors' loop, probabilities and logits with those of the float model behind the host's front end.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from bench import quality, speech
from bench.pipelines import LOOPS
from bench.quality import BOARD, SHARED, Losses, Setup
from mcu_quant import api, boards
from mcu_quant.api import listen, stages
from mcu_quant.audio import AUDIO_IN
from mcu_quant.audio.builder import inside
from mcu_quant.audio.play import as_pcm
from mcu_quant.data import Frame
from mcu_quant.emulator.folder import FolderSession
from mcu_quant.ir import Array
from mcu_quant.precision import plan as plan_files
from mcu_quant.precision.plan import PrecisionPlan


def whole(models: Sequence[Setup], plans: Sequence[PrecisionPlan]) -> PrecisionPlan:
    """One plan for the pipeline of models in a chain, the last of which names it."""
    model = stages.read(api.Source(models[-1].model.file, audio=True))
    target = stages.target(boards.load(BOARD))
    # ranges of what the front end gives, which no model has among its own edges
    around = stages.choose(model, target, api.PrecisionRequest("s8"), SHARED / "audio" / "calibration").plan
    tables = {f.name: dict(getattr(around, f.name)) for f in fields(around) if _is_table(around, f.name)}
    for one, plan in zip(models, plans, strict=True):
        prefix = "" if one is models[-1] else f"{one.model.graph.name}/"
        for name, table in tables.items():
            table |= {inside(prefix, k): v for k, v in getattr(plan, name).items()}
    tables["operators"] = {k: v for k, v in tables["operators"].items() if k in around.operators}
    scalars = {"headroom": max(p.headroom for p in plans), "powers_of_two": any(p.powers_of_two for p in plans)}
    return replace(around, preset=plans[-1].preset, **tables, **scalars)


def _is_table(plan: PrecisionPlan, name: str) -> bool:
    return isinstance(getattr(plan, name), Mapping)


#: What is around the models of a pipeline that gives samples or probabilities, as its authors have it.
AROUND: Mapping[str, Callable[[Sequence[speech.Step], speech.Samples], speech.Samples]] = {
    **LOOPS,
    "silero": speech.silero,
}

#: Pipelines that say words; around them is the host's front end.
SPOTTERS = ("kwt1", "arm_gru", "arm_lstm", "dscnn")

Heard = Callable[[speech.Samples], speech.Samples]


@dataclass(frozen=True, eq=False)
class Whole:
    """A pipeline in the place of a model of `bench.quality`: both ways of running it take and give samples, or take
    samples and give the probability of each of their frames."""

    name: str
    models: Sequence[Setup]
    scratch: Path

    def reference(self) -> Heard:
        """onnxruntime in the authors' loop."""
        return partial(AROUND[self.name], [m.reference() for m in self.models])

    def planned(self, plan: PrecisionPlan) -> Heard:
        """The C of a folder with this plan."""
        folder, pipeline = build(self.models[-1], plan, self.scratch), self.models[-1].model.pipeline
        assert pipeline is not None

        def run(x: speech.Samples) -> speech.Samples:
            played = listen.through(folder, as_pcm(x))
            if played.audio is not None:
                return (played.audio / 32768.0).astype(np.float32)
            # calls with what silence was added to are none of the reference's frames
            return played.outputs["probability"].ravel()[: len(x) // pipeline.stream_hop].astype(np.float32)

        return run


def build(model: Setup, plan: PrecisionPlan, scratch: Path) -> Path:
    """The folder of a pipeline with a plan."""
    folder, file = scratch / "firmware", scratch / "plan.toml"
    file.write_text(plan_files.to_toml(plan))
    source = api.Source(model.model.file, audio=True)
    api.build(api.BuildRequest(source, BOARD, folder, api.PrecisionRequest(plan=file)))
    return folder


def words(model: Setup, plan: PrecisionPlan, clips: int | None, scratch: Path) -> Losses:
    """What a keyword spotter's firmware makes of whole recordings, beside the float model behind the host's front end:
    the logits at their end."""
    folder, pipeline = build(model, plan, scratch), model.model.pipeline
    assert pipeline is not None
    edge = quality.logits(model)
    with FolderSession(folder, sanitize=False, taps=[edge]) as session:

        def planned(path: Path, _: Frame) -> Array:
            samples, hop = as_pcm(speech.read(path)), pipeline.stream_hop
            samples = np.pad(samples, (0, -samples.size % hop))  # with silence, as the host's front end does
            session.reset()
            for at in range(0, samples.size, hop):
                session.run([], {AUDIO_IN: samples[at : at + hop]})
            return session.tap(edge)

        return quality.compared(model, planned, clips)


def losses(name: str, kind: str, clips: int | None) -> Losses:
    """What `bench.quality` measures of a pipeline, with a plan of its own or a preset, through firmware."""
    pipeline = quality.PIPELINES[name]
    models = [quality.setup(m) for m in pipeline.models]
    goals = map(pipeline.goal, pipeline.goals)
    plan = whole(models, [quality._plan(m, kind, goal) for m, goal in zip(models, goals, strict=True)])
    with tempfile.TemporaryDirectory() as scratch:
        if name in SPOTTERS:
            return words(models[-1], plan, clips, Path(scratch))
        judge = quality.voice_activity if name == "silero" else quality.enhancement
        return judge(lambda steps, x: steps[0](x))([Whole(name, models, Path(scratch))], [plan], clips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipelines", nargs="*", default=[*AROUND, *SPOTTERS], metavar="PIPELINE")
    parser.add_argument(
        "--plan", action="append", help="planner, s8, f16 or tinydenoiser; may be repeated; default: all"
    )
    parser.add_argument("--clips", type=int, help="only the first so many clips")
    parser.add_argument("--output", type=Path, default=quality.HERE / "whole_plans.json")
    asked = parser.parse_args()
    known = json.loads(asked.output.read_text()) if asked.output.is_file() else []
    for name in asked.pipelines:
        for kind in asked.plan or ("planner", *quality.FIXED):
            found = {k: round(v, 5) for k, v in quality.figures(losses(name, kind, asked.clips)).items()}
            kept = {g.figure: g.holds(found) for g in quality.PIPELINES[name].gates if g.figure in found}
            missed = [f"MISSES {figure}" for figure, holds in kept.items() if not holds]
            print(
                f"{name} {kind}: {', '.join(f'{k} {v:.4g}' for k, v in found.items())}", *missed, sep="; ", flush=True
            )
            row = {"pipeline": name, "plan": kind, "clips": asked.clips, **found, "gates": kept}
            known = [r for r in known if (r["pipeline"], r["plan"]) != (name, kind)] + [row]
            asked.output.write_text("[\n" + ",\n".join(f" {json.dumps(r)}" for r in known) + "\n]\n")


if __name__ == "__main__":
    main()
