"""Pairs of QuantizeLinear and DequantizeLinear become one operator on reals, where values are computed.

Before: y = DequantizeLinear(Reshape(QuantizeLinear(Conv(x)))), all with one scale and zero point.
After:  y = Reshape(FakeQuantise(Conv(x))).

Cases, cited in the code:
1. DequantizeLinear behind an operator that only moves values moves before it; MaxPool counts as one.
2. QuantizeLinear before such an operator moves behind it, where nobody else reads what it makes.
3. DequantizeLinear of QuantizeLinear with the same scale is a FakeQuantise.
4. FakeQuantise behind Reshape or Transpose moves before it, where nobody else reads what that makes: it comes to stand
   behind the operator that computes the values.
5. FakeQuantise of what lies on its grid already disappears.
6. QuantizeLinear reads a FakeQuantise, so that rounding to the grid and naming the result's type are two things.

Refused: a scale for every element of an axis moves nowhere.
"""

from __future__ import annotations

from dataclasses import replace

from mcu_quant import ops
from mcu_quant.ir import Graph, Operator
from mcu_quant.passes.edit import Editor
from mcu_quant.qdq import KINDS

_MOVED_FAKE = ("Reshape", "Transpose")


def pair_quantisation(graph: Graph) -> Graph:
    """Recognise the scales of a model in QDQ form."""
    edit = Editor(graph)
    for op in graph.operators:
        if not edit.free(op) or (op.op in KINDS and "scale" not in op.attributes):
            continue
        if op.op == "DequantizeLinear":
            _dequantize_up(edit, op) or _pair(edit, op)
        elif op.op == "FakeQuantise":
            _idempotent(edit, op) or _fake_up(edit, op)
        elif op.op == "QuantizeLinear":
            _on_grid(edit, op)
        else:
            _quantize_down(edit, op)
    return edit.done()


def _one_scale(op: Operator) -> bool:
    return len(op.attributes.get("scale", ())) == 1


def _same_grid(a: Operator, b: Operator) -> bool:
    """Do two of the operators have the same scale, zero point and type?"""
    names = ("scale", "zero_point", "dtype") if _one_scale(a) else ("scale", "zero_point", "dtype", "axis")
    return all(n in b.attributes and a.attributes[n] == b.attributes[n] for n in names)


def _moves(op: Operator | None) -> bool:
    """Does an operator only move values, whatever they are: one output, and nothing added?"""
    if op is None or len([o for o in op.outputs if o]) != 1:
        return False
    return op.op == "MaxPool" or (ops.spec(op).carries and op.op not in ("Pad", "ScatterND"))


def _dequantize_up(edit: Editor, op: Operator) -> bool:
    """Case 1."""
    mover = edit.maker(op.inputs[0])
    if mover is None or not _moves(mover) or not _one_scale(op):
        return False
    whole = edit.graph.types[op.inputs[0]].dtype
    moved = [i for i in mover.inputs if i and edit.graph.types[i].dtype == whole]
    if any(i in edit.graph.constants for i in moved):
        return False
    made, rename = [], {}
    for i, source in enumerate(dict.fromkeys(moved)):
        rename[source] = edit.add_edge(f"{op.outputs[0]}:{i}", edit.shape(source))
        name = op.name if i == 0 else f"{op.name}:{i}"
        made.append(Operator(name, op.op, (source,), (rename[source],), op.attributes))
    behind = replace(mover.with_inputs(rename), name=f"{mover.name}:{op.name}", outputs=op.outputs)
    edit.replace(op, [*made, behind], "dequantised before it is moved", mover.name)
    return True


def _quantize_down(edit: Editor, op: Operator) -> bool:
    """Case 2."""
    first = edit.maker(op.inputs[0], "QuantizeLinear") if op.inputs else None
    if first is None or not _moves(op) or len(op.inputs) != 1 or not _one_scale(first) or not edit.free(first):
        return False
    if edit.reader(first.outputs[0]) is None:
        return False
    output = next(o for o in op.outputs if o)
    edge = edit.add_edge(f"{output}:real", edit.shape(output))
    made = replace(op, inputs=first.inputs, outputs=(edge,))
    edit.replace(op, [made, replace(first, inputs=(edge,), outputs=(output,))], "quantised after it is moved")
    return True


def _pair(edit: Editor, op: Operator) -> bool:
    """Case 3."""
    first = edit.maker(op.inputs[0], "QuantizeLinear")
    if first is None or not _same_grid(first, op):
        return False
    fake = Operator(op.name, "FakeQuantise", first.inputs, op.outputs, op.attributes)
    edit.replace(op, [fake], "scale of the model", f"scale {op.attributes['scale'][0]:.6g}, {op.attributes['dtype']}")
    return True


def _fake_up(edit: Editor, op: Operator) -> bool:
    """Case 4."""
    mover = edit.maker(op.inputs[0], *_MOVED_FAKE)
    if mover is None or not _one_scale(op) or not edit.free(mover) or edit.reader(op.inputs[0]) is None:
        return False
    source = mover.inputs[0]
    edge = edit.add_edge(f"{op.outputs[0]}:{mover.op}", edit.shape(source))
    made = [replace(op, inputs=(source,), outputs=(edge,)), replace(mover, inputs=(edge,), outputs=op.outputs)]
    edit.replace(op, made, "rounded to the model's scale before it is moved", mover.name, [mover])
    return True


def _idempotent(edit: Editor, op: Operator) -> bool:
    """Case 5."""
    first = edit.maker(op.inputs[0], "FakeQuantise", "DequantizeLinear")
    if first is None or not _same_grid(first, op):
        return False
    edit.bypass(op, op.inputs[0], "on the model's scale already")
    return not edit.free(op)


def _on_grid(edit: Editor, op: Operator) -> bool:
    """Case 6."""
    first = edit.maker(op.inputs[0])
    while first is not None and first.op in _MOVED_FAKE and _one_scale(op):
        first = edit.maker(first.inputs[0])
    if first is not None and first.op in ("FakeQuantise", "DequantizeLinear") and _same_grid(first, op):
        return False
    edge = edit.add_edge(f"{op.outputs[0]}:real", edit.shape(op.inputs[0]))
    fake = Operator(f"{op.name}:scale", "FakeQuantise", op.inputs, (edge,), op.attributes)
    detail = f"scale {op.attributes['scale'][0]:.6g}, {op.attributes['dtype']}"
    edit.replace(op, [fake, replace(op, inputs=(edge,))], "scale of the model", detail)
    return True
