"""Logs of self-tests on a board, and the folders they were made from, to a calibration of the board."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mcu_quant import boards, calibration, cost, schemas, selftest_log
from mcu_quant.api import folder
from mcu_quant.api.folder import MANIFEST, REPORT, Manifest
from mcu_quant.api.stages import Problems
from mcu_quant.boards import Board
from mcu_quant.calibration import Calibration, MeasuredCall, Provenance
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, Severity
from mcu_quant.refit import base_cycles, refit
from mcu_quant.selftest_log import EMULATED, SCHEDULE_DIGITS, Run
from mcu_quant.timing import table

#: How far above a log's own folder the folder of its build may be: DIR/build/selftest.log is DIR's.
_LEVELS = 3


@dataclass(frozen=True)
class CalibrateRequest:
    """Logs of a board; `builds` are firmware folders to look for their schedules in, `day` when they were measured."""

    board: str
    logs: tuple[Path, ...]
    builds: tuple[Path, ...] = ()
    day: str = ""
    write: bool = True


@dataclass(frozen=True)
class ModelBefore:
    """Cycles of all timed calls of one model: predicted without measurements, predicted with them, and measured."""

    model: str
    calls: int
    before: int
    after: int
    measured: int


@dataclass(frozen=True, eq=False)
class CalibrateResult:
    """A calibration, where it was written, and what it changes."""

    calibration: Calibration
    path: Path
    models: tuple[ModelBefore, ...]
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, eq=False)
class _Build:
    """A firmware folder that a log may belong to."""

    path: Path
    manifest: Manifest

    def is_of(self, run: Run) -> bool:
        """Is this the schedule that the run was made from?"""
        return self.manifest.files.get(f"{run.model}.c", "").startswith(run.schedule)


@dataclass(frozen=True, eq=False)
class _Log:
    path: Path
    sha256: str
    runs: tuple[Run, ...]


def calibrate(request: CalibrateRequest) -> CalibrateResult:
    """Fit the timing of a board to logs of its self-tests, and write the result where reports on the board find it.

    Raises:
        DiagnosticError: MQ501, MQ502; MQ506 if no log can be used, or one is of another board, of a build that is not
            there, or from an emulator; MQ701.
    """
    problems = Problems()
    board = problems.attempt(lambda: boards.load(request.board, calibrated=False))
    logs = [problems.attempt(partial(_read, path, problems)) for path in request.logs]
    problems.raise_all()
    assert board is not None
    read = [log for log in logs if log is not None]
    builds = list(_builds(request))
    calls: list[MeasuredCall] = []
    for log in read:
        for run in log.runs:
            problems.found += _unusable(log, run, board)
            if run.steps:
                calls += problems.attempt(partial(_calls, log, run, builds)) or []
    problems.raise_all()
    if not calls:
        help_ = "build the self-test with timing on, and run it on the board"
        raise DiagnosticError(Diagnostic("MQ506", str(request.logs[0]), "no step was timed", help=help_))
    made = _fitted(board, read, calls, request.day)
    path = calibration.path_of(board.id, boards.file_of(request.board))
    if request.write:
        _write(path, made)
    models = tuple(_models(board, made))
    return CalibrateResult(made, path, models, tuple(problems.found))


def _read(path: Path, problems: Problems) -> _Log:
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise DiagnosticError(Diagnostic("MQ506", str(path), message, help="name the log of a self-test")) from error
    runs, found = selftest_log.read(data.decode("utf-8", errors="replace"), str(path))
    problems.found += found
    return _Log(path, hashlib.sha256(data).hexdigest(), tuple(runs))


def _unusable(log: _Log, run: Run, board: Board) -> Iterator[Diagnostic]:
    where = str(log.path)
    if run.counter == EMULATED:
        help_ = "run the self-test on the board itself"
        message = "was made in an emulator, whose counter says nothing of a core's time"
        yield Diagnostic("MQ506", where, message, help=help_)
    if run.board != board.id:
        message = f"is of the board {run.board}, not of {board.id}"
        yield Diagnostic("MQ506", where, message, help=f"calibrate that one: --board {run.board}")
    if not run.passed:
        message = "its self-test failed: what was timed did not compute what it should"
        yield Diagnostic(
            "MQ506", where, message, help="find out why first: mcu-quant test says what differs on the host"
        )
    if abs(run.clock_hz / board.clock.hz - 1.0) > 0.01:
        message = f"was measured at {run.clock_hz / 1e6:g} MHz, reports take {board.clock.hz / 1e6:g} MHz"
        help_ = "wait states differ with the clock: put the clock that is used first in the board file"
        yield Diagnostic("MQ506", where, message, help=help_, severity=Severity.WARNING)
    off = [name for name in ("icache", "dcache") if getattr(run, name) == "off"]
    if off:
        message = f"was measured with {' and '.join(off)} off: the firmware that is shipped must leave it off, too"
        yield Diagnostic("MQ506", where, message, severity=Severity.WARNING)


# --- which calls the steps of a log are ----------------------------------------------------------------------------


def _builds(request: CalibrateRequest) -> Iterator[_Build]:
    """Folders that were named; else those around the logs, and those in `build/`."""
    if request.builds:
        for path in request.builds:
            yield _Build(path, folder.read_manifest(path))
        return
    around = [p for log in request.logs for p in list(log.resolve().parents)[:_LEVELS]]
    default = [p.parent for p in sorted(Path("build").glob(f"*/{MANIFEST}"))]
    for path in dict.fromkeys([*around, *(p.resolve() for p in default)]):
        if (path / MANIFEST).is_file():
            yield _Build(path, folder.read_manifest(path))


def _calls(log: _Log, run: Run, builds: Sequence[_Build]) -> list[MeasuredCall]:
    """The steps of a run with their work, which the report of its build has.

    Raises:
        DiagnosticError: MQ506 if the build is not there, or its report is of another one.
    """
    build = next((b for b in builds if b.is_of(run)), None)
    if build is None:
        message = f"the folder whose {run.model}.c has SHA-256 {run.schedule}... is not there"
        help_ = "name the firmware folder that the self-test was built from: --build DIR"
        raise DiagnosticError(Diagnostic("MQ506", str(log.path), message, help=help_))
    calls = _report_calls(build.path)
    if len(calls) != len(run.steps):
        message = f"has {len(run.steps)} steps, its build {len(calls)} calls"
        raise DiagnosticError(Diagnostic("MQ506", str(log.path), message, help="build again, and run that"))
    return [_call(run, index, calls[index]) for index in sorted(run.steps)]


def _call(run: Run, index: int, call: Mapping[str, Any]) -> MeasuredCall:
    measured = run.steps[index]
    spread = 0 if measured.least is None or measured.largest is None else measured.largest - measured.least
    return MeasuredCall(
        call=f"{run.model}/{run.schedule[:SCHEDULE_DIGITS]}/{index}",
        kernel=call["priced"],
        isa=call["isa"],
        work=tuple(call["work"]),
        constant_bytes=call["read_bytes"],
        cycles=measured.cycles,
        spread_cycles=spread,
        times=call["times"],
    )


def _report_calls(path: Path) -> list[Mapping[str, Any]]:
    file = path / REPORT
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DiagnosticError(Diagnostic("MQ704", str(file), f"cannot be read: {error}", help="build again")) from error
    wrong = schemas.validate(document, "report", str(file), "MQ704")
    if wrong:
        message = f"is not a report of this version of mcu-quant: {wrong[0].message}"
        raise DiagnosticError(Diagnostic("MQ704", str(file), message, help="build again"))
    calls: list[Mapping[str, Any]] = document["memory"]["calls"]
    return calls


# --- the fit and its file ------------------------------------------------------------------------------------------


def _fitted(board: Board, logs: Sequence[_Log], calls: Sequence[MeasuredCall], day: str) -> Calibration:
    prior = cost.Memory.of(table().cores[board.timing_core], board).cycles_per_byte
    try:
        fitted = refit(calls, board.timing_core, prior)
    except ValueError as error:
        help_ = "measure a build of this version of mcu-quant"
        raise DiagnosticError(Diagnostic("MQ506", str(logs[0].path), str(error), help=help_)) from error
    used = [(log, run) for log in logs for run in log.runs if run.steps]
    grouped = dict.fromkeys((log.path, run.model) for log, run in used)
    measured = []
    for path, model in grouped:
        mine = [(log, run) for log, run in used if (log.path, run.model) == (path, model)]
        log, run = mine[0]
        measured.append(Provenance(path.name, log.sha256, run.day or day, model, run.clock_hz, run.frames, len(mine)))
    return Calibration(
        board=board.id,
        core=board.timing_core,
        clock_hz=used[0][1].clock_hz,
        tables=calibration.tables(),
        measured=tuple(measured),
        calls=tuple(calls),
        fitted=fitted,
    )


def _models(board: Board, made: Calibration) -> Iterator[ModelBefore]:
    core = table().cores[board.timing_core]
    rate = cost.Memory.of(core, board).cycles_per_byte
    names = dict.fromkeys(c.call.rpartition("/")[0] for c in made.calls)
    for name in names:
        mine = [c for c in made.calls if c.call.rpartition("/")[0] == name]
        known = [c for c in mine if (c.kernel, c.isa, core.coefficients_of) in table().kernels]
        runs = len(mine) / len({c.call for c in mine})
        base = {c: base_cycles(c, board.timing_core) for c in dict.fromkeys(known)}
        factors = {c: made.fitted.kernels[c.key].factor for c in known}
        read = made.fitted.read_cycles_per_byte
        yield ModelBefore(
            model=name.partition("/")[0],
            calls=len({c.call for c in mine}),
            before=round(sum(base[c] + rate * c.constant_bytes for c in known) / runs),
            after=round(sum(factors[c] * base[c] + read * c.constant_bytes for c in known) / runs),
            measured=round(sum(c.cycles for c in known) / runs),
        )


def _write(path: Path, made: Calibration) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise DiagnosticError(
            Diagnostic("MQ701", str(path), message, help="MCU_QUANT_CALIBRATIONS moves it")
        ) from error
    folder.write_file(path, calibration.to_json(made).encode())
