"""States that a program updates where they are: the copy of a new state over the old one falls away where it may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mcu_quant import ops
from mcu_quant.program import Access, Call, CallLoop, Edge, Program, Purpose, Role, View


def coalesce(program: Program, successor: Mapping[str, str], carried: Mapping[str, Mapping[str, str]]) -> Program:
    """Let a state and its successor share memory where every read of the old value comes before the new is written.

    Before: ... y = lstm(copy of h) ...; at the end h = copy of y.   After: lstm updates h in place.

    Likewise what is carried from step to step of a loop, by the loop's name.
    """
    for state in program.states:
        program = _coalesce_one(program, state.edge, successor[state.edge], None)
    for name, pairs in carried.items():
        for old, new in pairs.items():
            program = _coalesce_one(program, old, new, name)
    return program


@dataclass(frozen=True)
class _Order:
    """The calls of a frame, or of a step of a loop, by rank. Those of a loop inside are made over and over again, and
    have one rank."""

    rank: Mapping[int, int]
    inside: tuple[CallLoop, ...]

    @staticmethod
    def of(program: Program, within: str | None) -> _Order | None:
        around = next((loop for loop in program.loops if loop.name == within), None)
        if within is not None and around is None:
            return None
        start, stop = (around.start, around.stop) if around else (0, len(program.calls))
        inside = tuple(s for s in program.loops if s is not around and start <= s.start and s.stop <= stop)
        rank = {i: next((s.start for s in inside if s.start <= i < s.stop), i) for i in range(start, stop)}
        return _Order(rank, inside)

    def repeats(self, call: int) -> bool:
        """Is a call made several times?"""
        return any(s.start <= call < s.stop for s in self.inside)


def _is_copy(program: Program, call: Call, source: str, destination: str) -> bool:
    """Does this call only copy the whole of one edge to another of the same type?"""
    if call.purpose is not Purpose.COPY or call.reads != (source,) or call.writes != (destination,):
        return False
    a, b = program.edges[source], program.edges[destination]
    return a.type.format == b.type.format and a.type.quant == b.type.quant and a.type.size == b.type.size


def _coalesce_one(program: Program, old: str, new: str, within: str | None) -> Program:
    edges = program.edges
    order = _Order.of(program, within)
    if order is None or old not in edges or new not in edges or not _alike(program, old, new):
        return program
    place = edges[old].root
    dropped = _needless(program, order, old, new)
    if dropped is None:
        return program
    merged: dict[str, Edge] = {}
    for name, edge in edges.items():
        if name == new:
            merged[name] = replace(edge, role=edges[place].role, view=View(place))
        elif edge.view is not None and edge.view.base == new:
            merged[name] = replace(edge, role=edges[place].role, view=replace(edge.view, base=place))
        else:
            merged[name] = edge
    return replace(program, edges=merged).without(dropped)


def _alike(program: Program, old: str, new: str) -> bool:
    """Are both a whole buffer of the same size, the new one of the program's own?"""
    edges = program.edges
    whole = edges[edges[old].root].type.bytes == edges[old].type.bytes == edges[new].type.bytes
    return whole and edges[new].view is None and edges[new].role is Role.ARENA and new != edges[old].root


def _needless(program: Program, order: _Order, old: str, new: str) -> set[int] | None:
    """The copies between both that fall away if they share memory; None if they cannot."""
    edges, calls, place = program.edges, program.calls, program.edges[old].root
    back = next((i for i in order.rank if _is_copy(program, calls[i], new, old)), None)
    first_write = next(i for i, c in enumerate(calls) if any(edges[e].root == new for e in c.writes))
    if back is None or first_write not in order.rank:
        return None
    dropped = {back}
    for i, rank in order.rank.items():
        touches = any(edges[e].root == place for e in (*calls[i].reads, *calls[i].writes))
        if i == back or not touches or (i != first_write and rank < order.rank[first_write]):
            continue
        if i != first_write or order.repeats(i):
            return None
        if _is_copy(program, calls[i], old, new):
            dropped.add(i)
        elif not _may_alias(program, calls[i], place, new):
            return None
    return dropped


def _may_alias(program: Program, call: Call, old: str, new: str) -> bool:
    """May the kernel of this call write `new` over `old`?"""
    sources = {n for n, b in call.buffers(Access.READ, Access.UPDATE) if program.edges[b.edge].root == old}
    sinks = {n for n, b in call.buffers(Access.WRITE, Access.UPDATE) if program.edges[b.edge].root == new}
    whole = all(
        program.edges[b.edge].type.bytes == program.edges[old].type.bytes and program.edges[b.edge].offset_bytes == 0
        for n, b in call.buffers()
        if n in sources | sinks
    )
    allowed = set(ops.kernels()[call.kernel].inplace)
    return whole and all((a, b) in allowed for a in sources for b in sinks)
