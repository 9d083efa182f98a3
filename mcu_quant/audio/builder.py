"""A graph made operator by operator, by hand: what front and back ends are written with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Graph, Loop, Operator, Shape, State, StatePiece, TensorType, check, eliminate_dead


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

        `prefix` comes before every name, so that two models do not share one.
        """
        rename = {n: inputs.get(n) or prefix + n for n in graph.types}
        rename[""] = ""
        first = len(self._operators)
        moved = {p: p + first for loop in graph.loops for p in (loop.start, loop.stop)}
        self._loops += [replace(s, name=prefix + s.name).moved(moved).renamed(rename) for s in graph.loops]
        for op in graph.operators:
            ins, outs = (tuple(rename[n] for n in names) for names in (op.inputs, op.outputs))
            self._operators.append(Operator(prefix + op.name, op.op, ins, outs, op.attributes))
        self._types |= {rename[n]: t for n, t in graph.types.items() if n not in inputs}
        self._constants |= {rename[n]: a for n, a in graph.constants.items()}
        self._steps |= {rename[n]: a for n, a in graph.steps.items()}
        self._rewrites += graph.rewrites
        for state in graph.states:
            pieces = tuple(StatePiece(rename[p.input], rename[p.output], p.index) for p in state.pieces)
            names = rename.get(state.input, prefix + state.input), rename.get(state.output, prefix + state.output)
            self._states.append(State(*names, state.type, state.initial, pieces))
        return {n: rename[n] for n in graph.outputs}

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
