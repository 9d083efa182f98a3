"""Concat: the inputs one after the other along an axis. Attribute `axis`, from the front.

Inputs may be stored in different formats and scales: each is brought to the output's on its way into its part.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.lowering import Lowering, Operand
from mcu_quant.ops import Canonical, Fixed, NodeContext, OpSpec, Sample, given, normalise_axis, register, weight
from mcu_quant.ops.common.layout import positions
from mcu_quant.ops.layout import carry, carrying, common_type, concatenate
from mcu_quant.program import Access, Buffer, EdgeType

#: Parts that one call of the firmware's function puts side by side.
PARTS = 4


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Axis from the front."""
    axis = normalise_axis(int(op.attributes["axis"]), len(node.shape(op.outputs[0])))
    return Canonical((Operator(op.name, "Concat", op.inputs, op.outputs, {"axis": axis}),))


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """The sum of the sizes along the axis."""
    axis, first = op.attributes["axis"], types[0]
    assert first
    size = sum(t.shape[axis] for t in types if t)
    return (TensorType((*first.shape[:axis], size, *first.shape[axis + 1 :]), first.dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """All inputs, one after the other."""
    return (np.concatenate(inputs, axis=op.attributes["axis"]),)


def _lower(op: Operator, lo: Lowering) -> None:
    y = op.outputs[0]
    if len(op.inputs) == 1:
        carry(lo, y, op.inputs[0], positions(lo.shape(y)))
        return
    want = common_type(lo, op.inputs, y)
    rows = prod(lo.shape(y)[: op.attributes["axis"]])
    out = lo.write(y, want.format, want.quant)
    if rows == 1:
        _in_a_row(op, lo, out, want)
    else:
        _side_by_side(lo, [lo.read(i, want.format, want.quant) for i in op.inputs], out, rows)


def _in_a_row(op: Operator, lo: Lowering, out: Buffer, want: EdgeType) -> None:
    """On the outermost axis: what is stored as the output is copied by fours, the rest converted into its part."""
    start, pending, pending_start = 0, list[Operand](), 0

    def flush() -> None:
        size = sum(lo.type_of(part).size for part in pending)
        if pending:
            whole = size == want.size
            concatenate(lo, pending, out if whole else lo.part(out.edge, pending_start, (size,)), 1)
        pending.clear()

    for name in op.inputs:
        shape = lo.shape(name)
        if lo.is_constant(name) or _is(lo.stored(name), want):
            if len(pending) == PARTS:
                flush()
            pending_start = pending_start if pending else start
            pending.append(lo.read(name, want.format, want.quant))
        else:
            flush()
            source = lo.read(name)
            assert isinstance(source, Buffer)
            lo.move(source, lo.part(out.edge, start, shape))
        start += prod(shape)
    flush()


def _side_by_side(lo: Lowering, parts: Sequence[Operand], out: Buffer, rows: int) -> None:
    """On an inner axis: row by row, by fours; more parts than that are joined in temporaries first."""
    while len(parts) > PARTS:
        groups = [parts[i : i + PARTS] for i in range(0, len(parts), PARTS)]
        parts = [group[0] if len(group) == 1 else _joined(lo, group, rows) for group in groups]
    concatenate(lo, parts, out, rows)


def _joined(lo: Lowering, parts: Sequence[Operand], rows: int) -> Buffer:
    types = [lo.type_of(part) for part in parts]
    name = lo.temporary((rows, sum(t.size for t in types) // rows), types[0].format, types[0].quant, hint="joined")
    concatenate(lo, parts, Buffer(name, Access.WRITE), rows)
    return Buffer(name, Access.READ)


def _is(have: EdgeType, want: EdgeType) -> bool:
    return (have.format, have.quant) == (want.format, want.quant)


CONCAT = register(
    OpSpec(
        name="Concat",
        onnx=("Concat",),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        carries=True,
        family="layout",
        lowerings=carrying(_lower),
        samples=(
            Sample("Concat", (given(1, 3), given(1, 4)), {"axis": 1}),
            Sample("Concat", (given(2, 3, 2), given(2, 1, 2)), {"axis": -2}, name="inner"),
            Sample("Concat", (given(2, 2), weight(3, 2), given(1, 2)), {"axis": 0}, name="constant"),
            Sample("Concat", tuple(given(n + 1) for n in range(7)), {"axis": 0}, name="seven"),
            Sample("Concat", tuple(given(3, n + 1) for n in range(18)), {"axis": 1}, opset=11, name="eighteen-inner"),
            Sample("Concat", (given(2, 3),), {"axis": 1}, name="one"),
            Sample("Concat", (given(4, low=-1), given(4, low=-9, high=3)), {"axis": 0}, name="two-ranges"),
            Sample("Concat", (given(2, 4), Fixed(np.array([[5.0], [-7.0]], np.float32))), {"axis": 1}, name="wide"),
        ),
    )
)
