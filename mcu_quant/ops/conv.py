"""Conv: y[n, o, i, j] = activation(b[o] + sum_{c, a, d} x[n, c, i S + a D - P, j S' + d D' - P'] * w[o, c, a, d]).

In one or two spatial axes, with groups; w and b are constants. Canonical attributes: kernel_shape, strides, dilations,
pads (begin..., end...), group, and the limits activation_min and activation_max of a fused activation. Inputs: x,
w [outputs, channels / group, *kernel_shape], and b [outputs] or "".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np

from mcu_quant import fixed, quantise
from mcu_quant.formats import QuantParams, ScaleKind
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    HALF_ON_HELIUM,
    Canonical,
    Counts,
    Formats,
    Kernel,
    Near,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    given,
    register,
    register_kernel,
    weight,
)
from mcu_quant.ops.common import columns, packing
from mcu_quant.ops.common.window import Window, as_maps, as_row, convolve, explicit, geometry
from mcu_quant.ops.gemm import limits
from mcu_quant.ops.rescale import POW2, Sums, rescale
from mcu_quant.program import Access, Buffer, Call, Constant, Program, Struct, Symbol

# --- the operator --------------------------------------------------------------------------------------------------


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Type of y."""
    x, w = types[0], types[1]
    assert x and w
    rank = len(x.shape) - 2
    size = Window.of(op).output((1, *x.shape[2:])[-2:])
    return (TensorType((x.shape[0], w.shape[0], *size[2 - rank :]), x.dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula above, in floats."""
    x, w = inputs[0], inputs[1]
    y = convolve(as_maps(x), as_maps(w), Window.of(op), op.attributes["group"])
    return (finish(op, y, inputs[2] if len(inputs) > 2 else None, x.ndim),)


def finish(op: Operator, sums: Array, bias: Array | None, rank: int) -> Array:
    """Bias, fused activation, and the rank of the model's tensors."""
    if bias is not None:
        sums = sums + bias[:, None, None]
    low, high = limits(op)
    if (low, high) != (-inf, inf):
        sums = np.clip(sums, np.float32(low), np.float32(high))
    return sums if rank == 4 else sums[:, :, 0]


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """auto_pad becomes pads, defaults become explicit."""
    w = node.shape(op.inputs[1])
    attributes = explicit(op, node.shape(op.inputs[0])[2:], w[2:])
    attributes["group"] = int(op.attributes.get("group", 1))
    return Canonical((Operator(op.name, "Conv", op.inputs, op.outputs, attributes),))


def constant_weights(op: Operator, graph: Graph) -> str | None:
    """The weights and the bias of a convolution are constants."""
    computed = [n for n in op.inputs[1:] if n and n not in graph.constants]
    return f"{', '.join(map(repr, computed))} is computed at run time" if computed else None


def one_or_two_axes(op: Operator, graph: Graph) -> str | None:
    """Convolution has one or two spatial axes; a pool may have three."""
    axes = len(graph.shape(op.inputs[0])) - 2
    return None if axes in (1, 2) else f"this one has {axes}"


def window_fits(op: Operator, graph: Graph) -> str | None:
    """The window of a convolution or pooling is no longer than the padded map."""
    if one_or_two_axes(op, graph) or op.attributes.get("ceil_mode"):
        return None
    return Window.of(op).too_long(maps_of(graph.shape(op.inputs[0])))


def macs(op: Operator, graph: Graph) -> int:
    """Every tap of every window, those in the pads too."""
    return prod(graph.shape(op.outputs[0])) * prod(graph.shape(op.inputs[1])[1:])


# --- the kernels ---------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    s = call.args["s"]
    assert isinstance(s, Struct)
    f: Any = s.fields
    windows = f["batch"] * f["out_height"] * f["out_width"]
    outputs = windows * f["groups"] * f["outputs"]
    taps = f["kernel_height"] * f["kernel_width"] * f["channels"]
    # products come in runs: the channels of a tap, or the taps of a row where there is one channel
    runs = f["kernel_height"] * (1 if f["channels"] == 1 else f["kernel_width"])
    if not isinstance(call.args.get("patch"), Buffer):
        return Counts(macs=outputs * taps, elements=outputs, units=outputs * runs)
    # each window is laid out first, in 16 bits; then two are gone over with all weights
    laid_out = 2 * windows * f["groups"] * taps
    return Counts(macs=outputs * taps, elements=outputs, moved=laid_out, passes=(windows + 1) // 2)


def window_of(s: dict[str, Any]) -> Window:
    """The window that a C shape struct describes, with what trailing pads its output needs."""
    pairs = {n: (s[f"{n}_height"], s[f"{n}_width"]) for n in ("in", "out", "kernel", "stride", "dilation")}
    leading = (s["pad_top"], s["pad_left"])
    trailing = [
        (pairs["out"][i] - 1) * pairs["stride"][i]
        + (pairs["kernel"][i] - 1) * pairs["dilation"][i]
        + 1
        - pairs["in"][i]
        - leading[i]
        for i in (0, 1)
    ]
    return Window(pairs["kernel"], pairs["stride"], pairs["dilation"], (*leading, trailing[0], trailing[1]))


def operands(x: Array, w: Array, s: dict[str, Any]) -> tuple[Array, Array]:
    """Stored x and w as maps and [outputs, channels, kernel height, kernel width], in f64.

    Sums of products in f64 are exact: every partial sum of the formats used here stays below 2**53.
    """
    maps = x.reshape(s["batch"], s["groups"] * s["channels"], s["in_height"], s["in_width"])
    weights = w.reshape(s["groups"] * s["outputs"], s["kernel_height"], s["kernel_width"], s["channels"])
    return maps.astype(np.float64), weights.transpose(0, 3, 1, 2).astype(np.float64)


def requantised(acc: Array, p: dict[str, Any], dtype: type[np.generic]) -> Array:
    """From exact sums [batch, outputs, ...], in f64, to stored results."""
    acc = acc.astype(np.int64) + p["bias"][:, None, None]
    m, shift = p["multiplier"][:, None, None], p["shift"][:, None, None]
    if "narrow" in p:
        y = fixed.requantise64(acc, p["narrow"], m, shift)
    else:
        y = fixed.requantise(acc, m, shift) + p["y_zero"]
    return fixed.saturate(y, p["low"], p["high"]).astype(dtype)


def _exact(
    x: Array, w: Array, s: dict[str, Any], p: dict[str, Any], dtype: type[np.generic] = np.int8, patch: None = None
) -> Array:
    maps, weights = operands(x, w, s)
    return requantised(convolve(maps, weights, window_of(s), s["groups"], p.get("x_zero", 0)), p, dtype)


def _exact_s16(x: Array, w: Array, s: dict[str, Any], p: dict[str, Any], patch: None = None) -> Array:
    return _exact(x, w, s, p, np.int16)


#: Kernels that lay out what a window reads in a buffer `patch`.
WITH_PATCH = ("mq_conv_s8", "mq_conv_s8_s16", "mq_conv_s16")
PACK: Mapping[tuple[str, str], packing.Pack] = {("dsp", "w"): packing.PAIRS_FOR_S16}
#: How Helium's packed rows are read: chunks of so many columns, by the format of x.
CHUNKS = {"s8": 16, "s16": 8}

for _format, _spec in {
    "f32": None,
    "f16": None,
    "w8_f32": None,
    "w8_f16": None,
    "s8": _exact,
    "s8_s16": _exact_s16,
    "s16": _exact_s16,
    "s16s16": _exact_s16,
}.items():
    _chunks = packing.CHUNKS_FOR_S16 if _format == "s16" else packing.CHUNKS_FOR_S8
    _pack = {**PACK, ("mve", "w"): _chunks} if f"mq_conv_{_format}" in WITH_PATCH else {}
    _near: Mapping[str, Near] = {}
    if _format == "f16":
        _pack = {("dsp", "w"): packing.HALF_ROWS, ("mve", "w"): packing.HALF_OUTPUTS}
        _near = HALF_ON_HELIUM
    register_kernel(Kernel(f"mq_conv_{_format}", "conv", counts=_counts, exact=_spec, pack=_pack, near=_near))


def _exact_depthwise(*, map: None = None, **args: Any) -> Array:
    return _exact(**args)


def _exact_depthwise_s16(*, map: None = None, **args: Any) -> Array:
    return _exact_s16(**args)


for _format, _by_channel in (("s8", _exact_depthwise), ("s8_s16", _exact_depthwise_s16), ("s16", _exact_depthwise_s16)):
    register_kernel(Kernel(f"mq_depthwise_{_format}", "conv", counts=_counts, exact=_by_channel))


# --- lowering ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Layer:
    """What lowering knows of a convolution, transposed or not, whatever the format. `matrix` is one row per output."""

    family: str
    shape: Struct
    matrix: Array
    bias: Array | None
    #: as the matrix: see `quantise.rows`
    steps: Array | None = None


def matrix(w: Array) -> Array:
    """One row per output: taps in row-major order, the channels of a tap together."""
    return as_maps(w).transpose(0, 2, 3, 1).reshape(len(w), -1)


def sizes(op: Operator, lo: Lowering, w: Shape) -> dict[str, int]:
    """Fields that the shape structs of both convolutions begin with; channels and outputs are those of one group."""
    group = op.attributes["group"]
    return {"batch": lo.shape(op.inputs[0])[0], "groups": group, "channels": w[1], "outputs": w[0] // group}


def maps_of(shape: Sequence[int]) -> tuple[int, int]:
    """(height, width) of a tensor; height 1 where it has one spatial axis."""
    return (shape[2], shape[3]) if len(shape) == 4 else (1, shape[2])


def layer(op: Operator, lo: Lowering) -> Layer:
    """Shape struct and weights."""
    window, size, output = as_row(Window.of(op), maps_of(lo.shape(op.inputs[0])), maps_of(lo.shape(op.outputs[0])))
    w = lo.weights_of(op.inputs[1])
    shape = lo.struct("mq_conv_shape", **sizes(op, lo, w.shape), **geometry(window, size, output))
    steps = lo.steps_of(op.inputs[1])
    return Layer("mq_conv", shape, matrix(w), bias_of(op, lo), None if steps is None else matrix(steps))


def bias_of(op: Operator, lo: Lowering) -> Array | None:
    """The bias as a constant, if there is one."""
    return lo.weights_of(op.input(2)) if op.input(2) else None


def lower_float(op: Operator, lo: Lowering, it: Layer) -> None:
    """The call of a convolution in f32 or f16."""
    assert lo.formats
    fmt = lo.formats.input
    low, high = limits(op)
    kernel = f"{it.family}_{fmt}"
    lo.call(
        kernel,
        x=lo.read(op.inputs[0]),
        w=lo.matrix(kernel, "w", it.matrix, fmt, hint=f"{op.name}:weights", groups=op.attributes["group"]),
        b=Symbol("NULL") if it.bias is None else lo.constant(it.bias, "f32", hint=f"{op.name}:bias"),
        y=lo.write(op.outputs[0]),
        **_half_room(lo, kernel, it),
        s=it.shape,
        p=lo.struct(f"{it.family}_float_params", low=low, high=high),
    )


def _lower_weight_only(op: Operator, lo: Lowering) -> None:
    lower_weight_only(op, lo, layer(op, lo))


def lower_weight_only(op: Operator, lo: Lowering, it: Layer) -> None:
    """The call of a convolution with s8 weights, everything else in floats."""
    assert lo.formats
    known = columns.known(lo, op.inputs[1], it.steps)
    weights, scale, bias = quantise.for_floats(it.matrix, it.bias, known)
    kernel, low, high = f"{it.family}_w8_{lo.formats.input}", *limits(op)
    lo.call(
        kernel,
        x=lo.read(op.inputs[0]),
        w=lo.matrix(kernel, "w", weights, "s8", hint=f"{op.name}:weights", comment="scale per row"),
        y=lo.write(op.outputs[0]),
        s=it.shape,
        p=lo.struct(
            f"{it.family}_scaled_params",
            bias=lo.constant(np.zeros(len(weights)) if bias is None else bias, "f32", hint=f"{op.name}:bias"),
            scale=lo.constant(scale, "f32", hint=f"{op.name}:scale", kind="table"),
            low=low,
            high=high,
        ),
    )


def lower_integer(op: Operator, lo: Lowering, it: Layer, fold_zero: bool) -> None:
    """The call of a convolution in integers.

    `fold_zero`: the bias holds the input's zero point; else the kernel subtracts it from every value.
    """
    assert lo.formats
    f, weight_format = lo.formats, lo.formats.weight
    assert weight_format
    read = columns.read(lo, op.inputs[0], op.inputs[1], it.matrix, f.input, prod(lo.shape(op.inputs[0])[2:]))
    x, y = read.operand, lo.write(op.outputs[0])
    x_quant, y_quant = lo.type_of(x).quant, lo.type_of(y).quant
    assert x_quant and y_quant
    wide = weight_format == "s16"
    # x - x_zero has one bit more than x: the accumulator is proven with one bit less
    bits = 62 if wide else 32 if fold_zero or not x_quant.zero_point else 31
    zero = x_quant if fold_zero else QuantParams(x_quant.scale)
    known = read.known(lo, op.inputs[1], it.steps)
    real = read.matrix(it.matrix)
    rows = quantise.rows(real, it.bias, zero, f.input, weight_format, accumulator_bits=bits, known=known)
    narrow = max(0, rows.accumulator_bits - 32) if wide else 0
    multiplier, shift = quantise.factors(rows.scale * x_quant.scale / y_quant.scale * 2.0**narrow)
    low, high = quantise.clamp(*limits(op), y_quant, f.output)
    family = "mq_depthwise" if _is_depthwise(it) and not wide else it.family
    kernel = f"{family}_{'s16s16' if wide else f.input if f.input == f.output else f'{f.input}_{f.output}'}"

    def table(array: Array, fmt: str, hint: str) -> Constant:
        return lo.constant(array, fmt, hint=f"{op.name}:{hint}", kind="table")

    lo.call(
        kernel,
        x=x,
        w=lo.matrix(
            kernel,
            "w",
            rows.weights,
            weight_format,
            hint=f"{op.name}:weights",
            groups=op.attributes["group"],
            comment="scale per row",
        ),
        y=y,
        **_room(lo, kernel, it),
        s=it.shape,
        p=lo.struct(
            f"{it.family}_{'wide_' if wide else ''}params",
            bias=lo.constant(rows.bias, "s64" if wide else "s32", hint=f"{op.name}:bias"),
            multiplier=table(multiplier, "s32", "multiplier"),
            shift=table(shift, "s8", "shift"),
            **({"narrow": narrow} if wide else {"x_zero": x_quant.zero_point, "y_zero": y_quant.zero_point}),
            low=low,
            high=high,
        ),
    )


def lower_frame(op: Operator, lo: Lowering, it: Layer, fold_zero: bool) -> None:
    """The call of a convolution of an input with the scale of the frame, and what makes floats of its sums."""
    assert lo.formats
    shape, fmt = lo.shape(op.outputs[0]), lo.formats.input
    inner = prod(lo.shape(op.inputs[0])[2:])
    # taps outside the map are stored as the zero point, so that it may be folded wherever the kernel knows it
    x, x_scale, read = columns.read_frame(lo, op.inputs[0], op.inputs[1], it.matrix, fmt, inner)
    quant = lo.type_of(x).quant
    assert quant
    zero = QuantParams(1.0, quant.zero_point if fold_zero else 0)
    doubled = not fold_zero and quant.zero_point != 0
    known = read.known(lo, op.inputs[1], it.steps, biased=False)
    real, bits = read.matrix(it.matrix), 31 if doubled else 32
    rows = quantise.rows(real, None, zero, fmt, "s8", accumulator_bits=bits, known=known)
    sums = Sums.of(rows, doubled)
    multiplier, shift = quantise.factors(sums.to_stored)
    kernel = f"{'mq_depthwise' if _is_depthwise(it) else it.family}_{'s16' if fmt == 's16' else 's8_s16'}"
    made = lo.temporary(shape, "s16", QuantParams(1.0), "sums")
    groups = {"groups": op.attributes["group"]}
    lo.call(
        kernel,
        x=x,
        w=lo.matrix(kernel, "w", rows.weights, "s8", hint=f"{op.name}:weights", **groups, comment="scale per row"),
        y=Buffer(made, Access.WRITE),
        **_room(lo, kernel, it),
        s=it.shape,
        p=lo.struct(
            f"{it.family}_params",
            bias=lo.constant(rows.bias, "s32", hint=f"{op.name}:zero", kind="table"),
            multiplier=lo.constant(multiplier, "s32", hint=f"{op.name}:multiplier", kind="table"),
            shift=lo.constant(shift, "s8", hint=f"{op.name}:shift", kind="table"),
            x_zero=quant.zero_point,
            y_zero=0,
            low=-32768,
            high=32767,
        ),
    )
    extent = (shape[0], shape[1], prod(shape[2:]))
    rescale(lo, made, x_scale, lo.write(op.outputs[0]), sums, it.bias, extent, limits(op))


def _room(lo: Lowering, kernel: str, it: Layer) -> dict[str, Any]:
    """The parameter `map` or `patch` of the kernels that have one."""
    f: Any = it.shape.fields
    if kernel.startswith("mq_depthwise"):
        sizes = _padded(f)
        # as far as Helium's vectors reach beyond the last window; elsewhere one value, and a channel's widened weights
        taps = f["kernel_height"] * (f["kernel_width"] + f["kernel_width"] % 2)
        beyond = 16 + f["pad_left"] if lo.isa(kernel) == "mve" else 1 + taps
        if lo.isa(kernel) == "scalar" and kernel != "mq_depthwise_s16":
            # words: two values of the map each; two for each tap, and as many for taps that stand alone
            each = f["kernel_height"] * f["kernel_width"]
            return {"map": lo.scratch(2 * prod(sizes) + 8 * each, "s16", "map")}
        return {"map": lo.scratch(prod(sizes) + beyond, "s16", "map")}
    if kernel not in WITH_PATCH:
        return {}
    columns = it.matrix.shape[1]
    if lo.isa(kernel) == "scalar":
        return {"patch": lo.scratch(columns * 4, "s16", "patch")}
    if lo.isa(kernel) == "mve":
        fmt = "s16" if kernel == "mq_conv_s16" else "s8"
        row = packing.chunked_width(columns, CHUNKS[fmt])
        windows = min(4 if row > 512 else 8 if row > 128 else 16, f["out_height"] * f["out_width"])
        # a vector is read at the end of the last window, too
        return {"patch": lo.scratch(-(-windows * row // (1 if fmt == "s16" else 2)) + 8, "s16", "patch")}
    return {"patch": lo.scratch(-(-columns // 4) * 8, "s16", "patch")}


def _half_room(lo: Lowering, kernel: str, it: Layer) -> dict[str, Any]:
    """The parameter `patch` of the kernel in f16.

    On Helium eight windows, unless x is read where it lies; on cores with DSP instructions one window, or a channel and
    its weights in f32.
    """
    if kernel != "mq_conv_f16":
        return {}
    f: Any = it.shape.fields
    isa, columns = lo.isa(kernel), it.matrix.shape[1]
    alone = f["channels"] == f["outputs"] == 1
    one_tap = f["kernel_height"] == f["kernel_width"] == f["stride_height"] == f["stride_width"] == 1
    alike = (f["in_height"], f["in_width"]) == (f["out_height"], f["out_width"])
    alike = alike and f["pad_top"] == f["pad_left"] == 0
    if isa == "dsp":
        return {"patch": lo.scratch(2 * (prod(_padded(f)) + columns) if alone else columns, "f16", "patch")}
    if isa != "mve" or (one_tap and alike) or alone:
        return {"patch": Symbol("NULL")}
    return {"patch": lo.scratch(8 * columns, "f16", "patch")}


def _padded(f: Any) -> list[int]:
    """Height and width of a channel with its pads: what all windows together read."""
    return [
        (f[f"out_{n}"] - 1) * f[f"stride_{n}"] + (f[f"kernel_{n}"] - 1) * f[f"dilation_{n}"] + 1
        for n in ("height", "width")
    ]


def _is_depthwise(it: Layer) -> bool:
    """One channel and one output in each group."""
    f = it.shape.fields
    return it.family == "mq_conv" and f["channels"] == f["outputs"] == 1


def _lower_float(op: Operator, lo: Lowering) -> None:
    lower_float(op, lo, layer(op, lo))


def _lower_integer(op: Operator, lo: Lowering) -> None:
    lower_integer(op, lo, layer(op, lo), fold_zero=True)


def _lower_frame(op: Operator, lo: Lowering) -> None:
    lower_frame(op, lo, layer(op, lo), fold_zero=True)


CONV = register(
    OpSpec(
        name="Conv",
        onnx=("Conv",),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(one_or_two_axes, constant_weights, window_fits),
        family="convolution",
        macs=macs,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32", "f32"), _lower_float, sample_snr_db=120.0),
            OpLowering("f16", Formats("f16", "f16", "f16"), _lower_float, sample_snr_db=60.0),
            OpLowering("f32", Formats("f32", "f32", "s8"), _lower_weight_only, sample_snr_db=38.0),
            OpLowering("f16", Formats("f16", "f16", "s8"), _lower_weight_only, sample_snr_db=38.0),
            OpLowering("s16", Formats("s16", "s16", "s8"), _lower_integer, sample_snr_db=38.0),
            OpLowering("s16", Formats("s16", "s16", "s16"), _lower_integer, sample_snr_db=78.0),
            OpLowering("s8", Formats("s8", "s8", "s8"), _lower_integer, sample_snr_db=32.0),
            OpLowering("s8", Formats("s8", "s16", "s8"), _lower_integer, sample_snr_db=35.0),
            OpLowering("s8", Formats("s8", "f16", "s8"), _lower_frame, sample_snr_db=33.0, scales=(ScaleKind.FRAME,)),
            OpLowering("s8", Formats("s8", "f32", "s8"), _lower_frame, sample_snr_db=33.0, scales=(ScaleKind.FRAME,)),
            OpLowering("s16", Formats("s16", "f16", "s8"), _lower_frame, sample_snr_db=38.0, scales=POW2),
            OpLowering("s16", Formats("s16", "f32", "s8"), _lower_frame, sample_snr_db=38.0, scales=POW2),
        ),
        samples=(
            Sample("Conv", (given(1, 1, 1), weight(1, 1, 1))),
            Sample("Conv", (given(1, 1, 256), weight(3, 1, 64)), {"strides": [48]}, name="spectrum"),
            Sample("Conv", (given(2, 5, 9), weight(4, 5, 3), weight(4)), {"pads": [2, 0], "dilations": [2]}),
            Sample("Conv", (given(1, 6, 4, 5), weight(7, 6, 1, 1), weight(7)), name="pointwise"),
            Sample(
                "Conv", (given(1, 6, 3, 17), weight(6, 1, 3, 3)), {"group": 6, "pads": [0, 1, 0, 1]}, name="depthwise"
            ),
            Sample(
                "Conv",
                (given(1, 4, 8, 7), weight(6, 2, 3, 2), weight(6)),
                {"group": 2, "strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 2, 1]},
                name="grouped",
            ),
            Sample(
                "Conv",
                (given(1, 1, 13, 10), weight(4, 1, 10, 4), weight(4)),
                {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
            ),
            Sample("Conv", (given(1, 3, 8), weight(2, 3, 4), weight(2)), {"auto_pad": "SAME_LOWER"}, opset=11),
            Sample(
                "Conv",
                (given(1, 3, 6, 1), weight(3, 1, 3, 1), weight(3)),
                {"group": 3, "auto_pad": "VALID"},
                name="column",
            ),
        ),
    )
)
