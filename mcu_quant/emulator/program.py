"""Run a `Program` on this machine call by call, without generating a folder.

The compiled kernels are the ones that go into a folder, so both give the same bits. Every integer call can be checked
against its specification as it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from mcu_quant import ops
from mcu_quant.emulator.library import Library, library
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Array
from mcu_quant.program import (
    Access,
    Buffer,
    Call,
    CallLoop,
    Constant,
    Edge,
    EdgeType,
    Program,
    ProgramState,
    Scalar,
    Struct,
    Symbol,
    scale_edge,
)
from mcu_quant.regions import Region, tree

NOTHING: Mapping[str, Array] = MappingProxyType({})


@dataclass(frozen=True)
class NodeArg:
    """Name, shape and type of an input or output, as onnxruntime's NodeArg has them."""

    name: str
    shape: tuple[int, ...]
    type: str = "tensor(float)"


def node_arg(name: str, type_: EdgeType) -> NodeArg:
    """An input or output, its type in onnxruntime's words."""
    words = {"float32": "float", "float16": "float16", "bool": "bool"}
    dtype = type_.storage.dtype.name
    return NodeArg(name, type_.shape, f"tensor({words.get(dtype, dtype)})")


@dataclass(frozen=True)
class Mismatch:
    """An integer edge that differs from the specification of the kernel that wrote it."""

    call: int
    kernel: str
    operator: str
    edge: str
    elements: int
    first: str


