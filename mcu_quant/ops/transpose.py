"""Transpose: y[i_perm[0], i_perm[1], ...] = x[i_0, i_1, ...]. Attribute `perm`, explicit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator
from mcu_quant.ops import Canonical, NodeContext, Sample, given, register
from mcu_quant.ops.layout import selection


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Without a permutation, the axes are reversed."""
    rank = len(node.shape(op.inputs[0]))
    perm = tuple(int(p) for p in op.attributes.get("perm", range(rank)[::-1]))
    return Canonical((Operator(op.name, "Transpose", op.inputs, op.outputs, {"perm": perm}),))


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """x with its axes permuted."""
    return (np.transpose(inputs[0], op.attributes["perm"]),)


TRANSPOSE = register(
    selection(
        "Transpose",
        reference,
        canonicalise=canonicalise,
        samples=(
            Sample("Transpose", (given(3, 5),)),
            Sample("Transpose", (given(1, 8, 1, 33),), {"perm": [0, 3, 2, 1]}),
            Sample("Transpose", (given(1, 6, 1, 4),), {"perm": [2, 1, 0, 3]}, name="view"),
            Sample("Transpose", (given(2, 3, 4, 5),), {"perm": [3, 1, 0, 2]}),
            Sample("Transpose", (given(2, 3, 2, 3, 2, 3),), {"perm": [5, 2, 4, 1, 3, 0]}, name="six-axes"),
            Sample("Transpose", (given(2, 2, 3, 2, 2, 3, 2, 2),), {"perm": [*range(8)][::-1]}, name="eight-axes"),
        ),
    )
)
