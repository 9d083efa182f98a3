"""What changed between reports, limits on it, and the formats that CI servers and other tools read."""

import copy
import csv
import io
import json
import re
from xml.etree import ElementTree as ET

import pytest

from mcu_quant import report, schemas
from mcu_quant.diagnostics import CATALOGUE
from mcu_quant.report.difference import difference
from mcu_quant.report.limits import check, parse
from tests import report_example


@pytest.fixture
def old():
    return json.loads((report_example.built().folder / "report.json").read_text())


@pytest.fixture
def new(old):
    """4 KiB more flash, twice the time, 3 dB less; one operator changed, one gone, one new."""
    made = copy.deepcopy(old)
    for key in ("total_bytes", "weights_bytes"):
        made["flash"][key] += 4096
    made["latency"]["ms"] *= 2
    for output in made["accuracy"]["outputs"].values():
        output["snr_db"] -= 3
    lstm, dense, mask = made["operators"]
    lstm |= {"format": "f16", "weights_bytes": lstm["weights_bytes"] + 4096}
    made["operators"] = [lstm, {**dense, "name": "dense_2"}, mask]
    return made


def broken(new, *texts, since=None):
    limits, problems = parse(texts)
    assert problems == []
    return [d.rule.removeprefix("--fail-on ") for d in check(limits, new, since)]


# --- differences ---------------------------------------------------------------------------------------------------


def test_a_difference_follows_its_schema_and_says_what_changed(old, new):
    made = difference([old], [new])
    assert schemas.validate(made, "report-diff", "diff", "MQ502") == []
    figures = {f["name"]: f for f in made["pairs"][0]["figures"]}
    assert figures["flash"]["change"] == 4096
    assert figures["flash"]["change_pct"] == pytest.approx(100 * 4096 / old["flash"]["total_bytes"])
    assert figures["time"]["change_pct"] == pytest.approx(100.0)
    assert figures["snr"]["change"] == pytest.approx(-3)
    assert figures["ram"]["change"] == 0
    assert {o["name"]: o["status"] for o in made["pairs"][0]["operators"]} == {
        "lstm": "changed", "dense_2": "added", "dense": "removed"
    }  # fmt: skip


def test_nothing_changed_is_no_difference(old):
    pair = difference([old], [copy.deepcopy(old)])["pairs"][0]
    assert pair["operators"] == []
    assert {f["change"] for f in pair["figures"]} == {0}


def test_reports_are_paired_by_board(old, new):
    def on(r, board):
        return {**r, "board": board}

    made = difference([on(old, "a"), on(old, "b")], [on(new, "b"), on(new, "c")])
    assert [(p["old"]["board"], p["new"]["board"]) for p in made["pairs"]] == [("b", "b")]
    assert [(d["where"], d["severity"]) for d in made["diagnostics"]] == [("a", "warning"), ("c", "warning")]
    only = difference([on(old, "a")], [on(new, "b")])
    assert len(only["pairs"]) == 1 and only["diagnostics"] == []


def test_no_longer_fitting_is_an_error_and_still_not_fitting_is_none(old, new):
    new["fits"] = False
    new["ram"] |= {"total_bytes": 200_000, "available_bytes": 131_072}
    found = difference([old], [new])["diagnostics"]
    assert [(d["code"], d["severity"], d["where"]) for d in found] == [("MQ503", "error", "nucleo_f446re: sram")]
    assert "no longer fits" in found[0]["message"]
    assert difference([new], [new])["diagnostics"] == []


# --- limits --------------------------------------------------------------------------------------------------------


def test_limits_on_figures(old):
    flash = old["flash"]["total_bytes"]
    assert broken(old, f"flash>{flash - 1}", f"flash>{flash}", f"flash < {flash + 1} B", "flash>1MiB") == [
        f"flash>{flash - 1}", f"flash < {flash + 1} B"
    ]  # fmt: skip
    ms = old["latency"]["ms"]
    assert broken(old, f"time>{900 * ms}us", f"time>{1100 * ms}us", f"time>{ms / 900:.9f}s") == [f"time>{900 * ms}us"]


def test_limits_on_changes(old, new):
    assert broken(new, "flash>+4095", "flash>+4KiB", "flash>+3.9KiB", since=old) == ["flash>+4095", "flash>+3.9KiB"]
    assert broken(new, "time>+99%", "time>+101%", "snr<-2dB", "snr<-4dB", "ram>+0", since=old) == [
        "time>+99%", "snr<-2dB"
    ]  # fmt: skip
    nothing = copy.deepcopy(old)
    nothing["ram"]["state_bytes"] = 0
    assert broken(old, "state>+500%", since=nothing) == ["state>+500%"], "from nothing to something is no percentage"


