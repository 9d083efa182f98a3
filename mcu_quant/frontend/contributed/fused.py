"""Forms of operators that onnxruntime's optimiser fused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import pi, sqrt
from typing import Any

from onnx import helper

from mcu_quant.frontend.contributed.writing import Node, Writer, named

#: Since these opsets, limits of Clip, sizes of Split, and axes of a reduction are inputs.
_LIMITS_ARE_INPUTS, _SIZES_ARE_INPUTS, _AXES_ARE_INPUTS = 11, 13, 18


def _activated(node: Node, w: Writer, value: str, parameters: Sequence[float]) -> bool:
    """The node's result: an activation with its parameters, or none."""
    kind = node.attribute("activation", "") or "Identity"
    names = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}.get(kind, ())
    inputs, attributes = [value], dict(zip(names, parameters, strict=False))
    if kind == "Clip":
        if w.opset < _LIMITS_ARE_INPUTS:
            attributes = dict(zip(("min", "max"), parameters, strict=False))
        else:
            inputs += [w.constant(p) for p in parameters]
    w.add(kind, inputs, Node(named(node, "activation")), node.outputs[0], **attributes)
    return True


def fused_conv(node: Node, w: Writer) -> bool:
    """X, W, B, Z: activation(Conv(X, W, B) + Z)."""
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    y = w.add("Conv", [i for i in node.inputs[:3] if i], node, **node.attributes(*names))
    if node.input(3):
        y = w.add("Add", [y, node.input(3)], Node(named(node, "sum")))
    return _activated(node, w, y, node.attribute("activation_params", ()))


def fused_gemm(node: Node, w: Writer) -> bool:
    """activation(Gemm(A, B, C))."""
    y = w.add("Gemm", node.inputs, node, **node.attributes("alpha", "beta", "transA", "transB"))
    return _activated(node, w, y, [node.attribute(f"activation_{n}", 0.0) for n in ("alpha", "beta")])


def fused_matmul(node: Node, w: Writer) -> bool:
    """alpha A B; of either, the first axis may be the last but one (`transBatch`) and then the last two swapped."""
    operands = []
    for edge, which in zip(node.inputs, "AB", strict=True):
        given = "i...j" if node.attribute(f"transBatch{which}", 0) else "...ij"
        wanted = "...ji" if node.attribute(f"trans{which}", 0) else "...ij"
        plain = given == wanted
        operands.append(edge if plain else w.add("Einsum", [edge], node, equation=f"{given}->{wanted}"))
    alpha = node.attribute("alpha", 1.0)
    if alpha == 1.0:
        w.add("MatMul", operands, node, node.outputs[0])
    else:
        product = w.add("MatMul", operands, node)
        w.add("Mul", [product, w.constant(alpha)], Node(named(node, "alpha")), node.outputs[0])
    return True


def _biased(node: Node, w: Writer) -> str:
    return w.add("Add", node.inputs, Node(named(node, "bias"))) if node.input(1) else node.input(0)


def gelu(node: Node, w: Writer) -> bool:
    """x (1 + erf(x / sqrt(2))) / 2."""
    x = _biased(node, w)
    return _gated(node, w, x, w.add("Erf", [_scaled(node, w, x, 1.0 / sqrt(2.0))], node))


def fast_gelu(node: Node, w: Writer) -> bool:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    x = _biased(node, w)
    part = Node(named(node, "cube"))
    cube = _scaled(node, w, w.add("Mul", [w.add("Mul", [x, x], part), x], part), 0.044715)
    inner = _scaled(node, w, w.add("Add", [x, cube], part), sqrt(2.0 / pi))
    return _gated(node, w, x, w.add("Tanh", [inner], node))


def _scaled(node: Node, w: Writer, x: str, factor: float) -> str:
    return w.add("Mul", [x, w.constant(factor)], Node(named(node, "scaled")))


def _gated(node: Node, w: Writer, x: str, gate: str) -> bool:
    part = Node(named(node, "gate"))
    doubled = w.add("Mul", [x, w.add("Add", [gate, w.constant(1.0)], part)], part)
    w.add("Mul", [doubled, w.constant(0.5)], node, node.outputs[0])
    return True


def quick_gelu(node: Node, w: Writer) -> bool:
    """x sigmoid(alpha x)."""
    gate = w.add(
        "Sigmoid", [_scaled(node, w, node.input(0), node.attribute("alpha", 1.702))], Node(named(node, "gate"))
    )
    w.add("Mul", [node.input(0), gate], node, node.outputs[0])
    return True


