"""Loops become ranges of the graph's own operators: the last rewrite of all.

Before: y = Loop(h, x; body), one operator with a graph inside.
After:  h' = LoopStart(h); [x_t = LoopSlice(x); ... the body's operators ...; LoopStack]; y = LoopResult(h'), and a
        `Loop` in `Graph.loops` that says which range runs how often, and what becomes h' of the next step.

From here on an operator in a loop is an operator like any other: it has a line in the plan, calls, a cost. Passes must
not see this form, in which an edge has several values and operators may not change their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mcu_quant.ir import Array, Graph, Loop, Operator, Rewrite, TensorType
from mcu_quant.regions import enclosing


def inline_loops(graph: Graph) -> Graph:
    """Take all loops of a graph apart; those in their bodies have been already."""
    if not any(op.op == "Loop" for op in graph.operators):
        return graph
    made = _Flat(graph)
    for op in graph.operators:
        if op.op == "Loop":
            made.loop(op)
        else:
            made.operators.append(op)
    made.rows_of_constants()
    return replace(
        graph,
        operators=tuple(made.operators),
        types=made.types,
        constants=made.constants,
        steps=made.steps,
        loops=tuple(made.loops),
        rewrites=(*graph.rewrites, *made.rewrites),
    )


@dataclass
class _Flat:
    """A graph in the making."""

    graph: Graph
    operators: list[Operator] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    rewrites: list[Rewrite] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.types: dict[str, TensorType] = dict(self.graph.types)
        self.constants: dict[str, Array] = dict(self.graph.constants)
        self.steps: dict[str, Array] = dict(self.graph.steps)
        self._named = {op.name for op in self.graph.operators}

    def loop(self, op: Operator) -> None:
        """Append the operators of a loop."""
        a = op.attributes
        body: Graph = a["body"]
        n, m = len(a["before"]), len(a["slices"])
        initial, wholes, outer = op.inputs[:n], op.inputs[n : n + m], op.inputs[n + m :]
        edge = {"": "", **dict(zip(a["outer"], outer, strict=False))}
        constants = {name: self._constant(op, body, name) for name in body.constants}
        edge |= constants | {t: self._fresh(op, t) for t in body.types if t not in edge and t not in constants}
        self.types |= {edge[t]: type_ for t, type_ in body.types.items() if t not in constants}
        for source, before in zip(initial, a["before"], strict=True):
            self._add(op, f"{before}:start", "LoopStart", source, edge[before], {})
        start = len(self.operators)
        for whole, name, back in zip(wholes, a["slices"], a["slices_backwards"], strict=True):
            self._add(op, f"{edge[name]}:slice", "LoopSlice", whole, edge[name], {"backwards": back})
        shift = len(self.operators)
        for inner in body.operators:
            names = tuple(edge[i] for i in inner.inputs), tuple(edge[o] for o in inner.outputs)
            self.operators.append(Operator(self._operator(op, inner.name), inner.op, *names, inner.attributes))
        stacked = zip(a["stacks"], op.outputs[n:], a["stacks_backwards"], strict=True)
        for name, whole, back in stacked:
            if whole:
                attributes = {"backwards": back, "count": a["count"]}
                self._add(op, f"{name}:stack", "LoopStack", edge[name], whole, attributes)
        self.loops.append(self._made(op, body, edge, start, outer))
        self.loops += [
            replace(
                inner,
                name=f"{op.name}/{inner.name}",
                start=inner.start + shift,
                stop=inner.stop + shift,
            ).renamed(edge)
            for inner in body.loops
        ]
        for before, result in zip(a["before"], op.outputs[:n], strict=True):
            if result:
                self._add(op, f"{before}:result", "LoopResult", edge[before], result, {})
        self.rewrites += [replace(r, where=f"{op.name}/{r.where}") for r in body.rewrites]

    def _made(self, op: Operator, body: Graph, edge: Mapping[str, str], start: int, outer: Iterable[str]) -> Loop:
        a = op.attributes
        index = edge.get(a["index"], "")
        used = any(index in o.inputs for o in self.operators[start:]) if index else False
        return Loop(
            op.name,
            start,
            len(self.operators),
            a["count"],
            tuple((edge[p.input], edge[p.output]) for s in body.states for p in s.pieces),
            index if used else "",
            edge[a["condition"]] if a["condition"] else "",
            tuple(outer)[-1] if a["limited"] else "",
        )

    def rows_of_constants(self) -> None:
        """A slice of a constant is a row that the number of the step picks from a table."""
        for k, op in enumerate(self.operators):
            if op.op != "LoopSlice" or op.inputs[0] not in self.constants:
                continue
            table = self.constants[op.inputs[0]]
            backwards = op.attributes["backwards"]
            whole = self._add_constant(f"{op.inputs[0]}:backwards", table[::-1].copy()) if backwards else op.inputs[0]
            loop = enclosing(k, self.loops)[-1]
            if not loop.index:
                index = self._free(f"{loop.name}/step")
                self.types[index] = TensorType((), "int64")
                at = self.loops.index(loop)
                loop = self.loops[at] = replace(loop, index=index)
            self.operators[k] = replace(op, op="Gather", inputs=(whole, loop.index), attributes={"axis": 0})

    def _add(
        self, op: Operator, name: str, kind: str, source: str, edge: str, attributes: Mapping[str, object]
    ) -> None:
        self.operators.append(Operator(self._operator(op, name), kind, (source,), (edge,), attributes))

    def _constant(self, op: Operator, body: Graph, name: str) -> str:
        """The name of a constant of a body: that of the same array around it, else its own."""
        value, own = body.constants[name], name.removeprefix("outer.")
        known = self.constants.get(own)
        if known is not None and known.dtype == value.dtype and np.array_equal(known, value):
            return own
        made = self._add_constant(own if own not in self.types else f"{op.name}/{own}", value)
        if name in body.steps:
            self.steps[made] = body.steps[name]
        return made

    def _add_constant(self, hint: str, value: Array) -> str:
        made = self._free(hint)
        self.constants[made] = value
        self.types[made] = TensorType(tuple(value.shape), str(value.dtype))
        return made

    def _fresh(self, op: Operator, name: str) -> str:
        """A name for an edge of the body: its own where that is free; from now on it is taken."""
        made = name if name not in self.types else self._free(f"{op.name}/{name}")
        self.types[made] = TensorType((), "int64")
        return made

    def _free(self, hint: str) -> str:
        name, n = hint, 2
        while name in self.types:
            name, n = f"{hint}#{n}", n + 1
        return name

    def _operator(self, op: Operator, name: str) -> str:
        hint = name if name not in self._named else f"{op.name}/{name}"
        made, n = hint, 2
        while made in self._named:
            made, n = f"{hint}#{n}", n + 1
        self._named.add(made)
        return made
