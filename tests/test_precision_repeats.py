"""Blocks that a model repeats: found, measured together, and computed alike."""

import itertools
import random

import pytest

from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.precision import repeats
from mcu_quant.precision.plan import OperatorPlan
from mcu_quant.precision.problem import Candidate, Group, Net, Problem, Shared
from mcu_quant.precision.solvers import milp

BLOCK = ("Relu", "Tanh", "Sigmoid", "Neg", "Abs")


def chain(kinds: list[str], width: dict[int, int] | None = None) -> Graph:
    """One operator after the other on 8 values; from operator k on as many values as `width` says."""
    sizes, now = [], 8
    for k in range(len(kinds) + 1):
        now = (width or {}).get(k, now)
        sizes.append(now)
    types = {f"e{k}": TensorType((size,)) for k, size in enumerate(sizes)}
    made = tuple(Operator(f"op{k}", kind, (f"e{k}",), (f"e{k + 1}",)) for k, kind in enumerate(kinds))
    return Graph("chain", ("e0",), (f"e{len(kinds)}",), made, types, {})


def test_operators_at_the_same_place_of_a_block_are_alike():
    graph = chain(["Exp", *BLOCK * 6, "Sqrt", "Exp"])
    found = repeats.alike(graph)
    assert found["op3"] == tuple(f"op{k}" for k in range(3, 31, 5)) == found["op28"]
    assert found["op0"] == ("op0",) and found["op31"] == ("op31",)
    assert {len(same) for same in found.values()} == {1, 6}


@pytest.mark.parametrize(
    "graph",
    [
        chain([*BLOCK * 3]),
        chain(["Relu"] * 3 + ["Tanh"] * 2),
        chain([*BLOCK * 5], {k: 8 + k for k in range(26)}),
    ],
    ids=["three times only", "no blocks", "every block larger than the last"],
)
def test_what_is_not_repeated_often_stands_alone(graph):
    assert all(same == (op,) for op, same in repeats.alike(graph).items())


def test_each_has_its_share_of_what_all_lose_together(monkeypatch):
    graph = chain(["Exp", *BLOCK * 4])
    tried = []

    def losses(trial, plans, *more):
        tried.extend(plans)
        return [12.0 for _ in plans]

    class Found:
        pass

    trial = Found()
    trial.graph = graph
    monkeypatch.setattr(repeats, "losses", losses)
    line = OperatorPlan("s8")
    assert repeats.losses_alone(trial, [{"op0": line}, {"op1": line}, {"op6": line}]) == [12.0, 3.0, 3.0]
    assert tried == [{"op0": line}, dict.fromkeys(("op1", "op6", "op11", "op16"), line), tried[1]]
    assert repeats.different(graph, {op.name: 3 for op in graph.operators}) == 3 * (1 + len(BLOCK))


def test_only_operators_with_the_same_ways_are_tied():
    graph = chain([*BLOCK * 4])
    names = {op.name: ("s8", "f32") for op in graph.operators} | {"op5": ("f32",)}
    del names["op1"], names["op6"], names["op11"], names["op16"]
    assert repeats.ties(graph, names) == (
        ("op0", "op10", "op15"),
        ("op2", "op7", "op12", "op17"),
        ("op3", "op8", "op13", "op18"),
        ("op4", "op9", "op14", "op19"),
    )


@pytest.mark.parametrize("seed", range(8))
def test_tied_groups_are_computed_alike_at_the_least_cost(seed):
    chance = random.Random(seed)
    names = ("a", "b", "c")

    def candidate(name):
        return Candidate(name, {"loss": chance.random(), "flash": float(chance.randint(1, 9))}, name, name)

    groups = tuple(Group(f"g{k}", tuple(candidate(n) for n in names)) for k in range(5))
    pairs = {(a, b): {"flash": float(chance.randint(0, 4))} for a in names for b in names if a != b}
    nets = tuple(Net(f"g{k}", (f"g{k + 1}",), pairs) for k in range(4))
    shared = (Shared("code", frozenset(("g" + k, "b") for k in "024"), {"flash": 3.0}),)
    problem = Problem(groups, {"loss": 1.0}, {"flash": 28.0}, nets, shared, ties=(("g0", "g2", "g4"),))
    found = milp.solve(problem)
    choices = [dict(zip([g.name for g in groups], c, strict=True)) for c in itertools.product(names, repeat=5)]
    alike = [c for c in choices if c["g0"] == c["g2"] == c["g4"] and not problem.excess(problem.totals(c))]
    assert found.choice["g0"] == found.choice["g2"] == found.choice["g4"]
    assert problem.totals(found.choice)["loss"] == pytest.approx(min(problem.totals(c)["loss"] for c in alike))
