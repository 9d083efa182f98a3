"""Folders of `build --audio` at work on recordings: audio or decisions out of their own C, and how good those are."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from mcu_quant import boards, pipelines
from mcu_quant.api import folder
from mcu_quant.api.opened import pipeline_of
from mcu_quant.api.stages import Progress, quiet
from mcu_quant.audio import AUDIO_OUT
from mcu_quant.audio.events import Stretch, Word, stretches, words
from mcu_quant.audio.judge import Quality, judge, missing
from mcu_quant.audio.play import Pcm, Played, as_pcm, play
from mcu_quant.data import unfit, wav
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, Severity, raise_errors
from mcu_quant.emulator import qemu
from mcu_quant.emulator.folder import FolderSession, InterfaceSession
from mcu_quant.emulator.qemu_folder import QemuFolderSession
from mcu_quant.ir import Array
from mcu_quant.pipelines import Pipeline
from mcu_quant.pipelines.outputs import ActivityOutput, KeywordOutput
from mcu_quant.report import timeline

#: Where a folder's C can run.
HOST, QEMU = "host", "qemu"


@dataclass(frozen=True)
class ListenRequest:
    """A recording for a folder of `build --audio`. `output` is a .wav for audio, a picture of decisions, or an .npz.

    With `clean`, the recording and what comes out are judged beside it. `on` is "host", or "qemu": the board's own
    binary on its core, emulated.
    """

    folder: Path
    input: Path
    output: Path | None = None
    clean: Path | None = None
    on: str = HOST


@dataclass(frozen=True, eq=False)
class Heard:
    """What came out of a folder."""

    played: Played
    seconds: float
    output: Path | None
    found: tuple[Stretch, ...] | tuple[Word, ...] = ()
    #: of what went in, and of what came out
    quality: Mapping[str, Quality] = field(default_factory=dict)
    target: str = HOST
    diagnostics: tuple[Diagnostic, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Keys of `mcu-quant run --format json`."""
        return {
            "output": None if self.output is None else str(self.output),
            "seconds": self.seconds,
            "target": self.target,
            "outputs": {n: {"shape": list(a.shape)} for n, a in self.arrays().items()},
            "activity": [asdict(f) for f in self.found if isinstance(f, Stretch)],
            "words": [asdict(f) for f in self.found if isinstance(f, Word)],
            "quality": {n: asdict(q) for n, q in self.quality.items()},
        }

    def arrays(self) -> dict[str, Array]:
        """Every output: audio as one stretch, all else per call."""
        audio = {} if self.played.audio is None else {AUDIO_OUT: self.played.audio}
        return {**audio, **self.played.outputs}


def pipeline_in(path: Path) -> Pipeline | None:
    """The pipeline in the firmware of a folder, or None where there is none in it.

    Raises:
        DiagnosticError: MQ703, MQ403.
    """
    manifest = folder.read_manifest(path)
    name = pipeline_of(path, manifest.pipeline)
    return pipelines.resolve(Path(manifest.model), {}, given=name) if manifest.audio and name else None


@dataclass(frozen=True, eq=False)
class Recorded:
    """The samples of a recording as 16 bits, and what was lost on the way there."""

    samples: Pcm
    diagnostics: tuple[Diagnostic, ...] = ()


def recording(path: Path, pipeline: Pipeline) -> Recorded:
    """The samples of a recording at a pipeline's rate; a warning where floats go beyond full scale.

    Raises:
        DiagnosticError: MQ401, everything that is wrong with it.
    """
    try:
        found = wav.read(path)
    except wav.WavError as error:
        help_ = "give a .wav file with PCM of 8 to 32 bits, or floats"
        raise DiagnosticError(Diagnostic("MQ401", str(path), str(error), help=help_)) from error
    raise_errors(list(unfit(path, found, pipeline)))
    real = found.samples(0, len(found))
    return Recorded(as_pcm(real), tuple(_too_loud(path, real)))


def _too_loud(path: Path, real: NDArray[np.float64]) -> Iterator[Diagnostic]:
    beyond, largest = int(np.count_nonzero(np.abs(real) > 1.0)), float(np.max(np.abs(real)))
    if beyond:
        message = f"{beyond} of {real.size} samples are beyond full scale (up to {largest:.2f}) and were cut off"
        help_ = f"scale it: sox -v {0.99 / largest:.3f} {path.name} softer.wav"
        yield Diagnostic("MQ401", str(path), message, help=help_, severity=Severity.WARNING)


def open_session(path: Path, on: str = HOST) -> InterfaceSession:
    """A folder's C, compiled without sanitizers, on this machine or on the board's emulated core.

    Raises:
        DiagnosticError: MQ601 to MQ603, MQ501.
    """
    if on == HOST:
        return FolderSession(path, sanitize=False)
    manifest = folder.read_manifest(path)
    board = boards.load(manifest.board, optimise=manifest.optimise)
    return QemuFolderSession(path, qemu.target_of(board))


