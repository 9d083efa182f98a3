"""Reports on one or many boards: of a firmware folder, of a model, or stored ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from mcu_quant import boards, schemas
from mcu_quant.api import folder, stages
from mcu_quant.api.assemble import Job, Verified, assemble, verify
from mcu_quant.api.folder import PLAN, REPORT
from mcu_quant.api.opened import open_folder
from mcu_quant.api.stages import Model, Planned, PrecisionRequest, Problems, Progress, Source, quiet
from mcu_quant.boards import Board
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean, raise_errors
from mcu_quant.footprint import Footprint
from mcu_quant.lowering import Target
from mcu_quant.placement import Wish
from mcu_quant.precision import plan as plans
from mcu_quant.report.document import Document


@dataclass(frozen=True)
class ReportRequest:
    """A firmware folder or a model, and the boards to report on; none: the folder's own report. Or a report.json.

    What a folder was compiled for and where things lie in it hold on other boards, too, as far as they can.
    """

    subject: Path
    boards: tuple[str, ...] = ()
    precision: PrecisionRequest = field(default_factory=PrecisionRequest)
    data: Path | None = None
    source: Source | None = None
    #: what shall lie in which memory, as `--place` takes it; none: as in the folder
    places: tuple[str, ...] = ()
    #: what `explore` printed as JSON, to be shown beside the builds of its model and board
    front: Path | None = None
    #: speed or size
    optimise: str = "speed"


def report(request: ReportRequest, progress: Progress = quiet) -> list[Document]:
    """One report per board, as report.json has it; with the front, where one was measured for it.

    Raises:
        DiagnosticError: as `_made`; MQ704 if the file of the front is none.
    """
    found = None if request.front is None else _front(request.front)
    reports = _made(request, progress)
    if found is None:
        return reports
    about = (found["model"], found["board"])
    return [{**r, "front": found["points"]} if (r["model"], r["board"]) == about else r for r in reports]


def _front(file: Path) -> Document:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found = str(error)
    if not isinstance(found, Mapping) or not found.keys() >= {"model", "board", "points"}:
        help_ = "make it with: mcu-quant explore MODEL --board BOARD --format json"
        raise DiagnosticError(Diagnostic("MQ704", str(file), "is not what explore prints as JSON", help=help_))
    return dict(found)


def _made(request: ReportRequest, progress: Progress) -> list[Document]:
    """The reports themselves.

    Raises:
        DiagnosticError: of import, boards, data and plan; MQ703 to MQ705 of a folder; MQ900 for a model without boards.
    """
    if request.subject.suffix == ".json":
        if request.boards or request.places:
            help_, option = "name the folder or the model instead", "--board" if request.boards else "--place"
            raise DiagnosticError(Diagnostic("MQ900", option, "a report is about its own board", help=help_))
        return stored_reports(request.subject)
    if request.subject.is_dir():
        made = folder.read_manifest(request.subject)
        if not request.boards and not request.places:
            return stored_reports(request.subject / REPORT)
        opened = open_folder(request.subject, request.source.model if request.source else None)
        as_built = replace(
            request,
            boards=request.boards or (made.board,),
            source=opened.source,
            precision=PrecisionRequest(plan=opened.path / PLAN, adapt=True),
            data=request.data or opened.data,
            places=request.places or made.places,
            optimise=made.optimise,
        )
        return _reports(as_built, progress)
    if not request.boards:
        help_ = "name one or more: --board nucleo_h743zi2 --board raspberry_pi_pico"
        raise DiagnosticError(Diagnostic("MQ900", "--board", "a model is reported on boards", help=help_))
    return _reports(replace(request, source=request.source or Source(request.subject)), progress)


def stored_reports(file: Path) -> list[Document]:
    """What a report.json holds: one report, or those of several boards.

    Raises:
        DiagnosticError: MQ704 if it cannot be read, or was made by a version whose reports look different.
    """
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"cannot be read: {error}"
        raise DiagnosticError(Diagnostic("MQ704", str(file), message, help="build again")) from error
    several = isinstance(found, Mapping) and isinstance(found.get("reports"), list)
    reports: list[Document] = found["reports"] if several else [found]
    problems = [p for r in reports for p in schemas.validate(r, "report", str(file), "MQ704")]
    if problems:
        message = f"is not a report of this version of mcu-quant: {problems[0].message}"
        raise DiagnosticError(Diagnostic("MQ704", problems[0].where, message, help="build again"))
    return reports


def _reports(request: ReportRequest, progress: Progress) -> list[Document]:
    assert request.source is not None
    problems = Problems()
    load = partial(boards.load, optimise=request.optimise)
    found = [problems.attempt(partial(load, name)) for name in dict.fromkeys(request.boards)]
    model = problems.attempt(partial(stages.read, request.source))
    wish = problems.attempt(partial(_wish, request, [b for b in found if b is not None]))
    problems.raise_all()
    assert model is not None and wish is not None
    maker = _Maker(model, request, wish, progress)
    made = [problems.attempt(partial(maker.report, board)) for board in found if board is not None]
    raise_errors(problems.found)
    return [r for r in made if r is not None]


def _wish(request: ReportRequest, found: Sequence[Board]) -> Wish:
    """What `--place` asked for.

    Raises:
        DiagnosticError: MQ900 if it is none; MQ507 if no board has such a memory.
    """
    wish = Wish.parse(request.places)
    known = {r.name for board in found for r in board.memory if r.writable}
    problems = [
        Diagnostic(
            "MQ507",
            f"--place {subject}={region}",
            f"no board has a memory {region!r} that can be written",
            help=did_you_mean(region, known) or ", ".join(sorted(known)),
        )
        for subject, region in wish.regions.items()
        if found and all(subject not in wish.on(board)[0].regions for board in found)
    ]
    raise_errors(problems)
    return wish


class _Maker:
    """Reports of one model. Boards share what does not depend on them.

    Plans and ranges are the same for one target, the comparison with onnxruntime for one program, and the linked sizes
    for one program and compiler, so that a report on all boards takes little longer than one on three.
    """

    def __init__(self, model: Model, request: ReportRequest, wish: Wish, progress: Progress) -> None:
        self._model, self._request, self._wish, self._progress = model, request, wish, progress
        self._planned: dict[Target, Planned] = {}
        self._verified: dict[str, Verified] = {}
        self._sizes: dict[tuple[str, str], Footprint] = {}

    def report(self, board: Board) -> Document:
        """The report on one board.

        Raises:
            DiagnosticError: of data, plan and compiler.
        """
        target = stages.target(board)
        planned = self._plan(target)
        program = f"{target.isa}\n{plans.to_toml(replace(planned.plan, calibrated_on=''))}"
        if program not in self._verified:
            self._progress(f"comparing with onnxruntime, as planned for {board.id}")
            lowered = stages.lowered(self._model, planned.plan, target)
            self._verified[program] = verify(self._model, lowered, planned.clips)
        self._progress(f"generating code and linking it for {board.id}")
        wish, notes = self._wish.on(board)
        linked = (program, f"{board.compiler} {board.core.name} {board.id if wish.regions else ''}")
        job = Job(self._model, board, planned.plan, self._verified[program], "", planned.diagnostics, (), wish, notes)
        made = assemble(job, self._sizes.get(linked))
        self._sizes[linked] = made.footprint
        return made.report

    def _plan(self, target: Target) -> Planned:
        if target not in self._planned:
            request = self._request
            self._planned[target] = stages.choose(self._model, target, request.precision, request.data, self._progress)
        return self._planned[target]
