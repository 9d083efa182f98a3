"""Scan and Loop: a recurrent layer where the body is one, else the steps one by one, or a loop in the firmware.

Cases, cited in the code:
1. The body is a recurrent layer (`layers.py`): the layer takes the place of the loop, however many steps it has.
2. What the loop reads is known: each step becomes nodes of its own, `NAME@STEP`, which folding then removes. So do
   loops of one step, and those whose steps are `FEW_NODES` together at most: fusing across steps saves more than a loop
   does. A loop in a body comes apart in the next round.
3. Any other loop stays one (`kept_loops.py`), with its body in the firmware once; how often it runs may depend on data.
4. Where the body cannot be imported by itself (shapes that grow from step to step, branches on the number of the step),
   each step becomes nodes of its own, as long as these are `MOST_NODES` at most.

Refused, with the reason: what `known_loops.py` refuses, and what none of the cases takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir

from mcu_quant.diagnostics import Diagnostic
from mcu_quant.frontend.branches import select_branches
from mcu_quant.frontend.fold import fold
from mcu_quant.frontend.kept_loops import as_loop, with_loops
from mcu_quant.frontend.known_loops import Steps, Unknown, opset_of, steps_of
from mcu_quant.frontend.layers import as_layers
from mcu_quant.frontend.loop_to_scan import as_scans
from mcu_quant.frontend.nodes import Writer, copied, discard
from mcu_quant.frontend.read import ONNX_DOMAINS
from mcu_quant.frontend.schedule import known
from mcu_quant.ir import Graph, Rewrite

#: Nodes that all steps of all loops of a model may become.
MOST_NODES = 4000
#: Nodes that the steps of a loop may become without need: about what the code of a loop of its own takes.
FEW_NODES = 40


@dataclass(frozen=True, eq=False)
class Unfolded:
    """What was rewritten; a diagnostic for each loop and branch that stays, by the name of its node; the attributes of
    loops that are kept, likewise."""

    rewrites: list[Rewrite]
    refused: dict[str, Diagnostic]
    kept: dict[str, Mapping[str, Any]]

    @property
    def finish(self) -> Callable[[Graph], Graph]:
        """Gives the graph that is made of the model the bodies of its loops."""
        return with_loops(self.kept)


def unfold(model: onnx_ir.Model) -> Unfolded:
    """Replace every loop, and every branch that data decides, in place where it can be, and fold again."""
    found = Unfolded([], {}, {})
    room = MOST_NODES
    while True:
        scans = as_scans(model)
        if scans:
            found.rewrites.extend(scans)
            fold(model)
        made = 0
        for node in [n for n in model.graph if n.op_type in ("Scan", "Loop") and n.domain in ONNX_DOMAINS]:
            steps = steps_of(node, opset_of(model))
            done = steps if isinstance(steps, Unknown) else _replace(model, steps, room, found)
            if isinstance(done, Unknown):
                found.refused[str(node.name)] = Diagnostic("MQ107", str(node.name), done.reason, help=done.help)
                continue
            rewrite, nodes = done
            found.rewrites.append(rewrite)
            room -= nodes
            made += 1
        if not made:
            chosen, undecided = select_branches(model)
            found.rewrites.extend(chosen)
            found.refused.update(undecided)
            if not chosen:
                return found
        fold(model)


def _inside(model: onnx_ir.Model) -> Callable[[Graph], Graph]:
    """Treat the loops in a body."""
    return unfold(model).finish


def _replace(model: onnx_ir.Model, steps: Steps, room: int, found: Unfolded) -> tuple[Rewrite, int] | Unknown:
    """What was done, and how many nodes of the room that took."""
    kind, name = steps.node.op_type, str(steps.node.name)
    writer = Writer(name, opset_of(model))
    layers = as_layers(steps, writer, model)
    if layers is not None:  # case 1
        _put(model, steps, writer, layers.results)
        return Rewrite(f"{kind} is a recurrent layer", name, f"{layers.what}, {steps.count} steps"), 0
    discard(writer.nodes)
    size = (steps.fixed or 0) * sum(1 for _ in onnx_ir.traversal.RecursiveGraphIterator(steps.body))
    few = steps.fixed is not None and (steps.fixed <= 1 or size <= FEW_NODES or (_known(steps) and size <= room))
    reason = ""
    if not few:  # case 3
        writer = Writer(name, opset_of(model))
        kept = as_loop(steps, writer, model, _inside)
        if isinstance(kept, str):
            reason = kept
        else:
            found.kept[name] = kept.attributes
            _put(model, steps, writer, kept.results)
            return Rewrite(f"{kind} stays a loop", name, _times(steps)), 0
        discard(writer.nodes)
    return _one_by_one(model, steps, size, room, reason)  # cases 2 and 4


def _one_by_one(model: onnx_ir.Model, steps: Steps, size: int, room: int, reason: str) -> tuple[Rewrite, int] | Unknown:
    kind, name = steps.node.op_type, str(steps.node.name)
    if steps.fixed is None:
        message = f"{kind}: when it ends depends on data at run time, and its body cannot stay a loop: {reason}"
        return Unknown(message, "export it with a fixed number of steps")
    if size > room:
        message = f"{kind}: its {steps.fixed} steps would become {size} nodes; a model may have {MOST_NODES} from loops"
        return Unknown(
            f"{message}. It cannot stay a loop: {reason}",
            "process fewer steps per run, with the state as input and output",
        )
    if steps.fixed == 0 and any(s.whole.uses() or s.whole.is_graph_output() for s in steps.stacked):
        return Unknown(f"{kind} runs no step, but its collected results are used", "remove the loop before exporting")
    _put(model, steps, *_unrolled(model, steps, steps.fixed))
    return Rewrite(f"{kind} unrolled", name, f"{steps.fixed} steps"), size


def _known(steps: Steps) -> bool:
    """Is everything that a loop reads known before a frame arrives?"""
    inside = {o for n in onnx_ir.traversal.RecursiveGraphIterator(steps.body) for o in n.outputs}
    inside |= {*steps.body.inputs, *steps.body.initializers.values()}
    read = {v for n in onnx_ir.traversal.RecursiveGraphIterator(steps.body) for v in n.inputs}
    return all(v is None or v in inside or known(v) is not None for v in (*steps.node.inputs, *read))


def _times(steps: Steps) -> str:
    if steps.fixed is not None:
        return f"{steps.fixed} steps"
    most = "" if steps.count is None else f", at most {steps.count}"
    return f"as many steps as data says{most}"


def _put(model: onnx_ir.Model, steps: Steps, writer: Writer, results: dict[onnx_ir.Value, onnx_ir.Value]) -> None:
    """Put the nodes of the writer where the loop was; `results` are the values that its outputs become."""
    outputs = [o for o in steps.node.outputs if o in results]
    finals = [writer.add("Identity", results[o])[0] for o in outputs]
    onnx_ir.convenience.replace_nodes_and_values(model.graph, steps.node, [steps.node], writer.nodes, outputs, finals)
    discard(onnx_ir.traversal.RecursiveGraphIterator(steps.body))


# --- one by one ------------------------------------------------------------------------------------------------------


def _unrolled(model: onnx_ir.Model, steps: Steps, count: int) -> tuple[Writer, dict[onnx_ir.Value, onnx_ir.Value]]:
    writer = Writer(str(steps.node.name), opset_of(model))
    states = [c.initial for c in steps.carried]
    parts: list[list[onnx_ir.Value]] = [[] for _ in steps.stacked]
    true = writer.constant(np.array(True))
    for step in range(count):
        given = {c.before: state for c, state in zip(steps.carried, states, strict=True)}
        for s in steps.scanned:
            given[s.part] = writer.take(s.whole, s.axis, count - 1 - step if s.backwards else step)
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
