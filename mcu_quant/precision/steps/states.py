"""Cells of LSTM layers: the range by what the outputs lose, and not by the largest value.

Cells that integrate grow without bound while h = o tanh(c) no longer changes; the wider the range the coarser the small
cells, which decide. Each power of two up to 16 is measured with the layer in integers, the state carried.
"""

from __future__ import annotations

from dataclasses import replace

from mcu_quant.ops.lstm import cell_bits
from mcu_quant.precision.parallel import losses
from mcu_quant.precision.plan import PrecisionPlan, Range
from mcu_quant.precision.steps import Given, Step, narrow
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial

#: Another range than the one that covers what was seen is taken where so much of the loss goes away.
WORTH = 0.8

#: Ranges are 2^0 to 2^4.
POWERS = range(5)


def apply(trial: Trial, given: Given) -> PrecisionPlan:
    """The start with the ranges of those cells that lose less in another than their own, each measured alone."""
    cells = {op.name: f"{op.name}:cell" for op in trial.graph.operators if op.op == "LSTM"}
    tried = {op: way for op in cells if (way := narrow(given.ways.get(op, ())))}
    best = {op: (float("inf"), 0) for op in tried}
    for power in POWERS:
        clipped = {cells[op]: {"s16": Range(-(2.0**power), 2.0**power)} for op in tried}
        every = replace(trial, start=replace(trial.start, clipped={**trial.start.clipped, **clipped}))
        plans = [{op: way.line} for op, way in tried.items()]
        found = losses(every, plans, given.jobs, given.progress, f"cells within {2**power}")
        for op, loss in zip(tried, found, strict=True):
            own = cell_bits(trial.start.ranges[cells[op]].magnitude)
            best[op] = min(best[op], (loss * (WORTH if power == own else 1.0), power))
    chosen = {
        cells[op]: {"s16": Range(-(2.0**power), 2.0**power)}
        for op, (_, power) in best.items()
        if power != cell_bits(trial.start.ranges[cells[op]].magnitude)
    }
    return replace(trial.start, clipped={**trial.start.clipped, **chosen})


STRATEGY = Step(
    About(
        "states",
        "ranges of LSTM cells by what the outputs were measured to lose",
        needs=("clips",),
        default=True,
    ),
    apply,
    order=3,
)
