"""Steps: what makes plans lose less, one method per file.

A step fills tables of the plan that every other one starts from (`PrecisionPlan`): ranges, factors, moments, means.
The plan file carries them, so that it is built again to the byte without data. Steps are taken in their order; each
sees what those before it did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mcu_quant.data import Clips
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Graph
from mcu_quant.precision.candidates import Way
from mcu_quant.precision.layer_inputs import Inputs, collect
from mcu_quant.precision.parallel import Progress, quiet
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.precision.strategies import About, strategies, strategy
from mcu_quant.precision.trial import Trial
from mcu_quant.rebalance import rebalanced

#: The option that leaves a step out.
OFF = "off"


@dataclass(frozen=True, eq=False)
class Given:
    """What a step may ask: the ways of every operator, the clips, what weight matrices read on them, and its option.

    `chosen` are the lines of the plan, for steps that are taken when they are known (`Step.after`).
    """

    ways: Mapping[str, tuple[Way, ...]]
    inputs: Mapping[str, Inputs]
    jobs: int | None = None
    progress: Progress = quiet
    clips: Clips | None = None
    option: str = ""
    chosen: Mapping[str, OperatorPlan] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A method that improves the plan every other one starts from, where that was measured.

    With `after` it is taken on the plan that was found, and kept if the whole plan loses less with it and keeps its
    limits: what reconstructs layers in formats that are settled. `options` are the words that `--step NAME=OPTION`
    takes, the first of them where none is given; `:NUMBER` may follow a word.
    """

    about: About
    apply: Callable[[Trial, Given], PrecisionPlan]
    order: int = 0
    options: tuple[str, ...] = ()
    after: bool = False


@dataclass(frozen=True)
class Taken:
    """A step, and the option it is taken with."""

    step: Step
    option: str = ""

    def __str__(self) -> str:
        return self.step.about.name + (f"={self.option}" if self.option else "")


def chosen(asked: Sequence[str], *, defaults: bool = True) -> tuple[Taken, ...]:
    """Steps in their order: those asked for as NAME or NAME=OPTION, and the default ones that were not left out.

    Raises:
        DiagnosticError: MQ900 for names and options that are unknown.
    """
    words = {s.about.name: "" for s in strategies("steps").values() if defaults and s.about.default}
    for text in asked:
        name, _, option = text.partition("=")
        words[strategy("steps", name.strip()).about.name] = option.strip()
    taken = [_taken(name, option) for name, option in words.items() if option != OFF]
    return tuple(sorted(taken, key=lambda t: (t.step.after, t.step.order, t.step.about.name)))


def _taken(name: str, option: str) -> Taken:
    step: Step = strategy("steps", name)
    word, _, number = option.partition(":")
    if not option:
        return Taken(step, step.options[0] if step.options else "")
    if word in step.options and _positive(number or "1"):
        return Taken(step, option)
    help_ = "what follows the colon is a number above 0" if word in step.options else ""
    help_ = help_ or did_you_mean(word, (*step.options, OFF))
    raise DiagnosticError(Diagnostic("MQ900", f"--step {name}={option}", "is not an option of this step", help=help_))


def _positive(text: str) -> bool:
    try:
        return float(text) > 0.0
    except ValueError:
        return False


def improved(trial: Trial, given: Given, steps: Sequence[Taken]) -> Trial:
    """The trial with what the steps found in its start, one after the other, and their names."""
    for taken in steps:
        before = trial.start
        start = taken.step.apply(trial, replace(given, option=taken.option))
        trial = replace(trial, start=replace(start, steps=", ".join(filter(None, (before.steps, str(taken))))))
        if dict(start.rebalanced) != dict(before.rebalanced) and given.clips is not None:
            given = replace(given, inputs=collect(graph_of(trial), given.clips))
    return trial


def graph_of(trial: Trial) -> Graph:
    """The graph as the trial's start computes it."""
    return rebalanced(trial.graph, trial.start.rebalanced)


def narrow(known: tuple[Way, ...], scales: Collection[ScaleKind] = tuple(ScaleKind)) -> Way | None:
    """The way with 8-bit weights and the widest integer activations: what is done to weights shows best there."""
    integer = [w for w in known if w.line.format in ("s8", "s16") and w.line.scale in scales]
    found = [w for w in integer if w.weights in ("", "s8")]
    return max(found, key=lambda w: (w.bits, w.name), default=None)


def narrowest(known: tuple[Way, ...]) -> Way | None:
    """The way that reads and stores 8 bits with a scale from calibration: what is done to ranges shows there."""
    return next((w for w in known if (w.line.format, w.reads, w.stores) == ("s8", "s8", "s8")), None)
