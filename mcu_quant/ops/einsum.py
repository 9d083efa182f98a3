"""Einsum: sums of products over named axes, in Einstein's notation.

It becomes Transpose, Reshape and Reduce, and for each operand after the first a MatMul (Gemm where one operand is a
constant that meets all of the other, Mul where nothing is summed), so it has no kernels of its own. Of many operands
those come together first whose product is smallest. Attribute: equation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.ops import Canonical, NodeContext, OpSpec, Sample, given, register, weight

#: Names of the axes that an ellipsis stands for; the last is the same in every operand.
_ELLIPSIS = "0123456789"


def axes_of(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """One letter for each axis of each operand, and of the result; without "->" the letters found once, in order."""
    left, _, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    hidden = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    longest = max((n for n, term in zip(hidden, terms, strict=True) if "..." in term), default=0)
    if "->" not in equation:
        once = Counter(left.replace("...", "").replace(",", ""))
        right = "..." * ("..." in left) + "".join(sorted(c for c, n in once.items() if n == 1))
    named = [t.replace("...", _ELLIPSIS[longest - n : longest]) for t, n in zip(terms, hidden, strict=True)]
    return named, right.replace("...", _ELLIPSIS[:longest])


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Type of the result."""
    known = [t for t in types if t]
    terms, result = axes_of(op.attributes["equation"], [len(t.shape) for t in known])
    sizes = _sizes(terms, [t.shape for t in known])
    return (TensorType(tuple(sizes[c] for c in result), known[0].dtype),)


def _sizes(terms: Sequence[str], shapes: Sequence[Shape]) -> dict[str, int]:
    """Size of each axis; those of an ellipsis may be 1 in one operand."""
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for axis, size in zip(term, shape, strict=True):
            sizes[axis] = max(size, sizes.get(axis, 1))
    return sizes


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The equation in floats."""
    return (np.asarray(np.einsum(op.attributes["equation"], *inputs)),)


# --- what it becomes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Term:
    """A tensor with one letter per axis; `value` if it is a constant."""

    edge: str
    axes: str
    shape: Shape
    value: Array | None = None

    def sizes(self, axes: str) -> Shape:
        """Sizes of some of its axes."""
        return tuple(self.shape[self.axes.index(a)] for a in axes)


@dataclass
class _Writer:
    """Collects the operators and constants that an Einsum becomes."""

    name: str
    operators: list[Operator] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    types: dict[str, TensorType] = field(default_factory=dict)

    def step(self, operator: str, inputs: Sequence[str], result: tuple[str, Shape], **attributes: Any) -> Term:
        """One operator; `result` is axes and shape of what it gives."""
        edge, (axes, shape) = f"{self.name}:{len(self.operators)}", result
        self.operators.append(Operator(edge, operator, tuple(inputs), (edge,), attributes))
        self.types[edge] = TensorType(shape)
        return Term(edge, axes, shape)

    def constant(self, array: Array, axes: str) -> Term:
        edge = f"{self.name}:constant{len(self.constants)}"
        self.constants[edge] = np.ascontiguousarray(array, np.float32)
        self.types[edge] = TensorType(tuple(array.shape))
        return Term(edge, axes, tuple(array.shape), self.constants[edge])

    def arranged(self, term: Term, axes: str) -> Term:
        """The axes in another order."""
        if axes == term.axes:
            return term
        order = tuple(term.axes.index(a) for a in axes)
        if term.value is not None:
            return self.constant(term.value.transpose(order), axes)
        return self.step("Transpose", [term.edge], (axes, term.sizes(axes)), perm=order)

    def shaped(self, term: Term, axes: str, shape: Shape) -> Term:
        """The same elements under another shape."""
        if shape == term.shape:
            return replace(term, axes=axes)
        if term.value is not None:
            return self.constant(term.value.reshape(shape), axes)
        return self.step("Reshape", [term.edge], (axes, shape), shape=shape)

    def diagonal(self, term: Term) -> Term:
        """Where an axis is named twice, the elements at the same place of both; it becomes one axis at the end.

        They lie n + 1 apart in the flattened matrix.
        """
        twice = next((a for a in term.axes if term.axes.count(a) > 1), None)
        if twice is None:
            return term
        pair = [k for k, axis in enumerate(term.axes) if axis == twice][:2]
        rest = [k for k in range(len(term.axes)) if k not in pair]
        axes, n = "".join(term.axes[k] for k in rest) + twice, term.shape[pair[0]]
        if term.value is not None:
            return self.diagonal(self.constant(np.diagonal(term.value, 0, *pair), axes))
        leading = tuple(term.shape[k] for k in rest)
        square = self.step("Transpose", [term.edge], ("", (*leading, n, n)), perm=(*rest, *pair))
        flat = self.step("Reshape", [square.edge], ("", (*leading, n * n)), shape=(*leading, n * n))
        found = (axes, (*leading, n))
        places = {"starts": (0,), "ends": (n * n,), "axes": (len(leading),), "steps": (n + 1,)}
        return self.diagonal(self.step("Slice", [flat.edge], found, **places))

    def summed(self, term: Term, kept: str) -> Term:
        """The sum over all other axes, which are brought together at the end."""
        dropped = "".join(a for a in term.axes if a not in kept)
        if not dropped:
            return term
        kept = "".join(a for a in term.axes if a in kept)
        term = self.arranged(term, kept + dropped)
        last = tuple(range(len(kept), len(term.axes)))
        if term.value is not None:
            return self.constant(term.value.sum(last), kept)
        return self.step("Reduce", [term.edge], (kept, term.sizes(kept)), kind="sum", axes=last, keepdims=False)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Sum what only one operand has, multiply matrices, put the axes in order."""
    if unsupported(op, node.graph) is not None:
        return Canonical((op,))
    shapes = [node.shape(i) for i in op.inputs]
    axes, result = axes_of(op.attributes["equation"], [len(s) for s in shapes])
    terms = [Term(i, a, s, node.constant(i)) for i, a, s in zip(op.inputs, axes, shapes, strict=True)]
    writer = _Writer(op.name)
    terms = [writer.diagonal(t) for t in terms]
    terms = [writer.summed(t, result + "".join(other.axes for other in terms if other is not t)) for t in terms]
    while len(terms) > 1:
        a, b = _smallest_product(terms, result)
        rest = [t for t in terms if t is not a and t is not b]
        terms = [_product(writer, a, b, _wanted(result, rest)), *rest]
    term = writer.arranged(terms[0], result)
    if term.edge in op.inputs:
        writer.step("Reshape", [term.edge], (result, term.shape), shape=term.shape)
    last = writer.operators.pop()
    del writer.types[last.outputs[0]]
    operators = (*writer.operators, replace(last, name=op.name, outputs=op.outputs))
    return Canonical(operators, writer.constants, writer.types)


