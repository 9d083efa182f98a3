"""Operators that become a mask and a selection: Trilu, EyeLike, OneHot.

Trilu    x on and above (upper) or on and below the k-th diagonal, 0 elsewhere
EyeLike  1 on the k-th diagonal, 0 elsewhere: depends on the shape of x alone
OneHot   on where the position along `axis` is the index, off elsewhere; an index below 0 counts from the end
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.ops import Canonical, Given, NodeContext, OpSpec, Sample, fixed, given, normalise_axis, register


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """The mask is a constant, or a comparison with constants."""
    return {"Trilu": _trilu, "EyeLike": _eye_like, "OneHot": _one_hot}[op.op](op, node)


def _trilu(op: Operator, node: NodeContext) -> Canonical:
    k = node.ints(op, 1, "k") if op.input(1) else (0,)
    if k is None:
        return Canonical((op,))
    type_ = node.type(op.inputs[0])
    full = np.ones(type_.shape[-2:], np.bool_)
    mask = np.triu(full, k[0]) if op.attributes.get("upper", 1) else np.tril(full, k[0])
    kept, zero = f"{op.name}:kept", f"{op.name}:zero"
    made = Operator(op.name, "Where", (kept, op.inputs[0], zero), op.outputs)
    types = {kept: TensorType(tuple(mask.shape), "bool"), zero: TensorType((), type_.dtype)}
    return Canonical((made,), {kept: mask, zero: np.zeros((), type_.dtype)}, types)


def _eye_like(op: Operator, node: NodeContext) -> Canonical:
    type_ = node.type(op.outputs[0])
    rows, columns = type_.shape
    eye = np.eye(rows, columns, int(op.attributes.get("k", 0))).astype(type_.dtype)
    return Canonical((), {op.outputs[0]: eye}, {op.outputs[0]: type_})


def _one_hot(op: Operator, node: NodeContext) -> Canonical:
    depth, values = node.constant(op.inputs[1]), node.constant(op.inputs[2])
    if depth is None or values is None:
        return Canonical((op,))
    index, y = node.type(op.inputs[0]), node.type(op.outputs[0])
    axis = normalise_axis(int(op.attributes.get("axis", -1)), len(y.shape))
    count = int(depth.reshape(()))
    line = [-1 if a == axis else 1 for a in range(len(y.shape))]
    places = np.arange(count).reshape(line)
    constants = {"front": places.astype(index.dtype), "on": values[1], "off": values[0]}
    parts = ["front"]
    if np.dtype(index.dtype).kind != "u":
        constants["back"] = (places - count).astype(index.dtype)
        parts.append("back")
    named = {part: f"{op.name}:{part}" for part in (*constants, "index", "hit", *(f"hit-{p}" for p in parts))}
    column = tuple(1 if a == axis else n for a, n in enumerate(y.shape))
    steps = [Operator(named["index"], "Reshape", (op.inputs[0],), (named["index"],), {"shape": column})]
    types = {named["index"]: TensorType(column, index.dtype)}
    for part in parts:
        edge = named[f"hit-{part}"]
        steps.append(Operator(edge, "Equal", (named["index"], named[part]), (edge,)))
        types[edge] = TensorType(y.shape, "bool")
    hit = named["hit-front"]
    if len(parts) > 1:
        hit = named["hit"]
        steps.append(Operator(hit, "Or", (named["hit-front"], named["hit-back"]), (hit,)))
        types[hit] = TensorType(y.shape, "bool")
    steps.append(Operator(op.name, "Where", (hit, named["on"], named["off"]), op.outputs))
    made = {named[k]: np.asarray(v) for k, v in constants.items()}
    types |= {n: TensorType(tuple(v.shape), str(v.dtype)) for n, v in made.items()}
    return Canonical(tuple(steps), made, types)


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Of an operator that keeps its form: that of its input."""
    assert types[0]
    return (types[0],)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Only constants come here before they are taken apart.

    Raises:
        NotImplementedError: always; the canonical form consists of other operators.
    """
    raise NotImplementedError(op.op)


def constant_choice(op: Operator, graph: Graph) -> str | None:
    """The diagonal k of Trilu, and depth and values of OneHot, are constants."""
    return "they are computed at run time"


for _name, _samples in (
    (
        "Trilu",
        (
            Sample("Trilu", (given(2, 4, 5),)),
            Sample("Trilu", (given(4, 5), fixed(-1)), {"upper": 0}, name="lower"),
            Sample("Trilu", (Given((3, 3), 0, 9, "int64"), fixed(1)), name="int64"),
        ),
    ),
    ("EyeLike", (Sample("EyeLike", (given(3, 4),), {"k": 1}),)),
    (
        "OneHot",
        (
            Sample("OneHot", (Given((2, 3), -4, 4, "int64"), fixed(5), fixed(-1.5, 2.5, dtype="float32"))),
            Sample("OneHot", (Given((5,), 0, 4, "int64"), fixed(4), fixed(0.0, 1.0, dtype="float32")), {"axis": 0}),
        ),
    ),
):
    register(
        OpSpec(
            name=_name,
            onnx=(_name,),
            infer=infer,
            reference=reference,
            canonicalise=canonicalise,
            constraints=(constant_choice,),
            mixed=True,
            samples=_samples,
            family="layout",
        )
    )
