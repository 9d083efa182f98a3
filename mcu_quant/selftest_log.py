"""The log of a self-test on a board, read: docs/self-test-log.md is the contract.

Other lines may stand between its records, and anything before the mark in a line. A run counts only if it is whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mcu_quant.diagnostics import Diagnostic, Severity

VERSION = 1
MARK = "mq: "
#: The counter of a run in an emulator: it counts no cycles of any core.
EMULATED = "emulated"
#: Hexadecimal digits of the schedule's SHA-256 that a log repeats.
SCHEDULE_DIGITS = 16
_HELP = "docs/self-test-log.md says what a self-test prints"
_NEEDED: Mapping[str, Sequence[str]] = {
    "build": ("model", "board", "isa", "schedule", "steps", "frames"),
    "clock": ("hz", "counter"),
    "end": ("result", "lines"),
}
_NUMBERS = frozenset(
    ("version", "steps", "frames", "hz", "overhead", "cycles", "min", "max", "bytes", "differ", "of", "lines")
)
_NUMBERS_BY_INDEX = ("step", "output")


@dataclass(frozen=True)
class Measured:
    """Cycles of one step or of whole frames: the mean, and the least and the largest where they were printed."""

    cycles: int
    least: int | None = None
    largest: int | None = None


@dataclass(frozen=True)
class Output:
    """Values of one output that differ from what was expected, of how many."""

    differ: int
    of: int


@dataclass(frozen=True)
class Run:
    """One whole run of a self-test. `steps` by index of the call in the schedule; `day` as in ISO 8601, or empty."""

    model: str
    board: str
    isa: str
    schedule: str
    frames: int
    clock_hz: int
    counter: str
    passed: bool
    steps: Mapping[int, Measured]
    outputs: Mapping[int, Output]
    frame: Measured | None = None
    stack_bytes: int | None = None
    overhead_cycles: int = 0
    day: str = ""
    icache: str = ""
    dcache: str = ""
    #: CRC-32 of the constants on the board and as generated, as printed; "" where it was not
    weights_crc32: str = ""
    expected_crc32: str = ""


@dataclass(frozen=True)
class _Record:
    line: int
    word: str
    index: int
    values: Mapping[str, str]

    def number(self, key: str) -> int:
        return int(self.values[key], 0)


def read(text: str, where: str) -> tuple[list[Run], list[Diagnostic]]:
    """All whole runs of a log, and what is wrong with it: an error if there is none, warnings for others."""
    records, problems = _records(text, where)
    runs: list[Run] = []
    for group in _groups(records):
        found = list(_wrong(group, where))
        problems += found
        if not found:
            runs.append(_run(group))
    if not runs:
        message = "holds no whole run of a self-test"
        return [], [*problems, Diagnostic("MQ506", where, message, help=_HELP)]
    return runs, problems


def _records(text: str, where: str) -> tuple[list[_Record], list[Diagnostic]]:
    found, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if MARK not in line:
            continue
        words = line.partition(MARK)[2].split()
        record = _record(number, words)
        if record is None:
            message = f"is no record: {line.strip()[:80]}"
            problems.append(_warning(where, number, message))
        else:
            found.append(record)
    return found, problems


def _record(line: int, words: Sequence[str]) -> _Record | None:
    """A record, or None where the words are not of that form, as in a line that was cut."""
    if not words:
        return None
    indexed = words[0] in _NUMBERS_BY_INDEX
    rest = words[2:] if indexed else words[1:]
    pairs = [w.partition("=") for w in rest]
    values = {key: value for key, _, value in pairs}
    whole = all(key and equals and value for key, equals, value in pairs)
    numbers = [v for k, v in values.items() if k in _NUMBERS] + (list(words[1:2]) or [""] if indexed else [])
    if not whole or not all(re.fullmatch(r"\d+|0x[0-9a-fA-F]+", n) for n in numbers):
        return None
    return _Record(line, words[0], int(words[1], 0) if indexed else 0, values)


def _groups(records: Sequence[_Record]) -> Iterator[list[_Record]]:
    """Records of one run each, from `log` to before the next `log`; what stands before the first is nobody's."""
    starts = [i for i, r in enumerate(records) if r.word == "log"]
    for start, after in pairwise([*starts, len(records)]):
        yield list(records[start:after])


