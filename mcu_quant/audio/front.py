"""The front end as operators: samples of 16 bits to the inputs of a model.

    audio_in -> [samples before it] -> block -> reals -> level -> emphasis -> Spectrum (transform, bands, logarithm)
             -> [frames before them] -> range -> cosine transform -> affine -> the model's input

Where frames stay what they are when the block moves on (`latency.slides`), only new ones are computed and the rest is a
state; else the block of samples is the state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from mcu_quant.audio.builder import Builder
from mcu_quant.audio.latency import slides
from mcu_quant.data.audio import Affine, FrontEnd, Log, Stages, Stft, applied, dct_matrix, mel_filterbank, window_of
from mcu_quant.pipelines import Input, Pipeline

#: The logarithm of zero is no number, and neither floor nor offset need be given: this is the smallest float.
TINY = 1.1754944e-38
_LN = {"e": 1.0, "2": np.log(2.0), "10": np.log(10.0)}


@dataclass
class Front:
    """Front ends of one pipeline: what several inputs read is computed once."""

    builder: Builder
    pipeline: Pipeline
    audio: str
    #: before the names of inputs, where several models have one of the same name
    prefix: str = ""

    def __post_init__(self) -> None:
        self._blocks: dict[int, str] = {}

    def samples(self, count: int, name: str = "front:block") -> str:
        """The last `count` samples as reals on the model's scale, [count]."""
        if count in self._blocks:
            return self._blocks[count]
        b, hop = self.builder, self.pipeline.stream_hop
        where, joined = f"{name}{count}", self.audio
        if count > hop:
            before = b.state(f"{where}:before", np.zeros(count - hop), "int16")
            joined = b.add("Concat", f"{where}:joined", (before, self.audio), axis=0)
            b.carry(before, b.slice(joined, 0, hop, count, f"{where}:after"))
        made = b.add("FromPcm", where, (joined,), scale=self.pipeline.full_scale / 32768.0)
        self._blocks[count] = made
        return made

    def name(self, entry: Input) -> str:
        """What names of operators begin with that make an input."""
        return f"front:{self.prefix}{entry.name}"

    def spectra(self, entry: Input) -> str:
        """The edge that holds the complex spectra which an input was made of."""
        return f"{self.name(entry)}:spectra"

    def block(self) -> str:
        """The block, brought to its level, [length]."""
        x = self.samples(self.pipeline.block.length)
        how = self.pipeline.block.normalise
        return x if how == "none" else levelled(self.builder, x, how)

    def features(self, entry: Input) -> str:
        """What the model's input holds, in the input's shape."""
        block, hop, stages = self.pipeline.block, self.pipeline.stream_hop, entry.stages
        if stages.stft is None:
            x = self.block()
            x = affine(self.builder, x, stages.affine, self.name(entry))
            return self.builder.reshape(x, entry.shape, f"{self.name(entry)}:shaped")
        sliding = slides(stages, block, hop)
        x = self._sliding(entry, sliding) if sliding else self._whole(entry, stages.stft.resolved(block.length))
        return self.builder.reshape(self._finish(x, entry), entry.shape, f"{self.name(entry)}:shaped")

    def _whole(self, entry: Input, stft: Stft) -> str:
        """All frames of the block."""
        b, x, name = self.builder, self.block(), self.name(entry)
        if entry.stages.emphasis:
            nothing = b.constant(f"{name}:nothing", np.zeros(1))
            longer = b.add("Concat", f"{name}:longer", (nothing, x), axis=0)
            x = emphasised(b, longer, entry.stages.emphasis.coefficient, name)
        x = centred(b, x, stft, name)
        return self._spectrum(x, entry, stft, stft.frames(self._length()))

    def _length(self) -> int:
        return self.pipeline.block.length

    def _sliding(self, entry: Input, stft: Stft) -> str:
        """The new frames behind those of the calls before."""
        b, hop, name = self.builder, self.pipeline.stream_hop, self.name(entry)
        more = 1 if entry.stages.emphasis else 0
        x = self.samples(stft.length - stft.hop + hop + more)
        if entry.stages.emphasis:
            x = emphasised(b, x, entry.stages.emphasis.coefficient, name)
        new = self._spectrum(x, entry, stft, hop // stft.hop)
        frames = stft.frames(self._length())
        old = frames - hop // stft.hop
        if old <= 0:
            return new if old == 0 else b.slice(new, 0, -old, hop // stft.hop, f"{name}:last")
        before = b.state(f"{name}:before", np.tile(self._silence(entry, stft), (old, 1)), "float32")
        joined = b.add("Concat", f"{name}:frames", (before, new), axis=0)
        b.carry(before, b.slice(joined, 0, hop // stft.hop, frames, f"{name}:after"))
        return joined

    def _spectrum(self, x: str, entry: Input, stft: Stft, frames: int) -> str:
        """The Spectrum operator of an input: its features. Its second output is `spectra`."""
        b, stages, name = self.builder, entry.stages, self.name(entry)
        inputs = [x, b.constant(f"{name}:window", window_of(stft))]
        if stages.mel:
            bands = mel_filterbank(stages.mel, stft.bins, self.pipeline.rate_hz)
            inputs.append(b.constant(f"{name}:bands", bands))
        return b.add(
            "Spectrum",
            f"{name}:spectrum",
            inputs,
            (f"{name}:features", self.spectra(entry)),
            frames=frames,
            hop=stft.hop,
            fft=stft.fft,
            value=stft.value,
            logarithm=logarithm(stages.log) if stages.log else None,
        )

    def _silence(self, entry: Input, stft: Stft) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """The frame of features that silence has, [1, bins]."""
        log = entry.stages.log
        one = Stages(
            stft=replace(stft, hop=stft.length),
            mel=entry.stages.mel,
            log=replace(log, range=0.0, floor=max(log.floor, 0.0 if log.offset else TINY)) if log else None,
        )
        made: np.ndarray[tuple[int, int], np.dtype[np.float32]] = FrontEnd(one, stft.length, self.pipeline.rate_hz)(
            np.zeros(stft.length)
        )
        return made

    def _finish(self, x: str, entry: Input) -> str:
        """What comes after the logarithm, on all frames."""
        b, stages, name = self.builder, entry.stages, self.name(entry)
        if stages.log and stages.log.range:
            axes = tuple(range(len(b.shape(x))))
            largest = b.add("Reduce", f"{name}:largest", (x,), kind="max", axes=axes, keepdims=1)
            span = b.constant(f"{name}:span", np.array(stages.log.range))
            least = b.add("Sub", f"{name}:least", (largest, span))
            x = b.add("Max", f"{name}:ranged", (x, least))
        if stages.dct:
            rows = b.constant(f"{name}:dct", dct_matrix(stages.dct, b.shape(x)[-1]).T)
            x = b.add("Gemm", f"{name}:cepstrum", (x, rows))
        x = affine(b, x, stages.affine, name)
        if stages.bins_first:
            rank = len(b.shape(x))
            x = b.add("Transpose", f"{name}:bins-first", (x,), perm=(1, 0, *range(2, rank)))
        return x


def remembered(b: Builder, entry: Input, made: str, row: int) -> str:
    """Rows of features that another model gave in this call, [runs, ...], behind those of the calls before."""
    name = f"front:{entry.name}"
    new = b.reshape(made, (prod(b.shape(made)) // row, row), f"{name}:new")
    new = affine(b, new, entry.stages.affine, name)
    count, rows = b.shape(new)[0], prod(entry.shape) // row
    if count < rows:
        initial = applied(entry.stages.affine, np.full((rows - count, row), entry.initial))
        before = b.state(f"{name}:before", initial, "float32")
        joined = b.add("Concat", f"{name}:rows", (before, new), axis=0)
        b.carry(before, b.slice(joined, 0, count, rows, f"{name}:after"))
    else:
        joined = b.slice(new, 0, count - rows, count, f"{name}:rows") if count > rows else new
    if entry.stages.bins_first:
        joined = b.add("Transpose", f"{name}:bins-first", (joined,), perm=(1, 0))
    return b.reshape(joined, entry.shape, f"{name}:shaped")


def logarithm(log: Log) -> tuple[float, float, float]:
    """(floor, offset, factor) of factor ln(max(x, floor) + offset)."""
    floor = max(log.floor, 0.0 if log.offset else TINY)
    return floor, log.offset, float(1.0 / _LN[log.base])


def affine(b: Builder, x: str, how: Affine | None, name: str) -> str:
    """x scale + offset within low .. high."""
    if how is None:
        return x
    if how.scale != 1.0:
        x = b.add("Mul", f"{name}:scaled", (x, b.constant(f"{name}:scale", np.array(how.scale))))
    if how.offset != 0.0:
        x = b.add("Add", f"{name}:moved", (x, b.constant(f"{name}:offset", np.array(how.offset))))
    if np.isfinite(how.low) or np.isfinite(how.high):
        x = b.add("Clip", f"{name}:limited", (x,), min=how.low, max=how.high)
    return x


def emphasised(b: Builder, x: str, coefficient: float, name: str) -> str:
    """x[n] - coefficient x[n - 1], of all samples but the first."""
    size = b.shape(x)[0]
    before = b.slice(x, 0, 0, size - 1, f"{name}:previous")
    factor = b.constant(f"{name}:coefficient", np.array(coefficient))
    taken = b.add("Mul", f"{name}:taken", (before, factor))
    return b.add("Sub", f"{name}:emphasised", (b.slice(x, 0, 1, size, f"{name}:these"), taken))


def levelled(b: Builder, x: str, how: str) -> str:
    """A block on its own level: "peak" 1, or "variance" 1 around 0."""
    if how == "peak":
        magnitude = b.add("Abs", "front:magnitude", (x,))
        peak = b.add("Reduce", "front:peak", (magnitude,), kind="max", axes=(0,), keepdims=1)
        # half a step of 16 bits: silence stays silence
        least = b.add("Max", "front:least", (peak, b.constant("front:step", np.array(2.0**-16))))
        return b.add("Div", "front:level", (x, least))
    mean = b.add("Reduce", "front:mean", (x,), kind="mean", axes=(0,), keepdims=1)
    around = b.add("Sub", "front:around", (x, mean))
    square = b.add("Mul", "front:square", (around, around))
    variance = b.add("Reduce", "front:variance", (square,), kind="mean", axes=(0,), keepdims=1)
    padded = b.add("Add", "front:variance-padded", (variance, b.constant("front:padding", np.array(1e-7))))
    deviation = b.add("Sqrt", "front:deviation", (padded,))
    return b.add("Div", "front:level", (around, deviation))


def centred(b: Builder, x: str, stft: Stft, name: str) -> str:
    """Half a window before the block and behind it, mirrored or silent."""
    if stft.centre == "none":
        return x
    size, margin = b.shape(x)[0], stft.margin
    if stft.centre == "zeros":
        edges = [b.constant(f"{name}:{side}", np.zeros(margin)) for side in ("before-it", "behind-it")]
    else:
        spans = (("before-it", margin, 0), ("behind-it", size - 2, size - 2 - margin))
        edges = [
            b.add("Slice", f"{name}:{side}", (x,), starts=(start,), ends=(end,), axes=(0,), steps=(-1,))
            for side, start, end in spans
        ]
    return b.add("Concat", f"{name}:centred", (edges[0], x, edges[1]), axis=0)
