"""DFT along one axis: y[k] = sum_n x[n] exp(-2 pi i k n / length), the inverse with the other sign and 1 / length.

It becomes the fast transforms of front and back ends (Spectrum, InverseSpectrum) where the length has one, else matrix
products with the rows of the transform (of composite lengths in two stages), and layout operators: `common/fourier.py`.
So it has no kernels of its own. The last axis of x and y holds real and imaginary part, or the real
part alone. Attributes of the explicit form: axis, length, inverse, onesided (only the first length/2 + 1 frequencies of
a real signal, which the inverse takes back).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.ops import Canonical, NodeContext, OpSpec, Sample, fixed, given, normalise_axis, register
from mcu_quant.ops.common import fft
from mcu_quant.ops.common.fourier import Steps, complex_fast, factors, real_fast, signal_fast, two_stages


def matrix(op: Operator, count: int, parts: int) -> Array:
    """The transform of the explicit form as a matrix [elements of y, parts of y, count elements of x, parts of x]."""
    length, inverse, onesided = (op.attributes[k] for k in ("length", "inverse", "onesided"))
    turns = np.outer(np.arange(length), np.arange(length)) % length / length
    wave = np.exp((2j if inverse else -2j) * np.pi * turns) / (length if inverse else 1)
    if onesided and inverse:  # the missing frequencies are the conjugates of those given
        half = length // 2 + 1
        twice = np.array([1.0 if k in (0, length / 2) else 2.0 for k in range(half)])
        rows = wave[:, :half] * twice
        full = np.stack([rows.real, -rows.imag], axis=2)[:, None]
    else:
        rows = wave[: length // 2 + 1] if onesided else wave
        full = np.stack([np.stack([rows.real, -rows.imag], 2), np.stack([rows.imag, rows.real], 2)], 1)
    used = np.zeros((*full.shape[:2], count, parts))
    kept = min(count, full.shape[2])
    used[:, :, :kept] = full[:, :, :kept, :parts]
    return used


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Elements along the axis, and parts of each, of the explicit form."""
    assert types[0]
    shape = list(types[0].shape)
    size, parts, _, _ = matrix(op, shape[op.attributes["axis"]], shape[-1]).shape
    shape[op.attributes["axis"]], shape[-1] = size, parts
    return (TensorType(tuple(shape), types[0].dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula above, of the explicit form."""
    x = np.moveaxis(inputs[0], op.attributes["axis"], -2)
    y = np.einsum("kdnc,...nc->...kd", matrix(op, *x.shape[-2:]), x)
    return (np.moveaxis(y, -2, op.attributes["axis"]).astype(np.float32),)


def explicit(op: Operator, node: NodeContext) -> Operator | None:
    """Axis and length as attributes; None if they are known at run time only."""
    shape = node.shape(op.inputs[0])
    length = node.ints(op, 1, "dft_length") if op.input(1) else ()
    if node.opset >= 20:
        axis = node.ints(op, 2, "axis") if op.input(2) else (-2,)
    else:
        axis = (int(op.attributes.get("axis", 1)),)
    if axis is None or length is None:
        return None
    place = normalise_axis(axis[0], len(shape))
    inverse, onesided = (int(op.attributes.get(k, 0)) for k in ("inverse", "onesided"))
    implied = 2 * (shape[place] - 1) if inverse and onesided else shape[place]
    attributes = {"axis": place, "length": (*length, implied)[0], "inverse": inverse, "onesided": onesided}
    return Operator(op.name, "DFT", op.inputs[:1], op.outputs, attributes)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Fast transforms; else Gemm with the rows of the transform, or with those of two shorter ones."""
    form = explicit(op, node)
    if form is None or real_where_onesided(op, node.graph) is not None:
        return Canonical((op,))
    shape, axis = node.shape(op.inputs[0]), form.attributes["axis"]
    count, parts, rank = shape[axis], shape[-1], len(shape)
    leading = tuple(n for a, n in enumerate(shape[:-1]) if a != axis)
    order = (*(a for a in range(rank - 1) if a != axis), axis, rank - 1)
    steps = Steps(op.name)
    x = steps.add("time", "Transpose", op.inputs[:1], (*leading, count, parts), perm=order)
    length, inverse, onesided = (form.attributes[k] for k in ("length", "inverse", "onesided"))
    if fft.is_fast(length):
        y = _fast(steps, x, leading, (count, parts), form)
    elif (sizes := factors(length)) and count == length and not (inverse and onesided):
        kept = length // 2 + 1 if onesided else length
        y = two_stages(steps, x, leading, sizes, parts, inverse=bool(inverse), kept=kept)
    else:
        y = _one_stage(steps, x, leading, matrix(form, count, parts))
    back = tuple(int(a) for a in np.argsort(order))
    return steps.made(Operator(f"{op.name}:order", "Transpose", (y,), op.outputs, {"perm": back}))


def _fast(steps: Steps, x: str, leading: Shape, given: tuple[int, int], form: Operator) -> str:
    """x: [*leading, *given] by fast transforms, as an edge [*leading, elements, parts]."""
    (count, parts), frames = given, prod(leading)
    points, inverse, onesided = (form.attributes[k] for k in ("length", "inverse", "onesided"))
    x = steps.add("frames", "Reshape", (x,), (frames, *given), shape=(frames, *given))
    if inverse and onesided:
        y, made = signal_fast(steps, x, count, frames, points), (points, 1)
    elif parts == 1:
        y = real_fast(steps, x, count, frames, points, inverse=bool(inverse), onesided=bool(onesided))
        made = (points // 2 + 1 if onesided else points, 2)
    else:
        y, made = complex_fast(steps, x, count, frames, points, inverse=bool(inverse)), (points, 2)
    return steps.add("axes", "Reshape", (y,), (*leading, *made), shape=(*leading, *made))


def _one_stage(steps: Steps, x: str, leading: Shape, rows: Array) -> str:
    """x: [*leading, count, parts] times all rows, as an edge [*leading, elements, parts]."""
    size, parts, count, given_parts = rows.shape
    flat = (*leading, count * given_parts)
    x = steps.add("samples", "Reshape", (x,), flat, shape=flat)
    weights = steps.constant("rows", rows.reshape(size * parts, count * given_parts))
    y = steps.add("spectrum", "Gemm", (x, weights), (*leading, size * parts))
    pairs = (*leading, size, parts)
    return steps.add("parts", "Reshape", (y,), pairs, shape=pairs)


def real_where_onesided(op: Operator, graph: Graph) -> str | None:
    """A onesided DFT takes a real signal, its inverse a complex spectrum; the last axis holds one or two parts."""
    parts = graph.shape(op.inputs[0])[-1]
    if parts not in (1, 2):
        return f"the last axis holds {parts}"
    wanted = 2 if op.attributes.get("inverse", 0) else 1
    return f"this one has {parts} parts" if op.attributes.get("onesided", 0) and parts != wanted else None


def constant_length(op: Operator, graph: Graph) -> str | None:
    """Axis and length of a DFT are constants."""
    computed = [n for n in op.inputs[1:] if n and n not in graph.constants]
    return f"{', '.join(map(repr, computed))} is computed at run time" if computed else None


register(
    OpSpec(
        name="DFT",
        onnx=("DFT",),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(real_where_onesided, constant_length),
        family="dense",
        samples=(
            Sample("DFT", (given(1, 32, 1),), {"onesided": 1}, opset=17, name="real"),
            Sample("DFT", (given(2, 15, 2),), opset=17, name="complex"),
            Sample("DFT", (given(2, 9, 2),), {"inverse": 1}, opset=17, name="inverse"),
            Sample("DFT", (given(2, 3, 12, 1), fixed(16)), {"axis": 2}, opset=17, name="padded"),
            Sample("DFT", (given(3, 12, 5, 1), fixed(8)), {"axis": 1, "onesided": 1}, opset=17, name="cut"),
            Sample("DFT", (given(2, 16, 3, 1), None, fixed(1)), {"onesided": 1}, opset=20, name="axis"),
            Sample("DFT", (given(1, 24, 1),), opset=20, name="default-axis"),
            Sample("DFT", (given(1, 13, 2),), opset=17, name="prime"),
            Sample("DFT", (given(1, 512, 1),), {"onesided": 1}, opset=17, name="real-size"),
            Sample("DFT", (given(2, 40, 1),), opset=17, name="both-sides"),
            Sample("DFT", (given(3, 20, 2),), opset=17, name="fast-complex"),
            Sample("DFT", (given(3, 20, 2),), {"inverse": 1}, opset=17, name="fast-inverse"),
            Sample("DFT", (given(2, 12, 1),), {"inverse": 1}, opset=17, name="inverse-of-reals"),
            Sample("DFT", (given(2, 14, 2),), {"inverse": 1}, opset=17, name="no-fast-length"),
        ),
    )
)
