"""LRN: y[b, c, ...] = x[b, c, ...] / (bias + alpha / size sum_k x[b, k, ...]^2)^beta, k over `size` channels around c.

Attributes: size, alpha, beta, bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator
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
    register,
    register_kernel,
    same_as_input,
)
from mcu_quant.program import Call, Program, Struct

_DEFAULTS = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Defaults become explicit."""
    attributes: dict[str, Any] = {key: float(op.attributes.get(key, value)) for key, value in _DEFAULTS.items()}
    attributes["size"] = int(op.attributes["size"])
    return Canonical((Operator(op.name, "LRN", op.inputs, op.outputs, attributes),))


def reach(op: Operator) -> tuple[int, int]:
    """Channels before and after the one that is normalised."""
    size = op.attributes["size"]
    return (size - 1) // 2, size // 2


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula above."""
    x, a = inputs[0], op.attributes
    before, after = reach(op)
    squares = np.pad(np.square(x), [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)])
    sums = sum(squares[:, k : k + x.shape[1]] for k in range(a["size"]))
    return ((x / (a["bias"] + a["alpha"] / a["size"] * sums) ** a["beta"]).astype(np.float32),)


def positive(op: Operator, graph: Graph) -> str | None:
    """LRN divides by a positive number: bias is above 0, alpha not below."""
    wrong = op.attributes["bias"] <= 0 or op.attributes["alpha"] < 0
    return f"bias is {op.attributes['bias']}, alpha {op.attributes['alpha']}" if wrong else None


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    f: Any = p.fields
    outputs = f["batch"] * f["channels"] * f["inner"]
    return Counts(elements=outputs * (f["before"] + 1 + f["after"]), units=outputs)


for _format in ("f32", "f16"):
    register_kernel(Kernel(f"mq_lrn_{_format}", "lrn", counts=_counts))


def _lower(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    shape, (before, after) = lo.shape(op.inputs[0]), reach(op)
    a = op.attributes
    p = lo.struct(
        "mq_lrn_params",
        batch=shape[0],
        channels=shape[1],
        inner=prod(shape[2:]),
        before=before,
        after=after,
        scale=a["alpha"] / a["size"],
        beta=a["beta"],
        bias=a["bias"],
    )
    lo.call(f"mq_lrn_{lo.formats.input}", x=lo.read(op.inputs[0]), y=lo.write(op.outputs[0]), p=p)


LRN = register(
    OpSpec(
        name="LRN",
        onnx=("LRN",),
        infer=same_as_input,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(positive,),
        family="normalisation",
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower, sample_snr_db=120.0),
            OpLowering("f16", Formats("f16", "f16"), _lower, sample_snr_db=64.0),
        ),
        samples=(
            Sample("LRN", (given(2, 5, 3, 4),), {"size": 3, "alpha": 2.0, "bias": 0.5}),
            Sample("LRN", (given(1, 7, 6, 1),), {"size": 5, "alpha": 3.0, "beta": 0.5}, name="root"),
            Sample("LRN", (given(1, 2, 9, 2),), {"size": 9}, name="wide"),
        ),
    )
)
