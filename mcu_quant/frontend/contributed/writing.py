"""Reading a contributed operator, and writing ONNX's operators in its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mcu_quant.frontend.read import opset
from mcu_quant.ir import Array

#: Operators that do what an original does; what else is written around them only prepares.
_MAIN = (
    *("Add", "AveragePool", "Concat", "Conv", "Gemm", "GlobalAveragePool", "LSTM", "LeakyRelu", "MatMul", "Mul"),
    *("ReduceMean", "Sigmoid", "Softmax", "Where"),
)


class Node:
    """A node as the forms read it."""

    def __init__(self, proto: onnx.NodeProto) -> None:
        self.name = proto.name or proto.output[0]
        self.inputs = tuple(proto.input)
        self.outputs = tuple(proto.output)
        self._attributes = {a.name: a for a in proto.attribute}

    def input(self, k: int) -> str:
        """The name of an input, empty if it is absent."""
        return self.inputs[k] if k < len(self.inputs) else ""

    def triple(self, k: int) -> tuple[str, str, str]:
        """Three inputs in a row: an edge, its scale and its zero point."""
        return self.input(k), self.input(k + 1), self.input(k + 2)

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute; strings as text."""
        if name not in self._attributes:
            return default
        value = helper.get_attribute_value(self._attributes[name])
        return value.decode() if isinstance(value, bytes) else value

    def attributes(self, *names: str) -> dict[str, Any]:
        """Those of the attributes that are given."""
        return {n: self.attribute(n) for n in names if n in self._attributes}


class Writer:
    """Collects nodes. Names of what is made for a node begin with the node's."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.opset = opset(model)
        self._initializers = model.graph.initializer
        self._known = {t.name: t for t in model.graph.initializer}
        self._made = 0

    def add(self, kind: str, inputs: Sequence[str], node: Node, output: str = "", **attributes: Any) -> str:
        """A node that has one output; called like the original where it is what that computes."""
        self._made += 1
        name = node.name if kind in _MAIN else f"{node.name}:{kind}.{self._made}"
        made = output or f"{node.name}:{kind}.{self._made}:value"
        self.nodes.append(helper.make_node(kind, inputs, [made], name=name, **attributes))
        return made

    def constant(self, value: Array | float | Sequence[int]) -> str:
        """A constant: reals in float32, sizes in int64."""
        array = np.asarray(value, np.int64 if isinstance(value, Sequence) else np.float32)
        name = f"mcu_quant.constant.{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(array, name))
        return name

    def dims(self, name: str) -> tuple[int, ...] | None:
        """Shape of a constant; None if it is none."""
        return tuple(self._known[name].dims) if name in self._known else None

    def real(self, node: Node, stored: Sequence[str], axis: int = 0) -> str:
        """What stored integers (edge, scale, zero point) stand for; `axis` is that of the scales, where several."""
        several = np.prod(self.dims(stored[1]) or ()) > 1
        along: dict[str, Any] = {"axis": axis} if several else {}
        return self.add("DequantizeLinear", [i for i in stored if i], node, **along)

    def stored(self, node: Node, real: str, scale: str, zero: str) -> None:
        """The node's result from a real one."""
        self.add("QuantizeLinear", [real, scale, zero] if zero else [real, scale], node, node.outputs[0])


Form = Callable[[Node, Writer], bool]
"""Writes a node in ONNX's operators; False if it is used in a way that cannot be written so."""


def named(node: Node, suffix: str) -> onnx.NodeProto:
    """A node of another name, so that what is made for it is not called like the original."""
    return helper.make_node("Identity", [], [f"{node.name}:{suffix}"], name=f"{node.name}:{suffix}")
