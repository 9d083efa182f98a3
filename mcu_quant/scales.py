"""The scales of a program's integer edges: what the model itself gives, else what calibration found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mcu_quant import formats
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Graph, StatePiece
from mcu_quant.precision.plan import PrecisionPlan, Range


class Scales:
    """Ranges and scales of a graph under a plan; `own` are the scales in s8 that the model itself brings."""

    def __init__(self, graph: Graph, plan: PrecisionPlan, own: Mapping[str, QuantParams]) -> None:
        self._graph = graph
        self._plan = plan
        self._own = own
        self._carried = {before: after for loop in graph.loops for before, after in loop.carried}
        self._alike = _alike(self._carried)

    def range(self, tensor: str) -> Range:
        """Calibrated range of an edge, or of a tensor inside an operator ("operator:tensor").

        Raises:
            DiagnosticError: MQ402 if the plan has none, because it was made without calibration.
        """
        found = self._plan.ranges.get(tensor)
        if found is None:
            raise DiagnosticError(
                Diagnostic("MQ402", tensor, "the plan has no calibrated range for it", help="build with --data CLIPS")
            )
        ranges = [found, *(self._plan.ranges.get(other, found) for other in self._alike.get(tensor, ()))]
        return Range(min(r.low for r in ranges), max(r.high for r in ranges))

    def of(self, edge: str, fmt: str) -> QuantParams | None:
        """The scale of an edge in a format: the model's own, else the one that calibration gives. None for floats."""
        if not formats.get(fmt).integer:
            return None
        if (own := self.own(edge, fmt)) is not None:
            return own
        r = self.covered(edge, fmt)
        return formats.get(fmt).params(r.low, r.high)

    def covering(self, low: float, high: float, fmt: str) -> QuantParams | None:
        """The scale that covers a calibrated range in a format, with the plan's headroom where it has 16 bits."""
        more = self._headroom(fmt)
        return formats.get(fmt).params(more * low, more * high)

    def chosen(self, tensor: str, fmt: str) -> Range | None:
        """The range that a step of the planner chose for a tensor in one format; None where calibration decides."""
        return None if tensor in self._alike else self._plan.clipped.get(tensor, {}).get(fmt)

    def covered(self, tensor: str, fmt: str) -> Range:
        """What the scale of a tensor covers in a format: what was chosen, else its calibrated range with headroom."""
        if (chosen := self.chosen(tensor, fmt)) is not None:
            return chosen
        r, more = self.range(tensor), self._headroom(fmt)
        return Range(more * r.low, more * r.high)

    def _headroom(self, fmt: str) -> float:
        return self._plan.headroom if fmt == "s16" else 1.0

    def own(self, edge: str, fmt: str) -> QuantParams | None:
        """The scale that the model itself gives an edge in a format."""
        return self._own.get(edge) if fmt == "s8" else None

    def of_state(self, piece: StatePiece, fmt: str) -> QuantParams | None:
        """The scale of what will be written to a state: nothing is converted. It must also hold the initial value."""
        if not formats.get(fmt).integer:
            return None
        if piece.input in self._carried:
            after = self.range(piece.output)
            return formats.get(fmt).params(after.low, after.high)
        state = next(s for s in self._graph.states if any(p is piece for p in s.pieces))
        initial = np.ravel(state.initial)[np.ravel(piece.index)]
        own = self.own(piece.output, fmt) or self.own(piece.input, fmt)
        if own is not None and _holds(own, fmt, initial):
            return own
        after = self.covered(piece.output, fmt)
        return formats.get(fmt).params(min(after.low, initial.min()), max(after.high, initial.max()))


def _alike(carried: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Edges that loops carry into each other: they have one range, so that nothing is rescaled from step to step."""
    found: dict[str, frozenset[str]] = {}
    for before, after in carried.items():
        group = found.get(before, frozenset({before})) | found.get(after, frozenset({after}))
        found |= dict.fromkeys(group, group)
    return found


def _holds(quant: QuantParams, fmt: str, values: Array) -> bool:
    """Do values lie within the range of a scale?"""
    stored = formats.get(fmt).quantise(values, quant)
    return bool(np.all(np.abs(formats.get(fmt).dequantise(stored, quant) - values) <= quant.scale))
