"""Why an operator has its format, in words with numbers: what other formats would cost and lose.

    s8 with a scale per frame: 57.5 dB alone; s8 with output in s16: costs 2.9 dB, saves 748 B flash, 18.3 us
    s16: 63.4 dB alone; hidden state in s16: s8 costs 11.6 dB, saves 128 B RAM; weights in s8: s16 gains 6.3 dB, ...

"alone" is the quality of the outputs with only this operator changed; a cost or gain is the difference to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mcu_quant import ops
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Graph, Operator
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.plan import OperatorPlan
from mcu_quant.precision.plan_changes import in_words
from mcu_quant.precision.planner import Outcome
from mcu_quant.precision.problem import CYCLES, FLASH, RAM, Amounts
from mcu_quant.precision.repeats import alike
from mcu_quant.precision.trial import decibels

#: Above this an operator alone is not the reason for any loss that can be heard or decides anything.
CLEAN_DB = 90.0

#: Differences of quality below this are none.
SAME_DB = 0.05


def lines(outcome: Outcome) -> dict[str, OperatorPlan]:
    """The lines of the plan, each with its reason."""
    found = outcome.map
    graph = found.task.graph
    operators = {op.name: op for op in graph.operators}
    same, totals = alike(graph), _Totals(outcome)
    made = {}
    for op, known in found.ways.items():
        way = found.way(op, outcome.choice[op])
        said = [_itself(op, way, role(operators[op], graph), len(same[op]), totals)]
        said += _others(operators[op], way, known, totals)
        made[op] = replace(way.line, reason="; ".join(said))
    return made


class _Totals:
    """Losses of single operators, and what changing one in the plan would take."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._problem = outcome.stated
        self._now = self._problem.totals(outcome.choice)
        self.clock_hz = outcome.map.task.board.clock.hz

    def loss(self, op: str, way: Way) -> float:
        """The loss of the outputs with only this operator changed."""
        return self._outcome.map.measured_alone.scores[op, way.name]

    def change(self, op: str, way: Way) -> Amounts:
        """What the plan would take in addition."""
        after = self._problem.totals({**self._outcome.choice, op: way.name})
        return {n: after.get(n, 0.0) - self._now.get(n, 0.0) for n in (FLASH, RAM, CYCLES)}

    def compared(self, op: str, way: Way, other: Way) -> str:
        """What another way would change."""
        return compared(self.loss(op, way), self.loss(op, other), self.change(op, other), self.clock_hz)


def quality(loss: float) -> str:
    """A loss for people."""
    db = decibels(loss)
    return "no loss" if db > CLEAN_DB else f"{db:.1f} dB"


def compared(own: float, other: float, change: Amounts, clock_hz: int) -> str:
    """What another loss and other amounts mean: "costs 9.1 dB, saves 128 B RAM, takes 12 us more"."""
    less, more = _amounts(change, clock_hz, -1.0), _amounts(change, clock_hz, 1.0)
    said = [_quality_change(own, other)]
    said += [f"saves {', '.join(less)}"] if less else []
    said += [f"takes {', '.join(more)} more"] if more else []
    return ", ".join(filter(None, said)) or "the same"


def _quality_change(own: float, other: float) -> str:
    if decibels(own) > CLEAN_DB or decibels(other) > CLEAN_DB:
        return "" if decibels(own) > CLEAN_DB and decibels(other) > CLEAN_DB else f"leaves {quality(other)}"
    lost = decibels(own) - decibels(other)
    if abs(lost) < SAME_DB:
        return ""
    return f"costs {lost:.1f} dB" if lost > 0 else f"gains {-lost:.1f} dB"


def _amounts(change: Amounts, clock_hz: int, sign: float) -> list[str]:
    """What is taken in addition (sign 1) or saved (-1), each in a unit that suits it."""
    flash, ram, us = sign * change[FLASH], sign * change[RAM], sign * change[CYCLES] / clock_hz * 1e6
    said = [f"{_bytes(flash)} flash"] if flash >= 1 else []
    said += [f"{_bytes(ram)} RAM"] if ram >= 1 else []
    said += [f"{us / 1e3:.2f} ms" if us >= 1e3 else f"{us:.3g} us"] if us >= 0.05 else []
    return said


def _bytes(size: float) -> str:
    return f"{size / 1024:.1f} KiB" if size >= 1024 else f"{size:.0f} B"


# --- the operator itself -------------------------------------------------------------------------------------------


