"""`--stream`: recurrent layers that start afresh in every run carry their state on request."""

import json

import numpy as np
import onnxruntime
import pytest

from mcu_quant import api
from mcu_quant.api import stages
from mcu_quant.compare import Reference
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.frontend import load
from mcu_quant.interpret import Stream
from mcu_quant.passes import optimise
from tests.onnx_models import model, node, random, save
from tests.test_frontend_loops import STEPS, UNITS, gru_body, gru_weights, lstm_scan, scripted, value
from tests.test_frontend_loops import body as graph_body

RNG = np.random.default_rng(31)
INPUTS, FRAMES = 3, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(kind, inputs="", outputs="y", extra=(), constants=None, steps=STEPS, **attributes):
    """One layer over `steps` steps."""
    n = GATES[kind]
    weights = {"W": random(RNG, 1, n * UNITS, INPUTS), "R": random(RNG, 1, n * UNITS, UNITS)}
    nodes = [*extra, node(kind, f"x W R - - {inputs}".strip(), outputs, hidden_size=UNITS, name="rnn", **attributes)]
    shape = [1, steps, INPUTS] if attributes.get("layout") else [steps, 1, INPUTS]
    return model(nodes, {"x": shape}, {"y": [None] * 4}, {**weights, **(constants or {})})


def check(tmp_path, whole, part, stream=("rnn",), axis=0, output="y"):
    """In frames, the streamed model and its reference give what the model gives for the whole sequence."""
    path = save(part, tmp_path, "part.onnx")
    imported = load(path, stream=stream)
    graph = optimise(imported.graph)
    sequence = random(RNG, *(FRAMES * d if a == axis else d for a, d in enumerate(graph.shape("x"))))
    session = onnxruntime.InferenceSession(save(whole, tmp_path, "whole.onnx").read_bytes())
    expected = session.run([output], {"x": sequence})[0]
    ours, reference = Stream(graph), Reference(path, graph, {}, stream)
    for frame, target in zip(np.split(sequence, FRAMES, axis), np.split(expected, FRAMES, axis), strict=True):
        np.testing.assert_allclose(ours.run({"x": frame})[output], target, atol=2e-6)
        np.testing.assert_allclose(reference.run({"x": frame})[output], target, atol=2e-6)
    return graph


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("outputs", ["y", "y last"])
def test_layers_without_an_initial_state(tmp_path, kind, outputs):
    part = layer(kind, outputs=outputs)
    whole = layer(kind, outputs=outputs, steps=FRAMES * STEPS)
    del whole.graph.initializer[:]
    whole.graph.initializer.extend(part.graph.initializer)
    graph = check(tmp_path, whole, part)
    assert [s.input for s in graph.states] == ["rnn:h_in", "rnn:c_in"][: len(graph.states)]
    assert len(graph.states) == (2 if kind == "LSTM" else 1)


def variants(made, steps=FRAMES * STEPS):
    """The same model for all frames at once."""
    whole = type(made)()
    whole.CopyFrom(made)
    for dim in whole.graph.input[0].type.tensor_type.shape.dim:
        if dim.dim_value == STEPS:
            dim.dim_value = steps
    return whole


def test_zeros_that_are_computed_from_shapes(tmp_path):
    extra = [
        node("Shape", "x", "shape"),
        node("Gather", "shape one", "batch", axis=0),
        node("Concat", "one batch units", "sizes", axis=0),
        node("ConstantOfShape", "sizes", "h0"),
    ]
    part = layer("GRU", "h0", "y", extra, {"one": [1], "units": [UNITS]})
    check(tmp_path, variants(part), part)


def test_a_constant_start_stays(tmp_path):
    part = layer("GRU", "h0", constants={"h0": random(RNG, 1, 1, UNITS)}, linear_before_reset=1)
    graph = check(tmp_path, variants(part), part)
    assert graph.states[0].initial.any()


def test_a_batch_that_is_bound_by_default(tmp_path):
    part = layer("LSTM")
    part.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "batch"
    assert check(tmp_path, variants(part), part).states[0].type.shape == (1, 1, UNITS)


