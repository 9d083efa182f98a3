"""mcu-quant explore: what quality costs on a board."""

from __future__ import annotations

from pathlib import Path

import click

from mcu_quant.cli import goals, options, output


@click.command(
    short_help="Show what quality costs: the front of plans for a board.",
    epilog="\b\nExamples:\n  mcu-quant explore model.onnx --board nucleo_f446re --data speech/\n"
    "  mcu-quant explore model.onnx --board nucleo_h743zi2 --data speech/ --minimize flash -o front.png",
)
@options.model
@click.option("--board", required=True, metavar="BOARD", help="Id of a board (`mcu-quant boards`), or a board file.")
@options.data
@click.option("--points", type=click.IntRange(2, 50), default=8, show_default=True, help="Steps of the sweep.")
@click.option(
    "--minimize",
    "minimise",
    type=click.Choice(("flash", "latency", "energy", "balanced")),
    default="balanced",
    show_default=True,
    help="What is made small at each quality.",
)
@goals.how
@options.importing
@click.option("-o", "--output", "target", type=options.FILE, metavar="FILE", help="A picture: .png, .svg or .pdf.")
@options.output_format()
@options.save_repro
def command(
    *,
    model: Path,
    board: str,
    data: Path | None,
    points: int,
    minimise: str,
    sensitivity: str | None,
    solver: str | None,
    steps: tuple[str, ...],
    jobs: int | None,
    cluster: str | None,
    bind: tuple[str, ...],
    states: tuple[str, ...],
    pipeline: str | None,
    stream: tuple[str, ...],
    audio: bool,
    target: Path | None,
    fmt: str,
) -> None:
    """Sweep the quality of MODEL on a board: at each step the plan that takes least, measured and linked.

    Everything in one format and the preset tinydenoiser stand beside them. `best`: no other plan on the list is at
    least as good in quality, flash, RAM and time.
    """
    source = options.source(model, bind, states, pipeline, stream, audio)
    from mcu_quant import api
    from mcu_quant.report import chart
    from mcu_quant.report.tables import Table

    if target and target.suffix not in chart.SUFFIXES:
        raise options.usage(str(target), "is no picture", f"end it in {', '.join(chart.SUFFIXES)}")
    wanted = goals.planning(sensitivity=sensitivity, solver=solver, steps=steps, jobs=jobs, cluster=cluster)
    with output.progress() as progress:
        made = api.explore(api.ExploreRequest(source, board, data, points, minimise, wanted), progress)
    if target:
        chart.draw(made["points"], f"{made['model']} on {made['board']}", target)
    columns = ("plan", "kind", "snr_db", "flash_bytes", "ram_bytes", "ms", "best")
    table = Table(columns, tuple(tuple(p[c] for c in columns) for p in made["points"]))
    heading = f"{made['model']} on {made['board']}, measured on {made['measured_on']}"
    output.emit(fmt, made, [table], heading=heading)
