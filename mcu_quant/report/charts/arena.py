"""Memory over time: calls of one frame from left to right, arena offsets upwards, a box per buffer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from mcu_quant.report.charts import byte_steps, colour, element, number, picture, title
from mcu_quant.report.names import clipped, operator_labels
from mcu_quant.report.summary import kib

WIDTH, HEIGHT = 1000.0, 380.0
LEFT, TOP, RIGHT = 62.0, 18.0, 10.0
#: strip under the arena that shows which operator a call belongs to, and room for the axis
STRIP, BELOW = 12.0, 44.0
MIN_LABEL_WIDTH, MIN_LABEL_HEIGHT, CHARACTER = 48.0, 13.0, 6.2


def arena(report: Mapping[str, Any]) -> Markup:
    """The picture; empty where nothing lies in the arena."""
    memory, total = report["memory"], report["ram"]["arena_bytes"]
    if not total or not memory["calls"]:
        return Markup("")
    calls = len(memory["calls"])
    across = (WIDTH - LEFT - RIGHT) / calls
    up = (HEIGHT - TOP - STRIP - BELOW) / total
    floor = TOP + total * up
    names = operator_labels(report)
    parts = [
        *_grid(total, up, floor),
        *(_box(b, names.get(b["operator"], b["operator"]), across, up, floor) for b in memory["buffers"]),
        *_peak(memory, names, across, up, floor),
        *_strip(memory["calls"], across, floor),
        *_axis(calls, across, floor),
    ]
    label = f"{len(memory['buffers'])} buffers in {kib(total)} of working memory over {calls} kernel calls"
    return picture(WIDTH, HEIGHT, label, parts, "arena")


def _grid(total: int, up: float, floor: float) -> Iterator[Markup]:
    for size in byte_steps(total):
        y = floor - size * up
        yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
        yield element("text", kib(size) if size else "0", x=LEFT - 6, y=y + 4, class_="axis end")


def _box(buffer: Mapping[str, Any], name: str, across: float, up: float, floor: float) -> Markup:
    """A buffer, named after the operator that writes it."""
    first, last = buffer["first_call"], buffer["last_call"]
    x, width = LEFT + first * across, (last - first + 1) * across
    height = buffer["bytes"] * up
    y = floor - (buffer["offset_bytes"] + buffer["bytes"]) * up
    shape = "x".join(map(str, buffer["shape"]))
    taken = f", in place of {buffer['in_place_of']}" if buffer["in_place_of"] else ""
    what = "scratch of" if buffer["scratch"] else "written by"
    text = (
        f"{buffer['name']}: {buffer['format']} {shape}, {kib(buffer['bytes'])} at offset {buffer['offset_bytes']}, "
        f"{what} {buffer['operator']}, calls {first} to {last}{taken}"
    )
    look = colour(buffer["format"]) + (" scratch" if buffer["scratch"] else "")
    box = element("rect", [title(text)], x=x, y=y, width=max(width, 1.0), height=max(height, 1.0), class_=look)
    return Markup("").join([box, _label(name, x, y, width, height)])


def _label(name: str, x: float, y: float, width: float, height: float) -> Markup:
    """The name inside a box that has room for it."""
    if width < MIN_LABEL_WIDTH or height < MIN_LABEL_HEIGHT:
        return Markup("")
    return element("text", clipped(name, int((width - 6) / CHARACTER)), x=x + 3, y=y + height / 2 + 4, class_="inside")


def _peak(
    memory: Mapping[str, Any], names: Mapping[str, str], across: float, up: float, floor: float
) -> Iterator[Markup]:
    """The call at which most bytes are live, and the line of live bytes."""
    live = live_bytes(memory)
    points = []
    for i, size in enumerate(live):
        level = number(floor - size * up)
        points.append(f"{number(LEFT + i * across)},{level} {number(LEFT + (i + 1) * across)},{level}")
    yield element("polyline", points=" ".join(points), class_="live")
    at = max(range(len(live)), key=live.__getitem__)
    x = LEFT + (at + 0.5) * across
    y = floor - live[at] * up
    operator = memory["calls"][at]["operator"]
    words = f"most live bytes: {kib(live[at])} at {names.get(operator, operator)}"
    right = x > WIDTH / 2
    yield element("circle", [title(words)], cx=x, cy=y, r=3.5, class_="peak")
    yield element("text", words, x=x + (-7 if right else 7), y=max(y - 6, 12.0), class_="note end" if right else "note")


def live_bytes(memory: Mapping[str, Any]) -> list[int]:
    """Bytes in use at each call; what continues another buffer in place counts once."""
    live = []
    for call in range(len(memory["calls"])):
        alive = [b for b in memory["buffers"] if b["first_call"] <= call <= b["last_call"]]
        names = {b["name"] for b in alive}
        live.append(sum(b["bytes"] for b in alive if b["in_place_of"] not in names))
    return live


def _strip(calls: list[Mapping[str, Any]], across: float, floor: float) -> Iterator[Markup]:
    """Runs of calls of the same operator, in two alternating tones; conversions marked."""
    start, odd = 0, False
    for i in range(1, len(calls) + 1):
        if i < len(calls) and calls[i]["operator"] == calls[start]["operator"]:
            continue
        spent = sum(c["cycles"] for c in calls[start:i])
        span = f"call {start}" if i - start == 1 else f"calls {start} to {i - 1}"
        text = title(f"{calls[start]['operator']}: {span}, {spent} cycles")
        x, width = LEFT + start * across, (i - start) * across
        yield element("rect", [text], x=x, y=floor + 2, width=width, height=STRIP - 3, class_="odd" if odd else "even")
        start, odd = i, not odd


def _axis(calls: int, across: float, floor: float) -> Iterator[Markup]:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if calls / s <= 12)
    for i in range(0, calls, step):
        yield element("text", str(i), x=LEFT + (i + 0.5) * across, y=floor + STRIP + 13, class_="axis middle")
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    yield element("text", "kernel calls of one frame, in order", x=middle, y=floor + STRIP + 29, class_="axis middle")
