"""Solvers: the published HAWQ-V3 plans, brute force on small problems, and what each method promises."""

from __future__ import annotations

import itertools
import json
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.precision.problem import Candidate, Group, InfeasibleError, Net, Problem, Shared, tie
from mcu_quant.precision.solvers import closed_form, greedy, milp, search, trim
from mcu_quant.precision.solvers.ledger import Ledger
from mcu_quant.precision.strategies import KINDS, strategies, strategy

SOLVERS = ("milp", "closed-form", "greedy", "search", "trim")


def two_widths(network: dict, resource: str) -> tuple[list[Group], float, float]:
    """Layers of a network of the golden file with 4 and 8 bits, and what all-4 and all-8 cost."""
    n = len(network["hessian_trace"])
    cost = {
        "modelsize": ([p / 2 for p in network["parameters"]], network["parameters"]),
        "bops": ([b / 4 for b in network["bops"]], network["bops"]),
        "latency": (network["latency_4bit"], network["latency_8bit"]),
    }[resource]
    groups = []
    for i in range(n):
        omega = [network["hessian_trace"][i] * network[f"weight_error_{b}bit"][i] for b in (4, 8)]
        amounts = [{"loss": omega[k], resource: cost[k][i]} for k in (0, 1)]
        groups.append(Group(str(i), tuple(Candidate(b, a) for b, a in zip(("4", "8"), amounts, strict=True))))
    return groups, sum(cost[0]), sum(cost[1])


def published(shared) -> list[tuple[str, str]]:
    return [(net, key) for net in ("resnet18", "resnet50") for key in _golden(shared)[net]["published"]]


def _golden(shared) -> dict:
    return json.loads((shared / "golden" / "hawq_v3_ilp.json").read_text())["networks"]


def test_the_published_plans_of_hawq_v3(shared):
    different = []
    for name, key in published(shared):
        network = _golden(shared)[name]
        resource, share = key.split("@")
        layers, low, high = two_widths(network, resource)
        tied = {i for pair in network["ties"] for i in pair}
        groups = [layers[i] for i in range(len(layers)) if i not in tied]
        groups += [tie(f"{a}+{b}", [layers[a], layers[b]]) for a, b in network["ties"]]
        problem = Problem(tuple(groups), {"loss": 1.0}, {resource: low + float(share) * (high - low)})
        found = milp.solve(problem)
        theirs = {g.name: str(network["published"][key][int((g.members or (g.name,))[0])]) for g in groups}
        assert not problem.excess(problem.totals(theirs)), "the published plan keeps the limit"
        if dict(found.choice) != theirs:
            different.append((name, key))
            assert found.totals["loss"] <= problem.totals(theirs)["loss"]
    assert len(published(shared)) == 18
    assert different == [("resnet50", "modelsize@0.25")]


# --- small problems, by brute force --------------------------------------------------------------------------------


def drawn(seed: int, groups: int = 4, candidates: int = 3) -> Problem:
    """Groups in a chain with a branch, conversions, code that is paid once, memory at three points."""
    chance = random.Random(seed)
    formats = ("s8", "s16", "f32")[:candidates]
    made = []
    for g in range(groups):
        alive = chance.sample(range(3), 2)
        sizes = {"s8": 1, "s16": 2, "f32": 4}
        made.append(
            Group(
                f"g{g}",
                tuple(
                    Candidate(
                        f,
                        {
                            "loss": chance.random() * 4.0 ** -sizes[f],
                            "flash": sizes[f] * chance.randint(1, 9),
                            "cycles": chance.randint(1, 20),
                            "ram": float(sizes[f] * chance.randint(0, 2)),
                            **{f"ram@{p}": sizes[f] * chance.randint(1, 5) for p in alive},
                        },
                        reads=f,
                        stores=chance.choice(formats),
                        bits=8 * sizes[f],
                    )
                    for f in formats
                ),
                category=chance.choice(("dense", "recurrent")),
            )
        )
    conversions = {
        (a, b): {"cycles": chance.randint(1, 9), "ram@1": chance.randint(0, 4)}
        for a in formats
        for b in formats
        if a != b
    }
    nets = [Net(f"g{g}", (f"g{g + 1}",), conversions) for g in range(groups - 1)]
    nets.append(Net("g0", ("g1", f"g{groups - 1}"), conversions))
    shared = [
        Shared(f"code {f}", frozenset((g.name, f) for g in made), {"flash": float(chance.randint(1, 12))})
        for f in formats
    ]
    peaks = {"ram": tuple(f"ram@{p}" for p in range(3))}
    return Problem(
        tuple(made),
        {"cycles": 1.0, "flash": 0.1},
        {},
        tuple(nets),
        tuple(shared),
        peaks,
        {"flash": 3.0, "ram": 2.0, "ram@0": 1.0},
    )


def choices(problem: Problem):
    names = [[c.name for c in g.candidates] for g in problem.groups]
    for combination in itertools.product(*names):
        yield dict(zip((g.name for g in problem.groups), combination, strict=True))


