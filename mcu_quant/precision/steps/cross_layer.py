"""Cross-layer equalisation: channels between two layers are brought to one range in the weights of both, for nothing.

    s_j = max|y_j|^a / max|v_j|^(1-a)        y the values between the layers, v the weights that channel j meets

with a = 1/2 as in the paper, or 1, which costs nothing where each channel has rows of its own (depthwise convolutions).
Rows of the first layer have scales of their own here, so that the values between count, and not its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import numpy as np

from mcu_quant.calibrate import covered
from mcu_quant.compare import excerpts
from mcu_quant.data import Clips
from mcu_quant.emulator.floats import float_stream
from mcu_quant.ir import Array, Graph
from mcu_quant.precision.histograms import FRAMES
from mcu_quant.precision.parallel import Lines, losses
from mcu_quant.precision.plan import PrecisionPlan, Range
from mcu_quant.precision.steps import Given, Step, narrowest
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial
from mcu_quant.rebalance import Span, by_channel, peaks, rebalanced, spans

EXPONENTS = (0.5, 1.0)

#: Layers are rebalanced only where that takes so much of their loss away.
WORTH = 0.9

#: Factors lie within so many powers of two of their geometric mean.
MOST_BITS = 8.0


def apply(trial: Trial, given: Given) -> PrecisionPlan:
    """The start with the factors of those places that lose less with them, all operators around each in 8 bits."""
    assert given.clips is not None
    found = {edge: span for edge, span in spans(trial.graph).items() if _lines(span, given)}
    largest = _largest(trial.graph, given.clips, found)
    plans = [_lines(span, given) for span in found.values()]
    plain = losses(trial, plans, given.jobs, given.progress, "layers as they are")
    best = {edge: (WORTH * loss, 0.0) for edge, loss in zip(found, plain, strict=True)}
    for exponent in EXPONENTS:
        every = {edge: factors(span, trial.graph, largest[edge], exponent) for edge, span in found.items()}
        start = _with(trial, given.clips, every)
        what = f"layers rebalanced by {exponent:g}"
        made = losses(replace(trial, start=start), plans, given.jobs, given.progress, what)
        best = {edge: min(best[edge], (loss, exponent)) for edge, loss in zip(found, made, strict=True)}
    chosen = {e: factors(found[e], trial.graph, largest[e], a) for e, (_, a) in best.items() if a}
    return _with(trial, given.clips, chosen) if chosen else trial.start


def factors(span: Span, graph: Graph, largest: Array, exponent: float) -> Array:
    """s_j, geometric mean 1, [channels]."""
    v = peaks(graph, span)
    alive = (v > 0) & (largest > 0)
    logs = np.zeros(span.channels)
    logs[alive] = exponent * np.log2(largest[alive]) - (1.0 - exponent) * np.log2(v[alive])
    middle = logs[alive].mean() if alive.any() else 0.0
    made = 2.0 ** np.where(alive, np.clip(logs - middle, -MOST_BITS, MOST_BITS), 0.0)
    return np.asarray(made, np.float32)


def _with(trial: Trial, clips: Clips, found: Mapping[str, Array]) -> PrecisionPlan:
    """The start with factors, and with ranges of the edges that they make."""
    graph = rebalanced(trial.graph, found)
    ranges: dict[str, Range] = dict(covered(graph, clips).edges)
    return replace(trial.start, rebalanced=dict(found), ranges={**ranges, **trial.start.ranges})


def _lines(span: Span, given: Given) -> Lines:
    """Every operator around the channels in 8 bits; nothing where one cannot be."""
    ways = {op.name: narrowest(given.ways[op.name]) for op in span.operators if op.name in given.ways}
    return {} if None in ways.values() else {op: way.line for op, way in ways.items() if way is not None}


def _largest(graph: Graph, clips: Clips, found: Mapping[str, Span]) -> dict[str, Array]:
    """The largest magnitude of each channel that the last layers read: [channels], by the first layer's output."""
    watched = {span.edges[-1]: (edge, span) for edge, span in found.items()}
    largest = {edge: np.zeros(span.channels) for edge, span in found.items()}

    def see(name: str, value: Array) -> None:
        if name in watched:
            edge, span = watched[name]
            np.maximum(largest[edge], np.abs(by_channel(span, value)).max(axis=0), out=largest[edge])

    stream = float_stream(graph)
    for clip, count in excerpts(clips, FRAMES):
        stream.reset()
        for frame in islice(clip, count):
            stream.run(frame, watch=see)
    return largest


STRATEGY = Step(
    About(
        "cross-layer",
        "channels between two layers are brought to one range in the weights of both, which costs nothing",
        paper="Nagel et al. 2019, arXiv:1906.04721",
        needs=("clips",),
        adapted="from the values between the layers, since rows of weights have own scales; kept by measured loss",
    ),
    apply,
    order=0,
)
