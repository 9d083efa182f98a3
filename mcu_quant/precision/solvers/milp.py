"""Mixed-integer program, after HAWQ-V3 (Yao et al. 2021, arXiv:2011.10680), section 3.4 and its public ILP notebook.

    min  sum_r weight_r R_r         R_r = base_r + sum_g,c a_gcr x_gc + sum_n,a,b d_nabr w_nab + sum_k s_kr z_k
    s.t. sum_c x_gc = 1             one candidate per group
         R_r <= limit_r             and the same for every part of a peak
         sum_b y_nsab = sum_(c stores a) x_source,c       conversions: net n, sink s, stored as a, read as b
         sum_a y_nsab = sum_(c reads b) x_s,c
         w_nab >= y_nsab            made once for all readers
         z_k >= sum_(c uses k) x_gc                       code is paid once

Only x is integer, and one for all groups that are tied: twelve equal blocks would have 12! equal solutions. The paper
has the first two lines and the limit on one resource at a time; conversions, code and peaks are what a microcontroller
adds. `y` is a flow, not a product of choices: its relaxation is tight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from mcu_quant.precision.problem import Choice, Group, InfeasibleError, Net, Problem, Solution
from mcu_quant.precision.solvers import Measure, Solver
from mcu_quant.precision.strategies import About

#: Optimal to so much of the objective.
GAP = 1e-6

#: The library keeps rows to 1e-6 of their size; where that shows, limits are drawn in by these shares, one by one.
_MARGINS = (0.0, 1e-6, 1e-5, 1e-4)

#: What scipy.optimize.milp answers where there is no solution.
_INFEASIBLE = 2

Terms = dict[int, float]
Floats = NDArray[np.float64]


@dataclass
class _Rows:
    """Linear rows low <= terms <= high, gathered."""

    rows: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def add(self, terms: Mapping[int, float], low: float, high: float) -> None:
        for column, value in terms.items():
            self.rows.append(len(self.low))
            self.columns.append(column)
            self.values.append(value)
        self.low.append(low)
        self.high.append(high)

    def constraint(self, columns: int) -> LinearConstraint:
        shape = (len(self.low), columns)
        matrix = coo_array((self.values, (self.rows, self.columns)), shape=shape).tocsr()
        return LinearConstraint(matrix, np.array(self.low), np.array(self.high))


class _Program:
    """The variables and rows of a problem, without limits and objective."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.rows = _Rows()
        self.count = 0
        self.upper: list[float] = []
        self.integer: list[int] = []
        #: terms of every resource
        self.resources: dict[str, Terms] = {}
        self._first = {name: tied[0] for tied in problem.ties for name in tied}
        self.chosen: dict[tuple[str, str], int] = {}
        for group in problem.groups:
            for candidate in group.candidates:
                self.chosen[group.name, candidate.name] = self._choice(group, candidate.name)
            if self._first.get(group.name, group.name) == group.name:
                self._one_of(group)
        for net in problem.nets:
            self._net(net)
        for shared in problem.shared:
            self._once(shared.users, shared.amounts)

    def variable(self, *, upper: float = 1.0, integer: bool = False) -> int:
        self.upper.append(upper)
        self.integer.append(int(integer))
        self.count += 1
        return self.count - 1

    def spend(self, amounts: Mapping[str, float], variable: int) -> None:
        for name, amount in amounts.items():
            if amount:
                spent = self.resources.setdefault(name, {})
                spent[variable] = spent.get(variable, 0.0) + amount

    def _choice(self, group: Group, name: str) -> int:
        """The variable of a candidate: tied groups share those of the first of them."""
        amounts = group.candidate(name).amounts
        known = self.chosen.get((self._first.get(group.name, group.name), name))
        made = self.variable(integer=True) if known is None else known
        if all(isfinite(a) for a in amounts.values()):
            self.spend(amounts, made)
        else:
            self.upper[made] = 0.0
        return made

    def _one_of(self, group: Group) -> None:
        self.rows.add({self.chosen[group.name, c.name]: 1.0 for c in group.candidates}, 1.0, 1.0)

    def _by(self, group: Group, side: str) -> dict[str, list[int]]:
        """Variables of a group's candidates by what they read or store."""
        found: dict[str, list[int]] = {}
        for candidate in group.candidates:
            found.setdefault(getattr(candidate, side), []).append(self.chosen[group.name, candidate.name])
        return found

    def _net(self, net: Net) -> None:
        groups = {g.name: g for g in self.problem.groups}
        stored = self._by(groups[net.source], "stores")
        made: dict[tuple[str, str], int] = {}
        for sink in dict.fromkeys(net.sinks):
            read = self._by(groups[sink], "reads")
            flows = {(a, b): self.variable() for a in stored for b in read}
            for a, sources in stored.items():
                self._balance([flows[a, b] for b in read], sources)
            for b, readers in read.items():
                self._balance([flows[a, b] for a in stored], readers)
            for pair, flow in flows.items():
                amounts = net.conversions.get(pair)
                if amounts and pair not in made:
                    made[pair] = self.variable()
                    self.spend(amounts, made[pair])
                if amounts:
                    self.rows.add({made[pair]: 1.0, flow: -1.0}, 0.0, inf)

    def _balance(self, flows: Iterable[int], choices: Iterable[int]) -> None:
        self.rows.add({**dict.fromkeys(flows, 1.0), **dict.fromkeys(choices, -1.0)}, 0.0, 0.0)

    def _once(self, users: Iterable[tuple[str, str]], amounts: Mapping[str, float]) -> None:
        paid = self.variable()
        self.spend(amounts, paid)
        by_group: dict[str, Terms] = {}
        for group, name in sorted(users):
            by_group.setdefault(group, {})[self.chosen[group, name]] = -1.0
        for terms in by_group.values():
            self.rows.add({paid: 1.0, **terms}, 0.0, inf)

    # --- limits and objective --------------------------------------------------------------------------------------

    def parts(self, name: str) -> list[tuple[Terms, float]]:
        """Terms, and what is spent whatever is chosen, of a resource; of a peak, for each of its parts."""
        base, own = self.problem.base, self.resources.get(name, {})
        made = []
        for part in self.problem.peaks.get(name, ()):
            terms = dict(own)
            for variable, amount in self.resources.get(part, {}).items():
                terms[variable] = terms.get(variable, 0.0) + amount
            made.append((terms, base.get(name, 0.0) + base.get(part, 0.0)))
        return made or [(dict(own), base.get(name, 0.0))]

    def limit(self, name: str, limit: float, over: int | None = None) -> None:
        """R <= limit, or R <= limit (1 + variable `over`); in shares of the limit, so that rows are alike in size."""
        size = abs(limit) or 1.0
        for spent, base in self.parts(name):
            terms = {v: a / size for v, a in spent.items()}
            if over is not None:
                terms[over] = -1.0
            self.rows.add(terms, -inf, (limit - base) / size)

    def weights(self, objective: Mapping[str, float]) -> Terms:
        """Terms of a weighted sum of resources; a peak becomes a variable above all its parts."""
        terms: Terms = {}
        for name, weight in objective.items():
            if name in self.problem.peaks:
                top = self.variable(upper=inf)
                scale = max((abs(a) for spent, _ in self.parts(name) for a in spent.values()), default=1.0)
                for spent, base in self.parts(name):
                    below = {v: -a / scale for v, a in spent.items()}
                    self.rows.add({top: 1.0, **below}, base / scale, inf)
                terms[top] = terms.get(top, 0.0) + weight * scale
                continue
            for variable, amount in self.resources.get(name, {}).items():
                terms[variable] = terms.get(variable, 0.0) + weight * amount
        return terms

    def solve(self, terms: Mapping[int, float]) -> dict[str, str] | None:
        """The choice that minimises terms, or None if there is none."""
        costs = np.zeros(self.count)
        for variable, weight in terms.items():
            costs[variable] = weight
        size = float(np.max(np.abs(costs), initial=0.0)) or 1.0
        found = milp(
            costs / size,
            integrality=np.array(self.integer),
            bounds=Bounds(np.zeros(self.count), np.array(self.upper)),
            constraints=self.rows.constraint(self.count),
            options={"mip_rel_gap": GAP},
        )
        if found.status == _INFEASIBLE:
            return None
        if found.x is None:
            raise RuntimeError(f"the solver gave up: {found.message}")
        return self._read(found.x)

    def _read(self, values: Floats) -> dict[str, str]:
        def share(group: Group, name: str) -> float:
            return float(values[self.chosen[group.name, name]])

        return {g.name: max((c.name for c in g.candidates), key=lambda n: share(g, n)) for g in self.problem.groups}


