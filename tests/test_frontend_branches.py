"""If whose condition is computed from data: both branches run, one result is taken."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.frontend import load
from mcu_quant.passes import optimise
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(41)
RULE = "both branches computed, one selected"


def branch(nodes, outputs, constants=None, kind=TensorProto.FLOAT):
    values = [helper.make_tensor_value_info(n, kind, s) for n, s in outputs.items()]
    arrays = [numpy_helper.from_array(a, n) for n, a in (constants or {}).items()]
    return helper.make_graph(nodes, "branch", [], values, arrays)


def choice(then, other, outputs="y", condition="loud", name="choice"):
    return node("If", condition, outputs, name=name, then_branch=then, else_branch=other)


def loudness(shape=()):
    """Whether the sum of the input is above zero."""
    nodes = [node("ReduceSum", "x", "sum", keepdims=0), node("Greater", "sum nil", "loud_" if shape else "loud")]
    return [*nodes, node("Reshape", "loud_ one", "loud")] if shape else nodes


def imported(tmp_path, nodes, outputs, constants=None, **more):
    constants = {"nil": np.array(0, np.float32), "one": [1], **(constants or {})}
    path = save(model(nodes, {"x": [1, 4]}, outputs, constants, **more), tmp_path)
    graph = optimise(load(path).graph)
    assert_same(path, graph, [{"x": random(RNG, 1, 4)} for _ in range(6)])
    return graph


@pytest.mark.parametrize("shape", [(), (1,)])
def test_weights_in_branches_and_values_from_around_them(tmp_path, shape):
    then = branch([node("MatMul", "x W", "p"), node("Add", "p half", "a")], {"a": [1, 3]}, {"W": random(RNG, 4, 3)})
    other = branch([node("MatMul", "x V", "q"), node("Relu", "q", "b")], {"b": [1, 3]}, {"V": random(RNG, 4, 3)})
    half = [node("ReduceMean", "x", "half", keepdims=1)]
    graph = imported(tmp_path, [*loudness(shape), *half, choice(then, other)], {"y": [1, 3]})
    assert [op.op for op in graph.operators].count("Gemm") == 2
    assert [r.where for r in graph.rewrites if r.rule == RULE] == ["choice"]


def test_several_results_one_of_them_from_around(tmp_path):
    then = branch([node("Neg", "x", "n"), node("Identity", "before", "a")], {"n": [1, 4], "a": [1, 4]})
    other = branch([node("Identity", "x", "m"), node("Exp", "x", "b")], {"m": [1, 4], "b": [1, 4]})
    tanh = [node("Tanh", "x", "before")]
    imported(tmp_path, [*loudness(), *tanh, choice(then, other, "y z")], {"y": [1, 4], "z": [1, 4]})


def test_a_branch_in_a_branch(tmp_path):
    inner = branch([node("Neg", "x", "i")], {"i": [1, 4]}), branch([node("Tanh", "x", "j")], {"j": [1, 4]})
    most = [node("ReduceMax", "x", "most", keepdims=0), node("Less", "most nil", "quiet")]
    then = branch([*most, choice(*inner, "a", "quiet", "inner")], {"a": [1, 4]})
    other = branch([node("Identity", "x", "b")], {"b": [1, 4]})
    graph = imported(tmp_path, [*loudness(), choice(then, other)], {"y": [1, 4]})
    assert len([r for r in graph.rewrites if r.rule == RULE]) == 2


def test_whole_numbers(tmp_path):
    then = branch([node("ArgMax", "x", "a", axis=1)], {"a": [1, 1]}, kind=TensorProto.INT64)
    other = branch([node("ArgMin", "x", "b", axis=1)], {"b": [1, 1]}, kind=TensorProto.INT64)
    imported(tmp_path, [*loudness(), choice(then, other)], {"y": [1, 1]}, types={"y": TensorProto.INT64})


def test_results_of_different_shapes_are_refused(tmp_path):
    then = branch([node("Neg", "x", "a")], {"a": [1, 4]})
    other = branch([node("ReduceSum", "x", "b", keepdims=1)], {"b": [1, 1]})
    nodes = [*loudness(), choice(then, other)]
    path = save(model(nodes, {"x": [1, 4]}, {"y": [1, None]}, {"nil": np.array(0, np.float32)}), tmp_path)
    with pytest.raises(DiagnosticError) as error:
        load(path)
    [problem] = [d for d in error.value.diagnostics if d.where == "choice"]
    assert problem.code == "MQ107"
    assert "FLOAT [1, 4] and FLOAT [1, 1]" in problem.message
    assert "--bind" in problem.help