def through(path: Path, samples: Pcm, on: str = HOST, on_call: Callable[[int], None] | None = None) -> Played:
    """Samples of 16 bits through the generated C of a folder.

    Raises:
        DiagnosticError: MQ703 if this is no folder of `build --audio`; MQ601 to MQ603.
    """
    pipeline = pipeline_in(path)
    if pipeline is None:
        message = "has no front and back end in it"
        raise DiagnosticError(Diagnostic("MQ703", str(path), message, help="build it with --audio"))
    with open_session(path, on) as session:
        return play(session, pipeline, samples, [o.name for o in session.get_outputs()], on_call)


def listen(request: ListenRequest, progress: Progress = quiet) -> Heard:
    """Stream a recording through a folder, write what comes out, and judge it.

    Raises:
        DiagnosticError: MQ703, MQ401, MQ403, MQ501, MQ601 to MQ603, MQ701, MQ900.
    """
    pipeline = pipeline_in(request.folder)
    assert pipeline is not None
    _check_output(request.output, pipeline)
    given = recording(request.input, pipeline)
    reference = recording(request.clean, pipeline) if request.clean else None
    samples, clean = given.samples, reference.samples if reference else None
    if clean is not None and clean.size != samples.size:
        message = f"has {clean.size} samples, {request.input} has {samples.size}"
        help_ = "give the clean recording of the same stretch"
        raise DiagnosticError(Diagnostic("MQ401", str(request.clean), message, help=help_))
    seconds = samples.size / pipeline.rate_hz
    progress(f"compiling {request.folder}")
    calls_per_second = pipeline.rate_hz / pipeline.stream_hop

    def show(done: int) -> None:
        if done % max(1, int(calls_per_second)) == 0:
            progress(f"streaming: {done / calls_per_second:.0f} of {seconds:.0f} s")

    played = through(request.folder, samples, request.on, show)
    found = _found(played, pipeline)
    quality = {} if clean is None else _judged(clean, samples, played, pipeline)
    notes = (*given.diagnostics, *(reference.diagnostics if reference else ()), *_notes(clean))
    heard = Heard(played, seconds, request.output, found, quality, request.on, notes)
    if request.output:
        _write(request, heard, samples, pipeline)
    return heard


def _judged(clean: Pcm, samples: Pcm, played: Played, pipeline: Pipeline) -> dict[str, Quality]:
    if played.audio is None:
        message = "nothing to judge: this pipeline gives decisions, not audio"
        raise DiagnosticError(Diagnostic("MQ900", "--clean", message, help="leave it out"))
    return {
        "input": judge(clean, samples, pipeline.rate_hz),
        "output": judge(clean, played.audio, pipeline.rate_hz),
    }


def _notes(clean: Pcm | None) -> tuple[Diagnostic, ...]:
    absent = missing() if clean is not None else ()
    if not absent:
        return ()
    message = f"{' and '.join(absent)} not installed: their figures are left out"
    help_ = "pip install 'mcu-quant[quality]'"
    return (Diagnostic("MQ900", "--clean", message, help=help_, severity=Severity.WARNING),)


def _found(played: Played, pipeline: Pipeline) -> tuple[Stretch, ...] | tuple[Word, ...]:
    seconds, outputs = pipeline.call_ms / 1e3, played.outputs
    match pipeline.output:
        case ActivityOutput():
            return stretches(outputs["active"], outputs["probability"], seconds)
        case KeywordOutput(labels=labels):
            return words(outputs["keyword"], outputs["score"], labels, seconds)
    return ()


# --- files -----------------------------------------------------------------------------------------------------------


def _kinds(pipeline: Pipeline) -> Sequence[str]:
    """Suffixes of files that can hold what comes out."""
    if isinstance(pipeline.output, ActivityOutput | KeywordOutput):
        return (*timeline.SUFFIXES, ".npz")
    return (".wav", ".npz") if pipeline.output else (".npz",)


def _check_output(path: Path | None, pipeline: Pipeline) -> None:
    kinds = _kinds(pipeline)
    if path is None:
        if isinstance(pipeline.output, ActivityOutput | KeywordOutput):
            return  # the timeline is printed
        raise DiagnosticError(Diagnostic("MQ900", "-o", "says where the audio goes", help="-o OUT.wav"))
    if path.suffix.lower() not in kinds:
        help_ = " or ".join(f"-o OUT{k}" for k in kinds)
        message = f"is none of {', '.join(kinds)}, which can hold what comes out of pipeline {pipeline.name}"
        raise DiagnosticError(Diagnostic("MQ401", str(path), message, help=help_))


def _write(request: ListenRequest, heard: Heard, samples: Pcm, pipeline: Pipeline) -> None:
    path = request.output
    assert path is not None
    buffer = io.BytesIO()
    if path.suffix.lower() == ".wav":
        assert heard.played.audio is not None
        wavfile.write(buffer, pipeline.rate_hz, heard.played.audio)
    elif path.suffix.lower() == ".npz":
        arrays: dict[str, Any] = heard.arrays()
        np.savez(buffer, **arrays)
    else:
        level = heard.played.outputs["probability" if "probability" in heard.played.outputs else "score"]
        title = f"{request.input.name} through {request.folder.name}"
        seconds = pipeline.call_ms / 1e3
        picture = timeline.drawn(path, title, samples, pipeline.rate_hz, level, seconds, heard.found)
        buffer.write(picture)
    folder.write_file(path, buffer.getvalue())
