"""The ONNX libraries, as the import calls them: a model that one of them stumbles over is refused, with its words.

A valid model goes through; one that a library cannot take breaks a rule that the library relies on. Nothing of our own
runs inside these calls, so that a defect of ours never passes for a fault of the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import onnx
import onnx.inliner
import onnx.shape_inference
import onnx_ir
import onnxscript.optimizer
from onnx_ir.passes.common import InlinePass, RemoveInitializersFromInputsPass

from mcu_quant.diagnostics import Diagnostic, DiagnosticError

#: Characters of a library's explanation that are passed on.
_WORDS = 400


def to_ir(model: onnx.ModelProto) -> onnx_ir.Model:
    """A model as onnx-ir holds it.

    Raises:
        DiagnosticError: MQ111 if the library does not take it, as all functions here.
    """
    with _refused(model.graph.name):
        return onnx_ir.from_proto(model)


def to_proto(model: onnx_ir.Model) -> onnx.ModelProto:
    """A model as protobuf holds it."""
    with _refused(model.graph.name):
        return onnx_ir.to_proto(model)


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with calls of local functions replaced by their bodies."""
    made = to_ir(model)
    inline(made)
    return to_proto(made)


def inline(model: onnx_ir.Model) -> None:
    """Replace calls of local functions by their bodies, in place."""
    with _refused(model.graph.name):
        InlinePass()(model)


def with_bodies(model: onnx.ModelProto, kinds: Iterable[tuple[str, str]]) -> onnx.ModelProto:
    """The model with operators (domain, type) replaced by the bodies that the standard gives them."""
    with _refused(model.graph.name):
        return onnx.inliner.inline_selected_functions(model, list(kinds), inline_schema_functions=True)


def defaults_as_constants(model: onnx_ir.Model) -> None:
    """Turn inputs that only carry a default value into constants, in place."""
    with _refused(model.graph.name):
        RemoveInitializersFromInputsPass()(model)


def fold_constants(model: onnx_ir.Model, foldable: Callable[[onnx_ir.Node], bool], largest: int) -> None:
    """Compute what is constant, up to that many elements, decide If, infer shapes, drop what nobody reads; in place."""
    with _refused(model.graph.name), _quiet():
        onnxscript.optimizer.fold_constants(
            model, onnx_shape_inference=True, should_fold=foldable, output_size_limit=largest
        )
        onnxscript.optimizer.remove_unused_nodes(model)


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the types and shapes that ONNX infers."""
    with _refused(model.graph.name):
        return onnx.shape_inference.infer_shapes(model, data_prop=True)


@contextmanager
def _refused(model: str | None) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the libraries have no common base class for what they raise
        reason = " ".join(str(error.__cause__ or error).split())
        message = f"the ONNX libraries cannot take it apart: {type(error).__name__}: {reason[:_WORDS]}"
        raise DiagnosticError(Diagnostic("MQ111", model or "graph", message, help="export the model again")) from error


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
