"""STFT of a real signal: y[b, t, k] = sum_n w[n] x[b, t step + n] exp(-2 pi i k n / length), real and imaginary part.

It becomes the fast transform of front ends (Spectrum) where the length has one, else a convolution with the rows of the
transform, two per frequency, and layout operators, so it has no kernels of its own. Attributes of the explicit form:
frame_step, frame_length, onesided (only the first length/2 + 1 frequencies).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, TensorType
from mcu_quant.ops import Canonical, Fixed, NodeContext, OpSpec, Sample, fixed, given, register
from mcu_quant.ops.common import fft
from mcu_quant.ops.common.fourier import Steps, conjugate, mirrored


def basis(attributes: Mapping[str, Any], window: Array | None) -> Array:
    """Rows of the transform, [2, frequencies, length]: real parts, imaginary parts."""
    length = attributes["frame_length"]
    frequencies = length // 2 + 1 if attributes["onesided"] else length
    turns = np.outer(np.arange(frequencies), np.arange(length)) % length / length
    rows = np.stack([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)])
    return rows if window is None else rows * window.astype(np.float64)


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """[batch, frames, frequencies, 2], of the explicit form."""
    [signal, *_] = [t for t in types if t]
    length, step = op.attributes["frame_length"], op.attributes["frame_step"]
    frames = (signal.shape[1] - length) // step + 1
    frequencies = length // 2 + 1 if op.attributes["onesided"] else length
    return (TensorType((signal.shape[0], frames, frequencies, 2), signal.dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The formula above, of the explicit form."""
    window = inputs[2] if len(inputs) > 2 else None
    length, step = op.attributes["frame_length"], op.attributes["frame_step"]
    signal = inputs[0].reshape(inputs[0].shape[:2])
    frames = np.lib.stride_tricks.sliding_window_view(signal, length, axis=1)[:, ::step]
    return (np.einsum("btn,ckn->btkc", frames, basis(op.attributes, window)).astype(np.float32),)


def explicit(op: Operator, node: NodeContext) -> Operator | None:
    """Step and length as attributes; None if they, or the window, are known at run time only."""
    step, window, length = (node.constant(op.input(i)) for i in (1, 2, 3))
    if length is None and window is not None:
        length = np.array(window.size)
    if step is None or length is None or (op.input(2) and window is None):
        return None
    attributes = {
        "frame_step": int(step.reshape(())),
        "frame_length": int(length.reshape(())),
        "onesided": int(op.attributes.get("onesided", 1)),
    }
    return Operator(op.name, "STFT", op.inputs, op.outputs, attributes)


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """Fast transforms, or Conv with the rows of the transform, unless a constraint is broken."""
    form = explicit(op, node)
    if form is None or real_signal(op, node.graph) is not None or says_its_sides(op, node.graph) is not None:
        return Canonical((op,))
    window = node.constant(op.input(2))
    if fft.is_fast(form.attributes["frame_length"]):
        return _fast(form, window, node.type(op.inputs[0]))
    return _convolution(form, window, node.type(op.inputs[0]))


