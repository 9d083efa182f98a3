"""Back ends: what becomes of a model's outputs. docs/pipelines.md describes the keys.

`source` names the output; None is the only one there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, exp
from typing import Any


@dataclass(frozen=True)
class AudioOutput:
    """An output that is audio, or makes audio of the input's spectrum: blocks that are added where they overlap."""

    kind: str
    source: str | None = None
    window: str = "none"
    normalise: bool = True


@dataclass(frozen=True)
class ActivityOutput:
    """A probability that becomes a decision. Times in milliseconds."""

    source: str | None = None
    threshold: float = 0.5
    release: float = 0.35
    smoothing_ms: float = 0.0
    attack_ms: float = 0.0
    hold_ms: float = 100.0

    def smoothing(self, call_ms: float) -> float:
        """What a new value counts in the exponential mean."""
        return 1.0 - exp(-call_ms / self.smoothing_ms) if self.smoothing_ms else 1.0


@dataclass(frozen=True)
class KeywordOutput:
    """Posteriors of classes that become recognised words. Times in milliseconds."""

    labels: tuple[str, ...]
    source: str | None = None
    ignore: tuple[str, ...] = ()
    softmax: bool = False
    threshold: float = 0.7
    smoothing_ms: float = 0.0
    refractory_ms: float = 1000.0


Output = AudioOutput | ActivityOutput | KeywordOutput


def calls(ms: float, call_ms: float) -> int:
    """Calls that a time takes, at least one."""
    return max(1, ceil(ms / call_ms - 1e-9))


def parse(table: Mapping[str, Any] | None) -> Output | None:
    """The back end of a pipeline file, which has one at most."""
    if not table:
        return None
    [(name, keys)] = table.items()
    given = {{"from": "source", "as": "kind"}.get(k, k): v for k, v in keys.items()}
    if name == "audio":
        return AudioOutput(**{"normalise": given["kind"] != "samples", **given})
    if name == "activity":
        return ActivityOutput(**given)
    return KeywordOutput(**{**given, "labels": tuple(given["labels"]), "ignore": tuple(given.get("ignore", ()))})
