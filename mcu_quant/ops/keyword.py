"""Keyword: posteriors as recognised words, smoothed and with a refractory time; kernels/audio/mq_audio.h has the rules.

Inputs: x [.., classes], last [calls, classes] and place [2] (states). Outputs: keyword [1] (-1: none), score [1], and
last' and place'. Attributes: wanted (one truth value per class), threshold, refractory (calls).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Counts, Formats, Kernel, OpLowering, OpSpec, register, register_kernel
from mcu_quant.program import Call, EdgeType, Program, Struct


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """As above."""
    assert types[1]
    return TensorType((1,), "int32"), TensorType((1,)), types[1], TensorType((2,), "int32")


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The rules, in float32, sums in the order of the ring."""
    a, last, place = op.attributes, inputs[1].copy(), inputs[2].copy()
    last[place[0]] = np.ravel(inputs[0])
    place[0] = (place[0] + 1) % len(last)
    total = np.zeros(last.shape[1], np.float32)
    for row in last:
        total = total + row
    mean = np.where(a["wanted"], total / np.float32(len(last)), -np.inf).astype(np.float32)
    best = int(np.argmax(mean))
    found = place[1] == 0 and mean[best] >= np.float32(a["threshold"])
    place[1] = a["refractory"] if found else max(0, place[1] - 1)
    return np.array([best if found else -1], np.int32), mean[best : best + 1], last, place


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    classes, calls = p.fields["classes"], p.fields["calls"]
    assert isinstance(classes, int) and isinstance(calls, int)
    return Counts(elements=classes * calls, units=classes)


register_kernel(Kernel("mq_keyword", "audio", counts=_counts))


def _lower(op: Operator, lo: Lowering) -> None:
    a = op.attributes
    calls, classes = lo.shape(op.inputs[1])
    x = lo.read(op.inputs[0], "f32")
    lo.call(
        "mq_keyword",
        x=x,
        last=lo.update(op.outputs[2], op.inputs[1], EdgeType((calls, classes), "f32")),
        place=lo.update(op.outputs[3], op.inputs[2], EdgeType((2,), "i32")),
        keyword=lo.write(op.outputs[0]),
        score=lo.write(op.outputs[1]),
        p=lo.struct(
            "mq_keyword_params",
            classes=classes,
            calls=calls,
            refractory=int(a["refractory"]),
            threshold=float(np.float32(a["threshold"])),
            wanted=lo.constant(np.array(a["wanted"]), "u8", hint=f"{op.name}:wanted", kind="table"),
        ),
    )


KEYWORD = register(
    OpSpec(
        name="Keyword",
        onnx=(),
        infer=infer,
        reference=reference,
        family="audio",
        mixed=True,
        lowerings=(OpLowering("f32", Formats("f32", "f32"), _lower, sample_snr_db=120.0),),
    )
)
