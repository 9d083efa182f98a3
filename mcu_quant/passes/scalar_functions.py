"""Activation functions spelled out in elementary operators are recognised by their values.

Before: y = 0.5 * x * (1 + tanh(0.79788 * (x + 0.044715 * x^3))), or x * sigmoid(x), in whatever order it is written.
After:  y = Gelu(x), Swish(x), HardSwish(x) or Mish(x): one function of one variable, one table in integers.

A candidate is a group of elementwise operators with one input and one output, everything else being single numbers, and
nothing inside used elsewhere. It is computed over a range of x; where it equals a known function within the rounding of
its own arithmetic, it is that function. The two forms of Gelu differ by 5e-4, far more than the tolerance;
of a model in half precision the nearest one is taken.

Refused: any other function; groups of more than a dozen operators.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.passes.edit import Editor

_BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min")
_UNARY = (
    "Clip",
    "Erf",
    "Exp",
    "HardSigmoid",
    "Log",
    "Neg",
    "Power",
    "Reciprocal",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Tanh",
)
#: What may be found, in ONNX's terms.
_KNOWN: tuple[tuple[str, dict[str, str]], ...] = (
    ("Gelu", {}),
    ("Gelu", {"approximate": "tanh"}),
    ("Swish", {}),
    ("HardSwish", {}),
    ("Mish", {}),
)
_LARGEST = 12
_RANGE = np.concatenate([np.linspace(-12, 12, 961), [-80, -40, -20, 20, 40, 80]]).astype(np.float32)
_TOLERANCE = 1e-5
#: In models that computed in half precision, whose constants are rounded: the nearest of the known functions is meant.
_TOLERANCE_HALF = 2e-3


def recover_functions(graph: Graph) -> Graph:
    """Put one operator where an activation function is spelled out."""
    edit = Editor(graph)
    for root in reversed(graph.operators):
        if root.op not in ("Mul", "Div") or not edit.free(root):
            continue
        for x, group in _groups(edit, root):
            found = _matching(edit, root, x, group) if edit.free(*group) else None
            if found is not None:
                name = edit.common_name(group, root.name)
                made = Operator(name, found.op, (x,), root.outputs, found.attributes)
                edit.replace(root, [made], f"{found.op} recovered", ", ".join(op.name for op in group), group)
                break
    return edit.done()


def _groups(edit: Editor, root: Operator) -> Iterator[tuple[str, list[Operator]]]:
    """Groups that end in `root` and have one input, the smallest first."""
    group = [root]
    inputs = _variables(edit, root)
    while inputs and len(group) <= _LARGEST:
        if len(inputs) == 1 and len(group) > 1:
            yield inputs[0], list(group)
        makers = [(edit.position[op.name], op) for i in inputs if (op := edit.maker(i)) is not None]
        if not makers:
            return
        last = max(makers, key=lambda pair: pair[0])[1]
        if last.op not in (*_BINARY, *_UNARY) or not edit.private(last.outputs[0], *group):
            return
        if edit.shape(last.outputs[0]) != edit.shape(root.outputs[0]):
            return
        group.append(last)
        inputs = list(dict.fromkeys([*(i for i in inputs if i != last.outputs[0]), *_variables(edit, last)]))


def _variables(edit: Editor, op: Operator) -> list[str]:
    """The inputs of an operator that are no single numbers."""
    return [i for i in dict.fromkeys(op.inputs) if edit.scalar(i) is None]


def _matching(edit: Editor, root: Operator, x: str, group: list[Operator]) -> Operator | None:
    if edit.shape(x) != edit.shape(root.outputs[0]) or x in edit.graph.constants:
        return None
    values: dict[str, Array] = {x: _RANGE}
    with np.errstate(all="ignore"):
        for op in reversed(group):
            inputs = [values[i] if i in values else edit.graph.constants[i].reshape(()) for i in op.inputs]
            values[op.outputs[0]] = ops.spec(op).reference(op, inputs)[0]
        nearest, error = None, _tolerance(edit.graph)
        for kind, attributes in _KNOWN:
            [known] = edit.canonical(Operator(root.name, kind, (x,), root.outputs, attributes))
            expected = ops.spec(known).reference(known, [_RANGE])[0]
            off = np.max(np.abs(values[root.outputs[0]] - expected) / np.maximum(1.0, np.abs(_RANGE)))
            if off <= error:
                nearest, error = known, float(off)
    return nearest


def _tolerance(graph: Graph) -> float:
    half = any(r.rule == "float32 instead of float16" for r in graph.rewrites)
    return _TOLERANCE_HALF if half else _TOLERANCE
