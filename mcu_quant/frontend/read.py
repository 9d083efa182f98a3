"""A file to a valid ONNX model: everything that can be said before any dimension is bound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
import onnx.checker
import onnx.defs
import onnx.external_data_helper
import onnx.helper
import onnx.numpy_helper
import onnx.version_converter
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from mcu_quant.diagnostics import Diagnostic, DiagnosticError, raise_errors

#: Domains whose operators ONNX itself defines; "" is how files write the first.
ONNX_DOMAINS = ("", "ai.onnx")
#: Before this opset, broadcasting was an attribute: such models are converted to a modern one first.
OLDEST_OPSET = 7
MODERN_OPSET = 13

#: What the checker refuses, but the import can say better, or needs not know (shapes of outputs are inferred).
_TOLERATED = ("No Op registered", "No opset import for domain", "Field 'shape' of 'type'")
#: GroupNormalization of opset 18 is; onnxruntime runs it, and so do we.
_DEPRECATED = "is deprecated in domain_version"
EXPORT_AGAIN = "export the model again"


def read(path: Path) -> onnx.ModelProto:
    """Read a model with its external data, and check it against ONNX's own rules.

    Raises:
        DiagnosticError: MQ101, MQ102, MQ104, MQ111; all problems of one kind of check at once.
    """
    model = _parse(path)
    _load_external(model, path)
    return checked(model)


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model in memory, checked against ONNX's own rules, its nodes in order and of no outdated kind.

    Raises:
        DiagnosticError: MQ104, MQ111; all problems of one kind of check at once.
    """
    raise_errors(list(_tensor_problems(model.graph)))
    raise_errors(list(_order_problems(model.graph)))
    raise_errors(list(_validity_problems(model)))
    return _modernise(model)


def opset(model: onnx.ModelProto) -> int:
    """Version of the ONNX operators that the model uses."""
    return max((o.version for o in model.opset_import if o.domain in ONNX_DOMAINS), default=1)


def node_name(node: onnx.NodeProto) -> str:
    """How messages call a node: by its name, or by its first output where the exporter gave none."""
    return node.name or next((o for o in node.output if o), node.op_type)


# --- the file ------------------------------------------------------------------------------------------------------


def _parse(path: Path) -> onnx.ModelProto:
    where = str(path)
    help_ = "check the path, download the file again, or export the model again"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DiagnosticError(Diagnostic("MQ101", where, error.strerror or str(error), help=help_)) from error
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        message = f"not an ONNX file, or cut short ({len(data)} bytes)"
        raise DiagnosticError(Diagnostic("MQ101", where, message, help=help_)) from error
    if not model.ir_version or not (model.graph.node or model.graph.output):
        message = "the file is empty" if not data else f"holds no graph ({len(data)} bytes)"
        raise DiagnosticError(Diagnostic("MQ101", where, message, help=help_))
    if not _is_text(model.graph):
        message = "names in it are not text: the file is damaged"
        raise DiagnosticError(Diagnostic("MQ101", where, message, help=help_))
    return model


def _is_text(graph: onnx.GraphProto) -> bool:
    """Protobuf hands over bytes where a name is not valid UTF-8."""
    for node in graph.node:
        words = (node.name, node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute))
        if not all(isinstance(w, str) for w in words):
            return False
        if not all(_is_text(inner) for attribute in node.attribute for inner in _subgraphs(attribute)):
            return False
    return all(isinstance(v.name, str) for v in (*graph.input, *graph.output, *graph.initializer))


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    """Bring weights that lie in files beside the model into it."""
    problems: list[Diagnostic] = []
    copy_them = f"copy the data files of the model into {path.parent}"
    for tensor in _tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        info = {entry.key: entry.value for entry in tensor.external_data}
        file = path.parent / info.get("location", "")
        if not info.get("location") or not file.is_file():
            message = f"its data file {info.get('location', '')!r} is not there"
            problems.append(Diagnostic("MQ102", tensor.name, message, help=copy_them))
        elif file.stat().st_size < int(info.get("offset", 0)) + int(info.get("length", 0)):
            message = f"its data file {file.name!r} is too short: {file.stat().st_size} bytes"
            problems.append(Diagnostic("MQ102", tensor.name, message, help="download or export the data file again"))
    raise_errors(problems)
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise DiagnosticError(Diagnostic("MQ102", str(path), _first_line(error), help=copy_them)) from error


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every constant of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in _subgraphs(attribute):
                yield from _tensors(inner)


def _subgraphs(attribute: onnx.AttributeProto) -> Iterable[onnx.GraphProto]:
    return (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)


def _tensor_problems(graph: onnx.GraphProto) -> Iterator[Diagnostic]:
    """Constants whose data does not fill their shape."""
    for tensor in _tensors(graph):
        try:
            onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            message = f"its data does not fit its shape {list(tensor.dims)}: {_first_line(error)}"
            yield Diagnostic("MQ111", tensor.name or "constant", message, help=EXPORT_AGAIN)


# --- order ---------------------------------------------------------------------------------------------------------