def _wrong(group: Sequence[_Record], where: str) -> Iterator[Diagnostic]:
    """What makes a run unusable."""
    line = group[0].line
    version = group[0].values.get("version")
    if version != str(VERSION):
        yield _warning(where, line, f"is a log of version {version}; this mcu-quant reads version {VERSION}")
        return
    by_word = {r.word: r for r in group}
    lacking = [
        f"{word} {key}="
        for word, keys in _NEEDED.items()
        for key in keys
        if word not in by_word or key not in by_word[word].values
    ]
    if lacking:
        yield _warning(where, line, f"is a run that is not whole: {', '.join(lacking)} is missing")
        return
    end, build = by_word["end"], by_word["build"]
    if group[-1] is not end or end.number("lines") != len(group):
        message = f"is a run of {len(group)} records that says it has {end.values['lines']}"
        yield _warning(where, line, message)
    steps = {r.index for r in group if r.word == "step"}
    if steps and steps != set(range(build.number("steps"))):
        yield _warning(where, line, f"is a run of {build.values['steps']} steps that printed {len(steps)} of them")
    cut = [r for r in group if r.word in ("step", "frame") and "cycles" not in r.values]
    yield from (_warning(where, r.line, f"is a {r.word} without cycles") for r in cut)


def _run(group: Sequence[_Record]) -> Run:
    by_word = {r.word: r for r in group}
    build, clock, end = by_word["build"], by_word["clock"], by_word["end"]
    return Run(
        model=build.values["model"],
        board=build.values["board"],
        isa=build.values["isa"],
        schedule=build.values["schedule"],
        frames=build.number("frames"),
        clock_hz=clock.number("hz"),
        counter=clock.values["counter"],
        passed=end.values["result"] == "PASS",
        steps={r.index: _measured(r) for r in group if r.word == "step"},
        outputs={r.index: Output(_number(r, "differ"), _number(r, "of")) for r in group if r.word == "output"},
        frame=_measured(by_word["frame"]) if "frame" in by_word else None,
        stack_bytes=by_word["stack"].number("bytes") if "bytes" in _values(by_word, "stack") else None,
        overhead_cycles=_number(clock, "overhead"),
        day=_values(by_word, "date").get("day", ""),
        icache=_values(by_word, "memory").get("icache", ""),
        dcache=_values(by_word, "memory").get("dcache", ""),
        weights_crc32=_values(by_word, "weights").get("crc32", ""),
        expected_crc32=_values(by_word, "weights").get("expected", ""),
    )


def _values(by_word: Mapping[str, _Record], word: str) -> Mapping[str, str]:
    return by_word[word].values if word in by_word else {}


def _number(record: _Record, key: str) -> int:
    return record.number(key) if key in record.values else 0


def _measured(r: _Record) -> Measured:
    least, largest = (r.number(k) if k in r.values else None for k in ("min", "max"))
    return Measured(r.number("cycles"), least, largest)


def _warning(where: str, line: int, message: str) -> Diagnostic:
    return Diagnostic("MQ506", f"{where}:{line}", message, help=_HELP, severity=Severity.WARNING)


def written(run: Run) -> str:
    """A run as a self-test prints it: for recorded logs of tests, and to convert what others measured."""
    lines = [
        f"log version={VERSION}",
        f"build model={run.model} schedule={run.schedule} board={run.board} isa={run.isa} "
        f"steps={len(run.steps)} frames={run.frames}",
        f"clock hz={run.clock_hz} counter={run.counter} overhead={run.overhead_cycles}",
    ]
    caches = {"icache": run.icache, "dcache": run.dcache}
    lines += [" ".join(["memory", *(f"{k}={v}" for k, v in caches.items() if v)])] if any(caches.values()) else []
    lines += [f"date day={run.day}"] if run.day else []
    lines += [f"step {i} {_text(m)}" for i, m in run.steps.items()]
    lines += [f"frame {_text(run.frame)}"] if run.frame else []
    lines += [f"stack bytes={run.stack_bytes}"] if run.stack_bytes is not None else []
    lines += [f"output {i} differ={o.differ} of={o.of}" for i, o in run.outputs.items()]
    lines += [f"end result={'PASS' if run.passed else 'FAIL'} lines={len(lines) + 1}"]
    return "".join(f"{MARK}{line}\n" for line in lines)


def _text(m: Measured) -> str:
    shown = {"cycles": m.cycles, "min": m.least, "max": m.largest}
    return " ".join(f"{k}={v}" for k, v in shown.items() if v is not None)