def solve(problem: Problem, measure: Measure | None = None) -> Solution:
    """The best choice for the problem as stated; `measure` is not used.

    Raises:
        InfeasibleError: if no choice keeps all limits.
    """
    for margin in _MARGINS:
        program = _Program(problem)
        for name, limit in problem.limits.items():
            program.limit(name, limit - margin * abs(limit))
        choice = program.solve(program.weights(problem.objective))
        if choice is None:
            raise _infeasible(problem)
        solution = problem.solution(choice, "milp", optimal=margin == 0.0)
        if not problem.excess(solution.totals):
            return solution
    raise RuntimeError("the solver does not keep its own limits")


def least(problem: Problem, name: str) -> Choice | None:
    """The choice that takes least of one resource with all other limits kept, or None if there is none."""
    others = {n: limit for n, limit in problem.limits.items() if n != name}
    program = _Program(problem)
    for other, limit in others.items():
        program.limit(other, limit)
    return program.solve(program.weights({name: 1.0}))


def _infeasible(problem: Problem) -> InfeasibleError:
    """What it would take: each limit alone, and the choice that breaks all of them least."""
    needed = {}
    for name in problem.limits:
        choice = least(problem, name)
        needed[name] = inf if choice is None else problem.totals(choice)[name]
    program = _Program(problem)
    over = program.variable(upper=inf)
    for name, limit in problem.limits.items():
        program.limit(name, limit, over)
    choice = program.solve({over: 1.0})
    if choice is None:  # a group whose every candidate is impossible, whatever the limits
        choice = {g.name: g.candidates[0].name for g in problem.groups}
    return InfeasibleError(needed, problem.solution(choice, "milp"))


def without(problem: Problem, *names: str) -> Problem:
    """The same problem with some limits lifted."""
    return replace(problem, limits={n: limit for n, limit in problem.limits.items() if n not in names})


STRATEGY = Solver(
    About(
        "milp",
        "the proven optimum of a mixed-integer program, with conversions between formats and peak memory",
        paper="Yao et al. 2021, HAWQ-V3, arXiv:2011.10680",
        adapted="the assignment of bits; the training with which the paper recovers accuracy is not done",
        default=True,
    ),
    solve,
)
