"""Functions of one real variable, element by element: y = f(x).

In floats one C function per f is mapped over the tensor; in s8 any f is a table of 256 entries, in s16 a table of 513
with linear interpolation. Adding a function is one line in `FUNCTIONS` and one small C file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np

from mcu_quant import fixed, formats, ops
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    Canonical,
    Counts,
    Fixed,
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
from mcu_quant.ops import fixed as constant
from mcu_quant.ops.whole import computed, lower_whole
from mcu_quant.program import Call, Program, Scalar, Symbol


@dataclass(frozen=True)
class Function:
    """f in numpy; `parameters` are the names of its attributes with ONNX's defaults, in the order of the C array."""

    c_name: str
    f: Callable[..., Array]
    parameters: tuple[tuple[str, float], ...] = ()
    #: samples are drawn from here
    low: float = -4.0
    high: float = 4.0
    #: with these parameters, does f bend gently enough for 512 linear pieces of its range?
    smooth: Callable[..., bool] = lambda *_: True
    #: f jumps, so that a rounded input now and then lands on the other side of a step
    jumps: bool = False
    #: the ONNX operator that canonicalises to it, if it has its name
    onnx: bool = True
    opset: int = 18


def _sharp(*_: float) -> bool:
    return False


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _erf(x: Array) -> Array:
    from scipy.special import erf

    return np.asarray(erf(x))


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


def _celu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0) / alpha), x)


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1.0 + _erf(x * sqrt(0.5)))


def _gelu_tanh(x: Array) -> Array:
    # x * x * x: numpy's power is many times slower
    return 0.5 * x * (1.0 + np.tanh(sqrt(2.0 / pi) * (x + 0.044715 * (x * x * x))))


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(alpha * x + beta, 0.0, 1.0)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def _leaky_relu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * x, x)


def _shrink(x: Array, bias: float, lambd: float) -> Array:
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0.0))


FUNCTIONS: dict[str, Function] = {
    "Abs": Function("mq_fn_abs", np.abs),
    "Acos": Function("mq_fn_acos", np.arccos, low=-0.9, high=0.9, smooth=_sharp),
    "Acosh": Function("mq_fn_acosh", np.arccosh, low=1.0, smooth=_sharp),
    "Asin": Function("mq_fn_asin", np.arcsin, low=-0.9, high=0.9, smooth=_sharp),
    "Asinh": Function("mq_fn_asinh", np.arcsinh),
    "Atan": Function("mq_fn_atan", np.arctan),
    "Atanh": Function("mq_fn_atanh", np.arctanh, low=-0.9, high=0.9, smooth=_sharp),
    "Ceil": Function("mq_fn_ceil", np.ceil, smooth=_sharp, jumps=True),
    "Celu": Function("mq_fn_celu", _celu, (("alpha", 1.0),)),
    "Cos": Function("mq_fn_cos", np.cos),
    "Cosh": Function("mq_fn_cosh", np.cosh),
    "Elu": Function("mq_fn_elu", _elu, (("alpha", 1.0),)),
    "Erf": Function("mq_fn_erf", _erf),
    "Exp": Function("mq_fn_exp", np.exp),
    "Floor": Function("mq_fn_floor", np.floor, smooth=_sharp, jumps=True),
    "Gelu": Function("mq_fn_gelu", _gelu, opset=20),
    "GeluTanh": Function("mq_fn_gelu_tanh", _gelu_tanh, onnx=False),
    "HardSigmoid": Function("mq_fn_hard_sigmoid", _hard_sigmoid, (("alpha", 0.2), ("beta", 0.5))),
    "HardSwish": Function("mq_fn_hard_swish", lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)),
    "LeakyRelu": Function("mq_fn_leaky_relu", _leaky_relu, (("alpha", 0.01),)),
    "Log": Function("mq_fn_log", np.log, low=0.05, smooth=_sharp),
    "Mish": Function("mq_fn_mish", lambda x: x * np.tanh(_softplus(x))),
    "Neg": Function("mq_fn_neg", np.negative),
    "Power": Function(
        "mq_fn_power", np.power, (("exponent", 1.0),), low=0.0, smooth=lambda exponent: exponent >= 1.0, onnx=False
    ),
    "Reciprocal": Function("mq_fn_reciprocal", np.reciprocal, low=0.25, smooth=_sharp),
    "Relu": Function("mq_fn_relu", lambda x: np.maximum(x, 0.0)),
    "Round": Function("mq_fn_round", np.rint, smooth=_sharp, jumps=True),
    "Selu": Function(
        "mq_fn_selu",
        lambda x, alpha, gamma: gamma * _elu(x, alpha),
        (("alpha", 1.67326319217681884765625), ("gamma", 1.05070102214813232421875)),
    ),
    "Shrink": Function("mq_fn_shrink", _shrink, (("bias", 0.0), ("lambd", 0.5)), smooth=_sharp, jumps=True),
    "Sigmoid": Function("mq_fn_sigmoid", _sigmoid),
    "Sign": Function("mq_fn_sign", np.sign, smooth=_sharp, jumps=True),
    "Sin": Function("mq_fn_sin", np.sin),
    "Sinh": Function("mq_fn_sinh", np.sinh),
    "Softplus": Function("mq_fn_softplus", _softplus),
    "Softsign": Function("mq_fn_softsign", lambda x: x / (1.0 + np.abs(x))),
    "Sqrt": Function("mq_fn_sqrt", np.sqrt, low=0.0, smooth=_sharp),
    "Swish": Function("mq_fn_swish", lambda x, alpha: x * _sigmoid(alpha * x), (("alpha", 1.0),), opset=24),
    "Tan": Function("mq_fn_tan", np.tan, low=-1.0, high=1.0, smooth=_sharp),
    "Tanh": Function("mq_fn_tanh", np.tanh),
    "ThresholdedRelu": Function(
        "mq_fn_thresholded_relu",
        lambda x, alpha: np.where(x > alpha, x, 0.0),
        (("alpha", 1.0),),
        smooth=_sharp,
        jumps=True,
    ),
}


