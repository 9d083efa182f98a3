"""ONNX to `Graph`: the only package that imports onnx.

    imported = load("model.onnx", bind={"sequence": 576, "sr": 16000})
    print(imported.graph)

Dimensions are bound to numbers (`bind`), local functions and control flow disappear and everything constant is folded
(`fold`), nodes take their canonical form (`convert`), and cache outputs are paired with cache inputs (`states`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import onnx
import onnx_ir

from mcu_quant.diagnostics import Diagnostic, DiagnosticError, raise_errors
from mcu_quant.frontend.bind import Binding, bind_inputs
from mcu_quant.frontend.convert import canonicalise, raw_graph
from mcu_quant.frontend.expand import expand
from mcu_quant.frontend.fold import contradictions, fold, prepare
from mcu_quant.frontend.loops import unfold
from mcu_quant.frontend.read import checked, opset, read
from mcu_quant.frontend.states import Pairing, pair
from mcu_quant.ir import Graph, check

__all__ = ["Binding", "Imported", "Pairing", "load", "load_whole"]


@dataclass(frozen=True, eq=False)
class Imported:
    """A model as the rest of the system sees it, and every choice that importing it took.

    `notes` are sentences for the user: what was folded, and inputs that look like states but have no partner.
    """

    graph: Graph
    bindings: tuple[Binding, ...] = ()
    pairings: tuple[Pairing, ...] = ()
    notes: tuple[str, ...] = ()


def load(
    path: str | PathLike[str],
    bind: Mapping[str, int] | None = None,
    states: Sequence[tuple[str, str]] = (),
    pipeline: Mapping[str, int] | None = None,
) -> Imported:
    """Import an ONNX model.

    Args:
        path: The file; weights in files beside it are found.
        bind: Numbers for dynamic dimensions and scalar inputs, by name; `INPUT.AXIS` for a dimension without a name.
        states: Pairs (cache output, cache input) that the user names.
        pipeline: As `bind`, from the audio pipeline of a known model; `bind` wins, and unknown names are ignored.

    Raises:
        DiagnosticError: MQ101 to MQ112, all problems that can be known at once.
    """
    file = Path(path)
    imported = _imported(read(file), file.stem, bind or {}, pipeline or {})
    paired = pair(imported.graph, states)
    return _sound(replace(imported, graph=paired.graph, pairings=paired.pairings, notes=(*imported.notes, *paired.notes)))


def load_whole(model: onnx.ModelProto, bind: Mapping[str, int] | None = None) -> Imported:
    """Import a model in memory as it stands: caches stay inputs and outputs, nothing is carried from run to run.

    Raises:
        DiagnosticError: MQ104 to MQ112, all problems that can be known at once.
    """
    return _sound(_imported(checked(model), model.graph.name or "model", bind or {}, {}))


def _imported(proto: onnx.ModelProto, name: str, bind: Mapping[str, int], pipeline: Mapping[str, int]) -> Imported:
    """Everything but the states."""
    with _libraries_refuse(name):
        model = onnx_ir.from_proto(expand(proto))
        prepare(model)
    bindings = bind_inputs(model, bind, pipeline)
    with _libraries_refuse(name):
        folded = fold(model)
        rewrites, refused = unfold(model)
    raw, problems = raw_graph(model, name)
    with _libraries_refuse(name):
        reasons = contradictions(model)
    raise_errors(_contradicting(problems, reasons))
    graph, more = canonicalise(raw, opset(proto))
    raise_errors([*problems, *(refused.get(d.where, d) if d.code == "MQ107" else d for d in more)])
    graph = replace(graph, rewrites=(*rewrites, *graph.rewrites))
    notes = [f"folded {folded} nodes that do not depend on an input"] if folded else []
    return Imported(graph, bindings, (), tuple(notes))


def _sound(imported: Imported) -> Imported:
    broken = check(imported.graph)
    if broken:
        raise AssertionError("importing made an invalid graph:\n" + "\n".join(broken))
    return imported


def _contradicting(lost: Sequence[Diagnostic], reasons: Mapping[str, str]) -> list[Diagnostic]:
    """Nodes whose types or shapes contradict each other: the model is invalid, at these sizes at least."""
    shapes = {d.where: f"; {d.message}" for d in lost}
    help_ = "bind the dimensions to sizes that fit together (--bind), or export the model again"
    return [Diagnostic("MQ111", node, reason + shapes.get(node, ""), help=help_) for node, reason in reasons.items()]


@contextmanager
def _libraries_refuse(where: str) -> Iterator[None]:
    """A valid model goes through the ONNX libraries; one that a library stumbles over breaks a rule it relies on."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error.__cause__ or error).split())
        message = f"the ONNX libraries cannot take it apart: {type(error).__name__}: {reason[:400]}"
        raise DiagnosticError(Diagnostic("MQ111", where, message, help="export the model again")) from error
