"""Windows that slide over maps: what convolution, transposed convolution and pooling have in common.

A map is [batch, channels, height, width]; where a model has one spatial axis, that is the width and the height is 1.
Window `i` of an axis covers the positions `i * stride - pad + k * dilation`, one for each tap `k` of its kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mcu_quant.ir import Array, Operator

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A window over (height, width). `pads` are top, left, bottom, right."""

    kernel: Pair
    strides: Pair = (1, 1)
    dilations: Pair = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def of(cls, op: Operator) -> Window:
        """The window of an operator in canonical form: kernel_shape, strides, dilations and pads are explicit."""
        a = op.attributes
        pads = tuple(a["pads"]) if len(a["pads"]) == 4 else (0, a["pads"][0], 0, a["pads"][1])
        return cls(_pair(a["kernel_shape"], 1), _pair(a["strides"], 1), _pair(a["dilations"], 1), pads)

    def output(self, size: Sequence[int], ceil: bool = False) -> Pair:
        """Number of windows over a map of (height, width)."""

        def along(i: int) -> int:
            pads = self.pads[i], self.pads[i + 2]
            return windows(size[i], (self.kernel[i] - 1) * self.dilations[i] + 1, self.strides[i], pads, ceil)

        return along(0), along(1)

    def too_long(self, size: Sequence[int]) -> str | None:
        """What is wrong if the window is longer than the padded map of (height, width), or None."""
        for i in (0, 1):
            span, room = (self.kernel[i] - 1) * self.dilations[i] + 1, size[i] + self.pads[i] + self.pads[i + 2]
            if span > room:
                return f"it is {span} long, the padded map {room}"
        return None


def _pair(values: Sequence[int], default: int) -> Pair:
    return (values[0], values[1]) if len(values) == 2 else (default, values[0])


def windows(size: int, span: int, stride: int, pads: Pair, ceil: bool = False) -> int:
    """Windows along one axis, each `span` wide. With `ceil` the last may stick out, but not begin beyond the map."""
    room = size + sum(pads) - span
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + pads[0] else count


def explicit(op: Operator, size: Sequence[int], kernel: Sequence[int]) -> dict[str, Any]:
    """kernel_shape, strides, dilations and pads as canonical attributes, with auto_pad resolved.

    `size` is the spatial shape of the input. SAME gives ceil(size / stride) windows, the odd pad at the end for UPPER
    and at the beginning for LOWER.
    """
    rank = len(size)
    strides = tuple(op.attributes.get("strides") or (1,) * rank)
    dilations = tuple(op.attributes.get("dilations") or (1,) * rank)
    auto = op.attributes.get("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        total = [
            max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            for n, k, s, d in zip(size, kernel, strides, dilations, strict=True)
        ]
        pads = split_pads(total, upper=auto == "SAME_UPPER")
    elif auto == "VALID":
        pads = (0,) * (2 * rank)
    else:
        pads = tuple(op.attributes.get("pads") or (0,) * (2 * rank))
    return {"kernel_shape": tuple(kernel), "strides": strides, "dilations": dilations, "pads": pads}


def split_pads(total: Sequence[int], upper: bool) -> tuple[int, ...]:
    """Pads begin..., end... from the sum of both; an odd one goes to the end (`upper`) or to the beginning."""
    begin = [t // 2 if upper else t - t // 2 for t in total]
    return (*begin, *(t - b for t, b in zip(total, begin, strict=True)))


def as_maps(x: Array) -> Array:
    """[batch, channels, height, width] from that, or from [batch, channels, width]."""
    return x if x.ndim == 4 else x[:, :, None, :]


def patches(x: Array, window: Window, output: Pair, fill: float = 0) -> Array:
    """What each window sees: a read-only view [batch, channels, kernel height, kernel width, *output] of maps x.

    Positions outside the map hold `fill`.
    """
    n, c, h, w = x.shape
    (top, left), (kh, kw), (sh, sw), (dh, dw) = window.pads[:2], window.kernel, window.strides, window.dilations
    height, width = (output[0] - 1) * sh + (kh - 1) * dh + 1, (output[1] - 1) * sw + (kw - 1) * dw + 1
    if top or left or height > h or width > w:
        padded = np.full((n, c, max(height, top + h), max(width, left + w)), fill, x.dtype)
        padded[:, :, top : top + h, left : left + w] = x
        x = padded
    bn, bc, bh, bw = x.strides
    return as_strided(x, (n, c, kh, kw, *output), (bn, bc, bh * dh, bw * dw, bh * sh, bw * sw), writeable=False)


def convolve(x: Array, w: Array, window: Window, group: int, fill: float = 0) -> Array:
    """sum over c, a, b of x[n, c, ...] * w[o, c, a, b] as [batch, outputs, height, width], in the dtype of x and w.

    x: [batch, channels, height, width], w: [outputs, channels / group, kernel height, kernel width].
    """
    n, outputs = x.shape[0], w.shape[0]
    height, width = window.output(x.shape[2:])
    seen = patches(x, window, (height, width), fill).reshape(n, group, -1, height * width)
    return (w.reshape(group, outputs // group, -1) @ seen).reshape(n, outputs, height, width)


def spread(x: Array, w: Array, window: Window, group: int, output: Pair) -> Array:
    """The transposed convolution: each x[n, c, i, j] adds w[o, c] to the window (i, j) of a map of size `output`.

    x: [batch, channels, height, width], w: [outputs, channels / group, kernel height, kernel width].
    """
    n, channels, h, wide = x.shape
    outputs = w.shape[0]
    (top, left), (kh, kw), (sh, sw), (dh, dw) = window.pads[:2], window.kernel, window.strides, window.dilations
    matrix = w.reshape(group, outputs // group, channels // group, kh * kw).swapaxes(2, 3)
    products = matrix.reshape(group, -1, channels // group) @ x.reshape(n, group, channels // group, h * wide)
    products = products.reshape(n, outputs, kh, kw, h, wide)
    rows, columns = (h - 1) * sh + 1, (wide - 1) * sw + 1
    height, width = rows + (kh - 1) * dh, columns + (kw - 1) * dw
    full = np.zeros((n, outputs, max(height, top + output[0]), max(width, left + output[1])), products.dtype)
    for a in range(kh):
        for b in range(kw):
            full[:, :, a * dh : a * dh + rows : sh, b * dw : b * dw + columns : sw] += products[:, :, a, b]
    return full[:, :, top : top + output[0], left : left + output[1]]


def as_row(window: Window, size: Pair, output: Pair) -> tuple[Window, Pair, Pair]:
    """The same windows over maps of height 1, where the maps have width 1: in memory both are the same.

    The kernels' inner loops run along rows.
    """
    top, left, bottom, right = window.pads
    if not (size[1] == output[1] == window.kernel[1] == 1 and left == right == 0):
        return window, size, output
    turned = Window(window.kernel[::-1], window.strides[::-1], window.dilations[::-1], (left, top, right, bottom))
    return turned, size[::-1], output[::-1]


def geometry(window: Window, size: Pair, output: Pair) -> dict[str, int]:
    """Fields that the C shape structs share: map, output, kernel, strides, dilations and leading pads."""
    pairs = {
        "in": size,
        "out": output,
        "kernel": window.kernel,
        "stride": window.strides,
        "dilation": window.dilations,
    }
    fields = {f"{name}_{axis}": pair[i] for name, pair in pairs.items() for i, axis in enumerate(("height", "width"))}
    return fields | {"pad_top": window.pads[0], "pad_left": window.pads[1]}
