"""mcu-quant flash: the self-test of a folder on its board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcu_quant.cli import options, output
from mcu_quant.diagnostics import Diagnostic, DiagnosticError

if TYPE_CHECKING:
    from mcu_quant.api.board import FlashResult, Prepared
    from mcu_quant.flash.reader import Serial
    from mcu_quant.report.tables import Table


@click.command(
    short_help="Run a folder's self-test on its board.",
    epilog="\b\nExamples:\n  mcu-quant flash build/model-nucleo_h743zi2\n"
    "  mcu-quant flash build/model-nucleo_h743zi2 --tool openocd --dry-run\n"
    "  mcu-quant flash build/model-nucleo_h743zi2 --with my_clock_and_uart.c --serial /dev/ttyACM0\n"
    "  mcu-quant flash build/model-raspberry_pi_pico2 --elf my_project.elf --serial /dev/ttyACM0\n"
    "  mcu-quant flash build/model-nucleo_h743zi2 --tool qemu",
)
@click.argument("folder", type=options.FILE, metavar="DIR")
@click.option(
    "--tool",
    type=click.Choice(["probe-rs", "pyocd", "openocd", "qemu"]),
    help="What flashes; qemu runs it on the emulated core.  [default: the first installed that knows the board]",
)
@click.option("--dry-run", is_flag=True, help="Build, and show the commands, but run none.")
@click.option("--probe", default="", metavar="ID", help="Which probe, where several are plugged in.")
@click.option("--elf", type=options.FILE, metavar="FILE", help="A program of yours that calls selftest().")
@click.option(
    "--with",
    "more",
    type=options.FILE,
    multiple=True,
    metavar="FILE.c",
    help="C that replaces functions of selftest/selftest.h: clocks, a UART.",
)
@click.option(
    "--clock-hz", type=click.IntRange(min=1), help="The core's clock in the self-test, to be noted in the log."
)
@click.option("--serial", metavar="PORT[@BAUD]", help="Read the log from a serial port.  [default baud: 115200]")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, metavar="SECONDS"
)
@click.option("--log", type=options.FILE, metavar="FILE", help="Keep the log, for `mcu-quant calibrate`.")
@options.output_format()
@options.save_repro
def command(
    *,
    folder: Path,
    tool: str | None,
    dry_run: bool,
    probe: str,
    elf: Path | None,
    more: tuple[Path, ...],
    clock_hz: int | None,
    serial: str | None,
    timeout: float,
    log: Path | None,
    fmt: str,
) -> int:
    """Build the self-test of DIR, flash it through a debug probe, and read back what it found on the board.

    It compares every output with what the emulator gave, to the bit, and reports cycles per operator, the stack that
    was used and whether the constants are intact. The names by which the tools know the board are in the board file.
    """
    from mcu_quant.api import board as on_board

    request = on_board.FlashRequest(folder, tool, probe, elf, more, clock_hz, _port(serial), timeout)
    if dry_run:
        with output.progress() as progress:
            prepared = on_board.prepare(request, dry=True, progress=progress)
        _show(fmt, prepared)
        return 0
    with output.progress() as progress:
        made = on_board.flash(request, progress)
    if log:
        output.write(made.log, log)
    output.emit(fmt, made.as_dict(), _tables(made), heading=_heading(made), diagnostics=made.diagnostics)
    return made.exit_status


def _port(text: str | None) -> Serial | None:
    from mcu_quant.flash.reader import Serial

    if text is None:
        return None
    port, _, baud = text.partition("@")
    if not port or (baud and not baud.isdecimal()):
        raise DiagnosticError(
            Diagnostic(
                "MQ900", f"--serial {text}", "is not PORT or PORT@BAUD", help="for example --serial /dev/ttyACM0@115200"
            )
        )
    return Serial(port, int(baud)) if baud else Serial(port)


def _show(fmt: str, prepared: Prepared) -> None:
    """The commands, one a line, so that they can be copied."""
    from mcu_quant.flash.tools import shown
    from mcu_quant.report.tables import Table

    commands = tuple(shown(argv) for argv in prepared.commands)
    if fmt == "table":
        click.echo(f"# {prepared.tool} on {prepared.board}: built, not run")
        click.echo("\n".join(commands))
        return
    output.emit(fmt, prepared.as_dict(), [Table(("command",), tuple((c,) for c in commands))])


def _heading(made: FlashResult) -> str:
    from mcu_quant.report.summary import duration

    run = made.run
    text = f"{'passed' if run.passed else 'FAILED'} on {run.board} ({made.prepared.tool}): {run.frames + 1} frames"
    if run.frame and run.counter == "emulated":
        return f"{text}; an emulator's time is no cycles: `mcu-quant test --on qemu` counts instructions"
    if run.frame:
        clock = run.clock_hz or made.board_clock_hz
        text += f"; {duration(1000 * run.frame.cycles / clock)} a frame at {clock / 1e6:g} MHz"
    return text


def _tables(made: FlashResult) -> list[Table]:
    from mcu_quant.report.tables import Table

    run = made.run
    unit = "emulated time" if run.counter == "emulated" else "cycles"
    parts = {**made.operators, "conversions": made.conversions, "copies": made.copies}
    if run.frame:
        parts["whole frame"] = run.frame.cycles
    whole = parts.get("whole frame") or sum(parts.values()) or 1
    rows = tuple((name, cycles, f"{100 * cycles / whole:.1f} %") for name, cycles in parts.items())
    stack = "not measured" if run.stack_bytes is None else f"{run.stack_bytes} B"
    facts = [
        ("constants", "intact" if made.weights_intact else "CHANGED"),
        ("stack, high-water mark", stack),
        *((f"output {i}", f"{o.differ} of {o.of} values differ") for i, o in run.outputs.items()),
    ]
    return [Table(("operator", f"{unit} per frame", "share"), rows), Table(("self-test", "found"), tuple(facts))]
