"""Products of whole numbers become products of reals between DequantizeLinear and QuantizeLinear: QDQ form.

    y = QLinearConv(x, w)      DequantizeLinear(x), DequantizeLinear(w) -> Conv -> QuantizeLinear
    y = QLinearMatMul(a, b)    the same with MatMul
    y = ConvInteger(x, w)      as before on a scale of 1, and Cast to int32 at the end; MatMulInteger likewise

Reals hold sums below 2^24 exactly. What follows knows only one way in which a model says that it is quantised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mcu_quant.frontend.read import MODERN_OPSET, ONNX_DOMAINS, modern, opset

#: Axis of a scale per row or column of each operand.
_AXES = {"QLinearConv": (1, 0), "ConvInteger": (1, 0), "QLinearMatMul": (-2, -1), "MatMulInteger": (-2, -1)}


def in_qdq_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every product of whole numbers in QDQ form; the model itself if there is none."""
    if not any(_is_product(n) for n in model.graph.node):
        return model
    several = {t.name: tuple(t.dims) for t in model.graph.initializer if np.prod(t.dims) > 1}
    read = {i for n in model.graph.node if _is_product(n) for i in n.input}
    if opset(model) < MODERN_OPSET and several.keys() & read:
        model = modern(model)  # where DequantizeLinear knows a scale per row
    made = onnx.ModelProto()
    made.CopyFrom(model)
    nodes = [n for node in model.graph.node for n in (_products(node, several) if _is_product(node) else (node,))]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    zeros = [z for n in model.graph.node if _is_product(n) and "Integer" in n.op_type for z in n.input[2:4]]
    for shape in dict.fromkeys([(), *(several[z] for z in zeros if z in several)]):
        made.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), _one(shape)))
    return made


def _one(shape: Sequence[int]) -> str:
    """Name of a scale of one, as often as there are zero points."""
    return "mcu_quant.one" + "".join(f".{n}" for n in shape)


def _is_product(node: onnx.NodeProto) -> bool:
    return node.op_type in _AXES and node.domain in ONNX_DOMAINS


def _products(node: onnx.NodeProto, several: Mapping[str, tuple[int, ...]]) -> Iterator[onnx.NodeProto]:
    """What a product becomes. `several` are shapes of constants of more than one element: a scale per row or column."""
    name, output = node.name or node.output[0], node.output[0]
    given = [*node.input, *[""] * (9 - len(node.input))]
    linear = node.op_type.startswith("QLinear")
    if linear:
        a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero, bias = given
    else:
        a, b, a_zero, b_zero = given[:4]
        a_scale, b_scale = (_one(several.get(zero, ())) for zero in (a_zero, b_zero))
        bias = ""
    a_axis, b_axis = _AXES[node.op_type]

    def dequantised(what: str, edge: str, scale: str, zero: str, axis: int) -> onnx.NodeProto:
        inputs = [edge, scale, zero] if zero else [edge, scale]
        made = f"{name}:{what}"
        # there is no such attribute before opset 13
        per_axis: dict[str, Any] = {"axis": axis} if scale in several or zero in several else {}
        return helper.make_node("DequantizeLinear", inputs, [made], name=made, **per_axis)

    yield dequantised("a", a, a_scale, a_zero, a_axis)
    yield dequantised("b", b, b_scale, b_zero, b_axis)
    operands = [f"{name}:a", f"{name}:b"]
    if bias:
        bias_axis: dict[str, Any] = {"axis": 0} if b_scale in several else {}
        yield helper.make_node("Mul", [a_scale, b_scale], [f"{name}:bias_scale"], name=f"{name}:bias_scale")
        yield helper.make_node(
            "DequantizeLinear", [bias, f"{name}:bias_scale"], [f"{name}:bias"], name=f"{name}:bias", **bias_axis
        )
        operands.append(f"{name}:bias")
    product = helper.make_node("Conv" if "Conv" in node.op_type else "MatMul", operands, [f"{name}:real"], name=name)
    product.attribute.extend(node.attribute)
    yield product
    if linear:
        yield helper.make_node("QuantizeLinear", [f"{name}:real", y_scale, y_zero], [output], name=f"{name}:quantised")
    else:
        yield helper.make_node("Cast", [f"{name}:real"], [output], name=f"{name}:whole", to=onnx.TensorProto.INT32)
