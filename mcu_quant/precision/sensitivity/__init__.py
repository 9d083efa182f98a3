"""Sensitivity: how much quality one operator costs in one format, one method per file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mcu_quant.data import Clip
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.ir import Graph
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.parallel import Progress, quiet
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be scored: every way of every operator named here.

    `trial` is there for methods that need clips. `labelled` are recordings of which the user knows what the outputs
    should be (`Clip.labels`), for methods that need the loss of a task; mostly there are none.
    """

    graph: Graph
    ways: Mapping[str, tuple[Way, ...]]
    trial: Trial | None = None
    labelled: tuple[Clip, ...] = ()
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
    needs_labels: bool = False


#: Why scores of the first order say nothing without labels.
_ZERO = (
    "without labels the loss is the distance to the model's own outputs in f32, whose gradient at the weights in f32 "
    "is zero: metrics of the first order are zero for every format"
)


def check(method: Sensitivity, labelled: Sequence[Clip]) -> None:
    """Whether a method can say anything with these labels.

    Raises:
        DiagnosticError: MQ310 if it needs some and there are none.
    """
    if method.needs_labels and not labelled:
        help_ = (
            "put arrays of what the outputs should be, under their names, into an .npz of the data (docs/planner.md)"
        )
        raise DiagnosticError(Diagnostic("MQ310", f"--sensitivity {method.about.name}", _ZERO, help=help_))


def scored(method: Sensitivity, request: Request) -> Table:
    """The scores of a method.

    Raises:
        DiagnosticError: MQ310 if it says nothing, as metrics of the first order do of a loss that is least here.
    """
    table = method.score(request)
    if not method.exact and not any(table.scores.values()):
        message = f"all {len(table.scores)} scores are zero, so that nothing can be chosen by them; {_ZERO}"
        raise DiagnosticError(Diagnostic("MQ310", f"--sensitivity {method.about.name}", message, help="take `direct`"))
    return table
