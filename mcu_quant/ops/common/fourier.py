"""Fourier transforms of models: by fast transforms where there is one of the length, else by matrices.

Fast transforms are the operators of front and back ends, Spectrum and InverseSpectrum, of frames side by side.

A length n1 n2 without one is taken in two shorter ones: two small matrices in the place of a large one.

With t = t1 n2 + t2 and k = k1 + n1 k2, and w(a) = exp(-+ 2 pi i a):

    y[k] = sum_t2 w(t2 k2 / n2) * w(t2 k1 / n) * sum_t1 w(t1 k1 / n1) x[t]

The inner sum is a Gemm with n1 rows, the factor in the middle two products element by element (complex: of the values,
and of the values with their parts exchanged), the outer sum a Gemm with n2 rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator, Shape, TensorType
from mcu_quant.ops import Canonical


def factors(length: int) -> tuple[int, int] | None:
    """n1 <= n2 with n1 n2 = length, as near to each other as can be; None for a prime."""
    found = [n for n in range(2, int(length**0.5) + 1) if length % n == 0]
    return (found[-1], length // found[-1]) if found else None


def as_real(rows: Array, parts: int) -> Array:
    """A complex matrix [k, t] as a real one on (real, imaginary) pairs, or on real parts alone: [2 k, parts t]."""
    full = np.stack([np.stack([rows.real, -rows.imag], 2), np.stack([rows.imag, rows.real], 2)], 1)
    made: Array = full[..., :parts].reshape(2 * rows.shape[0], parts * rows.shape[1])
    return made


def _waves(count: int, length: int, sign: int) -> Array:
    turns = np.outer(np.arange(count), np.arange(count)) % length / length
    return np.asarray(np.exp(sign * 2j * np.pi * turns))


class Steps:
    """Operators made one after the other, each with one output; names begin with that of the node they come from."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._operators: list[Operator] = []
        self._constants: dict[str, Array] = {}
        self._types: dict[str, TensorType] = {}

    def add(self, what: str, kind: str, inputs: tuple[str, ...], to: Shape, **attributes: Any) -> str:
        """The edge that the operator makes, of shape `to`."""
        edge = f"{self.name}:{what}"
        self._operators.append(Operator(edge, kind, inputs, (edge,), attributes))
        self._types[edge] = TensorType(to)
        return edge

    def spectra(self, what: str, samples: str, window: Array, frames: int, hop: int, points: int) -> str:
        """The edge [frames, points/2 + 1, 2] that holds spectra of windowed frames of `samples`, a fast transform."""
        edge, unread = (f"{self.name}:{w}" for w in (what, f"{what}-again"))  # the second output is of front ends alone
        inputs = (samples, self.constant(f"{what}-window", window))
        attributes = {"frames": frames, "hop": hop, "fft": points, "value": "complex", "logarithm": None}
        self._operators.append(Operator(edge, "Spectrum", inputs, (edge, unread), attributes))
        self._types |= dict.fromkeys((edge, unread), TensorType((frames, points // 2 + 1, 2)))
        return edge

    def constant(self, what: str, value: Array) -> str:
        """The edge that holds a constant."""
        edge = f"{self.name}:{what}"
        self._constants[edge] = value.astype(np.float32)
        self._types[edge] = TensorType(tuple(value.shape))
        return edge

    def made(self, *last: Operator) -> Canonical:
        """What was made, and the operators that end it."""
        return Canonical((*self._operators, *last), self._constants, self._types)


def two_stages(
    steps: Steps, x: str, leading: Shape, sizes: tuple[int, int], parts: int, *, inverse: bool, kept: int
) -> str:
    """The transform of x: [*leading, n1 n2, parts] as an edge [*leading, kept, 2]: its first `kept` frequencies.

    The inverse is divided by the length at the end, so that this rounds once. Of real values the frequency in the
    middle is real: what rounding leaves of its imaginary part is taken out.
    """
    (n1, n2), sign, rank = sizes, 1 if inverse else -1, len(leading)
    length = n1 * n2
    keep = tuple(range(rank))
    last = rank + 2
    x = steps.add("grid", "Reshape", (x,), (*leading, n1, n2, parts), shape=(*leading, n1, n2, parts))
    x = steps.add("columns", "Transpose", (x,), (*leading, n2, n1, parts), perm=(*keep, rank + 1, rank, last))
    x = steps.add("first", "Reshape", (x,), (*leading, n2, n1 * parts), shape=(*leading, n2, n1 * parts))
    rows = steps.constant("rows1", as_real(_waves(n1, n1, sign), parts))
    x = steps.add("inner", "Gemm", (x, rows), (*leading, n2, n1 * 2))
    pairs = (*leading, n2, n1, 2)
    x = steps.add("pairs", "Reshape", (x,), pairs, shape=pairs)
    turns = np.exp(sign * 2j * np.pi * np.outer(np.arange(n2), np.arange(n1)) / length)
    along = steps.constant("along", turns.real[..., None])
    across = steps.constant("across", np.stack([-turns.imag, turns.imag], 2))
    exchanged = steps.add("exchanged", "Slice", (x,), pairs, starts=(1,), ends=(-1,), axes=(last,), steps=(-1,))
    x = steps.add("turned", "Mul", (x, along), pairs)
    exchanged = steps.add("turned2", "Mul", (exchanged, across), pairs)
    x = steps.add("sum", "Add", (x, exchanged), pairs)
    x = steps.add("rows", "Transpose", (x,), (*leading, n1, n2, 2), perm=(*keep, rank + 1, rank, last))
    x = steps.add("second", "Reshape", (x,), (*leading, n1, n2 * 2), shape=(*leading, n1, n2 * 2))
    rows = steps.constant("rows2", as_real(_waves(n2, n2, sign), 2))
    x = steps.add("outer", "Gemm", (x, rows), (*leading, n1, n2 * 2))
    x = steps.add("found", "Reshape", (x,), (*leading, n1, n2, 2), shape=(*leading, n1, n2, 2))
    x = steps.add("sorted", "Transpose", (x,), (*leading, n2, n1, 2), perm=(*keep, rank + 1, rank, last))
    x = steps.add("spectrum", "Reshape", (x,), (*leading, length, 2), shape=(*leading, length, 2))
    if kept < length:
        x = steps.add("kept", "Slice", (x,), (*leading, kept, 2), starts=(0,), ends=(kept,), axes=(rank,), steps=(1,))
    factor = np.full((kept, 2), 1.0 / length if inverse else 1.0)
    if parts == 1 and length % 2 == 0 and kept > length // 2:
        factor[length // 2, 1] = 0.0
    if (factor != 1.0).any():
        x = steps.add("scaled", "Mul", (x, steps.constant("factor", factor)), (*leading, kept, 2))
    return x


# --- by fast transforms ----------------------------------------------------------------------------------------------


def conjugate(steps: Steps, what: str, x: str, shape: Shape) -> str:
    """Pairs with their imaginary parts negated."""
    return steps.add(what, "Mul", (x, steps.constant(f"{what}-signs", np.array([1.0, -1.0]))), shape)


def mirrored(steps: Steps, low: str, rest: str, frames: int, points: int) -> str:
    """All frequencies [frames, points, 2]: `low` up to half of them, then `rest` back from there; both have half."""
    middle = points // 2
    shape = (frames, middle - 1, 2)
    high = steps.add("high", "Slice", (rest,), shape, starts=(middle - 1,), ends=(0,), axes=(1,), steps=(-1,))
    return steps.add("all", "Concat", (low, high), (frames, points, 2), axis=1)


def real_fast(steps: Steps, x: str, count: int, frames: int, points: int, *, inverse: bool, onesided: bool) -> str:
    """Frames x [frames, count, 1] as an edge [frames, points/2 + 1 or points, 2]; missing samples are zeros."""
    x = steps.add("signal", "Reshape", (x,), (frames * count,), shape=(frames * count,))
    window = np.full(min(count, points), 1.0 / points if inverse else 1.0)
    y = steps.spectra("fast", x, window, frames, count, points)
    if onesided:
        return y
    half = (frames, points // 2 + 1, 2)
    other = conjugate(steps, "conjugate", y, half)
    return mirrored(steps, other, y, frames, points) if inverse else mirrored(steps, y, other, frames, points)


def complex_fast(steps: Steps, x: str, count: int, frames: int, points: int, *, inverse: bool) -> str:
    """Frames x [frames, count, 2] as an edge [frames, points, 2], in two real transforms each.

    With A and B the spectra of real and imaginary parts, and S = A + iB, D = conj(A - iB): S are the frequencies up to
    half of them, and D those mirrored; of the inverse the other way round.
    """
    x = steps.add("by-part", "Transpose", (x,), (2, frames, count), perm=(2, 0, 1))
    y = real_fast(steps, x, count, 2 * frames, points, inverse=inverse, onesided=True)
    half = (frames, points // 2 + 1, 2)
    along = {"axes": (0,), "steps": (1,)}
    a = steps.add("of-real", "Slice", (y,), half, starts=(0,), ends=(frames,), **along)
    b = steps.add("of-imaginary", "Slice", (y,), half, starts=(frames,), ends=(2 * frames,), **along)
    b = steps.add("exchanged", "Slice", (b,), half, starts=(1,), ends=(-1,), axes=(2,), steps=(-1,))
    b = steps.add("turned", "Mul", (b, steps.constant("turn", np.array([-1.0, 1.0]))), half)
    both = steps.add("sum", "Add", (a, b), half)
    apart = conjugate(steps, "difference", steps.add("apart", "Sub", (a, b), half), half)
    return mirrored(steps, *((apart, both) if inverse else (both, apart)), frames, points)


def signal_fast(steps: Steps, x: str, count: int, frames: int, points: int) -> str:
    """The real signals [frames, points, 1] of one-sided spectra x [frames, count, 2]; missing bins are zeros."""
    bins = points // 2 + 1
    shape = (frames, bins, 2)
    if count > bins:
        x = steps.add("bins", "Slice", (x,), shape, starts=(0,), ends=(bins,), axes=(1,), steps=(1,))
    elif count < bins:
        silence = steps.constant("no-bins", np.zeros((frames, bins - count, 2)))
        x = steps.add("bins", "Concat", (x, silence), shape, axis=1)
    y = steps.add("fast", "InverseSpectrum", (x,), (frames, points), fft=points, mask="none")
    return steps.add("parts", "Reshape", (y,), (frames, points, 1), shape=(frames, points, 1))
