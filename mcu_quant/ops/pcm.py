"""FromPcm, ToPcm: samples of 16 bits as reals, y = x scale, and back, y = sat(round(x / scale)). Attribute: scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant import fixed
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Counts, Formats, Kernel, OpLowering, OpSpec, register, register_kernel
from mcu_quant.program import Call, EdgeType, Program, Scalar


def _counts(program: Program, call: Call) -> Counts:
    n = call.args["n"]
    assert isinstance(n, Scalar)
    return Counts(elements=int(n.value))


register_kernel(Kernel("mq_pcm_to_f32", "audio", counts=_counts))
register_kernel(Kernel("mq_pcm_from_f32", "audio", counts=_counts))


def reference_to_real(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula in float32."""
    return (np.asarray(inputs[0]).astype(np.float32) * np.float32(op.attributes["scale"]),)


def reference_to_pcm(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Nearest, half to even, limited to 16 bits."""
    steps = np.rint(np.asarray(inputs[0], np.float32) * np.float32(1.0 / op.attributes["scale"]))
    return (np.clip(np.nan_to_num(steps, nan=-32768.0), -32768, 32767).astype(np.int16),)


def _to_real(op: Operator, lo: Lowering) -> None:
    x = lo.read(op.inputs[0])
    n, scale = lo.type_of(x).size, float(np.float32(op.attributes["scale"]))
    lo.call("mq_pcm_to_f32", x=x, y=lo.write(op.outputs[0]), n=n, scale=scale)


def _to_pcm(op: Operator, lo: Lowering) -> None:
    x = lo.read(op.inputs[0], "f32")
    n, inverse = lo.type_of(x).size, float(np.float32(1.0 / op.attributes["scale"]))
    lo.call("mq_pcm_from_f32", x=x, y=lo.write(op.outputs[0]), n=n, inverse_scale=inverse)


def _to_real_s16(op: Operator, lo: Lowering) -> None:
    """16 bits are 16 bits: the same memory on the scale of the samples."""
    shape, quant = lo.shape(op.inputs[0]), QuantParams(float(op.attributes["scale"]))
    lo.stored(op.inputs[0])
    lo.view(op.outputs[0], op.inputs[0], type_=EdgeType(shape, "s16", quant))


def _to_pcm_s16(op: Operator, lo: Lowering) -> None:
    x = lo.read(op.inputs[0], "s16")
    type_ = lo.type_of(x)
    assert type_.quant
    multiplier, shift = fixed.multiplier(type_.quant.scale / op.attributes["scale"])
    lo.call(
        "mq_convert_s16_s16",
        x=x,
        y=lo.write(op.outputs[0]),
        n=type_.size,
        x_zero=0,
        multiplier=multiplier,
        shift=shift,
        y_zero=0,
    )


def _shape_of(dtype: str) -> Any:
    def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
        assert types[0]
        return (TensorType(types[0].shape, dtype),)

    return infer


register(
    OpSpec(
        name="FromPcm",
        onnx=(),
        infer=_shape_of("float32"),
        reference=reference_to_real,
        family="audio",
        mixed=True,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _to_real, sample_snr_db=140.0),
            OpLowering("s16", Formats("s16", "s16"), _to_real_s16, sample_snr_db=140.0),
        ),
    )
)

register(
    OpSpec(
        name="ToPcm",
        onnx=(),
        infer=_shape_of("int16"),
        reference=reference_to_pcm,
        family="audio",
        mixed=True,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _to_pcm, sample_snr_db=80.0),
            OpLowering("s16", Formats("s16", "s16"), _to_pcm_s16, sample_snr_db=70.0),
        ),
    )
)
