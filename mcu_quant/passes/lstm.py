"""An LSTM cell spelled out in elementary operators is recognised.

Before: zi, zf, zg, zo: sums W x + R h + b, each by itself or as parts of one in any order;
        c' = sigmoid(zf) * c + sigmoid(zi) * tanh(zg);   h' = sigmoid(zo) * tanh(c')
After:  one LSTM over one time step with initial_h = h and initial_c = c; h' and c' are its final states.

The gates are told apart by what is done with them, never by names or by their order. Sums may be taken apart in any way
(`sums.py`). Which is h decides no value, only what is state; the rules are, in order:
1. h has the size of c; 2. h goes with c: it is o * tanh(c); 3. h is taken from the same edge as c; 4. from a state;
5. from an input; 6. the later product.

The gates may be HardSigmoid, or limited to 0 and 1, instead.

Refused: other activations, a part of the cell that is used elsewhere, too, weights that are not constant, states that
are broadcast over a batch, or two inputs of the model that could both be h.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mcu_quant import trace
from mcu_quant.ir import Graph, Operator
from mcu_quant.passes.cells import Cell, one_batch, replace_cell, separate, stacked
from mcu_quant.passes.edit import Editor
from mcu_quant.passes.sums import Gate, Sum, activated, activations, gate, origin

#: Order of the gates in the rows of an ONNX LSTM's weights: input, output, forget, cell.
_ONNX_ORDER = ("i", "o", "f", "g")


@dataclass(frozen=True, eq=False)
class _Parts:
    """Edges of a cell: old and new cell state, new hidden state, the sums inside the gates, what the gates compute."""

    c: str
    c_next: str
    h_next: str
    gates: dict[str, Sum]
    attributes: dict[str, object]
    operators: tuple[Operator, ...]


def recover_lstm(graph: Graph) -> Graph:
    """Put LSTM where its parts are."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op != "Add" or not edit.free(op):
            continue
        for parts in _parts(edit, op):
            cell = _cell(edit, parts)
            if cell is not None and one_batch(edit, cell) and separate(edit, cell):
                replace_cell(edit, cell)
                break
    return edit.done()


def _parts(edit: Editor, plus: Operator) -> Iterator[_Parts]:
    """Cells whose new cell state an addition may be."""
    end = _hidden(edit, plus.outputs[0])
    for kept, added in (plus.inputs, plus.inputs[::-1]):
        keep, new = edit.maker(kept, "Mul"), edit.maker(added, "Mul")
        if keep is None or new is None or end is None:
            continue
        for forget, c in (keep.inputs, keep.inputs[::-1]):
            for enter, candidate in (new.inputs, new.inputs[::-1]):
                i, f, g = gate(edit, enter), gate(edit, forget), activated(edit, candidate, "Tanh")
                if i is None or f is None or g is None:
                    continue
                attributes = activations((i.function, f.function, end.gate.function), tanhs=2)
                if attributes is not None:
                    gates = {"i": i.sum, "o": end.gate.sum, "f": f.sum, "g": g}
                    operators = (plus, keep, new, end.tanh, end.last)
                    yield _Parts(c, plus.outputs[0], end.last.outputs[0], gates, attributes, operators)


@dataclass(frozen=True, eq=False)
class _Hidden:
    """h' = sigmoid(zo) * tanh(c'): the gate of zo, the tanh and the product."""

    gate: Gate
    tanh: Operator
    last: Operator


def _hidden(edit: Editor, c: str) -> _Hidden | None:
    for tanh in edit.readers(c):
        last = edit.reader(tanh.outputs[0], "Mul") if tanh.op == "Tanh" else None
        if last is None:
            continue
        other = next((name for name in last.inputs if name != tanh.outputs[0]), "")
        if other and (out := gate(edit, other)) is not None:
            return _Hidden(out, tanh, last)
    return None


def _cell(edit: Editor, parts: _Parts) -> Cell | None:
    units = edit.shape(parts.c_next)[-1]
    sums = [parts.gates[g] for g in _ONNX_ORDER]
    if any(s.values or s.bias.size != units for s in sums):
        return None
    found = _x_and_h(edit, parts, sums)
    if found is None:
        return None
    x, h = found
    operators = {op.name: op for op in (*parts.operators, *(op for s in sums for op in s.operators))}
    return Cell(
        "LSTM",
        x,
        ((h, parts.h_next), (parts.c, parts.c_next)),
        stacked([s.matrix(x, edit.shape(x)[-1]) for s in sums]),
        stacked([s.matrix(h, units) for s in sums]),
        stacked([*(s.bias for s in sums), np.zeros(4 * units, np.float32)]),
        tuple(operators.values()),
        parts.attributes,
    )


def _x_and_h(edit: Editor, parts: _Parts, sums: list[Sum]) -> tuple[str, str] | None:
    """The two sources of the products by the rules above; None if the rules do not tell."""
    sources = _in_order(edit, sums)
    if len(sources) != 2:
        return None
    units, size = edit.shape(parts.c_next)[-1], edit.graph.types[parts.c].size
    fits = [s for s in sources if edit.graph.types[s].size == size and edit.shape(s)[-1] == units]
    with_c = _hidden(edit, origin(edit, parts.c))
    goes_with_c = (origin(edit, with_c.last.outputs[0]),) if with_c else ()
    fits = [s for s in fits if s in goes_with_c] or fits
    whole = {s: _whole(edit, s) for s in sources}
    for known in ((_whole(edit, parts.c),), edit.graph.state_inputs, edit.graph.inputs):
        if len(fits) > 1:
            fits = [s for s in fits if whole[s] in known] or fits
    if not fits or (len(fits) > 1 and whole[sources[0]] in edit.graph.inputs):
        return None
    h = fits[-1]
    return next(s for s in sources if s != h), h


def _in_order(edit: Editor, sums: list[Sum]) -> list[str]:
    """The sources of all products, in the order in which the products are computed."""
    first: dict[str, int] = {}
    for each in sums:
        gemms = sorted((op for op in each.operators if op.op == "Gemm"), key=lambda op: edit.position[op.name])
        for source in each.products:
            reads = next((k for k, op in enumerate(gemms) if origin(edit, op.inputs[0]) == source), len(gemms))
            first.setdefault(source, edit.position[gemms[reads].name] if reads < len(gemms) else len(edit.position))
    return sorted(first, key=lambda source: first[source])


def _whole(edit: Editor, edge: str) -> str:
    """The edge that this one is taken from, in any way."""
    while (op := edit.maker(edge)) is not None and trace.is_layout(op, edit.graph) and op.op != "Concat":
        edge = trace.data_inputs(op)[0]
    return edge
