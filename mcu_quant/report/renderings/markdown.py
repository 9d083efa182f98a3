"""Markdown, for pull requests and wikis."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_quant.report import Report
from mcu_quant.report.renderings.table import boards, conversions, operators
from mcu_quant.report.summary import figures
from mcu_quant.report.tables import Table, as_markdown


def render(reports: Sequence[Report]) -> str:
    """As the table for the terminal."""
    if len(reports) > 1:
        return as_markdown(boards(reports))
    report = reports[0]
    summary = Table(("", report["board"]), tuple(figures(report)))
    parts = [summary, *(t for t in (operators(report), conversions(report)) if t.rows)]
    return f"## {report['model']} on {report['board']}\n\n" + "\n".join(as_markdown(t) for t in parts)
