"""LayerNormalization and RMSNormalization: y = (x - mean) / sqrt(var + epsilon) * scale + bias over the last axes.

Attributes: `axis` (the first of the axes that are normalised together, not negative), `epsilon`. Inputs: x, scale and
optionally bias, constants with the shape of the normalised axes. RMSNormalization leaves the mean out, and has no bias.

The kernels here serve every normalisation of rows; see `Rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, log2, prod
from typing import Any

import numpy as np

from mcu_quant import fixed, fixed_functions, formats
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
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
    normalise_axis,
    register,
    register_kernel,
    same_as_input,
    weight,
)
from mcu_quant.program import Call, Constant, Program, Struct, Symbol

#: Elements of a row: n v - sum v of 16-bit values stays within 32 bits.
LARGEST_ROW = 32767

#: Bits of epsilon: count sum v^2 is below 2^60 in 16 bits, and the sum of both within 63.
LARGEST_EPSILON = 62


@dataclass(frozen=True, eq=False)
class Rows:
    """x as [rows, channels, inner]: every row is normalised, then scaled by gain[row % groups, channel].

    gain: [groups, channels]; bias: the same, or None; epsilon is in the square of x's unit.
    """

    rows: int
    inner: int
    gain: Array
    bias: Array | None
    epsilon: float
    centre: bool

    @property
    def count(self) -> int:
        """Elements of a row."""
        return int(self.gain.shape[1]) * self.inner

    def extent(self) -> dict[str, int]:
        """The first fields of both parameter structs."""
        groups, channels = self.gain.shape
        shape = {"rows": self.rows, "groups": int(groups), "channels": int(channels), "inner": self.inner}
        return {**shape, "centre": int(self.centre)}


# --- the kernels ---------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    rows, channels, inner = (int(p.fields[k]) for k in ("rows", "channels", "inner"))  # type: ignore[arg-type]
    return Counts(elements=rows * channels * inner, units=rows)


def _exact(fmt: str) -> Callable[..., Array]:
    target = formats.get(fmt)

    def exact(x: Array, gain: Array, bias: Array | None, p: dict[str, Any]) -> Array:
        v = x.astype(np.int64).reshape(p["rows"], p["channels"], p["inner"]) - p["x_zero"]
        count = p["channels"] * p["inner"]
        offset = v.sum(axis=(1, 2), keepdims=True) * p["centre"]
        spread = count * (v * v).sum(axis=(1, 2), keepdims=True) - offset * offset
        multiplier, shift = fixed_functions.rsqrt(np.maximum((spread >> p["drop"]) + p["epsilon"], 1))
        normal = fixed.requantise(count * v - offset, multiplier, shift + p["unit"])
        acc = fixed.mulhr(normal, _per_row(gain, p)) + (0 if bias is None else _per_row(bias, p))
        y = p["y_zero"] + fixed.rshr(acc, p["fraction"])
        return fixed.saturate(y, target.minimum, target.maximum).astype(target.dtype)

    return exact


def _per_row(values: Array, p: dict[str, Any]) -> Array:
    """[groups, channels] as [rows, channels, 1]."""
    grouped = values.astype(np.int64).reshape(p["groups"], p["channels"])
    return np.tile(grouped, (p["rows"] // p["groups"], 1))[:, :, None]


for _fmt in ("f32", "f16", "s8", "s16"):
    register_kernel(
        Kernel(
            f"mq_normalise_{_fmt}",
            "normalise",
            counts=_counts,
            exact=_exact(_fmt) if formats.get(_fmt).integer else None,
            inplace=(("x", "y"),),
            near=HALF_ON_HELIUM if _fmt == "f16" else {},
        )
    )


# --- lowering, shared with other normalisations ----------------------------------------------------------------------


def lower_float(op: Operator, lo: Lowering, rows: Rows) -> None:
    """One call of the float kernel; gain and bias stay f32."""
    assert lo.formats
    lo.call(
        f"mq_normalise_{lo.formats.input}",
        x=lo.read(op.inputs[0]),
        gain=lo.constant(rows.gain, "f32", hint=f"{op.name}:gain"),
        bias=_optional(op, lo, rows.bias, "f32"),
        y=lo.write(op.outputs[0]),
        p=lo.struct("mq_normalise_float_params", **rows.extent(), epsilon=float(rows.epsilon)),
    )


def lower_integer(op: Operator, lo: Lowering, rows: Rows) -> None:
    """One call of the integer kernel; gain and bias in 32 bits, in steps of the output."""
    assert lo.formats
    x, y = lo.read(op.inputs[0]), lo.write(op.outputs[0])
    qx, qy = lo.type_of(x).quant, lo.type_of(y).quant
    assert qx and qy
    span = formats.get(lo.formats.input).maximum - formats.get(lo.formats.input).minimum
    epsilon = round(rows.epsilon * (rows.count / qx.scale) ** 2)
    unit = unit_of(rows.count, span, epsilon)
    gain = rows.gain.astype(np.float64) / qy.scale
    bias = None if rows.bias is None else rows.bias.astype(np.float64) / qy.scale
    fraction = _fraction(gain, bias, unit)
    drop = max(0, (epsilon.bit_length() - LARGEST_EPSILON + 1) // 2 * 2)
    lo.call(
        f"mq_normalise_{lo.formats.input}",
        x=x,
        gain=lo.constant(_steps(gain, fraction + 32 - unit), "s32", hint=f"{op.name}:gain"),
        bias=_optional(op, lo, None if bias is None else _steps(bias, fraction), "s32"),
        y=y,
        p=lo.struct(
            "mq_normalise_params",
            **rows.extent(),
            drop=min(drop, 62),
            epsilon=epsilon >> drop,
            x_zero=qx.zero_point,
            unit=unit - drop // 2,
            fraction=fraction,
            y_zero=qy.zero_point,
        ),
    )


def unit_of(count: int, span: int, epsilon: int) -> int:
    """Bits after the point of a normalised value, so that it stays below 2^29.

    `span`: of the values, in steps; `epsilon` in steps, squared, times count^2. |d / sqrt(power)| is at most
    sqrt(count), and at most count span / sqrt(epsilon), which is less where epsilon is far above the values.
    """
    largest = log2(count) / 2
    return floor(29 - (min(largest, log2(count * span) - log2(epsilon) / 2) if epsilon else largest))


def _optional(op: Operator, lo: Lowering, bias: Array | None, fmt: str) -> Constant | Symbol:
    return Symbol("NULL") if bias is None else lo.constant(bias, fmt, hint=f"{op.name}:bias")


def _fraction(gain: Array, bias: Array | None, unit: int) -> int:
    """As many bits beyond a step of y as leave gain within 32 bits and the bias within 30."""
    room = unit - 1 - log2(np.abs(gain).max(initial=2.0**-20))
    if bias is not None:
        room = min(room, 29 - log2(np.abs(bias).max(initial=2.0**-20)))
    return max(0, min(20, floor(room)))


def _steps(real: Array, bits: int) -> Array:
    return np.clip(np.rint(real * 2.0**bits), fixed.S32_MIN, fixed.S32_MAX)


def short_rows(count: int) -> str | None:
    """Why a row of that many elements is too long for the integer kernels, or None."""
    return f"a row of {count} elements: at most {LARGEST_ROW} in integers" if count > LARGEST_ROW else None


# --- the operators -------------------------------------------------------------------------------------------------


def rows_of(op: Operator, graph: Graph) -> Rows:
    """The operator's x as rows, with its parameters."""
    shape, axis = graph.shape(op.inputs[0]), op.attributes["axis"]
    count = prod(shape[axis:])
    parameters = [np.asarray(graph.constants[i], np.float32).reshape(1, count) for i in op.inputs[1:] if i]
    return Rows(
        rows=prod(shape[:axis]),
        inner=1,
        gain=parameters[0],
        bias=parameters[1] if len(parameters) > 1 else None,
        epsilon=op.attributes["epsilon"],
        centre=op.op == "LayerNormalization",
    )


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula in f32."""
    x, axes = inputs[0], tuple(range(op.attributes["axis"], inputs[0].ndim))
    d = x - x.mean(axis=axes, keepdims=True) if op.op == "LayerNormalization" else x
    power = np.square(d).mean(axis=axes, keepdims=True) + np.float32(op.attributes["epsilon"])
    y = d / np.sqrt(power) * inputs[1]
    return (np.asarray(y + inputs[2] if len(inputs) > 2 and inputs[2] is not None else y),)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Axis and epsilon explicit; scale and bias, where constant, in the shape of the normalised axes."""
    shape = node.shape(op.inputs[0])
    axis = normalise_axis(int(op.attributes.get("axis", -1)), len(shape))
    attributes = {"axis": axis, "epsilon": float(op.attributes.get("epsilon", 1e-5))}
    inputs = [op.inputs[0]]
    constants: dict[str, Array] = {}
    for edge, name in zip(op.inputs[1:], ("scale", "bias"), strict=False):
        value = node.constant(edge)
        spread = None if value is None or value.shape == shape[axis:] else _spread(value, shape[axis:])
        inputs.append(edge if spread is None else f"{op.name}:{name}")
        if spread is not None:
            constants[inputs[-1]] = spread
    types = {n: TensorType(tuple(a.shape)) for n, a in constants.items()}
    outputs = op.outputs if any(op.outputs[1:]) else op.outputs[:1]
    return Canonical((Operator(op.name, op.op, tuple(inputs), outputs, attributes),), constants, types)


