"""Trimming by kind of operator, after Ristretto (Gysel et al. 2016; Nasution et al. 2017, IEEE 8355051).

One kind after the other (recurrent, dense, ...) is given the smallest width with which the loss stays within its
limit, found by bisection; what was trimmed stays so while the next kind is. The paper trims each kind with all others
in full precision, combines, and trains the network again; without training, trimming in sequence keeps the
combination within the limit.
"""

from __future__ import annotations

import numpy as np

from mcu_quant.precision.problem import LOSS, Problem, Solution
from mcu_quant.precision.solvers import Measure, Solver
from mcu_quant.precision.solvers.ledger import Ledger, Picks, infeasible
from mcu_quant.precision.strategies import About


def solve(problem: Problem, measure: Measure | None = None) -> Solution:
    """Widths per kind of operator, the kind that can save most first.

    Raises:
        ValueError: if the problem does not limit the loss: there is nothing to trim to.
        InfeasibleError: if the trimmed plan, or the one that loses least, breaks a limit.
    """
    if LOSS not in problem.limits:
        raise ValueError("trim needs a limit of the loss")
    ledger = Ledger(problem)
    limit = problem.limits[LOSS] * (1 + 1e-6)
    picks = ledger.best(LOSS)
    tried = 0

    def loss(tried_picks: Picks) -> float:
        choice = ledger.choice(tried_picks)
        return problem.totals(choice).get(LOSS, 0.0) if measure is None else measure(choice)

    for category in _by_saving(ledger, picks):
        widths = _widths(problem, category)
        low, high = 0, len(widths)  # widths[high:] are known to be good enough; the last index is the full plan
        while low < high:
            middle = (low + high) // 2
            tried += 1
            if loss(_trimmed(ledger, picks, category, widths[middle])) <= limit:
                high = middle
            else:
                low = middle + 1
        if high < len(widths):
            picks = _trimmed(ledger, picks, category, widths[high])
    totals = problem.totals(ledger.choice(picks))
    if problem.excess(totals):
        raise infeasible(problem, picks, ledger, "trim")
    return problem.solution(ledger.choice(picks), "trim", measured=tried if measure else 0)


def _by_saving(ledger: Ledger, picks: Picks) -> list[str]:
    """Kinds of operators, by what their smallest candidates would save of the objective."""
    saving: dict[str, float] = {}
    for g, group in enumerate(ledger.problem.groups):
        spent = ledger.spent(g)
        saving[group.category] = saving.get(group.category, 0.0) + float(spent[picks[g]] - spent.min())
    return sorted(saving, key=lambda c: -saving[c])


def _widths(problem: Problem, category: str) -> list[float]:
    """Widths that a kind of operator can have, the smallest first."""
    return sorted({c.bits for g in problem.groups if g.category == category for c in g.candidates})


def _trimmed(ledger: Ledger, picks: Picks, category: str, bits: float) -> Picks:
    """Every operator of a kind in its widest candidate up to a width; of equally wide ones the one that loses least."""
    made = list(picks)
    for g, group in enumerate(ledger.problem.groups):
        if group.category != category:
            continue
        fitting = [i for i, c in enumerate(group.candidates) if c.bits <= bits]
        width = max((group.candidates[i].bits for i in fitting), default=min(c.bits for c in group.candidates))
        losses = ledger.amounts(g, LOSS)
        made[g] = min((i for i, c in enumerate(group.candidates) if c.bits == width), key=lambda i: float(losses[i]))
    return tuple(np.asarray(made, int).tolist())


STRATEGY = Solver(
    About(
        "trim",
        "the smallest width per kind of operator, by bisection",
        paper="Gysel et al. 2016, Ristretto, arXiv:1605.06402; Nasution et al. 2017, IEEE 8355051",
        needs=("a limit of the loss",),
        adapted="kinds are trimmed in sequence, since the training that repairs the paper's combination is not done",
    ),
    solve,
    needs_quality=True,
)
