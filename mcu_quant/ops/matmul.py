"""MatMul: y[..., m, n] = sum_k a[..., m, k] * b[..., k, n], leading axes broadcast as numpy does.

For two activations, or a constant that is not a matrix on the right: ONNX's MatMul with a constant matrix is Gemm, and
`ops/gemm.py` leaves the rest to this operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant import fixed
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    HALF_ON_HELIUM,
    Counts,
    Formats,
    Kernel,
    OpLowering,
    OpSpec,
    Sample,
    given,
    register,
    register_kernel,
    weight,
)
from mcu_quant.program import Call, Program, Struct, Symbol

# --- the operator --------------------------------------------------------------------------------------------------


def _matrices(a: Shape, b: Shape) -> tuple[Shape, Shape]:
    """Both shapes with at least two axes: a vector is a row on the left and a column on the right."""
    return (a if len(a) > 1 else (1, *a)), (b if len(b) > 1 else (*b, 1))


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Type of y."""
    a, b = types[0], types[1]
    assert a and b
    left, right = _matrices(a.shape, b.shape)
    shape = np.broadcast_shapes(left[:-2], right[:-2])
    shape += left[-2:-1] * (len(a.shape) > 1) + right[-1:] * (len(b.shape) > 1)
    return (TensorType(shape, a.dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula above, in floats."""
    return (np.asarray(inputs[0] @ inputs[1]),)


def macs(op: Operator, graph: Graph) -> int:
    """One for each element of y and step of the sum."""
    return prod(graph.shape(op.outputs[0])) * graph.shape(op.inputs[0])[-1]


FRAME = (ScaleKind.FRAME,)

#: Leading axes that the kernels loop over.
BATCH_AXES = 3


def batches(a: Shape, b: Shape) -> tuple[list[int], list[int], list[int]]:
    """Sizes of the leading axes of the product, and by how many matrices of a and of b each of them steps.

    Neighbouring axes that step alike are one axis, so that most products have a single one.
    """
    sizes = np.broadcast_shapes(a, b)
    steps = []
    for shape in (a, b):
        padded = (1,) * (len(sizes) - len(shape)) + shape
        steps.append([prod(padded[i + 1 :]) if n > 1 else 0 for i, n in enumerate(padded)])
    merged: list[tuple[int, int, int]] = []
    for size, a_step, b_step in zip(sizes, *steps, strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1:] == (a_step * size, b_step * size):
            merged[-1] = (merged[-1][0] * size, a_step, b_step)
        else:
            merged.append((size, a_step, b_step))
    return [m[0] for m in merged], [m[1] for m in merged], [m[2] for m in merged]


def few_leading_axes(op: Operator, graph: Graph) -> str | None:
    """The leading axes of a product are at most three, when neighbours that broadcast alike are counted as one."""
    a, b = _matrices(graph.shape(op.inputs[0]), graph.shape(op.inputs[1]))
    found = len(batches(a[:-2], b[:-2])[0])
    return None if found <= BATCH_AXES else f"this one has {found}"


# --- the kernels ---------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    s = call.args["s"]
    assert isinstance(s, Struct)
    f: Any = s.fields
    elements = prod(f["batch"]) * f["rows"] * f["columns"]
    return Counts(macs=elements * f["depth"], elements=elements, units=elements)


def _sums(a: Array, b: Array, s: dict[str, Any], a_zero: int = 0, b_zero: int = 0) -> Array:
    """Exact sums [pairs of matrices, rows, columns]; in f64, where every partial sum stays below 2**53."""
    pair = np.indices(s["batch"]).reshape(len(s["batch"]), -1).T
    left = a.reshape(-1, s["rows"], s["depth"])[pair @ s["a_step"]].astype(np.float64) - a_zero
    right = b.reshape(-1, s["depth"], s["columns"])[pair @ s["b_step"]].astype(np.float64) - b_zero
    sums: Array = left @ right
    return sums.astype(np.int64)


def _exact_s8(a: Array, b: Array, s: dict[str, Any], p: dict[str, Any], room: None = None) -> Array:
    acc = _sums(a, b, s, p["a_zero"], p["b_zero"])
    y = fixed.requantise(acc, p["multiplier"], p["shift"]) + p["y_zero"]
    return fixed.saturate(y, -128, 127).astype(np.int8)


def _exact_s16(a: Array, b: Array, s: dict[str, Any], p: dict[str, Any], room: None = None) -> Array:
    y = fixed.requantise64(_sums(a, b, s), p["narrow"], p["multiplier"], p["shift"])
    return fixed.saturate(y, -32768, 32767).astype(np.int16)


def _exact_frame(
    a: Array,
    a_scale: Array,
    b: Array,
    b_scale: Array,
    s: dict[str, Any],
    a_zero: int,
    room: None = None,
    dtype: type[np.generic] = np.float32,
) -> Array:
    acc = _sums(a, b, s, a_zero, 0).astype(np.float32)
    pair = np.indices(s["batch"]).reshape(len(s["batch"]), -1).T
    scale = a_scale.reshape(-1, s["rows"])[pair @ s["a_step"]] * b_scale[0]
    y: Array = (acc * scale[..., None]).astype(dtype)
    return y


def _exact_frame_f16(**args: Any) -> Array:
    with np.errstate(over="ignore"):
        return _exact_frame(**args, dtype=np.float16)


_SPECIFIED: dict[str, Callable[..., Array] | None] = {
    "f32": None,
    "f16": None,
    "s8": _exact_s8,
    "s8_frame_f32": _exact_frame,
    "s8_frame_f16": _exact_frame_f16,
    "s16": _exact_s16,
}
for _format, _spec in _SPECIFIED.items():
    _near = HALF_ON_HELIUM if _format == "f16" else {}
    register_kernel(Kernel(f"mq_matmul_{_format}", "matmul", counts=_counts, exact=_spec, near=_near))


# --- lowering ------------------------------------------------------------------------------------------------------


def _shape(op: Operator, lo: Lowering) -> Struct:
    a, b = _matrices(lo.shape(op.inputs[0]), lo.shape(op.inputs[1]))

    def padded(values: list[int], fill: int) -> tuple[int, ...]:
        return (*[fill] * (BATCH_AXES - len(values)), *values)

    sizes, a_steps, b_steps = batches(a[:-2], b[:-2])
    return lo.struct(
        "mq_matmul_shape",
        batch=padded(sizes, 1),
        a_step=padded(a_steps, 0),
        b_step=padded(b_steps, 0),
        rows=a[-2],
        depth=a[-1],
        columns=b[-1],
    )


def _lower_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    a, b = (lo.read(i) for i in op.inputs)
    lo.call(f"mq_matmul_{lo.formats.input}", a=a, b=b, y=lo.write(op.outputs[0]), s=_shape(op, lo))


def _lower_integer(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt = lo.formats.input
    a, b = (lo.read(i) for i in op.inputs)
    y = lo.write(op.outputs[0])
    a_quant, b_quant, y_quant = (lo.type_of(operand).quant for operand in (a, b, y))
    assert a_quant and b_quant and y_quant
    depth = lo.shape(op.inputs[0])[-1]
    # the largest sum is 2**30 * depth
    narrow = max(0, (2**30 * depth).bit_length() - 31) if fmt == "s16" else 0
    multiplier, shift = fixed.multiplier(a_quant.scale * b_quant.scale / y_quant.scale * 2.0**narrow)
    if fmt == "s16":
        params = lo.struct("mq_matmul_wide_params", narrow=narrow, multiplier=multiplier, shift=shift)
    else:
        params = lo.struct(
            "mq_matmul_params",
            a_zero=a_quant.zero_point,
            b_zero=b_quant.zero_point,
            multiplier=multiplier,
            shift=shift,
            y_zero=y_quant.zero_point,
        )
    kernel = f"mq_matmul_{fmt}"
    needs_room = fmt == "s8" or lo.isa(kernel) != "scalar"
    columns = 4 if fmt == "s8" and lo.isa(kernel) == "dsp" else 2
    room = lo.scratch(columns * (-(-depth // 4) * 4), "s16", "columns") if needs_room else Symbol("NULL")
    lo.call(kernel, a=a, b=b, y=y, room=room, s=_shape(op, lo), p=params)


def _lower_frame(op: Operator, lo: Lowering) -> None:
    """Both in s8, a scale for each row of a and one for b, found in each frame; the product in floats."""
    assert lo.formats
    a_edge, b_edge = op.inputs
    a, a_scale = lo.read_frame(a_edge, rows=prod(lo.shape(a_edge)[:-1]))
    b, b_scale = lo.read_frame(b_edge, signed=True)
    a_quant = lo.type_of(a).quant
    assert a_quant
    room = lo.scratch(2 * (-(-lo.shape(a_edge)[-1] // 4) * 4), "s16", "columns")
    y, kernel = lo.write(op.outputs[0]), f"mq_matmul_s8_frame_{lo.formats.output}"
    zero = a_quant.zero_point
    lo.call(kernel, a=a, a_scale=a_scale, b=b, b_scale=b_scale, y=y, room=room, s=_shape(op, lo), a_zero=zero)


#: 255 * 255 * depth < 2**31
DEEPEST_S8 = 33025


def _sum_fits(op: Operator, graph: Graph) -> str | None:
    depth = graph.shape(op.inputs[0])[-1]
    return None if depth <= DEEPEST_S8 else f"the sum of {depth} products does not fit 32 bits"


def _scales_fit(op: Operator, graph: Graph) -> str | None:
    constant = [i for i in op.inputs if i in graph.constants]
    return f"{constant[0]!r} is a constant" if constant else _sum_fits(op, graph)


MATMUL = register(
    OpSpec(
        name="MatMul",
        onnx=(),
        infer=infer,
        reference=reference,
        constraints=(few_leading_axes,),
        family="dense",
        macs=macs,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_float, sample_snr_db=120.0),
            OpLowering("f16", Formats("f16", "f16"), _lower_float, sample_snr_db=60.0),
            OpLowering("s16", Formats("s16", "s16"), _lower_integer, sample_snr_db=80.0),
            OpLowering("s8", Formats("s8", "s8"), _lower_integer, sample_snr_db=32.0, applies=_sum_fits),
            OpLowering("s8", Formats("s8", "f16"), _lower_frame, sample_snr_db=36.0, applies=_scales_fit, scales=FRAME),
            OpLowering("s8", Formats("s8", "f32"), _lower_frame, sample_snr_db=36.0, applies=_scales_fit, scales=FRAME),
        ),
        samples=(
            Sample("MatMul", (given(1, 1), given(1, 1))),
            Sample("MatMul", (given(1, 4, 17, 16), given(1, 4, 16, 17)), name="attention"),
            Sample("MatMul", (given(3, 5), given(2, 5, 7)), name="broadcast"),
            Sample("MatMul", (given(2, 1, 3, 4), given(5, 4, 6)), name="crossed"),
            Sample("MatMul", (weight(6, 9), given(2, 9, 5)), name="constant-left"),
            Sample("MatMul", (given(2, 3, 9), weight(2, 9, 5)), name="constant-stack"),
            Sample("MatMul", (given(9), given(2, 9, 5)), name="vector-left"),
            Sample("MatMul", (given(2, 5, 9), given(9)), name="vector-right"),
        ),
    )
)
