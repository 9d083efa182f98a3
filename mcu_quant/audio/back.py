"""The back end as operators: outputs of a model to audio or decisions."""

from __future__ import annotations

from math import prod

import numpy as np

from mcu_quant.audio.builder import Builder
from mcu_quant.data.audio import window, window_of
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.ir import Array, Shape
from mcu_quant.pipelines import Input, Pipeline
from mcu_quant.pipelines.outputs import ActivityOutput, AudioOutput, KeywordOutput, calls


def synthesis_window(pipeline: Pipeline, output: AudioOutput, analysis: Array) -> Array:
    """The window of synthesis, divided by what analysis and synthesis sum up to where blocks overlap, if asked."""
    block = pipeline.block
    made = window(output.window, block.length)
    if not output.normalise:
        return made
    total = np.zeros(block.hop)
    for start in range(0, block.length, block.hop):
        part = (analysis * made)[start : start + block.hop]
        total[: part.size] += part
    if total.min() <= 1e-6 * total.max():
        message = f"the windows leave gaps {block.hop} samples apart: they cannot be undone"
        raise DiagnosticError(Diagnostic("MQ403", f"pipeline {pipeline.name}: output.audio.window", message))
    return np.asarray(made / np.resize(total, block.length))


def spectral_input(pipeline: Pipeline) -> Input | None:
    """The input whose spectrum a mask is laid over: the first that has one."""
    return next((e for e in pipeline.inputs if e.stages.stft), None)


def audio(b: Builder, pipeline: Pipeline, output: AudioOutput, made: str, spectra: str, name: str) -> str:
    """Samples of 16 bits, [hop], under `name`."""
    block, entry = pipeline.block, spectral_input(pipeline)
    analysis: Array = np.ones(block.length)
    if output.kind == "samples":
        size = prod(b.shape(made))
        if size not in (block.length, block.hop):
            raise _misfit(pipeline, made, b.shape(made), f"{block.hop} or {block.length} samples")
        blocks = b.reshape(made, (1, size), "back:block")
    else:
        assert entry is not None or output.kind == "spectrum"
        stft = entry.stages.stft.resolved(block.length) if entry and entry.stages.stft else None
        points = stft.fft if stft else block.length
        if stft:
            analysis = np.asarray(window_of(stft))
        blocks = signal(b, pipeline, output, made, spectra, points)
    if b.shape(blocks)[-1] > block.length:
        blocks = b.slice(blocks, 1, 0, block.length, "back:cut")
    out = overlapped(b, pipeline, synthesis_window(pipeline, output, analysis), blocks)
    return b.add("ToPcm", "back:pcm", (out,), (name,), scale=pipeline.full_scale / 32768.0)


def overlapped(b: Builder, pipeline: Pipeline, window_: Array, blocks: str) -> str:
    """The stream that blocks [1, length] make, [hop]."""
    block = pipeline.block
    if b.shape(blocks)[-1] == block.hop:
        return b.reshape(blocks, (block.hop,), "back:stream")
    before = b.state("back:sum", np.zeros(block.length - block.hop), "float32")
    weights = b.constant("back:window", window_)
    out = b.add("OverlapAdd", "back:overlap-add", (blocks, weights, before), ("back:stream", "back:sum-after"))
    b.carry(before, "back:sum-after")
    return out


def signal(b: Builder, pipeline: Pipeline, output: AudioOutput, made: str, spectra: str, points: int) -> str:
    """The block that a spectrum, or a mask over the input's, stands for, [1, points]."""
    bins = points // 2 + 1
    parts = 1 if output.kind == "mask" else 2
    if prod(b.shape(made)) != bins * parts:
        pairs = " pairs (re, im)" if parts == 2 else " factors"
        raise _misfit(pipeline, made, b.shape(made), f"{bins}{pairs}")
    if parts == 2 and b.shape(made)[-1] != 2:  # real parts before imaginary ones
        flat = b.reshape(made, (2, bins), "back:parts")
        made = b.add("Transpose", "back:pairs", (flat,), perm=(1, 0))
    made = b.reshape(made, (1, bins, 2) if parts == 2 else (1, bins), "back:bins")
    kind = {"spectrum": "none", "mask": "real", "complex-mask": "complex"}[output.kind]
    inputs = (made,) if kind == "none" else (spectra, made)
    return inverse(b, inputs, kind, points, "back:signal")


def inverse(b: Builder, inputs: tuple[str, ...], mask: str, points: int, name: str) -> str:
    """irfft of a spectrum, with a mask laid over it."""
    return b.add("InverseSpectrum", name, inputs, fft=points, mask=mask)


def _misfit(pipeline: Pipeline, source: str, shape: Shape, wanted: str) -> DiagnosticError:
    message = f"output {source!r} has shape {list(shape)}, which is not {wanted}"
    help_ = "correct [output.audio] or [block]"
    return DiagnosticError(Diagnostic("MQ403", f"pipeline {pipeline.name}", message, help=help_))


def activity(b: Builder, pipeline: Pipeline, output: ActivityOutput, made: str) -> tuple[str, ...]:
    """A probability, smoothed, and whether it is active."""
    if prod(b.shape(made)) != 1:
        message = f"output {made!r} has shape {list(b.shape(made))}, not one probability"
        raise DiagnosticError(Diagnostic("MQ403", f"pipeline {pipeline.name}", message, help="name another output"))
    level = b.state("back:level", np.zeros(1), "float32")
    run = b.state("back:run", np.zeros(2), "int32")
    b.add(
        "Activity",
        "back:activity",
        (made, level, run),
        ("probability", "active", "back:level-after", "back:run-after"),
        smoothing=output.smoothing(pipeline.call_ms),
        threshold=output.threshold,
        release=output.release,
        attack=calls(output.attack_ms, pipeline.call_ms),
        hold=calls(output.hold_ms, pipeline.call_ms),
    )
    b.carry(level, "back:level-after")
    b.carry(run, "back:run-after")
    return ("probability", "active")


def keyword(b: Builder, pipeline: Pipeline, output: KeywordOutput, made: str) -> tuple[str, ...]:
    """Which word was recognised, and how sure that is."""
    classes = len(output.labels)
    if prod(b.shape(made)) != classes:
        message = f"output {made!r} has shape {list(b.shape(made))}, the pipeline has {classes} labels"
        help_ = "name one label per class"
        raise DiagnosticError(Diagnostic("MQ403", f"pipeline {pipeline.name}", message, help=help_))
    made = b.reshape(made, (1, classes), "back:classes")
    if output.softmax:
        made = b.add("Softmax", "back:posteriors", (made,), axis=1)
    last = b.state("back:last", np.zeros((calls(output.smoothing_ms, pipeline.call_ms), classes)), "float32")
    place = b.state("back:place", np.zeros(2), "int32")
    b.add(
        "Keyword",
        "back:keyword",
        (made, last, place),
        ("keyword", "score", "back:last-after", "back:place-after"),
        wanted=tuple(int(n not in output.ignore) for n in output.labels),
        threshold=output.threshold,
        refractory=calls(output.refractory_ms, pipeline.call_ms),
    )
    b.carry(last, "back:last-after")
    b.carry(place, "back:place-after")
    return ("keyword", "score")
