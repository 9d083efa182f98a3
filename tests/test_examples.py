"""The examples, built from firmware of small models and fed through standard input; the training script."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from scipy.io import wavfile

from mcu_quant import api, pipelines
from mcu_quant.api.listen import through
from tests.onnx_models import model, node, random, save
from tests.test_audio_pipelines import RATE, dense

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SPECTRAL = (
    'rate_hz = 16000\n[block]\nlength = 256\nhop = 128\n[inputs.x]\nshape = [1, 1, 129]\nstft = {{ window = "{0}" }}\n'
)
RAW = "rate_hz = 16000\n[block]\nlength = {0}\nhop = {0}\n[inputs.x]\nshape = [1, {0}]\n"


def loudness(labels: int, hop: int) -> onnx.ModelProto:
    """A loud block is the last label, or active; a quiet one the first, or not."""
    columns = [-20.0, *[0.0] * (labels - 2), 20.0] if labels > 1 else [20.0]
    constants = {
        "w": np.array([columns], np.float32),
        "b": -0.2 * np.array(columns, np.float32),
        "axis": [1],
    }
    nodes = [
        node("Abs", "x", "a"),
        node("ReduceMax", "a axis", "m", keepdims=1),
        node("Gemm", "m w b", "g", name="dense"),
        node("Softmax" if labels > 1 else "Sigmoid", "g", "p"),
    ]
    return model(nodes, {"x": [1, hop]}, {"p": [1, labels]}, constants)


def firmware(folder: Path, name: str, proto: onnx.ModelProto, text: str, clip: Path) -> None:
    path = save(proto, folder, f"{name}.onnx")
    (folder / f"{name}.toml").write_text(text)
    request = api.BuildRequest(
        api.Source(path, audio=True), "nucleo_f446re", folder / name, api.PrecisionRequest("f32"), clip
    )
    api.build(request)


def bursts(seconds: int = 1) -> np.ndarray:
    """Seconds of silence, half a second of noise, again and again."""
    rng = np.random.default_rng(3)
    quiet, loud = rng.normal(0, 30, seconds * RATE), rng.normal(0, 6000, RATE // 2)
    return np.clip(np.concatenate([quiet, loud, quiet, loud, quiet]), -32000, 32000).astype(np.int16)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    wavfile.write(folder / "clip.wav", RATE, bursts())
    clip = folder / "clip.wav"
    mask = SPECTRAL.format("sqrt-hann") + '[output.audio]\nas = "mask"\nwindow = "sqrt-hann"\n'
    firmware(folder, "denoiser", dense(129, [1, 1, 129]), mask, clip)
    active = RAW.format(160) + '[output.activity]\nfrom = "p"\nthreshold = 0.6\nrelease = 0.4\nhold_ms = 50\n'
    firmware(folder, "vad", loudness(1, 160), active, clip)
    words = (
        RAW.format(400)
        + '[output.keyword]\nfrom = "p"\nlabels = ["none", "other", "bang"]\nignore = ["none", "other"]\n'
    )
    words += "softmax = false\nthreshold = 0.6\nsmoothing_ms = 50\nrefractory_ms = 1000\n"
    firmware(folder, "kws", loudness(3, 400), words, clip)
    return folder


def built(example: str, folders: Path) -> list[str]:
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed: this test was NOT run")
    build = folders / f"build-{example}"
    for command in (
        ["-S", str(EXAMPLES / example), "-B", str(build), f"-DFIRMWARE={folders}"],
        ["--build", str(build)],
    ):
        done = subprocess.run(["cmake", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return [str(build / example)]


@pytest.mark.slow
def test_a_microphone_is_denoised(folders: Path) -> None:
    samples = bursts()
    done = subprocess.run(
        built("denoise_microphone", folders), input=samples.tobytes(), capture_output=True, check=True
    )
    out = np.frombuffer(done.stdout, np.int16)
    assert (
        out.size == samples.size
        and f"{samples.size // 128} frames, 0 samples dropped, 0 missed" in done.stderr.decode()
    )
    prefill = 160 + 128  # a block and a frame
    assert not out[:prefill].any()
    # the mask of this model is nothing learnt: what comes out is what a stream through the folder gives, later
    direct = through(folders / "denoiser", samples).audio
    later = [d for d in range(3 * prefill) if np.array_equal(out[d : d + 20000], direct[:20000])]
    assert len(later) == 1 and np.abs(direct[:20000]).max() > 1000


@pytest.mark.slow
def test_words_are_said_once_each(folders: Path) -> None:
    done = subprocess.run(built("keyword_spotting", folders), input=bursts().tobytes(), capture_output=True, check=True)
    said = done.stderr.decode().splitlines()
    assert [line.split(":")[1].split()[0] for line in said] == ["bang", "bang"]
    assert [1.0 < float(line.split()[0]) - 1.5 * i < 1.3 for i, line in enumerate(said)] == [True, True]


@pytest.mark.slow
def test_the_large_model_sleeps_while_nobody_speaks(folders: Path) -> None:
    samples = bursts(5)
    done = subprocess.run(built("vad_gated_wake", folders), input=samples.tobytes(), capture_output=True, check=True)
    *woken, last = done.stderr.decode().splitlines()
    assert woken == ['woken by "bang"', 'woken by "bang"']
    frames, awake = (int(word) for word in last.replace(",", "").split() if word.isdigit())
    assert frames == samples.size // 160 and 0 < awake < 0.4 * samples.size / 400


# --- training --------------------------------------------------------------------------------------------------------


def test_the_training_script_compiles_and_its_pipeline_is_one(tmp_path: Path) -> None:
    """Without torch: the text of the pipeline is what the script would write."""
    tree = ast.parse((EXAMPLES / "train_denoiser" / "train.py").read_text())
    names = {"LENGTH": 256, "HOP": 128, "RATE_HZ": 16000, "BINS": 129}
    (text,) = [
        n.value for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "PIPELINE"
    ]
    written = eval(compile(ast.Expression(text), "train.py", "eval"), names)
    (tmp_path / "denoiser.toml").write_text(written)
    rng = np.random.default_rng(1)
    nodes = [
        node("Log", "magnitude", "l"),
        onnx.helper.make_node(
            "GRU", ["l", "w", "r", "b", "", "state"], ["y", "state_out"], hidden_size=64, linear_before_reset=1
        ),
        node("Squeeze", "y one", "s"),
        node("MatMul", "s d", "m"),
        node("Sigmoid", "m", "mask"),
    ]
    constants = {
        "w": random(rng, 1, 192, 129, scale=0.1),
        "r": random(rng, 1, 192, 64, scale=0.1),
        "b": random(rng, 1, 384, scale=0.1),
        "d": random(rng, 64, 129, scale=0.1),
        "one": np.array([1], np.int64),
    }
    inputs, outputs = {"magnitude": [1, 1, 129], "state": [1, 1, 64]}, {"mask": [1, 1, 129], "state_out": [1, 1, 64]}
    path = save(model(nodes, inputs, outputs, constants), tmp_path, "denoiser.onnx")
    found = pipelines.resolve(path, {"magnitude": (1, 1, 129)}, given=str(tmp_path / "denoiser.toml"))
    assert found is not None and (found.rate_hz, found.block.hop) == (16000, 128)
    described = api.inspect(api.Source(path, audio=True))
    assert described["states"] and described["pipeline"]["title"].startswith("magnitudes of 256 samples")


@pytest.mark.sweep
def test_a_model_is_trained_and_deployed(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed: this test was NOT run")
    script = EXAMPLES / "train_denoiser" / "train.py"
    command = [sys.executable, str(script), "--output", str(tmp_path / "denoiser"), "--steps", "3", "--batch", "2"]
    subprocess.run(command, check=True, capture_output=True)
    source = api.Source(tmp_path / "denoiser" / "denoiser.onnx", audio=True)
    made = api.build(api.BuildRequest(source, "nucleo_f446re", tmp_path / "fw", api.PrecisionRequest("tinydenoiser")))
    assert made.report["fits"]["flash"] if isinstance(made.report["fits"], dict) else made.report["fits"]
