"""GroupNormalization: y = (x - mean) / sqrt(var + epsilon) * scale[c] + bias[c] over groups of channels and positions.

x is [N, C, ...]. Attributes: `num_groups`, `epsilon`; scale and bias are constants [C]. InstanceNormalization is the
case of as many groups as channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.ops import Canonical, NodeContext, OpSpec, Sample, given, register, same_as_input, weight
from mcu_quant.ops.layer_normalization import Rows, constant_parameters, lowerings, short_rows


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula in f32."""
    x, scale, bias = inputs
    groups = x.reshape(x.shape[0], op.attributes["num_groups"], -1)
    d = groups - groups.mean(axis=2, keepdims=True)
    power = np.square(d).mean(axis=2, keepdims=True) + np.float32(op.attributes["epsilon"])
    channels = (1, -1, *(1,) * (x.ndim - 2))
    return (np.asarray((d / np.sqrt(power)).reshape(x.shape) * scale.reshape(channels) + bias.reshape(channels)),)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Groups and epsilon explicit; before opset 21, GroupNormalization has one scale per group."""
    channels = node.shape(op.inputs[0])[1]
    groups = channels if op.op == "InstanceNormalization" else int(op.attributes["num_groups"])
    attributes = {"num_groups": groups, "epsilon": float(op.attributes.get("epsilon", 1e-5))}
    inputs = [op.inputs[0]]
    constants: dict[str, Array] = {}
    for edge, name in zip(op.inputs[1:], ("scale", "bias"), strict=True):
        value = node.constant(edge)
        if value is None or value.size == channels:
            inputs.append(edge)
            continue
        inputs.append(f"{op.name}:{name}")
        constants[inputs[-1]] = np.repeat(value.astype(np.float32), channels // groups)
    types = {n: TensorType(tuple(a.shape)) for n, a in constants.items()}
    operator = Operator(op.name, "GroupNormalization", tuple(inputs), op.outputs, attributes)
    return Canonical((operator,), constants, types)


def rows_of(op: Operator, graph: Graph) -> Rows:
    """One row per group, with a parameter for each of its channels."""
    shape, groups = graph.shape(op.inputs[0]), op.attributes["num_groups"]
    scale, bias = (np.asarray(graph.constants[i], np.float32).reshape(groups, -1) for i in op.inputs[1:])
    return Rows(shape[0] * groups, prod(shape[2:]), scale, bias, op.attributes["epsilon"], centre=True)


def _applies(op: Operator, graph: Graph) -> str | None:
    return short_rows(prod(graph.shape(op.inputs[0])[1:]) // op.attributes["num_groups"])


GROUP_NORMALIZATION = register(
    OpSpec(
        name="GroupNormalization",
        onnx=("GroupNormalization", "InstanceNormalization"),
        infer=same_as_input,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(constant_parameters,),
        family="normalisation",
        lowerings=lowerings(rows_of, _applies),
        samples=(
            Sample("InstanceNormalization", (given(1, 4, 33), weight(4), weight(4))),
            Sample("InstanceNormalization", (given(2, 3, 4, 5, low=1.0, high=3.0), weight(3), weight(3))),
        ),
    )
)
