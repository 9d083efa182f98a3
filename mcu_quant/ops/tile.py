"""Tile: y repeats x along each axis. Attribute `repeats`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.ops import Canonical, NodeContext, Sample, fixed, given, register
from mcu_quant.ops.layout import selection


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Repeats become an attribute."""
    repeats = node.ints(op, 1, "repeats")
    if repeats is None:
        return Canonical((op,))
    return Canonical((Operator(op.name, "Tile", op.inputs[:1], op.outputs, {"repeats": repeats}),))


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """x, repeated."""
    return (np.tile(inputs[0], op.attributes["repeats"]),)


def constant_repeats(op: Operator, graph: Graph) -> str | None:
    """The repeats of Tile are constants."""
    return None if "repeats" in op.attributes else "they are computed at run time"


TILE = register(
    selection(
        "Tile",
        reference,
        canonicalise=canonicalise,
        constraints=(constant_repeats,),
        samples=(
            Sample("Tile", (given(5), fixed([3]))),
            Sample("Tile", (given(2, 3), fixed([1, 1]))),
            Sample("Tile", (given(2, 3, 4), fixed([2, 3, 2]))),
        ),
    )
)
