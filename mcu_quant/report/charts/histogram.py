"""Histograms on the integer grid: the whole grid across, so that unused levels and full ends show."""

from __future__ import annotations

from collections.abc import Mapping
from math import log1p
from typing import Any

from markupsafe import Markup

from mcu_quant.report.charts import colour, element, number, picture

WIDTH, HEIGHT, BASE = 256.0, 64.0, 52.0

#: First and last level of the grid, and levels per bin of the drawing.
GRIDS = {"s8": (-128, 127), "s16": (-32768, 32767)}


def histogram(entry: Mapping[str, Any], label: str) -> Markup:
    """One histogram. Heights are logarithmic: a level that occurs once among thousands is still seen."""
    counts = [int(n) for n in entry["counts"].split()]
    low, width = entry["low"], entry["bin_width"]
    first, last = GRIDS.get(entry["format"], (low, low + width * len(counts)))
    span = (last - first + 1) if entry["format"] in GRIDS else (last - first) or 1.0
    scale = WIDTH / span
    parts = [
        element("line", x1=0, x2=WIDTH, y1=BASE, y2=BASE, class_="grid"),
        element("path", d=_outline(counts, (low - first) * scale, width * scale), class_=colour(entry["format"])),
        *_ends(first, last, scale),
    ]
    return picture(WIDTH, HEIGHT, label, parts, "histogram")


def _outline(counts: list[int], x: float, step: float) -> str:
    """A staircase as one path in relative moves, which keeps it short."""
    tallest = log1p(max(counts, default=1) or 1)
    words = [f"M{number(x)} {number(BASE)}"]
    height = 0.0
    run = 0
    for count in counts:
        new = round(log1p(count) / tallest * (BASE - 4), 1)
        if new != height:
            words.append((f"h{_short(run * step)}" if run else "") + f"v{number(height - new)}")
            height, run = new, 0
        run += 1
    words.append(f"h{_short(run * step)}V{number(BASE)}z")
    return "".join(words)


def _short(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _ends(first: float, last: float, scale: float) -> list[Markup]:
    """Labels of both ends, and of zero where it lies between."""
    marks = [
        element("text", _value(first), x=0, y=HEIGHT - 2, class_="axis"),
        element("text", _value(last), x=WIDTH, y=HEIGHT - 2, class_="axis end"),
    ]
    zero = -first * scale
    if 0.15 * WIDTH < zero < 0.85 * WIDTH:
        marks.append(element("line", x1=zero, x2=zero, y1=2, y2=BASE, class_="zero"))
        marks.append(element("text", "0", x=zero, y=HEIGHT - 2, class_="axis middle"))
    return marks


def _value(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
