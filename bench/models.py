"""The published models beside the project: each built as it is, streamed through the generated C, and compared.

    python -m bench.models [NAME ...] [--preset f32] [--shared ../shared] [--output bench/models.json]

For every model and preset: the folder is built and tested as `mcu-quant build` and `mcu-quant test` do it, on
recordings, with the state carried. Models that bring scales of their own are built on those instead of in s8, and are
measured in steps of their outputs, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from mcu_quant import api, ops, qdq
from mcu_quant.api import stages
from mcu_quant.compare import Reference, excerpts
from mcu_quant.emulator.folder import FolderSession
from mcu_quant.ir import Graph
from mcu_quant.report.document import Document

HERE = Path(__file__).resolve().parent
SHARED = HERE.parent.parent / "shared"
PRESETS = ("f32", "f16", "s8")
BOARD = "nucleo_h743zi2"
INTEGERS = ("s8", "s16")

#: Frames that are streamed of models that stream, and multiply-accumulates after which it is enough.
FRAMES = 120
MACS = 5_000_000_000


@dataclass(frozen=True)
class Speech:
    """Recordings under audio/: what ranges are taken from, and what is streamed."""

    ranges: str
    streamed: str


_NOISY = Speech("calibration", "valentini/noisy")
_WORDS = Speech("kws", "kws")
#: By the beginning of a model's name.
_SPEECH: Mapping[str, Speech] = {
    "armkws": _WORDS,
    "kwt1": _WORDS,
    "mlperf_tiny_dscnn": _WORDS,
    "mlperf_tiny_sww": Speech("kws", "kws_stream_marvin_10s.wav"),
}


@dataclass(frozen=True)
class Row:
    """What was found of one model in one preset."""

    model: str
    preset: str
    frames: int
    #: the output or state that is farthest from onnxruntime's
    worst: str
    snr_db: float
    #: integer edges that differ from their specification
    mismatches: int
    #: operators by format
    formats: Mapping[str, int]
    #: operators that have parameters, and those of them that are not computed in integers, with the reason
    weighted: int
    in_floats: Mapping[str, str]
    #: part of all outputs that are within one step of onnxruntime's, for models on their own scales
    within_one_step: float | None
    flash_bytes: int
    ram_bytes: int
    build_s: float


def names(shared: Path = SHARED) -> list[str]:
    """All models."""
    return sorted(p.stem for p in (shared / "models").glob("*.onnx"))


def speech(name: str, shared: Path = SHARED) -> tuple[Path, Path]:
    """Recordings for the ranges of a model, and for streaming through it."""
    found = next((s for n, s in _SPEECH.items() if name.startswith(n)), _NOISY)
    return shared / "audio" / found.ranges, shared / "audio" / found.streamed


def measure(name: str, preset: str, folder: Path, shared: Path = SHARED, frames: int = FRAMES) -> Row:
    """Build a model in a preset into a folder, stream frames through its C, and compare.

    Raises:
        DiagnosticError: whatever stands in the way.
    """
    ranges, streamed = speech(name, shared)
    source = api.Source(shared / "models" / f"{name}.onnx")
    began = time.monotonic()
    made = api.build(api.BuildRequest(source, BOARD, folder, api.PrecisionRequest(preset), data=ranges))
    built_s = time.monotonic() - began
    macs = sum(op["macs"] for op in made.report["operators"])
    frames = max(1, min(frames, MACS // max(1, macs)))
    tested = api.test_folder(api.TestRequest(folder, data=streamed, frames=frames))
    found = {**tested.accuracy.outputs, **tested.accuracy.states}
    worst = min(found, key=lambda n: found[n].snr_db)
    model = stages.read(source)
    weighted = [op for op in made.report["operators"] if op["name"] in parametrised(model.graph)]
    return Row(
        model=name,
        preset=preset,
        frames=tested.accuracy.frames,
        worst=worst,
        snr_db=round(found[worst].snr_db, 1),
        mismatches=len(tested.mismatches),
        formats={f: n for f, n in made.report["plan"]["formats"].items() if n},
        weighted=len(weighted),
        in_floats={op["name"]: op["reason"] for op in weighted if op["format"] not in INTEGERS},
        within_one_step=_within_one_step(model, folder, streamed, frames) if preset == "qdq" else None,
        flash_bytes=made.report["flash"]["total_bytes"],
        ram_bytes=made.report["ram"]["total_bytes"],
        build_s=round(built_s, 1),
    )


def parametrised(graph: Graph) -> set[str]:
    """Names of operators that have parameters: constant arrays of reals."""

    def is_table(name: str) -> bool:
        value = graph.constants.get(name)
        return value is not None and value.dtype.kind == "f" and value.size > 1

    return {op.name for op in graph.operators if ops.has_choice(op, graph) and any(map(is_table, op.inputs))}


def _within_one_step(model: stages.Model, folder: Path, streamed: Path, frames: int) -> float:
    """Part of the outputs of a folder that are at most one step of the model's own scale from onnxruntime's."""
    reference = Reference(model.file, model.graph, model.scalars)
    steps = {name: _step(model.graph, name) for name in model.graph.outputs}
    near: list[np.ndarray] = []
    with FolderSession(folder, sanitize=False) as session:
        for clip, count in excerpts(stages.clips(model, streamed), frames):
            session.reset()
            reference.reset()
            for feeds in islice(clip, count):
                wanted = reference.run(feeds)
                for name, value in zip(model.graph.outputs, session.run(list(model.graph.outputs), feeds), strict=True):
                    off = np.abs(np.asarray(value, np.float64) - wanted[name])
                    near.append(np.ravel(off <= 1.0001 * steps[name]))
    return float(np.mean(np.concatenate(near)))


def _step(graph: Graph, output: str) -> float:
    """One step of an output: 1 for whole numbers, else of the last scale before it that the model has."""
    if graph.types[output].dtype != "float32":
        return 1.0
    scales, producer = qdq.scales(graph), graph.producer()
    while output not in scales:
        output = next(i for i in producer[output].inputs if i not in graph.constants)
    return scales[output].scale


def presets_of(name: str, shared: Path = SHARED) -> tuple[str, ...]:
    """Presets to build a model in."""
    model = stages.read(api.Source(shared / "models" / f"{name}.onnx"))
    return ("f32", "f16", "qdq") if qdq.is_quantised(model.graph) else PRESETS


def line(row: Row) -> str:
    """A row of the table."""
    formats = " ".join(f"{n} {f}" for f, n in row.formats.items())
    near = "" if row.within_one_step is None else f"{100 * row.within_one_step:7.2f} %"
    integers = f"{row.weighted - len(row.in_floats)}/{row.weighted}"
    return (
        f"{row.model:28}{row.preset:7}{row.frames:6}{row.snr_db:8.1f}  {row.worst[:26]:28}{row.mismatches:5}"
        f"{integers:>9}{near:>11}{row.flash_bytes / 1024:9.0f}{row.ram_bytes / 1024:8.0f}{row.build_s:7.1f}  {formats}"
    )


HEADING = (
    f"{'model':28}{'preset':7}{'frames':>6}{'dB':>8}  {'of':28}{'diff':>5}{'integer':>9}{'one step':>11}"
    f"{'flash KiB':>9}{'RAM KiB':>8}{'s':>7}  operators"
)


def everything(chosen: Sequence[str], presets: Sequence[str], shared: Path = SHARED) -> Iterator[Row]:
    """The rows of the models, one by one."""
    for name in chosen:
        for preset in [p for p in presets_of(name, shared) if not presets or p in presets]:
            with tempfile.TemporaryDirectory() as scratch:
                yield measure(name, preset, Path(scratch) / name, shared)


def main() -> int:
    parser = argparse.ArgumentParser(description="Every published model through the generated C, against onnxruntime.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--preset", action="append", default=[], help="may be repeated; default: all")
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with models/ and audio/")
    parser.add_argument("--output", type=Path, help="write the rows; those of other models and presets are kept")
    given = parser.parse_args()
    print(HEADING)
    for row in everything(given.names or names(given.shared), given.preset, given.shared):
        print(line(row), flush=True)
        for name, reason in row.in_floats.items() if row.preset in ("s8", "qdq") else ():
            print(f"    in floats: {name}: {reason}")
        if given.output:
            _write(given.output, row)
    return 0


def _write(path: Path, row: Row) -> None:
    """Put a row into the file in the place of that of the same model and preset."""
    rows: list[Document] = json.loads(path.read_text()) if path.exists() else []
    kept = [r for r in rows if (r["model"], r["preset"]) != (row.model, row.preset)]
    rows = sorted([*kept, asdict(row)], key=lambda r: (r["model"], r["preset"]))
    path.write_text("[\n" + ",\n".join(f" {json.dumps(r)}" for r in rows) + "\n]\n")


if __name__ == "__main__":
    sys.exit(main())
