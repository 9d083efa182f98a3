"""What passes are written with: a view of the graph that answers questions, and a list of edits applied at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Graph, Operator, Rewrite, Shape, State, StatePiece, TensorType, rebuild


class Editor:
    """Collects the rewrites that one pass finds in one graph.

    Edits do not see each other: an operator that one edit took is not offered to the next, and passes run until
    nothing changes.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._producer = graph.producer()
        self._consumers = graph.consumers()
        self._results = set(graph.results)
        self._taken: set[str] = set()
        self._made: dict[str, tuple[Operator, ...]] = {}
        self._renamed: dict[str, str] = {}
        self._types: dict[str, TensorType] = {}
        self._constants: dict[str, Array] = {}
        self._steps: dict[str, Array] = {}
        self._rewrites: list[Rewrite] = []
        #: where each operator stands in the order of execution, by name
        self.position = {op.name: k for k, op in enumerate(graph.operators)}
        self._named: set[str] = set()

    # --- questions -------------------------------------------------------------------------------------------------

    def free(self, *operators: Operator) -> bool:
        """Is none of them part of an edit yet?"""
        return self._taken.isdisjoint(op.name for op in operators)

    def maker(self, edge: str, *kinds: str) -> Operator | None:
        """The operator that computes an edge, if it is one of these kinds."""
        op = self._producer.get(edge)
        return op if op is not None and (not kinds or op.op in kinds) else None

    def readers(self, edge: str) -> Sequence[Operator]:
        """All operators that read an edge."""
        return self._consumers.get(edge, ())

    def reader(self, edge: str, *kinds: str) -> Operator | None:
        """The only operator that reads an edge, if it is one of these kinds and the edge is no result."""
        readers = self.readers(edge)
        if len(readers) != 1 or edge in self._results:
            return None
        return readers[0] if not kinds or readers[0].op in kinds else None

    def private(self, edge: str, *inside: Operator) -> bool:
        """Is an edge read by nothing but these operators?"""
        names = {op.name for op in inside}
        return edge not in self._results and all(op.name in names for op in self.readers(edge))

    def constant(self, edge: str) -> Array | None:
        """The value of an edge that is a constant."""
        return self.graph.constants.get(edge) if edge else None

    def scalar(self, edge: str) -> float | None:
        """The value of a constant with one element."""
        array = self.constant(edge)
        return None if array is None or array.size != 1 else float(array.reshape(()))

    def operand(self, op: Operator) -> tuple[str, Array] | None:
        """The two inputs of a binary operator with exactly one constant: the other edge, and the constant's value."""
        first, second = op.inputs
        if (value := self.constant(second)) is not None and first not in self.graph.constants:
            return first, value
        if (value := self.constant(first)) is not None and second not in self.graph.constants:
            return second, value
        return None

    def shape(self, edge: str) -> Shape:
        """Shape of an edge of the graph, or of one that was added."""
        return (self._types.get(edge) or self.graph.types[edge]).shape

    # --- edits -----------------------------------------------------------------------------------------------------

    def fresh(self, hint: str) -> str:
        """A name that no edge has."""
        name, n = hint, 2
        while name in self.graph.types or name in self._types:
            name, n = f"{hint}#{n}", n + 1
        return name

    def add_constant(self, hint: str, value: Array, steps: Array | None = None) -> str:
        """A new constant, with its `Graph.steps` if it has any; its name, made from the hint."""
        name = self.fresh(hint)
        if steps is not None:
            self._steps[name] = steps
        self._constants[name] = value
        self._types[name] = TensorType(tuple(value.shape), str(value.dtype))
        return name

    def add_edge(self, hint: str, shape: Shape, dtype: str = "float32") -> str:
        """A new edge for an operator to write; its name, made from the hint."""
        name = self.fresh(hint)
        self._types[name] = TensorType(tuple(shape), dtype)
        return name

    def replace(
        self, root: Operator, made: Iterable[Operator], rule: str, detail: str = "", taken: Iterable[Operator] = ()
    ) -> None:
        """Put `made` where `root` was.

        Operators in `taken` go where `made` writes their outputs; the others stay, and disappear if nobody reads them.
        """
        operators = tuple(made)
        written = {o for op in operators for o in op.outputs if o}
        for op in taken:
            self._taken.add(op.name)
            if written.intersection(op.outputs):
                self._made[op.name] = ()
        self._made[root.name] = operators
        self._taken.add(root.name)
        self._rewrites.append(Rewrite(rule, root.name, detail))

    def bypass(self, op: Operator, source: str, rule: str) -> None:
        """Let everybody who reads the output of `op` read `source` instead, which holds the same values.

        An output of the graph keeps its name: the source takes it, or where it cannot, a Reshape (a view) gives it.
        """
        edge = next(o for o in op.outputs if o)
        if edge in self.graph.outputs:
            maker = self.maker(source)
            if maker is None or not self.free(maker) or source in self._results:
                if op.op != "Reshape":
                    self.replace(op, [reshape(op.name, source, edge, self.shape(edge))], rule)
                return
            self._taken.add(maker.name)
            self._renamed[source] = edge
        else:
            self._renamed[edge] = source
        self.replace(op, (), rule)

    def canonical(self, op: Operator) -> tuple[Operator, ...]:
        """The canonical form of an operator written in ONNX's terms, with all defaults made explicit."""
        spec = ops.by_onnx()[op.op]
        assert spec.canonicalise
        known = replace(
            self.graph,
            types={**self.graph.types, **self._types},
            constants={**self.graph.constants, **self._constants},
        )
        made = spec.canonicalise(op, ops.NodeContext(known, opset=18))
        self._types |= made.types
        self._constants |= made.constants
        return made.operators

    def common_name(self, operators: Sequence[Operator], otherwise: str) -> str:
        """A name for an operator made of several: the path their names share, if no other operator has it."""
        name = _shared_path([op.name for op in operators])
        taken = not name or name in self._named or name in self.position
        name = otherwise if taken else name
        self._named.add(name)
        return name

    def done(self) -> Graph:
        """The graph with all edits, or the graph itself if there are none."""
        if not self._rewrites and not self._renamed:
            return self.graph
        rename = _resolve(self._renamed)
        operators: list[Operator] = []
        for op in self.graph.operators:
            for made in self._made.get(op.name, (op,)):
                outputs = tuple(rename.get(o, o) for o in made.outputs)
                operators.append(replace(made.with_inputs(rename), outputs=outputs))
        result = replace(self.graph, states=tuple(_renamed_state(s, rename) for s in self.graph.states))
        return rebuild(
            result,
            ordered(result, operators, self._constants),
            types=self._types,
            constants=self._constants,
            steps=self._steps,
            rewrites=self._rewrites,
        )


