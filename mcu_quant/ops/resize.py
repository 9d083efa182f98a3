"""Resize: x at other places along its axes, the nearest elements or linearly between neighbours.

Nearest stays `Resize`: y[i, j, ...] = x[index_0[i], index_1[j], ...]. Attribute `index` holds the positions taken along
all axes one after the other, `shape` how many there are of each.
Linear becomes one `ResizeLinear` for each axis that changes its size, with the places as attribute `at`. Cubic, and
linear with a filter before it, become products with constant matrices (`common/resample.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcu_quant import fixed
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
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
    normalise_axis,
    register,
    register_kernel,
)
from mcu_quant.ops import (
    fixed as constant,
)
from mcu_quant.ops.common import resample
from mcu_quant.ops.layout import selection
from mcu_quant.program import Call, Program, Struct

Places = NDArray[np.float32]

# --- where the elements of the output lie in the input ---------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """One axis: sizes before and after, the factor between them, and the region of interest in parts of the axis."""

    before: int
    after: int
    scale: np.float32
    roi: tuple[np.float32, np.float32] = (np.float32(0.0), np.float32(1.0))


def places(axis: Axis, transformation: str) -> Places:
    """Coordinate in the input of each element of the output, by ONNX's `coordinate_transformation_mode`.

    Operation by operation as onnxruntime does it, mostly in f32: a place half way between two elements stays there.
    """
    if axis.after == 1 and transformation in ("pytorch_half_pixel", "align_corners", "tf_crop_and_resize"):
        start, end = axis.roi if transformation == "tf_crop_and_resize" else (np.float32(0.0), np.float32(0.0))
        return np.array([np.float32(0.5) * (start + end) * np.float32(axis.before - 1)], np.float32)
    return _TRANSFORMATIONS[transformation](axis, np.arange(axis.after, dtype=np.float32))


def _centred(axis: Axis, k: Places) -> Places:
    return (k + np.float32(0.5)) / axis.scale - np.float32(0.5)


def _symmetric(axis: Axis, k: Places) -> Places:
    adjustment = np.float32(axis.after) / (axis.scale * np.float32(axis.before))
    offset = np.float32(axis.before) / np.float32(2.0) * (np.float32(1.0) - adjustment)
    return (offset + (k.astype(np.float64) + 0.5) / axis.scale - 0.5).astype(np.float32)


def _cropped(axis: Axis, k: Places) -> Places:
    start, end = axis.roi
    last = np.float32(axis.before - 1)
    return start * last + k * (end - start) * last / np.float32(axis.after - 1)


_TRANSFORMATIONS: dict[str, Callable[[Axis, Places], Places]] = {
    "half_pixel": _centred,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": _centred,
    "tf_half_pixel_for_nn": lambda axis, k: (k + np.float32(0.5)) / axis.scale,
    "align_corners": lambda axis, k: k * np.float32(axis.before - 1) / np.float32(axis.after - 1),
    "asymmetric": lambda axis, k: k / axis.scale,
    "tf_crop_and_resize": _cropped,
}


def nearest(at: Places, mode: str, axis: Axis) -> NDArray[np.int64]:
    """The whole numbers nearest to places, by ONNX's `nearest_mode`; "simple" is what there was before opset 11."""
    if mode == "simple":
        mode = "ceil" if axis.scale < 1 else "floor"
    match mode:
        case "floor":
            whole = np.floor(at)
        case "ceil":
            whole = np.ceil(at)
        case "round_prefer_ceil":
            whole = np.floor(at + np.float32(0.5))
        case _:
            whole = np.ceil(at - np.float32(0.5))
    return whole.astype(np.int64)


_MODES = ("nearest", "linear", "cubic")

# --- the canonical form ----------------------------------------------------------------------------------------------


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """All places become constants. What is not supported keeps ONNX's attributes, for the constraints to name."""
    op = replace(op, attributes={k: v.decode() if isinstance(v, bytes) else v for k, v in op.attributes.items()})
    op = _modern(op) if node.opset < 11 else op
    axes = _axes(op, node)
    shape = node.shape(op.outputs[0])
    if axes is not None and shape == node.shape(op.inputs[0]):
        # as onnxruntime does it, even where a scale like 1.3 is rounded down to the same size
        return Canonical((Operator(op.name, "Reshape", op.inputs[:1], op.outputs, {"shape": shape}),))
    if axes is not None and _mode(op) in ("linear", "cubic") and _ambiguous(op, axes):
        return Canonical((replace(op, attributes={**op.attributes, "ambiguous": 1}),))
    if axes is None or _mode(op) not in _MODES or _transformation(op) not in _TRANSFORMATIONS:
        return Canonical((op,))
    found = [_places(op, axis) for axis in axes]
    outside = any(((at < 0) | (at > axis.before - 1)).any() for at, axis in zip(found, axes, strict=True))
    extrapolates = _transformation(op) == "tf_crop_and_resize" and outside
    if _mode(op) == "cubic" or (_mode(op) == "linear" and (extrapolates or _smooths(op, axes))):
        return _weighted(op, node, axes, found)
    if extrapolates:
        return Canonical((op,))
    inside = [np.clip(at, 0, axis.before - 1) for at, axis in zip(found, axes, strict=True)]
    if _mode(op) == "linear":
        return _linear(op, node, inside)
    mode = str(op.attributes.get("nearest_mode", "round_prefer_floor"))
    taken = [np.clip(nearest(at, mode, axis), 0, axis.before - 1) for at, axis in zip(found, axes, strict=True)]
    attributes = {"index": tuple(int(i) for t in taken for i in t), "shape": tuple(len(t) for t in taken)}
    return Canonical((Operator(op.name, "Resize", op.inputs[:1], op.outputs, attributes),))


