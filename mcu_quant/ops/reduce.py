"""Reduce: one value from all those along some axes: sum, mean, maximum, minimum, product, norms, logarithms of sums.

Attributes: `kind` (a key of `KINDS`), `axes` (ascending, not negative, at least one), `keepdims` (bool). All of ONNX's
ReduceX are this operator. A kernel reduces one run of neighbouring axes; axes apart become reductions one after the
other, and a reduction over no axis the function that is left of it. Whole numbers and truth values have the kinds of
`common/reduce_whole.py`; of them a mean is a division after the sum, L1 a sum of magnitudes, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from mcu_quant import fixed, formats, ops
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import (
    Canonical,
    Counts,
    Formats,
    Given,
    Kernel,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    given,
    normalise_axis,
    register,
    register_kernel,
)
from mcu_quant.ops import fixed as constant
from mcu_quant.ops.common.reduce_whole import FUNCTIONS, lower_whole, reduced
from mcu_quant.program import Call, Program, Scalar, Struct, Symbol


@dataclass(frozen=True)
class Kind:
    """What is done along the axes.

    fold, start, finish: how the float kernel does it, finish being applied to the folded value (times 1 / count for
    a mean). first, then: the kinds of the first and of later reductions when axes are reduced one after the other, all
    but the last of them being `first` or `then`. of_one: the operator that does the same to a single value.
    """

    f: Callable[..., Array]
    fold: str = "mq_fold_sum"
    start: float = 0.0
    finish: str = "NULL"
    first: str = ""
    then: str = ""
    of_one: str = "Reshape"
    integer: bool = False


def _logsumexp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    largest = x.max(axis=axis, keepdims=True, initial=np.finfo(np.float32).min)
    total = largest + np.log(np.exp(x - largest).sum(axis=axis, keepdims=True))
    return np.asarray(total if keepdims else total.squeeze(axis))


KINDS = {
    "sum": Kind(np.sum, integer=True),
    "mean": Kind(np.mean, integer=True),
    "max": Kind(lambda x, **over: np.max(x, initial=-np.inf, **over), "mq_fold_max", -np.inf, integer=True),
    "min": Kind(lambda x, **over: np.min(x, initial=np.inf, **over), "mq_fold_min", np.inf, integer=True),
    "prod": Kind(np.prod, "mq_fold_product", 1.0),
    "l1": Kind(lambda x, **over: np.abs(x).sum(**over), "mq_fold_abs", of_one="Abs"),
    "l2": Kind(lambda x, **over: np.sqrt((x * x).sum(**over)), "mq_fold_square", finish="mq_fn_sqrt", of_one="Abs"),
    "sumsquare": Kind(lambda x, **over: (x * x).sum(**over), "mq_fold_square", then="sum", of_one="Mul"),
    "logsum": Kind(lambda x, **over: np.log(x.sum(**over)), finish="mq_fn_log", first="sum", of_one="Log"),
    "logsumexp": Kind(_logsumexp),
}


# --- the operator --------------------------------------------------------------------------------------------------


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Reduced axes become 1, or disappear."""
    assert types[0]
    return (_reduced_type(types[0], op.attributes["axes"], op.attributes["keepdims"]),)


