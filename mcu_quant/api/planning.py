"""The planner on a model and a board: what `plan`, `build` and `explore` ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path

from mcu_quant import cost, energy, qdq
from mcu_quant.api import stages
from mcu_quant.api.assemble import linked
from mcu_quant.api.stages import Model, Planned, PrecisionRequest, Problems, Progress, quiet
from mcu_quant.boards import Board
from mcu_quant.calibrate import covered
from mcu_quant.data import Clips
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, Severity
from mcu_quant.lowering import Target
from mcu_quant.precision import metrics, planner, presets, reasons, steps
from mcu_quant.precision.candidates import ways
from mcu_quant.precision.cluster import cluster
from mcu_quant.precision.goal import Goal, eased, in_words, missing, rounded_up
from mcu_quant.precision.layer_inputs import collect
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.precision.planner import Map, Outcome, Task, UnreachableError
from mcu_quant.precision.problem import CYCLES, FLASH, LOSS, RAM, Amounts, Choice
from mcu_quant.precision.repeats import different
from mcu_quant.precision.steps import Taken
from mcu_quant.precision.strategies import strategy
from mcu_quant.precision.trial import LEVEL_WEIGHT, Trial, decibels, seconds_for

#: What the worst output keeps against f32 where the user asks for no quality.
DEFAULT_SNR_DB = 30.0

#: Of the time until the next frame so much is taken where the user sets no limit: interrupts, what runs before and
#: after the model, and the error of the estimate need the rest.
BUSY = 0.8

#: Where nobody asks for a goal, planning may take so long on one processor, with so many clips.
LONGEST_SECONDS, CLIPS = 300.0, 4

#: 16-bit edges hold what is four times as loud as the recordings: they lose 12 of 90 dB, and nothing saturates.
HEADROOM = 4.0

#: Limits that have to give way together give way so much further than the nearest plan needs.
NEAR = 1.05

#: The name of the planner where a plan says which preset it came from.
PRESET = "planner"


@dataclass(frozen=True)
class Planning:
    """How to plan. `goal` None: the default quality, within what the board has."""

    goal: Goal | None = None
    sensitivity: str | None = None
    solver: str | None = None
    #: what plans are improved by, beside the default steps: NAME or NAME=OPTION, NAME=off for none
    steps: tuple[str, ...] = ()
    jobs: int | None = None
    #: address of a Dask scheduler, whose workers measure
    cluster: str | None = None

    @property
    def words(self) -> list[str]:
        """The options of the command line that ask for the same; how many processes work makes no difference."""
        goal = self.goal or Goal()
        given = {
            "--max-flash": goal.flash_bytes,
            "--max-ram": goal.ram_bytes,
            "--max-latency": None if goal.ms is None else f"{goal.ms:g}ms",
            "--min-snr": None if goal.min_snr_db is None else f"{goal.min_snr_db:g}",
            "--max-loss": None if goal.max_loss is None else f"{goal.max_loss[0]}={goal.max_loss[1]:g}",
            "--min-8x8": None if goal.narrow is None else f"{100 * goal.narrow:g}",
            "--minimize": goal.minimise,
            "--sensitivity": self.sensitivity,
            "--solver": self.solver,
        }
        words = [word for option, value in given.items() if value is not None for word in (option, str(value))]
        return words + [word for step in self.steps for word in ("--step", step)]


@dataclass(frozen=True, eq=False)
class Chosen:
    """A plan, and how it was found where the planner made it."""

    planned: Planned
    outcome: Outcome | None = None


def is_asked(model: Model, request: PrecisionRequest, planning: Planning, data: Path | None) -> bool:
    """Does the planner choose? Where a goal is given, or clips are and nothing says what to do.

    A model that brings scales of its own is computed on them unless a goal is given.
    """
    if request.preset or request.plan:
        return False
    return planning.goal is not None or (data is not None and not qdq.is_quantised(model.graph))


def too_long(model: Model, board: Board, planning: Planning) -> Diagnostic | None:
    """MQ308 if nobody asked for a goal and planning would take longer than anybody waits for a build."""
    if planning.goal is not None:
        return None
    target = stages.target(board)
    counts = {op.name: len(ways(op, model.graph, target)) for op in presets.planned(model.graph)}
    plans = different(model.graph, counts)
    seconds = seconds_for(model.graph, CLIPS, plans)
    if seconds <= LONGEST_SECONDS:
        return None
    message = (
        f"measuring {plans} formats of operators takes about {seconds / 60:.0f} processor minutes: a preset is used"
    )
    help_ = f"ask for it with a goal, for example --min-snr {DEFAULT_SNR_DB:g}; results are kept for the next time"
    return Diagnostic("MQ308", model.graph.name, message, help=help_, severity=Severity.WARNING)


def choose(
    model: Model,
    board: Board | None,
    request: PrecisionRequest,
    planning: Planning,
    data: Path | None,
    progress: Progress = quiet,
    *,
    editable: bool = False,
) -> Chosen:
    """A plan by the planner where it is asked, else as `stages.choose`.

    Raises:
        DiagnosticError: as `stages.choose`; MQ306 if no plan keeps the limits.
    """
    asked = board is not None and is_asked(model, request, planning, data)
    instead = too_long(model, board, planning) if asked and board else None
    if board is None or not asked or instead:
        taken = steps.chosen(planning.steps, defaults=False)
        made = stages.choose(model, stages.target(board), request, data, progress, editable=editable or bool(taken))
        if taken:
            made = _improved(made, model, stages.target(board), taken, planning.jobs, progress)
        return Chosen(replace(made, diagnostics=(*made.diagnostics, *([instead] if instead else []))))
    if planning.goal and planning.goal.max_loss:
        metrics.check(metrics.metric(planning.goal.max_loss[0]), model.graph)
    steps.chosen(planning.steps)  # unknown ones are refused before anything is measured
    _check_solver(planning)
    start = begin(model, board, request, data, progress)
    with cluster(planning.cluster) as processors:
        planning = replace(planning, jobs=planning.jobs or processors)
        found = survey(model, board, start, planning, progress)
        if planning.goal and planning.goal.max_loss:
            outcome, notes = _heard(found, model, planning.goal, start.clips, data)
        else:
            outcome, notes = _solved(found, model, planning.goal)
    plan = replace(outcome.map.trial.start, preset=PRESET, operators=reasons.lines(outcome), planned=summary(outcome))
    if outcome.goal.objective == "energy":
        estimate = cost.estimate(stages.lowered(model, plan, stages.target(board)).program, board)
        spent = energy.energy(board, estimate)
        notes = notes if spent else (*notes, no_power(board))
        plan = replace(plan, planned=f"{plan.planned}; {spent}") if spent else plan
    return Chosen(Planned(plan, start.clips, (*start.diagnostics, *notes)), outcome)


def _check_solver(planning: Planning) -> None:
    """Whether a solver has something to do.

    Raises:
        DiagnosticError: MQ900 if there is none of the name, or it needs a quality and the goal asks for none.
    """
    goal = planning.goal or Goal(min_snr_db=DEFAULT_SNR_DB)
    if strategy("solvers", planning.solver).needs_quality and goal.min_snr_db is None and goal.max_loss is None:
        message = "looks for the least that keeps a quality, and none is asked"
        help_ = f"add --min-snr {DEFAULT_SNR_DB:g} or --max-loss"
        raise DiagnosticError(Diagnostic("MQ900", f"--solver {planning.solver}", message, help=help_))


def no_power(board: Board) -> Diagnostic:
    """MQ309: what `--minimize energy` means on a board whose power nobody published."""
    message = (
        f"no power is published for it at {board.clock.hz / 1e6:g} MHz: the plan with least time a frame was looked "
        "for, which is the one with least energy at any power; millijoules cannot be said"
    )
    help_ = "add [power] with a source to a board file (docs/boards.md)"
    return Diagnostic("MQ309", board.id, message, help=help_, severity=Severity.WARNING)


def _improved(
    made: Planned, model: Model, target: Target, taken: tuple[Taken, ...], jobs: int | None, progress: Progress
) -> Planned:
    """A plan whose formats are given, after steps that were asked for."""
    known = {op.name: ways(op, model.graph, target) for op in presets.planned(model.graph)}
    floats = presets.make(model.graph, "f32", target).operators
    start = replace(made.plan, operators={n: OperatorPlan(line.format) for n, line in floats.items()})
    clips = made.clips.for_calibration
    trial = Trial.of(model.graph, target, start, clips, sum(map(len, known.values())))
    inputs = collect(model.graph, clips)
    given = steps.Given(known, inputs, jobs, progress, clips, chosen=made.plan.operators)
    after = steps.improved(trial, given, taken).start
    return replace(made, plan=replace(after, operators=made.plan.operators))


@dataclass(frozen=True, eq=False)
class Start:
    """Everything in f32, with ranges, and what the user fixed."""

    plan: PrecisionPlan
    clips: Clips
    diagnostics: tuple[Diagnostic, ...]
    fixed: Mapping[str, OperatorPlan]


def begin(model: Model, board: Board, request: PrecisionRequest, data: Path | None, progress: Progress) -> Start:
    """Clips, ranges, and what the user fixed.

    Raises:
        DiagnosticError: of data and edits.
    """
    target = stages.target(board)
    problems = Problems()
    clips = problems.attempt(lambda: stages.clips(model, data))
    edits = problems.attempt(lambda: presets.parse_edits(request.edits, model.graph))
    floats = presets.make(model.graph, "f32", target)
    edited = problems.attempt(lambda: presets.edit(floats, model.graph, edits or ()))
    if edited is not None:
        problems.attempt(partial(presets.check, edited, model.graph, target))
    problems.raise_all()
    assert clips is not None and edited is not None
    fixed = {n: line for n, line in edited.operators.items() if line != floats.operators[n]}
    progress(f"calibrating on {clips.provenance}")
    found = covered(model.graph, clips.for_calibration)
    lines = {n: OperatorPlan(line.format) for n, line in floats.operators.items()}
    plan = PrecisionPlan(
        model.graph.name, PRESET, lines, found.edges, found.calibrated_on, model.sha256, headroom=headroom(clips)
    )
    return Start(plan, clips, clips.diagnostics, fixed)


def headroom(clips: Clips) -> float:
    """How many times what ranges cover 16-bit edges hold: `HEADROOM` times the recordings as they are."""
    gain: float = 10.0 ** (clips.loudest_db / 20.0)
    return max(1.0, HEADROOM / gain)


def survey(model: Model, board: Board, start: Start, planning: Planning, progress: Progress = quiet) -> Map:
    """What is known of a model on a board before anything is chosen."""
    target = stages.target(board)

    def weigh(plan: PrecisionPlan) -> Amounts:
        lowered = stages.lowered(model, plan, target)
        sizes = linked(model, board, plan, lowered)
        ram = sizes.static_ram_bytes + sizes.stack_bytes
        return {FLASH: sizes.flash_bytes, RAM: ram, CYCLES: cost.estimate(lowered.program, board).cycles}

    task = Task(
        graph=model.graph,
        board=board,
        target=target,
        start=start.plan,
        clips=start.clips.for_calibration,
        labelled=start.clips.labelled,
        weigh=weigh,
        fixed=start.fixed,
        sensitivity=planning.sensitivity,
        solver=planning.solver,
        steps=steps.chosen(planning.steps),
        jobs=planning.jobs,
        progress=progress,
    )
    return planner.survey(task)


#: Error of the outputs that is allowed at first, and asked for where a metric loses too much, in dB.
LADDER_DB = (20.0, 26.0, 32.0, 38.0, 44.0, 50.0, 56.0, 64.0)


def _heard(
    found: Map, model: Model, goal: Goal, clips: Clips, data: Path | None
) -> tuple[Outcome, tuple[Diagnostic, ...]]:
    """The first plan on the ladder that keeps a metric on whole recordings.

    Raises:
        DiagnosticError: MQ306 if none does; MQ900 if the metric cannot be measured.
    """
    assert goal.max_loss is not None
    one, most = metrics.metric(goal.max_loss[0]), goal.max_loss[1]
    metrics.check(one, model.graph)
    rate_hz = model.pipeline.rate_hz if model.pipeline else 0
    least, ladder = inf, tuple(_ladder(goal))
    for rung in ladder:
        try:
            outcome, notes = _solved(found, model, rung)
        except DiagnosticError:
            if rung is ladder[-1]:
                raise
            continue
        made = outcome.map
        lost = metrics.lost(one, made.trial, made.plan(outcome.choice), clips, data, rate_hz)
        found.task.progress(f"{rung}: {lost}")
        if lost.elsewhere <= most:
            return replace(outcome, goal=replace(outcome.goal, min_snr_db=goal.min_snr_db), heard=lost), notes
        least = min(least, lost.elsewhere)
    message = f"no plan loses as little as {most:g} of {one.name} with all of: {goal}; the nearest loses {least:.3g}"
    help_ = f"this is enough: --max-loss {one.name}={rounded_up(least):g}; or give up some of the other limits"
    raise DiagnosticError(Diagnostic("MQ306", found.task.board.id, message, help=help_))


def _ladder(goal: Goal) -> Iterator[Goal]:
    """Goals that ask for less and less error of the outputs; last, for as little as the limits leave room for."""
    if goal.min_snr_db is not None:
        yield goal
    for db in LADDER_DB:
        if goal.min_snr_db is None or db > goal.min_snr_db:
            yield replace(goal, min_snr_db=db)
    yield replace(goal, minimise="loss")


def _solved(found: Map, model: Model, asked: Goal | None) -> tuple[Outcome, tuple[Diagnostic, ...]]:
    """The plan for a goal within what the board has; where only the board is too small, the goal by itself.

    Raises:
        DiagnosticError: MQ306 if no plan keeps what the user asked for.
    """
    goal = asked or Goal(min_snr_db=DEFAULT_SNR_DB)
    for whole in _within(goal, model, found.task.board):
        try:
            return planner.solve(found, whole), ()
        except UnreachableError as error:
            missed = error
    beyond = _unreachable(missed, found, goal)
    weaker = [goal] if asked else [replace(whole, min_snr_db=None), Goal(minimise="flash", min_snr_db=0.0)]
    for each in weaker:
        try:
            return planner.solve(found, each), (replace(beyond, severity=Severity.WARNING),)
        except UnreachableError as error:
            beyond = _unreachable(error, found, each)
    raise DiagnosticError(beyond)


def _within(goal: Goal, model: Model, board: Board) -> tuple[Goal, ...]:
    """The goal with what the board has as limits: with time to spare, then with all the time there is."""
    flash, ram = board.program_memory.usable_bytes, board.arena_memory.usable_bytes
    times = [None] if model.budget_ms is None else [BUSY * model.budget_ms, model.budget_ms]
    return tuple(dict.fromkeys(goal.within(flash, ram, ms) for ms in times))


def _unreachable(error: UnreachableError, found: Map, asked: Goal) -> Diagnostic:
    """MQ306 with what would do: each limit by itself, and the plan that comes nearest."""
    board = found.task.board
    measured, limits = error.nearest.measured, error.goal.limits(board.clock.hz)
    broken = planner.stated(found, error.goal).excess(measured)
    told = dict.fromkeys([LOSS, FLASH, RAM, CYCLES, *limits])
    nearest = [missing(n, measured[n], limits[n], board.clock.hz) for n in broken]
    nearest += [in_words(n, measured[n], board.clock.hz) for n in told if n not in broken]
    nearest += [levels(found, error.nearest.choice)] if LOSS in broken and found.whole.levels_db else []
    message = f"no plan keeps all of: {error.goal}; the nearest has {', '.join(nearest)}"
    return Diagnostic("MQ306", board.id, message, help=_advice(error, found, asked))


def _advice(error: UnreachableError, found: Map, asked: Goal) -> str:
    """Limits with which there is a plan, as options: followed to the letter, they lead to one."""
    clock_hz = found.task.board.clock.hz
    own = asked.limits(clock_hz)
    alone = [
        eased(error.goal, n, a, clock_hz)[1] if n in own else f"a board that has {in_words(n, a, clock_hz)}"
        for n, a in error.needed.items()
        if a != inf
    ]
    if alone:
        return f"with all else kept, {'one of these is' if len(alone) > 1 else 'this is'} enough: {'; '.join(alone)}"
    goal, options = error.goal, list[str]()
    for name in error.goal.limits(clock_hz):
        if name in own and error.nearest.measured[name] > own[name]:
            goal, option = eased(goal, name, NEAR * error.nearest.measured[name], clock_hz)
            options.append(option)
    try:
        planner.solve(found, goal)
    except UnreachableError:
        return "give up more than one of them"
    # what is to be left out comes last, in words
    return f"these together are enough: {' '.join(sorted(options, key=lambda o: not o.startswith('--')))}"


def levels(found: Map, choice: Choice) -> str:
    """What a plan keeps of recordings as they are, softer, and louder."""
    kept = found.whole.at_levels(found.plan(choice))
    said = [f"{decibels(loss):.1f} dB {_played(db)}" for db, loss in kept.items()]
    return f"{', '.join(said)}, where {decibels(LEVEL_WEIGHT):.0f} dB less is asked"


def _played(db: float) -> str:
    return f"{abs(db):g} dB {'louder' if db > 0 else 'softer'}" if db else "as recorded"


def summary(outcome: Outcome) -> str:
    """The goal, and what was predicted and measured, for the plan's file."""
    clock = outcome.map.task.board.clock.hz
    said = [str(outcome.goal), f"for {outcome.map.task.board.id}"]
    for name, amounts in (("predicted", outcome.predicted), ("measured", outcome.measured)):
        said.append(f"{name} " + ", ".join(in_words(n, amounts[n], clock) for n in (LOSS, FLASH, RAM, CYCLES)))
    said += [levels(outcome.map, outcome.choice)] if outcome.map.whole.levels_db else []
    if outcome.heard is not None:
        said.append(str(outcome.heard))
    if outcome.map.correlation is not None:
        ranks = f"Spearman {outcome.map.correlation:.2f} with what single operators were measured to lose"
        said.append(f"scores by {outcome.map.task.sensitivity}: {ranks}")
    return "; ".join(said)
