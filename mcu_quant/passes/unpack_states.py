"""A state that packs several things in one tensor is split into them; a view of one is put in its place.

Before: s[1,2,128,2] -> Slice, Squeeze -> h1, c1, h2, c2 -> two LSTMs -> h1', c1', h2', c2' -> Concat -> s'[1,2,128,2]
After:  four pieces h1 <- h1', c1 <- c1', h2 <- h2', c2 <- c2'; the slices and concatenations are gone. `index` of each
        piece remembers where its elements lie in the packed tensor.

Elements are followed by number through operators that only move them (`mcu_quant.trace`). Cases, cited in the code:
1. Every use of the state reads a set of elements that no other use shares in part. Each set is a piece; its edge is the
   one a recurrent operator reads as initial state, else the first that is used.
2. Other uses of the same elements, in another shape or order, read a Reshape or Transpose of that edge.
3. On the other side, a piece's edge is the first that holds exactly its elements: the one nearest to where they are
   computed. If it holds them in another order, a Transpose brings them into the piece's.
4. One piece that is the whole state, under another shape, replaces it as well: the operator that updates it finds it in
   its own format, and not in that of whoever reads the view.

The state stays in one piece, as it is, where uses overlap, where elements are read that nothing reads in a set of their
own, where a use is an output of the graph, or where no edge on the other side holds just the elements of a piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mcu_quant import trace
from mcu_quant.ir import Array, Graph, Operator, Rewrite, State, StatePiece, TensorType, rebuild
from mcu_quant.passes.edit import ordered, reshape
from mcu_quant.passes.recurrent import RECURRENT


@dataclass(frozen=True, eq=False)
class _Use:
    """An edge where elements of the state are used, with their flat positions in it."""

    edge: str
    index: Array
    initial: bool


@dataclass(frozen=True, eq=False)
class _Split:
    """What replaces the state: its pieces, operators to add, and the types of edges they make."""

    pieces: tuple[StatePiece, ...]
    operators: tuple[Operator, ...]
    types: Mapping[str, TensorType]


def unpack_states(graph: Graph) -> Graph:
    """Split one packed state; the next round finds the next."""
    return _replaced(graph, views=False)


def place_states(graph: Graph) -> Graph:
    """Put a view of one state in its place (case 4); the next round finds the next."""
    return _replaced(graph, views=True)


def _replaced(graph: Graph, views: bool) -> Graph:
    for state in graph.states:
        if len(state.pieces) == 1 and state.pieces[0].input == state.input:
            split = _split(graph, state)
            if split is not None and _is_view(split, state) == views:
                return _apply(graph, state, split)
    return graph


def _is_view(split: _Split, state: State) -> bool:
    """Is there one piece, which is the whole state?"""
    return len(split.pieces) == 1 and trace.same_order(split.pieces[0].index, np.arange(state.type.size))


def _apply(graph: Graph, state: State, split: _Split) -> Graph:
    moved = trace.pure(trace.forward(graph, state.input))
    kept = [op for op in graph.operators if not any(o in moved for o in op.outputs)]
    states = tuple(replace(s, pieces=split.pieces) if s is state else s for s in graph.states)
    pieces = ", ".join(f"{p.input} <- {p.output}" for p in split.pieces)
    known = replace(graph, states=states)
    operators = ordered(known, [*split.operators, *kept], {})
    return rebuild(known, operators, types=split.types, rewrites=[Rewrite("state unpacked", state.input, pieces)])


def _split(graph: Graph, state: State) -> _Split | None:
    groups = _groups(graph, state)
    if groups is None:
        return None
    arrives = trace.backward(graph, state.pieces[0].output)
    pieces: list[StatePiece] = []
    operators: list[Operator] = []
    types: dict[str, TensorType] = {}
    for first, *others in groups:
        source = _source(graph, first, arrives)
        if source is None:
            return None
        output = source
        if not trace.same_order(arrives[source], first.index):
            output = f"{first.edge}:next"
            types[output] = graph.types[first.edge]
        wanted = [(source, arrives[source], output, first.index)] if output != source else []
        wanted += [(first.edge, first.index, use.edge, use.index) for use in others]  # case 2
        for have, have_index, edge, index in wanted:
            made = _moved(graph, have, have_index, edge, index)
            if made is None:
                return None
            operators += made[0]
            types |= made[1]
        pieces.append(StatePiece(first.edge, output, first.index))
    split = _Split(tuple(pieces), tuple(operators), types)
    return None if _is_view(split, state) and pieces[0].input == state.input else split


def _groups(graph: Graph, state: State) -> list[list[_Use]] | None:
    """Case 1: uses by the set of elements they read, in the order they run; in each, the edge of the piece first."""
    moved = trace.forward(graph, state.input)
    position = {op.name: k for k, op in enumerate(graph.operators)}
    first: dict[bytes, int] = {}
    sets: dict[bytes, dict[str, _Use]] = {}
    for edge, op in trace.uses(graph, moved, state.pieces[0].output):
        if op is None:
            return None
        initial = op.op in RECURRENT and edge in (op.input(5), op.input(6))
        key = np.sort(np.ravel(moved[edge])).tobytes()
        first[key] = min(first.get(key, len(position)), position[op.name])
        known = sets.setdefault(key, {}).get(edge)
        sets[key][edge] = _Use(edge, moved[edge], initial or (known is not None and known.initial))
    in_order = sorted(sets, key=lambda key: first[key])
    groups = [sorted(sets[key].values(), key=lambda use: not use.initial) for key in in_order]
    covered = np.concatenate([np.ravel(g[0].index) for g in groups]) if groups else np.zeros(0)
    return groups if np.array_equal(np.sort(covered), np.arange(state.type.size)) else None


def _source(graph: Graph, piece: _Use, arrives: Mapping[str, Array]) -> str | None:
    """Case 3: the edge nearest to the computation that holds exactly the elements of a piece."""
    elements = np.sort(np.ravel(piece.index))
    holds = [e for e, index in arrives.items() if np.array_equal(np.sort(np.ravel(index)), elements)]
    straight = [e for e in holds if trace.same_order(arrives[e], piece.index)]
    # `arrives` was filled from the output backwards, so the last is the nearest to where values are computed
    return next(reversed(straight or holds), None)


def _moved(
    graph: Graph, have: str, have_index: Array, edge: str, index: Array
) -> tuple[list[Operator], dict[str, TensorType]] | None:
    """Operators that bring `have` into the order and shape of `edge`; None if a Transpose cannot."""
    if trace.same_order(have_index, index):
        return [reshape(f"{edge}:view", have, edge, index.shape)], {}
    perm = trace.permutation(have_index, index)
    if perm is None:
        return None
    turned, dtype = f"{edge}:turned", graph.types[have].dtype
    shape = tuple(have_index.shape[p] for p in perm)
    operators = [
        Operator(turned, "Transpose", (have,), (turned,), {"perm": tuple(perm)}),
        reshape(f"{edge}:view", turned, edge, index.shape),
    ]
    return operators, {turned: TensorType(shape, dtype)}
