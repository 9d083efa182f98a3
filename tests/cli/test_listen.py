"""Recordings through folders of `build --audio`: what `run` writes and prints, and the board's own binary."""

import json

import numpy as np
import pytest
from scipy.io import wavfile

from mcu_quant import api, boards
from mcu_quant.api import listen
from mcu_quant.emulator import qemu
from tests.onnx_models import model, node, random, save

RATE = 16000
AUDIO = 'rate_hz = 16000\nmodel = "m.onnx"\n'
BLOCK = '[block]\nlength = 64\nhop = 32\n[inputs.x]\nshape = [1, 33]\nstft = { window = "sqrt-hann" }\n'
BACKS = {
    "denoiser": '[output.audio]\nas = "mask"\nwindow = "sqrt-hann"\n',
    "activity": "[output.activity]\nthreshold = 0.5\nrelease = 0.4\nhold_ms = 4\n",
    "words": '[output.keyword]\nlabels = ["nothing", "say \\"hi\\""]\nignore = ["nothing"]\nthreshold = 0.5\n'
    "refractory_ms = 50\n",
}


def network(kind):
    """Loudness as a probability, or a mask that is nearly 1."""
    rng = np.random.default_rng(1)
    size = {"denoiser": 33, "activity": 1, "words": 2}[kind]
    w = random(rng, size, 33, scale=0.001) if kind == "denoiser" else np.full((size, 33), 0.3, np.float32)
    b = np.full(size, 6.0 if kind == "denoiser" else -3.0, np.float32)
    if kind == "words":
        w[0], b[0] = -0.3, 3.0
    nodes = [node("Gemm", "x w b", "d", transB=1, name="dense"), node("Sigmoid", "d", "y")]
    return model(nodes, {"x": [1, 33]}, {"y": [1, size]}, {"w": w, "b": b})


