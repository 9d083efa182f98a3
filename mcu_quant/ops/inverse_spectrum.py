"""InverseSpectrum: the real signal of a spectrum, x = irfft(mask y), one block per frame.

Inputs: y [frames, fft/2 + 1, 2], and a mask [.., fft/2 + 1] or complex [.., fft/2 + 1, 2] with as many frames, where
there is one. Output: [frames, fft]. Attributes: fft; mask, "none", "real" or "complex". Imaginary parts at 0 Hz and at
half the rate count as zero, as in numpy and torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Counts, Formats, Kernel, OpLowering, OpSpec, register, register_kernel
from mcu_quant.ops.common import fft, spectrum_s16
from mcu_quant.ops.spectrum import fast_length, transform_counts
from mcu_quant.program import Access, Buffer, Call, Program, Scalar, Struct


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """[frames, fft]."""
    assert types[0]
    return (TensorType((types[0].shape[0], op.attributes["fft"])),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula in float64."""
    pairs = np.asarray(inputs[0], np.float64)
    spectra = pairs[..., 0] + 1j * pairs[..., 1]
    if op.attributes["mask"] == "real":
        spectra = spectra * np.reshape(inputs[1], spectra.shape)
    elif op.attributes["mask"] == "complex":
        mask = np.reshape(np.asarray(inputs[1], np.float64), (*spectra.shape, 2))
        spectra = spectra * (mask[..., 0] + 1j * mask[..., 1])
    return (np.fft.irfft(spectra, op.attributes["fft"]).astype(np.float32),)


def _masked_counts(program: Program, call: Call) -> Counts:
    n = call.args["n"]
    assert isinstance(n, Scalar)
    return Counts(elements=2 * int(n.value))


register_kernel(Kernel("mq_masked_f32", "audio", counts=_masked_counts, inplace=(("x", "y"),)))
register_kernel(Kernel("mq_inverse_spectrum_f32", "spectrum", counts=transform_counts))


def _lower_f32(op: Operator, lo: Lowering) -> None:
    points, kind = op.attributes["fft"], op.attributes["mask"]
    x = spectrum_s16.as_floats(lo, op.inputs[0]) or lo.read(op.inputs[0])
    frames, bins = lo.shape(op.inputs[0])[0], points // 2 + 1
    if kind != "none":
        mask = lo.read(op.inputs[1])
        masked = lo.temporary((frames, bins, 2), "f32", hint="masked")
        y, complex_mask = Buffer(masked, Access.WRITE), int(kind == "complex")
        lo.call("mq_masked_f32", x=x, mask=mask, y=y, n=frames * bins, complex_mask=complex_mask)
        x = Buffer(masked, Access.READ)
    lo.call(
        "mq_inverse_spectrum_f32",
        x=x,
        twiddles=lo.constant(fft.twiddles(points), "f32", hint=f"{op.name}:twiddles", kind="table"),
        y=lo.write(op.outputs[0]),
        work=lo.scratch(points, "f32"),
        p=_params(op, lo),
    )


def _params(op: Operator, lo: Lowering) -> Struct:
    points, frames = op.attributes["fft"], lo.shape(op.inputs[0])[0]
    sizes = {"frames": frames, "hop": points, "length": points, "fft": points}
    return lo.struct("mq_spectrum_params", **sizes, radices=fft.field(points))


def _lower_s16(op: Operator, lo: Lowering) -> None:
    spectrum_s16.lower_inverse(op, lo, _params(op, lo))


INVERSE_SPECTRUM = register(
    OpSpec(
        name="InverseSpectrum",
        onnx=(),
        infer=infer,
        reference=reference,
        constraints=(fast_length,),
        family="audio",
        macs=lambda op, graph: graph.shape(op.inputs[0])[0] * fft.macs(op.attributes["fft"]),
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_f32, sample_snr_db=110.0),
            OpLowering("s16", Formats("s16", "s16"), _lower_s16, sample_snr_db=70.0),
        ),
    )
)
