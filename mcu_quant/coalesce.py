"""States that a program updates where they are: the copy of a new state over the old one falls away where it may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mcu_quant import ops
from mcu_quant.program import Access, Call, Edge, Program, Purpose, Role, View


def coalesce(program: Program, successor: Mapping[str, str]) -> Program:
    """Let a state and its successor share memory where every read of the old value comes before the new is written.

    Before: ... y = lstm(copy of h) ...; at the end h = copy of y.   After: lstm updates h in place.
    """
    for state in program.states:
        program = _coalesce_one(program, state.edge, successor[state.edge])
    return program


def _is_copy(program: Program, call: Call, source: str, destination: str) -> bool:
    """Does this call only copy the whole of one edge to another of the same type?"""
    if call.purpose is not Purpose.COPY or call.reads != (source,) or call.writes != (destination,):
        return False
    a, b = program.edges[source], program.edges[destination]
    return a.type.format == b.type.format and a.type.quant == b.type.quant and a.type.size == b.type.size


def _coalesce_one(program: Program, old: str, new: str) -> Program:
    edges, calls = program.edges, program.calls
    if new not in edges or edges[new].view is not None or edges[new].role is not Role.ARENA or new == old:
        return program
    back = next((i for i, c in enumerate(calls) if _is_copy(program, c, new, old)), None)
    if back is None or edges[new].type.bytes != edges[old].type.bytes:
        return program
    first_write = next(i for i, c in enumerate(calls) if any(edges[e].root == new for e in c.writes))
    dropped = {back}
    for i, call in enumerate(calls):
        touches = [e for e in (*call.reads, *call.writes) if edges[e].root == old]
        if not touches or i == back:
            continue
        if i > first_write:
            return program
        if i == first_write:
            if _is_copy(program, call, old, new):
                dropped.add(i)
            elif not _may_alias(program, call, old, new):
                return program
    merged: dict[str, Edge] = {}
    for name, edge in edges.items():
        if name == new:
            merged[name] = replace(edge, role=Role.STATE, view=View(old, 0))
        elif edge.view is not None and edge.view.base == new:
            merged[name] = replace(edge, role=Role.STATE, view=View(old, edge.view.offset))
        else:
            merged[name] = edge
    return replace(program, edges=merged, calls=tuple(c for i, c in enumerate(calls) if i not in dropped))


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
