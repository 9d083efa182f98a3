"""The planner: from a goal to the plan that keeps it, measured as a whole.

    ways of every operator -> losses (sensitivity) and prices (board) -> problem -> solver -> plan
        -> measured: loss on the clips, sizes as linked, cycles
        -> where a limit is missed or needlessly kept: corrected and solved again
        -> single changes tried on the whole plan (polish)

Losses of single operators add up only as long as they are small, and prices leave out what the linker decides; so the
problem is only a map, and nothing is returned that was not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType

from scipy.stats import spearmanr

from mcu_quant.boards import Board
from mcu_quant.data import Clip, Clips
from mcu_quant.ir import Graph, Operator
from mcu_quant.lowering import Target
from mcu_quant.precision import presets
from mcu_quant.precision.candidates import Way, offered, ways
from mcu_quant.precision.goal import Goal
from mcu_quant.precision.layer_inputs import collect
from mcu_quant.precision.metrics import Lost
from mcu_quant.precision.parallel import Lines, Progress, losses, quiet
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.precision.pricing import CALLER, FLOAT, Prices, price
from mcu_quant.precision.problem import (
    CYCLES,
    FLASH,
    LOSS,
    RAM,
    WIDE,
    Amounts,
    Choice,
    Group,
    InfeasibleError,
    Problem,
)
from mcu_quant.precision.repeats import different, ties
from mcu_quant.precision.sensitivity import Request, Sensitivity, Table, check, scored
from mcu_quant.precision.solvers import Solver
from mcu_quant.precision.steps import Given, Taken, chosen, graph_of, improved
from mcu_quant.precision.strategies import strategy
from mcu_quant.precision.trial import Trial, decibels

#: How often the problem is corrected by what was measured, and solved again.
ROUNDS = 5

#: Of a missed limit so much is given away in addition, since the next plan will differ in more than one operator.
MARGIN = 0.95

#: Scores that are losses are not taken to be more than so many times too large.
MOST_FACTOR = 4.0

#: Single changes of the finished plan that are tried on all clips.
POLISH = 10

#: Whole plans are tried on as many frames as if there were so many of them: there are fewer, and they are what is kept.
WHOLE = 100

#: A loss above this says only that nothing is left: the mixed-integer program needs numbers of similar size.
WORST_LOSS = 10.0

Weigh = Callable[[PrecisionPlan], Amounts]
"""Flash, RAM and cycles of a plan's firmware, linked for the board."""


@dataclass(frozen=True, eq=False)
class Task:
    """A model on a board, the clips that losses are measured on, and what the plan is for.

    `start` has everything in f32, with the ranges every plan has. Without a `solver` the exact one is taken.
    """

    graph: Graph
    board: Board
    target: Target
    start: PrecisionPlan
    clips: Clips
    weigh: Weigh
    #: lines that the user fixed: what they leave open is still chosen
    fixed: Mapping[str, OperatorPlan] = field(default_factory=dict)
    sensitivity: str | None = None
    solver: str | None = None
    #: clips of which it is known what the outputs should be: methods that score by the loss of a task need some
    labelled: tuple[Clip, ...] = ()
    #: what the start is improved by before anything is measured, and the plan in the end
    steps: tuple[Taken, ...] = field(default_factory=lambda: chosen(()))
    jobs: int | None = None
    progress: Progress = quiet


