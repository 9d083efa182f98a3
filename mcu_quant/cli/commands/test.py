"""mcu-quant test: a firmware folder against onnxruntime and against the specification of its kernels."""

from __future__ import annotations

from pathlib import Path

import click

from mcu_quant.cli import options, output


@click.command(
    short_help="Test a folder against onnxruntime and its specification.",
    epilog="\b\nExamples:\n  mcu-quant test build/model-nucleo_h743zi2\n"
    "  mcu-quant test build/model-nucleo_h743zi2 --data speech/ --frames 2000 --min-snr 40",
)
@click.argument("folder", type=options.FILE, metavar="DIR")
@click.option("--data", type=options.FILE, metavar="CLIPS", help="What to stream.  [default: the calibration data]")
@click.option("--frames", type=click.IntRange(min=1), default=500, show_default=True, help="Stream at most so many.")
@click.option(
    "--min-snr", type=float, metavar="DB", help="Fail below this SNR.  [default: 90 if all is f32, else none]"
)
@click.option("--model", type=options.FILE, metavar="FILE", help="The model, if it is no longer where it was.")
@options.output_format()
@options.save_repro
def command(
    *, folder: Path, data: Path | None, frames: int, min_snr: float | None, model: Path | None, fmt: str
) -> int:
    """Compile the C in DIR for this machine, with sanitizers, and stream frames through it.

    Every output and state is compared with onnxruntime, every integer edge with its specification, to the bit.
    """
    from mcu_quant import api
    from mcu_quant.report.summary import decibels
    from mcu_quant.report.tables import Table

    with output.progress() as progress:
        made = api.test_folder(api.TestRequest(folder, model, data, frames, min_snr), progress)
    document = made.as_dict()
    rows = tuple((n, d["kind"], decibels(d["snr_db"]), d["max_abs"]) for n, d in document["outputs"].items())
    heading = (
        f"{'passed' if made.passed else 'FAILED'} on the {made.target}: {document['frames']} frames of {made.data}\n"
        f"{document['mismatches']} integer edges differ from their specification\n"
        f"against {document['reference']}:"
    )
    table = Table(("name", "kind", "SNR", "largest difference"), rows)
    output.emit(fmt, document, [table], heading=heading, diagnostics=made.diagnostics)
    return made.exit_status
