"""Integer kernels on the shapes of ONNX's node tests: the C and its exact specification, to the bit.

    python -m bench.conformance_integer          # all, writes bench/conformance_integer.json
    python -m bench.conformance_integer lstm     # those whose name contains the word, and prints them

Each node test that is taken in runs again with its operators in every integer format and variant that they have, ranges
calibrated on the test's own inputs. It gets these inputs, and the same three times as large, so that results saturate.
Every call of a kernel that has a specification is compared with it. `bench.conformance` writes what is found to
docs/conformance.md.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx.backend.test.case.test_case import TestCase

from bench.conformance import array_of, cases
from mcu_quant import formats, ops
from mcu_quant.calibrate import calibrate
from mcu_quant.data import Clip, Clips, Frame
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Graph
from mcu_quant.lower import lower
from mcu_quant.onnx_backend import Prepared, Refused
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range

RECORD = Path(__file__).resolve().parent / "conformance_integer.json"
#: How far the second set of inputs reaches beyond what was calibrated.
BEYOND = 3.0


@dataclass
class Found:
    """Of each kernel with a specification: how many tests called it. `differing`: tests and calls that differ."""

    tests: Counter[str] = field(default_factory=Counter)
    differing: list[str] = field(default_factory=list)

    def add(self, test: str, kernels: Iterable[str], differing: Iterable[str]) -> None:
        """What one test called."""
        self.tests.update(kernels)
        self.differing += [f"{test}: {call}" for call in differing]


def choices(graph: Graph) -> list[OperatorPlan]:
    """Every integer variant that an operator of the graph has."""
    found: dict[OperatorPlan, None] = {}
    for op in graph.operators:
        for low in ops.spec(op).lowerings if ops.has_choice(op, graph) else ():
            if formats.get(low.format).integer:
                for scale in low.scales:
                    for x in low.inputs or (None,):
                        line = OperatorPlan(low.format, "", low.formats.weight, low.formats.output, scale, x)
                        found[line] = None
    return list(found)


def plan(graph: Graph, wanted: OperatorPlan, ranges: Mapping[str, Range]) -> PrecisionPlan:
    """Every operator as wanted where it can be, else in the same format, else in f32."""
    lines = {}
    for op in graph.operators:
        if not ops.has_choice(op, graph):
            continue
        usable = [
            low
            for low in ops.spec(op).lowerings
            if low.format == wanted.format and not (low.applies and low.applies(op, graph))
        ]
        same = any((low.formats.weight, low.formats.output) == (wanted.weights, wanted.output) for low in usable)
        lines[op.name] = wanted if same else OperatorPlan(wanted.format if usable else "f32")
    return PrecisionPlan(graph.name, "node tests", lines, ranges)


def _feeds(test: TestCase) -> Iterator[tuple[Graph, Frame]]:
    """The graph of each set of data, and what it is fed with; nothing where the test is refused."""
    prepared = Prepared(test.model)
    for inputs, _ in test.data_sets:
        try:
            prepared.run([array_of(i) for i in inputs])
        except Refused:
            continue
        if prepared.last_feeds:
            assert prepared.last
            yield prepared.last.graph, prepared.last_feeds


def _calibrated(graph: Graph, frame: Frame) -> Mapping[str, Range] | None:
    """Ranges of all edges, or None where there are none: infinity and NaN have no place in integers."""
    try:
        return calibrate(graph, Clips((Clip("node test", 1, lambda: iter([frame])),), "node test")).ranges()
    except DiagnosticError:
        return None


def run(test: TestCase) -> tuple[set[str], list[str]]:
    """Kernels with a specification that a test called, and calls that differ from it."""
    called: set[str] = set()
    differing: list[str] = []
    for graph, frame in _feeds(test):
        if (ranges := _calibrated(graph, frame)) is None:
            continue
        beyond = {n: np.float32(BEYOND) * v if v.dtype.kind == "f" else v for n, v in frame.items()}
        for wanted in [OperatorPlan("f32"), *choices(graph)]:
            try:
                program = lower(graph, plan(graph, wanted, ranges))
            except DiagnosticError:
                continue  # a plan that no kernel computes: other tests hold how it is refused
            session = ProgramSession(program, verify=True)
            for feeds in (frame, beyond):
                session.run(None, feeds)
            called |= {c.kernel for c in program.calls if ops.kernels()[c.kernel].exact}
            differing += [f"{wanted.format} {m}" for m in session.mismatches]
    return called, differing


def run_all(tests: Iterable[TestCase]) -> Iterator[tuple[str, set[str], list[str]]]:
    """Each test's name, kernels and differences."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for test in tests:
            yield (test.name, *run(test))


def main(words: Sequence[str]) -> int:
    """Run, print, and without words write the record. Returns 1 if a call differs."""
    logging.disable(logging.CRITICAL)
    found = Found()
    for name, kernels, differing in run_all(t for t in cases() if not words or any(w in t.name for w in words)):
        found.add(name, kernels, differing)
        if words:
            print(name, ", ".join(sorted(kernels)))
    never = sorted(n for n, k in ops.kernels().items() if k.exact and n not in found.tests)
    print(*found.differing, sep="\n")
    print(f"{len(found.tests)} kernels called, {len(found.differing)} calls differ")
    if not words:
        print("never called:", *never)
        document = {"kernels": dict(sorted(found.tests.items())), "never": never, "differing": found.differing}
        RECORD.write_text(json.dumps(document, indent=1) + "\n")
    return int(bool(found.differing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
