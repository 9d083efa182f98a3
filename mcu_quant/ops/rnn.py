"""RNN: h = f(W x + R h + b), step by step over a sequence; mq_rnn.h has the whole mathematics.

Inputs X, W, R, B, sequence_lens, initial_h; outputs Y, Y_h. Attributes as in mcu_quant/recurrent.py. A layer whose
state is that of the model updates it in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

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
from mcu_quant.ops.common import gates, recurrent
from mcu_quant.ops.common.recurrent import Dims
from mcu_quant.program import EdgeType, Purpose

# --- the operator --------------------------------------------------------------------------------------------------


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Y and Y_h in floats."""
    x, w, r, b, lengths, h0 = (*inputs, *[None] * 6)[:6]
    d = Dims.of(op, x.shape, lengths)
    (f,) = recurrent.gate_functions(op)
    sums = recurrent.from_x(x, w, recurrent.summed_bias(b))
    everywhere = np.arange(d.directions)

    def step(at: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        return (f(sums[at, everywhere] + recurrent.from_h(states[0], r)),)

    (h,), (y,) = d.sweep((np.zeros(d.state, x.dtype) if h0 is None else h0,), step)
    return y, h


# --- the kernels ---------------------------------------------------------------------------------------------------


def _exact(fmt: str) -> Callable[..., tuple[Array, ...]]:
    narrow = gates.to_hidden(fmt)

    def exact(
        *, x: Array, w: Array, r: Array, h: Array, p: Mapping[str, Any], y: object = recurrent.WRITTEN
    ) -> tuple[Array, ...]:
        sums = gates.ExactGates(x, w, r, p)

        def step(at: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
            total = sums.from_x(at) + sums.from_h(states[0])
            return (gates.stored(narrow(gates.gate(total, p["tanh_clip"], p["tanh_table"]) << 15), fmt),)

        (state,), (sequence,) = sums.dims.sweep((h,), step)
        return (state,) if y is None else (state, sequence)

    return exact


_FLOAT = dict.fromkeys(("f32", "f16", "w8_f32", "w8_f16"))
_INTEGER = {"s8": "s8", "s16_s8": "s8", "s16": "s16", "s16s16": "s16"}
for _name, _fmt in (*_FLOAT.items(), *_INTEGER.items()):
    register_kernel(
        Kernel(
            f"mq_rnn_{_name}",
            "rnn",
            counts=recurrent.counts,
            exact=_exact(_fmt) if _fmt else None,
            pack=gates.PACK.get(_name, {}),
            near=HALF_ON_HELIUM if _name == "f16" else {},
        )
    )


# --- lowering ------------------------------------------------------------------------------------------------------


def _lower_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt, d = lo.formats.input, recurrent.dims(op, lo)
    kernel = recurrent.float_kernel(lo, "rnn")
    x = lo.read(op.inputs[0])
    h = recurrent.state(lo, op, 1, 5, EdgeType(d.state, fmt))
    biases = recurrent.biases(lo, op)
    weights, b = recurrent.float_weights(lo, op, kernel, 1, biases[0] + biases[1] if biases else None)
    lo.call(
        kernel,
        Purpose.COMPUTE,
        "",
        x=x,
        **weights,
        b=b,
        h=h,
        y=recurrent.sequence(lo, op, d, h, fmt),
        next=lo.scratch(d.units, fmt),
        p=lo.struct(
            "mq_rnn_float_params",
            **d.fields(lo, op),
            clip=op.attributes["clip"],
            **recurrent.float_functions(lo, op, ("f",)),
        ),
    )


def _lower_integer(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt, d = lo.formats.input, recurrent.dims(op, lo)
    read, x_type, suffix = recurrent.integer_input(lo, op)
    x = read.operand
    kernel = f"mq_rnn_{suffix}"
    biases = recurrent.biases(lo, op)
    x_bias = biases[0] + biases[1] if biases else None
    made = gates.gates(lo, op, kernel, x_type, read, functions=("tanh",), x_bias=x_bias)
    h = recurrent.state(lo, op, 1, 5, EdgeType(d.state, fmt, recurrent.HIDDEN[fmt]))
    lo.call(
        kernel,
        x=x,
        w=made.w,
        r=made.r,
        h=h,
        y=recurrent.sequence(lo, op, d, h, fmt),
        next=lo.scratch(d.units, fmt),
        p=lo.struct("mq_rnn_params", **d.fields(lo, op), **made.fields, **gates.tables(lo, op, ("tanh",))),
    )


def _integer(op: Operator, graph: Graph) -> str | None:
    return recurrent.has_default_activations(op, graph) or recurrent.starts_within_one(op, graph)


def _sample(steps: int, batch: int, inputs: int, units: int, name: str = "", **attributes: Any) -> Sample:
    n = 2 if attributes.get("direction") == "bidirectional" else 1
    inputs_ = (
        given(steps, batch, inputs),
        weight(n, units, inputs, std=1.0 / inputs**0.5),
        weight(n, units, units, std=0.7 / units**0.5),
        weight(n, 2 * units, std=0.3),
        None,
        given(n, batch, units),
    )
    return Sample("RNN", inputs_, {"hidden_size": units, **attributes}, 2, 14, name)


RNN = register(
    OpSpec(
        name="RNN",
        onnx=("RNN",),
        infer=recurrent.infer,
        reference=reference,
        canonicalise=recurrent.canonicalise,
        constraints=recurrent.CONSTRAINTS,
        family="recurrent",
        macs=recurrent.macs,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32", "f32", "f32"), _lower_float, 120.0),
            OpLowering("f16", Formats("f16", "f16", "f16", "f16"), _lower_float, 60.0),
            OpLowering("f32", Formats("f32", "f32", "s8", "f32"), _lower_float, 42.0),
            OpLowering("f16", Formats("f16", "f16", "s8", "f16"), _lower_float, 42.0),
            OpLowering("s16", Formats("s16", "s16", "s8", "s16"), _lower_integer, 42.0, _integer),
            OpLowering("s16", Formats("s16", "s16", "s16", "s16"), _lower_integer, 72.0, _integer),
            OpLowering("s8", Formats("s8", "s8", "s8", "s8"), _lower_integer, 38.0, _integer, inputs=("s8", "s16")),
        ),
        samples=(
            _sample(1, 1, 40, 64, "real"),
            _sample(1, 1, 1, 1, "smallest"),
            _sample(5, 2, 3, 4, "bidirectional", direction="bidirectional"),
            _sample(4, 1, 9, 7, "reverse", direction="reverse", clip=0.7),
            Sample("RNN", (given(3, 1, 5), weight(1, 4, 5), weight(1, 4, 4)), {"hidden_size": 4}, 1, 14, "bare"),
        ),
    )
)
