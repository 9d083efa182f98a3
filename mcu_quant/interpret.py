"""Run a graph in floats by the operators' references: what the graph means, one frame at a time.

    stream = Stream(graph)
    for frame in frames:
        outputs = stream.run({"input": frame})

Used by calibration, by the tests of every rewrite, and as the yardstick for single operators.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Graph, Loop, Operator, State
from mcu_quant.regions import Region, tree

Watch = Callable[[str, Array], None]
"""Called with the name and the value of an edge as soon as it is there; the value is good until the call returns."""


def execute(
    graph: Graph, feeds: Mapping[str, Array], watch: Watch | None = None, keep: Collection[str] = ()
) -> dict[str, Array]:
    """Compute every edge of a graph.

    Args:
        feeds: Value of every input, by name, and of any state piece (its edge name). Pieces without one start as the
            state's initial value says.
        watch: Is shown every input, state piece and result. With it, memory stays that of the values that are still
            needed: what no operator reads any more is dropped, and only `keep` is returned.

    Raises:
        KeyError: if an input is missing.
        ValueError: if an input has the wrong shape.
    """
    values: dict[str, Array] = {**graph.constants}
    for state in graph.states:
        values |= _pieces(graph, state, state.initial)
    for name in graph.inputs:
        values[name] = _checked(graph, name, feeds[name])
    values |= {name: _checked(graph, name, feeds[name]) for name in graph.state_inputs if name in feeds}
    if watch:
        for name in (*graph.inputs, *graph.state_inputs):
            watch(name, values[name])
    with np.errstate(over="ignore"):  # exp of a large number is inf, as in onnxruntime
        _Execution(graph, values, watch, frozenset(keep)).run()
    return {name: values[name] for name in keep} if watch else values


class _Execution:
    """Computes all edges of a graph into `values`; forgets those that nobody reads any more where it is watched."""

    def __init__(self, graph: Graph, values: dict[str, Array], watch: Watch | None, keep: Collection[str]) -> None:
        self._graph = graph
        self._values = values
        self._watch = watch
        self._keep = {*keep, *(edge for loop in graph.loops for edge in loop.edges)}
        self._unread = Counter(i for op in graph.operators for i in op.inputs)

    def run(self) -> None:
        """All operators, in order."""
        for part in tree(len(self._graph.operators), self._graph.loops):
            if isinstance(part, Region):
                self._repeat(part)
                done = self._graph.operators[part.loop.start : part.loop.stop]
            else:
                done = self._graph.operators[part : part + 1]
                self._once(done[0])
            if self._watch:
                self._drop(done)

    def _once(self, op: Operator, repeated: bool = False) -> None:
        inputs = [self._values[i] if i else None for i in op.inputs]
        results = ops.spec(op).reference(op, inputs)
        made = {name: np.asarray(value) for name, value in zip(op.outputs, results, strict=False) if name}
        self._values |= made
        if self._watch:
            for name, value in made.items():
                self._watch(name, value)
            if repeated and (internals := ops.spec(op).internals):
                for tensor, value in internals(op, inputs).items():
                    self._watch(f"{op.name}:{tensor}", value)

    def _repeat(self, region: Region[Loop]) -> None:
        loop, values = region.loop, self._values
        step = 0
        while self._goes_on(loop, step):
            if loop.index:
                values[loop.index] = np.array(step, np.int64)
            for part in region.body:
                if isinstance(part, Region):
                    self._repeat(part)
                else:
                    self._step(self._graph.operators[part], loop, step)
            for name, value in {before: values[after] for before, after in loop.carried}.items():
                self._set(name, value)
            step += 1

    def _goes_on(self, loop: Loop, step: int) -> bool:
        if loop.condition and not self._values[loop.condition].all():
            return False
        if loop.limit and step >= self._values[loop.limit].reshape(-1)[0]:
            return False
        return loop.count is None or step < loop.count

    def _step(self, op: Operator, loop: Loop, step: int) -> None:
        """One operator at one step: what takes a slice or puts one in its place depends on the step."""
        if op.op == "LoopSlice":
            whole = self._values[op.inputs[0]]
            self._set(op.outputs[0], whole[len(whole) - 1 - step if op.attributes["backwards"] else step])
        elif op.op == "LoopStack":
            part, count = self._values[op.inputs[0]], op.attributes["count"]
            before = self._values[op.outputs[0]] if step else np.zeros((count, *part.shape), part.dtype)
            self._values[op.outputs[0]] = before
            before[count - 1 - step if op.attributes["backwards"] else step] = part
            if self._watch and step == count - 1:
                self._watch(op.outputs[0], before)
        else:
            self._once(op, repeated=True)

    def _set(self, name: str, value: Array) -> None:
        self._values[name] = value
        if self._watch:
            self._watch(name, value)

    def _drop(self, done: Collection[Operator]) -> None:
        """Forget what nobody reads after these operators."""
        for op in done:
            self._unread.subtract(op.inputs)
        for name in {n for op in done for n in (*op.inputs, *op.outputs)}:
            if not self._unread[name] and name not in self._keep:
                self._values.pop(name, None)


def _checked(graph: Graph, name: str, value: Array) -> Array:
    type_ = graph.types[name]
    if tuple(np.shape(value)) != type_.shape:
        raise ValueError(f"{name} is {type_}, got shape {np.shape(value)}")
    return np.asarray(value, type_.dtype)


def run(
    graph: Graph, feeds: Mapping[str, Array], taps: Collection[str] = (), watch: Watch | None = None
) -> dict[str, Array]:
    """Run one frame.

    Args:
        feeds: Inputs by name, and states by the name of the model's cache input; a state that is missing is initial.
        taps: Names of other edges to return.
        watch: As in `execute`.

    Returns:
        Outputs, the new states under the names of the model's cache outputs (packed, as the model has them), and taps.
    """
    pieces: dict[str, Array] = {}
    for state in graph.states:
        if state.input in feeds:
            pieces |= _pieces(graph, state, feeds[state.input])
    keep = {*graph.outputs, *taps, *(p.output for s in graph.states for p in s.pieces)}
    values = execute(graph, {**{n: feeds[n] for n in graph.inputs}, **pieces}, watch, keep)
    found = {name: values[name] for name in (*graph.outputs, *taps)}
    return found | {state.output: pack(state, values) for state in graph.states}


def pack(state: State, values: Mapping[str, Array]) -> Array:
    """A state as the model has it, from the values of the edges that its pieces write."""
    packed = np.zeros(state.type.size, state.type.dtype)
    for piece in state.pieces:
        packed[np.ravel(piece.index)] = np.ravel(values[piece.output])
    return packed.reshape(state.type.shape)


def _pieces(graph: Graph, state: State, packed: Array) -> dict[str, Array]:
    """The edges that hold a state at the start of a frame."""
    flat = np.ravel(np.asarray(packed, state.type.dtype))
    if flat.size != state.type.size:
        raise ValueError(f"state {state.input} is {state.type}, got shape {np.shape(packed)}")
    return {p.input: flat[np.ravel(p.index)].reshape(graph.shape(p.input)) for p in state.pieces}


@dataclass
class Stream:
    """A graph that keeps its states from frame to frame."""

    graph: Graph
    states: dict[str, Array] = field(default_factory=dict)

    def reset(self) -> None:
        """Back to the first frame."""
        self.states = {}

    def run(
        self, feeds: Mapping[str, Array], taps: Collection[str] = (), watch: Watch | None = None
    ) -> dict[str, Array]:
        """Run the next frame: as the function `run`, with the states carried."""
        found = run(self.graph, {**feeds, **self.states}, taps, watch)
        self.states = {state.input: found[state.output] for state in self.graph.states}
        return found
