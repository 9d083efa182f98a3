"""Whole numbers and truth values, element by element, exactly: And, Or, Xor, Not, the bitwise operators, BitShift.

They are stored as the model has them and wrap around as its integers do, so there is nothing to choose and nothing to
calibrate. Arithmetic that exists for reals too (Add, Div, Max, ...) comes here from its own file by `lower_whole`.

Attribute `direction` of BitShift: "LEFT" or "RIGHT".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    Canonical,
    Counts,
    Fixed,
    Given,
    Kernel,
    NodeContext,
    OpSpec,
    Sample,
    register,
    register_kernel,
)
from mcu_quant.ops.common.broadcast import LOOPS, loops
from mcu_quant.program import Call, Program, Struct, Symbol

# --- types -----------------------------------------------------------------------------------------------------------


def dtype_of(code: int) -> np.dtype[Any]:
    """The type of that name."""
    return np.dtype(f"{'i' if code > 0 else 'u'}{abs(code)}")


# --- the kernels -----------------------------------------------------------------------------------------------------


def _wide(x: Array) -> Array:
    """As 64 bits; unsigned ones keep their bits."""
    return x.view(np.int64) if x.dtype == np.uint64 else x.astype(np.int64)


def _unsigned(f: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    return lambda a, b: np.asarray(f(a.view(np.uint64), b.view(np.uint64))).astype(np.int64)


def _div(a: Array, b: Array) -> Array:
    safe = np.where(b == 0, 1, b)
    with np.errstate(over="ignore"):
        quotient = a // safe
        quotient = quotient + ((a % safe != 0) & ((a < 0) != (safe < 0)))
    return np.where(b == 0, 0, quotient)


def _div_unsigned(a: Array, b: Array) -> Array:
    return np.where(b == 0, np.uint64(0), a // np.where(b == 0, np.uint64(1), b))


def _mod(a: Array, b: Array) -> Array:
    return np.where(b == 0, 0, a % np.where(b == 0, 1, b))


def _mod_unsigned(a: Array, b: Array) -> Array:
    return np.where(b == 0, np.uint64(0), a % np.where(b == 0, np.uint64(1), b))


def _remainder(a: Array, b: Array) -> Array:
    return np.where(b == 0, 0, np.fmod(a, np.where(b == 0, 1, b)))


def _power(a: Array, b: Array) -> Array:
    a, b = np.broadcast_arrays(a, b)
    below = np.where(np.abs(a) == 1, np.where(b % 2 == 0, 1, a), 0)
    with np.errstate(over="ignore"):
        return np.where(b < 0, below, np.power(a, np.maximum(b, 0)))


def _left(a: Array, b: Array) -> Array:
    inside = (b >= 0) & (b < 64)
    return np.where(inside, a.view(np.uint64) << np.where(inside, b, 0).astype(np.uint64), np.uint64(0)).view(np.int64)


def _right(a: Array, b: Array) -> Array:
    return a >> np.where((b >= 0) & (b < 64), b, 63)


def _right_unsigned(a: Array, b: Array) -> Array:
    return np.where(b < np.uint64(64), a >> np.minimum(b, np.uint64(63)), np.uint64(0))


#: The firmware's functions on 64 bits.
FUNCTIONS: dict[str, Callable[[Array, Array], Array]] = {
    "abs": lambda a, b: np.abs(a),
    "add": np.add,
    "and": np.bitwise_and,
    "div": _div,
    "div_unsigned": _unsigned(_div_unsigned),
    "equal": np.equal,
    "less": np.less,
    "less_or_equal": np.less_equal,
    "less_or_equal_unsigned": _unsigned(np.less_equal),
    "less_unsigned": _unsigned(np.less),
    "max": np.maximum,
    "max_unsigned": _unsigned(np.maximum),
    "min": np.minimum,
    "min_unsigned": _unsigned(np.minimum),
    "mod": _mod,
    "mod_unsigned": _unsigned(_mod_unsigned),
    "mul": np.multiply,
    "or": np.bitwise_or,
    "pow": _power,
    "remainder": _remainder,
    "shift_left": _left,
    "shift_right": _right,
    "shift_right_unsigned": _unsigned(_right_unsigned),
    "sign": lambda a, b: np.sign(a),
    "sub": np.subtract,
    "xor": np.bitwise_xor,
}


def computed(name: str, a: Array, b: Array, dtype: np.dtype[Any]) -> Array:
    """A function of the firmware by name, on arrays of any whole type, in the type of the result."""
    if np.uint64 in (a.dtype, b.dtype) and f"{name}_unsigned" in FUNCTIONS:
        name = f"{name}_unsigned"
    return np.asarray(FUNCTIONS[name](np.atleast_1d(_wide(a)), np.atleast_1d(_wide(b)))).astype(np.int64).astype(dtype)


def spread(x: Array, shape: Sequence[int], steps: Sequence[int]) -> Array:
    """The elements of a flat array that nested loops visit."""
    at: Array = np.zeros((1,) * LOOPS, np.int64)
    for axis, (size, step) in enumerate(zip(shape, steps, strict=True)):
        at = at + (np.arange(size) * step).reshape([-1 if k == axis else 1 for k in range(LOOPS)])
    return x[at]


def _exact_whole(a: Array, b: Array, loops: dict[str, Any], p: dict[str, Any]) -> Array:
    f = FUNCTIONS[p["f"].name.removeprefix("mq_whole_")]
    left, right = (spread(_wide(x.ravel()), loops["shape"], loops[step]) for x, step in ((a, "a_step"), (b, "b_step")))
    return np.asarray(f(left, right)).astype(np.int64).astype(dtype_of(p["y_type"]))


def kernel_counts(program: Program, call: Call) -> Counts:
    """One element for each turn of the loops."""
    over = call.args["loops"]
    assert isinstance(over, Struct)
    shape = over.fields["shape"]
    assert isinstance(shape, tuple)
    return Counts(elements=int(prod(shape)))


register_kernel(Kernel("mq_whole", "whole", counts=kernel_counts, exact=_exact_whole, inplace=(("a", "y"), ("b", "y"))))

# --- lowering --------------------------------------------------------------------------------------------------------


def broadcast(lo: Lowering, a: str, b: str) -> Struct:
    """The loops over two edges, as the firmware's functions take them."""
    made = loops(lo.shape(a), lo.shape(b)).padded()
    return lo.struct("mq_broadcast", shape=made.shape, a_step=made.a_step, b_step=made.b_step)


