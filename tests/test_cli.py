"""The command line from outside: what it prints, where, with which exit status, and what it leaves behind."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import mcu_quant
from mcu_quant import api, folder, schemas
from mcu_quant.cli import Commands, main
from mcu_quant.diagnostics import CATALOGUE
from mcu_quant.precision import plan as plans
from tests import streaming_model

COMMANDS = ["inspect", "plan", "build", "test", "run", "report", "boards", "ops", "doctor", "explain"]


@pytest.fixture
def cli(capsys):
    """Runs a command line; returns exit status, stdout and stderr."""

    def run(*args):
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main([str(a) for a in args], prog_name="mcu-quant")
        out, err = capsys.readouterr()
        return leaving.value.code, out, err

    return run


@pytest.fixture
def failing(cli):
    """Runs a command line that must fail, in both forms; returns the codes of its diagnostics, and their texts."""

    def run(status, *args):
        code, out, err = cli(*args)
        assert code == status, err
        assert out == ""
        assert "Traceback" not in err
        code, out, noise = cli(*args, "--format", "json")
        assert (code, noise) == (status, "")
        found = json.loads(out)["diagnostics"]
        for d in found:
            assert f"{d['severity']}[{d['code']}]" in err
            assert d["help"] or d["code"] == "MQ999", f"{d['code']} has no remedy"
        return [d["code"] for d in found if d["severity"] == "error"], err

    return run


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a model, its pipeline, and speech."""
    made = tmp_path_factory.mktemp("project")
    streaming_model.write(made)
    streaming_model.speech(made / "speech")
    return made


@pytest.fixture(scope="module")
def built(project):
    """A firmware folder of that model."""
    request = api.BuildRequest(
        api.Source(project / "tiny.onnx"), "nucleo_f446re", project / "fw", data=project / "speech"
    )
    api.build(request)
    return project / "fw"


@pytest.fixture
def copied(built, tmp_path):
    """The firmware folder and its project in a place of its own, to be spoilt."""
    shutil.copytree(built.parent, tmp_path / "project")
    return tmp_path / "project" / "fw"


