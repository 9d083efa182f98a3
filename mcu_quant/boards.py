"""Boards: facts from `boards/*.toml`, each with its source, checked and frozen.

A file that breaks `schemas/board.json`, or that states a fact without a source, is refused with all its problems at
once. What follows from facts (which kernels a core can run, where the arena lies) is computed here, not written down.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mcu_quant import calibration, paths, schemas
from mcu_quant.calibration import Calibration
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean, raise_errors

#: Instruction sets of kernels, from the one every core runs to the fastest.
KERNEL_ISAS = ("scalar", "dsp", "mve")

#: Kinds of memory that cannot hold working data.
READ_ONLY = ("flash", "xip")

#: Kinds of memory that the arena is not put into unless the board file says so.
NOT_FOR_ARENA = (*READ_ONLY, "itcm", "backup", "psram")


#: The core as which those of Arm's cores are timed whose floating-point unit was left out.
WITHOUT_FPU = dict.fromkeys(("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-m85"), "cortex-m3")
#: RISC-V's binary interfaces with registers for floats.
HARD_FLOAT = ("ilp32f", "ilp32d")


class HalfPrecision(StrEnum):
    """What a core does with f16: compute in it, only convert it to and from f32, or nothing in hardware."""

    ARITHMETIC = "arithmetic"
    STORAGE = "storage"
    NONE = "none"


@dataclass(frozen=True)
class Core:
    """The core that runs the model. `name` as its vendor writes it; it selects the latency coefficients."""

    name: str
    architecture: str
    fpu: str
    count: int = 1
    dsp: bool = False
    mve: str = "none"
    fp16: bool = False


#: Symbols that picolibc's own linker script asks for: whether a model fits we say ourselves.
_PICOLIBC = {"__flash_size": 0x1000_0000, "__ram_size": 0x1000_0000}


@dataclass(frozen=True)
class Compiler:
    """How to compile for the core. Exactly the values of GCC's options of the same names.

    Arm's compilers are told of registers for floats with `float_abi`, those for RISC-V with `mabi`.
    """

    triple: str
    float_abi: str | None = None
    mcpu: str | None = None
    march: str | None = None
    mfpu: str | None = None
    mabi: str | None = None
    #: the C library, where it is not the newlib that comes with the compiler
    specs: str | None = None
    #: whatever else the compiler must be told
    options: tuple[str, ...] = ()
    #: what code is optimised for: speed or size
    optimise: str = "speed"

    @property
    def level(self) -> str:
        """The option that says so."""
        return "-Os" if self.optimise == "size" else "-O2"

    @property
    def flags(self) -> tuple[str, ...]:
        """Options that select the core; GCC and clang (with --target) take the same ones."""
        named = {
            "-mcpu": self.mcpu,
            "-march": self.march,
            "-mfpu": self.mfpu,
            "-mfloat-abi": self.float_abi,
            "-mabi": self.mabi,
            "--specs": self.specs,
        }
        return (*(f"{option}={value}" for option, value in named.items() if value is not None), *self.options)

    @property
    def libraries(self) -> tuple[str, ...]:
        """The linker's options for the C library."""
        if self.specs == "picolibc.specs":
            return tuple(f"-Wl,--defsym={symbol}={value:#x}" for symbol, value in _PICOLIBC.items())
        return () if self.specs else ("--specs=nano.specs", "--specs=nosys.specs")

    @property
    def float_registers(self) -> bool:
        """Whether floats are passed in registers of their own."""
        return self.float_abi == "hard" or self.mabi in HARD_FLOAT

    @property
    def gcc_flags(self) -> tuple[str, ...]:
        """`flags`, the level where it is not the usual one, and what GCC alone needs: the format of __fp16."""
        flags = self.flags if self.optimise == "speed" else (*self.flags, self.level)
        return flags if self.float_abi in (None, "soft") else (*flags, "-mfp16-format=ieee")


@dataclass(frozen=True)
class ClockPoint:
    """A clock setting. `flash_wait_states` is None where there is no flash on the core's bus, or it is not known."""

    name: str
    hz: int
    flash_wait_states: int | None = None
    #: core clock over the clock that wait states are counted in
    bus_divider: int = 1
    #: core cycles per cycle of the core's table, where a board was measured to take more
    cycles_factor: float = 1.0
    note: str = ""


@dataclass(frozen=True)
class MemoryRegion:
    """A bank that can hold one contiguous array. `execute` and `dma` are None where it is not known."""

    name: str
    kind: str
    address: int
    bytes: int
    use: tuple[str, ...] = ()
    execute: bool | None = None
    dma: bool | None = None
    reserved_bytes: int = 0
    #: core cycles to read one byte once, in order, on top of the load instruction; None if nobody measured it
    read_cycles_per_byte: float | None = None
    #: bytes that one access brings
    line_bytes: int | None = None
    serial_hz: int | None = None
    serial_bits: int | None = None
    serial_overhead: int | None = None
    note: str = ""

    @property
    def usable_bytes(self) -> int:
        """What is left for the model."""
        return self.bytes - self.reserved_bytes

    @property
    def writable(self) -> bool:
        """Whether a program can write to it with plain stores."""
        return self.kind not in READ_ONLY

    @property
    def end(self) -> int:
        """First address after the region."""
        return self.address + self.bytes


