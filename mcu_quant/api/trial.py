"""Firmware folders at work: tested against onnxruntime and their specification, or run on a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from mcu_quant import boards, compare, data, footprint, pipelines, qdq
from mcu_quant.api import folder, outputs, stages
from mcu_quant.api.opened import open_folder, pipeline_of
from mcu_quant.api.rewrites import least_snr_db
from mcu_quant.api.stages import Model, Problems, Progress, quiet
from mcu_quant.boards import Board
from mcu_quant.compare import Accuracy, BitCheck, EdgeMismatch
from mcu_quant.data import Clips, Frame
from mcu_quant.diagnostics import Diagnostic
from mcu_quant.emulator import qemu
from mcu_quant.emulator.folder import FolderSession, InterfaceSession, read_interface
from mcu_quant.emulator.qemu import QemuTarget
from mcu_quant.emulator.qemu_folder import Executed, QemuFolderSession
from mcu_quant.footprint import Footprint
from mcu_quant.ir import Array, TensorType
from mcu_quant.lowering import Target
from mcu_quant.metrics import EXACT_DB
from mcu_quant.report.document import Document, differences

#: Frames that `test_folder` streams unless asked for another number, and multiply-accumulates that are enough.
TEST_FRAMES = 500
TEST_MACS = 5_000_000_000

#: Frames whose instructions are counted; they differ little from frame to frame.
COUNTED_FRAMES = 10

#: Where a folder's C can run.
HOST, QEMU = "host", "qemu"


@dataclass(frozen=True)
class TestRequest:
    """A folder to test. `data` None takes what the folder was calibrated on; `min_snr_db` is the quality asked for.

    `on` is "host", with sanitizers unless told otherwise, or "qemu": the board's own binary on its core, emulated.
    """

    __test__ = False  # pytest would take it for a test

    folder: Path
    model: Path | None = None
    data: Path | None = None
    #: None: 500, and fewer of a model whose single frame takes long
    frames: int | None = None
    min_snr_db: float | None = None
    sanitize: bool = True
    on: str = HOST


@dataclass(frozen=True, eq=False)
class OnBoard:
    """What only the board's own binary can tell: executed instructions, stack used, linked sizes."""

    executed: Executed
    stack_high_water_bytes: int
    footprint: Footprint

    def as_dict(self) -> Document:
        """Keys of `mcu-quant test --on qemu --format json`."""
        sizes = self.footprint
        return {
            "instructions": self.executed.as_dict(),
            "stack_high_water_bytes": self.stack_high_water_bytes,
            "linked": {
                "flash_bytes": sizes.flash_bytes,
                "weights_bytes": sizes.weights_bytes,
                "code_bytes": sizes.code_bytes,
                "library_bytes": sizes.library_bytes,
                "static_ram_bytes": sizes.static_ram_bytes,
                "stack_bytes": sizes.stack_bytes,
                "compiler": sizes.compiler,
            },
        }


@dataclass(frozen=True, eq=False)
class TestResult:
    """How the folder's own C compares with onnxruntime, and with the specification of its integer kernels."""

    __test__ = False

    accuracy: Accuracy
    mismatches: tuple[EdgeMismatch, ...]
    required_snr_db: float | None
    data: str
    diagnostics: tuple[Diagnostic, ...] = ()
    target: str = HOST
    on_board: OnBoard | None = None
    #: what must be known to read the figure of a state, by its name
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """No edge differs from its specification, and no output is below the required SNR."""
        return not any(d.code == "MQ604" for d in self.diagnostics)

    @property
    def exit_status(self) -> int:
        """0 if passed, else 1."""
        return max((d.exit_status for d in self.diagnostics), default=0)

    def as_dict(self) -> Document:
        """The result of `mcu-quant test --format json`."""
        return {
            "passed": self.passed,
            "target": self.target,
            "frames": self.accuracy.frames,
            "mismatches": sum(m.integer for m in self.mismatches),
            "outputs": differences(self.accuracy, self.notes),
            "required_snr_db": self.required_snr_db,
            "reference": self.accuracy.reference,
            "data": self.data,
            "mismatched_edges": [
                {"edge": m.edge, "frame": m.frame, "detail": m.detail, "integer": m.integer} for m in self.mismatches
            ],
            "diagnostics": [d.as_dict() for d in self.diagnostics],
            **(self.on_board.as_dict() if self.on_board else {}),
        }


