"""MaxPool, AveragePool, LpPool: one value of each channel for the values under a window, or under all (Global...).

In one or two spatial axes; over three it is one pool within the planes and one across them. Canonical attributes:
kernel_shape, strides, dilations, pads (begin..., end...), ceil_mode, and count_include_pad of AveragePool, p of LpPool.
Positions outside the map take no part, but count in the divisor of an average where count_include_pad says so. A global
maximum or average is a Reduce.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from mcu_quant import fixed, formats, quantise
from mcu_quant.ir import Array, Graph, Operator, TensorType
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
    register,
    register_kernel,
)
from mcu_quant.ops.common.window import Pair, Window, as_maps, as_row, explicit, geometry, patches
from mcu_quant.ops.conv import maps_of, one_or_two_axes, window_fits, window_of
from mcu_quant.program import Call, Program, Struct

# --- the operators -------------------------------------------------------------------------------------------------


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Type of y."""
    x = types[0]
    assert x
    rank = len(x.shape) - 2
    size = Window.of(op).output(maps_of(x.shape), bool(op.attributes["ceil_mode"]))
    return (TensorType((*x.shape[:2], *size[2 - rank :]), x.dtype),)


def _seen(op: Operator, x: Array, fill: float) -> Array:
    """What each window sees, as [batch, channels, kernel height, kernel width, *output]."""
    maps, window = as_maps(x), Window.of(op)
    return patches(maps, window, window.output(maps.shape[2:], bool(op.attributes["ceil_mode"])), fill)


def _folded(f: np.ufunc, seen: Array) -> Array:
    """f over the taps of each window: tap by tap where there are more windows than taps, which is faster."""
    if prod(seen.shape[4:]) > prod(seen.shape[2:4]):
        return reduce(f, (seen[:, :, a, b] for a, b in np.ndindex(seen.shape[2:4])))
    folded: Array = f.reduce(seen, axis=(2, 3))
    return folded


def _ranked(y: Array, rank: int) -> Array:
    return y if rank == 4 else y[:, :, 0]