@dataclass(frozen=True)
class Cache:
    """A cache or a flash accelerator. `kind` is instruction, data or unified."""

    name: str
    kind: str
    bytes: int
    note: str = ""


@dataclass(frozen=True)
class Power:
    """Power of the microcontroller while it computes, under one published condition."""

    name: str
    clock_hz: int
    mw: float
    condition: str


@dataclass(frozen=True)
class Debug:
    """Names under which flashing tools know the board; None where a tool does not know it."""

    probe_rs: str | None = None
    openocd_board: str | None = None
    openocd_target: str | None = None
    openocd_interface: str | None = None
    pyocd: str | None = None
    #: whether pyOCD knows the target only after `pyocd pack install TARGET`
    pyocd_pack: bool = False
    jlink: str | None = None
    uf2: bool = False
    #: what must happen after reset before a program at the beginning of flash runs; "" if nothing
    boot: str = ""


@dataclass(frozen=True)
class Emulator:
    """An emulator that runs code for this core. None of them gives times."""

    tool: str
    machine: str
    same_memory_map: bool
    note: str = ""


@dataclass(frozen=True, eq=False)
class Board:
    """A board: its facts, and what follows from them for a model."""

    id: str
    name: str
    vendor: str
    mcu: str
    core: Core
    compiler: Compiler
    clocks: tuple[ClockPoint, ...]
    memory: tuple[MemoryRegion, ...]
    sources: Mapping[str, str]
    #: every fact of the file by its dotted key, for `source` and for listings
    facts: Mapping[str, object]
    caches: tuple[Cache, ...] = ()
    power: tuple[Power, ...] = ()
    debug: Debug = Debug()
    emulators: tuple[Emulator, ...] = ()
    zephyr_board: str | None = None
    url: str = ""
    note: str = ""
    #: what a user measured on this board
    calibration: Calibration | None = None

    @property
    def kernel_isa(self) -> str:
        """The fastest instruction set of kernels that the core can run; `available_isa` says which exist.

        Kernels for it are two and three times as large as those in portable C, which builds for size use.
        """
        if self.compiler.optimise == "size":
            return "scalar"
        if self.core.mve != "none":
            return "mve"
        return "dsp" if self.core.dsp else "scalar"

    @property
    def timing_core(self) -> str:
        """The core whose timing is taken: without a floating-point unit, one that never has one."""
        name = self.core.name
        return name if self.core.fpu != "none" else WITHOUT_FPU.get(name, name)

    @property
    def size_core(self) -> str:
        """The table of code sizes: code for RISC-V depends on the instruction set, not on the core."""
        return (self.compiler.march or self.core.name) if self.core.architecture == "rv32" else self.timing_core

    @property
    def half_precision(self) -> HalfPrecision:
        """What f16 means on this core."""
        if self.core.fp16:
            return HalfPrecision.ARITHMETIC
        return HalfPrecision.NONE if self.core.fpu == "none" else HalfPrecision.STORAGE

    @property
    def offers_f16(self) -> bool:
        """Whether a plan may use f16 on this board at all."""
        return self.half_precision is not HalfPrecision.NONE

    @property
    def clock(self) -> ClockPoint:
        """The setting that reports use: the first of the file."""
        return self.clocks[0]

    @property
    def program_memory(self) -> MemoryRegion:
        """Where code and weights lie."""
        return next(r for r in self.memory if "program" in r.use)

    @property
    def arena_memory(self) -> MemoryRegion:
        """Where working memory, state and stack lie: the declared region, else the largest bank that may hold it."""
        declared = [r for r in self.memory if "arena" in r.use]
        return declared[0] if declared else max(_arena_candidates(self.memory), key=lambda r: r.usable_bytes)

    def region(self, name: str) -> MemoryRegion:
        """The memory region of that name.

        Raises:
            KeyError: if there is none.
        """
        for region in self.memory:
            if region.name == name:
                return region
        raise KeyError(name)

    def emulator(self, tool: str) -> Emulator | None:
        """The machine of an emulator (qemu, renode, fvp) for this board, or None."""
        return next((e for e in self.emulators if e.tool == tool), None)

    def source(self, fact: str) -> str:
        """Where a fact comes from: the entry of [sources] for it, or for the nearest table around it.

        Raises:
            KeyError: if the file states no such fact.
        """
        found = _source_key(fact, self.sources)
        if fact not in self.facts or found is None:
            raise KeyError(fact)
        return self.sources[found]

    @property
    def unverified(self) -> tuple[str, ...]:
        """Facts that nobody has looked up in the vendor's manual yet."""
        return tuple(f for f in self.facts if self.source(f).startswith("unverified"))


