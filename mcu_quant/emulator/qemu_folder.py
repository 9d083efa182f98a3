"""A generated folder on an emulated core: compiled as for the board, run bare, fed with the host's frames."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mcu_quant import formats
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator import qemu
from mcu_quant.emulator.folder import InterfaceSession, read_interface
from mcu_quant.emulator.qemu import Called, Machine, QemuTarget, as_bytes
from mcu_quant.footprint import C_FLAGS
from mcu_quant.ir import Array
from mcu_quant.paths import firmware
from mcu_quant.program import Purpose
from mcu_quant.regions import Region, tree


def link_folder(folder: Path, target: QemuTarget, trace: bool) -> Path:
    """The folder's C as a program for the machine; with `trace`, the schedule announces its steps.

    Raises:
        DiagnosticError: MQ703, MQ601 if the compiler is missing, MQ602 if the code does not compile.
    """
    prefix = read_interface(folder)["prefix"]
    sources = [folder / f"{prefix}.c", folder / f"{prefix}_weights.c", *sorted((folder / "mq").glob("*.c"))]
    sources.append(firmware() / "qemu" / "folder.c")
    includes = [folder, folder / "mq", folder / "selftest"]
    flags = [*C_FLAGS, *(["-DMQ_TRACE"] if trace else [])]
    return qemu.link(target, qemu.compile_objects(target, sources, includes, flags))


@dataclass(frozen=True)
class FrameCost:
    """Executed instructions of one frame: of all of it, of the schedule outside of kernels, and of each step."""

    total: int
    schedule: int
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Executed:
    """Instructions of a frame, the mean over `frames` frames, and where they go.

    `operators` are the kernels of each, `conversions` and `copies` the calls that bring data into the format or place
    an operator reads, `schedule` what remains outside of calls: together they are `per_frame`.
    """

    frames: int
    per_frame: int
    operators: Mapping[str, int]
    conversions: int
    copies: int
    schedule: int

    @property
    def overhead_share(self) -> float:
        """What is not an operator's own computation, as a part of all."""
        return (self.conversions + self.copies + self.schedule) / self.per_frame

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "overhead_share": round(self.overhead_share, 4)}


