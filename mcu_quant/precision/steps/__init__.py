"""Steps: what makes a given plan lose less without costing anything, one method per file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.precision.strategies import About


@dataclass(frozen=True)
class Step:
    """A method that improves the plan every other one starts from, where that was measured."""

    about: About
    apply: Callable[..., PrecisionPlan]
