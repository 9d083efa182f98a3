"""Operators that ONNX itself defines by others become those others, unless one is known as it is.

Attention, RotaryEmbedding, GroupNormalization, window functions and dozens more carry their definition, a function
body, in the standard. An operator that has a file in `ops/` is left alone; of any other the body takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx.defs
import onnx.helper
import onnx.inliner
import onnx.shape_inference

from mcu_quant import ops

#: Bodies are defined by operators that have bodies themselves, a few levels deep.
_LEVELS = 10
#: The body is a loop over data; the operator itself is what folding and lowering can take.
_KEPT = ("If", "Loop", "Scan", "SequenceMap")


def expand(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace every operator that is not known and has a function body by that body, and those in it likewise."""
    for _ in range(_LEVELS):
        found = list(_definable(model))
        if not found:
            break
        model = _typed(model)
        for node, schema in _definable(model):
            _state_defaults(node, schema)
        kinds = sorted({(node.domain, node.op_type) for node, _ in found})
        model = onnx.inliner.inline_selected_functions(model, kinds, inline_schema_functions=True)
    return model


def _definable(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, onnx.defs.OpSchema]]:
    """Nodes that are unknown and have a body, in the version of the standard that the model uses."""
    versions = {o.domain: o.version for o in model.opset_import}
    local = {(f.domain, f.name) for f in model.functions}
    for node in model.graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        version = versions.get(node.domain, versions.get("ai.onnx", 0) if not domain else 0)
        if node.op_type in _KEPT or node.op_type in ops.by_onnx() or (node.domain, node.op_type) in local:
            continue
        if not version or not onnx.defs.has(node.op_type, version, domain):
            continue
        schema = onnx.defs.get_schema(node.op_type, version, domain)
        if schema.has_function or schema.has_context_dependent_function:
            yield node, schema


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the type of every value stated, on which some bodies depend."""
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    known = {v.name for v in (*model.graph.input, *model.graph.value_info)}
    for tensor in model.graph.initializer:
        if tensor.name not in known:
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.value_info.append(value)
    return model


def _state_defaults(node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> None:
    """Write out attributes that have their default value: a body refers to them."""
    present = {a.name for a in node.attribute}
    for name, attribute in schema.attributes.items():
        if name not in present and attribute.default_value.name:
            node.attribute.append(attribute.default_value)
