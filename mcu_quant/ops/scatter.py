"""ScatterND and ScatterElements in rounds: x with updates put, added, multiplied, ... at positions.

Every scatter to constant positions becomes ScatterND without a reduction and with every position at most once. With a
reduction a round gathers what is there, computes with the updates, and puts the result back; positions that occur k
times take k rounds. Positions that are computed at run time are limited to those that exist.

    ScatterElements   y[i, index[i, j], ...] op= updates[i, j, ...]      the index stands at `axis`
    Scatter           its name before opset 11
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Canonical, Fixed, Given, NodeContext, OpSpec, Sample, given, normalise_axis, register
from mcu_quant.ops.common.indexed import Positions, scatter_at
from mcu_quant.ops.common.layout import positions
from mcu_quant.ops.layout import carrying, common_type, indices

#: How ONNX calls a reduction -> the operator that carries it out.
REDUCTIONS = {"add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}


def reduction_of(op: Operator) -> str:
    """ONNX's name of what happens to the value that is there."""
    reduction = op.attributes.get("reduction", "none")
    return reduction.decode() if isinstance(reduction, bytes) else str(reduction)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Rounds over flat positions."""
    index = node.constant(op.inputs[1])
    shape = node.shape(op.inputs[0])
    axis = normalise_axis(int(op.attributes.get("axis", 0)), len(shape))
    attributes = {"axis": axis, "reduction": reduction_of(op)}
    if index is None:
        return Canonical((Operator(op.name, "ScatterElements", op.inputs, op.outputs, attributes),))
    at: list[Array] = list(np.indices(index.shape, sparse=True))
    at[axis] = np.where(index < 0, index + shape[axis], index)
    if ((at[axis] < 0) | (at[axis] >= shape[axis])).any():
        return Canonical((Operator(op.name, "ScatterElements", op.inputs, op.outputs, attributes),))
    return rounds(op, node, positions(shape)[tuple(at)])


def rounds(op: Operator, node: NodeContext, places_of: Array) -> Canonical:
    """The scatter of every element of the updates to a flat position of x."""
    flat = places_of.ravel()
    x, y = node.type(op.inputs[0]), op.outputs[0]
    kind = REDUCTIONS.get(reduction_of(op))
    builder = _Builder(op.name, x.dtype)
    value = builder.reshape(op.inputs[0], (x.size,))
    updates = builder.reshape(op.inputs[2], (flat.size,))
    for members in _occurrences(flat, last=kind is None):
        places = builder.constant(flat[members].reshape(-1, 1))
        part = builder.step("Gather", (updates, builder.constant(members)), (members.size,), {"axis": 0})
        if kind:
            there = builder.step("GatherND", (value, places), (members.size,), {"batch_dims": 0})
            part = builder.step(kind, (there, part), (members.size,))
        value = builder.step("ScatterND", (value, places, part), (x.size,), {"reduction": "none"})
    steps = [*builder.steps, Operator(op.name, "Reshape", (value,), (y,), {"shape": x.shape})]
    return Canonical(tuple(steps), builder.constants, builder.types)


def _occurrences(flat: Array, last: bool) -> list[Array]:
    """Elements in groups that name no position twice, the k-th of each position in the k-th group.

    Where a later update replaces an earlier one, the last group alone: the last of each position.
    """
    if last:
        _, first = np.unique(flat[::-1], return_index=True)
        return [np.sort(flat.size - 1 - first)]
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], flat[order])
    rank = np.empty(flat.size, np.int64)
    rank[order] = np.arange(flat.size) - starts
    return [np.flatnonzero(rank == k) for k in range(int(rank.max()) + 1)]


class _Builder:
    """Collects the operators of one scatter, with names of their own."""

    def __init__(self, name: str, dtype: str) -> None:
        self.steps: list[Operator] = []
        self.constants: dict[str, Array] = {}
        self.types: dict[str, TensorType] = {}
        self._name, self._dtype = name, dtype

    def constant(self, value: Array) -> str:
        """A new edge of indices."""
        edge = f"{self._name}:index{len(self.constants)}"
        self.constants[edge] = np.asarray(value, np.int64)
        self.types[edge] = TensorType(tuple(value.shape), "int64")
        return edge

    def step(
        self, kind: str, inputs: tuple[str, ...], shape: tuple[int, ...], attributes: dict[str, Any] | None = None
    ) -> str:
        """A new operator with one output, whose edge it returns."""
        edge = f"{self._name}:{kind}{len(self.steps)}"
        self.steps.append(Operator(edge, kind, inputs, (edge,), attributes or {}))
        self.types[edge] = TensorType(shape, self._dtype)
        return edge

    def reshape(self, edge: str, shape: tuple[int, ...]) -> str:
        """The same elements under another shape."""
        return self.step("Reshape", (edge,), shape, {"shape": shape})


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """The type of x."""
    assert types[0]
    return (types[0],)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """x with the updates in place."""
    y = np.array(inputs[0])
    at: list[Array] = list(np.indices(inputs[1].shape, sparse=True))
    at[op.attributes["axis"]] = inputs[1]
    y[tuple(at)] = inputs[2]
    return (y,)


def index_in_range(op: Operator, graph: Graph) -> str | None:
    """Every constant index of ScatterElements lies inside its axis."""
    return "one lies outside" if op.inputs[1] in graph.constants else None


def no_reduction(op: Operator, graph: Graph) -> str | None:
    """With indices that are computed at run time, ScatterElements replaces values: no other reduction than "none"."""
    reduction = op.attributes["reduction"]
    return None if reduction == "none" else f"the reduction is {reduction!r}"


def scatter(op: Operator, lo: Lowering, where: Positions, run: int) -> None:
    """Lower an operator of x, indices that are computed at run time, and updates."""
    (x, index, updates), y = op.inputs, op.outputs[0]
    want = common_type(lo, (x, updates), y)
    source = lo.read(updates, want.format, want.quant)
    scatter_at(lo, source, index, lo.update(y, x, want), where, run)


def _lower(op: Operator, lo: Lowering) -> None:
    shape, taken, axis = lo.shape(op.inputs[0]), lo.shape(op.inputs[1]), op.attributes["axis"]
    stride = [prod(shape[a + 1 :]) for a in range(len(shape))]
    at = [np.zeros(1, np.int64) if a == axis else i for a, i in enumerate(np.indices(taken, sparse=True))]
    base = np.broadcast_to(sum(i * s for i, s in zip(at, stride, strict=True)), taken)
    scatter(op, lo, Positions(base, prod(taken), (shape[axis],), (stride[axis],)), 1)


SCATTER_ELEMENTS = register(
    OpSpec(
        name="ScatterElements",
        onnx=("ScatterElements", "Scatter"),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(index_in_range, no_reduction),
        carries=True,
        family="layout",
        lowerings=carrying(_lower),
        samples=(
            Sample("ScatterElements", (given(3, 3), indices([1, 0, 2], [0, 2, 1]), given(2, 3))),
            Sample("ScatterElements", (given(1, 5), indices([1, -2]), given(1, 2)), {"axis": 1}, name="axis"),
            Sample("ScatterElements", (given(1, 5), indices([1, 1, 4]), given(1, 3)), {"axis": 1, "reduction": "add"}),
            Sample("ScatterElements", (given(3, 4), Given((2, 3), -3, 3, "int64"), given(2, 3)), name="computed"),
            Sample(
                "ScatterElements", (given(2, 5), Given((2, 1), 0, 5, "int32"), given(2, 1)), {"axis": 1}, name="one"
            ),
            Sample("Scatter", (given(1, 5), Fixed(np.array([[1, 3]])), given(1, 2)), {"axis": 1}, opset=10),
        ),
    )
)
