"""Scales and offsets per input channel move into the weights behind them.

Before: y = W (s * x + t) + b: Mul and Add by constants (what BatchNormalization is), and then Gemm or Conv.
After:  y = (W s) x + (W t + b).

Cases, cited in the code:
1. Mul of a constant that varies along the input channels only: columns of W are scaled.
2. Add of such a constant: W t is added to the bias. Not where a convolution pads: padding is zero, not t.

Refused: the scaled value is used elsewhere, too; ConvTranspose.
"""

from __future__ import annotations

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.passes.edit import Editor, broadcast_vector


def fold_affine_before(graph: Graph) -> Graph:
    """Fold Add and Mul by constants into the weights behind them."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op not in ("Gemm", "Conv"):
            continue
        affine = edit.maker(op.inputs[0], "Mul", "Add")
        if affine is None or not edit.free(op, affine) or not edit.private(op.inputs[0], op):
            continue
        found, weights = edit.operand(affine), edit.constant(op.inputs[1])
        if found is None or weights is None or edit.shape(found[0]) != edit.shape(op.inputs[0]):
            continue
        if op.input(2) and edit.constant(op.input(2)) is None:
            continue
        shape = edit.shape(op.inputs[0])
        vector = broadcast_vector(found[1], shape, len(shape) - 1 if op.op == "Gemm" else 1)
        if vector is not None:
            _fold(edit, op, affine, found[0], vector)
    return edit.done()


def _fold(edit: Editor, op: Operator, affine: Operator, x: str, vector: Array) -> None:
    weights = edit.graph.constants[op.inputs[1]].astype(np.float64)
    columns = _per_column(op, weights, vector.astype(np.float64))
    if affine.op == "Mul":  # case 1
        scaled = edit.add_constant(f"{op.name}:weights", (weights * columns).astype(np.float32))
        inputs = (x, scaled, *op.inputs[2:])
    elif any(op.attributes.get("pads", ())):  # case 2
        return
    else:
        offset = (weights * columns).reshape(len(weights), -1).sum(axis=1)
        bias = edit.constant(op.input(2))
        total = offset if bias is None else np.ravel(bias) + offset
        inputs = (x, op.inputs[1], edit.add_constant(f"{op.name}:bias", total.astype(np.float32)), *op.inputs[3:])
    made = Operator(op.name, op.op, inputs, op.outputs, op.attributes)
    edit.replace(
        op, [made], "scale before fused" if affine.op == "Mul" else "offset before fused", affine.name, [affine]
    )


def _per_column(op: Operator, weights: Array, vector: Array) -> Array:
    """The value for each weight: [outputs, inputs / group, kernel...] with the channels of each group in turn."""
    if op.op == "Gemm":
        return vector[None]
    group = int(op.attributes.get("group", 1))
    per_group = vector.reshape(group, -1)
    rows = np.repeat(per_group, len(weights) // group, axis=0)
    return rows.reshape(*rows.shape, *[1] * (weights.ndim - 2))
