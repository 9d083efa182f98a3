"""Gather, GatherElements and GatherND: elements of x at indices, which stay an input of the operator.

    Gather           y[i.., j.., k..] = x[i.., index[j..], k..]         j replaces the axis `axis`
    GatherElements   y[i, j, ...] = x[i, index[i, j, ...], ...]         the index stands at `axis`
    GatherND         y[b.., i.., k..] = x[b.., index[b.., i..], k..]    a row of the index is a position

Attribute `batch_dims` of GatherND: how many axes b are. Constant indices are proven to lie inside; one that is computed
at run time and lies outside takes the nearest element that exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, Shape
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Canonical, Given, NodeContext, Sample, fixed, given, normalise_axis, register, weight
from mcu_quant.ops.common.indexed import Positions, gather_at
from mcu_quant.ops.layout import carrying, indices, lower_selection, operand, selection


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """The axis becomes explicit, indices count from the front; a constant may be shared, so it is a new one."""
    shape = node.shape(op.inputs[0])
    if op.op == "GatherND":
        attributes = {"batch_dims": int(op.attributes.get("batch_dims", 0))}
        first = attributes["batch_dims"]
        sizes = np.array(shape[first : first + node.shape(op.inputs[1])[-1]])
    else:
        attributes = {"axis": normalise_axis(int(op.attributes.get("axis", 0)), len(shape))}
        sizes = np.array(shape[attributes["axis"]])
    index = node.constant(op.inputs[1])
    if index is None:
        return Canonical((Operator(op.name, op.op, op.inputs, op.outputs, attributes),))
    name = f"{op.name}:index"
    positive = np.where(index < 0, index + sizes, index).astype(np.int64)
    made = Operator(op.name, op.op, (op.inputs[0], name), op.outputs, attributes)
    return Canonical((made,), {name: positive}, {name: node.type(op.inputs[1])})


def _gather(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    return (np.take(inputs[0], inputs[1], axis=op.attributes["axis"]),)


def _gather_elements(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    axis = op.attributes["axis"]
    at = list(np.indices(inputs[1].shape, sparse=True))
    at[axis] = inputs[1]
    return (inputs[0][tuple(at)],)


def _gather_nd(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    x, index = inputs
    batch: Shape = index.shape[: op.attributes["batch_dims"]]
    steps = np.indices(batch, sparse=True)
    leading = [s.reshape(*s.shape, *[1] * (index.ndim - 1 - len(batch))) for s in steps]
    return (x[(*leading, *np.moveaxis(index, -1, 0))],)


def index_in_range(op: Operator, graph: Graph) -> str | None:
    """Every index lies inside its axis."""
    index, shape = graph.constant(op.inputs[1]), graph.shape(op.inputs[0])
    if index is None:
        return None
    first = op.attributes.get("batch_dims", 0)
    sizes = shape[first : first + index.shape[-1]] if op.op == "GatherND" else shape[op.attributes["axis"]]
    wrong = index[(index < 0) | (index >= np.array(sizes))]
    return f"{int(wrong[0])} lies outside {list(shape)}" if wrong.size else None


def _where(op: Operator, lo: Lowering) -> tuple[Positions, int]:
    """Positions for indices that are computed at run time, and how many neighbours each stands for."""
    shape, index = lo.shape(op.inputs[0]), lo.shape(op.inputs[1])
    stride = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    if op.op == "GatherND":
        first, depth = op.attributes["batch_dims"], index[-1]
        batches, rows = prod(shape[:first]), prod(index[:-1])
        block = prod(shape[first:])
        base = np.repeat(np.arange(batches) * block, rows // batches)
        taken = slice(first, first + depth)
        return Positions(base, rows, shape[taken], tuple(stride[taken])), prod(shape[first + depth :])
    axis = op.attributes["axis"]
    if op.op == "Gather":
        base = np.repeat(np.arange(prod(shape[:axis])) * shape[axis] * stride[axis], prod(index))
        return Positions(base, prod(index), (shape[axis],), (stride[axis],)), stride[axis]
    at = [np.zeros(1, np.int64) if a == axis else i for a, i in enumerate(np.indices(index, sparse=True))]
    base = np.broadcast_to(sum(i * s for i, s in zip(at, stride, strict=True)), index)
    return Positions(base, prod(index), (shape[axis],), (stride[axis],)), 1


def _lower(op: Operator, lo: Lowering) -> None:
    data, index = op.inputs
    if lo.is_constant(index):
        lower_selection(op, lo)
        return
    x = operand(lo, data)
    type_ = lo.type_of(x)
    where, run = _where(op, lo)
    gather_at(lo, x, index, lo.write(op.outputs[0], type_.format, type_.quant), where, run)


for _name, _reference, _samples in (
    (
        "Gather",
        _gather,
        (
            Sample("Gather", (given(3, 4), fixed(1)), name="scalar"),
            Sample("Gather", (given(1, 257, 2), fixed(-1)), {"axis": 2}, name="scalar-inner"),
            Sample("Gather", (given(2, 5, 3), fixed([4, 0, 0, 2, -1])), {"axis": 1}, name="irregular"),
            Sample("Gather", (given(2, 9), indices([0, 1, 2], [2, 3, 4], [4, 5, 6])), {"axis": -1}, name="unfold"),
            Sample("Gather", (given(6), indices([5, 1], [1, 0])), name="matrix"),
            Sample("Gather", (given(2, 5, 3), Given((2, 2), -5, 5, "int64")), {"axis": 1}, name="computed"),
            Sample("Gather", (weight(7, 3), Given((4,), 0, 7, "int32")), name="table"),
        ),
    ),
    (
        "GatherElements",
        _gather_elements,
        (
            Sample("GatherElements", (given(3, 3), indices([1, 2, 0], [2, 0, 0]))),
            Sample("GatherElements", (given(2, 4), indices([0, -1, 2], [3, 3, 1])), {"axis": 1}),
            Sample("GatherElements", (given(2, 4), Given((2, 3), 0, 4, "int64")), {"axis": 1}, name="computed"),
        ),
    ),
    (
        "GatherND",
        _gather_nd,
        (
            Sample("GatherND", (given(3, 4), indices([0, 1], [2, 3], [1, -1]))),
            Sample("GatherND", (given(3, 2, 4), indices([2], [0]))),
            Sample("GatherND", (given(2, 3, 4), indices([1], [2])), {"batch_dims": 1}),
            Sample("GatherND", (given(2, 3, 4), Given((2, 1), 0, 3, "int64")), {"batch_dims": 1}, name="computed"),
        ),
    ),
):
    _spec = selection(_name, _reference, canonicalise=canonicalise, constraints=(index_in_range,), samples=_samples)
    register(replace(_spec, lowerings=carrying(_lower)))
