"""Cycles of executed instructions on RISC-V cores: one at a time, in order; memory without wait states, no caches.

* Hazard3 (RP2350): its documentation, instruction cycle counts. The front end remembers the last branch backwards that
  was taken, so that the branch that closes a loop costs a cycle more only when the loop begins and when it ends.
* CV32E40P, which descends from the core of PULP chips as GAP9's do: its user manual, cycle counts per instruction type.
  Its floating-point unit is taken to answer in the next cycle.
* Espressif's cores: nobody has published their timing. They have four stages and issue in order as the CV32E40P does,
  and are priced as that; CoreMark tells how far off that is (bench/coremark.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol


class Instruction(Protocol):
    """As `bench.prices.listing` has it."""

    @property
    def mnemonic(self) -> str: ...

    @property
    def operands(self) -> str: ...


@dataclass(frozen=True)
class Timing:
    """Cycles beyond the first one: of a jump, of a branch that is taken, of multiplying to the upper word, of dividing.

    `predicts`: branches backwards cost `taken` at the beginning and at the end of a loop only. `forwards`: what was
    loaded can be stored at once. `float_late`: cycles until the result of floating-point arithmetic can be used.
    """

    jump: int
    taken: int
    upper: int
    divide: int
    predicts: bool = False
    forwards: bool = False
    float_late: int = 1
    float_divide: int = 11


_CV32E40P = Timing(jump=1, taken=2, upper=4, divide=18)
CORES: Mapping[str, Timing] = {
    "hazard3": Timing(jump=1, taken=1, upper=0, divide=17, predicts=True, forwards=True),
    "gap9": _CV32E40P,
    "esp-riscv": _CV32E40P,
}

_LOADS = ("lw", "lh", "lb", "lhu", "lbu", "flw")
_STORES = ("sw", "sh", "sb", "fsw")
_JUMPS = ("j", "jal", "jalr", "jr", "ret", "call", "tail")
_LATE_FLOAT = ("fadd", "fsub", "fmul", "fmadd", "fmsub", "fnmadd", "fnmsub", "fcvt")


def is_branch(i: Instruction) -> bool:
    """A conditional one."""
    return re.fullmatch(r"b(eq|ne|lt|ge|gt|le)u?z?", i.mnemonic) is not None


def cycles(rows: Sequence[Sequence[int]], instructions: Sequence[Instruction], core: str) -> float:
    """Cycles of a profile: rows [address, executed, branched away], in order of addresses."""
    timing = CORES[core]
    total = 0.0
    for (address, executed, left), i in zip(rows, instructions, strict=True):
        total += executed * (1 + _more(i, timing)) + _branching(address, executed, left, i, timing)
    pairs = zip(pairwise(instructions), rows[1:], strict=True)
    return total + sum(executed * _late(before, now, timing) for (before, now), (_, executed, _) in pairs)


def _more(i: Instruction, timing: Timing) -> int:
    """Cycles beyond the first, whatever is around the instruction."""
    if i.mnemonic in _JUMPS:
        return timing.jump
    if i.mnemonic.startswith("mulh"):
        return timing.upper
    if i.mnemonic.startswith(("div", "rem")):
        return timing.divide
    return timing.float_divide if i.mnemonic in ("fdiv", "fsqrt") else 0


def _branching(address: int, executed: int, left: int, i: Instruction, timing: Timing) -> int:
    """Cycles that a branch adds by what it did."""
    if not is_branch(i):
        return 0
    backwards = int(i.operands.rpartition(",")[2], 16) < address
    if timing.predicts and backwards:
        ends = executed - left
        return timing.taken * min(left, 2 * ends)
    return timing.taken * left


def _late(before: Instruction, now: Instruction, timing: Timing) -> int:
    """Cycles that an instruction waits for the one before it."""
    if before.mnemonic not in _LOADS and before.mnemonic not in _LATE_FLOAT:
        return 0
    written, _, _ = before.operands.partition(",")
    all_read = is_branch(now) or (now.mnemonic in _STORES and not timing.forwards)
    reads = now.operands if all_read else now.operands.partition(",")[2]
    if not re.search(rf"\b{re.escape(written.strip())}\b", reads):
        return 0
    return 1 if before.mnemonic in _LOADS else timing.float_late
