"""A folded ONNX model to a `Graph` in canonical form, or everything that stands in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir

from mcu_quant import ops
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean
from mcu_quant.frontend.causes import FOLDED
from mcu_quant.frontend.fold import node_label, unique
from mcu_quant.frontend.read import ONNX_DOMAINS
from mcu_quant.ir import Array, Graph, Operator, Rewrite, TensorType, eliminate_dead
from mcu_quant.ops import narrow
from mcu_quant.passes.edit import settled
from mcu_quant.passes.evaluate import evaluate
from mcu_quant.passes.quantised import pair_quantisation
from mcu_quant.passes.steps import followed, of_moved

#: What the graph can hold; other real types have become float32.
_STORED = frozenset(("float32", "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))))
#: Operators to which infinity is a number like any other: a limit, a mask, something to compare with.
_LIMITS = ("Concat", "Equal", "Less", "LessOrEqual", "Max", "Min", "Where")
_CONTROL_FLOW = ("If", "Loop", "Scan")
#: Operators that give nothing where their window finds no place.
_WINDOWED = ("AveragePool", "Conv", "LpPool", "MaxPool", "STFT")


def raw_graph(model: onnx_ir.Model, name: str) -> tuple[Graph, list[Diagnostic]]:
    """Mirror a folded model node by node: ONNX names, ONNX forms, float32 wherever the model computes in reals.

    Where MQ105 is among the problems, the graph cannot be used.
    """
    rewrites: Counter[str] = Counter()
    constants = {str(v.name): _constant(v, rewrites) for v in _constant_values(model)}
    types = {n: TensorType(tuple(a.shape), str(a.dtype)) for n, a in constants.items()}
    nodes = [n for n in model.graph if n.op_type != "Constant"]
    for value in (*model.graph.inputs, *(o for n in nodes for o in n.outputs)):
        if value.name and (type_ := _type(value, rewrites)):
            types[value.name] = type_
    labels = unique([node_label(n) for n in nodes])
    operators = tuple(_operator(n, label) for n, label in zip(nodes, labels, strict=True))
    graph = Graph(
        name=name,
        inputs=tuple(str(v.name) for v in model.graph.inputs),
        outputs=tuple(str(v.name) for v in model.graph.outputs),
        operators=operators,
        types=types,
        constants=constants,
        rewrites=tuple(Rewrite(rule, f"{n} values") for rule, n in sorted(rewrites.items())),
    )
    return _empty_known(graph), [*_unknown_shapes(graph), *_unknown_types(graph), *_too_short(graph)]


def _empty_known(graph: Graph) -> Graph:
    """What is computed without elements is known before anything runs, so that what is made of it can be folded."""
    made = {o for op in graph.operators for o in op.outputs} - set(graph.outputs)
    empty = {n: np.zeros(t.shape, t.dtype) for n, t in graph.types.items() if t.size == 0 and n in made}
    if not empty:
        return graph
    kept = [replace(op, outputs=tuple("" if o in empty else o for o in op.outputs)) for op in graph.operators]
    return replace(
        graph,
        operators=tuple(op for op in kept if any(op.outputs)),
        constants={**graph.constants, **empty},
    )


def without_empty_ports(graph: Graph) -> tuple[Graph, dict[str, TensorType]]:
    """Inputs and outputs without elements are no part of what runs; also which they are."""
    types = {n: graph.types[n] for n in (*graph.inputs, *graph.outputs) if n in graph.types}
    empty = {n: t for n, t in types.items() if t.size == 0}
    given = {n: np.zeros(empty[n].shape, empty[n].dtype) for n in graph.inputs if n in empty}
    left = replace(
        graph,
        inputs=tuple(n for n in graph.inputs if n not in empty),
        outputs=tuple(n for n in graph.outputs if n not in empty),
        constants={**graph.constants, **given},
    )
    return _empty_known(left) if empty else graph, empty


def canonicalise(graph: Graph, opset: int) -> tuple[Graph, list[Diagnostic]]:
    """Bring every operator into the form that the rest of the system knows.

    Before: Squeeze, MatMul with constant weights, Slice with constant inputs ...
    After: Reshape, Gemm, Slice with attributes. What is unknown or not supported stays, with a diagnostic.
    """
    node = ops.NodeContext(graph, opset)
    operators: list[Operator] = []
    constants, types, steps = dict(graph.constants), dict(graph.types), dict(graph.steps)
    problems: list[Diagnostic] = []
    for op in graph.operators:
        problem = _unsupported(op)
        if problem is None and all(n in graph.types for n in (*op.inputs, *op.outputs) if n):
            made = _canonical(op, node)
            if isinstance(made, DiagnosticError):
                problems += made.diagnostics
                continue
            problems += [p for o in made.operators if o.op not in ops.specs() and (p := _missing(o))]
            constants |= made.constants
            types |= made.types
            steps |= {**made.steps, **_steps(op, made, node, steps)}
            if not made.operators:
                node = ops.NodeContext(replace(graph, constants=constants), opset)
            for operator in made.operators:
                known = evaluate(operator, constants)
                if known is None:
                    operators.append(operator)
                else:
                    # what the libraries do not fold (several outputs); readers may need to know that it is constant
                    constants |= known
                    steps |= of_moved(operator, known, constants, steps)
                    node = ops.NodeContext(replace(graph, constants=constants), opset)
        else:
            problems += [problem] if problem else []
            operators.append(op)
    result = replace(graph, operators=tuple(operators), constants=constants, types=types, steps=steps)
    if problems:
        return result, problems + list(_constraint_problems(result))
    # before rules are judged: between the halves of a pair, operators on reals may stand that then read whole numbers
    result = settled(_without_empty(eliminate_dead(result)), pair_quantisation)
    broken = list(_constraint_problems(result))
    explained = {d.where for d in broken}
    return result, [*broken, *(d for d in _empty(result) if d.where not in explained), *_not_finite(result)]


def _steps(op: Operator, made: ops.Canonical, node: ops.NodeContext, steps: Mapping[str, Array]) -> Mapping[str, Array]:
    """Steps of the constants of a canonical form, by bringing the steps of the node's constants into the same form."""

    def again(known: Mapping[str, Array]) -> Mapping[str, Array]:
        seen = replace(node.graph, constants={**node.graph.constants, **known})
        form = _canonical(op, replace(node, graph=seen))
        return {} if isinstance(form, DiagnosticError) else form.constants

    return followed(op.inputs, made.constants, again, steps)


