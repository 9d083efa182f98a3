"""Two operands with numpy's broadcasting as nested loops: the form in which the firmware's functions take them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from mcu_quant.ir import Shape

#: Nested loops of the firmware's functions.
LOOPS = 6


@dataclass(frozen=True)
class Loops:
    """Nested loops over y in C order, outermost first, and the steps of both operands in elements."""

    shape: tuple[int, ...]
    a_step: tuple[int, ...]
    b_step: tuple[int, ...]

    def padded(self) -> Loops:
        """The same with as many loops as the firmware's functions have."""
        missing = LOOPS - len(self.shape)
        return Loops((1,) * missing + self.shape, (0,) * missing + self.a_step, (0,) * missing + self.b_step)


def loops(a: Shape, b: Shape) -> Loops:
    """The fewest loops that broadcast two shapes: neighbouring axes that move alike are one."""
    y = np.broadcast_shapes(a, b)
    axes: list[tuple[int, int, int]] = []
    for size, a_step, b_step in zip(y, steps_of(a, len(y)), steps_of(b, len(y)), strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1:] == (size * a_step, size * b_step):
            axes[-1] = (axes[-1][0] * size, a_step, b_step)
        else:
            axes.append((size, a_step, b_step))
    shape, a_steps, b_steps = zip(*(axes or [(1, 0, 0)]), strict=True)
    return Loops(shape, a_steps, b_steps)


def steps_of(shape: Shape, rank: int) -> list[int]:
    """Elements from one index of an axis to the next; 0 where the axis has size 1 or is absent."""
    inner = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return [0] * (rank - len(shape)) + [0 if n == 1 else s for n, s in zip(shape, inner, strict=True)]
