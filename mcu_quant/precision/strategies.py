"""Methods as plug-ins: one file each in `sensitivity/`, `solvers/` and `steps/`, found by being there.

A file defines `STRATEGY`, a value with an `about` that says which paper the method is from and what it needs. Adding a
method is adding a file.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean

#: The folders of this package that hold methods, with what they are for.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "sensitivity": "what a format of one operator costs in quality",
        "solvers": "the best combination within the limits",
        "steps": "what makes a given plan lose less",
    }
)


@dataclass(frozen=True)
class About:
    """What `mcu-quant strategies` says of a method.

    `paper` names where it is from; `adapted` what is done differently here (a method that trains in its paper and is
    used without training says so). `needs` is what must be there beside the model.
    """

    name: str
    summary: str
    paper: str = ""
    needs: tuple[str, ...] = ()
    adapted: str = ""
    default: bool = False


@cache
def strategies(kind: str) -> Mapping[str, Any]:
    """All methods of one kind by name, the default first."""
    package = importlib.import_module(f"{__package__}.{kind}")
    modules = (importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    found = [m.STRATEGY for m in modules if hasattr(m, "STRATEGY")]
    found.sort(key=lambda s: (not s.about.default, s.about.name))
    return MappingProxyType({s.about.name: s for s in found})


def strategy(kind: str, name: str | None = None) -> Any:
    """The method of that name, or the default one.

    Raises:
        DiagnosticError: MQ900 if there is none.
    """
    known = strategies(kind)
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        message = f"there is no method {name!r}"
        raise DiagnosticError(Diagnostic("MQ900", kind, message, help=did_you_mean(name, known)))
    return known[name]
