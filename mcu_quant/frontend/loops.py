"""Scan and Loop with a known number of steps: a recurrent layer where the body is one, else the steps one by one.

Cases, cited in the code:
1. The body is a recurrent layer (`layers.py`): the layer takes the place of the loop, however many steps it has.
2. Otherwise each step becomes nodes of its own, `NAME@STEP`. A loop in a body comes apart in the next round.

Refused, with the reason: what `known_loops.py` refuses, and more than `MOST_NODES` nodes.
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from mcu_quant.diagnostics import Diagnostic
from mcu_quant.frontend.branches import select_branches
from mcu_quant.frontend.fold import fold
from mcu_quant.frontend.known_loops import Steps, Unknown, opset_of, steps_of
from mcu_quant.frontend.layers import as_layers
from mcu_quant.frontend.loop_to_scan import as_scans
from mcu_quant.frontend.nodes import Writer, copied, discard
from mcu_quant.frontend.read import ONNX_DOMAINS
from mcu_quant.ir import Rewrite

#: Nodes that all steps of all loops of a model may become.
MOST_NODES = 4000


def unfold(model: onnx_ir.Model) -> tuple[list[Rewrite], dict[str, Diagnostic]]:
    """Replace every loop, and every branch that data decides, in place where it can be, and fold again.

    Returns:
        What was rewritten, and a diagnostic for each that stays, by the name of its node.
    """
    rewrites: list[Rewrite] = []
    refused: dict[str, Diagnostic] = {}
    room = MOST_NODES
    while True:
        scans = as_scans(model)
        if scans:
            rewrites += scans
            fold(model)
        made = 0
        for node in [n for n in model.graph if n.op_type in ("Scan", "Loop") and n.domain in ONNX_DOMAINS]:
            steps = steps_of(node, opset_of(model))
            done = steps if isinstance(steps, Unknown) else _replace(model, steps, room)
            if isinstance(done, Unknown):
                refused[str(node.name)] = Diagnostic("MQ107", str(node.name), done.reason, help=done.help)
                continue
            rewrite, nodes = done
            rewrites.append(rewrite)
            room -= nodes
            made += 1
        if not made:
            chosen, undecided = select_branches(model)
            rewrites += chosen
            refused |= undecided
            if not chosen:
                break
        fold(model)
    return rewrites, refused


def _replace(model: onnx_ir.Model, steps: Steps, room: int) -> tuple[Rewrite, int] | Unknown:
    """Cases 1 and 2: what was done, and how many nodes of the room that took."""
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
    """Case 2."""
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
        results = copied(steps.body, given, wanted, writer, f"@{step}")
        states = results[: len(states)]
        for part, value in zip(parts, results[len(states) :], strict=True):
            part.append(value)
    made = {c.final: state for c, state in zip(steps.carried, states, strict=True)}
    for s, values in zip(steps.stacked, parts, strict=True):
        if values:
            made[s.whole] = writer.stack(values[::-1] if s.backwards else values, s.axis)
    return writer, made