def _modern(op: Operator) -> Operator:
    """Upsample and Resize before opset 11: scales alone, as input 1 or an attribute, and one way to use them."""
    simple = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "simple"}
    return replace(op, inputs=(op.inputs[0], "", op.input(1)), attributes={**op.attributes, **simple})


def _mode(op: Operator) -> str:
    return str(op.attributes.get("mode", "nearest"))


def _transformation(op: Operator) -> str:
    return str(op.attributes.get("coordinate_transformation_mode", "half_pixel"))


def _smooths(op: Operator, axes: Sequence[Axis]) -> bool:
    """Does the antialiasing filter do anything? It does where an axis gets smaller."""
    return bool(op.attributes.get("antialias", 0)) and any(axis.scale < 1 for axis in axes)


def _axes(op: Operator, node: NodeContext) -> list[Axis] | None:
    """How every axis changes, or None if that is known only at run time."""
    before, after = node.shape(op.inputs[0]), node.shape(op.outputs[0])
    if any(op.input(i) and node.constant(op.input(i)) is None for i in (1, 2, 3)):
        return None
    roi, scales, sizes = (node.constant(op.input(i)) for i in (1, 2, 3))
    scales = np.array(op.attributes["scales"], np.float32) if "scales" in op.attributes else scales
    rank = len(before)
    named = [normalise_axis(int(a), rank) for a in op.attributes.get("axes", range(rank))]
    scale = np.ones(rank, np.float32)
    if scales is not None and scales.size:
        scale[named] = scales
    else:
        scale[named] = _scales_of(op, sizes, before, after, named)
    region = np.tile(np.array([[0.0], [1.0]], np.float32), rank)
    if roi is not None and roi.size and _transformation(op) == "tf_crop_and_resize":
        region[:, named] = np.reshape(roi, (2, -1))
    return [Axis(b, a, s, (r[0], r[1])) for b, a, s, r in zip(before, after, scale, region.T, strict=True)]


def _scales_of(op: Operator, sizes: Array | None, before: Shape, after: Shape, named: Sequence[int]) -> Array:
    """The factors that sizes imply: their own on each axis, or one for all that keeps the aspect ratio."""
    policy = op.attributes.get("keep_aspect_ratio_policy", "stretch")
    if sizes is None or policy == "stretch":
        sizes = np.array([after[a] for a in named])
    each = np.asarray(sizes, np.float32) / np.array([before[a] for a in named], np.float32)
    if policy == "stretch":
        return each
    return np.full_like(each, each.min() if policy == "not_larger" else each.max())


def _places(op: Operator, axis: Axis) -> Places:
    """An axis with a factor of 1 stays as it is; as in onnxruntime, whatever the region of interest says."""
    if axis.scale == 1:
        return np.arange(axis.after, dtype=np.float32)
    return places(axis, _transformation(op))


def _weighted(op: Operator, node: NodeContext, axes: Sequence[Axis], found: Sequence[Places]) -> Canonical:
    """Products with matrices, one for each axis that changes."""
    a = op.attributes
    crops = _transformation(op) == "tf_crop_and_resize"
    kind = resample.Filter(
        cubic=float(a.get("cubic_coeff_a", -0.75)) if _mode(op) == "cubic" else None,
        smooths=bool(a.get("antialias", 0)),
        excludes=bool(a.get("exclude_outside", 0)),
        extrapolates=float(a.get("extrapolation_value", 0.0)) if crops else None,
    )
    return resample.products(
        op,
        node,
        [
            resample.resampling(i, at, axis.before, float(axis.scale), kind)
            for i, (at, axis) in enumerate(zip(found, axes, strict=True))
            if not np.array_equal(at, np.arange(axis.before))
        ],
    )


