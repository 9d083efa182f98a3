"""Scales and offsets per output channel move into the weights before them.

Before: y = (W x + b) * s + t: Gemm, Conv or ConvTranspose, and then Mul and Add by constants, which is what the
        canonical form makes of BatchNormalization, too.
After:  y = (s W) x + (s b + t).

Cases, cited in the code:
1. Add of a constant that varies along the channel axis only: added to the bias.
2. Mul by such a constant: rows of W and the bias are scaled.
3. A Reshape that keeps the last axis may stand between a Gemm and its Add or Mul; it moves behind.

Refused: the result before scaling is used elsewhere, too; or an activation is fused already, which does not commute.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.passes.edit import Editor, broadcast_vector, reshape
from mcu_quant.passes.steps import compact

WEIGHTED = ("Gemm", "Conv", "ConvTranspose")


@dataclass(frozen=True)
class Source:
    """The weighted operator whose result an edge is, and the Reshape between them (case 3) if there is one."""

    op: Operator
    view: Operator | None


def fold_affine(graph: Graph) -> Graph:
    """Fold Add and Mul by constants into the weights before them."""
    edit = Editor(graph)
    for op in graph.operators:
        if not edit.free(op):
            continue
        if op.op in ("Add", "Mul") and (found := edit.operand(op)) is not None:
            source = weighted_source(edit, found[0])
            if source is not None:
                _fold(edit, op, source, found[1])
    return edit.done()


def weighted_source(edit: Editor, edge: str, any_view: bool = False) -> Source | None:
    """The Gemm, Conv or ConvTranspose whose result only the reader of this edge uses.

    Between them may be a Reshape: one that keeps the last axis of a Gemm, or any.
    """
    view = edit.maker(edge, "Reshape")
    inner = view.inputs[0] if view else edge
    op = edit.maker(inner, *WEIGHTED)
    if op is None or edit.reader(edge) is None or not edit.free(op) or edit.constant(op.inputs[1]) is None:
        return None
    if view is None:
        return Source(op, None)
    fits = any_view or (op.op == "Gemm" and edit.shape(inner)[-1:] == edit.shape(edge)[-1:])
    return Source(op, view) if fits and edit.reader(inner) is not None and edit.free(view) else None


def has_activation(op: Operator) -> bool:
    """Does the operator limit its result?"""
    low, high = op.attributes.get("activation_min", -inf), op.attributes.get("activation_max", inf)
    return bool(low > -inf or high < inf)


def rebuilt(edit: Editor, source: Source, last: Operator, changed: Operator) -> list[Operator]:
    """`changed` in place of the source, writing what `last` wrote, through the Reshape if there was one."""
    if source.view is None:
        return [Operator(changed.name, changed.op, changed.inputs, last.outputs, changed.attributes)]
    inner = source.op.outputs[0]
    edge = edit.add_edge(f"{inner}:{last.op}", edit.shape(inner))
    return [
        Operator(changed.name, changed.op, changed.inputs, (edge,), changed.attributes),
        reshape(source.view.name, edge, last.outputs[0], edit.shape(last.outputs[0])),
    ]


def _fold(edit: Editor, op: Operator, source: Source, value: Array) -> None:
    """Cases 1, 2 and 3."""
    target = source.op
    shape = edit.shape(op.outputs[0])
    channel = len(shape) - 1 if target.op == "Gemm" else 1
    widens = int(np.prod(shape)) != edit.graph.types[target.outputs[0]].size
    if has_activation(target) or widens or (vector := broadcast_vector(value, shape, channel)) is None:
        return
    weights = edit.graph.constants[target.inputs[1]]
    bias = edit.constant(target.input(2))
    if op.op == "Add":
        new_bias = vector if bias is None else bias + vector
        inputs = (*target.inputs[:2], edit.add_constant(f"{target.name}:bias", new_bias.astype(np.float32)))
        rule = "bias fused"
    else:
        rows = _scaled_rows(target, weights, vector)
        steps = edit.graph.steps.get(target.inputs[1])
        moved = None if steps is None or not (vector > 0).all() else compact(_scaled_rows(target, steps, vector))
        scaled = edit.add_constant(f"{target.name}:weights", rows, moved)
        inputs = (target.inputs[0], scaled)
        if bias is not None:
            inputs = (*inputs, edit.add_constant(f"{target.name}:bias", (bias * vector).astype(np.float32)))
        rule = "scale fused"
    changed = Operator(target.name, target.op, inputs, target.outputs, target.attributes)
    taken = [target, *([source.view] if source.view else [])]
    edit.replace(op, rebuilt(edit, source, op, changed), rule, f"into {target.name}", taken)


def _scaled_rows(op: Operator, weights: Array, vector: Array) -> Array:
    """Weights with each output channel scaled. ConvTranspose holds [inputs, outputs / group, kernel...]."""
    wide = weights.astype(np.float64)
    if op.op != "ConvTranspose":
        return (wide * vector.reshape((-1, *[1] * (weights.ndim - 1)))).astype(np.float32)
    group = int(op.attributes.get("group", 1))
    parts = wide.reshape((group, weights.shape[0] // group, *weights.shape[1:]))
    scale = vector.reshape((group, 1, -1, *[1] * (weights.ndim - 2)))
    return (parts * scale).reshape(weights.shape).astype(np.float32)
