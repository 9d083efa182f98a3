"""From a lowered program to everything that is said about it on a board: accuracy, cost, sizes, report and folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mcu_quant import bare, capacity, codegen, cost, footprint, texts
from mcu_quant.api.stages import Lowered, Model
from mcu_quant.audio import latency
from mcu_quant.boards import Board
from mcu_quant.c_text import c_identifier
from mcu_quant.capacity import Fit
from mcu_quant.codegen import AudioFacts, Context, Vectors
from mcu_quant.compare import Accuracy, accuracy, excerpts, operator_edges
from mcu_quant.cost import CostReport
from mcu_quant.data import Clips, Frame
from mcu_quant.diagnostics import Diagnostic, Severity
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.energy import energy
from mcu_quant.footprint import Footprint
from mcu_quant.ir import Array, Operator
from mcu_quant.memory import MemoryPlan
from mcu_quant.metrics import EXACT_DB
from mcu_quant.pipelines.outputs import KeywordOutput
from mcu_quant.placement import Placement, Wish, place
from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.report.distributions import Counts, Observer
from mcu_quant.report.document import Document, Facts, document
from mcu_quant.report.summary import figures, operator_notes
from mcu_quant.texts import Text
from mcu_quant.version import VERSION

#: Frames that a build checks against onnxruntime: fewer for models that take long, so that a build takes seconds.
VERIFY_FRAMES = 200
VERIFY_MACS = 1_000_000_000

#: The self-test's vectors: so many frames, or as many as hold no more than so many numbers.
VECTOR_FRAMES = 8
VECTOR_NUMBERS = 24_000


@dataclass(frozen=True, eq=False)
class Verified:
    """A program that was streamed beside onnxruntime, and the first frames of that for the self-test."""

    lowered: Lowered
    accuracy: Accuracy
    vectors: Vectors
    data: str
    #: stored values of integer edges, counted on their grid
    activations: Mapping[str, Counts] = field(default_factory=dict)


def _stored(value: Array) -> Array:
    """A value as the caller of the generated code has it: reals in float32."""
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


@dataclass
class _Recorder:
    """Keeps inputs and outputs of the first frames."""

    frames: int
    inputs: dict[str, list[Array]] = field(default_factory=dict)
    outputs: dict[str, list[Array]] = field(default_factory=dict)

    def __call__(self, feeds: Frame, outputs: Mapping[str, Array]) -> None:
        if self.frames == 0:
            return
        self.frames -= 1
        for kept, values in ((self.inputs, feeds), (self.outputs, outputs)):
            for name, value in values.items():
                kept.setdefault(name, []).append(np.ravel(_stored(value)))

    @property
    def vectors(self) -> Vectors:
        inputs, outputs = ({n: np.stack(v) for n, v in kept.items()} for kept in (self.inputs, self.outputs))
        return Vectors(inputs, outputs)


def verify(model: Model, lowered: Lowered, clips: Clips) -> Verified:
    """Stream clips through the program and through onnxruntime; per operator, beside the float graph.

    Raises:
        DiagnosticError: MQ101, MQ601, MQ602.
    """
    program = lowered.program
    frames = min(VERIFY_FRAMES, max(1, VERIFY_MACS // max(1, model.macs)))
    _, first = next(excerpts(clips, frames))
    numbers = sum(program.edges[n].type.size for n in (*program.inputs, *program.outputs))
    recorder = _Recorder(min(VECTOR_FRAMES, first, max(1, VECTOR_NUMBERS // max(1, numbers))))
    session = ProgramSession(program)
    observer = Observer(session, frames)

    def on_frame(feeds: Frame, outputs: Mapping[str, Array]) -> None:
        recorder(feeds, outputs)
        observer.frame()

    found = accuracy(
        model.graph,
        session,
        model.reference(),
        clips,
        frames,
        operators=operator_edges(model.graph, program),
        on_frame=on_frame,
    )
    return Verified(lowered, found, recorder.vectors, clips.provenance, observer.counts)


@dataclass(frozen=True, eq=False)
class Assembled:
    """The generated sources and the report of one build."""

    files: Mapping[str, Text]
    report: Document
    diagnostics: tuple[Diagnostic, ...]
    footprint: Footprint


@dataclass(frozen=True, eq=False)
class Job:
    """One build: what is assembled, for which board, and the command that the folder says made it."""

    model: Model
    board: Board
    plan: PrecisionPlan
    verified: Verified
    command: str
    diagnostics: tuple[Diagnostic, ...] = ()
    #: build systems of others that the folder shall fit into
    ecosystems: tuple[str, ...] = ()
    place: Wish = field(default_factory=Wish)
    #: what of it the board has no memory for
    unplaced: tuple[str, ...] = ()


def assemble(job: Job, sizes: Footprint | None = None) -> Assembled:
    """Generate the code, measure it for the board unless its sizes are known, and write down what was found.

    Raises:
        DiagnosticError: MQ602 if the code does not compile for the board.
    """
    model, board, verified = job.model, job.board, job.verified
    program, memory = verified.lowered.program, verified.lowered.memory
    placed = place(program, memory, board, cost.estimate(program, board, model.budget_ms), job.place)
    placed = replace(placed, why=(*placed.why, *job.unplaced))
    context = _context(model, board, job.plan, job.command, verified.vectors, job.ecosystems)
    context = replace(context, placement=placed, layout=context.layout or _by_hand(board, placed))
    sources = codegen.generate(program, memory, context)
    sizes = sizes or _measured(sources, board)
    estimate = cost.estimate(program, board, model.budget_ms, placement=placed)
    fit = _fit(board, sizes, memory, placed)
    found = (*job.diagnostics, *_beyond(job), *fit.diagnostics(), *_slow(estimate))
    facts = Facts(
        file=model.file.name,
        sha256=model.sha256,
        imported=model.imported,
        graph=model.graph,
        board=board,
        plan=job.plan,
        program=program,
        memory=memory,
        footprint=sizes,
        cost=estimate,
        fit=fit,
        accuracy=verified.accuracy,
        verified_on=verified.data,
        diagnostics=found,
        activations=verified.activations,
        energy=energy(board, estimate),
        placement=placed,
    )
    report = document(facts)
    # the README quotes sizes that are known only now; nothing else depends on them
    described = replace(context, facts=tuple(figures(report)), operators=tuple(operator_notes(report)))
    readme = codegen.readme(program, memory, described)
    return Assembled({**sources, "README.md": readme}, report, found, sizes)


def _fit(board: Board, sizes: Footprint, memory: MemoryPlan, placed: Placement) -> Fit:
    """Flash, the arena memory, and every other memory that something was put into."""
    moved = dict(placed.bytes)
    ram = sizes.static_ram_bytes + sizes.stack_bytes
    if placed.memory != board.arena_memory.name:
        held = memory.arena_bytes + memory.state_bytes
        ram -= held
        moved[placed.memory] = moved.get(placed.memory, 0) + held
    ram += moved.pop(board.arena_memory.name, 0)
    return capacity.fit(board, sizes.flash_bytes, ram, moved)


def _by_hand(board: Board, placed: Placement) -> bare.Layout | None:
    """A linker script is needed wherever something was placed, also for a machine without flash."""
    if not placed.banks:
        return None
    return bare.Layout(board.program_memory, board.arena_memory)


def linked(model: Model, board: Board, plan: PrecisionPlan, lowered: Lowered) -> Footprint:
    """What the firmware of a plan occupies on a board, without comparing or reporting anything.

    Raises:
        DiagnosticError: MQ602 if the code does not compile for the board.
    """
    program = lowered.program
    sizes = {n: program.edges[n].type.size for n in (*program.inputs, *program.outputs)}
    inputs, outputs = ({n: np.zeros((1, sizes[n]), np.float32) for n in ns} for ns in (program.inputs, program.outputs))
    vectors = Vectors(inputs, {n.removesuffix("@output"): v for n, v in outputs.items()})
    sources = codegen.generate(program, lowered.memory, _context(model, board, plan, "", vectors))
    return _measured(sources, board)


def _context(
    model: Model,
    board: Board,
    plan: PrecisionPlan,
    command: str,
    vectors: Vectors,
    ecosystems: tuple[str, ...] = (),
) -> Context:
    return Context(
        prefix=_prefix(model.graph.name),
        model=model.file.name,
        board=f"{board.name} ({board.mcu})",
        command=command,
        vectors=vectors,
        compiler=f"{board.compiler.triple}-gcc",
        board_flags=board.compiler.gcc_flags,
        libraries=board.compiler.libraries,
        level=board.compiler.level,
        kinds={op.name: _kind(op, plan) for op in model.graph.operators},
        frame=_frame(model),
        version=VERSION,
        audio=_audio(model),
        ecosystems=ecosystems,
        board_id=board.id,
        layout=bare.layout(board),
    )


def _beyond(job: Job) -> list[Diagnostic]:
    """A warning if results are infinite or no numbers where the model's are: they were too large for their format."""
    measured = job.verified.accuracy.operators
    lines = job.plan.operators
    names = [op.name for op in job.model.graph.operators if op.name in measured and op.name in lines]
    bad = [n for n in names if measured[n].snr_db <= -EXACT_DB and lines[n].format != "f32"]
    if not bad:
        return []
    message = f"{lines[bad[0]].format} does not reach as far as its values; {len(bad)} operators give infinity or NaN"
    help_ = f"give it f32: --set '{bad[0]}=f32'"
    return [Diagnostic("MQ307", bad[0], message, help=help_, severity=Severity.WARNING)]