def _linear(op: Operator, node: NodeContext, inside: Sequence[Places]) -> Canonical:
    """One operator for each axis that changes: first those that get smaller, so that the others have less to do."""
    shape = node.shape(op.inputs[0])
    changing = [a for a, at in enumerate(inside) if not np.array_equal(at, np.arange(shape[a]))]
    changing.sort(key=lambda a: len(inside[a]) / shape[a])
    operators: list[Operator] = []
    types: dict[str, TensorType] = {}
    edge = op.inputs[0]
    for axis in changing:
        last = axis == changing[-1]
        name, output = (op.name, op.outputs[0]) if last else (f"{op.name}:axis{axis}", f"{op.name}:axis{axis}")
        resized = (*shape[:axis], len(inside[axis]), *shape[axis + 1 :])
        if shape[axis] == 1:  # nothing to interpolate between
            made = Operator(name, "Expand", (edge,), (output,), {"shape": resized})
        else:
            attributes = {"axis": axis, "at": tuple(float(v) for v in inside[axis])}
            made = Operator(name, "ResizeLinear", (edge,), (output,), attributes)
        operators.append(made)
        if not last:
            types[output] = TensorType(resized)
        edge, shape = output, resized
    return Canonical(tuple(operators), types=types)


# --- constraints -----------------------------------------------------------------------------------------------------


def _is_canonical(op: Operator) -> bool:
    return "index" in op.attributes


def constant_sizes(op: Operator, graph: Graph) -> str | None:
    """Scales, sizes and the region of interest of Resize are constants."""
    given_later = [i for i in op.inputs[1:] if i and i not in graph.constants]
    return None if _is_canonical(op) or not given_later else "they are computed at run time"


def known_mode(op: Operator, graph: Graph) -> str | None:
    """The mode of Resize is nearest, linear or cubic."""
    return None if _is_canonical(op) or _mode(op) in _MODES else f"the mode is {_mode(op)!r}"


def known_transformation(op: Operator, graph: Graph) -> str | None:
    """Resize transforms coordinates in one of the ways that ONNX names."""
    if _is_canonical(op) or _transformation(op) in _TRANSFORMATIONS:
        return None
    return f"coordinate_transformation_mode is {_transformation(op)!r}"


def _ambiguous(op: Operator, axes: Sequence[Axis]) -> bool:
    """Do the corners lie at the last element, or at the fraction of one that the scale gives?"""
    fraction = any(abs(axis.scale * axis.before - axis.after) > 1e-3 for axis in axes if axis.after > 1)
    return _transformation(op) == "align_corners" and fraction


def whole_corners(op: Operator, graph: Graph) -> str | None:
    """With align_corners a scale gives a whole number of elements; else ONNX and onnxruntime mean different corners."""
    return "a scale gives a fraction of an element" if "ambiguous" in op.attributes else None


def inside_input(op: Operator, graph: Graph) -> str | None:
    """Where nearest elements are taken with tf_crop_and_resize, the region of interest lies inside the input."""
    crops = not _is_canonical(op) and _transformation(op) == "tf_crop_and_resize"
    return "it reaches outside, where values would be extrapolated" if crops else None


