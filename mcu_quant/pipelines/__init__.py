"""Pipelines: how audio becomes the inputs of a model, one TOML file each; docs/data.md describes the keys.

Ready-made ones lie in this folder and are found by the names and shapes of a model's inputs. A user's own is a file
`MODEL.toml` beside the model, or any file or ready-made name given with `--pipeline`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mcu_quant import schemas
from mcu_quant.data.audio import Affine, Dct, Emphasis, Log, Mel, Stages, Stft
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean
from mcu_quant.ir import Shape
from mcu_quant.pipelines import outputs
from mcu_quant.pipelines.outputs import ActivityOutput, AudioOutput, KeywordOutput, Output

FOLDER = Path(__file__).resolve().parent

#: Sizes as a model file states them: a number, or the name of a dimension that is not fixed (None: without a name).
Sizes = Sequence[int | str | None]

#: What a user can start from.
TEMPLATE = """\
rate_hz = 16000
[block]
length = 512            # samples that one run of the model sees
hop = 256               # new ones among them
[inputs.INPUT_NAME]
shape = [1, 257]
[inputs.INPUT_NAME.stft]   # leave out for raw samples
window = "hann"
value = "magnitude"
"""


@dataclass(frozen=True)
class Block:
    """The samples that one run of the model sees: `length` in all, `hop` of them new.

    With `history` "zeros" the first block holds zeros and `hop` samples of the clip, as firmware does after a reset;
    with "none" it holds `length` samples of the clip.
    """

    length: int
    hop: int
    history: str = "zeros"
    normalise: str = "none"


@dataclass(frozen=True)
class Input:
    """One input of the model and the front end that computes it.

    With a `source`, which is an output of the model in front, it holds the last rows of what that gave: `row` values
    each (default: its last axis), `initial` before the first.
    """

    name: str
    shape: Shape
    stages: Stages
    source: str | None = None
    row: int | None = None
    initial: float = 0.0


class Behind(StrEnum):
    """What a pipeline takes from the model in front: a mask over the block's spectrum, rows of features, or audio."""

    NOTHING = ""
    MASK = "mask"
    ROWS = "rows"
    AUDIO = "audio"


@dataclass(frozen=True)
class Upstream:
    """A model that runs before this one, `fed` by a pipeline of its own. With `mask`, that output is laid over the
    spectrum of every block; else inputs say what they take of it, or its audio is what this pipeline hears."""

    model: str
    pipeline: str
    fed: Pipeline
    mask: str | None = None
    state: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """Names and shapes of a model's inputs and, where those alone say too little, outputs."""

    inputs: Mapping[str, Sizes]
    outputs: Mapping[str, Sizes] = field(default_factory=dict)


@dataclass(frozen=True)
class Pipeline:
    """How audio becomes model inputs, and outputs audio or decisions.

    `bind` fixes dimensions and scalar inputs when the model is imported. `model` is the file name of the model, where a
    pipeline names its own; `call_hop` the samples that firmware with this pipeline in it takes in one call, if they are
    not those of `block`.
    """

    name: str
    title: str
    rate_hz: int
    block: Block
    inputs: tuple[Input, ...]
    full_scale: float = 1.0
    bind: Mapping[str, int] = field(default_factory=dict)
    match: Match | None = None
    upstream: Upstream | None = None
    model: str | None = None
    call_hop: int | None = None
    output: Output | None = None

    @property
    def stream_hop(self) -> int:
        """New samples in one call of firmware that has this pipeline in it."""
        return self.call_hop or self.block.hop

    @property
    def call_ms(self) -> float:
        """Time between two calls of that firmware, in milliseconds."""
        return 1e3 * self.stream_hop / self.rate_hz

    @property
    def behind(self) -> Behind:
        """What is taken from the model in front."""
        if self.upstream is None:
            return Behind.NOTHING
        if self.upstream.mask:
            return Behind.MASK
        return Behind.ROWS if any(e.source for e in self.inputs) else Behind.AUDIO

    @property
    def upstream_runs(self) -> int:
        """How often the model in front runs in one call; of a mask, as often as this one."""
        return 1 if self.upstream is None or self.upstream.mask else self.stream_hop // self.upstream.fed.stream_hop

    @property
    def gives(self) -> str:
        """What firmware with this pipeline in it gives, in words."""
        words = {AudioOutput: "audio", ActivityOutput: "activity", KeywordOutput: "words"}
        return words[type(self.output)] if self.output else "the model's outputs"

    def heard_as(self, name: str) -> Pipeline:
        """The pipeline of firmware that has this one in it: samples of 16 bits, a call's at a time, as input `name`."""
        hop = self.stream_hop
        entry = Input(name, (hop,), Stages())
        made = Pipeline(self.name, self.title, self.rate_hz, Block(hop, hop), (entry,), full_scale=32768.0)
        return replace(made, output=self.output)

    @property
    def frame_seconds(self) -> float:
        """Time between two runs of the model: what a board has for one of them."""
        return self.block.hop / self.rate_hz


