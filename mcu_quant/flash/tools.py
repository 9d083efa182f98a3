"""Programs that write to a board and serve its semihosting: what each is called with, and what its complaints mean.

The names by which they know a board are facts of the board file ([debug]).
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcu_quant.boards import Board
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator import qemu


@dataclass(frozen=True)
class Step:
    """One command. `reads` says that the self-test's log appears in its output, which then ends it."""

    argv: tuple[str, ...]
    reads: bool = False


@dataclass(frozen=True)
class Job:
    """What is flashed, where to, and through which probe ("" for the only one)."""

    board: Board
    elf: Path
    probe: str = ""


@dataclass(frozen=True)
class Symptom:
    """What a line of output means."""

    pattern: str
    message: str
    help: str


@dataclass(frozen=True)
class Tool:
    """A program that flashes. `unknown` says why it cannot do a board, "" if it can."""

    name: str
    executable: str
    install: str
    unknown: Callable[[Board], str]
    steps: Callable[[Job], tuple[Step, ...]]
    symptoms: tuple[Symptom, ...]

    @property
    def installed(self) -> bool:
        """Whether its program is found."""
        return shutil.which(self.executable) is not None

    def explain(self, output: str, argv: Sequence[str]) -> tuple[str, str]:
        """Message and remedy for what a command printed; empty if nothing is recognised."""
        for symptom in self.symptoms:
            if re.search(symptom.pattern, output, flags=re.I):
                return symptom.message, symptom.help.replace("TARGET", _after("--target", argv))
        return "", ""


_PLUG = "is the board plugged in, by a cable that carries data? On Linux, may you open the probe (udev rules)?"
_NAMES = "`mcu-quant boards BOARD` shows the names in the board file; [debug] of a file of your own changes them"


def _lacks(board: Board, tool: str, key: str, value: object) -> str:
    return "" if value else f"the board file of {board.id} names no {tool} target ([debug] {key})"


def _after(option: str, argv: Sequence[str]) -> str:
    return argv[argv.index(option) + 1] if option in argv else ""


def _with(option: str, value: str) -> tuple[str, ...]:
    return (option, value) if value else ()


# --- pyOCD ---------------------------------------------------------------------------------------------------------


def _pyocd(job: Job) -> tuple[Step, ...]:
    target = ("--no-wait", "--target", str(job.board.debug.pyocd), *_with("--probe", job.probe))
    elf = str(job.elf)
    return (Step(("pyocd", "load", *target, elf)), Step(("pyocd", "run", *target, elf), reads=True))


PYOCD = Tool(
    "pyocd",
    "pyocd",
    "pip install pyocd",
    lambda board: _lacks(board, "pyOCD", "pyocd", board.debug.pyocd),
    _pyocd,
    (
        Symptom(r"no (connected|available) debug probes|no probe selected", "there is no probe", _PLUG),
        Symptom(
            r"target type .* not recognized",
            "pyOCD does not know the board's chip yet",
            "install its pack: pyocd pack install TARGET",
        ),
        Symptom(r"flash (erase|program|init).*fail|failure.*flash", "the flash could not be written", _PLUG),
        Symptom(r"transfer error|no ack|fault ack|timeout.*core|unexpected ack", "the chip does not answer", _PLUG),
    ),
)

# --- probe-rs ------------------------------------------------------------------------------------------------------


def _probe_rs(job: Job) -> tuple[Step, ...]:
    options = ("--non-interactive", "--chip", str(job.board.debug.probe_rs), *_with("--probe", job.probe))
    return (Step(("probe-rs", "run", *options, str(job.elf)), reads=True),)


PROBE_RS = Tool(
    "probe-rs",
    "probe-rs",
    "cargo install probe-rs-tools",
    lambda board: _lacks(board, "probe-rs", "probe_rs", board.debug.probe_rs),
    _probe_rs,
    (
        Symptom(r"no (connected )?probes? (was|were) found|probe not found", "there is no probe", _PLUG),
        Symptom(r"chip .* (was )?not found|unable to load specification", "probe-rs does not know the chip", _NAMES),
        Symptom(r"failed to (erase|program|flash)|flash.*(failed|error)", "the flash could not be written", _PLUG),
        Symptom(r"did not respond|no ack|target device did not", "the chip does not answer", _PLUG),
    ),
)

