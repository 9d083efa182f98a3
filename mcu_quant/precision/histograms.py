"""How often values of an edge occur on the clips: what ranges are chosen from. Memory does not grow with the clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mcu_quant.compare import excerpts
from mcu_quant.data import Clips
from mcu_quant.emulator.floats import float_stream
from mcu_quant.ir import Array, Graph
from mcu_quant.precision.plan import Range

#: Bins between the smallest and the largest value: eight for each step of 8 bits.
BINS = 2048

#: Frames of all clips together.
FRAMES = 600


@dataclass(frozen=True, eq=False)
class Histogram:
    """Values of one edge in bins of equal width over [low, high]; values beyond count in the last bin on their side.

    counts: int64 [BINS]; zeros: how many of them are exactly 0, which every scale represents.
    """

    low: float
    high: float
    counts: NDArray[np.int64]
    zeros: int

    @property
    def width(self) -> float:
        """Of a bin."""
        return (self.high - self.low) / len(self.counts)

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin."""
        return np.asarray(self.low + self.width * (np.arange(len(self.counts)) + 0.5), np.float64)

    @property
    def total(self) -> int:
        """Values seen."""
        return int(self.counts.sum())


def collect(graph: Graph, clips: Clips, ranges: Mapping[str, Range]) -> dict[str, Histogram]:
    """Of every float edge whose calibrated range has a width; the state is reset before each clip."""
    found = {name: _Counting(r) for name, r in ranges.items() if name in graph.types and r.low < r.high}
    stream = float_stream(graph)

    def see(name: str, value: Array) -> None:
        if name in found and value.dtype.kind == "f":
            found[name].add(value)

    for clip, count in excerpts(clips, FRAMES):
        stream.reset()
        for frame in islice(clip, count):
            stream.run(frame, watch=see)
    return dict(_seen(found))


def _seen(found: Mapping[str, _Counting]) -> Iterator[tuple[str, Histogram]]:
    for name, one in found.items():
        if one.counts.any():
            yield name, Histogram(one.low, one.high, one.counts, one.zeros)


class _Counting:
    def __init__(self, r: Range) -> None:
        self.low, self.high = r.low, r.high
        self.counts = np.zeros(BINS, np.int64)
        self.zeros = 0

    def add(self, value: Array) -> None:
        """Count the values of one frame."""
        at = (np.ravel(value).astype(np.float64) - self.low) * (BINS / (self.high - self.low))
        bins = np.clip(at, 0, BINS - 1).astype(np.intp)
        self.counts += np.bincount(bins, minlength=BINS)
        self.zeros += value.size - int(np.count_nonzero(value))
