"""CSV: a row per operator for one board, a row per board for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcu_quant.metrics import EXACT_DB
from mcu_quant.report import Report
from mcu_quant.report.boards import comparison
from mcu_quant.report.tables import Table, as_csv

WORK = ("macs", "instructions", "cycles")
COLUMNS = ("name", "op", "format", *WORK, "weights_bytes", "snr_db", "noise_added_db", "output", "reason")


def render(reports: Sequence[Report]) -> str:
    """Columns are called as the keys of report.json. What adds no noise has an empty cell, for spreadsheets to plot."""
    if len(reports) > 1:
        return as_csv(comparison(reports))
    rows = tuple(tuple(None if o[c] == -EXACT_DB else o[c] for c in COLUMNS) for o in reports[0]["operators"])
    return as_csv(Table(COLUMNS, rows))


def render_difference(document: Mapping[str, Any]) -> str:
    """A row per figure and board."""
    columns = ("board", "figure", "unit", "old", "new", "change", "change_pct")
    rows = tuple(
        (p["new"]["board"], f["name"], f["unit"], f["old"], f["new"], f["change"], f["change_pct"])
        for p in document["pairs"]
        for f in p["figures"]
    )
    return as_csv(Table(columns, rows))
