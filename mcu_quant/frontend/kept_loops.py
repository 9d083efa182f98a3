"""Loops that stay loops: a Scan or Loop becomes one node whose body is a graph of ours.

Before: y = Scan(h, x; body), x scanned along its axis 1.
After:  y = Loop(h, Transpose(x)), its body optimised by itself, sliced and stacked along the first axis.

The node has a domain of its own, so that the ONNX libraries leave it alone, and its results keep their types.

Refused, with the reason: bodies that cannot be imported by themselves: operators that are not supported, shapes that
differ from step to step, lists that grow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir

from mcu_quant.frontend.fold import LOOPS
from mcu_quant.frontend.known_loops import Sliced, Steps
from mcu_quant.frontend.nodes import Writer
from mcu_quant.frontend.one_step import INDEX, OneStep, Prepare, step_of, used
from mcu_quant.ir import Graph, TensorType


@dataclass(frozen=True, eq=False)
class KeptLoop:
    """What the outputs of the loop become, and the attributes of the operator."""

    results: dict[onnx_ir.Value, onnx_ir.Value]
    attributes: Mapping[str, Any]


def as_loop(steps: Steps, writer: Writer, model: onnx_ir.Model, prepare: Prepare) -> KeptLoop | str:
    """Write the node that a loop is, or say why its body cannot be imported by itself."""
    step = step_of(steps, model, packed=True, prepare=prepare)
    if isinstance(step, str):
        return step
    model.opset_imports.setdefault(LOOPS, 1)
    return _Node(steps, step, writer).write()


def with_loops(kept: Mapping[str, Mapping[str, Any]]) -> Callable[[Graph], Graph]:
    """Gives the operators of a graph that are loops their bodies."""

    def finish(graph: Graph) -> Graph:
        operators = [
            replace(op, op="Loop", attributes=kept[op.name]) if op.op == f"{LOOPS}.Loop" else op
            for op in graph.operators
        ]
        return replace(graph, operators=tuple(operators))

    return finish


class _Node:
    """Writes the node of one loop."""

    def __init__(self, steps: Steps, step: OneStep, writer: Writer) -> None:
        self._steps = steps
        self._step = step
        self._writer = writer
        self._carried = [k for k in range(len(steps.carried)) if f"before.{k}" in step.graph.state_inputs]
        self._scanned = [k for k in range(len(steps.scanned)) if f"scan.{k}" in step.graph.inputs]
        self._stacked = [k for k, s in enumerate(steps.stacked) if used(s.whole)]

    def write(self) -> KeptLoop:
        steps, w = self._steps, self._writer
        scanned = [steps.scanned[k] for k in self._scanned]
        inputs = [steps.carried[k].initial for k in self._carried]
        made = {v: w.constant(v.const_value.numpy()) for v in inputs if v.graph is None and v.const_value is not None}
        inputs = [made.get(v, v) for v in inputs]
        inputs += [self._first(s) for s in scanned]
        inputs += self._step.outer.values()
        inputs += [steps.trips] if steps.trips else []
        count = len(self._carried) + len(self._stacked)
        node = onnx_ir.node("Loop", inputs, num_outputs=count, name=str(steps.node.name), domain=LOOPS)
        w.nodes.append(node)
        types = [self._step.graph.types[f"before.{k}"] for k in self._carried]
        parts = [self._step.graph.types[f"stack.{k}"] for k in self._stacked]
        types += [TensorType((steps.count or 0, *t.shape), t.dtype) for t in parts]
        originals = [steps.carried[k].final for k in self._carried] + [steps.stacked[k].whole for k in self._stacked]
        for k, (value, type_, original) in enumerate(zip(node.outputs, types, originals, strict=True)):
            value.name = f"{node.name}:{k}"
            given = original.type or onnx_ir.TensorType(onnx_ir.DataType.from_numpy(np.dtype(type_.dtype)))
            value.type, value.shape = given, onnx_ir.Shape(type_.shape)
        results = dict(zip(originals, node.outputs, strict=True))
        results |= {
            steps.stacked[k].whole: self._put(results, steps.stacked[k], parts[j]) for j, k in enumerate(self._stacked)
        }
        return KeptLoop(results, self._attributes())

    def _first(self, scanned: Sliced) -> onnx_ir.Value:
        """What is scanned, with the axis of steps in front."""
        if not scanned.axis:
            return scanned.whole
        perm = [scanned.axis, *(a for a in range(len(scanned.whole.shape or ())) if a != scanned.axis)]
        return self._writer.add("Transpose", scanned.whole, perm=perm)[0]

    def _put(self, results: Mapping[onnx_ir.Value, onnx_ir.Value], stacked: Sliced, part: TensorType) -> onnx_ir.Value:
        """What was stacked, with the axis of steps where it belongs."""
        value, rank = results[stacked.whole], len(part.shape)
        perm = [*range(1, stacked.axis + 1), 0, *range(stacked.axis + 1, rank + 1)]
        return self._writer.add("Transpose", value, perm=perm)[0] if stacked.axis else value

    def _attributes(self) -> dict[str, Any]:
        """What `ops/loop.py` says, with the names that the body has in the model."""
        steps = self._steps
        names = {f"before.{k}": str(steps.carried[k].before.name) for k in self._carried}
        names |= {f"scan.{k}": str(steps.scanned[k].part.name) for k in self._scanned}
        names |= {f"after.{k}": str(steps.carried[k].after.name) for k in self._carried}
        names |= {f"stack.{k}": str(steps.stacked[k].part.name) for k in self._stacked}
        body, new = _renamed(self._step.graph, names)
        until = [k for k in self._carried if steps.carried[k] is steps.until]
        return {
            "body": body,
            "before": tuple(new[f"before.{k}"] for k in self._carried),
            "slices": tuple(new[f"scan.{k}"] for k in self._scanned),
            "slices_backwards": tuple(steps.scanned[k].backwards for k in self._scanned),
            "outer": tuple(self._step.outer),
            "stacks": tuple(new[f"stack.{k}"] for k in self._stacked),
            "stacks_backwards": tuple(steps.stacked[k].backwards for k in self._stacked),
            "count": steps.count,
            "index": INDEX,
            "condition": new[f"before.{until[0]}"] if until else "",
            "limited": steps.trips is not None,
        }


def _renamed(graph: Graph, names: Mapping[str, str]) -> tuple[Graph, dict[str, str]]:
    """The graph with edges called as the model calls them, and how, where no other edge has that name."""
    new: dict[str, str] = {}
    for old, name in names.items():
        free = name and name not in graph.types and name not in new.values()
        new[old] = name if free else old

    def called(edges: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new.get(e, e) for e in edges)

    states = tuple(
        replace(
            s,
            input=new[s.input],
            output=new.get(s.output, s.output),
            pieces=tuple(replace(p, input=new[p.input], output=new.get(p.output, p.output)) for p in s.pieces),
        )
        for s in graph.states
    )
    operators = tuple(replace(op, inputs=called(op.inputs), outputs=called(op.outputs)) for op in graph.operators)
    loops = tuple(loop.renamed(new) for loop in graph.loops)
    types = {new.get(e, e): t for e, t in graph.types.items()}
    made = replace(
        graph,
        inputs=called(graph.inputs),
        outputs=called(graph.outputs),
        operators=operators,
        types=types,
        states=states,
        loops=loops,
    )
    return made, new
