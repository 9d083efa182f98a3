"""Why an operator has its format, in words with numbers: what the next best formats would cost and lose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mcu_quant.formats import ScaleKind
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.plan import OperatorPlan
from mcu_quant.precision.planner import Outcome
from mcu_quant.precision.problem import CYCLES, FLASH, RAM, Amounts
from mcu_quant.precision.trial import decibels

#: Above this an operator alone is not the reason for any loss that can be heard or decides anything.
CLEAN_DB = 90.0


def lines(outcome: Outcome) -> dict[str, OperatorPlan]:
    """The lines of the plan, each with its reason."""
    found = outcome.map
    totals = _Totals(outcome)
    made = {}
    for op, known in found.ways.items():
        way = found.way(op, outcome.choice[op])
        made[op] = replace(way.line, reason=_reason(op, way, known, totals))
    return made


class _Totals:
    """Losses of single operators, and what changing one in the plan would take."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._problem = outcome.stated
        self._now = self._problem.totals(outcome.choice)
        self.clock_hz = outcome.map.task.board.clock.hz

    def alone(self, op: str, way: Way) -> str:
        """The quality of the outputs with only this operator changed."""
        return quality(self._outcome.map.measured_alone.scores[op, way.name])

    def loss(self, op: str, way: Way) -> float:
        """The loss of the outputs with only this operator changed."""
        return self._outcome.map.measured_alone.scores[op, way.name]

    def change(self, op: str, way: Way) -> Amounts:
        """What the plan would take in addition."""
        after = self._problem.totals({**self._outcome.choice, op: way.name})
        return {n: after.get(n, 0.0) - self._now.get(n, 0.0) for n in (FLASH, RAM, CYCLES)}


def quality(loss: float) -> str:
    """A loss for people."""
    db = decibels(loss)
    return "no loss" if db > CLEAN_DB else f"{db:.1f} dB"


def _reason(op: str, way: Way, known: tuple[Way, ...], totals: _Totals) -> str:
    own = totals.loss(op, way)
    cheaper = [w for w in known if totals.loss(op, w) > own and _saves(totals.change(op, w))]
    dearer = [w for w in known if totals.loss(op, w) < own and w.name != way.name]
    said = [f"{describe(way)}: {totals.alone(op, way)} alone"]
    if cheaper:
        said.append(_compared(op, min(cheaper, key=lambda w: totals.loss(op, w)), totals))
    if dearer:
        said.append(_compared(op, max(dearer, key=lambda w: (totals.loss(op, w), w.name)), totals))
    said += _parts_compared(op, way, known, totals)
    if len(known) == 1:
        said.append("the only way here")
    elif not cheaper and not dearer:
        said.append("no other way loses less or saves anything")
    return "; ".join(said)


#: Parts of a recurrent layer, and the setting of its line that decides about each.
_PARTS = {
    "input": ("input", "scale"),
    "weights": ("weights",),
    "hidden state": ("format",),
}


def _parts_compared(op: str, way: Way, known: tuple[Way, ...], totals: _Totals) -> list[str]:
    """Of layers that have such parts, what each in another format would lose and take, all else as it is."""
    if not any(w.line.input for w in known):
        return []
    said = []
    for part, settings in _PARTS.items():
        mine, others = _settings(way), []
        for other in known:
            theirs = _settings(other)
            differs = {k for k in mine if mine[k] != theirs[k]}
            if differs and differs <= set(settings):
                others.append(other)
        for other in sorted(others, key=lambda w: (totals.loss(op, w), w.name)):
            formats = f"{part} in {_part(part, other)} instead of {_part(part, way)}"
            change = difference(totals.change(op, other), totals.clock_hz)
            said.append(f"{formats}: {totals.alone(op, other)}, {change}")
    return said


def _settings(way: Way) -> dict[str, str]:
    line = way.line
    read = way.reads.partition("-")[0]
    integer = line.format in ("s8", "s16")
    weights = line.weights or ("s8" if integer else line.format)
    return {"format": line.format, "input": read, "weights": weights, "scale": str(line.scale)}


def _part(part: str, way: Way) -> str:
    found = _settings(way)
    scale = "" if way.line.scale is ScaleKind.STATIC else " with the scale of the frame"
    return {"input": found["input"] + scale, "weights": found["weights"], "hidden state": found["format"]}[part]


def _saves(change: Amounts) -> bool:
    return any(change[n] < -0.5 for n in (FLASH, CYCLES))


def describe(way: Way) -> str:
    """A way in words: "s8 with input in s16"."""
    line = way.line
    parts = [f"{part} in {fmt}" for part, fmt in _parts(line).items() if fmt]
    parts += [] if line.scale is ScaleKind.STATIC else ["a scale per frame"]
    return line.format + (f" with {' and '.join(parts)}" if parts else "")


def _parts(line: OperatorPlan) -> Mapping[str, str | None]:
    return {"input": line.input, "weights": line.weights, "output": line.output}


def _compared(op: str, other: Way, totals: _Totals) -> str:
    return f"{describe(other)}: {totals.alone(op, other)}, {difference(totals.change(op, other), totals.clock_hz)}"


def difference(change: Amounts, clock_hz: int) -> str:
    """What a change takes or saves, for people."""
    flash, ram, us = change[FLASH], change[RAM], change[CYCLES] / clock_hz * 1e6
    said = [f"{_bytes(flash)} flash"] if abs(flash) >= 1 else []
    said += [f"{_bytes(ram)} RAM"] if abs(ram) >= 1 else []
    said += [f"{us / 1e3:+.2f} ms" if abs(us) >= 1e3 else f"{us:+.3g} us"] if abs(us) >= 0.05 else []
    return ", ".join(said) or "costs the same"


def _bytes(size: float) -> str:
    return f"{size / 1024:+.1f} KiB" if abs(size) >= 1024 else f"{size:+.0f} B"