def load(path: Path) -> Pipeline:
    """Read a pipeline file.

    Raises:
        DiagnosticError: MQ403, all problems of the file at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise DiagnosticError(Diagnostic("MQ403", str(path), message)) from error
    except UnicodeDecodeError as error:
        raise DiagnosticError(Diagnostic("MQ403", str(path), f"is not TOML: {error}")) from error
    return load_text(text, path)


def load_text(text: str, path: Path) -> Pipeline:
    """A pipeline from the text of a file at that path.

    Raises:
        DiagnosticError: MQ403, all problems at once.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DiagnosticError(Diagnostic("MQ403", str(path), f"is not TOML: {error}")) from error
    return parse(document, path.stem, str(path))


def parse(document: Mapping[str, Any], name: str, where: str) -> Pipeline:
    """The pipeline that a TOML document describes; `where` names the file in diagnostics.

    Raises:
        DiagnosticError: MQ403, all problems at once.
    """
    problems = schemas.validate(document, "pipeline", where, "MQ403")
    if problems:
        raise DiagnosticError(problems)
    pipeline = _build(document, name, Path(where).parent)
    problems = [Diagnostic("MQ403", f"{where}: {key}", text, help=remedy) for key, text, remedy in _conflicts(pipeline)]
    if problems:
        raise DiagnosticError(problems)
    return pipeline


def _build(document: Mapping[str, Any], name: str, folder: Path) -> Pipeline:
    match, upstream = document.get("match"), document.get("upstream")
    return Pipeline(
        name=name,
        title=document.get("title", name),
        rate_hz=document["rate_hz"],
        block=Block(**document["block"]),
        inputs=tuple(_input(n, t) for n, t in document["inputs"].items()),
        full_scale=float(document.get("full_scale", 1.0)),
        bind=MappingProxyType(dict(document.get("bind", {}))),
        match=Match(match["inputs"], match.get("outputs", {})) if match else None,
        upstream=Upstream(**upstream, fed=_fed(upstream["pipeline"], folder, name)) if upstream else None,
        model=document.get("model"),
        call_hop=document.get("stream", {}).get("hop"),
        output=outputs.parse(document.get("output")),
    )


def _fed(wanted: str, folder: Path, name: str) -> Pipeline:
    """The pipeline of a model in front: a file beside this one, or a ready-made one.

    Raises:
        DiagnosticError: MQ403 if there is none, or it leads back here.
    """
    for place in (folder, FOLDER):
        file = place / f"{wanted}.toml"
        if file.is_file() and wanted != name:
            return load(file)
    known = [p.stem for place in (folder, FOLDER) for p in sorted(place.glob("*.toml")) if p.stem != name]
    message = f"there is no ready-made pipeline {wanted!r}, nor a file {wanted}.toml beside this one"
    where = f"{folder / name}.toml: upstream.pipeline"
    raise DiagnosticError(Diagnostic("MQ403", where, message, help=did_you_mean(wanted, known)))


def _input(name: str, table: Mapping[str, Any]) -> Input:
    initial = float(table.get("initial", 0.0))
    return Input(name, tuple(table["shape"]), _stages(table), table.get("from"), table.get("row"), initial)


