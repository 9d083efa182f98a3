"""Data: pipelines and their diagnostics, recordings, arrays, synthetic signals, blocks and state between frames."""

import tracemalloc
import wave
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.io import wavfile

from mcu_quant import data, pipelines
from mcu_quant.data import synthetic, wav
from mcu_quant.diagnostics import DiagnosticError, Severity
from mcu_quant.ir import TensorType
from mcu_quant.pipelines import Block, Pipeline
from mcu_quant.pipelines.outputs import AudioOutput

RAW = {"input": TensorType((1, 576))}


@pytest.fixture
def silero() -> Pipeline:
    return pipelines.ready_made()["silero_vad_16k"]


def _tone(seconds: float, rate_hz: int = 16000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440.0 * np.arange(int(seconds * rate_hz)) / rate_hz)


def _write(path: Path, samples: np.ndarray, rate_hz: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate_hz, np.round(samples * 32767).astype(np.int16))
    return path


def _pipeline(tmp_path: Path, text: str) -> Pipeline:
    path = tmp_path / "own.toml"
    path.write_text(dedent(text))
    return pipelines.load(path)


def _problems(error: pytest.ExceptionInfo[DiagnosticError]) -> list[str]:
    return [str(d) for d in error.value.diagnostics]


# --- pipelines -----------------------------------------------------------------------------------------------------


def test_ready_made_pipelines_are_valid_and_named_after_their_files() -> None:
    found = pipelines.ready_made()
    assert {"silero_vad_16k", "dtln_stage1", "dtln_stage2", "gtcrn_stream"} <= found.keys()
    # one that stands behind another model is taken by its name where that model is there
    assert all(name == pipeline.name and (pipeline.match or pipeline.upstream) for name, pipeline in found.items())


def test_time_between_frames(silero: Pipeline) -> None:
    assert silero.frame_seconds == pytest.approx(0.032)


def _sizes(values: list[onnx.ValueInfoProto]) -> dict[str, pipelines.Sizes]:
    return {
        v.name: [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in v.type.tensor_type.shape.dim]
        for v in values
    }


#: Models whose pipeline is named after another one of the same shapes.
NAMESAKES = {
    "gtcrn_stream_unsimplified": "gtcrn_stream",
    "mlperf_tiny_dscnn_int8_qdq": "mlperf_tiny_dscnn",
    "mlperf_tiny_sww_int8_qdq": "mlperf_tiny_sww",
    "smart_turn_v3_2_int8_qdq": "smart_turn",
}


def test_every_model_finds_its_pipeline_whatever_its_file_is_called(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "models").glob("*.onnx"))
    assert len(files) == 15
    for file in files:
        model = onnx.load(file)
        constants = {i.name for i in model.graph.initializer}
        inputs = _sizes([i for i in model.graph.input if i.name not in constants])
        found = pipelines.resolve(tmp_path / "model.onnx", inputs, _sizes(list(model.graph.output)))
        assert found and found.name == NAMESAKES.get(file.stem, file.stem)


def test_a_model_that_only_looks_alike_finds_none() -> None:
    assert pipelines.find({"input": ["batch", "samples"]}, {"output": ["batch", 10]}) is None
    assert pipelines.find({"input_2": [1, 1, 257]}) is None  # the same input without the cache
    assert pipelines.find({"input_2": [1, 1, 129], "input_3": [1, 2, 128, 2]}) is None


def test_a_file_beside_the_model_and_a_given_one_come_first(tmp_path: Path) -> None:
    sizes = {"input": ["b", "n"], "state": [2, "b", 128], "sr": []}
    body = "rate_hz = 8000\n[block]\nlength = 4\nhop = 4\n[inputs.input]\nshape = [1, 4]\n"
    (tmp_path / "model.toml").write_text(body)
    (tmp_path / "other.toml").write_text(body.replace("8000", "4000"))
    model = tmp_path / "model.onnx"
    assert pipelines.resolve(tmp_path / "x.onnx", sizes).rate_hz == 16000
    assert pipelines.resolve(model, sizes).rate_hz == 8000
    assert pipelines.resolve(model, sizes, given=str(tmp_path / "other.toml")).rate_hz == 4000
    assert pipelines.resolve(model, sizes, given="kwt1_raw").name == "kwt1_raw"
    with pytest.raises(DiagnosticError, match="did you mean 'kwt1_raw'"):
        pipelines.resolve(model, sizes, given="kwt_raw")


