"""The main way through the command line: inspect, plan, build, test, run, report on a small streaming model."""

import json
import re

import numpy as np
from scipy.io import wavfile

from mcu_quant import api, schemas
from mcu_quant.api import folder
from mcu_quant.precision import plan as plans
from tests.cli.conftest import PRESET


def snapshot(path):
    return {p.relative_to(path): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


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
        "--preset",
        "tinydenoiser",
        "--data",
        project / "speech",
        "-o",
        tmp_path / "my fw",
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
        str(tmp_path / "my fw"),
        f"mcu-quant test '{tmp_path / 'my fw'}'",
    ):
        assert words in out
    status, out, err = cli(*args, "--format", "json")
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads((tmp_path / "my fw" / "report.json").read_text())


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
        api.Source(project / "tiny.onnx"), "nucleo_f446re", project / "fw2", PRESET, project / "speech"
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
