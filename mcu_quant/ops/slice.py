"""Slice: y holds every step-th element of x from start to end, along some axes.

Attributes `starts`, `ends`, `axes`, `steps`, explicit and inside the axis: along each of `axes` the elements
range(start, end, step) are taken, so that with a negative step an end of -1 lies before the first element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.ops import Canonical, NodeContext, Sample, fixed, given, normalise_axis, register
from mcu_quant.ops.layout import selection


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Inputs become attributes; absent axes and steps become explicit; starts and ends are counted from the front."""
    starts, ends = node.ints(op, 1, "starts"), node.ints(op, 2, "ends")
    axes, steps = node.ints(op, 3, "axes"), node.ints(op, 4, "steps")
    unknown = (op.input(3) and axes is None) or (op.input(4) and steps is None)
    if starts is None or ends is None or unknown:
        return Canonical((op,))
    shape = node.shape(op.inputs[0])
    axes = tuple(normalise_axis(a, len(shape)) for a in axes or range(len(starts)))
    steps = steps or (1,) * len(starts)
    inside = [
        slice(start, end, step).indices(shape[axis])
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True)
    ]
    attributes = {
        "starts": tuple(i[0] for i in inside),
        "ends": tuple(i[1] for i in inside),
        "axes": axes,
        "steps": steps,
    }
    return Canonical((Operator(op.name, "Slice", op.inputs[:1], op.outputs, attributes),))


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The elements taken."""
    a = op.attributes
    taken = [slice(None)] * inputs[0].ndim
    for start, end, axis, step in zip(a["starts"], a["ends"], a["axes"], a["steps"], strict=True):
        taken[axis] = slice(start, None if end < 0 else end, step)
    return (inputs[0][tuple(taken)],)


def constant_bounds(op: Operator, graph: Graph) -> str | None:
    """Starts, ends, axes and steps of Slice are constants."""
    return None if "starts" in op.attributes else "they are computed at run time"


SLICE = register(
    selection(
        "Slice",
        reference,
        canonicalise=canonicalise,
        constraints=(constant_bounds,),
        samples=(
            Sample("Slice", (given(9), fixed([2]), fixed([7]))),
            Sample("Slice", (given(1, 4, 6), fixed([1]), fixed([3]), fixed([1])), name="contiguous"),
            Sample("Slice", (given(3, 4, 6), fixed([1, -3]), fixed([4, -1]), fixed([1, -1])), name="inner"),
            Sample("Slice", (given(2, 7, 3), fixed([0]), fixed([2**31 - 1]), fixed([1]), fixed([2])), name="step"),
            Sample("Slice", (given(2, 7, 3), fixed([-1]), fixed([-(2**31)]), fixed([1]), fixed([-1])), name="reverse"),
            Sample("Slice", (given(5, 6), fixed([4, 5]), fixed([0, 0]), fixed([0, 1]), fixed([-2, -3])), opset=11),
            Sample("Slice", (given(1, 3, 1, 257), fixed([65]), fixed([2**63 - 1]), fixed([3]), fixed([1]))),
        ),
    )
)
