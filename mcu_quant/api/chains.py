"""Models in a chain behind a front end and before a back end: found on disk, and run as their authors would."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mcu_quant import frontend
from mcu_quant.audio import AudioReference, Stage
from mcu_quant.audio.compose import source_of, split
from mcu_quant.compare import Reference, Runs
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.frontend import Imported
from mcu_quant.ir import Graph
from mcu_quant.ops.quantize_linear import dequantised
from mcu_quant.pipelines import TEMPLATE, Pipeline
from mcu_quant.qdq import stored_inputs


@dataclass(frozen=True, eq=False)
class Front:
    """A model in front of the last one."""

    file: Path
    sha256: str
    imported: Imported
    pipeline: Pipeline


@dataclass(frozen=True, eq=False)
class Chain:
    """The models of a pipeline in the order in which they run; the last one is the model itself."""

    fronts: tuple[Front, ...]
    last: Stage

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All models as they are composed."""
        return (*(Stage(f.imported.graph, f.pipeline) for f in self.fronts), self.last)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline around the last model."""
        return self.last.pipeline

    def reference(self, own: Callable[[Graph], Reference]) -> Runs:
        """All models in onnxruntime, with front and back end in numpy; `own` runs the last model.

        Raises:
            DiagnosticError: MQ101 if onnxruntime does not take one of them.
        """
        before = [Reference(f.file, f.imported.graph, _scalars(f.imported)) for f in self.fronts]
        return _reference([*zip(self.stages, [*before, own(self.last.graph)], strict=True)])


def _scalars(imported: Imported) -> Mapping[str, int]:
    return {b.name: b.value for b in imported.bindings}


def _reference(models: Sequence[tuple[Stage, Reference]]) -> AudioReference:
    """The models of a chain, those that run on their own as a chain of their own."""
    before, group = split(models, lambda m: m[0].pipeline)
    stages, runs = zip(*group, strict=True)
    last = stages[-1]
    return AudioReference(
        runs,
        [s.pipeline for s in stages],
        source_of(last.graph, last.pipeline) if last.pipeline.output else "",
        [stored_inputs(s.graph) for s in stages],
        _real_outputs(last.graph),
        _reference(before) if before else None,
    )


def _real_outputs(graph: Graph) -> dict[str, Callable[[Any], Any]]:
    """What turns outputs into reals that are whole numbers on the model's scale."""
    makers = {n: op for n, op in graph.producer().items() if n in graph.outputs and op.op == "QuantizeLinear"}
    return {n: partial(dequantised, op) for n, op in makers.items()}


def around(file: Path, graph: Graph, pipeline: Pipeline | None) -> Chain:
    """The chain that ends with a model.

    Raises:
        DiagnosticError: MQ403 without a pipeline; MQ401 where a model that it names is not there; MQ101 to MQ114.
    """
    if pipeline is None:
        message = "no ready-made pipeline says how audio becomes the inputs of this model"
        help_ = f"write MODEL.toml beside the model (`mcu-quant pipeline new {file}`), or pass --pipeline:\n{TEMPLATE}"
        raise DiagnosticError(Diagnostic("MQ403", str(file), message, help=help_))
    return Chain(tuple(_fronts(file.parent, pipeline)), Stage(graph, pipeline))


def _fronts(folder: Path, pipeline: Pipeline) -> list[Front]:
    upstream = pipeline.upstream
    if upstream is None:
        return []
    path, made = folder / upstream.model, upstream.fed
    if not path.is_file():
        message = f"{upstream.model}, which runs first, is not beside the model"
        help_ = f"put it into {folder}"
        raise DiagnosticError(Diagnostic("MQ401", f"pipeline {pipeline.name}", message, help=help_))
    imported = frontend.load(path, None, tuple(upstream.state.items()), made.bind)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return [*_fronts(folder, made), Front(path, digest, imported, made)]
