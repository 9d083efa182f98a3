"""Graph + plan + target -> Program: every operator becomes kernel calls, every change of format an explicit call.

The operators know how they are lowered (`mcu_quant/ops`); this file gives them a `Lowering` to write calls with, keeps
track of what each edge is stored as, inserts conversions where a reader wants another format, and settles where states
and outputs live.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mcu_quant import formats, ops, qdq
from mcu_quant.coalesce import coalesce
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, raise_errors
from mcu_quant.formats import QuantParams, ScaleKind
from mcu_quant.ir import Array, Graph, Operator, Shape, State, StatePiece
from mcu_quant.ops import OpLowering
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
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
    Program,
    ProgramState,
    Purpose,
    Role,
    Scalar,
    Struct,
    View,
    check,
    scale_edge,
)

Operand = Buffer | Constant


@dataclass(frozen=True)
class Target:
    """What lowering needs to know of a board: its kernel instruction set, and whether it can store half precision."""

    isa: str = "scalar"
    f16: bool = True


def lower(graph: Graph, plan: PrecisionPlan, target: Target = Target()) -> Program:
    """Lower a graph under a plan.

    Raises:
        DiagnosticError: MQ301 to MQ305, all problems of the plan at once.
    """
    choices = resolve(graph, plan, target)
    lowering = Lowering(graph, plan, target)
    for op in graph.operators:
        lowering.operator(op, choices.get(op.name))
    program = lowering.finish()
    problems = check(program)
    if problems:
        raise AssertionError("lowering made an invalid program:\n" + "\n".join(problems))
    return program


def resolve(graph: Graph, plan: PrecisionPlan, target: Target = Target()) -> dict[str, tuple[OperatorPlan, OpLowering]]:
    """For each operator that the plan concerns, the lowering that does what the plan says.

    Raises:
        DiagnosticError: all problems at once.
    """
    found: dict[str, tuple[OperatorPlan, OpLowering]] = {}
    problems: list[Diagnostic] = []
    for op in graph.operators:
        if not ops.has_choice(op, graph):
            continue
        choice = plan.operators.get(op.name)
        if choice is None:
            problems.append(
                Diagnostic("MQ301", op.name, "the plan has no line for this operator", help="make the plan again")
            )
            continue
        match = _matching(op, graph, choice, target)
        if isinstance(match, Diagnostic):
            problems.append(match)
        else:
            found[op.name] = (choice, match)
    raise_errors(problems)
    return found


def _matching(op: Operator, graph: Graph, choice: OperatorPlan, target: Target) -> OpLowering | Diagnostic:
    spec = ops.spec(op)
    known = ", ".join(dict.fromkeys(low.format for low in spec.lowerings))
    here = [low for low in spec.lowerings if low.format == choice.format]
    if not here:
        message = f"{op.op} has no kernel in {choice.format}"
        return Diagnostic("MQ303", op.name, message, help=f"choose one of {known}")
    if formats.get(choice.format).needs_fpu and not target.f16:
        return Diagnostic("MQ305", op.name, f"the board does not offer {choice.format}", help="choose f32, s16 or s8")
    reasons = [low.applies(op, graph) if low.applies else None for low in here]
    usable = [low for low, reason in zip(here, reasons, strict=True) if reason is None]
    if not usable:
        why = next(r for r in reasons if r)
        return Diagnostic("MQ303", op.name, f"not in {choice.format}: {why}", help=f"choose one of {known}")
    fits = [
        low
        for low in usable
        if choice.weights in (None, low.formats.weight) and choice.scale in low.scales and _storable(low, target)
    ]
    if not fits:
        have = "; ".join(f"weights {low.formats.weight}, scale {'/'.join(low.scales)}" for low in usable)
        wanted = f"weights {choice.weights or 'as the format implies'}, scale {choice.scale}"
        return Diagnostic(
            "MQ303", op.name, f"{op.op} in {choice.format} has no kernel with {wanted}", help=f"there is: {have}"
        )
    exact = [low for low in fits if choice.output in (None, low.formats.output)]
    return (exact or fits)[0]


def _storable(low: OpLowering, target: Target) -> bool:
    """Does the board store every format that this lowering reads and writes?"""
    named = (low.formats.input, low.formats.output, low.formats.weight, low.formats.state)
    return target.f16 or not any(formats.get(f).needs_fpu for f in named if f)


class Lowering:
    """What an operator's `lower` function writes with. Mutable, and never seen outside this stage."""

    def __init__(self, graph: Graph, plan: PrecisionPlan, target: Target) -> None:
        self.graph = graph
        self.plan = plan
        self.target = target
        self.choice = OperatorPlan("f32")
        self.formats: ops.Formats | None = None
        self._op: Operator | None = None
        self._consumers = graph.consumers()
        self._producer = graph.producer()
        self._edges: dict[str, Edge] = {}
        self._constants: dict[str, PackedConstant] = {}
        self._calls: list[Call] = []
        self._converted: dict[tuple[str, str, QuantParams | None], str] = {}
        self._constant_quant: dict[str, QuantParams | None] = {}
        self._pieces: dict[str, StatePiece] = {p.input: p for s in graph.states for p in s.pieces}
        self._own_scales = qdq.scales(graph)
        for name in graph.inputs:
            self._edges[name] = Edge(name, EdgeType(graph.shape(name), self.natural(name)), Role.INPUT)

    # --- driving ---------------------------------------------------------------------------------------------------

    def operator(self, op: Operator, resolved: tuple[OperatorPlan, OpLowering] | None) -> None:
        """Lower one operator as the plan says; None where the plan has no line for it (layout, whole numbers)."""
        self._op = op
        spec = ops.spec(op)
        if resolved is None:
            self.choice, self.formats = OperatorPlan("f32"), None
            lower = spec.lowerings[0].lower if spec.carries else spec.exact
            assert lower is not None
            lower(op, self)
            return
        self.choice, low = resolved
        self.formats = low.formats
        low.lower(op, self)
        wanted = self.choice.output
        if wanted not in (None, low.formats.output):
            for name in op.outputs:
                # a state stays as the operator keeps it: rounding it to another format would add up from frame to frame
                if name and name not in self.graph.state_outputs:
                    self._restore(name, str(wanted))

    def _restore(self, name: str, fmt: str) -> None:
        """Keep an output that was computed in one format stored in another, as the plan asks."""
        computed = self._edges.pop(name)
        raw = f"{name}@{computed.type.format}"
        self._edges[raw] = replace(computed, name=raw)
        self._calls = [_rename_buffer(c, name, raw) for c in self._calls]
        self._edges = {
            n: replace(e, view=replace(e.view, base=raw)) if e.view and e.view.base == name else e
            for n, e in self._edges.items()
        }
        self.write(name, fmt)
        self._convert(raw, name)

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
        return edge not in self.graph.types or ops.is_real(self.graph, edge)

    def shape(self, edge: str) -> Shape:
        """Shape of an edge of the graph."""
        return self.graph.shape(edge)

    def weights_of(self, edge: str) -> Array:
        """The value of a constant edge."""
        return self.graph.constants[edge]

    def steps_of(self, edge: str) -> Array | None:
        """The real value of one step of each element, of constants that the model has as whole numbers."""
        return self.graph.steps.get(edge)

    def is_constant(self, edge: str) -> bool:
        """Is the value of an edge known before a frame arrives?"""
        return edge in self.graph.constants

    def range(self, tensor: str) -> Range:
        """Calibrated range of an edge, or of a tensor inside an operator ("operator:tensor").

        Raises:
            DiagnosticError: MQ402 if the plan has none, because it was made without calibration.
        """
        found = self.plan.ranges.get(tensor)
        if found is None:
            raise DiagnosticError(
                Diagnostic("MQ402", tensor, "the plan has no calibrated range for it", help="build with --data CLIPS")
            )
        return found

    def quant(self, edge: str, fmt: str) -> QuantParams | None:
        """The scale of an edge in a format: the model's own, else the one that calibration gives."""
        if not formats.get(fmt).integer:
            return None
        if (own := self.own_scale(edge, fmt)) is not None:
            return own
        r = self.range(edge)
        return formats.get(fmt).params(r.low, r.high)

    def own_scale(self, edge: str, fmt: str) -> QuantParams | None:
        """The scale that the model itself gives an edge in a format."""
        return self._own_scales.get(edge) if fmt == "s8" else None

    def stored(self, edge: str) -> EdgeType:
        """How an edge is stored at this point."""
        if edge in self._pieces and edge not in self._edges:
            fmt = self._state_format(self._pieces[edge])
            self.claim_state(edge, fmt, self._state_quant(edge, fmt))
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
            self.claim_state(edge, fmt, quant or self._state_quant(edge, fmt))
        have = self._edges[edge].type
        if have.format == fmt and quant in (None, have.quant):
            return Buffer(edge, Access.READ)
        want = EdgeType(have.shape, fmt, quant or self.quant(edge, fmt))
        key = (edge, fmt, want.quant)
        if key not in self._converted:
            name = self._fresh(f"{edge}@{fmt}")
            self._edges[name] = Edge(name, want)
            self._convert(edge, name)
            self._converted[key] = name
        return Buffer(self._converted[key], Access.READ)

    def read_frame(self, edge: str) -> tuple[Buffer, Buffer]:
        """An edge in s8 with the scale of this frame, and that scale (one f32), found where the edge is converted."""
        source = self.read(edge, "f32") if self.stored(edge).storage.integer else Buffer(edge, Access.READ)
        assert isinstance(source, Buffer)
        quant = QuantParams(self.range(edge).magnitude / formats.get("s8").maximum, kind=ScaleKind.FRAME)
        key = (edge, "s8", quant)
        if key not in self._converted:
            name = self._fresh(f"{edge}@s8-frame")
            self._edges[name] = Edge(name, EdgeType(self.shape(edge), "s8", quant))
            self._edges[scale_edge(name)] = Edge(scale_edge(name), EdgeType((1,), "f32"))
            from mcu_quant.ops.convert import convert_frame

            convert_frame(self, source, Buffer(name, Access.WRITE), Buffer(scale_edge(name), Access.WRITE))
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
        quant = quant or self.quant(edge, fmt)
        self._edges[edge] = Edge(edge, EdgeType(shape or self.shape(edge), fmt, quant))
        return Buffer(edge, Access.WRITE)

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
        root, start = (source.view.base, source.view.offset) if source.view else (source.name, 0)
        type_ = type_ or replace(source.type, shape=shape or self.shape(edge))
        self._edges[edge] = Edge(edge, type_, self._edges[root].role, View(root, start + offset))
        return Buffer(edge, Access.WRITE)

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
            from mcu_quant.ops.copy import fill

            fill(self, edge)
        elif self.is_constant(source):
            operand = self._constant_operand(source, want.format, want.quant)
            from mcu_quant.ops.copy import copy

            copy(self, operand, edge)
        else:
            if source in self._pieces and source not in self._edges:
                self.claim_state(source, want.format, want.quant)
            self._convert(source, edge)
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
        made = PackedConstant(hint, array.copy(), fmt, comment, kind, unpacked)
        for name, known in self._constants.items():
            if known.format == fmt and _same(known.array, array) and _same(known.plain, made.plain):
                return Constant(name)
        name = self._fresh(hint)
        self._constants[name] = replace(made, name=name)
        return Constant(name)

    def matrix(
        self, kernel: str, parameter: str, matrix: Array, fmt: str, *, hint: str, groups: int = 1, comment: str = ""
    ) -> Constant:
        """A weight matrix [groups * rows, columns] as this target's variant of a kernel reads it."""
        pack = ops.kernels()[kernel].pack.get((self.target.isa, parameter))
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
        if kernel not in ops.kernels():
            raise KeyError(f"kernel {kernel} is not registered")
        wrapped = {k: Scalar(a) if isinstance(a, int | float) else a for k, a in args.items()}
        self._calls.append(Call(kernel, self.op.name, wrapped, purpose, comment))

    def convert(self, source: str, destination: str) -> None:
        """Bring the value of an edge into another, which was declared with `write`."""
        self._convert(source, destination)

    def _convert(self, source: str, destination: str) -> None:
        from mcu_quant.ops.convert import convert

        convert(self, Buffer(source, Access.READ), Buffer(destination, Access.WRITE))

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
            self._edges[edge] = Edge(edge, EdgeType(self.shape(edge), fmt, quant), Role.STATE)
        return self._edges[edge].type

    def _state_quant(self, edge: str, fmt: str) -> QuantParams | None:
        """The scale of what will be written to a state: nothing is converted. It must also hold the initial value."""
        if not formats.get(fmt).integer:
            return None
        piece = self._pieces[edge]
        after = self.range(piece.output)
        state = next(s for s in self.graph.states if any(p is piece for p in s.pieces))
        initial = np.ravel(state.initial)[np.ravel(piece.index)]
        return formats.get(fmt).params(min(after.low, initial.min()), max(after.high, initial.max()))

    def _state_format(self, piece: StatePiece) -> str:
        """The format in which the first computing reader or, without one, the writer of a state works."""
        if not self.is_real(piece.input):
            return self.natural(piece.input)
        queue = list(self._consumers.get(piece.input, []))
        while queue:
            op = queue.pop(0)
            if ops.has_choice(op, self.graph):
                return self.plan.operators[op.name].format
            queue += [c for o in op.outputs for c in self._consumers.get(o, [])]
        producer = self._producer.get(piece.output)
        while producer is not None and not ops.has_choice(producer, self.graph):
            real = [i for i in producer.inputs if self.is_real(i)]
            producer = self._producer.get(real[0]) if real else None
        return self.plan.operators[producer.name].format if producer else "f32"

    # --- the end ---------------------------------------------------------------------------------------------------

    def finish(self) -> Program:
        """Settle outputs and states, and freeze."""
        self._op = Operator("(outputs)", "", (), ())
        outputs = tuple(self._output(name) for name in self.graph.outputs)
        self._op = Operator("(states)", "", (), ())
        self._write_states()
        states = tuple(self._state(s, p) for s in self.graph.states for p in s.pieces)
        holds = {n: n for n in self.graph.types if n in self._edges}
        used = {a for c in self._calls for a in c.constants}
        program = Program(
            name=self.graph.name,
            isa=self.target.isa,
            inputs=self.graph.inputs,
            outputs=outputs,
            edges=self._edges,
            constants={n: c for n, c in self._constants.items() if n in used},
            calls=tuple(self._calls),
            states=states,
            holds=holds,
        )
        return coalesce(program, {p.input: p.output for p in self._pieces.values()})

    def _output(self, name: str) -> str:
        """The caller's buffer for an output, reals in f32: the edge itself where possible, else a converted copy."""
        fmt = self.natural(name)
        if self.is_constant(name):
            made = self.temporary(self.shape(name), fmt, hint=name)
            from mcu_quant.ops.copy import copy

            copy(self, self._constant_operand(name, fmt, None), made)
            self._edges[made] = replace(self._edges[made], role=Role.OUTPUT)
            return made
        self.stored(name)
        edge = self._edges[name]
        root = self._edges[edge.root]
        whole = edge.type.format == fmt and edge.type.size == root.type.size
        successors = {self._edges[n].root for n in self.graph.state_outputs if n in self._edges}
        if whole and root.role is Role.ARENA and root.name not in successors:
            self._give_to_caller(name, root)
            return name
        made = self._fresh(f"{name}@output")
        self._edges[made] = Edge(made, EdgeType(edge.type.shape, fmt), Role.OUTPUT)
        self._convert(name, made)
        return made

    def _give_to_caller(self, name: str, root: Edge) -> None:
        """Let the caller's buffer be the one that `name` is, or is a view of; whatever was in the old one is in it."""
        for n, edge in self._edges.items():
            if edge.root == root.name and n != name:
                offset = edge.view.offset if edge.view else 0
                self._edges[n] = replace(edge, role=Role.OUTPUT, view=View(name, offset))
        self._edges[name] = replace(self._edges[name], role=Role.OUTPUT, view=None)

    def _write_states(self) -> None:
        """Bring every successor to its state, none before its old value was read: b' = a comes before a' = x."""
        source = {p.input: p.output for p in self._pieces.values()}
        for name in source:
            self.stored(name)

        def readers(state: str) -> list[str]:
            others = (n for n in source if n != state and not self.is_constant(source[n]))
            return [n for n in others if self._claimed(source[n]).root == state]

        while source:
            free = next((n for n in source if not readers(n)), None)
            if free is None:  # a' = b, b' = a
                free = next(iter(source))
                for name in readers(free):
                    type_ = self.stored(source[name])
                    saved = self.temporary(type_.shape, type_.format, type_.quant, hint=f"{name}:saved")
                    self._convert(source[name], saved)
                    source[name] = saved
            self._write_state(free, source.pop(free))

    def _write_state(self, state: str, successor: str) -> None:
        want = self.stored(state)
        if self.is_constant(successor):
            from mcu_quant.ops.copy import copy

            copy(self, self._constant_operand(successor, want.format, want.quant), state)
        elif self._claimed(successor).root != state:
            self._convert(successor, state)

    def _state(self, state: State, piece: StatePiece) -> ProgramState:
        want = self.stored(piece.input)
        initial = np.ravel(state.initial)[np.ravel(piece.index)].reshape(want.shape)
        stored = formats.get(want.format).quantise(initial, want.quant)
        return ProgramState(piece.input, stored, state.input, state.output, np.ravel(piece.index))


def _rename_buffer(call: Call, old: str, new: str) -> Call:
    if not any(b.edge == old for _, b in call.buffers()):
        return call
    args = {k: replace(a, edge=new) if isinstance(a, Buffer) and a.edge == old else a for k, a in call.args.items()}
    return replace(call, args=args)


def _same(a: Array, b: Array) -> bool:
    """Whether two arrays are equal to the byte."""
    return a.shape == b.shape and np.array_equal(a.view(np.uint8), b.view(np.uint8))
