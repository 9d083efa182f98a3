"""Functions of one real variable, element by element: y = f(x).

In floats one C function per f is mapped over the tensor; in s8 any f is a table of 256 entries, in s16 a table of 513
with linear interpolation. Adding a function is one line in `FUNCTIONS` and one small C file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcu_quant import fixed, formats
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.lower import Lowering
from mcu_quant.ops import (
    Canonical,
    Counts,
    Formats,
    Kernel,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    fixed as constant,
    given,
    register,
    register_kernel,
    same_as_input,
)
from mcu_quant.program import Call, Program, Scalar, Symbol


@dataclass(frozen=True)
class Function:
    """f in numpy; `parameters` are the names of its attributes with ONNX's defaults, in the order of the C array."""

    c_name: str
    f: Callable[..., Array]
    parameters: tuple[tuple[str, float], ...] = ()
    low: float = -4.0
    high: float = 4.0
    #: f bends too sharply somewhere for 512 linear pieces of its range
    smooth: bool = True
    samples_opset: int = 18


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-x))


FUNCTIONS: dict[str, Function] = {
    "LeakyRelu": Function("mq_fn_leaky_relu", lambda x, alpha: np.where(x < 0, alpha * x, x), (("alpha", 0.01),)),
    "Relu": Function("mq_fn_relu", lambda x: np.maximum(x, 0.0)),
    "Sigmoid": Function("mq_fn_sigmoid", _sigmoid),
    "Sqrt": Function("mq_fn_sqrt", np.sqrt, low=0.0, smooth=False),
    "Tanh": Function("mq_fn_tanh", np.tanh),
}


def _arguments(op: Operator) -> list[np.float32]:
    return [np.float32(op.attributes[name]) for name, _ in FUNCTIONS[op.op].parameters]


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    return (np.asarray(FUNCTIONS[op.op].f(inputs[0], *_arguments(op)), np.float32),)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Attributes explicit."""
    explicit = {name: float(op.attributes.get(name, default)) for name, default in FUNCTIONS[op.op].parameters}
    return Canonical((Operator(op.name, op.op, op.inputs, op.outputs, explicit),))


# --- the kernels ---------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    n = call.args["n"]
    assert isinstance(n, Scalar)
    return Counts(elements=int(n.value))


def _exact_s8(x: Array, n: int, table: Array) -> Array:
    return table[x.astype(np.int64) + 128]


def _exact_s16(x: Array, n: int, table: Array) -> Array:
    return fixed.lookup(x, table).astype(np.int16)


for _name, _spec, _family in (
    ("mq_map_f32", None, "map"),
    ("mq_map_f16", None, "map"),
    ("mq_table_s8", _exact_s8, "table"),
    ("mq_table_s16", _exact_s16, "table"),
):
    register_kernel(Kernel(_name, _family, counts=_counts, exact=_spec, inplace=(("x", "y"),)))


# --- lowering ------------------------------------------------------------------------------------------------------


def _lower_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    x = lo.read(op.inputs[0])
    parameters = np.array(_arguments(op), np.float32)
    lo.call(
        f"mq_map_{lo.formats.input}",
        x=x,
        y=lo.write(op.outputs[0]),
        n=lo.type_of(x).size,
        f=Symbol(FUNCTIONS[op.op].c_name),
        parameters=lo.constant(parameters, "f32", hint=f"{op.name}:parameters", kind="table")
        if len(parameters)
        else Symbol("NULL"),
    )


def table(f: Callable[[Array], Array], x: QuantParams, y: QuantParams, fmt: str) -> Array:
    """f as stored values over stored inputs: 256 entries for s8, 513 points for s16."""
    stored = np.arange(-128, 128) if fmt == "s8" else np.arange(-32768, 32768 + 128, 128)
    real = ((stored - x.zero_point) * x.scale).astype(np.float64)
    with np.errstate(all="ignore"):
        value = np.nan_to_num(np.asarray(f(real), np.float64), nan=0.0)
    return formats.get(fmt).quantise(value, y)


def _lower_table(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt = lo.formats.input
    x, y = lo.read(op.inputs[0]), lo.write(op.outputs[0])
    x_type, y_type = lo.type_of(x), lo.type_of(y)
    assert x_type.quant and y_type.quant
    values = table(lambda v: FUNCTIONS[op.op].f(v, *_arguments(op)), x_type.quant, y_type.quant, fmt)
    entries = lo.constant(values, fmt, hint=f"{op.name}:table", comment=f"{op.op}, {y_type.quant}", kind="table")
    lo.call(f"mq_table_{fmt}", x=x, y=y, n=x_type.size, table=entries)


def _too_sharp(op: Operator, graph: Graph) -> str | None:
    if FUNCTIONS[op.op].smooth:
        return None
    return f"{op.op} bends too sharply for a table of 512 linear pieces over a 16-bit range"


def _samples(name: str, function: Function) -> tuple[Sample, ...]:
    attributes = dict(function.parameters)
    return tuple(
        Sample(name, (given(*shape, low=function.low, high=function.high),), attributes, opset=function.samples_opset)
        for shape in ((1,), (2, 17), (1, 3, 4, 5))
    )


LOWERINGS = (
    OpLowering("f32", Formats("f32", "f32"), _lower_float, sample_snr_db=110.0),
    OpLowering("f16", Formats("f16", "f16"), _lower_float, sample_snr_db=60.0),
    OpLowering("s16", Formats("s16", "s16"), _lower_table, sample_snr_db=70.0, applies=_too_sharp),
    OpLowering("s8", Formats("s8", "s8"), _lower_table, sample_snr_db=30.0),
)

for _op, _function in FUNCTIONS.items():
    register(
        OpSpec(
            name=_op,
            onnx=(_op,),
            infer=same_as_input,
            reference=reference,
            canonicalise=canonicalise,
            lowerings=LOWERINGS,
            samples=_samples(_op, _function),
        )
    )


# --- Clip: as above, its limits being inputs since opset 11 ---------------------------------------------------------


def _canonicalise_clip(op: Operator, node: NodeContext) -> Canonical:
    def limit(index: int, attribute: str, default: float) -> float:
        array = node.constant(op.input(index))
        return float(op.attributes.get(attribute, default)) if array is None else float(array)

    explicit = {"min": limit(1, "min", -np.inf), "max": limit(2, "max", np.inf)}
    return Canonical((Operator(op.name, "Clip", op.inputs[:1], op.outputs, explicit),))


def constant_limits(op: Operator, graph: Graph) -> str | None:
    """The limits of Clip are constants."""
    return "a limit is computed at run time" if len(op.inputs) > 1 else None


FUNCTIONS["Clip"] = Function("mq_fn_clip", np.clip, (("min", -np.inf), ("max", np.inf)))
register(
    OpSpec(
        name="Clip",
        onnx=("Clip",),
        infer=same_as_input,
        reference=reference,
        canonicalise=_canonicalise_clip,
        constraints=(constant_limits,),
        lowerings=LOWERINGS,
        samples=(Sample("Clip", (given(2, 9), constant(-0.5, dtype="float32"), constant(0.25, dtype="float32"))),),
    )
)
