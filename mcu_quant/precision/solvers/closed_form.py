"""Widths by formula, after Zhou et al. 2017, "Adaptive Quantization for Deep Neural Network" (arXiv:1712.01048).

The noise that b bits in group i leave at the output is (p_i / t_i) exp(-alpha b), alpha = ln 4, and noise adds up. Of
all widths with the same total noise C, sum s_i b_i (s_i: what a bit costs) is smallest where

    (p_i / (t_i s_i)) exp(-alpha b_i) is the same for all i, so   b_i = ln(p_i sum(s) / (t_i s_i C)) / alpha

Sweeping C gives the whole front at once. Widths are rounded to the nearest candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcu_quant.precision.problem import LOSS, Problem, Solution
from mcu_quant.precision.solvers import Measure, Solver
from mcu_quant.precision.solvers.ledger import Ledger, Picks, infeasible
from mcu_quant.precision.strategies import About

#: A bit more divides the power of the noise by four.
ALPHA = log(4.0)

#: Totals of noise that are tried, evenly spaced in their logarithm.
SWEEP = 400


def widths(noise: ArrayLike, size: ArrayLike, total: float, robustness: ArrayLike = 1.0) -> NDArray[np.float64]:
    """The bits [groups] that cost least with a total output noise: the formula above, not rounded.

    Args:
        noise: p_i, power of the noise at the output for 0 bits.
        size: s_i, what one bit costs, more than 0.
        total: C.
        robustness: t_i; 1 where the output noise itself is the loss.
    """
    p, s, t = (np.asarray(a, float) for a in (noise, size, robustness))
    bits: NDArray[np.float64] = np.log(p * s.sum() / (t * s * total)) / ALPHA
    return bits


def solve(problem: Problem, measure: Measure | None = None) -> Solution:
    """The best rounded point of the sweep that keeps all limits; `measure` is not used.

    Raises:
        InfeasibleError: if no point of the sweep keeps all limits.
    """
    ledger = Ledger(problem)
    free = [g for g in range(len(problem.groups)) if _has_slope(problem, g)]
    start = ledger.best(LOSS)
    noise = np.array([_noise(problem, g) for g in free])
    size = np.array([_size(ledger, g) for g in free])
    points = {start, *(_rounded(problem, start, free, widths(noise, size, c)) for c in _totals(noise))}
    best = min(sorted(points), key=ledger.score)
    if ledger.score(best)[0]:
        raise infeasible(problem, best, ledger, "closed-form")
    return problem.solution(ledger.choice(best), "closed-form")


def _has_slope(problem: Problem, group: int) -> bool:
    candidates = problem.groups[group].candidates
    return len({c.bits for c in candidates}) > 1 and any(0.0 < c.amounts.get(LOSS, 0.0) < np.inf for c in candidates)


def _noise(problem: Problem, group: int) -> float:
    """p_i: the geometric mean of what each candidate implies."""
    known = [(c.amounts.get(LOSS, 0.0), c.bits) for c in problem.groups[group].candidates]
    return float(np.exp(np.mean([np.log(loss) + ALPHA * bits for loss, bits in known if 0.0 < loss < np.inf])))


def _size(ledger: Ledger, group: int) -> float:
    """s_i: how much a bit adds to what is minimised or, where that is the loss, to the limited resources."""
    problem = ledger.problem
    bits = np.array([c.bits for c in problem.groups[group].candidates])
    scarce = {n: w for n, w in problem.objective.items() if n != LOSS and w > 0.0}
    scarce = scarce or {n: 1.0 / limit for n, limit in problem.limits.items() if n != LOSS and limit > 0.0}
    spent = sum(
        (w * ledger.amounts(group, p) for n, w in scarce.items() for p in problem.peaks.get(n, (n,))),
        np.zeros(len(bits)),
    )
    slope = float(np.polyfit(bits, spent, 1)[0])
    return max(slope, 1e-12 * float(np.max(np.abs(spent), initial=1.0)))


def _totals(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Totals of noise from 32 bits everywhere to none."""
    top = float(noise.sum()) or 1.0
    return np.geomspace(top * np.exp(-32 * ALPHA), top, SWEEP)


def _rounded(problem: Problem, start: Picks, free: Sequence[int], bits: NDArray[np.float64]) -> Picks:
    made = list(start)
    for group, wanted in zip(free, bits, strict=True):
        candidates = problem.groups[group].candidates

        def key(i: int, wanted: float = wanted, group: int = group) -> tuple[float, float]:
            candidate = problem.groups[group].candidates[i]
            return abs(candidate.bits - wanted), candidate.amounts.get(LOSS, 0.0)

        made[group] = min(range(len(candidates)), key=key)
    return tuple(made)


STRATEGY = Solver(
    About(
        "closed-form",
        "widths by a formula of noise against size, rounded: the whole front at once",
        paper="Zhou et al. 2017, arXiv:1712.01048",
        adapted="formats that are no ladder of widths (f16, s16) are placed on it by the noise they were measured with",
    ),
    solve,
)
