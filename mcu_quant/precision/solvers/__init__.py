"""Solvers: from a `Problem` to the choice that keeps all limits and minimises the objective, one method per file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mcu_quant.precision.problem import Choice, Problem, Solution
from mcu_quant.precision.strategies import About

Measure = Callable[[Choice], float]
"""Loss of a whole plan, measured. Without one, solvers take the sum of the groups' losses."""


@dataclass(frozen=True)
class Solver:
    """A method that solves problems.

    `solve(problem, measure)` raises `InfeasibleError` where no choice keeps all limits: `milp` proves that, others did
    not find one.
    """

    about: About
    solve: Callable[[Problem, Measure | None], Solution]
    #: it looks for the least that keeps a quality, and has nothing to do where none is asked
    needs_quality: bool = False
