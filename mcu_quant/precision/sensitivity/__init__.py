"""Sensitivity: how much quality one operator costs in one format, one method per file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mcu_quant.ir import Graph
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.parallel import Progress, quiet
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be scored: every way of every operator named here.

    `trial` is there for methods that need clips.
    """

    graph: Graph
    ways: Mapping[str, tuple[Way, ...]]
    trial: Trial | None = None
    jobs: int | None = None
    progress: Progress = quiet


@dataclass(frozen=True)
class Table:
    """Scores by (operator, name of the way): a share of the output's power, or in whatever unit a proxy has."""

    scores: Mapping[tuple[str, str], float]
    seconds: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", MappingProxyType(dict(self.scores)))


@dataclass(frozen=True)
class Sensitivity:
    """A method that scores. `exact`: its scores are losses of the output; else they only rank."""

    about: About
    score: Callable[[Request], Table]
    exact: bool
    needs_clips: bool = True
