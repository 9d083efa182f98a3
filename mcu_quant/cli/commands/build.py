"""mcu-quant build: a firmware folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from mcu_quant.cli import failures, goals, options, output


@click.command(
    short_help="Build a firmware folder for a board.",
    epilog="\b\nExamples:\n  mcu-quant build model.onnx --board nucleo_h743zi2\n"
    "  mcu-quant build model.onnx --board nucleo_f446re --preset tinydenoiser --data speech/ -o firmware\n"
    "  mcu-quant build model.onnx --board nucleo_f446re --plan firmware/plan.toml --set 'dense_2=s8' -o firmware\n"
    "  mcu-quant build dtln_stage2.onnx --audio --board nucleo_h743zi2 --data noisy/ -o denoiser",
)
@options.model
@click.option("--board", required=True, metavar="BOARD", help="Id of a board (`mcu-quant boards`), or a board file.")
@options.precision
@goals.goal
@options.data
@options.verify
@options.place
@options.importing
@click.option(
    "-o", "--output", "target", type=options.FILE, metavar="DIR", help="The folder.  [default: build/MODEL-BOARD]"
)
@click.option(
    "--ecosystem",
    default="all",
    show_default=True,
    metavar="NAMES",
    help="Whose build systems the folder fits into besides CMake: zephyr,arduino,..., all or none.",
)
@click.option(
    "--optimize",
    "optimise",
    type=click.Choice(["speed", "size"]),
    default="speed",
    show_default=True,
    help="For size: kernels in portable C, compiled with -Os. The report says what each kernel takes.",
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
    places: tuple[str, ...],
    bind: tuple[str, ...],
    states: tuple[str, ...],
    pipeline: str | None,
    stream: tuple[str, ...],
    audio: bool,
    target: Path | None,
    ecosystem: str,
    optimise: str,
    fmt: str,
    **asked: Any,
) -> int:
    """Build C firmware for MODEL on a board: import, calibrate, choose formats, generate, compare, report.

    With --data, formats are chosen by measuring (`mcu-quant plan --help`) unless --preset or --plan say them. Without,
    ranges are measured on made-up speech, and models with recurrent layers get the preset tinydenoiser, others s8.
    """
    source = options.source(model, bind, states, pipeline, stream, audio)
    from mcu_quant import api
    from mcu_quant.report import render

    folder = target or Path("build") / f"{model.stem}-{Path(board).stem}"
    wanted = goals.planning(**asked)
    goals.conflicts(preset, plan, wanted)
    precision = options.precision_request(preset, plan, edits)
    request = api.BuildRequest(source, board, folder, precision, data, verify, wanted, ecosystem, places, optimise)
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
