"""What a program costs on a board: cycles of each call, and whether flash and RAM suffice.

Time is an ESTIMATE: the work of a call, counted from shapes (`Kernel.counts`), times coefficients of the kernel
(`tables/latency_kernels.toml`) and of the core (`tables/latency_cores.toml`), plus the reading of its constants from
flash. No figure comes from the board itself, so every report carries an error range and the reason for its width.

    cycles = factor * (mac * macs + element * elements + unit * units + call) + constant bytes * cycles per byte
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mcu_quant import ops
from mcu_quant.boards import READ_ONLY, Board, MemoryRegion, all_boards
from mcu_quant.diagnostics import Diagnostic, Severity
from mcu_quant.ops import Counts, Kernel
from mcu_quant.program import Call, Program, Purpose, Struct, Symbol
from mcu_quant.variants import ISAS

TABLES = Path(__file__).resolve().parent / "tables"

Percent = tuple[float, float]
"""Signed range: the truth is expected between estimate * (1 + low / 100) and estimate * (1 + high / 100)."""


# --- the table -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coefficients:
    """Cycles per multiply-accumulate, per element, per unit, and per call."""

    mac: float
    element: float
    unit: float
    call: float

    def cycles(self, work: Counts) -> float:
        """Cycles of one call that does this work."""
        return self.mac * work.macs + self.element * work.elements + self.unit * work.units + self.call


@dataclass(frozen=True)
class CoreEntry:
    """How the coefficients of one core are found: those of `coefficients_of`, times `factor`."""

    coefficients_of: str
    factor: float
    #: cycles to read one byte of constants once, in order, on top of the load, by kind of memory
    read_cycles_per_byte: Mapping[str, float]
    error_pct: Percent
    why: str
    source: str


@dataclass(frozen=True)
class KernelEntry:
    """Coefficients, by core, of one kernel, or of any kernel on a format."""

    name: str
    coefficients: Mapping[str, Coefficients]


@dataclass(frozen=True)
class Table:
    """Everything the estimate multiplies with."""

    cores: Mapping[str, CoreEntry]
    #: by `priced_name` and instruction set
    kernels: Mapping[tuple[str, str], KernelEntry]
    #: by format: what a kernel without an entry of its own is priced with
    formats: Mapping[str, KernelEntry]
    #: error range, in addition, of what is priced by format alone
    by_format_error_pct: Percent
    #: error range, in addition, where the program is read in place from serial flash
    xip_error_pct: Percent


@cache
def table() -> Table:
    """The coefficients that come with mcu-quant."""
    raw = tomllib.loads((TABLES / "latency_cores.toml").read_text(encoding="utf-8"))
    counted = tomllib.loads((TABLES / "latency_kernels.toml").read_text(encoding="utf-8"))
    return Table(
        cores=MappingProxyType({name: _core_entry(fields) for name, fields in raw["core"].items()}),
        kernels=MappingProxyType({(k["name"], k["isa"]): _kernel_entry(k["name"], k) for k in counted["kernel"]}),
        formats=MappingProxyType({name: _kernel_entry(name, fields) for name, fields in raw["format"].items()}),
        by_format_error_pct=_percent(raw["by_format_error_pct"]),
        xip_error_pct=_percent(raw["xip_error_pct"]),
    )


def _core_entry(fields: Mapping[str, Any]) -> CoreEntry:
    return CoreEntry(
        coefficients_of=fields["coefficients_of"],
        factor=fields["factor"],
        read_cycles_per_byte=MappingProxyType(fields["read_cycles_per_byte"]),
        error_pct=_percent(fields["error_pct"]),
        why=fields["why"],
        source=fields["source"],
    )


def _kernel_entry(name: str, fields: Mapping[str, Any]) -> KernelEntry:
    by_core = {core: Coefficients(**c) for core, c in fields["cycles"].items()}
    return KernelEntry(name, MappingProxyType(by_core))


def _percent(pair: list[float]) -> Percent:
    low, high = pair
    return low, high


# --- the estimate --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CallCost:
    """Cost of one kernel call."""

    kernel: str
    operator: str
    purpose: Purpose
    work: Counts
    #: cycles of arithmetic and control
    compute_cycles: float
    #: cycles of waiting for constants
    memory_cycles: float
    constant_bytes: int
    #: the entry of the tables it is priced with
    entry: str
    #: the table has no entry for this kernel: it is priced as any kernel on its formats
    by_format: bool

    @property
    def cycles(self) -> int:
        """Cycles of the call."""
        return round(self.compute_cycles + self.memory_cycles)


@dataclass(frozen=True)
class OperatorCost:
    """Sum over the calls of one operator; `convert_cycles` is the part spent on conversions and copies."""

    operator: str
    calls: int
    macs: int
    cycles: int
    convert_cycles: int
    constant_bytes: int


@dataclass(frozen=True)
class CostReport:
    """Estimated time of one run of a program (one frame) on a board."""

    board: str
    core: str
    #: instruction set of the kernels that are used, and the fastest one that the core could run
    isa: str
    kernel_isa: str
    clock_hz: int
    flash_wait_states: int | None
    program_memory: str
    arena_memory: str
    calls: tuple[CallCost, ...]
    #: time until the next frame, if the caller knows it
    budget_ms: float | None
    error_pct: Percent
    #: why the error range is as wide as it is
    why: tuple[str, ...]
    #: what the figure takes for granted
    assumptions: tuple[str, ...]
    origin: str = "estimated"

    @property
    def cycles(self) -> int:
        """Cycles of a frame."""
        return sum(c.cycles for c in self.calls)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a frame, counted from shapes."""
        return sum(c.work.macs for c in self.calls)

    @property
    def convert_cycles(self) -> int:
        """Cycles spent on conversions at precision boundaries and on copies."""
        return sum(c.cycles for c in self.calls if c.purpose is not Purpose.COMPUTE)

    @property
    def ms(self) -> float:
        """Milliseconds of a frame at the board's clock."""
        return self.cycles / self.clock_hz * 1e3

    @property
    def ms_range(self) -> tuple[float, float]:
        """Between these the truth is expected."""
        low, high = self.error_pct
        return self.ms * (1 + low / 100), self.ms * (1 + high / 100)

    @property
    def real_time_factor(self) -> float | None:
        """Time of a frame over the time until the next: below 1 it keeps up."""
        return self.ms / self.budget_ms if self.budget_ms else None

    @property
    def by_format(self) -> tuple[str, ...]:
        """Kernels that the table has no entry for."""
        return tuple(dict.fromkeys(c.kernel for c in self.calls if c.by_format))

    def operators(self) -> tuple[OperatorCost, ...]:
        """Costs per operator, in the order in which they first run."""
        return tuple(self._operator(name) for name in dict.fromkeys(c.operator for c in self.calls))

    def _operator(self, name: str) -> OperatorCost:
        calls = [c for c in self.calls if c.operator == name]
        return OperatorCost(
            operator=name,
            calls=len(calls),
            macs=sum(c.work.macs for c in calls),
            cycles=sum(c.cycles for c in calls),
            convert_cycles=sum(c.cycles for c in calls if c.purpose is not Purpose.COMPUTE),
            constant_bytes=sum(c.constant_bytes for c in calls),
        )

    def diagnostics(self) -> list[Diagnostic]:
        """MQ504 if a frame does not end in time: an error where even the lower end is too slow, else a warning."""
        low, high = self.ms_range
        if self.budget_ms is None or high <= self.budget_ms:
            return []
        slowest = max(self.operators(), key=lambda o: o.cycles)
        share = 100 * slowest.cycles / self.cycles
        message = f"a frame is estimated at {self.ms:.3g} ms ({low:.3g} to {high:.3g}) of {self.budget_ms:.3g} ms"
        return [
            Diagnostic(
                "MQ504",
                self.board,
                message,
                help=f"{slowest.operator} takes {share:.0f} % of it: give it a smaller format, or take a faster board",
                severity=Severity.ERROR if low > self.budget_ms else Severity.WARNING,
            )
        ]


