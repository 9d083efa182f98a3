"""What changed between two builds or two sets of reports, as a document; `schemas/report-diff.json` describes it.

Reports are paired by board; where there is one on each side they are a pair whatever their boards are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcu_quant.diagnostics import Diagnostic, Severity
from mcu_quant.report import Report
from mcu_quant.report.limits import Limit, check
from mcu_quant.report.metrics import METRICS
from mcu_quant.version import VERSION

Document = dict[str, Any]
Pair = tuple[Report, Report]

#: What is compared of an operator.
KEYS = ("format", "cycles", "weights_bytes", "snr_db", "noise_added_db")


def difference(old: Sequence[Report], new: Sequence[Report], limits: Sequence[Limit] = ()) -> Document:
    """The document. Its diagnostics: what no longer fits (MQ503), exceeded limits (MQ505), boards without a pair."""
    pairs, unpaired = _pairs(old, new)
    found = [d for pair in pairs for d in _findings(*pair, limits)]
    return {
        "schema": 1,
        "tool": {"name": "mcu-quant", "version": VERSION},
        "pairs": [_pair(*pair) for pair in pairs],
        "diagnostics": [d.as_dict() for d in (*unpaired, *found)],
    }


def _pairs(old: Sequence[Report], new: Sequence[Report]) -> tuple[list[Pair], list[Diagnostic]]:
    if len(old) == len(new) == 1:
        return [(old[0], new[0])], []
    before = {r["board"]: r for r in old}
    after = {r["board"]: r for r in new}
    alone = [(b, "old") for b in before if b not in after] + [(b, "new") for b in after if b not in before]
    notes = [
        Diagnostic("MQ900", board, f"is only among the {side} reports", severity=Severity.WARNING)
        for board, side in alone
    ]
    return [(before[b], r) for b, r in after.items() if b in before], notes


def _findings(old: Report, new: Report, limits: Sequence[Limit]) -> Iterator[Diagnostic]:
    if old["fits"] and not new["fits"]:
        for name in ("flash", "ram"):
            needed, there = new[name]["total_bytes"], new[name]["available_bytes"]
            if needed > there:
                message = f"{new['model']} no longer fits: {needed} B of {there} B, was {old[name]['total_bytes']} B"
                yield Diagnostic("MQ503", f"{new['board']}: {new[name]['region']}", message)
    yield from check(limits, new, old)


def _pair(old: Report, new: Report) -> Document:
    return {
        "old": _side(old),
        "new": _side(new),
        "figures": [_figure(name, old, new) for name in METRICS],
        "operators": list(_operators(old, new)),
    }


def _side(report: Report) -> Document:
    return {key: report[key] for key in ("model", "board", "fits")} | {
        "file": report["source"]["file"],
        "sha256": report["source"]["sha256"],
        "preset": report["plan"]["preset"],
    }


def _figure(name: str, old: Report, new: Report) -> Document:
    metric = METRICS[name]
    before, after = metric.of(old), metric.of(new)
    change = None if before is None or after is None else after - before
    return {
        "name": name,
        "unit": metric.unit,
        "old": before,
        "new": after,
        "change": change,
        "change_pct": 100 * change / abs(before) if change is not None and before else None,
    }


def _operators(old: Report, new: Report) -> Iterator[Document]:
    """Operators that differ, in the order of the new report, then those that are gone."""
    before, after = _by_name(old), _by_name(new)
    for name in (*after, *(n for n in before if n not in after)):
        a, b = before.get(name), after.get(name)
        if a is None or b is None or any(a[k] != b[k] for k in KEYS):
            status = "added" if a is None else "removed" if b is None else "changed"
            shown = b or a or {}
            yield {"name": name, "op": shown["op"], "status": status, "old": _kept(a), "new": _kept(b)}


def _by_name(report: Report) -> Mapping[str, Mapping[str, Any]]:
    return {o["name"]: o for o in report["operators"]}


def _kept(operator: Mapping[str, Any] | None) -> Document | None:
    return None if operator is None else {key: operator[key] for key in KEYS}
