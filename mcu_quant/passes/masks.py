"""A softmax of which a mask takes elements out by minus infinity, or by numbers that stand for it.

Before: y = Softmax(Add(x, m)), m a constant that is 0 here and -inf (or -1e9, or the least f32) there;
        y = Softmax(Where(keep, x, -inf)), or with the choice the other way round; several masks one after another.
After:  y = MaskedSoftmax(x, keep). No edge has to store such numbers beside the others, and nothing becomes NaN.

Cases, cited in the code:
1. A constant is added: what is below `LOW` takes an element out, the rest is added as before.
2. Where(c, 0, low), or the other way round, is added; views may stand between.
3. Where(c, x, low), or the other way round.
4. A row in which nothing is kept: zeros if the mask is infinite (the model computes NaN), 1 / n if it is a number.
5. Where sets to 0 what is not kept: it is 0.
6. Equal(y, y), y from a MaskedSoftmax: exporters ask so for NaN, and there is none any more.

Refused: masks along another axis than the last; rows of constants (case 1, finite) in which nothing is kept; a masked
input that is used elsewhere too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, Shape
from mcu_quant.ops.masked_softmax import period
from mcu_quant.passes.edit import Editor

#: What is added to take an element out; e^LOW is 0 whatever a model computes.
LOW = -1e4


@dataclass(frozen=True, eq=False)
class _Mask:
    """A masked tensor: an edge, what is added to it besides the mask, and which elements are kept.

    `keep` is a truth value per element, or the edge that holds it, true where an element is kept if `kept_if`; `views`
    bring it into the shape in which it meets the tensor.
    """

    x: str
    added: Array | None
    keep: Array | str
    kept_if: bool
    infinite: bool
    views: tuple[Operator, ...] = ()


def recover_masks(graph: Graph) -> Graph:
    """Put MaskedSoftmax where a softmax reads something masked."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op in ("Softmax", "MaskedSoftmax") and edit.free(op):
            _softmax(edit, op)
        elif op.op == "Where" and edit.free(op):
            _again(edit, op)
        elif op.op == "Equal" and op.inputs[0] == op.inputs[1] and edit.maker(op.inputs[0], "MaskedSoftmax"):
            true = edit.add_constant(f"{op.name}:true", np.ones(edit.shape(op.outputs[0]), np.bool_))  # case 6
            edit.bypass(op, true, "a masked softmax is never NaN")
    return edit.done()


def _softmax(edit: Editor, op: Operator) -> None:
    shape = edit.shape(op.inputs[0])
    masked = edit.maker(op.inputs[0], "Add", "Where")
    if masked is None or not edit.free(masked) or not edit.private(op.inputs[0], op):
        return
    if op.op == "Softmax" and op.attributes["axis"] != len(shape) - 1:
        return
    mask = _chosen(edit, masked) if masked.op == "Where" else _added(edit, masked)
    if mask is None or edit.shape(mask.x) != shape:
        return
    made: list[Operator] = []
    x = mask.x if mask.added is None else _plus(edit, masked, mask, made)
    keep, empty = _keep(edit, op, mask, made), 0.0 if mask.infinite else 1.0 / shape[-1]  # case 4
    if op.op == "MaskedSoftmax":
        other = op.inputs[1]
        both = edit.add_edge(f"{op.name}:both", shape, "bool")
        made.append(Operator(both, "And", (keep, other), (both,)))
        keep, empty = both, min(empty, op.attributes["empty"])
    made.append(Operator(op.name, "MaskedSoftmax", (x, keep), op.outputs, {"empty": empty}))
    edit.replace(op, made, "mask of a softmax", masked.name, [masked])


def _plus(edit: Editor, masked: Operator, mask: _Mask, made: list[Operator]) -> str:
    """What is added besides the mask stays an addition."""
    assert mask.added is not None
    constant = edit.add_constant(f"{masked.name}:added", mask.added)
    edge = edit.add_edge(f"{masked.outputs[0]}:unmasked", edit.shape(mask.x))
    made.append(Operator(f"{masked.name}:unmasked", "Add", (mask.x, constant), (edge,)))
    return edge