def test_a_figure_that_is_not_known_breaks_no_limit(old):
    bare = {**old, "accuracy": None}
    assert broken(bare, "snr<100dB") == []
    assert broken(old, "snr<-1dB", since=bare) == []


@pytest.mark.parametrize(
    ("text", "help_"),
    [
        ("flsh>1", "did you mean 'flash'"), ("flash", "for example"), ("flash>2%", "flash>+2%"),
        ("flash>2ms", "flash is in B"), ("time>1KiB", "time is in ms"), ("macs>1B", "no unit"), ("flash>=1", ""),
    ],
)  # fmt: skip
def test_what_is_no_limit_is_explained(text, help_):
    limits, problems = parse([text, "ram>1"])
    assert [limit.text for limit in limits] == ["ram>1"]
    assert [p.code for p in problems] == ["MQ900"]
    assert help_ in problems[0].help


# --- renderings ----------------------------------------------------------------------------------------------------


def test_people_see_words_with_signs(old, new):
    for fmt in ("table", "markdown"):
        text = report.render_difference(difference([old], [new], parse(["snr<-1dB"])[0]), fmt)
        assert "+4.0 KiB (+" in text and "-3.0 dB" in text and "s8 -> f16" in text and "same" in text
    assert text.startswith("* **error**: tiny on nucleo_f446re: snr is"), "a pull request sees findings first"


def test_csv_and_json_of_a_difference(old, new):
    made = difference([old], [new])
    assert json.loads(report.render_difference(made, "json")) == made
    rows = {r["figure"]: r for r in csv.DictReader(io.StringIO(report.render_difference(made, "csv")))}
    assert float(rows["flash"]["change"]) == 4096


def test_the_page_of_a_difference(old, new):
    text = report.render_difference(difference([old], [new]), "html")
    assert "+4.0 KiB" in text and "dense_2" in text and not re.search(r"https?://", text)


def test_some_formats_show_no_changes(old):
    assert report.render_difference(difference([old], [old]), "model-explorer") is None


def junit(text):
    root = ET.fromstring(text)
    return {
        (c.get("classname"), c.get("name")): "".join(e.tag for e in c if e.tag in ("failure", "skipped"))
        for c in root.iter("testcase")
    }


def test_junit_has_a_suite_per_board_and_fails_what_does_not_fit(old):
    suite = "tiny on nucleo_f446re"
    assert junit(report.render([old], "junit")) == {(suite, n): "" for n in ("flash", "ram", "time")}
    old["flash"]["available_bytes"] = 100
    old["real_time"] = False
    text = report.render([old], "junit")
    assert junit(text) == {(suite, "flash"): "failure", (suite, "ram"): "", (suite, "time"): "skipped"}
    root = ET.fromstring(text)[0]
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("3", "1", "1")


def test_junit_of_a_difference_fails_the_pair_with_findings(old, new):
    name = "tiny on nucleo_f446re"
    fine = report.render_difference(difference([old], [new]), "junit")
    assert junit(fine) == {("changes", name): ""}
    bad = report.render_difference(difference([old], [new], parse(["flash>+2%"])[0]), "junit")
    assert junit(bad) == {("changes", name): "failure"}
    assert "flash is" in bad


def test_sarif_has_the_shape_that_services_read(old, new):
    text = {"where": "calibration", "message": "no data", "rule": "", "help": "pass --data"}
    old["diagnostics"] = [{"code": "MQ402", "severity": "warning", **text}]
    log = json.loads(report.render([old, {**old, "board": "b"}], "sarif"))
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    assert [r["id"] for r in run["tool"]["driver"]["rules"]] == ["MQ402"]
    assert [r["level"] for r in run["results"]] == ["warning", "warning"]
    assert len({r["partialFingerprints"]["mcuQuant/v1"] for r in run["results"]}) == 2
    for result in run["results"]:
        assert result["message"]["text"] == "calibration: no data\npass --data"
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "tiny.onnx"
    limits = parse(["flash>+2%", "time>+1%"])[0]
    log = json.loads(report.render_difference(difference([old], [new], limits), "sarif"))
    assert [r["ruleId"] for r in log["runs"][0]["results"]] == ["MQ505", "MQ505"]
    assert "MQ505" in CATALOGUE


def test_model_explorer_colours_nodes_by_format(old):
    data = json.loads(report.render([old], "model-explorer"))
    assert {n: r["value"] for n, r in data["results"].items()} == {"lstm": "s8", "dense": "f16", "mask": "s16"}
    assert len({r["bgColor"] for r in data["results"].values()}) == 3
