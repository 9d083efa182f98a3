"""Common subexpressions: what is computed twice from the same inputs is computed once.

Before: a = Sub(x, m); b = Sub(x, m).   After: everybody who read b reads a.

Refused where both results are outputs of the graph: each needs a buffer of its own. Bodies of loops are not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mcu_quant.ir import Graph, Operator
from mcu_quant.passes.edit import Editor


def merge_common(graph: Graph) -> Graph:
    """Compute equal things once."""
    edit = Editor(graph)
    first: dict[tuple[object, ...], Operator] = {}
    for op in graph.operators:
        if op.op == "Loop":
            continue
        known = first.setdefault((op.op, op.inputs, _comparable(op.attributes)), op)
        used = [o for o in op.outputs if o]
        if known is op or len(used) != 1 or not edit.free(op, known):
            continue
        source = known.output(op.outputs.index(used[0]))
        if source and not (used[0] in graph.outputs and source in graph.results):
            edit.bypass(op, source, "common subexpression")
    return edit.done()


def _comparable(attributes: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(sorted((k, _plain(v)) for k, v in attributes.items()))


def _plain(value: Any) -> Any:
    """Lists, tuples and arrays of the same values compare equal; their text does."""
    return str(np.asarray(value).tolist())
