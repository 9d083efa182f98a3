"""ArgMax and ArgMin: where along an axis the largest or smallest element is; Hardmax, one there and zero elsewhere.

Attributes `axis`, `keepdims`, `last` (of equal elements the last one, else the first). Compared in f32; the result is
a whole number of 64 bits, as ONNX has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    Canonical,
    Counts,
    Formats,
    Kernel,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    given,
    normalise_axis,
    register,
    register_kernel,
)
from mcu_quant.program import Call, Program, Struct


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Attributes explicit; Hardmax compares the positions with those of the largest."""
    shape = node.shape(op.inputs[0])
    if op.op == "Hardmax":
        return _hardmax(op, node)
    attributes = {
        "axis": normalise_axis(int(op.attributes.get("axis", 0)), len(shape)),
        "keepdims": int(op.attributes.get("keepdims", 1)),
        "last": int(op.attributes.get("select_last_index", 0)),
    }
    return Canonical((Operator(op.name, op.op, op.inputs, op.outputs, attributes),))


def _hardmax(op: Operator, node: NodeContext) -> Canonical:
    """Before opset 13 the axes from `axis` on are taken together."""
    shape = node.shape(op.inputs[0])
    axis = normalise_axis(int(op.attributes.get("axis", -1 if node.opset >= 13 else 1)), len(shape))
    flat = shape if node.opset >= 13 else (prod(shape[:axis]), prod(shape[axis:]))
    axis = axis if node.opset >= 13 else 1
    rows, at, place, there = (f"{op.name}:{part}" for part in ("rows", "at", "place", "there"))
    one = f"{op.name}:one"
    steps = (
        Operator(rows, "Reshape", op.inputs, (rows,), {"shape": flat}),
        Operator(at, "ArgMax", (rows,), (at,), {"axis": axis, "keepdims": 1, "last": 0}),
        Operator(there, "Equal", (at, place), (there,)),
        Operator(one, "Cast", (there,), (one,), {"dtype": "float32"}),
        Operator(op.name, "Reshape", (one,), op.outputs, {"shape": shape}),
    )
    places = np.arange(flat[axis], dtype=np.int64).reshape([-1 if a == axis else 1 for a in range(len(flat))])
    types = {
        rows: TensorType(flat),
        at: TensorType((*flat[:axis], 1, *flat[axis + 1 :]), "int64"),
        place: TensorType(tuple(places.shape), "int64"),
        there: TensorType(flat, "bool"),
        one: TensorType(flat),
    }
    return Canonical(steps, {place: places}, types)


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """The shape without the axis, or with size 1 there."""
    assert types[0]
    shape, axis = types[0].shape, op.attributes["axis"]
    return (TensorType((*shape[:axis], *[1] * op.attributes["keepdims"], *shape[axis + 1 :]), "int64"),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The positions."""
    x, axis = np.asarray(inputs[0]), op.attributes["axis"]
    find = np.argmax if op.op == "ArgMax" else np.argmin
    at = x.shape[axis] - 1 - find(np.flip(x, axis), axis) if op.attributes["last"] else find(x, axis)
    at = np.asarray(at, np.int64)
    return (np.expand_dims(at, axis) if op.attributes["keepdims"] else at,)


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    sizes = [v for k, v in p.fields.items() if k in ("outer", "count", "inner")]
    return Counts(elements=int(prod(s for s in sizes if isinstance(s, int))))


def _exact(x: Array, p: dict[str, Any]) -> Array:
    op = Operator("", "ArgMax" if p["sign"] > 0 else "ArgMin", (), (), {"axis": 1, "keepdims": 0, "last": p["last"]})
    return reference(op, [x.reshape(p["outer"], p["count"], p["inner"])])[0]


register_kernel(Kernel("mq_arg_extreme_f32", "arg_extreme", counts=_counts, exact=_exact))


def _lower(op: Operator, lo: Lowering) -> None:
    shape, axis = lo.shape(op.inputs[0]), op.attributes["axis"]
    p = lo.struct(
        "mq_arg_extreme_params",
        outer=prod(shape[:axis]),
        count=shape[axis],
        inner=prod(shape[axis + 1 :]),
        sign=1 if op.op == "ArgMax" else -1,
        last=op.attributes["last"],
    )
    lo.call("mq_arg_extreme_f32", x=lo.read(op.inputs[0], "f32"), y=lo.write(op.outputs[0]), p=p)


def _samples(name: str) -> tuple[Sample, ...]:
    return (
        Sample(name, (given(2, 9, 3),), {"axis": 1}),
        Sample(name, (given(2, 9),), {"axis": -1, "keepdims": 0}),
        Sample(name, (given(9),), {"select_last_index": 1}),
    )


for _name, _others in (("ArgMax", ("Hardmax",)), ("ArgMin", ())):
    register(
        OpSpec(
            name=_name,
            onnx=(_name, *_others),
            infer=infer,
            reference=reference,
            canonicalise=canonicalise,
            mixed=True,
            lowerings=(OpLowering("f32", Formats("f32", "f32"), _lower, sample_snr_db=140.0),),
            samples=(
                *_samples(_name),
                *(Sample(o, (given(2, 3, 4),), {"axis": 1}) for o in _others),
                *(Sample(o, (given(2, 3, 4),), {"axis": 1}, opset=11, name="flat") for o in _others),
            ),
            family="reduction",
        )
    )
