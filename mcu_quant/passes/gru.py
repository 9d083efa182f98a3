"""A GRU cell spelled out in elementary operators is recognised.

Before: u = sigmoid(..), r = sigmoid(..), and one of
  1. n = tanh(Wn x + Rn (r * h) + b)               (linear_before_reset 0: TensorFlow, Keras 1)
  2. n = tanh(Wn x + b + r * (Rn h + e))           (linear_before_reset 1: PyTorch, Keras 2)
        h' = u * h + (1 - u) * n   or   h' = (1 - u) * h + u * n, in whatever way it is written.
After:  one GRU over one time step with initial_h = h; h' is its final state. In the second form of h' the update gate
        is the other one, 1 - u = sigmoid(-..), and its weights change their sign.

The gates may be HardSigmoid, or limited to 0 and 1, instead; 1 - u is then another sum with the same limits.

The gates are told apart by what is done with them, never by names or by their order; how h' is made is recognised by
its values. Sums may be taken apart in any way (`sums.py`).

Refused: other activations, a part of the cell that is used elsewhere, too, weights that are not constant, states that
are broadcast over a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.passes.cells import Cell, one_batch, replace_cell, separate, stacked
from mcu_quant.passes.edit import Editor
from mcu_quant.passes.sums import Gate, Sum, activated, activations, gate, origin, sum_of

#: Operators that h' may be written with, and how many of them at most.
_BLEND = ("Add", "Sub", "Mul", "Neg")
_LARGEST = 6


@dataclass(frozen=True, eq=False)
class _Blend:
    """h' = gate * h + (1 - gate) * new, or with the gate `turned`: edges, and the operators that compute it."""

    gate: str
    h: str
    new: str
    turned: bool
    operators: tuple[Operator, ...]


@dataclass(frozen=True, eq=False)
class _New:
    """The sum inside n: from x, from h (or r * h), the reset gate."""

    from_x: Sum
    reset: Gate
    matrix: Array
    bias: Array
    linear: bool
    operators: tuple[Operator, ...]


def recover_gru(graph: Graph) -> Graph:
    """Put GRU where its parts are."""
    edit = Editor(graph)
    for root in graph.operators:
        if root.op not in ("Add", "Sub") or not edit.free(root):
            continue
        for blend in _blends(edit, root):
            cell = _cell(edit, blend)
            if cell is not None and one_batch(edit, cell) and separate(edit, cell):
                replace_cell(edit, cell)
                break
    return edit.done()


# --- h' ---------------------------------------------------------------------------------------------------------------


def _blends(edit: Editor, root: Operator) -> Iterator[_Blend]:
    """Ways in which the result of an operator is a blend of h and n."""
    group, leaves = _group(edit, root)
    if len(leaves) != 3:
        return
    for each, h, new in permutations(leaves):
        if gate(edit, each) is None or activated(edit, new, "Tanh") is None:
            continue
        for turned in (False, True):
            blend = _Blend(each, h, new, turned, tuple(group))
            if _computes(edit, blend):
                yield blend


def _group(edit: Editor, root: Operator) -> tuple[list[Operator], list[str]]:
    """Elementwise operators that only `root` uses, last first, and the edges they read."""
    group, leaves, waiting = [root], list[str](), list(root.inputs)
    while waiting:
        edge = waiting.pop(0)
        op = edit.maker(edge, *_BLEND)
        inside = op is not None and len(group) < _LARGEST and edit.shape(edge) == edit.shape(root.outputs[0])
        if op is not None and inside and edit.private(edge, *group):
            if op not in group:
                group.append(op)
                waiting += op.inputs
        elif edit.scalar(edge) is None and edge not in leaves:
            leaves.append(edge)
    return sorted(group, key=lambda op: -edit.position[op.name]), leaves


