"""mcu-quant pipeline: ready-made pipelines, and a proposal for a model that has none."""

from __future__ import annotations

from pathlib import Path

import click

from mcu_quant.cli import options, output


@click.command(
    short_help="Pipelines: list, show, or propose one.",
    epilog="\b\nExamples:\n  mcu-quant pipeline\n  mcu-quant pipeline gtcrn_stream\n"
    "  mcu-quant pipeline new model.onnx\n  mcu-quant pipeline new model.onnx --bind frames=1 -o model.toml",
)
@click.argument("words", nargs=-1, metavar="[NAME | new MODEL]")
@click.option(
    "--bind", multiple=True, metavar="NAME=N", help="Size of a dynamic dimension, or value of a scalar input."
)
@click.option("--state", "states", multiple=True, metavar="OUT:IN", help="Cache output that feeds a cache input.")
@click.option("-o", "--output", "target", type=options.FILE, metavar="FILE", help="Where the proposal goes.")
@options.output_format()
@options.save_repro
def command(
    words: tuple[str, ...], bind: tuple[str, ...], states: tuple[str, ...], target: Path | None, fmt: str
) -> None:
    """List the ready-made pipelines, show the file of one, or propose one for a MODEL from its shapes."""
    if words[:1] == ("new",):
        if len(words) != 2:
            raise options.usage("new", "takes one model", "for example: mcu-quant pipeline new model.onnx")
        _new(Path(words[1]), bind, states, target)
    elif words:
        _show(words)
    else:
        _list(fmt)


def _new(model: Path, bind: tuple[str, ...], states: tuple[str, ...], target: Path | None) -> None:
    from mcu_quant.api import proposal

    if target is not None and target.exists():
        raise options.exists(target)
    made = proposal.propose(options.source(model, bind, states, None, (), False))
    output.write(made.text, target)
    if target is not None:
        click.echo(f"{target}: {made.origin}; then: mcu-quant build {target} --board BOARD")


def _show(words: tuple[str, ...]) -> None:
    from mcu_quant import pipelines
    from mcu_quant.diagnostics import did_you_mean

    if len(words) > 1 or words[0] not in pipelines.ready_made():
        help_ = did_you_mean(words[0], pipelines.ready_made()) or "`mcu-quant pipeline` lists them"
        raise options.usage(" ".join(words), "is no ready-made pipeline", help_)
    output.write((pipelines.FOLDER / f"{words[0]}.toml").read_text(encoding="utf-8"), None)


def _list(fmt: str) -> None:
    from mcu_quant import (
        data,  # noqa: F401  # pipelines and front ends know each other
        pipelines,
    )
    from mcu_quant.report.tables import Table

    rows = tuple(
        (name, p.title, f"{p.call_ms:g}", p.gives, p.upstream.model if p.upstream else "")
        for name, p in pipelines.ready_made().items()
    )
    heads = ("name", "front end", "ms per call", "gives", "behind")
    document = {"pipelines": [dict(zip(("name", "title", "call_ms", "gives", "behind"), r, strict=True)) for r in rows]}
    output.emit(fmt, document, [Table(heads, rows)])
