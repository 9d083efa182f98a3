"""The way from a model file to a program, step by step, and the requests that steer it; `api.py` takes it.

Steps that do not depend on each other are tried together, so that the user hears of all problems at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from mcu_quant import boards, data, formats, frontend, memory, ops, pipelines, qdq
from mcu_quant.api import chains
from mcu_quant.audio import AUDIO_IN, compose
from mcu_quant.calibrate import calibrate_ranges, enough
from mcu_quant.compare import Reference, Runs
from mcu_quant.data import Clips
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, Severity, raise_errors
from mcu_quant.frontend import Imported
from mcu_quant.frontend.ports import ports
from mcu_quant.ir import Graph, Operator
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.passes import optimise
from mcu_quant.pipelines import Pipeline
from mcu_quant.precision import plan as plans
from mcu_quant.precision import presets
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.program import Program

Progress = Callable[[str], None]
"""Called with what is being done now."""


def quiet(_: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Source:
    """A model file and what importing it needs to know.

    `bind` gives numbers for dynamic dimensions and scalar inputs, `states` pairs (cache output, cache input), and
    `pipeline` the file or ready-made name that says how audio becomes inputs. `stream` names recurrent layers that
    start afresh in every run, and shall carry their state. With `audio`, front and back end of the pipeline become part
    of the model. `model` may be a pipeline file that names its model, which means the same.
    """

    model: Path
    bind: Mapping[str, int] = field(default_factory=dict)
    states: tuple[tuple[str, str], ...] = ()
    pipeline: str | None = None
    stream: tuple[str, ...] = ()
    audio: bool = False


@dataclass(frozen=True)
class PrecisionRequest:
    """Where formats come from: a plan file, or a preset (None: the default one), and edits laid over either.

    With `adapt`, formats of the plan that the board does not offer give way to the next best, where it would be an
    error otherwise.
    """

    preset: str | None = None
    plan: Path | None = None
    edits: tuple[str, ...] = ()
    adapt: bool = False


@dataclass(frozen=True, eq=False)
class Model:
    """An imported and optimised model; with `chain`, inside its pipeline, and behind the models in front of it."""

    file: Path
    sha256: str
    imported: Imported
    graph: Graph
    pipeline: Pipeline | None
    chain: chains.Chain | None = None

    @property
    def budget_ms(self) -> float | None:
        """Time between two frames, where a pipeline says it."""
        if self.pipeline is None:
            return None
        return self.pipeline.call_ms if self.chain else 1e3 * self.pipeline.frame_seconds

    def reference(self, *, optimised: bool = True) -> Runs:
        """What the graph must compute: the model's file in onnxruntime, with numpy's front and back end around a chain.

        Without `optimised`, onnxruntime computes the model operator by operator.

        Raises:
            DiagnosticError: MQ101 if onnxruntime does not take it.
        """
        stream = self.imported.stream
        own = partial(Reference, self.file, scalars=self.scalars, stream=stream, optimised=optimised)
        return self.chain.reference(own) if self.chain else own(self.graph)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        times = self.graph.times
        return sum(ops.spec(op).macs(op, self.graph) * times[op.name] for op in self.graph.operators)

    @property
    def scalars(self) -> dict[str, int]:
        """Values of everything that was bound, by name; among them the scalar inputs."""
        return {b.name: b.value for b in self.imported.bindings}


T = TypeVar("T")


class Problems:
    """Collects the diagnostics of steps that do not depend on each other."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def attempt(self, step: Callable[[], T]) -> T | None:
        """The result of a step, or None if it failed with diagnostics, which are kept."""
        try:
            return step()
        except DiagnosticError as error:
            self.found += error.diagnostics
            return None

    def raise_all(self) -> None:
        """Raise what was collected.

        Raises:
            DiagnosticError: with every problem, if there is an error among them.
        """
        raise_errors(self.found)


def named(source: Source) -> Source:
    """A source whose model is a pipeline file: the model that it names, inside that pipeline.

    Raises:
        DiagnosticError: MQ403 if the file is wrong, or names no model.
    """
    file = Path(source.model)
    if file.suffix.lower() != ".toml":
        return source
    pipeline = pipelines.load(file)
    if pipeline.model is None:
        help_ = 'add model = "MODEL.onnx", or build the model with --audio --pipeline'
        raise DiagnosticError(Diagnostic("MQ403", str(file), "names no model", help=help_))
    return replace(source, model=file.parent / pipeline.model, pipeline=str(file), audio=True)


def read(source: Source) -> Model:
    """Import and optimise a model.

    Raises:
        DiagnosticError: MQ101 to MQ114, MQ403.
    """
    source = named(source)
    file = Path(source.model)
    stated = ports(file)
    pipeline = pipelines.resolve(file, stated.inputs, stated.outputs, source.pipeline)
    imported = frontend.load(file, source.bind, source.states, pipeline.bind if pipeline else None, source.stream)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not source.audio:
        return Model(file, digest, imported, optimise(imported.graph), pipeline)
    chain = chains.around(file, imported.graph, pipeline)
    return Model(file, digest, imported, optimise(compose(chain.stages)), pipeline, chain)


def clips(model: Model, source: Path | None) -> Clips:
    """Frames for a model from recordings or arrays, or made up.

    Raises:
        DiagnosticError: MQ401, MQ403.
    """
    inputs = {name: model.graph.types[name] for name in model.graph.inputs}
    heard = model.pipeline.heard_as(AUDIO_IN) if model.chain and model.pipeline else model.pipeline
    outputs = {name: model.graph.types[name] for name in model.graph.outputs}
    return data.load(source, heard, inputs, model.file.parent, qdq.stored_inputs(model.graph), outputs)


