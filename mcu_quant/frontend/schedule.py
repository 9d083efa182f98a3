"""What a Loop does with numbers that no data reaches: counters, and the condition that they decide, run ahead of time.

    while k < n: ...; k = k + 1        runs n times, with k = 0, 1, 2, ...

Values that go from step to step are known if they start from constants and each next one is computed from known ones
and from the number of the step. If the condition is known too, so is how often the loop runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.helper
import onnx.reference
import onnx_ir

from mcu_quant.frontend.read import ONNX_DOMAINS
from mcu_quant.ir import Array

#: Steps that are run ahead.
MOST_STEPS = 10_000


@dataclass(frozen=True, eq=False)
class Schedule:
    """How often a loop runs, and the known values before each step and after the last, [count + 1, ...], by input."""

    count: int
    values: dict[onnx_ir.Value, Array]


def schedule(node: onnx_ir.Node, limit: int | None, opset: int) -> Schedule | None:
    """Run ahead what is known of a Loop; None if its condition is not, or it does not end within `MOST_STEPS`."""
    body = node.attributes["body"].as_graph()
    initial = dict(zip(body.inputs[2:], node.inputs[2:], strict=True))
    after = dict(zip(body.inputs[2:], body.outputs[1:], strict=False))
    start = {inside: known(outside) for inside, outside in initial.items()}
    values = {inside: value for inside, value in start.items() if value is not None}
    while True:
        given = {*body.inputs[:2], *values}
        lost = [v for v in values if _needed(after[v], given, body) is None]
        if not lost:
            break
        for value in lost:
            del values[value]
    condition = _needed(body.outputs[0], given, body)
    if condition is None:
        return None
    nodes = {n for v in values for n in _needed(after[v], given, body) or ()} | set(condition)
    step = _Step([n for n in body if n in nodes], opset)
    return _run(body, step, values, after, limit)


def _run(
    body: onnx_ir.Graph,
    step: _Step,
    values: dict[onnx_ir.Value, Array],
    after: dict[onnx_ir.Value, onnx_ir.Value],
    limit: int | None,
) -> Schedule | None:
    index, going = body.inputs[:2]
    history = {value: [first] for value, first in values.items()}
    goes, count = np.array(True), 0
    while goes.all() and (limit is None or count < limit):
        if count == MOST_STEPS:
            return None
        feeds = {index: np.array(count, np.int64), going: goes, **{v: h[-1] for v, h in history.items()}}
        goes, *following = step([body.outputs[0], *(after[v] for v in history)], feeds)
        for value, next_ in zip(history.values(), following, strict=True):
            value.append(next_)
        count += 1
    same = {v: h for v, h in history.items() if len({a.shape for a in h}) == 1}
    return Schedule(count, {v: np.stack(h) for v, h in same.items()})


def _needed(value: onnx_ir.Value, given: set[onnx_ir.Value], body: onnx_ir.Graph) -> list[onnx_ir.Node] | None:
    """The nodes of a body that compute a value from given ones and constants; None if it needs anything else."""
    found: list[onnx_ir.Node] = []
    pending = [value]
    while pending:
        each = pending.pop()
        node = each.producer()
        if each in given or known(each) is not None:
            continue
        if node is None or node.graph is not body or node.domain not in ONNX_DOMAINS:
            return None
        if any(a.type == onnx_ir.AttributeType.GRAPH for a in node.attributes.values()):
            return None
        if node not in found:
            found.append(node)
            pending += [v for v in node.inputs if v is not None]
    return found


class _Step:
    """Some nodes of a body, run by ONNX's own interpreter."""

    def __init__(self, nodes: Sequence[onnx_ir.Node], opset: int) -> None:
        self._nodes = nodes
        self._opset = onnx.helper.make_opsetid("", opset)
        self._read = dict.fromkeys(v for n in nodes for v in n.inputs if v is not None)
        self._made = {v for n in nodes for v in n.outputs}
        self._session: onnx.reference.ReferenceEvaluator | None = None

    def __call__(self, wanted: Sequence[onnx_ir.Value], feeds: dict[onnx_ir.Value, Array]) -> list[Array]:
        constants = {v: value for v in (*self._read, *wanted) if v not in feeds and (value := known(v)) is not None}
        all_ = {**constants, **feeds}
        computed = [v for v in wanted if v in self._made]
        if self._session is None:
            empty = onnx.TypeProto()
            inputs = [onnx.helper.make_value_info(str(v.name), empty) for v in all_]
            outputs = [onnx.helper.make_value_info(str(v.name), empty) for v in computed]
            graph = onnx.helper.make_graph([onnx_ir.to_proto(n) for n in self._nodes], "step", inputs, outputs)
            model = onnx.helper.make_model(graph, opset_imports=[self._opset])
            self._session = onnx.reference.ReferenceEvaluator(model)
        results = self._session.run([str(v.name) for v in computed], {str(v.name): a for v, a in all_.items()})
        found = {**all_, **dict(zip(computed, map(np.asarray, results), strict=True))}
        return [found[v] for v in wanted]


def known(value: onnx_ir.Value | None) -> Array | None:
    """The value of a constant."""
    tensor = None if value is None else onnx_ir.convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())
