"""Refusals that only follow from others: behind a loop that stays no shape is known, which hundreds of nodes need.

What depends on a refused node is refused for its own sake only if no shape could have saved it: an operator that is
not supported, not one that would have been folded (Shape, Range, a loop over what came out of a loop).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from mcu_quant.diagnostics import Diagnostic
from mcu_quant.ir import Graph

#: Operators that disappear while folding once the shapes of what they read are known.
FOLDED = (
    *("ConstantOfShape", "NonZero", "Range", "Shape", "Size", "If", "Loop", "Scan"),
    *("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert"),
    *("SequenceLength", "SplitToSequence"),
)
#: Codes of refusals that a shape or a value can be the reason of; others name what is wrong with the node itself.
_FOLLOWING = ("MQ107", "MQ112")


def root_causes(graph: Graph, problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The problems without those that follow from others; the last line of each cause says how many these are."""
    by_node: dict[str, list[Diagnostic]] = {}
    for problem in problems:
        by_node.setdefault(problem.where, []).append(problem)
    cause: dict[str, str] = {}  # of a value, the node whose refusal it depends on
    following: Counter[str] = Counter()
    silenced: set[int] = set()
    for op in graph.operators:
        behind = next((cause[i] for i in op.inputs if i in cause), None)
        own = by_node.get(op.name, [])
        if behind is not None:
            follows = [p for p in own if p.code in _FOLLOWING and (op.op in FOLDED or p.code == "MQ112")]
            following[behind] += len(follows)
            silenced |= set(map(id, follows))
        if behind is not None or any(p.code in _FOLLOWING for p in own):
            cause |= dict.fromkeys((o for o in op.outputs if o), behind or op.name)
    roots = [p for p in problems if id(p) not in silenced]
    return [_with_count(p, following.pop(p.where, 0)) for p in roots]


def _with_count(problem: Diagnostic, count: int) -> Diagnostic:
    if not count:
        return problem
    more = "1 more problem follows" if count == 1 else f"{count} more problems follow"
    return replace(problem, message=f"{problem.message}; {more} from this one")
