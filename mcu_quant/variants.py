"""Which C file implements a function of the firmware library for an instruction set.

Files are `firmware/kernels/<family>/<function>__<isa>.c`. Every function has a scalar one; where there is none for the
core's own instruction set, the fastest that the core can also run is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from mcu_quant.paths import firmware

#: Each core runs the variants of its own instruction set and of those before it.
ISAS = ("scalar", "dsp", "mve")


@cache
def sources() -> Mapping[str, Mapping[str, Path]]:
    """C files of the firmware library: function name -> instruction set -> file."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(firmware().glob("kernels/*/*__*.c")):
        name, isa = path.stem.split("__")
        found.setdefault(name, {})[isa] = path
    return MappingProxyType(found)


def variant_isa(name: str, isa: str) -> str:
    """The instruction set whose variant of a function a core with `isa` uses.

    Raises:
        KeyError: if the function has no file at all.
    """
    files = sources()[name]
    return next(able for able in reversed(ISAS[: ISAS.index(isa) + 1]) if able in files)


def variant(name: str, isa: str) -> Path:
    """The file that implements a function for an instruction set.

    Raises:
        KeyError: if the function has no file at all.
    """
    return sources()[name][variant_isa(name, isa)]
