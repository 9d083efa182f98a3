"""What a composed graph must compute: front and back ends by their definitions in numpy, models in onnxruntime.

Everything here is written as the authors of such models do it on a computer: whole blocks, float64, no state but the
samples, so that it shares nothing with the firmware's way of computing the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcu_quant.audio.back import spectral_input, synthesis_window
from mcu_quant.audio.compose import AUDIO_IN, AUDIO_OUT
from mcu_quant.audio.latency import slides
from mcu_quant.compare import Runs
from mcu_quant.data import normalised
from mcu_quant.data.audio import FrontEnd, window, window_of
from mcu_quant.data.upstream import Rows
from mcu_quant.ir import Array
from mcu_quant.pipelines import Behind, Input, Pipeline
from mcu_quant.pipelines.outputs import ActivityOutput, AudioOutput, KeywordOutput, calls

Floats = NDArray[np.float64]
Convert = Callable[[Any], Any]


@dataclass
class _Back:
    """What the back end remembers."""

    sum: Floats
    level: float = 0.0
    active: bool = False
    against: int = 0
    last: list[Floats] = field(default_factory=list)
    silent: int = 0


class AudioReference:
    """A chain of models behind a front end and before a back end, call by call. The shape of `compare.Reference`.

    `models` run in the order of `pipelines`; all but the last are masks over the block of the next. `source` is the
    output of the last one that the back end reads. `stored` are functions per model that give the whole numbers which
    an input holds of reals, by its name; `reals` those that give reals of what outputs of the last one hold. `before`
    is the chain whose audio or features this one takes.
    """

    def __init__(
        self,
        models: Sequence[Runs],
        pipelines: Sequence[Pipeline],
        source: str = "",
        stored: Sequence[Mapping[str, Convert]] = (),
        reals: Mapping[str, Convert] = MappingProxyType({}),
        before: AudioReference | None = None,
    ) -> None:
        self.version = models[-1].version
        self._reals, self._before = reals, before
        self._models, self._pipelines = models, pipelines
        self._source = source
        self._stored = stored or [{} for _ in models]
        self._pipeline = pipelines[-1]
        block = self._pipeline.block
        self._fronts = [
            {e.name: (FrontEnd(e.stages, p.block.length, p.rate_hz), e) for e in p.inputs if not e.source}
            for p in pipelines
        ]
        self._samples = np.zeros(block.length + 1)
        self._rows: dict[str, Rows] = {}
        self._window = self._synthesis()
        self.reset()

    def reset(self) -> None:
        """Back to silence."""
        for model in [*self._models, *([self._before] if self._before else [])]:
            model.reset()
        self._rows = {e.name: Rows(e) for e in self._taken}
        block = self._pipeline.block
        self._samples = np.zeros(block.length + 1)
        self._back = _Back(np.zeros(block.length))

    def run(self, feeds: Mapping[str, Array], /) -> dict[str, Array]:
        """One call: outputs by name, and those states of the models that have one."""
        pipeline = self._pipeline
        new = self._heard(np.asarray(feeds[AUDIO_IN], np.float64)) * (pipeline.full_scale / 32768.0)
        self._samples = np.concatenate([self._samples, new])[-pipeline.block.length - 1 :]
        block, before = self._samples[1:], self._samples[0]
        block = normalised(block, pipeline.block.normalise)
        found: dict[str, Array] = {}
        for i, model in enumerate(self._models):
            found = model.run(self._inputs(i, block, before))
            if i + 1 < len(self._models):
                upstream = self._pipelines[i + 1].upstream
                assert upstream is not None and upstream.mask is not None
                mask = np.asarray(found[upstream.mask], np.float64).ravel()
                block = np.fft.irfft(np.fft.rfft(block) * mask, block.size)
        return {**found, **self._outputs(found, block)}

    def _inputs(self, index: int, block: Floats, before: float) -> dict[str, Array]:
        made: dict[str, Array] = {} if index else {e.name: self._laid(e) for e in self._taken}
        for name, (front, entry) in self._fronts[index].items():
            pipeline = self._pipelines[index]
            features = (
                front(block, before) if slides(entry.stages, pipeline.block, pipeline.stream_hop) else front(block)
            )
            values = features.reshape(entry.shape)
            onto = self._stored[index].get(name)
            made[name] = onto(values) if onto else values
        return made

    # --- the chain before ------------------------------------------------------------------------------------------

    @property
    def _taken(self) -> list[Input]:
        """Inputs that hold what the chain before gives."""
        return [e for e in self._pipelines[0].inputs if e.source]

    def _heard(self, samples: Floats) -> Floats:
        """Samples of a call as the chain before leaves them; its features are kept."""
        if self._before is None:
            return samples
        first = self._pipelines[0]
        made = [self._before.run({AUDIO_IN: part}) for part in np.split(samples, first.upstream_runs)]
        for entry in self._taken:
            for found in made:
                self._rows[entry.name].push({str(entry.source): self._before.real(str(entry.source), found)})
        if first.behind is Behind.AUDIO:
            return np.concatenate([m[AUDIO_OUT] for m in made]).astype(np.float64)
        return samples

    def _laid(self, entry: Input) -> Array:
        """What an input holds of the rows that are kept."""
        onto, values = self._stored[0].get(entry.name), self._rows[entry.name].values()
        return onto(values) if onto else values

    def real(self, name: str, found: Mapping[str, Array]) -> Floats:
        """An output of the last model as reals."""
        onto = self._reals.get(name)
        return np.asarray(onto(found[name]) if onto else found[name], np.float64)

    # --- outputs ---------------------------------------------------------------------------------------------------

    def _outputs(self, found: Mapping[str, Array], block: Floats) -> dict[str, Array]:
        output = self._pipeline.output
        if output is None:
            return {}
        made = self.real(self._source, found)
        match output:
            case AudioOutput():
                return {AUDIO_OUT: self._audio(output, made, block)}
            case ActivityOutput():
                return self._activity(output, float(made.ravel()[0]))
            case KeywordOutput():
                return self._keyword(output, made.ravel())

    def _synthesis(self) -> Floats:
        pipeline, output, entry = self._pipeline, self._pipeline.output, spectral_input(self._pipeline)
        if not isinstance(output, AudioOutput):
            return np.ones(1)
        stft = entry.stages.stft.resolved(pipeline.block.length) if entry and entry.stages.stft else None
        over = output.kind != "samples" and stft is not None
        analysis = window_of(stft) if over and stft else window("none", pipeline.block.length)
        return np.asarray(synthesis_window(pipeline, output, analysis))

    def _audio(self, output: AudioOutput, made: Floats, block: Floats) -> Array:
        pipeline, entry = self._pipeline, spectral_input(self._pipeline)
        length, hop = pipeline.block.length, pipeline.block.hop
        stft = entry.stages.stft.resolved(length) if entry and entry.stages.stft else None
        points = stft.fft if stft else length
        bins = points // 2 + 1
        if output.kind == "samples":
            signal = made.ravel()
        else:
            heard = np.fft.rfft(block * (window_of(stft) if stft else 1.0), points)
            if output.kind == "mask":
                spectrum = heard * made.ravel()
            else:
                pairs = made.reshape(-1, 2) if made.shape[-1] == 2 else made.reshape(2, bins).T
                complex_ = pairs[:, 0] + 1j * pairs[:, 1]
                spectrum = complex_ if output.kind == "spectrum" else heard * complex_
            signal = np.fft.irfft(spectrum, points)[:length]
        if signal.size == hop:
            out = signal
        else:
            state = self._back
            state.sum = state.sum + self._window * signal
            out, state.sum = state.sum[:hop], np.concatenate([state.sum[hop:], np.zeros(hop)])
        steps = np.rint(out * (32768.0 / pipeline.full_scale))
        return np.clip(steps, -32768, 32767).astype(np.float32)

    def _activity(self, output: ActivityOutput, x: float) -> dict[str, Array]:
        state, call_ms = self._back, self._pipeline.call_ms
        state.level += output.smoothing(call_ms) * (x - state.level)
        now = state.level >= (output.release if state.active else output.threshold)
        state.against = 0 if now == state.active else state.against + 1
        if state.against >= calls(output.hold_ms if state.active else output.attack_ms, call_ms):
            state.active, state.against = now, 0
        return {"probability": np.array([state.level], np.float32), "active": np.array([state.active], np.float32)}

    def _keyword(self, output: KeywordOutput, x: Floats) -> dict[str, Array]:
        state, call_ms = self._back, self._pipeline.call_ms
        if output.softmax:
            x = np.exp(x - x.max())
            x = x / x.sum()
        count = calls(output.smoothing_ms, call_ms)
        state.last = [*state.last, x][-count:]
        mean = np.where([n not in output.ignore for n in output.labels], np.sum(state.last, axis=0) / count, -np.inf)
        best = int(np.argmax(mean))
        found = state.silent == 0 and mean[best] >= output.threshold
        state.silent = calls(output.refractory_ms, call_ms) if found else max(0, state.silent - 1)
        return {
            "keyword": np.array([best if found else -1], np.float32),
            "score": np.array([mean[best]], np.float32),
        }
