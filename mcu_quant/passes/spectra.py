"""A short-time Fourier transform written as a convolution, or as a product with a matrix, is a Spectrum: an FFT.

Before: y = Conv(x[1, 1, L], W[2 bins, 1, n]) or y = Gemm(x[T, n], W[2 bins, n]), where the rows of W are
            w[t] cos(2 pi k t / F)  and  -w[t] sin(2 pi k t / F),   k = 0 .. F/2,  t < n <= F,
        of any window w; the sines with either sign, behind all cosines or each behind its own.
After:  y = Reshape(Transpose(Spectrum(x, w))), [frames, bins, 2] before the views; cases, cited in the code:
  1. Where nothing but re^2 + im^2 is read of y, the Spectrum gives that power, and the squares are gone.
  2. Where only its root is read, it gives the magnitude. Neither squares nor sums are then stored in any format, which
     is what 16 bits cannot do.
  3. Sines of the other sign: the imaginary parts are negated.

A table of the window and of roots of unity takes the place of the matrix: 258 x 256 weights become 640 numbers.

Refused: convolutions with padding, a bias, groups, dilation, an activation or several channels; lengths that have no
fast transform; fewer bins than F/2 + 1; fewer than `LEAST_POINTS` points.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.ops.common import fft
from mcu_quant.passes.edit import Editor, reshape

#: Below so many points a matrix is as good.
LEAST_POINTS = 16

#: Weights differ from the formula by no more than this share of the window's largest value: angles computed in f32.
TOLERANCE = 2e-5


@dataclass(frozen=True, eq=False)
class Basis:
    """What the rows of a matrix are: those of a transform of `points` values under a window.

    `in_pairs`: each sine is behind its cosine, otherwise all sines are behind all cosines. `sign` is that of the sines.
    """

    window: Array
    points: int
    in_pairs: bool
    sign: int


def recover_spectra(graph: Graph) -> Graph:
    """Put Spectrum where a transform is a matrix."""
    edit = Editor(graph)
    for op in graph.operators:
        found = _transform(edit, op)
        if found is not None and edit.free(op):
            _replace(edit, op, *found)
    return edit.done()


def basis_of(rows: Array) -> Basis | None:
    """The transform that the rows [2 bins, n] are; None if they are something else."""
    bins, taps = len(rows) // 2, rows.shape[1]
    points = 2 * (bins - 1)
    if len(rows) % 2 or points < LEAST_POINTS or taps > points or not fft.is_fast(points):
        return None
    turns = 2 * np.pi * (np.outer(np.arange(bins), np.arange(taps)) % points) / points
    for in_pairs, (re, im) in ((False, (rows[:bins], rows[bins:])), (True, (rows[::2], rows[1::2]))):
        window = re[0]
        for sign in (-1, 1):
            if _same(re, window * np.cos(turns), window) and _same(im, sign * window * np.sin(turns), window):
                return Basis(window.astype(np.float32), points, in_pairs, sign)
    return None


def _same(rows: Array, wanted: Array, window: Array) -> bool:
    return bool(np.abs(rows - wanted).max() <= TOLERANCE * np.abs(window).max(initial=1e-30))


def _transform(edit: Editor, op: Operator) -> tuple[Basis, int, int] | None:
    """Of an operator that is a transform: its basis, the number of frames, and what they are apart."""
    if op.op not in ("Conv", "Gemm") or len(op.inputs) < 2 or op.inputs[1] in edit.graph.steps:
        return None
    weights = edit.constant(op.inputs[1])
    bias = edit.constant(op.input(2)) if op.input(2) else None
    limited = any(k in op.attributes for k in ("activation_min", "activation_max"))
    if weights is None or limited or (op.input(2) and (bias is None or bias.any())):
        return None
    hop = weights.shape[1] if op.op == "Gemm" else _hop(edit, op, weights)
    basis = basis_of(weights.reshape(len(weights), -1)) if hop else None
    if basis is None or hop is None:
        return None
    return basis, prod(edit.shape(op.outputs[0])) // len(weights), hop


def _hop(edit: Editor, op: Operator, weights: Array) -> int | None:
    """The stride of a convolution over a single channel and along a single axis, without padding; else None."""
    a, x = op.attributes, edit.shape(op.inputs[0])
    along = [k for k, n in enumerate(x[2:]) if n > 1]
    plain = a["group"] == 1 and not any(a["pads"]) and all(d == 1 for d in a["dilations"])
    if not plain or x[:2] != (1, 1) or len(along) != 1 or weights.size != len(weights) * weights.shape[2 + along[0]]:
        return None
    return int(a["strides"][along[0]])


def _replace(edit: Editor, op: Operator, basis: Basis, frames: int, hop: int) -> None:
    parts = _squared(edit, op, basis)
    last, value = parts[-1] if parts else (op, "complex")
    taken = (op, *(o for o, _ in parts))
    if not edit.free(*taken):
        return
    y, bins, name = last.outputs[0], basis.points // 2 + 1, op.name
    samples = edit.add_edge(f"{name}:samples", (prod(edit.shape(op.inputs[0])),))
    shape = (frames, bins, 2) if value == "complex" else (frames, bins)
    # a second output, the spectra themselves, belongs to the operator and is read by nobody here
    made, unread = edit.add_edge(f"{name}:frames", shape), edit.add_edge(f"{name}:spectra", (frames, bins, 2))
    window = edit.add_constant(f"{name}:window", basis.window)
    attributes = {"frames": frames, "hop": hop, "fft": basis.points, "value": value, "logarithm": None}
    operators = [
        reshape(samples, op.inputs[0], samples, edit.shape(samples)),
        Operator(name, "Spectrum", (samples, window), (made, unread), attributes),
    ]
    if value == "complex" and basis.sign > 0:  # case 3
        signs, turned = edit.add_constant(f"{name}:signs", np.array([1, -1], np.float32)), made
        made = edit.add_edge(f"{name}:conjugate", shape)
        operators.append(Operator(made, "Mul", (turned, signs), (made,), {}))
    order = _order(op, value, basis.in_pairs)
    moved = edit.add_edge(f"{name}:bins", tuple(shape[k] for k in order))
    operators.append(Operator(moved, "Transpose", (made,), (moved,), {"perm": order}))
    operators.append(reshape(f"{name}:shaped", moved, y, edit.shape(y)))
    detail = f"{frames} frames of {basis.points} points, {value}"
    edit.replace(last, operators, "a matrix of waves is a fast transform", detail, taken)


def _order(op: Operator, value: str, in_pairs: bool) -> tuple[int, ...]:
    """How frames, bins and parts of the Spectrum are turned to lie as the operator's output has them."""
    inner = (1,) if value != "complex" else (1, 2) if in_pairs else (2, 1)
    return (*inner, 0) if op.op == "Conv" else (0, *inner)


