"""Layer normalisation is recognised in its parts.

Before: m = mean(x); d = x - m; v = mean(d * d); s = sqrt(v + e); then one of
  1. y = d / s * gamma + beta                                    (Div, or Mul by a Reciprocal or by (v + e) ^ -0.5)
  2. y = d * (gamma / s) + beta                                  (gamma applied to the reciprocal first)
  3. y = gamma * d / s + beta                                    (gamma applied to the difference first)
  4. y = x * (gamma / s) + (beta - m * (gamma / s))              (as TensorFlow writes it)
where gamma and beta are constants or missing.
After:  y = LayerNormalization(x, gamma, beta), axis and epsilon as found; GroupNormalization with one group where all
        axes but the first are normalised together, and gamma and beta are one number per channel.

Means are Reduce or GlobalAveragePool, over the last axes. Refused: other axes, or gamma or beta that vary along other
axes than those, or a value inside that is used elsewhere, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.passes.edit import Editor


@dataclass(frozen=True)
class _Core:
    """x, its mean m, d = x - m, and s = sqrt(var + epsilon), with the operators that make them."""

    x: str
    mean: str
    difference: str
    root: str
    axis: int
    epsilon: float
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class _Match:
    """The whole: last operator, and the operators inside."""

    last: Operator
    gamma: Array | None
    beta: Array | None
    operators: tuple[Operator, ...]


def recover_layer_norm(graph: Graph) -> Graph:
    """Put LayerNormalization where its parts are."""
    edit = Editor(graph)
    for op in graph.operators:
        inverse = op.op == "Power" and op.attributes["exponent"] == -0.5
        if not (inverse or op.op == "Sqrt") or (core := _core(edit, op)) is None:
            continue
        match = _by_inverse(edit, core, core.root, core.operators) if inverse else _normalised(edit, core)
        if match is not None and edit.free(*match.operators):
            _replace(edit, core, match)
    return edit.done()


def _core(edit: Editor, root: Operator) -> _Core | None:
    epsilon, inner, operators = 0.0, root.inputs[0], [root]
    plus = edit.maker(inner, "Add")
    if plus is not None and (found := edit.operand(plus)) is not None and found[1].size == 1:
        inner, epsilon = found[0], float(found[1].reshape(()))
        operators.append(plus)
    variance = edit.maker(inner, "Reduce", "GlobalAveragePool")
    square = edit.maker(variance.inputs[0], "Mul") if variance else None
    if variance is None or square is None or square.inputs[0] != square.inputs[1]:
        return None
    minus = edit.maker(square.inputs[0], "Sub")
    mean = edit.maker(minus.inputs[1], "Reduce", "GlobalAveragePool") if minus else None
    if minus is None or mean is None or mean.inputs[0] != minus.inputs[0]:
        return None
    axes = mean_axes(edit, mean)
    rank = len(edit.shape(mean.inputs[0]))
    if not axes or axes != mean_axes(edit, variance) or axes != tuple(range(axes[0], rank)):
        return None
    operators += [variance, square, minus, mean]
    return _Core(mean.inputs[0], mean.outputs[0], minus.outputs[0], root.outputs[0], axes[0], epsilon, tuple(operators))


def mean_axes(edit: Editor, op: Operator) -> tuple[int, ...] | None:
    """Axes of a mean that keeps its axes."""
    if op.op == "GlobalAveragePool":
        return tuple(range(2, len(edit.shape(op.inputs[0]))))
    if op.attributes["kind"] != "mean" or len(edit.shape(op.outputs[0])) != len(edit.shape(op.inputs[0])):
        return None
    return tuple(sorted(op.attributes["axes"]))


def _normalised(edit: Editor, core: _Core) -> _Match | None:
    reader = edit.reader(core.root, "Div", "Reciprocal")
    if reader is None:
        return None
    operators = (*core.operators, reader)
    if reader.inputs == (core.difference, core.root):
        return _scaled(edit, core, reader, operators, None)  # case 1
    if reader.op == "Div" and (product := edit.maker(reader.inputs[0], "Mul")) and core.difference in product.inputs:
        gamma = edit.operand(product)
        return _scaled(edit, core, reader, (*operators, product), gamma[1]) if gamma else None  # case 3
    inverse = reader.op == "Reciprocal" or edit.scalar(reader.inputs[0]) == 1.0
    return _by_inverse(edit, core, reader.outputs[0], operators) if inverse else None


def _by_inverse(edit: Editor, core: _Core, inverse: str, operators: tuple[Operator, ...]) -> _Match | None:
    product = edit.reader(inverse, "Mul")
    if product is None:
        return _tensorflow(edit, core, inverse, operators, None)  # case 4 without gamma
    operators = (*operators, product)
    if set(product.inputs) == {core.difference, inverse}:
        return _scaled(edit, core, product, operators, None)  # case 1
    found = edit.operand(product)
    if found is None:
        return None
    last = edit.reader(product.outputs[0], "Mul")
    if last is not None and set(last.inputs) == {core.difference, product.outputs[0]}:
        return _scaled(edit, core, last, (*operators, last), found[1])  # case 2
    return _tensorflow(edit, core, product.outputs[0], operators, found[1])  # case 4


def _scaled(
    edit: Editor, core: _Core, last: Operator, operators: tuple[Operator, ...], gamma: Array | None
) -> _Match | None:
    """The normalised value, and Mul by gamma and Add of beta where they follow."""
    beta = None
    if gamma is None:
        last, gamma, operators = _next(edit, core, "Mul", last, operators)
    last, beta, operators = _next(edit, core, "Add", last, operators)
    return _checked(edit, core, _Match(last, gamma, beta, operators))


def _next(
    edit: Editor, core: _Core, kind: str, last: Operator, operators: tuple[Operator, ...]
) -> tuple[Operator, Array | None, tuple[Operator, ...]]:
    op = edit.reader(last.outputs[0], kind)
    found = edit.operand(op) if op else None
    if op is None or found is None or parameter(edit, core.x, core.axis, found[1]) is None:
        return last, None, operators
    return op, found[1], (*operators, op)


def _tensorflow(
    edit: Editor, core: _Core, factor: str, operators: tuple[Operator, ...], gamma: Array | None
) -> _Match | None:
    """Case 4: x * factor + (beta - mean * factor)."""
    readers = edit.readers(factor)
    of_x = next((r for r in readers if r.op == "Mul" and set(r.inputs) == {core.x, factor}), None)
    of_mean = next((r for r in readers if r.op == "Mul" and set(r.inputs) == {core.mean, factor}), None)
    if of_x is None or of_mean is None or len(readers) != 2:
        return None
    offset = edit.reader(of_mean.outputs[0], "Sub")
    last = edit.reader(of_x.outputs[0], "Add", "Sub")
    if offset is not None and offset.inputs[1] == of_mean.outputs[0] and last is not None and last.op == "Add":
        beta = edit.constant(offset.inputs[0])
        if beta is None or set(last.inputs) != {of_x.outputs[0], offset.outputs[0]}:
            return None
        return _checked(edit, core, _Match(last, gamma, beta, (*operators, of_x, of_mean, offset, last)))
    if last is not None and last.op == "Sub" and last.inputs == (of_x.outputs[0], of_mean.outputs[0]):
        return _checked(edit, core, _Match(last, gamma, None, (*operators, of_x, of_mean, last)))
    return None


def parameter(edit: Editor, x: str, axis: int, value: Array) -> Array | None:
    """gamma or beta in the shape of the normalised axes of x, if it varies along those only."""
    normalised = edit.shape(x)[axis:]
    more = max(0, value.ndim - len(normalised))
    if value.ndim > len(edit.shape(x)) or any(d != 1 for d in value.shape[:more]):
        return None
    return np.broadcast_to(value.reshape(value.shape[more:]), normalised).astype(np.float32)


def _checked(edit: Editor, core: _Core, match: _Match) -> _Match | None:
    inside = [o for op in match.operators if op is not match.last for o in op.outputs if o]
    private = all(edit.private(edge, *match.operators) for edge in inside)
    fits = all(v is None or parameter(edit, core.x, core.axis, v) is not None for v in (match.gamma, match.beta))
    return match if private and fits and edit.shape(match.last.outputs[0]) == edit.shape(core.x) else None


def _replace(edit: Editor, core: _Core, match: _Match) -> None:
    name = edit.common_name(match.operators, match.last.name)
    ones, zeros = np.ones((), np.float32), np.zeros((), np.float32)
    given = [ones if match.gamma is None else match.gamma, zeros if match.beta is None else match.beta]
    values = [parameter(edit, core.x, core.axis, v) for v in given]
    per_channel = core.axis == 1 and len(edit.shape(core.x)) > 2 and all(_by_first(v) for v in values)
    kind, attributes = "LayerNormalization", {"axis": core.axis, "epsilon": core.epsilon}
    if per_channel:
        kind, attributes = "GroupNormalization", {"num_groups": 1, "epsilon": core.epsilon}
        values = [None if v is None else v.reshape(len(v), -1)[:, 0] for v in values]
    elif match.beta is None:
        values.pop()
    inputs = [core.x]
    for hint, value in zip(("gamma", "beta"), values, strict=False):
        assert value is not None
        inputs.append(edit.add_constant(f"{name}:{hint}", np.ascontiguousarray(value)))
    op = Operator(name, kind, tuple(inputs), match.last.outputs, attributes)
    detail = ", ".join(o.name for o in match.operators)
    edit.replace(match.last, edit.canonical(op), "layer normalisation recovered", detail, match.operators)


def _by_first(value: Array | None) -> bool:
    """Is a parameter the same along all axes but the first?"""
    rows = None if value is None else value.reshape(len(value), -1)
    return rows is not None and bool((rows == rows[:, :1]).all())
