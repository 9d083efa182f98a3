"""Several boards or builds side by side: in figures for programs, in words for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcu_quant.report import Report
from mcu_quant.report.advice import advice
from mcu_quant.report.names import titles
from mcu_quant.report.summary import decibels, kib, lasting, three, worst_snr_db
from mcu_quant.report.tables import Table

COLUMNS = (
    "board",
    "model",
    "fits",
    "flash_bytes",
    "flash_available_bytes",
    "ram_bytes",
    "ram_available_bytes",
    "ms",
    "error_low_pct",
    "error_high_pct",
    "timing_status",
    "budget_ms",
    "real_time",
    "real_time_factor",
    "mj",
    "low_mj",
    "high_mj",
    "battery_hours",
    "worst_snr_db",
)


def comparison(reports: Sequence[Report]) -> Table:
    """One row per report."""
    return Table(COLUMNS, tuple(_row(r) for r in reports), "Boards")


def _row(report: Report) -> tuple[str | int | float | bool | None, ...]:
    latency, energy = report["latency"], report["energy"] or {}
    return (
        report["board"],
        report["model"],
        report["fits"],
        report["flash"]["total_bytes"],
        report["flash"]["available_bytes"],
        report["ram"]["total_bytes"],
        report["ram"]["available_bytes"],
        latency["ms"],
        *latency["error_pct"],
        latency["status"],
        latency["budget_ms"],
        report["real_time"],
        latency["real_time_factor"],
        *(energy.get(key) for key in ("mj", "low_mj", "high_mj")),
        energy.get("battery", {}).get("hours"),
        worst_snr_db(report),
    )


def overview(reports: Sequence[Report]) -> Table:
    """One row per report, for people: what fits, how much of what, how fast, how good, and what limits."""
    asked = any("battery" in (r["energy"] or {}) for r in reports)
    power = ("mJ", *(["battery"] if asked else []))
    columns = ("board", "fits", "flash", "RAM", "ms", "range", "of frame", "timing", *power, "worst SNR", "what limits")
    rows = tuple(_words(title, r, asked) for title, r in zip(titles(reports), reports, strict=True))
    models = dict.fromkeys(r["model"] for r in reports)
    return Table(columns, rows, ", ".join(models))


def _words(title: str, report: Report, battery: bool) -> tuple[str | bool, ...]:
    latency, energy, snr = report["latency"], report["energy"], worst_snr_db(report)
    low, high = (latency["ms"] * (1 + e / 100) for e in latency["error_pct"])
    factor = latency["real_time_factor"]
    return (
        title,
        report["fits"],
        *(_share(report[name]) for name in ("flash", "ram")),
        three(latency["ms"]),
        f"{three(low)} to {three(high)}",
        "" if factor is None else f"{100 * factor:.0f} %",
        latency["status"],
        "" if energy is None else f"{energy['mj']:.2g} ({energy['low_mj']:.2g} to {energy['high_mj']:.2g})",
        *([_lasting(energy or {})] if battery else []),
        "" if snr is None else decibels(snr),
        advice(report)[0].resource,
    )


def _lasting(energy: Any) -> str:
    found = energy.get("battery")
    return "" if found is None else lasting(found["hours"])


def _share(found: Any) -> str:
    return f"{kib(found['total_bytes'])} ({100 * found['total_bytes'] / found['available_bytes']:.0f} %)"


def memory_map(reports: Sequence[Report]) -> Table:
    """Per board and bank in use: what lies there, and what is left."""
    rows = []
    for title, report in zip(titles(reports), reports, strict=True):
        for region in report["regions"]:
            if region["holds"]:
                rows.append((title, region["name"], region["kind"], kib(region["bytes"]), *_held(region)))
    return Table(("board", "bank", "kind", "size", "holds", "left"), tuple(rows), "Memory by bank")


def _held(region: Any) -> tuple[str, str]:
    words = {"copied": "copied weights"}
    holds = ", ".join(f"{words.get(name, name)} {kib(size)}" for name, size in region["holds"].items())
    left = region["bytes"] - region["reserved_bytes"] - sum(region["holds"].values())
    reserved = f", others {kib(region['reserved_bytes'])}" if region["reserved_bytes"] else ""
    return holds + reserved, kib(left) if left >= 0 else f"{kib(-left)} TOO MUCH"


def next_steps(reports: Sequence[Report]) -> Table:
    """Per board: what limits it, and what to try next."""
    rows = tuple(
        (title, a.limit, a.remedy)
        for title, report in zip(titles(reports), reports, strict=True)
        for a in advice(report)
    )
    return Table(("board", "what limits", "what to try next"), rows, "What limits, what to try next")