def estimate(
    program: Program,
    board: Board,
    budget_ms: float | None = None,
    kernels: Mapping[str, Kernel] | None = None,
) -> CostReport:
    """Estimate the time of one run of a program on a board. `kernels` defaults to the registered ones.

    Raises:
        KeyError: if the program calls a kernel that is not registered.
    """
    known = ops.kernels() if kernels is None else kernels
    core = table().cores[board.core.name]
    per_byte = _read_cycles_per_byte(core, board.program_memory)
    calls = tuple(_call_cost(program, call, known[call.kernel], core, per_byte) for call in program.calls)
    why = tuple(_reasons(core, calls, board))
    return CostReport(
        board=board.id,
        core=board.core.name,
        isa=program.isa,
        kernel_isa=board.kernel_isa,
        clock_hz=board.clock.hz,
        flash_wait_states=board.clock.flash_wait_states,
        program_memory=board.program_memory.name,
        arena_memory=board.arena_memory.name,
        calls=calls,
        budget_ms=budget_ms,
        error_pct=_error(core, calls, board),
        why=why,
        assumptions=tuple(_assumptions(program, board)),
    )


def priced_name(call: Call) -> str:
    """What decides the price of a call: its kernel, and functions that are passed to it ("mq_map_f32+mq_fn_tanh")."""
    nested = [a.fields.values() if isinstance(a, Struct) else (a,) for a in call.args.values()]
    symbols = [v.name for values in nested for v in values if isinstance(v, Symbol)]
    return "+".join([call.kernel, *(name for name in symbols if name != "NULL")])


