"""The trade-off front as a picture: quality against flash and against time, every plan a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from mcu_quant.diagnostics import Diagnostic, DiagnosticError

#: What a picture can be written as.
SUFFIXES = (".png", ".svg", ".pdf")

#: Plans that equal f32 to the bit are drawn here.
TOP_DB = 80.0


def draw(rows: Sequence[Mapping[str, Any]], title: str, target: Path) -> None:
    """Draw the rows of `front.rows` into a file; the suffix says which kind.

    Raises:
        DiagnosticError: MQ900 if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        help_ = "pip install 'mcu-quant[chart]', or write the front as .csv or .json"
        raise DiagnosticError(Diagnostic("MQ900", str(target), "pictures need matplotlib", help=help_)) from error
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (key, label, factor) in zip(
        axes, (("flash_bytes", "flash, KiB", 1 / 1024), ("ms", "time of a frame, ms", 1.0)), strict=True
    ):
        _panel(axis, rows, key, factor)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("SNR of the worst output against f32, dB")
    axes[0].legend(loc="lower right")
    figure.suptitle(title)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


def _panel(axis: Any, rows: Sequence[Mapping[str, Any]], key: str, factor: float) -> None:
    """Points of both kinds, and as steps the best quality that any of them has for no more of `key`."""
    for kind, marker, colour in (("searched", "o", "tab:blue"), ("fixed", "s", "tab:orange")):
        points = sorted((r[key] * factor, min(r["snr_db"], TOP_DB), r["plan"]) for r in rows if r["kind"] == kind)
        label = {"searched": "planner", "fixed": "uniform plans and preset"}[kind]
        axis.plot([p[0] for p in points], [p[1] for p in points], marker, color=colour, label=label)
        if kind == "fixed":
            _names(axis, points, max(r[key] * factor for r in rows))
    steps = sorted((r[key] * factor, min(r["snr_db"], TOP_DB)) for r in rows)
    best = list(accumulate((y for _, y in steps), max))
    axis.plot([x for x, _ in steps], best, drawstyle="steps-post", color="tab:gray", linewidth=1.0, zorder=0)


def _names(axis: Any, points: Sequence[tuple[float, float, str]], furthest: float) -> None:
    """Names below their points, above where a neighbour's stands below, and to the left at the right end."""
    named: list[tuple[float, float]] = []
    for x, y, name in points:
        crowded = any(abs(x - a) < 0.1 * furthest and abs(y - b) < 4.0 for a, b in named)
        left = x > 0.7 * furthest
        place = (-6 if left else 6, 5 if crowded else -10)
        side = "right" if left else "left"
        axis.annotate(name, (x, y), textcoords="offset points", xytext=place, ha=side, fontsize=8)
        named.append((x, y))