@dataclass(frozen=True, eq=False)
class Map:
    """What is known of a model on a board before anything is chosen; goals of the same model share it."""

    task: Task
    ways: Mapping[str, tuple[Way, ...]]
    trial: Trial
    #: what whole plans are tried on: longer than single operators, at every level on every recording
    whole: Trial
    table: Table
    prices: Prices
    groups: tuple[Group, ...]
    #: what the linker adds to the prices: code of the schedule, the C library, ports, stack
    base: Amounts
    #: what everything in f32 takes, linked
    of_f32: Amounts
    #: what single operators were measured to lose: the table itself unless its scores only rank
    measured_alone: Table = field(default_factory=lambda: Table({}))
    #: are the scores losses of the outputs?
    exact: bool = True
    #: Spearman's correlation of scores that only rank with what single operators were measured to lose
    correlation: float | None = None
    #: plans that were weighed, by their lines: linking takes seconds
    weighed: dict[str, Amounts] = field(default_factory=dict)

    def lines(self, choice: Choice) -> dict[str, OperatorPlan]:
        """The lines of a plan, of operators that are not as in the start."""
        return {op: line for op, line in self.all_lines(choice).items() if line != OperatorPlan(FLOAT)}

    def all_lines(self, choice: Choice) -> dict[str, OperatorPlan]:
        """The lines of a plan."""
        return {op: self.way(op, choice[op]).line for op in self.ways}

    def way(self, op: str, name: str) -> Way:
        """A way by its name."""
        return next(w for w in self.ways[op] if w.name == name)

    def plan(self, choice: Choice) -> PrecisionPlan:
        """The plan of a choice, without reasons."""
        return self.trial.with_lines(self.all_lines(choice))

    def loss(self, *choices: Choice, what: str = "whole plans") -> list[float]:
        """Losses of whole plans, measured."""
        plans: list[Lines] = [self.lines(c) for c in choices]
        return losses(self.whole, plans, self.task.jobs, self.task.progress, what)

    def weigh(self, choice: Choice) -> Amounts:
        """What a plan takes, linked."""
        key = repr(sorted(choice.items()))
        if key not in self.weighed:
            self.task.progress(f"linking a plan for {self.task.board.id}")
            self.weighed[key] = self.task.weigh(self.plan(choice))
        return self.weighed[key]

    def measured(self, choice: Choice) -> dict[str, float]:
        """What a plan takes and loses, linked and measured."""
        wide = sum(self.prices.amounts[op, choice[op]].get(WIDE, 0.0) for op in self.ways)
        return {**self.weigh(choice), WIDE: wide, LOSS: self.loss(choice)[0]}

    def uniform(self, fmt: str) -> dict[str, str]:
        """The choice with every operator in one format where it can be, and in f32 elsewhere."""
        return {op: _preferred(known, fmt).name for op, known in self.ways.items()} | {CALLER: FLOAT}

    def chosen(self, plan: PrecisionPlan) -> dict[str, str]:
        """The choice that a plan's lines make; the nearest way where a line leaves something open."""
        return {op: _nearest(known, plan.operators[op]).name for op, known in self.ways.items()} | {CALLER: FLOAT}


def _preferred(known: tuple[Way, ...], fmt: str) -> Way:
    return next((w for w in known if w.line.format == fmt), known[0])


def _nearest(known: tuple[Way, ...], line: OperatorPlan) -> Way:
    line = replace(line, reason="")
    same = [w for w in known if w.line == line] or [w for w in known if w.line.format == line.format]
    # a recurrent layer in s8 that is not told how to read its input reads it in s16 where that is converted anyway
    return next((w for w in same if w.line.input == "s16"), same[0])


def survey(task: Task) -> Map:
    """Ways, losses and prices of every operator of a model on a board.

    Raises:
        DiagnosticError: MQ310 if the sensitivity method can say nothing.
    """
    method: Sensitivity = strategy("sensitivity", task.sensitivity)
    check(method, task.labelled)
    known = {op.name: _open(op, task) for op in presets.planned(task.graph)}
    plans = different(task.graph, {op: sum(w.line != OperatorPlan(FLOAT) for w in f) for op, f in known.items()})
    trial = improve(task, Trial.of(task.graph, task.target, task.start, task.clips, plans), known)
    whole = trial if plans <= WHOLE else Trial.of(task.graph, task.target, trial.start, task.clips, WHOLE)
    request = Request(task.graph, known, trial, task.labelled, task.jobs, task.progress)
    table = scored(method, request)
    measured = table if method.exact else strategy("sensitivity").score(request)
    known = {op: _possible(op, found, table) for op, found in known.items()}
    task.progress(f"pricing every way on {task.board.id}")
    prices = price(task.graph, known, trial, task.board)
    scores = {key: min(loss, WORST_LOSS) for key, loss in table.scores.items()}
    groups = prices.groups(task.graph, known, scores)
    correlation = None if method.exact else spearman(table, measured)
    made = Map(task, known, trial, whole, table, prices, groups, {}, {}, measured, method.exact, correlation)
    floats = made.uniform(FLOAT)
    linked = made.weigh(floats)
    priced = _problem(made, {}, {}, {}).totals(floats)
    base = {name: linked[name] - priced.get(name, 0.0) for name in (FLASH, RAM, CYCLES)}
    return replace(made, base=base, of_f32=linked)


