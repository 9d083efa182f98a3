"""Where values go when they are only moved: element indices pushed through layout operators, in both directions.

A layout operator (Reshape, Transpose, Slice, Split, Concat, Gather and ScatterND with constant indices) copies elements
and computes nothing. Running its reference on element numbers instead of values tells which element ends up where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Graph, Operator

#: Operators that only move elements, and which of their inputs are data; the others must be constants.
LAYOUT: Mapping[str, tuple[int, ...] | None] = {
    "Reshape": (0,),
    "Transpose": (0,),
    "Slice": (0,),
    "Split": (0,),
    "Concat": None,
    "Gather": (0,),
    "ScatterND": (0, 2),
}


def is_layout(op: Operator, graph: Graph) -> bool:
    """Does this operator only move elements?"""
    if op.op not in LAYOUT:
        return False
    data = data_inputs(op)
    return all(name in data or name in graph.constants for name in op.inputs if name)


def data_inputs(op: Operator) -> tuple[str, ...]:
    """The inputs of a layout operator whose elements it moves."""
    slots = LAYOUT[op.op]
    return op.inputs if slots is None else tuple(op.input(i) for i in slots)


def _move(op: Operator, graph: Graph, numbers: Mapping[str, Array]) -> tuple[Array, ...]:
    """Run a layout operator on element numbers."""
    data = data_inputs(op)
    values = [numbers[i] if i in data else graph.constants[i] for i in op.inputs]
    return ops.spec(op).reference(op, values)


def forward(graph: Graph, edge: str) -> dict[str, Array]:
    """Edges that elements of `edge` are moved to, each with the flat positions of its elements in `edge`.

    -1 marks an element that comes from elsewhere.
    """
    found = {edge: np.arange(graph.types[edge].size).reshape(graph.shape(edge))}
    for op in graph.operators:
        if not is_layout(op, graph) or found.keys().isdisjoint(data_inputs(op)):
            continue
        numbers = {i: found[i] if i in found else np.full(graph.shape(i), -1) for i in data_inputs(op) if i}
        for name, index in zip(op.outputs, _move(op, graph, numbers), strict=False):
            if name and (index >= 0).any():
                found[name] = index
    return found


def backward(graph: Graph, edge: str) -> dict[str, Array]:
    """Edges whose elements `edge` is made of, each with the flat position in `edge` where its elements end up.

    -1 marks an element that does not arrive, or arrives more than once.
    """
    found = {edge: np.arange(graph.types[edge].size).reshape(graph.shape(edge))}
    for op in reversed(graph.operators):
        outputs = [o for o in op.outputs if o in found]
        if not outputs or not is_layout(op, graph):
            continue
        data = [i for i in dict.fromkeys(data_inputs(op)) if i not in graph.constants]
        sizes = [graph.types[i].size for i in data]
        starts = np.cumsum([0, *sizes])
        numbers = {
            i: np.arange(start, start + size).reshape(graph.shape(i))
            for i, start, size in zip(data, starts, sizes, strict=False)
        }
        numbers |= {i: np.full(graph.shape(i), -1) for i in op.inputs if i in graph.constants}
        moved = dict(zip(op.outputs, _move(op, graph, numbers), strict=False))
        source = np.concatenate([np.ravel(moved[o]) for o in outputs])
        target = np.concatenate([np.ravel(found[o]) for o in outputs])
        arrived = (source >= 0) & (target >= 0)
        goes = np.full(starts[-1], -1)
        goes[source[arrived]] = target[arrived]
        goes[np.bincount(source[arrived], minlength=starts[-1]) > 1] = -1
        for name, start, size in zip(data, starts, sizes, strict=False):
            index = goes[start : start + size].reshape(graph.shape(name))
            found[name] = _merge(found[name], index) if name in found else index
    return found


def _merge(a: Array, b: Array) -> Array:
    """Two ways for the same elements to arrive: each element may take only one of them."""
    return np.where((a >= 0) & (b >= 0), -1, np.maximum(a, b))


def pure(moved: Mapping[str, Array]) -> dict[str, Array]:
    """Of the edges that `forward` found, those without elements from elsewhere."""
    return {edge: index for edge, index in moved.items() if (index >= 0).all()}


def uses(graph: Graph, moved: Mapping[str, Array], own: str = "") -> list[tuple[str, Operator | None]]:
    """Where elements are computed with rather than moved on, as (edge, operator); `moved` is what `forward` found.

    The edge holds nothing else. Where elements are joined with others, the operator that joins them is their use, but
    only if the joined edge is computed with. None stands for an output of the graph, or of a state other than `own`.
    """
    consumers = graph.consumers()
    whole = pure(moved)
    computed: dict[str, bool] = {}

    def joins(op: Operator) -> bool:
        """Does a layout operator join elements with others, for a computation?"""
        return any(o in moved and o not in whole and is_computed(o) for o in op.outputs)

    def is_computed(edge: str) -> bool:
        if edge not in computed:
            readers = consumers.get(edge, ())
            moves = all(is_layout(op, graph) and not joins(op) for op in readers)
            computed[edge] = not moves or (edge in graph.results and edge != own)
        return computed[edge]

    found: list[tuple[str, Operator | None]] = []
    for edge in whole:
        found += [(edge, op) for op in consumers.get(edge, ()) if not is_layout(op, graph) or joins(op)]
        if edge in graph.results and edge != own:
            found.append((edge, None))
    return found


def same_order(a: Array, b: Array) -> bool:
    """Do two index arrays list the same elements in the same C order, whatever their shapes?"""
    return a.size == b.size and bool(np.array_equal(np.ravel(a), np.ravel(b)))


def permutation(source: Array, target: Array) -> Sequence[int] | None:
    """The transposition that brings `source` (an index array) into the C order of `target`, if there is one."""
    for perm in permutations(range(source.ndim)):
        if same_order(np.transpose(source, perm), target):
            return perm
    return None