def _layer_norm(node: Node, w: Writer, x: str, gamma: str, beta: str, *, centred: bool) -> None:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon) gamma + beta; without the mean where it is not `centred`."""
    part = Node(named(node, "norm"))
    if centred:
        x = w.add("Sub", [x, _mean(part, w, x)], part)
    power = w.add(
        "Add", [_mean(part, w, w.add("Mul", [x, x], part)), w.constant(node.attribute("epsilon", 1e-5))], part
    )
    normal = w.add("Div", [x, w.add("Sqrt", [power], part)], part)
    if beta:
        normal = w.add("Mul", [normal, gamma], part)
        w.add("Add", [normal, beta], node, node.outputs[0])
    else:
        w.add("Mul", [normal, gamma], node, node.outputs[0])


def _mean(node: Node, w: Writer, x: str) -> str:
    """Over the last axis, which stays."""
    if w.opset >= _AXES_ARE_INPUTS:
        return w.add("ReduceMean", [x, w.constant((-1,))], node, keepdims=1)
    return w.add("ReduceMean", [x], node, axes=[-1], keepdims=1)


def skip_layer_norm(node: Node, w: Writer) -> bool:
    """input, skip, gamma, beta, bias; the second result of two kinds that are used is the sum."""
    return _skipped(node, w, node.input(2), node.input(3), node.input(4), centred=True)


def skip_rms_norm(node: Node, w: Writer) -> bool:
    """input, skip, gamma, bias."""
    return _skipped(node, w, node.input(2), "", node.input(3), centred=False)


def _skipped(node: Node, w: Writer, gamma: str, beta: str, bias: str, *, centred: bool) -> bool:
    _, *more = (*node.outputs, "", "", "")[:4]
    if more[0] or more[1]:
        return False
    part = Node(named(node, "sum"))
    first = w.add("Add", [node.input(0), bias], part) if bias else node.input(0)
    x = w.add("Add", [first, node.input(1)], part, more[2])
    _layer_norm(node, w, x, gamma, beta, centred=centred)
    return True


def rms_norm(node: Node, w: Writer) -> bool:
    """X, scale."""
    if node.attribute("axis", -1) != -1 or len(node.outputs) > 1:
        return False
    _layer_norm(node, w, node.input(0), node.input(1), "", centred=False)
    return True


def attention(node: Node, w: Writer) -> bool:
    """input [B, S, C], weights [C, 3 N], bias: self-attention of `num_heads` heads, without mask or cache."""
    dims = w.dims(node.input(1))
    simple = not any(node.inputs[3:]) and len([o for o in node.outputs if o]) == 1
    odd = any(node.attribute(n, 0) for n in ("unidirectional", "do_rotary", "qkv_hidden_sizes"))
    if dims is None or not simple or odd:
        return False
    width, heads = dims[1] // 3, node.attribute("num_heads")
    joint = w.add("MatMul", [node.input(0), node.input(1)], Node(named(node, "qkv")))
    if node.input(2):
        joint = w.add("Add", [joint, node.input(2)], Node(named(node, "qkv_bias")))
    q, k, v = _three(node, w, joint, width)
    apart = w.constant((0, 0, heads, width // heads))
    q, v = (w.add("Transpose", [w.add("Reshape", [e, apart], node)], node, perm=[0, 2, 1, 3]) for e in (q, v))
    k = w.add("Transpose", [w.add("Reshape", [k, apart], node)], node, perm=[0, 2, 3, 1])
    scale = node.attribute("scale", 0.0) or 1.0 / sqrt(width // heads)
    scores = _scaled(node, w, w.add("MatMul", [q, k], Node(named(node, "scores"))), scale)
    mixed = w.add("MatMul", [w.add("Softmax", [scores], node, axis=-1), v], Node(named(node, "mixed")))
    back = w.add("Transpose", [mixed], node, perm=[0, 2, 1, 3])
    w.add("Reshape", [back, w.constant((0, 0, width))], node, node.outputs[0])
    return True


def _three(node: Node, w: Writer, joint: str, width: int) -> Iterator[str]:
    names = [f"{node.name}:{which}" for which in "qkv"]
    sizes = (width,) * 3
    inputs = [joint, w.constant(sizes)] if w.opset >= _SIZES_ARE_INPUTS else [joint]
    more: dict[str, Any] = {} if w.opset >= _SIZES_ARE_INPUTS else {"split": list(sizes)}
    w.nodes.append(helper.make_node("Split", inputs, names, name=f"{node.name}:split", axis=-1, **more))
    return iter(names)
