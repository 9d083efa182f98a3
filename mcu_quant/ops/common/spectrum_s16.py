"""Spectrum and InverseSpectrum in fixed point: the specifications of their kernels, and their lowerings.

Spectra are s32 with one exponent per frame, an edge of whole numbers beside them (`scale_edge`). Where the model reads
them, or levels of them, they are narrowed to s16 of a calibrated scale; where only a back end does, they stay.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log2
from typing import Any

import numpy as np

from mcu_quant import fixed
from mcu_quant.formats import QuantParams, ScaleKind
from mcu_quant.ir import Array, Operator
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Counts, Kernel, register_kernel
from mcu_quant.ops.common import fft, fixed_fft
from mcu_quant.program import Access, Buffer, Call, Constant, Program, Scalar, Struct, Symbol, scale_edge

# --- specifications --------------------------------------------------------------------------------------------------


def _frames(x: Array, p: dict[str, Any]) -> list[Array]:
    return [np.ravel(x)[t * p["hop"] : t * p["hop"] + p["length"]] for t in range(p["frames"])]


def _exact_spectrum(x: Array, window: Array, twiddles: Array, p: dict[str, Any]) -> tuple[Array, Array]:
    made = [fixed_fft.spectrum(frame, window, twiddles, p["fft"]) for frame in _frames(x, p)]
    return np.stack([y for y, _ in made]).astype(np.int32), np.array([e for _, e in made], np.int32)


def _exact_features(x: Array, window: Array, twiddles: Array, p: dict[str, Any], f: dict[str, Any]) -> Array:
    return np.stack([_features(*fixed_fft.spectrum(frame, window, twiddles, p["fft"]), f) for frame in _frames(x, p)])


def _features(spectrum: fixed_fft.Ints, exponent: int, f: dict[str, Any]) -> Array:
    levels = fixed_fft.power(spectrum) if f["power"] else fixed_fft.magnitude(spectrum)
    e = 2 * exponent if f["power"] else exponent
    if f["bands"]:
        weights, at, sums = np.asarray(f["weights"], np.int64), 0, []
        for first, count in zip(f["first"], f["count"], strict=True):
            used = levels[first : first + int(count)] >> (15 if f["power"] else 0)
            sums.append(int(used @ weights[at : at + int(count)]))
            at += int(count)
        levels = np.array(sums, np.int64)
    if not isinstance(f["log2_table"], np.ndarray):
        return fixed_fft.level_s16(levels, f["m"], f["exponent"] - e).astype(np.int16)
    logs = np.array([_log2_level(int(v), e, f) for v in levels])
    made = fixed.requantise(np.maximum(logs, f["floor"]), f["m"], f["exponent"])
    return np.clip(made, -32768, 32767).astype(np.int16)


def _log2_level(level: int, exponent: int, f: dict[str, Any]) -> int:
    shift, down = f["offset_exponent"] + exponent, 0
    if f["offset_m"]:
        down = max(0, shift - 31)
        level >>= down
        level += f["offset_m"] << (shift - down) if shift >= 0 else f["offset_m"] >> -shift
    if not level:
        return -(2**31)
    return int(fixed_fft.log2(level, f["log2_table"])) + (down - exponent) * 65536 + int(f["log2_step"])


def _exact_narrowed(x: Array, exponents: Array, frames: int, n: int, m: int, exponent: int) -> Array:
    e = exponent - np.asarray(exponents, np.int64).reshape(frames, 1)
    return fixed_fft.narrowed(np.reshape(x, (frames, n)), m, e)


def _exact_levels(x: Array, exponents: Array, frames: int, n: int, power: int, m: int, exponent: int) -> Array:
    pairs = np.asarray(x, np.int64).reshape(frames, n, 2)
    levels = fixed_fft.power(pairs) if power else fixed_fft.magnitude(pairs)
    of_frame = np.asarray(exponents, np.int64).reshape(frames, 1) * (2 if power else 1)
    return fixed_fft.level_s16(levels, m, exponent - of_frame).astype(np.int16)


def _exact_widened(x: Array, frames: int, n: int) -> tuple[Array, Array]:
    return np.asarray(x, np.int32), np.zeros(frames, np.int32)


def _exact_masked(x: Array, mask: Array, frames: int, n: int, complex_mask: int) -> Array:
    v = np.asarray(x, np.int64).reshape(frames * n, 2)
    if complex_mask:
        w = np.asarray(mask, np.int64).reshape(frames * n, 2)
        re = v[:, 0] * w[:, 0] - v[:, 1] * w[:, 1]
        wide = np.stack([re, v[:, 0] * w[:, 1] + v[:, 1] * w[:, 0]], axis=1)
    else:
        wide = v * np.asarray(mask, np.int64).reshape(frames * n, 1)
    return ((wide + (1 << 14)) >> 15).astype(np.int32)


def _exact_inverse(x: Array, exponents: Array, twiddles: Array, p: dict[str, Any], m: int, exponent: int) -> Array:
    spectra, points = np.reshape(x, (p["frames"], -1)), p["fft"]
    pairs = zip(spectra, np.ravel(exponents), strict=True)
    return np.stack([fixed_fft.inverse(s, int(e), twiddles, points, m, exponent) for s, e in pairs])


# --- counts ----------------------------------------------------------------------------------------------------------


def _transforms(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    frames, points = p.fields["frames"], p.fields["fft"]
    assert isinstance(frames, int) and isinstance(points, int)
    return Counts(macs=frames * (fft.macs(points) + points), elements=frames * 2 * points, units=frames)


def _with_bands(program: Program, call: Call) -> Counts:
    work, y = _transforms(program, call), call.args["y"]
    f = call.args["f"]
    assert isinstance(y, Buffer) and isinstance(f, Struct)
    weights = f.fields["weights"]
    more = program.constants[weights.name].array.size if isinstance(weights, Constant) else 0
    size = program.edges[y.edge].type.size
    return Counts(macs=work.macs + work.units * more, elements=work.elements, units=work.units + size)


def _values(program: Program, call: Call) -> Counts:
    frames, n = call.args["frames"], call.args["n"]
    assert isinstance(frames, Scalar) and isinstance(n, Scalar)
    return Counts(elements=int(frames.value) * int(n.value))


for _name, _counts, _exact in (
    ("mq_spectrum_s16", _transforms, _exact_spectrum),
    ("mq_features_s16", _with_bands, _exact_features),
    ("mq_narrowed_spectrum_s16", _values, _exact_narrowed),
    ("mq_levels_s16", _values, _exact_levels),
    ("mq_widened_spectrum_s16", _values, _exact_widened),
    ("mq_inverse_spectrum_s16", _transforms, _exact_inverse),
):
    register_kernel(Kernel(_name, "spectrum", counts=_counts, exact=_exact))
register_kernel(
    Kernel("mq_masked_spectrum_s16", "spectrum", counts=_values, exact=_exact_masked, inplace=(("x", "y"),))
)
register_kernel(Kernel("mq_spectrum_to_f32", "spectrum", counts=_values))


# --- lowerings -------------------------------------------------------------------------------------------------------


def quantised_window(window: Array, largest: int = 32767) -> tuple[Array, float]:
    """A window in whole numbers of 16 bits, and the real value of one step."""
    step = float(np.max(np.abs(window))) / largest
    return np.rint(np.asarray(window, np.float64) / step).astype(np.int16), step


def _twiddles(op: Operator, lo: Lowering) -> Constant:
    table = fixed_fft.q31(fft.twiddles(op.attributes["fft"]))
    return lo.constant(table, "s32", hint=f"{op.name}:twiddles", kind="table")


def lower_spectrum(op: Operator, lo: Lowering, params: Struct, spans: Callable[[Array], Any]) -> None:
    """Spectrum in s16: transform and, in one kernel or behind it, what the model reads."""
    a = op.attributes
    x = lo.read(op.inputs[0])
    have = lo.type_of(x).quant
    assert have
    window, step = quantised_window(lo.weights_of(op.inputs[1]))
    unit = have.scale * step * 2.0**15
    common: dict[str, Any] = {
        "x": x,
        "window": lo.constant(window, "s16", hint=f"{op.name}:window", kind="table"),
        "twiddles": _twiddles(op, lo),
    }
    frames, bins, power = a["frames"], a["fft"] // 2 + 1, int(a["value"] == "power")
    plain = a["value"] == "complex" or not (op.input(2) or a["logarithm"])
    if op.output(1) or a["value"] == "complex":
        spectra = op.output(1) or lo.temporary((frames, bins, 2), "s32", hint="spectra")
        quant = QuantParams(unit, kind=ScaleKind.FRAME_POW2)
        y, exponents = lo.write_frames(spectra, "s32", quant, (frames, bins, 2), frames)
        lo.call("mq_spectrum_s16", **common, y=y, exponents=exponents, work=lo.scratch(a["fft"], "s32"), p=params)
        if plain and op.outputs[0]:
            _narrowed(op, lo, spectra, unit, power)
    if op.outputs[0] and not (plain and (op.output(1) or a["value"] == "complex")):
        work = lo.scratch(2 * a["fft"] + 2, "s32")
        y = lo.write(op.outputs[0])
        scale = lo.type_of(y).quant
        assert scale
        f = _fixed(op, lo, unit, scale.scale, spans)
        lo.call("mq_features_s16", **common, y=y, work=work, p=params, f=f)


def _narrowed(op: Operator, lo: Lowering, spectra: str, unit: float, power: int) -> None:
    """The first output from spectra that are there: their parts, magnitudes or powers."""
    frames, bins = op.attributes["frames"], op.attributes["fft"] // 2 + 1
    y = lo.write(op.outputs[0])
    scale = lo.type_of(y).quant
    assert scale
    m, exponent = fixed_fft.dyadic((unit * unit if power else unit) / scale.scale)
    given: dict[str, Any] = {"x": Buffer(spectra, Access.READ), "exponents": Buffer(scale_edge(spectra), Access.READ)}
    if op.attributes["value"] == "complex":
        lo.call("mq_narrowed_spectrum_s16", **given, y=y, frames=frames, n=2 * bins, m=m, exponent=exponent)
    else:
        lo.call("mq_levels_s16", **given, y=y, frames=frames, n=bins, power=power, m=m, exponent=exponent)


def _fixed(op: Operator, lo: Lowering, unit: float, y_scale: float, spans: Callable[[Array], Any]) -> Struct:
    """Parameters of bands and logarithm."""
    a, null = op.attributes, Symbol("NULL")
    power = int(a["value"] == "power")
    level = unit * unit if power else unit
    fields: dict[str, Any] = {"power": power, "bands": 0, "first": null, "count": null, "weights": null}
    if op.input(2):
        first, count, weights = spans(lo.weights_of(op.inputs[2]))
        step = float(np.max(weights)) / 32767
        level *= step * (2.0**15 if power else 1.0)
        tables = (("first", first), ("count", count), ("weights", np.rint(weights / step)))
        fields["bands"] = len(first)
        for name, values in tables:
            fields[name] = lo.constant(np.array(values), "u16", hint=f"{op.name}:{name}", kind="table")
    fields |= {"log2_table": null, "log2_step": 0, "floor": 0, "offset_m": 0, "offset_exponent": 0}
    if a["logarithm"]:
        floor, offset, factor = a["logarithm"]
        table = lo.constant(fixed_fft.log2_table(), "s32", hint="log2", kind="table")
        least = max(floor + offset, 1.1754944e-38)
        fields |= {"log2_table": table, "log2_step": round(log2(level) * 65536), "floor": round(log2(least) * 65536)}
        if offset:
            fields["offset_m"], fields["offset_exponent"] = fixed_fft.dyadic(offset / level)
        fields["m"], fields["exponent"] = fixed.multiplier(factor * np.log(2.0) / 65536 / y_scale)
    else:
        fields["m"], fields["exponent"] = fixed_fft.dyadic(level / y_scale)
    return lo.struct("mq_features_fixed", **fields)


def spectra_of(lo: Lowering, edge: str) -> tuple[Buffer, Buffer, float] | None:
    """Spectra with exponents, those, and the unit of both; None where an edge is stored otherwise."""
    quant = lo.stored(edge).quant
    if quant is None or quant.kind is not ScaleKind.FRAME_POW2:
        return None
    return Buffer(edge, Access.READ), Buffer(scale_edge(edge), Access.READ), quant.scale


def lower_inverse(op: Operator, lo: Lowering, params: Struct) -> None:
    """InverseSpectrum in s16."""
    frames, bins, kind = lo.shape(op.inputs[0])[0], op.attributes["fft"] // 2 + 1, op.attributes["mask"]
    x, exponents, unit = spectra_of(lo, op.inputs[0]) or _widened(op, lo, frames, bins)
    if kind != "none":
        mask = lo.read(op.inputs[1])
        scale = lo.type_of(mask).quant
        assert scale
        unit *= scale.scale * 2.0**15
        y = Buffer(lo.temporary((frames, bins, 2), "s32", hint="masked"), Access.WRITE)
        complex_mask = int(kind == "complex")
        lo.call("mq_masked_spectrum_s16", x=x, mask=mask, y=y, frames=frames, n=bins, complex_mask=complex_mask)
        x = Buffer(y.edge, Access.READ)
    made = lo.write(op.outputs[0])
    quant = lo.type_of(made).quant
    assert quant
    m, exponent = fixed_fft.dyadic(unit / op.attributes["fft"] / quant.scale)
    lo.call(
        "mq_inverse_spectrum_s16",
        x=x,
        exponents=exponents,
        twiddles=_twiddles(op, lo),
        y=made,
        work=lo.scratch(2 * op.attributes["fft"], "s32"),
        p=params,
        m=m,
        exponent=exponent,
    )


def _widened(op: Operator, lo: Lowering, frames: int, bins: int) -> tuple[Buffer, Buffer, float]:
    """A spectrum in s16 with exponents 0."""
    x = lo.read(op.inputs[0])
    quant = lo.type_of(x).quant
    assert quant
    wide = lo.temporary((frames, bins, 2), "s32", hint="wide")
    y, exponents = lo.write_frames(wide, "s32", quant, (frames, bins, 2), frames)
    lo.call("mq_widened_spectrum_s16", x=x, y=y, exponents=exponents, frames=frames, n=2 * bins)
    return Buffer(wide, Access.READ), Buffer(exponents.edge, Access.READ), quant.scale


def as_floats(lo: Lowering, edge: str) -> Buffer | None:
    """Spectra with exponents as floats, for an operator in f32; None where an edge is stored otherwise."""
    found = spectra_of(lo, edge)
    if found is None:
        return None
    x, exponents, unit = found
    frames, *rest = lo.shape(edge)
    made = lo.temporary(lo.shape(edge), "f32", hint="floats")
    size = int(np.prod(rest))
    y = Buffer(made, Access.WRITE)
    lo.call("mq_spectrum_to_f32", x=x, exponents=exponents, y=y, frames=frames, n=size, scale=float(np.float32(unit)))
    return Buffer(made, Access.READ)
