"""Relu and Clip move into the operator whose result they limit.

Before: y = Relu(Conv(x)).   After: y = Conv(x) with activation_min = 0.

Cases, cited in the code:
1. Relu limits to [0, inf), Clip to [min, max]; limits that are there already are limited again.
2. A Reshape between the operator and the activation moves behind it.

Refused: the unlimited result is used elsewhere, too.
"""

from __future__ import annotations

from math import inf

from mcu_quant.ir import Graph, Operator
from mcu_quant.passes.affine import rebuilt, weighted_source
from mcu_quant.passes.edit import Editor


def fuse_activations(graph: Graph) -> Graph:
    """Let the operator before a Relu or a Clip limit its result itself."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op not in ("Relu", "Clip") or not edit.free(op):
            continue
        source = weighted_source(edit, op.inputs[0], any_view=True)
        if source is None:
            continue
        target = source.op
        low, high = (0.0, inf) if op.op == "Relu" else (float(op.attributes["min"]), float(op.attributes["max"]))
        attributes = {  # case 1
            **target.attributes,
            "activation_min": min(max(float(target.attributes.get("activation_min", -inf)), low), high),
            "activation_max": min(max(float(target.attributes.get("activation_max", inf)), low), high),
        }
        changed = Operator(target.name, target.op, target.inputs, target.outputs, attributes)
        taken = [target, *([source.view] if source.view else [])]
        edit.replace(op, rebuilt(edit, source, op, changed), "activation fused", f"into {target.name}", taken)
    return edit.done()