def snapshot(path):
    return {p.relative_to(path): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


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
    assert [line.split()[0] for line in out.split("Commands:")[1].splitlines()[1:11]] == COMMANDS


# --- lists ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ("boards",),
        ("boards", "nucleo_f446re"),
        ("ops",),
        ("ops", "LSTM"),
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


# --- the main way --------------------------------------------------------------------------------------------------


def test_inspect(cli, project):
    status, out, _ = cli("inspect", project / "tiny.onnx", "--format", "json")
    assert status == 0
    found = json.loads(out)
    assert [o["op"] for o in found["operators"]] == ["LSTM", "Reshape", "Gemm", "Sigmoid"]
    assert {s["input"] for s in found["states"]} == {"h_in", "c_in"}
    assert found["frame_ms"] == 1.0
    status, out, _ = cli("inspect", project / "tiny.onnx")
    assert status == 0
    assert "h_in <- h_out" in out


def test_plan_is_written_and_not_written_over(cli, failing, project, tmp_path):
    target = tmp_path / "plan.toml"
    args = ["plan", project / "tiny.onnx", "--data", project / "speech", "--set", "mask=f32", "-o", target]
    status, out, err = cli(*args)
    assert (status, err) == (0, "")
    assert "preset tinydenoiser" in out
    plan = plans.load(target)
    assert {n: o.format for n, o in plan.operators.items()} == {"lstm": "s8", "dense": "f16", "mask": "f32"}
    assert plan.ranges
    target.write_text("# mine\n" + target.read_text())
    assert failing(2, *args)[0] == ["MQ702"]
    assert target.read_text().startswith("# mine")
    assert cli(*args, "--force")[0] == 0
    assert not target.read_text().startswith("# mine")


def test_build_prints_a_summary_and_json_is_the_report(cli, project, tmp_path):
    args = [
        "build",
        project / "tiny.onnx",
        "--board",
        "nucleo_f446re",
        "--data",
        project / "speech",
        "-o",
        tmp_path / "fw",
    ]
    status, out, err = cli(*args)
    assert (status, err) == (0, "")
    for words in (
        "Fits",
        "Flash",
        "RAM",
        "Time per frame",
        "Accuracy",
        "onnxruntime",
        "s8",
        str(tmp_path / "fw"),
        "Next:",
    ):
        assert words in out
    status, out, err = cli(*args, "--format", "json")
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads((tmp_path / "fw" / "report.json").read_text())


def test_a_folder_is_complete_and_its_manifest_true(built):
    names = {p.relative_to(built).as_posix() for p in built.rglob("*") if p.is_file()}
    assert names >= {
        "README.md", "tiny.h", "tiny.c", "tiny_weights.c", "CMakeLists.txt", "plan.toml", "report.json", "manifest.json"
    }  # fmt: skip
    manifest = folder.read_manifest(built)
    assert set(manifest.files) == names - {"manifest.json"}
    assert folder.changed_files(built, manifest) == []
    assert manifest.model == "../tiny.onnx"


def test_the_same_request_gives_the_same_bytes(built, project):
    request = api.BuildRequest(
        api.Source(project / "tiny.onnx"), "nucleo_f446re", project / "fw2", data=project / "speech"
    )
    api.build(request)
    assert snapshot(project / "fw2") == snapshot(built)


def test_a_plan_with_ranges_needs_no_data_and_gives_the_same_code(built, project, cli):
    again = project / "fw3"
    args = ["build", project / "tiny.onnx", "--board", "nucleo_f446re", "--plan", built / "plan.toml", "-o", again]
    status, _, err = cli(*args)
    assert status == 0
    assert "MQ402" not in err
    for name in ("tiny.c", "tiny_weights.c", "tiny.h", "plan.toml"):
        assert (again / name).read_bytes() == (built / name).read_bytes()


def test_build_without_data_warns_that_ranges_are_made_up(cli, project, tmp_path):
    args = ["build", project / "tiny.onnx", "--board", "nucleo_f446re", "-o", tmp_path / "fw"]
    status, _, err = cli(*args)
    assert status == 0
    assert "warning[MQ402]" in err
    status, _, err = cli(*args, "--preset", "f32")
    assert "MQ402" not in err, "floats need no ranges"


def test_test_passes_and_says_what_it_measured(cli, built):
    status, out, err = cli("test", built, "--format", "json", "--frames", 50)
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["passed"], found["target"], found["frames"], found["mismatches"]) == (True, "host", 50, 0)
    assert set(found["outputs"]) == {"y", "h_out", "c_out"}
    for output in found["outputs"].values():
        assert output["snr_db"] > 15
        assert 0 < output["max_abs"] < 1
    status, out, _ = cli("test", built, "--frames", 20)
    assert status == 0
    assert "passed" in out


def test_below_the_asked_quality_is_a_finding(cli, built):
    status, out, _ = cli("test", built, "--frames", 20, "--min-snr", 300, "--format", "json")
    found = json.loads(out)
    assert status == 1
    assert found["passed"] is False
    assert {d["code"] for d in found["diagnostics"]} == {"MQ604"}


def test_floats_must_reach_90_db(cli, project, tmp_path):
    args = ["build", project / "tiny.onnx", "--board", "nucleo_f446re", "--preset", "f32", "-o", tmp_path / "fw"]
    assert cli(*args)[0] == 0
    status, out, _ = cli("test", tmp_path / "fw", "--format", "json", "--frames", 200)
    found = json.loads(out)
    assert (status, found["required_snr_db"]) == (0, 90.0)
    assert all(o["snr_db"] >= 90 for o in found["outputs"].values())


def test_a_changed_weight_is_found(cli, copied):
    weights = copied / "tiny_weights.c"
    text = weights.read_text()
    largest = max(re.findall(r"int8_t \w+\[\d+\].*?\{(.*?)\};", text, flags=re.S), key=len)
    first = largest.split(",")[0]
    weights.write_text(text.replace(largest, largest.replace(first, str((int(first) + 100) % 128), 1)))
    status, out, _ = cli("test", copied, "--format", "json", "--frames", 20)
    found = json.loads(out)
    assert (status, found["passed"]) == (1, False)
    assert found["mismatches"] >= 1
    assert "MQ704" in {d["code"] for d in found["diagnostics"]}