def _reduced_type(x: TensorType, axes: Sequence[int], keep: bool) -> TensorType:
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape) if keep or a not in axes)
    return TensorType(shape, x.dtype)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Numpy's reduction of that name."""
    kind, x = KINDS[op.attributes["kind"]], np.asarray(inputs[0])
    if x.dtype.kind != "f":
        axes, keep = tuple(op.attributes["axes"]), bool(op.attributes["keepdims"])
        return (reduced(op.attributes["kind"], x, axes, keep),)
    value = kind.f(inputs[0], axis=tuple(op.attributes["axes"]), keepdims=bool(op.attributes["keepdims"]))
    return (np.asarray(value, np.float32),)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Axes and keepdims explicit; axes that are apart one after the other."""
    kind, shape = op.op.removeprefix("Reduce").lower(), node.shape(op.inputs[0])
    if op.input(1) and node.constant(op.inputs[1]) is None:
        return Canonical((Operator(op.name, "Reduce", op.inputs, op.outputs, {"kind": kind}),))
    given_axes = node.ints(op, 1, "axes") or ()
    axes = tuple(sorted({normalise_axis(a, len(shape)) for a in given_axes}))
    if not axes and not op.attributes.get("noop_with_empty_axes", 0):
        axes = tuple(range(len(shape)))
    if not axes:
        return Canonical((_of_one(op, kind, node),))
    keep, type_ = bool(op.attributes.get("keepdims", 1)), node.type(op.inputs[0])
    if ops.is_real(node.graph, op.inputs[0]) or kind in FUNCTIONS or kind not in _OF_WHOLE:
        return _chain(op, kind, axes, keep, type_)
    return _of_whole(op, kind, axes, keep, type_)


#: Kinds of reductions of whole numbers that are a sum, and something before or after it.
_OF_WHOLE = ("l1", "mean", "sumsquare")


def _of_whole(op: Operator, kind: str, axes: tuple[int, ...], keep: bool, x: TensorType) -> Canonical:
    """Magnitudes or squares, then their sum; the sum, then its division by the number of elements, towards 0."""
    first, count = f"{op.name}:{kind}", f"{op.name}:count"
    if kind == "mean":
        made = _chain(Operator(first, "ReduceSum", op.inputs, (first,)), "sum", axes, keep, x)
        elements = np.array(prod(x.shape[a] for a in axes)).astype(x.dtype)
        division = Operator(op.name, "Div", (first, count), op.outputs)
        types = {**made.types, first: _reduced_type(x, axes, keep), count: TensorType((), x.dtype)}
        return Canonical((*made.operators, division), {count: elements}, types)
    each = Operator(first, "Abs" if kind == "l1" else "Mul", op.inputs[:1] * (1 if kind == "l1" else 2), (first,))
    made = _chain(replace(op, inputs=(first,)), "sum", axes, keep, x)
    return Canonical((each, *made.operators), {}, {**made.types, first: x})


def _of_one(op: Operator, kind: str, node: NodeContext) -> Operator:
    """Nothing to reduce: what the kind does to each value."""
    x, name = op.inputs[0], KINDS[kind].of_one
    attributes = {"shape": node.shape(op.outputs[0])} if name == "Reshape" else {}
    return Operator(op.name, name, (x, x) if name == "Mul" else (x,), op.outputs, attributes)


def _chain(op: Operator, kind: str, axes: tuple[int, ...], keep: bool, x: TensorType) -> Canonical:
    """One reduction per run of neighbouring axes; the last one is over all axes, of which the others are 1 by then."""
    shape, edge = list(x.shape), op.inputs[0]
    steps: list[Operator] = []
    types: dict[str, TensorType] = {}
    parts = runs(x.shape, axes)
    for i, part in enumerate(parts[:-1]):
        name = f"{op.name}:{i + 1}"
        step = KINDS[kind].first or (KINDS[kind].then if i else "") or kind
        steps.append(Operator(name, "Reduce", (edge,), (name,), {"kind": step, "axes": part, "keepdims": True}))
        for axis in part:
            shape[axis] = 1
        types[name], edge = TensorType(tuple(shape), x.dtype), name
    last = (KINDS[kind].then if steps else "") or kind
    steps.append(Operator(op.name, "Reduce", (edge,), op.outputs, {"kind": last, "axes": axes, "keepdims": keep}))
    return Canonical(tuple(steps), {}, types)


def runs(shape: Shape, axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Axes in groups of neighbours; axes of size 1 are in nobody's way."""
    found: list[tuple[int, ...]] = []
    for axis in axes:
        if found and all(n == 1 for n in shape[found[-1][-1] + 1 : axis]):
            found[-1] += (axis,)
        elif shape[axis] > 1 or not found:
            found.append((axis,))
    return found


def constant_axes(op: Operator, graph: Graph) -> str | None:
    """The axes are constants."""
    return "the axes are computed at run time" if len(op.inputs) > 1 and op.inputs[1] else None


def whole_kind(op: Operator, graph: Graph) -> str | None:
    """Of whole numbers there are sums, means, products, extremes, L1 and sums of squares; the others take reals."""
    kind = op.attributes["kind"]
    return None if ops.is_real(graph, op.inputs[0]) or kind in FUNCTIONS else f"{op.inputs[0]!r} is whole"


