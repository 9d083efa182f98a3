"""Scales and offsets move in front of what only moves values, to reach the weights they can be folded into.

Before: y = Transpose(Gemm(x)) * s + t, or with a Reshape that adds or drops axes of size 1.
After:  y = Transpose(Gemm(x) * s' + t'), which `fold_affine` takes from there.

Refused: anything else than Gemm, Conv or ConvTranspose in front; a value in between that is used elsewhere, too; a
constant that widens the result.
"""

from __future__ import annotations

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.passes.affine import WEIGHTED, has_activation
from mcu_quant.passes.edit import Editor


def move_affine(graph: Graph) -> Graph:
    """Let Mul and Add by constants change places with a Transpose or Reshape behind weights."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op in ("Mul", "Add") and edit.free(op) and (found := edit.operand(op)) is not None:
            _move(edit, op, *found)
    return edit.done()


def _move(edit: Editor, op: Operator, x: str, value: Array) -> None:
    layout = edit.maker(x, "Transpose", "Reshape")
    if layout is None or edit.shape(x) != edit.shape(op.outputs[0]) or not edit.free(layout):
        return
    if not _leads_to_weights(edit, x):
        return
    source = layout.inputs[0]
    full = value.reshape((1,) * (len(edit.shape(x)) - value.ndim) + value.shape)
    if layout.op == "Transpose":
        moved = np.transpose(full, np.argsort(layout.attributes["perm"]))
    else:
        kept = _without_ones(edit, source, x, full)
        if kept is None:
            return
        moved = kept
    constant = edit.add_constant(f"{op.name}:moved", np.ascontiguousarray(moved))
    inner = edit.add_edge(f"{op.outputs[0]}:moved", edit.shape(source), edit.graph.types[source].dtype)
    made = [
        Operator(op.name, op.op, (source, constant), (inner,), op.attributes),
        Operator(layout.name, layout.op, (inner, *layout.inputs[1:]), op.outputs, layout.attributes),
    ]
    edit.replace(op, made, "scale moved to its weights", layout.name, [layout])


def _leads_to_weights(edit: Editor, edge: str) -> bool:
    """Is there a weighted operator behind a chain of Transpose and Reshape that nobody else reads?"""
    while (layout := edit.maker(edge, "Transpose", "Reshape")) is not None:
        if edit.reader(edge) is None:
            return False
        edge = layout.inputs[0]
    op = edit.maker(edge, *WEIGHTED)
    return op is not None and edit.reader(edge) is not None and not has_activation(op)


def _without_ones(edit: Editor, source: str, x: str, full: Array) -> Array | None:
    """A constant for the shape before a Reshape that only adds or drops axes of size 1."""
    before, after = edit.shape(source), edit.shape(x)
    if [d for d in before if d != 1] != [d for d in after if d != 1]:
        return None
    sizes = iter([size for size, d in zip(full.shape, after, strict=True) if d != 1])
    return full.reshape([1 if d == 1 else next(sizes) for d in before])