def beeps(path, rate_hz=RATE):
    """A second with a loud tone from 0.25 to 0.5 s."""
    t = np.arange(rate_hz) / rate_hz
    x = np.where((t >= 0.25) & (t < 0.5), 0.5 * np.sin(2 * np.pi * 1000 * t), 0.0)
    wavfile.write(path, rate_hz, (x * 32767).astype(np.int16))
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each kind, built from pipeline files that name their model."""
    made = {}
    for kind, back in BACKS.items():
        place = tmp_path_factory.mktemp(kind)
        save(network(kind), place, "m.onnx")
        (place / "m.toml").write_text(AUDIO + BLOCK + back)
        beeps(place / "in.wav")
        request = api.BuildRequest(
            api.Source(place / "m.toml"), "nucleo_f446re", place / "fw", api.PrecisionRequest("f32"), place / "in.wav"
        )
        api.build(request)
        made[kind] = place
    return made


def test_audio_comes_out_as_long_as_it_went_in_and_in_its_place(cli, folders, tmp_path):
    place = folders["denoiser"]
    status, out, err = cli(
        "run", place / "fw", place / "in.wav", "-o", tmp_path / "out.wav", "--clean", place / "in.wav"
    )
    assert (status, err) == (0, "")
    assert "PESQ" in out and "SI-SDR dB" in out
    x, y = (wavfile.read(p)[1].astype(float) for p in (place / "in.wav", tmp_path / "out.wav"))
    assert x.shape == y.shape
    assert np.max(np.abs(x - y)) < 0.02 * np.max(np.abs(x))  # a mask of 0.9975, and no delay
    status, out, _ = cli("run", place / "fw", place / "in.wav", "-o", tmp_path / "out.npz", "--format", "json")
    assert json.loads(out)["outputs"] == {"audio_out": {"shape": [RATE]}}
    assert np.array_equal(np.load(tmp_path / "out.npz")["audio_out"], y)
    status, out, _ = cli("test", place / "fw", "--frames", 200)
    assert status == 0 and "audio_out" in out


def test_decisions_are_a_timeline_and_a_picture(cli, folders, tmp_path):
    place = folders["activity"]
    status, out, err = cli("run", place / "fw", place / "in.wav", "-o", tmp_path / "t.svg", "--format", "json")
    assert (status, err) == (0, "")
    [stretch] = json.loads(out)["activity"]
    assert stretch["start"] == pytest.approx(0.25, abs=0.005)
    assert stretch["end"] == pytest.approx(0.506, abs=0.005)  # 4 ms of hold, and the block's end
    assert "<svg" in (tmp_path / "t.svg").read_text()
    status, out, _ = cli("run", place / "fw", place / "in.wav")
    assert status == 0 and "active from s" in out


def test_nothing_found_is_said(cli, folders, tmp_path):
    wavfile.write(tmp_path / "silence.wav", RATE, np.zeros(RATE, np.int16))
    for kind, word in (("activity", "no activity found, the highest probability is 0."), ("words", "no word found")):
        status, out, _ = cli("run", folders[kind] / "fw", tmp_path / "silence.wav")
        assert status == 0
        assert word in out


def test_what_is_beyond_full_scale_is_cut_off_aloud(cli, folders, tmp_path):
    rate, x = wavfile.read(beeps(tmp_path / "in.wav"))
    for loudest, warned in ((1.0, False), (2.0, True)):
        wavfile.write(tmp_path / "floats.wav", rate, (x / 16384.0 * loudest).astype(np.float32))
        status, _, err = cli("run", folders["activity"] / "fw", tmp_path / "floats.wav")
        assert status == 0
        assert ("beyond full scale (up to 2.00)" in err) == warned


def test_words_have_their_names_in_c_and_in_print(cli, folders, tmp_path):
    place = folders["words"]
    status, out, _ = cli("run", place / "fw", place / "in.wav", "-o", tmp_path / "w.png", "--format", "csv")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "at s,word,score"
    assert [line.split(",")[1] for line in lines[1:]] == ['"say ""hi"""'] * 5  # every 50 ms as long as it lasts
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")
    header, code = ((place / "fw" / f"m.{s}").read_text() for s in "hc")
    assert "#define M_LABELS 2" in header and "const char *m_label(int32_t index);" in header
    assert '"say \\"hi\\"",' in code
    for name, value in (("AUDIO", 1), ("RATE_HZ", RATE), ("HOP", 32), ("LATENCY", 0)):
        assert f"#define M_{name} {value} " in header


def test_a_folder_of_recordings_is_played_into_another(cli, folders, tmp_path):
    place, given = folders["denoiser"], tmp_path / "given"
    (given / "below").mkdir(parents=True)
    for name in ("a.wav", "below/b.WAV"):
        beeps(given / name)
    status, out, err = cli("run", place / "fw", given, "-o", tmp_path / "out", "--clean", given, "--format", "json")
    assert (status, err) == (0, "")
    clips = json.loads(out)["clips"]
    assert [c["input"] for c in clips] == [str(given / "a.wav"), str(given / "below" / "b.WAV")]
    one, two = (wavfile.read(tmp_path / "out" / name)[1] for name in ("a.wav", "below/b.wav"))
    cli("run", place / "fw", given / "a.wav", "-o", tmp_path / "alone.wav")
    assert np.array_equal(one, two) and np.array_equal(one, wavfile.read(tmp_path / "alone.wav")[1])  # reset between
    status, out, _ = cli("run", place / "fw", given, "--clean", given, "--format", "csv")
    figures = [line.split(",") for line in out.splitlines()[1:]]
    assert [f[0] for f in figures] == ["a.wav"] * 2 + ["below/b.WAV"] * 2 + ["mean"] * 2
    assert figures[1][2:] == figures[5][2:]


def test_a_folder_of_decisions_names_silent_recordings_too(cli, folders, tmp_path):
    (tmp_path / "given").mkdir()
    beeps(tmp_path / "given" / "loud.wav")
    wavfile.write(tmp_path / "given" / "quiet.wav", RATE, np.zeros(RATE, np.int16))
    run = ("run", folders["activity"] / "fw", tmp_path / "given", "-o", tmp_path / "out", "--format", "csv")
    status, out, _ = cli(*run)
    assert status == 0
    assert [line.split(",")[0:2] for line in out.splitlines()[1:]] == [["loud.wav", "0.250"], ["quiet.wav", "-"]]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["loud.png", "quiet.png"]


