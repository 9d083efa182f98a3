"""Folders of `build --audio` at work on recordings: audio or decisions out of their own C, and how good those are."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from mcu_quant import boards, pipelines
from mcu_quant.api import folder
from mcu_quant.api.opened import pipeline_of
from mcu_quant.api.recordings import Take, recording, takes
from mcu_quant.api.stages import Progress, quiet
from mcu_quant.audio import AUDIO_OUT
from mcu_quant.audio.events import Stretch, Word, stretches, words
from mcu_quant.audio.judge import Quality, judge, missing
from mcu_quant.audio.play import Pcm, Played, play
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, Severity
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
    binary on its core, emulated. Where `input` is a folder, so are `output` and `clean`, and files have the same names
    in all of them.
    """

    folder: Path
    input: Path
    output: Path | None = None
    clean: Path | None = None
    on: str = HOST


@dataclass(frozen=True, eq=False)
class Heard:
    """What came out of a folder for one recording."""

    input: Path
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
            "input": str(self.input),
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


def _without_audio(path: Path) -> DiagnosticError:
    message = "has no front and back end in it"
    return DiagnosticError(Diagnostic("MQ703", str(path), message, help="build it with --audio"))


def through(path: Path, samples: Pcm, on: str = HOST, on_call: Callable[[int], None] | None = None) -> Played:
    """Samples of 16 bits through the generated C of a folder.

    Raises:
        DiagnosticError: MQ703 if this is no folder of `build --audio`; MQ601 to MQ603.
    """
    pipeline = pipeline_in(path)
    if pipeline is None:
        raise _without_audio(path)
    with open_session(path, on) as session:
        return play(session, pipeline, samples, [o.name for o in session.get_outputs()], on_call)


def listen(request: ListenRequest, progress: Progress = quiet) -> tuple[Heard, ...]:
    """Stream a recording, or each of a folder, through generated C, write what comes out, and judge it.

    Raises:
        DiagnosticError: MQ703, MQ401, MQ403, MQ501, MQ601 to MQ603, MQ701, MQ900.
    """
    pipeline = pipeline_in(request.folder)
    if pipeline is None:
        raise _without_audio(request.folder)
    made = takes(request.input, request.output, request.clean, pipeline)
    if request.input.is_dir():
        for place in {take.output.parent for take in made if take.output}:
            folder.make(place)
    progress(f"compiling {request.folder}")
    with open_session(request.folder, request.on) as session:
        return tuple(_heard(take, session, request, pipeline, progress) for take in made)


def _heard(
    take: Take, session: InterfaceSession, request: ListenRequest, pipeline: Pipeline, progress: Progress
) -> Heard:
    given = recording(take.input, pipeline)
    reference = recording(take.clean, pipeline) if take.clean else None
    samples, clean = given.samples, reference.samples if reference else None
    names = [o.name for o in session.get_outputs()]
    played = play(session, pipeline, samples, names, _shown(take.input, samples.size, pipeline, progress))
    quality = {} if clean is None else _judged(clean, samples, played, pipeline)
    notes = (*given.diagnostics, *(reference.diagnostics if reference else ()), *_notes(clean))
    seconds = samples.size / pipeline.rate_hz
    found = _found(played, pipeline)
    heard = Heard(take.input, played, seconds, take.output, found, quality, request.on, notes)
    if take.output:
        title = f"{take.input.name} through {request.folder.name}"
        _write(take.output, title, heard, samples, pipeline)
    return heard


def _shown(path: Path, size: int, pipeline: Pipeline, progress: Progress) -> Callable[[int], None]:
    """Progress, once per second of audio."""
    calls_per_second = pipeline.rate_hz / pipeline.stream_hop

    def show(done: int) -> None:
        if done % max(1, int(calls_per_second)) == 0:
            progress(f"streaming {path.name}: {done / calls_per_second:.0f} of {size / pipeline.rate_hz:.0f} s")

    return show


def _judged(clean: Pcm, samples: Pcm, played: Played, pipeline: Pipeline) -> dict[str, Quality]:
    assert played.audio is not None
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


def _write(path: Path, title: str, heard: Heard, samples: Pcm, pipeline: Pipeline) -> None:
    buffer = io.BytesIO()
    if path.suffix.lower() == ".wav":
        assert heard.played.audio is not None
        wavfile.write(buffer, pipeline.rate_hz, heard.played.audio)
    elif path.suffix.lower() == ".npz":
        arrays: dict[str, Any] = heard.arrays()
        np.savez(buffer, **arrays)
    else:
        level = "probability" if "probability" in heard.played.outputs else "score"
        curve = timeline.Curve(level, heard.played.outputs[level], pipeline.call_ms / 1e3, limits(pipeline))
        buffer.write(timeline.drawn(path, title, samples, pipeline.rate_hz, curve, heard.found))
    folder.write_file(path, buffer.getvalue())


def limits(pipeline: Pipeline) -> tuple[float, ...]:
    """The levels at which a pipeline decides."""
    match pipeline.output:
        case ActivityOutput(threshold=threshold, release=release):
            return (threshold, release)
        case KeywordOutput(threshold=threshold):
            return (threshold,)
    return ()
