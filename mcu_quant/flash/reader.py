"""Runs the commands of a tool and waits for the self-test's log, on the tool's output or on a serial port."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Protocol

from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.flash.tools import Step, Tool
from mcu_quant.selftest_log import MARK

#: Lines of a tool's output that a message quotes.
_QUOTED = 6
_GRACE_SECONDS = 2.0
#: What firmware/qemu/start_arm.c prints.
_FAULT = "the core took a fault"


@dataclass(frozen=True)
class Serial:
    """A port on which the log arrives instead."""

    port: str
    baud: int = 115200


class Port(Protocol):
    """What is used of an open serial port."""

    def readline(self) -> bytes:
        """The next line; an empty one if reading was cancelled."""

    def cancel_read(self) -> None:
        """Let the read that waits now, or else the next one, return at once."""


def run(tool: Tool, steps: tuple[Step, ...], timeout_s: float, serial: Serial | None = None) -> str:
    """The text that holds the log: all output of the step that reads it, or what the port received.

    Raises:
        DiagnosticError: MQ606 if a command fails, MQ607 if no whole log came in time, MQ601 if a program is missing.
    """
    text = ""
    for step in steps:
        with _port(serial if step.reads else None) as port:
            text = _step(tool, step, timeout_s, port)
    return text


def _step(tool: Tool, step: Step, timeout_s: float, port: Port | None) -> str:
    process = _started(tool, step)
    lines: queue.Queue[tuple[str, str | None]] = queue.Queue()
    assert process.stdout
    _follow(process.stdout, "tool", lines, threading.Event())
    try:
        with _followed(port, lines):
            said, log, whole = _collect(lines, step.reads, "port" if port else "tool", time.monotonic() + timeout_s)
    finally:
        status = _end(process)
    if whole:
        return log
    if whole is None:
        raise DiagnosticError(_late(tool, step, said, timeout_s))
    if status or step.reads:
        raise DiagnosticError(_failed(tool, step, said, status))
    return log


def _started(tool: Tool, step: Step) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(step.argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT)
    except OSError as error:
        message = f"{step.argv[0]} cannot be started: {error.strerror}"
        raise DiagnosticError(Diagnostic("MQ601", tool.name, message, help=tool.install)) from error


def _follow(
    stream: IO[bytes] | Port, name: str, lines: queue.Queue[tuple[str, str | None]], done: threading.Event
) -> threading.Thread:
    """Put every line of a stream into the queue, and None at its end, or when it is done."""

    def pump() -> None:
        try:
            while not done.is_set() and (line := stream.readline()):
                lines.put((name, line.decode(errors="replace")))
        except OSError:  # the port was unplugged
            pass
        lines.put((name, None))

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    return thread


@contextmanager
def _followed(port: Port | None, lines: queue.Queue[tuple[str, str | None]]) -> Iterator[None]:
    """The lines of a port, if there is one, until the end of the block: it can be closed then."""
    if port is None:
        yield
        return
    done = threading.Event()
    thread = _follow(port, "port", lines, done)
    try:
        yield
    finally:
        done.set()
        port.cancel_read()  # one that waits now returns, else the next one does
        thread.join()


def _collect(
    lines: queue.Queue[tuple[str, str | None]], reads: bool, source: str, deadline: float
) -> tuple[str, str, bool | None]:
    """What the tool said, what the log's source said, and how it ended: True with the log's last record, False with the
    end of the tool, None by the deadline."""
    said: dict[str, str] = {"tool": "", "port": ""}
    while True:
        try:
            name, line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return said["tool"], said[source], None
        if line is None:
            # a tool that ends may leave the program running, whose port goes on
            if name == source or (name == "tool" and not reads):
                return said["tool"], said[source], False
            continue
        said[name] += line
        if reads and name == source and f"{MARK}end " in line:
            return said["tool"], said[source], True


def _end(process: subprocess.Popen[bytes]) -> int:
    """The exit status, after a little patience; a tool that goes on serving the board is ended."""
    try:
        return process.wait(timeout=_GRACE_SECONDS if process.poll() is None else None)
    except subprocess.TimeoutExpired:
        process.terminate()
    try:
        process.wait(timeout=_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return 0


def _failed(tool: Tool, step: Step, said: str, status: int) -> Diagnostic:
    message, help_ = tool.explain(said, step.argv)
    if message or status:
        shown = message or f"ended with exit status {status}"
        return Diagnostic(
            "MQ606", tool.name, f"{shown}\n{_last(said)}".strip(), help=help_ or "see its own output above"
        )
    message = "the core took a fault" if _FAULT in said else "ended without the log of a self-test"
    return Diagnostic("MQ607", tool.name, f"{message}\n{_last(said)}".strip(), help=_SILENT)


def _late(tool: Tool, step: Step, said: str, timeout_s: float) -> Diagnostic:
    if not step.reads:
        message, help_ = tool.explain(said, step.argv)
        text = message or f"was not done after {timeout_s:g} s"
        return Diagnostic(
            "MQ606", tool.name, f"{text}\n{_last(said)}".strip(), help=help_ or "--timeout SECONDS waits longer"
        )
    begun = f"{MARK}log " in said
    text = "the log stopped in the middle" if begun else "the board printed nothing of a self-test"
    help_ = "--timeout SECONDS waits longer; a core that took a fault says so in the log" if begun else _SILENT
    return Diagnostic("MQ607", tool.name, f"{text} within {timeout_s:g} s\n{_last(said)}".strip(), help=help_)


_SILENT = "a self-test that prints through a UART is read with --serial PORT; --timeout SECONDS waits longer"


def _last(said: str) -> str:
    return "\n".join(line.rstrip() for line in said.splitlines()[-_QUOTED:])


@contextmanager
def _port(serial: Serial | None) -> Iterator[Port | None]:
    """The serial port, open before the program starts so that no line is lost.

    Raises:
        DiagnosticError: MQ601 without pyserial, MQ606 if the port cannot be opened.
    """
    if serial is None:
        yield None
        return
    try:
        import serial as pyserial
    except ImportError as error:
        help_ = "pip install 'mcu-quant[board]'"
        raise DiagnosticError(Diagnostic("MQ601", "pyserial", "is not installed", help=help_)) from error
    try:
        port = pyserial.Serial(serial.port, serial.baud)
    except (OSError, ValueError) as error:
        help_ = "close other programs that use it; on Linux, join the group dialout"
        raise DiagnosticError(Diagnostic("MQ606", serial.port, f"cannot be opened: {error}", help=help_)) from error
    with port:
        yield port
