"""ONNX's node tests through the generated C: none gives a wrong number, and none that passed is lost."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.backend.test.case.test_case import TestCase

import mcu_quant.onnx_backend as backend
from bench import conformance, conformance_integer, operators
from mcu_quant import ops


@pytest.mark.slow
def test_every_node_test_passes_or_is_refused() -> None:
    recorded = json.loads(conformance.RECORD.read_text())
    if recorded["onnx"] != onnx.__version__:
        pytest.skip(f"bench/conformance.json is of ONNX {recorded['onnx']}, {onnx.__version__} is installed")
    logging.disable(logging.CRITICAL)
    try:
        results = list(conformance.run_all(conformance.cases()))
    finally:
        logging.disable(logging.NOTSET)
    assert [f"{r.test}: {r.code} {r.reason}" for r in results if r.status == conformance.FAILED] == []
    now = {r.test: r.status for r in results}
    lost = [t for t, status in recorded["tests"].items() if status == conformance.PASSED and now[t] != status]
    assert lost == []


@pytest.mark.parametrize("name", ["test_mvn", "test_mvn_expanded", "test_reduce_mean_default_axes_keepdims_random"])
def test_reductions_over_axes_apart(name: str) -> None:
    """One after the other, also after every rewrite."""
    (test,) = (t for t in conformance.cases() if t.name == name)
    assert conformance.run(test, name).status == conformance.PASSED


def _differing(tests: list[TestCase]) -> list[str]:
    return [f"{name}: {call}" for name, _, calls in conformance_integer.run_all(tests) for call in calls]


def test_integer_kernels_are_as_specified_on_the_shapes_of_some_node_tests() -> None:
    """Every 37th: those are of most operators."""
    ran = list(conformance_integer.run_all(conformance.cases()[::37]))
    assert [f"{name}: {call}" for name, _, calls in ran for call in calls] == []
    assert {"mq_add_s8", "mq_add_s16"} <= {k for _, kernels, _ in ran for k in kernels}


@pytest.mark.sweep
def test_integer_kernels_are_as_specified_on_the_shapes_of_all_node_tests() -> None:
    assert _differing(conformance.cases()) == []


def test_a_call_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A specification that is off by one is told from the C."""
    kernel = ops.kernels()["mq_add_s8"]
    assert kernel.exact
    wrong = replace(kernel, exact=lambda *a, **k: kernel.exact(*a, **k) + 1)  # type: ignore[misc]
    monkeypatch.setattr(ops, "_kernels", {**ops.kernels(), "mq_add_s8": wrong})
    assert _differing([t for t in conformance.cases() if t.name == "test_add_bcast"])


@pytest.mark.sweep
def test_page_of_operators_is_up_to_date() -> None:
    """Else: python -m bench.operators."""
    assert operators.PAGE.read_text() == operators.page()


def test_every_operator_and_every_rule_is_on_the_page() -> None:
    page = operators.page()
    for name, spec in ops.by_onnx().items():
        assert f"| {name} |" in page
        assert all(ops.rule(c) in page for c in spec.constraints)
    assert "Attention, " in page.split("definition")[-1]


def _model(nodes: list[onnx.NodeProto], **inputs: tuple[int, ...]) -> onnx.ModelProto:
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    graph = helper.make_graph(nodes, "g", ports, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_weights_may_be_inputs() -> None:
    model = _model([helper.make_node("Conv", ["x", "w"], ["y"])], x=(1, 1, 5), w=(1, 1, 3))
    prepared = backend.prepare(model)
    x = np.arange(5, dtype=np.float32).reshape(1, 1, 5)
    for kernel in ([1.0, 0.0, 0.0], [0.0, 0.0, 2.0]):  # other weights are another firmware
        w = np.array(kernel, np.float32).reshape(1, 1, 3)
        wanted = np.convolve(x.ravel(), w.ravel()[::-1], "valid")
        np.testing.assert_allclose(prepared.run([x, w])[0].ravel(), wanted)


def test_node_alone() -> None:
    node = helper.make_node("Equal", ["a", "b"], ["y"])
    (y,) = backend.run_node(node, [np.array([1, 2, 2**40]), np.array([1, 3, 2**40])])
    assert y.dtype == np.bool_
    assert y.tolist() == [True, False, True]


def test_refusal_says_why() -> None:
    model = _model([helper.make_node("NonZero", ["x"], ["i"]), helper.make_node("Cast", ["i"], ["y"], to=1)], x=(3,))
    assert not backend.is_compatible(model)
    with pytest.raises(backend.Refused) as refused:
        backend.run_model(model, [np.ones(3, np.float32)])
    assert refused.value.diagnostics


def test_values_without_elements_take_no_part() -> None:
    """Inputs of no elements are known, outputs of none need no firmware; what is left is computed."""
    half = helper.make_node("Slice", ["x", "zero", "zero"], ["none"])
    joined = helper.make_node("Concat", ["past", "x"], ["y"], axis=0)
    made = _model([half, joined], past=(0, 3), x=(2, 3))
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.int64), "zero"))
    made.graph.output.append(helper.make_tensor_value_info("none", TensorProto.FLOAT, None))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    y, none = backend.run_model(made, [np.zeros((0, 3), np.float32), x])
    np.testing.assert_array_equal(y, x)
    assert none.shape == (0, 3)


def test_device() -> None:
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA")
