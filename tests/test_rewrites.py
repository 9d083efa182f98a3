"""`--verify`: the rewritten model beside onnxruntime on the original file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto

from mcu_quant.api import rewrites, stages
from mcu_quant.cli import main
from mcu_quant.diagnostics import DiagnosticError
from tests import streaming_model
from tests.onnx_models import model, node, save

REAL = (
    *("armkws_gru_s", "armkws_basic_lstm_s", "silero_vad_16k", "gtcrn_stream"),
    *("dtln_stage1", "dtln_stage2", "mlperf_tiny_dscnn"),
)


@pytest.mark.parametrize("name", REAL)
def test_real_models_are_what_they_were(shared, name):
    read = stages.read(stages.Source(shared / "models" / f"{name}.onnx"))
    found = rewrites.verify(read, None, most=10)
    assert len(found) == 2, "noise, and speech that is made up"
    assert all(c.accuracy.frames == 10 for c in found)


def test_a_changed_weight_is_noticed(tmp_path):
    read = stages.read(stages.Source(streaming_model.write(tmp_path)))
    rewrites.verify(read, None)
    name = next(n for n, a in read.graph.constants.items() if a.size > 50)
    wrong = np.array(read.graph.constants[name])
    wrong.flat[0] += 1.0
    graph = replace(read.graph, constants={**read.graph.constants, name: wrong})
    with pytest.raises(DiagnosticError) as error:
        rewrites.verify(replace(read, graph=graph), None)
    assert {d.code for d in error.value.diagnostics} == {"MQ115"}
    assert {"y", "h_out"} <= {d.where for d in error.value.diagnostics}


def test_less_is_asked_of_a_model_in_half_precision(tmp_path):
    weights = {"w": np.random.default_rng(0).standard_normal((64, 64)).astype(np.float16)}
    made = model([node("MatMul", "x w", "y")], {"x": [1, 64]}, {"y": [1, 64]}, weights, real=TensorProto.FLOAT16)
    path = save(made, tmp_path)
    read = stages.read(stages.Source(path))
    [found] = rewrites.verify(read, None)
    assert found.accuracy.outputs["y"].snr_db < rewrites.SNR_DB
    assert rewrites.least_snr_db(read.graph) == rewrites.HALF_SNR_DB["float16"]
    assert [d.code for d in rewrites.problems([found])] == ["MQ115"]


def test_inspect_says_what_was_compared(tmp_path):
    path = streaming_model.write(tmp_path)
    speech = streaming_model.speech(tmp_path / "speech")
    arguments = ["inspect", str(path), "--verify", "--data", str(speech)]
    result = CliRunner().invoke(main, [*arguments, "--format", "json"], standalone_mode=False)
    noise, real = json.loads(result.output)["verified"]
    assert set(noise["outputs"]) == {"y", "h_out", "c_out"}
    assert min(d["snr_db"] for d in noise["outputs"].values()) > 100
    assert "2 clips" in real["signal"] or "speech" in real["signal"]
    table = CliRunner().invoke(main, arguments, standalone_mode=False)
    assert "verified: 1" in table.output
