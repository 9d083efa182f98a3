"""Error against cost: builds by time of a frame and quality, with the front that no other build beats in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

from mcu_quant.report.charts import element, number, picture, title
from mcu_quant.report.names import clipped, titles
from mcu_quant.report.summary import decibels, duration, kib, worst_snr_db

WIDTH, HEIGHT = 720.0, 330.0
LEFT, TOP, RIGHT, BELOW = 56.0, 14.0, 24.0, 40.0
#: An output equal to the reference to the bit has no SNR; it is drawn here.
EXACT_AT_DB = 140.0


@dataclass(frozen=True)
class Point:
    """One build."""

    name: str
    ms: float
    snr_db: float
    words: str

    @property
    def height(self) -> float:
        """Where it is drawn, in dB."""
        return max(0.0, min(EXACT_AT_DB, self.snr_db))


def points(reports: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Builds whose time and quality are known."""
    found = []
    for name, r in zip(titles(reports), reports, strict=True):
        snr, ms = worst_snr_db(r), r["latency"]["ms"]
        if snr is not None and ms > 0:
            sizes = f"flash {kib(r['flash']['total_bytes'])}, RAM {kib(r['ram']['total_bytes'])}"
            found.append(Point(name, ms, snr, f"{name}: {duration(ms)}, {decibels(snr)}, {sizes}"))
    return found


def pareto(found: Sequence[Point]) -> list[Point]:
    """Those that no other one beats: from the fastest on, each better than all before it."""
    front: list[Point] = []
    for p in sorted(found, key=lambda p: (p.ms, -p.snr_db)):
        if not front or p.snr_db > front[-1].snr_db:
            front.append(p)
    return front


def front(reports: Sequence[Mapping[str, Any]]) -> Markup:
    """The picture; empty where builds do not differ in quality, since time alone needs none."""
    found = points(reports)
    if len({round(p.snr_db, 1) for p in found}) < 2:
        return Markup("")
    times = [log10(p.ms) for p in found]
    left, right = floor(min(times) * 2) / 2, ceil(max(times) * 2) / 2
    right = max(right, left + 0.5)
    top = 10 * ceil((max(p.height for p in found) + 1) / 10)
    across, up = (WIDTH - LEFT - RIGHT) / (right - left), (HEIGHT - TOP - BELOW) / top

    def at(p: Point) -> tuple[float, float]:
        return LEFT + (log10(p.ms) - left) * across, TOP + (top - p.height) * up

    best = pareto(found)
    line = " ".join(f"{number(x)},{number(y)}" for x, y in map(at, best))
    parts = [
        *_axes(left, right, top, across, up),
        element("polyline", points=line, class_="front"),
        *(_dot(p, *at(p), best=p in best) for p in found),
    ]
    return picture(WIDTH, HEIGHT, "quality of builds against time of a frame", parts, "scatter")


def _dot(p: Point, x: float, y: float, *, best: bool) -> Markup:
    right = x > WIDTH * 0.6
    label = element(
        "text", clipped(p.name, 40), x=x + (-9 if right else 9), y=y + 4, class_="note end" if right else "note"
    )
    dot = element("circle", [title(p.words)], cx=x, cy=y, r=5.0, class_="best" if best else "f-other")
    return Markup("").join([dot, label])


def _axes(left: float, right: float, top: int, across: float, up: float) -> Iterator[Markup]:
    bottom = HEIGHT - BELOW
    for half in range(round(left * 2), round(right * 2) + 1):
        x = LEFT + (half / 2 - left) * across
        yield element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid")
        yield element("text", duration(10 ** (half / 2)), x=x, y=bottom + 15, class_="axis middle")
    for level in range(0, top + 1, 10 if top <= 60 else 20):
        y = TOP + (top - level) * up
        yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
        yield element("text", f"{level} dB", x=LEFT - 6, y=y + 4, class_="axis end")
    yield element("text", "time of a frame", x=(LEFT + WIDTH) / 2, y=HEIGHT - 8, class_="axis middle")
