"""A pipeline file proposed from the shapes of a model's inputs and outputs, with every guess marked as one.

Shapes say how many bins or samples a model reads, and seldom how far apart blocks are, which window was used or what
the numbers were scaled to: those lines say what was assumed, and why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from math import prod
from types import MappingProxyType

from mcu_quant.ir import Shape
from mcu_quant.ops.common.fft import is_fast

#: Smallest number of bins that is taken for a spectrum, and of samples for a block.
FEW_BINS, FEW_SAMPLES = 33, 64
#: Most bins that are cepstral coefficients, most classes of words, and most numbers that are one frame of features.
COEFFICIENTS, CLASSES, ROW = 20, 64, 128
#: 25 ms and 10 ms at 16 kHz: what most log-mel front ends have.
WINDOW, STEP = 400, 160


def propose(
    model: str,
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    bind: Mapping[str, int] = MappingProxyType({}),
) -> str:
    """The text of a pipeline file for a model file with these inputs and outputs, states aside, and what it binds."""
    sizes = {prod(shape) for shape in outputs.values()}
    heads = {name: _front(shape, sizes) for name, shape in inputs.items()}
    [first, *_] = heads.values()
    lines = [
        f"# Proposed by mcu-quant from the shapes of {model}. Lines with a ? are guesses: compare them with how the",
        "# model was trained. docs/pipelines.md describes the keys.",
        f"model = {json.dumps(model)}",
        "rate_hz = 16000           # ?",
        "full_scale = 1.0          # ? value of the loudest sample: 32768.0 where training read 16-bit integers",
        "",
        *([] if not bind else ["[bind]", *(f"{json.dumps(name)} = {size}" for name, size in bind.items()), ""]),
        "[block]",
        *first.block,
        "",
    ]
    for name, shape in inputs.items():
        lines += [f"[inputs.{json.dumps(name)}]", f"shape = {list(shape)}", *heads[name].stages, ""]
    return "\n".join([*lines, *_output(outputs, first)])


class _Head:
    """What an input seems to hold."""

    def __init__(self, kind: str, block: list[str], stages: list[str], length: int, hop: int, bins: int = 0) -> None:
        self.kind, self.block, self.stages = kind, block, stages
        self.length, self.hop, self.bins = length, hop, bins


def _front(shape: Shape, made: Set[int]) -> _Head:
    """What an input of this shape seems to hold, of a model whose outputs have so many values."""
    sizes = [n for n in shape if n > 1]
    pairs = sizes[-1:] == [2] or sizes[:1] == [2]
    rest = sizes[:-1] if sizes[-1:] == [2] else sizes[1:] if pairs else sizes
    bins = next((n for n in rest if n >= FEW_BINS and n % 2 and is_fast(2 * (n - 1))), None)
    if bins and prod(rest) == bins:
        return _spectrum(bins, complex_=pairs)
    if len(sizes) >= 2 and min(sizes[-2:]) < 256:
        return _features(*sizes[-2:])
    if COEFFICIENTS / 2 <= prod(shape) <= ROW and prod(shape) not in made:  # samples would be 8 ms, in and not out
        return _features(1, prod(shape))
    return _samples(prod(shape))


def _spectrum(bins: int, complex_: bool) -> _Head:
    fft, value = 2 * (bins - 1), "complex" if complex_ else "magnitude"
    block = [f"length = {fft}             # {bins} bins", f"hop = {fft // 2}                # ? half of it"]
    stages = [f'stft = {{ window = "sqrt-hann", value = "{value}" }}   # ? window; value "power" is possible, too']
    return _Head("complex" if complex_ else "magnitude", block, stages, fft, fft // 2, bins)


def _features(frames: int, bins: int) -> _Head:
    length = WINDOW + (frames - 1) * STEP
    hop, why = (length, "all of it is new in each run; [stream] says how often firmware asks")
    if frames == 1:
        hop, why = STEP, "one frame of features in each run"
    block = [
        f"length = {length}            # ? {frames} frames of {WINDOW} samples, {STEP} apart",
        f"hop = {hop}               # ? {why}",
        *(['history = "none"'] if frames > 1 else []),
    ]
    bands = 40 if bins <= COEFFICIENTS else bins
    stages = [
        "# ? features of audio; where another model makes them: [upstream], and here from = OUTPUT (docs/data.md)",
        f'stft = {{ window = "hann", length = {WINDOW}, hop = {STEP}, fft = 512, value = "power" }}   # ?',
        f"mel = {{ bands = {bands}, low_hz = 20, high_hz = 7600 }}   # ? htk, or scale, sides and norm as librosa",
        "log = { floor = 1e-10 }   # ?",
    ]
    if bins <= COEFFICIENTS:
        stages.append(f"dct = {{ coefficients = {bins} }}   # ? so few bins are cepstral coefficients")
    return _Head("features", block, stages, length, hop)


def _samples(size: int) -> _Head:
    block = [f"length = {size}", f"hop = {size}                # ? blocks that do not overlap"]
    return _Head(
        "samples", block, ["# raw samples" if size >= FEW_SAMPLES else "# ? raw samples, though few"], size, size
    )


def _output(outputs: Mapping[str, Shape], head: _Head) -> list[str]:
    several = len(outputs) > 1
    for name, shape in outputs.items():
        size = prod(shape)
        lines = _back(size, head)
        if lines:
            return [lines[0], *([f"from = {json.dumps(name)}"] if several else []), *lines[1:], ""]
    shapes = ", ".join(f"{n} {list(s)}" for n, s in outputs.items())
    return [f"# no [output]: nothing is known of {shapes}; firmware gives the model's own outputs", ""]


def _back(size: int, head: _Head) -> list[str]:
    window = ['window = "sqrt-hann"      # ? of synthesis']
    if head.bins and size == head.bins:
        return ["[output.audio]", 'as = "mask"               # ? one factor per bin', *window]
    if head.bins and size == 2 * head.bins:
        kind, other = ("spectrum", "complex-mask")[:: 1 if head.kind == "complex" else -1]
        return ["[output.audio]", f'as = "{kind}"           # ? or "{other}"', *window]
    if head.kind == "samples" and size == head.length:
        return ["[output.audio]", 'as = "samples"']
    if size == 1:
        return [
            "[output.activity]",
            "threshold = 0.5           # ?",
            "release = 0.35            # ?",
            "hold_ms = 100             # ?",
        ]
    if size <= CLASSES:
        labels = ", ".join(f'"class {i}"' for i in range(size))
        back = [
            "[output.keyword]",
            f"labels = [{labels}]   # ? in the order of training",
            "ignore = []               # ? silence and unknown words",
            "softmax = false           # ? true where the model gives logits",
            "threshold = 0.7           # ?",
            "smoothing_ms = 500        # ?",
            "refractory_ms = 1000      # ?",
        ]
        if head.kind == "features" and head.hop == head.length:
            return [
                *back,
                "",
                "[stream]",
                f"hop = {max(STEP, head.length // 4 // STEP * STEP)}                # ? a quarter of the block",
            ]
        return back
    return []
