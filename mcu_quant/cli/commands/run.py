"""mcu-quant run: stream a file through a firmware folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcu_quant.cli import options, output

if TYPE_CHECKING:
    from mcu_quant import api
    from mcu_quant.api.listen import Heard
    from mcu_quant.audio.judge import Quality
    from mcu_quant.report.tables import Cell, Table

#: Columns of what was judged.
JUDGED = ("", "PESQ", "STOI", "SI-SDR dB")


@click.command(
    short_help="Stream a recording or arrays through a folder.",
    epilog="\b\nExamples:\n  mcu-quant run build/denoiser-nucleo_h743zi2 noisy.wav -o clean.wav --clean reference.wav\n"
    "  mcu-quant run build/denoiser-nucleo_h743zi2 noisy/ -o cleaned/ --clean references/\n"
    "  mcu-quant run build/vad-nucleo_f446re speech.wav -o timeline.png\n"
    "  mcu-quant run build/keywords-nucleo_l4r5zi speech.wav --on qemu\n"
    "  mcu-quant run build/model-nucleo_f446re frames.npz -o outputs.npz",
)
@click.argument("folder", type=options.FILE, metavar="DIR")
@click.argument("file", type=options.FILE, metavar="IN.wav|FOLDER|IN.npz")
@click.option(
    "-o",
    "--output",
    "target",
    type=options.FILE,
    metavar="OUT",
    help="The result: .wav of audio, .png or .svg of decisions, .npz of every output; for a FOLDER, another.",
)
@click.option(
    "--clean", type=options.FILE, metavar="REF", help="Judge what comes out beside this recording, or folder."
)
@click.option("--on", type=click.Choice(["host", "qemu"]), default="host", show_default=True, help="Where the C runs.")
@options.output_format()
@options.save_repro
def command(folder: Path, file: Path, target: Path | None, clean: Path | None, on: str, fmt: str) -> None:
    """Stream a recording, a folder of them, or arrays with a leading time axis, through the C in DIR.

    Folders of `build --audio` take recordings and give audio, stretches of activity or words; --clean judges audio by
    PESQ, STOI and SI-SDR. Other folders give the model's outputs for every frame.
    """
    from mcu_quant import api
    from mcu_quant.api import listen

    if listen.pipeline_in(folder) is None or file.suffix.lower() == ".npz":
        _outputs(api.RunRequest(folder, file, _required(target, clean, on)), fmt)
        return
    with output.progress() as progress:
        made = listen.listen(listen.ListenRequest(folder, file, target, clean, on), progress)
    notes = [d for heard in made for d in heard.diagnostics]
    written = f"; written to {target}" if target else ""
    if not file.is_dir():
        [heard] = made
        heading = f"{heard.seconds:.2f} s through the C of {folder} on {on}{written}{_silent(heard)}"
        output.emit(fmt, heard.as_dict(), _tables(heard), heading=heading, diagnostics=notes)
        return
    seconds = sum(heard.seconds for heard in made)
    heading = f"{len(made)} recordings, {seconds:.1f} s, through the C of {folder} on {on}{written}"
    document = {"clips": [heard.as_dict() for heard in made]}
    output.emit(fmt, document, _of_all(made, file), heading=heading, diagnostics=tuple(dict.fromkeys(notes)))


def _required(target: Path | None, clean: Path | None, on: str) -> Path:
    """The output of a folder without front and back end.

    Raises:
        DiagnosticError: MQ900 for what only folders of `build --audio` can do.
    """
    for name, given in (("--clean", clean is not None), ("--on", on != "host")):
        if given:
            raise options.usage(name, "needs a folder with front and back end, and a .wav", "build it with --audio")
    if target is None:
        raise options.usage("-o", "says where the outputs go", "-o OUT.npz")
    return target


def _outputs(request: api.RunRequest, fmt: str) -> None:
    from mcu_quant import api
    from mcu_quant.report.tables import Table

    with output.progress() as progress:
        made = api.run_folder(request, progress)
    document = {
        "output": str(made.output),
        "frames": made.frames,
        "outputs": {n: {"shape": list(shape)} for n, shape in made.shapes.items()},
    }
    rows = tuple((n, "x".join(map(str, shape))) for n, shape in made.shapes.items())
    heading = f"{made.frames} frames; written to {made.output}"
    output.emit(fmt, document, [Table(("output", "shape"), rows)], heading=heading, diagnostics=made.diagnostics)


def _silent(heard: Heard) -> str:
    """Says that nothing was found where decisions come out, and how near it was."""
    for name, word, level in (("active", "activity", "probability"), ("keyword", "word", "score")):
        if name in heard.played.outputs and not heard.found:
            return f"; no {word} found, the highest {level} is {heard.played.outputs[level].max():.3f}"
    return ""


def _tables(heard: Heard) -> list[Table]:
    """What was found, or how good it is; the first one is the CSV."""
    from mcu_quant.audio.events import Stretch, Word
    from mcu_quant.report.tables import Table

    made = []
    if heard.quality:
        rows = tuple((n, *_figures(q)) for n, q in heard.quality.items())
        made.append(Table(JUDGED, rows))
    if "active" in heard.played.outputs:
        spans = [f for f in heard.found if isinstance(f, Stretch)]
        active = tuple((f"{s.start:.3f}", f"{s.end:.3f}", f"{s.probability:.3f}") for s in spans)
        made.append(Table(("active from s", "to s", "highest probability"), active))
    if "keyword" in heard.played.outputs:
        said = [f for f in heard.found if isinstance(f, Word)]
        heard_words = tuple((f"{w.time:.3f}", w.label, f"{w.score:.3f}") for w in said)
        made.append(Table(("at s", "word", "score"), heard_words))
    shapes = tuple((n, "x".join(map(str, a.shape))) for n, a in heard.arrays().items())
    return made or [Table(("output", "shape"), shapes)]


def _of_all(made: Sequence[Heard], root: Path) -> list[Table]:
    """The tables of every recording as one of each kind, and the mean of what was judged."""
    from mcu_quant.audio.judge import mean
    from mcu_quant.report.tables import Table

    tables: dict[tuple[str, ...], list[tuple[Cell, ...]]] = {}
    for heard in made:
        name = str(heard.input.relative_to(root))
        for table in _tables(heard):
            nothing = ("-",) * len(table.columns)
            tables.setdefault(table.columns, []).extend((name, *row) for row in table.rows or (nothing,))
    for end in ("input", "output") if JUDGED in tables else ():
        tables[JUDGED].append(("mean", end, *_figures(mean([heard.quality[end] for heard in made]))))
    return [Table(("recording", *columns), tuple(rows)) for columns, rows in tables.items()]


def _figures(quality: Quality) -> tuple[str, str, str]:
    pesq, stoi = ("-" if v is None else f"{v:.3f}" for v in (quality.pesq, quality.stoi))
    return pesq, stoi, f"{quality.si_sdr_db:.2f}"
