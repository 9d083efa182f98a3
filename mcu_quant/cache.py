"""What this machine keeps between runs, so that it is made once: compiled kernels and programs, sizes, measured losses.

Files appear whole or not at all, under names that say their content, so that processes can share the folder. Those that
nobody used for longest go when all together are larger than a limit; the time of a file is when it was used last.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from mcu_quant.diagnostics import Diagnostic, DiagnosticError

#: All files together take no more than about so much, unless MCU_QUANT_CACHE_MIB says otherwise.
LIMIT_MIB = 1024

#: What was used so recently stays, however large: another process may be about to open it. So long a cleaning is good
#: for, too.
FRESH_S = 3600.0

#: A file in the making that is older was left behind by a process that was interrupted.
ABANDONED_S = 24 * 3600.0

#: Names of files and folders in the making begin like this.
MAKING = "tmp"

_CLEANED = "cleaned"


def cache_folder() -> Path:
    """Where everything is kept: `mcu-quant` in MCU_QUANT_CACHE, else in the user's cache folder as the system has it.

    A folder of its own in either: what somebody else keeps in MCU_QUANT_CACHE is not to be cleaned away.
    """
    asked = os.environ.get("MCU_QUANT_CACHE")
    return Path(asked) / "mcu-quant" if asked else Path(platformdirs.user_cache_dir("mcu-quant"))


def limit_bytes() -> int:
    """What all files together may take.

    Raises:
        DiagnosticError: MQ900 if MCU_QUANT_CACHE_MIB is no number.
    """
    text = os.environ.get("MCU_QUANT_CACHE_MIB", "") or str(LIMIT_MIB)
    if not text.isdecimal():
        help_ = f"mebibytes that the cache may take, for example {LIMIT_MIB}"
        raise DiagnosticError(Diagnostic("MQ900", f"MCU_QUANT_CACHE_MIB={text}", "is not a number", help=help_))
    return int(text) * 2**20


def kept(path: Path) -> bool:
    """Is a file there? It counts as used now."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def cached(path: Path, make: Callable[[Path], None]) -> Path:
    """A file of the cache: as it was kept, else as `make` writes it to the path that it is given."""
    if kept(path):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=MAKING) as scratch:
        made = (Path(scratch) / path.name).resolve()
        make(made)
        made.replace(path)  # atomic: two processes may make the same
    clean()
    return path


def write(path: Path, text: str) -> None:
    """Keep a text, in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=MAKING, delete=False) as made:
        made.write(text)
    Path(made.name).replace(path)
    clean()


def size_bytes() -> int:
    """What all files take together."""
    return sum(e.size for e in _entries(cache_folder()) if not e.making)


def clean() -> None:
    """Remove what is too much, and what was left behind, unless that was done within the hour."""
    folder, now = cache_folder(), time.time()
    done = folder / _CLEANED
    if not folder.is_dir() or now - _touched(done) < FRESH_S:
        return
    done.touch()  # first of all: others need not do the same meanwhile
    entries = sorted(e for e in _entries(folder) if e.path != done)
    excess = sum(e.size for e in entries) - limit_bytes()
    for entry in entries:
        idle = now - entry.used
        if idle > ABANDONED_S if entry.making else excess > 0 and idle > FRESH_S:
            _remove(entry.path)
            excess -= entry.size


def _touched(path: Path) -> float:
    """When a file was written last; 0 if there is none."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


@dataclass(frozen=True, order=True)
class _Entry:
    """A file, or a folder in the making: when it was used last, and bytes."""

    used: float
    path: Path
    size: int

    @property
    def making(self) -> bool:
        return self.path.name.startswith(MAKING)


def _entries(folder: Path) -> Iterator[_Entry]:
    for root, folders, names in os.walk(folder):  # which passes over what other processes remove meanwhile
        making = {f for f in folders if f.startswith(MAKING)}
        folders[:] = [f for f in folders if f not in making]
        for name in (*making, *names):
            path = Path(root) / name
            with suppress(FileNotFoundError):
                about = path.stat()
                yield _Entry(about.st_mtime, path, about.st_size)


def _remove(path: Path) -> None:
    """Remove a file or folder, unless another process did, or has it open where that forbids it."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
