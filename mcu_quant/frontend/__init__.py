"""ONNX to `Graph`: the only package that imports onnx.

    imported = load("model.onnx", bind={"sequence": 576, "sr": 16000})
    print(imported.graph)

Dimensions are bound to numbers (`bind`), local functions and control flow disappear and everything constant is folded
(`fold`), nodes take their canonical form (`convert`), and cache outputs are paired with cache inputs (`states`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import numpy as np
import onnx
import onnx_ir

from mcu_quant.diagnostics import Diagnostic, raise_errors
from mcu_quant.frontend import libraries
from mcu_quant.frontend.bind import Binding, bind_inputs
from mcu_quant.frontend.causes import root_causes
from mcu_quant.frontend.contributed import in_onnx
from mcu_quant.frontend.convert import canonicalise, raw_graph, without_empty_ports
from mcu_quant.frontend.expand import expand
from mcu_quant.frontend.fold import contradictions, fold, prepare
from mcu_quant.frontend.integer_products import in_qdq_form
from mcu_quant.frontend.lengths import by_steps
from mcu_quant.frontend.loops import unfold
from mcu_quant.frontend.read import checked, opset, read
from mcu_quant.frontend.states import Pairing, pair
from mcu_quant.frontend.stream import streamed
from mcu_quant.ir import Array, Graph, State, TensorType, check

__all__ = ["Binding", "Imported", "Pairing", "load", "load_whole"]


@dataclass(frozen=True, eq=False)
class Imported:
    """A model as the rest of the system sees it, and every choice that importing it took.

    `notes` are sentences for the user: what was folded, and inputs that look like states but have no partner. `stream`
    are the nodes that were made to carry their state. `empty` are outputs without elements, which no firmware computes.
    """

    graph: Graph
    bindings: tuple[Binding, ...] = ()
    pairings: tuple[Pairing, ...] = ()
    notes: tuple[str, ...] = ()
    stream: tuple[str, ...] = ()
    empty: Mapping[str, TensorType] = field(default_factory=dict)


def load(
    path: str | PathLike[str],
    bind: Mapping[str, int] | None = None,
    states: Sequence[tuple[str, str]] = (),
    pipeline: Mapping[str, int] | None = None,
    stream: Sequence[str] = (),
) -> Imported:
    """Import an ONNX model.

    Args:
        path: The file; weights in files beside it are found.
        bind: Numbers for dynamic dimensions and scalar inputs, by name; `INPUT.AXIS` for a dimension without a name.
        states: Pairs (cache output, cache input) that the user names.
        pipeline: As `bind`, from the audio pipeline of a known model; `bind` wins, and unknown names are ignored.
        stream: Names of recurrent layers and loops that start afresh in every run, and shall carry their state.

    Raises:
        DiagnosticError: MQ101 to MQ114, all problems that can be known at once.
    """
    file = Path(path)
    bound = bind or {}, pipeline or {}
    proto, carried = streamed(read(file), stream, lambda model, names: _values(model, names, *bound))
    imported = _imported(proto, file.stem, *bound)
    paired = pair(imported.graph, tuple(dict.fromkeys((*states, *((s.output, s.input) for s in carried)))))
    graph = _starting(paired.graph, {s.input: s.initial for s in carried if s.initial is not None})
    notes = (*imported.notes, *paired.notes)
    return _sound(replace(imported, graph=graph, pairings=paired.pairings, notes=notes, stream=tuple(stream)))


def load_whole(model: onnx.ModelProto, bind: Mapping[str, int] | None = None) -> Imported:
    """Import a model in memory as it stands: caches stay inputs and outputs, nothing is carried from run to run.

    Inputs and outputs without elements, which firmware refuses, are dropped.

    Raises:
        DiagnosticError: MQ104 to MQ112, all problems that can be known at once.
    """
    return _sound(_imported(checked(model), model.graph.name or "model", bind or {}, {}, whole=True))


def _starting(graph: Graph, initial: Mapping[str, Array]) -> Graph:
    """The graph with states that do not start from zero."""

    def start(state: State) -> State:
        value = np.asarray(initial.get(state.input, state.initial), state.type.dtype)
        return replace(state, initial=value.reshape(state.type.shape))

    return replace(graph, states=tuple(start(s) for s in graph.states))


def _values(
    proto: onnx.ModelProto, names: Sequence[str], bind: Mapping[str, int], pipeline: Mapping[str, int]
) -> dict[str, Array | None]:
    """The values of edges by name, where they are constant after folding."""
    wanted = onnx.ModelProto()
    wanted.CopyFrom(proto)
    del wanted.graph.output[:]
    wanted.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    model = libraries.to_ir(expand(wanted))
    prepare(model)
    bind_inputs(model, bind, pipeline)
    fold(model)
    tensors = [onnx_ir.convenience.get_const_tensor(v) for v in model.graph.outputs]
    return {n: None if t is None else t.numpy() for n, t in zip(names, tensors, strict=True)}


def _imported(
    proto: onnx.ModelProto, name: str, bind: Mapping[str, int], pipeline: Mapping[str, int], whole: bool = False
) -> Imported:
    """Everything but the states."""
    proto, written = in_onnx(proto)
    model = libraries.to_ir(expand(in_qdq_form(proto)))
    prepare(model)
    bindings = bind_inputs(model, bind, pipeline)
    folded = fold(model)
    stepped = by_steps(model)
    if stepped:
        fold(model)
    unfolded = unfold(model)
    raw, problems = raw_graph(model, name)
    raw = unfolded.finish(raw)
    raise_errors([*_contradicting(problems, contradictions(model)), *(p for p in problems if p.code == "MQ105")])
    raw, empty = without_empty_ports(raw) if whole else (raw, {})
    graph, more = canonicalise(raw, opset(proto))
    problems += [unfolded.refused.get(d.where, d) if d.code == "MQ107" else d for d in more]
    raise_errors(root_causes(raw, problems))
    graph = replace(graph, rewrites=(*written, *stepped, *unfolded.rewrites, *graph.rewrites))
    notes = [f"folded {folded} nodes that do not depend on an input"] if folded else []
    return Imported(graph, bindings, (), tuple(notes), empty=empty)


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
