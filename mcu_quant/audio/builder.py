"""A graph made operator by operator, by hand: what front and back ends are written with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Graph, Loop, Operator, Shape, State, StatePiece, TensorType, check, eliminate_dead
from mcu_quant.precision.presets import PIPELINE_ENDS


class Builder:
    """Operators in order, with types inferred as they are added. Names of edges are those of their operators."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._operators: list[Operator] = []
        self._types: dict[str, TensorType] = {}
        self._constants: dict[str, Array] = {}
        self._steps: dict[str, Array] = {}
        self._states: list[State] = []
        self._inputs: list[str] = []
        self._rewrites: list[Any] = []
        self._loops: list[Loop] = []

    def shape(self, edge: str) -> Shape:
        """Shape of an edge."""
        return self._types[edge].shape

    def operators(self) -> tuple[Operator, ...]:
        """What was added until now."""
        return tuple(self._operators)

    def input(self, name: str, shape: Shape, dtype: str) -> str:
        """An input of the graph."""
        self._inputs.append(name)
        self._types[name] = TensorType(shape, dtype)
        return name

    def constant(self, name: str, value: Array, dtype: str = "float32") -> str:
        """A constant edge."""
        array = np.array(value, dtype)
        self._constants[name] = array
        self._types[name] = TensorType(tuple(array.shape), dtype)
        return name

    def add(self, op: str, name: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: Any) -> str:
        """An operator in its canonical form; the name of its first output, which is its own unless others are given."""
        made = Operator(name, op, tuple(inputs), tuple(outputs) or (name,), attributes)
        types = ops.spec(made).infer(made, [self._types[i] if i else None for i in made.inputs])
        self._types |= {o: t for o, t in zip(made.outputs, types, strict=False) if o}
        self._operators.append(made)
        return made.outputs[0]

    def reshape(self, x: str, shape: Shape, name: str) -> str:
        """The same values in another shape; the edge itself where it has it."""
        return x if self.shape(x) == shape else self.add("Reshape", name, (x,), shape=shape)

    def slice(self, x: str, axis: int, start: int, end: int, name: str) -> str:
        """Elements start .. end along an axis."""
        return self.add("Slice", name, (x,), starts=(start,), ends=(end,), axes=(axis,), steps=(1,))

    def state(self, name: str, initial: Array, dtype: str) -> str:
        """A state to read; `carry` says what it becomes."""
        array = np.array(initial, dtype)
        type_ = TensorType(tuple(array.shape), dtype)
        self._types[name] = type_
        index = np.arange(type_.size)
        # the output is filled in by `carry`
        self._states.append(State(name, "", type_, array, (StatePiece(name, "", index),)))
        return name

    def carry(self, state: str, edge: str) -> None:
        """The value of an edge is the state of the next call."""
        at = next(i for i, s in enumerate(self._states) if s.input == state)
        old = self._states[at]
        piece = StatePiece(state, edge, old.pieces[0].index)
        self._states[at] = State(state, edge, old.type, old.initial, (piece,))

    def include(self, graph: Graph, inputs: dict[str, str], prefix: str = "") -> dict[str, str]:
        """All of a graph, with `inputs` in the place of its own; where each of its outputs is.

        `prefix` comes before every name (`inside`), so that two models do not share one.
        """
        rename = {n: inputs.get(n) or inside(prefix, n) for n in graph.types}
        rename[""] = ""
        first = len(self._operators)
        moved = {p: p + first for loop in graph.loops for p in (loop.start, loop.stop)}
        self._loops += [replace(s, name=inside(prefix, s.name)).moved(moved).renamed(rename) for s in graph.loops]
        for op in graph.operators:
            ins, outs = (tuple(rename[n] for n in names) for names in (op.inputs, op.outputs))
            self._operators.append(Operator(inside(prefix, op.name), op.op, ins, outs, op.attributes))
        self._types |= {rename[n]: t for n, t in graph.types.items() if n not in inputs}
        self._constants |= {rename[n]: a for n, a in graph.constants.items()}
        self._steps |= {rename[n]: a for n, a in graph.steps.items()}
        self._rewrites += graph.rewrites
        for state in graph.states:
            pieces = tuple(StatePiece(rename[p.input], rename[p.output], p.index) for p in state.pieces)
            before, after = (rename.get(n, inside(prefix, n)) for n in (state.input, state.output))
            self._states.append(State(before, after, state.type, state.initial, pieces))
        return {n: rename[n] for n in graph.outputs}

    def repeat(self, graph: Graph, count: int, inputs: dict[str, str], prefix: str = "") -> dict[str, str]:
        """A graph `count` times, what it carries carried on from step to step and from call to call.

        `inputs` are edges [count, ...], whose rows its own inputs are one after the other. Returned is where each of
        its outputs is, [count, ...] likewise.
        """
        step = Builder(graph.name)
        heard = {n: step.input(inside(prefix, n), graph.shape(n), graph.types[n].dtype) for n in graph.inputs}
        stacks = step.include(graph, heard, prefix)
        body = step.graph(tuple(stacks.values()))
        name = inside(prefix, "steps")
        after = {p.output: f"{name}:{p.output}:after" for s in body.states for p in s.pieces}
        before = {p.input: f"{name}:{p.input}" for s in body.states for p in s.pieces}
        for state in body.states:
            pieces = tuple(StatePiece(before[p.input], after[p.output], p.index) for p in state.pieces)
            self._states.append(replace(state, pieces=pieces))
        self._types |= {before[n]: body.types[n] for n in before}
        made = {own: f"{outer}:steps" for own, outer in stacks.items()}
        self.add(
            "Loop",
            name,
            (*before.values(), *(inputs[n] for n in heard)),
            (*(after[p.output] for s in body.states for p in s.pieces), *made.values()),
            body=body,
            before=tuple(before),
            slices=tuple(heard.values()),
            slices_backwards=(False,) * len(heard),
            outer=(),
            stacks=tuple(stacks.values()),
            stacks_backwards=(False,) * len(stacks),
            count=count,
            index="",
            condition="",
            limited=False,
        )
        return made

    def graph(self, outputs: Sequence[str]) -> Graph:
        """The graph, without what no output and no state needs.

        Raises:
            AssertionError: if it breaks an invariant.
        """
        made = eliminate_dead(
            Graph(
                name=self._name,
                inputs=tuple(self._inputs),
                outputs=tuple(outputs),
                operators=tuple(self._operators),
                types=self._types,
                constants=self._constants,
                states=tuple(self._states),
                rewrites=tuple(self._rewrites),
                steps=self._steps,
                loops=tuple(self._loops),
            )
        )
        problems = check(made)
        if problems:
            raise AssertionError("composing made an invalid graph:\n" + "\n".join(problems))
        return made


def inside(prefix: str, name: str) -> str:
    """A name of a graph in another one. Those of front and back ends still begin as such: they decide on formats."""
    end = next((e for e in PIPELINE_ENDS if name.startswith(e)), "")
    return f"{end}{prefix}{name.removeprefix(end)}" if name else ""
