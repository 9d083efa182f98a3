"""mcu-quant plan: choose a format for every operator."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mcu_quant.cli import goals, options, output


@click.command(
    short_help="Give every operator a format, with the reason.",
    epilog="\b\nExamples:\n  mcu-quant plan model.onnx --board nucleo_f446re --data speech/ -o plan.toml\n"
    "  mcu-quant plan model.onnx --board nucleo_f446re --data speech/ --max-flash 256K --minimize loss\n"
    "  mcu-quant plan model.onnx --board nucleo_h743zi2 --data speech/ --min-snr 35 --minimize flash\n"
    "  mcu-quant plan model.onnx --preset s8 --set 'LSTM=s16' --set '/decoder/*=f16' -o plan.toml",
)
@options.model
@click.option("--board", metavar="BOARD", help="Offer only formats that this board has.")
@options.precision
@goals.goal
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
    audio: bool,
    target: Path | None,
    force: bool,
    fmt: str,
    **asked: Any,
) -> None:
    """Give every operator of MODEL a number format, with the reason, and measure the ranges that scales need.

    With --data, or with a goal, formats are chosen by what they lose on the clips and cost on the board: every operator
    is measured in every way, the best combination is found, and the whole plan is measured and linked again. With
    --preset or without clips, a fixed rule gives them.
    """
    source = options.source(model, bind, states, pipeline, stream, audio)
    if target and target.exists() and not force:
        raise options.exists(target)
    from mcu_quant import api
    from mcu_quant.api.folder import write_file
    from mcu_quant.report.tables import Table

    wanted = goals.planning(**asked)
    goals.conflicts(preset, plan, wanted)
    request = api.PlanRequest(source, board, options.precision_request(preset, plan, edits), data, wanted)
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
        "planned": made.plan.planned,
        "ranges": {n: [r.low, r.high] for n, r in made.plan.ranges.items()},
        "output": str(target) if target else None,
    }
    rows = tuple((n, made.types[n], line.format, line.reason) for n, line in lines)
    table = Table(("operator", "type", "format", "reason"), rows)
    written = f"; written to {target}" if target else ""
    heading = f"{made.plan.model}: preset {made.plan.preset}, calibrated on {made.plan.calibrated_on}{written}"
    heading += f"\n{made.plan.planned}" if made.plan.planned else ""
    output.emit(fmt, document, [table], heading=heading, diagnostics=made.diagnostics)