def extent(shape: Shape, axes: Sequence[int]) -> tuple[int, int, int]:
    """(outer, count, inner): elements before, along and after a run of neighbouring axes.

    Raises:
        AssertionError: if the axes are apart, which no kernel reduces at once.
    """
    long = [a for a in axes if shape[a] > 1]
    if not long:
        return prod(shape), 1, 1
    apart = [a for a in range(long[0], long[-1]) if shape[a] > 1 and a not in axes]
    assert not apart, f"axes {tuple(axes)} of {shape} are apart"
    return prod(shape[: long[0]]), prod(shape[long[0] : long[-1] + 1]), prod(shape[long[-1] + 1 :])


# --- the kernels ---------------------------------------------------------------------------------------------------


def counts(program: Program, call: Call) -> Counts:
    """Work of a call with outer, count and inner, as parameters of their own or in a struct p."""
    p = call.args.get("p")

    def number(name: str) -> int:
        value = p.fields[name] if isinstance(p, Struct) else call.args[name]
        return int(value.value if isinstance(value, Scalar) else value)  # type: ignore[arg-type]

    rows = number("outer") * number("inner")
    return Counts(elements=rows * number("count"), units=rows)


def _exact_sum(fmt: str) -> Callable[..., Array]:
    target = formats.get(fmt)

    def exact(x: Array, p: dict[str, Any]) -> Array:
        acc = p["bias"] + x.astype(np.int64).reshape(p["outer"], p["count"], p["inner"]).sum(axis=1)
        y = p["y_zero"] + fixed.requantise(acc, p["multiplier"], p["shift"])
        return fixed.saturate(y, target.minimum, target.maximum).astype(target.dtype)

    return exact


def _exact_max(x: Array, outer: int, count: int, inner: int) -> Array:
    return np.asarray(x.reshape(outer, count, inner).max(axis=1))


def _exact_min(x: Array, outer: int, count: int, inner: int) -> Array:
    return np.asarray(x.reshape(outer, count, inner).min(axis=1))


for _fmt in ("f32", "f16"):
    register_kernel(Kernel(f"mq_reduce_{_fmt}", "reduce", counts=counts))
    register_kernel(Kernel(f"mq_logsumexp_{_fmt}", "reduce", counts=counts))
for _fmt in ("s8", "s16"):
    register_kernel(Kernel(f"mq_reduce_sum_{_fmt}", "reduce", counts=counts, exact=_exact_sum(_fmt)))
    register_kernel(Kernel(f"mq_reduce_max_{_fmt}", "reduce", counts=counts, exact=_exact_max))
    register_kernel(Kernel(f"mq_reduce_min_{_fmt}", "reduce", counts=counts, exact=_exact_min))


# --- lowering ------------------------------------------------------------------------------------------------------


def _lower_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    kind, fmt = op.attributes["kind"], lo.formats.input
    outer, count, inner = extent(lo.shape(op.inputs[0]), op.attributes["axes"])
    x, y = lo.read(op.inputs[0]), lo.write(op.outputs[0])
    if kind == "logsumexp":
        lo.call(f"mq_logsumexp_{fmt}", x=x, y=y, outer=outer, count=count, inner=inner)
        return
    factor = 1.0 / count if kind == "mean" else 1.0
    k = KINDS[kind]
    p = lo.struct("mq_reduce_params", outer=outer, count=count, inner=inner, start=k.start, factor=factor)
    lo.call(f"mq_reduce_{fmt}", x=x, y=y, p=p, fold=Symbol(k.fold), finish=Symbol(k.finish))


