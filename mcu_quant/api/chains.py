"""Models in a chain behind a front end and before a back end: found on disk, and run as their authors would."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mcu_quant import frontend
from mcu_quant.audio import AudioReference, Stage
from mcu_quant.audio.compose import source_of
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
        models = [*before, own(self.last.graph)]
        stored = [{**stored_inputs(s.graph), **_stored_output(s)} for s in self.stages]
        return AudioReference(models, [s.pipeline for s in self.stages], self.source, stored)

    @property
    def source(self) -> str:
        """The output of the last model that the back end reads; none without a back end."""
        return source_of(self.last.graph, self.pipeline) if self.pipeline.output else ""


def _scalars(imported: Imported) -> Mapping[str, int]:
    return {b.name: b.value for b in imported.bindings}


def _stored_output(stage: Stage) -> dict[str, Callable[[Any], Any]]:
    """What turns the output that the back end reads into reals, where it is whole numbers on the model's scale."""
    source = source_of(stage.graph, stage.pipeline) if stage.pipeline.output else ""
    maker = stage.graph.producer().get(source)
    return {"": partial(dequantised, maker)} if maker is not None and maker.op == "QuantizeLinear" else {}


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
        message = f"{upstream.model}, whose mask is laid over the block first, is not beside the model"
        help_ = f"put it into {folder}"
        raise DiagnosticError(Diagnostic("MQ401", f"pipeline {pipeline.name}", message, help=help_))
    imported = frontend.load(path, None, tuple(upstream.state.items()), made.bind)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return [*_fronts(folder, made), Front(path, digest, imported, made)]
