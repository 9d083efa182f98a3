"""LpNormalization: y = x / norm of x along an axis, the sum of magnitudes (p = 1) or the root of the sum of squares.

Attributes: `axis` (not negative), `p` (1 or 2). Where the norm is 0, so is y. In integers, p = 2 along the last axis is
the kernel of RMSNormalization with a gain of 1 / sqrt(n).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    Canonical,
    Formats,
    Kernel,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    given,
    normalise_axis,
    register,
    register_kernel,
    same_as_input,
)
from mcu_quant.ops.layer_normalization import Rows, lower_integer, short_rows
from mcu_quant.ops.reduce import counts
from mcu_quant.ops.softmax import extent


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Numpy's sums."""
    x, axis = inputs[0], op.attributes["axis"]
    if op.attributes["p"] == 1:
        norm = np.abs(x).sum(axis=axis, keepdims=True)
    else:
        norm = np.sqrt(np.square(x).sum(axis=axis, keepdims=True))
    return (np.divide(x, norm, out=np.zeros_like(x), where=norm > 0),)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Axis and p explicit."""
    axis = normalise_axis(int(op.attributes.get("axis", -1)), len(node.shape(op.inputs[0])))
    attributes = {"axis": axis, "p": int(op.attributes.get("p", 2))}
    return Canonical((Operator(op.name, op.op, op.inputs, op.outputs, attributes),))


def _lower_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    outer, count, inner = extent(lo.shape(op.inputs[0]), op.attributes["axis"])
    x, y = lo.read(op.inputs[0]), lo.write(op.outputs[0])
    power = int(op.attributes["p"])
    lo.call(f"mq_lp_normalise_{lo.formats.input}", x=x, y=y, outer=outer, count=count, inner=inner, power=power)


def _lower_integer(op: Operator, lo: Lowering) -> None:
    outer, count, _ = extent(lo.shape(op.inputs[0]), op.attributes["axis"])
    gain = np.full((1, 1), 1.0 / np.sqrt(count))
    lower_integer(op, lo, Rows(outer, count, gain, None, 0.0, centre=False))


def _applies(op: Operator, graph: Graph) -> str | None:
    shape, axis = graph.shape(op.inputs[0]), op.attributes["axis"]
    if op.attributes["p"] != 2 or prod(shape[axis + 1 :]) > 1:
        return "in integers there is only p = 2, along the last axis"
    return short_rows(shape[axis])


for _fmt in ("f32", "f16"):
    register_kernel(Kernel(f"mq_lp_normalise_{_fmt}", "normalise", counts=counts, inplace=(("x", "y"),)))

LP_NORMALIZATION = register(
    OpSpec(
        name="LpNormalization",
        onnx=("LpNormalization",),
        infer=same_as_input,
        reference=reference,
        canonicalise=canonicalise,
        family="normalisation",
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_float, sample_snr_db=120.0),
            OpLowering("f16", Formats("f16", "f16"), _lower_float, sample_snr_db=64.0),
            OpLowering("s16", Formats("s16", "s16"), _lower_integer, sample_snr_db=84.0, applies=_applies),
            OpLowering("s8", Formats("s8", "s8"), _lower_integer, sample_snr_db=38.0, applies=_applies),
        ),
        samples=(
            Sample("LpNormalization", (given(1, 128),)),
            Sample("LpNormalization", (given(2, 3, 5),), {"axis": 1}),
            Sample("LpNormalization", (given(2, 9),), {"p": 1}),
        ),
    )
)