def test_run_on_a_recording_and_on_arrays(cli, built, project, tmp_path):
    clip = project / "speech" / "clip0.wav"
    status, out, _ = cli("run", built, clip, "-o", tmp_path / "out.npz", "--format", "json")
    assert status == 0
    assert json.loads(out) == {
        "output": str(tmp_path / "out.npz"),
        "frames": 200,
        "outputs": {"y": {"shape": [200, 1, 16]}},
    }
    made = np.load(tmp_path / "out.npz")["y"]
    frames = api.stages.clips(api.stages.read(api.Source(project / "tiny.onnx")), clip)
    np.savez(tmp_path / "in.npz", x=np.stack([f["x"] for clip in frames for f in clip]))
    assert cli("run", built, tmp_path / "in.npz", "-o", tmp_path / "again.npz")[0] == 0
    assert np.array_equal(np.load(tmp_path / "again.npz")["y"], made)
    # 16 samples out per 16 new ones in: that is audio
    assert cli("run", built, clip, "-o", tmp_path / "out.wav")[0] == 0
    from scipy.io import wavfile

    rate_hz, samples = wavfile.read(tmp_path / "out.wav")
    assert rate_hz == 16000
    assert np.array_equal(samples, made.ravel())


def test_report_of_a_folder_and_on_other_boards(cli, built):
    status, out, _ = cli("report", built, "--format", "json")
    assert status == 0
    assert json.loads(out) == json.loads((built / "report.json").read_text())
    status, out, _ = cli(
        "report", built, "--board", "raspberry_pi_pico", "--board", "nucleo_h743zi2", "--format", "json"
    )
    assert status == 0
    reports = json.loads(out)["reports"]
    assert [r["board"] for r in reports] == ["raspberry_pi_pico", "nucleo_h743zi2"]
    assert reports[0]["plan"]["formats"]["f16"] == 0, "the Pico has no half precision"
    for r in reports:
        assert schemas.validate(r, "report", "report", "MQ502") == []


def test_a_model_that_does_not_fit_is_built_and_reported_with_status_1(cli, project, tmp_path):
    text = (api.boards.paths.boards() / "nucleo_f446re.toml").read_text()
    small = tmp_path / "small.toml"
    small.write_text(text.replace('id = "nucleo_f446re"', 'id = "small"').replace("bytes = 524_288", "bytes = 1_024"))
    status, out, _ = cli("build", project / "tiny.onnx", "--board", small, "-o", tmp_path / "fw", "--format", "json")
    found = json.loads(out)
    assert (status, found["fits"]) == (1, False)
    assert "MQ503" in {d["code"] for d in found["diagnostics"]}
    assert (tmp_path / "fw" / "manifest.json").is_file()
    assert cli("report", tmp_path / "fw")[0] == 1


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"garbage", None], ids=["empty", "garbage", "truncated"])
def test_files_that_are_no_models(failing, project, tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes((project / "tiny.onnx").read_bytes()[:-100] if content is None else content)
    for command in (["inspect", path], ["build", path, "--board", "nucleo_f446re", "-o", tmp_path / "fw"]):
        codes, _ = failing(2, *command)
        assert set(codes) <= {"MQ101", "MQ111"}
    assert not (tmp_path / "fw").exists()


def spoilt(change):
    made = streaming_model.proto()
    change(made)
    return made


def not_a_number(made):
    tensor = made.graph.initializer[0]
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[0, 0, 0] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def cyclic(made):
    made.graph.node[1].input[0] = "y"


def unknown_operators(made):
    made.graph.node[3].op_type = "Hardmax"
    made.graph.node.append(onnx.helper.make_node("NonZero", ["d"], ["z"], name="other"))
    made.graph.output.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.INT64, None))


def empty_tensor(made):
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 0


@pytest.mark.parametrize(
    ("change", "status", "expected"),
    [(not_a_number, 2, "MQ103"), (cyclic, 2, "MQ104"), (unknown_operators, 1, "MQ107"), (empty_tensor, 2, "MQ105")],
)
def test_models_that_cannot_be_taken(failing, project, tmp_path, change, status, expected):
    onnx.save(spoilt(change), tmp_path / "bad.onnx")
    codes, _ = failing(status, "build", tmp_path / "bad.onnx", "--board", "nucleo_f446re", "-o", tmp_path / "fw")
    assert expected in codes
    assert not (tmp_path / "fw").exists()


def test_missing_external_data(failing, tmp_path):
    made = streaming_model.proto()
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    (tmp_path / "m.bin").unlink()
    assert set(failing(2, "inspect", tmp_path / "m.onnx")[0]) == {"MQ102"}


