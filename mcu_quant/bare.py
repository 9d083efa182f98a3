"""A program of our own on a board, from reset: in which memory it lies, or what stands in its way.

The self-test is such a program. Its start-up code (`firmware/qemu/start_arm.c`) knows the core, not the chip: it runs
at the clock that the chip has after reset, unless the user's `selftest_init` sets another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcu_quant.boards import Board, MemoryRegion
from mcu_quant.paths import firmware


@dataclass(frozen=True)
class Layout:
    """Where code and constants lie, and where everything else does."""

    code: MemoryRegion
    data: MemoryRegion


def layout(board: Board) -> Layout | None:
    """The regions of a program that starts by itself after reset; None where `obstacle` says why there is none."""
    return None if obstacle(board) else Layout(board.program_memory, board.arena_memory)


def obstacle(board: Board) -> str:
    """Why a program at the beginning of the board's program memory would not start; "" if it does."""
    code = board.program_memory
    if board.debug.boot:
        return board.debug.boot
    if code.kind == "sram":
        return "it has no flash: an emulator loads the program (--tool qemu)"
    if code.kind == "xip":
        return f"code lies in {code.name}, which the chip's boot ROM runs only behind a header of the vendor"
    if code.reserved_bytes:
        return f"{code.reserved_bytes} bytes of {code.name} belong to a boot loader or to others"
    return ""


def start_files(triple: str) -> tuple[Path, ...]:
    """Start-up code for a core, by the compiler's triple, and what it calls."""
    own = firmware() / "qemu"
    start = "start_riscv.c" if triple.startswith("riscv") else "start_arm.c"
    return (own / start, own / "semihosting.c", own / "semihosting.h")
