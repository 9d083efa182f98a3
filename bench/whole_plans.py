"""The table of `bench.quality` through the whole path: plans of models in firmware with front and back end.

    python -m bench.whole_plans [dtln gtcrn] [--clips N]

A plan of `bench.quality` is laid over the pipeline that its models are in, whose ends stay in floats; a folder is built
with it, and recordings of 16-bit samples are streamed through the folder's C.
"""

from __future__ import annotations

import argparse
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
from mcu_quant.audio.builder import inside
from mcu_quant.audio.play import as_pcm
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


Heard = Callable[[speech.Samples], speech.Samples]


@dataclass(frozen=True, eq=False)
class Whole:
    """A pipeline in the place of a model of `bench.quality`: both ways of running it take and give samples."""

    name: str
    models: Sequence[Setup]
    scratch: Path

    def reference(self) -> Heard:
        """onnxruntime in the authors' loop."""
        return partial(LOOPS[self.name], [m.reference() for m in self.models])

    def planned(self, plan: PrecisionPlan) -> Heard:
        """The C of a folder with this plan."""
        folder, file = self.scratch / "firmware", self.scratch / "plan.toml"
        file.write_text(plan_files.to_toml(plan))
        source = api.Source(self.models[-1].model.file, audio=True)
        api.build(api.BuildRequest(source, BOARD, folder, api.PrecisionRequest(plan=file)))

        def run(x: speech.Samples) -> speech.Samples:
            audio = listen.through(folder, as_pcm(x)).audio
            assert audio is not None
            return (audio / 32768.0).astype(np.float32)

        return run


def losses(name: str, kind: str, clips: int | None) -> Losses:
    """What `bench.quality` measures of enhancement, with a plan of its own or a preset, through firmware."""
    pipeline = quality.PIPELINES[name]
    models = [quality.setup(m) for m in pipeline.models]
    goals = map(pipeline.goal, pipeline.goals)
    plan = whole(models, [quality._plan(m, kind, goal) for m, goal in zip(models, goals, strict=True)])
    judge = quality.enhancement(lambda steps, x: steps[0](x))
    with tempfile.TemporaryDirectory() as scratch:
        return judge([Whole(name, models, Path(scratch))], [plan], clips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipelines", nargs="*", default=list(LOOPS), metavar="PIPELINE")
    parser.add_argument(
        "--plan", action="append", help="planner, s8, f16 or tinydenoiser; may be repeated; default: all"
    )
    parser.add_argument("--clips", type=int, help="only the first so many clips")
    asked = parser.parse_args()
    for name in asked.pipelines:
        for kind in asked.plan or ("planner", *quality.FIXED):
            found = quality.figures(losses(name, kind, asked.clips))
            missed = [
                f"MISSES {g.figure} {g.bound:g}" for g in quality.PIPELINES[name].gates if g.holds(found) is False
            ]
            print(
                f"{name} {kind}: {', '.join(f'{k} {v:.4g}' for k, v in found.items())}", *missed, sep="; ", flush=True
            )


if __name__ == "__main__":
    main()
