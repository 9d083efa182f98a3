"""Greedy exchange: from the plan that loses least, always the change that saves most for what it loses.

The baseline that other solvers are measured against; what most tools do by hand.
"""

from __future__ import annotations

from collections.abc import Iterator

from mcu_quant.precision.problem import LOSS, Problem, Solution
from mcu_quant.precision.solvers import Measure, Solver
from mcu_quant.precision.solvers.ledger import Ledger, Picks, infeasible
from mcu_quant.precision.strategies import About


def solve(problem: Problem, measure: Measure | None = None) -> Solution:
    """First until all limits are kept, then as long as the objective falls; `measure` is not used.

    Raises:
        InfeasibleError: if it runs into a plan that no single change brings nearer to the limits.
    """
    ledger = Ledger(problem)
    picks = ledger.best(LOSS)
    while True:
        broken, value = ledger.score(picks)
        moves = [(m, *ledger.score(m)) for m in _moves(ledger, picks)]
        if broken:
            better = [(m, broken - b) for m, b, _ in moves if b < broken]
        else:
            better = [(m, value - v) for m, b, v in moves if not b and v < value * (1 - 1e-12)]
        if not better:
            break
        picks = max(better, key=lambda b: b[1] / (_lost(ledger, picks, b[0]) or 1e-30))[0]
    if ledger.score(picks)[0]:
        raise infeasible(problem, picks, ledger, "greedy")
    return problem.solution(ledger.choice(picks), "greedy")


def _moves(ledger: Ledger, picks: Picks) -> Iterator[Picks]:
    for group, size in enumerate(ledger.sizes):
        for pick in range(size):
            if pick != picks[group]:
                yield (*picks[:group], pick, *picks[group + 1 :])


def _lost(ledger: Ledger, old: Picks, new: Picks) -> float:
    """What a change of one group adds to the loss; 0 where it adds none."""
    group = next(g for g, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)
    candidates = ledger.problem.groups[group].candidates
    return max(0.0, candidates[new[group]].amounts.get(LOSS, 0.0) - candidates[old[group]].amounts.get(LOSS, 0.0))


STRATEGY = Solver(About("greedy", "the change that saves most for what it loses, again and again"), solve)
