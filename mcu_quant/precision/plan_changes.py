"""Plans compared and merged: which operators two plans compute differently, and one plan made of both.

Lines are merged operator by operator, as a version control system merges text: what only one side changed since a
common base is taken from that side, what both changed differently is named. Tables (ranges, and what steps found) are
those of the first plan; entries that only the second has are added, so that its lines find their scales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from mcu_quant.formats import ScaleKind
from mcu_quant.precision.plan import TABLES, OperatorPlan, PrecisionPlan

#: Where a merged plan says which preset it came from.
MERGED = "merged"


@dataclass(frozen=True)
class Change:
    """An operator that two plans compute differently; None where a plan does not have it."""

    operator: str
    before: OperatorPlan | None
    after: OperatorPlan | None


@dataclass(frozen=True)
class Merged:
    """A plan made of two: what came from the second, and what both changed, differently, since the base."""

    plan: PrecisionPlan
    taken: tuple[str, ...]
    conflicts: tuple[str, ...]


def in_words(line: OperatorPlan | None) -> str:
    """A line: "s8 with input in s16"."""
    if line is None:
        return "not in this plan"
    if line.weight_only:
        return f"weight-only, {line.weights} weights and all else in {line.format}"
    told = {"input": line.input, "weights": line.weights, "output": line.output}
    parts = [f"{part} in {fmt}" for part, fmt in told.items() if fmt]
    parts += [] if line.scale is ScaleKind.STATIC else ["a scale per frame"]
    return line.format + (f" with {' and '.join(parts)}" if parts else "")


def changes(before: PrecisionPlan, after: PrecisionPlan) -> tuple[Change, ...]:
    """Operators that are computed differently, in the order of the first plan; reasons are not compared."""
    names = dict.fromkeys([*before.operators, *after.operators])
    found = (Change(n, before.operators.get(n), after.operators.get(n)) for n in names)
    return tuple(c for c in found if _bare(c.before) != _bare(c.after))


def other_changes(before: PrecisionPlan, after: PrecisionPlan) -> dict[str, str]:
    """What else differs, in words: the model, headroom, and how many entries of which table."""
    said = {}
    for name in ("model", "sha256", "headroom", "powers_of_two"):
        a, b = getattr(before, name), getattr(after, name)
        if a != b:
            said[name] = f"{a} -> {b}"
    for table in ("ranges", *TABLES):
        a, b = getattr(before, table), getattr(after, table)
        gone, new = len(a.keys() - b.keys()), len(b.keys() - a.keys())
        same = [n for n in a.keys() & b.keys() if not _same(table, a[n], b[n])]
        counts = {"changed": len(same), "only in the first": gone, "only in the second": new}
        text = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        if text:
            said[table] = text
    return said


def merged(
    first: PrecisionPlan, second: PrecisionPlan, base: PrecisionPlan | None = None, take: Sequence[str] = ()
) -> Merged:
    """The first plan with lines of the second: those that only it changed since `base`, and those that `take` names.

    `take` holds names or patterns over names. Without a base nothing else is taken. What both changed differently stays
    as the first has it, and is a conflict unless `take` names it. Only operators of the first plan are merged.
    """
    lines, taken, conflicts = dict(first.operators), [], []
    for change in changes(first, second):
        if change.before is None or change.after is None:
            continue
        known = base.operators.get(change.operator) if base else None
        named = any(fnmatchcase(change.operator, pattern) for pattern in take)
        ours, theirs = (known is not None and _bare(line) != _bare(known) for line in (change.before, change.after))
        if named or (theirs and not ours):
            lines[change.operator] = change.after
            taken.append(change.operator)
        elif ours and theirs:
            conflicts.append(change.operator)
    tables: dict[str, Any] = {name: _union(getattr(first, name), getattr(second, name)) for name in ("ranges", *TABLES)}
    plan = replace(first, operators=lines, preset=MERGED, planned="", **tables)
    return Merged(plan, tuple(taken), tuple(conflicts))


def _bare(line: OperatorPlan | None) -> OperatorPlan | None:
    return None if line is None else replace(line, reason="")


def _union(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    return {**first, **{n: value for n, value in second.items() if n not in first}}


def _same(table: str, a: object, b: object) -> bool:
    """Are two entries of a table the same in the file?"""
    codec = TABLES.get(table)
    return a == b if codec is None else bool(codec.write(a) == codec.write(b))
