"""mcu-quant report: fit and time of a folder or a model, on one or many boards; and what changed since another one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcu_quant.cli import failures, options, output
from mcu_quant.diagnostics import Diagnostic, raise_errors

if TYPE_CHECKING:
    from mcu_quant import api
    from mcu_quant.report.battery import Battery
    from mcu_quant.report.limits import Limit


@click.command(
    short_help="Fit, time and operators, on one or many boards; what changed.",
    epilog="\b\nExamples:\n  mcu-quant report build/model-nucleo_h743zi2 --format html -o report.html\n"
    "  mcu-quant report build/model-nucleo_h743zi2 --board nucleo_f446re --board nucleo_h743zi2\n"
    "  mcu-quant report model.onnx --all-boards --data speech/ --format csv\n"
    "  mcu-quant report build/model-s8 build/model-f16 --format html -o compared.html\n"
    "  mcu-quant report --diff main/report.json build/model-nucleo_h743zi2 --fail-on 'flash>+2%'",
)
@click.argument("subjects", type=options.FILE, metavar="DIR|MODEL|REPORT...", nargs=-1, required=True)
@click.option("--board", "boards", multiple=True, metavar="BOARD", help="A board; may be given more than once.")
@click.option("--all-boards", is_flag=True, help="Every board that comes with mcu-quant.")
@click.option("--model", type=options.FILE, metavar="FILE", help="The model of DIR, if it is no longer where it was.")
@click.option("--diff", "old", type=options.FILE, metavar="OLD", help="Show what changed since OLD, which is as DIR.")
@click.option(
    "--fail-on",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help="End with status 1 if a figure or, with a sign, its change since OLD goes beyond: 'flash>+2%', 'ram>64KiB'.",
)
@click.option(
    "--front", type=options.FILE, metavar="FILE", help="What `explore --format json` printed, for --format html."
)
@click.option("--battery", "cell", metavar="CELL", help="How long a cell lasts: 500mAh@3.7V, cr2032, aa, aaa, 18650.")
@click.option(
    "--duty", type=click.FloatRange(0, 100), default=100.0, show_default=True, help="Percent of the time it listens."
)
@click.option(
    "--sleep", type=click.FloatRange(0), default=0.0, metavar="UA", help="Microamperes while it computes nothing."
)
@options.place
@options.precision
@options.data
@options.importing
@click.option("-o", "--output", "target", type=options.FILE, metavar="FILE", help="Write to FILE instead of stdout.")
@options.report_format
@options.save_repro
def command(
    *,
    subjects: tuple[Path, ...],
    boards: tuple[str, ...],
    all_boards: bool,
    model: Path | None,
    old: Path | None,
    limits: tuple[str, ...],
    front: Path | None,
    cell: str | None,
    duty: float,
    sleep: float,
    places: tuple[str, ...],
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
    fmt: str,
) -> int:
    """Say whether a firmware folder or a MODEL fits boards, how long a frame takes, and which operators cost most.

    A folder's own report needs nothing else; for other boards its model is planned as the folder is. REPORT is a
    report.json, also one of several boards. Several of them are compared side by side.
    """
    bounds = _limits(limits, old)
    from mcu_quant.report.battery import Battery

    battery = None if cell is None else Battery.parse(cell, duty, sleep)
    from mcu_quant import api
    from mcu_quant.boards import ids

    named = (*boards, *(ids() if all_boards else ()))
    precision = options.precision_request(preset, plan, edits, adapt=all_boards)

    def request(subject: Path) -> api.ReportRequest:
        source = options.source(model or subject, bind, states, pipeline, stream, audio)
        given = source if model or not subject.is_dir() else None
        return api.ReportRequest(subject, named, precision, data, given, places, front)

    before = None if old is None else request(old)
    return _show([request(s) for s in subjects], before, bounds, fmt, target, battery)


def _limits(texts: tuple[str, ...], old: Path | None) -> list[Limit]:
    from mcu_quant.report.limits import parse

    found, problems = parse(texts)
    help_ = "say since when: --diff OLD"
    problems += [
        Diagnostic("MQ900", f"--fail-on {limit.text}", "limits a change", help=help_)
        for limit in found
        if limit.relative and old is None
    ]
    raise_errors(problems)
    return found


def _show(
    requests: list[api.ReportRequest],
    before: api.ReportRequest | None,
    limits: list[Limit],
    fmt: str,
    target: Path | None,
    battery: Battery | None = None,
) -> int:
    from mcu_quant import api
    from mcu_quant.report import formats, render, render_difference
    from mcu_quant.report.battery import with_battery
    from mcu_quant.report.difference import difference
    from mcu_quant.report.limits import check

    with output.progress() as progress:
        old = None if before is None else api.report(before, progress)
        reports = [r for request in requests for r in api.report(request, progress)]
    if battery is not None:
        reports = [with_battery(r, battery) for r in reports]
    if old is None:
        found = failures.stored({str(d): d for r in reports for d in r["diagnostics"]}.values())
        found += [d for r in reports for d in check(limits, r)]
        text: str | None = render(reports, fmt)
        fits = all(r["fits"] for r in reports)
    else:
        document = difference(old, reports, limits)
        found = failures.stored(document["diagnostics"])
        text = render_difference(document, fmt)
        fits = True
    if text is None:
        able = ", ".join(f for f in formats() if render_difference(document, f) is not None)
        raise options.usage("--format", f"{fmt} shows no changes", f"with --diff there are {able}")
    output.write(text, target)
    in_text = fmt == "json" and target is None
    failures.show(d for d in found if not in_text or (old is None and d.code == "MQ505"))
    return max([0 if fits else 1, *(d.exit_status for d in found if d.code in ("MQ503", "MQ505"))])
