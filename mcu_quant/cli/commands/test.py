"""mcu-quant test: a firmware folder against onnxruntime and against the specification of its kernels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcu_quant.cli import options, output

if TYPE_CHECKING:
    from mcu_quant.api.trial import OnBoard
    from mcu_quant.report.tables import Table


@click.command(
    short_help="Test a folder against onnxruntime and its specification.",
    epilog="\b\nExamples:\n  mcu-quant test build/model-nucleo_h743zi2\n"
    "  mcu-quant test build/model-nucleo_h743zi2 --data speech/ --frames 2000 --min-snr 40\n"
    "  mcu-quant test build/model-nucleo_h743zi2 --on qemu",
)
@click.argument("folder", type=options.FILE, metavar="DIR")
@click.option(
    "--on",
    type=click.Choice(["host", "qemu"]),
    default="host",
    show_default=True,
    help="This machine, or the board's binary on its core in QEMU.",
)
@click.option("--data", type=options.FILE, metavar="CLIPS", help="What to stream.  [default: the calibration data]")
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    help="Stream at most so many.  [default: 500; fewer of models that take long]",
)
@click.option(
    "--min-snr", type=float, metavar="DB", help="Fail below this SNR.  [default: 90 if all is f32, else none]"
)
@click.option("--model", type=options.FILE, metavar="FILE", help="The model, if it is no longer where it was.")
@options.output_format()
@options.save_repro
def command(
    *, folder: Path, on: str, data: Path | None, frames: int | None, min_snr: float | None, model: Path | None, fmt: str
) -> int:
    """Compile the C in DIR for this machine, with sanitizers, and stream frames through it.

    Every output and state is compared with onnxruntime, every integer edge with its specification, to the bit.

    With --on qemu the C is compiled for the board's core and runs there, emulated; executed instructions, the stack
    that was used and the linked sizes are reported, too.
    """
    from mcu_quant import api
    from mcu_quant.report.summary import decibels
    from mcu_quant.report.tables import Table

    with output.progress() as progress:
        made = api.test_folder(api.TestRequest(folder, model, data, frames, min_snr, on=on), progress)
    document = made.as_dict()
    rows = tuple(
        (n, d["kind"], decibels(d["snr_db"]), d["max_abs"], d.get("note", "")) for n, d in document["outputs"].items()
    )
    columns = ("name", "kind", "SNR", "largest difference", "note")[: 5 if made.notes else 4]
    where = made.target if made.on_board else f"the {made.target}"
    heading = (
        f"{'passed' if made.passed else 'FAILED'} on {where}: {document['frames']} frames of {made.data}\n"
        f"{document['mismatches']} integer edges differ from their specification\n"
        f"against {document['reference']}:"
    )
    table = Table(columns, tuple(row[: len(columns)] for row in rows))
    tables = [table, *(_instructions(made.on_board) if made.on_board else ())]
    output.emit(fmt, document, tables, heading=heading, diagnostics=made.diagnostics)
    return made.exit_status


def _instructions(made: OnBoard) -> list[Table]:
    """Where the instructions of a frame go, and what the binary occupies."""
    from mcu_quant.report.tables import Table

    executed, sizes = made.executed, made.footprint
    parts = {
        **executed.operators,
        "conversions": executed.conversions,
        "copies": executed.copies,
        "schedule": executed.schedule,
        "all": executed.per_frame,
    }
    rows = tuple((name, n, f"{100 * n / executed.per_frame:.1f} %") for name, n in parts.items())
    occupied = (
        ("flash, linked", sizes.flash_bytes),
        ("static RAM, linked", sizes.static_ram_bytes),
        ("stack, high-water mark", made.stack_high_water_bytes),
        ("stack, from the call graph", sizes.stack_bytes),
    )
    return [Table(("operator", "instructions per frame", "share"), rows), Table(("memory", "bytes"), occupied)]
