"""Qualities that users hear or see, as budgets: what a plan loses of them on whole recordings, beside f32.

They decide whether a plan is accepted, not which format each operator gets: differences of PESQ between single
operators are noise (a gain of 1 % moves a clip by 0.5), while the error of the outputs is smooth. The planner asks for
less error until the metric is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import numpy as np

from mcu_quant.compare import excerpts
from mcu_quant.data import Clips, wav
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Array, Graph
from mcu_quant.lower import lower
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.precision.trial import Trial

#: Frames of all recordings together: half a minute of audio.
FRAMES = 4000

#: The largest of many figures is larger where there are more of them: on ten times as many frames, of other talkers,
#: the probabilities of five voice activity detectors changed by 1.9 to 3 times as much at most, of a sixth by 7 times.
LARGEST_GROWS = 2.5

#: Output limits of PESQ, wideband: the figure of a recording beside itself.
BEST_PESQ = 4.644


@dataclass(frozen=True, eq=False)
class Played:
    """Outputs of one recording, [frames, values], in f32 and under a plan; the clean recording if there is one."""

    wanted: Array
    made: Array
    clean: Array | None
    rate_hz: int


@dataclass(frozen=True)
class Metric:
    """A figure, what is lost of it on one recording, and whether it takes audio (`--audio`) to measure it."""

    name: str
    summary: str
    loss: Callable[[Played], float]
    audio: bool
    #: over recordings: the mean, or the worst
    over: Callable[[Sequence[float]], float]
    #: what is to be expected on other recordings, as a multiple of that
    elsewhere: float = 1.0


def _pesq(played: Played) -> float:
    from mcu_quant.audio.judge import judge

    clean = np.ravel(played.wanted) / 32768.0 if played.clean is None else played.clean
    best, made = (judge(clean, np.ravel(x) / 32768.0, played.rate_hz).pesq for x in (played.wanted, played.made))
    if made is None or best is None:
        raise DiagnosticError(_unmeasured("pesq"))
    return (BEST_PESQ if played.clean is None else best) - made


def _si_sdr(played: Played) -> float:
    from mcu_quant.metrics import si_sdr_db

    clean = np.ravel(played.wanted) if played.clean is None else played.clean * 32768.0
    size = min(clean.size, played.made.size)
    best, made = (si_sdr_db(clean[:size], np.ravel(x)[:size]) for x in (played.wanted, played.made))
    return max(0.0, 100.0 - made) if played.clean is None else best - made


def _change(played: Played) -> float:
    return float(np.abs(played.made - played.wanted).max(initial=0.0))


def _mean(losses: Sequence[float]) -> float:
    return float(np.mean(losses))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        m.name: m
        for m in (
            Metric("pesq", "PESQ of the audio, wideband: mean loss over the recordings", _pesq, True, _mean),
            Metric("si-sdr", "SI-SDR of the audio in dB: mean loss over the recordings", _si_sdr, True, _mean),
            Metric("change", "largest change of any output: a probability, say", _change, False, max, LARGEST_GROWS),
        )
    }
)


def metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        DiagnosticError: MQ900 if there is none.
    """
    if name not in METRICS:
        message = f"there is no metric {name!r}"
        raise DiagnosticError(Diagnostic("MQ900", "--max-loss", message, help=did_you_mean(name, METRICS)))
    return METRICS[name]


def check(one: Metric, graph: Graph) -> None:
    """Whether a model's outputs can be measured so.

    Raises:
        DiagnosticError: MQ900 if audio is needed and the model makes none, or a package is missing.
    """
    if one.audio and not any(op.op == "ToPcm" for op in graph.operators):
        message = f"{one.name} is measured on audio, and this model makes none"
        help_ = "add --audio, with a pipeline that says how outputs become audio"
        raise DiagnosticError(Diagnostic("MQ900", "--max-loss", message, help=help_))
    if one.name == "pesq":
        from mcu_quant.audio.judge import missing

        if "pesq" in missing():
            raise DiagnosticError(_unmeasured("pesq"))


def _unmeasured(name: str) -> Diagnostic:
    help_ = "pip install 'mcu-quant[quality]', and give recordings with speech in them"
    return Diagnostic("MQ900", "--max-loss", f"{name} cannot be measured here", help=help_)


@dataclass(frozen=True)
class Lost:
    """What a plan loses of a metric: on the recordings, and expected on others, which is what limits are held to."""

    metric: Metric
    here: float

    @property
    def elsewhere(self) -> float:
        """Expected on other recordings."""
        return self.here * self.metric.elsewhere

    def __str__(self) -> str:
        others = f", {self.elsewhere:.3g} expected on others" if self.metric.elsewhere != 1.0 else ""
        return f"{self.metric.name} lost {self.here:.3g} on the recordings{others}"


def lost(one: Metric, trial: Trial, plan: PrecisionPlan, clips: Clips, data: Path | None, rate_hz: int) -> Lost:
    """What a plan loses of a metric."""
    floats = PrecisionPlan(plan.model, "f32", {n: OperatorPlan("f32") for n in plan.operators}, plan.ranges)
    sessions = [ProgramSession(lower(trial.graph, p, trial.target)) for p in (floats, plan)]
    return Lost(one, one.over([one.loss(p) for p in _played(sessions, trial, clips, data, rate_hz)]))


def _played(
    sessions: Sequence[ProgramSession], trial: Trial, clips: Clips, data: Path | None, rate_hz: int
) -> Iterator[Played]:
    for clip, count in excerpts(clips, FRAMES):
        made = []
        for session in sessions:
            session.reset()
            rows = [session.run(list(trial.outputs), feeds) for feeds in islice(clip, count)]
            made.append(np.stack([np.concatenate([np.ravel(o) for o in row]) for row in rows]).astype(np.float64))
        yield Played(made[0], made[1], _clean(clip.name, data, made[0].size), rate_hz)


def _clean(name: str, data: Path | None, size: int) -> Array | None:
    """The clean recording of the same name, in a folder `clean` beside the recordings."""
    file = data.parent / "clean" / name if data is not None and data.is_dir() else None
    return wav.read(file).samples(0, size) if file is not None and file.is_file() else None
