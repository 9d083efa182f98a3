"""Bad model files: each a diagnostic with a remedy, all problems at once, never a traceback."""

import numpy as np
import onnx
import pytest

from mcu_quant.diagnostics import FINDINGS, USAGE, DiagnosticError
from mcu_quant.frontend import load
from tests.onnx_models import model, node, random, save

RNG = np.random.default_rng(2)
W = random(RNG, 4, 3)


def good():
    nodes = [node("MatMul", "x w", "t", name="dense"), node("Relu", "t", "y", name="act")]
    return model(nodes, {"x": [1, 4]}, {"y": [1, 3]}, {"w": W})


def problems(path, **options):
    with pytest.raises(DiagnosticError) as error:
        load(path, **options)
    for d in error.value.diagnostics:
        assert d.message
        assert d.where
        assert d.help
    return error.value.diagnostics


def codes(found):
    return [d.code for d in found]


def test_a_missing_file(tmp_path):
    [found] = problems(tmp_path / "nothing.onnx")
    assert found.code == "MQ101"
    assert found.exit_status == USAGE


@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"not a model at all", b"<html><body>404</body></html>"])
def test_garbage(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert codes(problems(path)) == ["MQ101"]


def test_every_truncation_is_a_diagnostic(tmp_path):
    whole = good().SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert set(codes(problems(path))) <= {"MQ101", "MQ104", "MQ111"}


def test_flipped_bytes_are_a_diagnostic_or_a_model(tmp_path):
    whole = good().SerializeToString()
    path = tmp_path / "model.onnx"
    for at in range(0, len(whole), 2):
        broken = bytearray(whole)
        broken[at] ^= 0x15
        path.write_bytes(bytes(broken))
        try:
            load(path)
        except DiagnosticError as error:
            assert error.diagnostics


def test_missing_external_data_names_every_tensor(tmp_path):
    nodes = [node("MatMul", "x w", "t"), node("MatMul", "t v", "y")]
    made = model(nodes, {"x": [1, 4]}, {"y": [1, 4]}, {"w": W, "v": random(RNG, 3, 4)})
    path = tmp_path / "model.onnx"
    onnx.save(made, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    data = tmp_path / "weights.bin"
    data.write_bytes(data.read_bytes()[:20])
    assert [(d.code, d.where) for d in problems(path)] == [("MQ102", "w"), ("MQ102", "v")]
    data.unlink()
    found = problems(path)
    assert [(d.code, d.where) for d in found] == [("MQ102", "w"), ("MQ102", "v")]
    assert "weights.bin" in found[0].message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(tmp_path, value):
    bad = W.copy()
    bad[2, 1] = value
    nodes = [node("MatMul", "x w", "t", name="dense"), node("Add", "t b", "y", name="bias")]
    path = save(model(nodes, {"x": [1, 4]}, {"y": [1, 3]}, {"w": bad, "b": bad[2]}), tmp_path)
    found = problems(path)
    assert codes(found) == ["MQ103", "MQ103"]
    assert [d.where for d in found] == ["dense:weights", "b"]
    assert "1 of 12" in found[0].message
    assert "dense" in found[0].message


def test_limits_may_be_infinite(tmp_path):
    limits = {"low": np.array(0, np.float32), "high": np.array(np.inf, np.float32)}
    load(save(model([node("Clip", "x low high", "y")], {"x": [4]}, {"y": [4]}, limits), tmp_path))


def test_a_cycle_names_its_nodes_and_no_others(tmp_path):
    nodes = [
        node("Add", "x b", "a", name="first"),
        node("Tanh", "a", "b", name="second"),
        node("Relu", "b", "y", name="after"),
    ]
    found = problems(save(model(nodes, {"x": [4]}, {"y": [4]}), tmp_path))
    assert [(d.code, d.where) for d in found] == [("MQ104", "first"), ("MQ104", "second")]
    assert found[0].exit_status == USAGE


def test_values_that_nothing_computes(tmp_path):
    nodes = [node("Add", "x p", "a", name="one"), node("Add", "a q", "y", name="two")]
    found = problems(save(model(nodes, {"x": [4]}, {"y": [4]}), tmp_path))
    assert [(d.code, d.where) for d in found] == [("MQ104", "one"), ("MQ104", "two")]


def test_tensors_without_elements(tmp_path):
    nodes = [node("Relu", "x", "y", name="act")]
    found = problems(save(model(nodes, {"x": [1, 0]}, {"y": [1, 0]}), tmp_path))
    assert [(d.code, d.where) for d in found] == [("MQ105", "x")]  # not what only follows from it


@pytest.mark.parametrize("size", [0, -3])
def test_dimensions_are_at_least_1(size, tmp_path):
    nodes = [node("Relu", "x", "y", name="act")]
    found = problems(save(model(nodes, {"x": [1, "time"]}, {"y": [1, "time"]}), tmp_path), bind={"time": size})
    assert [(d.code, d.where) for d in found] == [("MQ106", "time")]
    assert str(size) in found[0].message and "at least 1" in found[0].help


@pytest.mark.parametrize(
    ("samples", "code", "says"),
    [(1, "MQ105", "-2"), (5, "MQ105", "0]: too short"), (7, "MQ108", "it is 8 long")],
)
def test_what_is_too_short_for_a_window(samples, code, says, tmp_path):
    """The convolution is named, not the sum that reads it. ONNX itself rounds a small negative number of windows up."""
    nodes = [
        node("Conv", "x w", "a", name="window", strides=[2]),
        node("Add", "a b", "s", name="sum"),
        node("Relu", "s", "y"),
    ]
    constants = {"w": np.ones((4, 1, 8), np.float32), "b": np.ones((1, 4, 1), np.float32)}
    path = save(model(nodes, {"x": [1, 1, "samples"]}, {"y": [1, 4, "frames"]}, constants), tmp_path)
    found = problems(path, bind={"samples": samples})
    assert [(d.code, d.where) for d in found] == [(code, "window")] and says in found[0].message
    load(path, {"samples": 8})


def test_invalid_nodes_are_all_named(tmp_path):
    nodes = [
        node("Add", "x", "a", name="one"),
        node("Relu", "a", "b", name="two", colour=3),
        node("Tanh", "b", "y", name="three"),
    ]
    found = problems(save(model(nodes, {"x": [4]}, {"y": [4]}), tmp_path))
    assert [(d.code, d.where) for d in found] == [("MQ111", "one"), ("MQ111", "two")]


def test_an_output_that_nothing_computes(tmp_path):
    found = problems(save(model([node("Relu", "x", "a")], {"x": [4]}, {"y": [4]}), tmp_path))
    assert [(d.code, d.where) for d in found] == [("MQ104", "y")]


def test_data_that_does_not_fill_its_shape(tmp_path):
    made = good()
    made.graph.initializer[0].raw_data = made.graph.initializer[0].raw_data[:-4]
    found = problems(save(made, tmp_path))
    assert [(d.code, d.where) for d in found] == [("MQ111", "w")]


def test_names_that_are_not_text(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(good().SerializeToString().replace(b"dense", b"den\xffe"))
    assert codes(problems(path)) == ["MQ101"]


def test_an_input_without_a_shape(tmp_path):
    made = good()
    made.graph.input[0].type.tensor_type.ClearField("shape")
    assert ("MQ112", "x") in [(d.code, d.where) for d in problems(save(made, tmp_path))]


def test_attributes_that_do_not_fit_the_shapes(tmp_path):
    nodes = [node("Concat", "x x", "a", axis=5, name="join"), node("Softmax", "a", "y", axis=9, name="soft")]
    found = problems(save(model(nodes, {"x": [1, 4]}, {"y": [1, 8]}), tmp_path))
    assert [(d.code, d.where) for d in found] == [("MQ111", "join"), ("MQ111", "soft")]


def test_a_value_written_twice(tmp_path):
    nodes = [node("Relu", "x", "y"), node("Tanh", "x", "y")]
    assert codes(problems(save(model(nodes, {"x": [4]}, {"y": [4]}), tmp_path))) == ["MQ111"]


def test_everything_unsupported_at_once(tmp_path):
    nodes = [
        node("Det", "x", "a", name="one"),
        node("Reluu", "a", "b", name="two"),
        node("Fancy", "b", "c", name="three", domain="com.example"),
        node("Cast", "x", "whole", name="four", to=onnx.TensorProto.STRING),
        node("Cast", "whole", "back", name="five", to=1),
        node("Tanh", "back", "y"),
    ]
    made = model(nodes, {"x": [4, 4]}, {"c": ["n"], "y": [4, 4]})
    made.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    found = problems(save(made, tmp_path))
    assert [(d.code, d.where) for d in found] == [
        ("MQ113", "four"),
        ("MQ107", "one"),
        ("MQ107", "two"),
        ("MQ107", "three"),
    ]
    assert found[0].exit_status == FINDINGS
    assert "'Relu'" in found[2].help
    assert "'whole' is of type" in found[0].message


def test_rules_are_not_judged_behind_what_is_not_supported(tmp_path):
    nodes = [node("Multinomial", "x", "index", name="dice", sample_size=2), node("Gather", "x index", "y", axis=1)]
    path = save(model(nodes, {"x": [1, 4]}, {"y": [1, 1, 2]}), tmp_path)
    assert [(d.code, d.where) for d in problems(path)] == [("MQ107", "dice")]


def test_shapes_that_depend_on_data_are_named_where_they_get_lost(tmp_path):
    nodes = [node("Reshape", "x shape", "a", name="free"), node("Relu", "a", "y", name="after")]
    made = model(nodes, {"x": [4], "shape": [2]}, {"y": ["a", "b"]}, types={"shape": onnx.TensorProto.INT64})
    assert [(d.code, d.where) for d in problems(save(made, tmp_path))] == [("MQ112", "free")]


def test_wrong_state_pairs(tmp_path):
    nodes = [node("Add", "x h", "y"), node("Tanh", "y", "h2"), node("Concat", "h h", "wide", axis=1)]
    made = model(nodes, {"x": [1, 4], "h": [1, 4]}, {"y": [1, 4], "h2": [1, 4], "wide": [1, 8]})
    path = save(made, tmp_path)
    found = problems(path, states=[("wide", "h"), ("nothing", "x"), ("y", "nobody")])
    assert [(d.code, d.where) for d in found] == [
        ("MQ109", "wide:h"),
        ("MQ109", "nothing:x"),
        ("MQ109", "y:nobody"),
    ]
    assert "float32[1,8]" in found[0].message
    again = problems(path, states=[("h2", "h"), ("h2", "x")])
    assert codes(again) == ["MQ109", "MQ109"]


# --- whose fault it is ------------------------------------------------------------------------------------------------


def sound(tmp_path):
    return save(model([node("Relu", "x", "y", name="act")], {"x": [1, 4]}, {"y": [1, 4]}), tmp_path)


def test_what_a_library_stumbles_over_is_a_fault_of_the_model(tmp_path, monkeypatch):
    def stumble(*_, **__):
        raise RuntimeError("no such shape")

    monkeypatch.setattr("onnxscript.optimizer.fold_constants", stumble)
    [found] = problems(sound(tmp_path))
    assert found.code == "MQ111" and "RuntimeError: no such shape" in found.message


@pytest.mark.parametrize("ours", ["integer_products._is_product", "bind._open", "convert._operator"])
def test_a_defect_of_ours_is_no_fault_of_the_model(tmp_path, monkeypatch, ours):
    def defect(*_, **__):
        raise NameError("name 'Sample' is not defined")

    monkeypatch.setattr(f"mcu_quant.frontend.{ours}", defect)
    with pytest.raises(NameError):
        load(sound(tmp_path))
