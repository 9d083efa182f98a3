"""Gates of integer recurrent layers: 16-bit pre-activations, tables, and their exact arithmetic in numpy.

The mathematics stands in firmware/include/mq_recurrent.h and in the headers of the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcu_quant import fixed, formats, quantise
from mcu_quant.formats import QuantParams, ScaleKind
from mcu_quant.ir import Array, Operator
from mcu_quant.lowering import Lowering
from mcu_quant.ops.common import columns, packing
from mcu_quant.ops.common.recurrent import HIDDEN, Dims, activations, directions, from_h, matrix, step_matrix
from mcu_quant.program import Constant, EdgeType, FieldValue, Symbol

#: Fractional bits that a sum of pre-activations keeps beyond those of its table.
GUARD = 8
#: Fractional bits of the input of each table: 16 bits cover [-16, 16) and [-8, 8).
TABLE_BITS = {"sigmoid": 11, "tanh": 12}


def table(name: str) -> Array:
    """513 points of a gate's function in Q15, over the 16 bits of its input.

    Straight lines between points of the curve all lie on its inner side; points moved outwards by half of the largest
    distance halve the error: at most 1.7 steps of Q15 for the sigmoid, 2.3 for tanh, rounding included.
    """
    bits = TABLE_BITS[name]
    x = np.arange(-32768, 32768 + 128, 128) / 2.0**bits
    spacing = 128 / 2.0**bits
    t = np.tanh(x / 2 if name == "sigmoid" else x)
    y, bend = ((1 + t) / 2, -t * (1 - t * t) / 4) if name == "sigmoid" else (t, -2 * t * (1 - t * t))
    stored = np.rint((y - spacing**2 / 16 * bend) * 32768)
    limited: Array = np.clip(stored, 0 if name == "sigmoid" else -32767, 32767)
    return limited.astype(np.int16)


def hard_sigmoid_table(alpha: float, beta: float) -> Array:
    """513 points of HardSigmoid in Q15, over the input of the sigmoid's table: exact where its bends are points."""
    x = np.arange(-32768, 32768 + 128, 128) / 2.0 ** TABLE_BITS["sigmoid"]
    return np.clip(np.rint(np.clip(alpha * x + beta, 0.0, 1.0) * 32768), 0, 32767).astype(np.int16)


def gate(total: Array, clip: int, entries: Array) -> Array:
    """`mq_gate`: a gate in Q15 from its pre-activation."""
    return fixed.lookup(np.clip(fixed.rshr(total, GUARD), -clip, clip), entries)


def q30_to_s8(x: Array) -> Array:
    """`mq_q30_to_s8`: a product of two Q15 numbers with scale 1/127."""
    return fixed.saturate(fixed.requantise(x, 127 << 24, -22), -128, 127)


def q30_to_s16(x: Array) -> Array:
    """`mq_q30_to_s16`."""
    return fixed.saturate(fixed.rshr(x, 15), -32768, 32767)


def to_hidden(fmt: str) -> Callable[[Array], Array]:
    """From Q30 to the integers in which a hidden state is stored."""
    return {"s8": q30_to_s8, "s16": q30_to_s16}[fmt]


def clip_steps(clip: float, name: str) -> int:
    """ONNX's clip in steps of a table's input."""
    return int(min(32767.0, round(min(clip, 64.0) * 2.0 ** TABLE_BITS[name])))


#: How W and R are packed, by the suffix of the kernel's name; each gate of a direction is a group.
PACK: Mapping[str, Mapping[tuple[str, str], packing.Pack]] = {
    "f16": {
        ("dsp", "w"): packing.HALF_ROWS,
        ("dsp", "r"): packing.HALF_ROWS,
        ("mve", "w"): packing.HALF_LANES,
        ("mve", "r"): packing.HALF_LANES,
    },
    "s8": {
        ("dsp", "w"): packing.ROWS_FOR_S8,
        ("dsp", "r"): packing.ROWS_FOR_S8,
        ("mve", "w"): packing.CHUNKS_FOR_S8,
        ("mve", "r"): packing.CHUNKS_FOR_S8,
    },
    "s8_frame": {("dsp", "w"): packing.ROWS_FOR_S8, ("dsp", "r"): packing.ROWS_FOR_S8},
    "s16_s8": {
        ("dsp", "w"): packing.ROWS_FOR_S16,
        ("dsp", "r"): packing.ROWS_FOR_S8,
        ("mve", "w"): packing.CHUNKS_FOR_S16,
        ("mve", "r"): packing.CHUNKS_FOR_S8,
    },
    "s16": {
        ("dsp", "w"): packing.ROWS_FOR_S16,
        ("dsp", "r"): packing.ROWS_FOR_S16,
        ("mve", "w"): packing.CHUNKS_FOR_S16,
        ("mve", "r"): packing.CHUNKS_FOR_S16,
    },
}


