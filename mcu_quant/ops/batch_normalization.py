"""BatchNormalization at inference: y = x * s + t with s = scale / sqrt(var + epsilon), t = bias - mean * s per channel.

It becomes Mul and Add with constants, which the passes merge into a convolution before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.ops import Canonical, Fixed, NodeContext, OpSpec, Sample, given, register, same_as_input, weight


def factors(op: Operator, scale: Array, bias: Array, mean: Array, var: Array) -> tuple[Array, Array]:
    """s and t of each channel."""
    s = scale.astype(np.float64) / np.sqrt(var.astype(np.float64) + op.attributes.get("epsilon", 1e-5))
    return s.astype(np.float32), (bias - mean * s).astype(np.float32)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula above, in floats."""
    x = inputs[0]
    s, t = (v.reshape(-1, *(1,) * (x.ndim - 2)) for v in factors(op, *inputs[1:]))
    return (x * s + t,)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Mul and Add, unless a constraint is broken."""
    statistics = [a for a in map(node.constant, op.inputs[1:]) if a is not None]
    if len(statistics) != 4 or any(op.outputs[1:]) or op.attributes.get("training_mode", 0):
        return Canonical((op,))
    x = node.type(op.inputs[0])
    names = [f"{op.name}:{what}" for what in ("scale", "offset", "scaled")]
    per_channel = (x.shape[1], *(1,) * (len(x.shape) - 2)) if len(x.shape) > 1 else (1,)
    s, t = (v.reshape(per_channel) for v in factors(op, *statistics))
    return Canonical(
        (
            Operator(names[2], "Mul", (op.inputs[0], names[0]), (names[2],)),
            Operator(op.name, "Add", (names[2], names[1]), op.outputs[:1]),
        ),
        {names[0]: s, names[1]: t},
        {names[0]: TensorType(s.shape), names[1]: TensorType(t.shape), names[2]: x},
    )


def inference_only(op: Operator, graph: Graph) -> str | None:
    """Batch normalisation uses constant statistics: models are exported for inference, not for training."""
    if op.attributes.get("training_mode", 0) or any(op.outputs[1:]):
        return "this one updates its statistics"
    computed = [n for n in op.inputs[1:] if n not in graph.constants]
    return f"{', '.join(map(repr, computed))} is computed at run time" if computed else None


def _positive(*values: float) -> Fixed:
    return Fixed(np.array(values, np.float32))


BATCH_NORMALIZATION = register(
    OpSpec(
        name="BatchNormalization",
        onnx=("BatchNormalization",),
        infer=same_as_input,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(inference_only,),
        family="normalisation",
        samples=(
            Sample("BatchNormalization", (given(1, 3, 4, 5), weight(3), weight(3), weight(3), _positive(0.5, 1, 2))),
            Sample(
                "BatchNormalization",
                (given(2, 2, 7), weight(2), weight(2), weight(2), _positive(1, 0.1)),
                {"epsilon": 1e-3},
                opset=11,
            ),
            Sample("BatchNormalization", (given(4, 2), weight(2), weight(2), weight(2), _positive(3, 0.2)), opset=15),
        ),
    )
)