# --- loading -------------------------------------------------------------------------------------------------------


def load(name_or_path: str | Path, calibrated: bool = True, optimise: str = "speed") -> Board:
    """A board by its id, or from a file: anything that ends in `.toml` or holds a slash is a path.

    With its calibration, if somebody measured it here and it is `calibrated`. `optimise` for speed or size is what its
    compiler is told and which kernels it uses.

    Raises:
        DiagnosticError: MQ501 if there is no such board or file; MQ502 with everything that is wrong in the file; MQ506
            if its calibration is damaged.
    """
    read = _uncalibrated(name_or_path)
    board = replace(read, compiler=replace(read.compiler, optimise=optimise))
    found = calibration.find(board.id, file_of(name_or_path)) if calibrated else None
    return board if found is None else replace(board, calibration=found)


def file_of(name_or_path: str | Path) -> Path | None:
    """The file that a name of a board means; None where it means a board that comes with mcu-quant."""
    text = str(name_or_path)
    return Path(name_or_path) if text.endswith(".toml") or "/" in text or "\\" in text else None


def _uncalibrated(name_or_path: str | Path) -> Board:
    text, path = str(name_or_path), file_of(name_or_path)
    if path is not None:
        if not path.is_file():
            message = "there is no such board file"
            raise DiagnosticError(Diagnostic("MQ501", text, message, help="--board takes a board's id or a file"))
        return _read(path)
    if text not in ids():
        help_ = did_you_mean(text, ids()) or "`mcu-quant boards` lists them"
        raise DiagnosticError(Diagnostic("MQ501", "--board", f"there is no board {text!r}", help=help_))
    return _built_in(text)


@cache
def ids() -> tuple[str, ...]:
    """Ids of the boards that come with mcu-quant, in alphabetical order."""
    return tuple(sorted(path.stem for path in paths.boards().glob("*.toml")))


def all_boards() -> tuple[Board, ...]:
    """All boards that come with mcu-quant, in alphabetical order."""
    return tuple(_built_in(board_id) for board_id in ids())


@cache
def _built_in(board_id: str) -> Board:
    return _read(paths.boards() / f"{board_id}.toml")


def _read(path: Path) -> Board:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        help_ = "docs/boards.md shows a whole board file"
        raise DiagnosticError(Diagnostic("MQ502", str(path), f"cannot be read: {error}", help=help_)) from error
    raise_errors(check(document, str(path), path.stem))
    return _board(document)


def check(document: Mapping[str, Any], where: str, stem: str = "") -> list[Diagnostic]:
    """Everything that is wrong with the contents of a board file; `stem` is the file's name without suffix.

    The rules beyond the schema are looked at only where the schema holds, since they rely on its types.
    """
    problems = schemas.validate(document, "board", where, "MQ502")
    if problems:
        return problems
    found = [*_check_sources(document), *_check_memory(document), *_check_core(document)]
    if stem and document["id"] != stem:
        found.append(("id", f"is {document['id']!r}, but the file is called {stem}.toml", "make both the same"))
    return [Diagnostic("MQ502", f"{where}: {key}", message, help=help_) for key, message, help_ in found]


Problem = tuple[str, str, str]
"""Key, message and remedy."""


def _check_sources(document: Mapping[str, Any]) -> Iterator[Problem]:
    facts, sources = _facts(document), document["sources"]
    for fact in facts:
        if _source_key(fact, sources) is None:
            yield fact, "no source is given for this fact", f'add "{fact}" = "..." to [sources], or "unverified: ..."'
    tables = {".".join(fact.split(".")[:n]) for fact in facts for n in range(1, fact.count(".") + 2)}
    for key in sources:
        if key not in tables:
            yield f"sources.{key}", "names no fact of this file", did_you_mean(key, tables)


def _check_memory(document: Mapping[str, Any]) -> Iterator[Problem]:
    regions = _regions(document)
    for word in ("program", "arena"):
        having = [r.name for r in regions if word in r.use]
        if len(having) > 1:
            yield "memory", f"{' and '.join(having)} both have {word!r} in `use`", "one region holds it"
    if not any("program" in r.use for r in regions):
        yield "memory", "no region has 'program' in `use`", 'say where code and weights lie: use = ["program"]'
    if not any("arena" in r.use for r in regions) and not _arena_candidates(regions):
        yield "memory", "no region can hold the arena", "add the RAM of the board"
    for r in regions:
        if r.usable_bytes < 0:
            yield f"memory.{r.name}.reserved_bytes", f"is more than the {r.bytes} bytes there are", ""
        if "arena" in r.use and not r.writable:
            yield f"memory.{r.name}.use", f"the arena cannot lie in {r.kind}", ""
    in_order = sorted(regions, key=lambda r: r.address)
    for a, b in pairwise(in_order):
        if b.address < a.end:
            message = f"begins at {b.address:#010x}, but {a.name} reaches to {a.end:#010x}"
            yield f"memory.{b.name}.address", message, "regions may not overlap"


