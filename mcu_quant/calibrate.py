"""Calibration: stream clips through the float graph with the state carried, and fold statistics of every edge.

Memory does not grow with the data, nor with the sum of all edges: values of small edges are gathered side by side for
a few frames and folded together in one pass, large edges are folded as they are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mcu_quant import ops
from mcu_quant.data import Clips
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator.floats import float_stream
from mcu_quant.ir import Array, Graph
from mcu_quant.precision.plan import Range

#: Enough for ranges to settle on speech models (docs/data.md); more is slower and rarely different.
MAX_FRAMES = 2000

#: Bins of the histogram: bin b > 0 counts values with 2**(b - 127) <= |x| < 2**(b - 126), bin 0 zeros and subnormals.
BINS = 255

#: What `enough` allows: so much work, but never so few frames that chance decides.
MAX_MACS = 30_000_000_000
MIN_FRAMES = 8

#: Values gathered before they are folded, over all edges, and the size from which an edge is folded by itself.
GATHER = 1 << 20
LARGE = 1 << 14

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
class Ranges:
    """The range of every float edge, and of tensors inside operators as "operator:tensor"."""

    edges: Mapping[str, Range]
    frames: int
    #: what was streamed, in words for the plan and the report
    calibrated_on: str


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


def enough(graph: Graph) -> int:
    """Frames worth taking: `MAX_FRAMES`, and fewer of models whose single frame takes long."""
    times = graph.times
    macs = sum(ops.spec(op).macs(op, graph) * times[op.name] for op in graph.operators)
    return min(MAX_FRAMES, max(MIN_FRAMES, MAX_MACS // max(1, macs)))


def calibrate(
    graph: Graph, clips: Clips, max_frames: int | None = MAX_FRAMES, progress: Progress | None = None
) -> Stats:
    """Statistics of all float edges of a graph over clips; the state is reset before each clip.

    With more frames than `max_frames` the beginning of every clip is taken, so that all clips count.
    `progress(done, total)` is called once per frame.

    Raises:
        DiagnosticError: MQ401 if the float model itself gives NaN or infinity on a clip.
    """
    folder = _Folder(_float_sizes(graph), _Rows, _Whole, graph.repeated)
    frames, text = _streamed(graph, clips, max_frames, progress, folder)
    return Stats(folder.results(), frames, text)


def calibrate_ranges(
    graph: Graph, clips: Clips, max_frames: int | None = MAX_FRAMES, progress: Progress | None = None
) -> Ranges:
    """As `calibrate`, the ranges alone: all that a plan needs, in a third of the time."""
    folder = _Folder(_float_sizes(graph), _RowExtremes, _WholeExtremes, graph.repeated)
    frames, text = _streamed(graph, clips, max_frames, progress, folder)
    return Ranges(folder.results(), frames, text)


def covered(graph: Graph, clips: Clips) -> Ranges:
    """What ranges of plans cover: as `calibrate_ranges`, of models that must bear louder recordings those as well.

    Headroom would not do: a value that is squared grows by 18 dB where the recording grows by 9.
    """
    heard = clips.with_louder
    return calibrate_ranges(graph, heard, enough(graph) * len(heard) // len(clips))


def _streamed(
    graph: Graph, clips: Clips, max_frames: int | None, progress: Progress | None, folder: _Folder
) -> tuple[int, str]:
    """Fold every frame; how many there were, and on what in words."""
    stream = float_stream(graph)
    inside = _Inside(graph)
    shares = _shares([len(clip) for clip in clips], max_frames)
    done, total = 0, sum(shares)
    for clip, share in zip(clips, shares, strict=True):
        stream.reset()
        folder.clip = clip.name
        for feeds in islice(clip, share):
            values = stream.run(feeds, inside.read, folder.add)
            for name, value in inside.values(values):
                folder.add(name, value)
            folder.next_frame()
            done += 1
            if progress:
                progress(done, total)
        folder.fold()
    if not done:
        raise DiagnosticError(Diagnostic("MQ401", "calibration", "there are no frames to calibrate on"))
    text = clips.provenance if total == clips.frame_count else f"{clips.provenance}; of these the first {total} frames"
    return done, text


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


class _Inside:
    """What operators keep inside: LSTM's cells, for example."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        # those in loops show what they keep inside as they run
        runs = [op for op in graph.operators if graph.repeated.isdisjoint(op.outputs)]
        self._operators = [op for op in runs if ops.spec(op).internals]
        #: edges that these operators read
        self.read = tuple(
            dict.fromkeys(i for op in self._operators for i in op.inputs if i and i not in graph.constants)
        )

    def values(self, edges: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        constants = self._graph.constants
        for op in self._operators:
            internals = ops.spec(op).internals
            assert internals is not None
            inputs = [None if not i else constants[i] if i in constants else edges[i] for i in op.inputs]
            for tensor, value in internals(op, inputs).items():
                yield f"{op.name}:{tensor}", value


def _float_sizes(graph: Graph) -> dict[str, int]:
    """Elements of every float edge, in the order of the graph."""
    computed = (o for op in graph.operators for o in op.outputs if o)
    names = dict.fromkeys((*graph.inputs, *graph.state_inputs, *computed))
    return {n: graph.types[n].size for n in names if np.dtype(graph.types[n].dtype).kind == "f"}


#: Sign and exponent of a float32: what is counted before both signs are added.
_CODES = 512


def _codes(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Sign and exponent field, 0 .. 511; the exponent is the bin: its power of two, biased by 127."""
    return (values.view(np.uint32) >> np.uint32(23)).astype(np.intp)


def _bins(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """[..., 512] counts by sign and exponent to [..., 256] by exponent; the last bin is infinity and NaN."""
    return counts[..., : BINS + 1] + counts[..., BINS + 1 :]


class _Small(Protocol):
    """What is folded of small tensors, which are gathered for a few frames."""

    @property
    def slices(self) -> Mapping[str, slice]:
        """Where each tensor lies in a frame."""

    def put(self, name: str, value: Array) -> None:
        """One tensor of the current frame."""

    def next(self) -> bool:
        """Begin another frame; True if there is no room for one."""

    def fold(self) -> list[str]:
        """Fold what was gathered; names of tensors that are not finite."""

    def results(self) -> Mapping[str, Any]:
        """By name."""


class _Large(Protocol):
    """What is folded of a tensor that is taken in at once."""

    def add(self, value: Array) -> bool:
        """Fold the values of one frame; False if one of them is not finite."""

    def result(self) -> Any:
        """Of everything added so far."""


class _Folder:
    """Folds float edges by name, and whatever else is added."""

    def __init__(
        self,
        sizes: Mapping[str, int],
        small: Callable[[Mapping[str, int]], _Small],
        large: Callable[[], _Large],
        apart: Collection[str],
    ) -> None:
        """Edges in `apart` have several values in a frame: each is folded as it comes."""
        self._order = tuple(sizes)
        self._small = small({n: size for n, size in sizes.items() if 0 < size < LARGE and n not in apart})
        self._large = large
        self._whole = {n: large() for n in sizes if n not in self._small.slices}
        #: name of the clip, for diagnostics
        self.clip = ""

    def add(self, name: str, value: Array) -> None:
        """Take in an edge of this frame; what is no float is none of ours."""
        if name in self._small.slices:
            self._small.put(name, value)
        elif value.dtype.kind == "f":
            if name not in self._whole:
                self._whole[name] = self._large()
            if not self._whole[name].add(value):
                self.fold()  # a small edge that came before is to blame
                raise self._not_finite([name])

    def next_frame(self) -> None:
        """All edges of a frame are in."""
        if self._small.next():
            self.fold()

    def fold(self) -> None:
        """Fold what was gathered.

        Raises:
            DiagnosticError: MQ401 if a value is not finite.
        """
        bad = self._small.fold()
        if bad:
            raise self._not_finite(bad)

    def _not_finite(self, names: Sequence[str]) -> DiagnosticError:
        more = f", and {len(names) - 1} more tensors" if len(names) > 1 else ""
        return DiagnosticError(
            Diagnostic(
                "MQ401",
                names[0],
                f"the float model gives NaN or infinity here on clip {self.clip!r}{more}",
                help="compare the data's level with what the model was trained on (full_scale in the pipeline)",
            )
        )

    def results(self) -> Mapping[str, Any]:
        """In the order of the graph, then what lies inside operators."""
        found = {**self._small.results(), **{name: whole.result() for name, whole in self._whole.items()}}
        return {name: found[name] for name in dict.fromkeys((*self._order, *found))}


class _Whole:
    """The statistics of one tensor, taken in at once, in parts that fit into the processor's cache."""

    _PART = 1 << 16

    def __init__(self) -> None:
        self._count, self._low, self._high = 0, np.inf, -np.inf
        self._sum = self._square = 0.0
        self._counts = np.zeros(_CODES, np.int64)

    def add(self, value: Array) -> bool:
        flat = np.ascontiguousarray(value, np.float32).reshape(-1)
        for start in range(0, flat.size, self._PART):
            part = flat[start : start + self._PART]
            self._counts += np.bincount(_codes(part), minlength=_CODES)
            self._sum += float(part.sum(dtype=np.float64))
            self._square += float(np.einsum("v,v->", part, part, dtype=np.float64))
            self._low = min(self._low, float(part.min()))
            self._high = max(self._high, float(part.max()))
        self._count += flat.size
        return not _bins(self._counts)[BINS]

    def result(self) -> EdgeStats:
        count, histogram = self._count, _bins(self._counts)[:BINS]
        if not count:
            return EdgeStats(0, 0.0, 0.0, 0.0, 0.0, histogram)
        return EdgeStats(count, self._low, self._high, self._sum / count, self._square / count, histogram)


class _WholeExtremes:
    """The range of one tensor, taken in at once."""

    def __init__(self) -> None:
        self._low, self._high = np.inf, -np.inf

    def add(self, value: Array) -> bool:
        if value.size:
            low, high = float(value.min()), float(value.max())
            self._low, self._high = min(self._low, low), max(self._high, high)
            return isfinite(low) and isfinite(high)
        return True

    def result(self) -> Range:
        return Range(self._low, self._high) if self._low <= self._high else Range(0.0, 0.0)


class _RowExtremes:
    """Gathers frames of many small tensors in one matrix [frames, values]; keeps the range of each tensor."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = np.array(list(sizes.values()), np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        width = int(self._sizes.sum())
        self._rows = np.zeros((max(1, GATHER // max(width, 1)), width), np.float32)
        ends = self._starts + self._sizes
        self.slices = {n: slice(int(a), int(b)) for n, a, b in zip(sizes, self._starts, ends, strict=True)}
        self._filled = self._frames = 0
        self._low, self._high = np.full(len(sizes), np.inf), np.full(len(sizes), -np.inf)

    def put(self, name: str, value: Array) -> None:
        self._rows[self._filled, self.slices[name]] = value.reshape(-1)

    def next(self) -> bool:
        self._filled += 1
        return self._filled == len(self._rows)

    def fold(self) -> list[str]:
        if not self._fold_extremes():
            return []
        finite = np.isfinite(self._low) & np.isfinite(self._high)
        return [name for name, good in zip(self.slices, finite, strict=True) if not good]

    def _fold_extremes(self) -> int:
        """Fold the ranges; how many values were gathered."""
        rows = self._rows[: self._filled]
        if rows.size:
            self._low = np.minimum(self._low, np.minimum.reduceat(rows.min(axis=0), self._starts))
            self._high = np.maximum(self._high, np.maximum.reduceat(rows.max(axis=0), self._starts))
        self._frames += self._filled
        self._filled = 0
        return rows.size

    def results(self) -> Mapping[str, Any]:
        return {n: Range(float(a), float(b)) for n, a, b in zip(self.slices, self._low, self._high, strict=True)}


class _Rows(_RowExtremes):
    """As that, with everything else that is known of a tensor."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__(sizes)
        count = len(sizes)
        self._sum, self._square = np.zeros(count), np.zeros(count)
        # the counts of all tensors are one array, each tensor's following those of the tensor before
        self._counts = np.zeros(count * _CODES, np.int64)
        self._first = np.repeat(np.arange(count) * _CODES, self._sizes)

    def fold(self) -> list[str]:
        rows = self._rows[: self._filled]
        if not self._fold_extremes():
            return []
        codes = _codes(rows)
        codes += self._first
        self._counts += np.bincount(codes.ravel(), minlength=self._counts.size)
        self._sum += np.add.reduceat(rows.sum(axis=0, dtype=np.float64), self._starts)
        self._square += np.add.reduceat(np.einsum("fv,fv->v", rows, rows, dtype=np.float64), self._starts)
        bad = _bins(self._counts.reshape(-1, _CODES))[:, BINS]
        return [name for name, count in zip(self.slices, bad, strict=True) if count]

    def results(self) -> Mapping[str, EdgeStats]:
        counts = self._sizes * self._frames
        histograms = _bins(self._counts.reshape(-1, _CODES))[:, :BINS]
        return {
            name: EdgeStats(
                int(counts[i]),
                float(self._low[i]),
                float(self._high[i]),
                float(self._sum[i] / counts[i]),
                float(self._square[i] / counts[i]),
                histograms[i],
            )
            for i, name in enumerate(self.slices)
        }
