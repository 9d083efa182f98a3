"""mcu-quant report: fit and time of a folder or a model, on one or many boards."""

from __future__ import annotations

from pathlib import Path

import click

from mcu_quant.cli import failures, options, output


@click.command(
    short_help="Fit, time and operators, on one or many boards.",
    epilog="\b\nExamples:\n  mcu-quant report build/model-nucleo_h743zi2\n"
    "  mcu-quant report build/model-nucleo_h743zi2 --board nucleo_f446re --board nucleo_h743zi2\n"
    "  mcu-quant report model.onnx --all-boards --data speech/ --format csv",
)
@click.argument("subject", type=options.FILE, metavar="DIR|MODEL")
@click.option("--board", "boards", multiple=True, metavar="BOARD", help="A board; may be given more than once.")
@click.option("--all-boards", is_flag=True, help="Every board that comes with mcu-quant.")
@click.option("--model", type=options.FILE, metavar="FILE", help="The model of DIR, if it is no longer where it was.")
@options.precision
@options.data
@options.importing
@options.report_format
@options.save_repro
def command(
    *,
    subject: Path,
    boards: tuple[str, ...],
    all_boards: bool,
    model: Path | None,
    preset: str | None,
    plan: Path | None,
    edits: tuple[str, ...],
    data: Path | None,
    bind: tuple[str, ...],
    states: tuple[str, ...],
    pipeline: str | None,
    stream: tuple[str, ...],
    fmt: str,
) -> int:
    """Say whether a firmware folder or a MODEL fits boards, how long a frame takes, and which operators cost most.

    A folder's own report needs nothing else; for other boards its model is planned as the folder is.
    """
    source = options.source(model or subject, bind, states, pipeline, stream)
    from mcu_quant import api
    from mcu_quant.boards import ids
    from mcu_quant.diagnostics import Diagnostic
    from mcu_quant.report import render

    request = api.ReportRequest(
        subject,
        (*boards, *(ids() if all_boards else ())),
        options.precision_request(preset, plan, edits),
        data,
        source if model or not subject.is_dir() else None,
    )
    with output.progress() as progress:
        reports = api.report(request, progress)
    click.echo(render(reports, fmt), nl=False)
    found = [Diagnostic(**d) for d in {str(d): d for r in reports for d in r["diagnostics"]}.values()]
    if fmt != "json":
        failures.show(found)
    return 0 if all(r["fits"] for r in reports) else 1