def _lower_integer(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    kind, fmt = op.attributes["kind"], lo.formats.input
    outer, count, inner = extent(lo.shape(op.inputs[0]), op.attributes["axes"])
    x = lo.read(op.inputs[0])
    quant = lo.type_of(x).quant
    assert quant
    if kind in ("max", "min"):
        y = lo.write(op.outputs[0], quant=quant)
        lo.call(f"mq_reduce_{kind}_{fmt}", x=x, y=y, outer=outer, count=count, inner=inner)
        return
    y = lo.write(op.outputs[0])
    y_quant = lo.type_of(y).quant
    assert y_quant
    factor = 1.0 / count if kind == "mean" else 1.0
    multiplier, shift = fixed.multiplier(factor * quant.scale / y_quant.scale)
    p = lo.struct(
        "mq_reduce_sum_params",
        outer=outer,
        count=count,
        inner=inner,
        bias=-count * quant.zero_point,
        multiplier=multiplier,
        shift=shift,
        y_zero=y_quant.zero_point,
    )
    lo.call(f"mq_reduce_sum_{fmt}", x=x, y=y, p=p)


def _lower_whole(op: Operator, lo: Lowering) -> None:
    size = extent(lo.shape(op.inputs[0]), op.attributes["axes"])
    lower_whole(lo, op.attributes["kind"], (op.inputs[0], op.outputs[0]), size)


def _applies(fmt: str) -> Callable[[Operator, Graph], str | None]:
    """Integer kernels: some kinds, and as many values as a 32-bit sum holds whatever they are."""
    # with a zero point a term reaches from one end of the format to the other
    reach = -formats.get(fmt).minimum * (2 if formats.get(fmt).asymmetric else 1)

    def applies(op: Operator, graph: Graph) -> str | None:
        kind = op.attributes["kind"]
        if not KINDS[kind].integer:
            return f"a reduction by {kind} has no kernel in integers"
        count = extent(graph.shape(op.inputs[0]), op.attributes["axes"])[1]
        if kind in ("sum", "mean") and count * reach > 2**31:
            return f"the sum of {count} values could leave 32 bits"
        return None

    return applies


def _samples() -> tuple[Sample, ...]:
    plain = [
        Sample(f"Reduce{name}", (given(1, 3, 17), constant([-1]))) for name in _NAMES if name not in ("LogSum", "Prod")
    ]
    return (
        *plain,
        Sample("ReduceLogSum", (given(1, 3, 17, low=0.1), constant([-1]))),
        Sample("ReduceProd", (given(1, 3, 17, low=0.5, high=1.5), constant([-1]))),
        Sample("ReduceLogSum", (given(2, 3, 4, low=0.1), constant([0, 2]))),
        Sample("ReduceMean", (given(1, 4, 3, 5), constant([2, 3])), {"keepdims": 0}),
        Sample("ReduceMean", (given(2, 3, 4, 5), constant([0, 2])), {"keepdims": 0}),
        Sample("ReduceMean", (given(1, 257),), {"axes": [1]}, opset=13),
        Sample("ReduceSum", (given(2, 3, 4),), {"axes": [-2], "keepdims": 0}, opset=11),
        Sample("ReduceSum", (given(2, 3, 4),)),
        Sample("ReduceSum", (given(2, 3),), {"noop_with_empty_axes": 1}),
        Sample("ReduceSumSquare", (given(2, 3, 2, 5), constant([1, 3]))),
        Sample("ReduceSumSquare", (given(2, 3),), {"noop_with_empty_axes": 1}),
        Sample("ReduceL2", (given(2, 3, 2, 5), constant([0, 2]))),
        Sample("ReduceLogSumExp", (given(2, 3, 2, 5, low=-30.0, high=30.0), constant([1, 3]))),
        Sample("ReduceMax", (given(1, 64),), {"axes": [0]}, opset=11),
        Sample("ReduceMin", (given(5, 1, 2), constant([0, 1]))),
        *(
            Sample(f"Reduce{name}", (Given((2, 3, 4), -9, 9, dtype), constant([0, 2])), name=dtype)
            for name in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "SumSquare")
            for dtype in ("int32", "int64")
        ),
        Sample("ReduceMax", (Given((2, 9), 0, 200, "uint8"), constant([1])), {"keepdims": 0}, name="uint8"),
        Sample("ReduceMin", (Given((2, 9), 0, 1.2, "bool"), constant([1])), opset=20, name="bool"),
    )


_NAMES = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")

REDUCE = register(
    OpSpec(
        name="Reduce",
        onnx=tuple(f"Reduce{name}" for name in _NAMES),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(constant_axes, whole_kind),
        exact=_lower_whole,
        family="reduction",
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_float, sample_snr_db=120.0),
            OpLowering("f16", Formats("f16", "f16"), _lower_float, sample_snr_db=62.0),
            OpLowering("s16", Formats("s16", "s16"), _lower_integer, sample_snr_db=80.0, applies=_applies("s16")),
            OpLowering("s8", Formats("s8", "s8"), _lower_integer, sample_snr_db=34.0, applies=_applies("s8")),
        ),
        samples=_samples(),
    )
)
