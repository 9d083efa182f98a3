"""What layout operators share: the kernels that move stored values, and how a constant map becomes calls to them.

A layout operator carries values in whatever format and scale they are stored; it has no line in the plan. Most of them
select: every output element is one element of the input. `selection` makes the OpSpec of those from a reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_quant import formats, ops
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Operator, TensorType
from mcu_quant.ops import (
    Canonical,
    Constraint,
    Counts,
    Fixed,
    Formats,
    Kernel,
    NodeContext,
    OpLowering,
    OpSpec,
    Sample,
    register_kernel,
)
from mcu_quant.ops.common import layout
from mcu_quant.program import Access, Argument, Buffer, Call, Constant, EdgeType, Program, Scalar, Struct, Symbol

if TYPE_CHECKING:
    from mcu_quant.lowering import Lowering, Operand

# --- the kernels ---------------------------------------------------------------------------------------------------


def _fields(call: Call) -> dict[str, Any]:
    p = call.args["p"]
    assert isinstance(p, Struct)
    return dict(p.fields)


def _walk_counts(program: Program, call: Call) -> Counts:
    """Rows; where both sides lie in one piece, a row is moved as a block."""
    p = _fields(call)
    size, rows = prod(p["shape"]), prod(p["shape"][:-1])
    if p["x_step"][-1] == p["y_step"][-1] == 1:
        return Counts(units=rows, moved=size * int(call.kernel.rpartition("_")[2]) // 8)
    return Counts(elements=size, units=rows)


def _gather_counts(program: Program, call: Call) -> Counts:
    p = _fields(call)
    runs = int(p["outer_count"] * p["middle_count"] * p["inner_count"])
    return Counts(elements=runs * int(p["run"]), units=runs)


def _scatter_counts(program: Program, call: Call) -> Counts:
    p = _fields(call)
    return Counts(elements=int(p["count"] * p["run"]), units=int(p["count"]))


def _set_counts(program: Program, call: Call) -> Counts:
    n = call.args["n"]
    assert isinstance(n, Scalar)
    return Counts(elements=int(n.value))


def _concat_counts(program: Program, call: Call) -> Counts:
    p = _fields(call)
    parts = [int(p[f"{name}_bytes"]) for name in "abcd"]
    rows = int(p["rows"])
    return Counts(elements=(rows * sum(parts) + 3) // 4, units=rows * sum(n > 0 for n in parts))


def _along(shape: Sequence[int], steps: Sequence[int], start: int) -> Array:
    """Positions that nested loops visit, in order."""
    at: Array = np.full((1,) * len(shape), start, np.int64)
    for axis, (size, step) in enumerate(zip(shape, steps, strict=True)):
        at = at + (np.arange(size) * step).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return at.ravel()


def _exact_strided_copy(x: Array, p: dict[str, Any], y: Array | None = None) -> Array:
    """Without y, the call writes all of it."""
    written: Array = np.empty(prod(p["shape"]), x.dtype) if y is None else y.flatten()
    written[_along(p["shape"], p["y_step"], p["y_start"])] = x.ravel()[_along(p["shape"], p["x_step"], p["x_start"])]
    return written


def _exact_gather(x: Array, p: dict[str, Any]) -> Array:
    at: Array = np.add.outer(np.add.outer(np.add.outer(p["outer"], p["middle"]), p["inner"]), np.arange(p["run"]))
    return x.ravel()[at.ravel()]


def _exact_scatter(x: Array, y: Array, p: dict[str, Any]) -> Array:
    written = y.flatten()
    written[np.add.outer(p["offset"], np.arange(p["run"])).ravel()] = x.ravel()
    return written


def _exact_set_16(bits: int, n: int) -> Array:
    return np.full(n, bits, np.uint16)


def _exact_set_32(bits: int, n: int) -> Array:
    return np.full(n, bits, np.uint32)


def _exact_concat(a: Array, b: Array | None, c: Array | None, d: Array | None, p: dict[str, Any]) -> Array:
    parts = [x.reshape(p["rows"], -1) for x in (a, b, c, d) if x is not None]
    return np.concatenate(parts, axis=1)


for _bits in (8, 16, 32, 64):
    register_kernel(Kernel(f"mq_strided_copy_{_bits}", "layout", counts=_walk_counts, exact=_exact_strided_copy))
    register_kernel(Kernel(f"mq_gather_{_bits}", "layout", counts=_gather_counts, exact=_exact_gather))
    register_kernel(Kernel(f"mq_scatter_{_bits}", "layout", counts=_scatter_counts, exact=_exact_scatter))
register_kernel(Kernel("mq_set_16", "layout", counts=_set_counts, exact=_exact_set_16))
register_kernel(Kernel("mq_set_32", "layout", counts=_set_counts, exact=_exact_set_32))
register_kernel(Kernel("mq_concat", "layout", counts=_concat_counts, exact=_exact_concat))


# --- calls ---------------------------------------------------------------------------------------------------------


def operand(lo: Lowering, edge: str) -> Operand:
    """An edge as it is stored; of a constant, reals as f32."""
    return lo.read(edge, lo.natural(edge)) if lo.is_constant(edge) else lo.read(edge)


def move(lo: Lowering, x: Operand, y: Buffer, source: Array, target: Array | None = None) -> None:
    """y[target[i]] = x[source[i]] for all i; without `target`, all of y in order. Both have the same format and scale.

    A target that no loops describe needs each element of x exactly once.
    """
    bits = lo.type_of(x).storage.bytes * 8
    everything = np.arange(np.size(source)) if target is None else target
    loops = layout.walk(source, everything)
    if loops is not None:
        _strided_copy(lo, x, y, bits, loops.padded())
    elif target is None:
        if not _in_pieces(lo, x, y, bits, source):
            _gather(lo, x, y, bits, layout.tables(source))
    else:
        order = np.argsort(np.ravel(source))
        assert layout.contiguous(np.ravel(source)[order]), "a scatter takes every element of its input once"
        _scatter(lo, x, y, bits, np.ravel(target)[order])


def _strided_copy(lo: Lowering, x: Operand, y: Buffer, bits: int, loops: layout.Walk) -> None:
    p = lo.struct(
        "mq_strided_copy_params",
        x_start=loops.x_start,
        y_start=loops.y_start,
        shape=loops.shape,
        x_step=loops.x_step,
        y_step=loops.y_step,
    )
    lo.call(f"mq_strided_copy_{bits}", x=x, y=y, p=p)


#: Bytes of flash that the parameters of each call take.
_STRIDED_BYTES, _GATHER_BYTES = 80, 32


def _in_pieces(lo: Lowering, x: Operand, y: Buffer, bits: int, source: Array) -> bool:
    """As a few strided copies, where these take less flash than the tables of a gather."""
    parts, tables = layout.pieces(source), layout.tables(source)
    offsets = tables.outer.size + tables.middle.size + tables.inner.size
    if parts is None or _STRIDED_BYTES * len(parts) > _GATHER_BYTES + 4 * offsets:
        return False
    in_a_row = all(layout.contiguous(put) for _, put in parts)
    if not in_a_row:
        lo.call("mq_fill", y=y, value=0, bytes=lo.type_of(y).bytes)  # a call writes all of an edge, or updates it
    for taken, put in parts:
        start = int(put[0]) if in_a_row else 0
        into = lo.part(y.edge, start, (put.size,)) if in_a_row else Buffer(y.edge, Access.UPDATE)
        loops = layout.walk(taken, put - start)
        assert loops is not None, "pieces are walks"
        _strided_copy(lo, x, into, bits, loops.padded())
    return True


def _gather(lo: Lowering, x: Operand, y: Buffer, bits: int, tables: layout.Tables) -> None:
    def table(suffix: str, values: Array) -> Constant:
        return lo.constant(values, "s32", hint=f"{lo.op.name}:{suffix}", comment="offsets", kind="table")

    p = lo.struct(
        "mq_gather_params",
        outer_count=len(tables.outer),
        middle_count=len(tables.middle),
        inner_count=len(tables.inner),
        run=tables.run,
        outer=table("outer", tables.outer),
        middle=table("middle", tables.middle),
        inner=table("inner", tables.inner),
    )
    lo.call(f"mq_gather_{bits}", x=x, y=y, p=p)


def _scatter(lo: Lowering, x: Operand, y: Buffer, bits: int, target: Array) -> None:
    run, starts = layout.blocks(target)
    offset = lo.constant(starts, "s32", hint=f"{lo.op.name}:offset", comment="offsets", kind="table")
    lo.call(f"mq_scatter_{bits}", x=x, y=y, p=lo.struct("mq_scatter_params", count=len(starts), run=run, offset=offset))


def concatenate(lo: Lowering, parts: Sequence[Operand], y: Buffer, rows: int) -> None:
    """Rows of up to four parts, all of the format and scale of y, side by side."""
    given: list[Argument] = [*parts, *[Symbol("NULL")] * (4 - len(parts))]
    a, b, c, d = given
    counts = [lo.type_of(part).bytes // rows for part in parts] + [0] * (4 - len(parts))
    p = lo.struct(
        "mq_concat_params",
        rows=rows,
        a_bytes=counts[0],
        b_bytes=counts[1],
        c_bytes=counts[2],
        d_bytes=counts[3],
    )
    lo.call("mq_concat", a=a, b=b, c=c, d=d, y=y, p=p)


def fill(lo: Lowering, y: Buffer, value: float) -> None:
    """Set all of an edge to a real number, the nearest that its type has."""
    type_ = lo.type_of(y)
    stored = np.atleast_1d(type_.storage.quantise(np.array(value), type_.quant))
    octets = stored.view(np.int8)
    if (octets == octets[0]).all():
        lo.call("mq_fill", y=y, value=int(octets[0]), bytes=type_.bytes)
    elif type_.storage.bytes == 8:
        whole = lo.constant(np.full(type_.shape, stored[0]), type_.format, hint=f"{lo.op.name}:value")
        lo.call("mq_copy", x=whole, y=y, bytes=type_.bytes)
    else:
        bits = type_.storage.bytes * 8
        lo.call(f"mq_set_{bits}", y=y, bits=int(stored.view(f"u{type_.storage.bytes}")[0]), n=type_.size)


# --- types ---------------------------------------------------------------------------------------------------------


def covers(quant: QuantParams, fmt: str, low: float, high: float) -> bool:
    """Can every value in [low, high] be stored without saturating?"""
    storage = formats.get(fmt)
    least, most = (quant.scale * (end - quant.zero_point) for end in (storage.minimum, storage.maximum))
    return least - quant.scale / 2 <= low and high <= most + quant.scale / 2


#: A scale is kept, so that nothing needs converting, while it wastes less than this of the range it covers.
_WASTE = 1.5


def common_type(lo: Lowering, inputs: Sequence[str], output: str) -> EdgeType:
    """How an edge made of several others is stored: in the format that most of its elements have already.

    Its scale is the model's own, else that of the largest input whose scale serves the whole, else the calibrated one.
    """
    types = [lo.stored(i) for i in dict.fromkeys(inputs) if not lo.is_constant(i)]
    shape = lo.shape(output)
    if not types or not lo.is_real(output):
        return EdgeType(shape, lo.natural(output))
    counts: dict[str, int] = {}
    for edge in inputs:
        if not lo.is_constant(edge):
            counts[lo.stored(edge).format] = counts.get(lo.stored(edge).format, 0) + lo.stored(edge).size
    fmt = max(counts, key=lambda f: counts[f])
    if not formats.get(fmt).integer:
        return EdgeType(shape, fmt)
    first = types[0].quant
    constants = [lo.weights_of(i) for i in inputs if lo.is_constant(i)]
    fits = first and all(covers(first, fmt, float(c.min()), float(c.max())) for c in constants)
    if fits and all((t.format, t.quant) == (fmt, first) for t in types):
        return EdgeType(shape, fmt, first)
    if (own := lo.scales.own(output, fmt)) is not None:
        return EdgeType(shape, fmt, own)
    calibrated, range_ = lo.scales.of(output, fmt), lo.scales.range(output)
    assert calibrated
    for type_ in sorted((t for t in types if t.format == fmt), key=lambda t: -t.size):
        assert type_.quant
        if covers(type_.quant, fmt, range_.low, range_.high) and type_.quant.scale <= _WASTE * calibrated.scale:
            return EdgeType(shape, fmt, type_.quant)
    return EdgeType(shape, fmt, calibrated)


# --- operators that select elements of one input ---------------------------------------------------------------------

Reference = Callable[[Operator, Sequence[Any]], tuple[Array, ...]]


def carry(lo: Lowering, edge: str, data: str, source: Array) -> None:
    """Declare `edge` as the elements of `data` at these positions: a view where they are contiguous."""
    if layout.contiguous(source) and not lo.is_constant(data):
        lo.view(edge, data, int(source.flat[0]))
        return
    x = operand(lo, data)
    type_ = lo.type_of(x)
    move(lo, x, lo.write(edge, type_.format, type_.quant), source)


def lower_selection(op: Operator, lo: Lowering) -> None:
    """Lower an operator that only chooses elements: its reference is applied to the positions of the input."""
    data = op.inputs[0]
    others = [lo.weights_of(i) for i in op.inputs[1:]]
    found = ops.spec(op).reference(op, [layout.positions(lo.shape(data)), *others])
    for edge, source in zip(op.outputs, found, strict=False):
        if edge:
            carry(lo, edge, data, source)


def carrying(lower: Callable[[Operator, Lowering], None]) -> tuple[OpLowering, ...]:
    """The lowerings of an operator that carries stored values: one, whatever the format."""
    return (OpLowering("f32", Formats("f32", "f32"), lower, sample_snr_db=120.0),)


def selection(
    name: str,
    reference: Reference,
    *,
    canonicalise: Callable[[Operator, NodeContext], Canonical],
    samples: Iterable[Sample],
    constraints: Iterable[Constraint] = (),
    onnx: Iterable[str] = (),
) -> OpSpec:
    """An operator whose every output element is one element of its first input; all other inputs are constants.

    `reference` must take arrays of any dtype: shapes and positions are found by running it.
    """

    def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
        zeros = [None if t is None else np.broadcast_to(np.zeros((), t.dtype), t.shape) for t in types]
        return tuple(TensorType(tuple(y.shape), str(y.dtype)) for y in reference(op, zeros))

    return OpSpec(
        name=name,
        onnx=(name, *onnx),
        reference=reference,
        infer=infer,
        canonicalise=canonicalise,
        constraints=tuple(constraints),
        samples=tuple(samples),
        lowerings=carrying(lower_selection),
        carries=True,
        family="layout",
    )


def indices(*rows: Sequence[int]) -> Fixed:
    """A constant matrix of indices for a sample."""
    return Fixed(np.array(rows, np.int64))
