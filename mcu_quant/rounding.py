"""Rounding of weights that makes up for itself: GPTQ (Frantar et al. 2022, arXiv:2210.17323) from a few directions.

Column by column, from the one with the largest inputs on, weights are rounded to their row's grid, and the columns that
are still open make up for the error e:  w_j -= e U_ij / U_ii,  U the upper Cholesky factor of the inverse of E[x x^T].

H = E[x x^T] itself would be as large as the weights. Inputs of speech models move in few directions (a spectrum gets
louder as a whole), so that H = V^T V + diag(d) with few rows of V does as well; a plan carries V and d.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcu_quant.ir import Array

#: Principal directions that are kept of the inputs of a layer: as many as hold such a share of their power, at most so
#: many.
DIRECTIONS, SHARE = 64, 0.9995

#: Added to the diagonal, as a share of its mean: inputs that never move in calibration may move on the board.
DAMPING = 0.01

#: Results that are kept, by content: a layer is lowered hundreds of times while a plan is looked for.
_KEPT = 512
_known: dict[bytes, NDArray[np.int64]] = {}


@dataclass(frozen=True, eq=False)
class Rounded:
    """How each weight was rounded by a method that tried it: up or down, in one format, in steps of its row.

    up: [rows, columns] of bool, as the rows are quantised. Weights in another format are rounded as if it were not
    there.
    """

    format: str
    up: Array

    def fits(self, fmt: str, shape: tuple[int, ...]) -> bool:
        """Is it about weights in that format, of that shape?"""
        return self.format == fmt and self.up.shape == shape

    def integers(self, real: NDArray[np.float64], scale: NDArray[np.float64], largest: int) -> NDArray[np.int64]:
        """Whole numbers [rows, columns] for weights and the step of each row, no larger than `largest`."""
        made: NDArray[np.int64] = (np.floor(real / scale[:, None]) + self.up).astype(np.int64)
        return np.clip(made, -largest, largest)


def moments(second: NDArray[np.float64]) -> Array:
    """What a plan keeps of E[x x^T]: directions and, last, the root of what the diagonal has beyond them, as f16.

    [directions + 1, n], largest magnitude 1: the size of H makes no difference.
    """
    values, vectors = np.linalg.eigh(second)
    above = np.cumsum(np.maximum(values[::-1], 0.0)) < SHARE * float(np.maximum(values, 0.0).sum())
    count = min(DIRECTIONS, len(values), int(above.sum()) + 1)
    v = (vectors[:, -count:] * np.sqrt(np.maximum(values[-count:], 0.0))).T
    signs = np.sign(v[np.arange(count), np.abs(v).argmax(axis=1)])
    v = v * np.where(signs == 0, 1.0, signs)[:, None]
    rest = np.sqrt(np.maximum(np.diag(second) - np.sum(v**2, axis=0), 0.0))
    made = np.vstack([v, rest])
    return (made / (np.abs(made).max() or 1.0)).astype(np.float16)


def compensated(real: NDArray[np.float64], scale: NDArray[np.float64], largest: int, kept: Array) -> NDArray[np.int64]:
    """Whole numbers [rows, columns] for weights and the step of each row, no larger than `largest`."""
    parts = (real, scale, np.int64(largest), kept)
    key = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in parts)).digest()
    if key not in _known:
        while len(_known) >= _KEPT:
            _known.pop(next(iter(_known)))
        _known[key] = _compensated(real, scale, largest, np.asarray(kept, np.float64))
    return _known[key]


def _compensated(
    real: NDArray[np.float64], scale: NDArray[np.float64], largest: int, kept: NDArray[np.float64]
) -> NDArray[np.int64]:
    h = kept[:-1].T @ kept[:-1] + np.diag(kept[-1] ** 2)
    diagonal = np.diag(h)
    h = h + np.eye(len(h)) * (DAMPING * float(diagonal.mean()) or 1.0)
    order = np.argsort(-diagonal, kind="stable")
    upper = np.linalg.cholesky(np.linalg.inv(h[np.ix_(order, order)])).T
    left = (real / scale[:, None])[:, order]
    made = np.empty(real.shape, np.int64)
    for j, column in enumerate(order):
        rounded = np.clip(np.rint(left[:, j]), -largest, largest)
        made[:, column] = rounded.astype(np.int64)
        left[:, j + 1 :] -= np.outer((left[:, j] - rounded) / upper[j, j], upper[j, j + 1 :])
    return made
