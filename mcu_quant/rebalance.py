"""Channels between two layers brought to one range in the weights of both: nothing is computed in addition.

    y = f(W x + b),  z = V y      becomes      y' = f((W / s) x + b / s),  z = (V s) y'

for positive s and every f with f(y / s) = f(y) / s: Relu and its like, pooling, views (Nagel et al. 2019, Data-Free
Quantization through Weight Equalization and Bias Correction, arXiv:1906.04721). A plan carries s by the name of the
first layer's output. Edges that hold y' have names of their own, since they are not what the model has there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, prod

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, Shape

#: Operators that pass a factor of a channel on; a Clip does if it begins at 0 and does not end.
_BETWEEN = ("Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "Abs", "Reshape")
_FIRST = ("Gemm", "Conv")
_LAST = ("Gemm", "Conv", "LSTM", "GRU", "RNN")


@dataclass(frozen=True)
class Span:
    """A layer, operators that pass factors of its channels on, and the layers that read them."""

    first: Operator
    between: tuple[Operator, ...]
    last: tuple[Operator, ...]
    channels: int

    @property
    def edge(self) -> str:
        """The output of the first layer."""
        return self.first.outputs[0]

    @property
    def edges(self) -> tuple[str, ...]:
        """Every edge that holds y'."""
        return (self.edge, *(op.outputs[0] for op in self.between))

    @property
    def operators(self) -> tuple[Operator, ...]:
        """All of them, in the order of the graph."""
        return (self.first, *self.between, *self.last)


def spans(graph: Graph) -> dict[str, Span]:
    """All places where channels can be rebalanced, by the first layer's output."""
    found = (_span(graph, op) for op in graph.operators if op.op in _FIRST and _own_weights(graph, op))
    return {span.edge: span for span in found if span is not None}


def rebalanced(graph: Graph, factors: Mapping[str, Array]) -> Graph:
    """The graph with channels divided by factors, [channels] each, by the first layer's output.

    What the graph has no such place for (because it was done already, say) is left out.
    """
    known = spans(graph) if factors else {}
    for edge, s in factors.items():
        span = known.get(edge)
        if span is not None and span.channels == len(s):
            graph = _divided(graph, span, np.asarray(s, np.float64))
    return graph


def renamed(edge: str) -> str:
    """The name of an edge whose channels are divided."""
    return f"{edge}:rebalanced"


def by_channel(span: Span, value: Array) -> Array:
    """What the last layers read, as [values, channels]."""
    return np.moveaxis(value, _axis(span.last[0]), -1).reshape(-1, span.channels)


def peaks(graph: Graph, span: Span) -> Array:
    """Largest weight that each channel is multiplied with: [channels]."""
    largest = [_by_channel(op, np.abs(graph.constants[op.inputs[1]]), span.channels) for op in span.last]
    found: Array = np.max(largest, axis=0)
    return found


def _span(graph: Graph, first: Operator) -> Span | None:
    consumers, kept = graph.consumers(), {*graph.outputs, *graph.state_outputs}
    channels = int(graph.shape(first.outputs[0])[_axis(first)])
    activation = first.attributes.get("activation_min", -inf), first.attributes.get("activation_max", inf)
    if activation[0] not in (-inf, 0.0) or activation[1] != inf:
        return None
    between: list[Operator] = []
    edge = first.outputs[0]
    repeated = graph.repeated
    while edge not in kept and edge not in repeated:
        readers = consumers.get(edge, [])
        if len(readers) == 1 and _passes_on(graph, readers[0], edge, channels):
            between.append(readers[0])
            edge = readers[0].outputs[0]
        elif readers and all(_reads(graph, op, edge, channels) for op in readers) and _alike(readers):
            return Span(first, tuple(between), tuple(readers), channels)
        else:
            return None
    return None


def _axis(op: Operator) -> int:
    """The axis of channels, of what a layer reads and of what it makes."""
    return 1 if op.op == "Conv" else -1


def _own_weights(graph: Graph, op: Operator) -> bool:
    """Are the weights constants in floats that no other operator has?"""
    names = [i for i in op.inputs[1:3] if i]
    used = [i for other in graph.operators for i in other.inputs if i in names]
    return all(n in graph.constants and n not in graph.steps and used.count(n) == 1 for n in names)


def _passes_on(graph: Graph, op: Operator, edge: str, channels: int) -> bool:
    if op.op == "Clip":
        return (op.attributes.get("min"), op.attributes.get("max")) == (0.0, inf)
    if op.op == "Reshape":
        return prod(graph.shape(edge)) == channels
    return op.op in _BETWEEN and op.inputs[0] == edge and len([o for o in op.outputs if o]) == 1


def _reads(graph: Graph, op: Operator, edge: str, channels: int) -> bool:
    """Is an operator a layer that multiplies each channel of an edge with weights of its own?"""
    if op.op not in _LAST or op.inputs[0] != edge or edge in op.inputs[1:] or not _own_weights(graph, op):
        return False
    return graph.shape(edge)[_axis(op)] == channels


def _alike(readers: list[Operator]) -> bool:
    """Do all of them have the channels on the same axis?"""
    return len({_axis(op) for op in readers}) == 1


def _divided(graph: Graph, span: Span, s: Array) -> Graph:
    first, constants, types = span.first, dict(graph.constants), dict(graph.types)
    w = constants[first.inputs[1]]
    constants[first.inputs[1]] = (w / s.reshape(-1, *[1] * (w.ndim - 1))).astype(w.dtype)
    if first.input(2):
        b = constants[first.input(2)]
        constants[first.input(2)] = (b / s.reshape(b.shape)).astype(b.dtype)
    for op in span.last:
        v = constants[op.inputs[1]]
        constants[op.inputs[1]] = (v * _spread(op, v.shape, s)).astype(v.dtype)
    names = {edge: renamed(edge) for edge in span.edges}
    types |= {names[edge]: types[edge] for edge in names}
    operators = tuple(_with_names(op, names) for op in graph.operators)
    return replace(graph, operators=operators, constants=constants, types=types)


def _with_names(op: Operator, names: Mapping[str, str]) -> Operator:
    if not {*op.inputs, *op.outputs} & names.keys():
        return op
    inputs, outputs = (tuple(names.get(e, e) for e in edges) for edges in (op.inputs, op.outputs))
    return replace(op, inputs=inputs, outputs=outputs)


def _spread(op: Operator, shape: Shape, s: Array) -> Array:
    """Factors of input channels as they meet weights of that shape."""
    if op.op != "Conv":
        return s
    groups = int(op.attributes["group"])
    rows = np.repeat(s.reshape(groups, -1), shape[0] // groups, axis=0)
    return rows.reshape(*rows.shape, *[1] * (len(shape) - 2))


def _by_channel(op: Operator, weights: Array, channels: int) -> Array:
    """The largest of the weights of each input channel."""
    if op.op != "Conv":
        return np.asarray(np.max(weights.reshape(-1, channels), axis=0))
    groups = int(op.attributes["group"])
    rows = weights.reshape(groups, len(weights) // groups, channels // groups, -1)
    return np.asarray(np.max(rows, axis=(1, 3))).reshape(channels)
