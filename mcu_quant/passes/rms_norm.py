"""Normalisation by the root of the mean square is recognised in its parts.

Before: s = sqrt(mean(x * x) + e) over the last axes; then one of
  1. y = x / s * gamma                      (Div, or Mul by a Reciprocal or by (mean + e) ^ -0.5)
  2. y = x * (gamma / s)                    (gamma applied to the reciprocal first)
where gamma is a constant or missing.
After:  y = RMSNormalization(x, gamma), axis and epsilon as found.

Refused: other axes, a gamma that varies along others than those, or a value inside that is used elsewhere, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.passes.edit import Editor
from mcu_quant.passes.layer_norm import mean_axes, parameter


@dataclass(frozen=True, eq=False)
class _Found:
    """What is normalised over the axes from `axis` on, by which operators, in the order they run."""

    x: str
    axis: int
    epsilon: float
    operators: tuple[Operator, ...]
    gamma: Array | None = None

    @property
    def last(self) -> Operator:
        return self.operators[-1]

    def then(self, op: Operator, gamma: Array | None = None) -> _Found:
        return replace(self, operators=(*self.operators, op), gamma=self.gamma if gamma is None else gamma)


def recover_rms_norm(graph: Graph) -> Graph:
    """Put RMSNormalization where its parts are."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op == "Sqrt" or (op.op == "Power" and op.attributes["exponent"] == -0.5):
            found = _root(edit, op)
            found = found and _inverse(edit, found)
            found = found and _normalised(edit, found)
            if found and _private(edit, found):
                _replace(edit, found)
    return edit.done()


def _root(edit: Editor, root: Operator) -> _Found | None:
    """sqrt(mean(x * x) + e), or its reciprocal as a power."""
    epsilon, inner = 0.0, root.inputs[0]
    operators: tuple[Operator, ...] = (root,)
    plus = edit.maker(inner, "Add")
    if plus is not None and (found := edit.operand(plus)) is not None and found[1].size == 1:
        inner, epsilon, operators = found[0], float(found[1].reshape(())), (plus, root)
    mean = edit.maker(inner, "Reduce")
    square = edit.maker(mean.inputs[0], "Mul") if mean else None
    if mean is None or square is None or square.inputs[0] != square.inputs[1] or epsilon < 0:
        return None
    axes, rank = mean_axes(edit, mean), len(edit.shape(square.inputs[0]))
    if not axes or axes != tuple(range(axes[0], rank)):
        return None
    return _Found(square.inputs[0], axes[0], epsilon, (square, mean, *operators))


def _inverse(edit: Editor, found: _Found) -> _Found | None:
    """Up to 1 / s, or the quotient x / s."""
    if found.last.op == "Power":
        return found
    root = found.last.outputs[0]
    reader = edit.reader(root, "Div", "Reciprocal")
    if reader is None:
        return None
    known = reader.op == "Reciprocal" or edit.scalar(reader.inputs[0]) == 1.0 or reader.inputs == (found.x, root)
    return found.then(reader) if known else None


def _normalised(edit: Editor, found: _Found) -> _Found | None:
    """Up to y."""
    if found.x in found.last.inputs:  # case 1, as a quotient
        return _scaled(edit, found)
    inverse = found.last.outputs[0]
    product = edit.reader(inverse, "Mul")
    if product is None:
        return None
    if set(product.inputs) == {found.x, inverse}:  # case 1
        return _scaled(edit, found.then(product))
    gamma = edit.operand(product)
    last = edit.reader(product.outputs[0], "Mul")
    if gamma is None or last is None or set(last.inputs) != {found.x, product.outputs[0]}:
        return None
    return found.then(product, gamma[1]).then(last)  # case 2


def _scaled(edit: Editor, found: _Found) -> _Found:
    """With the gamma that follows, if one does."""
    product = edit.reader(found.last.outputs[0], "Mul")
    gamma = edit.operand(product) if product else None
    if product is None or gamma is None or parameter(edit, found.x, found.axis, gamma[1]) is None:
        return found
    return found.then(product, gamma[1])


def _private(edit: Editor, found: _Found) -> bool:
    inside = [o for op in found.operators[:-1] for o in op.outputs]
    fits = found.gamma is None or parameter(edit, found.x, found.axis, found.gamma) is not None
    same = edit.shape(found.last.outputs[0]) == edit.shape(found.x)
    return fits and same and edit.free(*found.operators) and all(edit.private(o, *found.operators) for o in inside)


def _replace(edit: Editor, found: _Found) -> None:
    name = edit.common_name(found.operators, found.last.name)
    ones = np.ones(edit.shape(found.x)[found.axis :], np.float32)
    gamma = ones if found.gamma is None else parameter(edit, found.x, found.axis, found.gamma)
    assert gamma is not None
    inputs = (found.x, edit.add_constant(f"{name}:gamma", gamma))
    attributes = {"axis": found.axis, "epsilon": found.epsilon}
    op = Operator(name, "RMSNormalization", inputs, found.last.outputs, attributes)
    detail = ", ".join(o.name for o in found.operators)
    edit.replace(found.last, edit.canonical(op), "RMS normalisation recovered", detail, found.operators)
