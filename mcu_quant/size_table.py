"""Flash and stack of a generated folder before anything is compiled: from sizes of every function of the library.

`tables/code_size.json` is made by `python -m bench.code_size`: each function of the firmware library compiled for each
core, in each of its variants, what it takes of the C library, and what a call costs in the schedule. tests/
test_size_table.py compares predictions with the linker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mcu_quant import formats
from mcu_quant.emulator.folder import read_interface
from mcu_quant.paths import PACKAGE
from mcu_quant.variants import ISAS

TABLE = PACKAGE / "tables" / "code_size.json"
#: What a schedule may take of the C library by itself.
OF_SCHEDULE = frozenset({"memset", "memcpy"})
#: Cores that no table was made for, by one with larger code: without a compiler for them.
STANDS_FOR = {"cortex-m0": "cortex-m0plus", "cortex-m23": "cortex-m0plus", "xtensa-lx7": "rv32imfc"}
#: Arguments that go in registers; floats have registers of their own on most cores, which only makes it less.
_IN_REGISTERS = 4


@dataclass(frozen=True)
class Core:
    """What is known of a core. Functions are named with their instruction set: "mq_conv_s8__dsp"."""

    functions: Mapping[str, Mapping[str, Any]]
    library: Mapping[str, Sequence[str]]
    members: Mapping[str, Sequence[int]]
    schedule: Sequence[float]
    schedule_stack: Sequence[float]

    def about(self, file: str) -> Mapping[str, Any]:
        """A function's figures; of one that is newer than the table those of its other variants, else the largest."""
        if file in self.functions:
            return self.functions[file]
        name = file.partition("__")[0]
        others = [f for f in self.functions if f.partition("__")[0] == name] or list(self.functions)
        return max((self.functions[f] for f in others), key=lambda f: int(f["flash_bytes"]))

    def library_bytes(self, files: Iterable[str], schedule: Schedule) -> tuple[int, int]:
        """Flash and RAM that a folder takes of the C library, whose members are there once, and what stays empty."""
        needs = {n for f in files for n in self.about(f)["needs"]} | schedule.needs
        taken = {m for n in needs for m in self.library.get(n, ())}
        flash, ram = (sum(self.members[m][i] for m in taken) for i in (0, 1))
        # sections begin on boundaries: the more constants, the more often
        return flash + 40 + schedule.calls, ram

    def stack_bytes(self, files: Iterable[str]) -> int:
        """The deepest stack of some functions: what they call of each other and through pointers lies below them."""
        by_name = {f.split("__")[0]: f for f in files}
        pointed = [n for n in by_name if n.startswith("mq_fn_")]

        def depth(name: str) -> int:
            about = self.about(by_name[name])
            below = [n for n in about["needs"] if n in by_name]
            below += pointed if about["by_pointer"] and name not in pointed else []
            deepest = max((depth(n) for n in below if n != name), default=0)
            return int(about["stack_bytes"]) + deepest

        return max((depth(n) for n in by_name), default=0)


@cache
def core(name: str) -> Core:
    """The figures of a core; of one that was not compiled for, those of the one that stands for it (`STANDS_FOR`)."""
    cores = json.loads(TABLE.read_text(encoding="utf-8"))["cores"]
    found = cores.get(name) or cores[STANDS_FOR.get(name) or _instruction_set(name)]
    return Core(
        found["functions"],
        found["library"]["functions"],
        found["library"]["members"],
        found["schedule"],
        found["schedule_stack"],
    )


def _instruction_set(march: str) -> str:
    """The table for a RISC-V instruction set that has none: the one with or without floating point."""
    return "rv32imfc" if "f" in march.partition("_")[0].removeprefix("rv32") else "rv32imc"


def table_sizes(name: str) -> dict[str, int]:
    """Flash of each function of the firmware library on a core, by name, in the fastest variant it can run."""
    found: dict[str, int] = {}
    for isa in ISAS:
        of_isa = {f.split("__")[0]: about for f, about in core(name).functions.items() if f.endswith(f"__{isa}")}
        found |= {n: about["flash_bytes"] for n, about in of_isa.items()}
    return found


@dataclass(frozen=True)
class Schedule:
    """What a folder's schedule is made of, read from its text.

    Attributes:
        calls: kernel calls of a frame.
        arguments: of all calls.
        on_stack: of those, what does not go in registers.
        resets: states that are set at reset.
        parameter_bytes: structs of parameters, and what states begin with where that is not one value.
        most_arguments: of one call.
        needs: functions of the C library that it calls itself.
    """

    calls: int
    arguments: int
    on_stack: int
    resets: int
    parameter_bytes: int
    most_arguments: int
    needs: frozenset[str]

    @property
    def features(self) -> tuple[int, ...]:
        """What the table's `schedule` is multiplied with."""
        return (1, self.arguments, self.on_stack, self.resets)

    @property
    def stack_features(self) -> tuple[int, ...]:
        """What the table's `schedule_stack` is multiplied with."""
        return (1, self.most_arguments, self.calls)

    @staticmethod
    def read(folder: Path) -> Schedule:
        """The schedule of a generated folder."""
        interface = read_interface(folder)
        text = (folder / f"{interface['prefix']}.c").read_text()
        calls = [
            _arguments(line) for line in re.findall(r"^ *MQ_STEP\(\d+\) (mq_\w+\(.*?\);)", text, flags=re.M | re.S)
        ]
        structs = re.findall(r"^static const \w+ \w+ = \{\n(.*?)^\};", text, flags=re.M | re.S)
        words = sum(
            len(re.findall(r"[^{},\s=]+(?=[,}])", line.partition("=")[2])) for s in structs for line in s.splitlines()
        )
        return Schedule(
            calls=len(calls),
            arguments=sum(map(len, calls)),
            on_stack=sum(max(0, len(c) - _IN_REGISTERS) for c in calls),
            resets=len(re.findall(r"^    (?:memset|mem\w+|mq_\w+)\(m->state", text, flags=re.M)),
            parameter_bytes=4 * words + _initial_bytes(text),
            most_arguments=max(map(len, calls), default=0),
            needs=frozenset(n for n in OF_SCHEDULE if f" {n}(" in text),
        )


def _initial_bytes(text: str) -> int:
    """Flash of the arrays that states are set to at reset."""
    sizes = {f.c_type: f.bytes for f in formats.formats().values()}
    arrays = re.findall(r"^ *static const (\w+) \w+_initial\[(\d+)\]", text, flags=re.M)
    return sum(-(-sizes[c_type] * int(count) // 4) * 4 for c_type, count in arrays)


def _arguments(call: str) -> list[str]:
    """Arguments of a call as they are written; none holds a comma."""
    inside = call.partition("(")[2].rpartition(");")[0]
    return [a.strip() for a in inside.split(",")]


def schedule_bytes(of: Schedule, on: Core) -> int:
    """Flash of `run`, `reset` and the program around them, with the structs of parameters."""
    return _sum(on.schedule, of.features) + of.parameter_bytes


def schedule_stack_bytes(of: Schedule, on: Core) -> int:
    """Stack of `run` itself."""
    return -(-_sum(on.schedule_stack, of.stack_features) // 8) * 8


def _sum(coefficients: Sequence[float], features: Sequence[int]) -> int:
    return round(sum(c * f for c, f in zip(coefficients, features, strict=True)))
