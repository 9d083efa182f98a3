"""Writing ONNX nodes: what replaces a loop is written in the opset of the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx_ir

from mcu_quant.ir import Array

#: Since this opset the axes of Squeeze and Unsqueeze are inputs.
_AXES_ARE_INPUTS = 13


class Writer:
    """Collects nodes; names of nodes and values start with `prefix`."""

    def __init__(self, prefix: str, opset: int) -> None:
        self.nodes: list[onnx_ir.Node] = []
        self._prefix = prefix
        self._opset = opset

    def add(
        self, kind: str, *inputs: onnx_ir.Value | None, name: str = "", outputs: int = 1, **attributes: Any
    ) -> tuple[onnx_ir.Value, ...]:
        """A node; its outputs."""
        name = name or f"{self._prefix}:{kind}.{len(self.nodes)}"
        node = onnx_ir.node(kind, inputs, attributes, num_outputs=outputs, name=name)
        for k, value in enumerate(node.outputs):
            value.name = f"{name}:{k}" if k else name
        self.nodes.append(node)
        return tuple(node.outputs)

    def constant(self, value: Array, name: str = "") -> onnx_ir.Value:
        """A constant."""
        return self.add("Constant", name=name, value=onnx_ir.tensor(value))[0]

    def integers(self, *values: int) -> onnx_ir.Value:
        """A constant vector of int64."""
        return self.constant(np.array(values, np.int64))

    def reshape(self, value: onnx_ir.Value, shape: Sequence[int]) -> onnx_ir.Value:
        """The value in another shape."""
        return self.add("Reshape", value, self.integers(*shape))[0]

    def take(self, value: onnx_ir.Value, axis: int, index: int) -> onnx_ir.Value:
        """One slice of a value, without the axis."""
        return self.add("Gather", value, self.constant(np.array(index, np.int64)), axis=axis)[0]

    def stack(self, values: Sequence[onnx_ir.Value], axis: int) -> onnx_ir.Value:
        """Values along a new axis."""
        return self.add("Concat", *(self._unsqueeze(v, axis) for v in values), axis=axis)[0]

    def _unsqueeze(self, value: onnx_ir.Value, axis: int) -> onnx_ir.Value:
        if self._opset >= _AXES_ARE_INPUTS:
            return self.add("Unsqueeze", value, self.integers(axis))[0]
        return self.add("Unsqueeze", value, axes=[axis])[0]


def copied(
    body: onnx_ir.Graph,
    given: dict[onnx_ir.Value, onnx_ir.Value],
    wanted: Sequence[onnx_ir.Value],
    writer: Writer,
    suffix: str,
) -> list[onnx_ir.Value]:
    """Write the nodes of a body with its inputs given; the values that `wanted` (outputs of the body) become."""
    positions = [body.outputs.index(v) for v in wanted]
    copy = body.clone(allow_outer_scope_values=True)
    outputs = [copy.outputs[p] for p in positions]
    copy.outputs.clear()
    inner = dict(zip(copy.inputs, body.inputs, strict=True))
    for value, original in inner.items():
        value.replace_all_uses_with(given[original])
    constants: dict[onnx_ir.Value, onnx_ir.Value] = {}
    for value in tuple(copy.initializers.values()):
        tensor = value.const_value
        assert tensor is not None
        constants[value] = writer.add("Constant", value=tensor)[0]
        value.replace_all_uses_with(constants[value])
    for node in onnx_ir.traversal.RecursiveGraphIterator(copy):
        node.name = f"{node.name}{suffix}"
        for output in node.outputs:
            output.name = f"{output.name}{suffix}" if output.name else output.name
    nodes = list(copy)
    copy.remove(nodes)
    writer.nodes += nodes
    return [constants.get(v, v) if v not in inner else given[inner[v]] for v in outputs]


def discard(nodes: Iterable[onnx_ir.Node]) -> None:
    """Take nodes that are in no graph any more off the lists of who uses the values they read."""
    for node in nodes:
        for k in range(len(node.inputs)):
            node.replace_input_with(k, None)
