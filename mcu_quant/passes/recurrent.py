"""Outputs of recurrent operators that hold the same values become one.

Before: Y, Y_h = LSTM(X) over one time step in one direction, both used.
After:  Y is a Reshape of Y_h: the operator writes its result once, and straight into the state where h is one.

Refused for more than one time step or direction: there Y holds more than Y_h.
"""

from __future__ import annotations

from dataclasses import replace

from mcu_quant.ir import Graph
from mcu_quant.passes.edit import Editor, reshape

RECURRENT = ("LSTM", "GRU", "RNN")


def merge_last_step(graph: Graph) -> Graph:
    """Let recurrent operators over one time step write their result once."""
    edit = Editor(graph)
    for op in graph.operators:
        sequence = op.output(0)
        if op.op not in RECURRENT or not sequence or edit.shape(sequence)[:1] != (1,):
            continue
        _, directions, batch, hidden = edit.shape(sequence)
        if directions != 1 or op.attributes.get("layout", 0):
            continue
        final = op.output(1) or edit.add_edge(f"{sequence}:h", (directions, batch, hidden))
        outputs = ("", final, *op.outputs[2:])
        made = [replace(op, outputs=outputs), reshape(f"{op.name}:Y", final, sequence, edit.shape(sequence))]
        edit.replace(op, made, "the only time step is the last")
    return edit.done()