def _canonical(op: Operator, node: ops.NodeContext) -> ops.Canonical | DiagnosticError:
    spec = ops.by_onnx()[op.op]
    rank = len(node.shape(op.inputs[0])) if op.input(0) else 0
    axis = op.attributes.get("axis", 0)
    if not -rank <= axis <= rank:
        message = f"{op.op}: axis {axis} does not exist, its input has {rank} dimensions"
        return DiagnosticError(Diagnostic("MQ111", op.name, message, help="export the model again"))
    if spec.canonicalise is None:
        return ops.Canonical((replace(op, op=spec.name),))
    try:
        return spec.canonicalise(op, node)
    except DiagnosticError as error:
        return error


# --- values --------------------------------------------------------------------------------------------------------


def _constant_values(model: onnx_ir.Model) -> Iterator[onnx_ir.Value]:
    yield from model.graph.initializers.values()
    for node in model.graph:
        if node.op_type == "Constant" and node.domain in ONNX_DOMAINS:
            yield node.outputs[0]


def _constant(value: onnx_ir.Value, rewrites: Counter[str]) -> Array:
    tensor = onnx_ir.convenience.get_const_tensor(value)
    assert tensor is not None, f"{value.name} has no value"
    array = tensor.numpy()
    dtype = _real(str(array.dtype), rewrites)
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is reported
        return array.astype(dtype) if dtype != str(array.dtype) else array.copy()


