"""Reports: `report.json` is the truth (made by `document.py`, described by `schemas/report.json`), the rest renders it.

A rendering is one file in `renderings/` with a function `render(reports) -> str`; it is found by being there.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Report = Mapping[str, Any]
"""The contents of one report.json."""


def formats() -> tuple[str, ...]:
    """Names of all renderings, the one for people first."""
    folder = Path(__file__).resolve().parent / "renderings"
    names = sorted(m.name for m in pkgutil.iter_modules([str(folder)]))
    return tuple(sorted(names, key=lambda name: name != "table"))


def render(reports: Sequence[Report], fmt: str) -> str:
    """One or more reports in a format of `formats()`.

    Raises:
        ModuleNotFoundError: if there is no such rendering.
    """
    module = importlib.import_module(f"{__name__}.renderings.{fmt}")
    text: str = module.render(reports)
    return text
