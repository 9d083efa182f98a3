"""Importing ONNX files: what is bound, folded and made canonical."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.frontend import load
from mcu_quant.frontend.bind import Why
from mcu_quant.frontend.describe import describe
from mcu_quant.interpret import run
from mcu_quant.ir import check
from mcu_quant.passes import optimise
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(1)


def dense(x="x", y="y", name="dense"):
    return node("MatMul", f"{x} w", y, name=name)


W = random(RNG, 4, 3)


def test_a_model_becomes_a_checked_graph_named_after_its_file(tmp_path):
    path = save(model([dense()], {"x": [1, 4]}, {"y": [1, 3]}, {"w": W}), tmp_path, "tiny.onnx")
    graph = load(path).graph
    assert graph.name == "tiny"
    assert [(op.name, op.op) for op in graph.operators] == [("dense", "Gemm")]
    assert check(graph) == []
    assert_same(path, graph, [{"x": random(RNG, 1, 4)}])


@pytest.mark.parametrize("name", ["batch", "N", "unk__12", "anything", None])
def test_a_batch_is_one_by_itself(tmp_path, name):
    path = save(model([dense()], {"x": [name, 4]}, {"y": [name, 3]}, {"w": W}), tmp_path)
    imported = load(path)
    assert imported.graph.shape("x") == (1, 4)
    assert [(b.value, b.why, b.where) for b in imported.bindings] == [(1, Why.BATCH, ("x[0]",))]


def test_asked_wins_over_pipeline_wins_over_batch(tmp_path):
    path = save(model([dense()], {"x": ["batch", 4]}, {"y": ["batch", 3]}, {"w": W}), tmp_path)
    assert load(path, {"batch": 3}, pipeline={"batch": 2, "other": 9}).graph.shape("y") == (3, 3)
    [binding] = load(path, pipeline={"batch": 2, "other": 9}).bindings
    assert (binding.value, binding.why) == (2, Why.PIPELINE)


def test_a_dimension_that_counts_time_is_no_batch(tmp_path):
    path = save(model([dense()], {"x": ["frames", 4]}, {"y": ["frames", 3]}, {"w": W}), tmp_path)
    with pytest.raises(DiagnosticError) as error:
        load(path)
    [problem] = error.value.diagnostics
    assert (problem.code, problem.where, problem.help) == ("MQ106", "frames", "--bind frames=N")
    assert load(path, {"frames": 5}).graph.shape("y") == (5, 3)


def test_a_state_without_names_has_a_batch_of_one(tmp_path):
    nodes = [node("Add", "x state", "state_out"), node("Tanh", "state_out", "y")]
    path = save(
        model(nodes, {"x": [2, 1, 4], "state": [2, None, 4]}, {"y": [2, 1, 4], "state_out": [2, 1, 4]}), tmp_path
    )
    [binding] = load(path).bindings
    assert (binding.name, binding.value, binding.why) == ("state.1", 1, Why.BATCH)


def test_everything_unbound_is_named_at_once_with_its_remedy(tmp_path):
    nodes = [node("Concat", "x z", "y", axis=1), node("Cast", "rate", "r", to=1), node("Mul", "y r", "out")]
    made = model(nodes, {"x": [1, "time"], "z": [1, None], "rate": []}, {"out": [1, None]}, types={"rate": 7})
    with pytest.raises(DiagnosticError) as error:
        load(save(made, tmp_path))
    found = {d.where: d.help for d in error.value.diagnostics}
    assert found == {n: f"--bind {n}=N" for n in ("time", "z.1", "rate")}
    assert {d.code for d in error.value.diagnostics} == {"MQ106"}


def test_names_that_nothing_has_are_refused(tmp_path):
    path = save(model([dense()], {"x": ["batch", 4]}, {"y": ["rows", 3]}, {"w": W}), tmp_path)
    with pytest.raises(DiagnosticError) as error:
        load(path, {"batsh": 1, "zzz": 2, "rows": 1})
    assert [(d.code, d.where) for d in error.value.diagnostics] == [("MQ110", "batsh"), ("MQ110", "zzz")]
    assert "batch" in error.value.diagnostics[0].help


def test_numbers_that_cannot_be_are_refused(tmp_path):
    nodes = [node("Cast", "rate", "r", to=1), node("Mul", "x r", "y")]
    made = model(nodes, {"x": [1, "time"], "rate": []}, {"y": [1, "time"]}, types={"rate": TensorProto.INT8})
    path = save(made, tmp_path)
    with pytest.raises(DiagnosticError) as error:
        load(path, {"time": -3, "rate": 16000})
    assert {(d.code, d.where, d.message) for d in error.value.diagnostics} == {
        ("MQ106", "time", "a dimension cannot be -3"),
        ("MQ106", "rate", "int8 cannot be 16000"),
    }
    assert load(path, {"time": 3, "rate": -2}).graph.inputs == ("x",)


def test_a_bound_scalar_decides_control_flow(tmp_path):
    def branch(name, kind):
        return helper.make_graph(
            [node(kind, "x", name)], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        )

    nodes = [
        node("Equal", "sr sixteen", "wide"),
        node("If", "wide", "y", then_branch=branch("a", "Relu"), else_branch=branch("b", "Tanh")),
    ]
    path = save(
        model(nodes, {"x": [1, 4], "sr": []}, {"y": [1, 4]}, {"sixteen": 16000}, types={"sr": TensorProto.INT64}),
        tmp_path,
    )
    for rate, kind in ((16000, "Relu"), (8000, "Tanh")):
        imported = load(path, {"sr": rate})
        assert [op.op for op in imported.graph.operators] == [kind]
        assert imported.graph.inputs == ("x",)
        assert str(imported.bindings[0]) == f"sr = {rate} (asked; input sr)"
    assert_same(path, imported.graph, [{"x": random(RNG, 1, 4)}], fixed={"sr": np.array(8000)})


def test_local_functions_are_inlined(tmp_path):
    twice = helper.make_function(
        "local", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 18)]
    )
    made = model([node("Twice", "x", "t", domain="local"), node("Tanh", "t", "y")], {"x": [2, 3]}, {"y": [2, 3]})
    made.functions.append(twice)
    made.opset_import.append(helper.make_opsetid("local", 1))
    path = save(made, tmp_path)
    graph = load(path).graph
    assert [op.op for op in graph.operators] == ["Add", "Tanh"]
    assert_same(path, graph, [{"x": random(RNG, 2, 3)}])


def test_shape_arithmetic_folds_even_through_values_without_elements(tmp_path):
    nodes = [
        node("Shape", "x", "shape"),
        node("Slice", "shape zero zero", "nothing"),
        node("Concat", "nothing shape", "same", axis=0),
        node("ConstantOfShape", "none", "filler"),
        node("Concat", "filler pads", "all_pads", axis=0),
        node("Reshape", "x same", "again"),
        node("Pad", "again all_pads", "y"),
    ]
    # every value of these lies in the model as ONNX's 64-bit integers
    constants = {"zero": [0], "none": [0], "pads": [0, 1, 0, 2]}
    value = helper.make_tensor("value", TensorProto.INT64, [1], [0])
    nodes[3].attribute.append(helper.make_attribute("value", value))
    path = save(model(nodes, {"x": ["batch", 4]}, {"y": ["a", "b"]}, constants), tmp_path)
    graph = optimise(load(path).graph)
    assert [op.op for op in graph.operators] == ["Pad"]
    assert_same(path, graph, [{"x": random(RNG, 1, 4)}])


def test_large_weights_fold_too(tmp_path):
    nodes = [
        node("Transpose", "w", "v", perm=[1, 0]),
        node("MatMul", "x v", "y"),
        node("ReduceSum", "w", "z", keepdims=0),
    ]
    made = model(nodes, {"x": [1, 600]}, {"y": [1, 600], "z": []}, {"w": random(RNG, 600, 600)})
    assert [op.op for op in load(save(made, tmp_path)).graph.operators] == ["Gemm"]


@pytest.mark.parametrize(("real", "dtype"), [(TensorProto.FLOAT16, np.float16), (TensorProto.DOUBLE, np.float64)])
def test_other_reals_become_float32(tmp_path, real, dtype):
    path = save(model([dense()], {"x": [1, 4]}, {"y": [1, 3]}, {"w": W.astype(dtype)}, real=real), tmp_path)
    graph = load(path).graph
    assert {t.dtype for t in graph.types.values()} == {"float32"}
    assert {str(a.dtype) for a in graph.constants.values()} == {"float32"}
    assert any("float32 instead of" in r.rule for r in graph.rewrites)


def test_nodes_out_of_order_are_put_in_order(tmp_path):
    nodes = [node("Relu", "t", "y", name="second"), dense(y="t", name="first")]
    graph = load(save(model(nodes, {"x": [1, 4]}, {"y": [1, 3]}, {"w": W}), tmp_path)).graph
    assert [op.name for op in graph.operators] == ["first", "second"]


def test_names_are_unique_and_come_from_outputs_where_nodes_have_none(tmp_path):
    nodes = [node("Relu", "x", "a", name="act"), node("Tanh", "a", "b", name="act"), node("Relu", "b", "y")]
    graph = load(save(model(nodes, {"x": [1, 4]}, {"y": [1, 4]}), tmp_path)).graph
    assert [op.name for op in graph.operators] == ["act", "act#2", "y"]


def test_inputs_that_carry_a_default_are_constants(tmp_path):
    made = model([dense()], {"x": [1, 4], "w": [4, 3]}, {"y": [1, 3]}, {"w": W})
    graph = load(save(made, tmp_path)).graph
    assert graph.inputs == ("x",)


def test_a_model_from_before_broadcasting_was_implicit(tmp_path):
    nodes = [node("Add", "x bias", "y", broadcast=1, axis=1)]
    made = model(nodes, {"x": [2, 3, 4]}, {"y": [2, 3, 4]}, {"bias": random(RNG, 3, 4)}, opset=6)
    path = save(made, tmp_path)
    x = random(RNG, 2, 3, 4)
    bias = numpy_helper.to_array(made.graph.initializer[0])
    np.testing.assert_array_equal(run(load(path).graph, {"x": x})["y"], x + bias)
    made.graph.initializer[0].CopyFrom(numpy_helper.from_array(random(RNG, 3), "bias"))
    with pytest.raises(DiagnosticError, match="opset 6 is too old"):
        load(save(made, tmp_path))


def test_bound_sizes_that_contradict_each_other_are_explained(tmp_path):
    nodes = [node("Add", "x z", "y")]
    path = save(model(nodes, {"x": [1, "time"], "z": [1, "length"]}, {"y": [1, "n"]}), tmp_path)
    with pytest.raises(DiagnosticError) as error:
        load(path, {"time": 3, "length": 4})
    [problem] = error.value.diagnostics
    assert (problem.code, problem.where) == ("MQ111", "y")
    assert "Incompatible dimensions" in problem.message
    assert "'x': float32[1,3]" in problem.message


def test_description_is_plain_data_with_work_and_size(tmp_path):
    path = save(model([dense()], {"x": ["batch", 4]}, {"y": ["batch", 3]}, {"w": W}), tmp_path)
    imported = load(path)
    found = describe(imported)
    assert found["inputs"] == [{"name": "x", "shape": [1, 4], "dtype": "float32"}]
    assert found["bindings"] == [{"name": "batch", "value": 1, "why": "batch default", "where": ["x[0]"]}]
    [operator] = found["operators"]
    assert (operator["name"], operator["op"], operator["macs"], operator["params"]) == ("dense", "Gemm", 12, 12)
    assert found["totals"] == {"operators": {"Gemm": 1}, "macs": 12, "params": 12, "state_elements": 0}


def test_weights_beside_the_model_are_found(tmp_path):
    made = model([dense()], {"x": [1, 4]}, {"y": [1, 3]}, {"w": W})
    path = tmp_path / "model.onnx"
    onnx.save(made, str(path), save_as_external_data=True, location="model.data", size_threshold=0)
    assert_same(path, load(path).graph, [{"x": random(RNG, 1, 4)}])
