"""The command line from outside: help, lists, usage errors, and the tool's own defects."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import mcu_quant
from mcu_quant import api
from mcu_quant.cli import Commands
from mcu_quant.diagnostics import CATALOGUE

COMMANDS = [
    *("inspect", "pipeline", "plan", "plans", "explore", "build", "test", "run", "demo", "flash", "report"),
    *("calibrate", "boards", "ops", "strategies", "doctor", "explain"),
]


# --- light ---------------------------------------------------------------------------------------------------------


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from mcu_quant.cli import main\n"
        "try:\n    main(['build', '--help'])\nexcept SystemExit as e:\n    assert e.code == 0, e.code\n"
        "heavy = {'numpy', 'scipy', 'onnx', 'onnx_ir', 'onnxruntime', 'rich', 'jinja2', 'jsonschema', 'cffi'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, mcu_quant; mcu_quant.Diagnostic; assert not {'numpy', 'onnx', 'click'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_python_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "mcu_quant", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("mcu-quant, version ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(cli, name):
    status, out, err = cli(name, "--help")
    assert (status, err) == (0, "")
    assert "Examples:" in out
    assert f"mcu-quant {name}" in out


def test_the_commands_are_these_in_this_order(cli):
    assert Commands("x").list_commands(None) == COMMANDS
    status, out, _ = cli("--help")
    assert status == 0
    assert [line.split()[0] for line in out.split("Commands:")[1].splitlines()[1 : len(COMMANDS) + 1]] == COMMANDS


# --- lists ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ("boards",),
        ("boards", "nucleo_f446re"),
        ("ops",),
        ("ops", "LSTM"),
        ("strategies",),
        ("doctor",),
        ("explain",),
        ("explain", "mq402"),
    ],
    ids=" ".join,
)
def test_lists_in_every_format(cli, args):
    status, out, err = cli(*args)
    assert (status, err) == (0, "")
    assert out.strip()
    status, out, err = cli(*args, "--format", "json")
    assert (status, err) == (0, "")
    assert isinstance(json.loads(out), dict)
    status, out, err = cli(*args, "--format", "csv")
    assert (status, err) == (0, "")
    assert len({len(row) for row in csv.reader(io.StringIO(out))}) == 1


def test_explain_knows_every_code(cli):
    for code, entry in CATALOGUE.items():
        _, out, _ = cli("explain", code, "--format", "json")
        assert json.loads(out)["title"] == entry.title


def test_doctor_says_how_to_get_what_is_missing(cli, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CC", raising=False)
    status, out, _ = cli("doctor", "--format", "json")
    assert status == 1
    found = json.loads(out)
    assert not found["complete"]
    compiler = next(t for t in found["tools"] if t["name"] == "C compiler")
    assert not compiler["ok"]
    assert "apt install gcc" in compiler["remedy"]


def test_doctor_says_what_the_cache_takes(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("MCU_QUANT_CACHE", str(tmp_path))
    own = tmp_path / "mcu-quant"
    own.mkdir()
    (own / "kernels.so").write_bytes(bytes(3 * 2**20))
    monkeypatch.setenv("MCU_QUANT_CACHE_MIB", "5")
    _, out, _ = cli("doctor", "--format", "json")
    kept = next(t for t in json.loads(out)["tools"] if t["name"] == "cache")
    assert kept["found"] == f"{own}, 3 of 5 MiB"


# --- usage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["buidl"], "did you mean 'build'"),
        (["build", "m.onnx"], "--board"),
        (["build", "m.onnx", "--board"], "--board"),
        (["boards", "--colour"], "--colour"),
        (["inspect", "m.onnx", "--bind", "n", "--state", "h"], "--state h"),
        (["explain", "MQ000"], "MQ000"),
        (["ops", "Comv"], "did you mean"),
        (["test"], "DIR"),
        (["test", "x", "--frames", "0"], "--frames"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_usage_errors(failing, args, word):
    codes, err = failing(2, *args)
    assert set(codes) == {"MQ900"}
    assert word in err


# --- the tool's own defects ----------------------------------------------------------------------------------------


@pytest.fixture
def defect(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("of course")

    monkeypatch.setattr(api.stages, "read", broken)
    monkeypatch.delenv("MCU_QUANT_DEBUG", raising=False)


def test_an_internal_error_is_said_without_a_traceback(failing, project, defect):
    codes, err = failing(2, "inspect", project / "tiny.onnx")
    assert codes == ["MQ999"]
    assert "ZeroDivisionError: of course" in err
    assert "--save-repro" in err


def test_the_traceback_is_there_on_request(cli, project, defect, monkeypatch):
    monkeypatch.setenv("MCU_QUANT_DEBUG", "1")
    status, _, err = cli("inspect", project / "tiny.onnx")
    assert status == 2
    assert "Traceback" in err


def test_what_reproduces_a_defect_can_be_saved(cli, project, defect, tmp_path):
    repro = tmp_path / "repro"
    status, _, err = cli("inspect", project / "tiny.onnx", "--save-repro", repro)
    assert status == 2
    assert str(repro) in err
    assert {p.name for p in repro.iterdir()} == {"command.json", "traceback.txt", "tiny.onnx"}
    assert "ZeroDivisionError" in (repro / "traceback.txt").read_text()


def test_the_package_states_the_version_that_it_is_published_under():
    import tomllib

    stated = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert stated.get("version", mcu_quant.__version__) == mcu_quant.__version__


def test_the_documentation_names_every_command_and_option():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    group = Commands("x")
    for name in COMMANDS:
        assert f"`{name}" in page
        for parameter in group.get_command(None, name).params:
            for option in (o for o in parameter.opts if o.startswith("-")):
                assert option in page, f"docs/cli.md does not name {option} of {name}"
