"""Several boards side by side, in figures."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_quant.report import Report
from mcu_quant.report.summary import worst_snr_db
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
    "budget_ms",
    "real_time",
    "worst_snr_db",
)


def comparison(reports: Sequence[Report]) -> Table:
    """One row per report."""
    return Table(COLUMNS, tuple(_row(r) for r in reports), "Boards")


def _row(report: Report) -> tuple[str | int | float | bool | None, ...]:
    latency = report["latency"]
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
        latency["budget_ms"],
        report["real_time"],
        worst_snr_db(report),
    )
