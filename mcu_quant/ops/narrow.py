"""RoundToType: reals on the grid of a narrow floating-point type, and what becomes of the other narrow types of ONNX.

No processor of this kind computes in float8, float4, int4 or int2. Where a model has them, their values are held in a
wider type (`HELD`): reals in a format of the plan, whole numbers in 8 bits. Only Cast and QuantizeLinear make new
values of such a type; they round to it here. Every other operator passes on what it is given.

Attributes of RoundToType: `bits` of the fraction, `lowest` exponent of a normal number, `largest` finite value; and
what stands for a magnitude `beyond` it after rounding, infinity included, and for `nan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    Canonical,
    Formats,
    NodeContext,
    OpLowering,
    OpSpec,
    register,
    same_as_input,
)
from mcu_quant.program import Symbol


@dataclass(frozen=True)
class Narrow:
    """A floating-point type of less than 16 bits. Infinity and NaN as they come out where a cast does not saturate."""

    bits: int
    lowest: int
    largest: float
    infinity: float
    nan: float = np.nan


#: Narrow floating-point types of ONNX by numpy's name.
FLOATS = {
    "float8_e4m3fn": Narrow(3, -6, 448.0, np.nan),
    "float8_e4m3fnuz": Narrow(3, -7, 240.0, np.nan),
    "float8_e5m2": Narrow(2, -14, 57344.0, np.inf),
    "float8_e5m2fnuz": Narrow(2, -15, 57344.0, np.nan),
    "float4_e2m1fn": Narrow(1, 0, 6.0, 6.0, 0.0),
}
#: Narrow whole numbers: how many bits.
BITS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2}
#: What holds the values of a narrow type.
HELD = {**dict.fromkeys(FLOATS, "float32"), **{t: "uint8" if t.startswith("u") else "int8" for t in BITS}}
#: Attribute of a raw node whose output is of such a type: which.
ATTRIBUTE = "narrow"


def limits(name: str) -> tuple[int, int]:
    """Smallest and largest value of a narrow type of whole numbers."""
    bits = BITS[name]
    return (0, 2**bits - 1) if name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def rounding(op: Operator, x: str) -> Operator:
    """The last step of a raw node that makes a narrow floating-point type: x rounded to it."""
    kind, saturate = FLOATS[op.attributes[ATTRIBUTE]], bool(op.attributes.get("saturate", 1))
    beyond = kind.largest if saturate else kind.infinity
    attributes = {
        "bits": kind.bits,
        "lowest": kind.lowest,
        "largest": kind.largest,
        "beyond": beyond,
        "nan": kind.nan,
    }
    return Operator(op.name, "RoundToType", (x,), op.outputs, attributes)


def cast(op: Operator, node: NodeContext) -> Canonical:
    """Cast to a narrow type: to the nearest real, half to even; to a whole number towards zero, its low bits."""
    x, name = op.inputs[0], str(op.attributes[ATTRIBUTE])
    steps: list[Operator] = []
    constants: dict[str, Array] = {}
    types: dict[str, TensorType] = {}

    def step(what: str, kind: str, held: str, *inputs: str, **attributes: Any) -> str:
        made = f"{op.name}:{what}"
        types[made] = TensorType(node.shape(op.inputs[0]), held)
        steps.append(Operator(made, kind, inputs, (made,), attributes))
        return made

    def number(what: str, value: int) -> str:
        made = f"{op.name}:{what}"
        constants[made], types[made] = np.array(value, np.int8), TensorType((), "int8")
        return made

    if name in FLOATS:
        x = x if node.type(x).is_real else step("real", "Cast", "float32", x, dtype="float32")
        return Canonical((*steps, rounding(op, x)), constants, types)
    x = x if node.type(x).dtype == "int8" else step("whole", "Cast", "int8", x, dtype="int8")
    low = step("low", "BitwiseAnd", "int8", x, number("mask", 2 ** BITS[name] - 1))
    if name.startswith("u"):
        return Canonical((*steps, Operator(op.name, "Cast", (low,), op.outputs, {"dtype": "uint8"})), constants, types)
    sign = number("sign", 2 ** (BITS[name] - 1))  # the highest bit is one
    flipped = step("flipped", "BitwiseXor", "int8", low, sign)
    return Canonical((*steps, Operator(op.name, "Sub", (flipped, sign), op.outputs)), constants, types)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Steps of the grid between two powers of two are `bits` bits; below `lowest` they stay as they are."""
    x, a = np.asarray(inputs[0], np.float64), op.attributes
    exponent = np.maximum(np.frexp(np.where(np.isfinite(x), x, 1.0))[1] - 1, a["lowest"])
    step = np.exp2(exponent - a["bits"])
    size = np.where(np.isfinite(x), np.abs(np.rint(x / step) * step), np.inf)
    rounded = np.copysign(np.where(size > a["largest"], a["beyond"], size), x)
    return (np.where(np.isnan(x), a["nan"], rounded).astype(np.float32),)


def _lower(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    x, a = lo.read(op.inputs[0]), op.attributes
    values = [a[key] for key in ("bits", "lowest", "largest", "beyond", "nan")]
    parameters = np.array([-1.0 if np.isnan(v) else v for v in values], np.float32)
    lo.call(
        f"mq_map_{lo.formats.input}",
        x=x,
        y=lo.write(op.outputs[0]),
        n=lo.type_of(x).size,
        f=Symbol("mq_fn_round_to_type"),
        parameters=lo.constant(parameters, "f32", hint=f"{op.name}:parameters", kind="table"),
    )


ROUND_TO_TYPE = register(
    OpSpec(
        name="RoundToType",
        onnx=(),  # Cast and QuantizeLinear come to it
        infer=same_as_input,
        reference=reference,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower, sample_snr_db=140.0),
            OpLowering("f16", Formats("f16", "f16"), _lower, sample_snr_db=20.0),
        ),
    )
)
