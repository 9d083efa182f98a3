"""Ranges of 8-bit edges by a rule on their histograms (`precision/range_rules.py`), instead of all that was seen.

Only what is stored or read in 8 bits with a scale from calibration is cut off: 16 bits have room for what is louder.
"""

from __future__ import annotations

from dataclasses import replace

from mcu_quant.precision import histograms
from mcu_quant.precision.plan import PrecisionPlan, Range
from mcu_quant.precision.range_rules import RULES
from mcu_quant.precision.steps import Given, Step, graph_of
from mcu_quant.precision.strategies import About
from mcu_quant.precision.trial import Trial


def apply(trial: Trial, given: Given) -> PrecisionPlan:
    """The start with what the rule makes of each edge, where that is less than what was seen."""
    assert given.clips is not None
    word, _, number = given.option.partition(":")
    rule = RULES[word]
    given.progress(f"choosing ranges by {word}")
    seen = histograms.collect(graph_of(trial), given.clips.with_louder, trial.start.ranges)
    chosen = {name: rule(one, float(number) if number else None) for name, one in seen.items()}
    less = {name: {"s8": r} for name, r in chosen.items() if r != Range(seen[name].low, seen[name].high)}
    return replace(trial.start, clipped={**trial.start.clipped, **less})


STRATEGY = Step(
    About(
        "clip",
        "ranges of 8-bit edges by a rule: mse, percentile[:99.99], entropy, std3 or minmax",
        paper="Migacz 2017 (entropy); Rusci et al. 2022, TinyDenoiser, arXiv:2210.07692 (std3)",
        needs=("clips",),
        adapted="histograms of 2048 bins per edge; edges in 16 bits keep headroom instead",
    ),
    apply,
    order=1,
    options=("mse", "minmax", "percentile", "entropy", "std3"),
)