# --- nearest ---------------------------------------------------------------------------------------------------------


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The elements at the product of the positions of all axes."""
    ends = np.cumsum(op.attributes["shape"])[:-1]
    return (inputs[0][np.ix_(*np.split(np.array(op.attributes["index"]), ends))],)


def _scales(*values: float) -> Fixed:
    return Fixed(np.array(values, np.float32))


RESIZE = register(
    selection(
        "Resize",
        reference,
        canonicalise=canonicalise,
        onnx=("Upsample",),
        constraints=(constant_sizes, known_mode, known_transformation, whole_corners, inside_input),
        samples=(
            Sample("Resize", (given(1, 2, 3, 4), None, _scales(1, 1, 2, 2))),
            Sample("Resize", (given(1, 2, 5), None, None, constant([1, 2, 3])), {"mode": "nearest"}, name="sizes"),
            Sample(
                "Resize",
                (given(1, 3, 4, 5), _scales(), _scales(1, 1, 0.6, 1.7)),
                {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
                opset=11,
            ),
            Sample(
                "Resize",
                (given(2, 7), None, None, constant([4])),
                {"axes": [1], "coordinate_transformation_mode": "align_corners", "nearest_mode": "ceil"},
                name="axes",
            ),
            Sample("Resize", (given(1, 2, 4, 5), _scales(1, 1, 0.6, 1.7)), opset=10),
            Sample("Upsample", (given(1, 2, 3, 4), _scales(1, 1, 2, 3)), opset=9),
            Sample("Upsample", (given(1, 2, 3, 4),), {"scales": [1.0, 1.0, 1.5, 2.0]}, opset=7),
        ),
    )
)

# --- linear ----------------------------------------------------------------------------------------------------------


def _infer_linear(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    assert types[0]
    shape = list(types[0].shape)
    shape[op.attributes["axis"]] = len(op.attributes["at"])
    return (TensorType(tuple(shape), types[0].dtype),)


def _reference_linear(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    x, axis = inputs[0], op.attributes["axis"]
    low, weight = neighbours(op, x.shape[axis])
    before = np.take(x, low, axis)
    after = np.take(x, np.minimum(low + 1, x.shape[axis] - 1), axis)
    return (before + (after - before) * weight.reshape([-1 if a == axis else 1 for a in range(x.ndim)]),)


def neighbours(op: Operator, size: int) -> tuple[NDArray[np.int64], Places]:
    """For each place the element before it, and the share of the next one, in [0, 1]."""
    at = np.array(op.attributes["at"], np.float32)
    low = np.minimum(np.floor(at), max(0, size - 2)).astype(np.int64)
    return low, at - low.astype(np.float32)


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    rows, inner = int(p.fields["outer"]) * int(p.fields["y_count"]), int(p.fields["inner"])  # type: ignore[arg-type]
    return Counts(elements=rows * inner, units=rows)


def _exact(x: Array, p: dict[str, Any]) -> Array:
    grid = x.reshape(p["outer"], p["x_count"], p["inner"]).astype(np.int64)
    before, after = grid[:, p["low"]], grid[:, p["low"] + 1]
    weight = np.asarray(p["weight"], np.int64)[:, None]
    return (before + fixed.rshr((after - before) * weight, 15)).astype(x.dtype)


for _format in ("f32", "f16", "s16", "s8"):
    register_kernel(
        Kernel(f"mq_interpolate_{_format}", "interpolate", counts=_counts, exact=_exact if _format[0] == "s" else None)
    )


def _lower_linear(op: Operator, lo: Lowering) -> None:
    """The output keeps the scale of the input: interpolation goes nowhere beyond it."""
    assert lo.formats
    x = lo.read(op.inputs[0])
    type_, axis = lo.type_of(x), op.attributes["axis"]
    shape, integer = type_.shape, type_.storage.integer
    low, weight = neighbours(op, shape[axis])
    weights = lo.constant(
        np.rint(weight * 2.0**15) if integer else weight,
        "s32" if integer else "f32",
        hint=f"{op.name}:weight",
        comment="in 2^-15" if integer else "",
        kind="table",
    )
    lo.call(
        f"mq_interpolate_{type_.format}",
        x=x,
        y=lo.write(op.outputs[0], type_.format, type_.quant),
        p=lo.struct(
            "mq_interpolate_params" if integer else "mq_interpolate_float_params",
            outer=prod(shape[:axis]),
            x_count=shape[axis],
            y_count=len(low),
            inner=prod(shape[axis + 1 :]),
            low=lo.constant(low, "s32", hint=f"{op.name}:low", kind="table"),
            weight=weights,
        ),
    )


RESIZE_LINEAR = register(
    OpSpec(
        name="ResizeLinear",
        onnx=(),
        infer=_infer_linear,
        reference=_reference_linear,
        lowerings=(
            OpLowering("f32", Formats("f32", "f32"), _lower_linear, sample_snr_db=120.0),
            OpLowering("f16", Formats("f16", "f16"), _lower_linear, sample_snr_db=60.0),
            OpLowering("s16", Formats("s16", "s16"), _lower_linear, sample_snr_db=75.0),
            OpLowering("s8", Formats("s8", "s8"), _lower_linear, sample_snr_db=35.0),
        ),
        samples=(
            Sample("Resize", (given(1, 2, 5), None, _scales(1, 1, 2)), {"mode": "linear"}, name="linear"),
            Sample(
                "Resize",
                (given(1, 2, 4, 6), _scales(), _scales(), constant([1, 2, 7, 3])),
                {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
                opset=11,
                name="linear",
            ),
            Sample(
                "Resize",
                (given(1, 3, 2, 2), None, _scales(1, 1, 3, 1.5)),
                {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
                opset=13,
                name="linear-pytorch",
            ),
            Sample("Resize", (given(1, 2, 5, 4), None, _scales(1, 1, 2, 0.8)), {"mode": "cubic"}, name="cubic"),
            Sample(
                "Resize",
                (given(1, 2, 5, 6), None, None, constant([1, 2, 7, 4])),
                {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
                name="cubic-inside",
            ),
            *(
                Sample(
                    "Resize", (given(1, 2, 9, 7), None, _scales(1, 1, 0.6, 1.5)), {"mode": m, "antialias": 1}, name=m
                )
                for m in ("linear", "cubic")
            ),
            Sample(
                "Resize",
                (given(1, 1, 4, 5), _scales(0, 0, 0.4, 0.6, 1, 1, 1.2, 1.7), None, constant([1, 1, 3, 3])),
                {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0},
                name="extrapolated",
            ),
        ),
    )
)