def limited(problem: Problem, seed: int) -> Problem:
    """Limits somewhere between the smallest and the largest totals there are, sometimes too tight together."""
    chance = random.Random(seed + 1000)
    everything = [problem.totals(c) for c in choices(problem)]

    def between(name: str) -> float:
        values = sorted(t[name] for t in everything)
        return values[int(chance.uniform(0.02, 0.8) * (len(values) - 1))]

    return problem.with_limits(loss=between("loss"), flash=between("flash"), ram=between("ram"))


def best_of_all(problem: Problem) -> float:
    kept = (problem.totals(c) for c in choices(problem))
    return min((problem.value(t) for t in kept if not problem.excess(t)), default=math.inf)


@pytest.mark.parametrize("seed", range(25))
def test_milp_finds_what_brute_force_finds(seed):
    problem = limited(drawn(seed), seed)
    best = best_of_all(problem)
    if best == math.inf:
        with pytest.raises(InfeasibleError):
            milp.solve(problem)
        return
    found = milp.solve(problem)
    assert not problem.excess(found.totals)
    assert found.optimal
    assert problem.value(found.totals) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_milp_minimises_a_peak(seed):
    problem = drawn(seed)
    problem = Problem(
        problem.groups, {"ram": 1.0, "flash": 1e-3}, {}, problem.nets, problem.shared, problem.peaks, problem.base
    )
    assert problem.value(milp.solve(problem).totals) == pytest.approx(best_of_all(problem), rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_ledger_totals_are_those_of_the_problem(seed):
    problem = limited(drawn(seed), seed)
    ledger = Ledger(problem)
    for choice in itertools.islice(choices(problem), 40):
        picks = ledger.picks(choice)
        assert ledger.choice(picks) == choice
        totals = problem.totals(choice)
        assert ledger.score(picks)[0] == pytest.approx(sum(problem.excess(totals).values()), abs=1e-9)
        assert ledger.score(picks)[1] == pytest.approx(problem.value(totals))


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("seed", range(6))
def test_no_solver_breaks_a_limit_or_beats_the_optimum(name, seed):
    problem = limited(drawn(seed), seed)
    try:
        found = strategy("solvers", name).solve(problem, None)
    except InfeasibleError as failure:
        assert name != "milp" or best_of_all(problem) == math.inf
        assert problem.excess(failure.nearest.totals)
        return
    assert not problem.excess(problem.totals(found.choice))
    assert found.totals == problem.totals(found.choice)
    assert problem.value(found.totals) >= best_of_all(problem) * (1 - 1e-9)


def test_infeasible_says_what_each_limit_would_have_to_be():
    sizes = {"a": ({"loss": 1.0, "flash": 1.0}, {"loss": 0.1, "flash": 5.0})}
    groups = tuple(Group(n, (Candidate("s8", c[0]), Candidate("f32", c[1]))) for n, c in sizes.items())
    problem = Problem(groups, {"loss": 1.0}, {"loss": 0.5, "flash": 4.0})
    with pytest.raises(InfeasibleError) as failure:
        milp.solve(problem)
    assert dict(failure.value.needed) == {"loss": 1.0, "flash": 5.0}
    assert failure.value.nearest.choice == {"a": "f32"}  # 25 % over in flash, where s8 is 100 % over in loss


def test_a_candidate_that_is_impossible_is_never_chosen():
    groups = (Group("a", (Candidate("s8", {"loss": math.inf, "flash": 1.0}), Candidate("f32", {"flash": 4.0}))),)
    problem = Problem(groups, {"flash": 1.0}, {"loss": 1.0})
    for name in ("milp", "greedy", "search", "trim"):
        assert strategy("solvers", name).solve(problem, None).choice == {"a": "f32"}, name


def test_tied_groups_have_common_candidates_only():
    a = Group("a", (Candidate("s8", {"flash": 1.0}), Candidate("f32", {"flash": 4.0})))
    b = Group("b", (Candidate("f32", {"flash": 8.0}),))
    assert tie("ab", (a, b)) == Group("ab", (Candidate("f32", {"flash": 12.0}),), ("a", "b"))
    with pytest.raises(ValueError, match="no candidate in common"):
        tie("x", (a, Group("c", (Candidate("s4", {}),))))
    with pytest.raises(ValueError, match="does not mean the same"):
        tie("x", (a, Group("c", (Candidate("s8", {}, reads="s16"),))))


# --- greedy, search ------------------------------------------------------------------------------------------------


def additive(seed: int, groups: int = 12) -> Problem:
    """Losses and sizes only, a third of the way between all small and all large."""
    chance = random.Random(seed)
    made = []
    for g in range(groups):
        size, noise = chance.randint(1, 40), 10 ** chance.uniform(-4, 0)
        made.append(
            Group(
                f"g{g}",
                tuple(
                    Candidate(str(b), {"loss": noise * math.exp(-closed_form.ALPHA * b), "flash": size * b}, bits=b)
                    for b in range(2, 17)
                ),
                category=("dense", "recurrent", "convolution")[g % 3],
            )
        )
    low, high = (sum(g.candidates[i].amounts["flash"] for g in made) for i in (0, -1))
    return Problem(tuple(made), {"loss": 1.0}, {"flash": low + (high - low) / 3})


@pytest.mark.parametrize("seed", range(4))
def test_search_without_a_good_start_comes_near_the_optimum(seed):
    problem = additive(seed, groups=6)
    best = milp.solve(problem).totals["loss"]
    found = search.evolve(problem, settings=search.Settings(population=40, generations=150))
    assert found.totals["loss"] <= best / 0.99 + 1e-15
    assert search.solve(problem).totals["loss"] <= best * (1 + 1e-9)


def test_search_prefers_what_is_measured_to_what_adds_up():
    """Two groups that hurt each other: their losses alone say nothing of it."""
    small, large = ({"loss": 0.1, "flash": 1.0}, {"loss": 0.0, "flash": 4.0})
    groups = tuple(Group(n, (Candidate("s8", small), Candidate("f32", large))) for n in "ab")
    problem = Problem(groups, {"flash": 1.0}, {"loss": 0.5})

    def measure(choice) -> float:
        return 5.0 if list(choice.values()) == ["s8", "s8"] else problem.totals(choice)["loss"]

    assert set(search.solve(problem).choice.values()) == {"s8"}
    found = search.solve(problem, measure)
    assert sorted(found.choice.values()) == ["f32", "s8"]
    assert 0 < found.measured <= 4


@pytest.mark.parametrize("seed", range(4))
def test_greedy_comes_near_the_optimum_where_nothing_interacts(seed):
    problem = additive(seed)
    assert greedy.solve(problem).totals["loss"] <= 1.5 * milp.solve(problem).totals["loss"]


# --- closed form ---------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(0.1, 100), st.floats(0.1, 10)), min_size=2, max_size=8))
def test_widths_are_the_stationary_point(rows):
    noise, size, robustness = map(np.array, zip(*rows, strict=True))
    total = 1e-3
    bits = closed_form.widths(noise, size, total, robustness)
    power = noise / robustness * np.exp(-closed_form.ALPHA * bits)
    assert power.sum() == pytest.approx(total, rel=1e-9)
    assert power / size == pytest.approx(np.full(len(size), (power / size)[0]), rel=1e-9)


def test_widths_cost_least():
    noise, size = np.array([3.0, 0.2, 40.0]), np.array([5.0, 1.0, 20.0])
    bits = closed_form.widths(noise, size, 0.01)
    power = lambda b: (noise * np.exp(-closed_form.ALPHA * b)).sum()  # noqa: E731
    found = minimize(lambda b: size @ b, bits + 1.0, constraints={"type": "ineq", "fun": lambda b: 0.01 - power(b)})
    assert size @ bits == pytest.approx(found.fun, rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_rounded_widths_come_near_the_optimum(seed):
    problem = additive(seed)
    by_formula = closed_form.solve(problem).totals["loss"]
    inverse = Problem(problem.groups, {"flash": 1.0}, {"loss": by_formula})
    assert closed_form.solve(inverse).totals["flash"] <= 1.1 * milp.solve(inverse).totals["flash"]


# --- trim ----------------------------------------------------------------------------------------------------------


def test_trim_gives_each_kind_the_smallest_width_within_the_margin():
    """Loss 4 ** -bits of the narrowest kind: with 1e-3 recurrent may have 6 bits, dense, ten times as sensitive, 8."""
    widths = range(1, 17)
    kinds = {"recurrent": 1.0, "dense": 10.0}

    def group(name: str, kind: str) -> Group:
        made = [Candidate(str(b), {"loss": kinds[kind] * 4.0**-b / 2, "flash": float(b)}, bits=b) for b in widths]
        return Group(name, tuple(made), category=kind)

    groups = (group("r1", "recurrent"), group("r2", "recurrent"), group("d1", "dense"), group("d2", "dense"))
    problem = Problem(groups, {"flash": 1.0}, {"loss": 1e-3})
    tried = []

    def measure(choice) -> float:
        tried.append(choice)
        return problem.totals(choice)["loss"]

    found = trim.solve(problem, measure)
    width = {g.category: int(found.choice[g.name]) for g in groups}
    assert len({found.choice["r1"], found.choice["r2"]}) == len({found.choice["d1"], found.choice["d2"]}) == 1
    assert found.measured == len(tried) <= 2 * math.ceil(math.log2(len(widths)) + 1)
    for kind in kinds:
        fewer = {g.name: str(int(found.choice[g.name]) - (g.category == kind)) for g in groups}
        assert problem.totals(fewer)["loss"] > 1e-3, f"{kind} could do with fewer than {width[kind]} bits"


def test_trim_needs_a_limit_of_the_loss():
    with pytest.raises(ValueError, match="limit of the loss"):
        trim.solve(additive(0))


# --- the registry --------------------------------------------------------------------------------------------------


def test_every_method_says_where_it_is_from_and_the_first_is_the_default():
    assert tuple(strategies("solvers")) == SOLVERS
    for kind in KINDS:
        for name, found in strategies(kind).items():
            assert found.about.name == name
            assert found.about.summary
    assert strategy("solvers").about.name == "milp"
    with pytest.raises(DiagnosticError, match="did you mean 'greedy'"):
        strategy("solvers", "gredy")
