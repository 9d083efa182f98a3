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
import tempfile
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
    """Compile C files to a shared library, one compiler process per core.

    Raises:
        DiagnosticError: MQ601 without a compiler, MQ602 with the compiler's first messages.
    """
    compile_ = [host_compiler(), *C_FLAGS, *flags, "-fPIC", "-c", *(f"-I{Path(i).resolve()}" for i in includes)]
    paths = [str(Path(f).resolve()) for f in files]
    jobs = max(1, min(os.cpu_count() or 1, len(paths)))
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / str(i) for i in range(jobs)]
        for folder in folders:
            folder.mkdir()
        with ThreadPoolExecutor(jobs) as pool:
            # gcc -c with several files writes the objects to where it stands
            list(pool.map(lambda i: _compiled([*compile_, *paths[i::jobs]], folders[i], output.name), range(jobs)))
        objects = [str(o) for folder in folders for o in sorted(folder.glob("*.o"))]
        _compiled([host_compiler(), "-shared", *flags, *objects, "-o", str(output), "-lm"], Path(scratch), output.name)


def _compiled(command: list[str], folder: Path, what: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        first = "\n".join(done.stderr.splitlines()[:12])
        raise DiagnosticError(Diagnostic("MQ602", what, first, help="report this with the model"))


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
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    digest = hashlib.sha256(f"{compiler}{version}{C_FLAGS}{isa}".encode())
    for path in [*files, *(h for i in include for h in sorted(i.glob("*.h")))]:
        digest.update(path.name.encode() + path.read_bytes())
    target = cache_folder() / f"kernels-{isa}-{digest.hexdigest()[:20]}.so"
    return cached(target, lambda made: compile_shared(files, include, made))


@cache
def library(isa: str = "scalar") -> Library:
    """The compiled kernels for an instruction set; compiled at most once per process."""
    return Library(isa)