# --- OpenOCD -------------------------------------------------------------------------------------------------------


def _openocd_files(board: Board) -> tuple[str, ...]:
    names = board.debug
    if names.openocd_board:
        return ("-f", f"board/{names.openocd_board}.cfg")
    return ("-f", f"interface/{names.openocd_interface}.cfg", "-f", f"target/{names.openocd_target}.cfg")


def _openocd_unknown(board: Board) -> str:
    names = board.debug
    if names.openocd_board or (names.openocd_target and names.openocd_interface):
        return ""
    keys = "[debug] openocd_board, or openocd_interface and openocd_target"
    return f"the board file of {board.id} names no OpenOCD configuration ({keys})"


def _openocd(job: Job) -> tuple[Step, ...]:
    words = ["openocd", *_openocd_files(job.board)]
    quiet = [f"{port}_port disabled" for port in ("gdb", "tcl", "telnet")]  # another OpenOCD may have them
    commands = [*quiet, *([f"adapter serial {job.probe}"] if job.probe else [])]
    commands += [f"program {{{job.elf}}} verify", "arm semihosting enable", "reset run"]
    return (Step((*words, *(word for command in commands for word in ("-c", command))), reads=True),)


OPENOCD = Tool(
    "openocd",
    "openocd",
    "apt install openocd",
    _openocd_unknown,
    _openocd,
    (
        Symptom(
            r"open failed|unable to find a matching|no device found|couldn't open|libusb_open\(\) failed",
            "there is no probe",
            _PLUG,
        ),
        Symptom(r"can't find \S+\.cfg", "this OpenOCD has no configuration of that name", _NAMES),
        Symptom(r"\*\* (programming|verify) failed \*\*", "the flash could not be written", _PLUG),
        Symptom(
            r"target not (halted|examined)|init mode failed|error connecting dp|timed out while waiting",
            "the chip does not answer",
            _PLUG,
        ),
    ),
)

# --- QEMU: not the board, but its core, and no probe is needed -------------------------------------------------------


def _qemu(job: Job) -> tuple[Step, ...]:
    target = qemu.target_of(job.board)
    words: tuple[str, ...] = (target.emulator, "-machine", target.machine, "-nodefaults", "-display", "none")
    # SysTick goes by emulated time: one nanosecond per instruction makes that the same in every run
    words += ("-icount", "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel", str(job.elf))
    return (Step(words, reads=True),)


QEMU = Tool(
    "qemu",
    "qemu-system-arm",
    "apt install qemu-system-arm",
    lambda board: "" if board.emulator("qemu") else f"QEMU has no machine that runs the code of {board.id}",
    _qemu,
    (),
)

TOOLS = {tool.name: tool for tool in (PYOCD, PROBE_RS, OPENOCD, QEMU)}
PROBES = (PROBE_RS, PYOCD, OPENOCD)


def choose(name: str | None, board: Board) -> Tool:
    """The tool that was asked for, or the first that is installed and knows the board.

    Raises:
        DiagnosticError: MQ601 if it is not installed, MQ606 if it does not know the board; all reasons at once.
    """
    if name is not None:
        raise_for(TOOLS[name], board)
        return TOOLS[name]
    for tool in PROBES:
        if tool.installed and not tool.unknown(board):
            return tool
    raise DiagnosticError([_refusal(tool, board) for tool in PROBES])


def raise_for(tool: Tool, board: Board, *, installed: bool = True) -> None:
    """Nothing, if a tool can do a board.

    Raises:
        DiagnosticError: as `choose`; what is not installed matters only if `installed`.
    """
    if tool.unknown(board) or (installed and not tool.installed):
        raise DiagnosticError(_refusal(tool, board))


def _refusal(tool: Tool, board: Board) -> Diagnostic:
    unknown = tool.unknown(board)
    if unknown:
        able = [t.name for t in TOOLS.values() if not t.unknown(board)]
        help_ = f"these know it: --tool {', --tool '.join(able)}" if able else _NAMES
        return Diagnostic("MQ606", tool.name, unknown, help=help_)
    return Diagnostic("MQ601", tool.name, f"{tool.executable} is not installed", help=tool.install)


def shown(argv: Sequence[str]) -> str:
    """A command as one would type it."""
    return shlex.join(argv)
