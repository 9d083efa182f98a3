"""For people at a terminal: one board in full, several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcu_quant.report import Report
from mcu_quant.report.changes import changed_figures, changed_operators
from mcu_quant.report.summary import decibels, figures, noise, of_available, time, worst_snr_db
from mcu_quant.report.tables import Table, as_text


def render(reports: Sequence[Report]) -> str:
    """One report: figures, then operators, then conversions. Several: a row per board."""
    if len(reports) > 1:
        return as_text([boards(reports)])
    report = reports[0]
    width = max(len(label) for label, _ in figures(report))
    lines = [f"{report['model']} on {report['board']}", ""]
    lines += [f"  {label:{width}}  {value}" for label, value in figures(report)]
    return "\n".join(lines) + "\n\n" + as_text([t for t in (operators(report), conversions(report)) if t.rows])


def render_difference(document: Mapping[str, Any]) -> str:
    """Per pair: figures that changed, then operators that did."""
    return "\n".join(
        as_text([t for t in (changed_figures(p), changed_operators(p)) if t.rows]) for p in document["pairs"]
    )


def boards(reports: Sequence[Report]) -> Table:
    """One row per report."""
    rows = tuple(
        (
            r["board"],
            r["fits"],
            of_available(r["flash"]),
            of_available(r["ram"]),
            time(r["latency"]),
            "" if (worst := worst_snr_db(r)) is None else decibels(worst),
            ", ".join(f"{n} {fmt}" for fmt, n in r["plan"]["formats"].items() if n),
        )
        for r in reports
    )
    return Table(
        ("board", "fits", "flash", "RAM", "time per frame", "worst output", "formats"), rows, reports[0]["model"]
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
            o["cycles"],
            f"{100 * o['cycles'] / total:.1f} %",
            o["weights_bytes"],
            "" if o["snr_db"] is None else decibels(o["snr_db"]),
            noise(o["noise_added_db"]),
            o["reason"],
        )
        for o in report["operators"]
    )
    names = ("operator", "type", "format", "MACs", "cycles", "time", "weights B", "SNR", "adds", "why this format")
    return Table(names, rows, "Operators")


def conversions(report: Report) -> Table:
    """One row per call that only brings data into another format or place."""
    rows = tuple(
        (c["operator"], c["edge"], c["from"], c["to"], c["elements"], c["cycles"]) for c in report["conversions"]
    )
    return Table(("for operator", "edge", "from", "to", "elements", "cycles"), rows, "Conversions and copies")
