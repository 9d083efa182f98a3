"""The operations of mcu-quant: a request in, a frozen result out. The command line parses, calls these and renders.

    result = build(BuildRequest(Source(Path("model.onnx")), "nucleo_h743zi2", Path("build/model")))

Everything wrong raises `DiagnosticError`; what is merely worth knowing is in the result's `diagnostics`.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mcu_quant import boards, ecosystems, ops, texts
from mcu_quant.api import folder, planning, rewrites, stages
from mcu_quant.api.assemble import Job, assemble, verify
from mcu_quant.api.folder import MANIFEST, PAGE, PLAN, REPORT, Manifest
from mcu_quant.api.planning import Planning
from mcu_quant.api.reports import ReportRequest, report, stored_reports
from mcu_quant.api.stages import Model, PrecisionRequest, Problems, Progress, Source, quiet
from mcu_quant.api.trial import RunRequest, RunResult, TestRequest, TestResult, run_folder, test_folder
from mcu_quant.boards import Board
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.frontend.describe import describe
from mcu_quant.ir import Graph, Operator
from mcu_quant.lowering import Target
from mcu_quant.pipelines import Pipeline
from mcu_quant.placement import Wish
from mcu_quant.precision import front
from mcu_quant.precision import plan as plans
from mcu_quant.precision.cluster import cluster
from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.precision.planner import Outcome
from mcu_quant.report import render
from mcu_quant.report.document import Document, differences

__all__ = [
    "BuildRequest",
    "BuildResult",
    "ExploreRequest",
    "PlanRequest",
    "PlanResult",
    "PrecisionRequest",
    "Progress",
    "ReportRequest",
    "RunRequest",
    "RunResult",
    "Source",
    "TestRequest",
    "TestResult",
    "build",
    "explore",
    "inspect",
    "make_plan",
    "report",
    "run_folder",
    "stored_reports",
    "test_folder",
]


def _status(diagnostics: Sequence[Diagnostic]) -> int:
    return max((d.exit_status for d in diagnostics), default=0)


# --- inspect and plan ----------------------------------------------------------------------------------------------


def inspect(source: Source, verify: bool = False, data: Path | None = None) -> Document:
    """What a model is made of, as plain data: `frontend.describe`, and the formats each operator can have.

    With `verify`, the rewritten model is compared with the original file in onnxruntime, on noise and on data.

    Raises:
        DiagnosticError: MQ101 to MQ114, all that is in the way of importing it; MQ115 if rewriting changed the model.
    """
    model = stages.read(source)
    pipeline = model.pipeline
    found = describe(model.imported, model.graph)
    formats = {op.name: _formats(op, model.graph) for op in model.graph.operators}
    return {
        **found,
        "operators": [{**o, "formats": formats[o["name"]]} for o in found["operators"]],
        "sha256": model.sha256,
        "pipeline": None if pipeline is None else {"name": pipeline.name, "title": pipeline.title},
        "frame_ms": model.budget_ms,
        "verified": _verified(model, data) if verify else None,
    }


def _verified(model: Model, data: Path | None) -> list[Document]:
    checks = rewrites.verify(model, data)
    return [
        {"signal": c.signal, "frames": c.accuracy.frames, "reference": c.accuracy.reference}
        | {"outputs": differences(c.accuracy)}
        for c in checks
    ]


def _formats(op: Operator, graph: Graph) -> list[str]:
    """Formats an operator can be computed in here; none where it passes data on in any format."""
    spec = ops.spec(op)
    usable = {fmt for fmt, refusal in spec.formats(op, graph).items() if refusal is None}
    return [] if not ops.has_choice(op, graph) else [fmt for fmt in plans.CHOICES if fmt in usable]


@dataclass(frozen=True)
class PlanRequest:
    """`board` None plans for any board: every format is offered."""

    source: Source
    board: str | None = None
    precision: PrecisionRequest = field(default_factory=PrecisionRequest)
    data: Path | None = None
    planning: Planning = field(default_factory=Planning)


@dataclass(frozen=True, eq=False)
class PlanResult:
    """A plan with ranges, the type of each of its operators, and warnings; what the planner found, where it chose."""

    plan: PrecisionPlan
    types: Mapping[str, str]
    diagnostics: tuple[Diagnostic, ...] = ()
    outcome: Outcome | None = None

    @property
    def toml(self) -> str:
        """The plan's file."""
        return plans.to_toml(self.plan)


