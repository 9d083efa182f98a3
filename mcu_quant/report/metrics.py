"""The figures of a report that can be compared and limited, by the names that `--fail-on` and differences use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mcu_quant.report import Report
from mcu_quant.report.summary import duration, kib, worst_snr_db
from mcu_quant.report.tables import shown


@dataclass(frozen=True)
class Metric:
    """One figure: how it is read from a report, its unit, and whether more of it is better."""

    name: str
    unit: str
    of: Callable[[Report], float | None]
    more_is_better: bool = False

    def show(self, value: float) -> str:
        """A value in words."""
        match self.unit:
            case "B":
                return kib(round(value))
            case "ms":
                return duration(value)
            case "dB":
                return "exact" if value >= 999 else f"{value:.1f} dB"
        return shown(round(value))

    def show_change(self, change: float) -> str:
        """A difference of two values in words, always with its sign."""
        sign = "+" if change >= 0 else "-"
        return f"{sign}{abs(change):.1f} dB" if self.unit == "dB" else f"{sign}{self.show(abs(change))}"


def _bytes(name: str, table: str, key: str) -> Metric:
    return Metric(name, "B", lambda r: float(r[table][key]))


_ALL = (
    _bytes("flash", "flash", "total_bytes"),
    _bytes("weights", "flash", "weights_bytes"),
    _bytes("code", "flash", "code_bytes"),
    _bytes("library", "flash", "library_bytes"),
    _bytes("ram", "ram", "total_bytes"),
    _bytes("arena", "ram", "arena_bytes"),
    _bytes("state", "ram", "state_bytes"),
    _bytes("stack", "ram", "stack_bytes"),
    Metric("time", "ms", lambda r: float(r["latency"]["ms"])),
    Metric("cycles", "", lambda r: float(r["latency"]["cycles"])),
    Metric("conversions", "", lambda r: float(r["latency"]["convert_cycles"])),
    Metric("macs", "", lambda r: float(r["latency"]["macs"])),
    Metric("snr", "dB", worst_snr_db, more_is_better=True),
)

METRICS = MappingProxyType({m.name: m for m in _ALL})


def values(report: Report) -> Mapping[str, float | None]:
    """Every figure of a report, by name; None where the report has none."""
    return {name: metric.of(report) for name, metric in METRICS.items()}