def _order_problems(graph: onnx.GraphProto) -> Iterator[Diagnostic]:
    """Cycles, and values that nothing computes. A graph that is only out of order can be put in order, so it passes."""
    known = _given(graph)
    made = {o for node in graph.node for o in node.output}
    for node in graph.node:
        for name in dict.fromkeys(_reads(node)):
            if name not in known and name not in made:
                yield Diagnostic("MQ104", node_name(node), f"reads {name!r}, which nothing computes", help=EXPORT_AGAIN)
    for output in graph.output:
        if output.name not in known and output.name not in made:
            yield Diagnostic("MQ104", output.name or "output", "nothing computes this output", help=EXPORT_AGAIN)
    _, stuck = _schedule(graph)
    unknown = {o for n in stuck for o in n.output}
    for node in _cycle(stuck):
        reads = ", ".join(repr(n) for n in dict.fromkeys(_reads(node)) if n in unknown)
        yield Diagnostic("MQ104", node_name(node), f"is part of a cycle: it waits for {reads}", help=EXPORT_AGAIN)


def _given(graph: onnx.GraphProto) -> set[str]:
    """Values that exist before any node runs."""
    constants = {i.name for i in graph.initializer} | {s.values.name for s in graph.sparse_initializer}
    return {i.name for i in graph.input} | constants | {""}


def _schedule(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """The nodes in an order in which they can run, the given one where possible, and those that never can."""
    missing = {o for node in graph.node for o in node.output} - _given(graph)
    done: list[onnx.NodeProto] = []
    waiting = list(graph.node)
    while waiting:
        later = []
        for node in waiting:
            if missing.isdisjoint(_reads(node)):
                missing.difference_update(node.output)
                done.append(node)
            else:
                later.append(node)
        if len(later) == len(waiting):
            break
        waiting = later
    return done, waiting


def _reads(node: onnx.NodeProto) -> list[str]:
    """Values a node needs: its inputs, and what the graphs inside it take from outside."""
    names = list(node.input)
    for attribute in node.attribute:
        for inner in _subgraphs(attribute):
            own = {i.name for i in inner.input} | {i.name for i in inner.initializer}
            own |= {o for n in inner.node for o in n.output} | {""}
            names += [name for n in inner.node for name in _reads(n) if name not in own]
            names += [o.name for o in inner.output if o.name not in own]
    return names


def _cycle(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Of the nodes that can never run, those on a cycle: not the ones that only wait for it."""
    while True:
        read = {name for n in nodes for name in _reads(n)}
        inside = [n for n in nodes if read.intersection(n.output)]
        if len(inside) == len(nodes):
            return nodes
        nodes = inside


# --- validity ------------------------------------------------------------------------------------------------------


def _validity_problems(model: onnx.ModelProto) -> Iterator[Diagnostic]:
    """What ONNX's checker says, of every node; unknown operators are left to the import, which lists them all."""
    found = list(_node_problems(model))
    yield from found
    if found:
        return
    try:
        onnx.checker.check_model(_sorted(model))
    except (onnx.checker.ValidationError, ValueError) as error:
        text = _first_line(error)
        if not text.startswith(_TOLERATED) and _DEPRECATED not in text:
            yield Diagnostic("MQ111", model.graph.name or "graph", text, help=EXPORT_AGAIN)


def _node_problems(model: onnx.ModelProto) -> Iterator[Diagnostic]:
    context = onnx.checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {o.domain: o.version for o in model.opset_import}
    for node in model.graph.node:
        inner = any(True for attribute in node.attribute for _ in _subgraphs(attribute))
        if inner or node.domain not in ONNX_DOMAINS or not onnx.defs.has(node.op_type):
            continue
        try:
            onnx.checker.check_node(node, context)
        except onnx.checker.ValidationError as error:
            text = _first_line(error)
            if not text.startswith("No Op registered") and _DEPRECATED not in text:
                yield Diagnostic("MQ111", node_name(node), text, help=EXPORT_AGAIN)


def _sorted(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its nodes in an order in which they can run."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    result.graph.node.extend(_schedule(model.graph)[0])
    return result


def _modernise(model: onnx.ModelProto) -> onnx.ModelProto:
    model = _sorted(model)
    for nodes in (model.graph.node, *(f.node for f in model.functions)):
        _state_sides(nodes)
    return model if opset(model) >= OLDEST_OPSET else modern(model)


def _state_sides(nodes: Iterable[onnx.NodeProto]) -> None:
    """Write out STFT's default, in place: ONNX's shape inference takes it for the other value."""
    for node in nodes:
        if node.op_type == "STFT" and node.domain in ONNX_DOMAINS and all(a.name != "onesided" for a in node.attribute):
            node.attribute.append(onnx.helper.make_attribute("onesided", 1))


def modern(model: onnx.ModelProto, version: int = MODERN_OPSET) -> onnx.ModelProto:
    """The model with the operators of a modern opset.

    Raises:
        DiagnosticError: MQ111 if ONNX cannot convert it.
    """
    try:
        return onnx.version_converter.convert_version(model, version)
    except (onnx.version_converter.ConvertError, RuntimeError) as error:
        message = f"opset {opset(model)} is too old, and conversion failed: {_first_line(error)}"
        raise DiagnosticError(
            Diagnostic("MQ111", model.graph.name or "graph", message, help=f"export with opset {version} or later")
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return " ".join(text.split("\n\n")[0].split()) or type(error).__name__
