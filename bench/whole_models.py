"""Executed instructions of whole models per frame, per core and plan, and where they go.

    python -m bench.whole_models --models ../shared/models --model dtln_stage1 --core m4 --plan s8

The folder is generated as `mcu-quant build` does it and its binary is the one that would be flashed. Without --models
the small models of bench/small_models.py are counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from bench.kernels import BOARDS
from bench.small_models import MODELS as SMALL
from mcu_quant import boards, codegen, footprint, memory, texts
from mcu_quant.api import stages
from mcu_quant.api.stages import Model, PrecisionRequest, Source
from mcu_quant.data import Clips
from mcu_quant.emulator import qemu
from mcu_quant.emulator.qemu_folder import Executed, QemuFolderSession

REAL = ("dtln_stage1", "gtcrn_stream", "silero_vad_16k", "kwt1_mfcc", "mlperf_tiny_dscnn")
PLANS = ("s8", "f16", "f32")
#: Frames that are run; the figures are their mean.
FRAMES = 2


@dataclass(frozen=True)
class Measured:
    """A model in a plan on a core. `overhead_share` is what is not an operator's own computation, as a part of all."""

    model: str
    core: str
    plan: str
    isa: str
    compiler: str
    instructions_per_frame: int
    overhead_share: float
    conversions: int
    copies: int
    schedule: int
    flash_bytes: int
    ram_bytes: int
    stack_high_water_bytes: int
    #: instructions by type of operator, the largest first
    operators: Mapping[str, int]


def measure(model: Model, core: str, plan: str) -> Measured:
    """Build a model for a core and count some frames of made-up input.

    Raises:
        DiagnosticError: as `mcu-quant build`, and MQ601 if a tool is missing.
    """
    board = boards.load(BOARDS[core])
    target, machine = stages.target(board), qemu.target_of(board)
    planned = stages.choose(model, target, PrecisionRequest(plan), None)
    program = stages.lowered(model, planned.plan, target).program
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        context = codegen.Context("net", model.graph.name, board.name, "", codegen.Vectors({}, {}))
        texts.write(folder, codegen.generate(program, memory.plan(program), context))
        executed, stack = _run(folder, machine, planned.clips)
        sizes = footprint.measure(folder, board)
    return Measured(
        model.graph.name,
        core,
        plan,
        program.isa,
        qemu.compiler_version(machine),
        executed.per_frame,
        round(executed.overhead_share, 4),
        executed.conversions,
        executed.copies,
        executed.schedule,
        sizes.flash_bytes,
        sizes.static_ram_bytes,
        stack,
        _by_type(model, executed),
    )


def _run(folder: Path, machine: qemu.QemuTarget, clips: Clips) -> tuple[Executed, int]:
    with QemuFolderSession(folder, machine, trace=False) as session:
        for feeds in islice(next(iter(clips)), FRAMES):
            session.run(None, feeds)
        return session.executed(), session.stack_bytes


def _by_type(model: Model, executed: Executed) -> dict[str, int]:
    types = {op.name: op.op for op in model.graph.operators}
    found: dict[str, int] = defaultdict(int)
    for operator, count in executed.operators.items():
        found[types[operator]] += count
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def read(folder: Path | None, names: Iterable[str], scratch: Path) -> Iterator[Model]:
    """Models of a folder by name, or the small ones."""
    for name in names:
        path = folder / f"{name}.onnx" if folder else SMALL[name](scratch / f"{name}.onnx")
        yield stages.read(Source(path))


def everything(models: Iterable[Model], cores: Iterable[str], plans: Iterable[str] = PLANS) -> Iterator[Measured]:
    """Every model on every core in every plan that the core offers."""
    chosen = [(c, p) for c in cores for p in plans if p != "f16" or boards.load(BOARDS[c]).offers_f16]
    for model in models:
        for core, plan in chosen:
            yield measure(model, core, plan)


def line(m: Measured) -> str:
    shares = ", ".join(f"{op} {100 * n / m.instructions_per_frame:.1f} %" for op, n in list(m.operators.items())[:4])
    return (
        f"{m.model:20} {m.core:7} {m.plan:4} {m.instructions_per_frame:>11} per frame, overhead "
        f"{100 * m.overhead_share:.1f} %, {m.flash_bytes} B flash, {m.ram_bytes} B RAM, "
        f"{m.stack_high_water_bytes} B stack; {shares}"
    )


def as_dict(m: Measured) -> dict[str, object]:
    return asdict(m)


def main() -> int:
    parser = argparse.ArgumentParser(description="Executed instructions of whole models.")
    parser.add_argument("--models", type=Path, help="folder of .onnx files; default: small models made on the spot")
    parser.add_argument("--model", action="append", help="name of a file without .onnx; may be repeated")
    parser.add_argument("--core", choices=list(BOARDS), action="append", help="may be repeated; default: all")
    parser.add_argument("--plan", action="append", help="a preset; may be repeated; default: s8, f16, f32")
    parser.add_argument("--json", action="store_true", help="objects as in bench/results.json")
    given = parser.parse_args()
    names = given.model or (REAL if given.models else list(SMALL))
    with tempfile.TemporaryDirectory() as scratch:
        models = read(given.models, names, Path(scratch))
        for m in everything(models, given.core or list(BOARDS), given.plan or PLANS):
            print(json.dumps(as_dict(m)) if given.json else line(m), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
