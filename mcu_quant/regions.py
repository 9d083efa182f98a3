"""Parts of a flat list that are repeated: the tree of what runs once and what runs in a loop.

Operators of a graph and calls of a program are lists in order of execution; a loop is a range in such a list.
Everything that executes one (interpreter, emulator, memory proof, generated code) walks the same tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Span(Protocol):
    """A range of a list, from `start` to before `stop`."""

    @property
    def start(self) -> int:
        """Position of the first."""

    @property
    def stop(self) -> int:
        """Position behind the last."""


S = TypeVar("S", bound=Span)


@dataclass(frozen=True)
class Region(Generic[S]):
    """A loop, and what it repeats: positions in the list, and loops inside it."""

    loop: S
    body: tuple[int | Region[S], ...]


def tree(count: int, loops: Sequence[S]) -> tuple[int | Region[S], ...]:
    """Positions 0 .. count - 1 with ranges as regions. Ranges nest; of two equal ones, the first is the outer."""
    ordered = sorted(loops, key=lambda s: (s.start, -s.stop))
    made, end, rest = _within(0, count, ordered)
    assert end == count and not rest, "loops overlap"
    return made


def _within(start: int, stop: int, loops: list[S]) -> tuple[tuple[int | Region[S], ...], int, list[S]]:
    made: list[int | Region[S]] = []
    at = start
    while at < stop:
        if loops and loops[0].start == at and loops[0].stop <= stop:
            loop, *loops = loops
            body, at, loops = _within(loop.start, loop.stop, loops)
            made.append(Region(loop, body))
        else:
            made.append(at)
            at += 1
    return tuple(made), at, loops


def enclosing(position: int, loops: Sequence[S]) -> tuple[S, ...]:
    """The loops that a position lies in, from the outermost."""
    found = [s for s in loops if s.start <= position < s.stop]
    return tuple(sorted(found, key=lambda s: (s.start, -s.stop)))
