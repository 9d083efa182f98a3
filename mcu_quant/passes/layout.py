"""Operators that move values without need disappear.

Before: y = Transpose(Reshape(Transpose(x))), where all of it leaves the elements in their order.
After:  y = Reshape(x), a view; or x itself where the shape is the same too.

Cases, cited in the code:
1. A chain of Reshape and Transpose that ends in the order in which it began becomes one Reshape, or nothing.
2. Two Transposes in a row become one; so do two Slices.
3. A Slice that takes everything, a Pad by nothing, a Concat or a Split of one, an Expand or Reshape to the same shape
   disappear.
4. A Gather of a constant run of neighbours is a Slice, with a Reshape where the index is a single number.
5. A Transpose that only moves axes of size 1 is a Reshape: case 1 with a chain of one.

A chain is left alone where elements change their order: then something must move them.
"""

from __future__ import annotations

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.passes.edit import Editor, reshape

#: A chain longer than this is shortened in several rounds.
_LONGEST_CHAIN = 8


def simplify_layout(graph: Graph) -> Graph:
    """Remove what moves values without need."""
    edit = Editor(graph)
    for op in graph.operators:
        if not edit.free(op):
            continue
        if op.op in ("Reshape", "Transpose"):
            _chain(edit, op) or _transposes(edit, op)
        elif op.op == "Gather":
            _gather(edit, op)
        elif op.op == "Slice":
            _whole(edit, op) or _slices(edit, op)
        elif op.op in ("Pad", "Concat", "Split"):
            _whole(edit, op)
    return edit.done()


def _chain(edit: Editor, op: Operator) -> bool:
    """Cases 1, 3 and 5."""
    links = [op]
    while len(links) < _LONGEST_CHAIN and (above := edit.maker(links[-1].inputs[0], "Reshape", "Transpose")):
        links.append(above)
    for first in reversed(links):
        source = first.inputs[0]
        if source in edit.graph.constants or not _keeps_order(edit, links[: links.index(first) + 1]):
            continue
        if edit.shape(source) == edit.shape(op.outputs[0]):
            edit.bypass(op, source, "layout that changes nothing removed")
            return not edit.free(op)
        elif first is not op or op.op != "Reshape":
            made = reshape(op.name, source, op.outputs[0], edit.shape(op.outputs[0]))
            edit.replace(op, [made], "layout is a view", " -> ".join(x.name for x in reversed(links)))
            return True
    return False


def _keeps_order(edit: Editor, links: list[Operator]) -> bool:
    """Do the operators, last first, leave the elements in C order?"""
    shape = edit.shape(links[-1].inputs[0])
    index: Array = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    for link in reversed(links):
        index = ops.spec(link).reference(link, [index])[0]
    return bool((np.diff(np.ravel(index)) == 1).all())


def _transposes(edit: Editor, op: Operator) -> bool:
    """Case 2."""
    above = edit.maker(op.inputs[0], "Transpose")
    if op.op != "Transpose" or above is None or not edit.free(above):
        return False
    perm = tuple(above.attributes["perm"][p] for p in op.attributes["perm"])
    made = Operator(op.name, "Transpose", above.inputs, op.outputs, {"perm": perm})
    edit.replace(op, [made], "transposes merged", above.name)
    return True


def _slices(edit: Editor, op: Operator) -> bool:
    """Case 2: the elements that a slice of a slice takes from the whole, where all steps are positive."""
    above = edit.maker(op.inputs[0], "Slice")
    if above is None or not edit.free(above):
        return False
    inner, outer = _ranges(edit, above), _ranges(edit, op)
    if any(r.step <= 0 for r in (*inner, *outer)):
        return False
    both = [a[b.start : b.stop : b.step] for a, b in zip(inner, outer, strict=True)]
    axes = [a for a, r in enumerate(both) if r != range(edit.shape(above.inputs[0])[a])]
    attributes = {
        "starts": [both[a].start for a in axes],
        "ends": [both[a].stop for a in axes],
        "axes": axes,
        "steps": [both[a].step for a in axes],
    }
    edit.replace(op, [Operator(op.name, "Slice", above.inputs, op.outputs, attributes)], "slices merged", above.name)
    return True


def _ranges(edit: Editor, op: Operator) -> list[range]:
    """The positions that a Slice takes along every axis."""
    found = [range(size) for size in edit.shape(op.inputs[0])]
    a = op.attributes
    for start, end, axis, step in zip(a["starts"], a["ends"], a["axes"], a["steps"], strict=True):
        found[axis] = range(start, end, step)
    return found


def _whole(edit: Editor, op: Operator) -> bool:
    """Case 3: an output of the shape of the only input holds the same values."""
    outputs = [o for o in op.outputs if o]
    if len(op.inputs) != 1 or len(outputs) != 1 or edit.shape(op.inputs[0]) != edit.shape(outputs[0]):
        return False
    reversed_ = op.op == "Slice" and any(s < 0 for s in op.attributes["steps"])
    shifted = op.op == "Pad" and any(op.attributes["pads"])
    if reversed_ or shifted:
        return False
    edit.bypass(op, op.inputs[0], "layout that changes nothing removed")
    return True


def _gather(edit: Editor, op: Operator) -> bool:
    """Case 4."""
    index = edit.constant(op.inputs[1])
    if index is None or op.inputs[0] in edit.graph.constants:
        return False
    axis, shape = op.attributes["axis"], edit.shape(op.inputs[0])
    taken = np.ravel(index) % shape[axis]
    if index.ndim > 1 or not (np.diff(taken) == 1).all():
        return False
    start, end = int(taken[0]), int(taken[-1]) + 1
    attributes = {"starts": [start], "ends": [end], "axes": [axis], "steps": [1]}
    if index.ndim == 1:
        made = [Operator(op.name, "Slice", op.inputs[:1], op.outputs, attributes)]
    else:
        dtype = edit.graph.types[op.inputs[0]].dtype
        row = edit.add_edge(f"{op.outputs[0]}:row", (*shape[:axis], 1, *shape[axis + 1 :]), dtype)
        made = [
            Operator(f"{op.name}:row", "Slice", op.inputs[:1], (row,), attributes),
            reshape(op.name, row, op.outputs[0], edit.shape(op.outputs[0])),
        ]
    edit.replace(op, made, "gather of neighbours is a slice")
    return True
