"""`calibrate`: a log in, what changed shown, and reports that rest on it until it is forgotten."""

import json

import pytest

from mcu_quant.selftest_log import Measured, Run, written


@pytest.fixture
def log(built, tmp_path, monkeypatch):
    """A log of the build's self-test on a board that takes twice as long as the tables say."""
    monkeypatch.setenv("MCU_QUANT_CALIBRATIONS", str(tmp_path / "home"))
    report = json.loads((built / "report.json").read_text())
    manifest = json.loads((built / "manifest.json").read_text())
    model = next(n for n in manifest["files"] if n.endswith("_weights.c") and "/" not in n).removesuffix("_weights.c")
    steps = {i: Measured(2 * c["cycles"]) for i, c in enumerate(report["memory"]["calls"])}
    schedule = manifest["files"][f"{model}.c"][:16]
    hz = report["target"]["clock_hz"]
    path = tmp_path / "uart.log"
    path.write_text(written(Run(model, report["board"], "dsp", schedule, 8, hz, "dwt", True, steps, {})))
    return path


def test_a_board_is_calibrated_shown_and_forgotten(built, log, cli):
    board = json.loads((built / "report.json").read_text())["board"]
    command = ("calibrate", "--board", board, log, "--build", built, "--day", "2026-11-20")
    status, out, _ = cli(*command, "--dry-run")
    assert status == 0 and "not written" in out
    status, out, _ = cli(*command)
    assert status == 0 and "measured on 2026-11-20" in out and "factor" in out
    status, out, _ = cli("calibrate", "--board", board, "--show", "--format", "json")
    assert status == 0 and json.loads(out)["measured"][0]["day"] == "2026-11-20"
    status, out, _ = cli("report", built, "--board", board)
    assert status == 0 and "fitted" in out and "to what a board of this type measured" in out
    status, out, _ = cli("calibrate", "--board", board, "--forget")
    assert status == 0 and "removed" in out
    status, out, _ = cli("calibrate", "--board", board, "--show")
    assert status == 0 and "nothing was measured" in out


def test_what_cannot_be_used_is_said_with_a_remedy(built, log, failing):
    assert failing(2, "calibrate", "--board", "nucleo_f446re")[0] == ["MQ900"]
    assert failing(2, "calibrate", "--board", "raspberry_pi_pico", log, "--build", built)[0] == ["MQ506"]
    assert failing(2, "calibrate", "--board", "nucleo_f446re", log, "--day", "yesterday")[0] == ["MQ900"]
    log.write_text("mqtt: connected\n")
    assert failing(2, "calibrate", "--board", "nucleo_f446re", log, "--build", built)[0] == ["MQ506"]
