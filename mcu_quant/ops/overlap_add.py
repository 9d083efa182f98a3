"""OverlapAdd: blocks that overlap as a stream, y = (sum + window x)[:hop], sum' = (sum + window x)[hop:].

Inputs: x [1, length], window [length], sum [length - hop] (a state). Outputs: y [hop], sum'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant import fixed
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Counts, Formats, Kernel, OpLowering, OpSpec, register, register_kernel
from mcu_quant.ops.common.spectrum_s16 import quantised_window
from mcu_quant.program import Call, EdgeType, Program, Scalar


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """y has the samples of x that sum does not have."""
    assert types[1] and types[2]
    return (TensorType((types[1].size - types[2].size,)), types[2])


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula in float32."""
    x, window, sum_ = (np.ravel(np.asarray(v, np.float32)) for v in inputs)
    hop = window.size - sum_.size
    added = np.concatenate([sum_, np.zeros(hop, np.float32)]) + window * x
    return added[:hop], added[hop:]


def _counts(program: Program, call: Call) -> Counts:
    length = call.args["length"]
    assert isinstance(length, Scalar)
    return Counts(macs=int(length.value), elements=int(length.value))


register_kernel(Kernel("mq_overlap_add_f32", "audio", counts=_counts))


def _lower_f32(op: Operator, lo: Lowering) -> None:
    window = lo.weights_of(op.inputs[1])
    kept = lo.shape(op.inputs[2])
    x = lo.read(op.inputs[0])
    lo.call(
        "mq_overlap_add_f32",
        x=x,
        window=lo.constant(window, "f32", hint=f"{op.name}:window", kind="table"),
        sum=lo.update(op.outputs[1], op.inputs[2], EdgeType(kept, "f32")),
        y=lo.write(op.outputs[0]),
        length=window.size,
        hop=window.size - kept[0],
    )


def _exact(
    x: Array, window: Array, sum: Array, length: int, hop: int, multiplier: int, shift: int
) -> tuple[Array, Array]:
    added = np.asarray(window, np.int64) * np.ravel(x).astype(np.int64)
    added[: length - hop] += sum
    y = np.clip(fixed.requantise(added[:hop], multiplier, shift), -32768, 32767)
    return added[hop:].astype(np.int32), y.astype(np.int16)


register_kernel(Kernel("mq_overlap_add_s16", "audio", counts=_counts, exact=_exact))


def _lower_s16(op: Operator, lo: Lowering) -> None:
    weights, kept = lo.weights_of(op.inputs[1]), lo.shape(op.inputs[2])
    hop = weights.size - kept[0]
    x = lo.read(op.inputs[0])
    have = lo.type_of(x).quant
    assert have
    window, step = quantised_window(weights, 32767 // -(-weights.size // hop))
    sum_scale = have.scale * step
    sums = lo.update(op.outputs[1], op.inputs[2], EdgeType(kept, "s32", QuantParams(sum_scale)))
    y = lo.write(op.outputs[0])
    quant = lo.type_of(y).quant
    assert quant
    multiplier, shift = fixed.multiplier(sum_scale / quant.scale)
    lo.call(
        "mq_overlap_add_s16",
        x=x,
        window=lo.constant(window, "s16", hint=f"{op.name}:window", kind="table"),
        sum=sums,
        y=y,
        length=weights.size,
        hop=hop,
        multiplier=multiplier,
        shift=shift,
    )


OVERLAP_ADD = register(
    OpSpec(
        name="OverlapAdd",
        onnx=(),
        infer=infer,
        reference=reference,
        family="audio",
        macs=lambda op, graph: graph.types[op.inputs[1]].size,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_f32, sample_snr_db=120.0),
            OpLowering("s16", Formats("s16", "s16"), _lower_s16, sample_snr_db=70.0),
        ),
    )
)
