"""What weight matrices are multiplied with on the calibration clips: means, second moments, and ranges of inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mcu_quant import ops
from mcu_quant.calibrate import enough
from mcu_quant.compare import excerpts
from mcu_quant.data import Clips
from mcu_quant.emulator.floats import float_stream
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.ops.common.window import Window, as_maps, patches

#: Frames of all clips together, no more than `calibrate.enough`: with few of them, weights suit those and no others
#: (an LSTM denoiser's layers lose 1 dB less on held-out clips with 1300 frames than with 400).
FRAMES = 1500

#: Rows of x of a layer, as many as from so many frames with 8 in each: more (a convolution's positions) tell no more.
ROWS = 8 * FRAMES

#: No layer with more inputs than this: the directions come from a matrix of that size squared.
MOST_INPUTS = 2048


@dataclass(frozen=True, eq=False)
class Inputs:
    """Of one weight matrix: sums of x x^T, [inputs, inputs]; smallest and largest x_j, [inputs / taps].

    mean: [groups, inputs], of what each group of rows reads. A convolution in groups has nothing else.
    """

    mean: Array
    second: NDArray[np.float64] | None = None
    low: Array | None = None
    high: Array | None = None

    @property
    def finite(self) -> bool:
        """Is it known, and not all zeros?"""
        known = self.mean if self.second is None else self.second
        return bool(np.isfinite(known).all() and known.any())


def collect(graph: Graph, clips: Clips) -> dict[str, Inputs]:
    """Of every weight matrix that is rounded row by row and reads something, by the name of the matrix."""
    taken = list(excerpts(clips, min(FRAMES, enough(graph))))
    sums = _Sums(graph, sum(count for _, count in taken))
    stream = float_stream(graph)
    for clip, count in taken:
        stream.reset()
        for frame in islice(clip, count):
            stream.run(frame, watch=sums.see)
    found = {name: sums.inputs(name) for name in sorted(sums.total)}
    return {name: one for name, one in found.items() if one.finite}


@dataclass
class _Sums:
    """Sums of x x^T per weight matrix, from edges as they are computed in so many frames."""

    graph: Graph
    frames: int
    of: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    low: dict[str, Array] = field(default_factory=dict)
    high: dict[str, Array] = field(default_factory=dict)
    #: sums of x, [groups, inputs], and how many x there were
    total: dict[str, Array] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)
    _values: dict[str, Array] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last: dict[str, list[Operator]] = {}
        self._wanted: set[str] = set()
        for op in self.graph.operators:
            if op.op in _INPUTS and (outputs := [o for o in op.outputs if o]):
                self._last.setdefault(outputs[-1], []).append(op)
                self._wanted |= {i for i in op.inputs if i and i not in self.graph.constants} | {
                    _hidden(op, self.graph)
                }

    def see(self, edge: str, value: Array) -> None:
        """Keep what an operator will read; when its last output is there, add what it read."""
        if edge in self._wanted:
            self._values[edge] = np.array(value)
        for op in self._last.get(edge, ()):
            if not self._is_turn(op):
                continue
            inputs = [self.graph.constants.get(i, self._values.get(i)) if i else None for i in op.inputs]
            for name, x in _INPUTS[op.op](op, inputs, self._values.get(_hidden(op, self.graph))):
                rows = np.asarray(x, np.float64)
                if rows.shape[-1] <= MOST_INPUTS:
                    self._add(name, rows)
                    if rows.shape[1] == 1:
                        self.of[name] = self.of.get(name, 0.0) + rows[:, 0].T @ rows[:, 0]
                        self._span(name, rows.reshape(-1, _channels(op, self.graph) or rows.shape[-1]))

    def _is_turn(self, op: Operator) -> bool:
        """Every n-th frame of a layer with n times `ROWS` rows in all frames together."""
        self._seen[op.name] = seen = self._seen.get(op.name, -1) + 1
        return seen % max(1, self.frames * _rows(op, self.graph) // ROWS) == 0

    def inputs(self, name: str) -> Inputs:
        """All that was seen of a matrix."""
        mean = (self.total[name] / self.count[name]).astype(np.float32)
        if name not in self.of:
            return Inputs(mean)
        low, high = (ends[name].astype(np.float32) for ends in (self.low, self.high))
        return Inputs(mean, self.of[name], low, high)

    def _add(self, name: str, rows: Array) -> None:
        self.total[name] = self.total.get(name, 0.0) + rows.sum(axis=0)
        self.count[name] = self.count.get(name, 0) + len(rows)

    def _span(self, name: str, rows: Array) -> None:
        low, high = rows.min(axis=0), rows.max(axis=0)
        self.low[name] = np.minimum(self.low.get(name, low), low)
        self.high[name] = np.maximum(self.high.get(name, high), high)


def _channels(op: Operator, graph: Graph) -> int | None:
    """Inputs of a convolution: the taps of a channel are one."""
    return graph.shape(op.inputs[1])[1] if op.op == "Conv" else None


def _rows(op: Operator, graph: Graph) -> int:
    """How many x a layer's matrix is multiplied with in a frame."""
    if ops.spec(op).family == "recurrent":
        steps, batch, _ = graph.shape(op.inputs[0])
        return steps * batch
    return graph.types[op.outputs[0]].size // graph.shape(op.inputs[1])[0]


def _hidden(op: Operator, graph: Graph) -> str:
    """The edge that holds the hidden state of every step of a recurrent layer, if there is one."""
    if ops.spec(op).family != "recurrent":
        return ""
    return op.outputs[0] or (op.output(1) if graph.shape(op.inputs[0])[0] == 1 else "")


# What the rows of a matrix read: [values, groups, inputs], by the name of the matrix.


def _dense(op: Operator, inputs: list[Array | None], _: Array | None) -> list[tuple[str, Array]]:
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    return [(op.inputs[1], x.reshape(-1, 1, w.shape[-1]))] if x.shape[-1] == w.shape[-1] else []


def _conv(op: Operator, inputs: list[Array | None], _: Array | None) -> list[tuple[str, Array]]:
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    maps, window, groups = as_maps(x), Window.of(op), int(op.attributes["group"])
    seen = patches(maps, window, window.output(maps.shape[2:]))
    seen = seen.reshape(len(seen), groups, -1, *seen.shape[2:])
    # the order of a row of weights: taps in row-major order, the channels of a tap together
    return [(op.inputs[1], seen.transpose(0, 5, 6, 1, 3, 4, 2).reshape(-1, groups, w[0].size))]


def _recurrent(op: Operator, inputs: list[Array | None], known: Array | None) -> list[tuple[str, Array]]:
    x, w, r = inputs[0], inputs[1], inputs[2]
    assert x is not None and w is not None and r is not None
    hidden = ops.spec(op).reference(op, inputs)[0] if known is None else known
    return [(op.inputs[1], x.reshape(-1, 1, w.shape[-1])), (op.inputs[2], hidden.reshape(-1, 1, r.shape[-1]))]


_INPUTS = {"Gemm": _dense, "Conv": _conv, "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent}
