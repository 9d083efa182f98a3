"""ReverseSequence: the first elements of each sequence of a batch in reverse order, as many as its length says.

y[b, t] = x[b, length[b] - 1 - t] for t < length[b], else x[b, t]. It becomes a selection with constant lengths, and
with lengths that are computed at run time a gather at positions that whole numbers give: no kernels of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.ops import (
    Canonical,
    Fixed,
    Given,
    NodeContext,
    OpSpec,
    Sample,
    given,
    normalise_axis,
    register,
    same_as_input,
)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula above, for constants."""
    x, length = np.asarray(inputs[0]), np.asarray(inputs[1])
    axes = _axes(op, x.ndim)
    rows = np.moveaxis(x, axes, (0, 1))
    at = np.arange(rows.shape[1])
    taken = np.where(at < length[:, None], length[:, None] - 1 - at, at)
    return (np.moveaxis(rows[np.arange(len(rows))[:, None], taken], (0, 1), axes),)


def _axes(op: Operator, rank: int) -> tuple[int, int]:
    """Axis of the batch, axis of time."""
    batch, time = op.attributes.get("batch_axis", 1), op.attributes.get("time_axis", 0)
    return normalise_axis(int(batch), rank), normalise_axis(int(time), rank)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Batch and time first, then GatherND at the reversed positions."""
    x, length = node.type(op.inputs[0]), node.type(op.inputs[1])
    batch_axis, time_axis = _axes(op, len(x.shape))
    others = tuple(a for a in range(len(x.shape)) if a not in (batch_axis, time_axis))
    order = (batch_axis, time_axis, *others)
    turned = TensorType(tuple(x.shape[a] for a in order), x.dtype)
    batch, time = turned.shape[:2]
    line = np.arange(time, dtype=length.dtype)[None]
    names = {w: f"{op.name}:{w}" for w in ("rows", "column", "inside", "back", "at", "index", "turned", "t", "next")}
    whole = {n: TensorType(s, length.dtype) for n, s in (("column", (batch, 1)), ("t", (1, time)), ("next", (1, time)))}
    types = {
        **whole,
        "rows": turned,
        "turned": turned,
        "inside": TensorType((batch, time), "bool"),
        "back": TensorType((batch, time), length.dtype),
        "at": TensorType((batch, time), length.dtype),
        "index": TensorType((batch, time, 1), length.dtype),
    }

    def step(what: str, kind: str, *inputs: str, **attributes: Any) -> Operator:
        edges = tuple(names.get(i, i) for i in inputs)
        return Operator(names[what], kind, edges, (names[what],), attributes)

    back = tuple(int(a) for a in np.argsort(order))
    steps = (
        step("rows", "Transpose", op.inputs[0], perm=order),
        step("column", "Reshape", op.inputs[1], shape=(batch, 1)),
        step("inside", "Less", "t", "column"),
        step("back", "Sub", "column", "next"),
        step("at", "Where", "inside", "back", "t"),
        step("index", "Reshape", "at", shape=(batch, time, 1)),
        step("turned", "GatherND", "rows", "index", batch_dims=1),
        Operator(op.name, "Transpose", (names["turned"],), op.outputs, {"perm": back}),
    )
    constants = {names["t"]: line, names["next"]: line + 1}
    return Canonical(steps, constants, {names[n]: t for n, t in types.items()})


_TIME_FIRST = {"batch_axis": 1, "time_axis": 0}
_BATCH_FIRST = {"batch_axis": 0, "time_axis": 1}

register(
    OpSpec(
        name="ReverseSequence",
        onnx=("ReverseSequence",),
        infer=same_as_input,
        reference=reference,
        canonicalise=canonicalise,
        mixed=True,
        family="layout",
        samples=(
            Sample("ReverseSequence", (given(5, 2, 3), Fixed(np.array([5, 3]))), _TIME_FIRST),
            Sample("ReverseSequence", (given(2, 7), Fixed(np.array([1, 7]))), _BATCH_FIRST, name="constant"),
            Sample("ReverseSequence", (given(2, 7, 2), Given((2,), 1, 8, "int64")), _BATCH_FIRST, name="computed"),
            Sample("ReverseSequence", (given(6, 3), Given((3,), 1, 7, "int64")), _TIME_FIRST, name="computed-time"),
        ),
    )
)
