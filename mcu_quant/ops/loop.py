"""Loop and Scan that stay loops: a body that runs step by step, with what it carries, scans, stacks and captures.

As one operator (how the frontend and the passes see it), with the attributes

    body      a `Graph`: one step. Its states are what is carried from step to step, its inputs are slices of what is
              scanned, values of the graph around it and the number of the step; its outputs are what is stacked
    before    names in the body of what is carried; the first inputs of the operator are their values at the start,
              the first outputs those after the last step
    slices    names in the body of slices along the first axis; the next inputs are what they are slices of.
              `slices_backwards`: whether the last comes first
    outer     names in the body of values that are the same at each step: the next inputs
    stacks    names in the body of what is stacked along a new first axis, the next outputs. `stacks_backwards`
    count     how often the body runs, None if only data says
    index     name in the body of the number of the step, or ""
    condition which of `before` is the truth value that lets the next step begin, or ""
    limited   whether there is one more input, the scalar number of steps

and taken apart into a range of operators (`Graph.loops`), which four operators connect with the rest: LoopStart gives
the value of the first step, LoopSlice and LoopStack take and put the slice of a step, LoopResult is what was carried
out of the last. None of them computes: slices are views that move with the step, and what is carried stays in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Canonical, Formats, Given, NodeContext, OpLowering, OpSpec, Sample, register


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """The frontend has made the body a graph where it could; any other loop is refused."""
    if "body" not in op.attributes:
        message = f"{op.op} is left after folding: it depends on data at run time"
        raise DiagnosticError(Diagnostic("MQ107", op.name, message, help="export the model unrolled"))
    return Canonical((Operator(op.name, "Loop", op.inputs, op.outputs, op.attributes),))


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Types of what is carried and of what is stacked, from the body."""
    a = op.attributes
    body: Graph = a["body"]
    stacked = (body.types[name] for name in a["stacks"])
    return (
        *(body.types[name] for name in a["before"]),
        *(TensorType((a["count"] or 0, *t.shape), t.dtype) for t in stacked),
    )


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Step by step."""
    from mcu_quant.interpret import execute  # it calls references itself

    a = op.attributes
    body: Graph = a["body"]
    n, m = len(a["before"]), len(a["slices"])
    carried = dict(zip(a["before"], inputs[:n], strict=True))
    wholes = inputs[n : n + m]
    outer = dict(zip(a["outer"], inputs[n + m :], strict=False))
    limit = int(np.ravel(inputs[-1])[0]) if a["limited"] else None
    after = {p.input: p.output for s in body.states for p in s.pieces}
    stacks: list[list[Array]] = [[] for _ in a["stacks"]]
    step = 0
    while a["count"] is None or step < a["count"]:
        if (limit is not None and step >= limit) or (a["condition"] and not carried[a["condition"]].all()):
            break
        slices = (w[-1 - step if back else step] for w, back in zip(wholes, a["slices_backwards"], strict=True))
        feeds = {**outer, **dict(zip(a["slices"], slices, strict=True))}
        feeds |= {a["index"]: np.array(step, np.int64)} if a["index"] else {}
        values = execute(body, {**feeds, **{k: carried[k] for k in after}})
        carried |= {before: values[o] for before, o in after.items()}
        for parts, name in zip(stacks, a["stacks"], strict=True):
            parts.append(values[name])
        step += 1
    backwards = a["stacks_backwards"]
    made = (np.stack(p[::-1] if back else p) for p, back in zip(stacks, backwards, strict=True))
    return (*carried.values(), *made)


def macs(op: Operator, graph: Graph) -> int:
    """Those of the body, at each step."""
    from mcu_quant import ops

    body: Graph = op.attributes["body"]
    return (op.attributes["count"] or 1) * sum(ops.spec(inner).macs(inner, body) for inner in body.operators)


#: One step of a smoothing that is no recurrent layer.
LOW_PASS = """step (float[6] before, float[6] x) => (float[6] after, float[6] y)
    <float half = {0.5}> { sum = Add(before, x) after = Mul(sum, half) y = Tanh(after) }"""

LOOP = register(
    OpSpec(
        name="Loop",
        onnx=("Loop", "Scan"),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        mixed=True,
        macs=macs,
        family="loop",
        samples=(
            Sample("Scan", (Given((6,)), Given((30, 6))), {"num_scan_inputs": 1, "body": LOW_PASS}, outputs=2),
            Sample(
                "Scan",
                (Given((6,)), Given((30, 6))),
                {"num_scan_inputs": 1, "scan_input_directions": [1], "scan_output_directions": [1], "body": LOW_PASS},
                outputs=2,
                name="backwards",
            ),
        ),
    )
)


# --- taken apart -----------------------------------------------------------------------------------------------------


def _same(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    return (inputs[0],)


def _slice_type(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    assert types[0]
    return (TensorType(types[0].shape[1:], types[0].dtype),)


def _stack_type(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    assert types[0]
    return (TensorType((op.attributes["count"], *types[0].shape), types[0].dtype),)


def _same_type(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    assert types[0]
    return (types[0],)


def _one_step(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    raise AssertionError(f"{op.name}: what a slice is depends on the step; the loop runs it")


def _start(op: Operator, lo: Lowering) -> None:
    """Nothing yet: how the value is stored is decided in the loop, which then has it set before its first step."""


def _result(op: Operator, lo: Lowering) -> None:
    lo.stored(op.inputs[0])
    lo.view(op.outputs[0], op.inputs[0])


def _slice(op: Operator, lo: Lowering) -> None:
    lo.slice_of_step(op.outputs[0], op.inputs[0], op.attributes["backwards"])


def _stack(op: Operator, lo: Lowering) -> None:
    lo.stack_of_steps(op.outputs[0], op.inputs[0], op.attributes["backwards"])


for _name, _reference, _infer, _lower in (
    ("LoopStart", _same, _same_type, _start),
    ("LoopResult", _same, _same_type, _result),
    ("LoopSlice", _one_step, _slice_type, _slice),
    ("LoopStack", _one_step, _stack_type, _stack),
):
    register(
        OpSpec(
            name=_name,
            onnx=(),
            infer=_infer,
            reference=_reference,
            carries=True,
            family="layout",
            lowerings=(OpLowering("f32", Formats("f32", "f32"), _lower),),
        )
    )
