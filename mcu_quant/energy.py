"""Energy of a frame: published power of the microcontroller while it computes, times the estimated time.

Power is what somebody measured on this chip at this clock, running something else. The same chip with another supply,
regulator and flash set-up has been published with 2.3 times the power (MLPerf Tiny, STM32L4R5 at 120 MHz: 33 to 75 mW),
so one figure alone stands for a range of that factor to either side; several stand for the range that they span.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

from mcu_quant.boards import Board
from mcu_quant.cost import CostReport

#: Between the smallest and the largest published power of one chip at one clock.
SPREAD = 2.3


@dataclass(frozen=True)
class Energy:
    """Millijoules of a frame, the range in which they are expected, and the power behind them in milliwatts."""

    mj: float
    low_mj: float
    high_mj: float
    active_mw: float
    #: of computing alone, spread over the time until the next frame; None where that time is not known
    average_mw: float | None
    sources: tuple[str, ...]

    def __str__(self) -> str:
        power = f"{self.active_mw:.3g} mW while it computes"
        return f"energy {self.mj:.3g} mJ a frame ({self.low_mj:.2g} to {self.high_mj:.2g}) at {power}"


def energy(board: Board, cost: CostReport) -> Energy | None:
    """Energy of a frame; None where nobody published the power of the board at its clock."""
    points = [p for p in board.power if p.clock_hz == cost.clock_hz]
    if not points:
        return None
    typical = exp(sum(log(p.mw) for p in points) / len(points))
    low, high = min(p.mw for p in points), max(p.mw for p in points)
    if len(points) == 1:
        low, high = low / SPREAD, high * SPREAD
    fastest, slowest = cost.ms_range
    mj = typical * cost.ms / 1e3
    return Energy(
        mj=mj,
        low_mj=low * fastest / 1e3,
        high_mj=high * slowest / 1e3,
        active_mw=typical,
        average_mw=None if cost.budget_ms is None else 1e3 * mj / cost.budget_ms,
        sources=tuple(f"{p.mw:g} mW: {p.condition}; {board.source(f'power.{p.name}.mw')}" for p in points),
    )
