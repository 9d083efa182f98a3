"""Operators that onnxruntime adds to ONNX, as its quantiser and its optimiser write them, in ONNX's own operators.

    y = QLinearAdd(a, b)     DequantizeLinear(a), DequantizeLinear(b) -> Add -> QuantizeLinear, and so for others
    y = FusedConv(x, w)      Conv -> Relu or another activation, and so for others

Their formulas are those of onnxruntime's documentation of its contributed operators (docs/ContribOperators.md there).
What is unknown here, or used in a way that is not written down below, stays, and is refused later with its name.

DynamicQuantizeLSTM becomes an LSTM with the weights that it has. onnxruntime rounds its inputs and its state to 8 bits
at every step, each on a scale found at run time; how they are rounded here is for the plan to say.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from mcu_quant.frontend.contributed import fused, quantised
from mcu_quant.frontend.contributed.writing import Form, Node, Writer
from mcu_quant.frontend.read import ONNX_DOMAINS, modern, opset
from mcu_quant.ir import Rewrite

DOMAIN = "com.microsoft"
#: The rule under which a layer is listed whose inputs onnxruntime rounds and the graph does not.
UNROUNDED = "inputs of a layer not rounded at run time"
#: Since this opset, ONNX quantises to 16 bits.
_FIRST_OF_16_BITS = 21


def in_onnx(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[Rewrite]]:
    """The model without contributed operators where they can be written otherwise, and what was rewritten."""
    if not any(_is_contributed(n) for n in model.graph.node):
        return model, []
    made = onnx.ModelProto()
    made.CopyFrom(model)
    writer = Writer(made)
    rewrites = []
    for node in model.graph.node:
        rewrites += _write(node, writer)
    del made.graph.node[:]
    made.graph.node.extend(writer.nodes)
    early = opset(model) < _FIRST_OF_16_BITS and any(map(_is_quantiser, model.graph.node))
    return modern(made, _FIRST_OF_16_BITS) if early else made, rewrites


def _is_quantiser(node: onnx.NodeProto) -> bool:
    """Is this ONNX's own operator in the other domain, which has it for 16 bits in every opset?"""
    return node.domain == DOMAIN and node.op_type in ("QuantizeLinear", "DequantizeLinear")


def _is_contributed(node: onnx.NodeProto) -> bool:
    """Is this one of the operators below? onnxruntime has one in ONNX's domain, too."""
    known = node.op_type in _FORMS
    return known and (node.domain == DOMAIN or (node.domain in ONNX_DOMAINS and node.op_type in _IN_ONNX_DOMAIN))


def _write(node: onnx.NodeProto, writer: Writer) -> list[Rewrite]:
    form = _FORMS[node.op_type] if _is_contributed(node) else None
    if form is None or not form(Node(node), writer):
        writer.nodes.append(node)
        return []
    name = node.name or node.output[0]
    if node.op_type == "DynamicQuantizeLSTM":
        return [Rewrite(UNROUNDED, name)]
    return [Rewrite("written in ONNX's operators", name, f"{DOMAIN}.{node.op_type}")]


_POOL = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
_FORMS: Mapping[str, Form] = {
    "Attention": fused.attention,
    "BiasGelu": fused.gelu,
    "DequantizeLinear": quantised.of_onnx("DequantizeLinear"),
    "DynamicQuantizeLSTM": quantised.dynamic_lstm,
    "DynamicQuantizeMatMul": quantised.dynamic_matmul,
    "FastGelu": fused.fast_gelu,
    "FusedConv": fused.fused_conv,
    "FusedGemm": fused.fused_gemm,
    "FusedMatMul": fused.fused_matmul,
    "Gelu": fused.gelu,
    "MatMulIntegerToFloat": quantised.matmul_to_float,
    "QGemm": quantised.q_gemm,
    "QLinearAdd": quantised.binary("Add"),
    "QLinearAveragePool": quantised.unary("AveragePool", *_POOL),
    "QLinearConcat": quantised.concat,
    "QLinearGlobalAveragePool": quantised.unary("GlobalAveragePool"),
    "QLinearLeakyRelu": quantised.unary("LeakyRelu", "alpha"),
    "QLinearMul": quantised.binary("Mul"),
    "QLinearSigmoid": quantised.unary("Sigmoid"),
    "QLinearSoftmax": quantised.softmax,
    "QLinearWhere": quantised.where,
    "QuantizeLinear": quantised.of_onnx("QuantizeLinear"),
    "QuickGelu": fused.quick_gelu,
    "SimplifiedLayerNormalization": fused.rms_norm,
    "SkipLayerNormalization": fused.skip_layer_norm,
    "SkipSimplifiedLayerNormalization": fused.skip_rms_norm,
}
#: These are contributed, though their domain is ONNX's.
_IN_ONNX_DOMAIN = ("SimplifiedLayerNormalization",)
