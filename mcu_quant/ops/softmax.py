"""Softmax along one axis, y = e^(x - max) / sum e^(x - max), and LogSoftmax, its logarithm.

Attribute `axis`, not negative. Before opset 13 ONNX takes all axes from `axis` on together: such a node stands between
two views. In integers Softmax has a fixed output scale, because probabilities need no calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, log, log2, prod
from typing import Any

import numpy as np

from mcu_quant import fixed, fixed_functions, formats
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Operator, Shape, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    HALF_ON_HELIUM,
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
from mcu_quant.ops.reduce import counts
from mcu_quant.program import Struct

#: Probabilities by output format, where the model has no scale of its own for them.
PROBABILITY = {"s8": QuantParams(1.0 / 256.0, -128), "s16": QuantParams(1.0 / 32768.0)}

# --- the operators -------------------------------------------------------------------------------------------------


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Numpy, with the largest value subtracted first."""
    x, axis = inputs[0], op.attributes["axis"]
    shifted = x - x.max(axis=axis, keepdims=True)
    exp = np.exp(shifted)
    total = exp.sum(axis=axis, keepdims=True)
    return (np.asarray(exp / total if op.op == "Softmax" else shifted - np.log(total)),)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Axis explicit; before opset 13, all axes from it on as one."""
    x, y, shape = op.inputs[0], op.outputs[0], node.shape(op.inputs[0])
    joint = node.opset < 13
    axis = normalise_axis(int(op.attributes.get("axis", 1 if joint else -1)), len(shape))
    if not joint or prod(shape[axis:]) == prod(shape[axis : axis + 1]):
        return Canonical((Operator(op.name, op.op, (x,), (y,), {"axis": axis}),))
    flat, result = f"{op.name}:flat", f"{op.name}:result"
    type_ = TensorType((prod(shape[:axis]), prod(shape[axis:])), node.type(x).dtype)
    steps = (
        Operator(flat, "Reshape", (x,), (flat,), {"shape": type_.shape}),
        Operator(op.name, op.op, (flat,), (result,), {"axis": 1}),
        Operator(f"{op.name}:unflat", "Reshape", (result,), (y,), {"shape": shape}),
    )
    return Canonical(steps, {}, {flat: type_, result: type_})


def extent(shape: Shape, axis: int) -> tuple[int, int, int]:
    """(outer, count, inner): elements before, along and after an axis."""
    return prod(shape[:axis]), prod(shape[axis : axis + 1]), prod(shape[axis + 1 :])


# --- the kernels ---------------------------------------------------------------------------------------------------


def _powers(below: Array, multiplier: int, shift: int) -> Array:
    """2**-(multiples of distances) in Q30."""
    return fixed_functions.exp2_negative(fixed.requantise(below, multiplier, shift))


def _exponentials(x: Array, p: dict[str, Any]) -> tuple[Array, Array]:
    """Distances to the largest value, and 2**-(their multiples) in Q30; both [outer, count, inner]."""
    values = x.astype(np.int64).reshape(p["outer"], p["count"], p["inner"])
    below = values.max(axis=1, keepdims=True) - values
    if "powers" in p:
        return below, p["powers"].astype(np.int64)[below]
    return below, _powers(below, p["multiplier"], p["shift"])


def _exact_softmax_s8(x: Array, p: dict[str, Any]) -> Array:
    _, exp = _exponentials(x, p)
    total = exp.sum(axis=1, keepdims=True)
    bits = fixed_functions.bit_length(total)
    top = total >> (bits - 16)
    wanted = bits + 1 - p["y_shift"]
    quotient = (p["y_multiplier"] + (top >> 1)) // top
    factor = np.where(wanted > 31, 0, np.where(wanted < 1, 65536, quotient))
    part = fixed.rshr((exp >> 15) * factor, np.clip(wanted, 1, 31))
    return fixed.saturate(part + p["y_zero"], -128, 127).astype(np.int8)


def _exact_softmax_s16(x: Array, p: dict[str, Any]) -> Array:
    values = x.astype(np.int64).reshape(p["outer"], p["count"], p["inner"])
    below = values.max(axis=1, keepdims=True) - values
    exp = p["coarse"].astype(np.int64)[below >> 8] * p["fine"].astype(np.int64)[below & 255] >> 32
    multiplier, shift = fixed_functions.reciprocal(exp.sum(axis=1, keepdims=True))
    multiplier = fixed.mulhr(multiplier, p["y_multiplier"])
    part = fixed.requantise(exp, multiplier, np.clip(shift + p["y_shift"], -31, 31))
    return fixed.saturate(part, -32768, 32767).astype(np.int16)


def _exact_log_softmax(fmt: str) -> Callable[..., Array]:
    target = formats.get(fmt)

    def exact(x: Array, p: dict[str, Any]) -> Array:
        below, exp = _exponentials(x, p)
        logarithm = fixed_functions.log2(exp.sum(axis=1, keepdims=True)) - (30 << 24)
        offset = fixed.requantise(logarithm, p["log_multiplier"], p["log_shift"])
        scaled = fixed.requantise(below, p["x_multiplier"], p["x_shift"])
        y = p["y_zero"] - fixed.rshr(scaled + offset, p["fraction"])
        return fixed.saturate(y, target.minimum, target.maximum).astype(target.dtype)

    return exact


for _fmt in ("f32", "f16"):
    for _name in ("softmax", "log_softmax"):
        _near = HALF_ON_HELIUM if (_name, _fmt) == ("softmax", "f16") else {}
        register_kernel(Kernel(f"mq_{_name}_{_fmt}", "softmax", counts=counts, inplace=(("x", "y"),), near=_near))
for _name, _exact in (
    ("mq_softmax_s8", _exact_softmax_s8),
    ("mq_softmax_s16", _exact_softmax_s16),
    ("mq_log_softmax_s8", _exact_log_softmax("s8")),
    ("mq_log_softmax_s16", _exact_log_softmax("s16")),
):
    register_kernel(Kernel(_name, "softmax", counts=counts, exact=_exact, inplace=(("x", "y"),)))


# --- lowering ------------------------------------------------------------------------------------------------------


def _lower_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    name = "softmax" if op.op == "Softmax" else "log_softmax"
    outer, count, inner = extent(lo.shape(op.inputs[0]), op.attributes["axis"])
    x, y = lo.read(op.inputs[0]), lo.write(op.outputs[0])
    lo.call(f"mq_{name}_{lo.formats.input}", x=x, y=y, outer=outer, count=count, inner=inner)


def _lower_softmax(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt = lo.formats.output
    x = lo.read(op.inputs[0])
    y_quant = lo.scales.own(op.outputs[0], fmt) or PROBABILITY[fmt]
    y = lo.write(op.outputs[0], quant=y_quant)
    quant = lo.type_of(x).quant
    assert quant
    y_multiplier, y_shift = fixed.multiplier(1.0 / y_quant.scale)
    over, to_y = _over(op, lo, quant), {"y_multiplier": y_multiplier, "y_shift": y_shift}
    if fmt == "s8":
        powers = _powers(np.arange(256), over.pop("multiplier"), over.pop("shift"))
        table = lo.constant(powers, "s32", hint=f"{op.name}:powers", kind="table")
        p = lo.struct("mq_softmax_s8_params", **over, powers=table, **to_y, y_zero=y_quant.zero_point)
    else:
        del over["multiplier"], over["shift"]
        steps = np.arange(256)
        coarse = np.rint(2.0**30 * np.exp(-256.0 * quant.scale * steps)).astype(np.int32)
        fine = np.minimum(np.rint(2.0**31 * np.exp(-quant.scale * steps)), 2.0**31 - 1).astype(np.int32)
        tables = {
            "coarse": lo.constant(coarse, "s32", hint=f"{op.name}:coarse", kind="table"),
            "fine": lo.constant(fine, "s32", hint=f"{op.name}:fine", kind="table"),
        }
        p = lo.struct("mq_softmax_s16_params", **over, **tables, **to_y)
    lo.call(f"mq_softmax_{fmt}", x=x, y=y, p=p)


def _over(op: Operator, lo: Lowering, x: QuantParams) -> dict[str, int]:
    """Extent, and what brings a difference of stored values to a power of two in Q24."""
    outer, count, inner = extent(lo.shape(op.inputs[0]), op.attributes["axis"])
    multiplier, shift = fixed.multiplier(x.scale / log(2.0) * 2.0**24)
    return {"outer": outer, "count": count, "inner": inner, "multiplier": multiplier, "shift": shift}


def _lower_log_softmax(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt = lo.formats.input
    x, y = lo.read(op.inputs[0]), lo.write(op.outputs[0])
    qx, qy = lo.type_of(x).quant, lo.type_of(y).quant
    assert qx and qy
    over = _over(op, lo, qx)
    span = (formats.get(fmt).maximum - formats.get(fmt).minimum) * qx.scale
    fraction = max(0, min(20, floor(29 - log2(max(span, log(over["count"])) / qy.scale))))
    x_multiplier, x_shift = fixed.multiplier(qx.scale / qy.scale * 2.0**fraction)
    log_multiplier, log_shift = fixed.multiplier(log(2.0) * 2.0**-24 / qy.scale * 2.0**fraction)
    p: Struct = lo.struct(
        "mq_log_softmax_params",
        **over,
        x_multiplier=x_multiplier,
        x_shift=x_shift,
        log_multiplier=log_multiplier,
        log_shift=log_shift,
        fraction=fraction,
        y_zero=qy.zero_point,
    )
    lo.call(f"mq_log_softmax_{fmt}", x=x, y=y, p=p)


def _samples(name: str) -> tuple[Sample, ...]:
    return (
        Sample(name, (given(1, 12, low=-6.0, high=6.0),)),
        Sample(name, (given(1, 1),)),
        Sample(name, (given(1, 2, 99, 99, low=-4.0, high=4.0),)),
        Sample(name, (given(2, 7, 3, low=-9.0, high=3.0),), {"axis": 1}),
        Sample(name, (given(4, 5, low=-3.0, high=3.0),), {"axis": -2}, opset=13),
        Sample(name, (given(2, 3, 4, low=-3.0, high=3.0),), opset=11),
        Sample(name, (given(2, 3, 4, low=-3.0, high=3.0),), {"axis": -1}, opset=11),
    )


for _op, _lower, _snr_db in (
    ("Softmax", _lower_softmax, (60.0, 62.0, 22.0)),
    ("LogSoftmax", _lower_log_softmax, (64.0, 84.0, 40.0)),
):
    register(
        OpSpec(
            name=_op,
            onnx=(_op,),
            infer=same_as_input,
            reference=reference,
            canonicalise=canonicalise,
            family="softmax",
            lowerings=(
                OpLowering("f32", Formats("f32", "f32"), _lower_float, sample_snr_db=120.0),
                OpLowering("f16", Formats("f16", "f16"), _lower_float, sample_snr_db=_snr_db[0]),
                OpLowering("s16", Formats("s16", "s16"), _lower, sample_snr_db=_snr_db[1]),
                OpLowering("s8", Formats("s8", "s8"), _lower, sample_snr_db=_snr_db[2]),
            ),
            samples=_samples(_op),
        )
    )
