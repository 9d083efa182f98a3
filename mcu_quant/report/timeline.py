"""Decisions over time as a picture: the waveform, the probability or score, and what was decided."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mcu_quant.audio.events import Stretch, Word
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.ir import Array

#: What a picture can be written as.
SUFFIXES = (".png", ".svg")
#: Columns of the drawn waveform: more cannot be seen.
COLUMNS = 2000
#: Share of the time behind which a word is written to the left of its line: to the right it would leave the picture.
LATE = 0.9


@dataclass(frozen=True, eq=False)
class Curve:
    """What decisions are made from: a level in [0, 1] per call, and the levels at which they are made."""

    name: str
    level: Array
    call_seconds: float
    limits: tuple[float, ...] = ()


def drawn(target: Path, title: str, samples: Array, rate_hz: int, curve: Curve, found: Sequence[Any]) -> bytes:
    """A picture of samples (16 bits), a curve, and the stretches or words found; `target` says which kind.

    Raises:
        DiagnosticError: MQ900 if matplotlib is not installed.
    """
    figure = _figure(str(target), (12, 4.2))
    figure.set_layout_engine("constrained")
    wave, decision = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
    seconds = max(samples.size / rate_hz, curve.call_seconds)
    _envelope(wave, samples, rate_hz)
    _decide(decision, curve, found, seconds)
    for axis in (wave, decision):
        _mark(axis, found)
        axis.grid(alpha=0.3)
    decision.set_ylabel(curve.name)
    decision.set_xlabel("seconds")
    figure.suptitle(title)
    return _saved(figure, target.suffix.lower().removeprefix("."))


def strip(curve: Curve, found: Sequence[Any], seconds: float) -> bytes:
    """The curve alone, as a PNG without margins: its left edge is the beginning, its right edge the end.

    Raises:
        DiagnosticError: MQ900 if matplotlib is not installed.
    """
    figure = _figure("page", (10, 1.6))
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set_axis_off()
    _decide(axis, curve, found, seconds)
    _mark(axis, found)
    return _saved(figure, "png")


def _figure(wanted: str, inches: tuple[float, float]) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        help_ = "pip install 'mcu-quant[chart]'"
        raise DiagnosticError(Diagnostic("MQ900", wanted, "pictures need matplotlib", help=help_)) from error
    return Figure(figsize=inches)


def _saved(figure: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def _envelope(axis: Any, samples: Array, rate_hz: int) -> None:
    """The smallest and the largest sample of each column."""
    width = max(1, samples.size // COLUMNS)
    columns = samples[: samples.size // width * width].reshape(-1, width) / 32768.0
    times = np.arange(len(columns)) * width / rate_hz
    axis.fill_between(times, columns.min(axis=1), columns.max(axis=1), color="0.35", linewidth=0.3)
    axis.set_ylabel("audio in")
    axis.set_ylim(-1.0, 1.0)


def _decide(axis: Any, curve: Curve, found: Sequence[Any], seconds: float) -> None:
    """The level at the end of each call, its limits, and the names of words."""
    times = (np.arange(len(curve.level)) + 1) * curve.call_seconds
    axis.plot(times, np.ravel(curve.level), color="tab:blue", linewidth=1.2)
    for limit in curve.limits:
        axis.axhline(limit, color="0.5", linewidth=0.8, linestyle="--")
    axis.set_ylim(-0.02, 1.05)
    axis.set_xlim(0.0, seconds)
    for word in (event for event in found if isinstance(event, Word)):
        side, shift = ("right", -3) if word.time > LATE * seconds else ("left", 3)
        axis.annotate(
            word.label,
            (word.time, 1.0),
            textcoords="offset points",
            xytext=(shift, -2),
            va="top",
            ha=side,
            fontsize=9,
        )


def _mark(axis: Any, found: Sequence[Any]) -> None:
    for event in found:
        if isinstance(event, Stretch):
            axis.axvspan(event.start, event.end, color="tab:green", alpha=0.2, linewidth=0)
        elif isinstance(event, Word):
            axis.axvline(event.time, color="tab:red", linewidth=1.2)