def test_problems_of_independent_inputs_come_together(failing, project, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"garbage")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    args = ["build", tmp_path / "bad.onnx", "--board", "nucleo_f44", "-o", tmp_path / "mine"]
    assert sorted(failing(2, *args)[0]) == ["MQ101", "MQ501", "MQ702"]
    args = [
        "build",
        project / "tiny.onnx",
        "--board",
        "nucleo_f446re",
        "-o",
        tmp_path / "fw",
        "--data",
        tmp_path / "nothing",
    ]
    codes, err = failing(2, *args, "--set", "dence=s8", "--set", "lstm=s9")
    assert sorted(codes) == ["MQ302", "MQ401"]
    codes, err = failing(2, *args, "--set", "dence=s8")
    assert sorted(codes) == ["MQ301", "MQ401"]
    assert "did you mean 'dense'" in err


def test_calibration_data_of_another_rate_or_shape(failing, project, tmp_path):
    base = ["build", project / "tiny.onnx", "--board", "nucleo_f446re", "-o", tmp_path / "fw", "--data"]
    wrong_rate = streaming_model.speech(tmp_path / "speech", clips=2, rate_hz=8000)
    assert failing(2, *base, wrong_rate)[0] == ["MQ401", "MQ401"]
    np.savez(tmp_path / "wrong.npz", x=np.zeros((5, 1, 1, 7), np.float32), z=np.zeros(3))
    assert failing(2, *base, tmp_path / "wrong.npz")[0] == ["MQ401", "MQ401"]
    assert not (tmp_path / "fw").exists()


def test_a_board_file_with_an_unknown_key(failing, project, tmp_path):
    text = (api.boards.paths.boards() / "nucleo_f446re.toml").read_text()
    (tmp_path / "nucleo_f446re.toml").write_text(text.replace("[core]\n", "[core]\nfpuu = true\n"))
    codes, err = failing(2, "build", project / "tiny.onnx", "--board", tmp_path / "nucleo_f446re.toml")
    assert codes == ["MQ502"]
    assert "core.fpuu" in err


def test_a_plan_that_names_operators_that_do_not_exist(failing, project, built, tmp_path):
    text = (built / "plan.toml").read_text()
    (tmp_path / "plan.toml").write_text(text.replace("dense = ", "dence = ").replace("mask = ", "maske = "))
    args = ["build", project / "tiny.onnx", "--board", "nucleo_f446re", "-o", tmp_path / "fw"]
    codes, err = failing(2, *args, "--plan", tmp_path / "plan.toml")
    assert codes == ["MQ301"] * 4, "two unknown names, two operators without a line"
    assert "did you mean 'dense'" in err
    assert failing(2, *args, "--plan", tmp_path / "none.toml")[0] == ["MQ304"]
    assert failing(2, *args, "--plan", tmp_path / "plan.toml", "--preset", "s8")[0] == ["MQ900"]


def test_a_plan_with_formats_the_board_lacks(failing, project, built, tmp_path):
    args = ["build", project / "tiny.onnx", "--board", "raspberry_pi_pico", "-o", tmp_path / "fw"]
    codes, _ = failing(1, *args, "--plan", built / "plan.toml")
    assert codes == ["MQ305", "MQ305"]


# --- output folders ------------------------------------------------------------------------------------------------


@pytest.fixture
def build_into(project, cli):
    def run(target, *more):
        args = ["build", project / "tiny.onnx", "--board", "nucleo_f446re", "--data", project / "speech", "-o", target]
        return cli(*args, "--format", "json", *more)

    return run


def test_a_folder_of_somebody_else_is_left_alone(build_into, tmp_path):
    target = tmp_path / "mine"
    target.mkdir()
    (target / "notes.txt").write_text("keep me")
    status, out, _ = build_into(target)
    assert (status, json.loads(out)["diagnostics"][0]["code"]) == (2, "MQ702")
    assert snapshot(tmp_path) == {Path("mine/notes.txt"): b"keep me"}
    file = tmp_path / "file"
    file.write_text("keep me too")
    assert build_into(file)[0] == 2
    assert file.read_text() == "keep me too"


def test_a_folder_that_cannot_be_written(build_into, tmp_path):
    (tmp_path / "file").write_text("")
    status, out, _ = build_into(tmp_path / "file" / "fw")
    assert (status, json.loads(out)["diagnostics"][0]["code"]) == (2, "MQ701")


