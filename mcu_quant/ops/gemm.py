"""Gemm: y[..., o] = activation(sum_i x[..., i] * w[o, i] + b[o]), w constant.

ONNX's MatMul and Gemm with one constant operand take this form (alpha, beta and transpositions are folded into w and
b); a product of two activations is `MatMul`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, prod
from typing import Any

import numpy as np

from mcu_quant import fixed, quantise
from mcu_quant.formats import QuantParams, ScaleKind
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
from mcu_quant.ops.common import columns, packing
from mcu_quant.ops.rescale import POW2, Sums, rescale
from mcu_quant.program import Access, Buffer, Call, Program, Struct, Symbol

# --- the operator --------------------------------------------------------------------------------------------------


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """x[..., inputs], w[outputs, inputs] -> y[..., outputs]."""
    x, w = types[0], types[1]
    assert x and w
    return (TensorType((*x.shape[:-1], w.shape[0]), x.dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """y = clip(x w^T + b) in the precision of the inputs."""
    x, w, b = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    y = x @ w.T
    if b is not None:
        y = y + b
    low, high = limits(op)
    return (y if (low, high) == (-inf, inf) else np.clip(y, np.float32(low), np.float32(high)),)


def limits(op: Operator) -> tuple[float, float]:
    """A fused activation as limits of the output, in reals."""
    return float(op.attributes.get("activation_min", -inf)), float(op.attributes.get("activation_max", inf))


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Gemm and MatMul with a constant side, as rows of weights."""
    return _from_gemm(op, node) if op.op == "Gemm" else _from_matmul(op, node)


def _from_gemm(op: Operator, node: NodeContext) -> Canonical:
    """y = alpha A' B' + beta C with B constant: w = alpha B'^T; with A constant, the transposed problem."""
    a, b, c = op.input(0), op.input(1), op.input(2)
    alpha, beta = float(op.attributes.get("alpha", 1.0)), float(op.attributes.get("beta", 1.0))
    trans_a, trans_b = bool(op.attributes.get("transA", 0)), bool(op.attributes.get("transB", 0))
    constants: dict[str, Array] = {}
    types: dict[str, TensorType] = {}
    before: list[Operator] = []
    matrix, bias = node.constant(b), node.constant(c)
    if trans_a:
        shape = node.shape(a)
        a_t = f"{op.name}:transposed_a"
        types[a_t] = TensorType((shape[1], shape[0]), node.type(a).dtype)
        before.append(Operator(a_t, "Transpose", (a,), (a_t,), {"perm": (1, 0)}))
        a = a_t
    rows, columns = node.shape(op.outputs[0])
    vector = bias is not None and prod(bias.shape) in (1, columns) and (bias.ndim < 2 or bias.shape[0] == 1)
    if matrix is not None and (not c or vector):
        w = f"{op.name}:weights"
        constants[w] = (alpha * (matrix if trans_b else matrix.T)).astype(np.float32)
        inputs = [a, w]
        if bias is not None:
            inputs.append(f"{op.name}:bias")
            constants[inputs[2]] = np.broadcast_to(beta * np.ravel(bias), (columns,)).astype(np.float32)
        types |= {n: TensorType(tuple(v.shape)) for n, v in constants.items()}
        return Canonical((*before, Operator(op.name, "Gemm", tuple(inputs), op.outputs)), constants, types)
    return _general(op, node, a, (rows, columns), before, constants, types)


def _general(
    op: Operator,
    node: NodeContext,
    a: str,
    shape: tuple[int, int],
    before: list[Operator],
    constants: dict[str, Array],
    types: dict[str, TensorType],
) -> Canonical:
    """A Gemm of two activations, or with a matrix added: MatMul, Mul by alpha and beta, Add."""
    b, c = op.input(1), op.input(2)
    alpha, beta = float(op.attributes.get("alpha", 1.0)), float(op.attributes.get("beta", 1.0))
    full = TensorType(shape, node.type(op.outputs[0]).dtype)

    def step(suffix: str, kind: str, inputs: tuple[str, ...], type_: TensorType, **attributes: Any) -> str:
        name = f"{op.name}:{suffix}"
        types[name] = type_
        before.append(Operator(name, kind, inputs, (name,), attributes))
        return name

    def scaled(edge: str, factor: float, suffix: str) -> str:
        if factor == 1.0:
            return edge
        constants[f"{op.name}:{suffix}"] = np.array(factor, np.float32)
        types[f"{op.name}:{suffix}"] = TensorType(())
        return step(f"{suffix}_scaled", "Mul", (edge, f"{op.name}:{suffix}"), types.get(edge) or node.type(edge))

    if op.attributes.get("transB", 0):
        n, k = node.shape(b)
        b = step("transposed_b", "Transpose", (b,), TensorType((k, n), full.dtype), perm=(1, 0))
    product = scaled(step("product", "MatMul", (a, b), full), alpha, "alpha")
    if c:
        product = step("sum", "Add", (product, scaled(c, beta, "beta")), full)
    last = before[-1]
    before[-1] = replace(last, name=op.name, outputs=op.outputs)
    return Canonical(tuple(before), constants, types)