def _kind(op: Operator, plan: PrecisionPlan) -> str:
    """Type of an operator, and its format where the plan chose one."""
    line = plan.operators.get(op.name)
    return f"{op.op}, {line.format}" if line else op.op


def _prefix(name: str) -> str:
    """What every symbol of the folder starts with; "adapter" is taken by the self-test's own interface."""
    made = c_identifier(name).lower()
    return f"{made}_model" if made == "adapter" else made


def _frame(model: Model) -> str:
    """What one run of the model takes in, for the README."""
    pipeline = model.pipeline
    if pipeline is None:
        return ""
    return f"{pipeline.title}; one run every {model.budget_ms:g} ms"


def _audio(model: Model) -> AudioFacts | None:
    """What the header says of the audio that goes in and out."""
    if model.chain is None:
        return None
    pipeline = model.chain.pipeline
    output = pipeline.output
    labels = output.labels if isinstance(output, KeywordOutput) else ()
    return AudioFacts(pipeline.rate_hz, pipeline.stream_hop, latency(pipeline), labels)


def _measured(sources: Mapping[str, Text], board: Board) -> Footprint:
    with tempfile.TemporaryDirectory(prefix="mcu-quant-") as scratch:
        texts.write(Path(scratch), sources)
        return footprint.measure(Path(scratch), board)


def _slow(estimate: CostReport) -> list[Diagnostic]:
    """Too slow is a warning here: an estimate does not fail a build that nobody measured."""
    return [replace(d, severity=Severity.WARNING) for d in estimate.diagnostics()]