def _keep(edit: Editor, op: Operator, mask: _Mask, made: list[Operator]) -> str:
    """The edge that is true where an element is kept, in a shape that rows can repeat."""
    shape = edit.shape(op.inputs[0])
    if not isinstance(mask.keep, str) and not mask.views:
        keep = mask.keep == mask.kept_if
        keep = keep if period(shape, keep.shape) else np.array(np.broadcast_to(keep, shape))
        return edit.add_constant(f"{op.name}:keep", keep)
    edge = mask.keep if isinstance(mask.keep, str) else edit.add_constant(f"{op.name}:mask", mask.keep)
    for view in mask.views[:-1] if mask.views and mask.views[-1].op == "Expand" else mask.views:
        source, edge = edge, edit.add_edge(f"{view.outputs[0]}:mask", edit.shape(view.outputs[0]), "bool")
        made.append(Operator(edge, view.op, (source,), (edge,), view.attributes))
    if not mask.kept_if:
        true, away = edit.add_constant(f"{op.name}:true", np.ones((), np.bool_)), edge
        edge = edit.add_edge(f"{op.name}:keep", edit.shape(away), "bool")
        made.append(Operator(edge, "Xor", (away, true), (edge,)))
    if period(shape, edit.shape(edge)) is None:
        source, edge = edge, edit.add_edge(f"{op.name}:everywhere", shape, "bool")
        made.append(Operator(edge, "Expand", (source,), (edge,), {"shape": shape}))
    return edge


def _added(edit: Editor, op: Operator) -> _Mask | None:
    found = edit.operand(op)
    if found is not None:
        return _added_constant(*found, edit.shape(op.outputs[0]))
    return _added_choice(edit, *op.inputs) or _added_choice(edit, *op.inputs[::-1])


def _added_constant(x: str, value: Array, shape: Shape) -> _Mask | None:
    """Case 1."""
    away = value <= LOW
    infinite = bool(np.isneginf(value[away]).all())
    hopeless = np.broadcast_to(away, shape).all(axis=-1).any()
    if not away.any() or np.isnan(value).any() or (hopeless and not infinite):
        return None
    rest = np.where(away, 0, value).astype(value.dtype)
    return _Mask(x, rest if rest.any() else None, ~away, True, infinite)


def _added_choice(edit: Editor, x: str, bias: str) -> _Mask | None:
    """Case 2."""
    views: list[Operator] = []
    while (view := edit.maker(bias, "Reshape", "Expand", "Transpose")) is not None:
        views.insert(0, view)
        bias = view.inputs[0]
    choice = edit.maker(bias, "Where")
    values = [_everywhere(edit, i) for i in choice.inputs[1:]] if choice else []
    for kept_if, pair in ((True, values), (False, values[::-1])):
        if choice and pair[0] == 0 and pair[1] is not None and pair[1] <= LOW:
            infinite = bool(np.isneginf(pair[1]))
            return _Mask(x, None, _condition(edit, choice), kept_if, infinite, (*_spread(edit, choice), *views))
    return None


def _chosen(edit: Editor, op: Operator) -> _Mask | None:
    """Case 3."""
    _, first, second = op.inputs
    for kept_if, x, other in ((True, first, second), (False, second, first)):
        low = _everywhere(edit, other)
        if low is not None and low <= LOW and edit.constant(x) is None:
            return _Mask(x, None, _condition(edit, op), kept_if, bool(np.isneginf(low)))
    return None


def _everywhere(edit: Editor, edge: str) -> float | None:
    """The one number that a constant holds everywhere."""
    value = edit.constant(edge)
    return None if value is None or value.size == 0 or (value != value.flat[0]).any() else float(value.flat[0])


def _spread(edit: Editor, choice: Operator) -> tuple[Operator, ...]:
    """What brings a condition into the shape of the result, where that has it from the values."""
    condition, y = choice.inputs[0], choice.outputs[0]
    shape = edit.shape(y)
    if edit.shape(condition) == shape:
        return ()
    kind = "Reshape" if edit.graph.types[condition].size == edit.graph.types[y].size else "Expand"
    return (Operator(choice.name, kind, (condition,), (y,), {"shape": shape}),)


def _condition(edit: Editor, op: Operator) -> Array | str:
    value = edit.constant(op.inputs[0])
    return op.inputs[0] if value is None else value.astype(np.bool_)


def _again(edit: Editor, op: Operator) -> None:
    """Case 5."""
    again, first, second = op.inputs
    away = edit.constant(again)
    for y, other, kept_if in ((first, second, True), (second, first, False)):
        softmax = edit.maker(y, "MaskedSoftmax")
        keep = edit.constant(softmax.inputs[1]) if softmax else None
        if softmax is None or keep is None or away is None or edit.scalar(other) != 0 or not edit.free(softmax):
            continue
        shape = edit.shape(op.outputs[0])
        wrong = keep & (away != kept_if)  # of a row without any, nothing is known
        some = np.broadcast_to(keep, shape).any(axis=-1).all()
        if edit.shape(y) == shape and not wrong.any() and (some or softmax.attributes["empty"] == 0):
            edit.bypass(op, y, "a masked softmax is 0 where nothing is kept")
            return
