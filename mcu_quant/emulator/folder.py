"""Compile a generated folder for this machine and stream frames through it, with sanitizers.

The folder's own C runs in a process of its own, so an error that a sanitizer finds ends that process and is reported
with what it said, and not this one.
"""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from mcu_quant import formats
from mcu_quant.cache import cache_folder, cached
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator.library import C_FLAGS, WARNINGS, host_compiler
from mcu_quant.emulator.program import NodeArg, frame_scale, node_arg
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array
from mcu_quant.paths import firmware
from mcu_quant.program import EdgeType

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-DMQ_CHECKED")
#: The driver's temporary files and the folder's own are both held to the strictest warnings.
_DRIVER = "host/driver.c"


def read_interface(folder: Path) -> dict[str, Any]:
    """The folder's description of itself.

    Raises:
        DiagnosticError: MQ703 if this is not a firmware folder.
    """
    path = folder / "selftest" / "interface.json"
    try:
        interface: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DiagnosticError(
            Diagnostic(
                "MQ703",
                str(folder),
                f"selftest/interface.json cannot be read: {error}",
                help="make the folder with: mcu-quant build MODEL --board BOARD -o FOLDER",
            )
        ) from error
    return interface


def compile_folder(folder: Path, sanitize: bool = True) -> Path:
    """The folder's C and the driver as a program for this machine; compiled once per content.

    Raises:
        DiagnosticError: MQ601 without a compiler, MQ602 if the code does not compile without a warning.
    """
    prefix = read_interface(folder)["prefix"]
    sources = [folder / f"{prefix}.c", folder / f"{prefix}_weights.c", *sorted((folder / "mq").glob("*.c"))]
    compiler = host_compiler()
    flags = [*C_FLAGS, *WARNINGS, *(SANITIZERS if sanitize else ()), "-DMQ_TRACE"]
    digest = hashlib.sha256(" ".join([compiler, *flags]).encode())
    for path in [*sources, *sorted(folder.rglob("*.h")), firmware() / _DRIVER]:
        digest.update(path.name.encode() + path.read_bytes())
    target = cache_folder() / f"folder-{prefix}-{digest.hexdigest()[:20]}"

    def make(made: Path) -> None:
        command = [compiler, *flags, f"-I{folder}", f"-I{folder / 'mq'}", f"-I{folder / 'selftest'}"]
        command += [*map(str, sources), str(firmware() / _DRIVER), "-o", str(made), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            message = "\n".join(done.stderr.splitlines()[:12])
            raise DiagnosticError(Diagnostic("MQ602", str(folder), message, help="report this with the model"))

    return cached(target, make)


def _port(about: Mapping[str, Any]) -> NodeArg:
    return node_arg(about["name"], EdgeType(tuple(about["shape"]), about["format"]))


class InterfaceSession(ABC):
    """A firmware folder with the shape of `onnxruntime.InferenceSession`: get_inputs, run; and reset, taps.

    Edges in `taps` (program names, see `interface["edges"]`) can be read after each run with `raw` and `tap`; states
    always can. Use as a context manager, or call `close`. Subclasses say where the folder's C runs.
    """

    def __init__(self, folder: Path, taps: Collection[str]) -> None:
        self.folder = folder
        self.interface = read_interface(folder)
        self._values: dict[str, Array] = {}
        wanted = [*taps, *(s["edge"] for s in self.interface["states"])]
        scales = [about["scale_edge"] for about in map(self.interface["edges"].__getitem__, wanted)]
        self._taps = self._ordered([*wanted, *filter(None, scales)])

    # --- the shape of onnxruntime ----------------------------------------------------------------------------------

    @abstractmethod
    def reset(self) -> None:
        """Set the state to its initial value."""

    @abstractmethod
    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """One frame: outputs by name, or all of them in order; reals in float32, all else as the model has it."""

    @abstractmethod
    def close(self) -> None:
        """End what runs the folder's C."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get_inputs(self) -> list[NodeArg]:
        """Name, shape and type of each input."""
        return [_port(p) for p in self.interface["inputs"]]

    def get_outputs(self) -> list[NodeArg]:
        """Name, shape and type of each output."""
        return [_port(p) for p in self.interface["outputs"]]

    # --- taps ------------------------------------------------------------------------------------------------------

    def raw(self, edge: str) -> Array:
        """Stored values of a tapped edge after the last run."""
        return self._values[edge]

    def tap(self, edge: str) -> Array:
        """Real values of a tapped edge after the last run; by the model's name or the program's."""
        name = self.interface["holds"].get(edge, edge)
        about = self.interface["edges"][name]
        scale = about["scale"]
        if about["scale_edge"]:
            scale = frame_scale(self._values[about["scale_edge"]], scale)
        quant = None if scale is None else QuantParams(scale, about["zero_point"])
        return formats.get(about["format"]).dequantise(self._values[name], quant)

    def states(self) -> dict[str, Array]:
        """The model's own state outputs after the last run, packed as the model packs them, flat, in reals."""
        packed: dict[str, Array] = {}
        for state in self.interface["states"]:
            index = np.concatenate([start + step * np.arange(count) for start, count, step in state["index"]])
            target = packed.get(state["output"], np.zeros(0, np.float32))
            if index.max() >= target.size:
                target = np.concatenate([target, np.zeros(int(index.max()) + 1 - target.size, np.float32)])
            target[index] = np.ravel(self.tap(state["edge"]))
            packed[state["output"]] = target
        return packed

    def _ordered(self, edges: Sequence[str]) -> list[tuple[str, int]]:
        """Each edge with the last step that writes it; states after the last step of all."""
        steps = self.interface["steps"]
        states = {s["edge"] for s in self.interface["states"]}
        last = {e: i for i, s in enumerate(steps) for e in s["writes"]}
        final = max(0, len(steps) - 1)
        wanted = [(e, final if e in states else last.get(e, final)) for e in dict.fromkeys(edges)]
        return sorted(wanted, key=lambda t: t[1])


class FolderSession(InterfaceSession):
    """A folder's C in a process of this machine, as a rule with sanitizers."""

    def __init__(self, folder: Path, sanitize: bool = True, taps: Collection[str] = ()) -> None:
        super().__init__(folder, taps)
        self._process = subprocess.Popen(
            [str(compile_folder(folder, sanitize))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._send(b"t" + struct.pack("=I", len(self._taps)) + b"".join(self._tap_record(*t) for t in self._taps))

    def reset(self) -> None:
        """Bring the state to its initial values."""
        self._send(b"r")

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """One frame: outputs by name, all of them if None, in the order of `get_outputs`."""
        ports = self.interface["inputs"]
        frame = [np.ascontiguousarray(feeds[p["name"]], formats.get(p["format"]).dtype) for p in ports]
        for port, array in zip(self.get_inputs(), frame, strict=True):
            if array.size != np.prod(port.shape, dtype=int):
                raise ValueError(f"input {port.name} has {array.size} elements, the model takes {port.shape}")
        self._send(b"f" + b"".join(a.tobytes() for a in frame))
        results = {
            p["name"]: self._array(tuple(p["shape"]), formats.get(p["format"]).dtype) for p in self.interface["outputs"]
        }
        for edge, _ in self._taps:
            about = self.interface["edges"][edge]
            self._values[edge] = self._array(tuple(about["shape"]), formats.get(about["format"]).dtype)
        return [results[n] for n in (output_names or results)]

    def _tap_record(self, edge: str, step: int) -> bytes:
        about = self.interface["edges"][edge]
        size = int(np.prod(about["shape"], dtype=int)) * formats.get(about["format"]).bytes
        return struct.pack("=IIII", step, int(about["region"] == "state"), about["offset"], size)

    # --- the process -----------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            self._stopped()

    def _array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        assert self._process.stdout
        size = int(np.prod(shape, dtype=int)) * dtype.itemsize
        data = self._process.stdout.read(size)
        if len(data) != size:
            self._stopped()
        return np.frombuffer(data, dtype).reshape(shape).copy()

    def _stopped(self) -> None:
        """The program ended by itself: say what it said.

        Raises:
            DiagnosticError: MQ603, always.
        """
        self._process.wait(timeout=30)
        assert self._process.stderr
        said = self._process.stderr.read().decode(errors="replace").strip()
        message = "\n".join(said.splitlines()[:20]) or f"exit status {self._process.returncode}"
        raise DiagnosticError(Diagnostic("MQ603", str(self.folder), message, help="report this with the model"))

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.wait(timeout=30)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
