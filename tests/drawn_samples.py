"""Operators of drawn shapes: what variants of kernels are compared on, on the PC and on emulated cores."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from mcu_quant.ops import Sample, given, weight

Draw = Callable[[st.SearchStrategy[int]], int]


@st.composite
def convolutions(draw: Draw) -> Sample:
    """Of every kind: with groups, strides, dilations and pads of their own on each axis."""
    groups = draw(st.sampled_from([1, 1, 2, 5]))
    channels = draw(st.integers(1, 19 if groups == 1 else 3))
    outputs = draw(st.integers(1, 9 if groups == 1 else 2))
    kernel = [draw(st.integers(1, 5)) for _ in range(2)]
    dilations = [draw(st.integers(1, 2)) for _ in range(2)]
    pads = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    size = [draw(st.integers(max(1, s - pads[i] - pads[i + 2]), s + 11)) for i, s in enumerate(spans)]
    attributes = {
        "group": groups,
        "strides": [draw(st.integers(1, 3)) for _ in range(2)],
        "dilations": dilations,
        "pads": pads,
    }
    x = given(1, groups * channels, *size)
    return Sample("Conv", (x, weight(groups * outputs, channels, *kernel), weight(groups * outputs)), attributes)


@st.composite
def transposed_convolutions(draw: Draw) -> Sample:
    channels, outputs = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    size = [draw(st.integers(2, 11)) for _ in range(2)]
    strides = [draw(st.integers(1, 3)) for _ in range(2)]
    parts = (given(1, channels, *size), weight(channels, outputs, *kernel), weight(outputs))
    return Sample("ConvTranspose", parts, {"strides": strides})


@st.composite
def products(draw: Draw) -> Sample:
    """Of two activations, often with few rows."""
    rows, columns = draw(st.sampled_from([1, 2, 3, 17, 35])), draw(st.integers(1, 37))
    inner = draw(st.integers(1, 70))
    return Sample("MatMul", (given(rows, inner), given(inner, columns)))


@st.composite
def rows(draw: Draw) -> Sample:
    """What works along rows or element by element."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 41)))
    kind = draw(st.sampled_from(["Softmax", "columns", "LayerNormalization", "Add", "Mul", "Max"]))
    if kind in ("Softmax", "columns"):
        return Sample("Softmax", (given(*shape, low=-4.0, high=4.0),), {"axis": 0 if kind == "columns" else 1})
    if kind == "LayerNormalization":
        return Sample(kind, (given(*shape), weight(shape[1]), weight(shape[1])))
    other = draw(st.sampled_from([shape, shape[1:], (shape[0], 1)]))
    return Sample(kind, (given(*shape), given(*other)))


@st.composite
def recurrent_layers(draw: Draw) -> Sample:
    kind, gates = draw(st.sampled_from([("LSTM", 4), ("GRU", 3), ("RNN", 1)]))
    inputs, units = draw(st.integers(1, 37)), draw(st.integers(1, 37))
    parts = (given(2, 1, inputs), weight(1, gates * units, inputs), weight(1, gates * units, units))
    return Sample(kind, parts, {"hidden_size": units})


EVERY = st.one_of(convolutions(), transposed_convolutions(), products(), rows(), recurrent_layers())
