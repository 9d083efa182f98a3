"""A firmware folder opened again: its manifest, its plan, and the model it was made from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mcu_quant import pipelines
from mcu_quant.api import folder
from mcu_quant.api.folder import PLAN, Manifest
from mcu_quant.api.stages import Problems, Source
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, Severity
from mcu_quant.precision import plan as plans
from mcu_quant.precision.plan import PrecisionPlan


@dataclass(frozen=True, eq=False)
class Opened:
    """A firmware folder with the model it was made from."""

    path: Path
    manifest: Manifest
    source: Source
    plan: PrecisionPlan
    diagnostics: tuple[Diagnostic, ...]

    @property
    def data(self) -> Path | None:
        """The calibration data of the build, if it is still there."""
        found = self.path / self.manifest.data if self.manifest.data else None
        return found if found is not None and found.exists() else None


def open_folder(path: Path, model: Path | None) -> Opened:
    """Read a folder's manifest and plan, and find its model.

    Raises:
        DiagnosticError: MQ703, MQ704 if the plan was edited, MQ705 if the model is not there or another one.
    """
    manifest = folder.read_manifest(path)
    problems = Problems()
    file = problems.attempt(lambda: _find_model(path, manifest, model))
    changed = folder.changed_files(path, manifest)
    notes = [_changed(path, name) for name in changed]
    problems.found += [d for d in notes if d.severity is Severity.ERROR]
    problems.raise_all()
    assert file is not None
    source = Source(
        file, manifest.bind, manifest.states, pipeline_of(path, manifest.pipeline), manifest.stream, manifest.audio
    )
    return Opened(path, manifest, source, plans.load(path / PLAN), tuple(notes))


def _changed(path: Path, name: str) -> Diagnostic:
    """An edited plan no longer describes the code; other edits show themselves in the test."""
    if name == PLAN:
        help_ = f"build again with --plan {path / PLAN}"
        return Diagnostic("MQ704", str(path / name), "was edited: the code was not made from it", help=help_)
    message = "differs from what was generated" if (path / name).exists() else "is missing"
    return Diagnostic("MQ704", str(path / name), message, help="build again", severity=Severity.WARNING)


def _find_model(path: Path, manifest: Manifest, model: Path | None) -> Path:
    file = model or Path(os.path.normpath(path.resolve() / manifest.model))
    help_ = "say where the model is: --model MODEL"
    if not file.is_file():
        raise DiagnosticError(Diagnostic("MQ705", str(file), "the model of this folder is not there", help=help_))
    if folder.sha256(file.read_bytes()) != manifest.model_sha256:
        message = "is not the model that this folder was made from: its hash differs"
        raise DiagnosticError(Diagnostic("MQ705", str(file), message, help=f"{help_}, or build again"))
    for name, digest in manifest.chain.items():
        before = file.parent / name
        if not before.is_file() or folder.sha256(before.read_bytes()) != digest:
            message = "the model in front of this one is not there, or not the one this folder was made from"
            raise DiagnosticError(Diagnostic("MQ705", str(before), message, help="put it back, or build again"))
    return file


def pipeline_of(path: Path, pipeline: str | None) -> str | None:
    """A pipeline of a manifest: paths are relative to the folder."""
    if pipeline is None or pipeline in pipelines.ready_made():
        return pipeline
    return os.path.normpath(path.resolve() / pipeline)
