"""Which whole numbers a constant was: the real value of one step, kept up as weights are reshaped, transposed, scaled.

`Graph.steps` has it for every element of a constant, as an array that is broadcast as far as possible. What does to the
steps what was done to the weights gives the steps of the result; it is kept only if the result still is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Operator
from mcu_quant.passes.evaluate import evaluate

#: A weight is at most this many steps off a whole number: rounding of floats, for 16 bits and more.
_TOLERANCE = 2.0**-7


def followed(
    inputs: tuple[str, ...],
    results: Mapping[str, Array],
    again: Callable[[Mapping[str, Array]], Mapping[str, Array]],
    steps: Mapping[str, Array],
) -> dict[str, Array]:
    """Steps of `results`, which were made of constants with `steps` among `inputs`; `again` makes them of the steps."""
    known = {i: steps[i] for i in inputs if i in steps}
    if not known or not results:
        return {}
    made = again(known)
    return {n: compact(made[n]) for n, value in results.items() if n in made and whole(value, made[n])}


def of_moved(
    op: Operator, values: Mapping[str, Array], constants: Mapping[str, Array], steps: Mapping[str, Array]
) -> dict[str, Array]:
    """Steps of the outputs of an operator that only moves values, all of its inputs being constants."""
    if not ops.spec(op).carries:
        return {}
    return followed(op.inputs, values, lambda known: evaluate(op, {**constants, **known}) or {}, steps)


def whole(value: Array, steps: Array) -> bool:
    """Are all values whole multiples of their steps?"""
    if value.shape != steps.shape or not (steps > 0).all():
        return False
    multiples = value / steps
    return bool((np.abs(multiples - np.rint(multiples)) <= _TOLERANCE).all())


def compact(steps: Array) -> Array:
    """The same values, without repeating them in memory along axes where they do not vary."""
    small = steps
    for axis in range(steps.ndim):
        first = small.take([0], axis) if small.shape[axis] else small
        if (small == first).all():
            small = first
    return np.broadcast_to(small.copy(), steps.shape)
