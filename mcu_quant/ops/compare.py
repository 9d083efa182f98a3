"""Comparisons of two operands with broadcasting, element by element: Equal, Less, LessOrEqual. They give truth values.

Greater and GreaterOrEqual are the same with the operands exchanged, IsNaN and IsInf comparisons with the number itself
and with infinity. Reals are compared in f32, whole numbers and truth values exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    Canonical,
    Fixed,
    Formats,
    Given,
    Kernel,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    given,
    register,
    register_kernel,
)
from mcu_quant.ops.whole import broadcast, call_whole, computed, few_loops, kernel_counts, spread
from mcu_quant.program import Symbol

_FLOAT = {"Equal": np.equal, "Less": np.less, "LessOrEqual": np.less_equal}
_WHOLE = {"Equal": "equal", "Less": "less", "LessOrEqual": "less_or_equal"}
_EXCHANGED = {"Greater": "Less", "GreaterOrEqual": "LessOrEqual"}


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """a > b is b < a."""
    if op.op in _EXCHANGED:
        return Canonical((Operator(op.name, _EXCHANGED[op.op], op.inputs[::-1], op.outputs),))
    if op.op == "IsNaN":
        return _is_nan(op, node)
    if op.op == "IsInf":
        return _is_infinite(op, node)
    return Canonical((op,))


def _is_nan(op: Operator, node: NodeContext) -> Canonical:
    """A number that is not equal to itself."""
    same, true = f"{op.name}:same", f"{op.name}:true"
    steps = (
        Operator(same, "Equal", (op.inputs[0], op.inputs[0]), (same,)),
        Operator(op.name, "Xor", (same, true), op.outputs),
    )
    types = {same: node.type(op.outputs[0]), true: TensorType((), "bool")}
    return Canonical(steps, {true: np.array(True)}, types)


def _is_infinite(op: Operator, node: NodeContext) -> Canonical:
    """Equal to one infinity or the other; the magnitude equal to infinity where both count."""
    x, limit = op.inputs[0], f"{op.name}:infinity"
    negative, positive = (int(op.attributes.get(f"detect_{sign}", 1)) for sign in ("negative", "positive"))
    value = np.array(np.inf if positive else -np.inf, np.float32)
    constants, types = {limit: value}, {limit: TensorType(())}
    if not negative and not positive:
        false = np.zeros(node.shape(x), np.bool_)
        return Canonical((), {op.outputs[0]: false}, {op.outputs[0]: node.type(op.outputs[0])})
    if not (negative and positive):
        return Canonical((Operator(op.name, "Equal", (x, limit), op.outputs),), constants, types)
    size = f"{op.name}:magnitude"
    steps = (Operator(size, "Abs", (x,), (size,)), Operator(op.name, "Equal", (size, limit), op.outputs))
    return Canonical(steps, constants, {**types, size: node.type(x)})


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """The shapes of both operands, broadcast."""
    a, b = types
    assert a and b
    return (TensorType(tuple(np.broadcast_shapes(a.shape, b.shape)), "bool"),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The comparison."""
    a, b = (np.asarray(i) for i in inputs)
    if a.dtype.kind == "f":
        return (np.asarray(_FLOAT[op.op](a, b)),)
    shape = np.broadcast_shapes(a.shape, b.shape)
    return (computed(_WHOLE[op.op], a, b, np.dtype(np.bool_)).reshape(shape),)


def _exact_compare(a: Array, b: Array, loops: dict[str, Any], f: str) -> Array:
    relation = {"mq_is_equal": np.equal, "mq_is_less": np.less, "mq_is_less_or_equal": np.less_equal}[f]
    left, right = (spread(x.ravel(), loops["shape"], loops[step]) for x, step in ((a, "a_step"), (b, "b_step")))
    return np.asarray(relation(left, right)).astype(np.uint8)


register_kernel(Kernel("mq_compare_f32", "whole", counts=kernel_counts, exact=_exact_compare))


def _lower_float(op: Operator, lo: Lowering) -> None:
    a, b = (lo.read(i, "f32") for i in op.inputs)
    f = Symbol(f"mq_is_{_WHOLE[op.op]}")
    lo.call("mq_compare_f32", a=a, b=b, y=lo.write(op.outputs[0]), loops=broadcast(lo, *op.inputs), f=f)


def _lower_whole(op: Operator, lo: Lowering) -> None:
    if ops.is_real(lo.graph, op.inputs[0]):
        _lower_float(op, lo)
    else:
        call_whole(lo, _WHOLE[op.op], op.inputs[0], op.inputs[1], op.outputs[0])


def operands_of_one_kind(op: Operator, graph: Graph) -> str | None:
    """Both operands are of one type."""
    types = [graph.types[i].dtype for i in op.inputs]
    return f"they are {' and '.join(types)}" if len(set(types)) > 1 else None


_LIMITED: tuple[dict[str, int], ...] = ({}, {"detect_negative": 0}, {"detect_positive": 0})


def _samples(name: str) -> tuple[Sample, ...]:
    return (
        Sample(name, (given(3, 1, 9), given(4, 9))),
        Sample(name, (given(2, 9), Fixed(np.array(0.1, np.float32)))),
        *(Sample(name, (Given((2, 9), 0, 9, d), Given((9,), 0, 9, d)), name=d) for d in ("int64", "int32", "uint8")),
    )


for _name, _others in (("Equal", ("IsNaN", "IsInf")), ("Less", ("Greater",)), ("LessOrEqual", ("GreaterOrEqual",))):
    register(
        OpSpec(
            name=_name,
            onnx=(_name, *_others),
            infer=infer,
            reference=reference,
            canonicalise=canonicalise,
            constraints=(operands_of_one_kind, few_loops),
            mixed=True,
            exact=_lower_whole,
            lowerings=(OpLowering("f32", Formats("f32", "f32"), _lower_float, sample_snr_db=140.0),),
            samples=(
                *_samples(_name),
                *(s for other in _others if other.startswith("G") for s in _samples(other)),
                *(Sample(o, (given(5),), opset=20) for o in _others if o.startswith("Is")),
                *(Sample("IsInf", (given(5),), a, opset=20) for o in _others if o == "IsInf" for a in _LIMITED),
            ),
        )
    )
