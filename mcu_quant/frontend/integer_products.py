"""Products of whole numbers become products of reals between DequantizeLinear and QuantizeLinear: QDQ form.

    y = QLinearConv(x, w)      DequantizeLinear(x), DequantizeLinear(w) -> Conv -> QuantizeLinear
    y = QLinearMatMul(a, b)    the same with MatMul
    y = ConvInteger(x, w)      as before on a scale of 1, and Cast to int32 at the end; MatMulInteger likewise
    y = Cast(MatMulInteger(q, w)) * (s * t)      as before on the scales s and t: dynamically quantised models

Reals hold sums below 2^24 exactly. What follows knows only one way in which a model says that it is quantised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    scaled = _scaled(model.graph)
    gone = {name for s in scaled.values() for name in s.gone}
    nodes = [
        n
        for node in model.graph.node
        if node.output[0] not in gone
        for n in (_products(node, several, scaled.get(node.output[0])) if _is_product(node) else (node,))
    ]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    zeros = [z for n in model.graph.node if _is_product(n) and "Integer" in n.op_type for z in n.input[2:4]]
    for shape in dict.fromkeys([(), *(several[z] for z in zeros if z in several)]):
        made.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), _one(shape)))
    return made


@dataclass(frozen=True)
class _Scaled:
    """The scales of both operands of a product of whole numbers, what it becomes, and outputs of nodes that vanish."""

    scales: tuple[str, str]
    result: str
    gone: tuple[str, ...]


def _scaled(graph: onnx.GraphProto) -> dict[str, _Scaled]:
    """Products whose only use is that they become reals on the product of two scales, as quantize_dynamic writes it.

    The first scale is that of DynamicQuantizeLinear, the second a constant: of one element, or of one per column.
    """
    makers = {o: n for n in graph.node for o in n.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    constants = {t.name: t for t in graph.initializer}
    kept = {o.name for o in graph.output}
    found = {}
    for product in (n for n in graph.node if n.op_type in ("ConvInteger", "MatMulInteger")):
        casts = readers.get(product.output[0], [])
        if len(casts) != 1 or casts[0].op_type != "Cast" or product.output[0] in kept:
            continue
        real = casts[0].output[0]
        muls = readers.get(real, [])
        if len(muls) != 1 or muls[0].op_type != "Mul" or real in kept:
            continue
        scale = makers.get(next((i for i in muls[0].input if i != real), ""))
        rounded = makers.get(product.input[0])
        if scale is None or scale.op_type != "Mul" or rounded is None or rounded.op_type != "DynamicQuantizeLinear":
            continue
        a, b = scale.input if scale.input[0] == rounded.output[1] else scale.input[::-1]
        one = b in constants and np.prod(constants[b].dims) == 1
        rows = product.op_type == "MatMulInteger" and b in constants and len(constants[b].dims) == 1
        if a == rounded.output[1] and (one or rows):
            found[product.output[0]] = _Scaled((a, b), muls[0].output[0], (real, muls[0].output[0]))
    return found


def _one(shape: Sequence[int]) -> str:
    """Name of a scale of one, as often as there are zero points."""
    return "mcu_quant.one" + "".join(f".{n}" for n in shape)


def _is_product(node: onnx.NodeProto) -> bool:
    return node.op_type in _AXES and node.domain in ONNX_DOMAINS


def _products(
    node: onnx.NodeProto, several: Mapping[str, tuple[int, ...]], scaled: _Scaled | None
) -> Iterator[onnx.NodeProto]:
    """What a product becomes. `several` are shapes of constants of more than one element: a scale per row or column."""
    name, output = node.name or node.output[0], node.output[0]
    given = [*node.input, *[""] * (9 - len(node.input))]
    linear = node.op_type.startswith("QLinear")
    if linear:
        a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero, bias = given
    else:
        a, b, a_zero, b_zero = given[:4]
        ones = _one(several.get(a_zero, ())), _one(several.get(b_zero, ()))
        a_scale, b_scale = scaled.scales if scaled else ones
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
    real = scaled.result if scaled else f"{name}:real"
    product = helper.make_node("Conv" if "Conv" in node.op_type else "MatMul", operands, [real], name=name)
    product.attribute.extend(node.attribute)
    yield product
    if linear:
        yield helper.make_node("QuantizeLinear", [real, y_scale, y_zero], [output], name=f"{name}:quantised")
    elif not scaled:
        yield helper.make_node("Cast", [real], [output], name=f"{name}:whole", to=onnx.TensorProto.INT32)
