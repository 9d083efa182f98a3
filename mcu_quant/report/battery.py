"""How long a cell lasts that feeds nothing but the microcontroller: published power at work, what it draws asleep."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.report import Report

#: Cells by their usual names: milliampere hours and volts, as their makers' data sheets have them.
CELLS = {"cr2032": (220.0, 3.0), "aaa": (1200.0, 1.5), "aa": (2500.0, 1.5), "18650": (3000.0, 3.6)}


@dataclass(frozen=True)
class Battery:
    """A cell, the share of the time in which frames are computed, and the current whenever nothing is computed."""

    mah: float
    volts: float
    duty: float = 1.0
    sleep_ua: float = 0.0

    @staticmethod
    def parse(text: str, duty_pct: float, sleep_ua: float) -> Battery:
        """A cell by name ("cr2032") or as "500mAh@3.7V".

        Raises:
            DiagnosticError: MQ900 if it is neither.
        """
        if text.lower() in CELLS:
            return Battery(*CELLS[text.lower()], duty_pct / 100.0, sleep_ua)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)mAh@(\d+(?:\.\d+)?)V", text, flags=re.IGNORECASE)
        if not found:
            help_ = f"for example 500mAh@3.7V, or one of {', '.join(CELLS)}"
            raise DiagnosticError(Diagnostic("MQ900", f"--battery {text}", "is no cell", help=help_))
        return Battery(float(found[1]), float(found[2]), duty_pct / 100.0, sleep_ua)

    def hours(self, work_mw: float, busy: float) -> float:
        """With so much power while it computes, which it does for the share `busy` of each frame."""
        share = self.duty * min(1.0, busy)
        return self.mah * self.volts / (share * work_mw + (1.0 - share) * self.sleep_ua * self.volts / 1e3 or 1e-12)


def with_battery(report: Report, battery: Battery) -> dict[str, Any]:
    """The report with the life of the cell; as it was where no power is published, or the frame rate is not known."""
    energy, latency = report["energy"], report["latency"]
    budget = latency["budget_ms"]
    if not energy or not budget:
        return dict(report)
    busy = latency["ms"] / budget

    def lasting(mj: float) -> float:
        """Power at work such that a frame takes this energy."""
        return battery.hours(energy["active_mw"] * mj / energy["mj"], busy)

    made: dict[str, Any] = {
        "mah": battery.mah,
        "volts": battery.volts,
        "duty_pct": 100.0 * battery.duty,
        "sleep_ua": battery.sleep_ua,
        "hours": lasting(energy["mj"]),
        "low_hours": lasting(energy["high_mj"]),
        "high_hours": lasting(energy["low_mj"]),
    }
    return {**report, "energy": {**energy, "battery": made}}
