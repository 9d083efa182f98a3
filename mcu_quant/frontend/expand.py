"""Operators that ONNX itself defines by others become those others, unless one is known as it is.

Attention, RotaryEmbedding, GroupNormalization, window functions and dozens more carry their definition, a function
body, in the standard. An operator that has a file in `ops/` is left alone; of any other the body takes its place.
"""

from __future__ import annotations

import onnx
import onnx.inliner

from mcu_quant import ops

#: Control flow has no body; folding decides it.
_KEPT = ("If", "Loop", "Scan", "SequenceMap")


def expand(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace every operator that is not known and has a function body by that body, and those in it likewise."""
    known = {*ops.by_onnx(), *_KEPT}
    if all(node.op_type in known for node in model.graph.node) and not model.functions:
        return model
    kept = [(domain, name) for name in sorted(known) for domain in ("", "ai.onnx")]
    return onnx.inliner.inline_selected_functions(model, kept, exclude=True, inline_schema_functions=True)