class ProgramSession:
    """The program with the shape of `onnxruntime.InferenceSession`: get_inputs, get_outputs, run; and reset, taps.

    The state is carried from run to run until `reset`. With `verify`, every call of an integer kernel is compared with
    its specification and differences are collected in `mismatches`. `lent` are buffers that another session fills.
    """

    def __init__(self, program: Program, verify: bool = False, lent: Mapping[str, Array] = NOTHING) -> None:
        self.program = program
        self.mismatches: list[Mismatch] = []
        self._verify = verify
        self._lent = frozenset(lent)
        self._library = library(program.isa)
        self._constants = {n: np.ascontiguousarray(c.array) for n, c in program.constants.items()}
        roots = (e for e in program.edges.values() if e.view is None)
        #: bytes of every edge that is no view
        self.buffers = {e.name: lent[e.name] if e.name in lent else _zeros(e) for e in roots}
        self._at: dict[str, int] = {}
        self._edges = {e.name: self._window(e) for e in program.edges.values()}
        self._moving = {e.name for e in program.edges.values() if e.strides}
        self._keep: list[Any] = []
        self._steps = [self._bind(call) for call in program.calls]
        self._order = tree(len(program.calls), program.loops)
        self.reset()

    def reset(self) -> None:
        """Set the state to its initial value."""
        for state in self.program.states:
            if self.program.edges[state.edge].root not in self._lent:
                self._edges[state.edge][...] = state.initial

    def get_inputs(self) -> list[NodeArg]:
        """Name, shape and type of each input."""
        return [node_arg(n, self.program.edges[n].type) for n in self.program.inputs]

    def get_outputs(self) -> list[NodeArg]:
        """Name, shape and type of each output."""
        return [node_arg(n.removesuffix("@output"), self.program.edges[n].type) for n in self.program.outputs]

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """One frame: copies of outputs by name, or of all in order; reals in float32, all else as the model has it."""
        self.feed(feeds)
        for part in self.parts:
            part()
        return self.results(output_names)

    @cached_property
    def parts(self) -> tuple[Callable[[], None], ...]:
        """What makes a frame between `feed` and `results`, in order: calls, and loops as a whole."""
        made = self._steps if not self._verify else [partial(self._checked, i) for i in range(len(self._steps))]
        loops = {p: partial(self._execute, (p,), lambda i: made[i]()) for p in self._order if isinstance(p, Region)}
        return tuple(made[p] if isinstance(p, int) else loops[p] for p in self._order)

    def _execute(self, parts: Sequence[int | Region[CallLoop]], make: Callable[[int], None]) -> None:
        """Make calls in order; those of a loop at each of its steps, with views where they are at that step."""
        for part in parts:
            if isinstance(part, int):
                make(part)
                continue
            step = 0
            while self._goes_on(part.loop, step):
                self._move(part.loop.name, step)
                if part.loop.index:
                    self._edges[part.loop.index][...] = step
                self._execute(part.body, make)
                step += 1

    def _goes_on(self, loop: CallLoop, step: int) -> bool:
        if loop.condition and not self._edges[loop.condition].all():
            return False
        if loop.limit and step >= self._edges[loop.limit].reshape(-1)[0]:
            return False
        return loop.count is None or step < loop.count

    def _move(self, loop: str, step: int) -> None:
        """Bring the views that a loop moves to where they are at a step."""
        self._at[loop] = step
        for name in self._moving:
            edge = self.program.edges[name]
            if any(moving == loop for moving, _ in edge.strides):
                self._edges[name] = self._window(edge)

    def run_watched(
        self, feeds: Mapping[str, Array], ready: Mapping[int, Sequence[str]], watch: Callable[[str, Array], None]
    ) -> list[Array]:
        """One frame, showing edges as they lie in memory: those in `ready[i]` after the first i calls."""

        def make(i: int) -> None:
            if i >= 0:
                self._steps[i]()
            for name in ready.get(i + 1, ()):
                watch(name, self._edges[self.program.holds[name]])

        self.feed(feeds)
        self._execute((-1, *self._order), make)
        return self.results(None)

    def feed(self, feeds: Mapping[str, Array]) -> None:
        """Give the inputs of a frame."""
        for name in self.program.inputs:
            if name not in self._lent:
                into = self._edges[name]
                into[...] = np.asarray(feeds[name], into.dtype).reshape(into.shape)

    def results(self, output_names: Sequence[str] | None) -> list[Array]:
        """Copies of outputs by name, or of all in order, as the last run left them."""
        results = {n.removesuffix("@output"): self._edges[n] for n in self.program.outputs}
        return [results[n].copy() for n in (output_names or results)]

    def tap(self, edge: str) -> Array:
        """Real values of an edge after the last run; by the model's name or the program's."""
        name = self.program.holds.get(edge, edge)
        type_ = self.program.edges[name].type
        quant = type_.quant
        if quant and quant.kind is not ScaleKind.STATIC:
            quant = replace(quant, scale=frame_scale(self._edges[scale_edge(name)], quant.scale))
        return type_.storage.dequantise(self._edges[name], quant)

    def raw(self, edge: str) -> Array:
        """Stored values of an edge after the last run."""
        return self._edges[edge].copy()

    def states(self) -> dict[str, Array]:
        """The model's own state outputs, packed as the model packs them, in reals."""
        return assemble_states(self.program, self.tap)

    # --- binding ---------------------------------------------------------------------------------------------------

    def _window(self, edge: Edge) -> Array:
        moved = sum(self._at.get(loop, 0) * stride for loop, stride in edge.strides)
        start = edge.offset_bytes + moved * edge.type.storage.bytes
        raw = self.buffers[edge.root][start : start + edge.type.bytes]
        return raw.view(edge.type.storage.dtype).reshape(edge.type.shape)

    def _bind(self, call: Call) -> Callable[[], None]:
        function = self._library.function(call.kernel)
        types = self._library.ffi.typeof(function).args
        if len(types) != len(call.args):
            raise TypeError(f"{call.kernel} takes {len(types)} arguments, the call has {list(call.args)}")
        arguments = list(zip(call.args.values(), types, strict=True))
        args = [self._argument(a, t) for a, t in arguments]
        moving = [k for k, a in enumerate(call.args.values()) if isinstance(a, Buffer) and a.edge in self._moving]

        def moved() -> None:
            for k in moving:
                args[k] = self._argument(*arguments[k])
            function(*args)

        return moved if moving else partial(function, *args)

    def _argument(self, arg: Any, c_type: Any) -> Any:
        ffi = self._library.ffi
        match arg:
            case Buffer(edge, _):
                return ffi.cast(c_type, self._edges[edge].ctypes.data)
            case Constant(name):
                return ffi.cast(c_type, self._constants[name].ctypes.data)
            case Scalar(value):
                return value
            case Symbol("NULL"):
                return ffi.NULL
            case Symbol(name):
                return self._library.function(name)
            case Struct(struct, fields):
                made = fill_struct(self._library, struct, fields, self._constants)
                self._keep.append(made)
                return made
        raise TypeError(f"unknown argument {arg!r}")

    # --- checking --------------------------------------------------------------------------------------------------

    def _checked(self, index: int) -> None:
        call, step = self.program.calls[index], self._steps[index]
        exact = ops.kernels()[call.kernel].exact
        if exact is None:
            step()
            return
        wanted = exact(**{n: self._value(a) for n, a in call.args.items() if _is_read(a)})
        step()
        results = wanted if isinstance(wanted, tuple) else (wanted,)
        sinks = [b.edge for _, b in call.buffers(Access.WRITE, Access.UPDATE) if not self._is_scratch(b.edge)]
        if len(results) != len(sinks):
            raise TypeError(f"{call.kernel}: exact gives {len(results)} arrays, the call writes {sinks}")
        for edge, want in zip(sinks, results, strict=True):
            have = np.ravel(self._edges[edge]).view(np.uint8)
            want_bytes = np.ascontiguousarray(want).ravel().view(np.uint8)
            if not np.array_equal(have, want_bytes):
                self.mismatches.append(_mismatch(index, call, edge, self._edges[edge], want))

    def _is_scratch(self, edge: str) -> bool:
        return self.program.edges[edge].role == "scratch"

    def _value(self, arg: Any) -> Any:
        match arg:
            case Buffer(edge, _):
                return self._edges[edge].copy()
            case Constant(name):
                return self.program.constants[name].plain
            case Scalar(value):
                return value
            case Symbol(name):
                return None if name == "NULL" else name
            case Struct(_, fields):
                return {k: self._constants[v.name] if isinstance(v, Constant) else v for k, v in fields.items()}
        raise TypeError(f"unknown argument {arg!r}")