def _type(value: onnx_ir.Value, rewrites: Counter[str]) -> TensorType | None:
    """The type of a value, if it is a tensor and all its dimensions are known."""
    if value.shape is None or not isinstance(value.type, onnx_ir.TensorType) or not value.type.dtype:
        return None
    sizes = tuple(d for d in value.shape if isinstance(d, int))
    if len(sizes) != len(value.shape):
        return None
    return TensorType(sizes, _real(str(value.type.dtype.numpy()), rewrites))


def _real(dtype: str, rewrites: Counter[str]) -> str:
    """Whatever the model computes reals in, the graph says float32: formats are chosen by the plan.

    Whole numbers of less than 8 bits are held in 8.
    """
    held = "float32" if dtype in ("float16", "bfloat16", "float64") else narrow.HELD.get(dtype)
    if held:
        rewrites[f"{held} instead of {dtype}"] += 1
    return held or dtype


def _operator(node: onnx_ir.Node, label: str) -> Operator:
    kind = node.op_type if node.domain in ONNX_DOMAINS else f"{node.domain}.{node.op_type}"
    attributes = {name: _attribute(a) for name, a in node.attributes.items() if a.type != onnx_ir.AttributeType.GRAPH}
    made = next((str(o.dtype.numpy()) for o in node.outputs if o.dtype), "")
    attributes |= {narrow.ATTRIBUTE: made} if made in narrow.HELD else {}
    return Operator(
        label,
        kind,
        tuple("" if v is None else str(v.name) for v in node.inputs),
        tuple(v.name or "" for v in node.outputs),
        attributes,
    )


def _attribute(attribute: onnx_ir.Attr) -> Any:
    value = attribute.value
    if isinstance(value, onnx_ir.TensorProtocol):
        return value.numpy()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return value


# --- what stands in the way ----------------------------------------------------------------------------------------


def _unknown_shapes(graph: Graph) -> Iterator[Diagnostic]:
    """Values without a shape, where it gets lost: not those that only follow from them."""
    for name in graph.inputs:
        if name not in graph.types:
            help_ = "export the model with a shape and a type for every input"
            yield Diagnostic("MQ112", name, "the input is no tensor of a known shape and type", help=help_)
    for op in graph.operators:
        lost = [o for o in op.outputs if o and o not in graph.types]
        if lost and all(i in graph.types for i in op.inputs if i) and _unsupported(op) is None:
            reads = ", ".join(f"{i!r}: {graph.types[i]}" for i in op.inputs if i)
            message = f"the shape of {lost[0]!r} ({op.op} of {reads}) depends on data, or cannot be inferred"
            yield Diagnostic("MQ112", op.name, message, help="bind its inputs (--bind), or replace it before exporting")


def _unknown_types(graph: Graph) -> Iterator[Diagnostic]:
    """Values of a type that no format stores: where one enters, not what only follows from it."""
    strange: set[str] = set()
    makers = {o: op for op in graph.operators for o in op.outputs}
    for name, type_ in graph.types.items():
        if type_.dtype not in _STORED:
            strange.add(name)
            if name not in makers or not strange.intersection(makers[name].inputs):
                where = makers[name].name if name in makers else name
                help_ = "use float32, float16, bool or integers of 8 to 64 bits"
                yield Diagnostic("MQ113", where, f"{name!r} is of type {type_.dtype}", help=help_)


def _unsupported(op: Operator) -> Diagnostic | None:
    stays = op.op in _CONTROL_FLOW and "body" not in op.attributes
    return None if op.op in ops.by_onnx() and not stays else _missing(op)


def _missing(op: Operator) -> Diagnostic:
    if op.op in _CONTROL_FLOW:
        message = f"{op.op} is left after folding: it depends on data at run time"
        help_ = "bind the input that decides it (--bind NAME=N)" if op.op == "If" else "export the model unrolled"
        return Diagnostic("MQ107", op.name, message, help=help_)
    if op.op in FOLDED:
        message = f"{op.op} is left after folding: what it computes depends on data at run time"
        return Diagnostic("MQ107", op.name, message, help="bind its inputs (--bind), or replace it before exporting")
    help_ = did_you_mean(op.op, ops.by_onnx()) or "`mcu-quant ops` lists what is supported"
    return Diagnostic("MQ107", op.name, f"operator {op.op} is not supported", help=help_)


