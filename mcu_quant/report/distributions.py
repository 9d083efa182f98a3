"""How weights and activations spread over the numbers that their format has: histograms on the integer grid.

The grid of s8 is drawn level by level, that of s16 in bins of 256 levels. Floats have no grid: their weights are shown
in equal bins between the smallest and the largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Array
from mcu_quant.program import PackedConstant, Program, Purpose

Document = dict[str, Any]
Counts = NDArray[np.int64]

#: Levels of the grid in one bin, by format.
LEVELS_PER_BIN = {"s8": 1, "s16": 256}

#: Bins of a histogram of integers: the 8-bit grid, or as many equal parts of the 16-bit one.
BINS = 256

#: Bins of a histogram of floats.
FLOAT_BINS = 64

#: Frames that activations are looked at in, spread evenly.
OBSERVED_FRAMES = 32

#: Arrays with fewer elements say nothing as a histogram.
MIN_ELEMENTS = 16


class Observer:
    """Counts the stored values of every integer edge that an operator computes, in some frames of a session."""

    def __init__(self, session: ProgramSession, frames: int) -> None:
        """`frames` is how many will be streamed."""
        self._session = session
        self._every = max(1, frames // OBSERVED_FRAMES)
        self._seen = 0
        self.counts: dict[str, Counts] = {name: np.zeros(BINS, np.int64) for name in observed(session.program)}

    def frame(self) -> None:
        """A frame was run."""
        self._seen += 1
        if (self._seen - 1) % self._every == 0:
            for name in self.counts:
                self.counts[name] += on_grid(self._session.raw(name), self._session.program.edges[name].type.format)


def observed(program: Program) -> dict[str, str]:
    """Integer edges with a scale that operators compute, and the operator that writes each."""
    written = {e: call.operator for call in program.calls if call.purpose is Purpose.COMPUTE for e in call.writes}
    return {
        name: operator
        for name, operator in written.items()
        if (type_ := program.edges[name].type).format in LEVELS_PER_BIN
        and type_.quant is not None
        and type_.size > 1
        and program.edges[name].role != "scratch"
    }


def on_grid(stored: Array, fmt: str) -> Counts:
    """How many stored integers lie in each of the bins of the format's grid."""
    bins = np.ravel(stored).astype(np.int64) // LEVELS_PER_BIN[fmt] + BINS // 2
    return np.bincount(bins, minlength=BINS).astype(np.int64)


def activations(program: Program, counts: Mapping[str, Counts]) -> Iterator[Document]:
    """`activations` of report.json."""
    operators = observed(program)
    for name, found in counts.items():
        type_ = program.edges[name].type
        assert type_.quant is not None, "observed edges have a scale"
        yield {
            "edge": name,
            "operator": operators[name],
            "format": type_.format,
            "scale": type_.quant.scale,
            "zero_point": type_.quant.zero_point,
            "scale_kind": str(type_.quant.kind),
            **_integer_histogram(found, type_.format),
        }


def weights(program: Program) -> Iterator[Document]:
    """`weights` of report.json: every array of the model's parameters that is worth a picture."""
    users = {c: call.operator for call in reversed(program.calls) for c in call.constants}
    for constant in program.constants.values():
        if constant.kind != "weights" or constant.plain.size < MIN_ELEMENTS or constant.name not in users:
            continue
        histogram = _weights_histogram(constant)
        if histogram:
            yield {
                "name": constant.name,
                "operator": users[constant.name],
                "format": constant.format,
                "elements": int(constant.plain.size),
                "bytes": constant.bytes,
                **histogram,
            }


def _weights_histogram(constant: PackedConstant) -> Document:
    """None of biases and sums, which are wider than any grid."""
    if constant.format in LEVELS_PER_BIN:
        return _integer_histogram(on_grid(constant.plain, constant.format), constant.format)
    if constant.plain.dtype.kind != "f":
        return {}
    values = np.ravel(constant.plain).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, FLOAT_BINS, (low, high) if high > low else (low - 0.5, low + 0.5))
    width = (high - low) / FLOAT_BINS if high > low else 1 / FLOAT_BINS
    start = low if high > low else low - 0.5
    return {"low": start, "bin_width": width, "counts": _text(counts), "at_low": 0, "at_high": 0}


def _integer_histogram(counts: Counts, fmt: str) -> Document:
    """The occupied part of the grid, and how many values lie in its outermost bins, where saturation shows."""
    occupied = np.flatnonzero(counts)
    first, last = (int(occupied[0]), int(occupied[-1])) if occupied.size else (BINS // 2, BINS // 2)
    width = LEVELS_PER_BIN[fmt]
    return {
        "low": (first - BINS // 2) * width,
        "bin_width": width,
        "counts": _text(counts[first : last + 1]),
        "at_low": int(counts[0]),
        "at_high": int(counts[-1]),
    }


def _text(counts: NDArray[Any]) -> str:
    """Numbers in one string: a histogram is one line of report.json."""
    return " ".join(str(int(n)) for n in counts)