class QemuFolderSession(InterfaceSession):
    """A folder's C on an emulated core.

    Without `trace` it is the board's binary, to the instruction, and is counted: `costs` has one entry per frame. With
    it, edges can be tapped, and states be read.
    """

    def __init__(self, folder: Path, target: QemuTarget, taps: Collection[str] = (), trace: bool = True) -> None:
        super().__init__(folder, taps)
        self.costs: list[FrameCost] = []
        self.stack_bytes = 0
        self._prefix = self.interface["prefix"]
        self._trace = trace
        watch = None if trace else f"{self._prefix}_run"
        self._machine = Machine(target, link_folder(folder, target, trace), count=not trace, watch=watch)
        self._inputs = [self._machine.allocate(_bytes(p)) for p in self.interface["inputs"]]
        self._outputs = [self._machine.allocate(_bytes(p)) for p in self.interface["outputs"]]
        self._model = self._machine.symbols["mq_model"]
        self._copies = self._set_taps() if trace else {}
        self.reset()

    # --- the shape of onnxruntime ----------------------------------------------------------------------------------

    def reset(self) -> None:
        """Set the state to its initial value."""
        self._machine.call(f"{self._prefix}_reset", [self._model])

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """One frame: outputs by name, or all of them in order."""
        for port, address in zip(self.interface["inputs"], self._inputs, strict=True):
            array = np.ascontiguousarray(feeds[port["name"]], _dtype(port))
            if array.nbytes != _bytes(port):
                raise ValueError(f"input {port['name']} has {array.size} elements, the model takes {port['shape']}")
            self._machine.write(address, as_bytes(array))
        called = self._machine.call(f"{self._prefix}_run", [self._model, *self._inputs, *self._outputs])
        self.stack_bytes = max(self.stack_bytes, called.stack_bytes)
        if not self._trace:
            self.costs.append(self._cost(called))
        results = {
            port["name"]: self._array_at(address, port)
            for port, address in zip(self.interface["outputs"], self._outputs, strict=True)
        }
        for edge, address in self._copies.items():
            self._values[edge] = self._array_at(address, self.interface["edges"][edge])
        return [results[n] for n in (output_names or results)]

    def _array_at(self, address: int, about: Mapping[str, Any]) -> Array:
        data = self._machine.read(address, _bytes(about))
        return np.frombuffer(data, _dtype(about)).reshape(about["shape"]).copy()

    def _cost(self, called: Called) -> FrameCost:
        """Steps are the calls of the schedule, in order.

        Raises:
            DiagnosticError: MQ603 if the compiler made other calls of them.
        """
        made = _calls(self.interface, len(called.stretches))
        if len(called.stretches) != len(made):
            message = f"the schedule makes {len(made)} calls, its binary made {len(called.stretches)}"
            raise DiagnosticError(Diagnostic("MQ603", str(self.folder), message, help="report this with the model"))
        counts = [0] * len(self.interface["steps"])
        for step, stretch in zip(made, called.stretches, strict=True):
            counts[step] += stretch.instructions
        return FrameCost(called.instructions, called.instructions - sum(counts), tuple(counts))

    def executed(self) -> Executed:
        """What the frames so far cost; of a session without `trace`."""
        frames = len(self.costs)
        totals: dict[tuple[str, str], int] = {}
        for i, step in enumerate(self.interface["steps"]):
            key = (step["purpose"], step["operator"] if step["purpose"] == Purpose.COMPUTE else "")
            totals[key] = totals.get(key, 0) + sum(cost.steps[i] for cost in self.costs)
        mean = {key: round(total / frames) for key, total in totals.items()}
        return Executed(
            frames,
            round(sum(c.total for c in self.costs) / frames),
            {operator: n for (purpose, operator), n in mean.items() if purpose == Purpose.COMPUTE},
            mean.get((Purpose.CONVERT, ""), 0),
            mean.get((Purpose.COPY, ""), 0),
            round(sum(c.schedule for c in self.costs) / frames),
        )

    # --- taps ------------------------------------------------------------------------------------------------------

    def _set_taps(self) -> dict[str, int]:
        """Tell the program what to copy out after which step (`tap_t` in folder.c); where each edge's copy goes."""
        machine = self._machine
        regions = {n: machine.call(f"mq_{n}", []).value for n in ("arena", "state")}
        copies, records = {}, b""
        for edge, step in self._taps:
            about = self.interface["edges"][edge]
            copies[edge] = machine.allocate(_bytes(about))
            source = regions[about["region"]] + about["offset"]
            records += struct.pack("<IIII", step, _bytes(about), source, copies[edge])
        table = machine.allocate(len(records))
        machine.write(table, records)
        machine.write(machine.symbols["mq_taps"], struct.pack("<I", table))
        machine.write(machine.symbols["mq_tap_count"], struct.pack("<I", len(copies)))
        return copies

    # --- the process -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the emulator."""
        self._machine.close()


@dataclass(frozen=True)
class _Range:
    """A loop of the schedule."""

    start: int
    stop: int
    count: int | None
    open: bool
    name: str


def _calls(interface: Mapping[str, Any], made: int) -> list[int]:
    """Steps of the schedule in the order in which they are made, those of loops again and again.

    How often a loop ran that data may end follows from how many calls were `made`, if there is one such loop.
    """
    loops = [_Range(**about) for about in interface.get("loops", [])]
    parts = tree(len(interface["steps"]), loops)
    undecided = [loop for loop in loops if loop.open]
    if len(undecided) != 1:
        return _in_order(parts, {})
    [loop] = undecided
    none, once = (len(_in_order(parts, {loop.name: n})) for n in (0, 1))
    return _in_order(parts, {loop.name: max(0, (made - none) // max(1, once - none))})


def _in_order(parts: Sequence[int | Region[_Range]], ran: Mapping[str, int]) -> list[int]:
    found: list[int] = []
    for part in parts:
        if isinstance(part, int):
            found.append(part)
        else:
            found += ran.get(part.loop.name, part.loop.count or 0) * _in_order(part.body, ran)
    return found


def _dtype(about: Mapping[str, Any]) -> np.dtype[Any]:
    return formats.get(about["format"]).dtype


def _bytes(about: Mapping[str, Any]) -> int:
    return int(np.prod(about["shape"], dtype=int)) * _dtype(about).itemsize
