"""QuantizeLinear, DequantizeLinear, and both at once: a model's own scales.

    QuantizeLinear    q = sat(round(x / scale) + zero)        reals to whole numbers, round half to even
    DequantizeLinear  x = (q - zero) * scale                  whole numbers to reals
    FakeQuantise      both in a row: reals that lie on the model's grid

A pass makes FakeQuantise of pairs (`passes/quantised.py`). In s8 it costs nothing where the operator before it writes
on the model's scale, which `Lowering.quant` sees to; u8 is s8 with every stored value and the zero point 128 lower.
Canonical attributes: scale, zero_point (tuples, one value or one per element of `axis`), axis, dtype of the whole
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from mcu_quant import formats
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.lowering import Lowering, Operand
from mcu_quant.ops import (
    Canonical,
    Counts,
    Fixed,
    Formats,
    Given,
    Kernel,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    fixed,
    given,
    narrow,
    normalise_axis,
    register,
    register_kernel,
    same_as_input,
)
from mcu_quant.ops.convert import round_f32
from mcu_quant.program import Buffer, Call, EdgeType, Program, Scalar, Struct

#: What QuantizeLinear may make.
STORED = ("int8", "uint8", "int16", "uint16")
#: What DequantizeLinear may read at run time; a constant may be anything.
READ = (*STORED, "int32")

# --- the operators -------------------------------------------------------------------------------------------------


def grid(op: Operator, rank: int) -> tuple[Array, Array]:
    """Scale (f32) and zero point (int64) of one of the three operators, to broadcast against a tensor of that rank."""
    shape = [1] * rank
    if len(op.attributes["scale"]) > 1:
        shape[op.attributes["axis"]] = -1
    scale = np.asarray(op.attributes["scale"], np.float32).reshape(shape)
    return scale, np.asarray(op.attributes["zero_point"], np.int64).reshape(shape)


def quantised(op: Operator, x: Array) -> Array:
    """Whole numbers on the operator's grid, as int64."""
    scale, zero = grid(op, np.ndim(x))
    limits = np.iinfo(op.attributes["dtype"])
    steps: Array = np.clip(round_f32(np.asarray(x, np.float32) / scale) + zero, limits.min, limits.max)
    return steps


def dequantised(op: Operator, stored: Array) -> Array:
    """Reals on the operator's grid."""
    scale, zero = grid(op, np.ndim(stored))
    real: Array = (np.asarray(stored, np.int64) - zero).astype(np.float32) * scale
    return real


