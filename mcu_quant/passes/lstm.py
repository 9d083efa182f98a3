"""An LSTM cell spelled out in elementary operators is recognised.

Before: z = W x + R h + b, split in four along the last axis into zi, zf, zg, zo in any order;
        c' = sigmoid(zf) * c + sigmoid(zi) * tanh(zg);   h' = sigmoid(zo) * tanh(c')
After:  one LSTM over one time step with initial_h = h and initial_c = c; h' and c' are its final states.

The gates are told apart by what is done with them, never by names or by their order in z. W x and R h are two Gemms, or
one Gemm of a Concat of x and h. Which is h decides no value, only what is state; the rules are, in order:
1. h has the size of c; 2. h is taken from the same edge as c; 3. from a state; 4. from an input; 5. the later Gemm.

Refused: other activations, a part of the cell that is used elsewhere, too, weights that are not constant, states that
are broadcast over a batch, or two inputs of the model that could both be h.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from mcu_quant import trace
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.passes.affine import has_activation
from mcu_quant.passes.edit import Editor, broadcast_vector, common_name, reshape

#: Order of the gates in the rows of an ONNX LSTM's weights: input, output, forget, cell.
_ONNX_ORDER = ("i", "o", "f", "g")


@dataclass(frozen=True)
class _Cell:
    """Edges of a cell: old and new cell state, new hidden state, the gates before their activation."""

    c: str
    c_next: str
    h_next: str
    gates: dict[str, str]
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class _Affine:
    """z = w[0] x[0] + w[1] x[1] + b."""

    sources: tuple[str, str]
    weights: tuple[Array, Array]
    bias: Array
    operators: tuple[Operator, ...]


def recover_lstm(graph: Graph) -> Graph:
    """Put LSTM where its parts are."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op != "Add":
            continue
        for cell in _cells(edit, op):
            if edit.free(*cell.operators) and _recover(edit, cell):
                break
    return edit.done()


# --- the cell --------------------------------------------------------------------------------------------------------


def _cells(edit: Editor, plus: Operator) -> Iterator[_Cell]:
    """Cells whose new cell state an addition may be."""
    for kept, added in (plus.inputs, plus.inputs[::-1]):
        keep, new = edit.maker(kept, "Mul"), edit.maker(added, "Mul")
        end = _hidden(edit, plus.outputs[0])
        if keep is None or new is None or end is None:
            continue
        for forget, c in (keep.inputs, keep.inputs[::-1]):
            for enter, candidate in (new.inputs, new.inputs[::-1]):
                f, i, g = edit.maker(forget, "Sigmoid"), edit.maker(enter, "Sigmoid"), edit.maker(candidate, "Tanh")
                if f and i and g:
                    o, tanh, last = end
                    gates = {"i": i.inputs[0], "f": f.inputs[0], "g": g.inputs[0], "o": o.inputs[0]}
                    operators = (plus, keep, new, f, i, g, o, tanh, last)
                    yield _Cell(c, plus.outputs[0], last.outputs[0], gates, operators)


def _hidden(edit: Editor, c_next: str) -> tuple[Operator, Operator, Operator] | None:
    """h' = sigmoid(zo) * tanh(c'): the sigmoid, the tanh and the product."""
    for tanh in edit.readers(c_next):
        last = edit.reader(tanh.outputs[0], "Mul") if tanh.op == "Tanh" else None
        if last is None:
            continue
        other = next((name for name in last.inputs if name != tanh.outputs[0]), "")
        if (sigmoid := edit.maker(other, "Sigmoid")) is not None:
            return sigmoid, tanh, last
    return None


def _recover(edit: Editor, cell: _Cell) -> bool:
    found = _gate_order(edit, cell)
    if found is None:
        return False
    z, order, layout = found
    affine = _affine(edit, z)
    if affine is None:
        return False
    operators = (*cell.operators, *layout, *affine.operators)
    inside = [o for op in operators for o in op.outputs if o and o not in (cell.h_next, cell.c_next)]
    products = _x_then_h(edit, cell, affine)
    if products is None or not _one_batch(edit, cell, products, z):
        return False
    if not edit.free(*operators) or not all(edit.private(edge, *operators) for edge in inside):
        return False
    _replace(edit, cell, products, order, operators)
    return True


def _gate_order(edit: Editor, cell: _Cell) -> tuple[str, list[str], tuple[Operator, ...]] | None:
    """The edge z that the gates are parts of, the gates in the order of its parts, and the operators that split it."""
    hidden = edit.shape(cell.c_next)[-1]
    for z in _above(edit, cell.gates["i"]):
        width = edit.shape(z)[-1:]
        parts = trace.pure(trace.forward(edit.graph, z))
        if width != (4 * hidden,) or any(edge not in parts for edge in cell.gates.values()):
            continue
        order = [""] * 4
        whole = np.arange(edit.graph.types[z].size).reshape(-1, 4, hidden)
        for gate, edge in cell.gates.items():
            for k in range(4):
                if trace.same_order(parts[edge], whole[:, k]):
                    order[k] = gate
        if all(order):
            return z, order, tuple(_between(edit, z, cell.gates.values()))
    return None


def _above(edit: Editor, edge: str) -> Iterator[str]:
    """Edges that this one is a part of."""
    while (op := edit.maker(edge)) is not None and trace.is_layout(op, edit.graph) and op.op != "Concat":
        edge = trace.data_inputs(op)[0]
        yield edge


def _between(edit: Editor, z: str, gates: Iterable[str]) -> list[Operator]:
    """The operators that take the gates out of z."""
    found: dict[str, Operator] = {}
    for gate in gates:
        edge = gate
        while edge != z:
            op = edit.maker(edge)
            assert op is not None
            found[op.name] = op
            edge = op.inputs[0]
    return list(found.values())


