"""Reshape: y holds the elements of x in the same order under another shape. A view: it costs nothing at run time.

ONNX's Squeeze, Unsqueeze, Flatten, Identity and Dropout are all this operator.
Attribute `shape`: the whole output shape, without -1 or 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Canonical, Formats, NodeContext, OpLowering, OpSpec, Sample, fixed, given, register


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Every one of these operators is defined by the shape of its output, which shape inference has found."""
    shape = node.shape(op.outputs[0])
    operator = Operator(op.name, "Reshape", op.inputs[:1], op.outputs[:1], {"shape": shape})
    training = op.input(2) if op.op == "Dropout" else ""
    if training and (node.constant(training) is None or node.constant(training)):
        return Canonical((replace(operator, attributes={"shape": shape, "training": 1}),))
    mask = op.output(1)
    if not mask:
        return Canonical((operator,))
    # Dropout's second output says which values were kept: at inference, all
    return Canonical((operator,), {mask: np.ones(shape, np.bool_)}, {mask: TensorType(shape, "bool")})


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """The type of the output: what the attribute says."""
    assert types[0]
    return (TensorType(tuple(op.attributes["shape"]), types[0].dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The input, reshaped."""
    return (inputs[0].reshape(op.attributes["shape"]),)


def not_training(op: Operator, graph: Graph) -> str | None:
    """Dropout passes its input on; in training mode, where it draws random numbers, it is not supported."""
    return "it is in training mode" if "training" in op.attributes else None


def _lower(op: Operator, lo: Lowering) -> None:
    lo.view(op.outputs[0], op.inputs[0])


RESHAPE = register(
    OpSpec(
        name="Reshape",
        onnx=("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout"),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(not_training,),
        carries=True,
        family="layout",
        lowerings=(OpLowering("f32", Formats("f32", "f32"), _lower),),
        samples=(
            Sample("Reshape", (given(1, 2, 6), fixed(0, -1, 3))),
            Sample("Squeeze", (given(1, 4, 1, 3), fixed([0, 2]))),
            Sample("Squeeze", (given(1, 4, 1),), {"axes": [0]}, opset=11),
            Sample("Unsqueeze", (given(4, 3), fixed([0, -1]))),
            Sample("Flatten", (given(2, 3, 4),), {"axis": 2}),
            Sample("Identity", (given(5),)),
            Sample("Dropout", (given(2, 3),)),
        ),
    )
)