def _quantize(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    return (quantised(op, inputs[0]).astype(op.attributes["dtype"]),)


def _dequantize(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    return (dequantised(op, inputs[0]),)


def _fake(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    return (dequantised(op, quantised(op, inputs[0])),)


def _infer_quantize(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    assert types[0] is not None
    return (TensorType(types[0].shape, op.attributes["dtype"]),)


def _infer_dequantize(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    assert types[0] is not None
    return (TensorType(types[0].shape),)


# --- canonical form ------------------------------------------------------------------------------------------------


def _canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Scale and zero point become attributes; constant whole numbers become reals that remember their step."""
    x = node.type(op.inputs[0])
    scale, zero = node.constant(op.input(1)), node.constant(op.input(2))
    in_narrow = x.is_real if op.op == "DequantizeLinear" else narrow.ATTRIBUTE in op.attributes
    if scale is None or (op.input(2) and zero is None) or in_narrow:
        return _in_steps(op, node)
    several = scale.size > 1 or (zero is not None and zero.size > 1)
    axis = normalise_axis(int(op.attributes.get("axis", 1)), len(x.shape)) if several else 0
    value = node.constant(op.inputs[0])
    if op.op == "DequantizeLinear" and value is not None:
        return _constant(op, value, scale, zero, axis)
    dtype = x.dtype if op.op == "DequantizeLinear" else node.type(op.outputs[0]).dtype
    if scale.size > 1 and scale.ndim != 1:  # one scale per block
        return _in_steps(op, node)
    zeros = np.zeros(1) if zero is None else np.ravel(zero)
    scales = np.broadcast_to(np.ravel(scale).astype(np.float32), (max(scale.size, zeros.size),))
    attributes = {
        "scale": tuple(float(s) for s in scales),
        "zero_point": tuple(int(z) for z in np.broadcast_to(zeros, scales.shape)),
        "axis": axis,
        "dtype": dtype,
    }
    return Canonical((Operator(op.name, op.op, op.inputs[:1], op.outputs, attributes),))


def _in_steps(op: Operator, node: NodeContext) -> Canonical:
    """In elementary steps: a scale that is computed, as DynamicQuantizeLinear does, one per block, or a narrow type."""
    shape = node.shape(op.inputs[0])
    layout = _layout(shape, [node.shape(i) for i in op.inputs[1:] if i], int(op.attributes.get("axis", 1)))
    if layout is None:
        return Canonical((op,))  # see the constraint
    view, along = layout
    steps: list[Operator] = []
    types: dict[str, TensorType] = {}

    def step(what: str, kind: str, size: Shape, *inputs: str, **attributes: Any) -> str:
        name = f"{op.name}:{what}"
        types[name] = TensorType(size)
        steps.append(Operator(name, kind, inputs, (name,), attributes))
        return name

    def real(what: str, edge: str) -> str:
        return edge if node.type(edge).is_real else step(what, "Cast", node.shape(edge), edge, dtype="float32")

    def spread(what: str, edge: str, given: str) -> str:
        size = (1,) * len(along) if prod(node.shape(given)) == 1 else along
        return step(what, "Reshape", size, edge, shape=size)

    x = real("real", op.inputs[0])
    x = x if view == shape else step("blocks", "Reshape", view, x, shape=view)
    scale = spread("scale", op.inputs[1], op.inputs[1])
    zero = op.input(2) and spread("offset", real("zero", op.input(2)), op.input(2))
    down = op.op == "QuantizeLinear"
    name = str(op.attributes.get(narrow.ATTRIBUTE, node.type(op.outputs[0]).dtype))
    value = step("divide", "Div", view, x, scale) if down else x
    value = step("round", "Round", view, value) if down and name not in narrow.FLOATS else value
    value = step("shift", "Add" if down else "Sub", view, value, zero) if zero else value
    value = value if down else step("times", "Mul", view, value, scale)
    value = value if view == shape else step("whole", "Reshape", shape, value, shape=shape)
    if not down:
        last = Operator(op.name, "Reshape", (value,), op.outputs, {"shape": shape})
    elif name in narrow.FLOATS:
        last = narrow.rounding(op, value)
    else:
        low, high = narrow.limits(name) if name in narrow.BITS else (np.iinfo(name).min, np.iinfo(name).max)
        value = step("limit", "Clip", shape, value, min=float(low), max=float(high))
        last = Operator(op.name, "Cast", (value,), op.outputs, {"dtype": node.type(op.outputs[0]).dtype})
    return Canonical((*steps, last), {}, types)


def _layout(shape: Shape, sizes: Sequence[Shape], axis: int) -> tuple[Shape, Shape] | None:
    """How to see a tensor and its scales so that they broadcast; None if blocks do not fill the axis."""
    rank, several = len(shape), next((s for s in sizes if prod(s) != 1), None)
    if several is None:
        return shape, (1,) * rank
    if any(prod(s) != 1 and s != several for s in sizes):
        return None
    axis = normalise_axis(axis, rank)
    if len(several) == 1:
        fits = several == (shape[axis],)
        return (shape, tuple(n if a == axis else 1 for a, n in enumerate(shape))) if fits else None
    blocks = several[axis]
    if shape[axis] % blocks or several[:axis] + several[axis + 1 :] != shape[:axis] + shape[axis + 1 :]:
        return None
    before, after = shape[:axis], shape[axis + 1 :]
    return (*before, blocks, shape[axis] // blocks, *after), (*before, blocks, 1, *after)


def _constant(op: Operator, value: Array, scale: Array, zero: Array | None, axis: int) -> Canonical:
    """Weights: their reals, and the real value of one step of each."""
    shape = value.shape
    steps = _spread(scale.astype(np.float32), shape, axis)
    zeros = 0 if zero is None else _spread(np.asarray(zero).astype(np.int64), shape, axis)
    real = (value.astype(np.int64) - zeros).astype(np.float32) * steps
    return Canonical((), {op.outputs[0]: real}, {op.outputs[0]: TensorType(shape)}, {op.outputs[0]: steps})


def _spread(value: Array, shape: Shape, axis: int) -> Array:
    """One value, one per element of an axis, or one per block of it, for every element of a tensor."""
    if value.size == 1:
        return np.broadcast_to(value.reshape(()), shape)
    if value.ndim == 1:
        return np.broadcast_to(value.reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape)
    repeats = -(-shape[axis] // value.shape[axis])
    return np.repeat(value, repeats, axis)[tuple(slice(n) for n in shape)]


def known_layout(op: Operator, graph: Graph) -> str | None:
    """There is one scale and zero point, one for every element of an axis, or one for every block of it."""
    if "scale" in op.attributes:
        return None
    sizes = " and ".join(str(list(graph.shape(i))) for i in op.inputs[1:] if i)
    return f"scales of shape {sizes} for {list(graph.shape(op.inputs[0]))}"


def known_type(op: Operator, graph: Graph) -> str | None:
    """Whole numbers have 8 or 16 bits; those that DequantizeLinear reads may have 32."""
    known = READ if op.op == "DequantizeLinear" else STORED
    dtype = op.attributes.get("dtype")
    return None if dtype is None or dtype in known else f"{dtype}"


def in_s8(op: Operator, graph: Graph) -> str | None:
    """None if the values fit s8 on one scale."""
    if len(op.attributes["scale"]) > 1:
        return "a scale for every element of an axis"
    return None if op.attributes["dtype"] in ("int8", "uint8") else f"values are {op.attributes['dtype']}"


def stored_quant(op: Operator) -> QuantParams:
    """The operator's grid as the scale of an s8 edge. u8 counts from 0 what s8 counts from -128."""
    offset = 128 if op.attributes["dtype"] == "uint8" else 0
    return QuantParams(op.attributes["scale"][0], op.attributes["zero_point"][0] - offset)


# --- the kernels ---------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    fields: Any = p.fields
    return Counts(elements=fields["outer"] * fields["channels"] * fields["inner"])


def _count(program: Program, call: Call) -> Counts:
    n = call.args["n"]
    assert isinstance(n, Scalar)
    return Counts(elements=int(n.value))


def _laid_out(x: Array, p: dict[str, Any]) -> tuple[Array, Array, Array]:
    return x.reshape(p["outer"], p["channels"], p["inner"]), p["scale"][:, None], p["zero"].astype(np.int64)[:, None]


def _steps(x: Array, p: dict[str, Any], low: int, high: int) -> Array:
    real, scale, zero = _laid_out(x.astype(np.float32), p)
    steps: Array = np.clip(round_f32(real / scale) + zero, low, high)
    return steps


def _exact_quantise(dtype: str, x: Array, p: dict[str, Any]) -> Array:
    limits = np.iinfo(dtype)
    stored: Array = _steps(x, p, limits.min, limits.max).astype(dtype)
    return stored


def _exact_dequantise(x: Array, p: dict[str, Any]) -> Array:
    stored, scale, zero = _laid_out(x.astype(np.int64), p)
    real: Array = (stored - zero).astype(np.float32) * scale
    return real


def _exact_fake(dtype: type[np.generic], x: Array, p: dict[str, Any]) -> Array:
    zero = p["zero"].astype(np.int64)[:, None]
    real = (_steps(x, p, p["low"], p["high"]) - zero).astype(np.float32) * p["scale"][:, None]
    with np.errstate(over="ignore"):
        return np.asarray(real.astype(dtype))


def _exact_u8_to_s8(x: Array, n: int) -> Array:
    return (x.astype(np.int16) - 128).astype(np.int8)


def _exact_s8_to_u8(x: Array, n: int) -> Array:
    return (x.astype(np.int16) + 128).astype(np.uint8)


def _kernel(name: str, exact: Callable[..., Array], counts: Callable[[Program, Call], Counts], inplace: bool) -> None:
    pairs = (("x", "y"),) if inplace else ()
    register_kernel(Kernel(f"mq_{name}", "quantise", counts=counts, exact=exact, inplace=pairs))


for _dtype in STORED:
    _kernel(f"quantise_f32_{formats.natural(_dtype).name}", partial(_exact_quantise, _dtype), _counts, False)
for _dtype in READ:
    _kernel(f"dequantise_{formats.natural(_dtype).name}_f32", _exact_dequantise, _counts, False)
_kernel("quantise_f16_i8", partial(_exact_quantise, "int8"), _counts, False)
_kernel("fake_quantise_f32", partial(_exact_fake, np.float32), _counts, True)
_kernel("fake_quantise_f16", partial(_exact_fake, np.float16), _counts, True)
_kernel("u8_to_s8", _exact_u8_to_s8, _count, True)
_kernel("s8_to_u8", _exact_s8_to_u8, _count, True)


# --- lowering ------------------------------------------------------------------------------------------------------


def _params(op: Operator, lo: Lowering, c_type: str = "mq_quantise_params", offset: int = 0, **more: int) -> Struct:
    """`offset` is what the zero point is lower by in the values that are stored."""
    shape, scales = lo.shape(op.inputs[0]), op.attributes["scale"]
    axis = op.attributes["axis"] if len(scales) > 1 else 0
    before, after = (shape[:axis], shape[axis + 1 :]) if len(scales) > 1 else ((), shape)
    zeros = np.asarray(op.attributes["zero_point"], np.int64) - offset
    return lo.struct(
        c_type,
        outer=prod(before),
        channels=len(scales),
        inner=prod(after),
        scale=lo.constant(np.asarray(scales, np.float32), "f32", hint=f"{op.name}:scale", kind="table"),
        zero=lo.constant(zeros, "s32", hint=f"{op.name}:zero", kind="table"),
        **more,
    )


def _lower_quantize(op: Operator, lo: Lowering) -> None:
    kernel = f"mq_quantise_f32_{lo.natural(op.outputs[0])}"
    lo.call(kernel, x=lo.read(op.inputs[0]), y=lo.write(op.outputs[0]), p=_params(op, lo))


def _lower_quantize_s8(op: Operator, lo: Lowering) -> None:
    x = lo.read(op.inputs[0], "s8", stored_quant(op))
    y = op.outputs[0]
    if op.attributes["dtype"] == "int8" and isinstance(x, Buffer):
        lo.view(y, x.edge, type_=EdgeType(lo.shape(y), "i8"))
    else:
        _shift(lo, x, lo.write(y), "s8_to_u8")


def _lower_dequantize(op: Operator, lo: Lowering) -> None:
    kernel = f"mq_dequantise_{lo.natural(op.inputs[0])}_f32"
    lo.call(kernel, x=lo.read(op.inputs[0]), y=lo.write(op.outputs[0]), p=_params(op, lo))


def _lower_dequantize_s8(op: Operator, lo: Lowering) -> None:
    x, y, quant = lo.read(op.inputs[0]), op.outputs[0], stored_quant(op)
    if op.attributes["dtype"] == "int8" and isinstance(x, Buffer):
        lo.view(y, x.edge, type_=EdgeType(lo.shape(y), "s8", quant))
    else:
        _shift(lo, x, lo.write(y, "s8", quant), "u8_to_s8")


def _shift(lo: Lowering, x: Operand, y: Buffer, kernel: str) -> None:
    lo.call(f"mq_{kernel}", x=x, y=y, n=lo.type_of(y).size)


def _lower_fake(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    limits = np.iinfo(op.attributes["dtype"])
    p = _params(op, lo, "mq_fake_quantise_params", low=int(limits.min), high=int(limits.max))
    lo.call(f"mq_fake_quantise_{lo.formats.input}", x=lo.read(op.inputs[0]), y=lo.write(op.outputs[0]), p=p)


def _lower_fake_s8(op: Operator, lo: Lowering) -> None:
    """Nothing where the values are on the model's grid already; from floats as onnxruntime rounds, else requantised."""
    x, y, quant = op.inputs[0], op.outputs[0], stored_quant(op)
    have = lo.stored(x)
    if have.format == "s8" and have.quant == quant:
        lo.view(y, x)
    elif have.storage.integer:
        lo.convert(x, lo.write(y, "s8", quant).edge)
    else:
        offset = 128 if op.attributes["dtype"] == "uint8" else 0
        kernel = f"mq_quantise_{have.format}_i8"
        lo.call(kernel, x=lo.read(x, have.format), y=lo.write(y, "s8", quant), p=_params(op, lo, offset=offset))


_SCALES = Fixed(np.array([0.01, 0.02, 0.005], np.float32))


def _scale(value: float) -> Fixed:
    return Fixed(np.array(value, np.float32))


QUANTIZE = register(
    OpSpec(
        name="QuantizeLinear",
        onnx=("QuantizeLinear",),
        infer=_infer_quantize,
        reference=_quantize,
        canonicalise=_canonicalise,
        constraints=(known_layout, known_type),
        mixed=True,
        family="quantisation",
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_quantize, sample_snr_db=120.0),
            OpLowering("s8", Formats("s8", "s8"), _lower_quantize_s8, sample_snr_db=50.0, applies=in_s8),
        ),
        samples=(
            Sample("QuantizeLinear", (given(2, 3, 5), _scale(0.007), fixed(-3, dtype="int8"))),
            Sample("QuantizeLinear", (given(2, 3, 5), _scale(0.007), fixed(131, dtype="uint8")), opset=13, name="u8"),
            Sample("QuantizeLinear", (given(7), _scale(0.003)), opset=11, name="no-zero"),
            Sample("QuantizeLinear", (given(2, 3, 5), _SCALES, fixed([0, 9, -9], dtype="int8")), {"axis": -2}),
            Sample("QuantizeLinear", (given(3, 4), _SCALES, fixed([0, 9, 99], dtype="uint8")), {"axis": 0}, name="u8"),
            Sample("QuantizeLinear", (given(9), _scale(1e-4), fixed(-5, dtype="int16")), opset=21, name="i16"),
            Sample("QuantizeLinear", (given(9), _scale(1e-4), fixed(31000, dtype="uint16")), opset=21, name="u16"),
        ),
    )
)

DEQUANTIZE = register(
    OpSpec(
        name="DequantizeLinear",
        onnx=("DequantizeLinear",),
        infer=_infer_dequantize,
        reference=_dequantize,
        canonicalise=_canonicalise,
        constraints=(known_layout, known_type),
        mixed=True,
        family="quantisation",
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_dequantize, sample_snr_db=140.0),
            OpLowering("s8", Formats("s8", "s8"), _lower_dequantize_s8, sample_snr_db=140.0, applies=in_s8),
        ),
        samples=(
            Sample("DequantizeLinear", (Given((2, 3, 5), -128, 128, "int8"), _scale(0.007), fixed(-3, dtype="int8"))),
            Sample(
                "DequantizeLinear", (Given((7,), 0, 256, "uint8"), _scale(0.3), fixed(131, dtype="uint8")), opset=13
            ),
            Sample("DequantizeLinear", (Given((7,), 0, 256, "uint8"), _scale(0.003)), opset=11, name="no-zero"),
            Sample(
                "DequantizeLinear",
                (Given((2, 3, 5), -128, 128, "int8"), _SCALES, fixed([0, 9, -9], dtype="int8")),
                name="axis",
            ),
            Sample("DequantizeLinear", (Given((3, 4), -(10**6), 10**6, "int32"), _SCALES), {"axis": 0}, name="i32"),
            Sample(
                "DequantizeLinear",
                (Given((9,), -32768, 32768, "int16"), _scale(1e-4), fixed(-5, dtype="int16")),
                opset=21,
            ),
            Sample(
                "DequantizeLinear",
                (Given((9,), 0, 65536, "uint16"), _scale(1e-4), fixed(31000, dtype="uint16")),
                opset=21,
                name="u16",
            ),
        ),
    )
)

FAKE = register(
    OpSpec(
        name="FakeQuantise",
        onnx=(),
        infer=same_as_input,
        reference=_fake,
        mixed=True,
        family="quantisation",
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_fake),
            OpLowering("f16", Formats("f16", "f16"), _lower_fake),
            OpLowering("s8", Formats("s8", "s8"), _lower_fake_s8, applies=in_s8),
        ),
    )
)