def call_whole(lo: Lowering, name: str, a: str, b: str, y: str) -> None:
    """y = f(a, b) of edges of whole numbers; f by its name in the firmware."""
    unsigned = any(lo.natural(e) == "u64" for e in (a, b)) and f"{name}_unsigned" in FUNCTIONS
    left, right = lo.read(a), lo.read(b)
    out = lo.write(y)
    p = lo.struct(
        "mq_whole_params",
        f=Symbol(f"mq_whole_{name}{'_unsigned' if unsigned else ''}"),
        a_type=lo.type_of(left).storage.type_code,
        b_type=lo.type_of(right).storage.type_code,
        y_type=lo.type_of(out).storage.type_code,
    )
    lo.call("mq_whole", a=left, b=right, y=out, loops=broadcast(lo, a, b), p=p)


def lower_whole(name: str) -> Callable[[Operator, Lowering], None]:
    """The `exact` way of an operator of one or two operands."""

    def lower(op: Operator, lo: Lowering) -> None:
        call_whole(lo, name, op.inputs[0], op.inputs[-1], op.outputs[0])

    return lower


# --- the operators ---------------------------------------------------------------------------------------------------

#: ONNX operator -> the firmware's function, and what the second operand is where ONNX has none
_BINARY = {
    "And": "and",
    "Or": "or",
    "Xor": "xor",
    "BitwiseAnd": "and",
    "BitwiseOr": "or",
    "BitwiseXor": "xor",
}


def _function(op: Operator) -> str:
    if op.op == "BitShift":
        return "shift_left" if op.attributes["direction"] == "LEFT" else "shift_right"
    return _BINARY[op.op]


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Attributes explicit; Not is Xor with true, BitwiseNot Xor with -1."""
    if op.op in ("Not", "BitwiseNot"):
        dtype = node.type(op.inputs[0]).dtype
        name = f"{op.name}:ones"
        ones = np.array(True) if dtype == "bool" else np.array(-1).astype(dtype)
        kind = "Xor" if dtype == "bool" else "BitwiseXor"
        made = Operator(op.name, kind, (op.inputs[0], name), op.outputs)
        return Canonical((made,), {name: ones}, {name: TensorType((), dtype)})
    attributes: dict[str, Any] = {}
    if op.op == "BitShift":
        direction = op.attributes["direction"]
        attributes = {"direction": direction.decode() if isinstance(direction, bytes) else str(direction)}
    return Canonical((Operator(op.name, op.op, op.inputs, op.outputs, attributes),))


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """The shapes of both operands, broadcast."""
    a, b = types[0], types[-1]
    assert a and b
    return (TensorType(tuple(np.broadcast_shapes(a.shape, b.shape)), a.dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The function on 64 bits, cut to the type of the operands."""
    a, b = (np.asarray(i) for i in inputs)
    return (computed(_function(op), a, b, a.dtype).reshape(np.broadcast_shapes(a.shape, b.shape)),)


def _lower(op: Operator, lo: Lowering) -> None:
    call_whole(lo, _function(op), op.inputs[0], op.inputs[1], op.outputs[0])


def few_loops(op: Operator, graph: Graph) -> str | None:
    """Broadcasting takes at most six nested loops, neighbouring axes that both operands move along alike being one."""
    count = len(loops(graph.shape(op.inputs[0]), graph.shape(op.inputs[-1])).shape)
    return f"{graph.shape(op.inputs[0])} and {graph.shape(op.inputs[-1])} take {count}" if count > LOOPS else None


def _pair(name: str, dtype: str, **attributes: Any) -> Sample:
    whole = dtype != "bool"
    low, high = (0.0, 7.0) if whole else (0.0, 2.0)
    inputs: tuple[Given | Fixed, ...] = (
        Given((3, 1, 5), low, 100.0 if whole else high, dtype),
        Given((4, 5), low + whole, high, dtype),
    )
    return Sample(name, inputs, attributes, name=dtype)


_SAMPLES: dict[str, tuple[Sample, ...]] = {
    **{name: (_pair(name, "bool"),) for name in ("And", "Or", "Xor")},
    **{name: (_pair(name, "int32"), _pair(name, "uint8")) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")},
    "BitShift": (_pair("BitShift", "uint8", direction="LEFT"), _pair("BitShift", "uint64", direction="RIGHT")),
}

for _name, _onnx in (
    ("And", ()),
    ("Or", ()),
    ("Xor", ("Not",)),
    ("BitwiseAnd", ()),
    ("BitwiseOr", ()),
    ("BitwiseXor", ("BitwiseNot",)),
    ("BitShift", ()),
):
    register(
        OpSpec(
            name=_name,
            onnx=(_name, *_onnx),
            infer=infer,
            reference=reference,
            canonicalise=canonicalise,
            constraints=(few_loops,),
            exact=_lower,
            samples=_SAMPLES[_name],
            family="whole numbers",
        )
    )
