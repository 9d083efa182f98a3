"""Inlining, constant folding and shape inference, by the ONNX libraries: nothing dynamic is left after it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from math import prod

import numpy as np
import onnx
import onnx.helper
import onnx.shape_inference
import onnx_ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, NameFixPass

from mcu_quant import ops
from mcu_quant.frontend import libraries

#: Nodes of this domain are loops that stay (`kept_loops.py`): nobody but us knows their shapes.
LOOPS = "mcu_quant.loops"

#: How shape inference reports a node.
_INFERENCE_ERROR = re.compile(r"\(op_type:\w+, node name: (.*?)\): (.*)")
#: Each round can only shrink the graph; real models need two or three.
_ROUNDS = 20
#: Elements of a constant that may say how large something is.
_MOST_SIZES = 1024
#: Of these ONNX infers no shape in opsets 12 to 15.
_COMPARISONS = ("GreaterOrEqual", "LessOrEqual")
#: Elements of a folded constant: weights are folded however large they are.
_NO_LIMIT = sys.maxsize


def prepare(model: onnx_ir.Model) -> None:
    """Inline local functions, turn inputs that only carry a default value into constants, name all nodes. In place."""
    libraries.inline(model)
    libraries.defaults_as_constants(model)
    _name_nodes(model)


def unique(names: Sequence[str]) -> list[str]:
    """The same names, the second of a kind as `name#2`."""
    taken: dict[str, None] = {}
    for name in names:
        made, n = name, 2
        while made in taken:
            made, n = f"{name}#{n}", n + 1
        taken[made] = None
    return list(taken)


def node_label(node: onnx_ir.Node) -> str:
    """What a node is called: its name, or its first output where the exporter gave none."""
    return node.name or next((str(o.name) for o in node.outputs if o.name), node.op_type)


def _name_nodes(model: onnx_ir.Model) -> None:
    """Give every node a name of its own, before a library invents one that says nothing."""
    nodes = list(onnx_ir.traversal.RecursiveGraphIterator(model.graph))
    for node, name in zip(nodes, unique([node_label(n) for n in nodes]), strict=True):
        node.name = name


def fold(model: onnx_ir.Model) -> int:
    """Fold everything that does not depend on an input, in place. Returns how many nodes that removed.

    Shapes that the file states are dropped first: they were inferred for dynamic dimensions.
    """
    before = nodes = set(onnx_ir.traversal.RecursiveGraphIterator(model.graph))
    for node in nodes:
        for output in node.outputs if node.domain != LOOPS else ():
            output.shape = None
    for _ in range(_ROUNDS):
        libraries.fold_constants(model, _forgets_nothing, _NO_LIMIT)
        known = nodes
        nodes = set(onnx_ir.traversal.RecursiveGraphIterator(model.graph))
        if not _keep_shapes(model) and nodes <= known:
            break  # a round takes the nodes in order, so that only those it put there itself have not been looked at
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    NameFixPass()(model)
    return len(before) - len(nodes)


def _keep_shapes(model: onnx_ir.Model) -> bool:
    """Give results their shape where ONNX infers none though it is known; was any?

    It is the type of the input (GroupNormalization), or the shapes of both broadcast (GreaterOrEqual before opset 16).
    """
    found = False
    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        spec = ops.by_onnx().get(node.op_type)
        given = node.inputs[0] if node.inputs else None
        if spec is None or given is None or given.shape is None or node.outputs[0].shape is not None:
            continue
        if spec.infer is ops.same_as_input:
            node.outputs[0].shape, node.outputs[0].type = given.shape, given.type
            found = True
        elif node.op_type in _COMPARISONS and (shape := _broadcast(node)) is not None:
            node.outputs[0].shape, node.outputs[0].dtype = shape, onnx_ir.DataType.BOOL
            found = True
    return found


def _broadcast(node: onnx_ir.Node) -> onnx_ir.Shape | None:
    """The shapes of all inputs, broadcast; None if one is not known."""
    sizes = [[d for d in v.shape if isinstance(d, int)] for v in node.inputs if v is not None and v.shape is not None]
    known = [v for v in node.inputs if v is not None and v.shape is not None]
    if len(known) != len(node.inputs) or any(len(s) != len(v.shape or ()) for s, v in zip(sizes, known, strict=True)):
        return None
    try:
        return onnx_ir.Shape(np.broadcast_shapes(*map(tuple, sizes)))
    except ValueError:  # shapes that contradict each other are reported later
        return None


def _forgets_nothing(node: onnx_ir.Node) -> bool:
    """Weights that are whole numbers become reals later, where it is kept which whole numbers they were."""
    return node.op_type != "DequantizeLinear"


def contradictions(model: onnx_ir.Model) -> dict[str, str]:
    """Where types or shapes contradict each other: the reason in ONNX's words, by the name of the node."""
    proto = libraries.to_proto(model)
    _without_weights(proto.graph)
    try:
        onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        found = _INFERENCE_ERROR.findall(str(error))
        return {name: " ".join(reason.replace("[ShapeInferenceError]", "").split()) for name, reason in found}
    return {}


def _without_weights(graph: onnx.GraphProto) -> None:
    """Make large constants inputs of the same type, in place: no shape depends on their values, and they are copied."""
    large = [tensor for tensor in graph.initializer if prod(tensor.dims) > _MOST_SIZES]
    graph.input.extend(onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in large)
    small = [tensor for tensor in graph.initializer if prod(tensor.dims) <= _MOST_SIZES]
    del graph.initializer[:]
    graph.initializer.extend(small)
