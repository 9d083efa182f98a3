"""DepthToSpace and SpaceToDepth: blocks of the plane to channels and back. Attributes `blocksize`, `mode`.

In mode DCR the block is the outer part of the depth, in mode CRD the channel is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcu_quant.ir import Array, Operator
from mcu_quant.ops import Canonical, NodeContext, Sample, given, register
from mcu_quant.ops.layout import selection


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Mode explicit."""
    mode = op.attributes.get("mode", "DCR")
    attributes = {
        "blocksize": int(op.attributes["blocksize"]),
        "mode": mode.decode() if isinstance(mode, bytes) else str(mode),
    }
    return Canonical((Operator(op.name, op.op, op.inputs, op.outputs, attributes),))


def _depth_to_space(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    b = op.attributes["blocksize"]
    n, depth, h, w = inputs[0].shape
    c = depth // (b * b)
    if op.attributes["mode"] == "DCR":
        blocks = inputs[0].reshape(n, b, b, c, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = inputs[0].reshape(n, c, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return (blocks.reshape(n, c, h * b, w * b),)


def _space_to_depth(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    b = op.attributes["blocksize"]
    n, c, h, w = inputs[0].shape
    order = (0, 3, 5, 1, 2, 4) if op.attributes["mode"] == "DCR" else (0, 1, 3, 5, 2, 4)
    blocks = inputs[0].reshape(n, c, h // b, b, w // b, b).transpose(order)
    return (blocks.reshape(n, c * b * b, h // b, w // b),)


DEPTH_TO_SPACE = register(
    selection(
        "DepthToSpace",
        _depth_to_space,
        canonicalise=canonicalise,
        samples=(
            Sample("DepthToSpace", (given(1, 8, 2, 3),), {"blocksize": 2}),
            Sample("DepthToSpace", (given(2, 12, 3, 2),), {"blocksize": 2, "mode": "CRD"}, opset=11),
        ),
    )
)

SPACE_TO_DEPTH = register(
    selection(
        "SpaceToDepth",
        _space_to_depth,
        canonicalise=canonicalise,
        samples=(
            Sample("SpaceToDepth", (given(1, 2, 4, 6),), {"blocksize": 2}),
            Sample("SpaceToDepth", (given(2, 1, 3, 9),), {"blocksize": 3}, opset=11),
        ),
    )
)
