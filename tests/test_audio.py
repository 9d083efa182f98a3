"""Front ends: against definitions, against scipy, and against what trained models have in their own graphs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy import fft, signal

from mcu_quant import data, pipelines
from mcu_quant.data import audio, wav
from mcu_quant.data.audio import Affine, Dct, Emphasis, FrontEnd, Log, Mel, Stages, Stft
from mcu_quant.ir import TensorType
from mcu_quant.metrics import snr_db


@pytest.fixture
def block() -> np.ndarray:
    return np.random.default_rng(3).uniform(-1.0, 1.0, 512)


def test_raw_is_the_block_as_float32(block: np.ndarray) -> None:
    made = FrontEnd(Stages(), 512, 16000)(block)
    assert made.dtype == np.float32 and np.array_equal(made, block.astype(np.float32))


@pytest.mark.parametrize("name", ["none", "hann", "sqrt-hann", "hamming"])
def test_stft_is_its_definition(block: np.ndarray, name: str) -> None:
    stft = Stft(name, length=100, hop=30, fft=128, value="complex")
    made = FrontEnd(Stages(stft=stft), 512, 16000)(block)
    shape = Stages(stft=stft).output_shape(512)
    assert made.shape == shape == (14, 65, 2)
    n, k, t = np.arange(100), 17, 5
    x = np.sum(audio.window(name, 100) * block[t * 30 + n] * np.exp(-2j * np.pi * k * n / 128))
    assert made[t, k] == pytest.approx([x.real, x.imag], abs=1e-5)


def test_windows() -> None:
    assert audio.window("hann", 4) == pytest.approx([0.0, 0.5, 1.0, 0.5])
    assert audio.window("hann", 5, symmetric=True) == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])
    assert audio.window("sqrt-hann", 512) ** 2 == pytest.approx(audio.window("hann", 512))
    hann = audio.window("sqrt-hann", 512) ** 2  # analysis and synthesis window: overlap-add is the identity
    assert hann[:256] + hann[256:] == pytest.approx(np.ones(256))


def test_magnitude_and_power(block: np.ndarray) -> None:
    pair = FrontEnd(Stages(stft=Stft(value="complex")), 512, 16000)(block)
    magnitude = FrontEnd(Stages(stft=Stft(value="magnitude")), 512, 16000)(block)
    power = FrontEnd(Stages(stft=Stft(value="power")), 512, 16000)(block)
    assert magnitude == pytest.approx(np.hypot(pair[..., 0], pair[..., 1]), rel=1e-5)
    assert power == pytest.approx(magnitude**2, rel=1e-5)


def test_bins_first_only_turns_the_result(block: np.ndarray) -> None:
    stft = Stft("hann", length=128, hop=64)
    made = FrontEnd(Stages(stft=stft), 512, 16000)(block)
    turned = FrontEnd(Stages(stft=stft, bins_first=True), 512, 16000)(block)
    assert np.array_equal(turned, made.T)
    assert turned.shape == Stages(stft=stft, bins_first=True).output_shape(512)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_scales_are_inverse(scale: str) -> None:
    hz = np.linspace(0.0, 8000.0, 97)
    assert audio.mel_to_hz(audio.hz_to_mel(hz, scale), scale) == pytest.approx(hz, abs=1e-6)


def test_mel_scales_at_known_points() -> None:
    assert audio.hz_to_mel(np.array([1000.0]), "htk") == pytest.approx([1000.0], abs=0.1)
    assert audio.hz_to_mel(np.array([200.0, 1000.0, 6400.0]), "slaney") == pytest.approx([3.0, 15.0, 42.0])


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("sides", ["mel", "hz"])
def test_mel_bands_share_every_bin_between_two_neighbours(scale: str, sides: str) -> None:
    mel = Mel(20, 100.0, 7000.0, scale, sides)
    weights = audio.mel_filterbank(mel, 513, 16000.0)
    hz = np.linspace(0.0, 8000.0, 513)
    mels = np.linspace(*audio.hz_to_mel(np.array([100.0, 7000.0]), scale), 22)
    low, high = audio.mel_to_hz(mels[[1, -2]], scale)
    inside = (hz >= low) & (hz <= high)
    assert weights[inside].sum(axis=1) == pytest.approx(np.ones(inside.sum()))
    assert np.count_nonzero(weights, axis=1).max() == 2
    assert weights[(hz <= 100.0) | (hz >= 7000.0)].max() < 1e-9


def test_slaney_norm_gives_every_band_the_same_area() -> None:
    mel = Mel(10, 0.0, 8000.0, "slaney", "hz", "slaney")
    weights = audio.mel_filterbank(mel, 4097, 16000.0)
    assert weights.sum(axis=0) * (8000.0 / 4096.0) == pytest.approx(np.ones(10), rel=2e-3)


def test_dct_is_scipys() -> None:
    x = np.random.default_rng(4).standard_normal((3, 40))
    ortho = x @ audio.dct_matrix(Dct(13, "ortho"), 40)
    assert ortho == pytest.approx(fft.dct(x, type=2, norm="ortho")[:, :13])
    flat = x @ audio.dct_matrix(Dct(13, "flat"), 40)
    assert flat[:, 0] == pytest.approx(ortho[:, 0] * np.sqrt(2.0))
    assert flat[:, 1:] == pytest.approx(ortho[:, 1:])


@pytest.mark.parametrize(("base", "wanted"), [("e", np.log(8.0)), ("2", 3.0), ("10", np.log10(8.0))])
def test_logarithm(base: str, wanted: float) -> None:
    assert audio.logarithm(np.array([8.0]), Log(base)) == pytest.approx([wanted])
    assert audio.logarithm(np.array([0.0]), Log(base, floor=7.0, offset=1.0)) == pytest.approx([wanted])


def test_affine_comes_last(block: np.ndarray) -> None:
    plain = FrontEnd(Stages(stft=Stft("hann"), log=Log(floor=1e-6)), 512, 16000)(block)
    scaled = FrontEnd(Stages(stft=Stft("hann"), log=Log(floor=1e-6), affine=Affine(0.1, 2.0)), 512, 16000)(block)
    assert scaled == pytest.approx(plain * 0.1 + 2.0, abs=1e-5)


def test_affine_can_have_limits(block: np.ndarray) -> None:
    limited = FrontEnd(Stages(affine=Affine(2.0, 0.5, low=0.0, high=1.0)), 512, 16000)(block)
    assert np.array_equal(limited, np.clip(2.0 * block + 0.5, 0.0, 1.0).astype(np.float32))
    assert limited.min() == 0.0 and limited.max() == 1.0


def test_emphasis_is_a_filter_from_rest(block: np.ndarray) -> None:
    made = FrontEnd(Stages(emphasis=Emphasis(0.97)), 512, 16000)(block)
    assert made == pytest.approx(signal.lfilter([1.0, -0.97], [1.0], block), abs=1e-6)


def test_a_range_raises_what_lies_below_it() -> None:
    spectrum = np.array([[1e3, 1e-9], [1.0, 1e-4]])
    assert audio.logarithm(spectrum, Log("10", range=6.0)) == pytest.approx(np.array([[3.0, -3.0], [0.0, -3.0]]))


@pytest.mark.parametrize(("centre", "mode"), [("reflect", "even"), ("zeros", "zeros")])
def test_centred_frames_are_scipys(block: np.ndarray, centre: str, mode: str) -> None:
    """Frame t is centred on sample 32 t; scipy divides by the sum of the window."""
    stft = Stft("hann", 128, 32, 128, "complex", centre=centre)
    made = FrontEnd(Stages(stft=stft), 512, 16000)(block)
    wanted = (
        signal.stft(block, window=audio.window("hann", 128), nperseg=128, noverlap=96, boundary=mode, padded=False)[2].T
        * audio.window("hann", 128).sum()
    )
    assert made.shape == (17, 65, 2) == Stages(stft=stft).output_shape(512)
    assert made[..., 0] + 1j * made[..., 1] == pytest.approx(wanted, abs=1e-4)
    cut = Stft("hann", 128, 32, 128, "complex", centre=centre, drop_last=True)
    assert np.array_equal(FrontEnd(Stages(stft=cut), 512, 16000)(block), made[:-1])


# --- against trained models ------------------------------------------------------------------------------------------

SILENCE_TO_STOP = ["silence", "unknown", "yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]
DOWN_TO_UNKNOWN = ["down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown"]


def _second(path: Path) -> np.ndarray:
    recording = wav.read(path)
    return np.pad(recording.samples(0, len(recording)), (0, max(0, 16000 - len(recording))))[:16000]


def _features(name: str, second: np.ndarray) -> np.ndarray:
    pipeline = pipelines.ready_made()[name]
    if pipeline.block.normalise == "peak":
        second = second / np.abs(second).max()
    entry = pipeline.inputs[0]
    return FrontEnd(entry.stages, pipeline.block.length, pipeline.rate_hz)(second).reshape(entry.shape)


def test_mfccs_are_those_in_the_graph_of_kwt1(shared: Path) -> None:
    """The model with its front end inside computes the very tensor that the pipeline of the cut model makes."""
    tensor = "speech_features/dct/MatMul1"
    model = onnx.load(shared / "models" / "kwt1_raw.onnx")
    model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, [98, 40]))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for name in ("down_1b.wav", "on_g.wav", "silence_t2.wav"):
        second = _second(shared / "audio" / "kws" / name)
        wanted = session.run([tensor], {"input_1": second[None].astype(np.float32)})[0]
        assert snr_db(wanted, _features("kwt1_mfcc", second)) > 120.0


@pytest.mark.parametrize(
    ("model", "labels", "least"),
    [
        ("armkws_gru_s", SILENCE_TO_STOP, 15),
        ("armkws_basic_lstm_s", SILENCE_TO_STOP, 13),
        ("kwt1_mfcc", SILENCE_TO_STOP, 14),
        ("mlperf_tiny_dscnn", DOWN_TO_UNKNOWN, 14),
    ],
)
def test_keyword_models_understand_their_front_end(shared: Path, model: str, labels: list[str], least: int) -> None:
    """15 labelled clips; what the models miss with these features they miss narrowly, silence for unknown."""
    session = onnxruntime.InferenceSession(shared / "models" / f"{model}.onnx")
    name = session.get_inputs()[0].name
    right = 0
    for path in sorted((shared / "audio" / "kws").glob("*.wav")):
        scores = session.run(None, {name: _features(model, _second(path))})[0]
        right += labels[int(np.argmax(scores))] == path.stem.split("_")[0]
    assert right >= least


def test_log_mels_are_those_of_the_front_end_model(shared: Path) -> None:
    """speech_embedding reads what speech_embedding_melspec makes, / 10 + 2: windows of 400 in frames of 512."""
    session = onnxruntime.InferenceSession(shared / "models" / "speech_embedding_melspec.onnx")
    recording = wav.read(shared / "audio" / "valentini" / "noisy" / "p232_005.wav")
    pipeline = pipelines.ready_made()["speech_embedding"]
    for start in (0, 20000):
        samples = recording.samples(start, start + 12512) * pipeline.full_scale
        wanted = session.run(None, {"input": samples[None].astype(np.float32)})[0].reshape(76, 32) / 10.0 + 2.0
        made = FrontEnd(pipeline.inputs[0].stages, 12400, 16000)(samples[56:-56])
        assert snr_db(wanted, made) > 110.0


def test_the_wake_word_is_found_in_a_stream(shared: Path) -> None:
    session = onnxruntime.InferenceSession(shared / "models" / "mlperf_tiny_sww_int8_qdq.onnx")
    (port,) = session.get_inputs()
    pipeline, scale = pipelines.ready_made()["mlperf_tiny_sww"], 1.0 / 256.0

    def most(path: Path) -> int:
        """Largest score of the wake word, -128 .. 127; the model's own scale is checked with its other tests."""
        shape = {port.name: TensorType((1, 30, 1, 40))}
        frames = (frame[port.name] for clip in data.load(path, pipeline, shape) for frame in clip)
        stored = (np.clip(np.rint(f / scale) - 128, -128, 127).astype(np.int8) for f in frames)
        return max(int(session.run(None, {port.name: x})[0][0, 0]) for x in stored)

    assert most(shared / "audio" / "kws_stream_marvin_10s.wav") > 100
    assert most(shared / "audio" / "kws" / "yes_g.wav") < -100


def test_turns_end_where_sentences_end(shared: Path) -> None:
    """Whole utterances are ends of turns, the same ones cut short are not, on average and nearly always."""
    session = onnxruntime.InferenceSession(shared / "models" / "smart_turn_v3_2_int8_qdq.onnx")
    pipeline = pipelines.ready_made()["smart_turn"]

    def probability(samples: np.ndarray) -> float:
        heard = np.pad(samples, (128000, 0))[-128000:]
        (block,) = data.blocks(lambda a, b: heard[a:b], 128000, replace(pipeline.block, history="none"))
        features = FrontEnd(pipeline.inputs[0].stages, 128000, 16000)(block)
        return float(session.run(None, {"input_features": features[None]})[0][0, 0])

    whole, cut = [], []
    for path in sorted((shared / "audio" / "valentini" / "clean").glob("*.wav"))[:5]:
        samples = wav.read(path).samples(0, len(wav.read(path)))
        whole.append(probability(samples))
        cut.append(probability(samples[: samples.size * 6 // 10]))
    assert np.mean(whole) > 0.9 and np.mean(cut) < 0.5
