"""Arithmetic with constants in its cheapest form.

Cases, cited in the code:
1. x + 0, x - 0, x * 1, x / 1, max(x, -inf) ...  ->  x
2. x - c                                         ->  x + (-c)
3. max(x, c), min(x, c) with one number c        ->  Clip
4. mean, sum, product, max, min over axes of 1   ->  Reshape
5. mean of a mean (sum of a sum ...), axes kept  ->  one mean over the axes of both, if they stand side by side
6. Where(c, a, b), c constant and one value       ->  a, or b

x / c and x ** c take their cheapest form when they are imported. Left alone where the constant widens the result by
broadcasting, or is on the side where the rule does not hold.
"""

from __future__ import annotations

from math import inf

import numpy as np

from mcu_quant.ir import Graph, Operator
from mcu_quant.passes.edit import Editor, reshape

_NEUTRAL = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0, "Max": -inf, "Min": inf}
_COMMUTES = ("Add", "Mul", "Max", "Min")
#: Reductions that leave a single value as it is.
_OF_ONE = ("sum", "mean", "max", "min", "prod")


def simplify_arithmetic(graph: Graph) -> Graph:
    """Bring arithmetic with constants into the form that fewest kernels have to know."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op == "Reduce" and edit.free(op):
            _reduce(edit, op)
        elif op.op in _NEUTRAL and edit.free(op):
            _binary(edit, op)
        elif op.op == "Where" and edit.free(op):
            _decided(edit, op)
    return edit.done()


def _binary(edit: Editor, op: Operator) -> None:
    found = edit.operand(op)
    if found is None or not np.issubdtype(found[1].dtype, np.floating):
        return
    x, value = found
    same_shape = edit.shape(x) == edit.shape(op.outputs[0])
    if op.inputs[0] != x and op.op not in _COMMUTES:
        return
    if same_shape and bool((value == _NEUTRAL[op.op]).all()):
        edit.bypass(op, x, "neutral operation removed")  # case 1
    elif op.op == "Sub":
        negative = edit.add_constant(f"{op.name}:negative", -value)
        made = Operator(op.name, "Add", (x, negative), op.outputs)
        edit.replace(op, [made], "subtraction of a constant is an addition")  # case 2
    elif op.op in ("Max", "Min") and value.size == 1 and same_shape:
        limit = float(value.reshape(()))
        limits = {"min": limit, "max": inf} if op.op == "Max" else {"min": -inf, "max": limit}
        made = Operator(op.name, "Clip", (x,), op.outputs, limits)
        edit.replace(op, [made], "limit by a constant is Clip")  # case 3


def _reduce(edit: Editor, op: Operator) -> None:
    shape = edit.shape(op.inputs[0])
    if op.attributes["kind"] in _OF_ONE and all(shape[a] == 1 for a in op.attributes["axes"]):  # case 4
        made = reshape(op.name, op.inputs[0], op.outputs[0], edit.shape(op.outputs[0]))
        edit.replace(op, [made], "reduction of single values is a view")
        return
    inner = edit.maker(op.inputs[0], "Reduce")
    if inner is None or not edit.free(inner) or edit.reader(op.inputs[0]) is None:
        return
    same = inner.attributes["kind"] == op.attributes["kind"] in _OF_ONE
    axes = tuple(sorted({*inner.attributes["axes"], *op.attributes["axes"]}))
    adjacent = axes == tuple(range(axes[0], axes[-1] + 1))
    if same and adjacent and op.attributes["keepdims"] and inner.attributes["keepdims"]:  # case 5
        merged = Operator(op.name, "Reduce", inner.inputs, op.outputs, {**op.attributes, "axes": axes})
        edit.replace(op, [merged], "reductions merged", inner.name, [inner])


def _decided(edit: Editor, op: Operator) -> None:
    """Case 6."""
    condition, first, second = op.inputs
    known = edit.constant(condition)
    if known is None or bool(known.any()) != bool(known.all()):
        return
    taken = first if known.all() else second
    if edit.shape(taken) == edit.shape(op.outputs[0]):
        edit.bypass(op, taken, "decided choice removed")
