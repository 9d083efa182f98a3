"""TensorScatter: a cache with the keys or values of new positions written into it, from a position per batch on.

    y = cache, then y[b, .., (at[b] + j), ..] = update[b, .., j, ..]     j along `axis`; circular: modulo its size

It becomes a ScatterND of rows whose numbers are computed from `at`, so it has no kernels of its own. Where `linear`
would write beyond the end, the last position is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.ops import (
    Canonical,
    Given,
    NodeContext,
    OpSpec,
    Sample,
    fixed,
    given,
    normalise_axis,
    register,
    same_as_input,
)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Rows of all axes up to and with `axis`, numbered; ScatterND at base + position."""
    cache, update = node.type(op.inputs[0]), node.type(op.inputs[1])
    axis = normalise_axis(int(op.attributes.get("axis", -2)), len(cache.shape))
    batch, size, count = cache.shape[0], cache.shape[axis], update.shape[axis]
    between, run = prod(cache.shape[1:axis]), prod(cache.shape[axis + 1 :])
    circular = op.attributes.get("mode", "linear") in ("circular", b"circular")
    first = np.zeros(batch, np.int64) if not op.input(2) else node.constant(op.inputs[2])
    steps: list[Operator] = []
    types: dict[str, TensorType] = {}
    constants: dict[str, Array] = {}

    def constant(what: str, value: Array) -> str:
        edge = f"{op.name}:{what}"
        constants[edge], types[edge] = value, TensorType(tuple(value.shape), str(value.dtype))
        return edge

    def step(what: str, kind: str, *inputs: str, to: TensorType, **attributes: Any) -> str:
        edge = f"{op.name}:{what}"
        types[edge] = to
        steps.append(Operator(edge, kind, inputs, (edge,), attributes))
        return edge

    start = np.arange(batch * between).reshape(batch, between, 1) * size
    offset = np.arange(count).reshape(1, 1, count)
    rows = batch * between * count
    if first is not None:
        place = first.reshape(batch, 1, 1) + offset
        place = place % size if circular else np.minimum(place, size - 1)
        index = constant("index", (start + place).reshape(rows, 1).astype(np.int64))
    else:
        column, line = TensorType((batch, 1, 1), "int64"), TensorType((batch, 1, count), "int64")
        at = step("column", "Reshape", op.inputs[2], to=column, shape=column.shape)
        at = step("place", "Add", at, constant("offset", offset), to=line)
        limit = constant("limit", np.array(size if circular else size - 1, np.int64))
        at = step("inside", "Mod" if circular else "Min", at, limit, to=line)
        at = step("row", "Add", at, constant("start", start), to=TensorType((batch, between, count), "int64"))
        index = step("index", "Reshape", at, to=TensorType((rows, 1), "int64"), shape=(rows, 1))
    flat = TensorType((batch * between * size, run), cache.dtype)
    lines = TensorType((rows, run), cache.dtype)
    old = step("rows", "Reshape", op.inputs[0], to=flat, shape=flat.shape)
    new = step("lines", "Reshape", op.inputs[1], to=lines, shape=lines.shape)
    made = step("written", "ScatterND", old, index, new, to=flat, reduction="none")
    steps.append(Operator(op.name, "Reshape", (made,), op.outputs, {"shape": cache.shape}))
    return Canonical(tuple(steps), constants, types)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Nothing is left of the operator in its canonical form.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(op.op)


register(
    OpSpec(
        name="TensorScatter",
        onnx=("TensorScatter",),
        infer=same_as_input,
        reference=reference,
        canonicalise=canonicalise,
        mixed=True,
        family="layout",
        samples=(
            Sample("TensorScatter", (given(2, 4, 6, 3), given(2, 4, 2, 3), Given((2,), 0, 5, "int64")), opset=24),
            Sample("TensorScatter", (given(2, 6, 3), given(2, 2, 3), fixed([4, 1])), opset=24, name="constant"),
            Sample(
                "TensorScatter",
                (given(2, 5, 3), given(2, 2, 3), Given((2,), 0, 5, "int64")),
                {"axis": 1, "mode": "circular"},
                opset=24,
                name="circular",
            ),
        ),
    )
)