def _from_matmul(op: Operator, node: NodeContext) -> Canonical:
    """x W with W a constant matrix becomes Gemm; everything else stays MatMul."""
    x, w = op.inputs
    matrix = node.constant(w)
    if matrix is None or matrix.ndim != 2 or len(node.shape(x)) < 1:
        return Canonical((op,))
    name = f"{op.name}:weights"
    constants = {name: np.ascontiguousarray(matrix.T, dtype=np.float32)}
    types = {name: TensorType((matrix.shape[1], matrix.shape[0]))}
    return Canonical((Operator(op.name, "Gemm", (x, name), op.outputs),), constants, types)


def macs(op: Operator, graph: Graph) -> int:
    """One per weight and row of the input."""
    return prod(graph.shape(op.outputs[0])) * graph.shape(op.inputs[1])[1]


# --- the kernels ---------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    rows, inputs, outputs = (int(p.fields[k]) for k in ("rows", "inputs", "outputs"))  # type: ignore[arg-type]
    return Counts(macs=rows * inputs * outputs, elements=rows * outputs, units=rows * outputs)


def _exact(x: Array, w: Array, p: dict[str, Any], dtype: type[np.generic] = np.int8) -> Array:
    acc = quantise.dot(x.reshape(p["rows"], p["inputs"]), w.reshape(p["outputs"], p["inputs"])) + p["bias"]
    y = fixed.requantise(acc, p["multiplier"], p["shift"]) + p["y_zero"]
    return fixed.saturate(y, p["low"], p["high"]).astype(dtype)


def _exact_s16(x: Array, w: Array, p: dict[str, Any]) -> Array:
    return _exact(x, w, p, np.int16)


def _exact_s16s16(x: Array, w: Array, p: dict[str, Any]) -> Array:
    acc = quantise.dot(x.reshape(p["rows"], p["inputs"]), w.reshape(p["outputs"], p["inputs"])) + p["bias"]
    y = fixed.requantise64(acc, p["narrow"], p["multiplier"], p["shift"])
    return fixed.saturate(y, p["low"], p["high"]).astype(np.int16)


def _exact_frame(x: Array, x_scale: Array, w: Array, p: dict[str, Any], dtype: type[np.generic] = np.float32) -> Array:
    acc = quantise.dot(x.reshape(p["rows"], p["inputs"]), w.reshape(p["outputs"], p["inputs"]))
    real = acc.astype(np.float32) * (p["scale"] * x_scale[:, None]) + p["bias"]
    bounded: Array = np.clip(real, np.float32(p["low"]), np.float32(p["high"]))
    return bounded.astype(dtype)


def _exact_frame_f16(x: Array, x_scale: Array, w: Array, p: dict[str, Any]) -> Array:
    with np.errstate(over="ignore"):
        return _exact_frame(x, x_scale, w, p, np.float16)


_PACK: dict[str, dict[tuple[str, str], packing.Pack]] = {
    "f16": {("dsp", "w"): packing.HALF_ROWS, ("mve", "w"): packing.HALF_LANES},
    "s8": {("dsp", "w"): packing.ROWS_FOR_S8, ("mve", "w"): packing.CHUNKS_FOR_S8},
    "s8_s16": {("dsp", "w"): packing.ROWS_FOR_S8, ("mve", "w"): packing.CHUNKS_FOR_S8},
    "s16": {("dsp", "w"): packing.ROWS_FOR_S16, ("mve", "w"): packing.CHUNKS_FOR_S16},
    "s8_frame_f32": {("dsp", "w"): packing.ROWS_FOR_S8},
    "s8_frame_f16": {("dsp", "w"): packing.ROWS_FOR_S8},
}

for _format, _spec in {
    "f32": None,
    "f16": None,
    "w8_f32": None,
    "w8_f16": None,
    "s8": _exact,
    "s8_s16": _exact_s16,
    "s16": _exact_s16,
    "s16s16": _exact_s16s16,
    "s8_frame_f32": _exact_frame,
    "s8_frame_f16": _exact_frame_f16,
}.items():
    register_kernel(
        Kernel(
            f"mq_fully_connected_{_format}",
            "fully_connected",
            counts=_counts,
            exact=_spec,
            pack=_PACK.get(_format, {}),
            near=HALF_ON_HELIUM if _format == "f16" else {},
        )
    )


