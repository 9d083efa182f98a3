"""Programs that differ little, run on the same frames side by side: what they have in common is computed once.

The first program is run as far as others need it. A part of another one (a call, or a loop as a whole) is *common* if
the first has the same part, on the same constants and on buffers that none but common parts of both write. All its
other parts are its own, with buffers of their own. Common parts come in the same order in both programs, and own ones
are run between the same common ones as in their program: they find what they would find there, to the bit, states
included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter

import numpy as np

from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Array
from mcu_quant.program import Call, CallLoop, PackedConstant, Program
from mcu_quant.regions import tree


class SideBySide:
    """`sessions` have outputs and taps of each of `others`, in their order, after every run."""

    def __init__(self, first: Program, others: Sequence[Program]) -> None:
        base = _Parts(first)
        splits = [_Split.of(base, _Parts(other)) for other in others]
        needed = sorted({f for split in splits for f in split.common.values()})
        self._first = ProgramSession(base.only(needed))
        self.sessions = [ProgramSession(s.other.only(s.own), lent=s.lent(self._first)) for s in splits]
        order = [((f, 1), part) for f, part in zip(needed, self._first.parts, strict=True)]
        for split, session in zip(splits, self.sessions, strict=True):
            order += [((f, 0), part) for f, part in zip(split.places, session.parts, strict=True)]
        self._order = [part for _, part in sorted(order, key=itemgetter(0))]

    def reset(self) -> None:
        """Set all states to their initial values."""
        for session in (self._first, *self.sessions):
            session.reset()

    def run(self, feeds: Mapping[str, Array]) -> None:
        """One frame of all of them."""
        for session in (self._first, *self.sessions):
            session.feed(feeds)
        for part in self._order:
            part()


class _Parts:
    """A program as a list of calls and loops."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._spans = [
            range(p, p + 1) if isinstance(p, int) else range(p.loop.start, p.loop.stop)
            for p in tree(len(program.calls), program.loops)
        ]

    def __len__(self) -> int:
        return len(self._spans)

    def calls(self, part: int) -> Sequence[Call]:
        """Of one part."""
        span = self._spans[part]
        return self.program.calls[span.start : span.stop]

    def loops(self, part: int) -> list[CallLoop]:
        """The loop that a part is and those in it, as if its first call were the first of all."""
        at = self._spans[part]
        return [
            replace(loop, start=loop.start - at.start, stop=loop.stop - at.start)
            for loop in self.program.loops
            if loop.start in at
        ]

    def key(self, part: int) -> object:
        """Parts with different keys are not the same."""
        first = self.calls(part)[0]
        return first.kernel, first.writes, len(self._spans[part])

    @cached_property
    def writes(self) -> list[frozenset[str]]:
        """Buffers that each part writes."""
        return [self._roots(part, [e for call in self.calls(part) for e in call.writes]) for part in range(len(self))]

    @cached_property
    def touches(self) -> list[frozenset[str]]:
        """Buffers that each part reads or writes."""
        every = ([b.edge for call in self.calls(part) for _, b in call.buffers()] for part in range(len(self)))
        return [self._roots(part, edges) for part, edges in enumerate(every)]

    def _roots(self, part: int, edges: Sequence[str]) -> frozenset[str]:
        around = [e for loop in self.loops(part) for e in loop.edges] if self.program.loops else []
        return frozenset(self.program.edges[e].root for e in (*edges, *around))

    def only(self, kept: Sequence[int]) -> Program:
        """The program with nothing but these parts, and the constants that they read."""
        calls = {i for part in kept for i in self._spans[part]}
        less = self.program.without(set(range(len(self.program.calls))) - calls)
        used = {name for call in less.calls for name in call.constants}
        return replace(less, constants={n: c for n, c in less.constants.items() if n in used})


@dataclass(frozen=True, eq=False)
class _Split:
    """What another program has in common with the first: parts of the other, with those of the first that they are."""

    first: _Parts
    other: _Parts
    common: Mapping[int, int]
    #: buffers that differ, or that a part writes that is not common
    apart: frozenset[str]

    @staticmethod
    def of(first: _Parts, other: _Parts) -> _Split:
        """The largest split that can be found by leaving out, again and again, what touches something else."""
        common, apart = _matched(first, other), _different(first.program, other.program)
        while True:
            common = {o: f for o, f in common.items() if apart.isdisjoint(other.touches[o])}
            own = [other.writes[o] for o in range(len(other)) if o not in common]
            own += [first.writes[f] for f in set(range(len(first))) - set(common.values())]
            if apart.issuperset(written := frozenset().union(*own)):
                return _Split(first, other, common, apart)
            apart |= written

    @property
    def own(self) -> list[int]:
        """Parts of the other that are not common."""
        return [o for o in range(len(self.other)) if o not in self.common]

    @property
    def places(self) -> list[int]:
        """In front of which part of the first each own part is run."""
        found, place = [], 0
        for o in range(len(self.other)):
            if o in self.common:
                place = self.common[o] + 1
            else:
                found.append(place)
        return found

    def lent(self, session: ProgramSession) -> Mapping[str, Array]:
        """The buffers of the first that the other reads."""
        return {n: b for n, b in session.buffers.items() if n not in self.apart and n in self.other.program.edges}


def _matched(first: _Parts, other: _Parts) -> dict[int, int]:
    """Parts of the other that the first has, too, in the order of both, whatever lies in the buffers."""
    same = _Same(first.program, other.program)
    where: dict[object, list[int]] = {}
    for f in range(len(first)):
        where.setdefault(first.key(f), []).append(f)
    found: dict[int, int] = {}
    last = -1
    for o in range(len(other)):
        candidates = (f for f in where.get(other.key(o), ()) if f > last)
        at = next((f for f in candidates if _equal(first, f, other, o, same)), None)
        if at is not None:
            found[o] = last = at
    return found


def _equal(first: _Parts, f: int, other: _Parts, o: int, same: _Same) -> bool:
    pairs = zip(first.calls(f), other.calls(o), strict=True)
    return first.loops(f) == other.loops(o) and all(same.call(a, b) for a, b in pairs)


class _Same:
    """Whether names mean the same in two programs."""

    def __init__(self, first: Program, other: Program) -> None:
        self._first, self._other = first, other
        self._constants: dict[str, bool] = {}

    def call(self, a: Call, b: Call) -> bool:
        """Do two calls do the same with what they are given, on edges that lie at the same place?"""
        edges, others = self._first.edges, self._other.edges
        return (
            a.kernel == b.kernel
            and a.args == b.args
            and all(edges[e.edge] == others[e.edge] for _, e in b.buffers())
            and all(self._constant(name) for name in b.constants)
        )

    def _constant(self, name: str) -> bool:
        if name not in self._constants:
            self._constants[name] = _alike(self._first.constants[name], self._other.constants[name])
        return self._constants[name]


def _alike(a: PackedConstant, b: PackedConstant) -> bool:
    return a.array is b.array or (
        a.format == b.format and a.array.shape == b.array.shape and a.array.tobytes() == b.array.tobytes()
    )


def _different(first: Program, other: Program) -> frozenset[str]:
    """Buffers that one program has otherwise than the other, or with another value at the start."""
    initial = {s.edge: s.initial for s in first.states}
    started = {s.edge for s in other.states if s.edge in initial and not np.array_equal(initial[s.edge], s.initial)}
    return frozenset(n for n, e in other.edges.items() if e.view is None and (first.edges.get(n) != e or n in started))
