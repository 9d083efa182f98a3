"""Whole pipelines: front end, models and back end in C beside their definitions in numpy and onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from scipy.io import wavfile

from mcu_quant import boards
from mcu_quant.api import stages
from mcu_quant.api.rewrites import GraphSession
from mcu_quant.api.stages import PrecisionRequest, Source
from mcu_quant.compare import Accuracy, accuracy
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.lowering import Target
from mcu_quant.precision.plan import to_toml
from mcu_quant.precision.presets import PIPELINE_ENDS
from tests.onnx_models import model, node, random, save

RATE = 16000


def dense(size: int, shape: list[int], name: str = "mask", kind: str = "Sigmoid", seed: int = 1) -> onnx.ModelProto:
    """x -> flat -> Gemm -> kind -> y, both of the same shape."""
    rng = np.random.default_rng(seed)
    nodes = [
        node("Reshape", "x flat", "v"),
        node("Gemm", "v w b", "d", transB=1, name="dense"),
        node(kind, "d", "e"),
        node("Reshape", "e back", name),
    ]
    constants = {
        "w": np.eye(size, dtype=np.float32) + random(rng, size, size, scale=0.1 / size**0.5),
        "b": random(rng, size, scale=0.1),
        "flat": [1, size],
        "back": shape,
    }
    return model(nodes, {"x": shape}, {name: shape}, constants)


def speech(folder: Path, seconds: float = 0.4) -> Path:
    """Noise that swells and falls silent, at 16 bits."""
    t = np.arange(int(seconds * RATE)) / RATE
    rng = np.random.default_rng(2)
    x = (0.3 * np.sin(2 * np.pi * 440 * t) + 0.2 * rng.standard_normal(t.size)) * np.sin(2 * np.pi * 3 * t) ** 2
    x[t.size // 2 : t.size * 3 // 4] = 0.0
    wavfile.write(folder / "noisy.wav", RATE, (np.clip(x, -1, 1) * 32767).astype(np.int16))
    return folder / "noisy.wav"


SPECTRAL = "[block]\nlength = {length}\nhop = {hop}\n[inputs.x]\nshape = {shape}\nstft = {{ {stft} }}\n"


def source(folder: Path, proto: onnx.ModelProto, text: str) -> Source:
    (folder / "m.toml").write_text(f"rate_hz = {RATE}\n{text}")
    return Source(save(proto, folder, "m.onnx"), audio=True)


def compared(made: Source, clip: Path, frames: int = 200) -> tuple[Accuracy, Accuracy]:
    """The float graph and its C in f32, against the definitions."""
    found = stages.read(made)
    clips = stages.clips(found, clip)
    plan = stages.choose(found, stages.target(None), PrecisionRequest("f32"), clip).plan
    program = stages.lowered(found, plan, stages.target(None)).program
    sessions = GraphSession(found.graph), ProgramSession(program, verify=True)
    first, second = (accuracy(found.graph, s, found.reference(), clips, frames) for s in sessions)
    assert sessions[1].mismatches == []
    return first, second


def test_a_mask_is_laid_over_the_spectrum_and_blocks_are_added(tmp_path: Path) -> None:
    text = SPECTRAL.format(length=40, hop=10, shape=[1, 1, 21], stft='window = "hann"')
    text += '[output.audio]\nas = "mask"\nwindow = "hann"\n'
    for found in compared(source(tmp_path, dense(21, [1, 1, 21]), text), speech(tmp_path)):
        assert found.outputs["audio_out"].snr_db > 80.0  # samples are rounded to 16 bits
        assert found.outputs["audio_out"].max_abs <= 1


@pytest.mark.parametrize("shape", [[1, 33, 1, 2], [1, 2, 33]])
def test_a_spectrum_or_a_complex_mask_comes_out(tmp_path: Path, shape: list[int]) -> None:
    kind = "spectrum" if shape[-1] == 2 else "complex-mask"
    value = "complex" if shape[-1] == 2 else "magnitude"
    proto = dense(66, shape, kind="Tanh")
    if kind == "complex-mask":
        rng = np.random.default_rng(4)
        nodes = [
            node("Reshape", "x flat", "v"),
            node("Gemm", "v w b", "d", transB=1),
            node("Tanh", "d", "e"),
            node("Reshape", "e back", "mask"),
        ]
        constants = {
            "w": random(rng, 66, 33, scale=0.3),
            "b": random(rng, 66),
            "flat": [1, 33],
            "back": shape,
        }
        proto = model(nodes, {"x": [1, 33]}, {"mask": shape}, constants)
    taken = shape if kind == "spectrum" else [1, 33]
    text = SPECTRAL.format(length=64, hop=32, shape=taken, stft=f'window = "sqrt-hann", value = "{value}"')
    text += f'[output.audio]\nas = "{kind}"\nwindow = "sqrt-hann"\n'
    for found in compared(source(tmp_path, proto, text), speech(tmp_path)):
        assert found.outputs["audio_out"].snr_db > 80.0


def test_what_goes_in_comes_out_later_where_the_model_changes_nothing(tmp_path: Path) -> None:
    proto = model([node("Identity", "x", "y")], {"x": [1, 33, 2]}, {"y": [1, 33, 2]}, {})
    text = SPECTRAL.format(length=48, hop=16, shape=[1, 33, 2], stft='window = "hann", fft = 64, value = "complex"')
    made = source(tmp_path, proto, text + '[output.audio]\nas = "spectrum"\nwindow = "hann"\n')
    found = stages.read(made)
    plan = stages.choose(found, stages.target(None), PrecisionRequest("f32"), speech(tmp_path)).plan
    session = ProgramSession(stages.lowered(found, plan, stages.target(None)).program)
    x = np.random.default_rng(0).integers(-32768, 32768, 16 * 60).astype(np.int16)
    out = np.concatenate([session.run(None, {"audio_in": hop})[0] for hop in x.reshape(-1, 16)])
    assert np.array_equal(out[32:], x[:-32])  # length - hop, as <NAME>_LATENCY says
    assert not out[:32].any()


@pytest.mark.parametrize(("board", "least_db"), [("nucleo_f446re", 45.0), ("nucleo_g0b1re", 25.0)])
def test_a_plan_of_the_model_alone_serves_its_pipeline_too(tmp_path: Path, board: str, least_db: float) -> None:
    """Made without `--audio`, in minutes: the ends hold no weights, and get floats, or integers without an FPU."""
    text = SPECTRAL.format(length=64, hop=32, shape=[1, 1, 33], stft='window = "hann"')
    made = source(tmp_path, dense(33, [1, 1, 33]), text + '[output.audio]\nas = "mask"\nwindow = "hann"\n')
    target, clip = stages.target(boards.load(board)), speech(tmp_path)
    alone = stages.read(replace(made, audio=False))
    plan = stages.choose(alone, target, PrecisionRequest("s8"), clip).plan
    (tmp_path / "plan.toml").write_text(to_toml(plan))
    whole = stages.read(made)
    served = stages.choose(whole, target, PrecisionRequest(plan=tmp_path / "plan.toml"), clip).plan
    ends = {n: line.format for n, line in served.operators.items() if n not in plan.operators}
    assert ends and all(n.startswith(PIPELINE_ENDS) for n in ends)
    assert set(ends.values()) == {"f32" if target.f16 else "s16"}
    assert {n: served.operators[n] for n in plan.operators} == dict(plan.operators)
    assert {e: served.ranges[e] for e in plan.ranges} == dict(plan.ranges)
    session = ProgramSession(stages.lowered(whole, served, target).program, verify=True)
    found = accuracy(whole.graph, session, whole.reference(), stages.clips(whole, clip), 100)
    assert found.outputs["audio_out"].snr_db > least_db and session.mismatches == []


def test_models_in_a_chain_and_blocks_of_samples(tmp_path: Path) -> None:
    save(dense(21, [1, 1, 21]), tmp_path, "first.onnx")
    first = SPECTRAL.format(length=40, hop=10, shape=[1, 1, 21], stft='window = "none"')
    (tmp_path / "first.toml").write_text(f"rate_hz = {RATE}\n{first}")
    text = "[block]\nlength = 40\nhop = 10\n[inputs.x]\nshape = [1, 40]\n"
    text += '[upstream]\nmodel = "first.onnx"\npipeline = "first"\nmask = "mask"\nstate = {}\n'
    text += '[output.audio]\nas = "samples"\n'
    made = source(tmp_path, dense(40, [1, 40], "y", "Tanh", seed=5), text)
    for found in compared(made, speech(tmp_path)):
        assert found.outputs["audio_out"].snr_db > 75.0
    (tmp_path / "first.onnx").unlink()
    with pytest.raises(DiagnosticError, match=r"MQ401.*first.onnx, which runs first, is not beside"):
        stages.read(made)


#: Offsets and floors lie above what f32 leaves of a constant in bins where nothing is.
FRONTS = {
    "mfcc": "mel = { bands = 12, low_hz = 20, high_hz = 7600 }\nlog = { offset = 1e-3 }\ndct = { coefficients = 6 }",
    "log-mel-range": 'mel = { bands = 6, low_hz = 0, high_hz = 8000, scale = "slaney", sides = "hz", norm = "slaney" }'
    '\nlog = { base = "10", floor = 1e-10, range = 4 }\naffine = { scale = 0.25, offset = 1, low = -0.5 }',
    "emphasis": "emphasis = { coefficient = 0.97 }\nmel = { bands = 6, low_hz = 20, high_hz = 7600 }\n"
    "log = { floor = 1e-3 }",
}
WORDS = """\
[output.keyword]
labels = ["a", "b", "c", "d"]
ignore = ["a"]
smoothing_ms = 20
softmax = true
threshold = 0.3
"""


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    ("block", "stft", "frames"),
    [
        ("length = 256\nhop = 64", "length = 64, hop = 32", 7),
        ("length = 256\nhop = 48", "length = 64, hop = 32", 7),  # a hop that frames do not fit: the block is kept
        ("length = 256\nhop = 256", "length = 64, hop = 32", 7),
        ('length = 256\nhop = 64\nnormalise = "peak"', "length = 64, hop = 32", 7),
        ('length = 256\nhop = 64\nnormalise = "variance"', 'length = 64, hop = 32, centre = "reflect"', 9),
        ("length = 256\nhop = 64", 'length = 60, hop = 32, fft = 64, centre = "zeros", drop_last = true', 8),
    ],
)
def test_features_of_many_frames_slide_or_start_afresh(
    tmp_path: Path, front: str, block: str, stft: str, frames: int
) -> None:
    rng = np.random.default_rng(6)
    nodes = [node("Reshape", "x flat", "v"), node("Gemm", "v w b", "y", transB=1)]
    size = frames * 6
    constants = {"w": random(rng, 4, size, scale=0.1), "b": random(rng, 4), "flat": [1, size]}
    proto = model(nodes, {"x": [1, frames, 6]}, {"y": [1, 4]}, constants)
    text = f'[block]\n{block}\n[inputs.x]\nshape = [1, {frames}, 6]\nstft = {{ window = "hann", {stft} }}\n'
    for found in compared(source(tmp_path, proto, text + FRONTS[front] + "\n" + WORDS), speech(tmp_path)):
        assert found.outputs["score"].snr_db > 85.0
        assert found.outputs["keyword"].snr_db == 999.0


@pytest.mark.parametrize(("kind", "least"), [("mask", 45.0), ("mfcc", 40.0)])
def test_both_ends_in_fixed_point(tmp_path: Path, kind: str, least: float) -> None:
    """The model in floats, front and back end in 16 bits, as for a core without a floating-point unit."""
    if kind == "mask":
        text = SPECTRAL.format(length=40, hop=10, shape=[1, 1, 21], stft='window = "hann"')
        made = source(tmp_path, dense(21, [1, 1, 21]), text + '[output.audio]\nas = "mask"\nwindow = "hann"\n')
    else:
        rng = np.random.default_rng(6)
        nodes = [node("Reshape", "x flat", "v"), node("Gemm", "v w b", "y", transB=1)]
        constants = {"w": random(rng, 4, 42, scale=0.1), "b": random(rng, 4), "flat": [1, 42]}
        proto = model(nodes, {"x": [1, 7, 6]}, {"y": [1, 4]}, constants)
        text = "[block]\nlength = 256\nhop = 64\n[inputs.x]\nshape = [1, 7, 6]\n"
        text += 'stft = { window = "hann", length = 64, hop = 32 }\n'
        made = source(tmp_path, proto, text + FRONTS["mfcc"] + "\n" + WORDS)
    found, clip = stages.read(made), speech(tmp_path)
    edits = ("front:*=s16", "back:*=s16") if kind == "mask" else ("front:*=s16",)
    plan = stages.choose(found, stages.target(None), PrecisionRequest("f32", edits=edits), clip).plan
    session = ProgramSession(stages.lowered(found, plan, stages.target(None)).program, verify=True)
    outputs = accuracy(found.graph, session, found.reference(), stages.clips(found, clip), 200).outputs
    assert session.mismatches == []
    assert outputs["audio_out" if kind == "mask" else "score"].snr_db > least


def test_a_core_without_floats_gets_both_ends_in_fixed_point(tmp_path: Path) -> None:
    text = SPECTRAL.format(length=40, hop=10, shape=[1, 1, 21], stft='window = "hann"')
    made = source(tmp_path, dense(21, [1, 1, 21]), text + '[output.audio]\nas = "mask"\nwindow = "hann"\n')
    found = stages.read(made)
    for target, fmt in ((Target(f16=False), "s16"), (Target(), "f32")):
        plan = stages.choose(found, target, PrecisionRequest("s8"), speech(tmp_path)).plan
        assert {line.format for name, line in plan.operators.items() if name.startswith(("front:", "back:"))} == {fmt}


def test_only_new_frames_are_computed(tmp_path: Path) -> None:
    """A quarter of the block is new: a quarter of the transforms, and features instead of samples as state."""
    rng = np.random.default_rng(6)
    nodes = [node("Reshape", "x flat", "v"), node("Gemm", "v w b", "y", transB=1)]
    constants = {"w": random(rng, 4, 180, scale=0.1), "b": random(rng, 4), "flat": [1, 180]}
    proto = model(nodes, {"x": [1, 30, 6]}, {"y": [1, 4]}, constants)
    text = "[block]\nlength = 992\nhop = 256\n[inputs.x]\nshape = [1, 30, 6]\n"
    text += 'stft = { window = "hann", length = 64, hop = 32 }\nmel = { bands = 6, low_hz = 20, high_hz = 7600 }\n'
    found = stages.read(source(tmp_path, proto, text + WORDS))
    [spectrum] = [op for op in found.graph.operators if op.op == "Spectrum"]
    assert spectrum.attributes["frames"] == 8
    assert sorted(s.type.size for s in found.graph.states)[-2:] == [32, 22 * 6]


def test_mistakes_are_named(tmp_path: Path) -> None:
    base = SPECTRAL.format(length=40, hop=10, shape=[1, 1, 21], stft='window = "none"')
    proto = dense(21, [1, 1, 21])
    for text, says in (
        ('[output.audio]\nas = "spectrum"\n', "is not 21 pairs"),
        ('[output.audio]\nas = "samples"\n', "is not 10 or 40 samples"),
        ('[output.audio]\nfrom = "masc"\nas = "mask"\n', "did you mean|no output 'masc'"),
        ("[output.activity]\n", "not one probability"),
        ('[output.keyword]\nlabels = ["a"]\n', "has 1 labels"),
        ('[output.keyword]\nlabels = ["a"]\nignore = ["a"]\n', "no label is left"),
        ("[output.activity]\nthreshold = 0.2\n", "above the threshold"),
        ('[stream]\nhop = 20\n[output.audio]\nas = "mask"\n', "a call is a block"),
    ):
        with pytest.raises(DiagnosticError, match=says):
            stages.read(source(tmp_path, proto, base + text))
    gaps = base.replace('"none"', '"hann"').replace("hop = 10", "hop = 40")
    with pytest.raises(DiagnosticError, match="leave gaps"):
        stages.read(source(tmp_path, proto, gaps + '[output.audio]\nas = "mask"\n'))


def test_a_pipeline_file_may_name_its_model(tmp_path: Path) -> None:
    base = (
        SPECTRAL.format(length=40, hop=10, shape=[1, 1, 21], stft='window = "none"') + '[output.audio]\nas = "mask"\n'
    )
    source(tmp_path, dense(21, [1, 1, 21]), base)
    with pytest.raises(DiagnosticError, match="names no model"):
        stages.read(Source(tmp_path / "m.toml"))
    (tmp_path / "m.toml").write_text(f'model = "m.onnx"\nrate_hz = {RATE}\n{base}')
    assert stages.read(Source(tmp_path / "m.toml")).graph.outputs == ("audio_out",)


@pytest.mark.parametrize(
    ("name", "frames", "least"),
    [("dtln_stage2", 60, 75.0), ("gtcrn_stream", 40, 80.0), ("silero_vad_16k", 40, 100.0), ("armkws_gru_s", 12, 100.0)],
)
def test_ready_made_pipelines_are_what_the_authors_compute(shared: Path, name: str, frames: int, least: float) -> None:
    _, found = compared(Source(shared / "models" / f"{name}.onnx", audio=True), shared / "audio/calibration", frames)
    assert all(d.snr_db > least for d in found.outputs.values()), found.outputs