# --- lowering ------------------------------------------------------------------------------------------------------


def _matrix(op: Operator, lo: Lowering) -> tuple[Array, Array | None, int]:
    """Weights [outputs, inputs], bias, and the number of rows of x."""
    w = lo.weights_of(op.inputs[1])
    b = lo.weights_of(op.input(2)) if op.input(2) else None
    return w, b, prod(lo.shape(op.inputs[0])[:-1])


def _lower_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt = lo.formats.input
    w, b, rows = _matrix(op, lo)
    low, high = limits(op)
    kernel = f"mq_fully_connected_{fmt}"
    lo.call(
        kernel,
        x=lo.read(op.inputs[0]),
        w=lo.matrix(kernel, "w", w, fmt, hint=f"{op.name}:weights"),
        b=Symbol("NULL") if b is None else lo.constant(b, "f32", hint=f"{op.name}:bias"),
        y=lo.write(op.outputs[0]),
        p=lo.struct(
            "mq_fully_connected_float_params", rows=rows, inputs=w.shape[1], outputs=w.shape[0], low=low, high=high
        ),
    )


def _lower_weight_only(op: Operator, lo: Lowering) -> None:
    """s8 weights, everything else in floats."""
    assert lo.formats
    w, b, count = _matrix(op, lo)
    known = columns.known(lo, op.inputs[1], lo.steps_of(op.inputs[1]))
    weights, scale, bias = quantise.for_floats(w, b, known)
    kernel, low, high = f"mq_fully_connected_w8_{lo.formats.input}", *limits(op)
    lo.call(
        kernel,
        x=lo.read(op.inputs[0]),
        w=lo.matrix(kernel, "w", weights, "s8", hint=f"{op.name}:weights", comment="scale per row"),
        y=lo.write(op.outputs[0]),
        p=lo.struct(
            "mq_fully_connected_scaled_params",
            rows=count,
            inputs=w.shape[1],
            outputs=w.shape[0],
            bias=lo.constant(np.zeros(len(w)) if bias is None else bias, "f32", hint=f"{op.name}:bias"),
            scale=lo.constant(scale, "f32", hint=f"{op.name}:scale", kind="table"),
            low=low,
            high=high,
        ),
    )


def _lower_integer(op: Operator, lo: Lowering) -> None:
    assert lo.formats and lo.formats.weight
    f, weight_format = lo.formats, lo.formats.weight
    w, b, count = _matrix(op, lo)
    read = columns.read(lo, op.inputs[0], op.inputs[1], w, f.input)
    x, y = read.operand, lo.write(op.outputs[0])
    x_quant, y_quant = lo.type_of(x).quant, lo.type_of(y).quant
    assert x_quant and y_quant
    wide = weight_format == "s16"
    known = read.known(lo, op.inputs[1], lo.steps_of(op.inputs[1]))
    bits = 62 if wide else 32
    rows = quantise.rows(read.matrix(w), b, x_quant, f.input, weight_format, accumulator_bits=bits, known=known)
    narrow = max(0, rows.accumulator_bits - 32) if wide else 0
    multiplier, shift = quantise.factors(rows.scale * x_quant.scale / y_quant.scale * 2.0**narrow)
    low, high = quantise.clamp(*limits(op), y_quant, f.output)
    suffix = "s16s16" if wide else f.input if f.input == f.output else f"{f.input}_{f.output}"
    kernel = f"mq_fully_connected_{suffix}"
    lo.call(
        kernel,
        x=x,
        w=lo.matrix(kernel, "w", rows.weights, weight_format, hint=f"{op.name}:weights", comment="scale per row"),
        y=y,
        p=lo.struct(
            "mq_fully_connected_wide_params" if wide else "mq_fully_connected_params",
            rows=count,
            inputs=w.shape[1],
            outputs=w.shape[0],
            bias=lo.constant(rows.bias, "s64" if wide else "s32", hint=f"{op.name}:bias"),
            multiplier=lo.constant(multiplier, "s32", hint=f"{op.name}:multiplier", kind="table"),
            shift=lo.constant(shift, "s8", hint=f"{op.name}:shift", kind="table"),
            **({"narrow": narrow} if wide else {"y_zero": y_quant.zero_point}),
            low=low,
            high=high,
        ),
    )


