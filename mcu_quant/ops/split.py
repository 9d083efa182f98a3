"""Split: parts of x, one after the other along an axis. Attributes `axis` and `split`, the size of each part."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.ops import Canonical, NodeContext, Sample, fixed, given, normalise_axis, register
from mcu_quant.ops.layout import selection


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Sizes become explicit; without any, parts are equal and the last one takes what is left."""
    shape = node.shape(op.inputs[0])
    axis = normalise_axis(int(op.attributes.get("axis", 0)), len(shape))
    sizes = node.ints(op, 1, "split")
    if sizes is None and op.input(1):
        return Canonical((op,))
    if sizes is None:
        count = int(op.attributes.get("num_outputs", len(op.outputs)))
        each = ceil(shape[axis] / count)
        sizes = (*[each] * (count - 1), shape[axis] - each * (count - 1))
    attributes = {"axis": axis, "split": sizes}
    return Canonical((Operator(op.name, "Split", op.inputs[:1], op.outputs, attributes),))


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The parts."""
    ends = np.cumsum(op.attributes["split"])[:-1]
    return tuple(np.split(inputs[0], ends, op.attributes["axis"]))


def constant_sizes(op: Operator, graph: Graph) -> str | None:
    """The sizes of Split's parts are constants."""
    return None if "split" in op.attributes else "they are computed at run time"


SPLIT = register(
    selection(
        "Split",
        reference,
        canonicalise=canonicalise,
        constraints=(constant_sizes,),
        samples=(
            Sample("Split", (given(6, 3),), outputs=2, opset=13, name="views"),
            Sample("Split", (given(2, 7, 3), fixed([1, 4, 2])), {"axis": 1}, outputs=3),
            Sample("Split", (given(2, 8),), {"axis": -1, "split": [3, 5]}, outputs=2, opset=11),
            Sample("Split", (given(1, 7, 2),), {"axis": 1, "num_outputs": 3}, outputs=3, name="uneven"),
        ),
    )
)