#: Functions of whole numbers, by the firmware's name.
WHOLE = {"Abs": "abs", "Sign": "sign"}


def _arguments(op: Operator) -> list[np.float32]:
    return [np.float32(op.attributes[name]) for name, _ in FUNCTIONS[op.op].parameters]


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """f of every element, f32; of whole numbers exactly."""
    if inputs[0].dtype.kind != "f":
        return (computed(WHOLE[op.op], inputs[0], inputs[0], inputs[0].dtype).reshape(inputs[0].shape),)
    return (np.asarray(FUNCTIONS[op.op].f(inputs[0], *_arguments(op)), np.float32),)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Attributes explicit; Gelu's approximation by tanh is a function of its own. -n is 0 - n, Relu of n max(n, 0)."""
    if op.op in ("Neg", "Relu") and not ops.is_real(node.graph, op.inputs[0]):
        dtype, zero = node.type(op.inputs[0]).dtype, f"{op.name}:zero"
        kind = "Sub" if op.op == "Neg" else "Max"
        made = Operator(op.name, kind, (zero, op.inputs[0]), op.outputs)
        return Canonical((made,), {zero: np.zeros((), dtype)}, {zero: TensorType((), dtype)})
    name = "GeluTanh" if op.op == "Gelu" and op.attributes.get("approximate") in ("tanh", b"tanh") else op.op
    explicit = {key: float(op.attributes.get(key, default)) for key, default in FUNCTIONS[name].parameters}
    return Canonical((Operator(op.name, name, op.inputs, op.outputs, explicit),))


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


Real = Callable[[Array], Array]


def _values(f: Real, x: QuantParams, fmt: str) -> Array:
    """f at the stored inputs that a table has entries for: all 256 of s8, every 128th and the end of s16."""
    stored = np.arange(-128, 128) if fmt == "s8" else np.arange(-32768, 32768 + 128, 128)
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.asarray(f((stored - x.zero_point) * x.scale), np.float64), nan=0.0)


def table(f: Real, x: QuantParams, y: QuantParams, fmt: str) -> Array:
    """f as stored values over stored inputs: 256 entries for s8, 513 points for s16."""
    return formats.get(fmt).quantise(_values(f, x, fmt), y)


def covering(f: Real, x: QuantParams, y: QuantParams) -> QuantParams:
    """A scale for 16-bit outputs that also represents the far end of each interval in which f leaves y's range.

    Were that point clipped, the whole interval would be interpolated towards a wrong value.
    """
    end = y.scale * formats.get("s16").maximum
    points = np.abs(_values(f, x, "s16"))
    near, far = np.minimum(points[:-1], points[1:]), np.maximum(points[:-1], points[1:])
    return formats.get("s16").symmetric(float(far.max(initial=end, where=(near <= end) & (far > end))))