def role(op: Operator, graph: Graph) -> str:
    """What an operator is to a reader who knows the model's kind and not its names; mostly nothing."""
    if op.op == "MatMul" and (after := _used_by(op, graph)) is not None and after.op in _SOFTMAX:
        return "attention scores"
    if op.op == "MatMul" and (before := _made_by(op.inputs[0], graph)) is not None and before.op in _SOFTMAX:
        return "attention values"
    if op.op in _SOFTMAX and (after := _used_by(op, graph)) is not None and after.op == "MatMul":
        return "attention weights"
    return ""


_SOFTMAX = ("Softmax", "MaskedSoftmax")
_BETWEEN = ("Mul", "Div", "Add", "Sub")


def _used_by(op: Operator, graph: Graph) -> Operator | None:
    """The only operator that uses an operator's output, behind what only moves, scales or shifts it."""
    consumers = graph.consumers()
    while len(readers := consumers.get(op.outputs[0], [])) == 1:
        op = readers[0]
        if not ops.spec(op).carries and op.op not in _BETWEEN:
            return op
    return None


def _made_by(edge: str, graph: Graph) -> Operator | None:
    """The operator that computes an edge, through what only moves it."""
    producer = graph.producer()
    op = producer.get(edge)
    while op is not None and ops.spec(op).carries:
        op = producer.get(op.inputs[0])
    return op


def _itself(op: str, way: Way, what: str, times: int, totals: _Totals) -> str:
    share = f" as one of {times} equal ones" if times > 1 else ""
    named = f"{what} in {in_words(way.line)}" if what else in_words(way.line)
    return f"{named}: {quality(totals.loss(op, way))} alone{share}"


# --- what else it could be -----------------------------------------------------------------------------------------


def _others(op: Operator, way: Way, known: tuple[Way, ...], totals: _Totals) -> list[str]:
    """The neighbours of the choice: part by part of a recurrent layer, as a whole of everything else."""
    if len(known) == 1:
        return ["the only way here"]
    said = list(_parts_compared(op, way, known, totals)) if ops.spec(op).family == "recurrent" else []
    left = [w for w in known if not said or w.line.format in _FLOATS]
    for other in _neighbours(op.name, way, left, totals):
        said.append(f"{in_words(other.line)}: {totals.compared(op.name, way, other)}")
    return said or ["no other way loses less or saves anything"]


_FLOATS = ("f32", "f16")


def _neighbours(op: str, way: Way, known: Iterable[Way], totals: _Totals) -> list[Way]:
    """The best of those that lose more and save something, and the worst of those that lose less."""
    own = totals.loss(op, way)
    cheaper = [w for w in known if totals.loss(op, w) > own and _saves(totals.change(op, w))]
    dearer = [w for w in known if totals.loss(op, w) < own and w.name != way.name]
    found = [min(cheaper, key=lambda w: totals.loss(op, w))] if cheaper else []
    return found + ([max(dearer, key=lambda w: (totals.loss(op, w), w.name))] if dearer else [])


def _saves(change: Amounts) -> bool:
    return any(change[n] < -0.5 for n in (FLASH, CYCLES))


#: Parts of a recurrent layer, and the settings of its line that decide about each.
_PARTS = {"weights": ("weights",), "input": ("input", "scale"), "hidden state": ("format",)}

#: What integer kernels leave no choice of.
_GIVEN = {
    "LSTM": "cell state and gates in 16 bits, as in every integer format",
    "GRU": "gates in 16 bits, as in every integer format",
    "RNN": "sums in 16 bits, as in every integer format",
}


def _parts_compared(op: Operator, way: Way, known: tuple[Way, ...], totals: _Totals) -> Iterator[str]:
    """Each part in its neighbouring formats, all else as it is; and what is the same in all integer formats."""
    if way.line.format in _FLOATS:
        return
    mine = _settings(way)
    for part, settings in _PARTS.items():
        others = [w for w in known if (differs := _different(mine, _settings(w))) and differs <= set(settings)]
        for other in _neighbours(op.name, way, others, totals) or sorted(others, key=lambda w: w.name)[:1]:
            change = totals.compared(op.name, way, other)
            yield f"{part} in {_part(part, way)}: {_part(part, other)} {change}"
    if op.op in _GIVEN:
        yield _GIVEN[op.op]


def _different(a: Mapping[str, str], b: Mapping[str, str]) -> set[str]:
    return {k for k in a if a[k] != b[k]}


def _settings(way: Way) -> dict[str, str]:
    line = way.line
    read = way.reads.partition("-")[0]
    return {"format": line.format, "input": read, "weights": way.weights, "scale": str(line.scale)}


def _part(part: str, way: Way) -> str:
    found = _settings(way)
    scale = "" if way.line.scale is ScaleKind.STATIC else " with the scale of the frame"
    return {"input": found["input"] + scale, "weights": found["weights"], "hidden state": found["format"]}[part]
