"""The page to listen to: what is on it, who may read it, and that a browser runs it."""

import http.client
import io
import shutil
import struct
import subprocess
import threading
import zlib

import numpy as np
import pytest
from scipy.io import wavfile

from mcu_quant import api
from mcu_quant.api import demo
from mcu_quant.api.serve import Server
from mcu_quant.report.spectrogram import spectrogram
from tests.cli.test_listen import AUDIO, BACKS, BLOCK, beeps, network
from tests.onnx_models import save


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A denoiser with its pipeline, and a recording."""
    made = tmp_path_factory.mktemp("demo")
    save(network("denoiser"), made, "m.onnx")
    (made / "m.toml").write_text(AUDIO + BLOCK + BACKS["denoiser"])
    beeps(made / "in.wav")
    return made


@pytest.fixture(scope="module")
def page(place):
    """The page of that model."""
    return demo.demo(demo.DemoRequest(api.Source(place / "m.toml"), place / "in.wav", place / "in.wav"))


@pytest.fixture
def server(page):
    """That page, served."""
    with Server(page.files) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def get(server, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_versions_lie_side_by_side(page, place):
    assert [t.name for t in page.tracks] == ["noisy", "clean", "float", "mixed", "INT8"]
    x = wavfile.read(place / "in.wav")[1]
    for i, track in enumerate(page.tracks):
        assert track.samples.shape == x.shape
        assert np.array_equal(wavfile.read(io.BytesIO(page.files[f"/{i}.wav"][1]))[1], track.samples)
        assert page.files[f"/{i}.png"][1].startswith(b"\x89PNG")
        assert (track.quality is None) == (track.name == "clean")
    by_name = {t.name: t.samples.astype(float) for t in page.tracks}
    assert np.max(np.abs(by_name["float"] - by_name["mixed"])) < 200
    text = page.files["/"][1].decode()
    assert "preset s8, kernels in C" in text and "http" not in text.split("<style>")[1]


def test_a_folder_is_heard_as_it_was_built(place, tmp_path):
    request = api.BuildRequest(
        api.Source(place / "m.toml"), "nucleo_f446re", tmp_path / "fw", api.PrecisionRequest("f32"), place / "in.wav"
    )
    api.build(request)
    made = demo.demo(demo.DemoRequest(api.Source(tmp_path / "fw"), place / "in.wav"), inline=True)
    assert [t.name for t in made.tracks] == ["noisy", "float", "as built", "INT8"]
    assert np.max(np.abs(made.tracks[1].samples.astype(int) - made.tracks[2].samples)) <= 1
    assert list(made.files) == ["/"] and b"data:audio/wav;base64," in made.files["/"][1]


def test_only_this_machine_reads_only_these_files(server, page):
    assert server.server_address[0] == "127.0.0.1"
    assert get(server, "/")[1] == page.files["/"][1]
    sound = page.files["/0.wav"][1]
    assert get(server, "/0.wav", Range="bytes=10-19") == (206, sound[10:20])
    assert get(server, "/0.wav", Range="bytes=10-") == (206, sound[10:])
    assert get(server, "/../etc/passwd")[0] == 404
    assert get(server, "/", Host="evil.example")[0] == 403


def test_a_browser_runs_the_page(server):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed: this test was NOT run")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run([browser, *options, server.url], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.count('style="left: 0%;"') == 5  # the script ran and drew every playhead
    assert '<output id="time">0.0 s</output>' in done.stdout and "Content-Security-Policy" in done.stdout


def test_the_command_writes_one_file(cli, place, tmp_path, built, project):
    status, out, err = cli("demo", place / "m.toml", place / "in.wav", "-o", tmp_path / "page.html")
    assert (status, err) == (0, "") and "4 versions of in.wav" in out
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    clip = project / "speech" / "clip0.wav"
    status, _, err = cli("demo", built, clip, "-o", tmp_path / "no.html")
    assert status == 2 and "no audio comes out of it" in err
    assert not (tmp_path / "no.html").exists()


def test_a_tone_is_a_line_in_its_place():
    t = np.arange(16000) / 16000
    tone = (32767 * np.sin(2 * np.pi * 2000 * t)).astype(np.int16)
    picture = spectrogram(tone)
    width, height = struct.unpack(">II", picture[16:24])
    size = struct.unpack(">I", picture[33:37])[0]
    rows = np.frombuffer(zlib.decompress(picture[41 : 41 + size]), np.uint8).reshape(height, 1 + 3 * width)
    brightness = rows[:, 1:].astype(int).sum(axis=1)
    assert height == 257
    assert np.argmax(brightness) == 256 - 64  # 2 of 8 kHz, from the bottom
    assert brightness[100] < 0.2 * brightness.max()
    assert spectrogram(np.zeros(3, np.int16)).startswith(b"\x89PNG")
