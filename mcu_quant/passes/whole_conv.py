"""A convolution that sees its whole input at once is a matrix product.

Before: y[1,N,1] = Conv(x[1,C,L], W[N,C,L]), without padding.
After:  y = Reshape(Gemm(Reshape(x, [1, C L]), W as [N, C L])): two views and a fully connected layer.

Refused: groups, padding, a batch above 1, or more than one output position.
"""

from __future__ import annotations

from math import prod

from mcu_quant.ir import Graph, Operator
from mcu_quant.passes.edit import Editor, reshape
from mcu_quant.passes.steps import compact


def convolution_to_gemm(graph: Graph) -> Graph:
    """Turn convolutions over a single position into Gemm."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op == "Conv" and _sees_everything(edit, op):
            _replace(edit, op)
    return edit.done()


def _sees_everything(edit: Editor, op: Operator) -> bool:
    shape, weights = edit.shape(op.inputs[0]), edit.constant(op.inputs[1])
    return (
        weights is not None
        and shape == (1, *weights.shape[1:])
        and op.attributes["group"] == 1
        and not any(op.attributes["pads"])
        and all(d == 1 for d in op.attributes["dilations"])
    )


def _replace(edit: Editor, op: Operator) -> None:
    weights = edit.graph.constants[op.inputs[1]]
    outputs, width = weights.shape[0], prod(weights.shape[1:])
    row = edit.add_edge(f"{op.outputs[0]}:row", (1, width))
    steps = edit.graph.steps.get(op.inputs[1])
    moved = None if steps is None else compact(steps.reshape(outputs, width))
    matrix = edit.add_constant(f"{op.name}:weights", weights.reshape(outputs, width).copy(), moved)
    product = edit.add_edge(f"{op.outputs[0]}:product", (1, outputs))
    limits = {k: v for k, v in op.attributes.items() if k in ("activation_min", "activation_max")}
    made = [
        reshape(f"{op.name}:row", op.inputs[0], row, (1, width)),
        Operator(op.name, "Gemm", (row, matrix, *op.inputs[2:]), (product,), limits),
        reshape(f"{op.name}:shape", product, op.outputs[0], edit.shape(op.outputs[0])),
    ]
    edit.replace(op, made, "convolution of everything is a matrix product")
