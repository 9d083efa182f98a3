"""What `mcu-quant inspect` shows of an imported model, as plain data."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mcu_quant import ops
from mcu_quant.frontend import Imported
from mcu_quant.ir import Graph, Operator


def describe(imported: Imported, graph: Graph | None = None) -> dict[str, Any]:
    """Describe a model: what goes in and out, its states, and its operators in execution order.

    Args:
        imported: What the frontend made of the file.
        graph: The graph to list, after passes; by default the one as imported.

    Returns:
        Plain data, ready for JSON. `macs` are multiply-accumulates of one run, `params` elements of constants that an
        operator reads; one that several read counts once in `totals`. `steps` of a loop are as many as there are or,
        where it is `open`, can be (None: any number).
    """
    graph = graph or imported.graph
    operators = [_operator(op, graph, graph.times[op.name]) for op in graph.operators]
    used = {i for op in graph.operators for i in op.inputs if i in graph.constants}
    return {
        "model": graph.name,
        "inputs": [_edge(graph, name) for name in graph.inputs],
        "outputs": [_edge(graph, name) for name in graph.outputs],
        "bindings": [
            {"name": b.name, "value": b.value, "why": str(b.why), "where": list(b.where)} for b in imported.bindings
        ],
        "states": _states(imported, graph),
        "operators": operators,
        "loops": [
            {"name": loop.name, "steps": loop.count, "open": bool(loop.condition or loop.limit)}
            | {"operators": [op.name for op in graph.operators[loop.start : loop.stop]]}
            for loop in graph.loops
        ],
        "totals": {
            "operators": dict(sorted(Counter(op.op for op in graph.operators).items())),
            "macs": sum(op["macs"] for op in operators),
            "params": sum(graph.types[name].size for name in used),
            "state_elements": sum(state.type.size for state in graph.states),
        },
        "rewrites": [{"rule": r.rule, "where": r.where, "detail": r.detail} for r in graph.rewrites],
        "notes": list(imported.notes),
    }


def _edge(graph: Graph, name: str) -> dict[str, Any]:
    type_ = graph.types[name]
    return {"name": name, "shape": list(type_.shape), "dtype": type_.dtype}


def _states(imported: Imported, graph: Graph) -> list[dict[str, Any]]:
    rules = {p.input: p.rule for p in imported.pairings}
    return [
        {
            "input": state.input,
            "output": state.output,
            "shape": list(state.type.shape),
            "paired_by": rules.get(state.input, "pipeline"),  # a state of a front or back end, or of a model in front
            "pieces": [
                {"input": p.input, "output": p.output, "shape": list(graph.shape(p.input))} for p in state.pieces
            ],
        }
        for state in graph.states
    ]


def _operator(op: Operator, graph: Graph, times: int) -> dict[str, Any]:
    spec = ops.spec(op)
    return {
        "name": op.name,
        "op": op.op,
        "family": spec.family,
        "inputs": [{"name": i, "shape": list(graph.shape(i))} for i in op.inputs if i and i not in graph.constants],
        "outputs": [{"name": o, "shape": list(graph.shape(o))} for o in op.outputs if o],
        "macs": spec.macs(op, graph) * times,
        "params": sum(graph.types[i].size for i in dict.fromkeys(op.inputs) if i in graph.constants),
    }
