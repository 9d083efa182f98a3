"""`mcu-quant flash` with simulated probes: programs of the tools' names on PATH, which note their arguments and replay
what the real ones print."""

from __future__ import annotations

import json
import os
import pty
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_quant import api, boards, selftest_log
from mcu_quant.cli import main
from mcu_quant.flash import reader, tools
from tests import streaming_model

FAKE = """#!{python}
import json, os, sys, time
with open({calls!r}, "a") as stream:
    stream.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
for line in open({script!r}).read().split("\\f")[-1 if "run" in sys.argv or {single} else 0].splitlines():
    if line.startswith("sleep "):
        time.sleep(float(line.split()[1]))
    elif line.startswith("exit "):
        sys.exit(int(line.split()[1]))
    else:
        print(line, flush=True)
"""

#: What the tools printed with no probe plugged in: OpenOCD 0.12.0 and pyOCD 0.46.0 as run, probe-rs as in its source.
NO_PROBE = {
    "openocd": "Info : clock speed 1800\nError: open failed\nin procedure 'program'\n** OpenOCD init failed **\nexit 1",
    "pyocd": "No connected debug probes\n0000463 E No target device available [load_cmd]\nexit 1",
    "probe-rs": "Error: No connected probes were found.\nexit 1",
}
FAILED = {
    "openocd": "Error: error writing to flash at address 0x08000000\n** Programming Failed **\nexit 1",
    "pyocd": "0001893 C flash program page failure (address 0x08000000; result code 0x1) [__main__]\nexit 1",
    "probe-rs": "Error: Failed to flash ELF file\nexit 1",
}
TOOLS = sorted(NO_PROBE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("flash")
    streaming_model.write(made)
    request = api.BuildRequest(
        api.Source(made / "tiny.onnx"), "nucleo_h743zi2", made / "fw", api.PrecisionRequest("s8")
    )
    api.build(request)
    return made / "fw"


@pytest.fixture
def elf(tmp_path: Path) -> Path:
    """Any file: simulated probes do not look into it."""
    made = tmp_path / "selftest.elf"
    made.write_bytes(b"\x7fELF")
    return made


def recorded(folder: Path, *, differ: int = 0, weights: str = "0x00000001") -> str:
    """The log of a board on which steps took 100, 110, ... cycles."""
    manifest = json.loads((folder / "manifest.json").read_text())
    steps = json.loads((folder / "selftest" / "interface.json").read_text())["steps"]
    run = selftest_log.Run(
        model="tiny",
        board="nucleo_h743zi2",
        isa=manifest["isa"],
        schedule=manifest["files"]["tiny.c"][: selftest_log.SCHEDULE_DIGITS],
        frames=7,
        clock_hz=64_000_000,
        counter="dwt",
        passed=not differ and weights == "0x00000001",
        steps={i: selftest_log.Measured(100 + 10 * i, 90, 120 + 10 * i) for i in range(len(steps))},
        outputs={0: selftest_log.Output(differ, 24)},
        frame=selftest_log.Measured(6400, 6300, 6500),
        stack_bytes=512,
    )
    text = selftest_log.written(run)
    line = f"mq: weights crc32={weights} expected=0x00000001\n"
    head, end = text.split("mq: end ")
    count = len(text.splitlines()) + 1
    return f"{head}{line}mq: end {end.split('lines=')[0]}lines={count}\n"


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Callable[[], list[list[str]]]]:
    """Puts a simulated tool on PATH; returns what reads the calls it got. Parts of a script between form feeds are for
    one call each, the last for `run`."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(reader, "_GRACE_SECONDS", 0.2)
    which = tools.shutil.which
    monkeypatch.setattr(tools.shutil, "which", lambda n: which(n) if (tmp_path / "bin" / n).exists() else None)

    def install(name: str, script: str) -> Callable[[], list[list[str]]]:
        calls, text = tmp_path / f"{name}.calls", tmp_path / f"{name}.script"
        text.write_text(script)
        made = tmp_path / "bin" / name
        made.write_text(FAKE.format(python=sys.executable, calls=str(calls), script=str(text), single=name != "pyocd"))
        made.chmod(0o755)
        return lambda: [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    return install


def flash(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as leaving:
        main(["flash", *map(str, args)], prog_name="mcu-quant")
    out, err = capsys.readouterr()
    return int(str(leaving.value.code)), out, err


def codes(text: str) -> list[str]:
    return [d["code"] for d in json.loads(text)["diagnostics"]]


EXPECTED = {
    "openocd": [
        [
            *("openocd", "-f", "board/st_nucleo_h743zi.cfg", "-c", "gdb_port disabled", "-c", "tcl_port disabled"),
            *("-c", "telnet_port disabled", "-c", "adapter serial 0123", "-c", "program {ELF} verify"),
            *("-c", "arm semihosting enable", "-c", "reset run"),
        ]
    ],
    "pyocd": [
        ["pyocd", verb, "--no-wait", "--target", "stm32h743xx", "--probe", "0123", "ELF"] for verb in ("load", "run")
    ],
    "probe-rs": [["probe-rs", "run", "--non-interactive", "--chip", "STM32H743ZITx", "--probe", "0123", "ELF"]],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_flashes_and_reads_the_self_test_back(tool, folder, elf, probe, capsys) -> None:
    # what stands before the mark in a line, and lines of the tool itself, are passed over
    log = recorded(folder).replace("mq: clock", "[INFO] 0.1 mq: clock")
    calls = probe(tool, f"erased\nwritten\n\fInfo : halted\n{log}sleep 60\n")
    arguments = (folder, "--tool", tool, "--elf", elf, "--probe", "0123")
    status, out, err = flash(capsys, *arguments, "--format", "json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    steps = json.loads((folder / "selftest" / "interface.json").read_text())["steps"]
    assert found["passed"] and found["counter"] == "dwt" and found["cycles"] == 6400 and found["stack_bytes"] == 512
    shares = found["conversions"] + found["copies"] + sum(found["operators"].values())
    assert shares == sum(100 + 10 * i for i in range(len(steps))) and found["weights_intact"]
    assert set(found["operators"]) == {s["operator"] for s in steps if s["purpose"] == "compute"}
    expected = [[word.replace("ELF", str(elf)) for word in call] for call in EXPECTED[tool]]
    assert calls() == found["commands"] == expected


def test_the_table_has_time_at_the_measured_clock(folder, elf, probe, capsys, tmp_path) -> None:
    log = recorded(folder)
    probe("probe-rs", log)
    status, out, _ = flash(capsys, folder, "--elf", elf, "--log", tmp_path / "kept.log")
    assert status == 0
    for words in ("passed on nucleo_h743zi2 (probe-rs): 8 frames; 0.1 ms a frame at 64 MHz", "512 B", "intact", "lstm"):
        assert words in out
    assert (tmp_path / "kept.log").read_text() == log


@pytest.mark.parametrize("tool", TOOLS)
def test_dry_run_shows_what_the_real_one_runs(tool, folder, elf, probe, capsys) -> None:
    calls = probe(tool, "")
    status, out, _ = flash(
        capsys, folder, "--tool", tool, "--elf", elf, "--probe", "0123", "--dry-run", "--format", "json"
    )
    assert status == 0 and calls() == []
    assert json.loads(out)["commands"] == [[w.replace("ELF", str(elf)) for w in call] for call in EXPECTED[tool]]
    status, out, _ = flash(capsys, folder, "--tool", tool, "--elf", elf, "--dry-run")
    assert status == 0 and out.splitlines()[0] == f"# {tool} on nucleo_h743zi2: built, not run"


def test_the_first_tool_that_is_there_and_knows_the_board(folder, elf, probe, capsys) -> None:
    probe("openocd", recorded(folder))
    status, out, _ = flash(capsys, folder, "--elf", elf, "--format", "json")
    assert (status, json.loads(out)["tool"]) == (0, "openocd")


def test_all_that_is_missing_is_said_at_once(folder, elf, probe, capsys) -> None:
    status, out, _ = flash(capsys, folder, "--elf", elf, "--format", "json")
    found = json.loads(out)["diagnostics"]
    assert status == 2 and [d["where"] for d in found] == ["probe-rs", "pyocd", "openocd"]
    assert all(d["code"] == "MQ601" and d["help"] for d in found)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("transcripts", "words"), [(NO_PROBE, "there is no probe"), (FAILED, "the flash could not be written")]
)
def test_what_goes_wrong_is_named(tool, transcripts, words, folder, elf, probe, capsys) -> None:
    probe(tool, transcripts[tool])
    status, out, err = flash(capsys, folder, "--tool", tool, "--elf", elf)
    assert (status, out) == (2, "")
    assert f"error[MQ606] {tool}: {words}" in err and "help:" in err
    assert transcripts[tool].splitlines()[0] in err  # and the tool's own words


def test_a_chip_that_pyocd_does_not_know_yet_names_its_pack(folder, elf, probe, capsys) -> None:
    probe("pyocd", "0000512 C Target type stm32h743xx not recognized. Use 'pyocd list --targets' [__main__]\nexit 1")
    _, _, err = flash(capsys, folder, "--tool", "pyocd", "--elf", elf)
    assert "pyocd pack install stm32h743xx" in err


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("flashed\nsleep 60", "the board printed nothing of a self-test within"),
        ("mq: log version=1\nmq: clock hz=0 counter=dwt\nsleep 60", "the log stopped in the middle within"),
        ("flashed\nthe core took a fault\nexit 1", "exit status 1"),
        ("flashed\nthe core took a fault", "the core took a fault"),
        ("flashed", "ended without the log of a self-test"),
    ],
)
def test_a_board_that_does_not_answer(said, words, folder, elf, probe, capsys) -> None:
    probe("probe-rs", said)
    status, out, err = flash(capsys, folder, "--elf", elf, "--timeout", "0.7")
    assert (status, out) == (2, "") and words in err and "help:" in err


def test_a_failed_self_test_is_a_finding(folder, elf, probe, capsys) -> None:
    probe("openocd", recorded(folder, differ=3))
    status, out, _ = flash(capsys, folder, "--elf", elf, "--format", "json")
    assert (status, codes(out)) == (1, ["MQ604"]) and "3 of 24 values" in out
    probe("openocd", recorded(folder, weights="0x00000002"))
    status, out, err = flash(capsys, folder, "--elf", elf)
    assert status == 1 and "CHANGED" in out and "0x00000002" in err


def test_a_program_of_another_build_is_refused(folder, elf, probe, capsys) -> None:
    log = recorded(folder)
    digest = json.loads((folder / "manifest.json").read_text())["files"]["tiny.c"][: selftest_log.SCHEDULE_DIGITS]
    probe("openocd", log.replace(digest, "0" * len(digest)))
    status, out, _ = flash(capsys, folder, "--elf", elf, "--format", "json")
    assert (status, codes(out)) == (2, ["MQ607"])


def test_the_log_may_come_through_a_serial_port(folder, elf, probe, capsys) -> None:
    ours, theirs = pty.openpty()
    probe("openocd", "programmed\nsleep 60\n")
    text = recorded(folder).replace("\n", "\r\n").encode()
    sender = threading.Timer(0.4, lambda: os.write(ours, text))
    sender.start()
    arguments = ("--elf", elf, "--serial", f"{os.ttyname(theirs)}@115200", "--timeout", "20", "--format", "json")
    status, out, err = flash(capsys, folder, *arguments)
    sender.join()
    os.close(ours)
    os.close(theirs)
    assert (status, err) == (0, "") and json.loads(out)["passed"]


@pytest.mark.parametrize("text", ["", "@9600", "/dev/ttyACM0@fast"])
def test_a_serial_port_that_is_none(text, folder, elf, probe, capsys) -> None:
    status, out, _ = flash(capsys, folder, "--elf", elf, "--serial", text, "--format", "json")
    assert (status, codes(out)) == (2, ["MQ900"])


def test_a_port_that_cannot_be_opened(folder, elf, probe, capsys) -> None:
    probe("openocd", recorded(folder))
    status, out, _ = flash(capsys, folder, "--elf", elf, "--serial", "/dev/no-such-port", "--format", "json")
    assert (status, codes(out)) == (2, ["MQ606"])


def test_a_missing_program_file(folder, probe, capsys) -> None:
    probe("openocd", "")
    status, out, _ = flash(capsys, folder, "--elf", folder / "none.elf", "--format", "json")
    assert (status, codes(out)) == (2, ["MQ606"])


def test_every_board_with_a_probe_has_a_name_for_each_key_it_needs() -> None:
    """An interface without a target, or the other way round, would be of no use."""
    for board in boards.all_boards():
        names = board.debug
        assert not (names.openocd_interface and not names.openocd_target), board.id
        assert not names.openocd_target or names.openocd_interface, board.id
        for tool in tools.PROBES:
            if not tool.unknown(board):
                words = [w for s in tool.steps(tools.Job(board, Path("a.elf"))) for w in s.argv]
                assert (
                    words.count("None") == 0 and sum(s.reads for s in tool.steps(tools.Job(board, Path("a.elf")))) == 1
                )


@pytest.mark.slow
def test_on_the_emulated_core(folder, capsys) -> None:
    if not tools.QEMU.installed:
        pytest.skip("qemu-system-arm is not installed: this test was NOT run")
    status, out, err = flash(capsys, folder, "--tool", "qemu", "--format", "json")
    found = json.loads(out)
    assert (status, err) == (0, "") and found["passed"] and found["counter"] == "emulated" and found["cycles"] > 0


@pytest.mark.slow
def test_c_of_the_users_own_replaces_weak_functions(folder, capsys, tmp_path) -> None:
    if not tools.QEMU.installed:
        pytest.skip("qemu-system-arm is not installed: this test was NOT run")
    (tmp_path / "clock.c").write_text(
        '#include "selftest.h"\nuint32_t selftest_clock_hz(void) { return 123456789u; }\n'
    )
    arguments = ("--tool", "qemu", "--with", tmp_path / "clock.c", "--format", "json")
    status, out, _ = flash(capsys, folder, *arguments)
    assert (status, json.loads(out)["clock_hz"]) == (0, 123456789)
