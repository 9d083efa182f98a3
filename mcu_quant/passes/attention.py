"""Attention over many rows goes through its scores block by block: the whole matrix of them is never stored.

Before: s = MatMul(q, k); p = Softmax(s * scale + mask); y = MatMul(p, v)             s, p: [heads, rows, keys]
After:  y = Loop over heads, and in it over blocks of rows: the same operators        s, p: [rows of a block, keys]

All are computed row by row anyway, so every number is the one it was, in every format. Cases, cited in the code:
1. Between both products: one softmax over the last axis (masked or not), products and sums with what broadcasts along
   heads or rows, fake quantisation, reshapes that keep the last two axes.
2. Rows are cut into blocks of as many as divide them, `MOST_ROWS` at most: a block is long enough to make up for going
   through k and v once more.
3. It is done only where the scores are what memory is needed for: if, counted in elements, more is alive during an
   attention than anywhere else in the graph. Otherwise it would cost time and save nothing.

Refused: scores that anything else reads, heads that share keys by broadcasting, blocks of fewer than `LEAST_ROWS` rows,
fewer than `LEAST_SCORES` scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, Rewrite, Shape, TensorType, rebuild
from mcu_quant.passes.edit import reshape
from mcu_quant.passes.loops import inline_loops

MOST_ROWS, LEAST_ROWS = 16, 4
#: Scores, of all heads together, below which it is not worth the trouble.
LEAST_SCORES = 4096

_SOFTMAX = ("Softmax", "MaskedSoftmax")
_ELEMENTWISE = ("Mul", "Div", "Add", "Sub")


def split_attention(graph: Graph) -> Graph:
    """Cut every attention into blocks of rows, where that saves memory."""
    chains = list(_chains(graph))
    inside = {op.name for chain in chains for op in chain.operators}
    alive = _alive(graph)
    elsewhere = max((alive[op.name] for op in graph.operators if op.name not in inside), default=0)
    paying = [c for c in chains if max(alive[op.name] for op in c.operators) > elsewhere]  # case 3
    if not paying:
        return graph
    made: dict[str, tuple[Operator, ...]] = {op.name: () for c in paying for op in c.operators}
    types: dict[str, TensorType] = {}
    constants: dict[str, Array] = {}
    rewrites = []
    for chain in paying:
        loop = _Blocks(graph, chain)
        made[chain.operators[-1].name] = loop.operators()
        types |= loop.types
        constants |= loop.constants
        detail = f"{chain.heads} heads, {chain.rows} rows, {loop.block} at a time"
        rewrites.append(Rewrite("attention goes through its rows in blocks", chain.softmax.name, detail))
    operators = [o for op in graph.operators for o in made.get(op.name, (op,))]
    return rebuild(graph, operators, types=types, constants=constants, rewrites=rewrites)


# --- where it is, and what it takes ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Chain:
    """From the product that gives the scores to `product`, which uses them, and what only puts its result on a grid.

    `others` are further operands, per operator.
    """

    operators: tuple[Operator, ...]
    softmax: Operator
    product: Operator
    heads: int
    rows: int
    keys: int
    others: Mapping[str, tuple[str, ...]]


def _chains(graph: Graph) -> Iterator[_Chain]:
    consumers, results = graph.consumers(), set(graph.results)
    for first in graph.operators:
        if first.op != "MatMul" or len(graph.shape(first.outputs[0])) < 2:
            continue
        operators, edge, softmax = [first], first.outputs[0], None
        others: dict[str, tuple[str, ...]] = {}
        while len(readers := consumers.get(edge, [])) == 1 and edge not in results:
            op = readers[0]
            operators.append(op)
            if op.op == "MatMul":
                break
            softmax = op if op.op in _SOFTMAX else softmax
            others[op.name] = tuple(i for i in op.inputs if i != edge)
            if len(op.outputs) != 1 or not _goes_through(graph, op, edge):  # case 1
                break
            edge = op.outputs[0]
        last = operators[-1]
        uses = last.op == "MatMul" and last is not first and last.inputs[0] == edge and last.inputs[1] != edge
        if uses and softmax is not None and sum(op.op in _SOFTMAX for op in operators) == 1:
            tail = consumers.get(last.outputs[0], [])
            if len(tail) == 1 and tail[0].op == "FakeQuantise" and last.outputs[0] not in results:
                operators.append(tail[0])
            chain = _sized(graph, tuple(operators), softmax, last, others)
            if chain is not None:
                yield chain


def _goes_through(graph: Graph, op: Operator, edge: str) -> bool:
    """Case 1: may an operator stand between both products, with this edge as its data?"""
    if op.op == "Softmax":
        return bool(op.attributes["axis"] == len(graph.shape(edge)) - 1)
    if op.op == "Reshape":
        return graph.shape(edge)[-2:] == graph.shape(op.outputs[0])[-2:]
    if op.op in _ELEMENTWISE:
        return op.inputs.count(edge) == 1 and graph.types[op.outputs[0]].size == graph.types[edge].size
    return op.op == "FakeQuantise" or (op.op == "MaskedSoftmax" and op.inputs[0] == edge)


def _sized(
    graph: Graph,
    operators: tuple[Operator, ...],
    softmax: Operator,
    product: Operator,
    others: Mapping[str, tuple[str, ...]],
) -> _Chain | None:
    q, k = (graph.shape(i) for i in operators[0].inputs)
    v, y = graph.shape(product.inputs[1]), graph.shape(product.outputs[0])
    if min(len(q), len(k), len(v)) < 2 or operators[0].inputs[0] == operators[0].inputs[1]:
        return None
    heads, rows, keys = prod(q[:-2]), q[-2], k[-1]
    alike = prod(k[:-2]) == prod(v[:-2]) == prod(y[:-2]) == heads
    chain = _Chain(operators, softmax, product, heads, rows, keys, others)
    extra = [e for edges in others.values() for e in edges]
    fits = all(_broadcast(graph.shape(e), chain) is not None for e in extra)
    large = heads * rows * keys >= LEAST_SCORES and _block(rows) >= LEAST_ROWS
    return chain if alike and fits and large else None


def _block(rows: int) -> int:
    """Case 2."""
    return max(n for n in range(1, MOST_ROWS + 1) if rows % n == 0)


def _broadcast(shape: Shape, chain: _Chain) -> tuple[bool, bool, int] | None:
    """Whether an operand differs from head to head and from row to row, and how many keys it has; None if neither."""
    padded = (1,) * (2 - len(shape)) + shape
    heads, rows, keys = prod(padded[:-2]), padded[-2], padded[-1]
    known = heads in (1, chain.heads) and rows in (1, chain.rows) and keys in (1, chain.keys)
    return (heads > 1, rows > 1, keys) if known else None


def _alive(graph: Graph) -> dict[str, int]:
    """Elements alive while each operator runs: of everything computed, views counting for what they are views of."""
    root: dict[str, str] = {}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for k, op in enumerate(graph.operators):
        for name in op.inputs:
            if root.get(name, name) in first:
                last[root.get(name, name)] = k
        for name in filter(None, op.outputs):
            if op.op == "Reshape":
                root[name] = root.get(op.inputs[0], op.inputs[0])
            else:
                first[name] = last[name] = k
    for name in graph.results:
        if root.get(name, name) in first:
            last[root.get(name, name)] = len(graph.operators) - 1
    change = np.zeros(len(graph.operators) + 1, np.int64)
    for name, k in first.items():
        change[k] += graph.types[name].size
        change[last[name] + 1] -= graph.types[name].size
    live = np.cumsum(change)
    return {op.name: int(live[k]) for k, op in enumerate(graph.operators)}


# --- block by block -------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Blocks:
    """Writes the loops of one attention."""

    graph: Graph
    chain: _Chain
    types: dict[str, TensorType] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.block = _block(self.chain.rows)
        self.count = self.chain.rows // self.block
        self._name = self.chain.softmax.name
        self._views: list[Operator] = []
        self._by_head: list[str] = []
        self._by_row: list[str] = []

    def operators(self) -> tuple[Operator, ...]:
        """What takes the place of the last product."""
        c, g = self.chain, self.graph
        first, last = c.operators[0], c.operators[-1]
        q, k, v = *first.inputs, c.product.inputs[1]
        edges = {
            q: self._operand(q, (True, True), g.shape(q)[-1]),
            k: self._operand(k, (True, False), c.keys, g.shape(k)[-2]),
            v: self._operand(v, (True, False), g.shape(v)[-1], c.keys),
        }
        for edge in dict.fromkeys(e for others in c.others.values() for e in others):
            if edge not in g.constants or g.constants[edge].size > 1:
                found = _broadcast(g.shape(edge), c)
                assert found
                edges[edge] = self._operand(edge, found[:2], found[2])
        width = g.shape(v)[-1]
        body = self._body(edges, width)
        loop = self._loop(body, f"{self._name}:rows", edges, self._by_row, self.count)
        shape: Shape = (self.count, self.block, width)
        if c.heads > 1:
            outer = self._heads(loop, edges, shape)
            loop = self._loop(outer, f"{self._name}:heads", edges, self._by_head, c.heads)
            shape = (c.heads, *shape)
        result = f"{last.outputs[0]}:blocks"
        self.types[result] = TensorType(shape, g.types[last.outputs[0]].dtype)
        done = reshape(f"{last.name}:rows", result, last.outputs[0], g.shape(last.outputs[0]))
        return (*self._views, replace(loop, outputs=(result,)), done)

    def _operand(self, edge: str, varies: tuple[bool, bool], width: int, rows: int = 1) -> str:
        """A view of an operand: heads first where it has them, then blocks of rows where it has these."""
        by_head, by_row = varies[0] and self.chain.heads > 1, varies[1]
        shape = (*[self.chain.heads] * by_head, *[self.count] * by_row, self.block if by_row else rows, width)
        name = f"{self._name}:{edge}"
        self.types[name] = TensorType(shape, self.graph.types[edge].dtype)
        if edge in self.graph.constants:
            self.constants[name] = np.ascontiguousarray(self.graph.constants[edge].reshape(shape))
        else:
            self._views.append(reshape(name, edge, name, shape))
        self._by_head += [name] * by_head
        self._by_row += [name] * by_row
        return name

    def _inner(self, name: str, levels: int) -> TensorType:
        """The type of an operand inside of loops: without the axes that they take apart."""
        type_ = self.types[name]
        gone = (name in self._by_head) + (name in self._by_row) * (levels > 1 or self.chain.heads == 1)
        return replace(type_, shape=type_.shape[gone:])

    def _body(self, edges: Mapping[str, str], width: int) -> Graph:
        """One block of rows: the operators of the chain on matrices."""
        c, g = self.chain, self.graph
        renamed = dict(edges)
        types = {e: self._inner(e, 2) for e in edges.values()}
        constants: dict[str, Array] = {}
        operators = []
        for op in c.operators:
            if op.op == "Reshape":
                renamed[op.outputs[0]] = renamed.get(op.inputs[0], op.inputs[0])
                continue
            for i in op.inputs:
                if i in g.constants and i not in edges:
                    constants[i], types[i] = g.constants[i], g.types[i]
            attributes = {**op.attributes, **({"axis": 1} if op.op == "Softmax" else {})}
            inputs = tuple(renamed.get(i, i) for i in op.inputs)
            operators.append(Operator(op.name, op.op, inputs, op.outputs, attributes))
            columns = width if op is c.product or op.inputs[0] == c.product.outputs[0] else c.keys
            types[op.outputs[0]] = TensorType((self.block, columns), g.types[op.outputs[0]].dtype)
        out = c.operators[-1].outputs[0]
        return Graph(
            "rows", tuple(edges.values()), (out,), tuple(operators), types, constants, steps=_steps(g, constants)
        )

    def _heads(self, loop: Operator, edges: Mapping[str, str], shape: Shape) -> Graph:
        """One head: the loop over its blocks."""
        out = f"{self._name}:head"
        inner = {e: f"{e}:head" if e in self._by_head else e for e in edges.values()}
        types = {name: self._inner(e, 1) for e, name in inner.items()}
        types[out] = TensorType(shape, self.graph.types[self.chain.operators[-1].outputs[0]].dtype)
        made = replace(loop, inputs=tuple(inner[i] for i in loop.inputs), outputs=(out,))
        return inline_loops(Graph("heads", tuple(inner.values()), (out,), (made,), types, {}))

    def _loop(self, body: Graph, name: str, edges: Mapping[str, str], sliced: Sequence[str], count: int) -> Operator:
        """The operator of a loop over what `sliced` operands have first."""
        slices = [e for e in edges.values() if e in sliced]
        outer = [e for e in edges.values() if e not in sliced]
        inside = dict(zip(edges.values(), body.inputs, strict=True))
        attributes: dict[str, Any] = {
            "body": body,
            "before": (),
            "slices": tuple(inside[e] for e in slices),
            "slices_backwards": (False,) * len(slices),
            "outer": tuple(inside[e] for e in outer),
            "stacks": body.outputs,
            "stacks_backwards": (False,),
            "count": count,
            "index": "step",
            "condition": "",
            "limited": False,
        }
        return Operator(name, "Loop", (*slices, *outer), (), attributes)


def _steps(graph: Graph, constants: Mapping[str, Array]) -> dict[str, Array]:
    return {n: graph.steps[n] for n in constants if n in graph.steps}
