"""Count what each kernel costs on Cortex-M0+, M4 and M55, and fit the coefficients that the latency estimate uses.

    python -m bench.estimate_coefficients          writes mcu_quant/tables/latency_kernels.toml, in some minutes

Samples of every operator and the shapes of bench/kernels.py are lowered in every format and run in QEMU, which counts
every executed instruction; each is priced after Arm's manuals (bench/prices.py). Per kernel, instruction set and core,
cycles = mac * macs + element * elements + unit * units + call is fitted with non-negative coefficients. Beside them
stands how far the fit is off on the calls that it was made from.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from bench import kernels, prices, programs
from mcu_quant import ops
from mcu_quant.cost import priced_name
from mcu_quant.emulator import qemu
from mcu_quant.emulator.qemu import Machine
from mcu_quant.emulator.qemu_program import QemuProgramSession, machine_for
from mcu_quant.ops import Counts, Sample
from mcu_quant.paths import PACKAGE
from mcu_quant.variants import sources, variant_isa

TABLE = PACKAGE / "tables" / "latency_kernels.toml"
#: Samples per operator, spread over all it has: four coefficients need no more.
SAMPLES = 4
#: Cores that are run, with scalar kernels and with the fastest; and the cores whose prices are put on what was executed.
PRICED: Mapping[str, Sequence[str]] = {
    "m0plus": ("cortex-m0plus",),
    "m4": ("cortex-m4", "cortex-m33"),
    "m7": ("cortex-m7",),
    "m55": ("cortex-m55", "cortex-m85"),
}
#: Operators that stand at a boundary of two formats, for what converts between them.
BOUNDARY = "Relu"


@dataclass(frozen=True)
class Row:
    """One executed call: its work and what it cost."""

    work: Counts
    cycles: float
    instructions: int


@dataclass(frozen=True)
class Fit:
    """Coefficients of a kernel on a core, and how far they are off, in percent: by work, the lowest and highest."""

    mac: float
    element: float
    unit: float
    call: float
    calls: int
    error_pct: tuple[int, int]


#: By kernel, instruction set and core.
Key = tuple[str, str, str]


def features(work: Counts) -> list[float]:
    """What the coefficients are multiplied with."""
    return [work.macs, work.elements, work.units, 1.0]


def fit(rows: Sequence[Row]) -> Fit:
    """Non-negative coefficients with the least sum of squared errors, relative to the square root of the cycles.

    Small calls then weigh less than large ones, in which the time is spent, but are not forgotten. The error is that of
    the calls with at least the median's cycles.
    """
    cycles = np.array([r.cycles for r in rows])
    a = np.array([features(r.work) for r in rows])
    weights = cycles**-0.75
    found, _ = nnls(a * weights[:, None], cycles * weights, maxiter=100)
    rounded = np.array([float(f"{v:.3g}") for v in found])
    errors = 100.0 * (cycles / (a @ rounded) - 1.0)
    large = errors[cycles >= np.median(cycles)]
    low, high = int(np.floor(min(large.min(), 0.0))), int(np.ceil(max(large.max(), 0.0)))
    mac, element, unit, call = rounded.tolist()
    return Fit(mac, element, unit, call, len(rows), (low, high))


# --- running -------------------------------------------------------------------------------------------------------


def samples() -> Iterator[Sample]:
    """Some of every operator's own, spread over all it has, and the shapes of the kernel table in three sizes."""
    for spec in ops.specs().values():
        step = -(-len(spec.samples) // SAMPLES) or 1
        yield from spec.samples[::step]
    for operator in kernels.OPERATORS.values():
        for divisor in (1, 2, 5):
            yield operator.sample(*(-(-n // divisor) if n > 8 else n for n in operator.shape))


class Counter:
    """Machines with all kernels on them, one per core and instruction set, slowest first; `rows` of all that ran."""

    def __init__(self, cores: Iterable[str]) -> None:
        self.rows: dict[Key, list[Row]] = defaultdict(list)
        self._machines: dict[tuple[str, str], Machine] = {}
        #: the fastest instruction set that there are kernels for
        self._best: dict[str, str] = {}
        for core in cores:
            target, self._best[core] = kernels.target_of(core)
            for isa in dict.fromkeys(("scalar", self._best[core])):
                self._machines[core, isa] = machine_for(target, sources(), isa, profile=True)

    def run(self, made: programs.Lowered) -> None:
        """Run one frame on every core with every instruction set that makes a difference."""
        for (core, isa), machine in self._machines.items():
            program, best = made.program(isa), self._best[core]
            if isa != best and all(variant_isa(c.kernel, best) == isa for c in program.calls):
                continue  # the core's best instruction set uses the same kernels
            session = QemuProgramSession(program, machine)
            session.run(None, made.frame)
            lines = prices.listing(machine.elf, machine.target.triple)
            for call, called in zip(program.calls, session.called, strict=True):
                assert called.profile is not None
                work = ops.kernels()[call.kernel].counts(program, call)
                for priced in PRICED[core]:
                    cycles = prices.cycles(called.profile, lines, priced)
                    key = (priced_name(call), variant_isa(call.kernel, isa), priced)
                    self.rows[key].append(Row(work, cycles, called.instructions))

    def close(self) -> None:
        """End the emulators."""
        for machine in self._machines.values():
            machine.close()


def collect(chosen: Iterable[Sample], cores: Iterable[str] = tuple(PRICED)) -> dict[Key, list[Row]]:
    """Counted cycles of every call, by kernel, instruction set and core."""
    counter = Counter(cores)
    try:
        for i, sample in enumerate(chosen):
            print(f"{i} {sample}", file=sys.stderr)
            for made in programs.every_lowering(sample):
                counter.run(made)
        for made in programs.boundaries(BOUNDARY):
            counter.run(made)
    finally:
        counter.close()
    return counter.rows


# --- the table -----------------------------------------------------------------------------------------------------

HEADER = """\
# Cycles of the kernels per multiply-accumulate, element, unit and call: what Kernel.counts counts.
# Made by `python -m bench.estimate_coefficients`: instructions counted in an emulator, priced after Arm's technical
# reference manuals, without wait states and caches. error_pct is how far the fit is off on the larger half of the
# calls that it was made from (their number is at the end of the line).
"""


def rendered(rows: Mapping[Key, Sequence[Row]]) -> str:
    """The table as TOML."""
    lines = [HEADER]
    for name, isa in sorted({(name, isa) for name, isa, _ in rows}):
        lines += ["[[kernel]]", f'name = "{name}"', f'isa = "{isa}"']
        for core in prices.CORES:
            if (name, isa, core) in rows:
                f = fit(rows[name, isa, core])
                values = f"mac = {f.mac:g}, element = {f.element:g}, unit = {f.unit:g}, call = {f.call:g}"
                lines.append(f"cycles.{core} = {{ {values}, error_pct = {list(f.error_pct)} }} # {f.calls}")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fit the coefficients of the latency estimate.")
    parser.add_argument("--output", type=Path, default=TABLE)
    options = parser.parse_args()
    for core in PRICED:
        missing = qemu.missing(kernels.target_of(core)[0])
        if missing:
            print(f"{', '.join(missing)} is not installed: nothing was written", file=sys.stderr)
            return 1
    options.output.write_text(rendered(collect(samples())))
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