def _zeros(edge: Edge) -> Array:
    return np.zeros(max(1, edge.type.bytes), np.uint8)


def frame_scale(found: Array, scale: float) -> float:
    """The scale of a frame: a float that was found for it, or a scale times a power of two whose exponent was."""
    return scale * 2.0 ** -int(found[0]) if found.dtype.kind == "i" else float(found[0])


def _is_read(arg: Any) -> bool:
    return not (isinstance(arg, Buffer) and arg.access is Access.WRITE)


def _mismatch(index: int, call: Call, edge: str, have: Array, want: Array) -> Mismatch:
    a, b = np.ravel(have), np.ravel(want)
    if a.dtype != b.dtype or a.size != b.size:
        return Mismatch(index, call.kernel, call.operator, edge, a.size, f"{b.dtype}[{b.size}] specified")
    different = np.flatnonzero(a != b)
    at = int(different[0]) if different.size else 0
    return Mismatch(index, call.kernel, call.operator, edge, int(different.size), f"[{at}] is {a[at]}, not {b[at]}")


def fill_struct(lib: Library, c_type: str, fields: Mapping[str, Any], constants: Mapping[str, Array]) -> Any:
    """A C struct with its fields set; constants become pointers into the given arrays."""
    made = lib.ffi.new(f"{c_type} *")
    known = dict(lib.ffi.typeof(c_type).fields)
    if set(known) != set(fields):
        raise TypeError(f"{c_type} has the fields {sorted(known)}, the call sets {sorted(fields)}")
    for name, value in fields.items():
        setattr(made, name, _field_value(lib, known[name].type, value, constants))
    return made


def _field_value(lib: Library, c_type: Any, value: Any, constants: Mapping[str, Array]) -> Any:
    match value:
        case Constant(name):
            return lib.ffi.cast(c_type, constants[name].ctypes.data)
        case Symbol("NULL"):
            return lib.ffi.NULL
        case Symbol(name):
            return lib.function(name)
        case tuple():
            return list(value)
    return value


def assemble_states(program: Program, tap: Callable[[str], Array]) -> dict[str, Array]:
    """Put the pieces of each of the model's states together again: output name -> flat real values."""
    pieces: dict[str, list[ProgramState]] = {}
    for state in program.states:
        pieces.setdefault(state.model_output, []).append(state)
    packed: dict[str, Array] = {}
    for name, parts in pieces.items():
        packed[name] = np.zeros(1 + max(int(p.index.max()) for p in parts), np.float32)
        for part in parts:
            packed[name][part.index] = np.ravel(tap(part.edge))
    return packed
