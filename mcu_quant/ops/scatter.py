"""ScatterND and ScatterElements in rounds: x with updates put, added, multiplied, ... at constant positions.

Every scatter becomes ScatterND without a reduction and with every position at most once. With a reduction a round
gathers what is there, computes with the updates, and puts the result back; positions that occur k times take k rounds.

    ScatterElements   y[i, index[i, j], ...] op= updates[i, j, ...]      the index stands at `axis`
    Scatter           its name before opset 11
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.ops import Canonical, Fixed, NodeContext, OpSpec, Sample, given, normalise_axis, register
from mcu_quant.ops.common.layout import positions
from mcu_quant.ops.layout import indices

#: How ONNX calls a reduction -> the operator that carries it out.
REDUCTIONS = {"add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}


def reduction_of(op: Operator) -> str:
    """ONNX's name of what happens to the value that is there."""
    reduction = op.attributes.get("reduction", "none")
    return reduction.decode() if isinstance(reduction, bytes) else str(reduction)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Rounds over flat positions."""
    index = node.constant(op.inputs[1])
    if index is None:
        return Canonical((Operator(op.name, "ScatterElements", op.inputs, op.outputs),))
    shape = node.shape(op.inputs[0])
    axis = normalise_axis(int(op.attributes.get("axis", 0)), len(shape))
    at: list[Array] = list(np.indices(index.shape, sparse=True))
    at[axis] = np.where(index < 0, index + shape[axis], index)
    if ((at[axis] < 0) | (at[axis] >= shape[axis])).any():
        return Canonical((Operator(op.name, "ScatterElements", op.inputs, op.outputs, {"outside": 1}),))
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
    """Nothing is left of the operator in its canonical form.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(op.op)


def constant_index(op: Operator, graph: Graph) -> str | None:
    """The indices of ScatterElements are constants inside their axis."""
    return "one lies outside" if "outside" in op.attributes else "they are computed at run time"


SCATTER_ELEMENTS = register(
    OpSpec(
        name="ScatterElements",
        onnx=("ScatterElements", "Scatter"),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(constant_index,),
        mixed=True,
        family="layout",
        samples=(
            Sample("ScatterElements", (given(3, 3), indices([1, 0, 2], [0, 2, 1]), given(2, 3))),
            Sample("ScatterElements", (given(1, 5), indices([1, -2]), given(1, 2)), {"axis": 1}, name="axis"),
            Sample("ScatterElements", (given(1, 5), indices([1, 1, 4]), given(1, 3)), {"axis": 1, "reduction": "add"}),
            Sample("Scatter", (given(1, 5), Fixed(np.array([[1, 3]])), given(1, 2)), {"axis": 1}, opset=10),
        ),
    )
)