def test_everything_wrong_with_a_folder_is_said_and_nothing_is_lost(failing, folders, tmp_path):
    place, given, clean = folders["denoiser"], tmp_path / "given", tmp_path / "clean"
    for folder in (given, clean):
        folder.mkdir()
    for name, rate in (("a.wav", RATE), ("b.wav", 8000), ("c.wav", RATE)):
        beeps(given / name, rate)
    (given / "d.wav").write_bytes(b"fLaC and so on")
    (given / "e.wav").write_bytes(b"")
    beeps(clean / "a.wav")
    wavfile.write(clean / "c.wav", RATE, np.zeros(9, np.int16))
    codes, err = failing(2, "run", place / "fw", given, "--clean", clean)
    assert codes == ["MQ401"] * 7  # b and its reference, the length of c, d and e with theirs
    assert "sox d.wav -r 16000" in err and "e.wav: is empty" in err and "has 9 samples" in err
    before, one = (given / "a.wav").read_bytes(), ("run", place / "fw", given / "a.wav")
    for wishes in (("-o", given / "a.wav"), ("-o", clean / "a.wav", "--clean", clean / "a.wav")):
        assert "would be lost" in failing(2, *one, *wishes)[1]
    assert "would be lost" in failing(2, "run", place / "fw", given, "-o", given)[1]
    assert before == (given / "a.wav").read_bytes() == (clean / "a.wav").read_bytes()
    assert failing(2, "run", place / "fw", given, "-o", tmp_path / "x.wav")[0] == ["MQ900"]
    (tmp_path / "none").mkdir()
    assert "holds no .wav files" in failing(2, "run", place / "fw", tmp_path / "none", "-o", tmp_path / "o")[1]


def test_what_cannot_be_run_is_said(failing, folders, built, project, tmp_path):
    place = folders["denoiser"]
    slow = beeps(tmp_path / "slow.wav", 8000)
    run = ("run", place / "fw")
    assert failing(2, *run, slow, "-o", tmp_path / "o.wav")[0] == ["MQ401"]
    assert "sox slow.wav -r 16000" in failing(2, *run, slow, "-o", tmp_path / "o.wav")[1]
    assert failing(2, *run, place / "in.wav")[0] == ["MQ900"]
    assert failing(2, *run, place / "in.wav", "-o", tmp_path / "o.png")[0] == ["MQ401"]
    wavfile.write(tmp_path / "short.wav", RATE, np.zeros(9, np.int16))
    clean = ("--clean", tmp_path / "short.wav", "-o", tmp_path / "o.wav")
    assert failing(2, *run, place / "in.wav", *clean)[0] == ["MQ401"]
    words = ("run", folders["words"] / "fw", place / "in.wav")
    assert failing(2, *words, "--clean", place / "in.wav")[0] == ["MQ900"]
    clip = project / "speech" / "clip0.wav"
    assert failing(2, "run", built, clip, "-o", tmp_path / "o.npz", "--on", "qemu")[0] == ["MQ900"]
    assert failing(2, "run", built, clip)[0] == ["MQ900"]


