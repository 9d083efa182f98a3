"""Inputs of weight matrices that are evened out before they are rounded: x_j / s_j times w_j s_j.

What has a large range and small weights takes the resolution of all other inputs of its tensor; divided by a factor
that the weights are multiplied with, every input uses its share (SmoothQuant, Xiao et al. 2022, arXiv:2211.10438; with
the exponent 1, every input has a scale of its own). The division is one product by a constant before the conversion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from mcu_quant import fixed, formats
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array
from mcu_quant.lowering import Lowering, Operand
from mcu_quant.ops.common.broadcast import loops
from mcu_quant.precision.plan import Columns
from mcu_quant.program import Access, Argument, Buffer, Purpose, Struct
from mcu_quant.quantise import Known

#: Factors lie within so many powers of two of their geometric mean: beyond, an input is next to nothing.
MOST_BITS = 8.0


@dataclass(frozen=True, eq=False)
class Read:
    """An operand, and by what each column of the matrix is to be multiplied: [columns of the matrix]."""

    operand: Operand
    factors: NDArray[np.float64] | None = None

    def matrix(self, real: Array) -> Array:
        """The weights [rows, columns] that go with the operand."""
        return real if self.factors is None else np.asarray(real, np.float64) * self.factors

    def known(self, lo: Lowering, weights: str, steps: Array | None = None, *, biased: bool = True) -> Known:
        """What is known of a weight matrix, with its inputs as they are after the division."""
        made = known(lo, weights, steps, biased=biased)
        return replace(made, moments=self._divided(made.moments), means=self._divided(made.means))

    def _divided(self, kept: Array | None) -> Array | None:
        return kept if kept is None or self.factors is None else np.asarray(kept, np.float64) / self.factors


def known(lo: Lowering, weights: str, steps: Array | None = None, *, biased: bool = True) -> Known:
    """What is known of a weight matrix, by its name. `steps` as its rows have them.

    Not `biased`: no bias makes up for what rounding adds.
    """
    plan = lo.plan
    means = plan.means.get(weights) if biased else None
    return Known(steps, plan.moments.get(weights), means, plan.powers_of_two, plan.rounded.get(weights))


def factors(columns: Columns, matrix: Array) -> NDArray[np.float64]:
    """s_j by SmoothQuant's rule, geometric mean 1, [inputs]. The columns of a matrix are inputs, tap by tap."""
    count = len(columns.low)
    w = np.abs(np.asarray(matrix, np.float64)).reshape(-1, count).max(axis=0)
    x = np.maximum(-columns.low.astype(np.float64), columns.high)
    alive = (w > 0) & (x > 0)
    logs = np.zeros(count)
    logs[alive] = columns.exponent * np.log2(x[alive]) - (1.0 - columns.exponent) * np.log2(w[alive])
    middle = logs[alive].mean() if alive.any() else 0.0
    made: NDArray[np.float64] = 2.0 ** np.where(alive, np.clip(logs - middle, -MOST_BITS, MOST_BITS), 0.0)
    return made


def read(lo: Lowering, edge: str, weights: str, matrix: Array, fmt: str, inner: int = 1) -> Read:
    """An input in a format, evened out where the plan says so for these weights.

    `matrix` is what it is multiplied with, [rows, taps * inputs]; `inner` the values of each input that follow each
    other: 1 where inputs are the last axis, the size of a map where they are channels.
    """
    columns = lo.columns_of(weights)
    if columns is None or lo.is_constant(edge) or lo.steps_of(weights) is not None:
        return Read(lo.read(edge, fmt))
    source = _source(lo, edge)
    scaled, s = _scaled(lo, edge, source, factors(columns, matrix), columns, inner)
    quant = lo.scales.covering(float(np.min(columns.low / s)), float(np.max(columns.high / s)), fmt)
    taps = matrix.shape[1] // len(s)
    return Read(lo.read(scaled, fmt, quant), np.tile(s, taps))


def read_frame(
    lo: Lowering,
    edge: str,
    weights: str,
    matrix: Array,
    fmt: str = "s8",
    inner: int = 1,
    signed: bool = False,
    rows: int = 1,
) -> tuple[Buffer, Buffer, Read]:
    """The same with the scale of the frame, in s8 of each of so many rows: the operand and its scale."""
    columns = lo.columns_of(weights)
    if columns is None or lo.steps_of(weights) is not None:
        x, scale = lo.read_frame(edge, fmt, signed=signed, rows=rows)
        return x, scale, Read(x)
    source = "f32" if lo.stored(edge).storage.integer else lo.stored(edge).format
    scaled, s = _scaled(lo, edge, source, factors(columns, matrix), columns, inner)
    x, scale = lo.read_frame(scaled, fmt, float(columns.low.min()), signed, rows)
    return x, scale, Read(x, np.tile(s, matrix.shape[1] // len(s)))


def _source(lo: Lowering, edge: str) -> str:
    """What the product is computed in: as the edge is stored, but never in 8 bits."""
    stored = lo.stored(edge)
    return "s16" if stored.format == "s8" else stored.format


def _scaled(
    lo: Lowering, edge: str, fmt: str, wanted: NDArray[np.float64], columns: Columns, inner: int
) -> tuple[str, NDArray[np.float64]]:
    """An edge that holds x / s, and s as the format of the product has it."""
    target = formats.get(fmt)
    quant = target.symmetric(float((1.0 / wanted).max())) if target.integer else None
    inverse = target.quantise(1.0 / wanted, quant)
    s = 1.0 / target.dequantise(inverse, quant).astype(np.float64)
    key = ("scaled", edge, fmt, inner, inverse.tobytes())

    def make() -> str:
        x = lo.read(edge, fmt)
        shape = lo.shape(edge)
        made = lo.scales.covering(float(np.min(columns.low / s)), float(np.max(columns.high / s)), fmt)
        name = lo.temporary(shape, fmt, made, "evened")
        over = loops((prod(shape) // (len(s) * inner), len(s), inner), (len(s), 1)).padded()
        b = lo.constant(inverse, fmt, hint=f"{lo.op.name}:inverse", comment="1 / s of each input", kind="table")
        struct = lo.struct("mq_broadcast", shape=over.shape, a_step=over.a_step, b_step=over.b_step)
        args: dict[str, Argument | int | float] = {"a": x, "b": b, "y": Buffer(name, Access.WRITE), "loops": struct}
        if made is not None and quant is not None:
            args["p"] = _product(lo, lo.type_of(x).quant, quant, made)
        lo.call(f"mq_mul_{fmt}", Purpose.COMPUTE, "", **args)
        return name

    return lo.once(key, make), s


def _product(lo: Lowering, x: QuantParams | None, inverse: QuantParams, y: QuantParams) -> Struct:
    assert x is not None
    multiplier, shift = fixed.multiplier(x.scale * inverse.scale / y.scale)
    return lo.struct(
        "mq_mul_params",
        a_zero=x.zero_point,
        b_zero=0,
        multiplier=multiplier,
        shift=shift,
        y_zero=y.zero_point,
    )
