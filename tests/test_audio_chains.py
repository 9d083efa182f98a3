"""Models in a chain: features of one are inputs of another, or its audio is what another hears, each at its own hop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mcu_quant import data, pipelines
from mcu_quant.api import stages
from mcu_quant.api.rewrites import SAMPLES_SNR_DB, least_snr_db
from mcu_quant.api.stages import PrecisionRequest, Source
from mcu_quant.audio.latency import latency
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import TensorType
from tests.onnx_models import model, node, random, save
from tests.test_audio_pipelines import RATE, SPECTRAL, compared, dense, source, speech


def encoder(frames: int, wide: int, channels: int, name: str = "code") -> onnx.ModelProto:
    """x [1, frames, wide] -> tanh(x w) [1, frames, channels], with a state: the mean of what came before is added."""
    rng = np.random.default_rng(3)
    nodes = [
        node("MatMul", "x w", "m"),
        node("Tanh", "m", "t"),
        node("ReduceMean", "t", "mean", axes=[1], keepdims=1),
        node("Add", "mean before", "sum"),
        node("Mul", "sum half", "after"),
        node("Add", "t after", name),
    ]
    shapes = {"x": [1, frames, wide], "before": [1, 1, channels]}
    constants = {"w": random(rng, wide, channels, scale=1 / wide**0.5), "half": np.array([0.5], np.float32)}
    return model(nodes, shapes, {name: [1, frames, channels], "after": [1, 1, channels]}, constants, opset=17)


def head(rows: int, wide: int, classes: int = 3, shape: tuple[int, ...] = ()) -> onnx.ModelProto:
    """What decides: [1, rows, wide] -> [1, classes]."""
    rng = np.random.default_rng(8)
    nodes = [node("Reshape", "x flat", "v"), node("Gemm", "v w b", "y", transB=1)]
    constants = {
        "w": random(rng, classes, rows * wide, scale=(rows * wide) ** -0.5),
        "b": random(rng, classes),
        "flat": [1, rows * wide],
    }
    return model(nodes, {"x": list(shape or (1, rows, wide))}, {"y": [1, classes]}, constants)


WORDS = '[output.keyword]\nlabels = ["a", "b", "c"]\nsoftmax = true\nthreshold = 0.4\nsmoothing_ms = 20\n'


def chain(folder: Path, hop: int, runs: int, rows: int, bins_first: bool = False) -> Source:
    """An encoder that runs every `hop` samples and gives 2 rows of 5; behind it, what reads the last rows."""
    save(encoder(2, hop // 2, 5), folder, "code.onnx")
    text = f"rate_hz = {RATE}\n[block]\nlength = {hop}\nhop = {hop}\n[inputs.x]\nshape = [1, 2, {hop // 2}]\n"
    (folder / "code.toml").write_text(text)
    shape = (1, 5, rows) if bins_first else (1, rows, 5)
    text = f"[block]\nlength = {hop * runs}\nhop = {hop * runs}\n"
    text += '[upstream]\nmodel = "code.onnx"\npipeline = "code"\nstate = { after = "before" }\n'
    text += (
        f'[inputs.x]\nshape = {list(shape)}\nfrom = "code"\ninitial = -1.0\naffine = {{ scale = 0.5, offset = 0.25 }}\n'
    )
    text += f"bins_first = {str(bins_first).lower()}\n{WORDS}"
    return source(folder, head(rows, 5, shape=shape), text)


@pytest.mark.parametrize(
    ("runs", "rows", "bins_first"),
    [(1, 6, False), (1, 2, False), (1, 7, True), (3, 9, False), (3, 4, True), (3, 6, False)],
    ids=["kept", "all new", "odd", "three runs", "some are too old", "as many as there are"],
)
def test_features_of_a_model_are_rows_of_the_next(tmp_path: Path, runs: int, rows: int, bins_first: bool) -> None:
    made = chain(tmp_path, 40, runs, rows, bins_first)
    for found in compared(made, speech(tmp_path)):
        assert found.outputs["score"].snr_db > 100.0
        assert found.outputs["keyword"].snr_db == 999.0


@pytest.mark.parametrize("runs", [1, 3])
def test_without_its_ends_the_model_is_fed_by_onnxruntime(tmp_path: Path, runs: int) -> None:
    """Calibration of the second model alone sees what the whole chain computes."""
    made, clip = chain(tmp_path, 40, runs, 6), speech(tmp_path)
    whole, alone = stages.read(made), stages.read(Source(made.model))
    plan = stages.choose(whole, stages.target(None), PrecisionRequest("f32"), clip).plan
    session = ProgramSession(stages.lowered(whole, plan, stages.target(None)).program)
    [heard], [frames] = stages.clips(whole, clip), stages.clips(alone, clip)
    edge = whole.graph.producer()["y"].inputs[0]
    for call, frame in zip(heard, frames, strict=True):
        session.run(None, call)
        assert np.allclose(np.ravel(session.tap(edge)), np.ravel(frame["x"]), atol=1e-4)
    assert len(frames) > 40 // runs


@pytest.mark.parametrize("fmt", ["s8", "s16"])
def test_a_chain_in_integers_is_exact(tmp_path: Path, fmt: str) -> None:
    made, clip = chain(tmp_path, 40, 3, 9), speech(tmp_path)
    found = stages.read(made)
    edits = () if fmt == "s8" else ("Gemm=s16", "Tanh=s16")
    plan = stages.choose(found, stages.target(None), PrecisionRequest("s8", edits=edits), clip).plan
    session = ProgramSession(stages.lowered(found, plan, stages.target(None)).program, verify=True)
    [frames] = stages.clips(found, clip)
    for call in frames:
        session.run(None, call)
    assert session.mismatches == []


def test_audio_of_a_denoiser_is_what_the_next_model_hears(tmp_path: Path) -> None:
    """The denoiser runs four times in each call of what listens to it, or of a second denoiser."""
    save(dense(21, [1, 1, 21]), tmp_path, "first.onnx")
    first = SPECTRAL.format(length=40, hop=10, shape=[1, 1, 21], stft='window = "hann"')
    first += '[output.audio]\nas = "mask"\nwindow = "hann"\n'
    (tmp_path / "first.toml").write_text(f"rate_hz = {RATE}\n{first}")
    behind = '[upstream]\nmodel = "first.onnx"\npipeline = "first"\n'
    words = source(
        tmp_path,
        head(1, 80, shape=(1, 80)),
        f"[block]\nlength = 80\nhop = 40\n[inputs.x]\nshape = [1, 80]\n{behind}{WORDS}",
    )
    assert least_snr_db(stages.read(words).graph) == SAMPLES_SNR_DB
    for found in compared(words, speech(tmp_path)):
        # the samples between are 16 bits: one that rounds the other way is a step of 2^-15
        assert found.outputs["score"].snr_db > 70.0
    second = SPECTRAL.format(length=80, hop=40, shape=[1, 1, 41], stft='window = "hann"')
    second += f'{behind}[output.audio]\nas = "mask"\nwindow = "hann"\n'
    again = source(tmp_path, dense(41, [1, 1, 41], seed=2), second)
    for found in compared(again, speech(tmp_path)):
        assert found.outputs["audio_out"].snr_db > 70.0
    assert latency(pipelines.load(tmp_path / "m.toml")) == 30 + 40


def test_three_models(tmp_path: Path) -> None:
    """Each with a hop of its own: 20 samples, 40 and 120."""
    save(encoder(2, 10, 5), tmp_path, "one.onnx")
    text = f"rate_hz = {RATE}\n[block]\nlength = 20\nhop = 20\n[inputs.x]\nshape = [1, 2, 10]\n"
    (tmp_path / "one.toml").write_text(text)
    save(encoder(6, 5, 4), tmp_path, "two.onnx")
    text = f'rate_hz = {RATE}\n[block]\nlength = 40\nhop = 40\n[inputs.x]\nshape = [1, 6, 5]\nfrom = "code"\n'
    text += '[upstream]\nmodel = "one.onnx"\npipeline = "one"\nstate = { after = "before" }\n'
    (tmp_path / "two.toml").write_text(text)
    text = '[block]\nlength = 120\nhop = 120\n[inputs.x]\nshape = [1, 30, 4]\nfrom = "code"\n'
    text += '[upstream]\nmodel = "two.onnx"\npipeline = "two"\nstate = { after = "before" }\n'
    for found in compared(source(tmp_path, head(30, 4), text + WORDS), speech(tmp_path)):
        assert found.outputs["score"].snr_db > 100.0


def test_mistakes_in_a_chain_are_named(tmp_path: Path) -> None:
    made = chain(tmp_path, 40, 1, 6)
    good = (tmp_path / "m.toml").read_text()
    for old, new, says in (
        ('from = "code"', 'from = "cod"', "code has no output 'cod'.*did you mean"),
        ("initial", "row = 4\ninitial", "does not hold whole rows of 4"),
        ("initial", "row = 3\ninitial", r"rows of 3 do not fill 'code' of shape \[1, 2, 5\]"),
        ("affine", "stft = {}\naffine", "only affine comes after it"),
        ('from = "code"\n', "", "gives no audio that this one could hear"),
        ("[upstream]", '[upstream]\nmask = "code"', "one of both"),
        ("hop = 40", "hop = 30", "no multiple of"),
    ):
        (tmp_path / "m.toml").write_text(good.replace(old, new, 1))
        with pytest.raises(DiagnosticError, match=f"(?s){says}"):
            stages.read(made)
    (tmp_path / "m.toml").write_text(good)
    (tmp_path / "code.onnx").unlink()
    with pytest.raises(DiagnosticError, match=r"MQ401.*code.onnx, which runs first, is not beside"):
        data.load(
            None,
            pipelines.load(tmp_path / "m.toml"),
            {"x": TensorType((1, 6, 5))},
            tmp_path,
        )


def test_a_front_end_that_is_a_model_feeds_the_ready_made_embedding(shared: Path) -> None:
    made = Source(shared / "models/speech_embedding.onnx", pipeline="speech_embedding_behind_melspec", audio=True)
    for found in compared(made, shared / "audio/kws/yes_t.wav", 12):
        assert found.outputs["conv2d_19"].snr_db > 80.0
