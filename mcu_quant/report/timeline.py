"""Decisions over time as a picture: the waveform, the probability or score, and what was decided."""

from __future__ import annotations

import io
from collections.abc import Sequence
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


def drawn(
    target: Path, title: str, samples: Array, rate_hz: int, level: Array, call_seconds: float, found: Sequence[Any]
) -> bytes:
    """A picture of samples (16 bits), a level per call, and the stretches or words found; `target` says which kind.

    Raises:
        DiagnosticError: MQ900 if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        help_ = "pip install 'mcu-quant[chart]', or write .npz"
        raise DiagnosticError(Diagnostic("MQ900", str(target), "pictures need matplotlib", help=help_)) from error
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    wave, decision = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
    _envelope(wave, samples, rate_hz)
    times = (np.arange(len(level)) + 1) * call_seconds
    decision.plot(times, np.ravel(level), color="tab:blue", linewidth=1.2)
    decision.set_ylim(-0.02, 1.05)
    decision.set_ylabel("probability" if not any(isinstance(f, Word) for f in found) else "score")
    decision.set_xlabel("seconds")
    for axis in (wave, decision):
        _mark(axis, found, named=axis is decision)
        axis.grid(alpha=0.3)
    decision.set_xlim(0.0, max(samples.size / rate_hz, call_seconds))
    figure.suptitle(title)
    buffer = io.BytesIO()
    kind = target.suffix.lower().removeprefix(".")
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


def _mark(axis: Any, found: Sequence[Any], named: bool) -> None:
    for event in found:
        if isinstance(event, Stretch):
            axis.axvspan(event.start, event.end, color="tab:green", alpha=0.2, linewidth=0)
        elif isinstance(event, Word):
            axis.axvline(event.time, color="tab:red", linewidth=1.2)
            if named:
                axis.annotate(
                    event.label, (event.time, 1.0), textcoords="offset points", xytext=(3, -2), va="top", fontsize=9
                )
