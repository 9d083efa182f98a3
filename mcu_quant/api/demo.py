"""A recording through a denoiser in several formats, side by side on a page to listen to."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from scipy.io import wavfile

from mcu_quant import boards
from mcu_quant.api import folder, listen, stages
from mcu_quant.api.opened import open_folder
from mcu_quant.api.recordings import recording
from mcu_quant.api.stages import Model, PrecisionRequest, Progress, Source, quiet
from mcu_quant.audio import AUDIO_OUT
from mcu_quant.audio.judge import Quality, judge
from mcu_quant.audio.play import Pcm, play
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Array
from mcu_quant.lowering import Target
from mcu_quant.paths import templates
from mcu_quant.pipelines import Pipeline
from mcu_quant.pipelines.outputs import AudioOutput
from mcu_quant.precision import presets
from mcu_quant.report.spectrogram import spectrogram

#: The page itself, in `Page.files`.
INDEX = "/"


@dataclass(frozen=True)
class DemoRequest:
    """What is heard: a model (or its pipeline file), or a folder of `build --audio`, and a recording.

    Of a model, `plan` or the default preset is the mixed version; of a folder, what it was built as. `data` is what
    integers are calibrated on; None takes the recording itself.
    """

    source: Source
    input: Path
    clean: Path | None = None
    data: Path | None = None
    plan: Path | None = None
    board: str | None = None


@dataclass(frozen=True, eq=False)
class Track:
    """A version of the recording; `note` says what made it, `kib` what its weights take."""

    name: str
    note: str
    samples: Pcm
    quality: Quality | None = None
    kib: float | None = None


@dataclass(frozen=True, eq=False)
class Page:
    """Everything that is served, by path: type and content."""

    files: Mapping[str, tuple[str, bytes]]
    tracks: tuple[Track, ...] = field(default=())


def demo(request: DemoRequest, progress: Progress = quiet, *, inline: bool = False) -> Page:
    """Stream the recording through every version, and lay out the page; `inline` puts sound and pictures into it.

    Raises:
        DiagnosticError: of import, data and plan; MQ900 where no audio comes out; MQ703 of a folder.
    """
    built = request.source.model.is_dir()
    opened = open_folder(request.source.model, None) if built else None
    source = opened.source if opened else Source(**{**vars(request.source), "audio": True})
    progress(f"importing {source.model.name}")
    model = stages.read(source)
    pipeline = model.pipeline
    if pipeline is None or not isinstance(pipeline.output, AudioOutput):
        message = "no audio comes out of it"
        help_ = "build it with --audio, and see its decisions with `mcu-quant run`"
        raise DiagnosticError(Diagnostic("MQ900", str(request.source.model), message, help=help_))
    x = recording(request.input, pipeline).samples
    clean = recording(request.clean, pipeline).samples if request.clean else None
    target = stages.target(boards.load(request.board)) if request.board else Target()
    made = [Track("noisy", "as recorded", x)]
    made += [Track("clean", "the reference", clean)] if clean is not None else []
    progress("float: onnxruntime")
    made.append(Track("float", "onnxruntime, front and back end in numpy", _played(_Float(model), pipeline, x)))
    if opened:
        progress(f"as built: the C of {request.source.model}")
        played = listen.through(request.source.model, x).audio
        assert played is not None
        note = f"generated C of {request.source.model.name}, {folder.read_manifest(opened.path).board}"
        made.append(Track("as built", note, played))
    else:
        mixed = presets.default_preset(model.graph) if request.plan is None else None
        wanted = PrecisionRequest(mixed, request.plan)
        made.append(_version("mixed", str(request.plan or f"preset {mixed}"), model, wanted, target, request, progress))
    made.append(_version("INT8", "preset s8", model, PrecisionRequest("s8"), target, request, progress))
    judged = [_judged(t, clean, pipeline) for t in made]
    return Page(_files(judged, request, pipeline, inline), tuple(judged))


class _Float:
    """The reference as a session."""

    def __init__(self, model: Model) -> None:
        self._reference = model.reference()

    def reset(self) -> None:
        self._reference.reset()

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Array], /) -> list[Array]:
        found = self._reference.run(dict(feeds))
        return [found[n] for n in output_names or ()]


def _version(
    name: str,
    note: str,
    model: Model,
    wanted: PrecisionRequest,
    target: Target,
    request: DemoRequest,
    progress: Progress,
) -> Track:
    """The kernels that ship, under a plan."""
    progress(f"{name}: {note}")
    plan = stages.choose(model, target, wanted, request.data or request.input, progress).plan
    program = stages.lowered(model, plan, target).program
    assert model.pipeline is not None
    audio = _played(ProgramSession(program), model.pipeline, recording(request.input, model.pipeline).samples)
    return Track(name, f"{note}, kernels in C", audio, kib=program.weights_bytes / 1024)


def _played(session: ProgramSession | _Float, pipeline: Pipeline, x: Pcm) -> Pcm:
    audio = play(session, pipeline, x, [AUDIO_OUT]).audio
    assert audio is not None
    return audio


def _judged(track: Track, clean: Pcm | None, pipeline: Pipeline) -> Track:
    if clean is None or track.name == "clean":
        return track
    quality = judge(clean, track.samples, pipeline.rate_hz)
    return Track(track.name, track.note, track.samples, quality, track.kib)


# --- the page --------------------------------------------------------------------------------------------------------


def _files(
    tracks: Sequence[Track], request: DemoRequest, pipeline: Pipeline, inline: bool
) -> dict[str, tuple[str, bytes]]:
    files: dict[str, tuple[str, bytes]] = {}
    rows = []
    for i, track in enumerate(tracks):
        sound, picture = (f"/{i}.wav", _wav(track.samples, pipeline.rate_hz)), (f"/{i}.png", spectrogram(track.samples))
        files[sound[0]] = ("audio/wav", sound[1])
        files[picture[0]] = ("image/png", picture[1])
        at: Callable[[str], str] = (lambda path: _data_uri(*files[path])) if inline else (lambda path: path)
        rows.append({"track": track, "sound": at(sound[0]), "picture": at(picture[0])})
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates()), undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True
    )
    text = environment.get_template("report/demo.html.j2").render(
        rows=rows,
        title=f"{request.input.name} through {request.source.model.stem}",
        pipeline=pipeline,
        seconds=len(tracks[0].samples) / pipeline.rate_hz,
        judged=any(t.quality for t in tracks),
        sources="data:" if inline else "'self'",
    )
    page = {INDEX: ("text/html; charset=utf-8", text.encode())}
    return page if inline else {**files, **page}


def _wav(samples: Pcm, rate_hz: int) -> bytes:
    buffer = io.BytesIO()
    wavfile.write(buffer, rate_hz, samples)
    return buffer.getvalue()


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
