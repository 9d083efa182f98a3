"""A model's own scales: which edges have one, and which operators can be computed in integers because of it.

A model in QDQ form says with a pair of QuantizeLinear and DequantizeLinear how an edge is stored. In the graph such a
pair is a FakeQuantise; a DequantizeLinear behind an input, or a QuantizeLinear before an output, is one half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from mcu_quant import ops
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.ops.quantize_linear import in_s8, quantised, stored_quant
from mcu_quant.powers import powers

KINDS = ("QuantizeLinear", "DequantizeLinear", "FakeQuantise")


def is_quantised(graph: Graph) -> bool:
    """Does the model bring scales of its own for activations?"""
    return any(op.op in KINDS for op in graph.operators)


def scales(graph: Graph) -> Mapping[str, QuantParams]:
    """The scale in s8 of every edge that the model says to be stored in 8 bits.

    That is what one of the three operators makes, or reads, if it has one scale and if whoever else reads it wants the
    same; and what is made of such edges by picking and moving values.
    """
    found: dict[str, QuantParams] = {}
    results = set(graph.results)
    consumers = graph.consumers()
    for op in graph.operators:
        if _keeps_values(op):
            moved = {found.get(i) for i in op.inputs if i and i not in graph.constants}
            if len(moved) == 1 and (same := moved.pop()) is not None:
                found |= {o: same for o in op.outputs if o}
        if op.op not in KINDS or in_s8(op, graph):
            continue
        if op.op != "QuantizeLinear":
            found[op.outputs[0]] = stored_quant(op)
        if op.op == "DequantizeLinear":
            continue
        wanted = [stored_quant(c) if c.op in KINDS and not in_s8(c, graph) else None for c in consumers[op.inputs[0]]]
        if op.inputs[0] not in results and set(wanted) == {stored_quant(op)}:
            found.setdefault(op.inputs[0], stored_quant(op))
    return found


def _keeps_values(op: Operator) -> bool:
    """Is every value of the output one of the input's?"""
    return op.op == "MaxPool" or (ops.spec(op).carries and op.op not in ("Pad", "ScatterND"))


def stored_inputs(graph: Graph) -> Mapping[str, Callable[[Array], Array]]:
    """Inputs that the model reads as whole numbers on a scale of its own, and what turns reals into them."""

    def onto(op: Operator, real: Array) -> Array:
        return quantised(op, real).astype(op.attributes["dtype"])

    found = [op for op in graph.operators if op.op == "DequantizeLinear" and op.inputs[0] in graph.inputs]
    return {op.inputs[0]: partial(onto, op) for op in found}


class Neighbours:
    """What stands around the operators of a graph, looking through those that only move values."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._producer = graph.producer()
        self._consumers = graph.consumers()
        self._scales = scales(graph)
        self._powers = powers(graph)

    def floats_read(self, op: Operator) -> tuple[str, ...]:
        """Inputs of an operator that the model does not store in 8 bits.

        Of constants only tables that are added or multiplied count: a number by itself is exact in any format, and the
        parameters of everything else have more bits than the result.
        """
        elementwise = ops.spec(op).family == "elementwise"
        edges = [i for i in dict.fromkeys(op.inputs) if i]
        return tuple(i for i in edges if (elementwise and self._float_table(i)) or not self._stored(i))

    def floats_written(self, op: Operator) -> tuple[str, ...]:
        """Outputs of an operator that the model does not store in 8 bits."""
        return tuple(o for o in op.outputs if o and not self._wanted(o))

    def in_power(self, op: Operator) -> bool:
        """Does an operator compute a power, or a root or logarithm of one: more than 8 bits can span?"""
        return op.name in self._powers.inside

    def in_logarithm(self, op: Operator) -> bool:
        """Is a logarithm taken of what an operator computes, or does it take one: is zero no number there?"""
        return op.name in self._powers.logarithms

    def before_power(self, op: Operator) -> bool:
        """Is the result of an operator squared, or its logarithm taken?"""
        return op.name in self._powers.before

    def against_s8(self, op: Operator) -> str | None:
        """Why the scales of one of the three operators are none of an s8 edge, or None."""
        return in_s8(op, self._graph)

    def whole_weights(self, op: Operator) -> bool:
        """Does the model have weights of this operator as whole numbers?"""
        return any(i in self._graph.steps for i in op.inputs)

    def _stored(self, edge: str) -> bool:
        if edge in self._graph.constants or edge in self._scales or not ops.is_real(self._graph, edge):
            return True
        maker = self._producer.get(edge)
        return maker is not None and ops.spec(maker).carries and self._all(maker.inputs)

    def _float_table(self, edge: str) -> bool:
        value = self._graph.constants.get(edge)
        return value is not None and value.dtype.kind == "f" and value.size > 1 and edge not in self._graph.steps

    def _all(self, edges: Iterable[str]) -> bool:
        moved = [i for i in edges if i and i not in self._graph.constants]
        return bool(moved) and all(self._stored(i) for i in moved)

    def _wanted(self, edge: str) -> bool:
        if edge in self._scales or not ops.is_real(self._graph, edge):
            return True
        readers = self._consumers.get(edge, [])
        if edge in self._graph.results or not readers:
            return False
        return all(ops.spec(c).carries and all(self._wanted(o) for o in c.outputs if o) for c in readers)
