"""Inlining, constant folding and shape inference, by the ONNX libraries: nothing dynamic is left after it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnx.shape_inference
import onnx_ir
import onnxscript.optimizer
from onnx_ir.passes.common import (
    InlinePass,
    LiftConstantsToInitializersPass,
    NameFixPass,
    RemoveInitializersFromInputsPass,
)

#: Each round can only shrink the graph; real models need two or three.
_ROUNDS = 20


def prepare(model: onnx_ir.Model) -> None:
    """Inline local functions, and turn inputs that only carry a default value into constants. In place."""
    InlinePass()(model)
    RemoveInitializersFromInputsPass()(model)


def fold(model: onnx_ir.Model) -> int:
    """Fold everything that does not depend on an input, in place. Returns how many nodes that removed.

    Shapes that the file states are dropped first: they were inferred for dynamic dimensions.
    """
    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        for output in node.outputs:
            output.shape = None
    before = _count(model)
    with _quiet():
        for _ in range(_ROUNDS):
            size = _count(model)
            onnxscript.optimizer.fold_constants(model, onnx_shape_inference=True, should_fold=lambda node: True)
            onnxscript.optimizer.remove_unused_nodes(model)
            if _count(model) == size:
                break
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    NameFixPass()(model)
    return before - _count(model)


def contradiction(model: onnx_ir.Model) -> str | None:
    """Why shape inference cannot follow the model, in ONNX's words, if types or shapes contradict each other."""
    try:
        onnx.shape_inference.infer_shapes(onnx_ir.to_proto(model), strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        return " ".join(str(error).split())
    return None


def _count(model: onnx_ir.Model) -> int:
    return sum(1 for _ in onnx_ir.traversal.RecursiveGraphIterator(model.graph))


@contextmanager
def _quiet() -> Iterator[None]:
    """The optimiser warns of nodes it does not fold (those with several outputs); `passes.constants` folds them."""
    logger = logging.getLogger("onnxscript")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
