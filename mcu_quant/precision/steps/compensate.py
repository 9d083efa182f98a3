"""Rounding with compensation (GPTQ) of 8-bit weights, from the inputs of each layer on the calibration clips.

`collect` streams the clips through the float graph and keeps the principal directions of every weighted input;
`mcu_quant/rounding.py` has the mathematics. A layer keeps them only where its outputs were measured to lose less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mcu_quant import ops
from mcu_quant.compare import excerpts
from mcu_quant.data import Clips
from mcu_quant.interpret import Stream
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.ops.common.window import Window, as_maps, patches
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.parallel import Progress, losses, quiet
from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.precision.steps import Step
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial
from mcu_quant.rounding import moments

#: Frames of all clips together: directions have settled, and layers are many.
FRAMES = 400

#: No layer with more inputs than this: the directions come from a matrix of that size squared.
MOST_INPUTS = 2048


def collect(graph: Graph, clips: Clips) -> dict[str, Array]:
    """Moments of the inputs of every weight matrix that is rounded row by row, by the name of the matrix."""
    sums = _Sums(graph)
    for clip, count in excerpts(clips, FRAMES):
        stream = Stream(graph)
        for _, frame in zip(range(count), clip, strict=False):
            stream.run(frame, watch=sums.see)
    return {name: moments(h) for name, h in sorted(sums.of.items()) if np.isfinite(h).all() and h.any()}


@dataclass
class _Sums:
    """Sums of x x^T per weight matrix, from edges as they are computed."""

    graph: Graph
    of: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    _values: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last: dict[str, list[Operator]] = {}
        self._wanted: set[str] = set()
        for op in self.graph.operators:
            if op.op in _INPUTS and (outputs := [o for o in op.outputs if o]):
                self._last.setdefault(outputs[-1], []).append(op)
                self._wanted |= {i for i in op.inputs if i and i not in self.graph.constants}

    def see(self, edge: str, value: Array) -> None:
        """Keep what an operator will read; when its last output is there, add what it read."""
        if edge in self._wanted:
            self._values[edge] = np.array(value)
        for op in self._last.get(edge, ()):
            inputs = [self.graph.constants.get(i, self._values.get(i)) if i else None for i in op.inputs]
            for name, x in _INPUTS[op.op](op, inputs):
                rows = np.asarray(x, np.float64)
                if rows.shape[1] <= MOST_INPUTS:
                    self.of[name] = self.of.get(name, 0.0) + rows.T @ rows


def _dense(op: Operator, inputs: list[Array | None]) -> list[tuple[str, Array]]:
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    return [(op.inputs[1], x.reshape(-1, w.shape[-1]))] if x.shape[-1] == w.shape[-1] else []


def _conv(op: Operator, inputs: list[Array | None]) -> list[tuple[str, Array]]:
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    if op.attributes["group"] != 1:
        return []
    maps, window = as_maps(x), Window.of(op)
    seen = patches(maps, window, window.output(maps.shape[2:]))
    # the order of a row of weights: taps in row-major order, the channels of a tap together
    return [(op.inputs[1], seen.transpose(0, 4, 5, 2, 3, 1).reshape(-1, w[0].size))]


def _recurrent(op: Operator, inputs: list[Array | None]) -> list[tuple[str, Array]]:
    x, w, r = inputs[0], inputs[1], inputs[2]
    assert x is not None and w is not None and r is not None
    hidden = ops.spec(op).reference(op, inputs)[0]
    return [(op.inputs[1], x.reshape(-1, w.shape[-1])), (op.inputs[2], hidden.reshape(-1, r.shape[-1]))]


_INPUTS = {"Gemm": _dense, "Conv": _conv, "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent}


def apply(
    trial: Trial, ways: Mapping[str, tuple[Way, ...]], clips: Clips, jobs: int | None = None, progress: Progress = quiet
) -> PrecisionPlan:
    """The start with the moments of those layers that lose less with them, each measured alone in 8-bit weights."""
    progress("correlating inputs of layers")
    found = collect(trial.graph, clips)
    weights = {op.name: [i for i in op.inputs if i in found] for op in trial.graph.operators}
    tried = {op: _narrow(known) for op, known in ways.items() if weights.get(op) and _narrow(known)}
    plans = [{op: way.line} for op, way in tried.items() if way]
    plain = losses(trial, plans, jobs, progress, "rounding to nearest")
    every = replace(trial, start=replace(trial.start, moments=found))
    made = losses(every, plans, jobs, progress, "rounding with compensation")
    better = [op for op, a, b in zip(tried, plain, made, strict=True) if b < a]
    return replace(trial.start, moments={name: found[name] for op in better for name in weights[op]})


def _narrow(known: tuple[Way, ...]) -> Way | None:
    """The way with 8-bit weights and the widest activations: what rounding does shows best there."""
    narrow = [w for w in known if (w.line.weights or "s8") == "s8" and w.line.format in ("s8", "s16")]
    return max(narrow, key=lambda w: (w.bits, w.name), default=None)


STRATEGY = Step(
    About(
        "compensate",
        "rounds 8-bit weights so that errors cancel on the inputs that occur",
        paper="Frantar et al. 2022, GPTQ, arXiv:2210.17323",
        needs=("clips",),
        adapted="second moments from eight principal directions, which the plan carries, instead of the whole matrix",
        default=True,
    ),
    apply,
)
