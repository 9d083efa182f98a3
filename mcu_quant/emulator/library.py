"""The firmware's kernels as a shared library on this machine: compiled once, cached, called through their own headers.

The prototypes are parsed from the headers that ship with the firmware, so a call with a missing or misnamed argument is
an error here and not a wrong number.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from cffi import FFI

from mcu_quant.cache import cache_folder, cached
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.paths import firmware
from mcu_quant.variants import sources, variant

#: Floating-point results must not depend on the compiler's freedom to fuse or reorder.
C_FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-fno-strict-aliasing")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-Werror")


def host_compiler() -> str:
    """Path of the C compiler of this machine: $CC, cc, gcc or clang.

    Raises:
        DiagnosticError: MQ601 if there is none.
    """
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise DiagnosticError(
        Diagnostic(
            "MQ601",
            "C compiler",
            "no C compiler was found on this machine",
            help="install gcc (Debian, Ubuntu: apt install gcc), or set CC",
        )
    )


def headers() -> list[Path]:
    """Headers of all kernel families, each after those that it includes."""
    found = {path.name: path for path in sorted(firmware().glob("kernels/*/*.h"))}
    ordered: dict[str, Path] = {}

    def visit(name: str) -> None:
        if name in found and name not in ordered:
            for included in re.findall(r'#include "(\w+\.h)"', found[name].read_text()):
                visit(included)
            ordered[name] = found[name]

    for name in found:
        visit(name)
    return list(ordered.values())


def declarations(files: Iterable[Path]) -> str:
    """Prototypes and parameter structs of headers, without comments and preprocessor lines."""
    text = "\n".join(f.read_text() for f in files)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.sub(r"^\s*#.*?(?<!\\)$", "", text, flags=re.M)


def compile_shared(files: Iterable[Path], includes: Iterable[Path], output: Path, flags: Iterable[str] = ()) -> None:
    """Compile C files to a shared library, one compiler process per core; each file once per content, which is kept.

    Raises:
        DiagnosticError: MQ601 without a compiler, MQ602 with the compiler's first messages.
    """
    compiler, folders = host_compiler(), [Path(i).resolve() for i in includes]
    compile_ = [compiler, *C_FLAGS, *flags, "-fPIC", "-c"]
    known = _digest([_version(compiler), *compile_, *_texts(folders)])

    def compiled(source: Path) -> Path:
        digest = _digest([known, source.name, source.read_text(), *_texts([source.parent])])
        command = [*compile_, *(f"-I{folder}" for folder in folders), str(source)]
        place = cache_folder() / "objects" / f"{digest}-{source.stem}.o"
        return cached(place, lambda made: _run([*command, "-o", str(made)], output.name))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = pool.map(compiled, [Path(f).resolve() for f in files])
        _run([compiler, "-shared", *flags, *map(str, objects), "-o", str(output), "-lm"], output.name)


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        first = "\n".join(done.stderr.splitlines()[:12])
        raise DiagnosticError(Diagnostic("MQ602", what, first, help="report this with the model"))


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:20]


def _texts(folders: Iterable[Path]) -> list[str]:
    """Names and contents of the headers in folders."""
    return [text for folder in folders for h in sorted(folder.glob("*.h")) for text in (h.name, h.read_text())]


def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout


class Library:
    """All kernels of one instruction set, compiled for this machine. `functions` by C name."""

    def __init__(self, isa: str = "scalar") -> None:
        files = [variant(name, isa) for name in sources()]
        include = [firmware() / "include", *sorted({f.parent for f in headers()})]
        self.path = _built(files, include, isa)
        self.ffi = FFI()
        self.ffi.cdef("typedef uint16_t mq_f16;\n" + declarations(headers()))
        self._lib = self.ffi.dlopen(str(self.path))

    def function(self, name: str) -> Any:
        """The compiled function of that C name."""
        return getattr(self._lib, name)


def _built(files: list[Path], include: list[Path], isa: str) -> Path:
    """Path of the compiled library, made now if sources, flags or compiler changed since the last time."""
    compiler = host_compiler()
    sources = [text for path in files for text in (path.name, path.read_text())]
    digest = _digest([compiler, _version(compiler), *C_FLAGS, isa, *sources, *_texts(include)])
    target = cache_folder() / f"kernels-{isa}-{digest}.so"
    return cached(target, lambda made: compile_shared(files, include, made))


@cache
def library(isa: str = "scalar") -> Library:
    """The compiled kernels for an instruction set; compiled at most once per process."""
    return Library(isa)
