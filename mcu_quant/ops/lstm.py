"""LSTM: c = f c + i g, h = o tanh(c), step by step over a sequence; mq_lstm.h has the whole mathematics.

Inputs X, W, R, B, sequence_lens, initial_h, initial_c, P; outputs Y, Y_h, Y_c. Attributes as in mcu_quant/recurrent.py,
and input_forget. A layer whose states are those of the model updates them in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor, log2
from typing import Any

import numpy as np

from mcu_quant import fixed
from mcu_quant.formats import QuantParams, ScaleKind
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


def _run(op: Operator, inputs: Sequence[Any]) -> tuple[tuple[Array, ...], list[Array]]:
    """Final states (h, c), and h and c of every step."""
    x, w, r, b, lengths, h0, c0, p = (*inputs, *[None] * 8)[:8]
    d = Dims.of(op, x.shape, lengths)
    f, g, tanh = recurrent.gate_functions(op)
    sums = recurrent.from_x(x, w, recurrent.summed_bias(b))
    everywhere = np.arange(d.directions)

    def step(at: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        h, c = states
        i, o, k, n = np.split(sums[at, everywhere] + recurrent.from_h(h, r), 4, axis=-1)
        if p is not None:
            pi, po, pf = np.split(p[:, None], 3, axis=-1)
            i, k = i + pi * c, k + pf * c
        i = f(i)
        c = (1 - i if op.attributes["input_forget"] else f(k)) * c + i * g(n)
        return f(o if p is None else o + po * c) * tanh(c), c

    zeros = np.zeros(d.state, x.dtype)
    return d.sweep((zeros if h0 is None else h0, zeros if c0 is None else c0), step)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Y, Y_h and Y_c in floats."""
    (h, c), (y, _) = _run(op, inputs)
    return y, h, c


def internals(op: Operator, inputs: Sequence[Any]) -> Mapping[str, Array]:
    """The cell state of every step: its largest value decides the scale of 16 bits."""
    return {"cell": _run(op, inputs)[1][1]}


# --- the kernels ---------------------------------------------------------------------------------------------------


def exact_cell(total: Sequence[Array], c: Array, p: Mapping[str, Any]) -> tuple[Array, Array]:
    """`mq_lstm_cell`: the new cell state, and the hidden state in Q30. `total`: sums of gates i, o, f, c."""
    sigmoid = (p["sigmoid_clip"], p["sigmoid_table"])

    def gate(k: int, state: Array) -> Array:
        return gates.gate(total[k] + _peeped(state, k, p), *sigmoid)

    i = gate(0, c)
    f = 32768 - i if p["input_forget"] else gate(2, c)
    g = gates.gate(total[3], p["tanh_clip"], p["tanh_table"])
    bits = p["cell_bits"]
    cell = fixed.saturate(fixed.rshr(f * c + fixed.rshr(i * g, bits), 15), -32768, 32767)
    q12 = fixed.saturate(fixed.rshr(2 * cell, 4 - bits), -32768, 32767)
    return cell, gate(1, cell) * fixed.lookup(q12, p["tanh_table"])


def _peeped(c: Array, gate: int, p: Mapping[str, Any]) -> Array | int:
    """`mq_lstm_peep`, for c [directions, batch, units]."""
    if not isinstance(p["peephole"], np.ndarray):
        return 0
    weights = p["peephole"].astype(np.int64).reshape(len(c), 3, 1, -1)[:, gate]
    return fixed.rshr(weights * c, p["peephole_shift"])


