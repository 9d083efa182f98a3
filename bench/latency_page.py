"""docs/latency.md: the text is here, every figure is computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mcu_quant import boards, cost, timing

if TYPE_CHECKING:
    from bench.latency import Case

HEAD = """\
# Latency

<!-- made by `make bench-latency`: edit bench/latency_page.py -->

How a report comes to its milliseconds, and how far they were off wherever there was something to compare them with.

## The model

Cycles of a call are what its instructions cost on the core, plus the wait for its constants:

    cycles = factor * (mac * macs + element * elements + unit * units + moved * bytes + call)
             + bytes of constants read * cycles per byte

1. **Instructions are counted.** Samples of every operator, in every format and on every instruction set, run in QEMU; a
   plugin notes how often each instruction was executed and how often it branched (`firmware/qemu/count_plugin.c`).
2. **Instructions are priced** per core (`bench/prices.py`): in-order tables for Cortex-M0, M0+, M3, M4 and M33, two
   issue slots with their dependencies for M7 and M85, two beats per cycle for Helium, and in-order tables for RISC-V
   (`bench/prices_riscv.py`). For Xtensa there is no compiler to count with: its figures are those of a RISC-V core with
   a floating-point unit, by the ratio of CoreMark.
3. **Coefficients are fitted** per kernel, instruction set and core, to the priced calls, not negative
   (`python -m bench.estimate_coefficients`; the table is `mcu_quant/tables/latency_kernels.json`, and beside each row
   stands how far it is off on the calls it was made from). What is counted per call (products, elements, rows or runs
   with a cost of their own, bytes moved in blocks) is `Kernel.counts`.
4. **Constants are read** from where they lie: cycles per byte on top of the load, once, or as often as the kernel goes
   over them where they are larger than the cache in front. The cycles are those that were measured on the board
   (`read_cycles_per_byte` in its file); else they follow from facts: {wait} times the wait states per access, for the
   bytes that an access brings, or the serial clocks of a line where code is read in place; else they are the core's in
   `mcu_quant/tables/latency_cores.toml`.
5. **Memory that holds the core up** everywhere (wait states of RAM) is a factor on a board's clock setting, where
   somebody measured it (`cycles_factor`).

No cycle constant per product is shared between kernels, and none was taken from another library.

A report's range is that of the core (below), widened by the error of the coefficients of the kernels used (by their
share of the time), on boards that nobody measured by {transferred}, and by {xip} where such a board reads the
program in place from serial flash. Each board has a status: *calibrated* (published measurements of this board were
compared with the timing), *transferred* (measurements of another board with the same core were), *none* (none of this
core were; at most CoreMark).

## A board of your own

`mcu-quant calibrate --board BOARD LOG...` reads what a self-test printed on the board ([log](self-test-log.md)), finds
the firmware folder that it was built from, and fits a factor per kernel, one for kernels that were not measured, and
the cycles of reading constants (`mcu_quant/refit.py`). It shows measured and predicted cycles, and how far calls that
were held out were off. The result lies beside the board's file (`my_board.calibration.json`), or in the user's folder
(`MCU_QUANT_CALIBRATIONS`) for a board that comes with mcu-quant. From then on reports on the board say *calibrated*
with day and model, and their range is that of calls that were held out, of kernels that were not measured for these,
and 3 % that relinking alone can move. The measured calls are kept in the file: with other tables they are fitted again.
`--show` says what is known, `--forget` removes it.

## What is left out

Waiting for code in flash behind a small accelerator; misses of caches; interrupts; traffic of DMA.
The range's upper end is the wider one for that.
"""

TESTS = """\
## The tests

The kernels that others measured are not ours, so each test is of one part of the model; no time of our own kernels on
a board is among them. Lower ends of ranges allow for less than upper ones: what frameworks add, and waiting for code,
is in the measurements and not in the estimate. Ranges were chosen with these cases in view. Nothing that was published
is compared with the Cortex-M55. Four things are known to lie outside: libraries that fuse depthwise and pointwise
layers have no cost per class (X-CUBE-AI 9.0 is kept to show it); the dense layers of Plumerai's engine do not wait for
the L4R5's flash, which the prediction of other boards takes them to do; its convolutions lose more on PSoC 6 than
Bosch's, which that board's factor was taken from; on the RA6M4 the image classifier takes 38 % longer than the kernels
in it, where the three other networks take 15 to 17 %, and why is not known.

