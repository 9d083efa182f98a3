"""Markdown, for pull requests and wikis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcu_quant.report import Report
from mcu_quant.report.boards import memory_map, next_steps, overview
from mcu_quant.report.changes import changed_figures, changed_operators
from mcu_quant.report.renderings.table import details
from mcu_quant.report.summary import figures
from mcu_quant.report.tables import Table, as_markdown


def render(reports: Sequence[Report]) -> str:
    """As the table for the terminal."""
    if len(reports) > 1:
        return "\n".join(as_markdown(t) for t in (overview(reports), next_steps(reports), memory_map(reports)))
    report = reports[0]
    summary = Table(("", report["board"]), tuple(figures(report)))
    parts = [summary, *details(report)]
    return f"## {report['model']} on {report['board']}\n\n" + "\n".join(as_markdown(t) for t in parts)


def render_difference(document: Mapping[str, Any]) -> str:
    """Findings first, then what changed; long lists of operators are folded away."""
    found = [f"* **{d['severity']}**: {d['where']}: {d['message']}" for d in document["diagnostics"]]
    parts = ["\n".join(found) + "\n"] if found else []
    for pair in document["pairs"]:
        parts.append(as_markdown(changed_figures(pair)))
        operators = changed_operators(pair)
        if operators.rows:
            title = f"{len(operators.rows)} operators changed"
            rows = as_markdown(Table(operators.columns, operators.rows))
            parts.append(f"<details><summary>{title}</summary>\n\n{rows}\n</details>\n")
    return "\n".join(parts)
