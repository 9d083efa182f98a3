"""Constants: computed where everything is known, kept once where they repeat.

Before: y = Split(W), W constant; A and B hold the same numbers.
After:  y's parts are constants; everybody reads A.

Only values that an operator reads are compared; names of the graph's outputs stay.
"""

from __future__ import annotations

from dataclasses import replace

from mcu_quant.ir import Graph, Operator, Rewrite, StatePiece, TensorType, rebuild
from mcu_quant.passes.evaluate import evaluate
from mcu_quant.passes.steps import of_moved


def fold_constants(graph: Graph) -> Graph:
    """Compute operators whose inputs are all constants."""
    constants, steps = dict(graph.constants), dict(graph.steps)
    kept: list[Operator] = []
    rewrites: list[Rewrite] = []
    for op in graph.operators:
        values = evaluate(op, constants)
        if values is None:
            kept.append(op)
        else:
            constants |= values
            steps |= of_moved(op, values, constants, steps)
            rewrites.append(Rewrite("constant folded", op.name))
    if not rewrites:
        return graph
    types = {n: TensorType(tuple(a.shape), str(a.dtype)) for n, a in constants.items()}
    return rebuild(graph, kept, constants=constants, types=types, steps=steps, rewrites=rewrites)


def merge_constants(graph: Graph) -> Graph:
    """Keep one of several constants with the same numbers."""
    first: dict[tuple[object, ...], str] = {}
    rename: dict[str, str] = {}
    for name, array in graph.constants.items():
        known = first.setdefault((array.shape, str(array.dtype), array.tobytes(), name in graph.steps), name)
        if known != name and name not in graph.outputs:
            rename[name] = known
    if not rename:
        return graph
    operators = [op.with_inputs(rename) for op in graph.operators]
    states = tuple(
        replace(s, pieces=tuple(StatePiece(p.input, rename.get(p.output, p.output), p.index) for p in s.pieces))
        for s in graph.states
    )
    rewrites = [Rewrite("equal constants merged", old, new) for old, new in rename.items()]
    return rebuild(graph, operators, rewrites=rewrites, states=states)
