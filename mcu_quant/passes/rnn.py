"""A simple recurrent cell spelled out in elementary operators is recognised.

Before: h' = tanh(W x + R h + b), where h is a state of the model and h' its next value.
After:  one RNN over one time step with initial_h = h; h' is its final state.

Only states tell such a cell from two dense layers: where neither h nor h' is one, nothing is recognised.
Refused: other activations, weights that are not constant, a part of the sum that is used elsewhere, too.
"""

from __future__ import annotations

import numpy as np

from mcu_quant.ir import Graph, Operator
from mcu_quant.passes.cells import Cell, one_batch, replace_cell, separate, stacked
from mcu_quant.passes.edit import Editor
from mcu_quant.passes.sums import activated, origin


def recover_rnn(graph: Graph) -> Graph:
    """Put RNN where its parts are."""
    edit = Editor(graph)
    for piece in (p for s in graph.states for p in s.pieces):
        last = edit.maker(origin(edit, piece.output), "Tanh")
        cell = _cell(edit, last, piece.input) if last else None
        if cell is not None and one_batch(edit, cell) and separate(edit, cell):
            replace_cell(edit, cell)
    return edit.done()


def _cell(edit: Editor, last: Operator, h: str) -> Cell | None:
    inside = activated(edit, last.outputs[0], "Tanh")
    if inside is None or inside.values or set(inside.products) - {h} == set(inside.products):
        return None
    others = set(inside.products) - {h}
    units = inside.bias.size
    if len(others) != 1 or inside.products[h].shape != (units, units):
        return None
    [x] = others
    bias = stacked([inside.bias, np.zeros(units, np.float32)])
    operators = (last, *(op for op in inside.operators if op is not last))
    states = ((h, last.outputs[0]),)
    return Cell("RNN", x, states, inside.products[x], inside.products[h], bias, operators, {})
