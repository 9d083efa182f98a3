"""Where constants and working memory lie on a board with more than one kind of memory.

By default constants are read where the program lies, and arena and state lie in the board's arena memory. With
`--place auto`, constants are copied to RAM at start-up where that saves most cycles per byte, and arena and state go
to tightly coupled memory where there is some; `--place arena=REGION`, `--place weights=REGION` and `--place
OPERATOR=REGION` say it by hand. Nothing is moved that does not fit: the stack and the caller's buffers stay in the
arena memory and are left room there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from mcu_quant.boards import Board, MemoryRegion
from mcu_quant.diagnostics import Diagnostic, did_you_mean, raise_errors
from mcu_quant.memory import MemoryPlan
from mcu_quant.program import Program

if TYPE_CHECKING:
    from mcu_quant.cost import CostReport

#: Room that is left for the stack, the C library and start-up code in the arena memory.
STACK_BYTES = 4096
#: Memory that nothing is moved to unless somebody says so: slow, or kept for other things.
_BY_HAND = ("psram", "backup", "itcm")
AUTO, FLASH = "auto", "flash"


@dataclass(frozen=True)
class Placement:
    """The region of arena and state, and of each constant that is copied to RAM at start-up. `why` has a line on each.

    Attributes:
        weights: constant -> region.
        bytes: bytes of copied constants per region.
        banks: regions that something was put into which usually lies elsewhere.
    """

    memory: str
    weights: Mapping[str, str] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)
    banks: tuple[MemoryRegion, ...] = ()
    why: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("weights", "bytes"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))


def default(board: Board) -> Placement:
    """Everything where the board's file says."""
    return Placement(board.arena_memory.name)


@dataclass(frozen=True)
class Wish:
    """What `--place` asked for: per subject ("arena", "weights" or an operator) a region, "auto" or "flash"."""

    regions: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def parse(texts: Sequence[str]) -> Wish:
        """ "auto" is both, "arena=dtcm" one.

        Raises:
            DiagnosticError: MQ900 for what is neither.
        """
        found: dict[str, str] = {}
        problems = []
        for text in texts:
            subject, equals, region = text.rpartition("=")
            if text == AUTO:
                found |= {"arena": AUTO, "weights": AUTO}
            elif equals and subject and region:
                found[subject] = region
            else:
                help_ = "for example --place auto, --place weights=dtcm, --place arena=auto, --place OPERATOR=sram"
                problems.append(Diagnostic("MQ900", f"--place {text}", "is no placement", help=help_))
        raise_errors(problems)
        return Wish(found)

    def on(self, board: Board) -> tuple[Wish, tuple[str, ...]]:
        """The part of it that a board has the memory for, and a line on each that it has not."""
        able = {AUTO, FLASH, *(r.name for r in board.memory if r.writable)}
        kept = {subject: region for subject, region in self.regions.items() if region in able}
        lines = (f"{s} where it usually is: there is no {r}" for s, r in self.regions.items() if r not in able)
        return Wish(kept), tuple(lines)


class _Room:
    """Bytes that are left in each region."""

    def __init__(self, board: Board, program: Program) -> None:
        ports = sum(program.edges[n].type.bytes for n in (*program.inputs, *program.outputs))
        self._left = {r.name: r.usable_bytes for r in board.memory if r.writable}
        self._left[board.arena_memory.name] -= ports + STACK_BYTES
        if board.program_memory.writable:
            self._left[board.program_memory.name] = 0  # an emulator's: the program is in it

    def take(self, region: str, size: int) -> bool:
        """Room for so many bytes, if it is there."""
        if self._left[region] < size:
            return False
        self._left[region] -= size
        return True

    def left(self, region: str) -> int:
        """Bytes that nobody has taken."""
        return max(0, self._left[region])


def place(program: Program, memory: MemoryPlan, board: Board, cost: CostReport, wish: Wish) -> Placement:
    """Decide. `cost` is that of everything in its default place.

    Raises:
        DiagnosticError: MQ507 for regions and operators that are not there, or what does not fit where it was put.
    """
    if not wish.regions:
        return default(board)
    raise_errors(list(_unknown(program, board, wish)))
    room = _Room(board, program)
    lines: list[str] = []
    chosen = _memory(memory, board, wish.regions.get("arena", ""), room, lines)
    gains = _gains(program, cost)
    copied: dict[str, str] = {}
    own = {operator: region for operator, region in wish.regions.items() if operator not in ("arena", "weights")}
    problems = []
    for operator, region in own.items():
        for name in _constants(program, operator):
            if region == FLASH:
                gains.pop(name, None)
            elif room.take(region, program.constants[name].bytes):
                copied[name] = region
            else:
                problems.append(_too_large(operator, region, program.constants[name].bytes, room))
    raise_errors(problems)
    wanted = wish.regions.get("weights", "")
    if wanted and wanted != FLASH:
        if wanted == AUTO:
            able, regions = {n: g for n, g in gains.items() if g > 0}, _fast(board)
        else:
            able, regions = gains, [board.region(wanted)]
        copied |= _copied(program, able, regions, room, copied)
    totals = {r: sum(program.constants[n].bytes for n, at in copied.items() if at == r) for r in set(copied.values())}
    lines += [_line(program, board, gains, copied, region) for region in sorted(totals)]
    moved = {*totals, *({chosen} - {board.arena_memory.name})}
    banks = tuple(r for r in board.memory if r.name in moved)
    return Placement(chosen, copied, totals, banks, tuple(lines))


