"""Cast: the same numbers in another type. Attribute `dtype`, the numpy name of the type.

Between real types nothing is left to do: all of them are stored in the format of the plan. A real number becomes a
whole one towards zero, limited to the type (ONNX leaves that open); a whole number that is cut to fewer bits wraps
around; everything but zero is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator, TensorType
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
    given,
    narrow,
    register,
    register_kernel,
)
from mcu_quant.ops.whole import dtype_of
from mcu_quant.program import Call, Program, Struct


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """The type that shape inference found; a cast that changes nothing is a Reshape."""
    if narrow.ATTRIBUTE in op.attributes:
        return narrow.cast(op, node)
    type_ = node.type(op.outputs[0])
    if type_.dtype == node.type(op.inputs[0]).dtype:
        return Canonical((Operator(op.name, "Reshape", op.inputs[:1], op.outputs, {"shape": type_.shape}),))
    return Canonical((Operator(op.name, "Cast", op.inputs[:1], op.outputs, {"dtype": type_.dtype}),))


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """The shape of x, the type asked for."""
    assert types[0]
    return (TensorType(types[0].shape, op.attributes["dtype"]),)


def towards_zero(x: Array, dtype: np.dtype[Any]) -> Array:
    """Reals as whole numbers, limited to the type; NaN gives 0."""
    limits = np.iinfo(dtype)
    cut = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
    inside = np.where((cut >= float(limits.min)) & (cut < float(limits.max)), cut, 0.0).astype(dtype)
    return np.where(cut >= float(limits.max), limits.max, np.where(cut < float(limits.min), limits.min, inside))


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The cast value."""
    dtype, x = np.dtype(op.attributes["dtype"]), np.asarray(inputs[0])
    if x.dtype.kind == "f" and dtype.kind in "iu":
        return (towards_zero(x, dtype).astype(dtype),)
    return (x.astype(dtype),)


# --- the kernels -----------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    n = p.fields["n"]
    assert isinstance(n, int)
    return Counts(elements=n)


def _exact_cast(x: Array, p: dict[str, Any]) -> Array:
    return (x != 0 if p["to_bool"] else x).astype(dtype_of(p["y_type"]))


def _exact_from_f32(x: Array, p: dict[str, Any]) -> Array:
    dtype = dtype_of(p["y_type"])
    return (x != 0).astype(dtype) if p["to_bool"] else towards_zero(x, dtype).astype(dtype)


def _exact_to_f32(x: Array, p: dict[str, Any]) -> Array:
    return x.astype(np.float32)


for _name, _exact in (
    ("mq_cast", _exact_cast),
    ("mq_cast_from_f32", _exact_from_f32),
    ("mq_cast_to_f32", _exact_to_f32),
):
    register_kernel(Kernel(_name, "whole", counts=_counts, exact=_exact))


# --- lowering --------------------------------------------------------------------------------------------------------


def cast(lo: Lowering, x: str, y: str) -> None:
    """Bring one edge into the type of another; at least one of them is exact."""
    kernel = "mq_cast_from_f32" if lo.is_real(x) else "mq_cast_to_f32" if lo.is_real(y) else "mq_cast"
    source = lo.read(x, "f32") if lo.is_real(x) else lo.read(x)
    target = lo.write(y, "f32") if lo.is_real(y) else lo.write(y)
    codes = [
        0 if real else lo.type_of(o).storage.type_code for o, real in ((source, lo.is_real(x)), (target, lo.is_real(y)))
    ]
    to_bool = int(lo.type_of(target).format == "b8")
    size = lo.type_of(source).size
    p = lo.struct("mq_cast_params", n=size, x_type=codes[0], y_type=codes[1], to_bool=to_bool)
    lo.call(kernel, x=source, y=target, p=p)


def _lower(op: Operator, lo: Lowering) -> None:
    cast(lo, op.inputs[0], op.outputs[0])


CAST = register(
    OpSpec(
        name="Cast",
        onnx=("Cast",),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        mixed=True,
        exact=_lower,
        lowerings=(OpLowering("f32", Formats("f32", "f32"), _lower, sample_snr_db=140.0),),
        samples=(
            Sample("Cast", (given(3),), {"to": 1}),
            Sample("Cast", (given(2, 17, low=-200.0, high=120.0),), {"to": 6}, name="int32"),
            Sample("Cast", (given(17),), {"to": 9}, name="bool"),
            Sample("Cast", (Given((2, 9), -100.0, 100.0, "int32"),), {"to": 1}, name="float"),
            Sample("Cast", (Given((2, 9), -100.0, 100.0, "int64"),), {"to": 3}, name="int8"),
            Sample("Cast", (Given((2, 9), 0.0, 3.0, "uint8"),), {"to": 9}, name="whole-bool"),
        ),
    )
)
