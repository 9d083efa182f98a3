"""mcu-quant build: a firmware folder."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mcu_quant.cli import failures, options, output


@click.command(
    short_help="Build a firmware folder for a board.",
    epilog="\b\nExamples:\n  mcu-quant build model.onnx --board nucleo_h743zi2\n"
    "  mcu-quant build model.onnx --board nucleo_f446re --preset tinydenoiser --data speech/ -o firmware\n"
    "  mcu-quant build model.onnx --board nucleo_f446re --plan firmware/plan.toml --set 'dense_2=s8' -o firmware",
)
@options.model
@click.option("--board", required=True, metavar="BOARD", help="Id of a board (`mcu-quant boards`), or a board file.")
@options.precision
@options.data
@options.verify
@options.importing
@click.option(
    "-o", "--output", "target", type=options.FILE, metavar="DIR", help="The folder.  [default: build/MODEL-BOARD]"
)
@options.report_format
@options.save_repro
def command(
    *,
    model: Path,
    board: str,
    preset: str | None,
    plan: Path | None,
    edits: tuple[str, ...],
    data: Path | None,
    verify: bool,
    bind: tuple[str, ...],
    states: tuple[str, ...],
    pipeline: str | None,
    stream: tuple[str, ...],
    target: Path | None,
    fmt: str,
) -> int:
    """Build C firmware for MODEL on a board: import, calibrate, choose formats, generate, compare, report.

    Without --data, ranges are measured on made-up speech. Without --preset or --plan, models with recurrent layers get
    the preset tinydenoiser, others s8.
    """
    source = options.source(model, bind, states, pipeline, stream)
    from mcu_quant import api
    from mcu_quant.report import render

    folder = target or Path("build") / f"{model.stem}-{Path(board).stem}"
    request = api.BuildRequest(source, board, folder, options.precision_request(preset, plan, edits), data, verify)
    with output.progress() as progress:
        made = api.build(request, progress)
    click.echo(render([made.report], fmt), nl=False)
    if fmt != "json":
        failures.show(made.diagnostics)
    if fmt == "table":
        click.echo(f"\nFirmware: {folder}/README.md says how to call it")
        click.echo(f"Next:     mcu-quant test {shlex.quote(str(folder))}")
        plan_file = shlex.quote(str(folder / "plan.toml"))
        click.echo(f"          edit formats in {folder}/plan.toml, then build again with --plan {plan_file}")
    return made.exit_status
