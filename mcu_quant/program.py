"""The lowered program: kernel calls over typed edges, with packed constants. What is executed, planned and printed.

A `Program` knows nothing of ONNX or of floats' meaning; it is what the C does, call by call. The same program is turned
into a folder by `codegen` and run without one by `emulator.host`, and both give the same bits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from math import prod
from types import MappingProxyType

from mcu_quant import formats
from mcu_quant.formats import Format, QuantParams
from mcu_quant.ir import Array, Shape
from mcu_quant.regions import enclosing


@dataclass(frozen=True)
class EdgeType:
    """Shape, storage format and scale of an edge. `quant` is None for float formats."""

    shape: Shape
    format: str
    quant: QuantParams | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def storage(self) -> Format:
        """The format that the edge is stored in."""
        return formats.get(self.format)

    @property
    def bytes(self) -> int:
        """Bytes of storage."""
        return self.size * self.storage.bytes

    def __str__(self) -> str:
        scale = f", {self.quant}" if self.quant else ""
        return f"{self.format}[{','.join(map(str, self.shape))}]{scale}"


class Role(StrEnum):
    """Where an edge lives: with the caller (input, output), in the persistent state, or in the arena."""

    INPUT = "input"
    OUTPUT = "output"
    STATE = "state"
    ARENA = "arena"
    SCRATCH = "scratch"


@dataclass(frozen=True)
class View:
    """An edge that is a part of another one: same storage, `offset` elements further, no copy.

    `strides` are pairs of a loop and elements: so far the view moves on at each step of that loop.
    """

    base: str
    offset: int = 0
    strides: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Edge:
    """A buffer, or a view of one. Views of views are resolved when the edge is made, so `view.base` is a buffer."""

    name: str
    type: EdgeType
    role: Role = Role.ARENA
    view: View | None = None

    @property
    def root(self) -> str:
        """The buffer that holds the edge: itself, or what it is a view of."""
        return self.view.base if self.view else self.name

    @property
    def offset_bytes(self) -> int:
        """Where a view begins in its buffer; at the first step, where it moves."""
        return self.view.offset * self.type.storage.bytes if self.view else 0

    @property
    def strides(self) -> tuple[tuple[str, int], ...]:
        """How a view moves with the steps of loops; empty where it stays."""
        return self.view.strides if self.view else ()


def scale_edge(name: str) -> str:
    """The edge (one f32) that holds the run-time scale of another edge."""
    return f"{name}:scale"


class Access(StrEnum):
    """What a call does with what an argument points to."""

    READ = "read"
    WRITE = "write"
    UPDATE = "update"


@dataclass(frozen=True)
class Buffer:
    """Argument: pointer to the first element of an edge."""

    edge: str
    access: Access


@dataclass(frozen=True)
class Constant:
    """Argument: pointer to a constant array of the program."""

    name: str


@dataclass(frozen=True)
class Scalar:
    """Argument passed by value."""

    value: int | float


@dataclass(frozen=True)
class Symbol:
    """Argument: a function of the firmware library, by its C name."""

    name: str


FieldValue = int | float | Constant | Symbol | tuple[int, ...] | tuple[float, ...]


@dataclass(frozen=True)
class Struct:
    """Argument: pointer to a constant parameter struct. Fields in the order of the C declaration."""

    c_type: str
    fields: Mapping[str, FieldValue]

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))


Argument = Buffer | Constant | Scalar | Symbol | Struct


class Purpose(StrEnum):
    """Why a call exists: it is the operator, or it brings data into the format or place an operator reads."""

    COMPUTE = "compute"
    CONVERT = "convert"
    COPY = "copy"


@dataclass(frozen=True)
class Call:
    """One C call. `args` are in the order of the prototype, by parameter name."""

    kernel: str
    operator: str
    args: Mapping[str, Argument]
    purpose: Purpose = Purpose.COMPUTE
    comment: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "args", MappingProxyType(dict(self.args)))

    def buffers(self, *access: Access) -> Iterator[tuple[str, Buffer]]:
        """Arguments that point to edges, by parameter name; only those with one of the given accesses, if any."""
        for name, arg in self.args.items():
            if isinstance(arg, Buffer) and (not access or arg.access in access):
                yield name, arg

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Edges whose old value the call needs."""
        return tuple(b.edge for _, b in self.buffers(Access.READ, Access.UPDATE))

    @cached_property
    def writes(self) -> tuple[str, ...]:
        """Edges that the call changes."""
        return tuple(b.edge for _, b in self.buffers(Access.WRITE, Access.UPDATE))

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of all constant arrays the call points to, also from inside a struct."""
        found: list[str] = []
        for arg in self.args.values():
            if isinstance(arg, Constant):
                found.append(arg.name)
            elif isinstance(arg, Struct):
                found += [v.name for v in arg.fields.values() if isinstance(v, Constant)]
        return tuple(found)


@dataclass(frozen=True, eq=False)
class PackedConstant:
    """An array as it lies in flash: already in its format and packed for the instruction set."""

    name: str
    array: Array
    format: str
    comment: str = ""
    #: "weights" are the model's parameters; "table" are look-up tables and requantisation factors
    kind: str = "weights"
    #: the matrix before it was packed, which specifications read
    unpacked: Array | None = None

    @property
    def plain(self) -> Array:
        """The array as specifications read it."""
        return self.array if self.unpacked is None else self.unpacked

    @property
    def bytes(self) -> int:
        """Bytes of storage."""
        return int(self.array.nbytes)


@dataclass(frozen=True, eq=False)
class ProgramState:
    """One piece of persistent state: the buffer that holds it between frames, and its value after reset."""

    edge: str
    initial: Array
    #: the model's own state tensor and the flat positions this piece has in it
    model_input: str
    model_output: str
    index: Array


@dataclass(frozen=True)
class CallLoop:
    """Calls `start` to before `stop`, which are made `count` times, or until a condition fails.

    `index` is the edge (one i64) that the number of the step is written to, if a call reads it. `condition` (one b8) is
    looked at before each step, `limit` (one i64) is the most steps, each "" where there is none. With `count` None only
    these end the loop.
    """

    name: str
    start: int
    stop: int
    count: int | None
    index: str = ""
    condition: str = ""
    limit: str = ""

    @property
    def counted(self) -> int:
        """Steps to reckon with: how many there are or can be; one, where only data ends the loop."""
        return 1 if self.count is None else self.count

    @property
    def edges(self) -> tuple[str, ...]:
        """Edges that the loop itself reads or writes."""
        return tuple(e for e in (self.index, self.condition, self.limit) if e)


@dataclass(frozen=True, eq=False)
class Program:
    """Calls in execution order over `edges`, for one instruction set."""

    name: str
    isa: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    edges: Mapping[str, Edge]
    constants: Mapping[str, PackedConstant]
    calls: tuple[Call, ...]
    states: tuple[ProgramState, ...] = ()
    #: model-level edge name -> program edge that holds it, for taps and per-operator accuracy
    holds: Mapping[str, str] = field(default_factory=dict)
    #: ranges of calls that are repeated, an outer one before those in it
    loops: tuple[CallLoop, ...] = ()

    def __post_init__(self) -> None:
        for name in ("edges", "constants", "holds"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for constant in self.constants.values():
            constant.array.setflags(write=False)

    @property
    def weights_bytes(self) -> int:
        """Bytes of all constant arrays."""
        return sum(c.bytes for c in self.constants.values())

    @property
    def state_bytes(self) -> int:
        """Bytes that are kept from frame to frame."""
        return sum(self.edges[s.edge].type.bytes for s in self.states)

    def times(self, call: int) -> int:
        """How often a call is made in a frame, at most."""
        return prod(loop.counted for loop in enclosing(call, self.loops))

    def without(self, dropped: Collection[int]) -> Program:
        """The program without some of its calls, and without loops in which nothing is left."""

        def moved(position: int) -> int:
            return position - sum(d < position for d in dropped)

        loops = (replace(loop, start=moved(loop.start), stop=moved(loop.stop)) for loop in self.loops)
        calls = tuple(c for i, c in enumerate(self.calls) if i not in dropped)
        return replace(self, calls=calls, loops=tuple(loop for loop in loops if loop.start < loop.stop))

    def kernels(self) -> tuple[str, ...]:
        """Names of the C functions called, each once."""
        return tuple(sorted({c.kernel for c in self.calls}))

    def __str__(self) -> str:
        lines = [f"program {self.name} for {self.isa}"]
        for edge in self.edges.values():
            view = f" = {edge.view.base} + {edge.view.offset}" if edge.view else ""
            lines.append(f"  {edge.role:7} {edge.name}: {edge.type}{view}")
        for i, call in enumerate(self.calls):
            for loop in self.loops:
                lines += [f"      loop {loop.name}: up to {loop.stop}, {loop.count} x"] * (loop.start == i)
            args = ", ".join(f"{k}={_show(a)}" for k, a in call.args.items())
            lines.append(f"  {i:3} {call.kernel}({args})  # {call.operator}")
        return "\n".join(lines)


def _show(arg: Argument) -> str:
    match arg:
        case Buffer(edge, access):
            return {"read": "", "write": ">", "update": "~"}[access] + edge
        case Constant(name) | Symbol(name):
            return f"&{name}"
        case Scalar(value):
            return str(value)
        case Struct(c_type, _):
            return f"{c_type}{{...}}"


def _reach(program: Program, edge: Edge) -> tuple[int, int]:
    """The bytes of its buffer that a view covers, over all steps."""
    steps = {loop.name: loop.counted - 1 for loop in program.loops}
    far = [steps[loop] * stride * edge.type.storage.bytes for loop, stride in edge.strides]
    start = edge.offset_bytes + sum(min(0, d) for d in far)
    return start, edge.offset_bytes + sum(max(0, d) for d in far) + edge.type.bytes


def check(program: Program) -> list[str]:
    """List the invariants that a program breaks; an empty list is a valid program."""
    problems: list[str] = []
    for edge in program.edges.values():
        if edge.view is None:
            continue
        base = program.edges[edge.view.base]
        if base.view is not None:
            problems.append(f"{edge.name}: a view of the view {base.name}")
        start, end = _reach(program, edge)
        if start < 0 or end > base.type.bytes:
            problems.append(f"{edge.name}: bytes {start}..{end} of {base.name}, which has {base.type.bytes}")
    written = {program.edges[n].root for n in program.inputs} | {s.edge for s in program.states}
    written |= {program.edges[loop.index].root for loop in program.loops if loop.index}
    for i, call in enumerate(program.calls):
        where = f"call {i} {call.kernel} of {call.operator}"
        for name, buffer in call.buffers():
            if buffer.edge not in program.edges:
                problems.append(f"{where}: {name} names the unknown edge {buffer.edge!r}")
            elif buffer.access is not Access.WRITE and program.edges[buffer.edge].root not in written:
                problems.append(f"{where}: reads {buffer.edge!r} before it is written")
        written |= {program.edges[e].root for e in call.writes if e in program.edges}
        problems += [f"{where}: unknown constant {c!r}" for c in call.constants if c not in program.constants]
        for name in call.writes:
            if name in program.edges and program.edges[program.edges[name].root].role is Role.INPUT:
                problems.append(f"{where}: writes the input {name!r}")
    problems += [f"output {n!r} is never written" for n in program.outputs if program.edges[n].root not in written]
    return problems
