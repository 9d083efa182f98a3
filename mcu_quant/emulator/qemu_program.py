"""Run a `Program` on an emulated core call by call: the kernels compiled for that core, nothing else compiled.

Arguments, parameter structs and constants are laid out as the core's ABI has them and written into its memory, so any
program runs on any core at once, checked against the specifications like on the host.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mcu_quant.emulator import qemu
from mcu_quant.emulator.library import headers, library
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.emulator.qemu import Called, Machine, QemuTarget, as_bytes
from mcu_quant.paths import firmware
from mcu_quant.program import Access, Buffer, Call, Constant, Program, Role, Scalar, Struct, Symbol
from mcu_quant.variants import variant


def kernel_objects(target: QemuTarget, functions: Iterable[str], isa: str = "scalar") -> list[Path]:
    """Functions of the firmware library compiled for a core, each in its variant for the instruction set.

    Raises:
        DiagnosticError: MQ601 without the compiler, MQ602 if a kernel does not compile.
    """
    sources = sorted({variant(f, isa) for f in functions})
    includes = [firmware() / "include", *sorted({h.parent for h in headers()})]
    return qemu.compile_objects(target, sources, includes)


def machine_for(
    target: QemuTarget, functions: Iterable[str], isa: str = "scalar", *, count: bool = False, profile: bool = False
) -> Machine:
    """A running machine with these functions of the firmware library, for programs that call no others.

    Raises:
        DiagnosticError: MQ601 if a tool is missing, MQ602 if a kernel does not compile.
    """
    return Machine(target, qemu.link(target, kernel_objects(target, functions, isa)), count=count, profile=profile)


class QemuProgramSession(ProgramSession):
    """`ProgramSession` whose kernels run on an emulated core; `called` says what each call of the last run cost.

    One session at a time: it takes the whole memory of the machine.
    """

    def __init__(self, program: Program, machine: Machine, verify: bool = False) -> None:
        self.called: list[Called] = []
        self._machine = machine
        machine.release()
        self._addresses: dict[str, int] = {}
        self._arrays: dict[str, int] = {}
        super().__init__(program, verify)

    def _bind(self, call: Call) -> Callable[[], None]:
        arguments = [self._word(a) for a in call.args.values()]
        touched = {b.edge: b.access for _, b in call.buffers()}
        scratch = {e for e in touched if self.program.edges[e].role is Role.SCRATCH}
        given = [e for e in touched if e not in scratch]
        made = [e for e, access in touched.items() if access in (Access.WRITE, Access.UPDATE) and e not in scratch]

        def step() -> None:
            for edge in given:
                self._machine.write(self._address(edge), as_bytes(self._edges[edge]))
            self.called.append(self._machine.call(call.kernel, arguments))
            for edge in made:
                stored = self._edges[edge]
                data = self._machine.read(self._address(edge), stored.nbytes)
                stored[...] = np.frombuffer(data, stored.dtype).reshape(stored.shape)

        return step

    def run(self, output_names: Any, feeds: Any) -> Any:
        """One frame, as `ProgramSession.run`."""
        self.called.clear()
        return super().run(output_names, feeds)

    # --- where things lie ------------------------------------------------------------------------------------------

    def _address(self, edge: str) -> int:
        about = self.program.edges[edge]
        if about.root not in self._addresses:
            self._addresses[about.root] = self._machine.allocate(self.buffers[about.root].nbytes)
        return self._addresses[about.root] + about.offset_bytes

    def _constant(self, name: str) -> int:
        if name not in self._arrays:
            array = self._constants[name]
            self._arrays[name] = self._machine.allocate(array.nbytes)
            self._machine.write(self._arrays[name], as_bytes(array))
        return self._arrays[name]

    def _function(self, name: str) -> int:
        return 0 if name == "NULL" else self._machine.function(name)

    def _word(self, arg: Any) -> int | float:
        match arg:
            case Buffer(edge, _):
                return self._address(edge)
            case Constant(name):
                return self._constant(name)
            case Scalar(value):
                return value
            case Symbol(name):
                return self._function(name)
            case Struct(c_type, fields):
                data = self._struct(c_type, fields)
                address = self._machine.allocate(len(data))
                self._machine.write(address, data)
                return address
        raise TypeError(f"unknown argument {arg!r}")

    def _struct(self, c_type: str, fields: Mapping[str, Any]) -> bytes:
        known = library("scalar").ffi.typeof(c_type)
        if {n for n, _ in known.fields} != set(fields):
            raise TypeError(f"{c_type} has other fields than the call sets: {sorted(fields)}")
        return packed(known, {k: self._field(v) for k, v in fields.items()})

    def _field(self, value: Any) -> Any:
        return self._word(value) if isinstance(value, Constant | Symbol) else value


# --- the cores' ABI ------------------------------------------------------------------------------------------------

_CODES = {"int8_t": "b", "uint8_t": "B", "int16_t": "h", "uint16_t": "H", "mq_f16": "H", "int32_t": "i"}
_CODES |= {"uint32_t": "I", "int64_t": "q", "uint64_t": "Q", "float": "f", "size_t": "I"}


def packed(c_type: Any, value: Any) -> bytes:
    """A value of a cffi type as a 32-bit core with natural alignment stores it: pointers are four bytes.

    A struct's value is a mapping of its fields, an array's a sequence, a pointer's an address.
    """
    match c_type.kind:
        case "pointer" | "function":
            return struct.pack("<I", value)
        case "primitive":
            return struct.pack("<" + _CODES[c_type.cname], value)
        case "array":
            return b"".join(packed(c_type.item, v) for v in value)
        case "struct":
            data = b""
            for name, field in c_type.fields:
                data += bytes(-len(data) % _alignment(field.type)) + packed(field.type, value[name])
            return data + bytes(-len(data) % _alignment(c_type))
    raise TypeError(f"{c_type.cname} has no place in a parameter struct")


def _alignment(c_type: Any) -> int:
    match c_type.kind:
        case "primitive":
            return struct.calcsize("<" + _CODES[c_type.cname])
        case "array":
            return _alignment(c_type.item)
        case "struct":
            return max(_alignment(field.type) for _, field in c_type.fields)
    return 4
