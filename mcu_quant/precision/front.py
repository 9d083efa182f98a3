"""The trade-off front: what quality costs, by limits on the loss (the epsilon-constraint method).

The next limit stands where the front is least known: in the middle between two plans that are far apart in quality and
in what they take. Uniform plans and the preset `tinydenoiser` stand on the same chart, measured and linked alike.
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

#: Limits that are closer together are not told apart.
SAME_DB = 1.0

#: Limits that are tried per plan at most: some lead to a plan that is known.
MOST_SOLVED = 3

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


@dataclass(frozen=True)
class _Solved:
    """A solution: its quality and what it takes (of the objective), both as predicted from single operators."""

    db: float
    value: float
    choice: dict[str, str]


@dataclass(frozen=True)
class _Gap:
    """Between two solutions; `least_db` is the lowest limit that is known to lead to the upper one."""

    lower: _Solved
    upper: _Solved
    least_db: float

    @property
    def area(self) -> float:
        """How much of the chart an unknown plan may stand in."""
        return (self.least_db - self.lower.db) * max(0.0, self.upper.value - self.lower.value)

    @property
    def middle_db(self) -> float:
        """The limit that halves it."""
        return (self.lower.db + self.least_db) / 2.0

    def split(self, made: _Solved) -> tuple[_Gap, ...]:
        """What is left of it after a solution with the limit in the middle."""
        if made.choice == self.upper.choice:
            return (_Gap(self.lower, self.upper, self.middle_db),)
        return _Gap(self.lower, made, self.middle_db), _Gap(made, self.upper, self.least_db)


def _searched(found: Map, minimise: str, points: int) -> dict[str, tuple[str, dict[str, str]]]:
    """Different solutions of the sweep, so many at most."""
    lowest, highest = _solved(found, minimise, None), _solved(found, minimise, BEST_DB)
    known = [lowest] if lowest.choice == highest.choice else [lowest, highest]
    gaps = [_Gap(lowest, highest, min(BEST_DB, highest.db))]
    for _ in range(MOST_SOLVED * points):
        widest = max(gaps, key=lambda g: g.area)
        if len(known) >= points or widest.least_db - widest.lower.db < SAME_DB or widest.area <= 0.0:
            break
        found.task.progress(f"solving for {widest.middle_db:.0f} dB: plan {len(known) + 1} of {points}")
        made = _solved(found, minimise, widest.middle_db)
        if made.choice != widest.upper.choice:
            known.append(made)
        gaps = [*(g for g in gaps if g is not widest), *widest.split(made)]
    return {f"searched, {min(s.db, BEST_DB):.1f} dB": (SEARCHED, s.choice) for s in known}


def _solved(found: Map, minimise: str, db: float | None) -> _Solved:
    """The choice with least of an objective at a predicted quality."""
    problem = stated(found, Goal(min_snr_db=None, minimise=minimise))
    if db is not None:
        problem = problem.with_limits(**{LOSS: loss_of(db)})
    try:
        solution = milp.solve(problem)
    except InfeasibleError as error:  # nothing but f32 is as good
        solution = error.nearest
    quality = decibels(solution.totals.get(LOSS, 0.0))
    return _Solved(quality, problem.value(solution.totals), dict(solution.choice))


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
