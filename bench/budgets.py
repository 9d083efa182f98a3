"""Budgets drawn at random: plans that are said to keep them are built and linked, and every bound is checked there.

    python -m bench.budgets [--draws 12] [--seed 1] [MODEL.onnx ...]

Without models, small ones made on the spot. Limits on flash, RAM, time and quality are drawn between what the smallest
and the f32 plan take, each left out now and then. A plan goes through its file and the ordinary build; what cannot be
kept must be refused. Counts are printed; the exit status is 1 if any bound was broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.small_models import MODELS
from mcu_quant import api, boards
from mcu_quant.api import BuildRequest, PrecisionRequest, Source, planning, stages
from mcu_quant.api.planning import Planning
from mcu_quant.api.stages import Model
from mcu_quant.precision import planner, reasons
from mcu_quant.precision.goal import MINIMISE, Goal
from mcu_quant.precision.plan import PrecisionPlan, from_toml, to_toml
from mcu_quant.precision.planner import Map, UnreachableError
from mcu_quant.precision.problem import CYCLES, FLASH, RAM, Amounts
from mcu_quant.precision.trial import decibels

#: One with a floating-point unit, one without.
BOARDS = ("nucleo_f446re", "nucleo_g0b1re")

#: Of the budgets, so many do not state a limit.
UNLIMITED = 0.35


@dataclass(frozen=True, eq=False)
class Ground:
    """A model on a board, surveyed, and what the smallest plan and the f32 plan take, linked."""

    model: Model
    found: Map
    least: Amounts

    @staticmethod
    def of(source: Source, board: str) -> Ground:
        """Everything that budgets of one model on one board share."""
        model, on = stages.read(source), boards.load(board)
        start = planning.begin(model, on, PrecisionRequest(), None, print_nothing)
        found = planning.survey(model, on, start, Planning())
        least = planner.solve(found, Goal(minimise="flash", min_snr_db=0.0)).measured
        return Ground(model, found, least)

    def draw(self, chance: random.Random) -> Goal:
        """A budget: limits between somewhat less than the least and somewhat more than the most."""
        most, hz = self.found.of_f32, self.found.task.board.clock.hz

        def limit(name: str) -> float | None:
            reached = chance.uniform(0.9 * self.least[name], 1.05 * most[name])
            return None if chance.random() < UNLIMITED else reached

        flash, ram, cycles = (limit(name) for name in (FLASH, RAM, CYCLES))
        db = None if chance.random() < UNLIMITED else chance.uniform(10.0, 60.0)
        return Goal(
            None if flash is None else int(flash),
            None if ram is None else int(ram),
            None if cycles is None else cycles / hz * 1e3,
            db,
            chance.choice((None, *MINIMISE)),
        )


def print_nothing(_: str) -> None:
    """Progress that nobody watches."""


def broken(ground: Ground, plan: PrecisionPlan, goal: Goal, folder: Path) -> Iterator[str]:
    """Bounds that the firmware of a plan breaks, built from the plan's file."""
    file = folder / "plan.toml"
    file.write_text(to_toml(plan))
    source = Source(ground.model.file)
    request = BuildRequest(source, ground.found.task.board.id, folder / "firmware", PrecisionRequest(plan=file))
    report = api.build(request).report
    loss = ground.found.whole.loss(from_toml(file.read_text()))
    taken = {
        "flash": (report["flash"]["total_bytes"], goal.flash_bytes),
        "RAM": (report["ram"]["total_bytes"], goal.ram_bytes),
        "ms": (report["latency"]["ms"], goal.ms),
        "dB": (-decibels(loss), None if goal.min_snr_db is None else -goal.min_snr_db),
    }
    for name, (amount, limit) in taken.items():
        if limit is not None and amount > limit * (1.0 + 1e-6 if limit > 0 else 1.0 - 1e-6):
            yield f"{name}: {abs(amount):.6g} where {abs(limit):.6g} was asked"


def run(ground: Ground, goal: Goal) -> tuple[str, list[str]]:
    """What became of one budget: "kept", "refused" or "broken", with the bounds that were."""
    try:
        outcome = planner.solve(ground.found, goal)
    except UnreachableError:
        return "refused", []
    plan = replace(outcome.map.trial.start, preset=planning.PRESET, operators=reasons.lines(outcome))
    with tempfile.TemporaryDirectory() as scratch:
        over = list(broken(ground, plan, goal, Path(scratch)))
    return ("broken" if over else "kept"), over


def grounds(files: list[Path], scratch: Path) -> Iterator[tuple[str, Ground]]:
    """Models on boards."""
    made: Mapping[str, Path] = {f.stem: f for f in files} or {n: m(scratch / f"{n}.onnx") for n, m in MODELS.items()}
    for name, file in made.items():
        for board in BOARDS:
            yield f"{name} on {board}", Ground.of(Source(file), board)


def main() -> int:
    """Draw, plan, build, check."""
    parser = argparse.ArgumentParser(description="Plans for budgets drawn at random, built and checked.")
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--draws", type=int, default=12, help="budgets per model and board")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for title, ground in grounds(given.models, Path(scratch)):
            chance = random.Random(given.seed)
            counts = dict.fromkeys(("kept", "refused", "broken"), 0)
            for _ in range(given.draws):
                goal = ground.draw(chance)
                verdict, over = run(ground, goal)
                counts[verdict] += 1
                if over:
                    print(f"{title}: {goal}: {'; '.join(over)}", flush=True)
            failed += counts["broken"]
            print(f"{title}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
