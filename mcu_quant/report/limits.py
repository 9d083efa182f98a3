"""`--fail-on`: limits on the figures of a report, or on how they change, for a CI server to hold.

    LIMIT = METRIC ('>' | '<') [SIGN] NUMBER [UNIT]

Without a sign the new figure itself is limited (`flash>400KiB`); with one its change (`flash>+2%`, `snr<-1dB`,
`ram>+0`). Units: B, KiB, MiB for sizes, us, ms, s for time, dB for the SNR, % for changes of any of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcu_quant.diagnostics import Diagnostic, did_you_mean
from mcu_quant.report import Report
from mcu_quant.report.metrics import METRICS, Metric

_PATTERN = re.compile(r"\s*([A-Za-z_]+)\s*([<>])\s*([+-]?)(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z%]*)\s*")
_UNITS: dict[str, dict[str, float]] = {
    "B": {"": 1, "B": 1, "KIB": 1024, "MIB": 1024**2},
    "ms": {"": 1, "US": 1e-3, "MS": 1, "S": 1e3},
    "dB": {"": 1, "DB": 1},
    "": {"": 1},
}

OPTION = "--fail-on"
HELP = "for example 'flash>+2%', 'ram>100KiB', 'snr<-1dB'"


@dataclass(frozen=True)
class Limit:
    """`bound` is in the unit of the metric, or in percent. A relative limit is one on the change."""

    text: str
    metric: Metric
    above: bool
    bound: float
    relative: bool
    percent: bool

    def breaks(self, old: float | None, new: float | None) -> bool:
        """Whether figures go beyond the limit. Missing ones do not: nothing is known of them."""
        value = new if not self.relative else None if old is None or new is None else new - old
        if value is None:
            return False
        if self.percent:
            # relative to nothing, any change is beyond any percentage
            value = 100 * value / abs(old) if old else value * float("inf") if value else 0.0
        return value > self.bound if self.above else value < self.bound


def parse(texts: Sequence[str]) -> tuple[list[Limit], list[Diagnostic]]:
    """Limits, and a diagnostic (MQ900) for each text that is none."""
    found = [_parse(text) for text in texts]
    return [f for f in found if isinstance(f, Limit)], [f for f in found if isinstance(f, Diagnostic)]


def _parse(text: str) -> Limit | Diagnostic:
    found = _PATTERN.fullmatch(text)
    if not found:
        return Diagnostic("MQ900", f"{OPTION} {text}", "is not METRIC>LIMIT or METRIC<LIMIT", help=HELP)
    name, operator, sign, number, unit = found.groups()
    if name not in METRICS:
        help_ = did_you_mean(name, METRICS) or f"there are {', '.join(METRICS)}"
        return Diagnostic("MQ900", f"{OPTION} {text}", f"there is no figure {name!r}", help=help_)
    metric = METRICS[name]
    if unit == "%" and not sign:
        help_ = f"a change has a sign: {name}{operator}+{number}%"
        return Diagnostic("MQ900", f"{OPTION} {text}", "percent of what?", help=help_)
    units = {"%": 1.0} if unit == "%" else _UNITS[metric.unit]
    if unit.upper() not in units:
        help_ = f"{name} is in {metric.unit or 'no unit'}; {HELP}"
        return Diagnostic("MQ900", f"{OPTION} {text}", f"has the unit {unit!r}", help=help_)
    bound = float(sign + number) * units[unit.upper()]
    return Limit(text, metric, operator == ">", bound, relative=bool(sign), percent=unit == "%")


def check(limits: Sequence[Limit], new: Report, old: Report | None = None) -> Iterator[Diagnostic]:
    """MQ505 for each limit that a report, or its change since an older one, goes beyond."""
    for limit in limits:
        now = limit.metric.of(new)
        before = None if old is None else limit.metric.of(old)
        if not limit.breaks(before, now) or now is None:
            continue
        message = f"{limit.metric.name} is {limit.metric.show(now)}"
        if limit.relative and before is not None:
            message += f", was {limit.metric.show(before)}: {change_in_words(limit.metric, before, now)}"
        yield Diagnostic("MQ505", f"{new['model']} on {new['board']}", message, rule=f"{OPTION} {limit.text}")


def change_in_words(metric: Metric, old: float, new: float) -> str:
    """A change, absolutely and in percent where that says something."""
    text = metric.show_change(new - old)
    return text if metric.unit == "dB" or not old else f"{text} ({100 * (new - old) / old:+.1f} %)"