def _spread(value: Array, shape: Shape) -> Array | None:
    """A parameter in the shape of the normalised axes, or None if it has other axes."""
    extra = max(0, value.ndim - len(shape))
    before, own = value.shape[:extra], value.shape[extra:]
    fits = all(n in (1, want) for n, want in zip(own[::-1], shape[::-1], strict=False))
    if any(n != 1 for n in before) or not fits:
        return None
    return np.broadcast_to(value.reshape(own).astype(np.float32), shape).copy()


def normalised_shape(op: Operator, graph: Graph) -> str | None:
    """Scale and bias vary along the normalised axes only."""
    want = graph.shape(op.inputs[0])[op.attributes["axis"] :]
    wrong = [i for i in op.inputs[1:] if i in graph.constants and graph.shape(i) != want]
    return "; ".join(f"{i!r} is {graph.types[i]}, not {list(want)}" for i in wrong) or None


def constant_parameters(op: Operator, graph: Graph) -> str | None:
    """Scale and bias are constants."""
    wrong = [i for i in op.inputs[1:] if i and i not in graph.constants]
    return f"{', '.join(wrong)} is computed at run time" if wrong else None


def _applies(op: Operator, graph: Graph) -> str | None:
    return short_rows(prod(graph.shape(op.inputs[0])[op.attributes["axis"] :]))


