"""Operators by what they cost and what they spoil: share of the time across, noise they add upwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

from mcu_quant.report.charts import colour, element, picture, title
from mcu_quant.report.names import clipped, operator_labels
from mcu_quant.report.summary import noise as noise_in_words

WIDTH, HEIGHT = 720.0, 330.0
LEFT, TOP, RIGHT, BELOW = 52.0, 12.0, 16.0, 40.0
#: Operators that are named in the picture.
NAMED = 6
#: Noise below this is not drawn.
FLOOR_DB = -120.0


def scatter(report: Mapping[str, Any]) -> Markup:
    """The picture; empty where nothing was compared, or nothing adds noise.

    Noise above 0 dB, which is more than the signal, is drawn at the upper edge, and below FLOOR_DB at the lower one.
    """
    total = report["latency"]["cycles"]
    seen = [o for o in report["operators"] if o["cycles"] and (o["noise_added_db"] or FLOOR_DB) > FLOOR_DB]
    if len(seen) < 2 or not total:
        return Markup("")
    names = operator_labels(report)
    shares = {o["name"]: log10(100 * o["cycles"] / total) for o in seen}
    left, right = floor(min(shares.values())), max(1, ceil(max(shares.values())))
    noise = {o["name"]: min(0.0, o["noise_added_db"]) for o in seen}
    low, high = 10 * floor(min(noise.values()) / 10), 10 * ceil(max(noise.values()) / 10)
    low = min(low, high - 20)
    across, up = (WIDTH - LEFT - RIGHT) / (right - left), (HEIGHT - TOP - BELOW) / (high - low)
    at = {n: (LEFT + (shares[n] - left) * across, TOP + (high - noise[n]) * up) for n in noise}
    dots = [_dot(o, names[o["name"]], shares[o["name"]], *at[o["name"]]) for o in seen]
    parts = [*_axes(left, right, low, high, across, up), *dots, *_names(seen, names, at)]
    return picture(WIDTH, HEIGHT, "noise added by each operator against its share of the time", parts, "scatter")


def _dot(o: Mapping[str, Any], name: str, share: float, x: float, y: float) -> Markup:
    words = (
        f"{name} ({o['op']}, {o['format']}): {_percent(share)} of the time, adds {noise_in_words(o['noise_added_db'])}"
    )
    return element("circle", [title(words)], cx=x, cy=y, r=5.0, class_=colour(o["format"]))


def _percent(exponent: float) -> str:
    return f"{10**exponent:.2g} %"


def _axes(left: int, right: int, low: int, high: int, across: float, up: float) -> Iterator[Markup]:
    bottom = HEIGHT - BELOW
    for power in range(left, right + 1):
        x = LEFT + (power - left) * across
        yield element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid")
        yield element("text", f"{10.0**power:g} %", x=x, y=bottom + 15, class_="axis middle")
    step = 10 if high - low <= 60 else 20
    for level in range(-(-low // step) * step, high + 1, step):
        y = TOP + (high - level) * up
        yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
        yield element("text", f"{level} dB", x=LEFT - 6, y=y + 4, class_="axis end")
    yield element("text", "share of the time", x=(LEFT + WIDTH) / 2, y=HEIGHT - 8, class_="axis middle")


def _names(
    seen: Sequence[Mapping[str, Any]], names: Mapping[str, str], at: Mapping[str, tuple[float, float]]
) -> Iterator[Markup]:
    """Names of those that add most, where they do not run into each other."""
    taken: list[float] = []
    for o in sorted(seen, key=lambda o: -o["noise_added_db"]):
        x, y = at[o["name"]]
        if any(abs(y - other) < 13 for other in taken):
            continue
        taken.append(y)
        right = x > WIDTH * 0.6
        words = clipped(names[o["name"]], 36)
        yield element("text", words, x=x + (-9 if right else 9), y=y + 4, class_="note end" if right else "note")
        if len(taken) == NAMED:
            return
