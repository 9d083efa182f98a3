"""A stream of samples through whatever runs a composed graph: a program, a folder's C, or the reference.

played = play(session, pipeline, samples)
played.audio            # 16 bits, as long as the samples, and aligned with them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcu_quant.audio.compose import AUDIO_IN, AUDIO_OUT
from mcu_quant.audio.latency import latency
from mcu_quant.ir import Array
from mcu_quant.pipelines import Pipeline

Pcm = NDArray[np.int16]


class Session(Protocol):
    """What runs one call of a composed graph."""

    def reset(self) -> None:
        """Back to silence."""

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Array], /) -> list[Array]:
        """One call: outputs by name."""


@dataclass(frozen=True, eq=False)
class Played:
    """What came out. `audio` is None where no audio does; `outputs` are all others, [calls, ...] each."""

    audio: Pcm | None
    outputs: Mapping[str, Array]


def as_pcm(samples: NDArray[np.float64]) -> Pcm:
    """Samples in [-1, 1] as 16 bits, the loudest cut off."""
    return np.clip(np.rint(np.asarray(samples) * 32768.0), -32768, 32767).astype(np.int16)


def play(
    session: Session,
    pipeline: Pipeline,
    samples: Pcm,
    names: Sequence[str],
    on_call: Callable[[int], None] | None = None,
) -> Played:
    """Stream samples from silence on. `names` are the outputs to keep.

    Silence is added at the end, until the last sample has come out; what comes out is cut to the samples' length and
    moved back by the latency. `on_call(n)` is called when n calls are done.
    """
    hop, behind = pipeline.stream_hop, latency(pipeline)
    calls = -(-(samples.size + behind) // hop)
    padded = np.zeros(calls * hop, np.int16)
    padded[: samples.size] = samples
    made: dict[str, list[Array]] = {n: [] for n in names}
    session.reset()
    for i in range(calls):
        found = session.run(list(names), {AUDIO_IN: padded[i * hop : (i + 1) * hop]})
        for name, value in zip(names, found, strict=True):
            made[name].append(value)
        if on_call:
            on_call(i + 1)
    stacked = {n: np.stack(values) if values else np.zeros((0, 1)) for n, values in made.items()}
    out = stacked.pop(AUDIO_OUT, None)
    audio = None if out is None else np.ravel(out).astype(np.int16)[behind : behind + samples.size]
    return Played(audio, stacked)
