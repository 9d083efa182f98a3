"""Graph + plan + target -> Program: every operator becomes kernel calls, every change of format an explicit call.

The operators know how they are lowered (`mcu_quant/ops`), and write their calls with a `Lowering`; this file finds the
lowering that a plan asks for, drives it through the graph, and settles where states and outputs live.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from mcu_quant import formats, ops, qdq
from mcu_quant.coalesce import coalesce
from mcu_quant.diagnostics import Diagnostic, raise_errors
from mcu_quant.ir import Graph, Loop, Operator, State, StatePiece
from mcu_quant.lowering import PLAIN, Lowering, Target
from mcu_quant.ops import OpLowering
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.program import (
    Buffer,
    Call,
    Edge,
    EdgeType,
    Program,
    ProgramState,
    Role,
    View,
    check,
)
from mcu_quant.rebalance import rebalanced
from mcu_quant.regions import Region, tree

_Resolved = Mapping[str, tuple[OperatorPlan, OpLowering]]


def lower(graph: Graph, plan: PrecisionPlan, target: Target = PLAIN) -> Program:
    """Lower a graph under a plan.

    Raises:
        DiagnosticError: MQ301 to MQ305, all problems of the plan at once.
    """
    choices = resolve(graph, plan, target)
    run = _Run(rebalanced(graph, plan.rebalanced), plan, target, choices)
    run.operators(tree(len(graph.operators), graph.loops))
    program = run.finish()
    program = replace(program, holds={n: e for n, e in program.holds.items() if n in graph.types})
    problems = check(program)
    if problems:
        raise AssertionError("lowering made an invalid program:\n" + "\n".join(problems))
    return program


def resolve(graph: Graph, plan: PrecisionPlan, target: Target = PLAIN) -> dict[str, tuple[OperatorPlan, OpLowering]]:
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
        if choice.weights in (None, low.formats.weight)
        and choice.input in (None, low.formats.input, *low.inputs)
        and choice.scale in low.scales
        and _storable(low, target)
    ]
    if not fits:
        have = "; ".join(_described(low) for low in usable)
        read = f"input {choice.input}, " if choice.input else ""
        wanted = f"{read}weights {choice.weights or 'as the format implies'}, scale {choice.scale}"
        return Diagnostic(
            "MQ303", op.name, f"{op.op} in {choice.format} has no kernel with {wanted}", help=f"there is: {have}"
        )
    exact = [low for low in fits if choice.output in (None, low.formats.output)]
    return (exact or fits)[0]


def _described(low: OpLowering) -> str:
    read = f"input {'/'.join(low.inputs)}, " if low.inputs else ""
    return f"{read}weights {low.formats.weight}, scale {'/'.join(low.scales)}"


def _storable(low: OpLowering, target: Target) -> bool:
    """Does the board store every format that this lowering reads and writes?"""
    named = (low.formats.input, low.formats.output, low.formats.weight, low.formats.state)
    return target.f16 or not any(formats.get(f).needs_fpu for f in named if f)


class _Run(Lowering):
    """A lowering from the first operator to the frozen program."""

    def __init__(self, graph: Graph, plan: PrecisionPlan, target: Target, resolved: _Resolved) -> None:
        super().__init__(graph, plan, target, ops.kernels(), resolved, qdq.scales(graph))
        self._resolved = resolved

    def operators(self, parts: Iterable[int | Region[Loop]]) -> None:
        """Lower operators, by their position in the graph, and loops."""
        for part in parts:
            if isinstance(part, Region):
                self._written.begin(part.loop)
                self.operators(part.body)
                self._end(part.loop)
            else:
                op = self.graph.operators[part]
                self.operator(op, self._resolved.get(op.name))

    def _end(self, loop: Loop) -> None:
        """What is carried to the next step, and in front of the loop, what it is at the first."""
        self._op = Operator(loop.name, "Loop", (), ())
        self._write_back(dict(loop.carried))
        for before, _ in loop.carried:
            (start,) = (op for op in self.graph.operators if op.op == "LoopStart" and op.outputs == (before,))
            want = self.stored(before)
            with self._written.in_front():
                if not self.is_constant(start.inputs[0]):
                    self.stored(start.inputs[0])
                    self.convert(start.inputs[0], before)
                elif not self.weights_of(start.inputs[0]).any() and not (want.quant and want.quant.zero_point):
                    self._fill(before)
                else:
                    self._copy(self._constant_operand(start.inputs[0], want.format, want.quant), before)
        self._written.end()

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
        self._written.calls = [_rename_buffer(c, name, raw) for c in self._written.calls]
        self._edges = {
            n: replace(e, view=replace(e.view, base=raw)) if e.view and e.view.base == name else e
            for n, e in self._edges.items()
        }
        self.write(name, fmt)
        self.convert(raw, name)

    def finish(self) -> Program:
        """Settle outputs and states, and freeze."""
        self._op = Operator("(outputs)", "", (), ())
        outputs = tuple(self._output(name) for name in self.graph.outputs)
        self._op = Operator("(states)", "", (), ())
        self._write_back({p.input: p.output for s in self.graph.states for p in s.pieces})
        states = tuple(self._state(s, p) for s in self.graph.states for p in s.pieces)
        holds = {n: n for n in self.graph.types if n in self._edges}  # of names that the model has: see `lower`
        used = {a for c in self._written.calls for a in c.constants}
        program = Program(
            name=self.graph.name,
            isa=self.target.isa,
            inputs=self.graph.inputs,
            outputs=outputs,
            edges=self._edges,
            constants={n: c for n, c in self._constants.items() if n in used},
            calls=tuple(self._written.calls),
            states=states,
            holds=holds,
            loops=tuple(self._written.loops),
        )
        carried = {loop.name: dict(loop.carried) for loop in self.graph.loops}
        return coalesce(program, {p.input: p.output for s in self.graph.states for p in s.pieces}, carried)

    def _output(self, name: str) -> str:
        """The caller's buffer for an output, reals in f32: the edge itself where possible, else a converted copy."""
        fmt = self.natural(name)
        if self.is_constant(name):
            made = self.temporary(self.shape(name), fmt, hint=name)
            self._copy(self._constant_operand(name, fmt, None), made)
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
        self.convert(name, made)
        return made

    def _give_to_caller(self, name: str, root: Edge) -> None:
        """Let the caller's buffer be the one that `name` is, or is a view of; whatever was in the old one is in it."""
        for n, edge in self._edges.items():
            if edge.root == root.name and n != name:
                view = replace(edge.view, base=name) if edge.view else View(name)
                self._edges[n] = replace(edge, role=Role.OUTPUT, view=view)
        self._edges[name] = replace(self._edges[name], role=Role.OUTPUT, view=None)

    def _write_back(self, source: dict[str, str]) -> None:
        """Bring every successor to its state, none before its old value was read: b' = a comes before a' = x."""
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
                    self.convert(source[name], saved)
                    source[name] = saved
            self._write_state(free, source.pop(free))

    def _write_state(self, state: str, successor: str) -> None:
        want = self.stored(state)
        if self.is_constant(successor):
            self._copy(self._constant_operand(successor, want.format, want.quant), state)
        elif self._claimed(successor).root != state:
            self.convert(successor, state)

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
