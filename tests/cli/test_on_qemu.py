"""`mcu-quant test --on qemu`: what it says beyond the host's test."""

import json

import pytest

from mcu_quant import boards
from mcu_quant.emulator import qemu

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def tools():
    missing = qemu.missing(qemu.target_of(boards.load("nucleo_f446re")))
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: this test was NOT run")


def test_the_board_gives_what_the_host_gives_and_is_counted(cli, built):
    _, out, _ = cli("test", built, "--format", "json", "--frames", 50)
    host = json.loads(out)
    status, out, err = cli("test", built, "--on", "qemu", "--format", "json", "--frames", 50)
    assert (status, err) == (0, "")
    board = json.loads(out)
    assert board["target"] == "qemu:mps2-an386"
    same = ("passed", "frames", "mismatches", "outputs", "reference", "data", "required_snr_db")
    assert {k: board[k] for k in same} == {k: host[k] for k in same}
    instructions = board["instructions"]
    assert set(instructions["operators"]) == {"lstm", "dense", "mask"}
    assert instructions["frames"] == 10
    most = max(instructions["operators"], key=instructions["operators"].get)
    assert most == "lstm"
    assert 0 < instructions["overhead_share"] < 0.2
    assert 0 < board["stack_high_water_bytes"] <= board["linked"]["stack_bytes"]
    report = json.loads((built / "report.json").read_text())
    assert board["linked"]["flash_bytes"] == report["flash"]["total_bytes"]


def test_the_table_shows_where_instructions_go(cli, built):
    status, out, _ = cli("test", built, "--on", "qemu", "--frames", 5)
    assert status == 0
    for word in ("passed on qemu:mps2-an386", "instructions per frame", "lstm", "conversions", "high-water mark"):
        assert word in out


def test_a_missing_emulator_is_named(failing, built, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    codes, _ = failing(2, "test", built, "--on", "qemu", "--frames", 5)
    assert codes == ["MQ601"]
