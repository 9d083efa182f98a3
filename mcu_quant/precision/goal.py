"""What a plan has to keep and what it is to make small: the user's budgets, in the user's units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, floor, inf, log10
from types import MappingProxyType

from mcu_quant.precision.problem import CYCLES, FLASH, LOSS, RAM, WIDE
from mcu_quant.precision.trial import decibels, loss_of

#: What may be minimised. "balanced": flash, latency and RAM, each as a share of what everything in f32 takes.
MINIMISE = ("flash", "latency", "energy", "loss", "balanced")

#: A core that computes takes the same power whatever it computes, as far as is published: on one board the energy of a
#: frame is proportional to its time (`mcu_quant/energy.py`).
_RESOURCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "flash": (FLASH,),
        "latency": (CYCLES,),
        "energy": (CYCLES,),
        "loss": (LOSS,),
        "balanced": (FLASH, CYCLES, RAM),
    }
)

#: What is not minimised still counts this share, so that of two equal plans the smaller and faster one is taken.
TIE_BREAK = 1e-3


@dataclass(frozen=True)
class Goal:
    """Limits on the linked firmware and on the model's outputs, and what is minimised within them.

    `ms` limits the estimated time of one frame, `ram_bytes` arena, state, ports and stack together. `min_snr_db` is
    the signal-to-noise ratio of the worst output against f32. Without `minimise`, a plan with a quality to keep is
    balanced between flash, latency and RAM, and one without loses as little as possible.
    """

    flash_bytes: int | None = None
    ram_bytes: int | None = None
    ms: float | None = None
    min_snr_db: float | None = None
    minimise: str | None = None
    #: a metric of precision/metrics.py and how much of it may be lost, measured on whole recordings
    max_loss: tuple[str, float] | None = None
    #: share of the multiplications that are of 8 bits with 8 bits, at least
    narrow: float | None = None

    @property
    def objective(self) -> str:
        """What is minimised."""
        return self.minimise or ("loss" if self.min_snr_db is None and self.max_loss is None else "balanced")

    def limits(self, clock_hz: int) -> dict[str, float]:
        """Limits by resource of the problem."""
        found = {
            FLASH: self.flash_bytes,
            RAM: self.ram_bytes,
            CYCLES: None if self.ms is None else self.ms * clock_hz / 1e3,
            LOSS: None if self.min_snr_db is None else loss_of(self.min_snr_db),
            WIDE: None if self.narrow is None else 1.0 - self.narrow,
        }
        return {name: float(limit) for name, limit in found.items() if limit is not None}

    def weights(self, of_f32: Mapping[str, float]) -> dict[str, float]:
        """Weights of the problem's objective; amounts count as shares of what everything in f32 takes."""
        chosen = _RESOURCES[self.objective]
        shares = {name: 1.0 / of_f32[name] for name in (FLASH, CYCLES, RAM) if of_f32.get(name)}
        weights = {name: share * (1.0 if name in chosen else TIE_BREAK) for name, share in shares.items()}
        if LOSS in chosen:  # a loss is a share already, and small: 60 dB must still outweigh all ties
            return {LOSS: 1.0, **{n: w * 1e-6 for n, w in weights.items()}}
        return weights

    def within(self, flash_bytes: int, ram_bytes: int, ms: float | None) -> Goal:
        """The same goal with limits where it has none: what a board has."""
        return replace(
            self,
            flash_bytes=flash_bytes if self.flash_bytes is None else self.flash_bytes,
            ram_bytes=ram_bytes if self.ram_bytes is None else self.ram_bytes,
            ms=ms if self.ms is None else self.ms,
        )

    def __str__(self) -> str:
        """In words, for plans and messages."""
        limits = [words(n, v) for n, v in (("flash", self.flash_bytes), ("RAM", self.ram_bytes)) if v is not None]
        limits = [f"{w} at most" for w in limits]
        limits += [] if self.ms is None else [f"{self.ms:g} ms a frame at most"]
        limits += [] if self.min_snr_db is None else [f"{self.min_snr_db:g} dB at least"]
        limits += [] if self.narrow is None else [f"{100 * self.narrow:g} % of products in 8 x 8 bits at least"]
        limits += [] if self.max_loss is None else [f"{self.max_loss[0]} lost {self.max_loss[1]:g} at most"]
        aim = "flash, latency and RAM balanced" if self.objective == "balanced" else f"least {self.objective}"
        return ", ".join([aim, *limits])


def words(name: str, size: float, digits: int = 0) -> str:
    """Bytes for people."""
    return f"{name} {size / 1024:.{digits + 1}f} KiB" if size >= 1024 else f"{name} {size:.0f} B"


def in_words(resource: str, amount: float, clock_hz: int, digits: int = 0) -> str:
    """An amount of a resource of the problem, for people, with so many more digits than they mostly want."""
    if amount == inf:
        return {LOSS: "no quality", CYCLES: "no time"}.get(resource, f"no {resource}") + " is enough"
    if resource == WIDE:
        return f"{100 * (1 - amount):.{digits}f} % of products in 8 x 8 bits"
    if resource == LOSS:
        return f"{decibels(amount):.{digits + 1}f} dB"
    if resource == CYCLES:
        return f"{amount / clock_hz * 1e3:.{digits + 3}g} ms a frame"
    return words({RAM: "RAM", FLASH: "flash"}.get(resource, resource), amount, digits)


def missing(resource: str, amount: float, limit: float, clock_hz: int) -> str:
    """An amount beside the limit that it breaks, with as many digits as it takes to tell them apart."""
    pairs = [[in_words(resource, a, clock_hz, digits) for a in (amount, limit)] for digits in range(6)]
    made, asked = next(([a, b] for a, b in pairs if a != b), pairs[-1])
    return f"{made} where {asked} {'is the least' if resource in (LOSS, WIDE) else 'is the most'}"


def eased(goal: Goal, resource: str, amount: float, clock_hz: int) -> tuple[Goal, str]:
    """The goal with a limit that leaves room for an amount, in a round number, and the option that asks for it.

    Where the amount is no limit (all products in 16 bits, more noise than signal), the option is to be left out.
    """
    if resource in (FLASH, RAM):
        kib = ceil(amount / 102.4) / 10
        if resource == FLASH:
            return replace(goal, flash_bytes=int(kib * 1024)), f"--max-flash {kib:g}K"
        return replace(goal, ram_bytes=int(kib * 1024)), f"--max-ram {kib:g}K"
    if resource == CYCLES:
        ms = rounded_up(amount / clock_hz * 1e3)
        return replace(goal, ms=ms), f"--max-latency {ms:g}ms"
    if resource == LOSS:
        db = floor(10.0 * min(decibels(amount), 200.0)) / 10.0
        if db > 0:
            return replace(goal, min_snr_db=db), f"--min-snr {db:g}"
        return replace(goal, min_snr_db=None), "without --min-snr"
    percent = floor(100.0 * (1.0 - amount) + 1e-6)
    if percent > 0:
        return replace(goal, narrow=percent / 100.0), f"--min-8x8 {percent}"
    return replace(goal, narrow=None), "without --min-8x8"


def rounded_up(value: float) -> float:
    """The next number with three digits."""
    unit = 10.0 ** (floor(log10(value)) - 2)
    return float(f"{ceil(value / unit * (1 - 1e-9)) * unit:.6g}")