def improve(task: Task, trial: Trial, known: Mapping[str, tuple[Way, ...]]) -> Trial:
    """The trial after those steps of a task that come before the choice."""
    taken = [t for t in task.steps if not t.step.after]
    if not taken:
        return trial
    task.progress("looking at inputs of layers")
    inputs = collect(task.graph, task.clips)
    return improved(trial, Given(known, inputs, task.jobs, task.progress, task.clips), taken)


def _open(op: Operator, task: Task) -> tuple[Way, ...]:
    """The ways of an operator that the user leaves open."""
    found, line = ways(op, task.graph, task.target), task.fixed.get(op.name)
    if line is None:
        return offered(found, task.target)
    fits = [w for w in found if w.line.format == line.format and w.line.scale == line.scale]
    if line.weights is None:  # who wants a layer in floats does not mean weights in integers
        fits = [w for w in fits if not w.line.weight_only]
    for part in ("input", "weights", "output"):
        wanted = getattr(line, part)
        fits = [w for w in fits if wanted in (None, getattr(w.line, part))] or fits
    return tuple(fits) or found


def spearman(a: Table, b: Table) -> float:
    """Rank correlation of two tables over the ways that lose anything in the second."""
    keys = [key for key, loss in sorted(b.scores.items()) if 0.0 < loss < inf]
    ours, theirs = ([t.scores[k] for k in keys] for t in (a, b))
    if len(set(ours)) < 2 or len(set(theirs)) < 2:
        return 0.0
    return float(spearmanr(ours, theirs).statistic)


def _possible(op: str, known: tuple[Way, ...], table: Table) -> tuple[Way, ...]:
    """Ways that leave something of the output; all of them if none does."""
    return tuple(w for w in known if table.scores[op, w.name] < inf) or known


def _problem(found: Map, weights: Mapping[str, float], limits: Mapping[str, float], base: Amounts) -> Problem:
    peaks = {RAM: found.prices.points}
    tied = ties(found.task.graph, {op: tuple(w.name for w in known) for op, known in found.ways.items()})
    return Problem(found.groups, weights, limits, found.prices.nets, found.prices.shared, peaks, base, tied)


# --- the loop ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """One solution on the way: what the problem said it takes, and what was measured."""

    choice: Choice
    predicted: Amounts
    measured: Amounts

    def __post_init__(self) -> None:
        for name in ("choice", "predicted", "measured"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))


@dataclass(frozen=True, eq=False)
class Outcome:
    """The plan that was found. `map` has what steps made of it in the end.

    `rounds` are all that were measured, the first as the problem was stated at first.

    `predicted` is what the first problem says of the final choice: the sum of what its operators lose alone.
    """

    map: Map
    goal: Goal
    stated: Problem
    choice: Choice
    predicted: Amounts
    measured: Amounts
    rounds: tuple[Round, ...]
    polished: int
    #: what it loses of the metric that the goal names
    heard: Lost | None = None


class UnreachableError(Exception):
    """No plan was found that keeps all limits.

    `needed`: for each limit, what a plan takes that keeps all others, measured; infinite if none was found. With that
    as the limit, `solve` finds a plan. `nearest`: the plan that breaks the limits least.
    """

    def __init__(self, goal: Goal, needed: Amounts, nearest: Round) -> None:
        self.goal, self.needed, self.nearest = goal, MappingProxyType(dict(needed)), nearest
        super().__init__(str(goal))


