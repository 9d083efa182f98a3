"""Plans tried on clips: the kernels that ship, compiled for this machine, streamed with the state carried.

The loss of a plan is the noise of the model's outputs against the same program in f32: |error|^2 / |output|^2, of the
output that is worst off. The f32 program itself equals onnxruntime to rounding, which every build verifies.

Where recordings are played softer and louder as well (`Clips.levels`), the loss is that at the worst level, each beside
the outputs at that level: a constant floor of noise that drowns in speech is heard in the pauses. 6 dB less than as
recorded is asked there.

Of an If that data decides, both branches are computed and one is selected. One that no clip selects counts as if it
were an output: the word that wakes a device is said in few recordings.

Of an output that is a softmax, the loss is that of the logits (probabilities near 0 and 1 hide what happens to them),
and what the softmax adds: its own error on the logits that it was given.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import islice
from math import inf, isfinite, log10
from pathlib import Path

import numpy as np

from mcu_quant import ops
from mcu_quant.cache import cache_folder, kept, write
from mcu_quant.compare import excerpts
from mcu_quant.data import Clip, Clips, Frame
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.emulator.side_by_side import SideBySide
from mcu_quant.interpret import Stream
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.paths import PACKAGE, firmware
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, to_toml
from mcu_quant.version import VERSION

#: Work of one session that plans of a model share, in nanoseconds of this machine as estimated from counts: it decides
#: how many frames are streamed, so that it must not depend on how busy the machine is.
WORK_NS = 100e9
MAC_NS, CALL_NS = 1.0, 1500.0

#: Per operator, of turning a plan into a program.
LOWERING_NS = 0.4e6

#: Of the frames as recorded, so many are tried at each other level, and losses there count so much (-6 dB).
LEVEL_SHARE, LEVEL_WEIGHT = 0.5, 10.0**-0.6

#: They come in stretches no shorter than this, of fewer recordings if need be: soft ones take long to leave the state
#: of a reset (GTCRN 30 dB softer: 18 dB in stretches of 14 frames, 26 in those of 40 and in whole recordings).
SETTLED = 40

#: Stretches of that length among which the loudest is taken.
SEARCHED = 16

#: Frames are never fewer per clip, since a state needs some to move; and never more, since losses have settled then.
FEWEST_FRAMES, MOST_FRAMES = 8, 600


def decibels(loss: float) -> float:
    """A loss as the signal-to-noise ratio that people know; infinite where there is none."""
    return -10.0 * log10(loss) if loss > 0.0 else inf


def loss_of(snr_db: float) -> float:
    """The inverse of `decibels`."""
    return float(10.0 ** (-snr_db / 10.0))


def frame_ns(graph: Graph) -> float:
    """Work of one frame, from counts."""
    times = graph.times
    return sum(times[op.name] * (MAC_NS * ops.spec(op).macs(op, graph) + CALL_NS) for op in graph.operators)


def frames_for(graph: Graph, clips: int, plans: int) -> int:
    """Frames of all clips together that so many plans leave time for; without a state, one per clip will do."""
    fewest = (FEWEST_FRAMES if graph.states else 1) * clips
    return max(fewest, min(MOST_FRAMES, int(WORK_NS / (max(1, plans) * frame_ns(graph)))))


def seconds_for(graph: Graph, clips: int, plans: int) -> float:
    """Work of trying so many plans, in seconds of one processor as estimated from counts."""
    each = frames_for(graph, clips, plans) * frame_ns(graph) + LOWERING_NS * len(graph.operators)
    return plans * each / 1e9


def _loudest(clip: Clip, count: int) -> Clip:
    """The loudest stretch of so many frames: a recording begins with silence, and softer than that nothing is left."""
    power = [sum(float(np.sum(np.square(a, dtype=float))) for a in f.values()) for f in islice(clip, SEARCHED * count)]
    sums = np.convolve(power, np.ones(min(count, len(power))), "valid")
    first = int(np.argmax(sums))
    return replace(clip, count=count, frames=lambda: islice(clip, first, first + count))


class _Noise:
    """Energy of errors and of what was wanted, of every output."""

    def __init__(self, outputs: int) -> None:
        self._error, self._signal = np.zeros(outputs), np.zeros(outputs)

    def add(self, wanted: Sequence[Array], made: Sequence[Array]) -> None:
        """Outputs of one clip."""
        for i, (w, m) in enumerate(zip(wanted, made, strict=True)):
            with np.errstate(invalid="ignore", over="ignore"):
                self._error[i] += np.sum((m - w) ** 2)
            self._signal[i] += np.sum(w**2)

    def loss(self, names: Sequence[str]) -> float:
        """Of the worst output; what a softmax and its logits lose adds up under the name of the output."""
        losses: dict[str, float] = {}
        for name, e, s in zip(names, self._error, self._signal, strict=True):
            share = e / s if s > 0.0 else inf * e if e > 0.0 else 0.0
            losses[name] = losses.get(name, 0.0) + share
        worst = max(losses.values())
        return float(worst) if isfinite(worst) else inf


def _usual(plans: Sequence[Mapping[str, OperatorPlan]]) -> dict[str, OperatorPlan]:
    """The line of every operator that most plans have."""
    return {n: Counter(p[n] for p in plans).most_common(1)[0][0] for n in plans[0]}


@dataclass(frozen=True, eq=False)
class Trial:
    """What plans of one model are tried on.

    `clips` are the frames of each clip, `levels_db` how much louder than recorded each is played (empty: none is);
    `start` is the plan that single operators are changed in, and whose ranges every plan has.
    """

    graph: Graph
    target: Target
    start: PrecisionPlan
    clips: tuple[tuple[Frame, ...], ...]
    levels_db: tuple[float, ...] = ()

    @staticmethod
    def of(graph: Graph, target: Target, start: PrecisionPlan, clips: Clips, plans: int) -> Trial:
        """A trial on the beginning of each clip, as long as so many plans leave time for."""
        frames = frames_for(graph, len(clips), plans)
        taken: list[tuple[Clip, int]] = [*excerpts(clips, frames)]
        for db in dict.fromkeys(clip.level_db for clip in clips.levels):
            copies = [c for c in clips.levels if c.level_db == db]
            room = max(SETTLED, int(LEVEL_SHARE * frames))
            some = replace(clips, clips=tuple(copies[: max(1, room // SETTLED)]))
            taken += ((_loudest(c, count), count) for c, count in excerpts(some, room))
        heard = tuple(tuple(islice(clip, count)) for clip, count in taken)
        return Trial(graph, target, start, heard, tuple(c.level_db for c, _ in taken) if clips.levels else ())

    @property
    def frames(self) -> int:
        """Frames of all clips together."""
        return sum(map(len, self.clips))

    def with_line(self, operator: str, line: OperatorPlan) -> PrecisionPlan:
        """The start with one operator changed."""
        return self.with_lines({operator: line})

    def with_lines(self, lines: Mapping[str, OperatorPlan]) -> PrecisionPlan:
        """The start with operators changed."""
        return replace(self.start, operators={**self.start.operators, **lines})

    @cached_property
    def logits(self) -> dict[str, Operator]:
        """The softmax that makes an output, by the output's name."""
        producer = self.graph.producer()
        found = {}
        for output in self.outputs:
            op = producer.get(output)
            while op is not None and op.op == "Reshape":
                op = producer.get(op.inputs[0])
            if op is not None and op.op == "Softmax" and op.inputs[0] in producer:
                found[output] = op
        return found

    @cached_property
    def reference(self) -> tuple[tuple[Array, ...], ...]:
        """Outputs in f32: per clip, per real output, [frames, values] in float64."""
        plan = replace(self.start, operators={n: OperatorPlan("f32") for n in self.start.operators})
        return tuple(made for (made,) in self._outputs([plan]))

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Outputs that are real numbers, or samples of audio."""
        return tuple(n for n in self.graph.outputs if n in self.samples or ops.is_real(self.graph, n))

    @cached_property
    def samples(self) -> dict[str, str]:
        """By outputs that are samples of 16 bits, what they are rounded from: of soft ones little would be left."""
        return {op.outputs[0]: op.inputs[0] for op in self.graph.operators if op.op == "ToPcm"}

    @cached_property
    def untaken(self) -> tuple[str, ...]:
        """Branches that no clip takes: the outputs show nothing of them, so that each counts by itself."""
        choices = [op.inputs for op in self.graph.operators if op.op == "Where" and self._is_branch(op)]
        if not choices:
            return ()
        taken, stream = set[str](), Stream(self.graph)
        for clip in self.clips:
            stream.reset()
            for feeds in clip:
                found = stream.run(feeds, [condition for condition, *_ in choices])
                taken |= {one if found[condition].all() else other for condition, one, other in choices}
        made = self.graph.producer()
        return tuple(e for _, *sides in choices for e in sides if e not in taken and e in made)

    def _is_branch(self, op: Operator) -> bool:
        """Does one value, computed from data, choose between two whole tensors of real numbers?"""
        condition, *sides = op.inputs
        one = self.graph.types[condition].size == 1 and condition in self.graph.producer()
        return one and self.graph.times[op.name] == 1 and all(ops.is_real(self.graph, e) for e in sides)

    def _outputs(self, plans: Sequence[PrecisionPlan]) -> Iterator[list[tuple[Array, ...]]]:
        """Of each clip for each plan: outputs, and what softmaxes that make one read, [frames, values] in float64."""
        together = self._together(plans)
        for clip in self.clips:
            together.reset()
            made: list[list[list[Array]]] = [[] for _ in plans]
            for feeds in clip:
                together.run(feeds)
                for frames, session in zip(made, together.sessions, strict=True):
                    frames.append(self._heard(session))
            yield [
                tuple(np.stack([np.ravel(a) for a in each]).astype(float) for each in zip(*frames, strict=True))
                for frames in made
            ]

    def _together(self, plans: Sequence[PrecisionPlan]) -> SideBySide:
        """Programs of plans beside that of the lines which most of them have."""
        usual = replace(plans[0], operators=_usual([p.operators for p in plans]))
        lowered = {id(p): lower(self.graph, p, self.target) for p in plans}
        first = next((lowered[id(p)] for p in plans if p.operators == usual.operators), None)
        return SideBySide(first or lower(self.graph, usual, self.target), [lowered[id(p)] for p in plans])

    def _heard(self, session: ProgramSession) -> list[Array]:
        """Outputs of the last frame, samples before they are rounded, what softmaxes read, and branches not taken."""
        watched = [session.program.holds[e] for e in (*(op.inputs[0] for op in self.logits.values()), *self.untaken)]
        made = session.results(self.outputs)
        for i, name in enumerate(self.outputs):
            if name in self.samples:
                made[i] = session.tap(self.samples[name])
        return made + [session.tap(edge) for edge in watched]

    def loss(self, plan: PrecisionPlan) -> float:
        """The loss of a plan: that of its worst output at the worst level, infinite where that is not finite."""
        return self.losses([plan])[0]

    def losses(self, plans: Sequence[PrecisionPlan]) -> list[float]:
        """The losses of plans, which is faster the more lines they have in common."""
        return [max(x * (LEVEL_WEIGHT if at else 1.0) for at, x in found.items()) for found in self._at_levels(plans)]

    def at_levels(self, plan: PrecisionPlan) -> dict[float, float]:
        """The loss of the worst output by how much louder than recorded clips are played, in dB."""
        return self._at_levels([plan])[0]

    def _at_levels(self, plans: Sequence[PrecisionPlan]) -> list[dict[float, float]]:
        names = (*self.outputs, *self.logits, *self.untaken)
        levels = self.levels_db or (0.0,) * len(self.clips)
        noise = [{level: _Noise(len(names)) for level in levels} for _ in plans]
        for level, wanted, made in zip(levels, self.reference, self._outputs(plans), strict=True):
            for found, one in zip(noise, made, strict=True):
                found[level].add(self._expected(wanted, one), one)
        return [{level: n.loss(names) for level, n in found.items()} for found in noise]

    def _expected(self, wanted: Sequence[Array], made: Sequence[Array]) -> list[Array]:
        """What outputs are compared with: of a softmax, what it should have made of the logits that it was given."""
        expected = list(wanted)
        for k, (output, op) in enumerate(self.logits.items(), len(self.outputs)):
            expected[self.outputs.index(output)] = self._probabilities(op, made[k])
        return expected

    def _probabilities(self, op: Operator, logits: Array) -> Array:
        """What a softmax makes of [frames, values] of logits."""
        shaped = logits.reshape(-1, *self.graph.shape(op.inputs[0]))
        made = ops.spec(op).reference(replace(op, attributes={"axis": op.attributes["axis"] + 1}), [shaped])[0]
        return made.reshape(len(logits), -1)

    @cached_property
    def digest(self) -> str:
        """Of everything that decides losses but the plan: this tool, the graph, the frames, the ranges."""
        found = hashlib.sha256(f"{VERSION} {tool_digest()} {self.target}\n{self.graph}".encode())
        graph = self.graph
        constants = [*graph.constants.items(), *((f"{n}:steps", a) for n, a in graph.steps.items())]
        for name, array in [*sorted(constants), *((s.input, s.initial) for s in graph.states)]:
            found.update(name.encode() + np.ascontiguousarray(array).tobytes())
        for clip in self.clips:
            for frame in clip:
                for name, value in sorted(frame.items()):
                    found.update(name.encode() + np.ascontiguousarray(value).tobytes())
            found.update(b"end of clip")
        found.update(repr(self.levels_db).encode())
        found.update(to_toml(self.start).encode())
        return found.hexdigest()


@cache
def tool_digest() -> str:
    """Of every source that decides what a program computes: the package's own and the firmware's."""
    found = hashlib.sha256()
    for folder, pattern in ((PACKAGE, "*.py"), (firmware(), "*.[ch]")):
        for path in sorted(folder.rglob(pattern)):
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


class Scores:
    """Losses that were measured before, by content: kept in a file per trial, whoever asks."""

    def __init__(self, trial: Trial, folder: Path | None = None) -> None:
        self.path = (folder or cache_folder() / "scores") / f"{trial.digest[:32]}.json"
        self._known: dict[str, float] = {}
        if kept(self.path):
            self._known = {k: inf if v is None else v for k, v in json.loads(self.path.read_text()).items()}

    @staticmethod
    def key(lines: Mapping[str, OperatorPlan]) -> str:
        """What a loss is kept under: the lines in which a plan differs from the trial's start."""
        changed = PrecisionPlan("", "", {n: replace(lines[n], reason="") for n in sorted(lines)})
        return hashlib.sha256(to_toml(changed).encode()).hexdigest()[:32]

    def get(self, lines: Mapping[str, OperatorPlan]) -> float | None:
        """The loss of a plan that was measured, or None."""
        return self._known.get(self.key(lines))

    def add(self, measured: Sequence[tuple[Mapping[str, OperatorPlan], float]]) -> None:
        """Keep losses."""
        self._known |= {self.key(lines): loss for lines, loss in measured}
        write(self.path, json.dumps({k: None if v == inf else v for k, v in sorted(self._known.items())}, indent=0))
