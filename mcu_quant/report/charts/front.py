"""Error against cost: builds by time of a frame and quality, with the front that no other build beats in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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


def explored(rows: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Plans of a front that `explore` measured, as its JSON lists them."""
    made = []
    for row in rows:
        sizes = f"flash {kib(round(row['flash_bytes']))}, RAM {kib(round(row['ram_bytes']))}"
        words = f"{row['plan']}: {duration(row['ms'])}, {decibels(row['snr_db'])}, {sizes}"
        made.append(Point(row["plan"], row["ms"], row["snr_db"], words))
    return made


def pareto(found: Sequence[Point]) -> list[Point]:
    """Those that no other one beats: from the fastest on, each better than all before it."""
    front: list[Point] = []
    for p in sorted(found, key=lambda p: (p.ms, -p.snr_db)):
        if not front or p.snr_db > front[-1].snr_db:
            front.append(p)
    return front


def front(found: Sequence[Point]) -> Markup:
    """The picture; empty where builds do not differ in quality, since time alone needs none."""
    if len({round(p.snr_db, 1) for p in found}) < 2:
        return Markup("")
    times = [log10(p.ms) for p in found]
    left, right = min(times) - 0.1, max(times) + 0.1
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
        *_names([*best, *(p for p in found if p not in best)], at),
    ]
    return picture(WIDTH, HEIGHT, "quality of builds against time of a frame", parts, "scatter")


def _dot(p: Point, x: float, y: float, *, best: bool) -> Markup:
    return element("circle", [title(p.words)], cx=x, cy=y, r=5.0, class_="best" if best else "f-other")


def _names(found: Sequence[Point], at: Callable[[Point], tuple[float, float]]) -> Iterator[Markup]:
    """Names, those of the front first, where they do not run into each other."""
    taken: list[float] = []
    for p in found:
        x, y = at(p)
        if all(abs(y - other) >= 12 for other in taken):
            taken.append(y)
            right = x > WIDTH * 0.6
            look = "note end" if right else "note"
            yield element("text", clipped(p.name, 40), x=x + (-9 if right else 9), y=y + 4, class_=look)


def _axes(left: float, right: float, top: int, across: float, up: float) -> Iterator[Markup]:
    bottom = HEIGHT - BELOW
    powers = range(floor(left), ceil(right) + 1)
    fine = (1, 2, 3, 4, 5, 6, 7, 8, 9) if right - left < 0.8 else (1, 2, 5) if right - left < 2.5 else (1,)
    for ms in (m * 10.0**k for k in powers for m in fine if left <= log10(m * 10.0**k) <= right):
        x = LEFT + (log10(ms) - left) * across
        yield element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid")
        yield element("text", duration(ms), x=x, y=bottom + 15, class_="axis middle")
    for level in range(0, top + 1, 10 if top <= 60 else 20):
        y = TOP + (top - level) * up
        yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
        yield element("text", f"{level} dB", x=LEFT - 6, y=y + 4, class_="axis end")
    yield element("text", "time of a frame", x=(LEFT + WIDTH) / 2, y=HEIGHT - 8, class_="axis middle")
