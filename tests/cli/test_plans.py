"""Plans compared and merged, as values and on the command line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from mcu_quant.cli.output import counted, progress
from mcu_quant.formats import ScaleKind
from mcu_quant.precision.plan import Columns, OperatorPlan, PrecisionPlan, Range, load, to_toml
from mcu_quant.precision.plan_changes import Change, changes, in_words, merged, other_changes

S8, S16, F16, FRAME = (
    OperatorPlan("s8", "small"),
    OperatorPlan("s16"),
    OperatorPlan("f16"),
    OperatorPlan("s8", scale=ScaleKind.FRAME),
)
RANGES = {"x": Range(-1.0, 1.0), "y": Range(0.0, 2.0)}


def plan(**lines: OperatorPlan) -> PrecisionPlan:
    return PrecisionPlan("m", "planner", lines, RANGES, planned="measured 30 dB", headroom=4.0)


def test_lines_that_differ_are_named_and_reasons_are_not_compared() -> None:
    a, b = plan(one=S8, two=S16, three=F16), plan(one=replace(S8, reason="other"), two=FRAME, four=F16)
    assert changes(a, b) == (Change("two", S16, FRAME), Change("three", F16, None), Change("four", None, F16))
    assert changes(a, a) == ()
    assert [in_words(x) for x in (FRAME, None)] == ["s8 with a scale per frame", "not in this plan"]


def test_what_else_differs_is_counted() -> None:
    a = replace(plan(one=S8), columns={"w": Columns(0.5, np.zeros(2, np.float32), np.ones(2, np.float32))})
    b = replace(a, ranges={"x": Range(-2.0, 1.0), "z": Range(0.0, 1.0)}, headroom=1.0)
    assert other_changes(a, b) == {
        "headroom": "4.0 -> 1.0",
        "ranges": "1 changed, 1 only in the first, 1 only in the second",
    }
    other = {"w": Columns(0.25, np.zeros(2, np.float32), np.ones(2, np.float32))}
    assert other_changes(a, replace(a, columns=other)) == {"columns": "1 changed"}
    assert other_changes(a, a) == {}


def test_only_what_is_named_is_taken_without_a_base() -> None:
    a, b = plan(one=S8, two=S8, three=S8), plan(one=S16, two=S16, three=F16)
    found = merged(a, b, take=["t*o", "none"])
    assert (found.taken, found.conflicts) == (("two",), ())
    assert dict(found.plan.operators) == {"one": S8, "two": S16, "three": S8}
    assert found.plan.planned == "" and found.plan.preset == "merged", "nobody has measured it"


def test_with_a_base_each_side_keeps_its_changes() -> None:
    base = plan(one=S8, two=S8, three=S8, four=S8)
    a, b = plan(one=S16, two=S8, three=S16, four=F16), plan(one=S8, two=F16, three=F16, four=F16)
    found = merged(a, b, base)
    assert (found.taken, found.conflicts) == (("two",), ("three",))
    assert dict(found.plan.operators) == {"one": S16, "two": F16, "three": S16, "four": F16}
    assert merged(a, b, base, take=["three"]).plan.operators["three"] == F16


def test_tables_are_the_first_s_with_what_only_the_second_has() -> None:
    a, b = plan(one=S8), replace(plan(one=S16), ranges={"x": Range(-9.0, 9.0), "z": Range(0.0, 1.0)})
    found = merged(a, b, take=["one"]).plan
    assert dict(found.ranges) == {**RANGES, "z": Range(0.0, 1.0)}


def test_the_command_compares_and_merges(cli, tmp_path: Path) -> None:
    files = {n: tmp_path / f"{n}.toml" for n in ("base", "first", "second", "both")}
    files["base"].write_text(to_toml(plan(one=S8, two=S8)))
    files["first"].write_text(to_toml(plan(one=S16, two=S8)))
    files["second"].write_text(to_toml(plan(one=F16, two=F16)))
    words = [str(files["first"]), str(files["second"])]
    status, out, _ = cli("plans", "diff", *words)
    assert status == 0 and "2 of 2 operators" in out and "f16" in out
    status, out, _ = cli("plans", "diff", *words, "--format", "json")
    assert [o["name"] for o in json.loads(out)["operators"]] == ["one", "two"]
    status, out, err = cli("plans", "merge", *words, "--base", str(files["base"]), "-o", str(files["both"]))
    assert status == 1 and "1 conflicts" in out and "MQ304" in err
    assert dict(load(files["both"]).operators) == {"one": S16, "two": F16}
    status, out, err = cli("plans", "merge", *words, "-o", str(files["both"]))
    assert status == 2 and "MQ702" in err
    status, out, err = cli("plans", "merge", *words)
    assert status == 2 and "--take" in err
    status, out, err = cli("plans", "blend", *words)
    assert status == 2 and "diff nor merge" in err


def test_counted_work_has_a_bar_and_a_time() -> None:
    assert counted("measuring layers: 3 of 8, about 72 s left") == ("measuring layers", 3, 8, "about 0:01:12 left")
    assert counted("linking: 1 of 2") == ("linking", 1, 2, "")
    assert counted("46 dB: change lost 0.0253") == ("46 dB: change lost 0.0253", None, None, "")


def test_progress_on_a_terminal_shows_how_far(monkeypatch, capfd) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress() as tell:
        tell("measuring [layers]: 3 of 8, about 72 s left")
    said = capfd.readouterr().err
    assert "measuring [layers]" in said and "about 0:01:12 left" in said
