"""Every published model beside the project, unedited: its promises held by a few frames, and by the whole in sweeps.

The quick part streams some frames of speech through each model's program. The rest is what `python -m bench.models`
measures: the whole way from the file through the generated C, in every format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bench import models
from mcu_quant import compare, qdq
from mcu_quant.api import stages
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.formats import QuantParams
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.powers import powers
from mcu_quant.precision import presets
from mcu_quant.precision.plan import Range

#: dB that nothing but floats must reach against onnxruntime on every output and state.
F32_DB = 90.0
#: Part of the outputs of a model on its own scales that must be within one step of onnxruntime's.
ONE_STEP = 0.999

ALL = (
    "armkws_basic_lstm_s",
    "armkws_gru_s",
    "dtln_stage1",
    "dtln_stage2",
    "gtcrn_stream",
    "gtcrn_stream_unsimplified",
    "kwt1_mfcc",
    "kwt1_raw",
    "mlperf_tiny_dscnn",
    "mlperf_tiny_dscnn_int8_qdq",
    "mlperf_tiny_sww_int8_qdq",
    "silero_vad_16k",
    "smart_turn_v3_2_int8_qdq",
    "speech_embedding",
    "speech_embedding_melspec",
)
STREAMING = ("dtln", "gtcrn", "mlperf_tiny_sww", "silero", "speech_embedding")
#: Roundings inside make outputs of onnxruntime differ from its own by more: they are measured in steps.
CHAOTIC = ("smart_turn_v3_2_int8_qdq",)
#: Seconds each: these are swept only. gtcrn_stream_unsimplified is gtcrn_stream before folding.
LARGE = ("gtcrn_stream_unsimplified", "kwt1_raw", "smart_turn_v3_2_int8_qdq")


@pytest.mark.parametrize("name", [n for n in ALL if n not in LARGE])
def test_a_few_frames_and_the_formats_of_every_weight(name: str, shared: Path) -> None:
    model = stages.read(stages.Source(shared / "models" / f"{name}.onnx"))
    ranges, streamed = models.speech(name, shared)
    plan = stages.choose(model, Target(), stages.PrecisionRequest("f32"), ranges).plan
    reference = compare.Reference(model.file, model.graph, model.scalars)
    session = ProgramSession(stages.lowered(model, plan, Target()).program)
    found = compare.accuracy(model.graph, session, reference, stages.clips(model, streamed), 3)
    assert found.frames == 3 and found.worst_snr_db >= F32_DB

    integer = presets.make(model.graph, "qdq" if qdq.is_quantised(model.graph) else "s8", Target())
    weighted = models.parametrised(model.graph)
    floats = {n for n in weighted if integer.operators[n].format not in models.INTEGERS}
    assert weighted and floats <= powers(model.graph).inside
    assert (presets.powers_in_s8(integer, model.graph) is not None) >= bool(floats)


@pytest.mark.parametrize("name", [n for n in ALL if n.endswith("_qdq")])
def test_scales_of_the_file_are_those_of_the_firmware(name: str, shared: Path) -> None:
    """Read from the file by itself: every scale and zero point that activations are quantised to, and no other."""
    file = shared / "models" / f"{name}.onnx"
    proto = onnx.load(file)
    known = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    stated = {_stored(known, n) for n in proto.graph.node if n.op_type == "QuantizeLinear"}
    read = {_stored(known, n) for n in proto.graph.node if n.op_type == "DequantizeLinear" and n.input[0] not in known}
    graph = stages.read(stages.Source(file)).graph
    plan = presets.make(graph, "qdq", Target(), ranges={n: Range(-20.0, 20.0) for n in graph.types})
    used = {e.type.quant for e in lower(graph, plan).edges.values() if e.type.format == "s8"}
    assert len(stated) >= 10 and used == stated | read


def _stored(known: Mapping[str, Any], node: onnx.NodeProto) -> QuantParams:
    """Scale and zero point of a node as s8 has them: u8 counts from 0 what s8 counts from -128."""
    scale, zero = known[node.input[1]], known[node.input[2]]
    return QuantParams(float(scale), int(zero) - 128 * (zero.dtype == np.uint8))


def _check(row: Mapping[str, Any]) -> None:
    """What must be true of a model in a preset."""
    assert row["mismatches"] == 0
    if row["model"].startswith(STREAMING):
        assert row["frames"] >= 100
    if row["preset"] == "f32" and row["model"] not in CHAOTIC:
        assert row["snr_db"] >= F32_DB
    if row["preset"] == "qdq":
        # deep models: as near to onnxruntime as onnxruntime with other optimisations is
        assert row["within_one_step"] >= ONE_STEP or row["steps_off"] <= 1.1 * row["reference_steps_off"]
    if row["preset"] in ("s8", "qdq"):
        assert row["weighted"] and all("s8" in reason or "leaves" in reason for reason in row["in_floats"].values())


def test_what_was_measured_keeps_every_promise() -> None:
    """The record of `python -m bench.models --output bench/models.json`: every model in every preset."""
    rows = {(r["model"], r["preset"]): r for r in json.loads((models.HERE / "models.json").read_text())}
    integer = {n: "qdq" if n.endswith("qdq") else "s8" for n in ALL}
    wanted = {(n, p) for n in ALL for p in ("f32", "f16", integer[n])}
    assert rows.keys() == wanted
    for row in rows.values():
        _check(row)


@pytest.mark.sweep
@pytest.mark.parametrize("name", ALL)
def test_the_whole_way_in_every_format(name: str, shared: Path, tmp_path: Path) -> None:
    rows = list(models.everything([name], (), shared))
    assert [r.preset for r in rows] == list(models.presets_of(name, shared))
    for row in rows:
        _check(json.loads(json.dumps(models.asdict(row))))


def test_all_models_are_here(shared: Path) -> None:
    assert tuple(models.names(shared)) == ALL