def test_everything_wrong_with_a_pipeline_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as error:
        _pipeline(
            tmp_path,
            """
            rate = 16000
            [block]
            length = 512
            hopp = 128
            [inputs.x]
            shape = [1, 257]
            stft = { window = "han", value = "magnitude" }
            """,
        )
    text = "\n".join(_problems(error))
    assert all(d.code == "MQ403" for d in error.value.diagnostics)
    for part in (
        "unknown key 'rate'",
        "did you mean 'rate_hz'",
        "'hopp'",
        "did you mean 'hop'",
        "missing key 'hop'",
        "hann",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("block", "stages", "wanted"),
    [
        ("length = 512\nhop = 600", "", "skips samples"),
        ("length = 512\nhop = 128", "", "the stages give 512 = 512 values"),
        (
            "length = 512\nhop = 128",
            "mel = { bands = 257, low_hz = 0, high_hz = 8000 }",
            "mel works on the result of stft",
        ),
        ("length = 512\nhop = 128", "bins_first = true", "bins_first works on the result of stft"),
        ("length = 256\nhop = 128", "stft = { length = 512 }", "a window of 512 does not fit a block of 256"),
        ("length = 512\nhop = 128", "stft = { fft = 256 }", "cuts a window of 512"),
        ("length = 512\nhop = 128", 'stft = { value = "complex" }\nlog = {}', "not complex values"),
        ("length = 200\nhop = 100", 'stft = { length = 512, centre = "reflect" }', "cannot be mirrored"),
        (
            "length = 512\nhop = 128",
            "stft = {}\nmel = { bands = 257, low_hz = 0, high_hz = 9000 }",
            "9000.0 Hz at 16000",
        ),
        (
            "length = 512\nhop = 128",
            "stft = {}\nmel = { bands = 20, low_hz = 0, high_hz = 8000 }\ndct = { coefficients = 257 }",
            "257 coefficients of 20 bands",
        ),
    ],
)
def test_contradictions_in_a_pipeline(tmp_path: Path, block: str, stages: str, wanted: str) -> None:
    with pytest.raises(DiagnosticError) as error:
        _pipeline(tmp_path, f"rate_hz = 16000\n[block]\n{block}\n[inputs.x]\nshape = [1, 257]\n{stages}\n")
    assert wanted in "\n".join(_problems(error)).replace("9000 Hz", "9000.0 Hz")


def test_a_file_that_is_not_toml_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("rate_hz = = 3")
    for name in ("bad.toml", "none.toml"):
        with pytest.raises(DiagnosticError) as error:
            pipelines.load(tmp_path / name)
        assert error.value.diagnostics[0].code == "MQ403"


# --- blocks --------------------------------------------------------------------------------------------------------


def _blocks(size: int, block: Block) -> list[list[float]]:
    samples = np.arange(1.0, size + 1.0)
    return [b.tolist() for b in data.blocks(lambda start, stop: samples[start:stop], size, block)]


def test_blocks_behind_zeros_start_as_firmware_does_after_a_reset() -> None:
    assert _blocks(7, Block(4, 2)) == [[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 5, 6]]


def test_blocks_without_history_wait_until_they_are_full() -> None:
    assert _blocks(7, Block(4, 2, "none")) == [[1, 2, 3, 4], [3, 4, 5, 6]]


@pytest.mark.parametrize("history", ["zeros", "none"])
def test_a_clip_shorter_than_a_hop_is_filled_up(history: str) -> None:
    assert _blocks(2, Block(4, 4, history)) == [[1, 2, 0, 0]]
    assert data.block_count(2, Block(4, 4, history)) == 1


def test_peak_normalised_blocks() -> None:
    assert _blocks(4, Block(2, 2, normalise="peak")) == [[0.5, 1.0], [0.75, 1.0]]
    silent = list(data.blocks(lambda start, stop: np.zeros(stop - start), 2, Block(2, 2, normalise="peak")))
    assert np.array_equal(silent[0], [0.0, 0.0])


