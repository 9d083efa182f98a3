"""Cycles of executed instructions, after Arm's technical reference manuals: memory without wait states, no caches.

A profile says how often each instruction of a call was executed, and how often it branched away (`Called.profile`); the
disassembler of the core's own toolchain says what the instruction is. A core's table says what it costs.

* Cortex-M0+: technical reference manual, table 3-1, with the single-cycle multiplier.
* Cortex-M4: technical reference manual, tables 3-1 and 7-1; a taken branch refills the pipeline in two cycles; a load
  or store behind another begins in its shadow; a floating-point result is a cycle late.
* Cortex-M55: technical reference manual and software optimisation guide: a vector instruction occupies its unit for two
  cycles, and one of the other kind (memory, arithmetic) starts a cycle later; what was loaded is a cycle late; loops of
  LE cost nothing. Its second issue slot is left out.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mcu_quant.ir import Array


@dataclass(frozen=True)
class Instruction:
    """As the disassembler prints it, without width suffixes."""

    mnemonic: str
    operands: str


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
    """Every instruction of a program by its address."""
    command = [f"{triple}-objdump", "-d", "--no-show-raw-insn", str(elf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {}
    for address, mnemonic, operands in re.findall(r"^ *([0-9a-f]+):\t(\S+)[\t ]*([^\n;@<]*)", text, flags=re.M):
        found[int(address, 16)] = Instruction(mnemonic.partition(".")[0], operands.strip())
    return found


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


def _waits(before: Instruction, now: Instruction) -> bool:
    """Does an instruction read the register that the one before it loads?"""
    if not before.mnemonic.startswith("ldr"):
        return False
    loaded = before.operands.partition(",")[0]
    written, _, read = now.operands.partition(",")
    if now.mnemonic.startswith(("str", "cmp", "tst", "cb", "bx", "blx")):
        read = f"{written},{read}"
    return re.search(rf"\b{loaded}\b", read) is not None


CORES: Mapping[str, Callable[[Instruction], Price]] = {
    "cortex-m0plus": cortex_m0plus,
    "cortex-m4": cortex_m4,
    "cortex-m55": cortex_m55,
}


def cycles(profile: Array, program: Mapping[int, Instruction], core: str) -> float:
    """Cycles of a call: its profile, priced.

    Raises:
        KeyError: if an instruction of the profile is not part of the program.
    """
    total, last, before = 0, Price(0), Instruction("", "")
    for address, executed, left in sorted(profile.tolist()):
        price = CORES[core](program[address])
        each = price.cycles
        each -= core == "cortex-m4" and price.access and last.access and price.cycles == 2
        each += price.arithmetic_fp and last.arithmetic_fp
        each -= bool(price.vector and last.vector and price.vector != last.vector)
        each += core == "cortex-m55" and _waits(before, program[address])
        total += each * executed + price.taken * left
        last, before = price, program[address]
    return total