@dataclass(frozen=True, eq=False)
class Gates:
    """Constants of the pre-activations of an integer layer: packed matrices, and fields of the parameter struct."""

    w: Constant
    r: Constant
    fields: Mapping[str, FieldValue]
    #: biases at the scale of R's accumulators, [rows]; zero unless asked for
    h_bias: NDArray[np.int64]
    #: biases at the scale of the sums, [rows], where x has the scale of the frame
    x_bias: NDArray[np.int64] | None = None


def gates(
    lo: Lowering,
    op: Operator,
    kernel: str,
    x: EdgeType,
    read: columns.Read,
    *,
    functions: Sequence[str],
    x_bias: Array | None,
    h_bias: Array | None = None,
    extra_bits: Sequence[int] | None = None,
) -> Gates:
    """Quantise W and R per row, each with its own scales, towards sums with guard bits.

    `functions`: the table of each gate. Biases: [directions, gates, units] in reals. `extra_bits`: fractional bits
    that what comes from R has beyond the guard bits, of each gate.
    """
    assert lo.formats and lo.formats.weight and x.quant
    frame = x.quant.kind is not ScaleKind.STATIC
    # with the scale of the frame, accumulators have none of their own, and biases are added to the sums
    x_quant = QuantParams(1.0, x.quant.zero_point) if frame else x.quant
    inner, weights, hidden = lo.formats.input, lo.formats.weight, HIDDEN[lo.formats.input]
    assert hidden
    wide = weights == "s16"
    units = op.attributes["hidden_size"]
    limit = 62 if wide else 32

    def quantised(k: int, bias: Array | None, quant: QuantParams, by: columns.Read, fmt: str) -> quantise.Rows:
        known = by.known(lo, op.inputs[k], step_matrix(lo, op, k), biased=k == 1 and not frame)
        real = by.matrix(matrix(lo, op, k))
        return quantise.rows(real, bias, quant, fmt, weights, accumulator_bits=limit, known=known)

    rows = {
        "x": quantised(1, None if frame else x_bias, x_quant, read, x.format),
        "h": quantised(2, h_bias, hidden, columns.Read(read.operand), inner),
    }

    def per_row(values: Sequence[int]) -> NDArray[np.float64]:
        return np.tile(np.repeat(np.asarray(values, np.float64), units), directions(op))

    target = {"x": GUARD + per_row([TABLE_BITS[name] for name in functions])}
    target["h"] = target["x"] + (per_row(extra_bits) if extra_bits else 0.0)
    fields: dict[str, FieldValue] = {"bias": Symbol("NULL"), "wide_bias": Symbol("NULL")}
    bias = lo.constant(rows["x"].bias, "s64" if wide else "s32", hint=f"{op.name}:bias")
    fields["wide_bias" if wide else "bias"] = bias
    narrow = {k: max(0, q.accumulator_bits - 32) if wide else 0 for k, q in rows.items()}
    fields |= {f"{k}_narrow": bits for k, bits in narrow.items()}
    for k, scale in (("x", x_quant.scale), ("h", hidden.scale)):
        m, shift = quantise.factors(rows[k].scale * scale * 2.0 ** (target[k] + narrow[k]))
        fields[f"{k}_multiplier"] = lo.constant(m, "s32", hint=f"{op.name}:{k}_multiplier", kind="table")
        fields[f"{k}_shift"] = lo.constant(shift, "s8", hint=f"{op.name}:{k}_shift", kind="table")

    def packed(k: str, name: str) -> Constant:
        hint, groups = f"{op.name}:{name}", directions(op) * len(functions)
        values = rows[k].weights
        return lo.matrix(kernel, name.lower(), values, weights, hint=hint, groups=groups, comment="scale per row")

    sums = np.zeros(len(target["x"])) if x_bias is None else np.ravel(x_bias)
    limited = np.clip(np.rint(sums * 2.0 ** target["x"]), -(2**28), 2**28).astype(np.int64)
    return Gates(packed("x", "W"), packed("h", "R"), fields, rows["h"].bias, limited if frame else None)