def test_blocks_of_variance_1() -> None:
    blocks = _blocks(6, Block(3, 3, normalise="variance"))
    assert np.allclose(np.mean(blocks, axis=1), 0.0) and np.allclose(np.var(blocks, axis=1), 1.0, atol=1e-6)
    silent = list(data.blocks(lambda start, stop: np.zeros(stop - start), 2, Block(2, 2, normalise="variance")))
    assert np.array_equal(silent[0], [0.0, 0.0])


# --- recordings ----------------------------------------------------------------------------------------------------


def test_raw_with_context(tmp_path: Path, silero: Pipeline) -> None:
    stored = _write(tmp_path / "a.wav", _tone(1.0))
    clips = data.load(tmp_path, silero, RAW)
    (clip,) = clips
    frames = [f["input"] for f in clip]
    sound = np.asarray(wavfile.read(stored)[1] / 32768.0, np.float32)
    assert len(frames) == len(clip) == clips.frame_count == 16000 // 512
    assert frames[0].shape == (1, 576) and frames[0].dtype == np.float32
    assert not frames[0][0, :64].any() and np.array_equal(frames[0][0, 64:], sound[:512])
    assert np.array_equal(frames[3][0], sound[3 * 512 - 64 : 4 * 512])
    assert "1 recording" in clips.provenance and "silero_vad_16k" in clips.provenance and not clips.diagnostics


def test_what_makes_audio_is_tried_softer_and_louder(tmp_path: Path, silero: Pipeline) -> None:
    _write(tmp_path / "a.wav", _tone(0.3))
    assert data.load(tmp_path, silero, RAW).levels == ()
    made = data.load(tmp_path, replace(silero, output=AudioOutput("samples")), RAW)
    assert [clip.level_db for clip in made.levels] == [-30.0, 9.0]
    for clip in made.levels:
        for as_is, scaled in zip(made.clips[0], clip, strict=True):
            gain = 10.0 ** (clip.level_db / 20.0)
            assert np.allclose(scaled["input"], gain * as_is["input"], rtol=1e-6, atol=1e-9)
    assert made.for_calibration.levels == made.levels
    assert [clip.level_db for clip in made.with_louder] == [0.0, 9.0]
    assert "9 dB louder" in made.with_louder.provenance and made.loudest_db == 9.0


def test_ranges_of_what_makes_no_audio_are_those_of_the_recordings(tmp_path: Path, silero: Pipeline) -> None:
    _write(tmp_path / "a.wav", _tone(0.3))
    made = data.load(tmp_path, silero, RAW)
    assert made.with_louder is made and made.loudest_db == 0.0


def test_every_pass_over_a_clip_is_the_same(tmp_path: Path, silero: Pipeline) -> None:
    _write(tmp_path / "a.wav", _tone(0.3))
    (clip,) = data.load(tmp_path, silero, RAW)
    first, second = list(clip), list(clip)
    assert all(np.array_equal(a["input"], b["input"]) for a, b in zip(first, second, strict=True))


def test_clips_are_sorted_and_found_in_subfolders(tmp_path: Path, silero: Pipeline) -> None:
    for name in ("b.wav", "a/z.WAV", "c.wav"):
        _write(tmp_path / name, _tone(0.1))
    (tmp_path / "notes.txt").write_text("not audio")
    assert [c.name for c in data.load(tmp_path, silero, RAW)] == ["a/z.WAV", "b.wav", "c.wav"]
    assert [c.name for c in data.load(tmp_path / "b.wav", silero, RAW)] == ["b.wav"]


def _write_24_bit(path: Path, samples: np.ndarray) -> None:
    words = np.round(samples * 2**23).astype("<i4")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 3, 16000, 0, "NONE", ""))
        file.writeframes(words.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())


def test_sample_formats_give_the_same_samples(tmp_path: Path) -> None:
    sound = np.round(_tone(0.05) * 64) / 128  # representable in 8 bits
    wavfile.write(tmp_path / "u8.wav", 16000, (sound * 128 + 128).astype(np.uint8))
    wavfile.write(tmp_path / "s16.wav", 16000, (sound * 2**15).astype(np.int16))
    _write_24_bit(tmp_path / "s24.wav", sound)
    wavfile.write(tmp_path / "s32.wav", 16000, (sound * 2**31).astype(np.int32))
    wavfile.write(tmp_path / "f32.wav", 16000, sound.astype(np.float32))
    for path in tmp_path.glob("*.wav"):
        recording = wav.read(path)
        assert recording.samples(0, len(recording)) == pytest.approx(sound, abs=0.0), path.name
        assert np.array_equal(recording.samples(5, 9), sound[5:9])


