"""The choice of formats as a value: groups of operators, what each candidate costs and loses, and what may be spent.

Everything that a plan consumes is an amount of a named resource: bytes of flash, cycles, bytes of RAM at a point of the
program, and loss of quality as well. A `Problem` limits some of them and minimises a weighted sum of others; solvers
(`solvers/`) see nothing else. Losses add up only as long as they are small: whoever uses a solution measures it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType

#: Resources that planning a model uses; `Problem` knows no names.
LOSS, FLASH, CYCLES, RAM = "loss", "flash", "cycles", "ram"

#: Multiplications that are not of 8 bits with 8 bits, as a share of all.
WIDE = "wide"

Amounts = Mapping[str, float]


@dataclass(frozen=True)
class Candidate:
    """One way to compute a group: its name in the plan, and what it takes of each resource.

    `reads` and `stores` name how the operators take their inputs and leave their outputs; where they differ between
    neighbours, a conversion is paid (`Net`). `bits` is the width that methods with a formula in bits reason about.
    """

    name: str
    amounts: Amounts
    reads: str = ""
    stores: str = ""
    bits: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "amounts", MappingProxyType(dict(self.amounts)))


@dataclass(frozen=True)
class Group:
    """Operators whose formats vary together, and the candidates for all of them, at least one.

    `category` is the kind of operator ("recurrent", "dense", ...), for methods that treat kinds as a whole.
    """

    name: str
    candidates: tuple[Candidate, ...]
    members: tuple[str, ...] = ()
    category: str = ""

    def candidate(self, name: str) -> Candidate:
        """The candidate of that name.

        Raises:
            KeyError: if there is none.
        """
        for candidate in self.candidates:
            if candidate.name == name:
                return candidate
        raise KeyError(name)


@dataclass(frozen=True)
class Net:
    """An edge from a group to its readers: amounts of the conversion, by (stored as, read as).

    A conversion is made once, however many readers want the same format. What is not listed costs nothing.
    """

    source: str
    sinks: tuple[str, ...]
    conversions: Mapping[tuple[str, str], Amounts]

    def __post_init__(self) -> None:
        object.__setattr__(self, "conversions", MappingProxyType(dict(self.conversions)))


@dataclass(frozen=True)
class Shared:
    """What is paid once if any of its users, (group, candidate), is chosen: the code of a kernel."""

    name: str
    users: frozenset[tuple[str, str]]
    amounts: Amounts

    def __post_init__(self) -> None:
        object.__setattr__(self, "amounts", MappingProxyType(dict(self.amounts)))


@dataclass(frozen=True)
class Problem:
    """Choose one candidate per group: minimise the weighted sum `objective`, keep every limit.

    `peaks` names resources that are the largest of others ("ram" is the largest of all "ram@..."); they can be limited
    and minimised like any other. `base` is spent whatever is chosen. `ties` are groups with the same candidates that
    should be computed alike, blocks that a model repeats: solvers that are slow without may keep to it.
    """

    groups: tuple[Group, ...]
    objective: Mapping[str, float]
    limits: Mapping[str, float] = field(default_factory=dict)
    nets: tuple[Net, ...] = ()
    shared: tuple[Shared, ...] = ()
    peaks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    base: Amounts = field(default_factory=dict)
    ties: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        for name in ("objective", "limits", "peaks", "base"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def with_limits(self, **limits: float) -> Problem:
        """The same problem with some limits changed."""
        return replace(self, limits={**self.limits, **limits})

    def totals(self, choice: Choice) -> dict[str, float]:
        """What a choice takes of every resource, peaks included."""
        found = dict(self.base)
        for amounts in self._parts(choice):
            for name, amount in amounts.items():
                found[name] = found.get(name, 0.0) + amount
        for peak, parts in self.peaks.items():
            found[peak] = found.get(peak, 0.0) + max((found.get(p, 0.0) for p in parts), default=0.0)
        return found

    def _parts(self, choice: Choice) -> Iterator[Amounts]:
        chosen = {g.name: g.candidate(choice[g.name]) for g in self.groups}
        yield from (c.amounts for c in chosen.values())
        for net in self.nets:
            stored = chosen[net.source].stores
            for read in dict.fromkeys(chosen[s].reads for s in net.sinks):
                yield net.conversions.get((stored, read), {})
        for one in self.shared:
            if any(choice[group] == name for group, name in one.users):
                yield one.amounts

    def value(self, totals: Amounts) -> float:
        """What is minimised."""
        return sum(weight * totals.get(name, 0.0) for name, weight in self.objective.items())

    def excess(self, totals: Amounts) -> dict[str, float]:
        """By how much limits are broken, as a share of the limit; empty where all are kept.

        A millionth over is not broken: solvers work in floats.
        """
        found = {}
        for name, limit in self.limits.items():
            over = totals.get(name, 0.0) - limit
            if over > 1e-6 * abs(limit):
                found[name] = over / abs(limit) if limit else inf
        return found

    def solution(self, choice: Choice, solver: str, *, optimal: bool = False, measured: int = 0) -> Solution:
        """A choice with its totals."""
        return Solution(dict(choice), self.totals(choice), solver, optimal, measured)


Choice = Mapping[str, str]
"""Name of the chosen candidate, by group."""


@dataclass(frozen=True)
class Solution:
    """A choice that keeps all limits, what it takes, and who found it.

    `optimal` is proven for the problem as stated; `measured` counts plans that were measured as a whole.
    """

    choice: Choice
    totals: Amounts
    solver: str
    optimal: bool = False
    measured: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "choice", MappingProxyType(dict(self.choice)))
        object.__setattr__(self, "totals", MappingProxyType(dict(self.totals)))


class InfeasibleError(Exception):
    """No choice keeps all limits. `needed` says, for each limit, what keeping the others takes (inf: it is not enough).

    `nearest` is the choice that breaks the limits least, as the largest share by which one is broken.
    """

    def __init__(self, needed: Amounts, nearest: Solution) -> None:
        self.needed = MappingProxyType(dict(needed))
        self.nearest = nearest
        super().__init__(", ".join(f"{name} {amount:.6g}" for name, amount in self.needed.items()))


def tie(name: str, groups: Iterable[Group]) -> Group:
    """One group of several that must be computed alike: the candidates that all of them have, amounts added up.

    Raises:
        ValueError: if they have no candidate in common, or the same candidate reads or stores differently.
    """
    parts = tuple(groups)
    names = [c.name for c in parts[0].candidates if all(any(c.name == o.name for o in g.candidates) for g in parts)]
    if not names:
        raise ValueError(f"{', '.join(g.name for g in parts)} have no candidate in common")
    members = tuple(m for g in parts for m in (g.members or (g.name,)))
    return Group(name, tuple(_added([g.candidate(n) for g in parts]) for n in names), members, parts[0].category)


def _added(candidates: list[Candidate]) -> Candidate:
    first = candidates[0]
    if any((c.reads, c.stores) != (first.reads, first.stores) for c in candidates):
        raise ValueError(f"{first.name} does not mean the same in all groups")
    names = dict.fromkeys(n for c in candidates for n in c.amounts)
    return replace(first, amounts={n: sum(c.amounts.get(n, 0.0) for c in candidates) for n in names})