def _fast(form: Operator, window: Array | None, signal: TensorType) -> Canonical:
    """A fast transform of each row of the batch, whose frames lie in one another."""
    batch, frames, frequencies, _ = infer(form, (signal,))[0].shape
    samples, points, hop = signal.shape[1], form.attributes["frame_length"], form.attributes["frame_step"]
    steps = Steps(form.name)
    x = steps.add("signals", "Reshape", form.inputs[:1], (batch * samples,), shape=(batch * samples,))
    weights = np.ones(points) if window is None else window
    half, rows = (frames, points // 2 + 1, 2), []
    for row in range(batch):
        at = {"starts": (row * samples,), "ends": ((row + 1) * samples,), "axes": (0,), "steps": (1,)}
        own = steps.add(f"row{row}", "Slice", (x,), (samples,), **at) if batch > 1 else x
        rows.append(steps.spectra(f"spectra{row}", own, weights, frames, hop, points))
    every = (batch * frames, *half[1:])
    y = steps.add("spectra", "Concat", tuple(rows), every, axis=0) if batch > 1 else rows[0]
    if not form.attributes["onesided"]:
        y = mirrored(steps, y, conjugate(steps, "conjugate", y, every), batch * frames, points)
    shape = (batch, frames, frequencies, 2)
    return steps.made(Operator(f"{form.name}:shaped", "Reshape", (y,), form.outputs, {"shape": shape}))


def _convolution(form: Operator, window: Array | None, x: TensorType) -> Canonical:
    """Conv with the rows of the transform."""
    batch, frames, frequencies, _ = infer(form, (x,))[0].shape
    length = form.attributes["frame_length"]
    names = [f"{form.name}:{what}" for what in ("signal", "spectrum", "parts", "rows")]
    signal, spectrum, parts, rows = names
    attributes = {
        "kernel_shape": (length,),
        "strides": (form.attributes["frame_step"],),
        "dilations": (1,),
        "pads": (0, 0),
        "group": 1,
    }
    weights = basis(form.attributes, window).reshape(2 * frequencies, 1, length)
    shapes = ((batch, 1, x.shape[1]), (batch, 2 * frequencies, frames), (batch, 2, frequencies, frames), weights.shape)
    return Canonical(
        (
            Operator(signal, "Reshape", (form.inputs[0],), (signal,), {"shape": shapes[0]}),
            Operator(form.name, "Conv", (signal, rows), (spectrum,), attributes),
            Operator(parts, "Reshape", (spectrum,), (parts,), {"shape": shapes[2]}),
            Operator(f"{form.name}:order", "Transpose", (parts,), form.outputs, {"perm": (0, 3, 2, 1)}),
        ),
        {rows: weights.astype(np.float32)},
        {name: TensorType(shape) for name, shape in zip(names, shapes, strict=True)},
    )


def real_signal(op: Operator, graph: Graph) -> str | None:
    """The signal of an STFT is real."""
    shape = graph.shape(op.inputs[0])
    return "this one is complex" if len(shape) > 2 and shape[2] != 1 else None


def constant_window(op: Operator, graph: Graph) -> str | None:
    """Step, window and length of an STFT are constants, and one of window and length is given."""
    computed = [n for n in op.inputs[1:] if n and n not in graph.constants]
    if computed:
        return f"{', '.join(map(repr, computed))} is computed at run time"
    return None if op.input(2) or op.input(3) else "neither is given"


def says_its_sides(op: Operator, graph: Graph) -> str | None:
    """An STFT has the attribute onesided: where it is left out, ONNX's shape inference contradicts ONNX's default."""
    return None if "onesided" in op.attributes else "this one has not"


def _window(length: int) -> Fixed:
    return Fixed(np.hanning(length + 1)[:-1].astype(np.float32))


register(
    OpSpec(
        name="STFT",
        onnx=("STFT",),
        infer=infer,
        reference=reference,
        canonicalise=canonicalise,
        constraints=(real_signal, constant_window, says_its_sides),
        family="convolution",
        samples=(
            Sample("STFT", (given(1, 160, 1), fixed(16), _window(64), fixed(64)), {"onesided": 1}, name="windowed"),
            Sample("STFT", (given(2, 40, 1), fixed(7), None, fixed(15)), {"onesided": 1}, opset=17, name="odd"),
            Sample("STFT", (given(1, 48, 1), fixed(8), _window(16)), opset=17, name="default"),
            Sample("STFT", (given(1, 48, 1), fixed(8), _window(16)), {"onesided": 0}, opset=20, name="both-sides"),
            Sample("STFT", (given(2, 96, 1), fixed(16), _window(64)), {"onesided": 1}, name="batch"),
            Sample("STFT", (given(2, 70, 1), fixed(9), _window(22)), {"onesided": 0}, name="no-fast-length"),
        ),
    )
)