def _computes(edit: Editor, blend: _Blend) -> bool:
    """Do the operators compute this blend, by their values?"""
    rng = np.random.default_rng(0)
    u, a, b = (rng.uniform(-1, 1, 16).astype(np.float32) for _ in range(3))
    values: dict[str, Array] = {blend.gate: u, blend.h: a, blend.new: b}
    for op in reversed(blend.operators):
        given = [values[i] if i in values else edit.graph.constants[i].reshape(()) for i in op.inputs]
        values[op.outputs[0]] = ops.spec(op).reference(op, given)[0]
    expected = (1 - u) * a + u * b if blend.turned else u * a + (1 - u) * b
    return bool(np.allclose(values[blend.operators[0].outputs[0]], expected, atol=1e-5))


# --- n --------------------------------------------------------------------------------------------------------------


def _cell(edit: Editor, blend: _Blend) -> Cell | None:
    h = origin(edit, blend.h)
    new, update_gate = _new(edit, blend.new, h), gate(edit, blend.gate)
    if new is None or update_gate is None or update_gate.sum.values:
        return None
    attributes = activations((update_gate.function, new.reset.function), tanhs=1)
    update, reset = update_gate.sum, new.reset.sum
    sources = {s for part in (update, reset, new.from_x) for s in part.products} - {h}
    if len(sources) != 1 or reset.values or attributes is None:
        return None
    if blend.turned:
        update = _turned(update_gate)
    [x] = sources
    inputs = edit.shape(x)[-1]
    units = edit.shape(blend.h)[-1]
    sums = (update, reset, new.from_x)
    if any(s.bias.size != units for s in sums) or new.matrix.shape != (units, units) or h in new.from_x.products:
        return None
    recurrent = [update.matrix(h, units), reset.matrix(h, units), new.matrix]
    operators = {op.name: op for op in (*blend.operators, *update_gate.sum.operators, *new.operators)}
    zeros = np.zeros(2 * units, np.float32)
    return Cell(
        "GRU",
        x,
        ((blend.h, blend.operators[0].outputs[0]),),
        stacked([s.matrix(x, inputs) for s in sums]),
        stacked(recurrent),
        stacked([*(s.bias for s in sums), zeros, new.bias]),
        tuple(operators.values()),
        {**attributes, "linear_before_reset": int(new.linear)},
    )


def _turned(gate: Gate) -> Sum:
    """The sum z' of the gate that is one minus this: -z, and where a z + b is limited, a z' + b = 1 - (a z + b)."""
    name, alpha, beta = gate.function
    turned = gate.sum.negative()
    return replace(turned, bias=turned.bias + (1 - 2 * beta) / alpha) if name == "HardSigmoid" else turned


def _new(edit: Editor, edge: str, h: str) -> _New | None:
    whole = activated(edit, edge, "Tanh")
    if whole is None:
        return None
    if len(whole.values) == 1:  # case 2
        product = edit.maker(whole.values[0], "Mul")
        for reset, inner in _gated(edit, product):
            of_h = sum_of(edit, inner)
            if product and of_h and not of_h.values and list(of_h.products) == [h]:
                rest = Sum(whole.bias, whole.products)
                operators = (*whole.operators, product, *reset.sum.operators, *of_h.operators)
                return _New(rest, reset, of_h.products[h], of_h.bias, True, operators)
    elif not whole.values:  # case 1
        for source, matrix in whole.products.items():
            product = edit.maker(source, "Mul")
            for reset, inner in _gated(edit, product):
                if product and origin(edit, inner) == h:
                    rest = Sum(whole.bias, {s: m for s, m in whole.products.items() if s != source})
                    operators = (*whole.operators, product, *reset.sum.operators)
                    return _New(rest, reset, matrix, np.zeros(len(matrix), np.float32), False, operators)
    return None


def _gated(edit: Editor, product: Operator | None) -> Iterator[tuple[Gate, str]]:
    """A product as (reset gate, the other factor)."""
    if product is not None:
        for factor, inner in (product.inputs, product.inputs[::-1]):
            if (reset := gate(edit, factor)) is not None:
                yield reset, inner