def test_a_scan(tmp_path):
    part = model(
        [node("Scan", "h0 x", "last y", body=gru_body({}), num_scan_inputs=1, name="rnn")],
        {"x": [STEPS, 1, INPUTS]},
        {"y": [None, 1, UNITS]},
        {"h0": np.zeros((1, UNITS), np.float32), **gru_weights()},
    )
    graph = check(tmp_path, variants(part), part)
    assert [op.op for op in graph.operators if op.op != "Reshape"] == ["GRU"]
    assert [s.input for s in graph.states] == ["rnn:0_in"]


def test_the_step_counter_of_a_scan_is_no_state(tmp_path):
    made = lstm_scan()
    made.graph.node[0].name = "rnn"
    graph = load(save(made, tmp_path), stream=["rnn"]).graph
    assert [s.input for s in graph.states] == ["rnn:0_in", "rnn:2_in"]


def test_a_loop(tmp_path):
    inner = graph_body(
        [node("Gather", "x i", "xt", axis=0), node("Add", "v xt", "v2"), node("Identity", "go", "go2")],
        [value("i", [], 7), value("go", [], 9), value("v", [1, INPUTS])],
        [value("go2", [], 9), value("v2", [1, INPUTS]), value("v2", [1, INPUTS])],
    )
    del inner.output[2]
    inner.node.append(node("Identity", "v2", "out"))
    inner.output.append(value("out", [1, INPUTS]))

    def made(limit):
        constants = {"limit": np.array(limit), "yes": np.array(True), "zero": np.zeros((1, INPUTS), np.float32)}
        loop = node("Loop", "limit yes zero", "last y", body=inner, name="rnn")
        return model([loop], {"x": [limit, 1, INPUTS]}, {"y": [limit, 1, INPUTS]}, constants)

    check(tmp_path, made(FRAMES * STEPS), made(STEPS))


def test_a_scripted_loop(tmp_path):
    """The list that it fills is no state."""
    path = save(scripted({"axis": 0}), tmp_path)
    graph = load(path, stream=["loop"]).graph
    assert [s.input for s in graph.states] == ["loop:0_in"]
    assert "GRU" in [op.op for op in optimise(graph).operators]


def test_everything_that_cannot_be_streamed_is_named_at_once(tmp_path):
    weights = {"W": random(RNG, 2, UNITS, INPUTS), "R": random(RNG, 2, UNITS, UNITS)}
    nodes = [node("RNN", "x W R", "y", direction="bidirectional", hidden_size=UNITS, name="both")]
    path = save(model(nodes, {"x": [STEPS, 1, INPUTS]}, {"y": [None] * 4}, weights), tmp_path)
    with pytest.raises(DiagnosticError) as error:
        load(path, stream=["both", "boht"])
    assert [(d.code, d.where) for d in error.value.diagnostics] == [("MQ114", "both"), ("MQ114", "boht")]
    assert "both" in error.value.diagnostics[1].help


def test_a_start_that_is_computed_is_refused(tmp_path):
    extra = [node("ReduceMean", "x axes", "mean", keepdims=1), node("Expand", "mean shape", "h0")]
    made = layer("RNN", "h0", extra=extra, constants={"axes": [0, 2], "shape": [1, 1, UNITS]})
    with pytest.raises(DiagnosticError, match=r"MQ114.*'h0', which is computed"):
        load(save(made, tmp_path), stream=["rnn"])


def test_a_folder_remembers_what_was_streamed(tmp_path):
    path = save(layer("LSTM"), tmp_path, "tiny.onnx")
    source = stages.Source(path, stream=("rnn",))
    request = api.BuildRequest(source, "nucleo_h743zi2", tmp_path / "out", api.PrecisionRequest("f32"))
    assert "--stream rnn" in request.command
    api.build(request)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["stream"] == ["rnn"]
    found = api.test_folder(api.TestRequest(tmp_path / "out", frames=5))
    assert found.passed
    assert found.accuracy.worst_snr_db > 100
    assert set(found.accuracy.states) == {"rnn:h_out", "rnn:c_out"}