def test_a_folder_that_fails_while_it_is_written_leaves_nothing(build_into, monkeypatch, tmp_path):
    def full(self, *args, **kwargs):
        if self.name == "tiny.c" and "fw" in str(self):
            raise OSError(28, "No space left on device")
        return original(self, *args, **kwargs)

    original = Path.write_text
    monkeypatch.setattr(Path, "write_text", full)
    status, out, _ = build_into(tmp_path / "new" / "fw")
    assert (status, json.loads(out)["diagnostics"][0]["code"]) == (2, "MQ701")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_fails_while_it_is_replaced_stays(build_into, copied, monkeypatch):
    before = snapshot(copied.parent)

    def broken(self, target):
        if self.name.startswith(".fw-") and "-old-" not in self.name and Path(target).name == "fw":
            raise OSError(5, "Input/output error")
        return original(self, target)

    original = Path.rename
    monkeypatch.setattr(Path, "rename", broken)
    status, _, _ = build_into(copied, "--preset", "f32")
    assert status == 2
    assert snapshot(copied.parent) == before


def test_rebuilding_replaces_what_was_generated_and_keeps_the_rest(build_into, copied):
    (copied / "build").mkdir()
    (copied / "build" / "CMakeCache.txt").write_text("mine")
    status, out, _ = build_into(copied, "--preset", "f32")
    assert status == 0
    assert json.loads(out)["plan"]["formats"] == {"f32": 3, "f16": 0, "s16": 0, "s8": 0}
    assert (copied / "build" / "CMakeCache.txt").read_text() == "mine"
    assert folder.changed_files(copied, folder.read_manifest(copied)) == []
    assert not [
        p for p in (copied / "mq").iterdir() if p.name not in {Path(n).name for n in folder.read_manifest(copied).files}
    ]
    assert not [p for p in copied.parent.iterdir() if p.name.startswith(".")]


def test_edits_are_not_lost_but_an_edited_plan_may_be_built_from(build_into, copied, cli):
    plan = copied / "plan.toml"
    plan.write_text(plan.read_text().replace('mask = {format = "f16"', 'mask = {format = "s8"'))
    assert cli("test", copied)[0] == 1, "the code was not made from this plan"
    status, out, _ = build_into(copied)
    assert (status, json.loads(out)["diagnostics"][0]["code"]) == (1, "MQ704")
    assert 'mask = {format = "s8"' in plan.read_text()
    status, out, _ = build_into(copied, "--plan", plan)
    assert status == 0
    assert json.loads(out)["plan"]["formats"]["s8"] == 2
    (copied / "tiny.c").write_text("/* mine */")
    assert build_into(copied)[0] == 1
    assert (copied / "tiny.c").read_text() == "/* mine */"


# --- folders that cannot be used -----------------------------------------------------------------------------------


def test_what_is_no_firmware_folder(failing, tmp_path):
    for command in (["test", tmp_path], ["report", tmp_path], ["run", tmp_path, "a.wav", "-o", tmp_path / "b.npz"]):
        assert failing(2, *command)[0] == ["MQ703"]
    (tmp_path / "manifest.json").write_text('{"tool": "mcu-quant"}')
    assert set(failing(2, "test", tmp_path)[0]) == {"MQ703"}


def test_a_model_that_was_moved_or_replaced(failing, cli, copied):
    model = copied.parent / "tiny.onnx"
    moved = copied.parent / "elsewhere.onnx"
    model.rename(moved)
    assert failing(2, "test", copied)[0] == ["MQ705"]
    shutil.copy(copied.parent / "tiny.toml", moved.with_suffix(".toml"))
    assert cli("test", copied, "--model", moved, "--frames", 10)[0] == 0
    model.write_bytes(moved.read_bytes() + b"\0")
    assert failing(2, "test", copied)[0] == ["MQ705"]


def test_outputs_that_cannot_be_written(failing, built, project, tmp_path):
    clip = project / "speech" / "clip0.wav"
    assert failing(2, "run", built, clip, "-o", tmp_path / "out.mp3")[0] == ["MQ401"]
    assert failing(2, "run", built, tmp_path / "no.wav", "-o", tmp_path / "out.flac")[0] == ["MQ401", "MQ401"]
    assert failing(2, "run", built, clip, "-o", tmp_path / "nowhere" / "out.npz")[0] == ["MQ701"]


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

    stated = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert stated.get("version", mcu_quant.__version__) == mcu_quant.__version__