def _unknown(program: Program, board: Board, wish: Wish) -> Iterator[Diagnostic]:
    operators = {c.operator for c in program.calls}
    writable = [r.name for r in board.memory if r.writable]
    for subject, region in wish.regions.items():
        where = f"--place {subject}={region}"
        if subject not in ("arena", "weights") and subject not in operators:
            help_ = did_you_mean(subject, ["arena", "weights", *operators]) or "`mcu-quant inspect` lists the operators"
            yield Diagnostic("MQ507", where, f"there is no operator {subject!r}", help=help_)
        words = [
            *writable,
            *([AUTO] if subject in ("arena", "weights") else []),
            *([FLASH] if subject != "arena" else []),
        ]
        if region not in words:
            message = f"{board.id} has no memory {region!r} that can be written"
            yield Diagnostic("MQ507", where, message, help=did_you_mean(region, words) or ", ".join(words))


def _too_large(subject: str, region: str, size: int, room: _Room) -> Diagnostic:
    message = f"{size} bytes do not fit: {room.left(region)} are left"
    return Diagnostic("MQ507", f"--place {subject}={region}", message, help="take another region, or --place auto")


def _memory(memory: MemoryPlan, board: Board, wanted: str, room: _Room, lines: list[str]) -> str:
    """Where arena and state lie, as one array."""
    size, usual = memory.arena_bytes + memory.state_bytes, board.arena_memory.name
    if wanted == AUTO:
        for region in (r for r in board.memory if r.kind == "dtcm" and r.name != usual):
            if room.take(region.name, size):
                lines.append(f"arena and state ({size} B) in {region.name}: it never waits, nor needs the cache")
                return region.name
    elif wanted and wanted != usual:
        if not room.take(wanted, size):
            raise_errors([_too_large("arena", wanted, size, room)])
        lines.append(f"arena and state ({size} B) in {wanted}, as asked")
        return wanted
    room.take(usual, size)
    return usual


def _fast(board: Board) -> list[MemoryRegion]:
    """RAM that constants are copied to by themselves: tightly coupled first, then the arena's, then the largest."""
    able = [r for r in board.memory if r.writable and r.kind not in _BY_HAND and "program" not in r.use]
    usual = board.arena_memory.name
    return sorted(able, key=lambda r: (r.kind != "dtcm", r.name != usual, -r.usable_bytes))


def _gains(program: Program, cost: CostReport) -> dict[str, float]:
    """Cycles per frame that reading each constant from RAM would save."""
    found: dict[str, float] = {}
    for call, spent in zip(program.calls, cost.calls, strict=True):
        names = dict.fromkeys(call.constants)
        total = sum(program.constants[n].bytes for n in names)
        for name in names if total else ():
            share = program.constants[name].bytes / total
            found[name] = found.get(name, 0.0) + share * spent.memory_cycles
    return found


def _constants(program: Program, operator: str) -> list[str]:
    return list(dict.fromkeys(n for c in program.calls if c.operator == operator for n in c.constants))


def _copied(
    program: Program, gains: Mapping[str, float], regions: Iterable[MemoryRegion], room: _Room, taken: Mapping[str, str]
) -> dict[str, str]:
    """Constants by the cycles that each of their bytes saves, into the first region with room."""
    size = {n: program.constants[n].bytes for n in gains}
    able = [n for n in gains if size[n] and n not in taken]
    able.sort(key=lambda n: (-gains[n] / size[n], -size[n], n))
    candidates = list(regions)
    found = {}
    for name in able:
        region = next((r.name for r in candidates if room.take(r.name, size[name])), None)
        if region:
            found[name] = region
    return found


def _line(program: Program, board: Board, gains: Mapping[str, float], copied: Mapping[str, str], region: str) -> str:
    names = [n for n, at in copied.items() if at == region]
    size = sum(program.constants[n].bytes for n in names)
    saved = sum(gains.get(n, 0.0) for n in names)
    source = board.program_memory.name
    return f"{size} B of constants copied from {source} to {region}: {saved:.0f} cycles per frame less"
