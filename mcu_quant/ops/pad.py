"""Pad: x with something around it, or with less of it. Attributes `pads`, `mode`, `value`.

`pads` are the begins of all axes and then their ends; negative ones take away. Mode "constant" puts `value` around,
"edge" the nearest element, "reflect" the elements mirrored at the edge, "wrap" those of the other end.
CenterCropPad is a Pad whose pads follow from the shape of its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant import formats
from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Canonical, NodeContext, OpSpec, Sample, fixed, given, normalise_axis, register
from mcu_quant.ops.common.layout import positions
from mcu_quant.ops.layout import carry, carrying, covers, fill, move, operand
from mcu_quant.program import Access, Buffer, EdgeType

MODES = ("constant", "reflect", "edge", "wrap")


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Inputs become attributes, for all axes."""
    if op.op == "CenterCropPad":
        return _centred(op, node)
    mode = op.attributes.get("mode", "constant")
    attributes: dict[str, Any] = {"mode": mode.decode() if isinstance(mode, bytes) else str(mode)}
    pads, axes, value = node.ints(op, 1, "pads"), node.ints(op, 3, "axes"), node.constant(op.input(2))
    unknown = pads is None or (op.input(2) and value is None) or (op.input(3) and axes is None)
    if unknown or pads is None:
        return Canonical((Operator(op.name, "Pad", op.inputs, op.outputs, attributes),))
    rank = len(node.shape(op.inputs[0]))
    whole = np.zeros((2, rank), np.int64)
    whole[:, [normalise_axis(a, rank) for a in axes or range(rank)]] = np.reshape(pads, (2, -1))
    attributes |= {
        "pads": tuple(int(p) for p in whole.ravel()),
        "value": float(op.attributes.get("value", 0.0)) if value is None else float(value.flat[0]),
    }
    return Canonical((Operator(op.name, "Pad", op.inputs[:1], op.outputs, attributes),))


def _centred(op: Operator, node: NodeContext) -> Canonical:
    """Half of the difference on either side; of an odd one, the smaller half before."""
    shapes = zip(node.shape(op.inputs[0]), node.shape(op.outputs[0]), strict=True)
    before, after = [], []
    for size, wanted in shapes:
        half = abs(wanted - size) // 2
        before.append(half if wanted > size else -half)
        after.append(wanted - size - before[-1])
    attributes = {"mode": "constant", "pads": (*before, *after), "value": 0.0}
    return Canonical((Operator(op.name, "Pad", op.inputs[:1], op.outputs, attributes),))


def _pads(op: Operator) -> list[tuple[int, int]]:
    pads = op.attributes["pads"]
    rank = len(pads) // 2
    return list(zip(pads[:rank], pads[rank:], strict=True))


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Each axis grows by its pads."""
    assert types[0]
    sizes = (size + before + after for size, (before, after) in zip(types[0].shape, _pads(op), strict=True))
    return (TensorType(tuple(sizes), types[0].dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """x, padded."""
    return (_padded(op, inputs[0], op.attributes["value"]),)


def _padded(op: Operator, x: Array, value: float) -> Array:
    """Negative pads first, then the others."""
    pads, mode = _pads(op), op.attributes["mode"]
    kept = tuple(slice(max(0, -b), x.shape[axis] - max(0, -a)) for axis, (b, a) in enumerate(pads))
    around = [(max(0, before), max(0, after)) for before, after in pads]
    if mode == "constant":
        return np.pad(x[kept], around, mode, constant_values=value)
    return np.pad(x[kept], around, mode)


def constant_pads(op: Operator, graph: Graph) -> str | None:
    """The pads, the axes and the value of Pad are constants."""
    return None if "pads" in op.attributes else "they are computed at run time"


def known_mode(op: Operator, graph: Graph) -> str | None:
    """The mode of Pad is constant, reflect, edge or wrap."""
    mode = op.attributes["mode"]
    return None if mode in MODES else f"the mode is {mode!r}"


def something_kept(op: Operator, graph: Graph) -> str | None:
    """Negative pads leave at least one element of x."""
    if "pads" not in op.attributes:
        return None
    kept = [n + min(0, b) + min(0, a) for n, (b, a) in zip(graph.shape(op.inputs[0]), _pads(op), strict=True)]
    return None if min(kept, default=1) > 0 else f"of {list(graph.shape(op.inputs[0]))}, {kept} are left"


def _lower(op: Operator, lo: Lowering) -> None:
    data, y = op.inputs[0], op.outputs[0]
    source = _padded(op, positions(lo.shape(data)), -1)
    if (source >= 0).all():
        carry(lo, y, data, source)
        return
    want = _stored(op, lo)
    x = lo.read(data, want.format, want.quant)
    out = lo.write(y, want.format, want.quant)
    fill(lo, out, op.attributes["value"])
    target = np.flatnonzero(source >= 0)
    move(lo, x, Buffer(out.edge, Access.UPDATE), source.flat[target], target)


def _stored(op: Operator, lo: Lowering) -> EdgeType:
    """As x is stored, its range widened to the value where that lies outside.

    An infinite value becomes the largest that the format has: what matters of it is that it loses every comparison.
    """
    have, value = lo.type_of(operand(lo, op.inputs[0])), op.attributes["value"]
    if have.quant is None or not np.isfinite(value) or covers(have.quant, have.format, value, value):
        return have
    fmt = formats.get(have.format)
    low, high = (have.quant.scale * (end - have.quant.zero_point) for end in (fmt.minimum, fmt.maximum))
    return EdgeType(have.shape, have.format, fmt.params(min(low, value), max(high, value)))


PAD = register(
    OpSpec(
        name="Pad",
        onnx=("Pad", "CenterCropPad"),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(constant_pads, known_mode, something_kept),
        carries=True,
        family="layout",
        lowerings=carrying(_lower),
        samples=(
            Sample("Pad", (given(5), fixed([2, 1]))),
            Sample("Pad", (given(1, 3, 4), fixed([0, 0, 1, 0, 0, 2])), name="inner"),
            Sample("Pad", (given(2, 3), fixed([0, 2, 1, -1]), fixed(0.25, dtype="float32")), name="value-and-crop"),
            Sample("Pad", (given(2, 3), fixed([1, 0, 0, 1]), fixed(-7.5, dtype="float32")), name="value-outside"),
            Sample("Pad", (given(2, 5), fixed([0, -1, -1, -2])), name="crop"),
            Sample("Pad", (given(2, 3), fixed([1, 2]), None, fixed([-1])), name="axes"),
            Sample("Pad", (given(1, 2, 5), fixed([0, 0, 3, 0, 0, 4])), {"mode": "reflect"}, opset=11),
            Sample("Pad", (given(2, 3, 4), fixed([1, 1, 2, 1, 2, 0])), {"mode": "reflect"}, name="all-axes"),
            Sample("Pad", (given(3, 4), fixed([2, 1, 0, 3])), {"mode": "edge"}),
            Sample("CenterCropPad", (given(5, 4, 3), fixed([2, 7])), {"axes": [0, -1]}),
            Sample("Pad", (given(3, 4), fixed([1, 2, 2, 1])), {"mode": "wrap"}, opset=19),
        ),
    )
)
