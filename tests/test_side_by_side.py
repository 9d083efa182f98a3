"""Programs run side by side give what each gives by itself, to the bit, and what they have in common is made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcu_quant.emulator.program import ProgramSession
from mcu_quant.emulator.side_by_side import SideBySide
from mcu_quant.ir import Array, Graph, Operator, State, StatePiece, TensorType
from mcu_quant.lower import lower
from mcu_quant.lowering import PLAIN
from mcu_quant.precision.candidates import ways
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Program
from tests import helpers
from tests.test_loops import imported, nested, swapping, until


def two_cells() -> tuple[Graph, PrecisionPlan]:
    """One layer after the other, each with a state of its own."""
    rng = np.random.default_rng(0)
    constants = {n: rng.normal(size=(8, 8)).astype(np.float32) / 3.0 for n in ("w1", "w2")}
    constants |= {n: np.zeros(8, np.float32) for n in ("b1", "b2")}
    edges = ("x", "g1", "a1", "h1", "s1", "g2", "a2", "h2", "s2")
    types = {n: TensorType((1, 8)) for n in edges} | {n: TensorType(a.shape) for n, a in constants.items()}
    operators = tuple(
        Operator(f"{name}{k}", op, inputs, (output,))
        for k, x in ((1, "x"), (2, "h1"))
        for name, op, inputs, output in (
            ("fc", "Gemm", (x, f"w{k}", f"b{k}"), f"g{k}"),
            ("add", "Add", (f"g{k}", f"s{k}"), f"a{k}"),
            ("act", "Tanh", (f"a{k}",), f"h{k}"),
        )
    )
    pieces = {k: StatePiece(f"s{k}", f"h{k}", np.arange(8)) for k in (1, 2)}
    states = tuple(
        State(f"s{k}", f"h{k}", TensorType((1, 8)), np.zeros((1, 8), np.float32), (piece,))
        for k, piece in pieces.items()
    )
    graph = Graph("cells", ("x",), ("h2",), operators, types, constants, states)
    lines = {op.name: OperatorPlan("f32") for op in operators}
    return graph, PrecisionPlan("cells", "test", lines, dict.fromkeys(edges, Range(-4.0, 4.0)))


def changed(graph: Graph, plan: PrecisionPlan) -> list[Program]:
    """Programs in which one operator is computed in another way: every way of every operator."""
    chosen = [
        (op.name, way.line) for op in graph.operators if op.name in plan.operators for way in ways(op, graph, PLAIN)
    ]
    return [lower(graph, replace(plan, operators={**plan.operators, name: line})) for name, line in chosen]


def alone(program: Program, frames: Sequence[Mapping[str, Array]]) -> list[list[Array]]:
    """Outputs and states of each frame."""
    session = ProgramSession(program)
    return [[*session.run(None, f), *session.states().values()] for f in frames]


def assert_the_same(first: Program, others: Sequence[Program], frames: Sequence[Mapping[str, Array]]) -> SideBySide:
    together = SideBySide(first, others)
    for _ in range(2):  # a reset resets all of them
        together.reset()
        found: list[list[list[Array]]] = [[] for _ in others]
        for feeds in frames:
            together.run(feeds)
            for made, session in zip(found, together.sessions, strict=True):
                made.append([*session.results(None), *session.states().values()])
        for program, made in zip(others, found, strict=True):
            for ours, theirs in zip(made, alone(program, frames), strict=True):
                assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(ours, theirs, strict=True))
    return together


def signal(count: int = 6) -> list[dict[str, Array]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.uniform(-2, 2, (1, 8)).astype(np.float32)} for _ in range(count)]


def test_each_finds_what_it_finds_alone() -> None:
    graph, plan = two_cells()
    made = changed(graph, plan)
    assert_the_same(lower(graph, plan), made, signal())


def test_only_what_depends_on_a_change_is_made_again() -> None:
    graph, plan = two_cells()
    first = lower(graph, plan)
    late = lower(graph, replace(plan, operators={**plan.operators, "add2": OperatorPlan("s8")}))
    early = lower(graph, replace(plan, operators={**plan.operators, "fc1": OperatorPlan("s8")}))
    together = assert_the_same(first, [first, late, early], signal())
    own = [[c.operator for c in s.program.calls] for s in together.sessions]
    assert own[0] == []
    assert {"add2", "act2"} <= set(own[1]) <= {"add2", "act2", "(states)", "(outputs)"}
    assert set(own[2]) >= set(plan.operators)


def test_a_state_that_starts_elsewhere_is_not_shared() -> None:
    graph, plan = two_cells()
    state = replace(graph.states[0], initial=np.ones((1, 8), np.float32))
    other = lower(replace(graph, states=(state, graph.states[1])), plan)
    assert_the_same(lower(graph, plan), [other], signal())


def test_other_weights_of_the_same_name_are_not_shared() -> None:
    graph, plan = two_cells()
    other = lower(replace(graph, constants={**graph.constants, "w2": graph.constants["w2"] * 2.0}), plan)
    together = assert_the_same(lower(graph, plan), [other], signal())
    assert {c.operator for c in together.sessions[0].program.calls} >= {"fc2", "add2", "act2"}
    assert "fc1" not in {c.operator for c in together.sessions[0].program.calls}


@pytest.mark.parametrize("made", [nested, swapping, lambda: until(50)], ids=["nested", "swapping", "until"])
def test_loops_are_made_once_or_apart_as_a_whole(made: Callable[[], Any], tmp_path: Path) -> None:
    graph, frames = imported(made(), tmp_path, 3, 90.0)
    plan = helpers.plan_in(graph, "f32", frames)
    assert_the_same(lower(graph, plan), changed(graph, plan), frames)