def _read_cycles_per_byte(core: CoreEntry, region: MemoryRegion) -> float:
    """Measured on this board, else what the core's entry takes for such a memory; nothing for RAM."""
    if region.read_cycles_per_byte is not None:
        return region.read_cycles_per_byte
    return core.read_cycles_per_byte.get(region.kind, 0.0)


def _call_cost(program: Program, call: Call, kernel: Kernel, core: CoreEntry, per_byte: float) -> CallCost:
    entry, by_format = _entry(program, call, core)
    work = kernel.counts(program, call)
    constant_bytes = sum(program.constants[name].bytes for name in dict.fromkeys(call.constants))
    return CallCost(
        kernel=call.kernel,
        operator=call.operator,
        purpose=call.purpose,
        work=work,
        compute_cycles=core.factor * entry.coefficients[core.coefficients_of].cycles(work),
        memory_cycles=per_byte * constant_bytes,
        constant_bytes=constant_bytes,
        entry=entry.name,
        by_format=by_format,
    )


def _entry(program: Program, call: Call, core: CoreEntry) -> tuple[KernelEntry, bool]:
    """The entry of the fastest variant that was counted and that this instruction set runs; else that of its formats.

    A kernel that works on several formats is priced with the one whose multiplications cost most.
    """
    name = priced_name(call)
    for isa in reversed(ISAS[: ISAS.index(program.isa) + 1]):
        if (name, isa) in table().kernels:
            return table().kernels[name, isa], False
    touched = {program.edges[b.edge].type.format for _, b in call.buffers()}
    touched |= {program.constants[name].format for name in call.constants}
    candidates = [e for name, e in table().formats.items() if name in touched] or list(table().formats.values())
    return max(candidates, key=lambda e: e.coefficients[core.coefficients_of].mac), True


def _error(core: CoreEntry, calls: tuple[CallCost, ...], board: Board) -> Percent:
    """The range of the core, widened by what is priced by format (by its share) and by serial flash."""
    low, high = core.error_pct
    extra = table().by_format_error_pct
    share = _share_by_format(calls)
    low, high = _widen((low, high), (share * extra[0], share * extra[1]))
    return _widen((low, high), table().xip_error_pct) if board.program_memory.kind == "xip" else (low, high)


def _widen(a: Percent, b: Percent) -> Percent:
    low, high = ((1 + x / 100) * (1 + y / 100) for x, y in zip(a, b, strict=True))
    return round(100 * (low - 1)), round(100 * (high - 1))


def _share_by_format(calls: tuple[CallCost, ...]) -> float:
    total = sum(c.cycles for c in calls)
    return sum(c.cycles for c in calls if c.by_format) / total if total else 0.0


def _reasons(core: CoreEntry, calls: tuple[CallCost, ...], board: Board) -> Iterator[str]:
    yield core.why
    if any(c.by_format for c in calls):
        names = ", ".join(dict.fromkeys(c.kernel for c in calls if c.by_format))
        share = 100 * _share_by_format(calls)
        yield f"no coefficients for {names} ({share:.0f} % of the cycles): priced as any kernel on the same formats"
    if board.program_memory.kind == "xip":
        yield "weights are read in place from serial flash through a small cache; its hits depend on access order"


