"""What decisions say: stretches of activity, and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcu_quant.ir import Array


@dataclass(frozen=True)
class Stretch:
    """Activity between two times in seconds, and the largest probability in it."""

    start: float
    end: float
    probability: float


@dataclass(frozen=True)
class Word:
    """A word, the time in seconds at which it was reported, and its mean posterior."""

    time: float
    index: int
    label: str
    score: float


def stretches(active: Array, probability: Array, call_seconds: float) -> tuple[Stretch, ...]:
    """Calls one after the other in which there was activity; a call ends with its last sample."""
    flags = np.concatenate([[0], np.ravel(active).astype(int), [0]])
    starts, ends = np.flatnonzero(np.diff(flags) > 0), np.flatnonzero(np.diff(flags) < 0)
    levels = np.ravel(probability)
    return tuple(
        Stretch(round(a * call_seconds, 6), round(b * call_seconds, 6), float(levels[a:b].max()))
        for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
    )


def words(keyword: Array, score: Array, labels: Sequence[str], call_seconds: float) -> tuple[Word, ...]:
    """Every report of a word, at the end of the call that made it."""
    found, scores = np.ravel(keyword).astype(int), np.ravel(score)
    return tuple(
        Word(round((i + 1) * call_seconds, 6), int(found[i]), labels[found[i]], float(scores[i]))
        for i in np.flatnonzero(found >= 0).tolist()
    )
