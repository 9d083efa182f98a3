"""Blocks that a model repeats, layer after layer of a transformer: what one of their operators loses, all of them do.

Operators at the same place of a repeated block are tried together, and each has its share of what they lose: a model of
twelve equal blocks takes no longer to measure than one block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcu_quant.ir import Graph, Operator
from mcu_quant.precision.parallel import Lines, Progress, losses, quiet
from mcu_quant.precision.trial import Trial

#: Blocks are repeated at least so often, and have at least so many operators: few are worth being told apart.
LEAST_TIMES, LEAST_OPERATORS = 4, 4


@dataclass(frozen=True)
class _Run:
    """Operators first .. first + times * period - 1, block after block."""

    first: int
    period: int
    times: int

    @property
    def size(self) -> int:
        return self.period * self.times


def alike(graph: Graph) -> dict[str, tuple[str, ...]]:
    """By operator, all that are at its place of a repeated block, itself among them; itself alone elsewhere."""
    found: dict[str, tuple[str, ...]] = {op.name: (op.name,) for op in graph.operators}
    run = _longest(_signatures(graph))
    if run is None:
        return found
    names = [op.name for op in graph.operators[run.first : run.first + run.size]]
    for place in range(run.period):
        same = tuple(names[place :: run.period])
        found |= dict.fromkeys(same, same)
    return found


def _longest(signatures: Sequence[int]) -> _Run | None:
    """The repetition that most operators are in, of the shortest blocks."""
    best = None
    for period in range(LEAST_OPERATORS, len(signatures) // LEAST_TIMES + 1):
        start = 0
        for k in range(len(signatures) - period + 1):
            last = k == len(signatures) - period
            if not last and signatures[k] == signatures[k + period]:
                continue
            run = _Run(start, period, (k - start) // period + 1)
            if run.times >= LEAST_TIMES and (best is None or run.size > best.size):
                best = run
            start = k + 1
    return best


def _signatures(graph: Graph) -> list[int]:
    """A number per operator: equal ones compute the same, with other weights, on edges of the same shapes."""
    known: dict[object, int] = {}
    return [known.setdefault(_signature(op, graph), len(known)) for op in graph.operators]


def _signature(op: Operator, graph: Graph) -> object:
    edges = [(graph.types[e], e in graph.constants) if e else None for e in (*op.inputs, *op.outputs)]
    return op.op, repr(sorted(op.attributes.items())), repr(edges)


def losses_alone(
    trial: Trial, plans: Sequence[Lines], jobs: int | None = None, progress: Progress = quiet, what: str = "plans"
) -> list[float]:
    """Losses of plans that change one operator each; of a repeated one its share of what all of them lose together."""
    same = alike(trial.graph)
    tried: list[Lines] = [{n: line for op, line in plan.items() for n in same[op]} for plan in plans]
    found = losses(trial, tried, jobs, progress, what)
    return [loss * len(plan) / len(all_) for plan, all_, loss in zip(plans, tried, found, strict=True)]


def different(graph: Graph, counts: Mapping[str, int]) -> int:
    """How many plans it takes to try so many lines of every operator alone."""
    same = alike(graph)
    return sum(count for op, count in counts.items() if same[op][0] == op)


def ties(graph: Graph, names: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Operators of repeated blocks that have the same ways, by their names, to be computed alike."""
    found = []
    for op, same in alike(graph).items():
        tied = tuple(n for n in same if n in names and names[n] == names.get(op))
        if len(tied) > 1 and tied[0] == op:
            found.append(tied)
    return tuple(found)
