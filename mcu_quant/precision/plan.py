"""The precision plan: a format for every operator, with its reason, and the ranges that make the scales.

A plan is a frozen value and a TOML file that the user may edit: one line per operator, then one line per calibrated
range. A plan with ranges needs no data to be built again, and gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mcu_quant.formats import ScaleKind

#: Formats that a plan may choose, in the order they are listed to people.
CHOICES = ("f32", "f16", "s16", "s8")


@dataclass(frozen=True)
class OperatorPlan:
    """How one operator is computed.

    `format` is what it computes in. `weights` and `output` default to what the format implies: s8 weights for s8 and
    s16, and an output stored as computed. `scale` says when the scale of its integer input is found.
    """

    format: str
    reason: str = ""
    weights: str | None = None
    output: str | None = None
    scale: ScaleKind = ScaleKind.STATIC


@dataclass(frozen=True)
class Range:
    """Smallest and largest real value that an edge took in calibration."""

    low: float
    high: float

    @property
    def magnitude(self) -> float:
        return max(-self.low, self.high, 0.0)


@dataclass(frozen=True)
class PrecisionPlan:
    model: str
    preset: str
    operators: Mapping[str, OperatorPlan]
    #: real-valued ranges of edges, and of tensors inside operators as "operator:tensor"
    ranges: Mapping[str, Range] = field(default_factory=dict)
    #: what the ranges come from, in words for the report
    calibrated_on: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "operators", MappingProxyType(dict(self.operators)))
        object.__setattr__(self, "ranges", MappingProxyType(dict(self.ranges)))
