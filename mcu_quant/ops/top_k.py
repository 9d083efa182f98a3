"""TopK: the k largest or smallest elements along an axis, in order, and where they were.

Attributes `axis`, `k`, `largest`; the outputs are always in order, which ONNX leaves open where `sorted` is 0. Of equal
elements the first comes first. Reals are compared in f32, whole numbers as they are; positions have 64 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    Canonical,
    Counts,
    Formats,
    Given,
    Kernel,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    fixed,
    given,
    normalise_axis,
    register,
    register_kernel,
)
from mcu_quant.program import Access, Buffer, Call, Program, Struct


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """k becomes an attribute, which it was before opset 10."""
    k = node.ints(op, 1, "k")
    if k is None:
        return Canonical((op,))
    attributes = {
        "axis": normalise_axis(int(op.attributes.get("axis", -1)), len(node.shape(op.inputs[0]))),
        "k": k[0],
        "largest": int(op.attributes.get("largest", 1)),
    }
    return Canonical((Operator(op.name, "TopK", op.inputs[:1], op.outputs, attributes),))


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """k elements along the axis: of x's type, and of 64 bits."""
    assert types[0]
    shape, axis = types[0].shape, op.attributes["axis"]
    found = (*shape[:axis], op.attributes["k"], *shape[axis + 1 :])
    return TensorType(found, types[0].dtype), TensorType(found, "int64")


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """A stable sort; NaN comes last."""
    x, axis, k = np.asarray(inputs[0]), op.attributes["axis"], op.attributes["k"]
    if op.attributes["largest"]:
        # of what is sorted from the small end, the last of equal elements would come first
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
        if x.dtype.kind == "f":
            last = np.argsort(np.isnan(np.take_along_axis(x, order, axis)), axis, kind="stable")
            order = np.take_along_axis(order, last, axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    order = np.take(order, range(k), axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int64)


def constant_k(op: Operator, graph: Graph) -> str | None:
    """The number of elements that TopK finds is a constant, and no larger than the axis."""
    if "k" not in op.attributes:
        return "it is computed at run time"
    size = graph.shape(op.inputs[0])[op.attributes["axis"]]
    return f"{op.attributes['k']} of {size}" if not 0 < op.attributes["k"] <= size else None


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    outer, count, inner, k = (int(p.fields[n]) for n in ("outer", "count", "inner", "k"))  # type: ignore[arg-type]
    return Counts(elements=outer * count * inner, units=outer * inner * k)


def _exact(x: Array, p: dict[str, Any]) -> tuple[Array, ...]:
    op = Operator("", "TopK", (), (), {"axis": 1, "k": p["k"], "largest": p["largest"]})
    return reference(op, [x.reshape(p["outer"], p["count"], p["inner"])])


register_kernel(Kernel("mq_top_k_f32", "top_k", counts=_counts, exact=_exact))
register_kernel(Kernel("mq_top_k_whole", "top_k", counts=_counts, exact=_exact))


def _lower(op: Operator, lo: Lowering) -> None:
    x, shape, axis = op.inputs[0], lo.shape(op.inputs[0]), op.attributes["axis"]
    real = lo.is_real(x)
    source = lo.read(x, "f32") if real else lo.read(x)
    fmt = lo.type_of(source).format
    found = infer(op, [lo.graph.types[x]])[0].shape

    def output(index: int, of: str) -> Buffer:
        """An output, or room for one that nobody wants."""
        edge = op.output(index)
        return lo.write(edge, of) if edge else Buffer(lo.temporary(found, of), Access.WRITE)

    p = lo.struct(
        "mq_top_k_params",
        outer=prod(shape[:axis]),
        count=shape[axis],
        inner=prod(shape[axis + 1 :]),
        k=op.attributes["k"],
        largest=op.attributes["largest"],
        type=0 if real else lo.type_of(source).storage.type_code,
    )
    lo.call(f"mq_top_k_{'f32' if real else 'whole'}", x=source, y=output(0, fmt), index=output(1, "i64"), p=p)


register(
    OpSpec(
        name="TopK",
        onnx=("TopK",),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(constant_k,),
        mixed=True,
        exact=_lower,
        lowerings=(OpLowering("f32", Formats("f32", "f32"), _lower, sample_snr_db=140.0),),
        samples=(
            Sample("TopK", (given(2, 9), fixed([3])), outputs=2),
            Sample("TopK", (given(2, 9, 5), fixed([9])), {"axis": 1, "largest": 0}, outputs=2, name="all"),
            Sample("TopK", (given(1, 33), fixed([1])), {"sorted": 0}, outputs=2, name="one"),
            Sample("TopK", (given(3, 4), fixed([2])), {"axis": 0}, outputs=2, opset=10),
            Sample("TopK", (Given((2, 17), -5, 5, "int64"), fixed([6])), outputs=2, name="int64"),
            Sample("TopK", (Given((17,), -5, 5, "int32"), fixed([4])), {"largest": 0}, outputs=2, name="int32"),
        ),
        family="reduction",
    )
)
