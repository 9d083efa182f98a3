"""A loop whose body is a step of recurrent layers becomes these layers.

The body is imported by itself as a streaming model (`one_step.py`). The passes recognise the cells in it. If nothing
but recurrent layers and views is left, with every state in place, each layer runs over all steps at once.

Refused: bodies that compute anything else, or that need the cell state of an LSTM at every step; these stay loops.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

import numpy as np
import onnx_ir

from mcu_quant.frontend.known_loops import Sliced, Steps, opset_of
from mcu_quant.frontend.nodes import Writer
from mcu_quant.frontend.one_step import step_of
from mcu_quant.ir import Graph, Operator
from mcu_quant.ops.common import recurrent
from mcu_quant.passes.recurrent import RECURRENT

_FIRST_SLICE_WITH_INPUTS = 10


@dataclass(frozen=True, eq=False)
class Layers:
    """What the outputs of the loop become, and the layers in words."""

    results: dict[onnx_ir.Value, onnx_ir.Value]
    what: str


def as_layers(steps: Steps, writer: Writer, model: onnx_ir.Model) -> Layers | None:
    """Write the recurrent layers that a loop is; None if it is something else."""
    opset = opset_of(model)
    if not steps.fixed or opset < _FIRST_SLICE_WITH_INPUTS:
        return None
    step = step_of(steps, model)
    return None if isinstance(step, str) or step.outer else _Sequence(steps, steps.fixed, step.graph, writer).layers()


# --- all steps --------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Sequence:
    """Writes the graph of a step for all steps: what an edge is over time, and after the last step."""

    steps: Steps
    count: int
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
        for known, new in ((self.over, (self.count, *shape)), (self.last, shape)):
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
        x = w.reshape(self.over[x_edge], (self.count, batch, width))
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
        self.over[op.outputs[1]] = w.reshape(outputs[0], (self.count, 1, batch, units))
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
