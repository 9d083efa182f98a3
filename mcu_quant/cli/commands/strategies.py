"""mcu-quant strategies: the methods the planner can use."""

from __future__ import annotations

from dataclasses import asdict

import click

from mcu_quant.cli import options, output


@click.command(
    short_help="List methods of the planner: sensitivity, solvers, steps.",
    epilog="\b\nExamples:\n  mcu-quant strategies\n  mcu-quant strategies --format json",
)
@options.output_format()
def command(fmt: str) -> None:
    """List the methods of the planner, with the paper each is from, and what is done differently here."""
    from mcu_quant.precision import strategies
    from mcu_quant.report.tables import Table

    found = [(kind, s.about) for kind in strategies.KINDS for s in strategies.strategies(kind).values()]
    listed = [{"kind": kind, **asdict(about)} for kind, about in found]
    rows = tuple(
        (kind, a.name + (" (default)" if a.default else ""), a.summary, ", ".join(a.needs), _source(a.paper, a.adapted))
        for kind, a in found
    )
    output.emit(fmt, {"strategies": listed}, [Table(("kind", "name", "what it does", "needs", "from"), rows)])


def _source(paper: str, adapted: str) -> str:
    return "; here: ".join(part for part in (paper, adapted) if part)
