"""Arithmetic with constants in its cheapest form.

Cases, cited in the code:
1. x + 0, x - 0, x * 1, x / 1, x ** 1            ->  x
2. x ** 2                                        ->  x * x
3. x ** 0.5                                      ->  sqrt(x)
4. x - c                                         ->  x + (-c)
5. x / c                                         ->  x * (1 / c)   (differs by one rounding unless c is a power of 2)
6. max(x, c), min(x, c) with one number c        ->  Clip

Left alone where the constant widens the result by broadcasting, or is on the side where the rule does not hold.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.passes.edit import Editor

_NEUTRAL = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0, "Pow": 1.0}
_COMMUTES = ("Add", "Mul", "Max", "Min")


def simplify_arithmetic(graph: Graph) -> Graph:
    """Bring arithmetic with constants into the form that fewest kernels have to know."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op not in (*_NEUTRAL, *_COMMUTES) or not edit.free(op) or (found := edit.operand(op)) is None:
            continue
        x, value = found
        right = op.inputs[0] == x
        same_shape = edit.shape(x) == edit.shape(op.outputs[0])
        if not (right or op.op in _COMMUTES) or not np.issubdtype(value.dtype, np.floating):
            continue
        if same_shape and op.op in _NEUTRAL and bool((value == _NEUTRAL[op.op]).all()):
            edit.bypass(op, x, "neutral operation removed")  # case 1
        elif op.op == "Pow" and same_shape:
            _power(edit, op, x, value)
        elif op.op == "Sub":
            _binary(edit, op, Operator(op.name, "Add", (x,), op.outputs), -value)  # case 4
        elif op.op == "Div" and bool((value != 0).all()):
            inverse = (1.0 / value.astype(np.float64)).astype(np.float32)
            _binary(edit, op, Operator(op.name, "Mul", (x,), op.outputs), inverse)  # case 5
        elif op.op in ("Max", "Min") and value.size == 1 and same_shape:
            limit = float(value.reshape(()))
            limits = {"min": limit, "max": inf} if op.op == "Max" else {"min": -inf, "max": limit}
            made = Operator(op.name, "Clip", (x,), op.outputs, limits)
            edit.replace(op, [made], "limit by a constant is Clip")  # case 6
    return edit.done()


def _power(edit: Editor, op: Operator, x: str, value: Array) -> None:
    if bool((value == 2.0).all()):
        edit.replace(op, [Operator(op.name, "Mul", (x, x), op.outputs)], "square is a multiplication")  # case 2
    elif bool((value == 0.5).all()):
        edit.replace(op, [Operator(op.name, "Sqrt", (x,), op.outputs)], "power of one half is a root")  # case 3


def _binary(edit: Editor, op: Operator, made: Operator, value: Array) -> None:
    """Replace an operator by another one that takes this constant as its second operand."""
    constant = edit.add_constant(f"{op.name}:constant", value.astype(np.float32))
    made = replace(made, inputs=(*made.inputs, constant))
    edit.replace(op, [made], f"{op.op} of a constant is {made.op}")
