"""Two operands, element by element, with numpy's broadcasting: Add, Sub, Mul, Div, Mod, Max, Min, Pow, PRelu.

ONNX's Sum, Mean, Max and Min of any number of operands become chains of these. In integers there are Add, Sub, Mul,
Max, Min and PRelu; a division by a constant is a multiplication by its reciprocal, a power with a constant exponent a
function of one variable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, log2, prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mcu_quant import fixed, formats, ops
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering, Operand
from mcu_quant.ops import (
    Canonical,
    Counts,
    Fixed,
    Formats,
    Given,
    Kernel,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    given,
    register,
    register_kernel,
    weight,
)
from mcu_quant.ops import fixed as constant
from mcu_quant.ops.common.broadcast import LOOPS, loops
from mcu_quant.ops.whole import computed, lower_whole
from mcu_quant.program import Call, Program, Struct


def _prelu(x: Array, slope: Array) -> Array:
    return np.where(x < 0, x * slope, x)


# --- the operators -------------------------------------------------------------------------------------------------


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """The shapes of both operands, broadcast."""
    a, b = types
    assert a and b
    return (TensorType(tuple(np.broadcast_shapes(a.shape, b.shape)), a.dtype),)


def operands_of_one_kind(op: Operator, graph: Graph) -> str | None:
    """Operands are of one type; Div, Pow and PRelu of truth values do not exist."""
    types = [graph.types[i].dtype for i in op.inputs]
    return f"they are {' and '.join(types)}" if len(set(types)) > 1 else None


def few_loops(op: Operator, graph: Graph) -> str | None:
    """Broadcasting takes at most six nested loops, neighbouring axes that both operands move along alike being one."""
    count = len(loops(graph.shape(op.inputs[0]), graph.shape(op.inputs[1])).shape)
    return f"{graph.shape(op.inputs[0])} and {graph.shape(op.inputs[1])} take {count}" if count > LOOPS else None


def _chain(op: Operator, node: NodeContext, kind: str) -> Canonical:
    """op(a, b, c, ...) as ((a op b) op c) ...; of one operand, that operand."""
    if len(op.inputs) == 1:
        return _one(Operator(op.name, "Reshape", op.inputs, op.outputs, {"shape": node.shape(op.outputs[0])}))
    shapes = [node.shape(i) for i in op.inputs]
    steps: list[Operator] = []
    types: dict[str, TensorType] = {}
    left = op.inputs[0]
    for i, right in enumerate(op.inputs[1:], 1):
        name = f"{op.name}:{i}"
        types[name] = TensorType(tuple(np.broadcast_shapes(*shapes[: i + 1])), node.type(op.inputs[0]).dtype)
        steps.append(Operator(name, kind, (left, right), (name,)))
        left = name
    del types[left]
    steps[-1] = Operator(op.name, kind, steps[-1].inputs, op.outputs)
    return Canonical(tuple(steps), {}, types)


def _one(operator: Operator) -> Canonical:
    return Canonical((operator,))


def _canonicalise_mean(op: Operator, node: NodeContext) -> Canonical:
    """The sum, times one over the number of operands."""
    if len(op.inputs) == 1:
        return _chain(op, node, "Add")
    total, factor = f"{op.name}:sum", f"{op.name}:factor"
    chain = _chain(Operator(total, "Add", op.inputs, (total,)), node, "Add")
    last = Operator(op.name, "Mul", (total, factor), op.outputs)
    return Canonical(
        (*chain.operators, last),
        {factor: np.array(1.0 / len(op.inputs), np.float32)},
        {**chain.types, total: node.type(op.outputs[0]), factor: TensorType(())},
    )


def _canonicalise_div(op: Operator, node: NodeContext) -> Canonical:
    """x / c with c constant: x (1 / c), where 1 / c is a normal number."""
    divisor = node.constant(op.inputs[1])
    if divisor is None or not np.issubdtype(divisor.dtype, np.floating):
        return _one(op)
    with np.errstate(all="ignore"):
        reciprocal = (1.0 / divisor.astype(np.float64)).astype(np.float32)
    if not np.all(np.isfinite(reciprocal) & (np.abs(reciprocal) >= np.finfo(np.float32).tiny)):
        return _one(op)
    name = f"{op.name}:reciprocal"
    operator = Operator(op.name, "Mul", (op.inputs[0], name), op.outputs)
    return Canonical((operator,), {name: reciprocal}, {name: TensorType(tuple(reciprocal.shape))})


def _canonicalise_pow(op: Operator, node: NodeContext) -> Canonical:
    """With one constant exponent: x^1 = x, x^2 = x x, x^0.5 = Sqrt, x^-1 = Reciprocal, else Power, a function of x.

    The exponent may be an integer type in ONNX; here it is a real number.
    """
    x, y = op.inputs
    if not ops.is_real(node.graph, x):
        return _whole_power(op, node)
    exponent = node.constant(y)
    if exponent is None:
        return _one(op) if ops.is_real(node.graph, y) else _real_exponent(op, node)
    if exponent.size > 1 or node.type(op.outputs[0]).shape != node.shape(x):
        name = f"{op.name}:exponent"
        operator = Operator(op.name, "Pow", (x, name), op.outputs)
        return Canonical((operator,), {name: exponent.astype(np.float32)}, {name: TensorType(node.shape(y))})
    value = float(exponent.reshape(()))
    if value == 1.0:
        return _one(Operator(op.name, "Reshape", (x,), op.outputs, {"shape": node.shape(x)}))
    if value == 2.0:
        return _one(Operator(op.name, "Mul", (x, x), op.outputs))
    if value in (0.5, -1.0):
        return _one(Operator(op.name, "Sqrt" if value > 0 else "Reciprocal", (x,), op.outputs))
    return _one(Operator(op.name, "Power", (x,), op.outputs, {"exponent": value}))


def _real_exponent(op: Operator, node: NodeContext) -> Canonical:
    """A whole number that is computed at run time, cast."""
    name = f"{op.name}:exponent"
    cast = Operator(name, "Cast", (op.inputs[1],), (name,), {"dtype": "float32"})
    power = Operator(op.name, "Pow", (op.inputs[0], name), op.outputs)
    return Canonical((cast, power), {}, {name: TensorType(node.shape(op.inputs[1]))})


def _whole_power(op: Operator, node: NodeContext) -> Canonical:
    """Of a whole number: exact with a whole exponent; with a real one computed in reals and cast back."""
    x, y = op.inputs
    if not ops.is_real(node.graph, y):
        return _one(op)
    base, power, dtype = f"{op.name}:base", f"{op.name}:power", node.type(x).dtype
    steps = (
        Operator(base, "Cast", (x,), (base,), {"dtype": "float32"}),
        Operator(power, "Pow", (base, y), (power,)),
        Operator(op.name, "Cast", (power,), op.outputs, {"dtype": dtype}),
    )
    return Canonical(steps, {}, {base: TensorType(node.shape(x)), power: TensorType(node.shape(op.outputs[0]))})


def _canonicalise_mod(op: Operator, node: NodeContext) -> Canonical:
    """The rest has the sign of the divisor; with `fmod` that of the dividend, which is Remainder."""
    return _one(Operator(op.name, "Remainder" if op.attributes.get("fmod", 0) else "Mod", op.inputs, op.outputs))


# --- the kernels ---------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    over = call.args["loops"]
    assert isinstance(over, Struct)
    shape = over.fields["shape"]
    assert isinstance(shape, tuple)
    return Counts(elements=int(prod(shape)), units=int(prod(shape[:-1])))


def _moved(x: Array, shape: Sequence[int], steps: Sequence[int]) -> Array:
    flat = np.ravel(x)
    view = as_strided(flat, tuple(shape), [s * flat.itemsize for s in steps], writeable=False)
    return view.astype(np.int64)


def _spread(a: Array, b: Array, loops: dict[str, Any]) -> tuple[Array, Array]:
    return _moved(a, loops["shape"], loops["a_step"]), _moved(b, loops["shape"], loops["b_step"])


def _saturated(y: Array, fmt: str) -> Array:
    target = formats.get(fmt)
    return fixed.saturate(y, target.minimum, target.maximum).astype(target.dtype)


def _exact_align(f: Callable[[Array, Array], Array], fmt: str) -> Callable[..., Array]:
    def exact(a: Array, b: Array, loops: dict[str, Any], p: dict[str, Any]) -> Array:
        left, right = _spread(a, b, loops)
        u = fixed.requantise(left - p["a_zero"], p["a_multiplier"], p["a_shift"])
        v = fixed.requantise(right - p["b_zero"], p["b_multiplier"], p["b_shift"])
        return _saturated(p["y_zero"] + fixed.rshr(f(u, v), p["fraction"]), fmt)

    return exact


def _exact_mul(fmt: str) -> Callable[..., Array]:
    def exact(a: Array, b: Array, loops: dict[str, Any], p: dict[str, Any]) -> Array:
        left, right = _spread(a, b, loops)
        product = (left - p["a_zero"]) * (right - p["b_zero"])
        return _saturated(p["y_zero"] + fixed.requantise(product, p["multiplier"], p["shift"]), fmt)

    return exact


def _exact_prelu(fmt: str) -> Callable[..., Array]:
    def exact(x: Array, slope: Array, loops: dict[str, Any], p: dict[str, Any]) -> Array:
        value, factor = _spread(x, slope, loops)
        value = value - p["x_zero"]
        below = np.minimum(value, 0) * (factor - p["slope_zero"])
        scaled = np.where(
            value < 0,
            fixed.requantise(below, p["slope_multiplier"], p["slope_shift"]),
            fixed.requantise(value, p["multiplier"], p["shift"]),
        )
        return _saturated(p["y_zero"] + scaled, fmt)

    return exact


# --- lowering ------------------------------------------------------------------------------------------------------


def _operands(op: Operator, lo: Lowering) -> tuple[Operand, Operand, Struct]:
    a, b = (lo.read(i) for i in op.inputs)
    made = loops(lo.shape(op.inputs[0]), lo.shape(op.inputs[1])).padded()
    return a, b, lo.struct("mq_broadcast", shape=made.shape, a_step=made.a_step, b_step=made.b_step)


def _quant(lo: Lowering, operand: Operand) -> QuantParams:
    quant = lo.type_of(operand).quant
    assert quant is not None
    return quant


def _names(operator: str) -> tuple[str, str]:
    """What the C function calls its operands."""
    return ("x", "slope") if operator == "PRelu" else ("a", "b")


def _lower_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    a, b, over = _operands(op, lo)
    first, second = _names(op.op)
    args: dict[str, Any] = {first: a, second: b, "y": lo.write(op.outputs[0]), "loops": over}
    lo.call(f"mq_{op.op.lower()}_{lo.formats.input}", **args)


def _lower_align(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    a, b, over = _operands(op, lo)
    y = lo.write(op.outputs[0])
    qa, qb, qy = _quant(lo, a), _quant(lo, b), _quant(lo, y)
    bits = fraction_bits(max(qa.scale, qb.scale) / qy.scale, lo.formats.input)
    a_multiplier, a_shift = fixed.multiplier(qa.scale / qy.scale * 2.0**bits)
    b_multiplier, b_shift = fixed.multiplier(qb.scale / qy.scale * 2.0**bits)
    p = lo.struct(
        "mq_align_params",
        a_zero=qa.zero_point,
        a_multiplier=a_multiplier,
        a_shift=a_shift,
        b_zero=qb.zero_point,
        b_multiplier=b_multiplier,
        b_shift=b_shift,
        fraction=bits,
        y_zero=qy.zero_point,
    )
    lo.call(f"mq_{op.op.lower()}_{lo.formats.input}", a=a, b=b, y=y, loops=over, p=p)


def fraction_bits(factor: float, fmt: str) -> int:
    """Bits that an operand may keep beyond a step of y, so that it and a sum of two stay within 32 bits.

    `factor` is the largest ratio of an operand's scale to that of y: |x - zero| factor 2^bits <= 2^29.
    """
    span = formats.get(fmt).maximum - formats.get(fmt).minimum
    return max(0, min(20, floor(29 - log2(span * factor))))


def _lower_mul(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    a, b, over = _operands(op, lo)
    y = lo.write(op.outputs[0])
    qa, qb, qy = _quant(lo, a), _quant(lo, b), _quant(lo, y)
    multiplier, shift = fixed.multiplier(qa.scale * qb.scale / qy.scale)
    p = lo.struct(
        "mq_mul_params",
        a_zero=qa.zero_point,
        b_zero=qb.zero_point,
        multiplier=multiplier,
        shift=shift,
        y_zero=qy.zero_point,
    )
    lo.call(f"mq_mul_{lo.formats.input}", a=a, b=b, y=y, loops=over, p=p)


def _lower_prelu(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    x, slope, over = _operands(op, lo)
    y = lo.write(op.outputs[0])
    qx, qs, qy = _quant(lo, x), _quant(lo, slope), _quant(lo, y)
    multiplier, shift = fixed.multiplier(qx.scale / qy.scale)
    slope_multiplier, slope_shift = fixed.multiplier(qx.scale * qs.scale / qy.scale)
    p = lo.struct(
        "mq_prelu_params",
        x_zero=qx.zero_point,
        slope_zero=qs.zero_point,
        multiplier=multiplier,
        shift=shift,
        slope_multiplier=slope_multiplier,
        slope_shift=slope_shift,
        y_zero=qy.zero_point,
    )
    lo.call(f"mq_prelu_{lo.formats.input}", x=x, slope=slope, y=y, loops=over, p=p)


# --- registration --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Binary:
    """One operator: f in numpy, how its integer kernels are specified and lowered (None: floats only)."""

    f: Callable[[Array, Array], Array]
    exact: Callable[[str], Callable[..., Array]] | None = None
    lower: Callable[[Operator, Lowering], None] | None = None
    #: name of the function on whole numbers (None: reals only)
    whole: str | None = None
    onnx: tuple[str, ...] = ()
    canonicalise: Callable[[Operator, NodeContext], Canonical] | None = None
    samples: tuple[Sample, ...] = ()
    #: of the samples in f16; less where a rounded operand can land beyond a jump
    f16_snr_db: float = 62.0


def _align(f: Callable[[Array, Array], Array]) -> Callable[[str], Callable[..., Array]]:
    return lambda fmt: _exact_align(f, fmt)


def _pairs(name: str, low: float = -1.0) -> tuple[Sample, ...]:
    """The ways two operands meet: same shape, a row, a scalar, a constant, both stretched."""
    inputs: tuple[tuple[Given | Fixed, ...], ...] = (
        (given(1, 1, 33), given(1, 1, 33, low=low)),
        (given(1, 7, 16), given(16, low=low)),
        (given(4), given(3, 1, low=low)),
        (given(2, 3, 5), given(1, low=low)),
        (given(2, 1, 3, 1, 5), given(4, 1, 3, 1, low=low)),
    )
    return tuple(Sample(name, i) for i in inputs)


def _whole(name: str) -> tuple[Sample, ...]:
    """The same on whole numbers, which wrap around."""
    dtypes = ("int32", "int64", "uint8")
    return tuple(Sample(name, (Given((3, 1, 5), 0, 99, d), Given((4, 5), 1, 99, d)), name=d) for d in dtypes)


def _many(name: str) -> tuple[Sample, ...]:
    return (
        Sample(name, (given(1, 6),)),
        Sample(name, (given(5), given(2, 1, 5), given(3, 1))),
        Sample(name, (given(2, 3), given(3), given(2, 3)), opset=8),
    )


BINARIES: dict[str, Binary] = {
    "Add": Binary(
        np.add,
        _align(np.add),
        _lower_align,
        "add",
        ("Add", "Sum"),
        lambda op, node: _chain(op, node, "Add"),
        (*_whole("Add"), *_pairs("Add"), Sample("Add", (given(1, 65), weight(65))), *_many("Sum")),
    ),
    "Sub": Binary(
        np.subtract, _align(np.subtract), _lower_align, "sub", ("Sub",), samples=(*_pairs("Sub"), *_whole("Sub"))
    ),
    "Mul": Binary(
        np.multiply,
        _exact_mul,
        _lower_mul,
        "mul",
        ("Mul", "Mean"),
        lambda op, node: _canonicalise_mean(op, node) if op.op == "Mean" else _one(op),
        (*_whole("Mul"), *_pairs("Mul"), Sample("Mul", (given(1, 4, 9), weight(4, 1))), *_many("Mean")),
    ),
    "Div": Binary(
        np.divide,
        whole="div",
        onnx=("Div",),
        canonicalise=_canonicalise_div,
        samples=(
            *_whole("Div"),
            *_pairs("Div", low=0.25),
            Sample("Div", (given(3, 8), constant(-2.5, dtype="float32"))),
        ),
    ),
    "Max": Binary(
        np.maximum,
        _align(np.maximum),
        _lower_align,
        "max",
        ("Max",),
        lambda op, node: _chain(op, node, "Max"),
        (*_whole("Max"), *_pairs("Max"), Sample("Max", (given(9), constant(0.125, dtype="float32"))), *_many("Max")),
    ),
    "Min": Binary(
        np.minimum,
        _align(np.minimum),
        _lower_align,
        "min",
        ("Min",),
        lambda op, node: _chain(op, node, "Min"),
        (*_whole("Min"), *_pairs("Min"), *_many("Min")),
    ),
    "Pow": Binary(
        np.power,
        whole="pow",
        onnx=("Pow",),
        canonicalise=_canonicalise_pow,
        samples=(
            Sample("Pow", (given(2, 9, low=0.1, high=3.0), given(9, low=-2.0, high=2.0))),
            Sample("Pow", (given(2, 3), Fixed(np.array([1.0, 2.0, 3.0], np.float32)))),
            *(Sample("Pow", (given(2, 9, low=0.1, high=3.0), constant(e, dtype="float32"))) for e in (0.3, 0.5, -1.0)),
            *(Sample("Pow", (given(2, 9), constant(e)), name=str(e)) for e in (1, 2, 3)),
        ),
    ),
    "Mod": Binary(
        np.mod,
        whole="mod",
        onnx=("Mod",),
        canonicalise=_canonicalise_mod,
        samples=(Sample("Mod", (Given((3, 9), -50.0, 50.0, "int32"), Given((9,), 1.0, 9.0, "int32"))),),
    ),
    "Remainder": Binary(
        np.fmod,
        f16_snr_db=45.0,
        whole="remainder",
        samples=(
            Sample("Mod", (given(3, 1, 9, low=-9.0, high=9.0), given(4, 9, low=0.3, high=2.0)), {"fmod": 1}),
            Sample("Mod", (Given((9,), -50.0, 50.0, "int8"), Given((9,), 1.0, 9.0, "int8")), {"fmod": 1}, name="fmod"),
        ),
    ),
    "PRelu": Binary(
        _prelu,
        _exact_prelu,
        _lower_prelu,
        onnx=("PRelu",),
        samples=(
            Sample("PRelu", (given(1, 4, 9), weight(4, 1))),
            Sample("PRelu", (given(2, 17), weight(1))),
            Sample("PRelu", (given(2, 3, 5), given(3, 1)), opset=11),
        ),
    ),
}


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """f of both operands; of whole numbers exactly, as the firmware's function has it."""
    a, b = (np.asarray(i) for i in inputs)
    binary = BINARIES[op.op]
    if a.dtype.kind == "f" or binary.whole is None:
        return (np.asarray(binary.f(a, b)),)
    return (computed(binary.whole, a, b, a.dtype).reshape(np.broadcast_shapes(a.shape, b.shape)),)


