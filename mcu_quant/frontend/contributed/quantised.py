"""Forms of operators on whole numbers with scales: DequantizeLinear, the operator on reals, QuantizeLinear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import helper

from mcu_quant.frontend.contributed.writing import Form, Node, Writer, named

#: Since this opset Softmax works along one axis instead of all from there.
_SOFTMAX_ALONG_ONE = 13


def binary(kind: str) -> Form:
    """A, A_scale, A_zero, B, B_scale, B_zero, C_scale, C_zero."""

    def form(node: Node, w: Writer) -> bool:
        operands = [w.real(node, node.triple(k)) for k in (0, 3)]
        w.stored(node, w.add(kind, operands, node), node.input(6), node.input(7))
        return True

    return form


def unary(kind: str, *names: str) -> Form:
    """X, X_scale, X_zero, Y_scale, Y_zero; `names` of attributes that both have."""

    def form(node: Node, w: Writer) -> bool:
        if node.attribute("channels_last", 0):
            return False
        x = w.real(node, node.triple(0))
        w.stored(node, w.add(kind, [x], node, **node.attributes(*names)), node.input(3), node.input(4))
        return True

    return form


def softmax(node: Node, w: Writer) -> bool:
    """As `unary`; `opset` says whether it works along one axis or all from there."""
    x = w.real(node, node.triple(0))
    axis = node.attribute("axis", -1)
    if node.attribute("opset", w.opset) >= _SOFTMAX_ALONG_ONE or w.opset < _SOFTMAX_ALONG_ONE or axis == -1:
        y = w.add("Softmax", [x], node, axis=axis)
    else:
        rows = w.add("Softmax", [w.add("Flatten", [x], node, axis=axis)], node, axis=-1)
        y = w.add("Reshape", [rows, w.add("Shape", [x], node)], node)
    w.stored(node, y, node.input(3), node.input(4))
    return True


def concat(node: Node, w: Writer) -> bool:
    """Y_scale, Y_zero, then X, X_scale, X_zero of each operand."""
    operands = [w.real(node, node.triple(k)) for k in range(2, len(node.inputs), 3)]
    w.stored(node, w.add("Concat", operands, node, axis=node.attribute("axis")), node.input(0), node.input(1))
    return True


def where(node: Node, w: Writer) -> bool:
    """Condition, X, X_scale, X_zero, Y, Y_scale, Y_zero, Z_scale, Z_zero."""
    operands = [w.real(node, node.triple(k)) for k in (1, 4)]
    w.stored(node, w.add("Where", [node.input(0), *operands], node), node.input(7), node.input(8))
    return True


def q_gemm(node: Node, w: Writer) -> bool:
    """A, A_scale, A_zero, B, B_scale, B_zero, C (on the product of both scales), Y_scale, Y_zero; Y may be real."""
    a = w.real(node, node.triple(0))
    b = w.real(node, node.triple(3), axis=0 if node.attribute("transB", 0) else 1)
    operands = [a, b]
    if node.input(6):
        scale = w.add("Mul", [node.input(1), node.input(4)], Node(named(node, "bias_scale")))
        several = np.prod(w.dims(node.input(4)) or ()) > 1
        axis: dict[str, Any] = {"axis": 0} if several else {}
        operands.append(w.add("DequantizeLinear", [node.input(6), scale], node, **axis))
    attributes = node.attributes("alpha", "transA", "transB")
    if not node.input(7):
        w.add("Gemm", operands, node, node.outputs[0], **attributes)
        return True
    w.stored(node, w.add("Gemm", operands, node, **attributes), node.input(7), node.input(8))
    return True


def dynamic_matmul(node: Node, w: Writer) -> bool:
    """A (real), B, B_scale, B_zero, bias: A is rounded to 8 bits on a scale that is found at run time."""
    names = [f"{node.name}:{what}" for what in ("rounded", "scale", "zero")]
    w.nodes.append(helper.make_node("DynamicQuantizeLinear", [node.input(0)], names, name=f"{node.name}:rounded"))
    return _product(node, w, names, [node.input(k) for k in (1, 2, 3)], node.input(4))


def matmul_to_float(node: Node, w: Writer) -> bool:
    """A, B, A_scale, B_scale, A_zero, B_zero, bias."""
    return _product(node, w, [node.input(k) for k in (0, 2, 4)], [node.input(k) for k in (1, 3, 5)], node.input(6))


def _product(node: Node, w: Writer, a: Sequence[str], b: Sequence[str], bias: str) -> bool:
    operands = [w.real(node, a, -2), w.real(node, b, -1)]
    if not bias:
        w.add("MatMul", operands, node, node.outputs[0])
        return True
    w.add("Add", [w.add("MatMul", operands, node), bias], Node(named(node, "bias")), node.outputs[0])
    return True


def dynamic_lstm(node: Node, w: Writer) -> bool:
    """As LSTM, with W and R transposed and in whole numbers; scales and zero points of both at the end.

    Scales per row of several directions cannot be said of one array: refused.
    """
    weights = []
    for k, at in ((1, 8), (2, 10)):
        dims, scales = w.dims(node.input(k)), w.dims(node.input(at))
        if dims is None or scales is None or (len(scales) == 2 and scales[0] > 1):
            return False
        flat = [w.add("Reshape", [node.input(at + i), w.constant((-1,))], node) for i in range(2)]
        per_row: dict[str, Any] = {"axis": 2 if len(scales) == 2 else 0}
        real = w.add("DequantizeLinear", [node.input(k), *flat], node, **per_row)
        weights.append(w.add("Transpose", [real], node, perm=[0, 2, 1]))
    names = ("activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "input_forget")
    attributes = node.attributes(*names)
    inputs = [node.input(0), *weights, *(node.input(k) for k in range(3, 8))]
    w.nodes.append(helper.make_node("LSTM", inputs, node.outputs, name=node.name, **attributes))
    return True


def of_onnx(kind: str) -> Form:
    """The same operator as ONNX's, there for types that ONNX's did not take yet."""

    def form(node: Node, w: Writer) -> bool:
        w.nodes.append(helper.make_node(kind, node.inputs, node.outputs, name=node.name, **node.attributes("axis")))
        return True

    return form
