"""How many cycles the work of a kernel takes on a core: what was counted, and how far it is to be trusted.

`tables/latency_kernels.json` holds coefficients per kernel, instruction set and core, made by
`python -m bench.estimate_coefficients`; `tables/latency_cores.toml` what is known of each core and its memories.
docs/latency.md tells how both come about.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from mcu_quant.ops import Counts
from mcu_quant.paths import PACKAGE

TABLES = PACKAGE / "tables"

Percent = tuple[float, float]
"""Signed range: the truth is expected between estimate * (1 + low / 100) and estimate * (1 + high / 100)."""


@dataclass(frozen=True)
class Coefficients:
    """Cycles (or instructions) per multiply-accumulate, element, unit and byte moved in blocks, and per call."""

    mac: float
    element: float
    unit: float
    moved: float
    call: float

    def of(self, work: Counts) -> float:
        """What one call takes that does this work."""
        by_shape = self.mac * work.macs + self.element * work.elements + self.unit * work.units
        return by_shape + self.moved * work.moved + self.call


@dataclass(frozen=True)
class Entry:
    """One kernel, or any kernel on a format, on one core. `error_pct`: counted calls against these coefficients."""

    name: str
    cycles: Coefficients
    instructions: Coefficients
    error_pct: Percent


@dataclass(frozen=True)
class CoreEntry:
    """How the coefficients of one core are found, and what supports them.

    Attributes:
        coefficients_of: the core whose coefficients are taken, times `factor`.
        read_cycles_per_byte: cycles to read a byte of constants once, in order, on top of the load, by kind of memory.
        error_pct: range of the core's timing against measurements.
        measured_on: boards of which measurements were compared with the core's timing.
    """

    coefficients_of: str
    factor: float
    read_cycles_per_byte: Mapping[str, float]
    error_pct: Percent
    measured_on: tuple[str, ...]
    why: str
    source: str


@dataclass(frozen=True)
class Table:
    """Everything the estimate multiplies with.

    Attributes:
        kernels: by `priced_name`, instruction set and core.
        formats: by format and core: what a kernel without an entry of its own is priced with.
        transferred_error_pct: in addition, on a board of which no measurement was compared.
        xip_error_pct: in addition, where the program is read in place from serial flash.
    """

    cores: Mapping[str, CoreEntry]
    kernels: Mapping[tuple[str, str, str], Entry]
    formats: Mapping[tuple[str, str], Entry]
    transferred_error_pct: Percent
    xip_error_pct: Percent


@cache
def table() -> Table:
    """The coefficients that come with mcu-quant."""
    raw = tomllib.loads((TABLES / "latency_cores.toml").read_text(encoding="utf-8"))
    counted = json.loads((TABLES / "latency_kernels.json").read_text(encoding="utf-8"))
    return Table(
        cores=MappingProxyType({name: _core(fields) for name, fields in raw["core"].items()}),
        kernels=MappingProxyType(
            {(k["kernel"], k["isa"], k["core"]): _entry(k["kernel"], k) for k in counted["kernels"]}
        ),
        formats=MappingProxyType({(f["format"], f["core"]): _entry(f["format"], f) for f in counted["formats"]}),
        transferred_error_pct=_percent(raw["transferred_error_pct"]),
        xip_error_pct=_percent(raw["xip_error_pct"]),
    )


def _core(fields: Mapping[str, Any]) -> CoreEntry:
    return CoreEntry(
        coefficients_of=fields["coefficients_of"],
        factor=fields["factor"],
        read_cycles_per_byte=MappingProxyType(fields["read_cycles_per_byte"]),
        error_pct=_percent(fields["error_pct"]),
        measured_on=tuple(fields["measured_on"]),
        why=fields["why"],
        source=fields["source"],
    )


def _entry(name: str, fields: Mapping[str, Any]) -> Entry:
    cycles, instructions = Coefficients(*fields["cycles"]), Coefficients(*fields["instructions"])
    return Entry(name, cycles, instructions, _percent(fields["error_pct"]))


def _percent(pair: Sequence[float]) -> Percent:
    low, high = pair
    return low, high