def solve(found: Map, goal: Goal) -> Outcome:
    """The best plan for a goal.

    Raises:
        UnreachableError: if no plan keeps all limits, with the nearest.
    """
    first = stated(found, goal)
    method: Solver = strategy("solvers", found.task.solver)
    if method.needs_quality and LOSS not in first.limits:
        method = strategy("solvers")
    rounds, problem = _rounds(found, first, method)
    kept = [r for r in rounds if not first.excess(r.measured)] or _last_resorts(found, first, goal, rounds)
    best = min(kept, key=lambda r: first.value(r.measured))
    best = _rival(found, problem, first, best) or best
    choice, measured, tried = _polish(found, first, best)
    found, measured = _finished(found, first, choice, measured)
    return Outcome(found, goal, first, choice, first.totals(choice), measured, tuple(rounds), tried)


def stated(found: Map, goal: Goal) -> Problem:
    """The problem of a goal, as nothing but single operators and the f32 plan were measured."""
    limits = goal.limits(found.task.board.clock.hz)
    return _problem(found, goal.weights(found.of_f32), limits, found.base)


def _rounds(found: Map, first: Problem, method: Solver) -> tuple[list[Round], Problem]:
    """Plans that a problem leads to, corrected by each of them, and the problem in the end."""
    problem, rounds = first, list[Round]()
    for _ in range(ROUNDS):
        one = _round(found, problem, method)
        if one.choice in [r.choice for r in rounds]:
            break
        rounds.append(one)
        found.task.progress(f"measured: {_summary(one.measured)}")
        problem = _corrected(problem, first, one, MOST_FACTOR if found.exact else inf)
        if not first.excess(one.measured) and not _slack(first, one):
            break
    return rounds, problem


def _summary(measured: Amounts) -> str:
    return f"{decibels(measured[LOSS]):.1f} dB, {measured[FLASH] / 1024:.1f} KiB flash"


def _round(found: Map, problem: Problem, method: Solver) -> Round:
    """Solve, link, measure. Where the problem has no solution, what comes nearest: it may be wrong about that."""
    found.task.progress("solving")

    def measure(choice: Choice) -> float:
        return found.loss(choice)[0]

    try:
        solution = method.solve(problem, measure)
    except InfeasibleError as error:
        solution = error.nearest
    return Round(solution.choice, problem.totals(solution.choice), found.measured(solution.choice))


def _last_resorts(found: Map, first: Problem, goal: Goal, rounds: list[Round]) -> list[Round]:
    """Plans that keep all limits, looked for by taking as little as possible of one resource after the other.

    Raises:
        UnreachableError: if there is none, with how little each takes.
    """
    least = {name: _least(found, first, name) for name in first.limits}
    made = [one for one in least.values() if one is not None]
    kept = [one for one in made if not first.excess(one.measured)]
    if kept:
        return kept
    needed = {name: inf if one is None else one.measured[name] for name, one in least.items()}
    nearest = min([*rounds, *made], key=lambda r: max(first.excess(r.measured).values()))
    raise UnreachableError(goal, needed, nearest)


def _least(found: Map, first: Problem, name: str) -> Round | None:
    """The plan that keeps all limits but one and takes least of that, measured; None if there is none.

    It does not depend on what it leaves out: what is found here is found again where that is the limit.
    """
    limits = {n: limit for n, limit in first.limits.items() if n != name}
    others = replace(first, limits=limits, objective={name: 1.0})
    rounds, _ = _rounds(found, others, strategy("solvers"))
    kept = [r for r in rounds if not others.excess(r.measured)]
    return min(kept, key=lambda r: r.measured[name], default=None)


def _corrected(problem: Problem, first: Problem, one: Round, most: float) -> Problem:
    """The problem with its map moved to where the plan was measured.

    What the linker takes differs by an amount, the loss by a factor: the limit on the sum of losses becomes the one
    that this plan would just have kept, at most so many times what the goal says.
    """
    base = dict(problem.base)
    for name in (FLASH, RAM, CYCLES):
        base[name] = base.get(name, 0.0) + one.measured[name] - problem.totals(one.choice)[name]
    limits = dict(first.limits)
    if LOSS in limits:
        factor = problem.totals(one.choice)[LOSS] / max(one.measured[LOSS], 1e-30)
        limits[LOSS] *= MARGIN * min(max(factor, 1e-9), most)
    return replace(problem, base=base, limits=limits)


