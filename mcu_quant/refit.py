"""Measured calls to factors on the tables of a core: one per kernel, one for kernels that were not measured, and the
cycles that reading a byte of constants takes.

    cycles of a call = factor of its kernel * cycles of the tables + bytes of constants read * cycles per byte

The most probable factors, where measurements are off by a few percent, a kernel's factor differs from the core's as
much as its coefficients were off when they were made, and the core's from 1 as much as its range in the tables says.
So a kernel that was measured once moves little of the rest, and one that was measured often stands for itself. Calls
far off (an interrupt during all frames) count for less. Ranges come from calls that were held out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import t as student

from mcu_quant.calibration import Factor, Fitted, MeasuredCall, Percent
from mcu_quant.ir import Array
from mcu_quant.ops import Counts
from mcu_quant.timing import table

#: A measurement is off by so much of itself: alignment after relinking alone has been seen to move a network by 2.3 %.
NOISE = 0.02
#: And by so many cycles: reading the counter, calling and returning.
NOISE_CYCLES = 40.0
#: Beyond so many standard deviations a call counts for less.
ROBUST = 2.0
#: Calls of a kernel are held out in so many parts.
FOLDS = 8
#: As many held-out calls as what is known of the coefficients beforehand counts for.
PRIOR_CALLS = 3
#: Standard deviations on either side of the middle that hold nine of ten.
NINE_OF_TEN = 1.645


@dataclass(frozen=True)
class _Priors:
    """What is expected before anything was measured: standard deviations, and the cycles of reading a byte."""

    core: float
    kernels: Mapping[str, float]
    read: float


@dataclass(frozen=True)
class _Solution:
    factor: float
    read: float
    kernels: Mapping[str, float]

    def of(self, key: str, base: float, constant_bytes: int) -> float:
        return self.kernels.get(key, self.factor) * base + self.read * constant_bytes


def base_cycles(call: MeasuredCall, core: str) -> float:
    """Cycles of a call by the tables, without reading its constants.

    Raises:
        KeyError: if the tables have no such kernel.
    """
    entry = table().cores[core]
    each = table().kernels[call.kernel, call.isa, entry.coefficients_of].cycles
    return entry.factor * (each.of(Counts(*call.work)) + (call.times - 1) * each.call)


def refit(calls: Sequence[MeasuredCall], core: str, read_prior: float) -> Fitted:
    """Factors and their ranges; `read_prior` is what reading a byte is taken to cost beforehand.

    Raises:
        ValueError: if the tables know none of the kernels.
    """
    entry = table().cores[core]
    known = [c for c in calls if (c.kernel, c.isa, entry.coefficients_of) in table().kernels]
    if not known:
        raise ValueError("the tables have none of the measured kernels")
    base = np.array([base_cycles(c, core) for c in known])
    low, high = entry.error_pct
    priors = _Priors((high - low) / 200.0 / NINE_OF_TEN, dict(_kernel_priors(known, core)), read_prior)
    everything = _solve(known, base, priors)
    held = _held_out(known, base, priors)
    unseen = list(_left_out(known, base, priors))
    counts = {key: len({c.call for c in known if c.key == key}) for key in everything.kernels}
    kernels = {
        key: Factor(round(f, 4), _range(held.get(key, ()), priors.kernels[key]), counts[key])
        for key, f in sorted(everything.kernels.items())
    }
    predicted = sum(p for errors in held.values() for p, _ in errors)
    measured = sum(y for errors in held.values() for _, y in errors)
    return Fitted(
        factor=round(everything.factor, 4),
        error_pct=_unseen_range(unseen, entry.error_pct),
        read_cycles_per_byte=round(everything.read, 4),
        kernels=kernels,
        held_out_pct=round(100.0 * (measured / predicted - 1.0), 1),
    )


def _kernel_priors(calls: Sequence[MeasuredCall], core: str) -> Iterator[tuple[str, float]]:
    """How far a kernel's factor may be from the core's: what its coefficients were off on the calls they come from."""
    of = table().cores[core].coefficients_of
    for call in calls:
        low, high = table().kernels[call.kernel, call.isa, of].error_pct
        yield call.key, float(np.clip((high - low) / 200.0 / NINE_OF_TEN, 0.05, 0.4))


def _solve(calls: Sequence[MeasuredCall], base: Array, priors: _Priors) -> _Solution:
    """Least squares of measurements and expectations, weighted by what each may be off; no factor is negative."""
    keys = sorted({c.key for c in calls})
    columns = {key: i for i, key in enumerate(keys, 2)}
    cycles = np.array([c.cycles for c in calls], float)
    spread = np.array([c.spread_cycles for c in calls], float)
    sigma = np.sqrt((NOISE * cycles) ** 2 + NOISE_CYCLES**2 + (spread / 4.0) ** 2)
    a = np.zeros((len(calls), len(keys) + 2))
    a[:, 1] = [c.constant_bytes for c in calls]
    a[np.arange(len(calls)), [columns[c.key] for c in calls]] = base
    expected, wanted = _expectations(keys, priors)
    weights = 1.0 / sigma
    found = np.zeros(len(keys) + 2)
    for _ in range(4):
        found, _ = nnls(np.vstack([a * weights[:, None], expected]), np.concatenate([cycles * weights, wanted]))
        off = np.abs(cycles - a @ found) / sigma
        weights = np.sqrt(np.minimum(1.0, ROBUST / np.maximum(off, 1e-9))) / sigma
    return _Solution(float(found[0]), float(found[1]), {key: float(found[i]) for key, i in columns.items()})


def _expectations(keys: Sequence[str], priors: _Priors) -> tuple[Array, Array]:
    """Rows for what is expected: the core near 1, each kernel near the core, reading near what is known of it."""
    rows, wanted = np.zeros((len(keys) + 2, len(keys) + 2)), np.zeros(len(keys) + 2)
    rows[0, 0], wanted[0] = 1.0 / priors.core, 1.0 / priors.core
    read = 0.5 * priors.read + 0.05
    rows[1, 1], wanted[1] = 1.0 / read, priors.read / read
    for i, key in enumerate(keys, 2):
        rows[i, i], rows[i, 0] = 1.0 / priors.kernels[key], -1.0 / priors.kernels[key]
    return rows, wanted


def _held_out(calls: Sequence[MeasuredCall], base: Array, priors: _Priors) -> dict[str, list[tuple[float, float]]]:
    """Per kernel, each call predicted from the others, and what it took. Repeated measurements leave together.

    Calls of one kernel leave in different parts, and kernels begin with different ones.
    """
    part: dict[str, int] = {}
    rank: dict[str, int] = {}
    for call in calls:
        if call.call not in part:
            first = list(rank).index(call.key) if call.key in rank else len(rank)
            rank[call.key] = rank.get(call.key, -1) + 1
            part[call.call] = (first + rank[call.key]) % FOLDS
    found: dict[str, list[tuple[float, float]]] = {}
    for fold in sorted(set(part.values())):
        out = [i for i, c in enumerate(calls) if part[c.call] == fold]
        for i, predicted in _predicted(calls, base, priors, out):
            found.setdefault(calls[i].key, []).append((predicted, float(calls[i].cycles)))
    return found


def _left_out(calls: Sequence[MeasuredCall], base: Array, priors: _Priors) -> Iterator[Array]:
    """Per kernel, how far its calls are off when it was not measured at all."""
    keys = sorted({c.key for c in calls})
    for key in keys if len(keys) > 1 else ():
        out = [i for i, c in enumerate(calls) if c.key == key]
        yield np.array([calls[i].cycles / p - 1.0 for i, p in _predicted(calls, base, priors, out)])


def _predicted(
    calls: Sequence[MeasuredCall], base: Array, priors: _Priors, out: Collection[int]
) -> Iterator[tuple[int, float]]:
    """Calls `out`, predicted from all others."""
    rest = [i for i in range(len(calls)) if i not in set(out)]
    solution = _solve([calls[i] for i in rest], base[rest], priors) if rest else _Solution(1.0, priors.read, {})
    for i in out:
        yield i, solution.of(calls[i].key, float(base[i]), calls[i].constant_bytes)


def _range(held: Sequence[tuple[float, float]], prior: float) -> Percent:
    """Nine of ten calls of a kernel: from the larger half of those held out, and from what was known beforehand."""
    predicted = np.array([p for p, _ in held])
    large = [y / p - 1.0 for p, y in held if p >= np.median(predicted)]
    squares = sum(e * e for e in large) + PRIOR_CALLS * prior**2
    deviation = np.sqrt(squares / (len(large) + PRIOR_CALLS) + NOISE**2)
    half = 100.0 * student.ppf(0.95, len(large) + PRIOR_CALLS) * deviation
    return -round(float(half), 1), round(float(half), 1)


def _unseen_range(errors: Sequence[Array], before: Percent) -> Percent:
    """Nine of ten calls of kernels that were not measured; what the tables say where fewer than four kernels were."""
    if len(errors) < 4:
        return before
    middle = float(np.mean([e.mean() for e in errors]))
    squares = sum(float(np.mean((e - middle) ** 2)) for e in errors)
    deviation = (squares / (len(errors) - 1)) ** 0.5
    half = float(student.ppf(0.95, len(errors) - 1)) * deviation * (1.0 + 1.0 / len(errors)) ** 0.5
    return round(max(-95.0, 100.0 * min(middle - half, -NOISE)), 1), round(100.0 * max(middle + half, NOISE), 1)