def _constraint_problems(graph: Graph) -> Iterator[Diagnostic]:
    """Broken rules; what reads the result of an unsupported operator is not judged, its inputs are not known."""
    unknown: set[str] = set()
    for op in graph.operators:
        spec = ops.specs().get(op.op)
        if spec is None:
            unknown.update(op.outputs)
            continue
        if any(n in unknown or n not in graph.types for n in (*op.inputs, *op.outputs) if n):
            continue
        for constraint in (ops.reads_reals, *spec.constraints):
            if (wrong := constraint(op, graph)) is not None:
                help_ = f"change the model before exporting it; `mcu-quant ops {spec.name}` lists the rules"
                yield Diagnostic("MQ108", op.name, f"{op.op}: {wrong}", ops.rule(constraint), help_)


def _without_empty(graph: Graph) -> Graph:
    """Drop operands without elements from Concat, where they are harmless."""
    empty = {n for n, t in graph.types.items() if t.size == 0}
    operators = []
    for op in graph.operators:
        kept = tuple(i for i in op.inputs if i not in empty)
        operators.append(replace(op, inputs=kept) if op.op == "Concat" and kept else op)
    return eliminate_dead(replace(graph, operators=tuple(operators)))


def _too_short(graph: Graph) -> Iterator[Diagnostic]:
    """Values of a negative size, or of none behind a window, where that begins: the window is longer than its input."""

    def missing(name: str, least: int) -> bool:
        return name in graph.types and any(d < least for d in graph.types[name].shape)

    for op in graph.operators:
        for name in op.outputs:
            if missing(name, int(op.op in _WINDOWED)) and not any(missing(i, 1) for i in op.inputs):
                reads = ", ".join(f"{i!r}: {graph.types[i]}" for i in op.inputs if i in graph.types)
                message = f"{op.op} of {reads} gives {name!r} the shape {list(graph.types[name].shape)}: too short"
                yield Diagnostic("MQ105", op.name, message, help=_SIZES)


_SIZES = "bind dimensions to the sizes the model runs at (--bind)"


def _empty(graph: Graph) -> Iterator[Diagnostic]:
    """Values without elements, where that begins: not those that only follow from them."""
    makers = {o: op for op in graph.operators for o in op.outputs}
    empty = {n for n, t in graph.types.items() if t.size == 0}
    for name in (n for n in graph.types if n in empty):
        if name not in makers or not empty.intersection(makers[name].inputs):
            where = makers[name].name if name in makers else name
            message = f"{name!r} has shape {list(graph.types[name].shape)}: no elements"
            yield Diagnostic("MQ105", where, message, help=_SIZES)


def _masks(op: Operator, array: Array, readers: Mapping[str, Sequence[Operator]]) -> bool:
    """Is a constant added before a softmax, minus infinity where nothing is to be seen?"""
    pure = bool(np.all((array == 0) | np.isneginf(array)))
    softmax = [r.op for r in readers.get(op.outputs[0], ())] == ["Softmax"]
    return op.op == "Add" and (pure or (softmax and not np.isposinf(array).any()))


def _not_finite(graph: Graph) -> Iterator[Diagnostic]:
    readers: Mapping[str, Sequence[Operator]] = graph.consumers()
    order = dict.fromkeys(name for op in graph.operators for name in op.inputs if name in graph.constants)
    for name in [*order, *(n for n in graph.outputs if n in graph.constants)]:
        array = graph.constants[name]
        limit = all(op.op in _LIMITS or _masks(op, array, readers) for op in readers.get(name, ()))
        wrong = np.isnan if limit else lambda values: ~np.isfinite(values)
        bad = int(np.count_nonzero(wrong(array))) if np.issubdtype(array.dtype, np.floating) else 0
        if bad:
            used = ", ".join(op.name for op in readers.get(name, ()))
            message = f"{bad} of {array.size} values are NaN or infinite (read by {used or 'the output'})"
            yield Diagnostic("MQ103", name, message, help="train or convert the model again")