def make_plan(request: PlanRequest, progress: Progress = quiet) -> PlanResult:
    """Make a plan, or check and complete the one given.

    Raises:
        DiagnosticError: of import, board, data and plan.
    """
    model, board = _model_and_board(request.source, request.board, progress)
    if board is None and request.planning.goal:
        message = "a goal is kept on a board: what a plan takes depends on it"
        raise DiagnosticError(Diagnostic("MQ900", "--board", message, help="`mcu-quant boards` lists them"))
    made = planning.choose(model, board, request.precision, request.planning, request.data, progress, editable=True)
    types = {op.name: op.op for op in model.graph.operators}
    return PlanResult(made.planned.plan, types, made.planned.diagnostics, made.outcome)


def _model_and_board(
    source: Source, board: str | None, progress: Progress, optimise: str = "speed"
) -> tuple[Model, Board | None]:
    problems = Problems()
    found = problems.attempt(lambda: boards.load(board, optimise=optimise)) if board else None
    progress(f"importing {Path(source.model).name}")
    model = problems.attempt(lambda: stages.read(source))
    problems.raise_all()
    assert model is not None
    return model, found


@dataclass(frozen=True)
class ExploreRequest:
    """`points` steps of quality, at each of which `minimise` (flash, latency or balanced) is made small."""

    source: Source
    board: str
    data: Path | None = None
    points: int = 8
    minimise: str = "balanced"
    planning: Planning = field(default_factory=Planning)


def explore(request: ExploreRequest, progress: Progress = quiet) -> Document:
    """What quality costs: plans of the front beside uniform ones, as plain data, the least flash first.

    Raises:
        DiagnosticError: of import, board and data.
    """
    model, board = _model_and_board(request.source, request.board, progress)
    assert board is not None
    start = planning.begin(model, board, PrecisionRequest(), request.data, progress)
    with cluster(request.planning.cluster) as processors:
        how = replace(request.planning, jobs=request.planning.jobs or processors)
        found = planning.survey(model, board, start, how, progress)
        points = front.front(found, request.minimise, request.points)
    return {
        "model": model.graph.name,
        "board": board.id,
        "minimise": request.minimise,
        "measured_on": f"{found.whole.frames} frames of {start.clips.provenance}",
        "points": front.rows(points, board.clock.hz),
    }


# --- build ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BuildRequest:
    """What `build` needs; without data, ranges come from made-up signals.

    With `verify`, the rewritten model is first compared with the original file in onnxruntime.
    """

    source: Source
    board: str
    output: Path
    precision: PrecisionRequest = field(default_factory=PrecisionRequest)
    data: Path | None = None
    verify: bool = False
    planning: Planning = field(default_factory=Planning)
    #: build systems of others that the folder shall fit into (`ecosystems.chosen`)
    ecosystem: str = "all"
    #: what shall lie in which memory, as `--place` takes it
    places: tuple[str, ...] = ()
    #: speed, or size: kernels in portable C, compiled to be small
    optimise: str = "speed"

    @property
    def command(self) -> str:
        """The command line that asks for the same, without the output folder."""
        source, precision = self.source, self.precision
        words = ["mcu-quant", "build", str(source.model), "--board", self.board]
        words += ["--preset", precision.preset] if precision.preset else []
        words += ["--plan", str(precision.plan)] if precision.plan else []
        words += [w for e in precision.edits for w in ("--set", e)]
        words += self.planning.words
        words += ["--data", str(self.data)] if self.data else []
        words += ["--verify"] if self.verify else []
        words += [w for p in self.places for w in ("--place", p)]
        words += ["--pipeline", source.pipeline] if source.pipeline else []
        words += ["--audio"] if source.audio else []
        words += ["--ecosystem", self.ecosystem] if self.ecosystem != "all" else []
        words += ["--optimize", self.optimise] if self.optimise != "speed" else []
        words += [w for n, v in source.bind.items() for w in ("--bind", f"{n}={v}")]
        words += [w for o, i in source.states for w in ("--state", f"{o}:{i}")]
        words += [w for n in source.stream for w in ("--stream", n)]
        return shlex.join(words)


