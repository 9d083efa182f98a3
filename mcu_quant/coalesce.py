"""States that a program updates where they are: the copy of a new state over the old one falls away where it may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mcu_quant import ops
from mcu_quant.program import Access, Call, CallLoop, Program, Purpose, Role, View


def coalesce(program: Program, successor: Mapping[str, str], carried: Mapping[str, Mapping[str, str]]) -> Program:
    """Let a state and its successor share memory where every read of the old value comes before the new is written.

    Before: ... y = lstm(copy of h) ...; at the end h = copy of y.   After: lstm updates h in place.

    Likewise what is carried from step to step of a loop, by the loop's name.
    """
    work = _Work(program)
    for state in program.states:
        work.merge(state.edge, successor[state.edge], _Order(program, None))
    loops = {loop.name: loop for loop in program.loops}
    for name, pairs in carried.items():
        for old, new in pairs.items() if name in loops else ():
            work.merge(old, new, _Order(program, loops[name]))
    return replace(program, edges=work.edges).without(work.dropped) if work.dropped else program


class _Order:
    """The calls of a frame, or of a step of a loop, by rank. Those of a loop inside are made over and over again, and
    have one rank."""

    def __init__(self, program: Program, around: CallLoop | None) -> None:
        start, stop = (around.start, around.stop) if around else (0, len(program.calls))
        self.calls = range(start, stop)
        self._inside = [s for s in program.loops if s is not around and start <= s.start and s.stop <= stop]

    def rank(self, call: int) -> int:
        """Of two calls, the one of the lower rank is made first."""
        return next((s.start for s in self._inside if s.start <= call < s.stop), call)

    def repeats(self, call: int) -> bool:
        """Is a call made several times?"""
        return any(s.start <= call < s.stop for s in self._inside)


class _Work:
    """A program whose states are merged one after the other: its edges, and the calls that fell away."""

    def __init__(self, program: Program) -> None:
        self.edges = dict(program.edges)
        self.dropped: set[int] = set()
        self._calls = program.calls
        #: edges that lie in each buffer
        self._lying: dict[str, list[str]] = {}
        for name, edge in program.edges.items():
            self._lying.setdefault(edge.root, []).append(name)
        #: calls that touch each buffer, in order
        self._touching: dict[str, list[int]] = {}
        for i, call in enumerate(program.calls):
            for root in {self._root(e) for e in (*call.reads, *call.writes)}:
                self._touching.setdefault(root, []).append(i)

    def merge(self, old: str, new: str, order: _Order) -> None:
        """Let `new` lie where `old` is, if it may."""
        if old not in self.edges or new not in self.edges or not self._alike(old, new):
            return
        place = self._root(old)
        needless = self._needless(old, new, order)
        if needless is None:
            return
        for name in self._lying[new]:
            edge = self.edges[name]
            view = replace(edge.view, base=place) if edge.view else View(place)
            self.edges[name] = replace(edge, role=self.edges[place].role, view=view)
        self._lying[place] += self._lying.pop(new)
        self.dropped |= needless
        both = {*self._touching.pop(new), *self._touching[place]}
        self._touching[place] = sorted(both - needless)

    def _root(self, edge: str) -> str:
        return self.edges[edge].root

    def _alike(self, old: str, new: str) -> bool:
        """Are both a whole buffer of the same size, the new one of the program's own?"""
        was, is_ = self.edges[old], self.edges[new]
        whole = self.edges[was.root].type.bytes == was.type.bytes == is_.type.bytes
        return whole and is_.view is None and is_.role is Role.ARENA and new != was.root

    def _needless(self, old: str, new: str, order: _Order) -> set[int] | None:
        """The copies between both that fall away if they share memory; None if they cannot."""
        calls, place = self._calls, self._root(old)
        touching = [i for i in self._touching.get(place, ()) if i in order.calls]
        back = next((i for i in touching if self._is_copy(calls[i], new, old)), None)
        first_write = next(i for i in self._touching[new] if any(self._root(e) == new for e in calls[i].writes))
        if back is None or first_write not in order.calls:
            return None
        dropped = {back}
        for i in touching:
            if i == back or (i != first_write and order.rank(i) < order.rank(first_write)):
                continue
            if i != first_write or order.repeats(i):
                return None
            if self._is_copy(calls[i], old, new):
                dropped.add(i)
            elif not self._may_alias(calls[i], place, new):
                return None
        return dropped

    def _is_copy(self, call: Call, source: str, destination: str) -> bool:
        """Does this call only copy the whole of one edge to another of the same type?"""
        if call.purpose is not Purpose.COPY or call.reads != (source,) or call.writes != (destination,):
            return False
        a, b = self.edges[source].type, self.edges[destination].type
        return a.format == b.format and a.quant == b.quant and a.size == b.size

    def _may_alias(self, call: Call, old: str, new: str) -> bool:
        """May the kernel of this call write `new` over `old`?"""
        sources = {n for n, b in call.buffers(Access.READ, Access.UPDATE) if self._root(b.edge) == old}
        sinks = {n for n, b in call.buffers(Access.WRITE, Access.UPDATE) if self._root(b.edge) == new}
        places = [self.edges[b.edge] for n, b in call.buffers() if n in sources | sinks]
        whole = all(e.type.bytes == self.edges[old].type.bytes and e.offset_bytes == 0 for e in places)
        allowed = set(ops.kernels()[call.kernel].inplace)
        return whole and all((a, b) in allowed for a in sources for b in sinks)