def lowerings(
    rows: Callable[[Operator, Graph], Rows], applies: Callable[[Operator, Graph], str | None]
) -> tuple[OpLowering, ...]:
    """All formats of an operator that normalises rows."""

    def to_float(op: Operator, lo: Lowering) -> None:
        lower_float(op, lo, rows(op, lo.graph))

    def to_integer(op: Operator, lo: Lowering) -> None:
        lower_integer(op, lo, rows(op, lo.graph))

    return (
        OpLowering("f32", Formats("f32", "f32"), to_float, sample_snr_db=115.0),
        OpLowering("f16", Formats("f16", "f16"), to_float, sample_snr_db=54.0),
        OpLowering("s16", Formats("s16", "s16"), to_integer, sample_snr_db=76.0, applies=applies),
        OpLowering("s8", Formats("s8", "s8"), to_integer, sample_snr_db=33.0, applies=applies),
    )


for _name, _samples in {
    "LayerNormalization": (
        Sample("LayerNormalization", (given(1, 99, 64), weight(64), weight(64))),
        Sample("LayerNormalization", (given(2, 3, 5, low=2.0, high=4.0), weight(5))),
        Sample("LayerNormalization", (given(2, 3, 5), weight(3, 5), weight(3, 5)), {"axis": 1, "epsilon": 1e-3}),
        Sample("LayerNormalization", (given(2, 3, 5), weight(3, 1), weight(5)), {"axis": -2}),
        Sample("LayerNormalization", (given(1, 16, 33), weight(16, 33), weight(16, 33)), {"axis": 1}),
    ),
    "RMSNormalization": (
        Sample("RMSNormalization", (given(1, 7, 64), weight(64)), opset=23),
        Sample("RMSNormalization", (given(2, 3, 5), weight(3, 5)), {"axis": 1, "epsilon": 1e-3}, opset=23),
    ),
}.items():
    register(
        OpSpec(
            name=_name,
            onnx=(_name,),
            infer=same_as_input,
            reference=reference,
            canonicalise=canonicalise,
            constraints=(constant_parameters, normalised_shape),
            most_outputs=1,
            family="normalisation",
            lowerings=lowerings(rows_of, _applies),
            samples=_samples,
        )
    )
