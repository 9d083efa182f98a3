"""Reports: `report.json` is the truth (made by `document.py`, described by `schemas/report.json`), the rest renders it.

A rendering is one file in `renderings/` with a function `render(reports) -> str`; it is found by being there. One that
can also show what changed between reports has a function `render_difference(document) -> str`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

Report = Mapping[str, Any]
"""The contents of one report.json."""


def formats() -> tuple[str, ...]:
    """Names of all renderings, the one for people first."""
    folder = Path(__file__).resolve().parent / "renderings"
    names = sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules([str(folder)]))
    return tuple(sorted(names, key=lambda name: name != "table"))


def render(reports: Sequence[Report], fmt: str) -> str:
    """One or more reports in a format of `formats()`.

    Raises:
        ModuleNotFoundError: if there is no such rendering.
    """
    text: str = _rendering(fmt).render(reports)
    return text


def render_difference(document: Mapping[str, Any], fmt: str) -> str | None:
    """What changed (`difference.py`) in a format; None if that format shows no changes.

    Raises:
        ModuleNotFoundError: if there is no such rendering.
    """
    renderer = getattr(_rendering(fmt), "render_difference", None)
    return None if renderer is None else str(renderer(document))


def _rendering(fmt: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.renderings.{fmt.replace('-', '_')}")