def _resolve(renamed: Mapping[str, str]) -> dict[str, str]:
    """Follow chains of renames to their end."""
    result = {}
    for old in renamed:
        new = old
        while new in renamed:
            new = renamed[new]
        result[old] = new
    return result


def _renamed_state(state: State, rename: Mapping[str, str]) -> State:
    pieces = tuple(StatePiece(p.input, rename.get(p.output, p.output), p.index) for p in state.pieces)
    return replace(state, pieces=pieces)


def ordered(graph: Graph, operators: Sequence[Operator], constants: Mapping[str, Array]) -> list[Operator]:
    """Operators in an order in which they can run: the given one, where an operator waits for what it needs."""
    missing = {o for op in operators for o in op.outputs if o}
    missing -= {*graph.inputs, *graph.state_inputs, *graph.constants, *constants}
    done: list[Operator] = []
    waiting = list(operators)
    while waiting:
        later = []
        for op in waiting:
            if missing.isdisjoint(op.inputs):
                missing.difference_update(op.outputs)
                done.append(op)
            else:
                later.append(op)
        if len(later) == len(waiting):
            raise AssertionError(f"a pass made a cycle through {', '.join(op.name for op in later)}")
        waiting = later
    return done


def settled(graph: Graph, rewrite: Callable[[Graph], Graph]) -> Graph:
    """The graph after a pass that is repeated until it changes nothing."""
    while (changed := rewrite(graph)) is not graph:
        graph = changed
    return graph


def reshape(name: str, source: str, edge: str, shape: Shape) -> Operator:
    """The operator that gives `source` another shape, as `edge`."""
    return Operator(name, "Reshape", (source,), (edge,), {"shape": tuple(shape)})


def _shared_path(names: Sequence[str]) -> str:
    """The path that names share; the step of an unrolled loop that they share (`@3`) stays at its end."""
    parts = [name.partition("@") for name in names]
    levels = zip(*(before.split("/") for before, _, _ in parts), strict=False)
    shared = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels)]
    steps = {at + step for _, at, step in parts}
    return "/".join(shared) + (steps.pop() if shared and len(steps) == 1 else "")


def broadcast_vector(value: Array, shape: Shape, axis: int) -> Array | None:
    """A constant that varies along one axis of `shape` only, as a vector of that axis; None if it does not fit so."""
    if value.ndim > len(shape):
        if any(d != 1 for d in value.shape[: value.ndim - len(shape)]):
            return None
        value = value.reshape(value.shape[value.ndim - len(shape) :])
    full = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
    if any(d != 1 for a, d in enumerate(full.shape) if a != axis):
        return None
    return np.broadcast_to(np.ravel(full), (shape[axis],)).astype(np.float32)
