"""ConvTranspose: each x[n, c, i, j] adds x * w[o, c, a, d] to y[n, o, i S + a D - P, j S' + d D' - P'], then b[o].

In one or two spatial axes, with groups; w and b are constants. Canonical attributes are those of Conv and
output_padding; inputs: x, w [channels, outputs / group, *kernel_shape] as ONNX has it, and b [outputs] or "". With
stride 1 it is a convolution with the kernel reversed, and becomes Conv.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd, prod
from typing import Any

import numpy as np

from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    HALF_ON_HELIUM,
    Canonical,
    Counts,
    Formats,
    Kernel,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    given,
    register,
    register_kernel,
    weight,
)
from mcu_quant.ops.common import packing
from mcu_quant.ops.common.window import Window, as_maps, as_row, geometry, split_pads, spread
from mcu_quant.ops.conv import (
    Layer,
    bias_of,
    constant_weights,
    finish,
    lower_float,
    lower_frame,
    lower_integer,
    lower_weight_only,
    maps_of,
    matrix,
    one_or_two_axes,
    operands,
    requantised,
    sizes,
)
from mcu_quant.ops.rescale import POW2
from mcu_quant.program import Call, Program, Struct

# --- the operator --------------------------------------------------------------------------------------------------


def natural_size(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Positions of one axis that some input reaches."""
    return (size - 1) * stride + (kernel - 1) * dilation + 1


def output_size(op: Operator, size: Sequence[int]) -> tuple[int, ...]:
    """Spatial shape of the output, from canonical attributes."""
    a = op.attributes
    rank = len(size)
    return tuple(
        natural_size(size[i], a["kernel_shape"][i], a["strides"][i], a["dilations"][i])
        + a["output_padding"][i]
        - a["pads"][i]
        - a["pads"][i + rank]
        for i in range(rank)
    )


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Type of y."""
    x, w = types[0], types[1]
    assert x and w
    channels = w.shape[1] * op.attributes["group"]
    return (TensorType((x.shape[0], channels, *output_size(op, x.shape[2:])), x.dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula above, in floats."""
    x, w = inputs[0], outputs_first(inputs[1], op.attributes["group"])
    output = (1, *output_size(op, x.shape[2:]))
    y = spread(as_maps(x), as_maps(w), Window.of(op), op.attributes["group"], (output[-2], output[-1]))
    return (finish(op, y, inputs[2] if len(inputs) > 2 else None, x.ndim),)


