"""CumSum and CumProd: sums and products of all elements up to each one, along one axis.

    y[i] = x[0] + ... + x[i]; with `exclusive` without x[i] itself; with `reverse` from the other end

Attributes `axis`, `exclusive`, `reverse`. Reals in f32 in the order of the axis, whole numbers exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
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
    same_as_input,
)
from mcu_quant.program import Call, Program, Struct


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """The axis becomes an attribute, the others explicit."""
    axis = node.ints(op, 1, "axis")
    if axis is None:
        return Canonical((op,))
    attributes = {
        "axis": normalise_axis(axis[0], len(node.shape(op.inputs[0]))),
        "exclusive": int(op.attributes.get("exclusive", 0)),
        "reverse": int(op.attributes.get("reverse", 0)),
    }
    return Canonical((Operator(op.name, op.op, op.inputs[:1], op.outputs, attributes),))


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The running sums or products."""
    a, x = op.attributes, np.moveaxis(np.asarray(inputs[0]), op.attributes["axis"], 0)
    x = x[::-1] if a["reverse"] else x
    if a["exclusive"]:
        neutral = np.full_like(x[:1], 1 if op.op == "CumProd" else 0)
        x = np.concatenate([neutral, x[:-1]])
    y = (np.cumprod if op.op == "CumProd" else np.cumsum)(x, axis=0, dtype=x.dtype)
    return (np.ascontiguousarray(np.moveaxis(y[::-1] if a["reverse"] else y, 0, a["axis"])),)


def constant_axis(op: Operator, graph: Graph) -> str | None:
    """The axis of CumSum and CumProd is a constant."""
    return None if "axis" in op.attributes else "it is computed at run time"


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    sizes = [v for k, v in p.fields.items() if k in ("outer", "count", "inner")]
    return Counts(elements=int(prod(s for s in sizes if isinstance(s, int))))


def _exact_whole(x: Array, p: dict[str, Any]) -> Array:
    kind = "CumProd" if p["product"] else "CumSum"
    op = Operator("", kind, (), (), {"axis": 1, "exclusive": p["exclusive"], "reverse": p["reverse"]})
    return reference(op, [x.reshape(p["outer"], p["count"], p["inner"])])[0]


register_kernel(Kernel("mq_cumulate_f32", "cumulate", counts=_counts, inplace=(("x", "y"),)))
register_kernel(Kernel("mq_cumulate_whole", "cumulate", counts=_counts, exact=_exact_whole, inplace=(("x", "y"),)))


def _lower(op: Operator, lo: Lowering) -> None:
    x, y, a = op.inputs[0], op.outputs[0], op.attributes
    real, shape, axis = lo.is_real(x), lo.shape(x), op.attributes["axis"]
    source = lo.read(x, "f32") if real else lo.read(x)
    p = lo.struct(
        "mq_cumulate_params",
        outer=prod(shape[:axis]),
        count=shape[axis],
        inner=prod(shape[axis + 1 :]),
        exclusive=a["exclusive"],
        reverse=a["reverse"],
        product=int(op.op == "CumProd"),
        type=0 if real else lo.type_of(source).storage.type_code,
    )
    lo.call(f"mq_cumulate_{'f32' if real else 'whole'}", x=source, y=lo.write(y, "f32" if real else None), p=p)


def _samples(name: str, opset: int) -> tuple[Sample, ...]:
    return (
        Sample(name, (given(2, 9, 3), fixed(1)), opset=opset),
        Sample(name, (given(2, 9), fixed(-1)), {"exclusive": 1, "reverse": 1}, opset=opset),
        Sample(name, (Given((7,), 0, 9, "int32"), fixed(0)), {"exclusive": 1}, opset=opset, name="int32"),
    )


for _name, _opset in (("CumSum", 14), ("CumProd", 26)):
    register(
        OpSpec(
            name=_name,
            onnx=(_name,),
            infer=same_as_input,
            reference=reference,
            canonicalise=canonicalise,
            constraints=(constant_axis,),
            exact=_lower,
            lowerings=(OpLowering("f32", Formats("f32", "f32"), _lower, sample_snr_db=130.0),),
            # onnxruntime does not have CumProd yet
            samples=_samples("CumSum", 14),
            family="reduction",
        )
    )
