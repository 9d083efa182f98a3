"""Scan and Loop with a known number of steps: a recurrent layer where the body is one, else the steps one by one.

Cases, cited in the code:
1. Scan, as of opset 9: as many steps as the scanned axes are long, forwards or backwards; any axes, any states.
2. Loop with a constant number of steps and a condition that stays true (or is false from the start).
3. The body is a recurrent layer (`layers.py`): the layer takes the place of the loop, however many steps it has.
4. Otherwise each step becomes nodes of its own, `NAME@STEP`. A loop in a body comes apart in the next round.

Refused, with the reason: numbers of steps that depend on data, more than `MOST_NODES` nodes, Scan of opset 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir

from mcu_quant.diagnostics import Diagnostic
from mcu_quant.frontend.fold import fold
from mcu_quant.frontend.nodes import Writer, discard
from mcu_quant.frontend.read import ONNX_DOMAINS
from mcu_quant.ir import Array, Rewrite

#: Nodes that all steps of all loops of a model may become.
MOST_NODES = 2000
_FIRST_SCAN = 9
#: Loops in loops.
_DEEPEST = 8


@dataclass(frozen=True, eq=False)
class Carried:
    """A value that goes from step to step: what it starts as, its name in the body before and after, the result."""

    initial: onnx_ir.Value
    before: onnx_ir.Value
    after: onnx_ir.Value
    final: onnx_ir.Value


@dataclass(frozen=True, eq=False)
class Sliced:
    """A sequence of which each step sees one slice (`whole` outside, `part` in the body), or the other way round."""

    whole: onnx_ir.Value
    part: onnx_ir.Value
    axis: int
    backwards: bool = False


@dataclass(frozen=True, eq=False)
class Steps:
    """A loop with a known number of steps. `index` is what the body calls the number of the step."""

    node: onnx_ir.Node
    body: onnx_ir.Graph
    count: int
    carried: tuple[Carried, ...]
    scanned: tuple[Sliced, ...] = ()
    stacked: tuple[Sliced, ...] = ()
    index: onnx_ir.Value | None = None
    condition: onnx_ir.Value | None = None


@dataclass(frozen=True)
class Unknown:
    """Why a loop stays, and what to do about it."""

    reason: str
    help: str


def unfold(model: onnx_ir.Model) -> tuple[list[Rewrite], dict[str, Diagnostic]]:
    """Replace every loop that can be, in place, and fold again.

    Returns:
        What was rewritten, and a diagnostic for each loop that stays, by the name of its node.
    """
    rewrites: list[Rewrite] = []
    refused: dict[str, Diagnostic] = {}
    room = MOST_NODES
    for _ in range(_DEEPEST):
        made = 0
        for node in [n for n in model.graph if n.op_type in ("Scan", "Loop") and n.domain in ONNX_DOMAINS]:
            steps = _steps(node, opset_of(model))
            done = steps if isinstance(steps, Unknown) else _replace(model, steps, room)
            if isinstance(done, Unknown):
                refused[str(node.name)] = Diagnostic("MQ107", str(node.name), done.reason, help=done.help)
                continue
            rewrite, nodes = done
            rewrites.append(rewrite)
            room -= nodes
            made += 1
        if not made:
            break
        fold(model)
    return rewrites, refused


def opset_of(model: onnx_ir.Model) -> int:
    """Version of the ONNX operators that the model uses."""
    return max((v for d, v in model.opset_imports.items() if d in ONNX_DOMAINS), default=1)


def _replace(model: onnx_ir.Model, steps: Steps, room: int) -> tuple[Rewrite, int] | Unknown:
    """Cases 3 and 4: what was done, and how many nodes of the room that took."""
    from mcu_quant.frontend.layers import as_layers

    kind, name = steps.node.op_type, str(steps.node.name)
    writer = Writer(name, opset_of(model))
    layers = as_layers(steps, writer, model)
    if layers is not None:
        _put(model, steps, writer, layers.results)
        return Rewrite(f"{kind} is a recurrent layer", name, f"{layers.what}, {steps.count} steps"), 0
    discard(writer.nodes)
    size = steps.count * sum(1 for _ in onnx_ir.traversal.RecursiveGraphIterator(steps.body))
    if size > room:
        reason = f"{kind}: its {steps.count} steps would become {size} nodes; a model may have {MOST_NODES} from loops"
        return Unknown(reason, "process fewer steps per run, with the state as input and output")
    if steps.count == 0 and any(s.whole.uses() or s.whole.is_graph_output() for s in steps.stacked):
        return Unknown(f"{kind} runs no step, but its collected results are used", "remove the loop before exporting")
    _put(model, steps, *_unrolled(model, steps))
    return Rewrite(f"{kind} unrolled", name, f"{steps.count} steps"), size


def _put(model: onnx_ir.Model, steps: Steps, writer: Writer, results: dict[onnx_ir.Value, onnx_ir.Value]) -> None:
    """Put the nodes of the writer where the loop was; `results` are the values that its outputs become."""
    outputs = [o for o in steps.node.outputs if o in results]
    finals = [writer.add("Identity", results[o])[0] for o in outputs]
    onnx_ir.convenience.replace_nodes_and_values(model.graph, steps.node, [steps.node], writer.nodes, outputs, finals)
    discard(onnx_ir.traversal.RecursiveGraphIterator(steps.body))


# --- one by one ------------------------------------------------------------------------------------------------------


def _unrolled(model: onnx_ir.Model, steps: Steps) -> tuple[Writer, dict[onnx_ir.Value, onnx_ir.Value]]:
    """Case 4."""
    writer = Writer(str(steps.node.name), opset_of(model))
    states = [c.initial for c in steps.carried]
    parts: list[list[onnx_ir.Value]] = [[] for _ in steps.stacked]
    true = writer.constant(np.array(True))
    for step in range(steps.count):
        given = {c.before: state for c, state in zip(steps.carried, states, strict=True)}
        for s in steps.scanned:
            given[s.part] = writer.take(s.whole, s.axis, steps.count - 1 - step if s.backwards else step)
        if steps.index is not None:
            given[steps.index] = writer.constant(np.array(step, np.int64))
        if steps.condition is not None:
            given[steps.condition] = true
        wanted = [*(c.after for c in steps.carried), *(s.part for s in steps.stacked)]
        results = _copy(steps.body, given, wanted, writer, f"@{step}")
        states = results[: len(states)]
        for part, value in zip(parts, results[len(states) :], strict=True):
            part.append(value)
    made = {c.final: state for c, state in zip(steps.carried, states, strict=True)}
    for s, values in zip(steps.stacked, parts, strict=True):
        if values:
            made[s.whole] = writer.stack(values[::-1] if s.backwards else values, s.axis)
    return writer, made


def _copy(
    body: onnx_ir.Graph,
    given: dict[onnx_ir.Value, onnx_ir.Value],
    wanted: Sequence[onnx_ir.Value],
    writer: Writer,
    suffix: str,
) -> list[onnx_ir.Value]:
    """Write the nodes of a body with its inputs given; the values that `wanted` (outputs of the body) become."""
    positions = [body.outputs.index(v) for v in wanted]
    copy = body.clone(allow_outer_scope_values=True)
    outputs = [copy.outputs[p] for p in positions]
    copy.outputs.clear()
    inner = dict(zip(copy.inputs, body.inputs, strict=True))
    for value, original in inner.items():
        value.replace_all_uses_with(given[original])
    constants: dict[onnx_ir.Value, onnx_ir.Value] = {}
    for value in tuple(copy.initializers.values()):
        tensor = value.const_value
        assert tensor is not None
        constants[value] = writer.add("Constant", value=tensor)[0]
        value.replace_all_uses_with(constants[value])
    for node in onnx_ir.traversal.RecursiveGraphIterator(copy):
        node.name = f"{node.name}{suffix}"
        for output in node.outputs:
            output.name = f"{output.name}{suffix}" if output.name else output.name
    nodes = list(copy)
    copy.remove(nodes)
    writer.nodes += nodes
    return [constants.get(v, v) if v not in inner else given[inner[v]] for v in outputs]


# --- how many steps --------------------------------------------------------------------------------------------------


def _steps(node: onnx_ir.Node, opset: int) -> Steps | Unknown:
    return _scan(node, opset) if node.op_type == "Scan" else _loop(node)


def _scan(node: onnx_ir.Node, opset: int) -> Steps | Unknown:
    """Case 1."""
    if opset < _FIRST_SCAN:
        return Unknown("Scan of opset 8 has a batch axis and lengths of its own", "export with opset 9 or later")
    body = node.attributes["body"].as_graph()
    scans = node.attributes["num_scan_inputs"].as_int()
    states, stacks = len(body.inputs) - scans, len(body.outputs) - (len(body.inputs) - scans)
    inputs = [v for v in node.inputs if v is not None]
    wholes = inputs[states:]
    if any(v.shape is None or not all(isinstance(d, int) for d in v.shape) for v in wholes):
        return Unknown("Scan: the shape of what it scans is not known", "bind its dimensions (--bind)")
    axes = [a % len(v.shape or ()) for a, v in zip(_ints(node, "scan_input_axes", scans), wholes, strict=True)]
    lengths = {d for v, a in zip(wholes, axes, strict=True) if v.shape and isinstance(d := v.shape[a], int)}
    if len(lengths) != 1:
        return Unknown(f"Scan: what it scans has {sorted(lengths)} steps", "make all scanned axes equally long")
    backwards = _ints(node, "scan_input_directions", scans)
    carried = zip(inputs[:states], body.inputs[:states], body.outputs[:states], node.outputs[:states], strict=True)
    return Steps(
        node,
        body,
        lengths.pop(),
        tuple(Carried(*c) for c in carried),
        tuple(
            Sliced(whole, part, axis, bool(back))
            for whole, part, axis, back in zip(wholes, body.inputs[states:], axes, backwards, strict=True)
        ),
        tuple(
            Sliced(whole, part, axis % (_rank(part) + 1) if axis < 0 else axis, bool(back))
            for whole, part, axis, back in zip(
                node.outputs[states:],
                body.outputs[states:],
                _ints(node, "scan_output_axes", stacks),
                _ints(node, "scan_output_directions", stacks),
                strict=True,
            )
        ),
    )


def _rank(value: onnx_ir.Value) -> int:
    return 0 if value.shape is None else len(value.shape)


def _ints(node: onnx_ir.Node, name: str, count: int) -> list[int]:
    """A list attribute, zeros where it is absent."""
    attribute = node.attributes.get(name)
    return [0] * count if attribute is None else list(attribute.as_ints())


def _loop(node: onnx_ir.Node) -> Steps | Unknown:
    """Case 2."""
    body = node.attributes["body"].as_graph()
    limit, start = (_known(v) for v in node.inputs[:2])
    if start is not None and not start.any():
        count = 0
    elif node.inputs[0] is None or limit is None:
        return Unknown("Loop: the number of its steps depends on data at run time", "bind what decides it (--bind)")
    elif node.inputs[1] is not None and start is None:
        return Unknown("Loop: whether it runs depends on data at run time", "bind what decides it (--bind)")
    elif not _stays_true(body):
        return Unknown("Loop: when it ends depends on data at run time", "export it with a fixed number of steps")
    else:
        count = max(0, int(limit.reshape(-1)[0]))
    initial = [v for v in node.inputs[2:] if v is not None]
    n = len(initial)
    carried = zip(initial, body.inputs[2:], body.outputs[1 : n + 1], node.outputs[:n], strict=True)
    stacked = zip(node.outputs[n:], body.outputs[n + 1 :], strict=True)
    return Steps(
        node,
        body,
        count,
        tuple(Carried(*c) for c in carried),
        (),
        tuple(Sliced(whole, part, 0) for whole, part in stacked),
        body.inputs[0],
        body.inputs[1],
    )


def _stays_true(body: onnx_ir.Graph) -> bool:
    """Is the condition for the next step the one for this step, or true?"""
    value = body.outputs[0]
    while (maker := value.producer()) is not None and maker.op_type in ("Identity", "Cast"):
        source = maker.inputs[0]
        assert source is not None
        value = source
    known = _known(value)
    return value is body.inputs[1] or (known is not None and bool(known.all()))


def _known(value: onnx_ir.Value | None) -> Array | None:
    tensor = None if value is None else onnx_ir.convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())