def _lower_table(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    fmt = lo.formats.input
    x = lo.read(op.inputs[0])
    x_type, y_quant = lo.type_of(x), lo.scales.of(op.outputs[0], fmt)
    assert x_type.quant and y_quant

    def f(real: Array) -> Array:
        return FUNCTIONS[op.op].f(real, *_arguments(op))

    if fmt == "s16":
        y_quant = covering(f, x_type.quant, y_quant)
    values = table(f, x_type.quant, y_quant, fmt)
    entries = lo.constant(values, fmt, hint=f"{op.name}:table", comment=f"{op.op}, {y_quant}", kind="table")
    lo.call(f"mq_table_{fmt}", x=x, y=lo.write(op.outputs[0], quant=y_quant), n=x_type.size, table=entries)


def _too_sharp(op: Operator, graph: Graph) -> str | None:
    if FUNCTIONS[op.op].smooth(*_arguments(op)):
        return None
    return f"{op.op} bends too sharply for a table of 512 linear pieces over a 16-bit range"


def _samples(name: str, function: Function) -> tuple[Sample, ...]:
    attributes = dict(function.parameters)
    return tuple(
        Sample(name, (given(*shape, low=function.low, high=function.high),), attributes, opset=function.opset)
        for shape in ((1,), (2, 17), (1, 3, 4, 5))
    )


def _lowerings(jumps: bool = False) -> tuple[OpLowering, ...]:
    return (
        OpLowering("f32", Formats("f32", "f32"), _lower_float, sample_snr_db=135.0),
        OpLowering("f16", Formats("f16", "f16"), _lower_float, sample_snr_db=20.0 if jumps else 60.0),
        OpLowering("s16", Formats("s16", "s16"), _lower_table, sample_snr_db=80.0, applies=_too_sharp),
        OpLowering("s8", Formats("s8", "s8"), _lower_table, sample_snr_db=15.0 if jumps else 32.0),
    )


#: Of functions that other operators canonicalise to.
_OTHER_SAMPLES = {
    "GeluTanh": (Sample("Gelu", (given(2, 17, low=-4.0, high=4.0),), {"approximate": "tanh"}, opset=20),),
    "Power": (
        Sample("Pow", (given(2, 17, low=0.0, high=3.0), constant(1.5, dtype="float32"))),
        Sample("Pow", (given(2, 17, low=0.05, high=3.0), Fixed(np.array([-0.3], np.float32)))),
        Sample("Pow", (given(2, 17), constant(3, dtype="int32"))),
    ),
}

for _op, _function in FUNCTIONS.items():
    register(
        OpSpec(
            name=_op,
            onnx=(_op,) if _function.onnx else (),
            infer=same_as_input,
            reference=reference,
            canonicalise=canonicalise,
            lowerings=_lowerings(_function.jumps),
            exact=lower_whole(WHOLE[_op]) if _op in WHOLE else None,
            samples=_samples(_op, _function) if _function.onnx else _OTHER_SAMPLES[_op],
        )
    )


# --- Clip: as above, its limits being inputs since opset 11 ---------------------------------------------------------


def _canonicalise_clip(op: Operator, node: NodeContext) -> Canonical:
    """Constant limits are attributes; with a limit that is computed at run time Clip is Min(Max(x, low), high)."""
    x, low, high = op.input(0), op.input(1), op.input(2)
    if not ops.is_real(node.graph, x) and not (low or high):
        return Canonical((Operator(op.name, "Reshape", (x,), op.outputs, {"shape": node.shape(x)}),))
    at_run_time = (low and node.constant(low) is None) or (high and node.constant(high) is None)
    if at_run_time or not ops.is_real(node.graph, x):
        return _clip_at_run_time(op, node, x, [(kind, edge) for kind, edge in (("Max", low), ("Min", high)) if edge])

    def limit(edge: str, attribute: str, default: float) -> float:
        array = node.constant(edge)
        return float(op.attributes.get(attribute, default)) if array is None else float(array.reshape(()))

    explicit = {"min": limit(low, "min", -np.inf), "max": limit(high, "max", np.inf)}
    return Canonical((Operator(op.name, "Clip", (x,), op.outputs, explicit),))


def _clip_at_run_time(op: Operator, node: NodeContext, x: str, limits: list[tuple[str, str]]) -> Canonical:
    if len(limits) == 1:
        kind, edge = limits[0]
        return Canonical((Operator(op.name, kind, (x, edge), op.outputs),))
    raised = f"{op.name}:raised"
    (first, low), (second, high) = limits
    steps = (Operator(raised, first, (x, low), (raised,)), Operator(op.name, second, (raised, high), op.outputs))
    return Canonical(steps, {}, {raised: node.type(x)})


FUNCTIONS["Clip"] = Function("mq_fn_clip", np.clip, (("min", -np.inf), ("max", np.inf)))
register(
    OpSpec(
        name="Clip",
        onnx=("Clip",),
        infer=same_as_input,
        reference=reference,
        canonicalise=_canonicalise_clip,
        lowerings=_lowerings(),
        samples=(
            Sample("Clip", (given(2, 9), constant(-0.5, dtype="float32"), constant(0.25, dtype="float32"))),
            Sample("Clip", (given(2, 9), None, constant(0.25, dtype="float32"))),
            Sample("Clip", (given(7),), {"min": -0.25}, opset=6),
            Sample("Clip", (given(2, 9), given(low=-0.6, high=-0.5), given(low=0.4, high=0.5))),
        ),
    )
)