def _squared(edit: Editor, op: Operator, basis: Basis) -> list[tuple[Operator, str]]:
    """Cases 1 and 2: the operators that make power or magnitude of y, and what is known at the last of them."""
    cuts, parts = _halves(edit, op, basis)
    squares = [edit.reader(part, "Mul") for part in parts]
    if not parts or any(s is None or s.inputs != (part, part) for s, part in zip(squares, parts, strict=True)):
        return []
    found = [s for s in squares if s]
    sums = [edit.reader(s.outputs[0], "Add") for s in found]
    total = sums[0]
    if total is None or sums[1] is None or sums[1].name != total.name:
        return []
    made = [(o, "power") for o in (*cuts, *found, total)]
    root = edit.reader(total.outputs[0], "Sqrt")
    return [*made, (root, "magnitude")] if root else made


def _halves(edit: Editor, op: Operator, basis: Basis) -> tuple[list[Operator], list[str]]:
    """What cuts y into its real and its imaginary parts, and the edges of these; nothing where y is used otherwise."""
    y, bins = op.outputs[0], basis.points // 2 + 1
    axis = 1 if op.op == "Conv" else len(edit.shape(y)) - 1
    cuts = list(edit.readers(y))
    if basis.in_pairs or not edit.private(y, *cuts):
        return [], []
    if [c.op for c in cuts] == ["Split"] and cuts[0].attributes == {"axis": axis, "split": (bins, bins)}:
        return cuts, list(cuts[0].outputs)
    along = {"axes": (axis,), "steps": (1,)}
    wanted = [{"starts": (k * bins,), "ends": ((k + 1) * bins,), **along} for k in (0, 1)]
    if [c.op for c in cuts] == ["Slice", "Slice"] and all(any(c.attributes == w for c in cuts) for w in wanted):
        return cuts, [c.outputs[0] for c in cuts]
    return [], []
