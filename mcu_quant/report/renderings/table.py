"""For people at a terminal: one board in full, several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcu_quant.report import Report
from mcu_quant.report.boards import memory_map, next_steps, overview
from mcu_quant.report.changes import changed_figures, changed_operators
from mcu_quant.report.summary import decibels, figures, noise
from mcu_quant.report.tables import Table, as_text


def render(reports: Sequence[Report]) -> str:
    """One report: figures, what limits, memory, operators, conversions. Several: a row per board, then what limits."""
    if len(reports) > 1:
        return as_text([overview(reports), next_steps(reports), memory_map(reports)])
    report = reports[0]
    width = max(len(label) for label, _ in figures(report))
    lines = [f"{report['model']} on {report['board']}", ""]
    lines += [f"  {label:{width}}  {value}" for label, value in figures(report)]
    return "\n".join(lines) + "\n\n" + as_text(details(report))


def details(report: Report) -> list[Table]:
    """The tables of one report that have rows; the board is said above them."""
    found = (next_steps([report]), memory_map([report]))
    one = [Table(t.columns[1:], tuple(row[1:] for row in t.rows), t.title) for t in found]
    return [t for t in (*one, operators(report), conversions(report)) if t.rows]


def render_difference(document: Mapping[str, Any]) -> str:
    """Per pair: figures that changed, then operators that did."""
    return "\n".join(
        as_text([t for t in (changed_figures(p), changed_operators(p)) if t.rows]) for p in document["pairs"]
    )


def operators(report: Report) -> Table:
    """One row per operator that runs."""
    total = max(1, report["latency"]["cycles"])
    rows = tuple(
        (
            o["name"],
            o["op"],
            o["format"],
            o["macs"],
            o["instructions"],
            o["cycles"],
            f"{100 * o['cycles'] / total:.1f} %",
            o["weights_bytes"],
            "" if o["snr_db"] is None else decibels(o["snr_db"]),
            noise(o["noise_added_db"]),
            o["reason"],
        )
        for o in report["operators"]
    )
    work = ("MACs", "instructions", "cycles", "time")
    names = ("operator", "type", "format", *work, "weights B", "SNR", "adds", "why this format")
    return Table(names, rows, "Operators")


def conversions(report: Report) -> Table:
    """One row per call that only brings data into another format or place."""
    rows = tuple(
        (c["operator"], c["edge"], c["from"], c["to"], c["elements"], c["cycles"]) for c in report["conversions"]
    )
    return Table(("for operator", "edge", "from", "to", "elements", "cycles"), rows, "Conversions and copies")
