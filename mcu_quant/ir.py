"""The graph that every stage before lowering reads and returns: frozen values, ONNX's terms, no onnx import.

A `Graph` has fixed shapes and no branches. Edges are named by strings; an edge is a graph input, a state, a
constant, or the output of exactly one operator. Cache inputs and outputs of a streaming model are `State`s, not inputs
and outputs. What is repeated within a frame is a range of its operators, a `Loop`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcu_quant.regions import enclosing

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class TensorType:
    """Shape and numpy dtype name ("float32", "int64", "bool", ...) of an edge."""

    shape: Shape
    dtype: str = "float32"

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def is_real(self) -> bool:
        """A real number, stored in a format of the plan? Else it is a whole number or a truth value."""
        return np.dtype(self.dtype).kind == "f"

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Operator:
    """One node. `inputs` may hold "" for an optional input that is absent. Attributes are plain Python values."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    def input(self, index: int) -> str:
        """Name of an input, or "" where it is absent or beyond the end."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def output(self, index: int) -> str:
        """Name of an output, or "" where it is absent or beyond the end."""
        return self.outputs[index] if index < len(self.outputs) else ""

    def with_inputs(self, rename: Mapping[str, str]) -> Operator:
        """The same operator with some of its inputs renamed."""
        return replace(self, inputs=tuple(rename.get(i, i) for i in self.inputs))


@dataclass(frozen=True, eq=False)
class StatePiece:
    """A part of a state that one chain of operators reads and one writes.

    A model may pack several things in one cache tensor (hidden and cell state of two layers, say); each needs a format
    of its own. `index` holds, for each element of the piece in C order, its flat position in the packed tensor.
    """

    input: str
    output: str
    index: Array


@dataclass(frozen=True, eq=False)
class State:
    """A cache of a streaming model: `input` at frame t is `output` of frame t - 1, `initial` before the first."""

    input: str
    output: str
    type: TensorType
    initial: Array
    pieces: tuple[StatePiece, ...]


@dataclass(frozen=True)
class Loop:
    """Operators `start` to before `stop` of a graph, which run `count` times per frame, or until a condition fails.

    `carried` are pairs of edges: the first is at a step what the second was at the step before; an operator LoopStart
    before the loop gives its value for the first step. `index` is the edge that holds the number of the step (a scalar
    int64), if an operator reads it. The loop ends before a step at which `condition`, a carried truth value, is false,
    and after as many steps as the scalar int64 `limit` says. With `count` None only those end it.
    """

    name: str
    start: int
    stop: int
    count: int | None
    carried: tuple[tuple[str, str], ...] = ()
    index: str = ""
    condition: str = ""
    limit: str = ""

    @property
    def counted(self) -> int:
        """Steps to reckon with: how many there are or can be; one, where only data ends the loop."""
        return 1 if self.count is None else self.count

    @property
    def edges(self) -> tuple[str, ...]:
        """Edges that the loop itself needs: what it carries, and what ends it."""
        own = (*(e for pair in self.carried for e in pair), self.index, self.condition, self.limit)
        return tuple(e for e in own if e)

    def moved(self, positions: Mapping[int, int]) -> Loop:
        """The same loop where operators stand elsewhere: its new start and stop by the old ones."""
        return replace(self, start=positions[self.start], stop=positions[self.stop])

    def renamed(self, names: Mapping[str, str]) -> Loop:
        """The same loop with edges renamed."""
        return replace(
            self,
            carried=tuple((names.get(b, b), names.get(a, a)) for b, a in self.carried),
            index=names.get(self.index, self.index),
            condition=names.get(self.condition, self.condition),
            limit=names.get(self.limit, self.limit),
        )


@dataclass(frozen=True)
class Rewrite:
    """What a pass changed, for `inspect`: the rule and the ONNX nodes it concerned."""

    rule: str
    where: str
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Graph:
    """Operators in execution order, with the type of every edge."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[Operator, ...]
    types: Mapping[str, TensorType]
    constants: Mapping[str, Array]
    states: tuple[State, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    #: constants that the model has as whole numbers: the real value of one step, for each element
    steps: Mapping[str, Array] = field(default_factory=dict)
    #: what is repeated within a frame; passes see a loop as one operator (`passes/loops.py` brings it into this form)
    loops: tuple[Loop, ...] = ()

    def __post_init__(self) -> None:
        for array in self.constants.values():
            array.setflags(write=False)
        object.__setattr__(self, "steps", MappingProxyType(dict(self.steps)))
        object.__setattr__(self, "types", MappingProxyType(dict(self.types)))
        object.__setattr__(self, "constants", MappingProxyType(dict(self.constants)))

    @property
    def state_inputs(self) -> tuple[str, ...]:
        """Edges that hold state at the start of a frame, piece by piece."""
        return tuple(p.input for s in self.states for p in s.pieces)

    @property
    def state_outputs(self) -> tuple[str, ...]:
        """Edges that hold the state for the next frame, piece by piece."""
        return tuple(p.output for s in self.states for p in s.pieces)

    @property
    def results(self) -> tuple[str, ...]:
        """Every edge that must exist at the end of a frame."""
        return (*self.outputs, *self.state_outputs)

    @property
    def times(self) -> dict[str, int]:
        """How often each operator runs in a frame, at most."""
        return {op.name: prod(loop.counted for loop in enclosing(k, self.loops)) for k, op in enumerate(self.operators)}

    @property
    def repeated(self) -> frozenset[str]:
        """Edges that take several values within a frame: one at each step of a loop."""
        made = {o for loop in self.loops for op in self.operators[loop.start : loop.stop] for o in op.outputs if o}
        return frozenset(made | {before for loop in self.loops for before, _ in loop.carried})

    def producer(self) -> dict[str, Operator]:
        """The operator that writes each edge."""
        return {o: op for op in self.operators for o in op.outputs if o}

    def consumers(self) -> dict[str, list[Operator]]:
        """The operators that read each edge, in order."""
        found: dict[str, list[Operator]] = {}
        for op in self.operators:
            for name in dict.fromkeys(op.inputs):
                if name:
                    found.setdefault(name, []).append(op)
        return found

    def constant(self, name: str) -> Array | None:
        """Value of a constant edge, or None."""
        return self.constants.get(name)

    def shape(self, name: str) -> Shape:
        """Shape of an edge."""
        return self.types[name].shape

    def operator(self, name: str) -> Operator:
        """The operator of that name."""
        for op in self.operators:
            if op.name == name:
                return op
        raise KeyError(name)

    def __str__(self) -> str:
        lines = [f"graph {self.name}"]
        lines += [f"  input  {n}: {self.types[n]}" for n in self.inputs]
        lines += [f"  state  {p.input} <- {p.output}: {self.types[p.input]}" for s in self.states for p in s.pieces]
        for k, op in enumerate(self.operators):
            for loop in self.loops:
                lines += [f"  loop   {loop.name}: operators up to {loop.stop}, {loop.count} x"] * (loop.start == k)
            outs = ", ".join(f"{o}: {self.types[o]}" for o in op.outputs if o)
            attrs = ", ".join(f"{k}={v}" for k, v in op.attributes.items())
            lines.append(f"  {outs} = {op.op}({', '.join(i or '-' for i in op.inputs)}) {{{attrs}}}  # {op.name}")
        lines += [f"  output {n}: {self.types[n]}" for n in self.outputs]
        return "\n".join(lines)


def check(graph: Graph) -> list[str]:
    """List the invariants that a graph breaks; an empty list is a valid graph."""
    problems: list[str] = []
    known = {*graph.inputs, *graph.state_inputs, *graph.constants, *(loop.index for loop in graph.loops)} - {""}
    for name, count in Counter(op.name for op in graph.operators).items():
        if count > 1:
            problems.append(f"operator name {name!r} is used {count} times")
    for op in graph.operators:
        problems += [f"{op.name}: reads {i!r} before it exists" for i in op.inputs if i and i not in known]
        for o in filter(None, op.outputs):
            if o in known:
                problems.append(f"{op.name}: writes {o!r}, which exists already")
            known.add(o)
    results = [*graph.results, *(after for loop in graph.loops for _, after in loop.carried)]
    problems += [f"result {name!r} is never computed" for name in results if name not in known]
    problems += [f"edge {name!r} has no type" for name in known if name and name not in graph.types]
    for name, array in graph.constants.items():
        if name in graph.types and tuple(array.shape) != graph.types[name].shape:
            problems.append(f"constant {name!r} has shape {array.shape}, its type says {graph.types[name]}")
    for state in graph.states:
        covered = np.concatenate([np.asarray(p.index).ravel() for p in state.pieces])
        if sorted(covered.tolist()) != list(range(state.type.size)):
            problems.append(f"pieces of state {state.input!r} do not cover it exactly once")
    return problems


def eliminate_dead(graph: Graph) -> Graph:
    """Drop operators, constants and types that no result needs. Order and names stay."""
    needed = set(graph.results).union(*(loop.edges for loop in graph.loops))
    kept: list[Operator] = []
    dropped: list[int] = []
    for k, op in reversed([*enumerate(graph.operators)]):
        if needed.intersection(op.outputs):
            kept.append(op)
            needed.update(i for i in op.inputs if i)
        else:
            dropped.append(k)
    kept.reverse()
    loops = (loop.moved({p: p - sum(d < p for d in dropped) for p in (loop.start, loop.stop)}) for loop in graph.loops)
    # an output nobody reads becomes "", so that lowering need not store it
    kept = [replace(op, outputs=tuple(o if o in needed else "" for o in op.outputs)) for op in kept]
    alive = needed | set(graph.inputs) | set(graph.state_inputs)
    return replace(
        graph,
        operators=tuple(kept),
        constants={n: a for n, a in graph.constants.items() if n in alive},
        steps={n: a for n, a in graph.steps.items() if n in alive},
        types={n: t for n, t in graph.types.items() if n in alive},
        loops=tuple(loops),
    )


def rebuild(
    graph: Graph,
    operators: Sequence[Operator],
    *,
    types: Mapping[str, TensorType] | None = None,
    constants: Mapping[str, Array] | None = None,
    steps: Mapping[str, Array] | None = None,
    rewrites: Iterable[Rewrite] = (),
    **changes: Any,
) -> Graph:
    """What a pass returns: new operators, additional types and constants, notes of what it did; dead parts dropped."""
    return eliminate_dead(
        replace(
            graph,
            operators=tuple(operators),
            types={**graph.types, **(types or {})},
            constants={**graph.constants, **(constants or {})},
            steps={**graph.steps, **(steps or {})},
            rewrites=(*graph.rewrites, *rewrites),
            **changes,
        )
    )
