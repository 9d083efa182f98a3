"""Totals of many choices of one problem, quickly: what solvers that try things need."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from mcu_quant.precision.problem import Amounts, Choice, InfeasibleError, Problem

Picks = tuple[int, ...]
"""Index of the chosen candidate, group by group."""


class Ledger:
    """A problem as arrays. `totals` agrees with `Problem.totals` up to rounding."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.sizes = tuple(len(g.candidates) for g in problem.groups)
        wanted = {*problem.limits, *problem.objective}
        parts = {p for name in wanted for p in problem.peaks.get(name, ())}
        self._names = sorted(wanted | parts)
        self._at = {name: i for i, name in enumerate(self._names)}
        self._amounts = [np.array([self._row(c.amounts) for c in g.candidates]) for g in problem.groups]
        self._base = np.array(self._row(problem.base))
        index = {g.name: i for i, g in enumerate(problem.groups)}
        pick = {(g.name, c.name): i for g in problem.groups for i, c in enumerate(g.candidates)}
        self._nets = [
            (
                index[n.source],
                [index[s] for s in n.sinks],
                {k: np.array(self._row(a)) for k, a in n.conversions.items()},
            )
            for n in problem.nets
        ]
        self._shared = [
            (np.array(self._row(s.amounts)), [(index[g], pick[g, c]) for g, c in sorted(s.users)])
            for s in problem.shared
        ]
        self._peaks = {name: [self._at[p] for p in parts] for name, parts in problem.peaks.items() if name in wanted}
        self._limits = np.array([problem.limits.get(n, inf) for n in self._names])
        self._weights = np.array([problem.objective.get(n, 0.0) for n in self._names])

    def _row(self, amounts: Amounts) -> list[float]:
        return [float(amounts.get(name, 0.0)) for name in self._names]

    def totals(self, picks: Sequence[int]) -> NDArray[np.float64]:
        """What a choice takes, in the order of the ledger's resources."""
        found: NDArray[np.float64] = self._base + sum(a[i] for a, i in zip(self._amounts, picks, strict=True))
        groups = self.problem.groups
        for source, sinks, conversions in self._nets:
            stored = groups[source].candidates[picks[source]].stores
            for read in {groups[s].candidates[picks[s]].reads for s in sinks}:
                if (stored, read) in conversions:
                    found += conversions[stored, read]
        for amounts, users in self._shared:
            if any(picks[g] == c for g, c in users):
                found += amounts
        for name, parts in self._peaks.items():
            found[self._at[name]] += max((found[p] for p in parts), default=0.0)
        return found

    def score(self, picks: Sequence[int]) -> tuple[float, float]:
        """(sum of the shares by which limits are broken, what is minimised): smaller is better, the first one first."""
        totals = self.totals(picks)
        return self.broken(totals), float(self._finite(totals) @ self._weights)

    def broken(self, totals: NDArray[np.float64]) -> float:
        """Sum of the shares by which limits are broken; 0 where all are kept."""
        if np.isinf(totals).any():
            return inf
        over = (totals - self._limits) / np.where(np.isinf(self._limits) | (self._limits == 0), 1.0, abs(self._limits))
        return float(np.sum(over, where=over > 1e-6))

    @staticmethod
    def _finite(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.nan_to_num(totals, posinf=1e300)

    def amounts(self, group: int, resource: str) -> NDArray[np.float64]:
        """What each candidate of a group takes of one resource; zeros where the ledger does not keep it."""
        if resource not in self._at:
            return np.zeros(self.sizes[group])
        found: NDArray[np.float64] = self._amounts[group][:, self._at[resource]]
        return found

    def spent(self, group: int) -> NDArray[np.float64]:
        """What each candidate of a group adds to the objective by itself, peaks left out."""
        found: NDArray[np.float64] = self._finite(self._amounts[group]) @ self._weights
        return found

    def picks(self, choice: Choice) -> Picks:
        """Names as picks."""
        return tuple([c.name for c in g.candidates].index(choice[g.name]) for g in self.problem.groups)

    def choice(self, picks: Sequence[int]) -> dict[str, str]:
        """Picks as names."""
        return {g.name: g.candidates[i].name for g, i in zip(self.problem.groups, picks, strict=True)}

    def best(self, resource: str) -> Picks:
        """The candidate of each group that takes least of a resource; of equals, what adds least to the objective."""
        return tuple(
            int(np.lexsort((self.spent(g), self.amounts(g, resource)))[0]) for g in range(len(self.problem.groups))
        )


def infeasible(problem: Problem, picks: Sequence[int], ledger: Ledger, solver: str) -> InfeasibleError:
    """What a solver raises that found nothing: what its best try takes of the limits it breaks."""
    nearest = problem.solution(ledger.choice(picks), solver)
    return InfeasibleError({n: nearest.totals.get(n, 0.0) for n in problem.excess(nearest.totals)}, nearest)
