"""ScatterND: x with the updates put at positions. Attribute `reduction`, "none".

y = x, then y[index[b..]] = updates[b..] for every row index[b..] of the indices, which stay input 1. Constant indices
are proven to lie inside; one that is computed at run time and lies outside takes the nearest position that exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Canonical, Given, NodeContext, OpSpec, Sample, given, register, weight
from mcu_quant.ops.common.indexed import Positions
from mcu_quant.ops.common.layout import positions
from mcu_quant.ops.layout import carry, carrying, common_type, indices, move
from mcu_quant.ops.scatter import REDUCTIONS, reduction_of, rounds, scatter


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Indices count from the front; a constant may be shared, so it is a new one."""
    attributes = {"reduction": reduction_of(op)}
    index = node.constant(op.inputs[1])
    if index is not None and attributes["reduction"] in REDUCTIONS:
        return _in_rounds(op, node, index)
    if index is None:
        return Canonical((Operator(op.name, "ScatterND", op.inputs, op.outputs, attributes),))
    sizes = np.array(node.shape(op.inputs[0])[: index.shape[-1]])
    name = f"{op.name}:index"
    positive = np.where(index < 0, index + sizes, index).astype(np.int64)
    made = Operator(op.name, "ScatterND", (op.inputs[0], name, op.inputs[2]), op.outputs, attributes)
    return Canonical((made,), {name: positive}, {name: node.type(op.inputs[1])})


def _in_rounds(op: Operator, node: NodeContext, index: Array) -> Canonical:
    """With a reduction: every element of the updates to its flat position."""
    shape = node.shape(op.inputs[0])
    depth = index.shape[-1]
    sizes = np.array(shape[:depth])
    positive = np.where(index < 0, index + sizes, index)
    if ((positive < 0) | (positive >= sizes)).any():
        return Canonical((Operator(op.name, "ScatterND", op.inputs, op.outputs, {"reduction": "none"}),))
    first = positions(shape)[tuple(np.moveaxis(positive, -1, 0))]
    return rounds(op, node, first)


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """The type of x."""
    assert types[0]
    return (types[0],)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """x with the updates in place."""
    y = np.array(inputs[0])
    y[tuple(np.moveaxis(inputs[1], -1, 0))] = inputs[2]
    return (y,)


def index_in_range(op: Operator, graph: Graph) -> str | None:
    """Every index of ScatterND lies inside its axis."""
    index, shape = graph.constant(op.inputs[1]), graph.shape(op.inputs[0])
    if index is None:
        return None
    wrong = index[(index < 0) | (index >= np.array(shape[: index.shape[-1]]))]
    return f"{int(wrong[0])} lies outside {list(shape)}" if wrong.size else None


def no_reduction(op: Operator, graph: Graph) -> str | None:
    """With indices that are computed at run time, ScatterND replaces values: no other reduction than "none"."""
    reduction = op.attributes["reduction"]
    return None if reduction == "none" else f"the reduction is {reduction!r}"


def unique_index(op: Operator, graph: Graph) -> str | None:
    """Every position is updated at most once, as ONNX demands."""
    index = graph.constant(op.inputs[1])
    if index is None:
        return None
    rows, counts = np.unique(index.reshape(-1, index.shape[-1]), axis=0, return_counts=True)
    return f"{rows[counts > 1][0].tolist()} is updated {counts.max()} times" if (counts > 1).any() else None


def _lower(op: Operator, lo: Lowering) -> None:
    (x, index, updates), y = op.inputs, op.outputs[0]
    if not lo.is_constant(index):
        shape, taken = lo.shape(x), lo.shape(index)
        rows, depth = prod(taken[:-1]), taken[-1]
        stride = tuple(prod(shape[axis + 1 :]) for axis in range(depth))
        scatter(op, lo, Positions(np.zeros(rows), rows, shape[:depth], stride), prod(shape[depth:]))
        return
    untouched = np.full(lo.shape(x), -1)
    placed = reference(op, [untouched, lo.weights_of(index), positions(lo.shape(updates))])[0]
    if (placed >= 0).all():
        carry(lo, y, updates, placed)
        return
    want = common_type(lo, (x, updates), y)
    zeros = lo.is_constant(x) and not lo.weights_of(x).any()
    out = lo.update(y, None if zeros else x, want)
    target = np.flatnonzero(placed >= 0)
    move(lo, lo.read(updates, want.format, want.quant), out, placed.flat[target], target)


SCATTER_ND = register(
    OpSpec(
        name="ScatterND",
        onnx=("ScatterND",),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(index_in_range, no_reduction, unique_index),
        carries=True,
        family="layout",
        lowerings=carrying(_lower),
        samples=(
            Sample("ScatterND", (given(8), indices([4], [3], [1], [7]), given(4))),
            Sample("ScatterND", (given(3, 4), indices([1], [-1]), given(2, 4)), opset=11, name="rows"),
            Sample("ScatterND", (given(2, 5), indices([0, 1], [0, 2], [1, 1], [1, 2]), given(4)), name="box"),
            Sample("ScatterND", (weight(4, 3), indices([2], [0]), given(2, 3)), name="constant-data"),
            Sample("ScatterND", (given(3, 2), indices([0]), weight(1, 2)), name="constant-updates"),
            Sample("ScatterND", (given(4, 3), indices([1], [1], [2]), given(3, 3)), {"reduction": "mul"}, name="mul"),
            Sample("ScatterND", (given(2, 2), indices([1], [0]), given(2, 2)), name="everything"),
            Sample("ScatterND", (given(5, 3), Given((2, 1), -5, 5, "int64"), given(2, 3)), name="computed"),
            Sample("ScatterND", (weight(3, 4), Given((1, 2), 0, 3, "int64"), given(1)), name="computed-element"),
        ),
    )
)
