"""A loop whose body is a step of recurrent layers becomes these layers.

The body is imported by itself as a streaming model: what is carried from step to step are its states, what is scanned
its inputs, weights may be its own or those of the graph around it. The passes recognise the cells in it. If nothing but
recurrent layers and views is left, with every state in place, each layer runs over all steps at once.

Refused: bodies that compute anything else, or that need the cell state of an LSTM at every step; these are unrolled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
import onnx_ir

from mcu_quant.frontend.convert import canonicalise, raw_graph
from mcu_quant.frontend.fold import fold
from mcu_quant.frontend.known_loops import Sliced, Steps, opset_of
from mcu_quant.frontend.nodes import Writer, discard
from mcu_quant.frontend.states import Pairing, with_states
from mcu_quant.ir import Graph, Operator, eliminate_dead
from mcu_quant.ops.common import recurrent
from mcu_quant.passes import optimise
from mcu_quant.passes.recurrent import RECURRENT

_IR_VERSION = 10
_FIRST_SLICE_WITH_INPUTS = 10


@dataclass(frozen=True, eq=False)
class Layers:
    """What the outputs of the loop become, and the layers in words."""

    results: dict[onnx_ir.Value, onnx_ir.Value]
    what: str


def as_layers(steps: Steps, writer: Writer, model: onnx_ir.Model) -> Layers | None:
    """Write the recurrent layers that a loop is; None if it is something else."""
    opset = opset_of(model)
    if steps.count == 0 or opset < _FIRST_SLICE_WITH_INPUTS:
        return None
    body = steps.body.clone(allow_outer_scope_values=True)
    step = _step(steps, body, model)
    found = None if step is None else _Sequence(steps, step, writer).layers()
    discard(onnx_ir.traversal.RecursiveGraphIterator(body))
    return found


# --- the step ---------------------------------------------------------------------------------------------------------


def _step(steps: Steps, body: onnx_ir.Graph, model: onnx_ir.Model) -> Graph | None:
    """The optimised graph of one step: inputs `scan.K`, outputs `stack.K`, states `before.K` to `after.K`."""
    if not _closed(steps, body):
        return None
    alone = onnx_ir.Model(body, ir_version=_IR_VERSION)
    alone.opset_imports.update(model.opset_imports)
    fold(alone)
    raw, problems = raw_graph(alone, "step")
    if problems:
        return None
    graph, problems = canonicalise(_needed(raw, steps), opset_of(model))
    if problems:
        return None
    pairs = [Pairing(i, i.replace("before", "after"), "loop") for i in graph.inputs if i.startswith("before.")]
    return optimise(with_states(graph, pairs))


def _closed(steps: Steps, body: onnx_ir.Graph) -> bool:
    """Make a copy of the body a graph of its own, unless it needs computed values, or shapes that are not known."""
    inside = {*body.inputs, *body.initializers.values()}
    inside |= {o for n in onnx_ir.traversal.RecursiveGraphIterator(body) for o in n.outputs}
    for node in onnx_ir.traversal.RecursiveGraphIterator(body):
        for k, value in enumerate(node.inputs):
            if value is None or value in inside or value.graph is not steps.node.graph:
                continue
            tensor = onnx_ir.convenience.get_const_tensor(value)
            if tensor is None:
                return False
            constant = onnx_ir.Value(name=f"outer.{value.name}", const_value=tensor, type=value.type)
            constant.shape = onnx_ir.Shape(tensor.numpy().shape)
            body.initializers.setdefault(str(constant.name), constant)
            node.replace_input_with(k, body.initializers[str(constant.name)])
    names = _names(steps)
    for k, value in enumerate(body.inputs):
        original = steps.body.inputs[k]
        value.name = names.get(original, f"index.{k}")
        whole = _given(steps, original)
        if whole is None:
            value.shape = value.shape or onnx_ir.Shape(())
        elif whole[1] is None:
            return False
        else:
            value.type, value.shape = whole[0].type, onnx_ir.Shape(whole[1])
    return _name_outputs(body, steps)


def _names(steps: Steps) -> dict[onnx_ir.Value, str]:
    names = {c.before: f"before.{k}" for k, c in enumerate(steps.carried)}
    return names | {s.part: f"scan.{k}" for k, s in enumerate(steps.scanned)}


def _given(steps: Steps, inner: onnx_ir.Value) -> tuple[onnx_ir.Value, tuple[int, ...] | None] | None:
    """The value outside that an input of the body comes from, and the shape of the input if it is known."""
    for c in steps.carried:
        if c.before is inner:
            return c.initial, _shape(c.initial)
    for s in steps.scanned:
        if s.part is inner:
            shape = _shape(s.whole)
            return s.whole, None if shape is None else (*shape[: s.axis], *shape[s.axis + 1 :])
    return None


def _shape(value: onnx_ir.Value) -> tuple[int, ...] | None:
    if value.shape is None:
        return None
    sizes = tuple(d for d in value.shape if isinstance(d, int))
    return sizes if len(sizes) == len(value.shape) else None


def _name_outputs(body: onnx_ir.Graph, steps: Steps) -> bool:
    """Give every output a node and a name of its own."""
    wanted = [(c.after, f"after.{k}") for k, c in enumerate(steps.carried)]
    wanted += [(s.part, f"stack.{k}") for k, s in enumerate(steps.stacked)]
    made = []
    for original, name in wanted:
        node = onnx_ir.node("Identity", [body.outputs[steps.body.outputs.index(original)]], name=f"{name}:output")
        node.outputs[0].name = name
        body.append(node)
        made.append(node.outputs[0])
    body.outputs.clear()
    body.outputs.extend(made)
    return bool(made)


def _needed(graph: Graph, steps: Steps) -> Graph:
    """Without the states on which nothing depends that is used after the loop (a counter of the steps)."""
    results = {f"after.{k}" for k, c in enumerate(steps.carried) if _used(c.final)}
    results |= {f"stack.{k}" for k, s in enumerate(steps.stacked) if _used(s.whole)}
    while True:
        kept = eliminate_dead(replace(graph, outputs=tuple(o for o in graph.outputs if o in results)))
        read = {i for op in kept.operators for i in op.inputs} | set(kept.outputs)
        more = {i.replace("before", "after") for i in graph.inputs if i.startswith("before.") and i in read} - results
        if not more:
            alive = [i for i in graph.inputs if i in read or i.replace("before", "after") in results]
            return replace(kept, inputs=tuple(alive))
        results |= more


def _used(value: onnx_ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


# --- all steps --------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Sequence:
    """Writes the graph of a step for all steps: what an edge is over time, and after the last step."""

    steps: Steps
    graph: Graph
    writer: Writer
    #: per edge, all its values, with an axis of steps in front
    over: dict[str, onnx_ir.Value] = field(default_factory=dict)
    #: per edge, its value in the last step
    last: dict[str, onnx_ir.Value] = field(default_factory=dict)
    #: per edge, the state piece that it is a view of ...
    state: dict[str, str] = field(default_factory=dict)
    #: ... and per state, the edge that becomes it in the layer that reads it
    becomes: dict[str, str] = field(default_factory=dict)
    #: per edge, the edge of a layer that it is a view of
    origin: dict[str, str] = field(default_factory=dict)

    def layers(self) -> Layers | None:
        if any(len(s.pieces) != 1 or s.pieces[0].input != s.input for s in self.graph.states):
            return None
        self.state = {s.input: s.input for s in self.graph.states}
        for k, scanned in enumerate(self.steps.scanned):
            if f"scan.{k}" in self.graph.inputs:
                self.over[f"scan.{k}"] = self._time_first(scanned)
        if not all(self._write(op) for op in self.graph.operators) or not self._states_stay():
            return None
        results = self._results()
        kinds = [op.op for op in self.graph.operators if op.op in RECURRENT]
        return None if results is None or not kinds else Layers(results, ", ".join(kinds))

    def _time_first(self, scanned: Sliced) -> onnx_ir.Value:
        value = scanned.whole
        if scanned.axis:
            rank = len(value.shape or ())
            perm = [scanned.axis, *(a for a in range(rank) if a != scanned.axis)]
            value = self.writer.add("Transpose", value, perm=perm)[0]
        return self._reversed(value, 0) if scanned.backwards else value

    def _reversed(self, value: onnx_ir.Value, axis: int) -> onnx_ir.Value:
        w = self.writer
        low = w.integers(np.iinfo(np.int64).min)
        return w.add("Slice", value, w.integers(-1), low, w.integers(axis), w.integers(-1))[0]

    def _write(self, op: Operator) -> bool:
        if op.op in RECURRENT:
            return self._layer(op)
        if op.op != "Reshape":
            return False
        source, edge = op.inputs[0], op.outputs[0]
        shape = self.graph.shape(edge)
        for known, new in ((self.over, (self.steps.count, *shape)), (self.last, shape)):
            if source in known:
                known[edge] = self.writer.reshape(known[source], new)
        if source in self.state:
            self.state[edge] = self.state[source]
        self.origin[edge] = self.origin.get(source, source)
        return source in self.over or source in self.last or source in self.state

    def _layer(self, op: Operator) -> bool:
        states = op.inputs[5:7]
        x_edge = op.inputs[0]
        plain = op.attributes["direction"] == "forward" and not op.input(4)
        plain &= self.graph.shape(x_edge)[0] == 1 and x_edge in self.over
        fresh = all(s in self.state and self.state[s] not in self.becomes for s in states)
        if not plain or not fresh or len(states) != len(op.outputs[1:]):
            return False
        _, batch, width = self.graph.shape(x_edge)
        units = op.attributes["hidden_size"]
        w = self.writer
        x = w.reshape(self.over[x_edge], (self.steps.count, batch, width))
        weights = [
            w.constant(self.graph.constants[i], f"{op.name}:{what}") if i else None
            for i, what in zip(op.inputs[1:4], "WRB", strict=True)
        ]
        before = [w.reshape(self._initial(self.state[s]), (1, batch, units)) for s in states]
        more = [w.constant(self.graph.constants[i]) for i in op.inputs[7:] if i]
        outputs = w.add(
            op.op, x, *weights, None, *before, *more, name=op.name, outputs=len(op.outputs), **_attributes(op)
        )
        for edge, value in zip(op.outputs[1:], outputs[1:], strict=True):
            if edge:
                self.last[edge] = value
        self.over[op.outputs[1]] = w.reshape(outputs[0], (self.steps.count, 1, batch, units))
        self.becomes |= {self.state[s]: o for s, o in zip(states, op.outputs[1:], strict=True)}
        return True

    def _initial(self, state: str) -> onnx_ir.Value:
        return self.steps.carried[int(state.removeprefix("before."))].initial

    def _states_stay(self) -> bool:
        """Does every state become what the layer that reads it makes of it, and is it read by that alone?"""
        views = {o for op in self.graph.operators if op.op == "Reshape" for o in op.outputs}
        for s in self.graph.states:
            after = s.pieces[0].output
            if self.becomes.get(s.input) != self.origin.get(after, after):
                return False
        readers: dict[str, int] = {}
        for op in self.graph.operators:
            for name in op.inputs:
                if name in self.state and op.outputs[0] not in views:
                    readers[self.state[name]] = readers.get(self.state[name], 0) + 1
        return all(n == 1 for n in readers.values())

    def _results(self) -> dict[onnx_ir.Value, onnx_ir.Value] | None:
        made: dict[onnx_ir.Value, onnx_ir.Value] = {}
        for k, c in enumerate(self.steps.carried):
            state = next((s for s in self.graph.states if s.input == f"before.{k}"), None)
            if state is not None:
                made[c.final] = self.last[state.pieces[0].output]
        for k, s in enumerate(self.steps.stacked):
            name = f"stack.{k}"
            if name in self.graph.outputs:
                if name not in self.over:
                    return None
                made[s.whole] = self._stacked(self.over[name], len(self.graph.shape(name)), s)
        return made

    def _stacked(self, value: onnx_ir.Value, rank: int, stacked: Sliced) -> onnx_ir.Value:
        if stacked.backwards:
            value = self._reversed(value, 0)
        perm = [*range(1, stacked.axis + 1), 0, *range(stacked.axis + 1, rank + 1)]
        return self.writer.add("Transpose", value, perm=perm)[0] if stacked.axis else value


def _attributes(op: Operator) -> dict[str, object]:
    """The attributes of a layer as ONNX has them."""
    a = op.attributes
    names: Iterable[str] = ("input_forget", "linear_before_reset")
    found: dict[str, object] = {n: a[n] for n in names if a.get(n)}
    found |= {"hidden_size": a["hidden_size"], "activations": list(a["activations"])}
    numbers = {f"activation_{k}": recurrent.onnx_parameters(op, k) for k in ("alpha", "beta")}
    found |= {name: values for name, values in numbers.items() if values}
    return found if a["clip"] == inf else {**found, "clip": a["clip"]}
