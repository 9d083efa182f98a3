"""What a program costs on a board: cycles of each call.

Time is an ESTIMATE: the work of a call, counted from shapes (`Kernel.counts`), times coefficients that were counted for
the kernel and the core (`timing.py`), plus the reading of its constants from flash. No figure comes from the board
itself, so every report carries a range, what it rests on, and the reason for its width.

    cycles = factor * (mac * macs + element * elements + unit * units + moved * bytes + call)
             + bytes of constants read * cycles per byte
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from mcu_quant import ops
from mcu_quant.boards import Board, ClockPoint, MemoryRegion
from mcu_quant.calibration import Calibration, Fitted
from mcu_quant.diagnostics import Diagnostic, Severity
from mcu_quant.ops import Counts, Kernel
from mcu_quant.placement import Placement, default
from mcu_quant.program import Call, Program, Purpose, Struct, Symbol
from mcu_quant.timing import CoreEntry, Entry, Percent, table
from mcu_quant.variants import ISAS, sources, variant_isa

#: Nothing is more certain than this: relinking alone has been seen to move a network by 2.3 %.
MEASURED_ERROR_PCT: Percent = (-3, 3)


class Status(StrEnum):
    """What supports the timing of a board."""

    #: measurements of this board were compared with it
    CALIBRATED = "calibrated"
    #: measurements of another board with this core were
    TRANSFERRED = "transferred"
    #: none of this core were
    NONE = "none"


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
    #: of them, those that lie where the program does
    flash_bytes: int
    #: bytes of constants that are read past the cache: all of them, as often as the kernel goes over them
    read_bytes: int
    #: executed instructions
    instructions: int
    #: counted calls of this kernel against its coefficients
    error_pct: Percent
    #: the entry of the tables it is priced with, and the instruction set of its C file
    entry: str
    isa: str
    #: the table has no entry for this kernel: it is priced as any kernel on its formats
    by_format: bool
    #: how often it is made in a frame; all figures are those of all times together, but for the constants
    times: int = 1

    @property
    def cycles(self) -> int:
        """Cycles of the call."""
        return round(self.compute_cycles + self.memory_cycles)

    def repeated(self, times: int, memory: Memory) -> CallCost:
        """The cost of so many calls."""
        w = self.work
        read = memory.bytes_read(self.flash_bytes, times * w.passes)
        return replace(
            self,
            work=Counts(*(times * n for n in (w.macs, w.elements, w.units, w.moved, w.passes))),
            compute_cycles=times * self.compute_cycles,
            memory_cycles=memory.cycles_per_byte * read,
            read_bytes=read,
            instructions=times * self.instructions,
            times=times,
        )


@dataclass(frozen=True)
class OperatorCost:
    """Sum over the calls of one operator; `convert_cycles` is the part spent on conversions and copies."""

    operator: str
    calls: int
    macs: int
    cycles: int
    convert_cycles: int
    constant_bytes: int
    instructions: int


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
    status: Status
    #: why the error range is as wide as it is
    why: tuple[str, ...]
    #: what the figure takes for granted
    assumptions: tuple[str, ...]
    #: "fitted" to measurements of this very board, else "estimated"
    origin: str = "estimated"

    @property
    def cycles(self) -> int:
        """Cycles of a frame."""
        return sum(c.cycles for c in self.calls)

    @property
    def instructions(self) -> int:
        """Executed instructions of a frame's kernels."""
        return sum(c.instructions for c in self.calls)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a frame, counted from shapes."""
        return sum(c.work.macs for c in self.calls)

    @property
    def reading_cycles(self) -> int:
        """Cycles spent waiting for constants."""
        return round(sum(c.memory_cycles for c in self.calls))

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
            calls=sum(c.times for c in calls),
            macs=sum(c.work.macs for c in calls),
            cycles=sum(c.cycles for c in calls),
            convert_cycles=sum(c.cycles for c in calls if c.purpose is not Purpose.COMPUTE),
            constant_bytes=sum(c.constant_bytes for c in calls),
            instructions=sum(c.instructions for c in calls),
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
    placement: Placement | None = None,
) -> CostReport:
    """Estimate the time of one run of a program on a board. `kernels` defaults to the registered ones.

    Without a `placement` everything lies where the board's file says.

    Raises:
        KeyError: if the program calls a kernel that is not registered.
    """
    known = ops.kernels() if kernels is None else kernels
    core = table().cores[board.timing_core]
    memory = Memory.of(core, board)
    fitted = None if board.calibration is None else board.calibration.fitted
    core = replace(core, factor=core.factor * board.clock.cycles_factor) if fitted is None else core
    placed = placement or default(board)
    calls = tuple(
        _call_cost(program, call, known[call.kernel], core, memory, fitted, placed).repeated(program.times(i), memory)
        for i, call in enumerate(program.calls)
    )
    supported = status(core, board)
    return CostReport(
        board=board.id,
        core=board.core.name,
        isa=program.isa,
        kernel_isa=board.kernel_isa,
        clock_hz=board.clock.hz,
        flash_wait_states=board.clock.flash_wait_states,
        program_memory=board.program_memory.name,
        arena_memory=placed.memory,
        calls=calls,
        budget_ms=budget_ms,
        error_pct=_error(core, calls, board),
        status=supported,
        why=tuple(_reasons(core, calls, board, supported)),
        assumptions=tuple(_assumptions(program, board, placed)),
        origin="estimated" if fitted is None else "fitted",
    )


def priced_name(call: Call) -> str:
    """What decides the price of a call: its kernel, and functions that are passed to it ("mq_map_f32+mq_fn_tanh")."""
    nested = [a.fields.values() if isinstance(a, Struct) else (a,) for a in call.args.values()]
    symbols = [v.name for values in nested for v in values if isinstance(v, Symbol)]
    return "+".join(dict.fromkeys([call.kernel, *(name for name in symbols if name != "NULL")]))


#: A line of flash holds the core up for its wait states and half as many again (what is between two reads): four boards
#: on which weights were moved to RAM took 1.2 to 1.7 times the wait states.
WAIT_FACTOR = 1.5


@dataclass(frozen=True)
class Memory:
    """Where constants are read from: cycles per byte on top of the load, and the largest cache in front of it.

    `origin` says where the cycles come from: measured, modelled (from wait states and lines), or taken from the core's
    table for memory of that kind.
    """

    cycles_per_byte: float
    cache_bytes: int
    origin: str

    @staticmethod
    def of(core: CoreEntry, board: Board) -> Memory:
        """Measured on this board, else from the facts of its memory, else what the core's entry takes; none for RAM."""
        cache = max((c.bytes for c in board.caches if c.kind != "instruction"), default=0)
        region = board.program_memory
        if board.calibration is not None:
            return Memory(board.calibration.fitted.read_cycles_per_byte, cache, "measured")
        if region.read_cycles_per_byte is not None:
            return Memory(region.read_cycles_per_byte, cache, "measured")
        modelled = read_cycles_per_byte(region, board.clock)
        if modelled is not None:
            return Memory(modelled, cache, "modelled")
        return Memory(core.read_cycles_per_byte.get(region.kind, 0.0), cache, "table")

    def bytes_read(self, constant_bytes: int, passes: int) -> int:
        """Reading all constants so many times: once only, if they stay in the cache."""
        return constant_bytes * (1 if constant_bytes <= self.cache_bytes else passes)


