"""Bad input through the command line: each a diagnostic with a remedy, exit 2 or 1, and nothing written."""

import json
import shutil

import numpy as np
import onnx
import pytest

from mcu_quant import api
from tests import streaming_model


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
    assert sorted(codes) == ["MQ301", "MQ302", "MQ401"]
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
    (tmp_path / "plan.toml").write_text(text.replace('"dense" = ', '"dence" = ').replace('"mask" = ', '"maske" = '))
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


# --- folders that cannot be used -----------------------------------------------------------------------------------


def test_what_is_no_firmware_folder(failing, tmp_path):
    for command in (["test", tmp_path], ["report", tmp_path], ["run", tmp_path, "a.wav", "-o", tmp_path / "b.npz"]):
        assert failing(2, *command)[0] == ["MQ703"]
    (tmp_path / "manifest.json").write_text('{"tool": "something else"}')
    assert set(failing(2, "test", tmp_path)[0]) == {"MQ703"}


def test_a_folder_of_another_version_says_how_to_make_it_again(failing, cli, copied):
    """A folder from before a key existed is refused once, not key by key, and can be built over."""
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["stream"], manifest["isa"]
    path.write_text(json.dumps({**manifest, "version": "0.0.9"}))
    codes, err = failing(2, "test", copied)
    assert codes == ["MQ703"] and "0.0.9" in err and "stream, isa" in err
    assert f"build it again: {manifest['command']} -o" in " ".join(err.split())
    assert cli("build", copied.parent / "tiny.onnx", "--board", "nucleo_f446re", "-o", copied)[0] == 0
    assert json.loads(path.read_text())["isa"]


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
