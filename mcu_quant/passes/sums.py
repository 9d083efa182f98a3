"""Sums that gates of recurrent cells are made of: z = W x + R h + b, however its parts are written.

A sum is followed from its value backwards: through Gemm with constant weights, Add, Sub, products with constants, and
operators that only move elements, as long as every row of a batch stays a row. A Gemm of a Concat is two products.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mcu_quant import ops, trace
from mcu_quant.ir import Array, Operator
from mcu_quant.passes.affine import has_activation
from mcu_quant.passes.edit import Editor, broadcast_vector

#: Layout operators with one input of data.
_TAKES_PARTS = ("Reshape", "Transpose", "Slice", "Split", "Gather")


@dataclass(frozen=True, eq=False)
class Sum:
    """bias + sum of matrix @ source + sum of values, per row of a batch. `operators` are those that compute it.

    Matrices are [width, width of the source], the bias [width]; `values` are edges of that width.
    """

    bias: Array
    products: Mapping[str, Array] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    operators: tuple[Operator, ...] = ()

    def matrix(self, source: str, width: int) -> Array:
        """What this source is multiplied with; zeros where it does not take part."""
        return self.products.get(source, np.zeros((self.bias.size, width), np.float32))

    def negative(self) -> Sum:
        """The negative of a sum of products."""
        assert not self.values
        return replace(self, bias=-self.bias, products={s: -m for s, m in self.products.items()})

    def _with(self, *operators: Operator) -> Sum:
        return replace(self, operators=tuple({op.name: op for op in (*self.operators, *operators)}.values()))

    def _plus(self, other: Sum) -> Sum:
        products = dict(self.products)
        for source, matrix in other.products.items():
            products[source] = products[source] + matrix if source in products else matrix
        values = (*self.values, *other.values)
        return Sum(self.bias + other.bias, products, values, self.operators)._with(*other.operators)

    def _columns(self, columns: Array) -> Sum | None:
        if self.values and not _everything(columns, self.bias.size):
            return None
        return replace(self, bias=self.bias[columns], products={s: m[columns] for s, m in self.products.items()})

    def _scaled(self, by: Array) -> Sum | None:
        if self.values:
            return None
        return replace(self, bias=self.bias * by, products={s: m * by[:, None] for s, m in self.products.items()})


@dataclass(frozen=True, eq=False)
class Part:
    """Columns of an edge: what is left of a chain of layout operators that keeps the rows of a batch."""

    edge: str
    columns: Array
    operators: tuple[Operator, ...]


def sum_of(edit: Editor, edge: str) -> Sum | None:
    """What an edge is the sum of."""
    part = part_of(edit, edge)
    width = edit.shape(part.edge)[-1]
    found = _computed(edit, part.edge, width)
    if found is None:
        found = Sum(np.zeros(width, np.float32), values=(part.edge,))
    chosen = found._columns(part.columns)
    return None if chosen is None else chosen._with(*part.operators)


@dataclass(frozen=True, eq=False)
class Gate:
    """A sum inside the function of a gate: Sigmoid, or HardSigmoid with alpha and beta."""

    sum: Sum
    function: tuple[str, float, float]


def gate(edit: Editor, edge: str) -> Gate | None:
    """The gate that an edge is; Clip between 0 and 1 is HardSigmoid, too, with alpha = 1 and beta = 0."""
    op = edit.maker(part_of(edit, edge).edge, "Sigmoid", "HardSigmoid", "Clip")
    inside = activated(edit, edge, op.op) if op else None
    if op is None or inside is None:
        return None
    if op.op == "Clip":
        unit = (op.attributes["min"], op.attributes["max"]) == (0.0, 1.0)
        return Gate(inside, ("HardSigmoid", 1.0, 0.0)) if unit else None
    numbers = [float(op.attributes[k]) if op.op == "HardSigmoid" else 0.0 for k in ("alpha", "beta")]
    return Gate(inside, (op.op, numbers[0], numbers[1]))


def activations(functions: Iterable[tuple[str, float, float]], tanhs: int) -> dict[str, object] | None:
    """Attributes of a layer whose gates have these functions, which must be one; `tanhs` functions follow."""
    different = set(functions)
    if len(different) != 1:
        return None
    [(name, alpha, beta)] = different
    if name == "Sigmoid":
        return {}
    return {"activations": [name, *["Tanh"] * tanhs], "activation_alpha": [alpha], "activation_beta": [beta]}


def activated(edit: Editor, edge: str, kind: str) -> Sum | None:
    """The sum whose function (Sigmoid, Tanh) an edge is; the function may have been taken before the parts were."""
    part = part_of(edit, edge)
    op = edit.maker(part.edge, kind)
    inner = sum_of(edit, op.inputs[0]) if op else None
    chosen = inner._columns(part.columns) if inner else None
    return chosen._with(*part.operators, op) if chosen and op else None


def origin(edit: Editor, edge: str) -> str:
    """The edge that this one is a view of."""
    part = part_of(edit, edge)
    shape = edit.shape(part.edge)
    return part.edge if shape and _everything(part.columns, shape[-1]) else edge


def part_of(edit: Editor, edge: str) -> Part:
    """The farthest edge that holds an edge's columns, row by row."""
    shape = edit.shape(edge)
    width = shape[-1] if shape else 1
    index: Array = np.arange(edit.graph.types[edge].size)
    farthest = Part(edge, np.arange(width), ())
    above, operators = edge, []
    while (op := edit.maker(above)) is not None and trace.is_layout(op, edit.graph) and op.op in _TAKES_PARTS:
        source = op.inputs[0]
        if source in edit.graph.constants:
            break
        numbers = np.arange(edit.graph.types[source].size).reshape(edit.shape(source))
        moved = ops.spec(op).reference(op, [numbers, *(edit.graph.constants[i] for i in op.inputs[1:])])
        index = np.ravel(moved[op.outputs.index(above)])[index]
        operators.append(op)
        above = source
        columns = _columns(index.reshape(-1, width), edit.shape(above))
        if columns is not None:
            farthest = Part(above, columns, tuple(operators))
    return farthest


