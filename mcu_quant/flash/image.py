"""The self-test of a folder as a program that starts from reset: on the board itself, or on an emulated core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mcu_quant import bare
from mcu_quant.boards import Board
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator import qemu
from mcu_quant.emulator.folder import read_interface
from mcu_quant.emulator.qemu import QemuTarget
from mcu_quant.footprint import C_FLAGS

_SELFTEST = ("main", "selftest", "port", "timed", "vectors")
_OWN_PROGRAM = "put selftest/*.c into a project that starts on this board, and give it: --elf FILE"


def build(folder: Path, board: Board, more: Sequence[Path] = (), clock_hz: int | None = None) -> Path:
    """The program to flash. `more` are C files that replace the self-test's weak functions.

    Raises:
        DiagnosticError: MQ606 if nothing of ours starts on this board by itself, or it does not fit; MQ601, MQ602.
    """
    reason = bare.obstacle(board)
    if reason:
        raise DiagnosticError(Diagnostic("MQ606", board.id, reason, help=_OWN_PROGRAM))
    script = folder / "selftest" / "board.ld"
    if not script.is_file():
        message = "has no selftest/board.ld"
        raise DiagnosticError(Diagnostic("MQ606", str(folder), message, help="build the folder again"))
    target = qemu.board_target(board)
    objects = _objects(folder, target, more, [f"-DSELFTEST_CLOCK_HZ={clock_hz}u"] if clock_hz else [])
    try:
        return qemu.link(target, objects, agent=False, script=script)
    except DiagnosticError as error:
        raise _too_large(error, board) from error


def build_emulated(folder: Path, target: QemuTarget, more: Sequence[Path] = (), placed: bool = False) -> Path:
    """The same program for the machine that emulates the board's core.

    If it is `placed`, the machine has the board's own memory, and the folder's linker script lays it out.

    Raises:
        DiagnosticError: MQ601, MQ602.
    """
    script = folder / "selftest" / "board.ld"
    objects = _objects(folder, target, more, ["-DSELFTEST_EMULATED"])
    return qemu.link(target, objects, agent=False, script=script if placed and script.is_file() else None)


def _objects(folder: Path, target: QemuTarget, more: Sequence[Path], flags: Sequence[str]) -> list[Path]:
    prefix = read_interface(folder)["prefix"]
    parts = [f"{prefix}{part}.c" for part in ("", "_weights", "_check", "_load")]
    sources = [folder / name for name in parts if (folder / name).is_file()]  # most have nothing to load
    sources += sorted((folder / "mq").glob("*.c"))
    sources += [folder / "selftest" / f"{name}.c" for name in _SELFTEST]
    includes = [folder, folder / "mq", folder / "selftest"]
    made = qemu.compile_objects(target, sources, includes, [*C_FLAGS, *flags])
    # code of the user's own may need more than C99
    return [*made, *qemu.compile_objects(target, more, includes, ["-std=gnu11", *C_FLAGS[1:], *flags])]


def _too_large(error: DiagnosticError, board: Board) -> DiagnosticError:
    """What the linker says of regions that overflow, in the words of a report."""
    said = "\n".join(d.message for d in error.diagnostics)
    full = [line.split("region ")[-1] for line in said.splitlines() if "overflowed" in line]
    if not full:
        return error
    message = f"the self-test does not fit: {'; '.join(full)}"
    help_ = "it holds its vectors besides the model; on the emulated core there is room: --tool qemu"
    return DiagnosticError(Diagnostic("MQ606", board.id, message, help=help_))