The last libraries of `bench/published.toml` (RA6M4, M467, X-CUBE-AI 8.0 and 8.1, ESP-NN) were looked up when the
prices of Cortex-M cores stood, and no price was changed for them. They are not blind: the numbers were known when they
were predicted; which version of CMSIS-NN is counted for the RA6M4 was chosen after a first comparison (with the later
one the image classifier is 50 % off instead of 38); and of Espressif's cores, which have no other measurement, the
ranges, the settings of serial flash and the S3's factor (1.16, from CoreMark) were set with them in view.

| test | what is predicted from what |
|---|---|
| classes | a library's cost per product of convolution, depthwise and dense layers, from three models: a fourth |
| recurrent | cost per product and per unit, from four layers: the fifth |
| counted | CMSIS-NN as it was then, ESP-NN, a loop that is ours, too: counted, priced, read from flash, not fitted |
| core to core | a library's time for a network on a Cortex-M4, times the ratio of CMSIS-NN, counted and priced |
| CoreMark | counted and priced; the compiler's share is taken from the Cortex-M4, but where GCC was used as here |
| flash | weights in flash from weights in RAM: what the boards' figures were made from |
"""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def _range(pct: timing.Percent) -> str:
    return f"{pct[0]:+g} to {pct[1]:+g} %"


def _cores() -> str:
    rows = [
        (name, _range(core.error_pct), ", ".join(core.measured_on) or "-", core.why)
        for name, core in timing.table().cores.items()
    ]
    return _table(("core", "range", "measured boards", "why"), rows)


def _boards() -> str:
    cores = timing.table().cores
    rows = [(b.id, b.core.name, cost.status(cores[b.timing_core], b), _memory(b)) for b in boards.all_boards()]
    return _table(("board", "core", "status", "weights, cycles per byte"), rows)


def _memory(board: boards.Board) -> str:
    found = cost.Memory.of(timing.table().cores[board.timing_core], board)
    words = {"measured": "measured", "modelled": "from wait states and lines", "table": "of such a memory"}
    return f"{found.cycles_per_byte:.2g} ({words[found.origin]})"


def _summary(cases: Sequence[Case]) -> str:
    rows = []
    for status in dict.fromkeys(c.status for c in cases):
        for used in ("fitted", "held out"):
            of_these = [c for c in cases if (c.status, c.used) == (status, used)]
            errors = np.array([abs(c.error_pct) for c in of_these])
            if of_these:
                near = (f"{np.mean(errors <= limit):.0%}".replace("%", " %") for limit in (10, 20))
                inside = f"{sum(c.covered for c in of_these)} of {len(of_these)}"
                rows.append(
                    (status, used, len(of_these), f"{np.median(errors):.0f} %", *near, f"{errors.max():.0f} %", inside)
                )
    head = ("status", "used", "cases", "median error", "within 10 %", "within 20 %", "largest", "inside the range")
    return _table(head, rows)


def _cases(cases: Sequence[Case]) -> str:
    rows = [
        (
            f"{c.error_pct:+.1f} %{'' if c.covered else ' (outside)'}",
            c.test,
            c.case,
            c.board,
            f"{c.published:,}",
            f"{c.predicted:,}",
            f"{c.low:,} to {c.high:,}",
            c.used,
        )
        for c in cases
    ]
    head = ("error", "test", "case", "board or core", "published cycles", "predicted", "range", "used")
    return _table(head, rows)


def _kernels() -> str:
    rows = []
    for core in dict.fromkeys(core for _, _, core in timing.table().kernels):
        errors = np.array([e.error_pct for (_, _, c), e in timing.table().kernels.items() if c == core])
        wide = np.maximum(-errors[:, 0], errors[:, 1])
        rows.append(
            (core, len(errors), f"{np.median(wide):.0f} %", f"{np.quantile(wide, 0.9):.0f} %", f"{wide.max():.0f} %")
        )
    return _table(("core", "kernels and variants", "median error", "nine of ten below", "largest"), rows)


def rendered(cases: Sequence[Case]) -> str:
    """The page."""
    table = timing.table()
    head = HEAD.format(
        wait=f"{cost.WAIT_FACTOR:g}", transferred=_range(table.transferred_error_pct), xip=_range(table.xip_error_pct)
    )
    parts = [
        head,
        "## Cores\n\n" + _cores(),
        "## Coefficients\n\nError of the fit on the larger half of the counted calls of each kernel:\n\n" + _kernels(),
        "## Boards\n\n" + _boards(),
        TESTS + "\n" + _summary(cases),
        "## Predicted against published, worst first\n\nSources: `bench/published.toml`. X-CUBE-AI 9.0 fuses\n"
        "depthwise with pointwise layers, which no model with a cost per class can follow.\n\n" + _cases(cases),
    ]
    return "\n".join(parts)
