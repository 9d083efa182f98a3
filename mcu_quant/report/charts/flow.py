"""The graph as a list: operators from top to bottom, and beside them the lanes in which their results travel.

A result keeps its lane until its last reader, so a skip connection is a long straight line and a branch a fork.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mcu_quant.report.charts import colour, element, number
from mcu_quant.report.names import operator_labels

ROW, LANE, RADIUS = 24.0, 11.0, 4.2
#: Lanes beyond this share the last one, so that a wide graph stays readable on a phone.
MOST_LANES = 12


@dataclass(frozen=True)
class Node:
    """What a row stands for: an input, or an operator."""

    name: str
    label: str
    kind: str
    format: str
    sources: tuple[str, ...]
    stateful: bool = False
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Row:
    """One row of the list, and the piece of the lanes beside it: pieces of their own survive page breaks in print."""

    node: Node
    lanes: Markup


def flow(report: Mapping[str, Any]) -> list[Row]:
    """The graph of a report, from top to bottom."""
    nodes = tuple(_nodes(report))
    lane = place(nodes)
    width = (1 + max(lane.values(), default=0)) * LANE + LANE
    lines = _lines(nodes, lane)
    return [
        Row(n, element("svg", [*lines[i], *_dot(n, lane[n.name])], viewBox=f"0 0 {number(width)} {number(ROW)}",
                       width=width, height=ROW, class_="lanes", aria_hidden="true"))
        for i, n in enumerate(nodes)
    ]  # fmt: skip


def _nodes(report: Mapping[str, Any]) -> Iterator[Node]:
    names = operator_labels(report)
    for port in report["source"]["inputs"]:
        shape = "x".join(map(str, port["shape"]))
        yield Node(port["name"], port["name"], "input", "", (), detail={"output": f"[{shape}]"})
    for o in report["operators"]:
        yield Node(o["name"], names[o["name"]], o["op"], o["format"], tuple(o["after"]), o["stateful"], o)


def place(nodes: Sequence[Node]) -> dict[str, int]:
    """Lane of each node: that of a source that ends here, else the lowest that is free."""
    last = {n.name: i for i, n in enumerate(nodes)}
    for i, n in enumerate(nodes):
        for source in n.sources:
            if source in last:
                last[source] = max(last[source], i)
    lanes: dict[str, int] = {}
    until: dict[int, int] = {}
    for i, n in enumerate(nodes):
        free = [lane for lane in range(MOST_LANES) if until.get(lane, -1) <= i]
        ending = [lanes[s] for s in n.sources if s in lanes and lanes[s] in free]
        chosen = min(ending or free, default=MOST_LANES - 1)
        lanes[n.name] = chosen
        until[chosen] = max(until.get(chosen, -1), last[n.name])
    return lanes


def _lines(nodes: Sequence[Node], lane: Mapping[str, int]) -> list[dict[Markup, None]]:
    """Per row, the pieces of connections that cross it, each once."""
    row = {n.name: i for i, n in enumerate(nodes)}
    formats = {n.name: n.format for n in nodes}
    pieces: list[dict[Markup, None]] = [{} for _ in nodes]
    for end, n in enumerate(nodes):
        for source in n.sources:
            start = row.get(source, end)
            for i in range(start, end + 1 if start < end else start):
                d = _piece(_x(lane[source]), _x(lane[n.name]), begins=i == start, ends=i == end)
                pieces[i][element("path", d=d, class_=colour(formats[source]))] = None
    return pieces


def _x(lane: int) -> float:
    return LANE + lane * LANE


def _piece(x0: float, x1: float, *, begins: bool, ends: bool) -> str:
    """Down the source's lane; in the last row, over to the reader's."""
    if not ends:
        return f"M{number(x0)} {number(ROW / 2 if begins else 0)}V{number(ROW)}"
    if x0 == x1:
        return f"M{number(x0)} 0V{number(ROW / 2)}"
    return f"M{number(x0)} 0C{number(x0)} {number(ROW / 2)} {number(x1)} 0 {number(x1)} {number(ROW / 2)}"


def _dot(n: Node, lane: int) -> Iterator[Markup]:
    x, y, look = _x(lane), ROW / 2, colour(n.format)
    if n.kind == "input":
        yield element("rect", x=x - 4, y=y - 4, width=8, height=8, class_=look)
        return
    yield element("circle", cx=x, cy=y, r=RADIUS, class_=look)
    if n.stateful:
        yield element("circle", cx=x, cy=y, r=RADIUS + 2.6, class_="ring")
