"""Evolutionary search with the hardware's table in the loop, after HAQ (Wang et al. 2019, arXiv:1811.08886).

A plan that breaks a limit of memory or time meets the paper's action wall: layer by layer it is given cheaper formats
until it is within. What survives is judged by the loss, measured on whole plans where that can be done. The paper's
reinforcement learning and its training between episodes are not used; MILP's solution is one of the first plans.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from mcu_quant.precision.problem import LOSS, Problem, Solution
from mcu_quant.precision.solvers import Measure, Solver, milp
from mcu_quant.precision.solvers.ledger import Ledger, Picks, infeasible
from mcu_quant.precision.strategies import About


@dataclass(frozen=True)
class Settings:
    """Size of the search. Whole plans cost seconds to measure, sums of losses nothing."""

    population: int = 24
    generations: int = 60
    #: of whole plans, where they are measured
    measured: int = 60
    seed: int = 0


def solve(problem: Problem, measure: Measure | None = None) -> Solution:
    """Search from the MILP's solution.

    Raises:
        InfeasibleError: if no choice keeps all limits, as the MILP proves.
    """
    ledger = Ledger(problem)
    seeds = [ledger.picks(milp.solve(problem).choice)]
    return evolve(problem, measure, seeds)


def evolve(
    problem: Problem, measure: Measure | None = None, seeds: Iterable[Picks] = (), settings: Settings = Settings()
) -> Solution:
    """Search from given plans and random ones. The same settings give the same result.

    Raises:
        InfeasibleError: if nothing was found that keeps all limits.
    """
    ledger = Ledger(problem)
    judge = _Judge(ledger, measure, settings.measured)
    chance = random.Random(settings.seed)
    wall = _Wall(ledger)
    first = [*seeds, ledger.best(LOSS), *(_uniform(ledger, n) for n in range(max(ledger.sizes, default=0)))]
    alive = list(dict.fromkeys(wall(p) for p in first))
    while len(alive) < settings.population:
        alive.append(wall(tuple(chance.randrange(n) for n in ledger.sizes)))
    for _ in range(settings.generations):
        alive = sorted(dict.fromkeys(alive), key=judge)[: settings.population // 2]
        if judge.exhausted:
            break
        alive += [wall(_child(ledger, chance, alive)) for _ in range(settings.population - len(alive))]
    best = min(alive, key=judge)
    if judge(best)[0]:
        raise infeasible(problem, best, ledger, "search")
    return problem.solution(ledger.choice(best), "search", measured=judge.measured)


def _uniform(ledger: Ledger, pick: int) -> Picks:
    return tuple(min(pick, n - 1) for n in ledger.sizes)


def _child(ledger: Ledger, chance: random.Random, parents: list[Picks]) -> Picks:
    """Two parents mixed, and on average two groups changed."""
    a, b = chance.choice(parents), chance.choice(parents)
    rate = 2.0 / max(1, len(ledger.sizes))
    mixed = [x if chance.random() < 0.5 else y for x, y in zip(a, b, strict=True)]
    return tuple(chance.randrange(n) if chance.random() < rate else x for x, n in zip(mixed, ledger.sizes, strict=True))


class _Judge:
    """(share by which limits are broken, objective) of a plan; with a measured loss as long as there are tries left."""

    def __init__(self, ledger: Ledger, measure: Measure | None, tries: int) -> None:
        self._ledger, self._measure, self._tries = ledger, measure, tries
        self._known: dict[Picks, tuple[float, float]] = {}
        self.measured = 0

    @property
    def exhausted(self) -> bool:
        return self._measure is not None and self.measured >= self._tries

    def __call__(self, picks: Picks) -> tuple[float, float]:
        if picks not in self._known:
            self._known[picks] = self._score(picks)
        return self._known[picks]

    def _score(self, picks: Picks) -> tuple[float, float]:
        broken, value = self._ledger.score(picks)
        if self._measure is None:
            return broken, value
        if self.exhausted:
            return inf, value
        self.measured += 1
        problem, choice = self._ledger.problem, self._ledger.choice(picks)
        totals = {**problem.totals(choice), LOSS: self._measure(choice)}
        return sum(problem.excess(totals).values()), problem.value(totals)


class _Wall:
    """The action wall: group by group the next cheaper candidate, until every limit but the loss's is kept."""

    def __init__(self, ledger: Ledger) -> None:
        problem = ledger.problem
        self._problem = problem
        self._ledger = Ledger(milp.without(problem, LOSS))
        scarce = [(n, limit) for n, limit in problem.limits.items() if n != LOSS and limit > 0.0]
        self._cost = [
            sum((self._taken(g, n) / limit for n, limit in scarce), np.zeros(n_c)) for g, n_c in self._sizes()
        ]
        self._loss = [np.nan_to_num(ledger.amounts(g, LOSS), posinf=1e300) for g, _ in self._sizes()]

    def _sizes(self) -> list[tuple[int, int]]:
        return list(enumerate(self._ledger.sizes))

    def _taken(self, group: int, resource: str) -> NDArray[np.float64]:
        parts = self._problem.peaks.get(resource, (resource,))
        taken: NDArray[np.float64] = np.max([self._ledger.amounts(group, p) for p in parts], axis=0, initial=0.0)
        return taken

    def __call__(self, picks: Picks) -> Picks:
        ledger = self._ledger
        while ledger.broken(ledger.totals(picks)):
            steps = sorted(self._steps(picks))
            if not steps:
                return picks
            for _, group, pick in steps:
                picks = (*picks[:group], pick, *picks[group + 1 :])
                if not ledger.broken(ledger.totals(picks)):
                    break
        return picks

    def _steps(self, picks: Picks) -> Iterator[tuple[float, int, int]]:
        """(loss per saving, group, candidate) of each group's next cheaper candidate."""
        for group, size in self._sizes():
            cost, loss, now = self._cost[group], self._loss[group], picks[group]
            cheaper = [(float(cost[i]), i) for i in range(size) if cost[i] < cost[now] * (1 - 1e-12)]
            if cheaper:
                _, pick = max(cheaper)
                yield float((loss[pick] - loss[now]) / (cost[now] - cost[pick])), group, pick


STRATEGY = Solver(
    About(
        "search",
        "evolutionary, with the board's cost table in the loop and plans measured as a whole",
        paper="Wang et al. 2019, HAQ, arXiv:1811.08886",
        adapted="evolution from the MILP's solution in place of reinforcement learning; no training between episodes",
    ),
    solve,
)
