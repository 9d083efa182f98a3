"""A pipeline for a model that comes without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcu_quant import frontend, pipelines
from mcu_quant.api.stages import Source
from mcu_quant.audio import Stage, compose
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.frontend.ports import ports
from mcu_quant.pipelines import propose as guesses


@dataclass(frozen=True)
class Proposal:
    """The text of a pipeline file, and where it comes from in words."""

    text: str
    origin: str


def propose(source: Source) -> Proposal:
    """A pipeline file for a model: the ready-made one that fits it, else one guessed from its shapes.

    Raises:
        DiagnosticError: MQ101 to MQ114 if the model cannot be imported; bind what is dynamic.
    """
    file = Path(source.model)
    stated = ports(file)
    known = pipelines.find(stated.inputs, stated.outputs)
    if known is not None:
        text = (pipelines.FOLDER / f"{known.name}.toml").read_text(encoding="utf-8")
        return Proposal(f'model = "{file.name}"\n{text}', f"the ready-made pipeline {known.name}")
    imported = frontend.load(file, source.bind, source.states)
    graph = imported.graph
    inputs, outputs = ({n: graph.shape(n) for n in names} for names in (graph.inputs, graph.outputs))
    text = guesses.propose(file.name, inputs, outputs, source.bind)
    try:
        compose([Stage(graph, pipelines.load_text(text, file.with_suffix(".toml")))])
        origin = "guessed from the shapes of the model; lines with a ? are to be checked"
    except DiagnosticError as error:
        found = "; ".join([error.diagnostics[0].message, *imported.notes])
        origin = f"guessed from the shapes of the model, and not complete: {found}"
    return Proposal(text, origin)