def _check_core(document: Mapping[str, Any]) -> Iterator[Problem]:
    core, compiler = Core(**document["core"]), _compiler(document)
    arm, riscv = (core.architecture.startswith(family) for family in ("armv", "rv"))
    if arm and compiler.float_abi is None:
        yield "compiler.float_abi", "is missing", "soft goes with no floating-point unit, hard with one"
    elif arm and (core.fpu == "none") != (compiler.float_abi == "soft"):
        message = f"is {compiler.float_abi!r}, but core.fpu is {core.fpu!r}"
        yield "compiler.float_abi", message, "soft goes with no floating-point unit, hard with one"
    if riscv and compiler.mabi is None:
        yield "compiler.mabi", "is missing", "ilp32 goes with no floating-point unit, ilp32f or ilp32d with one"
    elif riscv and (core.fpu == "none") == compiler.float_registers:
        message = f"is {compiler.mabi!r}, but core.fpu is {core.fpu!r}"
        yield "compiler.mabi", message, "ilp32 goes with no floating-point unit, ilp32f or ilp32d with one"
    if core.fp16 and core.fpu == "none":
        yield "core.fp16", "needs a floating-point unit", ""


# --- from the document to the value --------------------------------------------------------------------------------

#: Keys that are names, choices or advice, and need no source.
_NOT_FACTS = ("id", "name", "vendor", "url", "note", "sources")


def _facts(table: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Every fact by its dotted key: "core.fpu", "memory.flash.bytes". Advice (`use`, `note`) is not a fact."""
    found: dict[str, object] = {}
    for key, value in table.items():
        if key in ("use", "note") or (not prefix and key in _NOT_FACTS):
            continue
        if isinstance(value, Mapping):
            found |= _facts(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _source_key(fact: str, sources: Mapping[str, str]) -> str | None:
    """The most specific key of [sources] that covers a fact."""
    parts = fact.split(".")
    return next((k for n in range(len(parts), 0, -1) if (k := ".".join(parts[:n])) in sources), None)


def _regions(document: Mapping[str, Any]) -> tuple[MemoryRegion, ...]:
    return tuple(
        MemoryRegion(name=name, **{**fields, "use": tuple(fields.get("use", ()))})
        for name, fields in document["memory"].items()
    )


def _compiler(document: Mapping[str, Any]) -> Compiler:
    fields = document["compiler"]
    return Compiler(**{**fields, "options": tuple(fields.get("options", ()))})


def _arena_candidates(regions: tuple[MemoryRegion, ...]) -> list[MemoryRegion]:
    return [r for r in regions if r.kind not in NOT_FOR_ARENA and "program" not in r.use]


def _board(document: Mapping[str, Any]) -> Board:
    return Board(
        id=document["id"],
        name=document["name"],
        vendor=document["vendor"],
        mcu=document["mcu"],
        core=Core(**document["core"]),
        compiler=_compiler(document),
        clocks=tuple(ClockPoint(name=name, **fields) for name, fields in document["clock"].items()),
        memory=_regions(document),
        sources=MappingProxyType(dict(document["sources"])),
        facts=MappingProxyType(_facts(document)),
        caches=tuple(Cache(name=name, **fields) for name, fields in document.get("cache", {}).items()),
        power=tuple(Power(name=name, **fields) for name, fields in document.get("power", {}).items()),
        debug=Debug(**document.get("debug", {})),
        emulators=tuple(Emulator(tool=tool, **fields) for tool, fields in document.get("emulator", {}).items()),
        zephyr_board=document.get("zephyr_board"),
        url=document.get("url", ""),
        note=document.get("note", ""),
    )


# --- kernels -------------------------------------------------------------------------------------------------------


def available_isa(board: Board) -> str:
    """The fastest instruction set that the core can run and that kernels are written for.

    Kernels are files `firmware/kernels/<family>/<kernel>__<isa>.c`. Where a kernel has no variant for this instruction
    set, its scalar variant is used.
    """
    able = KERNEL_ISAS[: KERNEL_ISAS.index(board.kernel_isa) + 1]
    return next((isa for isa in reversed(able) if isa in existing_isas()), "scalar")


@cache
def existing_isas() -> frozenset[str]:
    """Instruction sets that at least one kernel is written for."""
    sources = paths.firmware().glob("kernels/*/*__*.c")
    return frozenset(path.stem.rpartition("__")[2] for path in sources)
