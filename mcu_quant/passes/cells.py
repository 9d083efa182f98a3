"""What recognised recurrent cells become: one recurrent operator over one time step, with views around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcu_quant.ir import Array, Operator
from mcu_quant.passes.edit import Editor, reshape


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell: weights in ONNX's order of gates, edges of x and of the states before and after the step.

    `w` is [gates units, inputs], `r` [gates units, units], `bias` that of W and then that of R. `states` are pairs
    (before, after): h, and c of an LSTM. `operators` are what the cell is spelled with, the first where it ends.
    """

    kind: str
    x: str
    states: tuple[tuple[str, str], ...]
    w: Array
    r: Array
    bias: Array
    operators: tuple[Operator, ...]
    attributes: Mapping[str, object]


def one_batch(edit: Editor, cell: Cell) -> bool:
    """Do all values have one batch? A cell may also broadcast one state over several inputs: that is another thing."""
    units, inputs = cell.r.shape[1], cell.w.shape[1]
    widths = [(cell.x, inputs), *((edge, units) for pair in cell.states for edge in pair)]
    return len({edit.graph.types[edge].size / width for edge, width in widths}) == 1


def separate(edit: Editor, cell: Cell) -> bool:
    """Is nothing inside the cell used elsewhere, and no part of it taken by another?"""
    results = {after for _, after in cell.states}
    inside = [o for op in cell.operators for o in op.outputs if o and o not in results]
    return edit.free(*cell.operators) and all(edit.private(edge, *cell.operators) for edge in inside)


def replace_cell(edit: Editor, cell: Cell) -> None:
    """Put the recurrent operator where the cell is."""
    name = edit.common_name(cell.operators, cell.operators[0].name)
    units, inputs = cell.r.shape[1], cell.w.shape[1]
    batch = edit.graph.types[cell.x].size // inputs
    made: list[Operator] = []

    def shaped(edge: str, what: str, width: int) -> str:
        new = edit.add_edge(f"{name}:{what}", (1, batch, width))
        made.append(reshape(f"{name}:{what}", edge, new, (1, batch, width)))
        return new

    before = [shaped(edge, f"initial_{what}", units) for what, (edge, _) in zip("hc", cell.states, strict=False)]
    inputs_ = (
        shaped(cell.x, "x", inputs),
        edit.add_constant(f"{name}:W", _float(cell.w)[None]),
        edit.add_constant(f"{name}:R", _float(cell.r)[None]),
        edit.add_constant(f"{name}:B", _float(cell.bias)[None]),
        "",
        *before,
    )
    finals = [edit.add_edge(f"{name}:{what}", (1, batch, units)) for what, _ in zip("hc", cell.states, strict=False)]
    op = Operator(name, cell.kind, inputs_, ("", *finals), {"hidden_size": units, **cell.attributes})
    made += edit.canonical(op)
    for (_, after), final in zip(cell.states, finals, strict=True):
        made.append(reshape(f"{final}:shape", final, after, edit.shape(after)))
    detail = ", ".join(op.name for op in cell.operators)
    edit.replace(cell.operators[0], made, f"{cell.kind} recovered", detail, cell.operators)


def stacked(parts: Sequence[Array]) -> Array:
    """Rows or biases of the gates, one below the other."""
    return np.concatenate(parts)


def _float(value: Array) -> Array:
    return np.ascontiguousarray(value, np.float32)
