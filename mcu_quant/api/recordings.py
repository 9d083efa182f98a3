"""Recordings for pipelines: what can be read, and what goes with what in folders of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcu_quant.audio.play import Pcm, as_pcm
from mcu_quant.data import unfit, unreadable, wav
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, Severity, raise_errors
from mcu_quant.pipelines import Pipeline
from mcu_quant.pipelines.outputs import ActivityOutput, AudioOutput, KeywordOutput
from mcu_quant.report import timeline


@dataclass(frozen=True, eq=False)
class Recorded:
    """The samples of a recording as 16 bits, and what was lost on the way there."""

    samples: Pcm
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class Take:
    """A recording, where what comes out of it goes, and the clean recording of the same stretch."""

    input: Path
    output: Path | None
    clean: Path | None


def recording(path: Path, pipeline: Pipeline) -> Recorded:
    """The samples of a recording at a pipeline's rate; a warning where floats go beyond full scale.

    Raises:
        DiagnosticError: MQ401, everything that is wrong with it.
    """
    try:
        found = wav.read(path)
    except wav.WavError as error:
        raise DiagnosticError(unreadable(path, error, pipeline)) from error
    raise_errors(list(unfit(path, found, pipeline)))
    real = found.samples(0, len(found))
    return Recorded(as_pcm(real), tuple(_too_loud(path, real)))


def _too_loud(path: Path, real: NDArray[np.float64]) -> Iterator[Diagnostic]:
    beyond, largest = int(np.count_nonzero(np.abs(real) > 1.0)), float(np.max(np.abs(real)))
    if beyond:
        message = f"{beyond} of {real.size} samples are beyond full scale (up to {largest:.2f}) and were cut off"
        help_ = f"scale it: sox -v {0.99 / largest:.3f} {path.name} softer.wav"
        yield Diagnostic("MQ401", str(path), message, help=help_, severity=Severity.WARNING)


def takes(given: Path, output: Path | None, clean: Path | None, pipeline: Pipeline) -> tuple[Take, ...]:
    """What there is to do: one take of a file; one per .wav of a folder, of the same name in `output` and `clean`.

    Raises:
        DiagnosticError: MQ401, MQ900: everything that is wrong with any of them.
    """
    made = _of_folder(given, output, clean, pipeline) if given.is_dir() else (Take(given, output, clean),)
    _check_wishes(output, clean, pipeline)
    raise_errors([d for take in made for d in _wrong(take, pipeline)])
    return made


def _of_folder(given: Path, output: Path | None, clean: Path | None, pipeline: Pipeline) -> tuple[Take, ...]:
    files = sorted(p.relative_to(given) for p in given.rglob("*") if p.suffix.lower() == ".wav")
    if not files:
        raise DiagnosticError(
            Diagnostic("MQ401", str(given), "holds no .wav files", help="give a folder of recordings")
        )
    for option, path in (("-o", output), ("--clean", clean)):
        if path is not None and (path.is_file() or path.suffix.lower() in kinds(pipeline)):
            message = f"{path} is one file, and {given} is a folder of {len(files)}"
            raise DiagnosticError(Diagnostic("MQ900", option, message, help=f"{option} FOLDER"))
    kind = kinds(pipeline)[0]
    return tuple(Take(given / f, output and (output / f).with_suffix(kind), clean and clean / f) for f in files)


def _check_wishes(output: Path | None, clean: Path | None, pipeline: Pipeline) -> None:
    gives_audio = isinstance(pipeline.output, AudioOutput)
    if clean is not None and not gives_audio:
        message = "nothing to judge: no audio comes out of this pipeline"
        raise DiagnosticError(Diagnostic("MQ900", "--clean", message, help="leave it out"))
    decides = isinstance(pipeline.output, ActivityOutput | KeywordOutput)
    if output is None and clean is None and not decides:  # decisions and judgements are printed
        what = "the audio goes, or --clean REF.wav judges it" if gives_audio else "the outputs go"
        message, help_ = f"says where {what}", f"-o OUT{kinds(pipeline)[0]}"
        raise DiagnosticError(Diagnostic("MQ900", "-o", message, help=help_))


def kinds(pipeline: Pipeline) -> Sequence[str]:
    """Suffixes of files that can hold what comes out, the usual one first."""
    if isinstance(pipeline.output, ActivityOutput | KeywordOutput):
        return (*timeline.SUFFIXES, ".npz")
    return (".wav", ".npz") if pipeline.output else (".npz",)


def _wrong(take: Take, pipeline: Pipeline) -> Iterator[Diagnostic]:
    """Everything that keeps a take from being played."""
    if take.output is not None:
        yield from _wrong_output(take.output, take, pipeline)
    sizes = []
    for path in (p for p in (take.input, take.clean) if p is not None):
        try:
            sizes.append(recording(path, pipeline).samples.size)
        except DiagnosticError as error:
            yield from error.diagnostics
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        message = f"has {sizes[1]} samples, {take.input} has {sizes[0]}"
        yield Diagnostic("MQ401", str(take.clean), message, help="give the clean recording of the same stretch")


def _wrong_output(path: Path, take: Take, pipeline: Pipeline) -> Iterator[Diagnostic]:
    possible = kinds(pipeline)
    if path.suffix.lower() not in possible:
        help_ = " or ".join(f"-o OUT{k}" for k in possible)
        message = f"is none of {', '.join(possible)}, which can hold what comes out of pipeline {pipeline.name}"
        yield Diagnostic("MQ401", str(path), message, help=help_)
    read = [p.resolve() for p in (take.input, take.clean) if p is not None]
    if path.resolve() in read:
        yield Diagnostic("MQ401", str(path), "is a recording that is read: it would be lost", help="another -o")