def _stages(table: Mapping[str, Any]) -> Stages:
    return Stages(
        emphasis=Emphasis(**table["emphasis"]) if "emphasis" in table else None,
        stft=Stft(**table["stft"]) if "stft" in table else None,
        mel=Mel(**table["mel"]) if "mel" in table else None,
        log=Log(**table["log"]) if "log" in table else None,
        dct=Dct(**table["dct"]) if "dct" in table else None,
        affine=Affine(**table["affine"]) if "affine" in table else None,
        bins_first=table.get("bins_first", False),
    )


def _conflicts(pipeline: Pipeline) -> Iterator[tuple[str, str, str]]:
    """What a schema cannot say: (key, what is wrong, remedy)."""
    block = pipeline.block
    if block.hop > block.length:
        yield "block.hop", f"a hop of {block.hop} skips samples of a block of {block.length}", "at most block.length"
    for entry in pipeline.inputs:
        yield from _rows_conflicts(entry, pipeline) if entry.source else _input_conflicts(entry, pipeline)
    if pipeline.upstream:
        yield from _upstream_conflicts(pipeline, pipeline.upstream)
    yield from _output_conflicts(pipeline)


def _rows_conflicts(entry: Input, pipeline: Pipeline) -> Iterator[tuple[str, str, str]]:
    at, stages = f"inputs.{entry.name}", entry.stages
    if pipeline.upstream is None:
        yield f"{at}.from", f"there is no model in front that gives {entry.source!r}", "add [upstream]"
    for name in ("emphasis", "stft", "mel", "log", "dct"):
        if getattr(stages, name):
            yield (
                f"{at}.{name}",
                f"works on audio, and this is what {entry.source!r} gives",
                "only affine comes after it",
            )
    if entry.row and prod(entry.shape) % entry.row:
        yield (
            f"{at}.row",
            f"{list(entry.shape)} does not hold whole rows of {entry.row}",
            "row is the values of one row",
        )


def _upstream_conflicts(pipeline: Pipeline, upstream: Upstream) -> Iterator[tuple[str, str, str]]:
    fed = upstream.fed
    if fed.rate_hz != pipeline.rate_hz:
        yield "upstream.pipeline", f"hears {fed.rate_hz} samples per second, this one {pipeline.rate_hz}", ""
    if upstream.mask:
        if any(e.source for e in pipeline.inputs):
            yield "upstream.mask", "a mask changes the block, and inputs take features: one of both", ""
        return
    if pipeline.stream_hop % fed.stream_hop:
        text = f"takes {fed.stream_hop} samples a call, which {pipeline.stream_hop} of this one are no multiple of"
        yield "upstream.pipeline", text, "set stream.hop to a multiple"
    if pipeline.behind is Behind.AUDIO and not isinstance(fed.output, AudioOutput):
        text = f"{upstream.pipeline} gives no audio that this one could hear"
        yield "upstream", text, "name a mask, or say `from` in an input"


def _output_conflicts(pipeline: Pipeline) -> Iterator[tuple[str, str, str]]:
    output, block = pipeline.output, pipeline.block
    if pipeline.stream_hop > block.length:
        yield "stream.hop", f"{pipeline.stream_hop} samples do not fit a block of {block.length}", ""
    match output:
        case AudioOutput(kind=kind):
            spectra = [e for e in pipeline.inputs if e.stages.stft]
            if pipeline.stream_hop != block.hop:
                yield "stream.hop", "audio comes out of every block: a call is a block", "leave it out"
            if kind in ("mask", "complex-mask") and not spectra:
                yield "output.audio.as", "there is no spectrum to lay the mask over", "add [inputs.NAME.stft]"
        case ActivityOutput(threshold=threshold, release=release) if release > threshold:
            yield "output.activity.release", f"{release} is above the threshold {threshold}", "at most the threshold"
        case KeywordOutput(labels=labels, ignore=ignore):
            for name in ignore:
                if name not in labels:
                    yield "output.keyword.ignore", f"there is no label {name!r}", did_you_mean(name, labels)
            if not set(labels) - set(ignore):
                yield "output.keyword.ignore", "no label is left", "leave the words out that shall be found"
        case _:
            pass


