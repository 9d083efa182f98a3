"""Short names for pictures: exporters give operators paths of which only the end tells them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mcu_quant.report import Report

Path = tuple[str, ...]


def labels(names: Iterable[str]) -> dict[str, str]:
    """Each name without the leading parts of its path that it does not need to be told from the others.

    `a/block/conv/BiasAdd` and `a/block/conv_1/BiasAdd` become `conv/BiasAdd` and `conv_1/BiasAdd`.
    """
    paths = {name: tuple(name.strip("/").split("/")) for name in names}
    ends = Counter(tail for path in paths.values() for tail in _tails(path))
    return {name: "/".join(_shortest(path, ends)) for name, path in paths.items()}


def _tails(path: Path) -> list[Path]:
    """The last part, the last two, and so on to all."""
    return [path[-length:] for length in range(1, len(path) + 1)]


def _shortest(path: Path, ends: Counter[Path]) -> Path:
    """One part that is nothing but letters merely says the type, like `MatMul`: too little to find an operator by."""
    good = (t for t in _tails(path) if ends[t] == 1 and not (len(t) == 1 and t[0].isalpha()))
    return next(good, path)


def operator_labels(report: Report) -> dict[str, str]:
    """Short names of the operators of a report, by their own names."""
    return labels(o["name"] for o in report["operators"])


def titles(reports: Sequence[Report]) -> list[str]:
    """A name for each of several reports: the board, and as much more as it takes to tell them apart."""
    ways = (
        [r["board"] for r in reports],
        [f"{r['model']} on {r['board']}" for r in reports],
        [f"{r['model']} on {r['board']}, {_formats(r)}" for r in reports],
    )
    different = next((names for names in ways if len(set(names)) == len(names)), None)
    return different or [f"{i}: {name}" for i, name in enumerate(ways[-1], 1)]


def _formats(report: Report) -> str:
    return ", ".join(f"{n} {fmt}" for fmt, n in report["plan"]["formats"].items() if n)


def clipped(text: str, characters: int) -> str:
    """A name that keeps its end, which tells it apart."""
    return text if len(text) <= characters else f"…{text[1 - characters :]}"
