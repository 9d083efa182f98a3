"""mcu-quant calibrate: times that a board measured, into the estimate for that board."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcu_quant.cli import options, output

if TYPE_CHECKING:
    from mcu_quant.calibration import Calibration
    from mcu_quant.report.tables import Table


@click.command(
    short_help="Fit the timing of a board to what it measured itself.",
    epilog="\b\nExamples:\n  mcu-quant calibrate --board nucleo_f446re uart.log\n"
    "  mcu-quant calibrate --board ./my_board.toml run1.log run2.log --build build/vad-my_board --day 2026-11-23\n"
    "  mcu-quant calibrate --board nucleo_f446re --show",
)
@click.argument("logs", type=options.FILE, metavar="LOG...", nargs=-1)
@click.option("--board", required=True, metavar="BOARD", help="The board that was measured: id or file.")
@click.option(
    "--build",
    "builds",
    type=options.FILE,
    metavar="DIR",
    multiple=True,
    help="Firmware folder that a log is of.  [default: the folder around the log, and those in build/]",
)
@click.option("--day", metavar="YYYY-MM-DD", default="", help="When it was measured, where the log does not say.")
@click.option("--dry-run", is_flag=True, help="Fit and show, but write nothing.")
@click.option("--show", is_flag=True, help="Show what is known of the board, without new logs.")
@click.option("--forget", is_flag=True, help="Remove what was measured: estimates rest on the tables again.")
@options.output_format()
@options.save_repro
def command(
    *,
    logs: tuple[Path, ...],
    board: str,
    builds: tuple[Path, ...],
    day: str,
    dry_run: bool,
    show: bool,
    forget: bool,
    fmt: str,
) -> int:
    """Read what self-tests printed on a BOARD (docs/self-test-log.md), and fit the timing of its kernels to it.

    Reports on the board then rest on these measurements: its status is "calibrated", and ranges are those of calls that
    were held out. Each time, all logs of a board are given: the new calibration replaces the old one.
    """
    if show or forget:
        return _forget(board) if forget else _show(board, fmt)
    if not logs:
        raise options.usage("LOG", "is missing", "name the logs of self-tests, or --show what is known already")
    from mcu_quant.api.calibrating import CalibrateRequest, calibrate
    from mcu_quant.report.tables import Table

    made = calibrate(CalibrateRequest(board, logs, builds, _day(day), write=not dry_run))
    rows = tuple(
        (m.model, m.calls, m.measured, m.before, _off(m.measured, m.before), m.after, _off(m.measured, m.after))
        for m in made.models
    )
    columns = ("model", "calls", "measured cycles", "by the tables", "off", "fitted", "off")
    where = f"{made.path}: not written" if dry_run else f"written to {made.path}"
    heading = f"{made.calibration.board}: {_summary(made.calibration)}\n{where}"
    document = {**made.calibration.as_dict(), "path": str(made.path)}
    tables = [Table(columns, rows), _kernels(made.calibration)]
    output.emit(fmt, document, tables, heading=heading, diagnostics=made.diagnostics)
    return 0


def _day(text: str) -> str:
    """A day as ISO 8601 writes it, or nothing."""
    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise options.usage(f"--day {text}", "is no day", "for example 2026-11-23") from error


def _off(measured: int, predicted: int) -> str:
    return f"{100 * (measured / predicted - 1):+.1f} %"


def _summary(made: Calibration) -> str:
    calls = len({c.call for c in made.calls})
    return (
        f"{calls} calls of {made.models}, measured on {made.days} at {made.clock_hz / 1e6:g} MHz; "
        f"each predicted without itself, their sum is off by {made.fitted.held_out_pct:+.1f} %"
    )


def _kernels(made: Calibration) -> Table:
    from mcu_quant.report.tables import Table

    fitted = made.fitted
    rows = [(k, f.calls, f.factor, _range(f.error_pct)) for k, f in fitted.kernels.items()]
    rows.append(("any other", 0, fitted.factor, _range(fitted.error_pct)))
    rows.append(("reading constants, cycles per byte", 0, fitted.read_cycles_per_byte, ""))
    return Table(("kernel", "calls", "factor", "range of a call"), tuple(rows))


def _range(error_pct: tuple[float, float]) -> str:
    return f"{error_pct[0]:+.0f} to {error_pct[1]:+.0f} %"


def _show(name: str, fmt: str) -> int:
    """What is known of a board."""
    from mcu_quant import boards, calibration

    board = boards.load(name)
    path = calibration.path_of(board.id, boards.file_of(name))
    if board.calibration is None:
        output.emit(fmt, {"board": board.id, "path": None}, [], heading=f"{board.id}: nothing was measured ({path})")
        return 0
    document = {**board.calibration.as_dict(), "path": str(path)}
    heading = f"{board.id}: {_summary(board.calibration)}\n{path}"
    output.emit(fmt, document, [_kernels(board.calibration)], heading=heading)
    return 0


def _forget(name: str) -> int:
    """Remove the calibration of a board, also a damaged one."""
    from mcu_quant import boards, calibration

    board = boards.load(name, calibrated=False)
    path = calibration.path_of(board.id, boards.file_of(name))
    known = path.is_file()
    path.unlink(missing_ok=True)
    click.echo(f"{path}: removed" if known else f"{path}: there was none")
    return 0
