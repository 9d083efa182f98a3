"""The memory planner: hypothesis-drawn programs, the proof, and the proof's ability to fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_quant import memory
from mcu_quant.program import Access, Buffer, Call, Edge, EdgeType, Program, Role, Scalar


def chain(sizes: list[int], reach: list[int], kernel: str = "mq_copy") -> Program:
    """A program in which call i writes buffer i and reads buffer i - reach[i]."""
    edges = {"x": Edge("x", EdgeType((sizes[0],), "s8"), Role.INPUT)}
    calls = []
    for i, size in enumerate(sizes):
        name = f"e{i}"
        edges[name] = Edge(name, EdgeType((size,), "s8"))
        source = f"e{max(0, i - reach[i])}" if i else "x"
        args = {"x": Buffer(source, Access.READ), "y": Buffer(name, Access.WRITE), "bytes": Scalar(size)}
        calls.append(Call(kernel, f"op{i}", args))
    return Program("p", "scalar", ("x",), (), edges, {}, tuple(calls))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 4)), min_size=1, max_size=40))
def test_plans_are_proven_and_near_the_bound(items: list[tuple[int, int]]) -> None:
    program = chain([s for s, _ in items], [r for _, r in items])
    plan = memory.plan(program)
    assert memory.prove(program, plan) == []
    assert plan.lower_bound_bytes <= plan.arena_bytes


def test_a_simple_chain_reaches_the_bound() -> None:
    plan = memory.plan(chain([100, 200, 300, 40], [1, 1, 1, 1]))
    assert plan.arena_bytes == plan.lower_bound_bytes == 200 + 304  # 300 aligned to 304


def test_in_place_where_the_kernel_allows_it() -> None:
    edges = {"x": Edge("x", EdgeType((64,), "s8"), Role.INPUT)}
    edges |= {n: Edge(n, EdgeType((64,), "s8")) for n in "abc"}
    table = {"n": Scalar(64), "table": Scalar(0)}

    def call(source: str, sink: str) -> Call:
        return Call("mq_table_s8", sink, {"x": Buffer(source, Access.READ), "y": Buffer(sink, Access.WRITE), **table})

    program = Program("p", "scalar", ("x",), (), edges, {}, (call("x", "a"), call("a", "b"), call("b", "c")))
    plan = memory.plan(program)
    assert plan.arena_bytes == 64
    assert dict(plan.inplace) == {"b": "a", "c": "b"}
    more = {**edges, "d": replace(edges["a"], name="d")}
    again = replace(program, calls=(*program.calls, call("a", "d")), edges=more)
    assert "b" not in memory.plan(again).inplace  # a is still needed


@pytest.mark.parametrize("shift", [8, 16, 96])
def test_the_proof_finds_an_overlap(shift: int) -> None:
    program = chain([100, 100, 100], [1, 2, 2])  # e0 is read by calls 1 and 2 while e1 is written
    plan = memory.plan(program)
    offsets = {**plan.offsets, "e1": plan.offsets["e0"] + shift}
    wrong = replace(plan, offsets=offsets, arena_bytes=plan.arena_bytes + 200)
    assert any("overlaps" in p or "overwritten" in p for p in memory.prove(program, wrong))


def test_the_proof_finds_a_read_of_overwritten_bytes() -> None:
    program = chain([100, 100, 100, 100], [1, 1, 1, 3])  # the last call reads e0 again
    plan = memory.plan(program)
    wrong = replace(plan, offsets={**plan.offsets, "e1": 0, "e0": 0, "e2": 104})
    assert any("overwritten" in p for p in memory.prove(program, wrong))
