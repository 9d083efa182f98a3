"""mcu-quant run: stream a file through a firmware folder."""

from __future__ import annotations

from pathlib import Path

import click

from mcu_quant.cli import options, output


@click.command(
    short_help="Stream a recording or arrays through a folder.",
    epilog="\b\nExamples:\n  mcu-quant run build/vad-nucleo_f446re speech.wav -o probabilities.npz\n"
    "  mcu-quant run build/denoiser-nucleo_f446re noisy.wav -o clean.wav",
)
@click.argument("folder", type=options.FILE, metavar="DIR")
@click.argument("file", type=options.FILE, metavar="IN.wav|IN.npz")
@click.option(
    "-o", "--output", "target", type=options.FILE, required=True, metavar="OUT.npz|OUT.wav", help="The result."
)
@options.output_format()
@options.save_repro
def command(folder: Path, file: Path, target: Path, fmt: str) -> None:
    """Stream a recording, or arrays with a leading time axis, through the C in DIR on this machine."""
    from mcu_quant import api
    from mcu_quant.report.tables import Table

    with output.progress() as progress:
        made = api.run_folder(api.RunRequest(folder, file, target), progress)
    document = {
        "output": str(made.output),
        "frames": made.frames,
        "outputs": {n: {"shape": list(shape)} for n, shape in made.shapes.items()},
    }
    rows = tuple((n, "x".join(map(str, shape))) for n, shape in made.shapes.items())
    heading = f"{made.frames} frames; written to {made.output}"
    output.emit(fmt, document, [Table(("output", "shape"), rows)], heading=heading, diagnostics=made.diagnostics)