def _columns(index: Array, shape: tuple[int, ...]) -> Array | None:
    """The columns that every row of `index` takes of its own row, if it is so."""
    if not shape or int(np.prod(shape)) != len(index) * shape[-1]:
        return None
    rows, columns = np.divmod(index, shape[-1])
    fits = (rows == np.arange(len(index))[:, None]).all() and (columns == columns[0]).all()
    return columns[0] if fits else None


def _everything(columns: Array, width: int) -> bool:
    return bool(np.array_equal(columns, np.arange(width)))


def _computed(edit: Editor, edge: str, width: int) -> Sum | None:
    """The sum that an edge is by its own operator."""
    op = edit.maker(edge, "Gemm", "Add", "Sub", "Mul", "Neg")
    if op is None:
        return None
    if op.op == "Gemm":
        return _product(edit, op)
    if op.op == "Mul":
        return _scaled(edit, op, width)
    if op.op == "Neg":
        inner = sum_of(edit, op.inputs[0])
        return inner.negative()._with(op) if inner and not inner.values else None
    first, second = (_operand(edit, i, edge, width) for i in op.inputs)
    if first is None or second is None or (op.op == "Sub" and second.values):
        return None
    return first._plus(second if op.op == "Add" else second.negative())._with(op)


def _scaled(edit: Editor, op: Operator, width: int) -> Sum | None:
    found = edit.operand(op)
    factor = None if found is None else broadcast_vector(found[1], (width,), 0)
    if found is None or factor is None:
        return None
    inner = _like(edit, found[0], op.outputs[0])
    scaled = inner._scaled(factor) if inner else None
    return scaled._with(op) if scaled else None


def _operand(edit: Editor, name: str, edge: str, width: int) -> Sum | None:
    constant = edit.constant(name)
    if constant is None:
        return _like(edit, name, edge)
    vector = broadcast_vector(constant, (width,), 0)
    return None if vector is None else Sum(vector)


def _like(edit: Editor, name: str, edge: str) -> Sum | None:
    """The sum that an operand is, if it is not broadcast."""
    same = edit.graph.types[name].size == edit.graph.types[edge].size and edit.shape(name)[-1:] == edit.shape(edge)[-1:]
    return sum_of(edit, name) if same else None


def _product(edit: Editor, op: Operator) -> Sum | None:
    weights, bias = edit.constant(op.inputs[1]), edit.constant(op.input(2))
    if weights is None or has_activation(op) or (op.input(2) and bias is None):
        return None
    made = Sum(np.zeros(len(weights), np.float32) if bias is None else np.ravel(bias), operators=(op,))
    if made.bias.size != len(weights):
        return None
    for source, matrix, operators in _sources(edit, op.inputs[0], weights):
        made = made._plus(Sum(np.zeros_like(made.bias), {source: matrix}, operators=operators))
    return made


def _sources(edit: Editor, edge: str, matrix: Array) -> Iterator[tuple[str, Array, tuple[Operator, ...]]]:
    """What a matrix is multiplied with: the edge, or the parts of a Concat with their columns."""
    part = part_of(edit, edge)
    views: tuple[Operator, ...] = ()
    if _everything(part.columns, edit.shape(part.edge)[-1]):
        edge, views = part.edge, part.operators
    joined = edit.maker(edge, "Concat")
    if joined is None or joined.attributes["axis"] != len(edit.shape(edge)) - 1:
        # views stay where they are: the new operator reads what they make
        yield edge, matrix, ()
        return
    start = 0
    for name in joined.inputs:
        end = start + edit.shape(name)[-1]
        for source, columns, operators in _sources(edit, name, matrix[:, start:end]):
            yield source, columns, (*views, joined, *operators)
        start = end