def test_folder(request: TestRequest, progress: Progress = quiet) -> TestResult:
    """Compile a folder's C and stream frames through it, beside onnxruntime and the specification.

    Raises:
        DiagnosticError: MQ703 to MQ705, MQ401, MQ501, MQ601 to MQ603.
    """
    opened = open_folder(request.folder, request.model)
    board = boards.load(opened.manifest.board, optimise=opened.manifest.optimise) if request.on == QEMU else None
    target = qemu.target_of(board) if board else None
    progress(f"importing {opened.source.model.name}")
    model = stages.read(opened.source)
    frames = stages.clips(model, request.data or opened.data)
    program = stages.lowered(model, opened.plan, Target(opened.manifest.isa)).program
    edges = compare.integer_edges(program)
    progress(f"compiling {request.folder}")
    count = min(request.frames or _enough(model), frames.frame_count)
    with _session(request, edges, target) as session:
        progress(f"streaming {count} frames")
        check = BitCheck(program, session, edges)
        found = compare.accuracy(
            model.graph,
            session,
            model.reference(),
            frames,
            count,
            on_clip=check.reset,
            on_frame=check.frame,
        )
    on_board = None
    if board and target:
        progress(f"counting instructions on {target.machine}")
        on_board = _on_board(request.folder, board, target, frames)
    required = request.min_snr_db
    all_f32 = {line.format for line in opened.plan.operators.values()} <= {"f32"}
    # a model that rounds to scales of its own is held to nothing: one rounding the other way moves all that follows
    if required is None and all_f32 and not qdq.is_quantised(model.graph):
        required = least_snr_db(model.graph)
    known = [d for d in (*opened.diagnostics, *frames.diagnostics) if d.code != "MQ402"]
    notes = compare.state_notes(model.graph, program)
    verdict = _verdict(request.folder, found, check.mismatches, required, notes)
    diagnostics = (*known, *verdict)
    name = target.name if target else HOST
    return TestResult(found, check.mismatches, required, frames.provenance, diagnostics, name, on_board, notes)


def _enough(model: Model) -> int:
    """Frames to stream if nobody says how many."""
    return min(TEST_FRAMES, max(1, TEST_MACS // max(1, model.macs)))


def _session(request: TestRequest, edges: Sequence[str], target: QemuTarget | None) -> InterfaceSession:
    if target is None:
        return FolderSession(request.folder, request.sanitize, edges)
    return QemuFolderSession(request.folder, target, edges)


def _on_board(path: Path, board: Board, target: QemuTarget, clips: Clips) -> OnBoard:
    """Run some frames on the binary that is flashed, which is not traced."""
    with QemuFolderSession(path, target, trace=False) as session:
        for feeds in islice(_first_clip(clips), COUNTED_FRAMES):
            session.run(None, feeds)
        return OnBoard(session.executed(), session.stack_bytes, footprint.measure(path, board))


def _first_clip(clips: Clips) -> Iterator[Frame]:
    return iter(next(iter(clips)))


def _verdict(
    path: Path,
    found: Accuracy,
    mismatches: Sequence[EdgeMismatch],
    required: float | None,
    notes: Mapping[str, str],
) -> list[Diagnostic]:
    """MQ604 for each edge that differs from its specification and each output below the required SNR.

    States that are cut off by design (`notes`) are held to their specification alone.
    """
    problems = [
        Diagnostic("MQ604", f"{path}: {m.edge}", f"frame {m.frame}: {m.detail}", help="report this with the model")
        for m in mismatches
    ]
    for name, d in {**found.outputs, **found.states}.items():
        if d.snr_db <= -EXACT_DB and name not in notes:
            message = f"infinity, NaN, or values where {found.reference} has only zeros"
            help_ = "give operators whose values are too large for their format a wider one"
            problems.append(Diagnostic("MQ604", f"{path}: {name}", message, help=help_))
            continue
        if required is not None and d.snr_db < required and name not in notes:
            message = f"{d.snr_db:.1f} dB against {found.reference}, {required:g} dB are required"
            help_ = "give the weakest operators of the report a wider format"
            problems.append(Diagnostic("MQ604", f"{path}: {name}", message, help=help_))
    return problems


# --- run -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunRequest:
    """A recording (.wav) or arrays (.npz) to stream through a folder's C, and the file for what comes out."""

    folder: Path
    input: Path
    output: Path


@dataclass(frozen=True, eq=False)
class RunResult:
    """What was written, and the shape of each output with its leading time axis."""

    output: Path
    frames: int
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()


def run_folder(request: RunRequest, progress: Progress = quiet) -> RunResult:
    """Stream a recording or arrays through a folder; write .npz (every output per frame) or .wav (one that is audio).

    Raises:
        DiagnosticError: MQ703, MQ401, MQ403, MQ601 to MQ603, MQ701.
    """
    manifest = folder.read_manifest(request.folder)
    interface = read_interface(request.folder)
    name = pipeline_of(request.folder, manifest.pipeline)
    pipeline = None if name is None else pipelines.resolve(Path(manifest.model), {}, given=name)
    problems = Problems()
    problems.attempt(partial(outputs.check, request.output, interface["outputs"], pipeline))
    inputs = {p["name"]: TensorType(tuple(p["shape"])) for p in interface["inputs"]}
    model_folder = (request.folder.resolve() / manifest.model).parent
    frames = problems.attempt(lambda: data.load(request.input, pipeline, inputs, model_folder))
    problems.raise_all()
    assert frames is not None
    progress(f"compiling {request.folder}")
    made: dict[str, list[Array]] = {p["name"]: [] for p in interface["outputs"]}
    with FolderSession(request.folder, sanitize=False) as session:
        progress(f"streaming {frames.frame_count} frames")
        for clip in frames:
            session.reset()
            for feeds in clip:
                for kept, value in zip(made.values(), session.run(list(made), feeds), strict=True):
                    kept.append(value)
    stacked = {n: np.stack(values) for n, values in made.items()}
    outputs.write(request.output, stacked, pipeline)
    shapes = {n: tuple(a.shape) for n, a in stacked.items()}
    return RunResult(request.output, frames.frame_count, shapes, frames.diagnostics)
