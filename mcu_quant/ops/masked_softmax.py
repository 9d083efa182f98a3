"""MaskedSoftmax: the softmax of each row over the elements that a mask keeps, 0 elsewhere.

Inputs x and keep, truth values that broadcast to the shape of x; rows run along the last axis. Attribute `empty`: what
a row holds in which nothing is kept. No operator of ONNX: `passes/masks.py` makes it of a softmax whose input holds
minus infinity, or numbers like -1e9 that stand for it, so that no edge has to store such numbers beside the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log, prod
from typing import Any

import numpy as np

from mcu_quant import fixed, fixed_functions, formats
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Counts, Formats, Kernel, OpLowering, OpSpec, register, register_kernel
from mcu_quant.ops.softmax import PROBABILITY
from mcu_quant.program import Call, Program, Struct

# --- the operator --------------------------------------------------------------------------------------------------


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """That of x."""
    assert types[0]
    return (types[0],)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Numpy, with the largest kept value subtracted first."""
    x = np.asarray(inputs[0])
    keep = np.broadcast_to(inputs[1], x.shape)
    some = keep.any(axis=-1, keepdims=True)
    largest = np.max(x, axis=-1, keepdims=True, where=keep, initial=-np.inf)
    exp = np.where(keep, np.exp(np.where(keep, x, 0) - np.where(some, largest, 0)), 0)
    total = np.where(some, exp.sum(axis=-1, keepdims=True), 1)
    return (np.where(some, exp / total, op.attributes["empty"]).astype(x.dtype),)


def rows_repeat(op: Operator, graph: Graph) -> str | None:
    """The mask of a row repeats with a period: only the first axes of the mask may be shorter than those of x."""
    x, keep = (graph.shape(i) for i in op.inputs)
    return None if period(x, keep) else f"x has shape {list(x)}, the mask {list(keep)}"


def period(x: Shape, keep: Shape) -> int | None:
    """After how many rows a mask repeats; None if it does not."""
    full = (1,) * (len(x) - len(keep)) + tuple(keep)
    axis = len(x)
    while axis and full[axis - 1] == x[axis - 1]:
        axis -= 1
    return prod(full[axis:-1]) if axis < len(x) and set(full[:axis]) <= {1} else None


# --- the kernels ---------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    rows, count = p.fields["rows"], p.fields["count"]
    assert isinstance(rows, int) and isinstance(count, int)
    return Counts(elements=rows * count, units=rows)


def _exact(fmt: str) -> Callable[..., Array]:
    target = formats.get(fmt)

    def exact(x: Array, keep: Array, p: dict[str, Any]) -> Array:
        values = x.astype(np.int64).reshape(p["rows"], p["count"])
        kept = np.resize(keep.astype(bool).reshape(p["period"], p["count"]), values.shape)
        largest = np.max(values, axis=1, keepdims=True, where=kept, initial=target.minimum)
        below = fixed.requantise(np.where(kept, largest - values, 0), p["multiplier"], p["shift"])
        exp = np.where(kept, fixed_functions.exp2_negative(below), 0)
        some = kept.any(axis=1, keepdims=True)
        multiplier, shift = fixed_functions.reciprocal(np.where(some, exp.sum(axis=1, keepdims=True), 1))
        multiplier = fixed.mulhr(multiplier, p["y_multiplier"])
        part = fixed.requantise(exp, multiplier, np.clip(shift + p["y_shift"], -31, 31))
        y = np.where(kept, p["y_zero"] + part, np.where(some, p["y_zero"], p["empty"]))
        return fixed.saturate(y, target.minimum, target.maximum).astype(target.dtype)

    return exact


for _fmt in ("f32", "f16", "s16", "s8"):
    register_kernel(
        Kernel(
            f"mq_masked_softmax_{_fmt}",
            "masked_softmax",
            counts=_counts,
            exact=_exact(_fmt) if _fmt.startswith("s") else None,
            inplace=(("x", "y"),),
        )
    )


# --- lowering ------------------------------------------------------------------------------------------------------


def _extent(op: Operator, lo: Lowering) -> dict[str, int]:
    x, keep = (lo.shape(i) for i in op.inputs)
    repeats = period(x, keep)
    assert repeats
    return {"rows": prod(x[:-1]), "count": x[-1], "period": repeats}


def _lower_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    lo.call(
        f"mq_masked_softmax_{lo.formats.input}",
        x=lo.read(op.inputs[0]),
        keep=lo.read(op.inputs[1], "b8"),
        y=lo.write(op.outputs[0]),
        p=lo.struct("mq_masked_softmax_float_params", **_extent(op, lo), empty=float(op.attributes["empty"])),
    )


def _lower_integer(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt = lo.formats.output
    x = lo.read(op.inputs[0])
    have, made = lo.type_of(x).quant, lo.scales.own(op.outputs[0], fmt) or PROBABILITY[fmt]
    assert have
    multiplier, shift = fixed.multiplier(have.scale / log(2.0) * 2.0**24)
    y_multiplier, y_shift = fixed.multiplier(1.0 / made.scale)
    empty = int(formats.get(fmt).quantise(np.array(op.attributes["empty"]), made))
    p = lo.struct(
        "mq_masked_softmax_params",
        **_extent(op, lo),
        multiplier=multiplier,
        shift=shift,
        y_multiplier=y_multiplier,
        y_shift=y_shift,
        y_zero=made.zero_point,
        empty=empty,
    )
    keep = lo.read(op.inputs[1], "b8")
    lo.call(f"mq_masked_softmax_{fmt}", x=x, keep=keep, y=lo.write(op.outputs[0], quant=made), p=p)


MASKED_SOFTMAX = register(
    OpSpec(
        name="MaskedSoftmax",
        onnx=(),
        infer=infer,
        reference=reference,
        constraints=(rows_repeat,),
        mixed=True,
        family="softmax",
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_float, sample_snr_db=120.0),
            OpLowering("f16", Formats("f16", "f16"), _lower_float, sample_snr_db=60.0),
            OpLowering("s16", Formats("s16", "s16"), _lower_integer, sample_snr_db=62.0),
            OpLowering("s8", Formats("s8", "s8"), _lower_integer, sample_snr_db=22.0),
        ),
    )
)
