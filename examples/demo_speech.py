"""A trained speech model and recorded speech for `make demo`, from one package of the Python package index.

    python examples/demo_speech.py FOLDER

makes FOLDER/silero_vad_16k.onnx, FOLDER/calibration/*.wav and FOLDER/test/*.wav (16 kHz, mono, 16 bit). All of it comes
from the source distribution of silero-vad (MIT): its ONNX file, and two recordings that its tests and examples use, one
for calibration and the other for the test. The package itself is not installed, so torch is not needed. Where only the
wheel can be had, which holds the model but no recordings, speech-like signals take their place, and it is said.

Clips are cut, attenuated and mixed with seeded noise: the same bytes everywhere.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from mcu_quant.data import synthetic
from mcu_quant.diagnostics import Diagnostic, DiagnosticError

Floats = NDArray[np.float64]

PACKAGE, VERSION = "silero-vad", "6.2.3"
RATE_HZ = 16000


@dataclass(frozen=True)
class Part:
    """A file of the package: the end of its path in the archive, and its SHA-256."""

    path: str
    sha256: str


MODEL = Part("data/silero_vad_16k_op15.onnx", "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49")
#: 169 s, for calibration
TALK = Part("c++/aepyx.wav", "a622cb1cdd8a52db84b0d4bb524fa9a93f9ed387de40530f87c3a57d7493fd49")
#: 60 s, for the test
DIALOGUE = Part("tests/data/test.wav", "89f17d9c94c4b31eb320f424628bcbc920abaddbee6e2760fd868bfb1d9a2e47")


@dataclass(frozen=True)
class Cut:
    """A clip: where it lies in its recording, its gain, and noise added at a signal-to-noise ratio (None: none)."""

    file: str
    recording: Part
    start_s: float
    seconds: float
    gain_db: float = 0.0
    snr_db: float | None = None


CUTS = (
    Cut("calibration/clean.wav", TALK, 0.0, 12.0),
    Cut("calibration/quiet.wav", TALK, 28.0, 12.0, gain_db=-20.0),
    Cut("calibration/noisy.wav", TALK, 84.0, 12.0, snr_db=5.0),
    Cut("calibration/pauses_loud.wav", TALK, 154.0, 12.0, gain_db=6.0),
    Cut("test/clean.wav", DIALOGUE, 0.0, 12.0),
    Cut("test/pauses_quiet.wav", DIALOGUE, 40.0, 12.0, gain_db=-12.0),
    Cut("test/noisy.wav", DIALOGUE, 20.0, 12.0, snr_db=10.0),
)


@dataclass(frozen=True)
class Demo:
    model: Path
    calibration: Path
    test: Path
    #: False when the speech had to be made up
    recorded: bool


def prepare(folder: Path) -> Demo:
    """Make what the demo needs in `folder`, or find it there.

    Raises:
        DiagnosticError: MQ601 if the package cannot be had.
    """
    model, note = folder / "silero_vad_16k.onnx", folder / "SYNTHETIC_SPEECH"
    if not all(path.is_file() for path in (model, *(folder / cut.file for cut in CUTS))):
        archive = _download(folder / "download")
        network = _read(archive, MODEL)
        if network is None:
            raise _unobtainable(
                f"{archive.name} holds no {MODEL.path}", f"remove {archive}, so that it is fetched again"
            )
        recordings = {part: _recording(archive, part) for part in (TALK, DIALOGUE)}
        for index, cut in enumerate(CUTS):
            _write(folder / cut.file, _clip(cut, recordings[cut.recording], seed=index))
        note.unlink(missing_ok=True)
        if any(sound is None for sound in recordings.values()):
            _write(note, b"The package brought no recordings: the clips are made up.\n")
        _write(model, network)
    return Demo(model, folder / "calibration", folder / "test", recorded=not note.exists())


def _download(folder: Path) -> Path:
    """The package's archive: the source distribution or, where that cannot be had, the wheel."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    said = ""
    for kind in ("--no-binary", "--only-binary"):
        if found := sorted(folder.glob("silero_vad-*")):
            return found[0]
        command = [*pip, kind, PACKAGE, "--dest", str(folder), f"{PACKAGE}=={VERSION}"]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        said = said or (made.stderr.strip().splitlines() or ["it gives no reason"])[-1]
    if found := sorted(folder.glob("silero_vad-*")):
        return found[0]
    remedy = f"check the network, or put silero_vad-{VERSION}.tar.gz into {folder}"
    raise _unobtainable(f"pip cannot download it: {said}", remedy)


def _unobtainable(message: str, remedy: str) -> DiagnosticError:
    return DiagnosticError(Diagnostic("MQ601", f"{PACKAGE} {VERSION}", message, help=remedy))


def _read(archive: Path, part: Part) -> bytes | None:
    """The content of a file of the package, or None if the archive has no such file."""
    remedy = f"remove {archive}, so that it is fetched again"
    try:
        content = _member(archive, part.path)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise _unobtainable(f"{archive.name} is damaged: {error}", remedy) from error
    if content is not None and hashlib.sha256(content).hexdigest() != part.sha256:
        raise _unobtainable(f"{part.path} is not the file that this demo was written for", remedy)
    return content


def _member(archive: Path, path: str) -> bytes | None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            names = [n for n in wheel.namelist() if n.endswith(path)]
            return wheel.read(names[0]) if names else None
    with tarfile.open(archive) as source:
        for member in source:
            if member.isfile() and member.name.endswith(path):
                opened = source.extractfile(member)
                return opened.read() if opened else None
    return None


def _recording(archive: Path, part: Part) -> Floats | None:
    content = _read(archive, part)
    if content is None:
        return None
    _, stored = wavfile.read(io.BytesIO(content))
    return np.asarray(stored, np.float64) / 32768.0


def _clip(cut: Cut, recording: Floats | None, seed: int) -> bytes:
    """The clip as a WAV file."""
    if recording is None:
        voice = synthetic.VOICES[seed % len(synthetic.VOICES)]
        sound = synthetic.speech(voice, RATE_HZ, cut.seconds, seed=100 + seed)
    else:
        start = round(cut.start_s * RATE_HZ)
        sound = recording[start : start + round(cut.seconds * RATE_HZ)]
    sound = sound * 10.0 ** (cut.gain_db / 20.0)
    if cut.snr_db is not None:
        noise = np.random.default_rng(seed).standard_normal(sound.size)
        noise_rms = np.sqrt(np.mean(np.square(sound))) * 10.0 ** (-cut.snr_db / 20.0)
        sound = sound + noise * noise_rms
    file = io.BytesIO()
    wavfile.write(file, RATE_HZ, np.clip(np.rint(sound * 32768.0), -32768, 32767).astype(np.int16))
    return file.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(content)
    partial.replace(path)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python examples/demo_speech.py FOLDER", file=sys.stderr)
        return 2
    try:
        demo = prepare(Path(arguments[0]))
    except DiagnosticError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(f"model        {demo.model}  (Silero VAD, MIT)")
    print(f"calibration  {demo.calibration}")
    print(f"test         {demo.test}")
    if not demo.recorded:
        print("note: no recorded speech could be had; the clips are made up, see SYNTHETIC_SPEECH beside the model")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