def _lower_frame(op: Operator, lo: Lowering) -> None:
    """s8 weights and input, a scale found for each row of the input in each frame, the result in floats."""
    assert lo.formats
    w, b, count = _matrix(op, lo)
    x, x_scale, read = columns.read_frame(lo, op.inputs[0], op.inputs[1], w, signed=True, rows=count)
    known = read.known(lo, op.inputs[1], lo.steps_of(op.inputs[1]), biased=False)
    rows = quantise.rows(read.matrix(w), None, QuantParams(1.0), "s8", known=known)
    kernel = f"mq_fully_connected_s8_frame_{lo.formats.output}"
    low, high = limits(op)
    bias = np.zeros(len(w)) if b is None else b
    lo.call(
        kernel,
        x=x,
        x_scale=x_scale,
        w=lo.matrix(kernel, "w", rows.weights, "s8", hint=f"{op.name}:weights", comment="scale per row"),
        y=lo.write(op.outputs[0]),
        p=lo.struct(
            "mq_fully_connected_scaled_params",
            rows=count,
            inputs=w.shape[1],
            outputs=w.shape[0],
            bias=lo.constant(bias, "f32", hint=f"{op.name}:bias"),
            scale=lo.constant(rows.scale, "f32", hint=f"{op.name}:scale", kind="table"),
            low=low,
            high=high,
        ),
    )


def _lower_frame_s16(op: Operator, lo: Lowering) -> None:
    """s8 weights, input in s16 with a power of two that is found for each frame, the result in floats."""
    w, b, count = _matrix(op, lo)
    x, x_scale, read = columns.read_frame(lo, op.inputs[0], op.inputs[1], w, "s16")
    known = read.known(lo, op.inputs[1], lo.steps_of(op.inputs[1]), biased=False)
    rows = quantise.rows(read.matrix(w), None, QuantParams(1.0), "s16", "s8", known=known)
    sums = Sums.of(rows, doubled=False)
    multiplier, shift = quantise.factors(sums.to_stored)
    kernel = "mq_fully_connected_s16"
    made = lo.temporary(lo.shape(op.outputs[0]), "s16", QuantParams(1.0), "sums")
    lo.call(
        kernel,
        x=x,
        w=lo.matrix(kernel, "w", rows.weights, "s8", hint=f"{op.name}:weights", comment="scale per row"),
        y=Buffer(made, Access.WRITE),
        p=lo.struct(
            "mq_fully_connected_params",
            rows=count,
            inputs=w.shape[1],
            outputs=w.shape[0],
            bias=lo.constant(rows.bias, "s32", hint=f"{op.name}:zero", kind="table"),
            multiplier=lo.constant(multiplier, "s32", hint=f"{op.name}:multiplier", kind="table"),
            shift=lo.constant(shift, "s8", hint=f"{op.name}:shift", kind="table"),
            y_zero=0,
            low=-32768,
            high=32767,
        ),
    )
    rescale(lo, made, x_scale, lo.write(op.outputs[0]), sums, b, (count, len(w), 1), limits(op))


GEMM = register(
    OpSpec(
        name="Gemm",
        onnx=("Gemm", "MatMul"),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        family="dense",
        macs=macs,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32", "f32"), _lower_float, sample_snr_db=110.0),
            OpLowering("f16", Formats("f16", "f16", "f16"), _lower_float, sample_snr_db=55.0),
            OpLowering("f32", Formats("f32", "f32", "s8"), _lower_weight_only, sample_snr_db=35.0),
            OpLowering("f16", Formats("f16", "f16", "s8"), _lower_weight_only, sample_snr_db=35.0),
            OpLowering("s16", Formats("s16", "s16", "s8"), _lower_integer, sample_snr_db=35.0),
            OpLowering("s16", Formats("s16", "s16", "s16"), _lower_integer, sample_snr_db=70.0),
            OpLowering("s8", Formats("s8", "s8", "s8"), _lower_integer, sample_snr_db=28.0),
            OpLowering("s8", Formats("s8", "s16", "s8"), _lower_integer, sample_snr_db=30.0),
            OpLowering("s8", Formats("s8", "f16", "s8"), _lower_frame, sample_snr_db=30.0, scales=(ScaleKind.FRAME,)),
            OpLowering("s8", Formats("s8", "f32", "s8"), _lower_frame, sample_snr_db=30.0, scales=(ScaleKind.FRAME,)),
            OpLowering("s16", Formats("s16", "f16", "s8"), _lower_frame_s16, sample_snr_db=35.0, scales=POW2),
            OpLowering("s16", Formats("s16", "f32", "s8"), _lower_frame_s16, sample_snr_db=35.0, scales=POW2),
        ),
        samples=(
            Sample("MatMul", (given(1, 1, 257), weight(257, 128))),
            Sample("MatMul", (given(3, 5), weight(5, 4))),
            Sample("Gemm", (given(1, 1), weight(1, 1), weight(1)), {"transB": 1}),
            Sample("Gemm", (given(2, 33), weight(17, 33), weight(17)), {"transB": 1}),
            Sample("Gemm", (given(8, 4), weight(8, 3), weight(1, 3)), {"transA": 1, "alpha": 0.5, "beta": 2.0}),
        ),
    )
)
