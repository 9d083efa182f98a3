"""Pictures of the HTML report, one file each: plain SVG text from the values of report.json, no library behind it.

Colours are CSS classes (`f-s8`, `f-f16`, ...), so that one picture serves light, dark and print.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, log10

from markupsafe import Markup, escape

#: Formats that have a colour of their own; everything else is grey.
COLOURED = ("s8", "s16", "f16", "f32")


#: Elements of SVG that hold nothing.
SHAPES = ("line", "rect", "circle", "path", "polyline")


def colour(fmt: str) -> str:
    """CSS class that colours a format."""
    return f"f-{fmt}" if fmt in COLOURED else "f-other"


def number(value: float) -> str:
    """A coordinate, as short as half a tenth of a pixel allows."""
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, content: Iterable[Markup] | str = "", /, **attributes: object) -> Markup:
    """One element; attribute names with `_` for `-`, `class_` for class; numbers shortened.

    Only shapes of SVG close themselves: HTML takes `<i/>` for an `<i>` that never ends.
    """
    words = []
    for key, value in attributes.items():
        shown = number(value) if isinstance(value, float) else value
        words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    inner = escape(content) if isinstance(content, str) else Markup("").join(content)
    opening = " ".join((name, *words))
    return Markup(f"<{opening}>{inner}</{name}>") if inner or name not in SHAPES else Markup(f"<{opening}/>")


def title(text: str) -> Markup:
    """What is shown when the pointer rests on the element around it, and when it is tapped."""
    return element("title", text)


def picture(width: float, height: float, label: str, parts: Iterable[Markup], class_: str = "") -> Markup:
    """A whole SVG picture with its label for those who cannot see it."""
    box = f"0 0 {number(width)} {number(height)}"
    return element("svg", parts, viewBox=box, class_=class_, role="img", aria_label=label)


def steps(top: float, about: int) -> list[float]:
    """Round numbers from 0 to `top`, roughly `about` of them, for an axis."""
    if top <= 0:
        return [0.0]
    raw = top / about
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [i * step for i in range(floor(top / step * 1.0001) + 1)]


def byte_steps(top: int, about: int = 5) -> list[int]:
    """As `steps`, in powers of two."""
    step = 1
    while top / step > about:
        step *= 2
    return list(range(0, top + 1, step))