def read_cycles_per_byte(region: MemoryRegion, clock: ClockPoint) -> float | None:
    """Cycles of reading flash in order, from its wait states and lines, or from its serial bus; None if not known."""
    if region.line_bytes is None:
        return None
    if region.serial_hz and region.serial_bits and region.serial_overhead is not None:
        clocks = region.serial_overhead + 8 * region.line_bytes / region.serial_bits
        return clocks * clock.hz / region.serial_hz / region.line_bytes
    if clock.flash_wait_states is None or region.kind != "flash":
        return None
    return WAIT_FACTOR * clock.flash_wait_states * clock.bus_divider / region.line_bytes


def _call_cost(
    program: Program,
    call: Call,
    kernel: Kernel,
    core: CoreEntry,
    memory: Memory,
    fitted: Fitted | None,
    placed: Placement,
) -> CallCost:
    entry, by_format = _entry(program, call, core)
    isa = variant_isa(call.kernel, program.isa) if call.kernel in sources() else "scalar"
    work = kernel.counts(program, call)
    names = dict.fromkeys(call.constants)
    constant_bytes = sum(program.constants[name].bytes for name in names)
    in_flash = sum(program.constants[name].bytes for name in names if name not in placed.weights)
    factor, error_pct = core.factor, entry.error_pct
    if fitted is not None:
        own = fitted.kernels.get(f"{entry.name}@{isa}")
        factor *= own.factor if own else fitted.factor
        error_pct = own.error_pct if own else _widen(fitted.error_pct, entry.error_pct)
    return CallCost(
        kernel=call.kernel,
        operator=call.operator,
        purpose=call.purpose,
        work=work,
        compute_cycles=factor * entry.cycles.of(work),
        memory_cycles=memory.cycles_per_byte * memory.bytes_read(in_flash, work.passes),
        constant_bytes=constant_bytes,
        flash_bytes=in_flash,
        read_bytes=memory.bytes_read(in_flash, work.passes),
        instructions=round(entry.instructions.of(work)),
        error_pct=error_pct,
        entry=entry.name,
        isa=isa,
        by_format=by_format,
    )


