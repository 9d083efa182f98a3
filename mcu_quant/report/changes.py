"""What changed between two reports, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcu_quant.report.limits import change_in_words
from mcu_quant.report.metrics import METRICS
from mcu_quant.report.summary import decibels, kib
from mcu_quant.report.tables import Table, shown

Pair = Mapping[str, Any]


def changed_figures(pair: Pair) -> Table:
    """The figures of a pair; those that stayed the same say so."""
    old, new = pair["old"], pair["new"]
    rows = []
    for f in pair["figures"]:
        metric = METRICS[f["name"]]
        before, after = ("" if f[k] is None else metric.show(f[k]) for k in ("old", "new"))
        same = "" if f["change"] is None else "same" if not f["change"] else ""
        rows.append((f["name"], before, after, same or _change(f)))
    rows.append(("fits", shown(old["fits"]), shown(new["fits"]), "same" if old["fits"] == new["fits"] else "changed"))
    title = _both(*(f"{side['model']} on {side['board']}" for side in (old, new)))
    return Table(("figure", "old", "new", "change"), tuple(rows), title)


def _change(figure: Mapping[str, Any]) -> str:
    if figure["change"] is None:
        return ""
    return change_in_words(METRICS[figure["name"]], figure["old"], figure["new"])


def changed_operators(pair: Pair) -> Table:
    """The operators of a pair that differ; what stayed the same is said once."""
    rows = []
    for o in pair["operators"]:
        old, new = o["old"] or {}, o["new"] or {}
        rows.append(
            (
                o["name"],
                o["op"],
                o["status"],
                _both(old.get("format", ""), new.get("format", "")),
                _both(*(shown(s["cycles"]) if s else "" for s in (old, new))),
                _both(*(kib(s["weights_bytes"]) if s else "" for s in (old, new))),
                _both(*("" if s.get("snr_db") is None else decibels(s["snr_db"]) for s in (old, new))),
            )
        )
    columns = ("operator", "type", "", "format", "cycles", "weights", "SNR")
    return Table(columns, tuple(rows), "Operators that changed")


def _both(old: str, new: str) -> str:
    if old == new:
        return old
    return f"{old} -> {new}" if old and new else old or new
