"""The calls of a program in the making: in loops, and in front of them what an operator in a loop needs once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mcu_quant.ir import Graph, Loop
from mcu_quant.program import Call, CallLoop
from mcu_quant.regions import enclosing


@dataclass
class _Open:
    """A loop whose operators are being lowered, and the call it begins at."""

    loop: Loop
    start: int


class CallList:
    """Appends calls, keeps count of loops around them. `calls` may be replaced by as many others."""

    def __init__(self, graph: Graph) -> None:
        self.calls: list[Call] = []
        self.loops: list[CallLoop] = []
        self._depth = _depths(graph)
        self._open: list[_Open] = []
        #: loops around the point where calls are written: fewer than `_open` while one is written in front of a loop
        self._level = 0

    @property
    def innermost(self) -> Loop:
        """The innermost loop that is being lowered."""
        return self._open[-1].loop

    def put(self, call: Call) -> None:
        """Append a call or, of what an operator in a loop needs of outside, put it in front of the loop."""
        if self._level == len(self._open):
            self.calls.append(call)
            return
        at = self._open[self._level].start
        self.calls.insert(at, call)
        for loop in self._open[self._level :]:
            loop.start += 1
        self.loops = [
            replace(loop, start=loop.start + 1, stop=loop.stop + 1) if loop.start >= at else loop for loop in self.loops
        ]

    @contextmanager
    def where_made(self, edge: str) -> Iterator[None]:
        """Calls are written where an edge of the graph is made: in front of loops in which it does not change."""
        with self._at(min(self._level, self._depth.get(edge, len(self._open)))):
            yield

    @contextmanager
    def in_front(self) -> Iterator[None]:
        """Calls are written in front of the innermost loop."""
        with self._at(len(self._open) - 1):
            yield

    @contextmanager
    def _at(self, level: int) -> Iterator[None]:
        before, self._level = self._level, level
        try:
            yield
        finally:
            self._level = before

    def made_here(self, edge: str) -> bool:
        """Is an edge of the graph made in the innermost loop, or in one inside that?"""
        return self._depth.get(edge, 0) >= len(self._open)

    def begin(self, loop: Loop) -> None:
        """The calls that follow belong to a loop."""
        self._open.append(_Open(loop, len(self.calls)))
        self._level += 1

    def end(self) -> None:
        """The calls of the innermost loop are complete. One without calls is none."""
        done = self._open.pop()
        self._level -= 1
        loop = done.loop
        if done.start < len(self.calls):
            made = CallLoop(loop.name, done.start, len(self.calls), loop.count, loop.index, loop.condition, loop.limit)
            inside = [other for other in self.loops if other.start >= done.start]
            self.loops[len(self.loops) - len(inside) :] = [made, *inside]


def _depths(graph: Graph) -> dict[str, int]:
    """In how many loops each edge is made, or changes from step to step."""
    found = dict.fromkeys((*graph.inputs, *graph.state_inputs), 0)
    for k, op in enumerate(graph.operators):
        found |= dict.fromkeys(op.outputs, len(enclosing(k, graph.loops)))
    for loop in graph.loops:
        shorter = sum(other.start == loop.start and other.stop < loop.stop for other in graph.loops)
        inside = len(enclosing(loop.start, graph.loops)) - shorter
        found |= dict.fromkeys((loop.index, *(before for before, _ in loop.carried)), inside)
    return found