def test_all_unusable_recordings_are_named_at_once(tmp_path: Path, silero: Pipeline) -> None:
    _write(tmp_path / "fast.wav", _tone(0.1, 44100), 44100)
    wavfile.write(tmp_path / "stereo.wav", 8000, np.zeros((100, 2), np.int16))
    (tmp_path / "garbage.wav").write_bytes(b"RIFF nothing of the kind")
    (tmp_path / "empty.wav").write_bytes(b"")
    wavfile.write(tmp_path / "nothing.wav", 16000, np.zeros(0, np.int16))
    wavfile.write(tmp_path / "nan.wav", 16000, np.array([0.0, np.nan], np.float32))
    whole = _write(tmp_path / "whole.wav", _tone(0.1)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:1000])
    with pytest.raises(DiagnosticError) as error:
        data.load(tmp_path, silero, RAW)
    found = error.value.diagnostics
    assert all(d.code == "MQ401" and d.help and d.exit_status == 2 for d in found)
    messages = {(Path(d.where).name, d.message.split(",")[0]) for d in found}
    assert ("fast.wav", "has 44100 samples per second") in messages
    assert ("stereo.wav", "has 8000 samples per second") in messages and ("stereo.wav", "has 2 channels") in messages
    assert ("nan.wav", "holds NaN or infinity") in messages and ("nothing.wav", "holds no samples") in messages
    names = {name for name, _ in messages}
    assert names == {"fast.wav", "stereo.wav", "garbage.wav", "empty.wav", "nothing.wav", "nan.wav", "cut.wav"}
    assert "sox fast.wav -r 16000 -c 1" in str(error.value)


def test_sources_that_hold_no_data(tmp_path: Path, silero: Pipeline) -> None:
    (tmp_path / "a.mp3").write_bytes(b"x")
    for source in (tmp_path, tmp_path / "none", tmp_path / "a.mp3"):
        with pytest.raises(DiagnosticError) as error:
            data.load(source, silero, RAW)
        assert error.value.diagnostics[0].code == "MQ401"


def test_audio_without_a_pipeline_says_how_to_write_one(tmp_path: Path) -> None:
    _write(tmp_path / "a.wav", _tone(0.1))
    with pytest.raises(DiagnosticError) as error:
        data.load(tmp_path, None, {"x": TensorType((1, 9))})
    (problem,) = error.value.diagnostics
    assert problem.code == "MQ403" and "x float32[1,9]" in problem.message
    (tmp_path / "t.toml").write_text(pipelines.TEMPLATE)
    assert pipelines.load(tmp_path / "t.toml").block.hop == 256


def test_a_pipeline_for_another_model(tmp_path: Path, silero: Pipeline) -> None:
    _write(tmp_path / "a.wav", _tone(0.1))
    with pytest.raises(DiagnosticError) as error:
        data.load(tmp_path, silero, {"inputs": TensorType((1, 576)), "length": TensorType((1,), "int64")})
    assert len(error.value.diagnostics) == 3 and "did you mean 'inputs'" in str(error.value)
    with pytest.raises(DiagnosticError, match="of shape \\[1, 576\\], the model reads \\[1, 512\\]"):
        data.load(tmp_path, silero, {"input": TensorType((1, 512))})
    with pytest.raises(DiagnosticError, match="makes floats, but input 'input' is int8"):
        data.load(tmp_path, silero, {"input": TensorType((1, 576), "int8")})


def test_long_recordings_need_no_memory(tmp_path: Path, silero: Pipeline) -> None:
    wavfile.write(tmp_path / "long.wav", 16000, np.zeros(16000 * 300, np.int16))  # 10 MB, 38 MB as floats
    tracemalloc.start()
    (clip,) = data.load(tmp_path, silero, RAW)
    frames = sum(1 for _ in clip)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frames == len(clip) == 300 * 16000 // 512
    assert peak_bytes < 2**20


