"""Moving values as index arithmetic: which loops carry out `y[target[i]] = x[source[i]]`, for constant positions.

Every layout operator (Slice, Transpose, Gather, Tile, ...) is such a map, found by running its reference on positions.
What is cheapest follows from the map alone, so no operator has rules of its own: a contiguous map is a view, an affine
one a strided copy, one that is affine in a few pieces (mirrored at the edge, turned round) as many strided copies, and
a separable one a gather with a small table per axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from mcu_quant.ir import Array, Shape

Positions = NDArray[np.int64]

#: More parts than this cost more than a table.
_MOST_PIECES = 8
#: Axes that the strided copy of the firmware has.
WALK_AXES = 6


@dataclass(frozen=True)
class Walk:
    """Nested loops over two arrays, outermost first: x[x_start + sum i x_step] goes to y[y_start + sum i y_step]."""

    shape: Shape
    x_start: int
    y_start: int
    x_step: tuple[int, ...]
    y_step: tuple[int, ...]

    def padded(self) -> Walk:
        """The same with as many axes as the firmware's function has."""
        missing = WALK_AXES - len(self.shape)
        return Walk(
            (1,) * missing + self.shape,
            self.x_start,
            self.y_start,
            (0,) * missing + self.x_step,
            (0,) * missing + self.y_step,
        )


@dataclass(frozen=True, eq=False)
class Tables:
    """Offsets of a gather: y in C order is x[outer[o] + middle[m] + inner[n] + r], r < run.

    No offset is negative, so no partial sum leaves x.
    """

    outer: Positions
    middle: Positions
    inner: Positions
    run: int


def positions(shape: Shape) -> Positions:
    """An array of that shape whose elements are their own positions in C order."""
    return np.arange(prod(shape), dtype=np.int64).reshape(shape)


def contiguous(source: Array) -> bool:
    """Are these positions, in C order, a range?"""
    flat = np.ravel(source)
    return bool(np.array_equal(flat, flat[:1] + np.arange(flat.size)))


def walk(source: Array, target: Array) -> Walk | None:
    """The loops with the fewest axes that move source positions to target positions, or None if there are none.

    Taking the longest run with constant steps from the inside outwards finds the fewest axes: a run that goes beyond
    the end of an axis does so at every end of it, because all ends look alike.
    """
    at = np.stack([np.ravel(source), np.ravel(target)]).astype(np.int64)
    x_start, y_start = (int(v) for v in at[:, 0])
    axes: list[tuple[int, int, int]] = []
    while at.shape[1] > 1:
        steps = np.diff(at)
        breaks = np.flatnonzero((steps != steps[:, :1]).any(axis=0))
        run = int(breaks[0]) + 1 if breaks.size else at.shape[1]
        if at.shape[1] % run:
            return None
        blocks = at.reshape(2, -1, run)
        if not (np.diff(blocks) == steps[:, :1, None]).all():
            return None
        axes.insert(0, (run, int(steps[0, 0]), int(steps[1, 0])))
        at = blocks[:, :, 0]
    if len(axes) > WALK_AXES:
        return None
    shape, x_step, y_step = zip(*axes, strict=True) if axes else ((), (), ())
    return Walk(tuple(shape), x_start, y_start, tuple(x_step), tuple(y_step))


def pieces(source: Array) -> list[tuple[Positions, Positions]] | None:
    """Source and target positions of the fewest parts along one axis that are a walk each; None if there are none."""
    at = np.asarray(source, np.int64)
    target = positions(at.shape)
    found: list[list[tuple[Positions, Positions]]] = []
    for axis in range(at.ndim):
        ends = _breaks(np.moveaxis(at, axis, 0).reshape(at.shape[axis], -1)[:, 0])
        if len(ends) >= _MOST_PIECES:
            continue
        parts = list(zip(np.split(at, ends, axis), np.split(target, ends, axis), strict=True))
        if all(walk(a, b) is not None for a, b in parts):
            found.append([(np.ravel(a), np.ravel(b)) for a, b in parts])
    return min(found, key=len, default=None)


def _breaks(line: Positions) -> list[int]:
    """Where the longest runs with constant steps begin, but for the first."""
    ends, start = [], 0
    steps = np.diff(line)
    while start < line.size - 1:
        other = np.flatnonzero(steps[start:] != steps[start])
        if not other.size:
            break
        start += int(other[0]) + 1
        ends.append(start)
    return ends


def tables(source: Array) -> Tables:
    """Offsets per axis where the map is a sum over axes, else one table for all. The innermost axes that are
    consecutive positions become the run; further axes than three share a table."""
    start, axes = _separate(source) or _single(source)
    run = 1
    while axes and np.array_equal(axes[-1], run * np.arange(len(axes[-1]))):
        run *= len(axes.pop())
    if axes and run == 1:
        run, axes[-1] = blocks(axes[-1])
    while len(axes) > 3:
        i = min(range(len(axes) - 1), key=lambda i: len(axes[i]) * len(axes[i + 1]))
        axes[i : i + 2] = [np.add.outer(axes[i], axes[i + 1]).ravel()]
    axes = [np.zeros(1, np.int64)] * (3 - len(axes)) + axes
    low = [int(a.min()) for a in axes]
    outer, middle, inner = (a - m for a, m in zip(axes, low, strict=True))
    return Tables(outer + start + sum(low), middle, inner, run)


def _separate(source: Array) -> tuple[int, list[Positions]] | None:
    """The first position and one table per axis, relative to it, whose sum is the map; None if it is no sum."""
    at = np.asarray(source, np.int64)
    at = at.reshape([n for n in at.shape if n > 1])
    first = int(at.flat[0])
    found: list[Positions] = []
    total = np.full((1,) * at.ndim, first)
    for axis in range(at.ndim):
        table = at[tuple(slice(None) if a == axis else 0 for a in range(at.ndim))] - first
        found.append(table)
        total = total + table.reshape([-1 if a == axis else 1 for a in range(at.ndim)])
    return (first, found) if np.array_equal(total, at) else None


def _single(source: Array) -> tuple[int, list[Positions]]:
    flat = np.ravel(source).astype(np.int64)
    return int(flat[0]), [flat - flat[0]]


def blocks(target: Array) -> tuple[int, Positions]:
    """Positions as runs of consecutive ones, all of one length, the longest possible: that length, and their starts."""
    flat = np.ravel(target).astype(np.int64)
    ends = np.flatnonzero(np.diff(flat) != 1) + 1
    run = int(np.gcd.reduce(np.append(ends, flat.size)))
    return run, flat[::run]
