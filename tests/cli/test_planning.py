"""plan, build and explore with a goal: from options to a plan that is kept when the firmware is linked."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from bench.small_models import mask_lstm
from mcu_quant.precision import plan as plans

BOARD = ["--board", "nucleo_f446re"]


@pytest.fixture(scope="module", autouse=True)
def _own_scores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mcu_quant.precision.trial.cache_folder", lambda: folder)
        yield


@pytest.fixture
def planned(cli, project):
    """Plans the small model; returns the exit status and the JSON document."""

    def run(*more):
        args = ["plan", project / "tiny.onnx", *BOARD, "--data", project / "speech", "--format", "json"]
        status, out, err = cli(*args, *more)
        assert err == ""
        return status, json.loads(out)

    return run


def test_a_goal_gives_a_plan_with_reasons_and_the_same_bytes_twice(planned, tmp_path):
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    status, made = planned("--min-snr", 35, "--minimize", "flash", "-o", one)
    assert status == 0
    assert made["preset"] == "planner"
    assert "35 dB at least" in made["planned"]
    assert "predicted" in made["planned"] and "measured" in made["planned"]
    assert all("alone" in o["reason"] for o in made["operators"])
    assert planned("--min-snr", 35, "--minimize", "flash", "--jobs", 1, "-o", two)[0] == 0
    assert one.read_bytes() == two.read_bytes()
    assert plans.to_toml(plans.load(one)) == one.read_text()


def test_a_plan_leaves_time_for_the_rest_of_the_firmware_unless_none_is_so_fast(planned, monkeypatch):
    def most_ms(*goal):
        words = planned("--minimize", "flash", "--min-snr", 20, *goal)[1]["planned"]
        return float(words.split(" ms a frame at most")[0].split(" ")[-1])

    apart = most_ms("--max-latency", "3ms"), most_ms()
    assert apart[0] == 3.0
    monkeypatch.setattr("mcu_quant.api.planning.BUSY", 1e-4)
    assert apart[1] == pytest.approx(0.8 * most_ms())


@pytest.fixture(scope="module")
def mask(tmp_path_factory):
    """A model large enough that its weights and not its code decide, with clips of its input."""
    folder = tmp_path_factory.mktemp("mask")
    (folder / "clips").mkdir()
    frames = np.random.default_rng(3).exponential(1.0, (40, 1, 1, 129)).astype(np.float32)
    np.savez(folder / "clips" / "one.npz", spectrum=frames)
    return mask_lstm(folder / "mask.onnx"), folder / "clips"


def flash_of(cli, mask, folder, *goal) -> int:
    status, out, err = cli("build", mask[0], *BOARD, "--data", mask[1], "-o", folder / "fw", *goal, "--format", "json")
    assert (status, err) == (0, "")
    assert f"{goal[0]} {goal[1]}" in json.loads((folder / "fw" / "manifest.json").read_text())["command"]
    return int(json.loads(out)["flash"]["total_bytes"])


def test_a_plan_keeps_its_budget_when_the_firmware_is_linked(cli, mask, tmp_path):
    whole = flash_of(cli, mask, tmp_path, "--minimize", "loss")
    least = flash_of(cli, mask, tmp_path, "--minimize", "flash", "--min-snr", "0")
    assert least < whole / 2
    limit = (least + whole) // 2
    assert least <= flash_of(cli, mask, tmp_path, "--max-flash", str(limit)) <= limit


def test_what_cannot_be_kept_is_answered_with_what_can(failing, planned, project):
    args = ["plan", project / "tiny.onnx", *BOARD, "--data", project / "speech"]
    codes, err = failing(1, *args, "--max-flash", "1K", "--min-snr", "60")
    assert codes == ["MQ306"]
    assert re.search(r"this is enough: --max-flash [0-9.]+K", err)
    codes, err = failing(1, *args, "--max-flash", "1K", "--max-latency", "1us")
    assert codes == ["MQ306"]
    together = re.search(r"these together are enough: (.*)", err)
    assert together and planned(*together[1].split())[0] == 0


def test_what_is_no_goal(failing, project):
    args = ["plan", project / "tiny.onnx", *BOARD]
    codes, err = failing(2, *args, "--max-flash", "much", "--max-latency", "10 parsec", "--minimize", "flsh")
    assert codes == ["MQ900"] * 3
    assert "flash" in err
    assert failing(2, *args, "--min-snr", "30", "--preset", "s8")[0] == ["MQ900"]
    assert failing(2, "plan", project / "tiny.onnx", "--min-snr", "30")[0] == ["MQ900"]
    assert failing(2, *args, "--minimize", "flash", "--solver", "trim")[0] == ["MQ900"]
    assert failing(2, *args, "--min-snr", "30", "--solver", "milpp", "--data", project / "speech")[0] == ["MQ900"]


def test_edits_are_kept_and_the_rest_is_chosen_around_them(planned):
    _, made = planned("--min-snr", 20, "--set", "dense=s16:weights=s16")
    line = next(o for o in made["operators"] if o["name"] == "dense")
    assert (line["format"], line["weights"]) == ("s16", "s16")


@pytest.mark.parametrize("solver", ["closed-form", "search"])
def test_other_solvers_keep_the_goal_too(planned, solver):
    status, made = planned("--min-snr", 30, "--solver", solver)
    assert status == 0
    measured = float(made["planned"].split("measured ")[1].split(" dB")[0])
    assert measured >= 30.0


def test_explore_lists_the_front_and_draws_it(cli, project, tmp_path):
    args = ["explore", project / "tiny.onnx", *BOARD, "--data", project / "speech", "--points", 3]
    status, out, err = cli(*args, "--format", "json", "-o", tmp_path / "front.svg")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert {"all f32", "all f16", "all s16", "all s8", "tinydenoiser"} <= {p["plan"] for p in found["points"]}
    assert any(p["kind"] == "searched" and p["best"] for p in found["points"])
    picture = (tmp_path / "front.svg").read_text()
    assert "<!-- tinydenoiser -->" in picture
    status, out, _ = cli(*args, "--format", "csv")
    assert out.splitlines()[0] == "plan,kind,snr_db,flash_bytes,ram_bytes,ms,best"


def test_a_model_that_takes_long_is_planned_when_asked(cli, mask, monkeypatch):
    monkeypatch.setattr("mcu_quant.api.planning.LONGEST_SECONDS", 1e-3)
    args = ["plan", mask[0], *BOARD, "--data", mask[1], "--format", "json"]
    status, out, _ = cli(*args)
    made = json.loads(out)
    assert (status, made["preset"]) == (0, "tinydenoiser")
    assert [d["code"] for d in made["diagnostics"]] == ["MQ308"]
    made = json.loads(cli(*args, "--min-snr", "20")[1])
    assert made["preset"] == "planner"


def test_a_picture_must_be_one(failing, project, tmp_path):
    assert failing(2, "explore", project / "tiny.onnx", *BOARD, "-o", tmp_path / "front.txt")[0] == ["MQ900"]


def test_strategies_say_where_they_are_from(cli):
    status, out, _ = cli("strategies", "--format", "json")
    listed = json.loads(out)["strategies"]
    assert status == 0
    assert {"direct", "milp", "greedy", "trim", "closed-form", "search"} <= {s["name"] for s in listed}
    assert [s["name"] for s in listed if s["default"]] == ["direct", "milp", "compensate", "equalise", "states"]
