"""Conversions between formats: no ONNX operator, what lowering puts at every precision boundary.

One C function per pair of formats, `mq_convert_<from>_<to>`. Those to or from integers are specified to the bit, with
f32 arithmetic as the C has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mcu_quant import fixed, formats
from mcu_quant.ir import Array
from mcu_quant.ops import Counts, Kernel, register_kernel
from mcu_quant.program import Call, Program, Scalar

if TYPE_CHECKING:
    pass

FLOATS = ("f32", "f16")
INTEGERS = ("s8", "s16")


def round_f32(x: Array) -> Array:
    """`mq_round`: nearest integer, half to even, limited to +-2**20; NaN gives the lower limit."""
    low, high = np.float32(-1048576.0), np.float32(1048576.0)
    with np.errstate(invalid="ignore"):
        bounded = np.where(x > low, np.where(x < high, x, high), low)
    return np.rint(bounded).astype(np.int64)


def _counts(program: Program, call: Call) -> Counts:
    count, rows = call.args["n"], call.args.get("rows", Scalar(1))
    assert isinstance(count, Scalar) and isinstance(rows, Scalar)
    return Counts(elements=int(count.value) * int(rows.value))


def _float_to_integer(to: str) -> Callable[..., Array]:
    target = formats.get(to)

    def exact(x: Array, n: int, inverse_scale: float, zero: int) -> Array:
        with np.errstate(over="ignore"):
            steps = round_f32(x.astype(np.float32) * np.float32(inverse_scale)) + zero
        return fixed.saturate(steps, target.minimum, target.maximum).astype(target.dtype)

    return exact


def _integer_to_float(to: str) -> Callable[..., Array]:
    def exact(x: Array, n: int, scale: float, zero: int) -> Array:
        real = (x.astype(np.int64) - zero).astype(np.float32) * np.float32(scale)
        return real.astype(formats.get(to).dtype)

    return exact


def _integer_to_integer(to: str) -> Callable[..., Array]:
    target = formats.get(to)

    def exact(x: Array, n: int, x_zero: int, multiplier: int, shift: int, y_zero: int) -> Array:
        y = fixed.requantise(x.astype(np.int64) - x_zero, multiplier, shift) + y_zero
        return fixed.saturate(y, target.minimum, target.maximum).astype(target.dtype)

    return exact


def _float_to_float(to: str) -> Callable[..., Array]:
    def exact(x: Array, n: int) -> Array:
        with np.errstate(over="ignore"):
            return x.astype(formats.get(to).dtype)

    return exact


def _exact_frame(x: Array, n: int, rows: int) -> tuple[Array, Array]:
    """Largest magnitude of each row to 127: stored values and scales. All in f32, as the C."""
    real = x.astype(np.float32).reshape(rows, n)
    largest = np.max(np.abs(real), axis=1, initial=np.float32(0.0), keepdims=True)
    stored = fixed.saturate(round_f32(real * _inverse(largest, 127.0)), -128, 127).astype(np.int8)
    return stored.reshape(x.shape), np.ravel(largest / np.float32(127.0))


def _exact_positive(x: Array, n: int, rows: int) -> tuple[Array, Array]:
    """The same of values that are not negative, on all 256 steps."""
    real = x.astype(np.float32).reshape(rows, n)
    largest = np.max(real, axis=1, initial=np.float32(0.0), keepdims=True)
    stored = fixed.saturate(round_f32(real * _inverse(largest, 255.0)) - 128, -128, 127).astype(np.int8)
    return stored.reshape(x.shape), np.ravel(largest / np.float32(255.0))


def _inverse(largest: Array, steps: float) -> Array:
    """Steps per unit; 0 where all is silent, infinite below the smallest normal number, as in C."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(largest > 0, np.float32(steps) / largest, np.float32(0.0))


def _exact_frame_s16(x: Array, n: int) -> tuple[Array, Array]:
    """The power of two that holds the frame's largest magnitude, to 16 bits."""
    real = np.ascontiguousarray(x, np.float32)
    exponent = min(int((real.view(np.uint32) & 0x7FFFFFFF).max(initial=0)) >> 23, 254)
    if exponent < 15:
        return np.zeros(x.shape, np.int16), np.zeros(1, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = round_f32(real * np.float32(2.0 ** (141 - exponent)))
    return fixed.saturate(steps, -32768, 32767).astype(np.int16), np.array([2.0 ** (exponent - 141)], np.float32)


_FRAMES = {"s8_frame": _exact_frame, "s8_frame_positive": _exact_positive, "s16_frame": _exact_frame_s16}


def _register(source: str, to: str) -> None:
    if source in FLOATS:
        exact = _float_to_integer(to) if to in INTEGERS else _float_to_float(to)
    else:
        exact = _integer_to_integer(to) if to in INTEGERS else _integer_to_float(to)
    same_size = formats.get(source).bytes == formats.get(to).bytes
    inplace = (("x", "y"),) if same_size else ()
    register_kernel(Kernel(f"mq_convert_{source}_{to}", "convert", counts=_counts, exact=exact, inplace=inplace))


for _source in FLOATS + INTEGERS:
    for _to in FLOATS + INTEGERS:
        if _source != _to or _source in INTEGERS:
            _register(_source, _to)


for _source in FLOATS:
    for _to, _exact in (
        ("s8_frame", _exact_frame),
        ("s8_frame_positive", _exact_positive),
        ("s16_frame", _exact_frame_s16),
    ):
        register_kernel(Kernel(f"mq_convert_{_source}_{_to}", "convert", counts=_counts, exact=_exact))
