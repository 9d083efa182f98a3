"""The emulator on this machine against onnxruntime: processor time for the same frames.

    python -m bench.host --models ../shared/models [--model dtln_stage1] [--plan s8] [--frames 200] [--write]

The folder that `mcu-quant build` makes, with kernels in portable C, is compiled with -O2, without sanitizers, and runs
in a process of its own, fed through pipes. onnxruntime runs the model's file in one thread with its optimisations. Both
get the same frames, states carried. Times are those of the processor, which other processes hardly change; they are
printed and, with --write, recorded in bench/host.json, never asserted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.small_models import MODELS as SMALL
from bench.whole_models import PLANS, REAL, read
from mcu_quant import codegen, memory, texts
from mcu_quant.api import stages
from mcu_quant.api.stages import Model, PrecisionRequest
from mcu_quant.compare import Reference
from mcu_quant.data import Clips, Frame
from mcu_quant.emulator.folder import FolderSession, compile_folder

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "host.json"


@dataclass(frozen=True)
class Measured:
    """Milliseconds of a processor per frame."""

    model: str
    plan: str
    frames: int
    emulator_ms: float
    onnxruntime_ms: float

    @property
    def ratio(self) -> float:
        """Below 1 the emulator is faster."""
        return self.emulator_ms / self.onnxruntime_ms


def measure(model: Model, plan: str, frames: int) -> Measured:
    """Run the same frames in both."""
    target = stages.target(None)
    planned = stages.choose(model, target, PrecisionRequest(plan), None)
    program = stages.lowered(model, planned.plan, target).program
    fed = list(itertools.islice(_repeated(planned.clips), frames))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        context = codegen.Context("net", model.graph.name, "host", "", codegen.Vectors({}, {}))
        texts.write(folder, codegen.generate(program, memory.plan(program), context))
        emulator = _emulator(folder, fed)
    return Measured(model.graph.name, plan, frames, _ms(emulator, frames), _ms(_onnxruntime(model, fed), frames))


def _repeated(clips: Clips) -> Iterator[Frame]:
    """Frames without end: of all clips, again and again."""
    every = [frame for clip in clips for frame in clip]
    return itertools.cycle(every)


def _emulator(folder: Path, fed: Sequence[Frame]) -> float:
    """Seconds that the process of the folder took."""
    compile_folder(folder, sanitize=False)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with FolderSession(folder, sanitize=False) as session:
        session.reset()
        for feeds in fed:
            session.run(None, feeds)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def _onnxruntime(model: Model, fed: Sequence[Frame]) -> float:
    """Seconds of this process, the first frame not counted."""
    reference = Reference(model.file, model.graph, model.scalars, model.imported.stream, threads=1)
    reference.run(fed[0])
    reference.reset()
    start = time.process_time()
    for feeds in fed:
        reference.run(feeds)
    return time.process_time() - start


def _ms(seconds: float, frames: int) -> float:
    return round(1e3 * seconds / frames, 4)


def line(m: Measured) -> str:
    return (
        f"{m.model:20} {m.plan:4} emulator {m.emulator_ms:9.3f} ms, onnxruntime {m.onnxruntime_ms:9.3f} ms per frame, "
        f"ratio {m.ratio:.2f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Processor time of the emulator and of onnxruntime.")
    parser.add_argument("--models", type=Path, help="folder of .onnx files; default: small models made on the spot")
    parser.add_argument("--model", action="append", help="name of a file without .onnx; may be repeated")
    parser.add_argument("--plan", action="append", help="a preset; may be repeated; default: s8, f16, f32")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--write", action="store_true", help=f"record in bench/{RESULTS.name}")
    given = parser.parse_args()
    names = given.model or (REAL if given.models else list(SMALL))
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for model in read(given.models, names, Path(scratch)):
            for plan in given.plan or PLANS:
                found.append(measure(model, plan, given.frames))
                print(line(found[-1]), flush=True)
    if given.write:
        RESULTS.write_text("[\n" + ",\n".join(f" {json.dumps(asdict(m))}" for m in found) + "\n]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
