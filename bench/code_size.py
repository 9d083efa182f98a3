"""Compile every library function for every core and write what it occupies to mcu_quant/tables/code_size.json.

    python -m bench.code_size

The table is what reports use where a board's compiler is not installed; with the compiler they link the folder instead.
Nothing in it is typed by hand: functions are measured alone; what a call in the schedule costs is fitted to whole
folders of the models in bench/small_models.py, and so is what they pull in of the C library.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.small_models import MODELS
from mcu_quant import boards, calibrate, codegen, data, frontend, memory
from mcu_quant.boards import Board
from mcu_quant.emulator.folder import read_interface
from mcu_quant.emulator.library import headers
from mcu_quant.footprint import C_FLAGS, deepest, linked
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.passes import optimise
from mcu_quant.paths import PACKAGE, firmware
from mcu_quant.precision import presets
from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.variants import sources, variant

PRESETS = ("f32", "f16", "s8")


def function_size(compiler: str, flags: tuple[str, ...], path: Path, scratch: Path) -> dict[str, int]:
    """Flash bytes of one object file, and the deepest stack inside it."""
    made = scratch / "function.o"
    include = [f"-I{i}" for i in [firmware() / "include", *sorted({h.parent for h in headers()})]]
    command = [compiler, *C_FLAGS, *flags, "-fcallgraph-info=su", *include, "-c", str(path), "-o", str(made)]
    subprocess.run(command, check=True)
    size = compiler.removesuffix("gcc") + "size"
    shown = subprocess.run([size, str(made)], capture_output=True, text=True, check=True).stdout
    text, initialised, *_ = shown.splitlines()[1].split()
    stack = deepest(made.with_suffix(".ci").read_text(), path.stem.split("__")[0])
    return {"flash_bytes": int(text) + int(initialised), "stack_bytes": stack}


def folders(scratch: Path) -> list[Path]:
    """Firmware folders of the benchmark models in the uniform presets."""
    made = []
    for name, build in MODELS.items():
        graph = optimise(frontend.load(build(scratch / f"{name}.onnx")).graph)
        inputs = {n: graph.types[n] for n in graph.inputs}
        stats = calibrate.calibrate(graph, data.load(None, None, inputs), max_frames=50)
        for preset in PRESETS:
            plan = presets.make(graph, preset, Target())
            plan = PrecisionPlan(plan.model, plan.preset, plan.operators, stats.ranges())
            program = lower(graph, plan)
            prefix = f"{name}_{preset}"
            context = codegen.Context(prefix, name, "", "", codegen.Vectors({}, {}))
            folder = scratch / prefix
            for path, text in codegen.generate(program, memory.plan(program), context).items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
            made.append(folder)
    return made


def schedule(board: Board, compiler: str, made: list[Path], functions: dict[str, dict[str, int]]) -> dict[str, Any]:
    """What surrounds the kernels: bytes per call (least squares), C library and stack (largest seen)."""
    calls, rest, library, stack = [], [], [], []
    for folder in made:
        footprint = linked(folder, board, compiler)
        text = (folder / f"{folder.name}.c").read_text()
        structs = 4 * len(re.findall(r"^    \.\w+ = ", text, flags=re.M))
        calls.append(len(read_interface(folder)["steps"]))
        rest.append(footprint.code_bytes - sum(footprint.kernels.values()) - structs)
        library.append(footprint.library_bytes)
        used = [functions[n]["stack_bytes"] for n in footprint.kernels if n in functions]
        stack.append(footprint.stack_bytes - max(used))
    slope, offset = np.polyfit(calls, rest, 1)
    return {
        "call_bytes": round(float(slope), 2),
        "schedule_bytes": round(float(offset)),
        "library_bytes": max(library),
        "schedule_stack_bytes": max(stack),
        "fitted_to_folders": len(made),
    }


def main() -> int:
    by_core = {b.core.name: b for b in boards.all_boards()}
    table: dict[str, object] = {}
    version = ""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        made = folders(scratch)
        for core, board in sorted(by_core.items()):
            compiler = shutil.which(f"{board.compiler.triple}-gcc")
            if compiler is None:
                print(f"{board.compiler.triple}-gcc is not installed: nothing was written", file=sys.stderr)
                return 1
            version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
            flags = board.compiler.gcc_flags
            functions = {n: function_size(compiler, flags, variant(n, "scalar"), scratch) for n in sorted(sources())}
            table[core] = {"functions": functions, **schedule(board, compiler, made, functions)}
            print(f"{core}: {len(functions)} functions", file=sys.stderr)
    target = PACKAGE / "tables" / "code_size.json"
    target.parent.mkdir(exist_ok=True)
    document = {"compiler": version.splitlines()[0], "flags": C_FLAGS, "cores": table}
    target.write_text(json.dumps(document, indent=1) + "\n")
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