@dataclass(frozen=True, eq=False)
class BuildResult:
    """A firmware folder on disk and its report."""

    folder: Path
    report: Document
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def exit_status(self) -> int:
        """0, or 1 if the model does not fit the board."""
        return _status(self.diagnostics)


def build(request: BuildRequest, progress: Progress = quiet) -> BuildResult:
    """Build a firmware folder. One that mcu-quant made before is replaced; it appears whole or not at all.

    Raises:
        DiagnosticError: of import, board, data and plan; MQ6xx of the tools; MQ701, MQ702, MQ704 of the output.
    """
    problems = Problems()
    problems.attempt(lambda: folder.check_target(request.output, request.precision.plan))
    around = problems.attempt(lambda: ecosystems.chosen(request.ecosystem))
    wish = problems.attempt(lambda: Wish.parse(request.places))
    found = problems.attempt(lambda: _model_and_board(request.source, request.board, progress, request.optimise))
    problems.raise_all()
    assert found is not None and wish is not None
    model, board = found
    assert board is not None and around is not None
    target = stages.target(board)
    if request.verify:
        progress("verifying rewrites")
        rewrites.verify(model, request.data)
    planned = planning.choose(model, board, request.precision, request.planning, request.data, progress).planned
    progress("lowering")
    lowered = stages.lowered(model, planned.plan, target)
    progress("comparing with onnxruntime")
    verified = verify(model, lowered, planned.clips)
    progress(f"generating code and linking it for {board.id}")
    job = Job(model, board, planned.plan, verified, request.command, planned.diagnostics, around, wish)
    assembled = assemble(job)
    reports = {REPORT: _json(assembled.report), PAGE: render([assembled.report], "html")}
    files = {**assembled.files, PLAN: plans.to_toml(planned.plan), **reports}
    manifest = _manifest(request, model, target, files)
    folder.write(request.output, {**files, MANIFEST: manifest.to_json()}, request.precision.plan)
    return BuildResult(request.output, assembled.report, assembled.diagnostics)


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _manifest(request: BuildRequest, model: Model, target: Target, files: Mapping[str, texts.Text]) -> Manifest:
    def relative(path: Path) -> str:
        return Path(os.path.relpath(path.resolve(), request.output.resolve())).as_posix()

    return Manifest(
        command=request.command,
        model=relative(model.file),
        model_sha256=model.sha256,
        bind=model.scalars,
        states=tuple((p.output, p.input) for p in model.imported.pairings),
        stream=model.imported.stream,
        pipeline=_pipeline(request.source, model.pipeline, relative),
        audio=model.chain is not None,
        chain={f.file.name: f.sha256 for f in model.chain.fronts} if model.chain else {},
        data=relative(request.data) if request.data else None,
        board=request.board,
        optimise=request.optimise,
        places=request.places,
        isa=target.isa,
        files={name: texts.sha256(text) for name, text in sorted(files.items())},
        versions=folder.versions(),
    )


def _pipeline(source: Source, found: Pipeline | None, relative: Callable[[Path], str]) -> str | None:
    """The pipeline as `--pipeline` takes it: a ready-made name, or a path relative to the folder."""
    file = Path(source.pipeline) if source.pipeline else Path(source.model).with_suffix(".toml")
    if file.is_file():
        return relative(file)
    return found.name if found else None