def reference_max(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The largest value of each window."""
    least = -np.inf if inputs[0].dtype.kind == "f" else np.iinfo(inputs[0].dtype).min
    return (_ranked(_folded(np.maximum, _seen(op, inputs[0], least)), inputs[0].ndim),)


def reference_average(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The mean of each window."""
    seen = _seen(op, inputs[0], 0)
    counted = counts(Window.of(op), as_maps(inputs[0]).shape[2:], seen.shape[4:], margins(op))
    return (_ranked(_folded(np.add, seen) / counted.astype(np.float32), inputs[0].ndim),)


def reference_lp(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The p-norm of each window."""
    p = float(op.attributes["p"])
    y = _folded(np.add, np.abs(_seen(op, inputs[0], 0)) ** np.float32(p)) ** np.float32(1.0 / p)
    return (_ranked(y, inputs[0].ndim),)


def margins(op: Operator) -> tuple[int, int, int, int]:
    """How far beyond the map positions count in an average: top, left, bottom, right."""
    return Window.of(op).pads if op.attributes["count_include_pad"] else (0, 0, 0, 0)


def counts(window: Window, size: Sequence[int], output: Sequence[int], margin: Sequence[int]) -> Array:
    """Positions of each window [height, width] that lie in the map widened by its margins."""

    def along(i: int) -> Array:
        origin = np.arange(output[i]) * window.strides[i] - window.pads[i]
        at = origin[:, None] + np.arange(window.kernel[i]) * window.dilations[i]
        inside: Array = ((at >= -margin[i]) & (at < size[i] + margin[i + 2])).sum(axis=1)
        return inside

    return along(0)[:, None] * along(1)


def _canonicalise(reduction: str = "", **own: int) -> Callable[[Operator, NodeContext], Canonical]:
    """auto_pad becomes pads, defaults become explicit; `own` are the operator's own attributes with their defaults.

    A global pool is the `reduction` over all spatial axes, or where there is none a pool with the map as its kernel.
    """

    def canonicalise(op: Operator, node: NodeContext) -> Canonical:
        x, kind = node.shape(op.inputs[0]), op.op.removeprefix("Global")
        if kind != op.op and reduction:
            attributes = {"kind": reduction, "axes": tuple(range(2, len(x))), "keepdims": True}
            return Canonical((Operator(op.name, "Reduce", op.inputs, op.outputs, attributes),))
        attributes = explicit(op, x[2:], op.attributes.get("kernel_shape", x[2:]))
        attributes |= {name: int(op.attributes.get(name, default)) for name, default in own.items()}
        made = Operator(op.name, kind, op.inputs, op.outputs, attributes)
        return _plane_by_plane(made, node) if len(x) == 5 and not op.output(1) else Canonical((made,))

    return canonicalise


def _plane_by_plane(op: Operator, node: NodeContext) -> Canonical:
    """A pool over three axes is one over the planes and one across them: sums, counts and maxima are separable.

    [n, c, d, h, w] is [n, c d, h, w] to the first and [n, c, d, h w] to the second.
    """
    x, y = node.shape(op.inputs[0]), node.shape(op.outputs[0])
    a = op.attributes
    within, across = {**a}, {**a}
    for key in ("kernel_shape", "strides", "dilations"):
        within[key], across[key] = a[key][1:], (a[key][0], 1)
    within["pads"], across["pads"] = (*a["pads"][1:3], *a["pads"][4:]), (a["pads"][0], 0, a["pads"][3], 0)
    planes, stack = (x[0], x[1] * x[2], *x[3:]), (x[0], x[1], x[2], y[3] * y[4])
    shapes = {"planes": planes, "within": (*planes[:2], *y[3:]), "stack": stack, "across": (*y[:3], stack[3])}
    edges = {what: f"{op.name}:{what}" for what in shapes}
    dtype = node.type(op.inputs[0]).dtype
    return Canonical(
        (
            Operator(edges["planes"], "Reshape", op.inputs[:1], (edges["planes"],), {"shape": shapes["planes"]}),
            Operator(edges["within"], op.op, (edges["planes"],), (edges["within"],), within),
            Operator(edges["stack"], "Reshape", (edges["within"],), (edges["stack"],), {"shape": shapes["stack"]}),
            Operator(op.name, op.op, (edges["stack"],), (edges["across"],), across),
            Operator(f"{op.name}:maps", "Reshape", (edges["across"],), op.outputs, {"shape": y}),
        ),
        {},
        {edges[what]: TensorType(shape, dtype) for what, shape in shapes.items()},
    )


def agreed_shape(op: Operator, graph: Graph) -> str | None:
    """With ceil_mode no window begins beyond the map: ONNX counts such windows, the runtimes drop them."""
    if one_or_two_axes(op, graph):
        return None
    made, said = infer(op, [graph.types[op.inputs[0]]])[0].shape, graph.shape(op.outputs[0])
    return None if made == said else f"the output is {list(made)} to some and {list(said)} to others"


def values_only(op: Operator, graph: Graph) -> str | None:
    """MaxPool gives values, not the indices where they were found."""
    return "its second output is used" if op.output(1) else None


def sees_values(op: Operator, graph: Graph) -> str | None:
    """Every window of a pool covers at least one value: pads are smaller than the kernel."""
    if one_or_two_axes(op, graph):
        return None
    shape, window = maps_of(graph.shape(op.inputs[0])), Window.of(op)
    output = window.output(shape, bool(op.attributes["ceil_mode"]))
    seen = counts(window, shape, output, (0, 0, 0, 0))
    return None if seen.all() else "a window lies entirely in the pad"


def a_norm(op: Operator, graph: Graph) -> str | None:
    """The p of LpPool is at least 1: below there is no norm."""
    return None if op.attributes["p"] >= 1 else f"p is {op.attributes['p']}"


# --- the kernels ---------------------------------------------------------------------------------------------------


def _counts(program: Program, call: Call) -> Counts:
    s = call.args["s"]
    assert isinstance(s, Struct)
    f: Any = s.fields
    outputs = f["maps"] * f["out_height"] * f["out_width"]
    return Counts(elements=outputs * f["kernel_height"] * f["kernel_width"], units=outputs)


def _stored(x: Array, s: dict[str, Any], fill: int) -> Array:
    """What each window sees of stored values, as [1, maps, kernel height, kernel width, *output]."""
    maps = x.reshape(1, s["maps"], s["in_height"], s["in_width"]).astype(np.int64)
    return patches(maps, window_of(s), (s["out_height"], s["out_width"]), fill)


def _exact_max(x: Array, s: dict[str, Any]) -> Array:
    return _folded(np.maximum, _stored(x, s, np.iinfo(x.dtype).min)).astype(x.dtype)


def _exact_average(x: Array, s: dict[str, Any], p: dict[str, Any]) -> Array:
    acc = _stored(x, s, p["x_zero"]) - p["x_zero"]
    margin = [p[f"margin_{side}"] for side in ("top", "left", "bottom", "right")]
    size, output = (s["in_height"], s["in_width"]), (s["out_height"], s["out_width"])
    at = counts(window_of(s), size, output, margin) - p["count_first"]
    y = fixed.requantise(_folded(np.add, acc), p["multiplier"][at], p["shift"][at]) + p["y_zero"]
    return fixed.saturate(y, np.iinfo(x.dtype).min, np.iinfo(x.dtype).max).astype(x.dtype)


def _exact_max_whole(x: Array, s: dict[str, Any], type: int) -> Array:
    return _exact_max(x, s)


register_kernel(Kernel("mq_max_pool_whole", "pool", counts=_counts, exact=_exact_max_whole))
for _format in ("f32", "f16", "s16", "s8"):
    _integer = formats.get(_format).integer
    for _name, _spec in (("max", _exact_max), ("average", _exact_average)):
        register_kernel(Kernel(f"mq_{_name}_pool_{_format}", "pool", counts=_counts, exact=_spec if _integer else None))
    if not _integer:
        register_kernel(Kernel(f"mq_lp_pool_{_format}", "pool", counts=_counts))


# --- lowering ------------------------------------------------------------------------------------------------------


def _geometry(op: Operator, lo: Lowering) -> tuple[Window, Pair, Pair]:
    return as_row(Window.of(op), maps_of(lo.shape(op.inputs[0])), maps_of(lo.shape(op.outputs[0])))


def _shape(op: Operator, lo: Lowering) -> Struct:
    return lo.struct("mq_pool_shape", maps=prod(lo.shape(op.inputs[0])[:2]), **geometry(*_geometry(op, lo)))


def _lower_max(op: Operator, lo: Lowering) -> None:
    """Values are only chosen, so y keeps the scale of x."""
    assert lo.formats
    x = lo.read(op.inputs[0])
    y = lo.write(op.outputs[0], quant=lo.type_of(x).quant)
    lo.call(f"mq_max_pool_{lo.formats.input}", x=x, y=y, s=_shape(op, lo))


def _lower_max_whole(op: Operator, lo: Lowering) -> None:
    x = lo.read(op.inputs[0])
    code = lo.type_of(x).storage.type_code
    lo.call("mq_max_pool_whole", x=x, y=lo.write(op.outputs[0]), s=_shape(op, lo), type=code)


def _margins(op: Operator, lo: Lowering) -> dict[str, int]:
    pads = _geometry(op, lo)[0].pads if op.attributes["count_include_pad"] else (0, 0, 0, 0)
    return {f"margin_{side}": pad for side, pad in zip(("top", "left", "bottom", "right"), pads, strict=True)}


def _lower_average_float(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    lo.call(
        f"mq_average_pool_{lo.formats.input}",
        x=lo.read(op.inputs[0]),
        y=lo.write(op.outputs[0]),
        s=_shape(op, lo),
        p=lo.struct("mq_average_pool_float_params", **_margins(op, lo)),
    )


def _lower_average_integer(op: Operator, lo: Lowering) -> None:
    """One requantisation factor for each divisor from the smallest to the largest."""
    assert lo.formats
    x, y = lo.read(op.inputs[0]), lo.write(op.outputs[0])
    x_quant, y_quant = lo.type_of(x).quant, lo.type_of(y).quant
    assert x_quant and y_quant
    window, size, output = _geometry(op, lo)
    margin = _margins(op, lo)
    divisors = counts(window, size, output, list(margin.values()))
    first, last = int(divisors.min()), int(divisors.max())
    multiplier, shift = quantise.factors(x_quant.scale / y_quant.scale / np.arange(first, last + 1))
    lo.call(
        f"mq_average_pool_{lo.formats.input}",
        x=x,
        y=y,
        s=_shape(op, lo),
        p=lo.struct(
            "mq_average_pool_params",
            **margin,
            count_first=first,
            multiplier=lo.constant(multiplier, "s32", hint=f"{op.name}:multiplier", kind="table"),
            shift=lo.constant(shift, "s8", hint=f"{op.name}:shift", kind="table"),
            x_zero=x_quant.zero_point,
            y_zero=y_quant.zero_point,
        ),
    )


def _lower_lp(op: Operator, lo: Lowering) -> None:
    assert lo.formats
    lo.call(
        f"mq_lp_pool_{lo.formats.input}",
        x=lo.read(op.inputs[0]),
        y=lo.write(op.outputs[0]),
        s=_shape(op, lo),
        norm=int(op.attributes["p"]),
    )


def _sum_fits(fmt: str) -> Callable[[Operator, Graph], str | None]:
    largest = 65534 if fmt == "s16" else 2**23

    def applies(op: Operator, graph: Graph) -> str | None:
        taps = prod(op.attributes["kernel_shape"])
        return None if taps <= largest else f"the sum of {taps} values does not fit 32 bits"

    return applies


def _lowering(fmt: str, lower: Callable[[Operator, Lowering], None], snr: float, sums: bool = False) -> OpLowering:
    return OpLowering(fmt, Formats(fmt, fmt), lower, sample_snr_db=snr, applies=_sum_fits(fmt) if sums else None)


_PADDED = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
_CEIL = {"kernel_shape": [3], "strides": [2], "pads": [1, 0], "ceil_mode": 1}
_VOLUME = {"kernel_shape": [3, 2, 3], "strides": [2, 1, 2], "pads": [1, 0, 2, 1, 1, 0]}

MAX_POOL = register(
    OpSpec(
        name="MaxPool",
        onnx=("MaxPool", "GlobalMaxPool"),
        infer=infer,
        reference=reference_max,
        canonicalise=_canonicalise("max", ceil_mode=0),
        constraints=(one_or_two_axes, window_fits, agreed_shape, sees_values, values_only),
        exact=_lower_max_whole,
        family="pooling",
        lowerings=(
            _lowering("f32", _lower_max, 120.0),
            _lowering("f16", _lower_max, 68.0),
            _lowering("s16", _lower_max, 90.0),
            _lowering("s8", _lower_max, 42.0),
        ),
        samples=(
            Sample("MaxPool", (given(1, 1, 1),), {"kernel_shape": [1]}),
            Sample("MaxPool", (given(1, 3, 7, 8),), _PADDED, opset=11),
            Sample("MaxPool", (given(2, 3, 10),), _CEIL, name="ceil"),
            Sample("MaxPool", (given(1, 2, 9, 9),), {"kernel_shape": [2, 3], "dilations": [3, 2]}, name="dilated"),
            Sample("MaxPool", (given(1, 2, 7),), {"kernel_shape": [4], "strides": [2], "auto_pad": "SAME_LOWER"}),
            Sample("GlobalMaxPool", (given(1, 5, 3, 7),)),
            Sample("MaxPool", (given(1, 2, 4, 5, 6),), _VOLUME, name="volume"),
            *(
                Sample("MaxPool", (Given((1, 2, 7, 6), 0, 100, dtype),), _PADDED, name=dtype)
                for dtype in ("int8", "uint8")
            ),
        ),
    )
)

AVERAGE_POOL = register(
    OpSpec(
        name="AveragePool",
        onnx=("AveragePool", "GlobalAveragePool"),
        infer=infer,
        reference=reference_average,
        canonicalise=_canonicalise("mean", ceil_mode=0, count_include_pad=0),
        constraints=(one_or_two_axes, window_fits, agreed_shape, sees_values),
        family="pooling",
        lowerings=(
            _lowering("f32", _lower_average_float, 120.0),
            _lowering("f16", _lower_average_float, 64.0),
            _lowering("s16", _lower_average_integer, 82.0, sums=True),
            _lowering("s8", _lower_average_integer, 35.0, sums=True),
        ),
        samples=(
            Sample("AveragePool", (given(1, 1, 1),), {"kernel_shape": [1]}),
            Sample("AveragePool", (given(1, 8, 25, 5),), {"kernel_shape": [25, 5], "strides": [25, 5]}, name="whole"),
            Sample("AveragePool", (given(1, 3, 7, 8),), _PADDED, opset=11),
            Sample("AveragePool", (given(1, 3, 7, 8),), {**_PADDED, "count_include_pad": 1}, name="include-pad"),
            Sample("AveragePool", (given(2, 3, 10),), {**_CEIL, "count_include_pad": 1}, name="ceil"),
            Sample("AveragePool", (given(1, 2, 9, 1),), {"kernel_shape": [3, 1], "dilations": [2, 1]}, opset=19),
            Sample("AveragePool", (given(1, 2, 7),), {"kernel_shape": [4], "strides": [2], "auto_pad": "SAME_UPPER"}),
            Sample("AveragePool", (given(1, 2, 4, 5, 6),), _VOLUME, name="volume"),
            Sample("GlobalAveragePool", (given(1, 99, 64),)),
            Sample("GlobalAveragePool", (given(2, 5, 3, 4),), opset=11),
        ),
    )
)

LP_POOL = register(
    OpSpec(
        name="LpPool",
        onnx=("LpPool", "GlobalLpPool"),
        infer=infer,
        reference=reference_lp,
        canonicalise=_canonicalise(ceil_mode=0, p=2),
        constraints=(one_or_two_axes, window_fits, agreed_shape, sees_values, a_norm),
        family="pooling",
        lowerings=(
            _lowering("f32", _lower_lp, 120.0),
            _lowering("f16", _lower_lp, 65.0),
        ),
        samples=(
            Sample("LpPool", (given(1, 3, 7, 8),), {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
            Sample("LpPool", (given(1, 2, 10),), {"kernel_shape": [3], "p": 1}, opset=11),
            Sample("LpPool", (given(1, 2, 10, 3),), {"kernel_shape": [3, 2], "p": 3}, name="p3"),
            Sample("GlobalLpPool", (given(1, 3, 4, 5),)),
        ),
    )
)