def tables(lo: Lowering, op: Operator, names: Sequence[str] = ("sigmoid", "tanh")) -> dict[str, FieldValue]:
    """Fields with the tables of gates and ONNX's clip in their steps. Layers of one kind share the same tables."""
    points = {n: (n, table(n)) for n in names}
    first = activations(op, 0)[0]
    if first.name == "HardSigmoid":
        points["sigmoid"] = ("hard_sigmoid", hard_sigmoid_table(*first.parameters))
    fields: dict[str, FieldValue] = {
        f"{n}_table": lo.constant(made, "s16", hint=f"gates:{hint}", comment="Q15", kind="table")
        for n, (hint, made) in points.items()
    }
    return {**fields, **{f"{n}_clip": clip_steps(op.attributes["clip"], n) for n in names}}


@dataclass(frozen=True, eq=False)
class Frame:
    """What an input with the scale of the frame needs; `mq_frame` of firmware/include/mq_recurrent.h."""

    scale: float
    bias: Array

    def sums(self, acc: Array, m: Array, shift: Array) -> Array:
        """`mq_frame_sum`."""
        factor, exponent = fixed.frame_factor(self.scale)
        both = np.clip(shift.astype(np.int64) + exponent, -31, 31)
        sums = fixed.requantise(acc, fixed.mulhr(m, factor), both)
        result: Array = np.clip(sums, -(2**29), 2**29) + self.bias
        return result


def frame_of(scale: Array | None, bias: Array | None) -> Frame | None:
    """From the arguments of a kernel; None where the scale of x is static."""
    return None if scale is None or bias is None else Frame(float(scale[0]), bias)


class ExactGates:
    """Pre-activations of an integer layer in numpy integers, as the kernels compute them; all directions at once."""

    def __init__(
        self,
        x: Array,
        w: Array,
        r: Array,
        p: Mapping[str, Any],
        h_bias: Array | None = None,
        frame: Frame | None = None,
    ) -> None:
        self.dims = d = Dims.given(p)
        self._p = p
        self._wide = w.dtype == np.int16
        self._everywhere = np.arange(d.directions)
        bias = p["wide_bias"] if self._wide else p["bias"]
        acc = quantise.dot(np.reshape(x, (d.steps * d.batch, d.inputs)), w) + bias
        if frame is None:
            sums = self._requantise(acc, "x", p["x_multiplier"], p["x_shift"])
        else:
            sums = frame.sums(acc, p["x_multiplier"], p["x_shift"])
        self._x_sum = sums.reshape(d.steps, d.batch, d.directions, -1).swapaxes(1, 2)
        #: [directions, 1, rows], to go with [directions, batch, rows]
        per_row = (d.directions, 1, len(w) // d.directions)
        self._m, self._shift = p["h_multiplier"].reshape(per_row), p["h_shift"].reshape(per_row)
        self._h_bias = np.zeros(per_row, np.int64) if h_bias is None else h_bias.reshape(per_row)
        # whole numbers below 2**53, so that floats compute them exactly
        self._r = np.asarray(r, np.float64).reshape(d.directions, per_row[2], d.units)

    def _requantise(self, acc: Array, k: str, m: Array, shift: Array) -> Array:
        if self._wide:
            return fixed.requantise64(acc, self._p[f"{k}_narrow"], m, shift)
        return fixed.requantise(acc, m, shift)

    def from_x(self, at: Array) -> Array:
        """What x adds to the sums at the step of each direction: [directions, batch, rows]."""
        result: Array = self._x_sum[at, self._everywhere]
        return result

    def from_h(self, h: Array, rows: slice = slice(None)) -> Array:
        """What h [directions, batch, units] adds to the sums: [directions, batch, rows]."""
        acc = from_h(np.asarray(h, np.float64), self._r[:, rows]).astype(np.int64) + self._h_bias[..., rows]
        return self._requantise(acc, "h", self._m[..., rows], self._shift[..., rows])


def stored(values: Array, fmt: str) -> Array:
    """Integers in the dtype of a format."""
    return values.astype(formats.get(fmt).dtype)