def _entry(program: Program, call: Call, core: CoreEntry) -> tuple[Entry, bool]:
    """The entry for this kernel and instruction set, or for another of its variants; else that of its formats.

    A kernel that works on several formats is priced with the one whose multiplications cost most.
    """
    name = priced_name(call)
    own = (variant_isa(call.kernel, program.isa),) if call.kernel in sources() else ()
    for isa in dict.fromkeys((*own, *reversed(ISAS))):
        found = table().kernels.get((name, isa, core.coefficients_of))
        if found:
            return found, False
    touched = {program.edges[b.edge].type.format for _, b in call.buffers()}
    touched |= {program.constants[name].format for name in call.constants}
    known = {fmt: e for (fmt, counted), e in table().formats.items() if counted == core.coefficients_of}
    candidates = [e for fmt, e in known.items() if fmt in touched] or list(known.values())
    return max(candidates, key=lambda e: e.cycles.mac), True


def status(core: CoreEntry, board: Board) -> Status:
    """What supports the timing of a board."""
    if board.calibration is not None or board.id in core.measured_on:
        return Status.CALIBRATED
    return Status.TRANSFERRED if core.measured_on else Status.NONE


def _error(core: CoreEntry, calls: tuple[CallCost, ...], board: Board) -> Percent:
    """The range of the core, widened by those of the calls' coefficients, by transfer and by serial flash.

    Coefficients are off in both directions and independently, so that the sum of many calls is nearer than each; calls
    of one kernel are taken to be off together.
    """
    if board.calibration is not None:
        return _widen(MEASURED_ERROR_PCT, _of_coefficients(calls))
    return _widen(core_range(core, board), _of_coefficients(calls))


def core_range(core: CoreEntry, board: Board) -> Percent:
    """The range of a core on a board, without that of the kernels."""
    found, supported = core.error_pct, status(core, board)
    if supported is Status.TRANSFERRED:
        found = _widen(found, table().transferred_error_pct)
    in_place = board.program_memory.kind == "xip" and supported is not Status.CALIBRATED
    return _widen(found, table().xip_error_pct) if in_place else found


