"""Expand: x broadcast to a shape. Attribute `shape`, the whole shape of the output.

An Expand that repeats nothing is a Reshape.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator
from mcu_quant.ops import Canonical, NodeContext, Sample, fixed, given, register
from mcu_quant.ops.layout import selection


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """The shape that shape inference found for the output says it all."""
    shape = node.shape(op.outputs[0])
    kind = "Reshape" if prod(shape) == prod(node.shape(op.inputs[0])) else "Expand"
    return Canonical((Operator(op.name, kind, op.inputs[:1], op.outputs, {"shape": shape}),))


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """x, broadcast."""
    return (np.broadcast_to(inputs[0], op.attributes["shape"]),)


EXPAND = register(
    selection(
        "Expand",
        reference,
        canonicalise=canonicalise,
        samples=(
            Sample("Expand", (given(3, 2), fixed([1, 3, 1])), name="view"),
            Sample("Expand", (given(1), fixed([4, 3]))),
            Sample("Expand", (given(3, 1), fixed([2, 1, 5]))),
            Sample("Expand", (given(1, 8, 1), fixed([1, 8, 33]))),
        ),
    )
)
