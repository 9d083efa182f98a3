"""Spectrum: features of frames of a signal, y[t] = log(bands(|FFT(window x[t hop ..])|)), and the spectra themselves.

Inputs: x [samples], window [length], and bands [fft/2 + 1, bands] where levels of bins are summed. Outputs: the
features [frames, fft/2 + 1, 2] (real and imaginary parts), [frames, fft/2 + 1] (levels) or [frames, bands], and, where
somebody reads them, the spectra [frames, fft/2 + 1, 2] that they were made of.

Attributes: frames, hop, fft; value, "complex", "magnitude" or "power"; logarithm, None or (floor, offset, factor) of
factor ln(max(y, floor) + offset). Built by pipelines (`mcu_quant/audio`); the front end is one operator, because what
lies between its steps spans more than 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Counts, Formats, Kernel, OpLowering, OpSpec, register, register_kernel
from mcu_quant.ops.common import fft, spectrum_s16
from mcu_quant.program import Access, Buffer, Call, Program, Struct, Symbol


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """As above."""
    a, bands = op.attributes, types[2] if len(types) > 2 else None
    spectra = TensorType((a["frames"], a["fft"] // 2 + 1, 2))
    levels = TensorType((a["frames"], bands.shape[1] if bands else a["fft"] // 2 + 1))
    return (spectra if a["value"] == "complex" else levels, spectra)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula in float64."""
    a, x, window = op.attributes, np.asarray(inputs[0], np.float64), np.asarray(inputs[1], np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(x, window.size)[:: a["hop"]][: a["frames"]]
    spectra = np.fft.rfft(frames * window, a["fft"])
    pairs = np.stack([spectra.real, spectra.imag], axis=-1).astype(np.float32)
    if a["value"] == "complex":
        return pairs, pairs
    levels = np.abs(spectra) ** (2 if a["value"] == "power" else 1)
    if len(inputs) > 2:
        levels = levels @ np.asarray(inputs[2], np.float64)
    if a["logarithm"]:
        floor, offset, factor = a["logarithm"]
        levels = factor * np.log(np.maximum(levels, floor) + offset)
    return np.asarray(levels, np.float32), pairs


def fast_length(op: Operator, graph: Graph) -> str | None:
    """The points of a spectrum are an even number whose half has no prime factors but 2, 3 and 5."""
    points = op.attributes["fft"]
    return None if fft.is_fast(points) else f"this one has {points}"


def spans(bands: Array) -> tuple[list[int], list[int], Array]:
    """First bin and number of bins of each band, and the weights between, one band after the other."""
    first, count, weights = [], [], []
    for column in np.asarray(bands).T:
        used = np.flatnonzero(column)
        start, stop = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
        first.append(start)
        count.append(stop - start)
        weights.append(column[start:stop])
    return first, count, np.concatenate(weights)


# --- the kernels -----------------------------------------------------------------------------------------------------


def _frames(call: Call) -> tuple[int, int, int]:
    """Frames, points and window of a call."""
    p = call.args["p"]
    assert isinstance(p, Struct)
    frames, points, length = p.fields["frames"], p.fields["fft"], p.fields["length"]
    assert isinstance(frames, int) and isinstance(points, int) and isinstance(length, int)
    return frames, points, length


def transform_counts(program: Program, call: Call) -> Counts:
    """Multiplications of the transforms, window and result visited once."""
    frames, points, length = _frames(call)
    return Counts(macs=frames * (fft.macs(points) + length), elements=frames * 2 * points, units=frames)


def _magnitude_counts(program: Program, call: Call) -> Counts:
    x = call.args["x"]
    assert isinstance(x, Buffer)
    return Counts(elements=program.edges[x.edge].type.size // 2)


def _features_counts(program: Program, call: Call) -> Counts:
    """The transforms, a level for each bin, and a multiplication for each weight."""
    frames, points, _ = _frames(call)
    y = call.args["y"]
    assert isinstance(y, Buffer)
    weights = sum(program.constants[c].array.size for c in call.constants if c.endswith("bands"))
    work = transform_counts(program, call)
    elements = work.elements + frames * (points // 2 + 1) + program.edges[y.edge].type.size
    return Counts(macs=work.macs + frames * weights, elements=elements, units=frames)


register_kernel(Kernel("mq_spectrum_f32", "spectrum", counts=transform_counts))
register_kernel(Kernel("mq_magnitude_f32", "spectrum", counts=_magnitude_counts))
register_kernel(Kernel("mq_features_f32", "spectrum", counts=_features_counts))


# --- lowering --------------------------------------------------------------------------------------------------------


def _transform(op: Operator, lo: Lowering) -> Struct:
    a = op.attributes
    length = lo.weights_of(op.inputs[1]).size
    sizes = {"frames": a["frames"], "hop": a["hop"], "length": length, "fft": a["fft"]}
    return lo.struct("mq_spectrum_params", **sizes, radices=fft.field(a["fft"]))


def _bands(op: Operator, lo: Lowering) -> tuple[Struct, Array | None]:
    power = int(op.attributes["value"] == "power")
    if not op.input(2):
        null = Symbol("NULL")
        return lo.struct("mq_bands", power=power, bands=0, first=null, count=null), None
    first, count, weights = spans(lo.weights_of(op.inputs[2]))
    tables = {
        name: lo.constant(np.array(values), "u16", hint=f"{op.name}:{name}", kind="table")
        for name, values in (("first", first), ("count", count))
    }
    return lo.struct("mq_bands", power=power, bands=len(first), **tables), weights


def _lower_f32(op: Operator, lo: Lowering) -> None:
    a = op.attributes
    size = lo.shape(op.inputs[0])
    common: dict[str, Any] = {
        "x": lo.read(op.inputs[0]),
        "window": lo.constant(lo.weights_of(op.inputs[1]), "f32", hint=f"{op.name}:window", kind="table"),
        "twiddles": lo.constant(fft.twiddles(a["fft"]), "f32", hint=f"{op.name}:twiddles", kind="table"),
    }
    assert len(size) == 1
    spectra = (a["value"] == "complex" and op.outputs[0]) or op.output(1)
    if spectra:
        y = lo.write(spectra)
        lo.call("mq_spectrum_f32", **common, y=y, work=lo.scratch(a["fft"], "f32"), p=_transform(op, lo))
    if a["value"] == "complex" and op.outputs[0] and op.output(1):
        lo.view(op.outputs[1], op.outputs[0])
    if a["value"] == "complex" or not op.outputs[0]:
        return
    plain = not op.input(2) and not a["logarithm"]
    if spectra and plain:
        n, power = a["frames"] * (a["fft"] // 2 + 1), int(a["value"] == "power")
        lo.call("mq_magnitude_f32", x=Buffer(spectra, Access.READ), y=lo.write(op.outputs[0]), n=n, power=power)
        return
    bands, weights = _bands(op, lo)
    floor, offset, factor = (float(v) for v in a["logarithm"] or (0.0, 0.0, 1.0))
    lo.call(
        "mq_features_f32",
        **common,
        weights=Symbol("NULL") if weights is None else lo.constant(weights, "f32", hint=f"{op.name}:bands"),
        y=lo.write(op.outputs[0]),
        work=lo.scratch(2 * a["fft"] + 2, "f32"),
        p=_transform(op, lo),
        bands=bands,
        log=lo.struct("mq_logarithm", taken=int(bool(a["logarithm"])), floor=floor, offset=offset, factor=factor),
    )


def _lower_s16(op: Operator, lo: Lowering) -> None:
    spectrum_s16.lower_spectrum(op, lo, _transform(op, lo), spans)


def _macs(op: Operator, graph: Graph) -> int:
    a = op.attributes
    each = fft.macs(a["fft"]) + graph.types[op.inputs[1]].size
    if op.input(2):
        each += int(np.count_nonzero(graph.constants[op.inputs[2]]))
    return int(a["frames"] * each)


SPECTRUM = register(
    OpSpec(
        name="Spectrum",
        onnx=(),
        infer=infer,
        reference=reference,
        constraints=(fast_length,),
        family="audio",
        macs=_macs,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_f32, sample_snr_db=110.0),
            OpLowering("s16", Formats("s16", "s16"), _lower_s16, sample_snr_db=70.0),
        ),
    )
)