def test_full_scale_is_what_the_model_was_trained_on(tmp_path: Path) -> None:
    _write(tmp_path / "a.wav", _tone(1.0))
    melspec = pipelines.ready_made()["speech_embedding_melspec"]
    (clip,) = data.load(tmp_path, melspec, {"input": TensorType((1, 1760))})
    stored = wavfile.read(tmp_path / "a.wav")[1]
    assert np.array_equal(list(clip)[2]["input"][0], stored[2 * 1280 + 1280 - 1760 : 3 * 1280].astype(np.float32))


# --- a model in front ----------------------------------------------------------------------------------------------

STAGE2 = {"input_4": TensorType((1, 1, 512))}


def test_the_second_stage_hears_what_the_first_leaves(shared: Path, tmp_path: Path) -> None:
    """Frame by frame as in the authors' real-time script, written out here without any of the project's front ends."""
    noisy = shared / "audio" / "valentini" / "noisy" / "p232_005.wav"
    pipeline = pipelines.ready_made()["dtln_stage2"]
    clips = data.load(noisy, pipeline, STAGE2, shared / "models")
    assert "masked by dtln_stage1.onnx" in clips.provenance and not clips.diagnostics
    sound = wavfile.read(noisy)[1] / 32768.0
    session = onnxruntime.InferenceSession(shared / "models" / "dtln_stage1.onnx")
    buffer, state = np.zeros(512), np.zeros((1, 2, 128, 2), np.float32)
    (clip,) = clips
    for index, frame in zip(range(60), clip, strict=False):
        buffer = np.concatenate([buffer[128:], sound[index * 128 : (index + 1) * 128]])
        spectrum = np.fft.rfft(buffer)
        feeds = {"input_2": np.abs(spectrum).reshape(1, 1, 257).astype(np.float32), "input_3": state}
        mask, state = session.run(["activation_2", "tf_op_layer_stack_2"], feeds)
        wanted = np.fft.irfft(np.abs(spectrum) * mask.ravel() * np.exp(1j * np.angle(spectrum)))
        assert frame["input_4"].ravel() == pytest.approx(wanted, abs=1e-6)
    again = next(iter(clip))["input_4"]
    assert np.array_equal(again, next(iter(clip))["input_4"])  # the state of the first stage starts anew


def test_without_the_first_stage_the_audio_stands_in_and_it_is_said(tmp_path: Path) -> None:
    _write(tmp_path / "a.wav", _tone(0.2))
    clips = data.load(tmp_path, pipelines.ready_made()["dtln_stage2"], STAGE2, tmp_path)
    (warning,) = clips.diagnostics
    assert warning.severity is Severity.WARNING and warning.exit_status == 0
    assert "dtln_stage1.onnx" in clips.provenance and "not found" in clips.provenance
    sound = wavfile.read(tmp_path / "a.wav")[1] / 32768.0
    frames = [f["input_4"] for f in next(iter(clips))]
    assert frames[5].ravel() == pytest.approx(sound[6 * 128 - 512 : 6 * 128], abs=1e-6)


def test_a_first_stage_that_cannot_be_run(tmp_path: Path) -> None:
    _write(tmp_path / "a.wav", _tone(0.2))
    (tmp_path / "dtln_stage1.onnx").write_bytes(b"not a model")
    with pytest.raises(DiagnosticError) as error:
        data.load(tmp_path, pipelines.ready_made()["dtln_stage2"], STAGE2, tmp_path)
    assert error.value.diagnostics[0].code == "MQ401"


# --- arrays --------------------------------------------------------------------------------------------------------

TWO = {"x": TensorType((1, 3)), "n": TensorType((), "int64")}


