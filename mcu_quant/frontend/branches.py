"""If with a condition that is computed from data: both branches are computed, and one result is selected.

Before: y = If(c) {then: a} {else: b}, c not known when the model is built.
After:  y = Where(c, a, b).

Branches have no side effects, so that computing both changes nothing but the time it takes.
Refused: branches whose results differ in shape or type, or are no tensors of known shape.
"""

from __future__ import annotations

import onnx_ir

from mcu_quant.diagnostics import Diagnostic
from mcu_quant.frontend.known_loops import opset_of
from mcu_quant.frontend.nodes import Writer, copied, discard
from mcu_quant.frontend.read import ONNX_DOMAINS
from mcu_quant.ir import Rewrite

#: Where takes all types since this opset.
_FIRST_WHERE = 9


def select_branches(model: onnx_ir.Model) -> tuple[list[Rewrite], dict[str, Diagnostic]]:
    """Replace every If of the graph that can be, in place: what was rewritten, and why others stay, by their names."""
    rewrites: list[Rewrite] = []
    refused: dict[str, Diagnostic] = {}
    for node in [n for n in model.graph if n.op_type == "If" and n.domain in ONNX_DOMAINS]:
        name = str(node.name)
        reason = _different(node) if opset_of(model) >= _FIRST_WHERE else "the opset is too old to select"
        if reason:
            help_ = "bind the input that decides it (--bind NAME=N), or let both branches give the same shape"
            refused[name] = Diagnostic("MQ107", name, f"If depends on data at run time, and {reason}", help=help_)
        else:
            _select(model, node)
            rewrites.append(Rewrite("both branches computed, one selected", name))
    return rewrites, refused


def _different(node: onnx_ir.Node) -> str | None:
    """Why one result cannot be selected."""
    for first, second in zip(_branch(node, "then").outputs, _branch(node, "else").outputs, strict=True):
        types = [_type(first), _type(second)]
        if types[0] is None or types[1] is None or types[0] != types[1]:
            said = ["an unknown shape" if t is None else f"{t[1].name} {t[0]}" for t in types]
            return f"its branches give {said[0]} and {said[1]}"
    return None


def _type(value: onnx_ir.Value) -> tuple[list[int], onnx_ir.DataType] | None:
    """Shape and type of a value; of a branch in a branch, that of its results."""
    node = value.producer()
    if value.shape is None and node is not None and node.op_type == "If" and not _different(node):
        return _type(_branch(node, "then").outputs[node.outputs.index(value)])
    if value.shape is None or value.dtype is None:
        return None
    sizes = [d for d in value.shape if isinstance(d, int)]
    return (sizes, value.dtype) if len(sizes) == len(value.shape) else None


def _branch(node: onnx_ir.Node, which: str) -> onnx_ir.Graph:
    return node.attributes[f"{which}_branch"].as_graph()


def _select(model: onnx_ir.Model, node: onnx_ir.Node) -> None:
    writer = Writer(str(node.name), opset_of(model))
    condition = node.inputs[0]
    assert condition is not None
    condition = writer.reshape(condition, ())
    branches = [_branch(node, which) for which in ("then", "else")]
    results = [
        copied(body, {}, list(body.outputs), writer, f"@{which}")
        for body, which in zip(branches, ("then", "else"), strict=True)
    ]
    made = [writer.add("Where", condition, a, b)[0] for a, b in zip(*results, strict=True)]
    onnx_ir.convenience.replace_nodes_and_values(model.graph, node, [node], writer.nodes, list(node.outputs), made)
    for body in branches:
        discard(onnx_ir.traversal.RecursiveGraphIterator(body))