def _slack(first: Problem, one: Round) -> bool:
    """Is so much of the allowed loss left that another plan is worth solving for?"""
    limit = first.limits.get(LOSS)
    return limit is not None and one.measured[LOSS] < 0.5 * limit


def _rival(found: Map, problem: Problem, first: Problem, best: Round) -> Round | None:
    """A uniform plan that is better than the one found, where losses add up so badly that the problem misses it."""
    formats = dict.fromkeys(w.line.format for known in found.ways.values() for w in known)
    choices = [found.uniform(fmt) for fmt in formats]
    hopes = [min(first.value(first.totals(c)), first.value(problem.totals(c))) for c in choices]
    promising = [c for c, hope in zip(choices, hopes, strict=True) if hope < first.value(best.measured)]
    made = None
    for choice, loss in zip(promising, found.loss(*promising, what="uniform plans"), strict=True):
        measured = found.measured(choice) if not first.excess({LOSS: loss}) else {}
        if measured and not first.excess(measured) and first.value(measured) < first.value((made or best).measured):
            made = Round(choice, problem.totals(choice), measured)
    return made


# --- polish --------------------------------------------------------------------------------------------------------


def _polish(found: Map, first: Problem, best: Round) -> tuple[Choice, Amounts, int]:
    """Single changes that the problem says improve the objective, tried on the whole plan, the best of them first.

    Losses do not add up exactly, so that a change the problem refuses may be free, and the other way round.
    """
    choice, measured = dict(best.choice), best.measured
    moves = _moves(found, first, choice, measured)[:POLISH]
    if not moves:
        return choice, measured, 0
    alone = found.loss(*({**choice, op: way} for _, op, way in moves), what="single changes of the plan")
    changed, totals = dict(choice), dict(first.totals(choice))
    offsets = {n: amount - totals.get(n, 0.0) for n, amount in measured.items() if n != LOSS}
    for (_, op, way), loss in zip(moves, alone, strict=True):
        tried = {**changed, op: way}
        after = first.totals(tried)
        amounts = {**after, **{n: after.get(n, 0.0) + offset for n, offset in offsets.items()}, LOSS: loss}
        if first.excess(amounts) or first.value(after) >= first.value(first.totals(changed)):
            continue
        if changed == choice or not first.excess({**amounts, LOSS: found.loss(tried)[0]}):
            changed = tried
    if changed == choice:
        return choice, measured, len(moves)
    taken = found.measured(changed)
    better = not first.excess(taken) and first.value(taken) < first.value(measured)
    return (changed, taken, len(moves)) if better else (choice, measured, len(moves))


def _finished(found: Map, first: Problem, choice: Choice, measured: Amounts) -> tuple[Map, Amounts]:
    """After the steps that want to know the formats, each kept if the plan loses less with it and keeps its limits."""
    task = found.task
    for taken in (t for t in task.steps if t.step.after):
        inputs = collect(graph_of(found.trial), task.clips)
        given = Given(found.ways, inputs, task.jobs, task.progress, task.clips, chosen=found.all_lines(choice))
        trial = improved(found.trial, given, [taken])
        made = replace(found, trial=trial, whole=replace(found.whole, start=trial.start), weighed={})
        after = made.measured(choice)
        if after[LOSS] < measured[LOSS] and not first.excess(after):
            found, measured = made, after
    return found, measured


def _moves(found: Map, first: Problem, choice: Choice, measured: Amounts) -> list[tuple[float, str, str]]:
    """(change of the objective, operator, way) of promising single changes, the best first."""
    before = first.totals(choice)
    made = []
    for op, known in found.ways.items():
        for way in known:
            if way.name == choice[op]:
                continue
            after = first.totals({**choice, op: way.name})
            delta = {n: after.get(n, 0.0) - before.get(n, 0.0) for n in after}
            reached = {n: measured[n] + delta.get(n, 0.0) for n in first.limits}
            value = first.value(delta)
            # twice the allowed loss may still turn out well: measuring tells
            if value < 0 and not first.excess({**reached, LOSS: reached.get(LOSS, 0.0) / 2.0}):
                made.append((value, op, way.name))
    return sorted(made)
