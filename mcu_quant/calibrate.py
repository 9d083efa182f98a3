"""Calibration: stream clips through the float graph with the state carried, and fold statistics of every edge.

Memory does not grow with the data: values of a few frames are gathered side by side and folded together, all edges in
one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcu_quant import ops
from mcu_quant.data import Clips
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.interpret import Stream
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.precision.plan import Range

#: Enough for ranges to settle on speech models (docs/data.md); more is slower and rarely different.
MAX_FRAMES = 2000

#: Bins of the histogram: bin b > 0 counts values with 2**(b - 127) <= |x| < 2**(b - 126), bin 0 zeros and subnormals.
BINS = 255

#: Values gathered before they are folded, over all edges.
GATHER = 1 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class EdgeStats:
    """What calibration saw of one tensor."""

    count: int
    low: float
    high: float
    mean: float
    mean_square: float
    #: int64 [BINS], by powers of two of |x|
    histogram: NDArray[np.int64]

    @property
    def range(self) -> Range:
        """The smallest and the largest value."""
        return Range(self.low, self.high)


@dataclass(frozen=True, eq=False)
class Stats:
    """Statistics of every float edge, and of tensors inside operators as "operator:tensor"."""

    edges: Mapping[str, EdgeStats]
    frames: int
    #: what was streamed, in words for the plan and the report
    calibrated_on: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", MappingProxyType(dict(self.edges)))

    def ranges(self) -> Mapping[str, Range]:
        """The range of every tensor, as a plan stores it."""
        return MappingProxyType({name: edge.range for name, edge in self.edges.items()})

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; histograms as {power of two below |x|: count} with empty bins left out, "zero" for bin 0."""
        return {
            "frames": self.frames,
            "calibrated_on": self.calibrated_on,
            "edges": {name: _edge_dict(edge) for name, edge in self.edges.items()},
        }

    @staticmethod
    def from_dict(document: Mapping[str, Any]) -> Stats:
        """The inverse of `as_dict`, to the bit."""
        edges = {name: _edge(entry) for name, entry in document["edges"].items()}
        return Stats(edges, document["frames"], document["calibrated_on"])


def _edge_dict(edge: EdgeStats) -> dict[str, Any]:
    bins = {("zero" if b == 0 else str(b - 127)): int(n) for b, n in enumerate(edge.histogram) if n}
    return {
        "count": edge.count,
        "low": edge.low,
        "high": edge.high,
        "mean": edge.mean,
        "mean_square": edge.mean_square,
        "histogram": bins,
    }


def _edge(entry: Mapping[str, Any]) -> EdgeStats:
    histogram = np.zeros(BINS, np.int64)
    for power, count in entry["histogram"].items():
        histogram[0 if power == "zero" else int(power) + 127] = count
    return EdgeStats(**{**entry, "histogram": histogram})


def calibrate(
    graph: Graph, clips: Clips, max_frames: int | None = MAX_FRAMES, progress: Progress | None = None
) -> Stats:
    """Statistics of all float edges of a graph over clips; the state is reset before each clip.

    With more frames than `max_frames` the beginning of every clip is taken, so that all clips count.
    `progress(done, total)` is called once per frame.

    Raises:
        DiagnosticError: MQ401 if the float model itself gives NaN or infinity on a clip.
    """
    stream = Stream(graph)
    tensors = _Tensors(graph)
    folder: _Folder | None = None
    shares = _shares([len(clip) for clip in clips], max_frames)
    done, total = 0, sum(shares)
    for clip, share in zip(clips, shares, strict=True):
        stream.reset()
        for feeds in islice(clip, share):
            values = tensors.values(stream.run(feeds, tensors.taps))
            folder = folder or _Folder({name: np.size(value) for name, value in values.items()})
            folder.add(values, clip.name)
            done += 1
            if progress:
                progress(done, total)
        if folder:
            folder.fold(clip.name)
    if folder is None:
        raise DiagnosticError(Diagnostic("MQ401", "calibration", "there are no frames to calibrate on"))
    text = clips.provenance if total == clips.frame_count else f"{clips.provenance}; of these the first {total} frames"
    return Stats(folder.stats(), done, text)


