"""Resampling along axes as products with constant matrices: cubic interpolation, smoothing before an axis shrinks.

An element of the output is a weighted sum of the elements around its place in the input:

    y[o] = sum_i h(s (i - place)) x[i] / sum_i h(s (i - place)),   s = min(scale, 1) where the filter smooths, else 1

h is a triangle (linear) or Keys' cubic with the free coefficient A. What lies beyond the ends is the first or the last
element, or has no weight. Along each axis that is a matrix, so Resize becomes one Gemm for each axis that changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcu_quant.ir import Array, Operator, Shape, TensorType
from mcu_quant.ops import Canonical, NodeContext


@dataclass(frozen=True)
class Filter:
    """`cubic` is A, None for a triangle; `extrapolates`: what is at places beyond the input, None: the last element."""

    cubic: float | None = None
    smooths: bool = False
    excludes: bool = False
    extrapolates: float | None = None


@dataclass(frozen=True, eq=False)
class Resampling:
    """y = matrix x + offset along one axis."""

    axis: int
    matrix: Array
    offset: Array


def _shape_of(kind: Filter, distance: NDArray[np.float64]) -> NDArray[np.float64]:
    d = np.abs(distance)
    if kind.cubic is None:
        return np.clip(1.0 - d, 0.0, 1.0)
    a = kind.cubic
    near = ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    far = ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    return np.where(d <= 1.0, near, np.where(d < 2.0, far, 0.0))


def resampling(axis: int, places: NDArray[np.float32], before: int, scale: float, kind: Filter) -> Resampling:
    """The matrix [places, elements before] of one axis."""
    at = places.astype(np.float64)
    narrow = min(scale, 1.0) if kind.smooths else 1.0
    reach = (1.0 if kind.cubic is None else 2.0) / narrow
    first = int(np.floor(-reach)) + 1
    base = np.ceil(at) - 1.0
    taps = base[:, None] + np.arange(first, 2 - first)
    weight = _shape_of(kind, (taps - at[:, None]) * narrow)
    inside = (taps >= 0) & (taps < before)
    weight = np.where(inside, weight, 0.0) if kind.excludes else weight
    weight /= weight.sum(axis=1, keepdims=True)
    matrix = np.zeros((len(at), before))
    rows = np.broadcast_to(np.arange(len(at))[:, None], taps.shape)
    np.add.at(matrix, (rows, np.clip(taps, 0, before - 1).astype(np.int64)), weight)
    offset = np.zeros(len(at), np.float32)
    if kind.extrapolates is not None:
        beyond = (at < 0) | (at > before - 1)
        matrix[beyond], offset[beyond] = 0.0, kind.extrapolates
    return Resampling(axis, matrix.astype(np.float32), offset)


def products(op: Operator, node: NodeContext, changes: Sequence[Resampling]) -> Canonical:
    """One Gemm for each axis, those that get smaller first; the axis is brought to the end for it, and back."""
    shape, edge = node.shape(op.inputs[0]), op.inputs[0]
    steps: list[Operator] = []
    constants: dict[str, Array] = {}
    types: dict[str, TensorType] = {}

    def step(what: str, kind: str, inputs: tuple[str, ...], to: Shape, **attributes: Any) -> str:
        name = f"{op.name}:{what}"
        steps.append(Operator(name, kind, inputs, (name,), attributes))
        types[name] = TensorType(to)
        return name

    for change in sorted(changes, key=lambda c: c.matrix.shape[0] / c.matrix.shape[1]):
        axis, after = change.axis, change.matrix.shape[0]
        order = (*(a for a in range(len(shape)) if a != axis), axis)
        weights, offset = f"{op.name}:weights{axis}", f"{op.name}:offset{axis}"
        constants |= {weights: change.matrix, offset: change.offset}
        types |= {weights: TensorType(change.matrix.shape), offset: TensorType((after,))}
        leading = tuple(n for a, n in enumerate(shape) if a != axis)
        edge = step(f"last{axis}", "Transpose", (edge,), (*leading, shape[axis]), perm=order)
        edge = step(f"axis{axis}", "Gemm", (edge, weights, offset), (*leading, after))
        shape = (*shape[:axis], after, *shape[axis + 1 :])
        edge = step(f"back{axis}", "Transpose", (edge,), shape, perm=tuple(int(a) for a in np.argsort(order)))
    steps.append(Operator(op.name, "Reshape", (edge,), op.outputs, {"shape": shape}))
    return Canonical(tuple(steps), constants, types)
