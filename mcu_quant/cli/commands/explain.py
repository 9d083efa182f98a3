"""mcu-quant explain: what a diagnostic code means."""

from __future__ import annotations

import textwrap

import click

from mcu_quant.cli import options, output


@click.command(
    short_help="Say what a diagnostic code means.",
    epilog="\b\nExamples:\n  mcu-quant explain MQ402\n  mcu-quant explain",
)
@click.argument("code", required=False)
@options.output_format()
def command(code: str | None, fmt: str) -> None:
    """Say what a diagnostic CODE means and what to do, or list all codes."""
    from mcu_quant.diagnostics import CATALOGUE, did_you_mean
    from mcu_quant.report.tables import Table

    wanted = code.upper() if code else None
    if wanted is not None and wanted not in CATALOGUE:
        raise options.usage(
            str(code), "is not a code", did_you_mean(wanted, CATALOGUE) or "`mcu-quant explain` lists them"
        )
    codes = [wanted] if wanted else list(CATALOGUE)
    listed = [
        {
            "code": c,
            "title": CATALOGUE[c].title,
            "explanation": CATALOGUE[c].explanation,
            "exit_status": CATALOGUE[c].exit_status,
        }
        for c in codes
    ]
    if wanted and fmt == "table":
        entry = CATALOGUE[wanted]
        click.echo(
            f"{wanted}: {entry.title} (exit status {entry.exit_status})\n\n{textwrap.fill(entry.explanation, 100)}"
        )
        return
    rows = tuple((c, CATALOGUE[c].title, CATALOGUE[c].exit_status) for c in codes)
    document = listed[0] if wanted else {"codes": listed}
    output.emit(fmt, document, [Table(("code", "title", "exit status"), rows)])
