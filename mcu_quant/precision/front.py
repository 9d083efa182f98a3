"""The trade-off front: what quality costs, by sweeping the limit on the loss (the epsilon-constraint method).

Uniform plans and the preset `tinydenoiser` stand on the same chart, measured and linked in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mcu_quant.precision import presets
from mcu_quant.precision.goal import Goal
from mcu_quant.precision.plan import CHOICES, PrecisionPlan
from mcu_quant.precision.planner import Map, stated
from mcu_quant.precision.problem import CYCLES, FLASH, LOSS, RAM, Amounts, InfeasibleError
from mcu_quant.precision.solvers import milp
from mcu_quant.precision.trial import decibels, loss_of

#: Beyond, the outputs cannot be told from f32 by anybody.
BEST_DB = 70.0

SEARCHED, FIXED = "searched", "fixed"


@dataclass(frozen=True)
class Point:
    """A plan on the chart. `best`: no other plan on it is at least as good in everything and better in something."""

    name: str
    kind: str
    choice: Mapping[str, str]
    measured: Amounts
    best: bool = False

    def __post_init__(self) -> None:
        for name in ("choice", "measured"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))


def front(found: Map, minimise: str, points: int) -> tuple[Point, ...]:
    """Plans from the smallest to the most exact, each with least of `minimise` at its quality, and the fixed ones."""
    named = {**_fixed(found), **_searched(found, minimise, points)}
    lost = found.loss(*(choice for _, choice in named.values()), what="plans of the front")
    made = [
        Point(name, kind, choice, {**found.weigh(choice), LOSS: loss})
        for (name, (kind, choice)), loss in zip(named.items(), lost, strict=True)
    ]
    return tuple(replace(p, best=not any(_beats(o.measured, p.measured) for o in made)) for p in made)


def _searched(found: Map, minimise: str, points: int) -> dict[str, tuple[str, dict[str, str]]]:
    """Solutions of the sweep, by the quality that was asked for; the same plan once, under the highest."""
    lowest = decibels(_solved(found, minimise, None)[1])
    steps = [lowest + (BEST_DB - lowest) * i / max(1, points - 1) for i in range(points)]
    known: dict[tuple[tuple[str, str], ...], tuple[str, dict[str, str]]] = {}
    for i, db in enumerate(steps):
        found.task.progress(f"solving for {db:.0f} dB: {i + 1} of {points}")
        choice, _ = _solved(found, minimise, None if i == 0 else db)
        known[tuple(sorted(choice.items()))] = (f"searched, {db:.0f} dB", choice)
    return {name: (SEARCHED, choice) for name, choice in known.values()}


def _solved(found: Map, minimise: str, db: float | None) -> tuple[dict[str, str], float]:
    """The choice with least of an objective at a predicted quality, and its predicted loss."""
    problem = stated(found, Goal(min_snr_db=None, minimise=minimise))
    if db is not None:
        problem = problem.with_limits(**{LOSS: loss_of(db)})
    try:
        solution = milp.solve(problem)
    except InfeasibleError as error:  # nothing but f32 is as good
        solution = error.nearest
    return dict(solution.choice), solution.totals.get(LOSS, 0.0)


def _fixed(found: Map) -> dict[str, tuple[str, dict[str, str]]]:
    """Uniform plans in every format the board offers, and the preset that a rule gives."""
    offered = [f for f in CHOICES if any(w.line.format == f for known in found.ways.values() for w in known)]
    named = {f"all {fmt}": (FIXED, found.uniform(fmt)) for fmt in offered}
    preset: PrecisionPlan = presets.make(found.task.graph, "tinydenoiser", found.task.target)
    named["tinydenoiser"] = (FIXED, found.chosen(preset))
    return named


def _beats(a: Amounts, b: Amounts) -> bool:
    """Is a at least as good as b in quality, flash, RAM and time, and better in one of them?"""
    pairs = [(a[n], b[n]) for n in (LOSS, FLASH, RAM, CYCLES)]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def rows(points: Sequence[Point], clock_hz: int) -> list[dict[str, str | float | bool]]:
    """The points as data, the least flash first."""
    return [
        {
            "plan": p.name,
            "kind": p.kind,
            "snr_db": round(min(decibels(p.measured[LOSS]), 200.0), 2),
            "flash_bytes": int(p.measured[FLASH]),
            "ram_bytes": int(p.measured[RAM]),
            "ms": round(p.measured[CYCLES] / clock_hz * 1e3, 4),
            "best": p.best,
        }
        for p in sorted(points, key=lambda p: (p.measured[FLASH], p.name))
    ]
