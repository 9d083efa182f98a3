"""`report --diff`, `--fail-on`, `-o`, and reports made from stored ones."""

import json

import pytest


def changed(built, folder, **flash):
    document = json.loads((built / "report.json").read_text())
    document["flash"] |= flash
    path = folder / "new.json"
    path.write_text(json.dumps(document))
    return path


def test_changes_within_limits_end_with_0_and_beyond_with_1(built, tmp_path, cli):
    total = json.loads((built / "report.json").read_text())["flash"]["total_bytes"]
    newer = changed(built, tmp_path, total_bytes=total + 1000)
    assert cli("report", "--diff", built, newer, "--fail-on", "flash>+1001")[0] == 0
    status, out, err = cli("report", "--diff", built, newer, "--fail-on", "flash>+999", "--fail-on", "ram>+0")
    assert status == 1
    assert "+1000 B" in out
    assert "MQ505" in err and "--fail-on flash>+999" in err and "ram" not in err
    status, out, err = cli("report", "--diff", built, newer, "--fail-on", "flash>+999", "--format", "json")
    assert (status, err) == (1, "")
    assert [d["code"] for d in json.loads(out)["diagnostics"]] == ["MQ505"]


def test_what_no_longer_fits_ends_with_1_without_any_limit(built, tmp_path, cli):
    newer = changed(built, tmp_path, available_bytes=10)
    document = json.loads(newer.read_text())
    newer.write_text(json.dumps({**document, "fits": False}))
    status, _, err = cli("report", "--diff", built, newer)
    assert status == 1 and "no longer fits" in err


def test_a_limit_needs_no_older_report(built, cli):
    assert cli("report", built, "--fail-on", "flash>1MiB")[0] == 0
    status, out, err = cli("report", built, "--fail-on", "flash>1B", "--format", "json")
    assert status == 1 and "MQ505" in err
    json.loads(out)


def test_a_limit_on_a_change_needs_one(built, failing):
    codes, err = failing(2, "report", built, "--fail-on", "flash>+2%", "--fail-on", "nothing>1")
    assert codes == ["MQ900", "MQ900"] and "--diff OLD" in err


def test_a_stored_report_is_shown_in_any_format_and_written_to_a_file(built, tmp_path, cli):
    page = tmp_path / "page.html"
    status, out, _ = cli("report", built / "report.json", "--format", "html", "-o", page)
    assert (status, out) == (0, "")
    assert page.read_text() == (built / "report.html").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["page.html"]


def test_a_front_is_shown_with_the_build_that_it_was_measured_for(built, tmp_path, cli, failing):
    row = {"plan": "uniform f32", "snr_db": 90.0, "flash_bytes": 9000, "ram_bytes": 500, "ms": 0.5}
    file = tmp_path / "front.json"
    for board, shown in (("nucleo_f446re", True), ("nucleo_h743zi2", False)):
        file.write_text(json.dumps({"model": "tiny", "board": board, "points": [row]}))
        status, out, _ = cli("report", built, "--front", file, "--format", "html")
        assert (status, "uniform f32" in out) == (0, shown)
    file.write_text("{}")
    codes, _ = failing(1, "report", built, "--front", file)
    assert codes == ["MQ704"]


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1}', '{"reports": [{}]}'])
def test_what_is_no_report_is_named(text, tmp_path, failing):
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    codes, err = failing(1, "report", bad)
    assert codes == ["MQ704"] and "bad.json" in err


def test_a_format_without_changes_says_which_have_them(built, cli):
    status, out, err = cli("report", "--diff", built, built, "--format", "model-explorer")
    assert (status, out) == (2, "")
    assert "MQ900" in err and "table" in err


def holding(report, bank):
    """What lies in a bank, and what the report takes for granted."""
    (found,) = (r["holds"] for r in report["regions"] if r["name"] == bank)
    return found, report["latency"]["assumptions"]


def test_where_things_lie_holds_on_other_boards_as_far_as_they_have_the_memory(built, cli, failing):
    boards = ("--board", "nucleo_h743zi2", "--board", "nucleo_f446re")
    status, out, _ = cli("report", built, "--place", "arena=dtcm", *boards, "--format", "json")
    assert status == 0
    h743, f446 = json.loads(out)["reports"]
    assert "arena" in holding(h743, "dtcm")[0]
    held, assumed = holding(f446, "sram")
    assert "arena" in held and "arena where it usually is: there is no dtcm" in assumed
    codes, err = failing(2, "report", built, "--place", "arena=dtcn", *boards)
    assert codes == ["MQ507"] and "did you mean 'dtcm'" in err


def test_a_folder_keeps_its_placement_on_other_boards(project, tmp_path, cli):
    where = ("--board", "nucleo_h743zi2", "--preset", "s8", "--place", "weights=dtcm", "-o", tmp_path / "placed")
    assert cli("build", project / "tiny.onnx", *where)[0] == 0
    status, out, _ = cli("report", tmp_path / "placed", "--board", "nucleo_h7a3zi_q", "--format", "json")
    assert status == 0
    assert holding(json.loads(out), "dtcm")[0]["copied"] > 0