# --- z = W x + R h + b -----------------------------------------------------------------------------------------------


def _affine(edit: Editor, z: str) -> _Affine | None:
    width = edit.shape(z)[-1]
    gemms: list[Operator] = []
    bias = np.zeros(width, np.float32)
    operators: list[Operator] = []
    waiting = [z]
    while waiting:
        edge = waiting.pop(0)
        op = edit.maker(edge, "Add", "Gemm", "Reshape")
        constant = edit.constant(edge)
        if constant is not None:
            vector = broadcast_vector(constant, (width,), 0)
            if vector is None:
                return None
            bias = bias + vector
        elif op is None or edit.shape(edge)[-1:] != (width,):
            return None
        else:
            operators.append(op)
            if op.op == "Gemm":
                gemms.append(op)
            else:
                waiting += op.inputs
    if any(has_activation(g) or edit.constant(g.inputs[1]) is None for g in gemms):
        return None
    for gemm in gemms:
        own = edit.constant(gemm.input(2))
        bias = bias if own is None else bias + own
    in_order = [op for op in edit.graph.operators if any(op is g for g in gemms)]
    return _two_products(edit, in_order, bias, tuple(operators))


def _two_products(edit: Editor, gemms: list[Operator], bias: Array, operators: tuple[Operator, ...]) -> _Affine | None:
    if len(gemms) == 2:
        weights = [edit.graph.constants[g.inputs[1]] for g in gemms]
        return _Affine((gemms[0].inputs[0], gemms[1].inputs[0]), (weights[0], weights[1]), bias, operators)
    joined = edit.maker(gemms[0].inputs[0], "Concat") if len(gemms) == 1 else None
    if joined is None or len(joined.inputs) != 2:
        return None
    if joined.attributes["axis"] != len(edit.shape(joined.outputs[0])) - 1:
        return None
    first = edit.shape(joined.inputs[0])[-1]
    w = edit.graph.constants[gemms[0].inputs[1]]
    return _Affine((joined.inputs[0], joined.inputs[1]), (w[:, :first], w[:, first:]), bias, (*operators, joined))


def _x_then_h(edit: Editor, cell: _Cell, affine: _Affine) -> _Affine | None:
    """The products in the order x, h by the rules above; None if the rules do not tell."""
    size = edit.graph.types[cell.c].size
    fits = [k for k in (0, 1) if edit.graph.types[affine.sources[k]].size == size]
    origins = [_origin(edit, source) for source in affine.sources]
    for known in ((_origin(edit, cell.c),), edit.graph.state_inputs, edit.graph.inputs):
        if len(fits) > 1:
            fits = [k for k in fits if origins[k] in known] or fits
    if not fits or (len(fits) > 1 and origins[0] in edit.graph.inputs):
        return None
    h = fits[-1]
    return replace(
        affine,
        sources=(affine.sources[1 - h], affine.sources[h]),
        weights=(affine.weights[1 - h], affine.weights[h]),
    )


def _one_batch(edit: Editor, cell: _Cell, products: _Affine, z: str) -> bool:
    """Do all values have one batch? A cell may also broadcast one state over several inputs, which an LSTM does not."""
    hidden = edit.shape(cell.c_next)[-1]
    widths = {z: 4 * hidden, cell.c: hidden, cell.c_next: hidden, cell.h_next: hidden}
    widths |= {source: w.shape[1] for source, w in zip(products.sources, products.weights, strict=True)}
    return len({edit.graph.types[edge].size // width for edge, width in widths.items()}) == 1


def _origin(edit: Editor, edge: str) -> str:
    """The edge that this one is taken from, where it is only moved."""
    for above in _above(edit, edge):
        edge = above
    return edge


# --- the LSTM --------------------------------------------------------------------------------------------------------


def _replace(edit: Editor, cell: _Cell, affine: _Affine, order: list[str], operators: tuple[Operator, ...]) -> None:
    name = common_name(edit.graph, operators, operators[0].name)
    hidden = edit.shape(cell.c_next)[-1]
    batch = edit.graph.types[cell.c].size // hidden
    bias = np.concatenate([affine.bias, np.zeros(4 * hidden)]).astype(np.float32)
    rows = np.concatenate([np.arange(order.index(g) * hidden, (order.index(g) + 1) * hidden) for g in _ONNX_ORDER])
    width = affine.weights[0].shape[1]
    made: list[Operator] = []

    def shaped(edge: str, what: str, *shape: int) -> str:
        new = edit.add_edge(f"{name}:{what}", shape)
        made.append(reshape(f"{name}:{what}", edge, new, shape))
        return new

    inputs = (
        shaped(affine.sources[0], "x", 1, batch, width),
        edit.add_constant(f"{name}:W", np.ascontiguousarray(affine.weights[0][rows])[None]),
        edit.add_constant(f"{name}:R", np.ascontiguousarray(affine.weights[1][rows])[None]),
        edit.add_constant(f"{name}:B", bias[np.concatenate([rows, np.arange(4 * hidden, 8 * hidden)])][None]),
        "",
        shaped(affine.sources[1], "initial_h", 1, batch, hidden),
        shaped(cell.c, "initial_c", 1, batch, hidden),
    )
    finals = [edit.add_edge(f"{name}:{what}", (1, batch, hidden)) for what in ("h", "c")]
    lstm = Operator(name, "LSTM", inputs, ("", *finals), {"hidden_size": hidden})
    made += edit.canonical(lstm)
    for edge, final in zip((cell.h_next, cell.c_next), finals, strict=True):
        made.append(reshape(f"{final}:shape", final, edge, edit.shape(edge)))
    detail = f"gates in the order {', '.join(order)}"
    edit.replace(operators[0], made, "LSTM recovered", detail, operators)
