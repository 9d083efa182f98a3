"""Operators that ONNX itself defines by others become those others, unless one is known as it is.

Attention, RotaryEmbedding, GroupNormalization, window functions and dozens more carry their definition, a function
body, in the standard. An operator that has a file in `ops/` is left alone; any other with a body becomes a call of a
local function, which inlining then takes apart like those that exporters write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import onnx
import onnx.defs
import onnx.helper

from mcu_quant import ops
from mcu_quant.frontend import libraries

#: Bodies are defined by operators that have bodies themselves, a few levels deep.
_LEVELS = 10
#: The body is a loop over data; the operator itself is what folding and lowering can take.
_KEPT = ("If", "Loop", "Scan", "SequenceMap")
_DOMAIN = "mcu_quant.definitions"


def expand(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace every operator that is not known and has a function body by that body, and those in it likewise."""
    for _ in range(_LEVELS):
        found = list(_definable(model))
        if not found:
            break
        types = _types(model)
        for i, (node, schema) in enumerate(found):
            if not _holds_graphs(node):
                _define(model, node, schema, types, f"{node.op_type}_{i}")
        model = _with_graphs_inlined(libraries.inlined(model))
    return model


def _holds_graphs(node: onnx.NodeProto) -> bool:
    return any(a.type == onnx.AttributeProto.GRAPH for a in node.attribute)


def _with_graphs_inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """FlexAttention takes graphs as attributes, which only ONNX's own inliner puts into a body."""
    kinds = sorted({(node.domain, node.op_type) for node, _ in _definable(model) if _holds_graphs(node)})
    if not kinds:
        return model
    return libraries.with_bodies(model, kinds)


def _definable(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, Any]]:
    """Nodes that are unknown and have a body, in the version of the standard that the model uses."""
    versions = _versions(model)
    local = {(f.domain, f.name) for f in model.functions}
    for node in model.graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        version = versions.get(domain, 0)
        if node.op_type in _KEPT or _known(node) or (node.domain, node.op_type) in local:
            continue
        if not version or not onnx.defs.has(node.op_type, version, domain):
            continue
        schema: Any = onnx.defs.get_schema(node.op_type, version, domain)
        if schema.has_function or schema.has_context_dependent_function:
            yield node, schema


def _known(node: onnx.NodeProto) -> bool:
    """Does an operator file take this node, with the outputs it has?"""
    spec = ops.by_onnx().get(node.op_type)
    if spec is None:
        return False
    return spec.most_outputs is None or sum(map(bool, node.output)) <= spec.most_outputs


def _versions(model: onnx.ModelProto) -> dict[str, int]:
    return {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}


def _types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    """Types of all values, on which some bodies depend."""
    graph = libraries.with_shapes(model).graph
    found = {v.name: v.type for v in (*graph.input, *graph.output, *graph.value_info)}
    constants = {t.name: onnx.helper.make_tensor_type_proto(t.data_type, t.dims) for t in graph.initializer}
    return {**found, **constants}


def _define(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    schema: Any,
    types: Mapping[str, onnx.TypeProto],
    name: str,
) -> None:
    """Make a node a call of a local function with the body that the standard gives it."""
    present = {a.name for a in node.attribute}
    for key, attribute in schema.attributes.items():
        if key not in present and attribute.default_value.name:
            node.attribute.append(attribute.default_value)
    version = _versions(model)[schema.domain]
    body = _body(schema, node, types, version)
    body.domain, body.name = _DOMAIN, name
    versions = _versions(model)
    kept = [(own, given) for own, given in zip(body.output, node.output, strict=False) if given]
    del body.output[:]
    del node.output[:]
    for own, given in kept:  # what nobody reads, the body need not compute
        body.output.append(own)
        node.output.append(given)
    del body.opset_import[:]
    body.opset_import.extend(onnx.helper.make_opsetid(d, v) for d, v in versions.items() if d != _DOMAIN)
    model.functions.append(body)
    node.domain, node.op_type = _DOMAIN, name
    if _DOMAIN not in versions:
        model.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))


def _body(schema: Any, node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto], version: int) -> onnx.FunctionProto:
    if schema.has_function:
        known = [v for v in schema.function_opset_versions if v <= version]
        data = schema.get_function_with_opset_version(max(known or schema.function_opset_versions))
    else:
        versions = schema.context_dependent_function_opset_versions
        known = [v for v in versions if v <= version]
        given = [types.get(i, onnx.TypeProto()).SerializeToString() for i in node.input]
        chosen = max(known or versions)
        data = schema.get_context_dependent_function_with_opset_version(chosen, node.SerializeToString(), given)
    body = onnx.FunctionProto()
    body.ParseFromString(data)
    return body
