"""Powers of signals: values of which 8 bits hold next to nothing.

A spectrum is squared, summed over bands, and its root or its logarithm taken. 8 bits span 48 dB of a power, which is
24 dB of the signal: all quieter frames become zero, and their logarithm one and the same number. Roots and logarithms
bend too sharply for 16 bits as well, so that what lies between the square and the root belongs into floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mcu_quant import ops
from mcu_quant.ir import Graph, Operator

#: What brings a power back to the range of the signal.
_ROOTS = ("Log", "Sqrt")
#: What can lie between a square and its root, beside products with constants and operators that only move values.
_SUMS = ("Abs", "Add", "Max", "Min", "Reduce", "Sqrt", "Sub")


@dataclass(frozen=True)
class Powers:
    """Names of operators that compute powers, roots or logarithms of them, and of those whose results they read.

    `logarithms` are those of `inside` that a logarithm is taken of, and the logarithms themselves.
    """

    inside: frozenset[str]
    before: frozenset[str]
    logarithms: frozenset[str]


def powers(graph: Graph) -> Powers:
    """Where a graph computes powers.

    1. A logarithm, whatever it is of.
    2. A root of something squared.
    3. What lies on the way from a square to 1 or 2, and the square itself.
    """
    # operators between a square and each edge that is made of one
    paths: dict[str, frozenset[str]] = {}
    roots: set[str] = set()
    logarithms: set[str] = set()
    for op in graph.operators:
        way = frozenset().union(*(paths.get(i, frozenset()) for i in op.inputs))
        if op.op == "Log":
            logarithms |= {op.name, *way}
        elif op.op == "Sqrt" and way:
            roots |= {op.name, *way}
        if _squares(op):
            paths[op.outputs[0]] = frozenset({op.name})
        elif way and _is_between(op, graph):
            paths |= dict.fromkeys(filter(None, op.outputs), way | {op.name})
    inside = roots | logarithms
    producer = graph.producer()
    before = {name for op in graph.operators if op.name in inside for name in _makers(op, producer)}
    return Powers(frozenset(inside), frozenset(before - inside), frozenset(logarithms))


def _is_between(op: Operator, graph: Graph) -> bool:
    """Does an operator scale, add or move powers, so that its result is one, too?"""
    if op.op in ("Div", "Gemm", "MatMul", "Mul"):
        return sum(i not in graph.constants for i in op.inputs if i) == 1
    return op.op in _SUMS or ops.spec(op).carries


def _squares(op: Operator) -> bool:
    """Does an operator multiply a value with itself?"""
    return op.op == "Mul" and len(op.inputs) == 2 and op.inputs[0] == op.inputs[1]


def _makers(op: Operator, producer: Mapping[str, Operator]) -> set[str]:
    """Operators that compute what this one reads, through those that only move values."""
    found: set[str] = set()
    edges = [i for i in op.inputs if i]
    while edges:
        maker = producer.get(edges.pop())
        if maker is not None and ops.spec(maker).carries:
            edges += [i for i in maker.inputs if i]
        elif maker is not None:
            found.add(maker.name)
    return found