def _of_coefficients(calls: tuple[CallCost, ...]) -> Percent:
    total = sum(c.cycles for c in calls)
    by_kernel: dict[str, list[float]] = {}
    for c in calls:
        sums = by_kernel.setdefault(c.kernel, [0.0, 0.0])
        sums[0] += c.cycles * c.error_pct[0]
        sums[1] += c.cycles * c.error_pct[1]
    if not total:
        return 0.0, 0.0
    low, high = (sum(s[side] ** 2 for s in by_kernel.values()) ** 0.5 / total for side in (0, 1))
    return -low, high


def _widen(a: Percent, b: Percent) -> Percent:
    low, high = ((1 + x / 100) * (1 + y / 100) for x, y in zip(a, b, strict=True))
    return round(100 * (low - 1)), round(100 * (high - 1))


def _share_by_format(calls: tuple[CallCost, ...]) -> float:
    total = sum(c.cycles for c in calls)
    return sum(c.cycles for c in calls if c.by_format) / total if total else 0.0


_SUPPORT = {
    Status.CALIBRATED: "published measurements of this board were compared with it",
    Status.TRANSFERRED: "published measurements of another board with this core were compared with it",
    Status.NONE: "no measurement of this core was compared with it",
}


def _reasons(core: CoreEntry, calls: tuple[CallCost, ...], board: Board, status: Status) -> Iterator[str]:
    if board.calibration is not None:
        yield from _measured(board.calibration, calls)
        return
    yield f"{status}: {_SUPPORT[status]}"
    yield core.why
    if any(c.by_format for c in calls):
        names = ", ".join(dict.fromkeys(c.kernel for c in calls if c.by_format))
        share = 100 * _share_by_format(calls)
        yield f"no coefficients for {names} ({share:.0f} % of the cycles): priced as any kernel on the same formats"
    if board.program_memory.kind == "xip" and status is not Status.CALIBRATED:
        yield "weights are read in place from serial flash through a small cache; its hits depend on access order"


def _measured(made: Calibration, calls: tuple[CallCost, ...]) -> Iterator[str]:
    """What a calibration rests on, and what part of this program it has not seen."""
    yield (
        f"calibrated: fitted to {len({c.call for c in made.calls})} calls of {made.models}, measured on this board on "
        f"{made.days}; held out, their sum is off by {made.fitted.held_out_pct:+.1f} %"
    )
    total = sum(c.cycles for c in calls)
    unseen = [c for c in calls if f"{c.entry}@{c.isa}" not in made.fitted.kernels]
    if unseen:
        names = ", ".join(dict.fromkeys(c.kernel for c in unseen))
        share = 100 * sum(c.cycles for c in unseen) / total
        yield f"not measured: {names} ({share:.0f} % of the cycles), taken to be off as the others were"


def _assumptions(program: Program, board: Board, placed: Placement) -> Iterator[str]:
    clock = board.clock
    states = "" if clock.flash_wait_states is None else f", {clock.flash_wait_states} flash wait states"
    yield f"{clock.hz / 1e6:g} MHz{states}"
    if board.caches:
        yield f"caches are on ({', '.join(c.name for c in board.caches)})"
    for loop in program.loops:
        if loop.count is None:
            yield f"the loop {loop.name} runs one step: only data says how many"
        elif loop.condition or loop.limit:
            yield f"the loop {loop.name} runs all of its {loop.count} steps: data may end it earlier"
    yield f"weights in {board.program_memory.name}, working memory in {placed.memory}"
    yield from placed.why
    memory = Memory.of(table().cores[board.timing_core], board)
    how = {
        "measured": "measured",
        "modelled": "from its wait states and lines",
        "table": "as such memory on such cores",
    }
    if memory.cycles_per_byte:
        yield f"reading weights takes {memory.cycles_per_byte:.2g} cycles per byte ({how[memory.origin]})"
    level = board.compiler.level
    if program.isa == board.kernel_isa:
        yield f"{program.isa} kernels, compiled with -O2" + ("" if level == "-O2" else f"; this build uses {level}")
    else:
        yield f"{program.isa} kernels, compiled with -O2; the core could run {board.kernel_isa} kernels"
