"""One step of a loop, imported by itself as a streaming model.

What is carried from step to step are its states, what is scanned its inputs, what is stacked its outputs. Weights may
be its own or those of the graph around it; values that the graph around it computes become inputs, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir

from mcu_quant.diagnostics import Diagnostic
from mcu_quant.frontend.convert import canonicalise, raw_graph
from mcu_quant.frontend.fold import fold
from mcu_quant.frontend.known_loops import Steps, opset_of
from mcu_quant.frontend.nodes import discard
from mcu_quant.frontend.states import Pairing, with_states
from mcu_quant.ir import Graph, eliminate_dead
from mcu_quant.passes import optimise
from mcu_quant.passes.unpack_states import place_states, unpack_states

_IR_VERSION = 10

#: The name of the number of the step.
INDEX = "step"

Prepare = Callable[[onnx_ir.Model], Callable[[Graph], Graph]]
"""Treats the loops in a body; returns what its graph still needs for those that stay."""


@dataclass(frozen=True, eq=False)
class OneStep:
    """The optimised graph of one step: inputs `scan.K`, `outer.K`, outputs `stack.K`, states `before.K` to `after.K`.

    `outer` are the values outside that the inputs of that name are.
    """

    graph: Graph
    outer: Mapping[str, onnx_ir.Value]


def step_of(steps: Steps, model: onnx_ir.Model, packed: bool = False, prepare: Prepare | None = None) -> OneStep | str:
    """The graph of one step, or the reason why it cannot be imported by itself."""
    body = steps.body.clone(allow_outer_scope_values=True)
    outer = _closed(steps, body)
    made = outer if isinstance(outer, str) else _imported(steps, body, model, packed, prepare)
    discard(onnx_ir.traversal.RecursiveGraphIterator(body))
    if isinstance(outer, str) or isinstance(made, str):
        return str(made)
    return OneStep(made, {name: value for name, value in outer.items() if name in made.inputs})


def _imported(
    steps: Steps, body: onnx_ir.Graph, model: onnx_ir.Model, packed: bool, prepare: Prepare | None
) -> Graph | str:
    alone = onnx_ir.Model(body, ir_version=_IR_VERSION)
    alone.opset_imports.update(model.opset_imports)
    fold(alone)
    finish = prepare(alone) if prepare else None
    raw, problems = raw_graph(alone, "step")
    if problems:
        return _reason(problems)
    graph, problems = canonicalise(_needed(finish(raw) if finish else raw, steps), opset_of(model))
    if problems:
        return _reason(problems)
    pairs = [Pairing(i, i.replace("before", "after"), "loop") for i in graph.inputs if i.startswith("before.")]
    for p in pairs:
        if graph.types[p.input] != graph.types[p.output]:
            return f"what is carried changes from {graph.types[p.input]} to {graph.types[p.output]}"
    # whoever takes the step for one of a layer or loop finds what is carried under its own shape
    return optimise(with_states(graph, pairs), (unpack_states, place_states) if packed else (place_states,))


def _reason(problems: Sequence[Diagnostic]) -> str:
    return "; ".join(f"{d.where}: {d.message}" for d in problems)


def _closed(steps: Steps, body: onnx_ir.Graph) -> dict[str, onnx_ir.Value] | str:
    """Make a copy of the body a graph of its own. Returns what it needs of outside, or what is not known."""
    outer = _take_in(steps, body)
    for value in outer.values():
        if shape_of(value) is None or not isinstance(value.type, onnx_ir.TensorType):
            return f"the shape of {value.name!r} is not known"
    names = _names(steps)
    for k, value in enumerate(body.inputs[: len(steps.body.inputs)]):
        original = steps.body.inputs[k]
        value.name = names.get(original, INDEX if original is steps.index else f"true.{k}")
        whole = _given(steps, original)
        if whole is None:
            value.shape = value.shape or onnx_ir.Shape(())
        elif whole[1] is None:
            return f"the shape of {whole[0].name!r} is not known"
        else:
            value.type, value.shape = whole[0].type, onnx_ir.Shape(whole[1])
        if whole is None and original is steps.condition:
            _make_constant(body, value, np.array(True))
    return outer if _name_outputs(body, steps) else "it has no results"


def _take_in(steps: Steps, body: onnx_ir.Graph) -> dict[str, onnx_ir.Value]:
    """Constants of the graph around become initializers, other values inputs, which are returned by name."""
    inside = {*body.inputs, *body.initializers.values()}
    inside |= {o for n in onnx_ir.traversal.RecursiveGraphIterator(body) for o in n.outputs}
    for graph in body.subgraphs():
        inside |= {*graph.inputs, *graph.initializers.values()}
    given: dict[onnx_ir.Value, onnx_ir.Value] = {}
    outer: dict[str, onnx_ir.Value] = {}

    def taken(value: onnx_ir.Value) -> onnx_ir.Value:
        if value not in given:
            tensor = onnx_ir.convenience.get_const_tensor(value)
            if tensor is None:
                name = f"outer.{len(outer)}"
                given[value] = onnx_ir.Value(name=name, type=value.type, shape=value.shape)
                body.inputs.append(given[value])
                outer[name] = value
            else:
                given[value] = onnx_ir.Value(name=f"outer.{value.name}", const_value=tensor, type=value.type)
                given[value].shape = onnx_ir.Shape(tensor.numpy().shape)
                body.initializers.setdefault(str(given[value].name), given[value])
        return given[value]

    for node in onnx_ir.traversal.RecursiveGraphIterator(body):
        for k, value in enumerate(node.inputs):
            if value is not None and value not in inside and value not in given.values():
                node.replace_input_with(k, taken(value))
    for graph in (body, *body.subgraphs()):
        for k, value in enumerate(graph.outputs):
            if value not in inside and value not in given.values():
                same = onnx_ir.node("Identity", [taken(value)], name=f"{value.name}:same")
                same.outputs[0].name = f"{value.name}:same"
                graph.append(same)
                graph.outputs[k] = same.outputs[0]
                inside.add(same.outputs[0])
    return outer


def _make_constant(
    body: onnx_ir.Graph, value: onnx_ir.Value, array: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> None:
    """Let a constant take the place of an input, which stays without a reader."""
    constant = onnx_ir.node("Constant", [], {"value": onnx_ir.tensor(array)}, name=f"{value.name}:constant")
    constant.outputs[0].name = f"{value.name}:constant"
    body.insert_before(body[0], constant) if len(body) else body.append(constant)
    value.replace_all_uses_with(constant.outputs[0], replace_graph_outputs=True)


def _names(steps: Steps) -> dict[onnx_ir.Value, str]:
    names = {c.before: f"before.{k}" for k, c in enumerate(steps.carried)}
    return names | {s.part: f"scan.{k}" for k, s in enumerate(steps.scanned)}


def _given(steps: Steps, inner: onnx_ir.Value) -> tuple[onnx_ir.Value, tuple[int, ...] | None] | None:
    """The value outside that an input of the body comes from, and the shape of the input if it is known."""
    for c in steps.carried:
        if c.before is inner:
            return c.initial, shape_of(c.initial)
    for s in steps.scanned:
        if s.part is inner:
            shape = shape_of(s.whole)
            return s.whole, None if shape is None else (*shape[: s.axis], *shape[s.axis + 1 :])
    return None


def shape_of(value: onnx_ir.Value) -> tuple[int, ...] | None:
    """The shape of a value, if all of it is known."""
    if value.shape is None:
        return None
    sizes = tuple(d for d in value.shape if isinstance(d, int))
    return sizes if len(sizes) == len(value.shape) else None


def _name_outputs(body: onnx_ir.Graph, steps: Steps) -> bool:
    """Give every output a node and a name of its own."""
    wanted = [(c.after, f"after.{k}") for k, c in enumerate(steps.carried)]
    wanted += [(s.part, f"stack.{k}") for k, s in enumerate(steps.stacked)]
    made = []
    for original, name in wanted:
        node = onnx_ir.node("Identity", [body.outputs[steps.body.outputs.index(original)]], name=f"{name}:output")
        node.outputs[0].name = name
        body.append(node)
        made.append(node.outputs[0])
    body.outputs.clear()
    body.outputs.extend(made)
    return bool(made)


def _needed(graph: Graph, steps: Steps) -> Graph:
    """Without the states on which nothing depends that is used after the loop (a counter of the steps)."""
    results = {f"after.{k}" for k, c in enumerate(steps.carried) if used(c.final) or c is steps.until}
    results |= {f"stack.{k}" for k, s in enumerate(steps.stacked) if used(s.whole)}
    while True:
        kept = eliminate_dead(replace(graph, outputs=tuple(o for o in graph.outputs if o in results)))
        read = {i for op in kept.operators for i in op.inputs} | set(kept.outputs)
        more = {i.replace("before", "after") for i in graph.inputs if i.startswith("before.") and i in read} - results
        if not more:
            alive = [i for i in graph.inputs if i in read or i.replace("before", "after") in results]
            return replace(kept, inputs=tuple(alive))
        results |= more


def used(value: onnx_ir.Value) -> bool:
    """Does anything read a value?"""
    return bool(value.uses()) or value.is_graph_output()