def target(board: boards.Board | None) -> Target:
    """What lowering needs to know of a board; without one, scalar kernels and every format."""
    return Target() if board is None else Target(boards.available_isa(board), board.offers_f16)


@dataclass(frozen=True, eq=False)
class Planned:
    """A plan that fits model and target, and what was found on the way."""

    plan: PrecisionPlan
    clips: Clips
    diagnostics: tuple[Diagnostic, ...]


def choose(
    model: Model,
    target: Target,
    request: PrecisionRequest,
    source: Path | None,
    progress: Progress = quiet,
    *,
    editable: bool = False,
) -> Planned:
    """Make or read a plan, lay the edits over it, check it, and calibrate if it has no ranges yet and needs some.

    An `editable` plan gets ranges even if nothing in it needs them now.

    Raises:
        DiagnosticError: MQ301 to MQ305, MQ401, MQ403, MQ900: what can be found together is raised together.
    """
    problems = Problems()
    frames = problems.attempt(lambda: clips(model, source))
    start = problems.attempt(lambda: _start(model, target, request))
    edits = problems.attempt(lambda: presets.parse_edits(request.edits, model.graph))
    plan = None
    if start is not None and edits is not None:
        where = str(request.plan or "plan")
        plan = problems.attempt(partial(_edited, model, target, start, edits, where))
    problems.raise_all()
    assert plan is not None and frames is not None
    return _calibrated(model, plan, frames, progress, editable)


def _start(model: Model, target: Target, request: PrecisionRequest) -> PrecisionPlan:
    """The plan of the file, or the preset's."""
    if request.plan is None:
        return presets.make(model.graph, request.preset or presets.default_preset(model.graph), target)
    if request.preset:
        message = "excludes --plan: a plan says for itself which formats it has"
        help_ = "leave one of them out, and change single operators with --set"
        raise DiagnosticError(Diagnostic("MQ900", "--preset", message, help=help_))
    plan = presets.with_ends(plans.load(request.plan), model.graph, target)
    return presets.adapted(plan, model.graph, target) if request.adapt else plan


def _edited(
    model: Model, target: Target, plan: PrecisionPlan, edits: Sequence[presets.Edit], where: str
) -> PrecisionPlan:
    problems = Problems()
    made = problems.attempt(lambda: presets.edit(plan, model.graph, edits)) or plan
    problems.attempt(lambda: presets.check(made, model.graph, target, where))
    problems.raise_all()
    return made


def _calibrated(model: Model, plan: PrecisionPlan, frames: Clips, progress: Progress, editable: bool) -> Planned:
    """The plan with ranges, and the warnings that concern it."""
    needed = _without_ranges(plan, model.graph) and _needs_ranges(plan, model.graph)
    notes = [d for d in frames.diagnostics if d.code != "MQ402" or needed]
    if plan.sha256 and plan.sha256 != model.sha256:
        message = "the plan was made for another version of this model: formats are taken over, and so are its ranges"
        help_ = "make a new plan: mcu-quant plan MODEL -o PLAN"
        notes.append(Diagnostic("MQ304", plan.model, message, help=help_, severity=Severity.WARNING))
    ranges, calibrated_on = plan.ranges, plan.calibrated_on
    if needed or (editable and not ranges):
        progress(f"calibrating on {frames.provenance}")
        found = calibrate_ranges(model.graph, frames.for_calibration, enough(model.graph))
        ranges, calibrated_on = {**found.edges, **ranges}, calibrated_on or found.calibrated_on
    if (warning := presets.powers_in_s8(plan, model.graph)) is not None:
        notes.append(warning)
    made = replace(plan, model=model.graph.name, ranges=ranges, calibrated_on=calibrated_on, sha256=model.sha256)
    return Planned(made, frames, tuple(notes))


def _without_ranges(plan: PrecisionPlan, graph: Graph) -> bool:
    """Has a plan no ranges, or, made of the model alone, none at the ends of its pipeline?"""
    ends = {e for op in graph.operators if op.name.startswith(presets.PIPELINE_ENDS) for e in op.outputs}
    return not plan.ranges or bool(ends and plan.ranges.keys().isdisjoint(ends))


def _needs_ranges(plan: PrecisionPlan, graph: Graph) -> bool:
    """Is anything stored in integers for which the model has no scale of its own?"""
    own = qdq.scales(graph)

    def mixed(op: Operator) -> bool:
        """Does an operator join values of several scales to a tensor that has none of its own?"""
        written = {o for o in op.outputs if o and ops.is_real(graph, o)}
        return ops.spec(op).carries and not own.keys().isdisjoint(op.inputs) and not own.keys() >= written

    def known(op: Operator, line: OperatorPlan) -> bool:
        written = {o for o in op.outputs if o and ops.is_real(graph, o)}
        in_s8 = line.format == "s8" and line.output in (None, "s8") and not ops.spec(op).internals
        return in_s8 and own.keys() >= written

    lines = [(op, plan.operators[op.name]) for op in graph.operators if op.name in plan.operators]
    integer = [(o, n) for o, n in lines if any(formats.get(f).integer for f in (n.format, n.output) if f)]
    pieces = [p for s in graph.states for p in s.pieces if ops.is_real(graph, p.input)]
    states = all(p.output in own or p.input in own for p in pieces)
    settled = states and all(known(op, line) for op, line in integer)
    return bool(integer) and not (settled and not any(map(mixed, graph.operators)))


@dataclass(frozen=True, eq=False)
class Lowered:
    """A program with its memory plan."""

    program: Program
    memory: memory.MemoryPlan


def lowered(model: Model, plan: PrecisionPlan, target: Target) -> Lowered:
    """Lower a model and place its buffers.

    Raises:
        DiagnosticError: MQ301 to MQ305, MQ402.
    """
    program = lower(model.graph, plan, target)
    return Lowered(program, memory.plan(program))
