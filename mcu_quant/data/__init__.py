"""Calibration and test data: clips of frames, from recordings, from arrays, or made up when there is neither.

A clip is a stretch of time: a model's state is carried from frame to frame inside it and reset between clips. Frames
are made while they are read, so that an hour of audio needs no more memory than a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mcu_quant.data import arrays, synthetic, wav
from mcu_quant.data.audio import FrontEnd, Stages
from mcu_quant.data.upstream import Rows, UpstreamModel
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, Severity, did_you_mean, raise_errors
from mcu_quant.ir import Array, TensorType
from mcu_quant.pipelines import TEMPLATE, Behind, Block, Pipeline
from mcu_quant.pipelines.outputs import AudioOutput

Floats = NDArray[np.float64]
Frame = dict[str, Array]
#: Part of a recording: samples(start, stop) in [-1, 1].
Samples = Callable[[int, int], Floats]

#: Frames of noise per clip for a model of which nothing is known.
NOISE_FRAMES = 64


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames {input: array} in order of time. Every `iter` starts again at the first one.

    `level_db` says how much louder than it was recorded a recording is played. `labels` are what the outputs should be,
    {output: array} frame by frame, where somebody knows: none of the tool's own measures need them.
    """

    name: str
    count: int
    frames: Callable[[], Iterator[Frame]]
    level_db: float = 0.0
    labels: Callable[[], Iterator[Frame]] | None = None

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips with where they come from, in words for plans and reports, and warnings for the user."""

    clips: tuple[Clip, ...]
    provenance: str
    diagnostics: tuple[Diagnostic, ...] = ()
    #: of models that hear whole blocks, the same recordings in overlapping blocks, softer, louder, and silence
    varied: tuple[Clip, ...] = ()
    #: of models that make audio, the same recordings softer and louder: plans must do well there, too
    levels: tuple[Clip, ...] = ()

    @property
    def for_calibration(self) -> Clips:
        """What ranges and plans are made from: a few whole blocks say little about the levels that will come."""
        if not self.varied:
            return self
        frames = sum(clip.count for clip in self.varied)
        text = f"{self.provenance}; for ranges {frames} overlapping, softer and louder blocks, and silence"
        return Clips(self.varied, text, self.diagnostics, levels=self.levels)

    @property
    def with_louder(self) -> Clips:
        """What ranges of plans cover: these, and where a model must bear them louder, their louder copies."""
        louder = tuple(clip for clip in self.levels if clip.level_db > 0.0)
        if not louder:
            return self
        text = f"{self.provenance}, also {louder[0].level_db:g} dB louder"
        return replace(self, clips=(*self.clips, *louder), provenance=text)

    @property
    def loudest_db(self) -> float:
        """How much louder than recorded they are played."""
        return max((clip.level_db for clip in self.levels), default=0.0)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def labelled(self) -> tuple[Clip, ...]:
        """Those of which is known what the outputs should be."""
        return tuple(clip for clip in self.clips if clip.labels is not None)

    @property
    def frame_count(self) -> int:
        """Frames of all clips together."""
        return sum(clip.count for clip in self.clips)


def load(
    source: Path | None,
    pipeline: Pipeline | None,
    inputs: Mapping[str, TensorType],
    model_folder: Path | None = None,
    stored: Mapping[str, Callable[[Array], Array]] = MappingProxyType({}),
    outputs: Mapping[str, TensorType] = MappingProxyType({}),
) -> Clips:
    """Clips for a graph with these inputs and outputs (without states).

    `source` is a folder of wav files (or of npz files), one such file, or None for synthetic signals. An npz holds one
    array per input with a leading time axis, and needs no pipeline. `model_folder` is where an upstream model that the
    pipeline names is looked for. `stored` turns the reals that a pipeline makes into the whole numbers that the model
    reads, for inputs on a scale of the model's; arrays in an npz are as the model reads them. Labels are arrays of the
    outputs' names: in that npz, or in one beside a recording, x.npz beside x.wav.

    Raises:
        DiagnosticError: MQ401 for the data, MQ403 for a pipeline that does not fit; all problems at once.
    """
    files = [] if source is None else _files(source)
    if source is not None and files[0].suffix.lower() == ".npz":
        return _arrays(source, files, inputs, outputs)
    reals = {n: TensorType(t.shape) if n in stored else t for n, t in inputs.items()}
    if source is None:
        made = _synthetic(pipeline, reals, model_folder)
    else:
        made = _recordings(source, files, _fitting(pipeline, reals), reals, model_folder)
        made = replace(made, clips=_with_labels(made.clips, files, outputs))
    if not stored:
        return made
    clips, varied, levels = (
        tuple(_stored(clip, stored) for clip in some) for some in (made.clips, made.varied, made.levels)
    )
    return replace(made, clips=clips, varied=varied, levels=levels)


def _stored(clip: Clip, stored: Mapping[str, Callable[[Array], Array]]) -> Clip:
    def frames() -> Iterator[Frame]:
        for frame in clip:
            yield {n: stored[n](a) if n in stored else a for n, a in frame.items()}

    return replace(clip, frames=frames)


def _files(source: Path) -> list[Path]:
    """The data files of a source, all of one kind, sorted by path."""
    remedy = "give a folder of .wav files, a .wav or an .npz file"
    if source.is_file():
        if source.suffix.lower() in (".wav", ".npz"):
            return [source]
        raise DiagnosticError(Diagnostic("MQ401", str(source), "is neither a .wav nor an .npz file", help=remedy))
    if not source.is_dir():
        raise DiagnosticError(Diagnostic("MQ401", str(source), "does not exist", help=remedy))
    found = sorted(p for p in source.rglob("*") if p.is_file() and not p.name.startswith("."))
    for suffix in (".wav", ".npz"):
        files = [p for p in found if p.suffix.lower() == suffix]
        if files:
            return files
    raise DiagnosticError(Diagnostic("MQ401", str(source), "holds no .wav and no .npz file", help=remedy))


def _fitting(pipeline: Pipeline | None, inputs: Mapping[str, TensorType]) -> Pipeline:
    """The pipeline, when it gives exactly what the graph reads."""
    if pipeline is None:
        names = ", ".join(f"{name} {type_}" for name, type_ in inputs.items())
        raise DiagnosticError(
            Diagnostic(
                "MQ403",
                "--data",
                f"no ready-made pipeline says how audio becomes the inputs of this model ({names})",
                help="write MODEL.toml beside the model (`mcu-quant pipeline new MODEL` proposes one), or pass "
                f"--pipeline FILE; for example:\n{TEMPLATE}",
            )
        )
    given = {entry.name: entry.shape for entry in pipeline.inputs}
    problems = []
    for name, type_ in inputs.items():
        if name not in given:
            message, remedy = f"does not say how input {name!r} is made", f"add [inputs.{name!r}]"
        elif given[name] != type_.shape:
            message = f"makes {name!r} of shape {list(given[name])}, the model reads {list(type_.shape)}"
            remedy = "correct the shape, or --bind the model's dimensions"
        elif np.dtype(type_.dtype).kind != "f" and not _as_stored(pipeline, name):
            message, remedy = f"makes floats, but input {name!r} is {type_.dtype}", "pass an .npz with --data"
        else:
            continue
        problems.append(Diagnostic("MQ403", f"pipeline {pipeline.name}", message, help=remedy))
    for name in sorted(given.keys() - inputs.keys()):
        remedy = did_you_mean(name, inputs)
        message = f"the model has no input {name!r}"
        problems.append(Diagnostic("MQ403", f"pipeline {pipeline.name}", message, help=remedy))
    raise_errors(problems)
    return pipeline


def _as_stored(pipeline: Pipeline, name: str) -> bool:
    """Does a pipeline give an input samples as 16-bit integers are, which a model may read as such?"""
    stages = next(e.stages for e in pipeline.inputs if e.name == name)
    return stages == Stages() and pipeline.full_scale == 32768.0


# --- audio ---------------------------------------------------------------------------------------------------------


def _recordings(
    source: Path, files: list[Path], pipeline: Pipeline, inputs: Mapping[str, TensorType], folder: Path | None
) -> Clips:
    problems: list[Diagnostic] = []
    recordings: dict[Path, wav.Recording] = {}
    for path in files:
        try:
            recordings[path] = wav.read(path)
        except wav.WavError as error:
            problems.append(unreadable(path, error, pipeline))
            continue
        problems += unfit(path, recordings[path], pipeline)
    raise_errors(problems)
    upstream, note, warnings = _upstream(pipeline, folder)
    listener = _Listener(pipeline, inputs, upstream, folder)
    root = source if source.is_dir() else source.parent
    clips = tuple(listener.clip(str(p.relative_to(root)), r.samples, len(r)) for p, r in recordings.items())
    seconds = sum(len(r) for r in recordings.values()) / pipeline.rate_hz
    frames = sum(clip.count for clip in clips)
    count = f"{len(clips)} recording{'s' if len(clips) > 1 else ''} of {source.resolve().name}"
    text = f"{count} ({seconds:.1f} s, {frames} frames) through pipeline {pipeline.name}{note}"
    names = {str(p.relative_to(root)): (r.samples, len(r)) for p, r in recordings.items()}
    levels = tuple(_levels(names, listener))
    block = pipeline.block
    if upstream is not None or block.hop < block.length:
        return Clips(clips, text, warnings, levels=levels)
    return Clips(clips, text, warnings, tuple(_varied(names, pipeline, inputs)), levels)


#: How much softer and louder than they were recorded models that make audio must bear recordings, in dB: somebody who
#: speaks softly far away, and who shouts into the microphone.
LEVELS_DB = (-30.0, 9.0)


def _levels(recordings: Mapping[str, tuple[Samples, int]], listener: _Listener) -> Iterator[Clip]:
    """The recordings softer and louder, where a model makes audio of them on their own level."""
    pipeline = listener.pipeline
    if not isinstance(pipeline.output, AudioOutput) or pipeline.block.normalise != "none":
        return
    for db in LEVELS_DB:
        for name, (samples, size) in recordings.items():
            made = listener.clip(f"{name} at {db:+g} dB", _scaled(10.0 ** (db / 20.0), samples), size)
            yield replace(made, level_db=db)


def _scaled(gain: float, samples: Samples) -> Samples:
    return lambda start, stop: gain * samples(start, stop)


#: Overlapping blocks per block; fewer of those at another level.
OVERLAP, LEVEL_OVERLAP = 8, 2

#: Factors of the softer and the louder copy: 12 dB.
LEVELS = (0.25, 4.0)


def _varied(
    recordings: Mapping[str, tuple[Samples, int]], pipeline: Pipeline, inputs: Mapping[str, TensorType]
) -> Iterator[Clip]:
    """Overlapping blocks of each recording, the same softer and louder (and clipped, as a converter does), silence."""

    def listener(overlap: int) -> _Listener:
        hop = max(1, pipeline.block.length // overlap)
        return _Listener(replace(pipeline, block=replace(pipeline.block, hop=hop, history="none")), inputs, None, None)

    def at(level: float, samples: Samples) -> Samples:
        return lambda start, stop: np.clip(level * samples(start, stop), -1.0, 1.0)

    for name, (samples, size) in recordings.items():
        yield listener(OVERLAP).clip(name, samples, size)
        for level in LEVELS:
            yield listener(LEVEL_OVERLAP).clip(f"{name} times {level:g}", at(level, samples), size)
    yield listener(1).clip("silence", lambda start, stop: np.zeros(stop - start), pipeline.block.length)


def _converted(path: Path, pipeline: Pipeline) -> str:
    return f"convert it: sox {path.name} -r {pipeline.rate_hz} -c 1 -b 16 converted.wav"


def unreadable(path: Path, error: wav.WavError, pipeline: Pipeline) -> Diagnostic:
    """A file that is no WAV, or none that can be read."""
    held = path.is_file() and path.stat().st_size
    help_ = _converted(path, pipeline) if held else "give a .wav file with PCM of 8 to 32 bits, or floats"
    return Diagnostic("MQ401", str(path), str(error), help=help_)


def unfit(path: Path, recording: wav.Recording, pipeline: Pipeline) -> Iterator[Diagnostic]:
    """Everything that keeps a recording from being used."""
    remedy = _converted(path, pipeline)
    if recording.rate_hz != pipeline.rate_hz:
        message = f"has {recording.rate_hz} samples per second, pipeline {pipeline.name} needs {pipeline.rate_hz}"
        yield Diagnostic("MQ401", str(path), message, help=remedy)
    if recording.channels != 1:
        yield Diagnostic("MQ401", str(path), f"has {recording.channels} channels, one is needed", help=remedy)
    if len(recording) == 0:
        yield Diagnostic("MQ401", str(path), "holds no samples", help="record or export it again")
    elif recording.stored.dtype.kind == "f" and not np.isfinite(recording.stored).all():
        yield Diagnostic("MQ401", str(path), "holds NaN or infinity", help="record or export it again")


def _upstream(pipeline: Pipeline, folder: Path | None) -> tuple[UpstreamModel | None, str, tuple[Diagnostic, ...]]:
    """The model in front, if the pipeline names one: itself, what provenance says of it, warnings."""
    upstream = pipeline.upstream
    if upstream is None:
        return None, "", ()
    path = (folder or Path()) / upstream.model
    taken = {Behind.MASK: f", each block masked by {path.name} first", Behind.ROWS: f", behind {path.name}"}
    if path.is_file() and pipeline.behind in taken:
        return UpstreamModel(path, upstream), taken[pipeline.behind], ()
    if pipeline.behind is Behind.ROWS:
        message, help_ = f"{upstream.model}, which runs first, is not beside the model", f"put it into {path.parent}"
        raise DiagnosticError(Diagnostic("MQ401", f"pipeline {pipeline.name}", message, help=help_))
    note = f", the audio itself standing in for the output of {path.name}"
    note += "" if path.is_file() else ", which was not found"
    return None, note, (_stands_in(pipeline, path),)


def _stands_in(pipeline: Pipeline, path: Path) -> Diagnostic:
    message = "the input is the audio itself, not what it leaves of it"
    if pipeline.behind is Behind.AUDIO:
        help_ = "build with --audio, which runs both; the ranges are then those of real use"
    else:
        message = f"{path.name} is not beside the model: {message}"
        help_ = f"put {path.name} into {path.parent}; the ranges are then those of real use"
    return Diagnostic("MQ401", f"pipeline {pipeline.name}", message, help=help_, severity=Severity.WARNING)


@dataclass(frozen=True)
class _Listener:
    """Turns samples into frames for a graph with these inputs, which the pipeline fits."""

    pipeline: Pipeline
    inputs: Mapping[str, TensorType]
    upstream: UpstreamModel | None
    folder: Path | None

    def clip(self, name: str, samples: Samples, size: int) -> Clip:
        return Clip(name, block_count(size, self.pipeline.block), partial(self._frames, samples, size))

    def _frames(self, samples: Samples, size: int) -> Iterator[Frame]:
        pipeline = self.pipeline
        rows = {e.name: Rows(e) for e in pipeline.inputs if e.source}
        fronts = {
            e.name: FrontEnd(e.stages, pipeline.block.length, pipeline.rate_hz) for e in pipeline.inputs if not e.source
        }
        mask = self.upstream.masking() if self.upstream and pipeline.behind is Behind.MASK else None
        ahead = self._ahead(samples, size) if rows else iter(())
        for block in blocks(samples, size, pipeline.block):
            heard = block * pipeline.full_scale
            if mask:
                heard = mask(heard)
            for found in islice(ahead, self._runs):
                for kept in rows.values():
                    kept.push(found)
            made = {name: front(heard) for name, front in fronts.items()}
            made |= {name: kept.values() for name, kept in rows.items()}
            yield {name: self._laid_out(name, values) for name, values in made.items()}

    @property
    def _runs(self) -> int:
        """How often the model in front runs for a frame."""
        upstream = self.pipeline.upstream
        return max(1, self.pipeline.block.hop // upstream.fed.stream_hop) if upstream else 0

    def _ahead(self, samples: Samples, size: int) -> Iterator[Frame]:
        """What the model in front gives, run by run."""
        assert self.upstream is not None and self.pipeline.upstream is not None
        fed, run = self.pipeline.upstream.fed, self.upstream.stream()
        fed = replace(fed, block=replace(fed.block, hop=fed.stream_hop, history="zeros"))
        before, _, _ = _upstream(fed, self.folder)
        for frame in _Listener(fed, self.upstream.inputs, before, self.folder)._frames(samples, size):
            yield run(frame)

    def _laid_out(self, name: str, values: Array) -> Array:
        type_ = self.inputs[name]
        if not type_.is_real:
            limits = np.iinfo(type_.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        return values.reshape(type_.shape).astype(type_.dtype, copy=False)


def block_count(size: int, block: Block) -> int:
    """Blocks of a clip of so many samples: whole ones only, but at least one, filled up with zeros."""
    whole = size // block.hop if block.history == "zeros" else 1 + (size - block.length) // block.hop
    return max(1, whole)


def blocks(samples: Samples, size: int, block: Block) -> Iterator[Floats]:
    """The blocks of a clip, [length] each, in [-1, 1]; `samples(start, stop)` gives a part of it."""
    first = block.hop - block.length if block.history == "zeros" else 0
    for index in range(block_count(size, block)):
        start = first + index * block.hop
        made = np.zeros(block.length)
        part = samples(max(start, 0), min(start + block.length, size))
        made[max(-start, 0) : max(-start, 0) + part.size] = part
        yield normalised(made, block.normalise)


def normalised(block: Floats, how: str) -> Floats:
    """A block on its own level: "peak" 1, or "variance" 1 around 0; silence stays as it is."""
    if how == "peak":
        peak = np.max(np.abs(block))
        return block / peak if peak > 0.0 else block
    if how == "variance":
        return np.asarray((block - block.mean()) / np.sqrt(block.var() + 1e-7))
    return block


# --- arrays --------------------------------------------------------------------------------------------------------


def _arrays(
    source: Path, files: list[Path], inputs: Mapping[str, TensorType], outputs: Mapping[str, TensorType]
) -> Clips:
    problems: list[Diagnostic] = []
    clips: list[Clip] = []
    for path in files:
        found, count, labels = arrays.check(path, inputs, outputs)
        problems += found
        known = partial(arrays.frames, path, labels) if labels else None
        clips.append(Clip(path.name, count, partial(arrays.frames, path, inputs), labels=known))
    raise_errors(problems)
    frames = sum(clip.count for clip in clips)
    return Clips(tuple(clips), f"{frames} frames of {source.resolve().name}")


def _with_labels(
    clips: tuple[Clip, ...], recordings: list[Path], outputs: Mapping[str, TensorType]
) -> tuple[Clip, ...]:
    """Clips of recordings, with what an npz file of the same name says of the outputs.

    Raises:
        DiagnosticError: MQ401 for files that do not fit.
    """
    problems, made = list[Diagnostic](), list[Clip]()
    for clip, recording in zip(clips, recordings, strict=True):
        path = recording.with_suffix(".npz")
        if not path.is_file():
            made.append(clip)
            continue
        found, count, labels = arrays.check(path, {}, outputs)
        if not labels:  # something else that has the same name
            made.append(clip)
            continue
        problems += found
        if not found and count < len(clip):
            message = f"has labels for {count} frames, the recording has {len(clip)}"
            problems.append(Diagnostic("MQ401", str(path), message, help="give every frame a label, or none"))
        made.append(replace(clip, labels=partial(arrays.frames, path, labels)))
    raise_errors(problems)
    return tuple(made)


# --- nothing -------------------------------------------------------------------------------------------------------


def _synthetic(pipeline: Pipeline | None, inputs: Mapping[str, TensorType], folder: Path | None) -> Clips:
    if pipeline is None:
        text = f"noise of variance 1 on every input ({2 * NOISE_FRAMES} frames): good for trying the tool, not for use"
        clips = tuple(Clip(f"noise {seed}", NOISE_FRAMES, partial(_noise_frames, inputs, seed)) for seed in (1, 2))
        return Clips(clips, text, (_untrusted(text),))
    fitting = _fitting(pipeline, inputs)
    upstream, note, warnings = _upstream(fitting, folder)
    seconds = max(synthetic.SECONDS, 2.0 * fitting.block.length / fitting.rate_hz)
    listener, rate_hz = _Listener(fitting, inputs, upstream, folder), fitting.rate_hz
    size = int(seconds * rate_hz)
    voices = {v.name: (_made_up(v, rate_hz, seconds, seed), size) for seed, v in enumerate(synthetic.VOICES)}
    clips = tuple(listener.clip(name, samples, size) for name, (samples, size) in voices.items())
    frames = sum(clip.count for clip in clips)
    text = (
        f"synthetic speech-like signals ({len(clips)} clips, {frames} frames) through pipeline {fitting.name}{note}: "
        "levels and spectra are like speech, rooms and microphones are not in it"
    )
    return Clips(clips, text, (_untrusted(text), *warnings), levels=tuple(_levels(voices, listener)))


def _made_up(voice: synthetic.Voice, rate_hz: int, seconds: float, seed: int) -> Samples:
    sound = synthetic.speech(voice, rate_hz, seconds, seed)
    return lambda start, stop: sound[start:stop]


def _untrusted(text: str) -> Diagnostic:
    return Diagnostic(
        "MQ402",
        "calibration",
        f"no --data was given, so ranges come from {text}",
        help="pass --data FOLDER_OF_WAVS, a minute or more of what the device will hear; f32 and f16 need no ranges",
        severity=Severity.WARNING,
    )


def _noise_frames(inputs: Mapping[str, TensorType], seed: int) -> Iterator[Frame]:
    """Normal noise for floats, zeros for everything else (a number of steps, a flag)."""
    random = np.random.default_rng(seed)
    for _ in range(NOISE_FRAMES):
        yield {
            name: np.asarray(random.standard_normal(type_.shape), type_.dtype)
            if np.dtype(type_.dtype).kind == "f"
            else np.zeros(type_.shape, type_.dtype)
            for name, type_ in inputs.items()
        }