def _wanted(result: str, rest: Sequence[Term]) -> str:
    """The axes that are needed after a product: those of the result, and of the operands that are left."""
    return "".join(dict.fromkeys(result + "".join(t.axes for t in rest)))


def _smallest_product(terms: Sequence[Term], result: str) -> tuple[Term, Term]:
    """The two operands whose product has the fewest elements; the first of several."""

    def size(pair: tuple[Term, Term]) -> int:
        sizes = {axis: n for t in pair for axis, n in zip(t.axes, t.shape, strict=True)}
        wanted = _wanted(result, [t for t in terms if t not in pair])
        return prod(n for axis, n in sizes.items() if axis in wanted)

    return min(combinations(terms, 2), key=size)


def _product(writer: _Writer, a: Term, b: Term, result: str) -> Term:
    """The product of two terms as one of matrices: [batch..., M, K] by [batch..., K, N]."""
    if a.value is not None:
        a, b = b, a
    shared = [c for c in a.axes if c in b.axes]
    batch = "".join(c for c in result if c in shared)
    inner = "".join(c for c in shared if c not in result)
    rows, columns = ("".join(c for c in t.axes if c not in shared) for t in (a, b))
    m, n, k = prod(a.sizes(rows)), prod(b.sizes(columns)), prod(a.sizes(inner))
    left = writer.shaped(writer.arranged(a, batch + rows + inner), "", (*a.sizes(batch), m, k))
    right = writer.shaped(writer.arranged(b, batch + inner + columns), "", (*b.sizes(batch), k, n))
    leading = np.broadcast_shapes(a.sizes(batch), b.sizes(batch))
    if not inner:
        made = writer.step("Mul", [left.edge, right.edge], ("", (*leading, m, n)))
    elif right.value is not None and not batch:
        weights = writer.constant(right.value.T, "")
        made = writer.step("Gemm", [left.edge, weights.edge], ("", (m, n)))
    else:
        made = writer.step("MatMul", [left.edge, right.edge], ("", (*leading, m, n)))
    return writer.shaped(made, batch + rows + columns, (*leading, *a.sizes(rows), *b.sizes(columns)))


def unsupported(op: Operator, graph: Graph) -> str | None:
    """Einsum does not repeat values that it sums."""
    shapes = [graph.shape(i) for i in op.inputs]
    terms, result = axes_of(op.attributes["equation"], [len(s) for s in shapes])
    sizes = _sizes(terms, shapes)
    for term, shape in zip(terms, shapes, strict=True):
        if any(size != sizes[axis] and axis not in result for axis, size in zip(term, shape, strict=True)):
            return f"an axis of size 1 is repeated and summed in {op.attributes['equation']!r}"
    return None


def _sample(equation: str, *inputs: Any, opset: int = 18) -> Sample:
    return Sample("Einsum", inputs, {"equation": equation}, opset=opset, name=equation.replace(" ", ""))


EINSUM = register(
    OpSpec(
        name="Einsum",
        onnx=("Einsum",),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(unsupported,),
        family="dense",
        samples=(
            _sample("bhid,bhjd->bhij", given(1, 2, 5, 4), given(1, 2, 7, 4)),
            _sample("bhij,bhjd->bihd", given(2, 2, 5, 7), given(2, 2, 7, 3), opset=12),
            _sample("...ij,jk->...ik", given(2, 3, 4), weight(4, 5)),
            _sample("ihd,bti->bthd", weight(6, 2, 3), given(1, 4, 6)),
            _sample("bct, c -> bt", given(1, 3, 8), weight(3)),
            _sample("...ij,...j", given(1, 3, 4), given(2, 4)),
            _sample("i,j->ij", given(3), given(4)),
            _sample("bti,bti->t", given(2, 3, 4), given(2, 3, 4)),
            _sample("aib,bc->ca", given(2, 3, 4), given(4, 5)),
            _sample("bld,bln,bld->bldn", given(1, 3, 4), given(1, 3, 5), given(1, 3, 4)),
            _sample("bi,ij,jk,kb->b", given(2, 3), weight(3, 4), given(4, 5), given(5, 2)),
            _sample("ijk->ki", given(2, 3, 4)),
            _sample("ij->ij", given(2, 3)),
            _sample("...ii->...i", given(2, 3, 3)),
            _sample("ibi,ij->bj", given(4, 2, 4), weight(4, 3)),
            _sample("ii", given(5, 5)),
        ),
    )
)
