"""`mcu-quant boards`: filters, comparison, which boards hold a model, and a file for another board."""

import csv
import io
import json

import pytest

from mcu_quant import boards


def ids(out):
    return [b["id"] for b in json.loads(out)["boards"]]


def test_filters(cli):
    _, out, _ = cli("boards", "--core", "cortex-m4", "--ram", "256KiB", "--flash", "1MiB", "--format", "json")
    found = [boards.load(b) for b in ids(out)]
    assert found
    expected = [
        b.id
        for b in boards.all_boards()
        if b.core.name == "cortex-m4"
        and b.arena_memory.usable_bytes >= 256 * 1024
        and b.program_memory.usable_bytes >= 1024 * 1024
    ]
    assert [b.id for b in found] == expected


def test_boards_side_by_side(cli):
    _, out, _ = cli("boards", "nucleo_f446re", "nucleo_h743zi2")
    assert "NUCLEO-F446RE" in out and "NUCLEO-H743ZI2" in out and "131 072" in out
    _, out, _ = cli("boards", "nucleo_f446re", "nucleo_h743zi2", "--format", "csv")
    assert [r["id"] for r in csv.DictReader(io.StringIO(out))] == ["nucleo_f446re", "nucleo_h743zi2"]


@pytest.mark.parametrize("args", [("--core", "cortex-m5"), ("--ram", "lots"), ("new",), ("new", "My Board.toml")])
def test_what_makes_no_sense_is_explained(args, failing):
    codes, _ = failing(2, "boards", *args)
    assert codes == ["MQ900"]


def test_a_new_file_can_be_used_at_once_and_is_never_written_over(tmp_path, cli, failing):
    file = tmp_path / "my_board.toml"
    status, out, _ = cli("boards", "new", file, "--like", "raspberry_pi_pico")
    assert status == 0 and "raspberry_pi_pico" in out
    assert boards.load(file).core.name == "cortex-m0plus"
    codes, _ = failing(2, "boards", "new", file)
    assert codes == ["MQ702"]


def test_which_boards_hold_a_model(built, cli, tmp_path):
    small = tmp_path / "small.toml"
    cli("boards", "new", small, "--like", "nucleo_f446re")
    small.write_text(small.read_text().replace("bytes = 131_072", "bytes = 256"))
    status, out, _ = cli("boards", "nucleo_f446re", small, "raspberry_pi_pico", "--fits", built, "--format", "json")
    reports = json.loads(out)["reports"]
    assert status == 0
    assert [(r["board"], r["fits"]) for r in reports] == [
        ("nucleo_f446re", True), ("raspberry_pi_pico", True), ("small", False)
    ]  # fmt: skip
    status, out, _ = cli("boards", small, "--fits", built)
    assert status == 1 and "RAM" in out
