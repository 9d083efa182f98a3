"""The files of the firmware library that a program needs, and which header declares what."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from mcu_quant.emulator.library import declarations, headers
from mcu_quant.paths import firmware
from mcu_quant.program import Program, Struct, Symbol
from mcu_quant.variants import sources, variant


def library_functions(program: Program) -> list[str]:
    """C functions of the firmware library that a program needs: its kernels and the functions it passes to them."""
    found = set(program.kernels())
    for call in program.calls:
        for arg in call.args.values():
            symbols = [arg] if isinstance(arg, Symbol) else []
            if isinstance(arg, Struct):
                symbols = [v for v in arg.fields.values() if isinstance(v, Symbol)]
            found |= {s.name for s in symbols if s.name != "NULL"}
    return sorted(found)


@cache
def header_files() -> Mapping[str, Path]:
    """Every header of the library, by name."""
    return {p.name: p for p in [*firmware().glob("include/*.h"), *headers()]}


def library_files(functions: Iterable[str], isa: str) -> dict[str, Path]:
    """Files to copy into `mq/`: one C file per function, and every header they include."""
    found: dict[str, Path] = {}
    queue = [variant(f, isa) for f in functions]
    while queue:
        path = queue.pop()
        if path.name in found:
            continue
        found[path.name] = path
        for included in re.findall(r'^#include "([^"]+)"', path.read_text(), flags=re.M):
            queue.append(header_files()[included])
    return dict(sorted(found.items()))


@cache
def text_hash(function: str, isa: str) -> str:
    """Eight hexadecimal digits of everything a function is compiled from: equal where it may be shared."""
    texts = [p.read_bytes() for name, p in library_files([function], isa).items() if name != "mq_names.h"]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:8]


def header_of(function: str) -> str:
    """The header that declares a library function."""
    folder = next(iter(sources()[function].values())).parent
    for path in sorted(folder.glob("*.h")):
        if re.search(rf"\b{function}\(", declarations([path])):
            return path.name
    raise KeyError(f"{function} is not declared in {folder.name}")