def _exact(fmt: str) -> Callable[..., tuple[Array, ...]]:
    narrow = gates.to_hidden(fmt)

    def exact(
        *,
        x: Array,
        w: Array,
        r: Array,
        h: Array,
        c: Array,
        p: Mapping[str, Any],
        y: object = recurrent.WRITTEN,
        x_scale: Array | None = None,
        x_bias: Array | None = None,
    ) -> tuple[Array, ...]:
        sums = gates.ExactGates(x, w, r, p, frame=gates.frame_of(x_scale, x_bias))

        def step(at: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
            total = sums.from_x(at) + sums.from_h(states[0])
            cell, q30 = exact_cell(np.split(total, 4, axis=-1), states[1].astype(np.int64), p)
            return gates.stored(narrow(q30), fmt), gates.stored(cell, "s16")

        states, (sequence, _) = sums.dims.sweep((h, c), step)
        return states if y is None else (*states, sequence)

    return exact


_INTEGER = {"s8": "s8", "s8_frame": "s8", "s16_s8": "s8", "s16": "s16", "s16s16": "s16"}
for _name, _fmt in (("f32", None), ("f16", None), ("w8_f32", None), ("w8_f16", None), *_INTEGER.items()):
    register_kernel(
        Kernel(
            f"mq_lstm_{_name}",
            "lstm",
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
    kernel = recurrent.float_kernel(lo, "lstm")
    x = lo.read(op.inputs[0])
    h = recurrent.state(lo, op, 1, 5, EdgeType(d.state, fmt))
    c = recurrent.state(lo, op, 2, 6, EdgeType(d.state, fmt))
    biases, peephole = recurrent.biases(lo, op), op.inputs[7]
    null = Symbol("NULL")
    weights, b = recurrent.float_weights(lo, op, kernel, 4, biases[0] + biases[1] if biases else None)
    lo.call(
        kernel,
        Purpose.COMPUTE,
        "",
        x=x,
        **weights,
        b=b,
        peephole=lo.constant(lo.weights_of(peephole), "f32", hint=f"{op.name}:P") if peephole else null,
        h=h,
        c=c,
        y=recurrent.sequence(lo, op, d, h, fmt),
        next=lo.scratch(d.units, fmt),
        p=lo.struct(
            "mq_lstm_float_params",
            **d.fields(lo, op),
            input_forget=op.attributes["input_forget"],
            clip=op.attributes["clip"],
            **recurrent.float_functions(lo, op, ("f", "g", "h")),
        ),
    )


def cell_bits(magnitude: float) -> int:
    """The power of two that covers a cell state, in [0, 4].

    Beyond 16 the range saturates instead: cells that integrate grow without bound, but h = o tanh(c) does not change,
    and a wider range costs the resolution of the small cells.
    """
    return min(4, max(0, ceil(log2(magnitude)))) if magnitude > 0 else 0


def _lower_integer(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt, d = lo.formats.input, recurrent.dims(op, lo)
    if lo.choice.scale is ScaleKind.STATIC:
        read, x_type, suffix = recurrent.integer_input(lo, op)
        args: dict[str, Argument | int | float] = {"x": read.operand}
    else:
        args, read = recurrent.frame_input(lo, op)
        x_type, suffix = lo.type_of(read.operand), "s8_frame"
    kernel = f"mq_lstm_{suffix}"
    biases = recurrent.biases(lo, op)
    cell = f"{op.name}:cell"
    bits = cell_bits((lo.scales.chosen(cell, "s16") or lo.scales.range(cell)).magnitude)
    made = gates.gates(
        lo,
        op,
        kernel,
        x_type,
        read,
        functions=("sigmoid", "sigmoid", "sigmoid", "tanh"),
        x_bias=biases[0] + biases[1] if biases else None,
    )
    h = recurrent.state(lo, op, 1, 5, EdgeType(d.state, fmt, recurrent.HIDDEN[fmt]))
    c = recurrent.state(lo, op, 2, 6, EdgeType(d.state, "s16", QuantParams(2.0 ** (bits - 15))))
    args |= {"w": made.w, "r": made.r}
    if made.x_bias is not None:
        args["x_bias"] = lo.constant(made.x_bias, "s32", hint=f"{op.name}:x_bias")
    args |= {"h": h, "c": c, "y": recurrent.sequence(lo, op, d, h, fmt), "next": lo.scratch(d.units, fmt)}
    args["p"] = lo.struct(
        "mq_lstm_params",
        **d.fields(lo, op),
        input_forget=op.attributes["input_forget"],
        **made.fields,
        **gates.tables(lo, op),
        cell_bits=bits,
        **_peepholes(lo, op, bits),
    )
    lo.call(kernel, Purpose.COMPUTE, "", **args)


def _peepholes(lo: Lowering, op: Operator, cell_bits: int) -> dict[str, FieldValue]:
    """Fields with the peepholes as s16 of one scale, a power of two, and what brings their products to the sums."""
    if not op.inputs[7]:
        return {"peephole": Symbol("NULL"), "peephole_shift": 0}
    weights = lo.weights_of(op.inputs[7]).astype(np.float64)
    largest = np.abs(weights).max(initial=0.0)
    bits = 15 - (max(0, floor(log2(largest)) + 1) if largest > 0 else 0)
    stored = np.clip(np.rint(weights * 2.0**bits), -32768, 32767)
    constant_ = lo.constant(stored, "s16", hint=f"{op.name}:P", comment=f"scale 2^-{bits}")
    shift = bits + 15 - cell_bits - (gates.GUARD + gates.TABLE_BITS["sigmoid"])
    return {"peephole": constant_, "peephole_shift": shift}


def _integer(op: Operator, graph: Graph) -> str | None:
    if op.inputs[7] and np.abs(graph.constants[op.inputs[7]]).max(initial=0.0) >= _LARGEST_PEEPHOLE:
        return f"a peephole weighs {_LARGEST_PEEPHOLE} or more"
    return recurrent.has_default_activations(op, graph) or recurrent.starts_within_one(op, graph)


#: With cell states up to 16, what a peephole adds stays far within the sums of gates.
_LARGEST_PEEPHOLE = 32


def _sample(steps: int, batch: int, inputs: int, units: int, name: str = "", **attributes: Any) -> Sample:
    n = 2 if attributes.get("direction") == "bidirectional" else 1
    weights = (
        weight(n, 4 * units, inputs, std=1.5 / inputs**0.5),
        weight(n, 4 * units, units, std=1.0 / units**0.5),
        weight(n, 8 * units, std=0.3),
    )
    states = (given(n, batch, units), given(n, batch, units, low=-2.0, high=2.0))
    inputs_ = (given(steps, batch, inputs), *weights, None, *states)
    return Sample("LSTM", inputs_, {"hidden_size": units, **attributes}, 3, 14, name)


LSTM = register(
    OpSpec(
        name="LSTM",
        onnx=("LSTM",),
        infer=recurrent.infer,
        reference=reference,
        canonicalise=recurrent.canonicalise,
        constraints=recurrent.CONSTRAINTS,
        internals=internals,
        family="recurrent",
        macs=recurrent.macs,
        saturates={2: "the cell state is cut off at 16 by design: beyond, tanh of it does not change"},
        lowerings=(
            OpLowering("f32", Formats("f32", "f32", "f32", "f32"), _lower_float, 120.0),
            OpLowering("f16", Formats("f16", "f16", "f16", "f16"), _lower_float, 60.0),
            OpLowering("f32", Formats("f32", "f32", "s8", "f32"), _lower_float, 38.0),
            OpLowering("f16", Formats("f16", "f16", "s8", "f16"), _lower_float, 38.0),
            OpLowering("s16", Formats("s16", "s16", "s8", "s16"), _lower_integer, 40.0, _integer),
            OpLowering("s16", Formats("s16", "s16", "s16", "s16"), _lower_integer, 65.0, _integer),
            OpLowering("s8", Formats("s8", "s8", "s8", "s8"), _lower_integer, 29.0, _integer, inputs=("s8", "s16")),
            OpLowering(
                "s8", Formats("s8", "s8", "s8", "s8"), _lower_integer, 29.0, _integer, scales=(ScaleKind.FRAME,)
            ),
        ),
        samples=(
            _sample(1, 1, 257, 128, "real"),
            _sample(1, 1, 1, 1, "smallest"),
            _sample(5, 2, 3, 4, "bidirectional", direction="bidirectional"),
            _sample(3, 1, 8, 6, "hard", activations=("HardSigmoid", "Tanh", "Tanh")),
            _sample(4, 1, 9, 7, "reverse", direction="reverse", clip=0.7),
            _sample(3, 1, 5, 16, "coupled", input_forget=1),
            Sample("LSTM", (given(3, 1, 5), weight(1, 16, 5), weight(1, 16, 4)), {"hidden_size": 4}, 1, 14, "bare"),
            Sample(
                "LSTM",
                (
                    given(6, 2, 5),
                    weight(2, 28, 5),
                    weight(2, 28, 7),
                    weight(2, 56),
                    None,
                    given(2, 2, 7),
                    given(2, 2, 7, low=-2.0, high=2.0),
                    weight(2, 21, std=1.0),
                ),
                {"hidden_size": 7, "direction": "bidirectional"},
                3,
                14,
                "peepholes-both",
            ),
            Sample(
                "LSTM",
                (
                    given(4, 2, 5),
                    weight(1, 12, 5),
                    weight(1, 12, 3),
                    weight(1, 24),
                    constant([4, 2], dtype="int32"),
                    None,
                    None,
                    weight(1, 9),
                ),
                {"hidden_size": 3, "activations": ["Sigmoid", "Relu", "Tanh"]},
                3,
                14,
                "peepholes",
            ),
        ),
    )
)
