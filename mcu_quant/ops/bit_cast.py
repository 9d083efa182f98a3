"""BitCast: the same bits as numbers of another type of the same width. A view: it costs nothing at run time.

A real is f32 here, whatever the plan stores reals in elsewhere. Attribute `dtype`: the type that the bits are read as.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant import formats
from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Canonical, Formats, Given, NodeContext, OpLowering, OpSpec, Sample, given, register
from mcu_quant.program import Buffer, EdgeType


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """The type that shape inference found."""
    return Canonical((Operator(op.name, "BitCast", op.inputs, op.outputs, {"dtype": node.type(op.outputs[0]).dtype}),))


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """The shape of x, the type asked for."""
    assert types[0]
    return (TensorType(types[0].shape, op.attributes["dtype"]),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The bits, read as the other type."""
    return (np.ascontiguousarray(inputs[0]).view(op.attributes["dtype"]).reshape(inputs[0].shape),)


def same_width(op: Operator, graph: Graph) -> str | None:
    """BitCast keeps the number of bits; reals have 32."""
    before, after = graph.types[op.inputs[0]].dtype, str(op.attributes["dtype"])
    return None if np.dtype(before).itemsize == np.dtype(after).itemsize else f"{before} becomes {after}"


def _lower(op: Operator, lo: Lowering) -> None:
    """A view of the same bytes; a constant is written out first."""
    x, y = op.inputs[0], op.outputs[0]
    stored = lo.read(x, "f32") if lo.is_real(x) else lo.read(x)
    assert isinstance(stored, Buffer), "a bit cast of a constant is computed at import"
    lo.view(y, stored.edge, type_=EdgeType(lo.shape(y), formats.natural(op.attributes["dtype"]).name))


register(
    OpSpec(
        name="BitCast",
        onnx=("BitCast",),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(same_width,),
        mixed=True,
        exact=_lower,
        lowerings=(OpLowering("f32", Formats("f32", "f32"), _lower, sample_snr_db=140.0),),
        samples=(
            Sample("BitCast", (given(2, 9),), {"to": 6}, opset=26, name="to-int32"),
            Sample("BitCast", (Given((3, 5), 1e9, 1.1e9, "int32"),), {"to": 1}, opset=26, name="to-float"),
            Sample("BitCast", (Given((7,), -128, 128, "int8"),), {"to": 2}, opset=26, name="to-uint8"),
        ),
    )
)
