"""What operators write their calls with: reads, writes, views, states, constants, conversions.

A `Lowering` keeps track of what each edge of the graph is stored as, and inserts a conversion where a reader wants
another format. `lower.py` drives it; operators (`mcu_quant/ops`) use it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from mcu_quant import fixed, formats
from mcu_quant.call_list import CallList
from mcu_quant.formats import QuantParams, ScaleKind
from mcu_quant.ir import Array, Graph, Operator, Shape, StatePiece
from mcu_quant.precision.plan import Columns, OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import (
    Access,
    Argument,
    Buffer,
    Call,
    Constant,
    Edge,
    EdgeType,
    FieldValue,
    PackedConstant,
    Purpose,
    Role,
    Scalar,
    Struct,
    View,
    scale_edge,
)
from mcu_quant.scales import Scales
from mcu_quant.variants import variant_isa

if TYPE_CHECKING:
    from mcu_quant.ops import Formats, Kernel

Operand = Buffer | Constant


@dataclass(frozen=True)
class Target:
    """What lowering needs to know of a board: its kernel instruction set, and whether it can store half precision."""

    isa: str = "scalar"
    f16: bool = True


#: Kernels in portable C, every format.
PLAIN = Target()


class Lowering:
    """What an operator's `lower` function writes with. Mutable, and never seen outside this stage.

    `chosen` are the operators that the plan gives a format; `own_scales` the scales in s8 that the model itself brings.
    """

    def __init__(
        self,
        graph: Graph,
        plan: PrecisionPlan,
        target: Target,
        kernels: Mapping[str, Kernel],
        chosen: Collection[str],
        own_scales: Mapping[str, QuantParams],
    ) -> None:
        self.graph = graph
        self.plan = plan
        self.target = target
        self.kernels = kernels
        self._chosen = chosen
        self.choice = OperatorPlan("f32")
        self.formats: Formats | None = None
        self._op: Operator | None = None
        self._consumers = graph.consumers()
        self._producer = graph.producer()
        self._edges: dict[str, Edge] = {}
        self._constants: dict[str, PackedConstant] = {}
        self._constants_by_shape: dict[tuple[str, Shape], list[PackedConstant]] = {}
        self._converted: dict[tuple[str, str, QuantParams | None], str] = {}
        self._made: dict[tuple[object, ...], str] = {}
        self._constant_quant: dict[str, QuantParams | None] = {}
        self._pieces: dict[str, StatePiece] = {p.input: p for s in graph.states for p in s.pieces}
        self._carried = {before: after for loop in graph.loops for before, after in loop.carried}
        self._pieces |= {b: StatePiece(b, a, np.arange(graph.types[b].size)) for b, a in self._carried.items()}
        self._written = CallList(graph)
        self.scales = Scales(graph, plan, own_scales)
        for loop in graph.loops:
            if loop.index:
                self._edges[loop.index] = Edge(loop.index, EdgeType((), "i64"))
        for name in graph.inputs:
            self._edges[name] = Edge(name, EdgeType(graph.shape(name), self.natural(name)), Role.INPUT)

    # --- what is known ---------------------------------------------------------------------------------------------

    @property
    def op(self) -> Operator:
        """The operator that is being lowered."""
        assert self._op is not None
        return self._op

    def natural(self, edge: str) -> str:
        """The format of an edge where no plan says otherwise: f32 for reals, all else as it is."""
        return formats.natural(self.graph.types[edge].dtype).name

    def is_real(self, edge: str) -> bool:
        """Is an edge a real number, stored in a format of the plan?"""
        return edge not in self.graph.types or self.graph.types[edge].is_real

    def shape(self, edge: str) -> Shape:
        """Shape of an edge of the graph."""
        return self.graph.shape(edge)

    def weights_of(self, edge: str) -> Array:
        """The value of a constant edge."""
        return self.graph.constants[edge]

    def steps_of(self, edge: str) -> Array | None:
        """The real value of one step of each element, of constants that the model has as whole numbers."""
        return self.graph.steps.get(edge)

    def columns_of(self, edge: str) -> Columns | None:
        """How the plan evens out the inputs of a weight matrix, if it does."""
        return self.plan.columns.get(edge)

    def once(self, key: tuple[object, ...], make: Callable[[], str]) -> str:
        """The edge that `make` makes; the same one wherever the same key is asked for."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def is_constant(self, edge: str) -> bool:
        """Is the value of an edge known before a frame arrives?"""
        return edge in self.graph.constants

    def stored(self, edge: str) -> EdgeType:
        """How an edge is stored at this point."""
        if edge in self._pieces and edge not in self._edges:
            fmt = self._state_format(self._pieces[edge])
            self.claim_state(edge, fmt, self.scales.of_state(self._pieces[edge], fmt))
        return self._edges[edge].type

    def type_of(self, operand: Operand) -> EdgeType:
        """Type of something to read or write; constants included."""
        if isinstance(operand, Buffer):
            return self._edges[operand.edge].type
        constant = self._constants[operand.name]
        quant = self._constant_quant.get(operand.name)
        return EdgeType(tuple(constant.array.shape), constant.format, quant)

    # --- reading ---------------------------------------------------------------------------------------------------

    def read(self, edge: str, fmt: str | None = None, quant: QuantParams | None = None) -> Operand:
        """An operand in a format: the edge itself where it is stored so, else a conversion, made once per edge.

        `fmt` defaults to the input format of the lowering; whole numbers and truth values are read as they are.
        `quant` None means any scale of that format.
        """
        if fmt is None and not self.is_real(edge):
            fmt = self.natural(edge)
        fmt = fmt or (self.formats.input if self.formats else self.stored(edge).format)
        if self.is_constant(edge):
            return self._constant_operand(edge, fmt, quant)
        if edge in self._pieces and edge not in self._edges:
            self.claim_state(edge, fmt, quant or self.scales.of_state(self._pieces[edge], fmt))
        have = self._edges[edge].type
        if have.format == fmt and quant in (None, have.quant):
            return Buffer(edge, Access.READ)
        want = EdgeType(have.shape, fmt, quant or self.scales.of(edge, fmt))
        key = (edge, fmt, want.quant)
        if key not in self._converted:
            name = self._fresh(f"{edge}@{fmt}")
            self._edges[name] = Edge(name, want)
            with self._written.where_made(edge):
                self.convert(edge, name)
            self._converted[key] = name
        return Buffer(self._converted[key], Access.READ)

    def read_frame(
        self, edge: str, fmt: str = "s8", low: float | None = None, signed: bool = False, rows: int = 1
    ) -> tuple[Buffer, Buffer]:
        """An edge in integers with the scale of this frame, and that scale (f32), found where it is converted.

        In s8 each of `rows` equal parts has a scale of its own: [rows].

        In s8 any scale, in s16 a power of two. `low`: its smallest value, where calibration does not know it. What is
        never negative gets all 256 steps, unless the reader wants a zero point of 0 (`signed`).
        """
        source = self.read(edge, "f32") if self.stored(edge).storage.integer else Buffer(edge, Access.READ)
        assert isinstance(source, Buffer)
        known = self.scales.range(edge) if low is None else Range(low, max(1.0, -low))
        positive = known.low >= 0.0 and not signed and fmt == "s8"
        scale = known.magnitude / (255 if positive else formats.get(fmt).maximum)
        kind = ScaleKind.FRAME if fmt == "s8" else ScaleKind.FRAME_POW2
        quant = QuantParams(scale, -128 if positive else 0, kind)
        key = (edge, f"{fmt}/{rows}", quant)
        if key not in self._converted:
            name = self._fresh(f"{edge}@{fmt}-frame")
            self._edges[name] = Edge(name, EdgeType(self._edges[edge].type.shape, fmt, quant))
            self._edges[scale_edge(name)] = Edge(scale_edge(name), EdgeType((rows,), "f32"))
            with self._written.where_made(edge):
                self._convert_frame(source, name, rows)
            self._converted[key] = name
        made = self._converted[key]
        return Buffer(made, Access.READ), Buffer(scale_edge(made), Access.READ)

    def _constant_operand(self, edge: str, fmt: str, quant: QuantParams | None) -> Constant:
        """A constant of the model as an operand in some format (a table of positions to add, say)."""
        value = self.graph.constants[edge]
        target = formats.get(fmt)
        if quant is None and target.integer:
            quant = target.params(float(value.min()), float(value.max()))
        made = self.constant(target.quantise(value, quant), fmt, hint=edge, comment=str(quant or ""))
        self._constant_quant[made.name] = quant
        return made

    # --- writing ---------------------------------------------------------------------------------------------------

    def write(
        self, edge: str, fmt: str | None = None, quant: QuantParams | None = None, shape: Shape | None = None
    ) -> Buffer:
        """Declare an edge of the graph as stored in a format (default: the lowering's output), and return it to write.

        The scale comes from calibration unless given. Whole numbers and truth values are stored as they are.
        """
        if fmt is None and not self.is_real(edge):
            fmt = self.natural(edge)
        fmt = fmt or (self.formats.output if self.formats else "f32")
        quant = quant or self.scales.of(edge, fmt)
        self._edges[edge] = Edge(edge, EdgeType(shape or self.shape(edge), fmt, quant))
        return Buffer(edge, Access.WRITE)

    def write_frames(self, edge: str, fmt: str, quant: QuantParams, shape: Shape, frames: int) -> tuple[Buffer, Buffer]:
        """Declare an edge with an exponent per frame, and those: real = stored * scale * 2^-exponent."""
        self._edges[edge] = Edge(edge, EdgeType(shape, fmt, replace(quant, kind=ScaleKind.FRAME_POW2)))
        self._edges[scale_edge(edge)] = Edge(scale_edge(edge), EdgeType((frames,), "i32"))
        return Buffer(edge, Access.WRITE), Buffer(scale_edge(edge), Access.WRITE)

    def temporary(self, shape: Shape, fmt: str, quant: QuantParams | None = None, hint: str = "tmp") -> str:
        """A new edge that the graph does not have."""
        name = self._fresh(f"{self.op.name}:{hint}")
        self._edges[name] = Edge(name, EdgeType(shape, fmt, quant))
        return name

    def scratch(self, count: int, fmt: str, hint: str = "scratch") -> Buffer:
        """Room that one call uses and nobody reads later."""
        name = self._fresh(f"{self.op.name}:{hint}")
        self._edges[name] = Edge(name, EdgeType((count,), fmt), Role.SCRATCH)
        return Buffer(name, Access.WRITE)

    def view(
        self, edge: str, base: str, offset: int = 0, shape: Shape | None = None, type_: EdgeType | None = None
    ) -> Buffer:
        """Declare an edge as part of another: same storage, no copy. `offset` in elements.

        With `type_` the same bytes are read as another type, with elements of the same size.
        """
        source = self._edges[base] if base in self._edges else self._claimed(base)
        whole = source.view or View(source.name)
        type_ = type_ or replace(source.type, shape=shape or self.shape(edge))
        part = replace(whole, offset=whole.offset + offset)
        self._edges[edge] = Edge(edge, type_, self._edges[whole.base].role, part)
        return Buffer(edge, Access.WRITE)

    def slice_of_step(self, edge: str, whole: str, backwards: bool, shape: Shape | None = None) -> None:
        """Declare an edge as the slice of `whole` along its first axis at the step of the innermost loop."""
        shape = self.shape(edge) if shape is None else shape
        size, count = prod(shape), self.shape(whole)[0]
        type_ = replace(self.stored(whole), shape=shape)
        self.view(edge, whole, (count - 1) * size if backwards else 0, type_=type_)
        made = self._edges[edge]
        assert made.view
        stride = (self._written.innermost.name, -size if backwards else size)
        self._edges[edge] = replace(made, view=replace(made.view, strides=(*made.view.strides, stride)))

    def stack_of_steps(self, whole: str, part: str, backwards: bool) -> None:
        """Declare an edge as `part` of all steps of the innermost loop, stored as that is, and put it in its place.

        Where the part is nothing but that, it is computed in its place, and no copy remains. What only the caller reads
        is stored as the caller reads it.
        """
        constant = self._constant_operand(part, self.natural(part), None) if self.is_constant(part) else None
        type_ = self.type_of(constant) if constant else self.stored(part)
        own = type_
        if whole in self.graph.outputs and not self._consumers.get(whole):
            type_ = EdgeType(type_.shape, self.natural(whole))
        self._edges[whole] = Edge(whole, replace(type_, shape=self.shape(whole)))
        slot = self._fresh(f"{whole}@step")
        self.slice_of_step(slot, whole, backwards, type_.shape)
        if constant:
            self._copy(constant, slot)
        elif type_ == own and self._movable(part):
            self._move_to(part, slot)
        else:
            self.move(Buffer(part, Access.READ), Buffer(slot, Access.WRITE))

    def _movable(self, part: str) -> bool:
        """Is an edge a buffer of this loop's own, computed anew at each step?"""
        root = self._edges[self._edges[part].root]
        own = {n for n, e in self._edges.items() if e.root == root.name}
        kept = {*self._carried, *self._carried.values(), *(loop.index for loop in self.graph.loops)}
        whole = self._edges[part].type.size == root.type.size and root.role is Role.ARENA
        return whole and own.isdisjoint(kept) and self._written.made_here(root.name)

    def _move_to(self, part: str, slot: str) -> None:
        """Let the buffer of an edge be `slot`."""
        root, place = self._edges[part].root, self._edges[slot].view
        assert place
        for name, edge in self._edges.items():
            if edge.root == root:
                own = edge.view or View(root)
                at = View(place.base, place.offset + own.offset, (*place.strides, *own.strides))
                self._edges[name] = replace(edge, view=at)

    def part(self, edge: str, offset: int, shape: Shape) -> Buffer:
        """A part of an edge to write or read by itself, `offset` elements from its start."""
        return self.view(self._fresh(f"{edge}+{offset}"), edge, offset, shape)

    def _claimed(self, edge: str) -> Edge:
        self.stored(edge)
        return self._edges[edge]

    def update(self, edge: str, source: str | None, want: EdgeType) -> Buffer:
        """Declare `edge` with type `want`, holding the value of `source` (zeros if None), for a kernel to update.

        Where `source` is a state and `edge` its successor, no copy remains: both become the same memory.
        """
        self._edges[edge] = Edge(edge, want)
        if source is None:
            self._fill(edge)
        elif self.is_constant(source):
            self._copy(self._constant_operand(source, want.format, want.quant), edge)
        else:
            if source in self._pieces and source not in self._edges:
                self.claim_state(source, want.format, want.quant)
            self.convert(source, edge)
        return Buffer(edge, Access.UPDATE)

    # --- constants, parameters, calls ------------------------------------------------------------------------------

    def constant(
        self,
        array: Array,
        fmt: str,
        *,
        hint: str,
        comment: str = "",
        kind: str = "weights",
        unpacked: Array | None = None,
    ) -> Constant:
        """An array for flash, in its final format and packing. Equal arrays are stored once."""
        array = np.ascontiguousarray(array, formats.get(fmt).dtype)
        made = PackedConstant(hint, array.copy() if array.flags.writeable else array, fmt, comment, kind, unpacked)
        alike = self._constants_by_shape.setdefault((fmt, array.shape), [])
        for known in alike:
            if _same(known.array, array) and _same(known.plain, made.plain):
                return Constant(known.name)
        alike.append(replace(made, name=self._fresh(hint)))
        self._constants[alike[-1].name] = alike[-1]
        return Constant(alike[-1].name)

    def isa(self, kernel: str) -> str:
        """The instruction set of the variant of a kernel that this target uses."""
        return variant_isa(kernel, self.target.isa)

    def matrix(
        self, kernel: str, parameter: str, matrix: Array, fmt: str, *, hint: str, groups: int = 1, comment: str = ""
    ) -> Constant:
        """A weight matrix [groups * rows, columns] as this target's variant of a kernel reads it."""
        pack = self.kernels[kernel].pack.get((self.isa(kernel), parameter))
        if pack is None:
            return self.constant(matrix, fmt, hint=hint, comment=comment)
        plain = np.ascontiguousarray(matrix, formats.get(fmt).dtype)
        return self.constant(pack(plain, groups), fmt, hint=hint, comment=comment, unpacked=plain)

    def struct(self, c_type: str, **fields: FieldValue) -> Struct:
        """A parameter struct: its C type, and its fields in the order of the header."""
        return Struct(c_type, fields)

    def call(
        self, kernel: str, purpose: Purpose = Purpose.COMPUTE, comment: str = "", **args: Argument | int | float
    ) -> None:
        """Append a call. Arguments by the C parameter's name, in the order of the prototype; numbers become scalars."""
        if kernel not in self.kernels:
            raise KeyError(f"kernel {kernel} is not registered")
        wrapped = {k: Scalar(a) if isinstance(a, int | float) else a for k, a in args.items()}
        self._written.put(Call(kernel, self.op.name, wrapped, purpose, comment))

    def convert(self, source: str, destination: str) -> None:
        """Bring the value of an edge into another, which was declared with `write`."""
        self.move(Buffer(source, Access.READ), Buffer(destination, Access.WRITE))

    def move(self, source: Buffer, destination: Buffer) -> None:
        """Bring an operand into the type of another; a plain copy where both are the same."""
        a, b = self.type_of(source), self.type_of(destination)
        if a.format == b.format and a.quant == b.quant:
            self._copy(source, destination.edge)
            return
        comment = f"{a} to {b}"
        if a.storage.exact and b.storage.exact:
            codes = {"x_type": a.storage.type_code, "y_type": b.storage.type_code, "to_bool": int(b.format == "b8")}
            p = self.struct("mq_cast_params", n=a.size, **codes)
            self.call("mq_cast", Purpose.CONVERT, comment, x=source, y=destination, p=p)
            return
        args: dict[str, Argument | int | float] = {"x": source, "y": destination, "n": a.size}
        if a.quant and b.quant:
            m, shift = fixed.multiplier(a.quant.scale / b.quant.scale)
            args |= {"x_zero": a.quant.zero_point, "multiplier": m, "shift": shift, "y_zero": b.quant.zero_point}
        elif b.quant:
            args |= {"inverse_scale": float(np.float32(1.0 / b.quant.scale)), "zero": b.quant.zero_point}
        elif a.quant:
            args |= {"scale": float(np.float32(a.quant.scale)), "zero": a.quant.zero_point}
        self.call(f"mq_convert_{a.format}_{b.format}", Purpose.CONVERT, comment, **args)

    def _convert_frame(self, source: Buffer, edge: str, rows: int) -> None:
        """Bring floats to an edge with the scale of this frame, or of each row, which is written beside it."""
        a, b = self.type_of(source), self._edges[edge].type
        scale, quant = Buffer(scale_edge(edge), Access.WRITE), b.quant
        comment = f"{a} to {b.format}, scale of the frame"
        name = f"mq_convert_{a.format}_{b.format}_frame" + ("_positive" if quant and quant.zero_point else "")
        counts = {"n": a.size // rows, "rows": rows} if b.format == "s8" else {"n": a.size}
        self.call(name, Purpose.CONVERT, comment, x=source, y=Buffer(edge, Access.WRITE), scale=scale, **counts)

    def _copy(self, source: Operand, edge: str) -> None:
        """Copy an operand to an edge of the same format and scale."""
        self.call("mq_copy", Purpose.COPY, x=source, y=Buffer(edge, Access.WRITE), bytes=self._edges[edge].type.bytes)

    def _fill(self, edge: str) -> None:
        """Set an edge to the real number zero."""
        type_ = self._edges[edge].type
        zero = type_.quant.zero_point if type_.quant else 0
        if zero and type_.storage.bytes != 1:
            raise ValueError(f"{edge}: a zero point in {type_.format} cannot be filled bytewise")
        self.call("mq_fill", Purpose.COPY, y=Buffer(edge, Access.WRITE), value=zero, bytes=type_.bytes)

    def _fresh(self, hint: str) -> str:
        name, n = hint, 2
        while (
            name in self._edges or name in self._constants or (name in self.graph.types and not self.is_constant(name))
        ):
            name, n = f"{hint}#{n}", n + 1
        return name

    # --- states ----------------------------------------------------------------------------------------------------

    def claim_state(self, edge: str, fmt: str, quant: QuantParams | None) -> EdgeType:
        """Fix how a state is stored between frames; the first reader decides. Returns how it is stored."""
        if edge not in self._edges:
            role = Role.ARENA if edge in self._carried else Role.STATE
            self._edges[edge] = Edge(edge, EdgeType(self.shape(edge), fmt, quant), role)
        return self._edges[edge].type

    def _state_format(self, piece: StatePiece) -> str:
        """The format in which the first computing reader or, without one, the writer of a state works."""
        if not self.is_real(piece.input):
            return self.natural(piece.input)
        queue = list(self._consumers.get(piece.input, []))
        while queue:
            op = queue.pop(0)
            if op.name in self._chosen:
                return self.plan.operators[op.name].format
            queue += [c for o in op.outputs for c in self._consumers.get(o, [])]
        producer = self._producer.get(piece.output)
        while producer is not None and producer.name not in self._chosen:
            real = [i for i in producer.inputs if self.is_real(i)]
            producer = self._producer.get(real[0]) if real else None
        return self.plan.operators[producer.name].format if producer else "f32"


def _same(a: Array, b: Array) -> bool:
    """Whether two arrays are equal to the byte."""
    return a is b or (a.shape == b.shape and a.tobytes() == b.tobytes())
