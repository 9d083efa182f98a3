"""What is installed on this machine that mcu-quant can use, what each thing is for, and how to get the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from mcu_quant import cache
from mcu_quant.api.folder import versions
from mcu_quant.flash.tools import PROBES
from mcu_quant.version import VERSION


@dataclass(frozen=True)
class Check:
    """One thing: `found` is its version or place, empty if it is missing."""

    name: str
    found: str
    purpose: str
    remedy: str
    required: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with `ok` for readers in a hurry."""
        return {**asdict(self), "ok": bool(self.found)}


def examine() -> tuple[Check, ...]:
    """Everything worth knowing, the required things first."""
    packages = ", ".join(f"{n} {v}" for n, v in versions().items() if n != "python")
    return (
        Check("mcu-quant", VERSION, "this tool", "", True),
        Check("Python", sys.version.split()[0], "at least 3.11", "install Python 3.11 or newer", True),
        Check("packages", packages, "import and comparison", "pip install mcu-quant", True),
        Check(
            "C compiler",
            _first(os.environ.get("CC", ""), "cc", "gcc", "clang"),
            "runs generated code on this machine: build, test, run",
            "apt install gcc, or set CC",
            True,
        ),
        Check(
            "cache",
            _cache(),
            "compiled kernels and measured losses between runs",
            "set MCU_QUANT_CACHE to a folder you can write to",
            True,
        ),
        Check(
            "arm-none-eabi-gcc",
            _first("arm-none-eabi-gcc"),
            "sizes as the linker says; without it they are estimated",
            "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi",
        ),
        Check(
            "qemu-system-arm",
            _first("qemu-system-arm"),
            "runs a board's binary without the board: test --on qemu",
            "apt install qemu-system-arm",
        ),
        Check(
            "instruction counts",
            _plugins("qemu-system-arm"),
            "a plugin, compiled here, counts what the emulated core executes",
            "install QEMU 7 or 8 built with plugins, as Debian's and Ubuntu's are",
        ),
        Check(
            "riscv64-unknown-elf-gcc",
            _first("riscv64-unknown-elf-gcc"),
            "the same for RISC-V boards",
            "apt install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
        ),
        Check(
            "qemu-system-riscv32",
            _first("qemu-system-riscv32"),
            "runs a RISC-V board's instructions: test --on qemu",
            "apt install qemu-system-misc",
        ),
        Check("cmake", _first("cmake"), "builds a firmware folder", "apt install cmake"),
        *(Check(t.name, _first(t.executable), "runs self-tests on boards: flash", t.install) for t in PROBES),
    )


def _first(*names: str) -> str:
    """What the first of these programs that is installed says of its version."""
    for name in names:
        path = shutil.which(name) if name else None
        if path:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            return said.splitlines()[0] if said else path
    return ""


def _plugins(emulator: str) -> str:
    """Whether an emulator takes plugins at all; empty if not, or if it is not installed."""
    path = shutil.which(emulator)
    said = subprocess.run([path, "--help"], capture_output=True, text=True, check=False).stdout if path else ""
    return f"{emulator} takes plugins" if "\n-plugin " in said else ""


def _cache() -> str:
    """The cache folder and its size, if it can be written to; it is made when first needed."""
    folder = cache.cache_folder()
    above = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if not above.is_dir() or not os.access(above, os.W_OK):
        return ""
    return f"{folder}, {cache.size_bytes() / 2**20:.0f} of {cache.limit_bytes() / 2**20:.0f} MiB"
