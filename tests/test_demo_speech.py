"""The demo's model and speech: cut from a package's archive, checked, the same bytes every time."""

import hashlib
import importlib.util
import io
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.io import wavfile

from mcu_quant.diagnostics import DiagnosticError

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "demo_speech.py"


def _wav(seconds: float, seed: int) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0.0, 3000.0, int(seconds * 16000))
    wavfile.write(file, 16000, noise.astype(np.int16))
    return file.getvalue()


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, made for small files instead of the package's, and without a network."""
    spec = importlib.util.spec_from_file_location("demo_speech", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "demo_speech", module)
    spec.loader.exec_module(module)
    contents = {"MODEL": b"network", "TALK": _wav(2.0, 1), "DIALOGUE": _wav(1.0, 2)}
    parts = {n: replace(getattr(module, n), sha256=hashlib.sha256(c).hexdigest()) for n, c in contents.items()}
    cuts = (
        module.Cut("calibration/quiet.wav", parts["TALK"], 1.0, 0.5, gain_db=-20.0),
        module.Cut("test/noisy.wav", parts["DIALOGUE"], 0.25, 0.5, snr_db=10.0),
    )
    for name, part in parts.items():
        monkeypatch.setattr(module, name, part)
    monkeypatch.setattr(module, "CUTS", cuts)
    module.contents = {parts[n].path: c for n, c in contents.items()}
    return module


def _source(folder: Path, contents: dict[str, bytes]) -> None:
    (folder / "download").mkdir(parents=True)
    with tarfile.open(folder / "download" / "silero_vad-6.2.3.tar.gz", "w:gz") as archive:
        for path, content in contents.items():
            info = tarfile.TarInfo(f"silero_vad-6.2.3/x/{path}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_everything_is_cut_from_the_source_distribution(demo: ModuleType, tmp_path: Path) -> None:
    _source(tmp_path, demo.contents)
    made = demo.prepare(tmp_path)
    assert made.recorded and made.model.read_bytes() == b"network"
    talk = wavfile.read(io.BytesIO(demo.contents[demo.TALK.path]))[1]
    rate_hz, quiet = wavfile.read(made.calibration / "quiet.wav")
    assert rate_hz == 16000 and np.array_equal(quiet, np.rint(talk[16000:24000] * 0.1))
    dialogue = wavfile.read(io.BytesIO(demo.contents[demo.DIALOGUE.path]))[1][4000:12000].astype(float)
    noise = wavfile.read(made.test / "noisy.wav")[1] - dialogue
    assert 10.0 * np.log10(np.mean(dialogue**2) / np.mean(noise**2)) == pytest.approx(10.0, abs=0.2)


def test_what_is_lost_is_made_again_the_same(demo: ModuleType, tmp_path: Path) -> None:
    _source(tmp_path, demo.contents)
    clip = demo.prepare(tmp_path).test / "noisy.wav"
    before = clip.read_bytes()
    clip.unlink()
    assert demo.prepare(tmp_path).test.joinpath("noisy.wav").read_bytes() == before


def test_from_the_wheel_there_is_a_model_and_made_up_speech(demo: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "download").mkdir()
    with zipfile.ZipFile(tmp_path / "download" / "silero_vad-6.2.3-py3-none-any.whl", "w") as wheel:
        wheel.writestr("silero_vad/data/silero_vad_16k_op15.onnx", b"network")
    made = demo.prepare(tmp_path)
    assert not made.recorded and made.model.is_file()
    assert np.abs(wavfile.read(made.calibration / "quiet.wav")[1]).max() > 100


def test_an_archive_with_other_files_or_damaged_is_refused(demo: ModuleType, tmp_path: Path) -> None:
    _source(tmp_path / "other", {**demo.contents, demo.MODEL.path: b"something else"})
    with pytest.raises(DiagnosticError, match="not the file that this demo was written for"):
        demo.prepare(tmp_path / "other")
    _source(tmp_path / "cut", demo.contents)
    archive = tmp_path / "cut" / "download" / "silero_vad-6.2.3.tar.gz"
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(DiagnosticError, match="is damaged"):
        demo.prepare(tmp_path / "cut")
    assert not (tmp_path / "cut" / "silero_vad_16k.onnx").exists()


def test_without_the_package_the_remedy_is_said(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert demo.main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "MQ601" in said and "silero_vad-6.2.3.tar.gz" in said
