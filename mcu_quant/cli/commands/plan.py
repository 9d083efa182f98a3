"""mcu-quant plan: choose a format for every operator."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from mcu_quant.cli import options, output


@click.command(
    short_help="Give every operator a format, with the reason.",
    epilog="\b\nExamples:\n  mcu-quant plan model.onnx --board nucleo_f446re --data speech/ -o plan.toml\n"
    "  mcu-quant plan model.onnx --preset s8 --set 'LSTM=s16' --set '/decoder/*=f16' -o plan.toml",
)
@options.model
@click.option("--board", metavar="BOARD", help="Offer only formats that this board has.")
@options.precision
@options.data
@options.importing
@click.option("-o", "--output", "target", type=options.FILE, metavar="FILE", help="Write the plan here, to edit.")
@click.option("--force", is_flag=True, help="Write over an existing FILE.")
@options.output_format()
@options.save_repro
def command(
    *,
    model: Path,
    board: str | None,
    preset: str | None,
    plan: Path | None,
    edits: tuple[str, ...],
    data: Path | None,
    bind: tuple[str, ...],
    states: tuple[str, ...],
    pipeline: str | None,
    stream: tuple[str, ...],
    target: Path | None,
    force: bool,
    fmt: str,
) -> None:
    """Give every operator of MODEL a number format, with the reason, and measure the ranges that scales need."""
    source = options.source(model, bind, states, pipeline, stream)
    if target and target.exists() and not force:
        raise options.exists(target)
    from mcu_quant import api
    from mcu_quant.api.folder import write_file
    from mcu_quant.report.tables import Table

    request = api.PlanRequest(source, board, options.precision_request(preset, plan, edits), data)
    with output.progress() as progress:
        made = api.make_plan(request, progress)
    if target:
        write_file(target, made.toml.encode())
    lines = made.plan.operators.items()
    document = {
        "model": made.plan.model,
        "preset": made.plan.preset,
        "calibrated_on": made.plan.calibrated_on,
        "formats": made.plan.formats(),
        "operators": [{"name": n, "op": made.types[n], **asdict(line)} for n, line in lines],
        "ranges": {n: [r.low, r.high] for n, r in made.plan.ranges.items()},
        "output": str(target) if target else None,
    }
    rows = tuple((n, made.types[n], line.format, line.reason) for n, line in lines)
    table = Table(("operator", "type", "format", "reason"), rows)
    written = f"; written to {target}" if target else ""
    heading = f"{made.plan.model}: preset {made.plan.preset}, calibrated on {made.plan.calibrated_on}{written}"
    output.emit(fmt, document, [table], heading=heading, diagnostics=made.diagnostics)