def test_arrays_are_frames_in_time(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(4, 1, 3)
    np.savez(tmp_path / "a.npz", x=x, n=np.arange(4))
    clips = data.load(tmp_path / "a.npz", None, TWO)
    (clip,) = clips
    frames = list(clip)
    assert len(frames) == len(clip) == 4 and "4 frames of a.npz" in clips.provenance
    assert np.array_equal(frames[2]["x"], x[2]) and frames[2]["x"].dtype == np.float32
    assert frames[2]["n"] == 2 and frames[2]["n"].shape == ()


def test_a_folder_of_arrays_is_a_clip_each(tmp_path: Path) -> None:
    for name in "ba":
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((2, 1, 3)), n=np.zeros(2, np.int64))
    assert [c.name for c in data.load(tmp_path, None, TWO)] == ["a.npz", "b.npz"]


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"x": np.zeros((4, 3)), "n": np.zeros(4)}, ["has shape [4, 3], not [frames, 1, 3]"]),
        ({"n": np.zeros(4)}, ["is missing"]),
        ({"x": np.zeros((4, 1, 3)), "n": np.zeros(5)}, ["different numbers of frames: x 4, n 5"]),
        ({"x": np.full((4, 1, 3), np.nan), "n": np.zeros(4)}, ["holds NaN"]),
        ({"x": np.zeros((0, 1, 3)), "n": np.zeros(0)}, ["holds no frames"]),
        ({"x": np.zeros((4, 1, 3)), "n": np.array(list("abcd"))}, ["not numbers"]),
        (
            {"X": np.zeros((4, 1, 3)), "m": np.zeros(1)},
            ["X: the model has no such input", "known: n, x", "x: is missing"],
        ),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], wanted: list[str]) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DiagnosticError) as error:
        data.load(tmp_path / "a.npz", None, TWO)
    assert all(d.code == "MQ401" for d in error.value.diagnostics)
    assert all(part in "\n".join(_problems(error)) for part in wanted)


def test_files_that_are_no_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "single.npy", np.zeros(3))
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    (tmp_path / "garbage.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], object), n=np.zeros(1))
    with pytest.raises(DiagnosticError) as error:
        data.load(tmp_path, None, TWO)
    assert [Path(d.where).name for d in error.value.diagnostics] == ["garbage.npz", "pickle.npz", "single.npz"]


# --- nothing -------------------------------------------------------------------------------------------------------


def test_without_data_signals_are_made_up_and_it_is_said(silero: Pipeline) -> None:
    clips = data.load(None, silero, RAW)
    (warning,) = clips.diagnostics
    assert (warning.code, warning.severity) == ("MQ402", Severity.WARNING) and "--data" in warning.help
    assert "synthetic" in clips.provenance
    assert len(clips) == len(synthetic.VOICES) and clips.frame_count > 500
    again = data.load(None, silero, RAW)
    for a, b in zip(clips, again, strict=True):
        assert all(np.array_equal(x["input"], y["input"]) for x, y in zip(a, b, strict=True))


def test_without_data_or_pipeline_there_is_noise() -> None:
    clips = data.load(None, None, TWO)
    frames = list(next(iter(clips)))
    assert clips.diagnostics[0].code == "MQ402" and "not for use" in clips.provenance
    assert frames[0]["x"].shape == (1, 3) and frames[0]["x"].dtype == np.float32
    assert frames[0]["n"].dtype == np.int64 and not frames[0]["n"].any()
    assert not np.array_equal(frames[0]["x"], frames[1]["x"])


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_synthetic_speech_has_the_level_it_says(rate_hz: int) -> None:
    voice = synthetic.Voice("clean", 120.0, -26.0, -90.0)
    sound = synthetic.speech(voice, rate_hz, 4.0, seed=1)
    assert sound.size == 4 * rate_hz and np.max(np.abs(sound)) <= 1.0
    assert 10.0 * np.log10(np.mean(sound**2)) == pytest.approx(-26.0, abs=0.2)


def test_synthetic_speech_is_voiced_and_pauses() -> None:
    sound = synthetic.speech(synthetic.VOICES[0], 16000, 6.0, seed=0)
    levels = 10.0 * np.log10(np.mean(sound[: 600 * 160].reshape(600, 160) ** 2, axis=1))
    assert np.percentile(levels, 95) - np.percentile(levels, 2) > 25.0
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size))) ** 2
    hz = np.fft.rfftfreq(sound.size, 1 / 16000)
    assert spectrum[hz < 1000].sum() > 2.0 * spectrum[hz > 1000].sum()


def test_silero_takes_synthetic_speech_for_speech(shared: Path, silero: Pipeline) -> None:
    """What is made up must drive a voice-activity detector as speech does, or its ranges are worth nothing."""
    session = onnxruntime.InferenceSession(shared / "models" / "silero_vad_16k.onnx")
    clips = data.load(None, silero, RAW)
    state, heard = np.zeros((2, 1, 128), np.float32), []
    for frame in next(iter(clips)):
        score, state = session.run(None, {**frame, "state": state, "sr": np.array(16000, np.int64)})
        heard.append(float(score.ravel()[0]))
    assert np.mean(np.array(heard) > 0.5) > 0.3
