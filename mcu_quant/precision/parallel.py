"""Many plans tried at once, in processes of their own, with the losses that are known already left out."""

from __future__ import annotations

import copyreg
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mcu_quant.precision.plan import OperatorPlan
from mcu_quant.precision.trial import Scores, Trial

Progress = Callable[[str], None]
"""Called with what is being done now."""

Lines = Mapping[str, OperatorPlan]

#: Below so many seconds of work, starting processes takes longer than it saves.
ALONE_SECONDS = 4.0

#: Portions of work per process: enough that progress shows and no process waits long for the last one.
PORTIONS = 8

#: Plans that are tried side by side: what they have in common is computed once, and all are in memory.
TOGETHER = 24


def quiet(_: str) -> None:
    """Progress that nobody watches."""


def _read_only(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(content)


def _proxy(
    proxy: MappingProxyType[Any, Any],
) -> tuple[Callable[[dict[Any, Any]], MappingProxyType[Any, Any]], tuple[dict[Any, Any]]]:
    return _read_only, (dict(proxy),)


#: Graphs and plans hold read-only mappings, which the standard library does not send to other processes by itself.
copyreg.pickle(MappingProxyType, _proxy)


def losses(
    trial: Trial, plans: Sequence[Lines], jobs: int | None = None, progress: Progress = quiet, what: str = "plans"
) -> list[float]:
    """The loss of the trial's start with each of these lines laid over it.

    `jobs` processes at once; None: as many as there are processors. Within joblib's `parallel_config` its backend is
    used, so that a cluster can do the work.
    """
    scores = Scores(trial)
    found = {Scores.key(lines): scores.get(lines) for lines in plans}
    missing = list({Scores.key(lines): lines for lines in plans if found[Scores.key(lines)] is None}.values())
    done, began = 0, time.monotonic()
    for made in _portions(trial, missing, jobs or os.cpu_count() or 1):
        scores.add(made)
        found |= {Scores.key(lines): loss for lines, loss in made}
        done += len(made)
        left = (time.monotonic() - began) / done * (len(missing) - done)
        progress(f"measuring {what}: {done} of {len(missing)}, about {left:.0f} s left")
    return [loss for loss in (found[Scores.key(lines)] for lines in plans) if loss is not None]


Measured = list[tuple[Lines, float]]


def _portions(trial: Trial, plans: Sequence[Lines], jobs: int) -> Iterator[Measured]:
    """Losses in portions, in any order: some here, to see how long they take, and the rest in processes if it pays."""
    began, done, size = time.monotonic(), 0, 1
    while done < len(plans):
        yield _measured(trial, plans[done : done + size])
        done, size = done + size, min(2 * size, TOGETHER)
        left = len(plans) - done
        if jobs > 1 and left > 1 and (time.monotonic() - began) / done * left > ALONE_SECONDS:
            yield from _spread(trial, plans[done:], jobs)
            return


def _spread(trial: Trial, plans: Sequence[Lines], jobs: int) -> Iterator[Measured]:
    from joblib import Parallel, delayed

    size = min(TOGETHER, -(-len(plans) // (jobs * PORTIONS)))
    portions = [plans[i : i + size] for i in range(0, len(plans), size)]
    run = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="all")
    yield from run(delayed(_measured)(trial, portion) for portion in portions)


def _measured(trial: Trial, plans: Sequence[Lines]) -> Measured:
    return list(zip(plans, trial.losses([trial.with_lines(lines) for lines in plans]), strict=True))
