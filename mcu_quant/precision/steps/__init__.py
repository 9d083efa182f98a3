"""Steps: what makes a given plan lose less without costing anything, one method per file.

    apply(trial, given) -> plan

gives the start of the trial with something changed that was measured to lose less. They are applied in `order`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mcu_quant.precision.candidates import Way
from mcu_quant.precision.layer_inputs import Inputs
from mcu_quant.precision.parallel import Progress, quiet
from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial


@dataclass(frozen=True, eq=False)
class Given:
    """What a step may ask: the ways of every operator, what its weight matrices read, and how to measure."""

    ways: Mapping[str, tuple[Way, ...]]
    inputs: Mapping[str, Inputs]
    jobs: int | None = None
    progress: Progress = quiet


@dataclass(frozen=True)
class Step:
    """A method that improves the plan every other one starts from, where that was measured."""

    about: About
    apply: Callable[[Trial, Given], PrecisionPlan]
    order: int = 0


def narrow(known: tuple[Way, ...]) -> Way | None:
    """The way with 8-bit weights and the widest integer activations: what is done to weights shows best there."""
    found = [w for w in known if (w.line.weights or "s8") == "s8" and w.line.format in ("s8", "s16")]
    return max(found, key=lambda w: (w.bits, w.name), default=None)