def outputs_first(w: Array, group: int) -> Array:
    """Weights as Conv has them: [outputs, channels / group, *kernel_shape]."""
    channels, outputs, *kernel = w.shape
    parts = w.reshape(group, channels // group, outputs, *kernel).swapaxes(1, 2)
    return parts.reshape(group * outputs, channels // group, *kernel)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """auto_pad and output_shape become pads and output_padding, defaults become explicit."""
    w = node.constant(op.inputs[1])
    if w is None:
        return Canonical((replace(op, op="ConvTranspose"),))
    size = node.shape(op.inputs[0])[2:]
    made = replace(op, op="ConvTranspose", attributes=_attributes(op, size, w.shape[2:]))
    name = f"{op.name}:weights"
    conv = _as_conv(made, name)
    if conv is None or output_size(made, size) != node.shape(op.outputs[0])[2:]:
        return Canonical((made,))
    reverse = np.flip(outputs_first(w, made.attributes["group"]), tuple(range(2, w.ndim))).copy()
    return Canonical((conv,), {name: reverse}, {name: TensorType(reverse.shape)})


def _attributes(op: Operator, size: Sequence[int], kernel: Sequence[int]) -> dict[str, Any]:
    rank = len(size)
    given_ = op.attributes
    strides = tuple(given_.get("strides") or (1,) * rank)
    dilations = tuple(given_.get("dilations") or (1,) * rank)
    padding = tuple(given_.get("output_padding") or (0,) * rank)
    pads = tuple(given_.get("pads") or (0,) * (2 * rank))
    auto = given_.get("auto_pad", "NOTSET")
    full = [natural_size(*axis) + extra for *axis, extra in zip(size, kernel, strides, dilations, padding, strict=True)]
    wanted = given_.get("output_shape")
    if not wanted and auto.startswith("SAME"):
        wanted = [min(f, n * s) for f, n, s in zip(full, size, strides, strict=True)]
    if wanted:
        # more than every input reaches is padding at the end
        padding = tuple(p + max(0, want - f) for p, want, f in zip(padding, wanted, full, strict=True))
        total = [max(0, f - want) for f, want in zip(full, wanted, strict=True)]
        pads = split_pads(total, upper=auto == "SAME_UPPER")
    elif auto == "VALID":
        pads = (0,) * (2 * rank)
    return {
        "kernel_shape": tuple(kernel),
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "output_padding": padding,
        "group": int(given_.get("group", 1)),
    }


def _as_conv(op: Operator, weights: str) -> Operator | None:
    """With stride 1, output i is the sum over k of x[i + P - k D] w[k]: a window that reads backwards.

    Its pads are (k - 1) D - P at the beginning and, with the padding of the output, at the end. None where one of them
    would be negative.
    """
    a = op.attributes
    rank = len(a["strides"])
    reach = [(k - 1) * d for k, d in zip(a["kernel_shape"], a["dilations"], strict=True)] * 2
    extra = [0] * rank + list(a["output_padding"])
    pads = tuple(r - p + e for r, p, e in zip(reach, a["pads"], extra, strict=True))
    if set(a["strides"]) != {1} or min(pads) < 0:
        return None
    kept = {k: v for k, v in a.items() if k != "output_padding"}
    return Operator(op.name, "Conv", (op.inputs[0], weights, *op.inputs[2:]), op.outputs, {**kept, "pads": pads})


def agreed_shape(op: Operator, graph: Graph) -> str | None:
    """ONNX and the runtimes agree on the size of the output of a transposed convolution.

    They do not for auto_pad SAME with output_padding, nor for an output_shape smaller than the input.
    """
    if not {"kernel_shape", "output_padding", "dilations"} <= op.attributes.keys():
        return None
    made = output_size(op, graph.shape(op.inputs[0])[2:])
    said = graph.shape(op.outputs[0])[2:]
    return None if made == said else f"the output is {list(made)} to some and {list(said)} to others"


def macs(op: Operator, graph: Graph) -> int:
    """Every input meets every tap; what falls outside the output is counted too."""
    return prod(graph.shape(op.inputs[0])) * prod(graph.shape(op.inputs[1])[1:])


# --- the kernels ---------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    s = call.args["s"]
    assert isinstance(s, Struct)
    f: Any = s.fields
    outputs = f["batch"] * f["groups"] * f["outputs"]
    taps = f["kernel_height"] * f["kernel_width"] * f["channels"]
    elements = outputs * f["out_height"] * f["out_width"]
    return Counts(macs=outputs * taps * f["in_height"] * f["in_width"], elements=elements, units=elements)


def _exact(x: Array, w: Array, s: dict[str, Any], p: dict[str, Any], dtype: type[np.generic] = np.int8) -> Array:
    maps, weights = operands(x, w, s)
    window = Window(
        (s["kernel_height"], s["kernel_width"]),
        (s["stride_height"], s["stride_width"]),
        (s["dilation_height"], s["dilation_width"]),
        (s["pad_top"], s["pad_left"], 0, 0),
    )
    sums = spread(maps - p.get("x_zero", 0), weights, window, s["groups"], (s["out_height"], s["out_width"]))
    return requantised(sums, p, dtype)


def _exact_s16(x: Array, w: Array, s: dict[str, Any], p: dict[str, Any]) -> Array:
    return _exact(x, w, s, p, np.int16)


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
    _half = _format == "f16"
    register_kernel(
        Kernel(
            f"mq_conv_transpose_{_format}",
            "conv_transpose",
            counts=_counts,
            exact=_spec,
            pack={("mve", "w"): packing.HALF_OUTPUTS} if _half else {},
            near=HALF_ON_HELIUM if _half else {},
        )
    )


# --- lowering ------------------------------------------------------------------------------------------------------


def layer(op: Operator, lo: Lowering) -> Layer:
    """Shape struct and weights."""
    window, size, output = as_row(Window.of(op), maps_of(lo.shape(op.inputs[0])), maps_of(lo.shape(op.outputs[0])))
    w = outputs_first(lo.weights_of(op.inputs[1]), op.attributes["group"])
    common = [gcd(s, d) for s, d in zip(window.strides, window.dilations, strict=True)]
    shape = lo.struct(
        "mq_conv_transpose_shape",
        **sizes(op, lo, w.shape),
        **geometry(window, size, output),
        tap_step_height=window.strides[0] // common[0],
        tap_step_width=window.strides[1] // common[1],
        tap_move_height=window.dilations[0] // common[0],
        tap_move_width=window.dilations[1] // common[1],
    )
    steps = lo.steps_of(op.inputs[1])
    rows = None if steps is None else matrix(outputs_first(steps, op.attributes["group"]))
    return Layer("mq_conv_transpose", shape, matrix(w), bias_of(op, lo), rows)


def _lower_float(op: Operator, lo: Lowering) -> None:
    lower_float(op, lo, layer(op, lo))


def _lower_weight_only(op: Operator, lo: Lowering) -> None:
    lower_weight_only(op, lo, layer(op, lo))


def _lower_integer(op: Operator, lo: Lowering) -> None:
    lower_integer(op, lo, layer(op, lo), fold_zero=False)


def _lower_frame(op: Operator, lo: Lowering) -> None:
    lower_frame(op, lo, layer(op, lo), fold_zero=False)


CONV_TRANSPOSE = register(
    OpSpec(
        name="ConvTranspose",
        onnx=("ConvTranspose",),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(one_or_two_axes, constant_weights, agreed_shape),
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
            Sample("ConvTranspose", (given(1, 1, 1), weight(1, 1, 1)), {"strides": [2]}),
            Sample("ConvTranspose", (given(2, 4, 7), weight(4, 3, 5), weight(3)), {"strides": [2], "pads": [2, 2]}),
            Sample(
                "ConvTranspose",
                (given(1, 16, 1, 33), weight(16, 8, 1, 5), weight(16)),
                {"group": 2, "strides": [1, 2], "pads": [0, 2, 0, 2]},
                name="decoder",
            ),
            Sample(
                "ConvTranspose",
                (given(1, 6, 11, 9), weight(6, 1, 3, 3), weight(6)),
                {"group": 6, "dilations": [5, 1], "pads": [10, 1, 10, 1]},
                name="depthwise-stride-1",
            ),
            Sample(
                "ConvTranspose",
                (given(1, 3, 4, 5), weight(3, 2, 3, 4)),
                {"strides": [3, 2], "dilations": [2, 4], "pads": [1, 0, 2, 3], "output_padding": [1, 1]},
                name="dilated",
            ),
            Sample(
                "ConvTranspose", (given(1, 2, 5), weight(2, 2, 4)), {"strides": [3], "output_shape": [16]}, opset=11
            ),
            Sample(
                "ConvTranspose",
                (given(1, 2, 5, 4), weight(2, 2, 3, 3)),
                {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
            ),
        ),
    )
)