def _register(name: str, binary: Binary) -> None:
    first, second = _names(name)
    inplace = ((first, "y"), (second, "y"))
    lowerings = [
        OpLowering("f32", Formats("f32", "f32"), _lower_float, sample_snr_db=140.0),
        OpLowering("f16", Formats("f16", "f16"), _lower_float, sample_snr_db=binary.f16_snr_db),
    ]
    exact: dict[str, Callable[..., Array] | None] = {"f32": None, "f16": None}
    if binary.exact and binary.lower:
        lowerings.append(OpLowering("s16", Formats("s16", "s16"), binary.lower, sample_snr_db=84.0))
        lowerings.append(OpLowering("s8", Formats("s8", "s8"), binary.lower, sample_snr_db=36.0))
        exact |= {fmt: binary.exact(fmt) for fmt in ("s8", "s16")}
    for fmt, specification in exact.items():
        kernel = f"mq_{name.lower()}_{fmt}"
        register_kernel(Kernel(kernel, "elementwise", counts=_counts, exact=specification, inplace=inplace))
    register(
        OpSpec(
            name=name,
            onnx=binary.onnx,
            infer=infer,
            reference=reference,
            canonicalise=binary.canonicalise,
            exact=lower_whole(binary.whole) if binary.whole else None,
            constraints=(operands_of_one_kind, few_loops),
            lowerings=tuple(lowerings),
            samples=binary.samples,
        )
    )


for _name, _binary in BINARIES.items():
    _register(_name, _binary)
