"""One graph of a pipeline: front end, models in a chain, back end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from operator import attrgetter
from types import MappingProxyType
from typing import TypeVar

from mcu_quant.audio import back
from mcu_quant.audio.builder import Builder, inside
from mcu_quant.audio.front import Front, remembered
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean, raise_errors
from mcu_quant.ir import Graph
from mcu_quant.passes import optimise
from mcu_quant.pipelines import Behind, Input, Pipeline
from mcu_quant.pipelines.outputs import ActivityOutput, AudioOutput, KeywordOutput

#: The input of every composed graph, and the output of those that make audio.
AUDIO_IN, AUDIO_OUT = "audio_in", "audio_out"


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Stage:
    """A model and the pipeline that feeds it."""

    graph: Graph
    pipeline: Pipeline


def compose(stages: Sequence[Stage]) -> Graph:
    """The graph of a chain of models; the last one is the model itself.

    Raises:
        DiagnosticError: MQ403 where pipeline and model do not fit each other.
    """
    return _composed(stages, ())


def _composed(stages: Sequence[Stage], wanted: Sequence[str]) -> Graph:
    """The graph of a chain that gives outputs of its last model as they are, or what its back end makes of them."""
    last = stages[-1]
    b = Builder(last.graph.name)
    audio = b.input(AUDIO_IN, (last.pipeline.stream_hop,), "int16")
    before, group = split(stages)
    first = group[0].pipeline
    rows: dict[str, str] = {}
    if before and first.behind is Behind.AUDIO:
        audio = _heard(b, before, first, audio)
    elif before:
        rows = _rows(b, before, first, audio)
    block = ""
    for stage, following in pairwise(group):
        block = _masked(b, _front(b, last.pipeline, audio, block, f"{stage.graph.name}/"), stage, following.pipeline)
    front = _front(b, last.pipeline, audio, block)
    outputs = b.include(last.graph, _inputs(b, front, last, rows))
    real = [_real(b, last.graph, outputs[name], name) for name in wanted]
    return b.graph(real or _outputs(b, last, outputs, front))


def split(stages: Sequence[T], pipeline: Callable[[T], Pipeline] = attrgetter("pipeline")) -> tuple[list[T], list[T]]:
    """Models that run on their own, and behind them the last one, with those in front of it that mask its block."""
    at = len(stages) - 1
    while at and pipeline(stages[at]).behind is Behind.MASK:
        at -= 1
    return list(stages[:at]), list(stages[at:])


def _ran(b: Builder, before: Sequence[Stage], following: Pipeline, audio: str, wanted: Sequence[str]) -> list[str]:
    """The models in front, as often as a call has their samples: each of their outputs, [runs, ...]."""
    graph, runs = _composed(before, wanted), following.upstream_runs
    prefix, hop = f"{graph.name}/", before[-1].pipeline.stream_hop
    if runs > 1:
        parts = b.reshape(audio, (runs, hop), inside(prefix, "front:parts"))
        made = b.repeat(optimise(graph), runs, {AUDIO_IN: parts}, prefix)
    else:
        made = b.include(graph, {AUDIO_IN: audio}, prefix)
    shapes = [(runs, *graph.shape(n)) for n in graph.outputs]
    return [b.reshape(made[n], s, f"{made[n]}:runs") for n, s in zip(graph.outputs, shapes, strict=True)]


def _heard(b: Builder, before: Sequence[Stage], following: Pipeline, audio: str) -> str:
    """The samples of a call as the models in front leave them."""
    [made] = _ran(b, before, following, audio, ())
    return b.reshape(made, (following.stream_hop,), f"{made}:stream")


def _rows(b: Builder, before: Sequence[Stage], following: Pipeline, audio: str) -> dict[str, str]:
    """The edge of every input that holds what the models in front gave, [rows, row], the newest last."""
    entries = [e for e in following.inputs if e.source]
    sources = list(dict.fromkeys(str(e.source) for e in entries))
    raise_errors(_missing(before[-1].graph, sources, following))
    made = dict(zip(sources, _ran(b, before, following, audio, sources), strict=True))
    return {e.name: remembered(b, e, made[str(e.source)], row_size(e, before[-1].graph)) for e in entries}


def row_size(entry: Input, graph: Graph) -> int:
    """Values of a row of what an input takes of the model in front.

    Raises:
        DiagnosticError: MQ403 if rows of that size fill neither the output nor the input.
    """
    shape = graph.shape(str(entry.source))
    row = entry.row or (shape[-1] if shape else 1)
    if prod(shape) % row or prod(entry.shape) % row:
        message = f"rows of {row} do not fill {entry.source!r} of shape {list(shape)} and {list(entry.shape)}"
        help_ = "say how many values a row has: row"
        raise DiagnosticError(Diagnostic("MQ403", f"inputs.{entry.name}", message, help=help_))
    return row


def _missing(graph: Graph, wanted: Sequence[str], pipeline: Pipeline) -> list[Diagnostic]:
    where = f"pipeline {pipeline.name}"
    return [
        Diagnostic("MQ403", where, f"{graph.name} has no output {n!r}", help=did_you_mean(n, graph.outputs))
        for n in wanted
        if n not in graph.outputs
    ]


def _front(b: Builder, pipeline: Pipeline, audio: str, block: str, prefix: str = "") -> Front:
    return _Made(b, pipeline, audio, prefix, block) if block else Front(b, pipeline, audio, prefix)


def _inputs(b: Builder, front: Front, stage: Stage, rows: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """An edge for each input of a model; `rows` are those that come from the model in front."""
    raise_errors(_unfit(stage))
    made = {}
    for entry in stage.pipeline.inputs:
        edge = rows.get(entry.name) or front.features(entry)
        made[entry.name] = _stored(b, stage.graph, entry, edge)
    return made


def _unfit(stage: Stage) -> list[Diagnostic]:
    where = f"pipeline {stage.pipeline.name}"
    given = {e.name: e.shape for e in stage.pipeline.inputs}
    problems = []
    for name in stage.graph.inputs:
        shape = stage.graph.shape(name)
        if name not in given:
            message, help_ = f"does not say how input {name!r} is made", f"add [inputs.{name!r}]"
        elif given[name] != shape:
            message = f"makes {name!r} of shape {list(given[name])}, the model reads {list(shape)}"
            help_ = "correct the shape, or --bind the model's dimensions"
        else:
            continue
        problems.append(Diagnostic("MQ403", where, message, help=help_))
    for name in given.keys() - set(stage.graph.inputs):
        help_ = did_you_mean(name, stage.graph.inputs)
        problems.append(Diagnostic("MQ403", where, f"the model has no input {name!r}", help=help_))
    return problems


def _stored(b: Builder, graph: Graph, entry: Input, edge: str) -> str:
    """Reals as the whole numbers that a model reads, on its own scale."""
    if graph.types[entry.name].is_real:
        return edge
    reader = next((op for op in graph.operators if op.op == "DequantizeLinear" and op.inputs[0] == entry.name), None)
    if reader is None:
        message = f"makes reals, but {entry.name!r} is {graph.types[entry.name]}"
        raise DiagnosticError(Diagnostic("MQ403", "pipeline", message, help="export the model with a float input"))
    return b.add("QuantizeLinear", f"front:{entry.name}:stored", (edge,), **reader.attributes)


def _masked(b: Builder, front: Front, stage: Stage, pipeline: Pipeline) -> str:
    """The block of the next model: the inverse transform of the block's spectrum with this model's mask over it."""
    upstream = pipeline.upstream
    assert upstream is not None and upstream.mask is not None
    entry = back.spectral_input(stage.pipeline)
    block = pipeline.block
    stft = entry.stages.stft.resolved(block.length) if entry and entry.stages.stft else None
    if entry is None or stft is None or (stft.window, stft.fft, stft.frames(block.length)) != ("none", block.length, 1):
        message = f"the mask of {upstream.model} lies over the spectrum of the whole block without a window"
        help_ = f"give pipeline {stage.pipeline.name} stft = {{ window = 'none' }}"
        raise DiagnosticError(Diagnostic("MQ403", f"pipeline {pipeline.name}", message, help=help_))
    made = b.include(stage.graph, _inputs(b, front, stage), front.prefix)
    raise_errors(_missing(stage.graph, [upstream.mask], pipeline))
    bins = block.length // 2 + 1
    mask = b.reshape(made[upstream.mask], (1, bins), f"front:{stage.graph.name}:mask")
    name = f"front:{stage.graph.name}:masked"
    signal = back.inverse(b, (front.spectra(entry), mask), "real", block.length, name)
    return b.reshape(signal, (block.length,), f"{name}:block")


class _Made(Front):
    """A front end whose block comes from another model."""

    def __init__(self, builder: Builder, pipeline: Pipeline, audio: str, prefix: str, block: str) -> None:
        super().__init__(builder, pipeline, audio, prefix)
        self._block = block

    def block(self) -> str:
        """The block as the other model leaves it."""
        return self._block


def _outputs(b: Builder, stage: Stage, outputs: dict[str, str], front: Front) -> tuple[str, ...]:
    pipeline, output = stage.pipeline, stage.pipeline.output
    if output is None:
        return tuple(outputs.values())
    source = source_of(stage.graph, pipeline)
    made = _real(b, stage.graph, outputs[source], source)
    match output:
        case AudioOutput():
            entry = back.spectral_input(pipeline)
            return (back.audio(b, pipeline, output, made, front.spectra(entry) if entry else "", AUDIO_OUT),)
        case ActivityOutput():
            return back.activity(b, pipeline, output, made)
        case KeywordOutput():
            return back.keyword(b, pipeline, output, made)


def source_of(graph: Graph, pipeline: Pipeline) -> str:
    """The output of a model that a pipeline's back end reads.

    Raises:
        DiagnosticError: MQ403 where the model has no such output, or several and the pipeline names none.
    """
    asked = pipeline.output.source if pipeline.output else None
    if asked is None and len(graph.outputs) == 1:
        return graph.outputs[0]
    if asked in graph.outputs:
        return str(asked)
    message = f"the model has no output {asked!r}" if asked else f"the model has {len(graph.outputs)} outputs"
    help_ = did_you_mean(asked or "", graph.outputs) or f"name one with from: {', '.join(graph.outputs)}"
    raise DiagnosticError(Diagnostic("MQ403", f"pipeline {pipeline.name}: output", message, help=help_))


def _real(b: Builder, graph: Graph, edge: str, name: str) -> str:
    """An output as reals, where the model gives whole numbers on its own scale."""
    if graph.types[name].is_real:
        return edge
    maker = graph.producer().get(name)
    if maker is None or maker.op != "QuantizeLinear":
        message = f"output {name!r} is {graph.types[name]}, on no scale that the model states"
        raise DiagnosticError(Diagnostic("MQ403", "pipeline", message, help="export the model with a float output"))
    return b.add("DequantizeLinear", f"back:{name}:real", (edge,), **maker.attributes)
