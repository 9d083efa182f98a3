"""What changed since bench/results.json was written: instructions, flash, RAM and stack, with no tolerance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]

#: What identifies a row, and what must not change unnoticed.
_KEYS = ("kernel", "model", "shape", "core", "plan")
_FIGURES = (
    "isa",
    "instructions",
    "instructions_per_frame",
    "flash_bytes",
    "ram_bytes",
    "stack_bytes",
    "stack_high_water_bytes",
)


def key(row: Row) -> str:
    """How a row is named in messages; GCC's and clang's are two."""
    clang = ["clang"] if "clang" in row["compiler"] else []
    return " ".join([*(str(row[k]) for k in _KEYS if k in row), *clang])


def differences(recorded: Iterable[Row], found: Iterable[Row]) -> list[str]:
    """One line per figure that differs, and per row that is new. Rows of other compilers are named, not compared."""
    before = {key(row): row for row in recorded}
    lines = []
    for row in found:
        old = before.get(key(row))
        if old is None:
            lines.append(f"{key(row)}: is not recorded")
        elif old["compiler"] != row["compiler"]:
            lines.append(f"{key(row)}: was recorded with {old['compiler']}, not {row['compiler']}")
        else:
            lines += [f"{key(row)}: {f} {old[f]} -> {row[f]}" for f in _FIGURES if f in row and row[f] != old.get(f)]
    return lines


def merged(recorded: Iterable[Row], found: Iterable[Row]) -> list[Row]:
    """What was found, in place of what was recorded of the same; the rest stays. Sorted, so that a diff is short."""
    rows = {key(row): row for row in (*recorded, *found)}
    return [rows[k] for k in sorted(rows)]
