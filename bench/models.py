"""The published models beside the project: each built as it is, streamed through the generated C, and compared.

    python -m bench.models [NAME ...] [--preset f32] [--shared ../shared] [--output bench/models.json]

For every model and preset: the folder is built and tested as `mcu-quant build` and `mcu-quant test` do it, on
recordings, with the state carried. Models that bring scales of their own are built on those instead of in s8, and are
measured in steps of the scale of their outputs, too. A rounding that falls the other way in an early layer of a deep
one moves its output by several steps; how many, onnxruntime tells by running it without its own optimisations.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime

from mcu_quant import api, ops, qdq
from mcu_quant.api import stages
from mcu_quant.compare import Reference, excerpts
from mcu_quant.emulator.folder import FolderSession
from mcu_quant.ir import Array, Graph
from mcu_quant.report.document import Document

HERE = Path(__file__).resolve().parent
SHARED = HERE.parent.parent / "shared"
PRESETS = ("f32", "f16", "s8")
BOARD = "nucleo_h743zi2"
INTEGERS = ("s8", "s16")

#: Frames of which steps are counted at least: few frames of a deep model say little.
STEP_FRAMES = 6

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
    #: for models on their own scales: part of all outputs that are within one step of onnxruntime's
    within_one_step: float | None
    #: mean distance from onnxruntime's outputs in steps, and that of onnxruntime without optimisations
    steps_off: float | None
    reference_steps_off: float | None
    flash_bytes: int
    ram_bytes: int


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
    made = api.build(api.BuildRequest(source, BOARD, folder, api.PrecisionRequest(preset), data=ranges))
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
        **(_steps(model, folder, streamed, frames) if preset == "qdq" else _NO_STEPS),
        flash_bytes=made.report["flash"]["total_bytes"],
        ram_bytes=made.report["ram"]["total_bytes"],
    )


def parametrised(graph: Graph) -> set[str]:
    """Names of operators that have parameters: constant arrays of reals."""

    def is_table(name: str) -> bool:
        value = graph.constants.get(name)
        return value is not None and value.dtype.kind == "f" and value.size > 1

    return {op.name for op in graph.operators if ops.has_choice(op, graph) and any(map(is_table, op.inputs))}


_NO_STEPS = {"within_one_step": None, "steps_off": None, "reference_steps_off": None}


def _steps(model: stages.Model, folder: Path, streamed: Path, frames: int) -> dict[str, float | None]:
    """How far the outputs of a folder are from onnxruntime's, in steps of the model's own scale."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(str(model.file), options, providers=["CPUExecutionProvider"])
    reference, names = Reference(model.file, model.graph, model.scalars), list(model.graph.outputs)
    ours, theirs = [], []
    with FolderSession(folder, sanitize=False) as session:
        for clip, count in excerpts(stages.clips(model, streamed), max(frames, STEP_FRAMES)):
            for feeds in islice(clip, count):
                wanted = reference.run(feeds)
                for name, made, other in zip(names, session.run(names, feeds), plain.run(names, feeds), strict=True):
                    at = _in_steps(model.graph, name, wanted[name])
                    ours.append(np.abs(_in_steps(model.graph, name, made) - at).ravel())
                    theirs.append(np.abs(_in_steps(model.graph, name, other) - at).ravel())
    off, reference_off = np.concatenate(ours), np.concatenate(theirs)
    # a thousandth for values that came through floats
    near = float(np.mean(off < 1.001))
    return {
        "within_one_step": near,
        "steps_off": float(round(off.mean(), 3)),
        "reference_steps_off": float(round(reference_off.mean(), 3)),
    }


def _in_steps(graph: Graph, output: str, value: Array) -> Array:
    """An output in steps of its scale, or of that of the sigmoid's input it is made of."""
    real, producer, scales = np.asarray(value, np.float64), graph.producer(), qdq.scales(graph)
    if graph.types[output].dtype != "float32":
        return real
    if producer[output].op == "Sigmoid":
        real, output = np.log(real / (1.0 - real)), producer[output].inputs[0]
    return np.asarray(real / scales[output].scale)


def presets_of(name: str, shared: Path = SHARED) -> tuple[str, ...]:
    """Presets to build a model in."""
    model = stages.read(api.Source(shared / "models" / f"{name}.onnx"))
    return ("f32", "f16", "qdq") if qdq.is_quantised(model.graph) else PRESETS


def line(row: Row) -> str:
    """A row of the table."""
    formats = " ".join(f"{n} {f}" for f, n in row.formats.items())
    near = "" if row.within_one_step is None else f"{100 * row.within_one_step:.1f} %"
    off = "" if row.steps_off is None else f"{row.steps_off:.2f}/{row.reference_steps_off:.2f}"
    integers = f"{row.weighted - len(row.in_floats)}/{row.weighted}"
    return (
        f"{row.model:28}{row.preset:7}{row.frames:6}{row.snr_db:8.1f}  {row.worst[:26]:28}{row.mismatches:5}"
        f"{integers:>9}{near:>9}{off:>12}"
        f"{row.flash_bytes / 1024:9.0f}{row.ram_bytes / 1024:8.0f}  {formats}"
    )


HEADING = (
    f"{'model':28}{'preset':7}{'frames':>6}{'dB':>8}  {'of':28}{'diff':>5}{'integer':>9}{'one step':>9}"
    f"{'steps/ORT':>12}"
    f"{'flash KiB':>9}{'RAM KiB':>8}  operators"
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