def _assumptions(program: Program, board: Board) -> Iterator[str]:
    clock = board.clock
    states = "" if clock.flash_wait_states is None else f", {clock.flash_wait_states} flash wait states"
    yield f"{clock.hz / 1e6:g} MHz{states}"
    if board.caches:
        yield f"caches are on ({', '.join(c.name for c in board.caches)})"
    yield f"weights in {board.program_memory.name}, working memory in {board.arena_memory.name}"
    if program.isa == board.kernel_isa:
        yield f"{program.isa} kernels, compiled with -O2"
    else:
        yield f"{program.isa} kernels, compiled with -O2; the core could run {board.kernel_isa} kernels"


# --- does it fit ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RegionFit:
    """What one memory region must hold, and what it can."""

    region: str
    holds: str
    needed_bytes: int
    available_bytes: int

    @property
    def fits(self) -> bool:
        """Whether the region is large enough."""
        return self.needed_bytes <= self.available_bytes

    @property
    def missing_bytes(self) -> int:
        """By how much it is too small; 0 where it fits."""
        return max(0, self.needed_bytes - self.available_bytes)


@dataclass(frozen=True)
class Fit:
    """Whether a build fits a board. `remedy` is empty where it does."""

    board: str
    regions: tuple[RegionFit, ...]
    remedy: str = ""

    @property
    def fits(self) -> bool:
        """Whether every region is large enough."""
        return all(r.fits for r in self.regions)

    def diagnostics(self) -> list[Diagnostic]:
        """MQ503 for each region that is too small."""
        found = []
        for r in self.regions:
            if not r.fits:
                sizes = f"{_kib(r.needed_bytes)}, there are {_kib(r.available_bytes)}: {_kib(r.missing_bytes)} too much"
                found.append(
                    Diagnostic("MQ503", f"{self.board}: {r.region}", f"{r.holds} need {sizes}", help=self.remedy)
                )
        return found


def fit(board: Board, flash_bytes: int, ram_bytes: int) -> Fit:
    """Does a build fit? `flash_bytes` is code and constants, `ram_bytes` arena, state, static data and stack.

    RAM is one bank: an arena cannot be split.
    """
    regions = _region_fits(board, flash_bytes, ram_bytes)
    if all(r.fits for r in regions):
        return Fit(board.id, regions)
    return Fit(board.id, regions, _remedy(board, regions, flash_bytes, ram_bytes))


def _region_fits(board: Board, flash_bytes: int, ram_bytes: int) -> tuple[RegionFit, ...]:
    program, arena = board.program_memory, board.arena_memory
    return (
        RegionFit(program.name, "code and weights", flash_bytes, program.usable_bytes),
        RegionFit(arena.name, "working memory, state and stack", ram_bytes, arena.usable_bytes),
    )


def _remedy(board: Board, regions: tuple[RegionFit, ...], flash_bytes: int, ram_bytes: int) -> str:
    """What the user can do: smaller formats for what is too large, and the smallest boards that would do."""
    program, arena = regions
    advice = []
    if not program.fits:
        advice.append("store more weights in 8 bits (--preset s8, or --set OPERATOR=s8 for the largest)")
    if not arena.fits:
        advice.append("give the operators with the largest edges a smaller format (s8 takes a quarter of f32)")
    products = [b for b in all_boards() if _is_product(b)]
    larger = [b for b in products if all(r.fits for r in _region_fits(b, flash_bytes, ram_bytes))]
    larger.sort(key=lambda b: (b.arena_memory.usable_bytes, b.program_memory.usable_bytes))
    if larger:
        advice.append(f"or take a board with more memory: {', '.join(b.id for b in larger[:3])}")
    return "; ".join(advice)


def _is_product(board: Board) -> bool:
    """A board with non-volatile memory, unlike the FPGA images that emulators know."""
    return board.program_memory.kind in READ_ONLY


def _kib(size: int) -> str:
    return f"{size / 1024:.1f} KiB" if size >= 1024 else f"{size} bytes"