def test_a_missing_package_leaves_its_figure_out(cli, folders, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pystoi", None)
    place = folders["denoiser"]
    run = ("run", place / "fw", place / "in.wav", "-o", tmp_path / "o.wav", "--clean", place / "in.wav")
    status, out, _ = cli(*run, "--format", "json")
    assert status == 0
    found = json.loads(out)
    assert found["quality"]["output"]["stoi"] is None and found["quality"]["output"]["si_sdr_db"] > 20
    assert found["diagnostics"][0]["message"].startswith("pystoi not installed")


def test_the_boards_binary_gives_the_same_samples(folders):
    if missing := qemu.missing(qemu.target_of(boards.load("nucleo_f446re"))):
        pytest.skip(f"{', '.join(missing)} is not installed: this test was NOT run")
    place = folders["denoiser"]
    x = wavfile.read(place / "in.wav")[1][3800:5200]
    host, board = (listen.through(place / "fw", x, on).audio for on in ("host", "qemu"))
    assert np.array_equal(host, board) and host.any()


# --- proposals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "made", "says"),
    [
        ([1, 257], [1, 257], ['as = "mask"', "length = 512", 'value = "magnitude"']),
        ([1, 257, 1, 2], [1, 257, 1, 2], ['as = "spectrum"', 'value = "complex"']),
        ([1, 161], [1, 161, 2], ['as = "complex-mask"', "length = 320"]),
        ([1, 512], [1, 512], ['as = "samples"', "length = 512"]),
        ([1, 512], [1, 1], ["[output.activity]", "length = 512"]),
        ([1, 49, 10, 1], [1, 12], ["[output.keyword]", "dct = { coefficients = 10 }", "length = 8080", "[stream]"]),
        ([1, 98, 40], [1, 3], ["[output.keyword]", "mel = { bands = 40", "length = 15920"]),
        ([1, 1, 40], [1, 1], ["[output.activity]", "mel = { bands = 40", "length = 400", "hop = 160"]),
        ([1, 13], [1, 3], ["[output.keyword]", "dct = { coefficients = 13 }", "hop = 160"]),
        ([1, 128], [1, 128], ['as = "samples"', "length = 128"]),
        ([1, 512], [7, 100], ["# no [output]"]),
    ],
)
def test_pipelines_are_proposed_from_shapes_and_can_be_built(cli, tmp_path, shape, made, says):
    size, out_size = int(np.prod(shape)), int(np.prod(made))
    nodes = [
        node("Reshape", "x flat", "v"),
        node("Gemm", "v w", "d", transB=1),
        node("Reshape", "d back", "y"),
    ]
    constants = {"flat": [1, size], "w": np.zeros((out_size, size), np.float32), "back": made}
    save(model(nodes, {"x": shape}, {"y": made}, constants), tmp_path, "m.onnx")
    status, text, _ = cli("pipeline", "new", tmp_path / "m.onnx")
    assert status == 0
    for part in ('model = "m.onnx"', *says):
        assert part in text
    assert cli("pipeline", "new", tmp_path / "m.onnx", "-o", tmp_path / "m.toml")[0] == 0
    assert cli("inspect", tmp_path / "m.toml")[0] == 0  # front end, model and back end fit each other


def test_a_proposal_holds_what_was_bound_and_says_what_it_could_not_guess(cli, tmp_path):
    nodes = [node("Add", "x s", "a"), node("MatMul", "a w", "y"), node("Neg", "input_2", "z")]
    shapes = {"x": ["n", 257], "s": [1, 257], "input_2": [2, 32, 128]}, {"y": ["n", 3], "z": [2, 32, 128]}
    save(model(nodes, *shapes, {"w": np.ones((257, 3), np.float32)}), tmp_path, "m.onnx")
    status, out, _ = cli("pipeline", "new", tmp_path / "m.onnx", "--bind", "n=1", "-o", tmp_path / "m.toml")
    assert status == 0 and "not complete" in out and "--state OUTPUT:input_2 (of its shape: z)" in out
    assert '[bind]\n"n" = 1\n' in (tmp_path / "m.toml").read_text()


def test_pipelines_are_listed_and_shown(cli, failing, shared):
    _, out, _ = cli("pipeline", "--format", "json")
    listed = {p["name"]: p["gives"] for p in json.loads(out)["pipelines"]}
    assert listed["gtcrn_stream"] == "audio" and listed["kwt1_mfcc"] == "words"
    assert 'as = "spectrum"' in cli("pipeline", "gtcrn_stream")[1]
    assert failing(2, "pipeline", "gtcrn")[0] == ["MQ900"]
    assert 'model = "gtcrn_stream.onnx"' in cli("pipeline", "new", shared / "models/gtcrn_stream.onnx")[1]