def _shares(counts: Sequence[int], max_frames: int | None) -> list[int]:
    """Frames to take of each clip: all, or equal shares of the maximum, what short clips leave going to the longer."""
    if max_frames is None or sum(counts) <= max_frames:
        return list(counts)
    shares = [0] * len(counts)
    left = max_frames
    for rank, index in enumerate(sorted(range(len(counts)), key=lambda i: counts[i])):
        shares[index] = min(counts[index], left // (len(counts) - rank))
        left -= shares[index]
    return shares


class _Tensors:
    """Which tensors are watched: float edges, and what operators keep inside."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._inside = [op for op in graph.operators if ops.spec(op).internals]
        read = (i for op in self._inside for i in op.inputs if i and i not in graph.constants)
        self._watched = tuple(dict.fromkeys(_float_edges(graph)))
        #: edges to ask the interpreter for
        self.taps = tuple(dict.fromkeys((*self._watched, *read)))

    def values(self, edges: Mapping[str, Array]) -> dict[str, Array]:
        found = {name: edges[name] for name in self._watched}
        for op in self._inside:
            found.update(self._internals(op, edges))
        return found

    def _internals(self, op: Operator, edges: Mapping[str, Array]) -> dict[str, Array]:
        internals = ops.spec(op).internals
        assert internals is not None
        constants = self._graph.constants
        inputs = [None if not i else constants[i] if i in constants else edges[i] for i in op.inputs]
        return {f"{op.name}:{tensor}": value for tensor, value in internals(op, inputs).items()}


def _float_edges(graph: Graph) -> Iterator[str]:
    computed = (o for op in graph.operators for o in op.outputs if o)
    for name in (*graph.inputs, *graph.state_inputs, *computed):
        if np.dtype(graph.types[name].dtype).kind == "f":
            yield name


class _Folder:
    """Gathers frames of all tensors in one matrix [frames, values] and folds it, per tensor, when it is full."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._names = tuple(sizes)
        self._sizes = np.array([sizes[n] for n in self._names], np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        width = int(self._sizes.sum())
        self._rows = np.zeros((max(1, GATHER // max(width, 1)), width), np.float32)
        self._slices = [slice(int(a), int(a + n)) for a, n in zip(self._starts, self._sizes, strict=True)]
        self._filled = self._frames = 0
        count = len(self._names)
        self._low, self._high = np.full(count, np.inf), np.full(count, -np.inf)
        self._sum, self._square = np.zeros(count), np.zeros(count)
        self._histogram = np.zeros(count * (BINS + 1), np.int64)
        # the histogram of all tensors is one, each tensor's bins following those of the tensor before
        self._first_bin = np.repeat(np.arange(count) * (BINS + 1), self._sizes)

    def add(self, values: Mapping[str, Array], clip: str) -> None:
        """Take in one frame; `clip` names its clip for diagnostics."""
        row = self._rows[self._filled]
        for name, part in zip(self._names, self._slices, strict=True):
            row[part] = values[name].reshape(-1)
        self._filled += 1
        if self._filled == len(self._rows):
            self.fold(clip)

    def fold(self, clip: str) -> None:
        """Fold what was gathered into the statistics.

        Raises:
            DiagnosticError: MQ401 if a value is not finite.
        """
        rows = self._rows[: self._filled]
        if not len(rows):
            return
        # the exponent field of a float32 is the bin: its power of two, biased by 127
        exponents = (rows.view(np.uint32) >> 23) & 0xFF
        bins = np.bincount((exponents + self._first_bin).ravel(), minlength=self._histogram.size)
        self._reject_non_finite(bins.reshape(-1, BINS + 1)[:, BINS], clip)
        self._histogram += bins
        self._low = np.minimum(self._low, np.minimum.reduceat(rows.min(axis=0), self._starts))
        self._high = np.maximum(self._high, np.maximum.reduceat(rows.max(axis=0), self._starts))
        self._sum += np.add.reduceat(rows.sum(axis=0, dtype=np.float64), self._starts)
        self._square += np.add.reduceat(np.einsum("fv,fv->v", rows, rows, dtype=np.float64), self._starts)
        self._frames += self._filled
        self._filled = 0

    def _reject_non_finite(self, counts: NDArray[np.int64], clip: str) -> None:
        where = np.flatnonzero(counts)
        if not len(where):
            return
        more = f", and {len(where) - 1} more tensors" if len(where) > 1 else ""
        raise DiagnosticError(
            Diagnostic(
                "MQ401",
                self._names[where[0]],
                f"the float model gives NaN or infinity here on clip {clip!r}{more}",
                help="compare the data's level with what the model was trained on (full_scale in the pipeline)",
            )
        )

    def stats(self) -> dict[str, EdgeStats]:
        counts = self._sizes * self._frames
        histograms = self._histogram.reshape(-1, BINS + 1)[:, :BINS]
        return {
            name: EdgeStats(
                int(counts[i]),
                float(self._low[i]),
                float(self._high[i]),
                float(self._sum[i] / counts[i]),
                float(self._square[i] / counts[i]),
                histograms[i].copy(),
            )
            for i, name in enumerate(self._names)
        }
