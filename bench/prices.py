"""Cycles of executed instructions, after Arm's technical reference manuals: memory without wait states, no caches.

A profile says how often each instruction of a call was executed, and how often it branched away (`Called.profile`); the
disassembler of the core's own toolchain says what the instruction is. A core's table says what it costs.

* Cortex-M0+: technical reference manual, table 3-1, with the single-cycle multiplier.
* Cortex-M0: its manual, table 3-1: as the Cortex-M0+, but taken branches take a cycle more.
* Cortex-M3: its manual, table 3-1: as the Cortex-M4, but MLA and MLS take two cycles, and products of 64 bits three to
  seven, by their operands: the middle is taken.
* Cortex-M4: technical reference manual, tables 3-1 and 7-1; a taken branch refills the pipeline in two cycles; a load
  or store behind another begins in its shadow; a floating-point result is a cycle late.
* Cortex-M55: technical reference manual and software optimisation guide: a vector instruction occupies its unit for two
  cycles, and one of the other kind (memory, arithmetic) starts a cycle later; what was loaded is a cycle late; loops of
  LE cost nothing. Its second issue slot is left out.
* Cortex-M7 and M85: two instructions issue together where the second does not need the first and both do not need the
  same unit; what is loaded is a cycle late; branches are predicted. On the M85 vector instructions go as on the M55.
* Cortex-M33: no manual gives its timing. As a Cortex-M4, but a taken branch costs one cycle less, a load one cycle and
  another one if the next instruction needs it, and two short (16-bit) instructions of the arithmetic-logic unit that do
  not need each other go together. Of some such rules this one comes nearest to the ratio of one library's times on a
  Cortex-M33 and a Cortex-M4 (Bosch HALE, MLPerf Tiny) and to that of CoreMark.
* RISC-V: bench/prices_riscv.py.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

from bench import prices_riscv
from mcu_quant.ir import Array


@dataclass(frozen=True)
class Instruction:
    """As the disassembler prints it, without width suffixes."""

    mnemonic: str
    operands: str
    #: 16 bits long
    short: bool = False


@dataclass(frozen=True)
class Price:
    """Cycles of an instruction, what a taken branch adds, and what matters for its successor."""

    cycles: int
    taken: int = 0
    access: bool = False
    arithmetic_fp: bool = False
    #: kind of vector instruction: "memory", "arithmetic"
    vector: str = ""


@cache
def listing(elf: Path, triple: str) -> Mapping[int, Instruction]:
    """Every instruction of a program by its address; what objdump does not know (long shifts of Helium) has no name."""
    command = [f"{triple}-objdump", "-d", "--no-show-raw-insn", str(elf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^ *([0-9a-f]+):\t([^\s@]*)[\t ]*([^\n;@<]*)", text, flags=re.M)
    addresses = [int(address, 16) for address, _, _ in found]
    short = [b - a == 2 for a, b in pairwise(addresses)] + [False]
    return {
        address: Instruction(mnemonic.partition(".")[0], operands.strip(), is_short)
        for address, (_, mnemonic, operands), is_short in zip(addresses, found, short, strict=True)
    }


def _registers(operands: str) -> int:
    """How many registers a list in braces names; "d8-d11" are four."""
    names = operands[operands.index("{") + 1 : operands.index("}")].split(",") if "{" in operands else [""]
    ranges = [re.findall(r"\d+", name) for name in names if "-" in name]
    return len(names) + sum(int(last) - int(first) for first, last in ranges)


_SEVERAL = ("vldm", "vstm", "vpush", "vpop", "ldm", "stm", "push", "pop")

#: Beginnings of mnemonics, the first that fits decides.
_CORTEX_M4 = (
    (("vldr", "vstr"), Price(2, access=True)),
    (("vdiv", "vsqrt"), Price(14, arithmetic_fp=True)),
    (("vmla", "vmls", "vfma", "vfms", "vnml"), Price(3, arithmetic_fp=True)),
    (("vmov", "vmrs"), Price(1)),
    (("v",), Price(1, arithmetic_fp=True)),
    (("ldrd", "strd"), Price(3, access=True)),
    (("ldr",), Price(2, taken=2, access=True)),
    (("str",), Price(1, access=True)),
    (("sdiv", "udiv"), Price(7)),
    (("",), Price(1, taken=2)),
)

_CORTEX_M55 = (
    (("vdiv", "vsqrt"), Price(14, arithmetic_fp=True)),
    (("vmla", "vmls", "vfma", "vfms", "vnml"), Price(2, arithmetic_fp=True)),
    (("vldr", "vstr", "vmov", "vmrs"), Price(1)),
    (("v",), Price(1, arithmetic_fp=True)),
    (("ldrd", "strd"), Price(2)),
    (("ldr",), Price(1, taken=2)),
    (("sdiv", "udiv"), Price(7)),
    (("le", "wls", "dls", "lctp"), Price(0)),
    (("",), Price(1, taken=1)),
)


def cortex_m4(i: Instruction) -> Price:
    """What an instruction costs on a Cortex-M4."""
    if i.mnemonic.startswith(_SEVERAL):
        return Price(1 + _registers(i.operands), taken=2)
    return next(price for beginnings, price in _CORTEX_M4 if i.mnemonic.startswith(beginnings))


def cortex_m3(i: Instruction) -> Price:
    """What an instruction costs on a Cortex-M3."""
    if i.mnemonic in ("mla", "mls"):
        return Price(2)
    if i.mnemonic in ("smull", "umull"):
        return Price(4)
    return Price(6) if i.mnemonic in ("smlal", "umlal") else cortex_m4(i)


def cortex_m0(i: Instruction) -> Price:
    """What an instruction costs on a Cortex-M0."""
    price = cortex_m0plus(i)
    return replace(price, taken=price.taken + 1)


def cortex_m0plus(i: Instruction) -> Price:
    """What an instruction costs on a Cortex-M0+."""
    if i.mnemonic.startswith(_SEVERAL):
        return Price(1 + _registers(i.operands), taken=2)
    if i.mnemonic.startswith(("ldr", "str")):
        return Price(2)
    return Price(1, taken=2 if i.mnemonic == "bl" else 1)


def cortex_m55(i: Instruction) -> Price:
    """What an instruction costs on a Cortex-M55."""
    if i.mnemonic.startswith("v") and re.search(r"\bq\d", i.operands):
        memory = i.mnemonic.startswith(("vldr", "vstr", "vld2", "vld4", "vst2", "vst4"))
        return Price(2, vector="memory" if memory else "arithmetic")
    if i.mnemonic.startswith(_SEVERAL):
        return Price(-(-_registers(i.operands) // 2), taken=1)
    return next(price for beginnings, price in _CORTEX_M55 if i.mnemonic.startswith(beginnings))


_READ_FIRST = ("str", "cmp", "cmn", "tst", "teq", "cb", "bx", "blx", "vst", "push", "stm", "vcmp")
_ACCUMULATE = ("mla", "mls", "smla", "smml", "smul", "umla", "vmla", "vmls", "vfma", "vfms", "movt", "bfi")


@cache
def _depends(before: Instruction, now: Instruction) -> bool:
    """Does an instruction read a register that the one before it writes?"""
    if before.mnemonic.startswith(_READ_FIRST):
        return False
    written = {before.operands.partition(",")[0].strip(" {}")}
    if before.mnemonic.startswith(("ldrd", "smlal", "umull", "smull", "umlal")):
        written.add(before.operands.split(",")[1].strip())
    _, _, rest = now.operands.partition(",")
    read = now.operands if now.mnemonic.startswith((*_READ_FIRST, *_ACCUMULATE)) else rest
    return any(re.search(rf"\b{re.escape(register)}\b", read) for register in written if register)


def _waits(before: Instruction, now: Instruction) -> bool:
    """Does an instruction read the register that the one before it loads?"""
    return before.mnemonic.startswith("ldr") and _depends(before, now)


@cache
def unit(i: Instruction) -> str:
    """What an instruction occupies in a core that issues two at once; "alone" if nothing goes beside it."""
    m = i.mnemonic
    if m.startswith(_SEVERAL) or m.startswith(("sdiv", "udiv", "vdiv", "vsqrt", "bl", "bx")):
        return "alone"
    if m.startswith(("ldr", "vldr")):
        return "load"
    if m.startswith(("str", "vstr")):
        return "store"
    if m.startswith("v"):
        return "float"
    if re.match(r"[su]?m(ul|la|ls|ml)", m) or m.startswith(("smlad", "smuad", "smlsd")):
        return "multiply"
    return "branch" if m.startswith(("b", "cb")) and not m.startswith(("bf", "bic")) else "alu"


@cache
def _together(before: Instruction, now: Instruction) -> bool:
    """Can a core with two issue slots begin both in one cycle?"""
    units = (unit(before), unit(now))
    if "alone" in units or units[0] == "branch" or _depends(before, now):
        return False
    # two arithmetic-logic units and two ways to load, one of all else
    return units[0] != units[1] or units[0] in ("alu", "load")


def cortex_m33(i: Instruction) -> Price:
    """What an instruction costs on a Cortex-M33 if nothing is issued beside it."""
    price = cortex_m4(i)
    each = price.cycles
    if i.mnemonic.startswith(("ldr", "vldr", "vstr", "ldrd", "strd")):
        each = 2 if i.mnemonic in ("ldrd", "strd") else 1
    return replace(price, cycles=each, taken=max(0, price.taken - 1))


def dual(i: Instruction) -> Price:
    """What an instruction costs on a Cortex-M7 or M85 if nothing is issued beside it."""
    if i.mnemonic.startswith("v") and re.search(r"\bq\d", i.operands):
        return cortex_m55(i)
    if i.mnemonic.startswith(_SEVERAL):
        return Price(-(-_registers(i.operands) // 2), taken=1)
    if i.mnemonic.startswith(("le", "wls", "dls", "lctp")):
        return Price(0)
    if i.mnemonic.startswith(("sdiv", "udiv", "vdiv", "vsqrt")):
        return Price(8 if i.mnemonic.startswith(("s", "u")) else 14)
    return Price(1, taken=1, arithmetic_fp=unit(i) == "float" and not i.mnemonic.startswith(("vmov", "vmrs")))


#: Of Arm's cores; `prices_riscv.CORES` are the others.
ARM: Mapping[str, Callable[[Instruction], Price]] = {
    "cortex-m0": cortex_m0,
    "cortex-m3": cortex_m3,
    "cortex-m0plus": cortex_m0plus,
    "cortex-m4": cortex_m4,
    "cortex-m33": cortex_m33,
    "cortex-m7": dual,
    "cortex-m55": cortex_m55,
    "cortex-m85": dual,
}
CORES = (*ARM, *prices_riscv.CORES)
_DUAL = ("cortex-m7", "cortex-m85")
#: A load or store behind another begins in its shadow.
_PIPELINED = ("cortex-m3", "cortex-m4")
#: Cycles until the result of floating-point arithmetic can be used, beyond the first.
_FP_LATE = 2


def cycles(profile: Array, program: Mapping[int, Instruction], core: str) -> float:
    """Cycles of a call: its profile (address, executed, branched away per instruction), priced.

    Raises:
        KeyError: if an instruction of the profile is not part of the program.
    """
    rows = sorted(profile.tolist())
    instructions = [program[address] for address, _, _ in rows]
    if core in prices_riscv.CORES:
        return prices_riscv.cycles(rows, instructions, core)
    if core == "cortex-m33":
        each = _pairs(instructions)
    else:
        each = _dual_issue(instructions) if core in _DUAL else _single_issue(instructions, core)
    price = ARM[core]
    taken = sum(price(i).taken * left for i, (_, _, left) in zip(instructions, rows, strict=True))
    return taken + sum(c * executed for c, (_, executed, _) in zip(each, rows, strict=True))


def _single_issue(instructions: Sequence[Instruction], core: str) -> Iterator[float]:
    last, before = Price(0), Instruction("", "")
    for now in instructions:
        price = ARM[core](now)
        each = price.cycles
        each -= core in _PIPELINED and price.access and last.access and price.cycles == 2
        each += price.arithmetic_fp and last.arithmetic_fp
        each -= bool(price.vector and last.vector and price.vector != last.vector)
        each += core == "cortex-m55" and _waits(before, now)
        yield each
        last, before = price, now


def _pairs(instructions: Sequence[Instruction]) -> Iterator[float]:
    """The Cortex-M33: one instruction at a time but for pairs of short ones; what is loaded is a cycle late."""
    last, before, alone = Price(0), Instruction("", ""), False
    for now in instructions:
        price = cortex_m33(now)
        both_alu = unit(before) == unit(now) == "alu" and before.short and now.short
        beside = alone and both_alu and not _depends(before, now)
        late = _waits(before, now) + (price.arithmetic_fp and last.arithmetic_fp)
        yield 0 if beside else price.cycles + late
        alone = not beside
        last, before = price, now


def _dual_issue(instructions: Sequence[Instruction]) -> Iterator[float]:
    last, before, alone = Price(0), Instruction("", ""), False
    for now in instructions:
        price = dual(now)
        beside = alone and not price.vector and not last.vector and price.cycles == 1 and _together(before, now)
        late = _waits(before, now) + _FP_LATE * (last.arithmetic_fp and _depends(before, now))
        overlap = bool(price.vector and last.vector and price.vector != last.vector)
        yield 0 if beside else price.cycles + late - overlap
        alone = not beside
        last, before = price, now
