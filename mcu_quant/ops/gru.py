"""GRU: h = z h + (1 - z) n, step by step over a sequence; mq_gru.h has the whole mathematics.

Inputs X, W, R, B, sequence_lens, initial_h; outputs Y, Y_h. Attributes as in mcu_quant/recurrent.py, and
linear_before_reset. A layer whose state is that of the model updates it in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mcu_quant import fixed
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    HALF_ON_HELIUM,
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
from mcu_quant.ops import fixed as constant
from mcu_quant.ops.common import gates, recurrent
from mcu_quant.ops.common.recurrent import Dims
from mcu_quant.program import Argument, EdgeType, FieldValue, Purpose, Symbol

# --- the operator --------------------------------------------------------------------------------------------------


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Y and Y_h in floats."""
    x, w, r, b, lengths, h0 = (*inputs, *[None] * 6)[:6]
    d = Dims.of(op, x.shape, lengths)
    n, linear = 2 * d.units, op.attributes["linear_before_reset"]
    f, g = recurrent.gate_functions(op)
    bias = np.zeros((d.directions, 6 * d.units), x.dtype) if b is None else b
    sums = recurrent.from_x(x, w, bias[:, : 3 * d.units])
    inside = bias[:, None, 3 * d.units :]
    everywhere = np.arange(d.directions)

    def step(at: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        (h,) = states
        given_x = sums[at, everywhere]
        rows = slice(None) if linear else slice(n)
        given_h = recurrent.from_h(h, r[:, rows]) + inside[..., rows]
        z, reset = np.split(f(given_x[..., :n] + given_h[..., :n]), 2, axis=-1)
        inner = reset * given_h[..., n:] if linear else recurrent.from_h(reset * h, r[:, n:]) + inside[..., n:]
        return (z * h + (1 - z) * g(given_x[..., n:] + inner),)

    (h,), (y,) = d.sweep((np.zeros(d.state, x.dtype) if h0 is None else h0,), step)
    return y, h


# --- the kernels ---------------------------------------------------------------------------------------------------


def _exact(fmt: str) -> Callable[..., tuple[Array, ...]]:
    narrow = gates.to_hidden(fmt)

    def exact(
        *,
        x: Array,
        w: Array,
        r: Array,
        h: Array,
        p: Mapping[str, Any],
        y: object = recurrent.WRITTEN,
        x_scale: Array | None = None,
        x_bias: Array | None = None,
    ) -> tuple[Array, ...]:
        n, linear = 2 * p["units"], p["linear_before_reset"]
        e = p["wide_e"] if w.dtype == np.int16 else p["e"]
        h_bias = np.zeros((p["directions"], 3, p["units"]), np.int64)
        if linear:
            h_bias[:, 2] = e.reshape(-1, p["units"])
        sums = gates.ExactGates(x, w, r, p, h_bias, gates.frame_of(x_scale, x_bias))

        def step(at: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
            h, read = states[0].astype(np.int64), states[1]
            from_x = sums.from_x(at)
            from_h = sums.from_h(read, slice(None) if linear else slice(n))
            total = from_x[..., :n] + from_h[..., :n]
            z, reset = np.split(gates.gate(total, p["sigmoid_clip"], p["sigmoid_table"]), 2, axis=-1)
            if linear:
                inner = fixed.mulhr(from_h[..., n:], reset << 16)
            else:
                inner = sums.from_h(narrow(reset * h), slice(n, None))
            new = gates.gate(from_x[..., n:] + inner, p["tanh_clip"], p["tanh_table"])
            result = fixed.rshr(z * h + (32768 - z) * new, 15)
            return gates.stored(result, "s16"), gates.stored(narrow(result << 15), fmt)

        copy = gates.stored(narrow(h.astype(np.int64) << 15), fmt)
        (state, _), (_, sequence) = sums.dims.sweep((h, copy), step)
        return (state,) if y is None else (state, sequence)

    return exact


_INTEGER = {"s8": "s8", "s8_frame": "s8", "s16_s8": "s8", "s16": "s16", "s16s16": "s16"}
for _name, _fmt in (("f32", None), ("f16", None), ("w8_f32", None), ("w8_f16", None), *_INTEGER.items()):
    register_kernel(
        Kernel(
            f"mq_gru_{_name}",
            "gru",
            counts=recurrent.counts,
            exact=_exact(_fmt) if _fmt else None,
            pack=gates.PACK.get(_name, {}),
            near=HALF_ON_HELIUM if _name == "f16" else {},
        )
    )


# --- lowering ------------------------------------------------------------------------------------------------------


def _biases(op: Operator, lo: Lowering) -> tuple[Array | None, Array | None]:
    """What is added to the sums from x, [directions, 3, units], and inside r (R_n h + e), [directions, 3, units]."""
    biases = recurrent.biases(lo, op)
    if biases is None:
        return None, None
    if not op.attributes["linear_before_reset"]:
        return biases[0] + biases[1], None
    outside, inside = np.zeros_like(biases[1]), np.zeros_like(biases[1])
    outside[:, :2], inside[:, 2] = biases[1][:, :2], biases[1][:, 2]
    return biases[0] + outside, inside


def _rooms(op: Operator) -> int:
    """Values of working memory per unit: the new state and, where R reads it, r h."""
    return 1 if op.attributes["linear_before_reset"] else 2


def _lower_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt, d = lo.formats.input, recurrent.dims(op, lo)
    kernel = recurrent.float_kernel(lo, "gru")
    x = lo.read(op.inputs[0])
    h = recurrent.state(lo, op, 1, 5, EdgeType(d.state, fmt))
    outside, inside = _biases(op, lo)
    null = Symbol("NULL")
    weights, b = recurrent.float_weights(lo, op, kernel, 3, outside)
    lo.call(
        kernel,
        Purpose.COMPUTE,
        "",
        x=x,
        **weights,
        b=b,
        e=null if inside is None else lo.constant(inside[:, 2], "f32", hint=f"{op.name}:e"),
        h=h,
        y=recurrent.sequence(lo, op, d, h, fmt),
        next=lo.scratch(_rooms(op) * d.units, fmt),
        p=lo.struct(
            "mq_gru_float_params",
            **d.fields(lo, op),
            linear_before_reset=op.attributes["linear_before_reset"],
            clip=op.attributes["clip"],
            **recurrent.float_functions(lo, op, ("f", "g")),
        ),
    )


def _lower_integer(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt, d = lo.formats.input, recurrent.dims(op, lo)
    linear = op.attributes["linear_before_reset"]
    if lo.choice.scale is ScaleKind.STATIC:
        read, x_type, suffix = recurrent.integer_input(lo, op)
        args: dict[str, Argument | int | float] = {"x": read.operand}
    else:
        args, read = recurrent.frame_input(lo, op)
        x_type, suffix = lo.type_of(read.operand), "s8_frame"
    kernel = f"mq_gru_{suffix}"
    outside, inside = _biases(op, lo)
    made = gates.gates(
        lo,
        op,
        kernel,
        x_type,
        read,
        functions=("sigmoid", "sigmoid", "tanh"),
        x_bias=outside,
        h_bias=inside,
        extra_bits=(0, 0, 1 if linear else 0),
    )
    h = recurrent.state(lo, op, 1, 5, EdgeType(d.state, "s16", recurrent.HIDDEN["s16"]))
    y = recurrent.sequence(lo, op, d, h, fmt)
    args |= {"w": made.w, "r": made.r}
    if made.x_bias is not None:
        args["x_bias"] = lo.constant(made.x_bias, "s32", hint=f"{op.name}:x_bias")
    args |= {"h": h, "y": y}
    if fmt == "s8":
        args["next"] = lo.scratch(d.units, "s16")
        args["copies"] = lo.scratch(_rooms(op) * d.units, "s8", "copies")
    else:
        args["next"] = lo.scratch(_rooms(op) * d.units, "s16")
    args["p"] = lo.struct(
        "mq_gru_params",
        **d.fields(lo, op),
        linear_before_reset=linear,
        **_with_e(op, lo, made),
        **gates.tables(lo, op),
    )
    lo.call(kernel, Purpose.COMPUTE, "", **args)


def _with_e(op: Operator, lo: Lowering, made: gates.Gates) -> dict[str, FieldValue]:
    """The fields of the gates, with e (at the scale of R's accumulators) after the biases."""
    wide = lo.formats is not None and lo.formats.weight == "s16"
    fields: dict[str, FieldValue] = {}
    for name, value in made.fields.items():
        fields[name] = value
        if name == "wide_bias":
            fields |= {"e": Symbol("NULL"), "wide_e": Symbol("NULL")}
    if op.attributes["linear_before_reset"]:
        e = made.h_bias.reshape(-1, 3, op.attributes["hidden_size"])[:, 2]
        fields["wide_e" if wide else "e"] = lo.constant(e, "s64" if wide else "s32", hint=f"{op.name}:e")
    return fields


def _sample(steps: int, batch: int, inputs: int, units: int, name: str = "", **attributes: Any) -> Sample:
    n = 2 if attributes.get("direction") == "bidirectional" else 1
    inputs_ = (
        given(steps, batch, inputs),
        weight(n, 3 * units, inputs, std=1.5 / inputs**0.5),
        weight(n, 3 * units, units, std=1.0 / units**0.5),
        weight(n, 6 * units, std=0.3),
        None,
        given(n, batch, units),
    )
    return Sample("GRU", inputs_, {"hidden_size": units, **attributes}, 2, 14, name)


def _integer(op: Operator, graph: Graph) -> str | None:
    return recurrent.has_default_activations(op, graph) or recurrent.starts_within_one(op, graph)


GRU = register(
    OpSpec(
        name="GRU",
        onnx=("GRU",),
        infer=recurrent.infer,
        reference=reference,
        canonicalise=recurrent.canonicalise,
        constraints=recurrent.CONSTRAINTS,
        family="recurrent",
        macs=recurrent.macs,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32", "f32", "f32"), _lower_float, 120.0),
            OpLowering("f16", Formats("f16", "f16", "f16", "f16"), _lower_float, 60.0),
            OpLowering("f32", Formats("f32", "f32", "s8", "f32"), _lower_float, 40.0),
            OpLowering("f16", Formats("f16", "f16", "s8", "f16"), _lower_float, 40.0),
            OpLowering("s16", Formats("s16", "s16", "s8", "s16"), _lower_integer, 40.0, _integer),
            OpLowering("s16", Formats("s16", "s16", "s16", "s16"), _lower_integer, 70.0, _integer),
            OpLowering("s8", Formats("s8", "s8", "s8", "s16"), _lower_integer, 35.0, _integer, inputs=("s8", "s16")),
            OpLowering(
                "s8", Formats("s8", "s8", "s8", "s16"), _lower_integer, 35.0, _integer, scales=(ScaleKind.FRAME,)
            ),
        ),
        samples=(
            _sample(1, 1, 64, 154, "real"),
            _sample(1, 1, 1, 1, "smallest"),
            _sample(1, 1, 8, 16, "linear", linear_before_reset=1),
            _sample(33, 1, 8, 4, "bidirectional", direction="bidirectional", linear_before_reset=1),
            _sample(3, 1, 8, 6, "hard", activations=("HardSigmoid", "Tanh")),
            _sample(4, 2, 9, 7, "reverse", direction="reverse", clip=0.7),
            Sample("GRU", (given(3, 1, 5), weight(1, 12, 5), weight(1, 12, 4)), {"hidden_size": 4}, 1, 14, "bare"),
            Sample(
                "GRU",
                (given(4, 2, 5), weight(1, 9, 5), weight(1, 9, 3), weight(1, 18), constant([4, 2], dtype="int32")),
                {"hidden_size": 3, "activations": ["Sigmoid", "Relu"]},
                2,
                14,
                "lengths",
            ),
        ),
    )
)
