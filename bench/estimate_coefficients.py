"""Count what each kernel costs on the emulated cores, and fit the coefficients that the latency estimate uses.

    python -m bench.estimate_coefficients          writes mcu_quant/tables/latency_kernels.json, in some minutes
    python -m bench.estimate_coefficients --core rv32          counts on one core again, keeps the rows of the others

Samples of every operator and the shapes of bench/kernels.py are lowered in every format and run in QEMU, which counts
every executed instruction; each is priced after Arm's manuals (bench/prices.py). Per kernel, instruction set and core,
cycles = mac * macs + element * elements + unit * units + moved * bytes + call is fitted with non-negative coefficients.
Beside them stands how far the fit is off on the calls that it was made from.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from bench import audio, kernels, prices, programs
from bench.programs import Composed
from mcu_quant import ops
from mcu_quant.cost import priced_name
from mcu_quant.emulator import qemu
from mcu_quant.emulator.qemu import Machine
from mcu_quant.emulator.qemu_program import QemuProgramSession, machine_for
from mcu_quant.ir import Array
from mcu_quant.ops import Counts, Sample, given
from mcu_quant.paths import PACKAGE
from mcu_quant.variants import sources, variant_isa

TABLE = PACKAGE / "tables" / "latency_kernels.json"
#: Samples per operator, spread over all it has: four coefficients need no more.
SAMPLES = 4
#: Cores that are run, with scalar kernels and with the fastest, and the cores whose prices are put on what they did.
PRICED: Mapping[str, Sequence[str]] = {
    "m0plus": ("cortex-m0", "cortex-m0plus"),
    "m3": ("cortex-m3",),
    "m4": ("cortex-m4", "cortex-m33"),
    "m7": ("cortex-m7",),
    "m55": ("cortex-m55", "cortex-m85"),
    "rv32": ("esp-riscv", "hazard3"),
    "rv32f": ("gap9",),
}
#: Operators that stand at a boundary of two formats, for what converts between them.
BOUNDARY = "Relu"
#: Lengths of transforms: one of each radix, and of several.
TRANSFORMS = (60, 160, 400, 512)
#: Two tensors of other ranges in one: what brings both to one scale.
JOINED = tuple(
    Sample("Concat", (given(1, size), given(1, size, low=-4.0, high=4.0)), {"axis": 1}) for size in (3, 40, 700)
)


@dataclass(frozen=True)
class Row:
    """One executed call: its work and what it cost."""

    work: Counts
    cycles: float
    instructions: int


@dataclass(frozen=True)
class Fit:
    """Coefficients (as `timing.Coefficients` has them) of a kernel on a core, and how far those of cycles are off."""

    cycles: tuple[float, ...]
    instructions: tuple[float, ...]
    calls: int
    error_pct: tuple[int, int]


#: By kernel, instruction set and core.
Key = tuple[str, str, str]


def features(work: Counts) -> list[float]:
    """What the coefficients are multiplied with."""
    return [work.macs, work.elements, work.units, work.moved, 1.0]


def fit(rows: Sequence[Row]) -> Fit:
    """Non-negative coefficients with the least sum of squared errors, relative to the cycles to the power of 3/4.

    Small calls then weigh less than large ones, in which the time is spent, but are not forgotten. The error holds nine
    of ten of the calls with at least the median's cycles, and 10 % where there are not more shapes than coefficients.
    """
    cycles = np.array([r.cycles for r in rows])
    a = np.array([features(r.work) for r in rows])
    found = _coefficients(a, cycles)
    errors = 100.0 * (cycles / (a @ found) - 1.0)
    large = errors[cycles >= np.median(cycles)]
    least = 10.0 if len({r.work for r in rows}) <= np.count_nonzero(found) else 0.0
    bottom, top = np.quantile(large, (0.05, 0.95))
    low, high = int(np.floor(min(bottom, -least))), int(np.ceil(max(top, least)))
    instructions = _coefficients(a, np.array([float(r.instructions) for r in rows]))
    return Fit(tuple(found.tolist()), tuple(instructions.tolist()), len(rows), (low, high))


def _coefficients(a: Array, wanted: Array) -> Array:
    weights = wanted**-0.75
    found, _ = nnls(a * weights[:, None], wanted * weights, maxiter=100)
    return np.array([float(f"{v:.3g}") for v in found])


def by_format(rows: Mapping[Key, Sequence[Row]], fmt: str, core: str) -> Fit:
    """Coefficients for a kernel that nobody counted: of all whose name ends in the format, each with the same weight.

    The range holds nine of ten of them.
    """
    chosen = [
        r for (name, isa, on), r in rows.items() if on == core and isa == "scalar" and _formats(name)[-1:] == [fmt]
    ]
    fits = [fit(r) for r in chosen]
    middle = [np.median([f.cycles[i] for f in fits if f.cycles[i] > 0] or [0.0]) for i in range(5)]
    counted = [np.median([f.instructions[i] for f in fits if f.instructions[i] > 0] or [0.0]) for i in range(5)]
    errors = [100 * (r.cycles / np.dot(features(r.work), middle) - 1) for rs in chosen for r in (_largest(rs),)]
    low, high = np.quantile(errors, (0.05, 0.95))
    return Fit(
        _rounded(middle), _rounded(counted), len(chosen), (int(np.floor(min(low, 0))), int(np.ceil(max(high, 0))))
    )


def _largest(rows: Sequence[Row]) -> Row:
    return max(rows, key=lambda r: r.cycles)


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(f"{v:.3g}") for v in values)


def _formats(name: str) -> list[str]:
    return [part for part in name.partition("+")[0].split("_") if part in programs.FORMATS]


# --- running -------------------------------------------------------------------------------------------------------


def samples() -> Iterator[Sample | Composed]:
    """Some of every operator's own, spread over all it has, the shapes of the kernel table in three sizes, audio."""
    for spec in ops.specs().values():
        step = -(-len(spec.samples) // SAMPLES) or 1
        yield from spec.samples[::step]
    yield from JOINED
    for operator in kernels.OPERATORS.values():
        for divisor in (1, 2, 5):
            yield operator.sample(*(-(-n // divisor) if n > 8 else n for n in operator.shape))
    for points in TRANSFORMS:
        yield from audio.graphs(points)


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
            if program.loops:
                continue  # they have no kernels of their own
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


def collect(chosen: Iterable[Sample | Composed], cores: Iterable[str] = tuple(PRICED)) -> dict[Key, list[Row]]:
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


def entries(rows: Mapping[Key, Sequence[Row]]) -> dict[str, list[dict[str, object]]]:
    """A row per kernel, instruction set and core, and one per format and core."""
    cores = sorted({core for _, _, core in rows}, key=prices.CORES.index)
    return {
        "kernels": [{"kernel": k, "isa": i, "core": c, **_fields(fit(rows[k, i, c]))} for k, i, c in sorted(rows)],
        "formats": [
            {"format": fmt, "core": core, **_fields(by_format(rows, fmt, core))}
            for fmt in programs.FORMATS
            for core in cores
        ],
    }


def joined(
    kept: Mapping[str, Sequence[Mapping[str, object]]], counted: Mapping[str, Sequence[Mapping[str, object]]]
) -> dict[str, list[Mapping[str, object]]]:
    """The rows of a table with those of some cores counted again."""
    again = {row["core"] for row in counted["kernels"]}
    order = {"kernels": ("kernel", "isa"), "formats": ()}
    found: dict[str, list[Mapping[str, object]]] = {}
    for part, keys in order.items():
        rows = [*(r for r in kept[part] if r["core"] not in again), *counted[part]]
        found[part] = sorted(rows, key=lambda r: (*(r[k] for k in keys), *_place(r)))
    return found


def _place(row: Mapping[str, object]) -> tuple[int, int, str]:
    """Where a row stands: by format, then as `prices.CORES` has the cores; kernels by the core's name."""
    core = str(row["core"])
    if "format" in row:
        return programs.FORMATS.index(str(row["format"])), prices.CORES.index(core), core
    return 0, 0, core


def rendered(found: Mapping[str, Sequence[Mapping[str, object]]]) -> str:
    """The table as JSON, a line per row."""
    parts = [f' "{name}": [\n  {_lines(found[name])}\n ]' for name in ("kernels", "formats")]
    return "{\n" + ' "made_by": "python -m bench.estimate_coefficients",\n' + ",\n".join(parts) + "\n}\n"


def _fields(f: Fit) -> dict[str, object]:
    return {"cycles": f.cycles, "instructions": f.instructions, "calls": f.calls, "error_pct": f.error_pct}


def _lines(found: Iterable[object]) -> str:
    return ",\n  ".join(json.dumps(one) for one in found)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fit the coefficients of the latency estimate.")
    parser.add_argument("--output", type=Path, default=TABLE)
    parser.add_argument("--core", choices=list(PRICED), action="append", help="only these, may be repeated")
    options = parser.parse_args()
    chosen = options.core or list(PRICED)
    for core in chosen:
        missing = qemu.missing(kernels.target_of(core)[0])
        if missing:
            print(f"{', '.join(missing)} is not installed: nothing was written", file=sys.stderr)
            return 1
    kept = json.loads(TABLE.read_text()) if options.core else {"kernels": [], "formats": []}
    options.output.write_text(rendered(joined(kept, entries(collect(samples(), chosen)))))
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
