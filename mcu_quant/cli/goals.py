"""Options that say what a plan is for: budgets with units, and how to plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean, raise_errors

if TYPE_CHECKING:
    from mcu_quant.api.planning import Planning
    from mcu_quant.precision.goal import Goal

F = TypeVar("F", bound=Callable[..., Any])

MINIMISE = ("flash", "latency", "energy", "loss", "balanced")

_BYTES: Mapping[str, int] = {
    "": 1,
    "b": 1,
    "k": 1024,
    "kb": 1024,
    "kib": 1024,
    "m": 1 << 20,
    "mb": 1 << 20,
    "mib": 1 << 20,
}
_MS: Mapping[str, float] = {"": 1.0, "us": 1e-3, "ms": 1.0, "s": 1e3}
_DB: Mapping[str, float] = {"": 1.0, "db": 1.0}

_OPTIONS = (
    click.option(
        "--max-flash", metavar="SIZE", help="Flash of the linked firmware at most: 512K, 2M.  [default: the board's]"
    ),
    click.option(
        "--max-ram", metavar="SIZE", help="Arena, state, ports and stack at most: 128K.  [default: the board's]"
    ),
    click.option(
        "--max-latency", metavar="TIME", help="Estimated time of a frame at most: 10ms.  [default: until the next]"
    ),
    click.option("--min-snr", metavar="DB", help="Quality of the worst output against f32 at least.  [default: 30]"),
    click.option(
        "--max-loss",
        metavar="METRIC=LOSS",
        help="Loss on whole recordings at most: pesq=0.05 and si-sdr=0.1 (of audio), change=0.05 (of any output).",
    ),
    click.option(
        "--min-8x8",
        "narrow",
        metavar="PERCENT",
        help="Share of multiplications in 8 x 8 bits at least: what vector units and accelerators are fastest at.",
    ),
    click.option(
        "--minimize",
        "minimise",
        metavar="WHAT",
        help=f"What is made small within that: {', '.join(MINIMISE)}.  [default: balanced]",
    ),
)
_HOW = (
    click.option("--sensitivity", metavar="NAME", help="Method that scores formats (`mcu-quant strategies`)."),
    click.option("--solver", metavar="NAME", help="Method that chooses (`mcu-quant strategies`)."),
    click.option(
        "--step",
        "steps",
        multiple=True,
        metavar="NAME[=OPTION]",
        help="Method that makes plans lose less (`mcu-quant strategies`): clip=mse, pow2, cross-layer; NAME=off: not.",
    ),
    click.option(
        "--jobs", type=click.IntRange(1), metavar="N", help="Processes at once.  [default: one per processor]"
    ),
    click.option("--cluster", metavar="ADDRESS", help="Dask scheduler whose workers measure: tcp://host:8786."),
)


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


goal: Callable[[F], F] = _together(*_OPTIONS, *_HOW)
how: Callable[[F], F] = _together(*_HOW)


def planning(
    max_flash: str | None = None,
    max_ram: str | None = None,
    max_latency: str | None = None,
    min_snr: str | None = None,
    minimise: str | None = None,
    max_loss: str | None = None,
    narrow: str | None = None,
    sensitivity: str | None = None,
    solver: str | None = None,
    steps: tuple[str, ...] = (),
    jobs: int | None = None,
    cluster: str | None = None,
) -> Planning:
    """What the options ask the planner for.

    Raises:
        DiagnosticError: MQ900 for values that are no sizes, times or decibels, all at once.
    """
    from mcu_quant.api.planning import Planning

    asked = _goal(max_flash, max_ram, max_latency, min_snr, minimise, max_loss, narrow)
    return Planning(asked, sensitivity, solver, steps, jobs, cluster)


def _goal(
    max_flash: str | None,
    max_ram: str | None,
    max_latency: str | None,
    min_snr: str | None,
    minimise: str | None,
    max_loss: str | None = None,
    narrow: str | None = None,
) -> Goal | None:
    from mcu_quant.precision.goal import Goal

    if not any((max_flash, max_ram, max_latency, min_snr, minimise, max_loss, narrow)):
        return None
    problems: list[Diagnostic] = []

    def number(option: str, text: str | None, units: Mapping[str, float], example: str) -> float | None:
        found = _number(text, units) if text else None
        if text and found is None:
            problems.append(Diagnostic("MQ900", f"{option} {text}", "is not understood", help=f"write {example}"))
        return found

    flash = number("--max-flash", max_flash, _BYTES, "bytes, or 512K, 2M")
    ram = number("--max-ram", max_ram, _BYTES, "bytes, or 512K, 2M")
    ms = number("--max-latency", max_latency, _MS, "10ms, 800us or 0.5s")
    snr = number("--min-snr", min_snr, _DB, "decibels: 30")
    if minimise and minimise not in MINIMISE:
        problems.append(
            Diagnostic("MQ900", f"--minimize {minimise}", "is unknown", help=did_you_mean(minimise, MINIMISE))
        )
    percent = number("--min-8x8", narrow, {"": 1.0}, "percent: 75")
    loss = _loss(max_loss, problems) if max_loss else None
    raise_errors(problems)
    share = None if percent is None else min(percent, 100.0) / 100.0
    flash_bytes, ram_bytes = (None if size is None else int(size) for size in (flash, ram))
    return Goal(flash_bytes, ram_bytes, ms, snr, minimise, loss, share)


def _loss(text: str, problems: list[Diagnostic]) -> tuple[str, float] | None:
    """A metric and how much of it may be lost."""
    from mcu_quant.precision.metrics import metric

    name, _, amount = text.partition("=")
    bound = _number(amount, {"": 1.0, "db": 1.0})
    if bound is None:
        problems.append(Diagnostic("MQ900", f"--max-loss {text}", "is not understood", help="write pesq=0.05"))
        return None
    try:
        return metric(name.strip()).name, bound
    except DiagnosticError as error:
        problems += error.diagnostics
        return None


def _number(text: str, units: Mapping[str, float]) -> float | None:
    """A positive number with a unit, in the unit whose factor is 1."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in units:
        return None
    return float(match[1]) * units[match[2].lower()]


def conflicts(preset: str | None, plan: object, wanted: Planning) -> None:
    """A goal asks the planner, a preset or plan leaves nothing to ask.

    Raises:
        DiagnosticError: MQ900.
    """
    if wanted.goal is None or not (preset or plan):
        return
    option = "--preset" if preset else "--plan"
    message = "says which formats to take; a goal (--min-snr, --max-flash, ...) asks the planner to choose them"
    raise DiagnosticError(Diagnostic("MQ900", option, message, help="leave one of them out; fix operators with --set"))
