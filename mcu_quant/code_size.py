"""Flash of single functions of the firmware library on a board: what a plan pays for using a kernel at all.

Compiled for the board with its own compiler, once per content, and kept; from the table of bench/code_size.py
where that compiler is not installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mcu_quant import cache
from mcu_quant.boards import Board
from mcu_quant.emulator.library import headers
from mcu_quant.footprint import C_FLAGS, sections
from mcu_quant.paths import firmware
from mcu_quant.size_table import table_sizes
from mcu_quant.variants import sources, variant


def code_bytes(names: Iterable[str], board: Board, isa: str) -> Mapping[str, int]:
    """Flash bytes of library functions with the static functions they bring along, by name."""
    wanted = sorted(n for n in set(names) if n in sources())
    compiler = shutil.which(f"{board.compiler.triple}-gcc")
    if compiler is None:
        known = table_sizes(board.size_core)
        return {n: known[n] for n in wanted if n in known}
    kept = _Kept(compiler, board)
    missing = [n for n in wanted if kept.get(variant(n, isa)) is None]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        compiled = pool.map(lambda n: kept.compile(variant(n, isa)), missing)
        kept.add({variant(n, isa): size for n, size in zip(missing, compiled, strict=True)})
    return {n: size for n in wanted if (size := kept.get(variant(n, isa))) is not None}


class _Kept:
    """Sizes that were compiled before, in a file per compiler, flags and headers."""

    def __init__(self, compiler: str, board: Board) -> None:
        self._compiler, self._flags = compiler, (*C_FLAGS, *board.compiler.gcc_flags)
        self._include = [firmware() / "include", *sorted({h.parent for h in headers()})]
        version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
        digest = hashlib.sha256(f"{version} {self._flags}".encode())
        for path in (h for folder in self._include for h in sorted(folder.glob("*.h"))):
            digest.update(path.name.encode() + path.read_bytes())
        self._path = cache.cache_folder() / f"code-sizes-{digest.hexdigest()[:20]}.json"
        self._known: dict[str, int] = json.loads(self._path.read_text()) if cache.kept(self._path) else {}

    @staticmethod
    def _key(path: Path) -> str:
        return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:20]}"

    def get(self, path: Path) -> int | None:
        return self._known.get(self._key(path))

    def compile(self, path: Path) -> int:
        with tempfile.TemporaryDirectory(prefix="mcu-quant-") as scratch:
            made = Path(scratch) / "function.o"
            include = [f"-I{folder}" for folder in self._include]
            command = [self._compiler, *self._flags, *include, "-c", str(path), "-o", str(made)]
            subprocess.run(command, check=True, capture_output=True)
            return sections(made)["flash"]

    def add(self, sizes: Mapping[Path, int]) -> None:
        if not sizes:
            return
        self._known |= {self._key(path): size for path, size in sizes.items()}
        cache.write(self._path, json.dumps(self._known, indent=0, sort_keys=True))
