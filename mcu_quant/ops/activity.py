"""Activity: a probability as a decision, smoothed and with hysteresis; kernels/audio/mq_audio.h has the rules.

Inputs: x (one value), level [1] and run [2] (states). Outputs: probability [1], active [1], level', run'. Attributes:
smoothing (1: none), threshold, release, attack and hold (calls).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Counts, Formats, Kernel, OpLowering, OpSpec, register, register_kernel
from mcu_quant.program import EdgeType


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """As above."""
    return TensorType((1,)), TensorType((1,), "bool"), TensorType((1,)), TensorType((2,), "int32")


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The rules, in float32."""
    a, x, level, run = op.attributes, np.float32(np.ravel(inputs[0])[0]), inputs[1], inputs[2].copy()
    after = np.asarray(level + np.float32(a["smoothing"]) * (x - level), np.float32)
    was = bool(run[0])
    now = bool(after[0] >= np.float32(a["release"] if was else a["threshold"]))
    run[1] = 0 if now == was else run[1] + 1
    if run[1] > 0 and run[1] >= (a["hold"] if was else a["attack"]):
        run[:] = now, 0
    return after, run[:1].astype(bool), after, run


register_kernel(Kernel("mq_activity", "audio", counts=lambda program, call: Counts(elements=1, units=1)))


def _lower(op: Operator, lo: Lowering) -> None:
    a = op.attributes
    x = lo.read(op.inputs[0], "f32")
    level = lo.update(op.outputs[2], op.inputs[1], EdgeType((1,), "f32"))
    lo.call(
        "mq_activity",
        x=x,
        level=level,
        run=lo.update(op.outputs[3], op.inputs[2], EdgeType((2,), "i32")),
        probability=lo.write(op.outputs[0]),
        active=lo.write(op.outputs[1]),
        p=lo.struct(
            "mq_activity_params",
            **{n: float(np.float32(a[n])) for n in ("smoothing", "threshold", "release")},
            **{n: int(a[n]) for n in ("attack", "hold")},
        ),
    )


ACTIVITY = register(
    OpSpec(
        name="Activity",
        onnx=(),
        infer=infer,
        reference=reference,
        family="audio",
        mixed=True,
        lowerings=(OpLowering("f32", Formats("f32", "f32"), _lower, sample_snr_db=120.0),),
    )
)