def _input_conflicts(entry: Input, pipeline: Pipeline) -> Iterator[tuple[str, str, str]]:
    at, stages, length = f"inputs.{entry.name}", entry.stages, pipeline.block.length
    missing = [
        (needing, needed)
        for needing, needed in (("mel", "stft"), ("dct", "mel"), ("bins_first", "stft"))
        if getattr(stages, needing) and not getattr(stages, needed)
    ]
    for needing, needed in missing:
        yield f"{at}.{needing}", f"{needing} works on the result of {needed}, which is missing", f"add [{at}.{needed}]"
    if missing:
        return
    if stages.stft:
        stft = stages.stft.resolved(length)
        if stft.centre == "reflect" and length <= stft.margin:
            yield f"{at}.stft.centre", f"a block of {length} cannot be mirrored for a window of {stft.length}", ""
            return
        if stft.length > length and stft.centre == "none":
            yield f"{at}.stft.length", f"a window of {stft.length} does not fit a block of {length}", ""
            return
        if stft.window_length > stft.length:
            yield (
                f"{at}.stft.window_length",
                f"{stft.window_length} samples are longer than a frame of {stft.length}",
                "",
            )
        if stft.fft < stft.length:
            yield f"{at}.stft.fft", f"a transform of {stft.fft} points cuts a window of {stft.length}", ""
        if stft.value == "complex" and (stages.mel or stages.log):
            yield f"{at}.stft.value", "mel and log need magnitude or power, not complex values", ""
    if stages.mel and not stages.mel.low_hz < stages.mel.high_hz <= pipeline.rate_hz / 2:
        text = f"bands from {stages.mel.low_hz} to {stages.mel.high_hz} Hz at {pipeline.rate_hz} samples per second"
        yield f"{at}.mel", text, "0 <= low_hz < high_hz <= rate_hz / 2"
    if stages.dct and stages.mel and stages.dct.coefficients > stages.mel.bands:
        yield f"{at}.dct.coefficients", f"{stages.dct.coefficients} coefficients of {stages.mel.bands} bands", ""
    made = stages.output_shape(length)
    if prod(made) != prod(entry.shape):
        text = " x ".join(map(str, made))
        text = f"the stages give {text} = {prod(made)} values, {list(entry.shape)} holds {prod(entry.shape)}"
        yield f"{at}.shape", text, "check block.length and the lengths and hops of the stages"


@cache
def ready_made() -> Mapping[str, Pipeline]:
    """The pipelines of this folder by name, in alphabetical order."""
    return MappingProxyType({path.stem: load(path) for path in sorted(FOLDER.glob("*.toml"))})


def find(inputs: Mapping[str, Sizes], outputs: Mapping[str, Sizes] | None = None) -> Pipeline | None:
    """The ready-made pipeline for a model with these inputs and outputs as its file states them, caches included."""
    for pipeline in ready_made().values():
        match = pipeline.match
        if match is None or not _same_shapes(match.inputs, inputs):
            continue
        if not match.outputs or _same_shapes(match.outputs, outputs or {}):
            return pipeline
    return None


def _same_shapes(wanted: Mapping[str, Sizes], given: Mapping[str, Sizes]) -> bool:
    return wanted.keys() == given.keys() and all(_same_shape(wanted[name], given[name]) for name in wanted)


def _same_shape(wanted: Sizes, given: Sizes) -> bool:
    """Equal ranks, and equal sizes wherever both are numbers."""
    both = len(wanted) == len(given) and zip(wanted, given, strict=True)
    return bool(both) and all(a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in both or ())


def resolve(
    model: Path,
    inputs: Mapping[str, Sizes],
    outputs: Mapping[str, Sizes] | None = None,
    given: str | None = None,
) -> Pipeline | None:
    """The pipeline for a model: the one `given` (a file or a ready-made name), `MODEL.toml` beside it, or a match.

    Raises:
        DiagnosticError: MQ403 if the file is wrong, or `given` is neither a file nor a name.
    """
    if given is not None:
        if Path(given).is_file():
            return load(Path(given))
        if given in ready_made():
            return ready_made()[given]
        remedy = did_you_mean(given, ready_made()) or "give the path of a pipeline file"
        raise DiagnosticError(Diagnostic("MQ403", given, "is neither a file nor a ready-made pipeline", help=remedy))
    beside = model.with_suffix(".toml")
    return load(beside) if beside.is_file() else find(inputs, outputs)
