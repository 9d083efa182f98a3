"""A Loop with a known number of steps becomes a Scan, which says what a step reads and what it leaves.

Before: y = ConcatFromSequence(Loop(n, h, SequenceEmpty()): x_t = Gather(x, step); ...; SequenceInsert(sequence, h_t))
After:  y = Scan(h, x): x_t is scanned, h_t is stacked.

Cases, cited in the code:
1. What a step computes of nothing that changes is computed once, before the loop.
2. Gather of a value around the loop at the number of the step is a scanned input.
3. A sequence that starts empty, grows by one tensor a step and is joined after the loop is stacked.
4. Counters are known before the loop runs; one that counts 0, 1, 2, ... is the number of the step.
5. The number of the step, where it is used otherwise or nothing else is scanned, is scanned from 0, 1, 2, ...; the
   condition is true.

Refused: loops without a Gather, a sequence or a counter, to which a Scan adds nothing; loops of no steps, opsets before
10, joins along an axis counted from the end, and what `known_loops.py` refuses. They stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir

from mcu_quant.frontend.known_loops import Carried, Steps, opset_of, steps_of
from mcu_quant.frontend.nodes import Writer, discard
from mcu_quant.frontend.read import ONNX_DOMAINS
from mcu_quant.ir import Rewrite

_FIRST_OPSET = 10
_SAME = ("Identity", "Cast")


def as_scans(model: onnx_ir.Model) -> list[Rewrite]:
    """Replace every Loop that can be by a Scan, in place."""
    done = []
    for node in [n for n in model.graph if n.op_type == "Loop" and n.domain in ONNX_DOMAINS]:
        steps = steps_of(node, opset_of(model))
        if isinstance(steps, Steps) and steps.fixed and opset_of(model) >= _FIRST_OPSET and _gains(steps):
            _Loop(model, steps, steps.fixed).replace()
            done.append(Rewrite("Loop is a Scan", str(node.name), f"{steps.count} steps"))
    return done


def _gains(steps: Steps) -> bool:
    """Does the loop take a value apart, put a sequence together, or count?"""
    return bool(steps.known) or any(n.op_type in ("Gather", "SequenceInsert") for n in steps.body)


@dataclass(frozen=True, eq=False)
class _Stacked:
    """A value of every step, the axis it is stacked along, and the value outside that this takes the place of.

    Where `merged`, the steps are joined along that axis instead of standing along a new one.
    """

    part: onnx_ir.Value
    axis: int
    whole: onnx_ir.Value
    merged: bool = False


@dataclass(eq=False)
class _Loop:
    """A Loop on its way to become a Scan."""

    model: onnx_ir.Model
    steps: Steps
    count: int
    writer: Writer = field(init=False)
    body: onnx_ir.Graph = field(init=False)
    #: scanned: value outside, value in the body, axis
    scanned: list[tuple[onnx_ir.Value, onnx_ir.Value, int]] = field(default_factory=list)
    stacked: list[_Stacked] = field(default_factory=list)
    #: values after the loop that are known, and the constants
    finals: list[tuple[onnx_ir.Value, onnx_ir.Value]] = field(default_factory=list)

    def replace(self) -> None:
        node, steps = self.steps.node, self.steps
        self.writer = Writer(str(node.name), opset_of(self.model))
        self.body = steps.body.clone(allow_outer_scope_values=True)
        self._hoist()
        counted = {k for k, c in enumerate(steps.carried) if self._count(k, c)}
        self._scan_gathers()
        kept = [k for k, c in enumerate(steps.carried) if k not in counted and not self._stack_sequence(k, c)]
        first = len(steps.carried) + 1
        for k, s in enumerate(steps.stacked):
            self.stacked.append(_Stacked(self.body.outputs[first + k], 0, s.whole))
        self._index_and_condition()
        self._put(kept)

    # --- case 1 ------------------------------------------------------------------------------------------------------

    def _hoist(self) -> None:
        changing = set(self.body.inputs)
        for node in tuple(self.body):
            graphs = any(a.type == onnx_ir.AttributeType.GRAPH for a in node.attributes.values())
            if graphs or not changing.isdisjoint(node.inputs):
                changing.update(node.outputs)
                continue
            for value in node.inputs:
                if value is not None and value.is_initializer() and value.graph is self.body:
                    self._take_out(value)
            self.body.remove(node)
            self._name(node, *node.outputs)
            self.writer.nodes.append(node)

    def _take_out(self, value: onnx_ir.Value) -> None:
        assert value.const_value is not None
        outside = self.writer.constant(value.const_value.numpy())
        value.replace_all_uses_with(outside, replace_graph_outputs=True)
        del self.body.initializers[str(value.name)]

    def _name(self, *things: onnx_ir.Node | onnx_ir.Value) -> None:
        """Names in a body are not known outside."""
        for thing in things:
            thing.name = f"{self.steps.node.name}:{thing.name}"

    # --- case 2 ------------------------------------------------------------------------------------------------------

    def _scan_gathers(self) -> None:
        inside = {*self.body.inputs, *self.body.initializers.values(), *(o for n in self.body for o in n.outputs)}
        for node in tuple(self.body):
            if node.op_type != "Gather" or self._source(node.inputs[1]) is not self.body.inputs[0]:
                continue
            whole = node.inputs[0]
            shape = None if whole is None or whole in inside else _known_shape(whole)
            if whole is None or shape is None:
                continue
            attribute = node.attributes.get("axis")
            axis = (0 if attribute is None else attribute.as_int()) % len(shape)
            if shape[axis] < self.count:
                continue
            part = onnx_ir.Value(name=f"{node.outputs[0].name}:scanned", type=whole.type)
            part.shape = onnx_ir.Shape((*shape[:axis], *shape[axis + 1 :]))
            node.outputs[0].replace_all_uses_with(part, replace_graph_outputs=True)
            self.body.remove(node, safe=True)
            self.scanned.append((self._first_steps(whole, axis, shape[axis]), part, axis))

    def _source(self, value: onnx_ir.Value | None) -> onnx_ir.Value | None:
        while value is not None and (maker := value.producer()) is not None and maker.op_type in _SAME:
            value = maker.inputs[0]
        return value

    def _first_steps(self, whole: onnx_ir.Value, axis: int, length: int) -> onnx_ir.Value:
        if length == self.count:
            return whole
        index = self.writer.constant(np.arange(self.count, dtype=np.int64))
        cut = self.writer.add("Gather", whole, index, axis=axis)[0]
        cut.type = whole.type
        return cut

    # --- case 3 ------------------------------------------------------------------------------------------------------

    def _stack_sequence(self, k: int, carried: Carried) -> bool:
        before, after = self.body.inputs[2 + k], self._source(self.body.outputs[1 + k])
        start = self._source(carried.initial)
        grown = None if after is None else after.producer()
        joined = [node for node, _ in carried.final.uses()]
        if (
            start is None
            or (empty := start.producer()) is None
            or empty.op_type != "SequenceEmpty"
            or grown is None
            or grown.op_type != "SequenceInsert"
            or grown.inputs[0] is not before
            or len([i for i in grown.inputs if i is not None]) > 2
            or len(before.uses()) > 1
            or carried.final.is_graph_output()
            or not all(map(_joins, joined))
        ):
            return False
        added = grown.inputs[1]
        assert added is not None
        for node in joined:
            axis = node.attributes["axis"].as_int()
            self.stacked.append(_Stacked(added, axis, node.outputs[0], merged=not _along_new_axis(node)))
        return True

    # --- case 4 ------------------------------------------------------------------------------------------------------

    def _count(self, k: int, carried: Carried) -> bool:
        values = self.steps.known.get(carried.before)
        if values is None:
            return False
        before, steps = self.body.inputs[2 + k], self.count
        if values.ndim == 1 and values.dtype == np.int64 and np.array_equal(values[:steps], np.arange(steps)):
            before.replace_all_uses_with(self.body.inputs[0], replace_graph_outputs=True)
        elif before.uses() or before.is_graph_output():
            dtype = onnx_ir.TensorType(onnx_ir.DataType.from_numpy(values.dtype))
            part = onnx_ir.Value(name=f"{before.name}:known", type=dtype, shape=onnx_ir.Shape(values.shape[1:]))
            before.replace_all_uses_with(part, replace_graph_outputs=True)
            self.scanned.append((self.writer.constant(values[:steps]), part, 0))
        self.finals.append((carried.final, self.writer.constant(values[steps])))
        return True

    # --- case 5 ------------------------------------------------------------------------------------------------------

    def _index_and_condition(self) -> None:
        index, condition = self.body.inputs[:2]
        if index.uses() or index.is_graph_output() or not self.scanned:
            numbers = self.writer.constant(np.arange(self.count, dtype=np.int64))
            part = onnx_ir.Value(name="step", type=onnx_ir.TensorType(onnx_ir.DataType.INT64), shape=onnx_ir.Shape(()))
            index.replace_all_uses_with(part, replace_graph_outputs=True)
            self.scanned.append((numbers, part, 0))
        true = onnx_ir.node("Constant", [], {"value": onnx_ir.tensor(np.array(True))}, name="true")
        true.outputs[0].name = "true"
        self.body.insert_before(self.body[0], true) if len(self.body) else self.body.append(true)
        condition.replace_all_uses_with(true.outputs[0], replace_graph_outputs=True)

    # --- the Scan ----------------------------------------------------------------------------------------------------

    def _put(self, kept: list[int]) -> None:
        steps, node = self.steps, self.steps.node
        carried = [steps.carried[k] for k in kept]
        results = [*(self.body.outputs[1 + k] for k in kept), *(s.part for s in self.stacked)]
        inputs = [*(self.body.inputs[2 + k] for k in kept), *(part for _, part, _ in self.scanned)]
        self.body.inputs.clear()
        self.body.inputs.extend(inputs)
        self.body.outputs.clear()
        for k, value in enumerate(results):  # a result is computed in the body, and is no other result
            same = onnx_ir.node("Identity", [value], name=f"result.{k}")
            same.outputs[0].name = f"result.{k}"
            self.body.append(same)
            self.body.outputs.append(same.outputs[0])
        made = self.writer.add(
            "Scan",
            *(c.initial for c in carried),
            *(whole for whole, _, _ in self.scanned),
            name=str(node.name),
            outputs=len(results),
            body=self.body,
            num_scan_inputs=len(self.scanned),
            scan_input_axes=[axis for _, _, axis in self.scanned],
            **({"scan_output_axes": [s.axis for s in self.stacked]} if self.stacked else {}),
        )
        old = [c.final for c in carried] + [s.whole for s in self.stacked] + [final for final, _ in self.finals]
        new = [*made[: len(kept)], *map(self._joined, self.stacked, made[len(kept) :]), *(v for _, v in self.finals)]
        gone = [n for s in self.stacked if (n := s.whole.producer()) is not None and n is not node]
        onnx_ir.convenience.replace_nodes_and_values(
            self.model.graph, node, [*dict.fromkeys(gone), node], self.writer.nodes, old, new
        )
        discard(onnx_ir.traversal.RecursiveGraphIterator(steps.body))

    def _joined(self, stacked: _Stacked, value: onnx_ir.Value) -> onnx_ir.Value:
        """What was stacked along a new axis, joined along an axis that it has."""
        if not stacked.merged:
            return value
        w, axis = self.writer, stacked.axis
        sizes = w.add("Shape", value)[0]
        front = w.add("Slice", sizes, w.integers(0), w.integers(axis))[0]
        back = w.add("Slice", sizes, w.integers(axis + 2), w.integers(np.iinfo(np.int64).max))[0]
        return w.add("Reshape", value, w.add("Concat", front, w.integers(-1), back, axis=0)[0])[0]


def _along_new_axis(node: onnx_ir.Node) -> bool:
    attribute = node.attributes.get("new_axis")
    return attribute is not None and bool(attribute.as_int())


def _joins(node: onnx_ir.Node) -> bool:
    """Does a node join a sequence along a new axis, or one counted from the front?"""
    return node.op_type == "ConcatFromSequence" and (_along_new_axis(node) or node.attributes["axis"].as_int() >= 0)


def _known_shape(value: onnx_ir.Value) -> tuple[int, ...] | None:
    if value.shape is None:
        return None
    sizes = tuple(d for d in value.shape if isinstance(d, int))
    return sizes if len(sizes) == len(value.shape) else None
