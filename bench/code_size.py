"""Compile every library function for every core and write what it occupies to mcu_quant/data/code_size.json.

Run again after a change to firmware/: `python -m bench.code_size`. The table is what reports use where the board's
compiler is not installed; with the compiler they use the linked folder instead.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mcu_quant import boards
from mcu_quant.emulator.library import headers, sources, variant
from mcu_quant.footprint import C_FLAGS, LIBRARY_STACK_BYTES, deepest
from mcu_quant.paths import PACKAGE, firmware

#: Stack of a generated schedule: saved registers and spilled pointers. Measured as the largest over the example folders.
SCHEDULE_STACK_BYTES = 104


def function_size(compiler: str, flags: tuple[str, ...], path: Path, scratch: Path) -> dict[str, int]:
    """Flash bytes of one object file, and the deepest stack inside it."""
    made = scratch / "function.o"
    include = [f"-I{i}" for i in [firmware() / "include", *sorted({h.parent for h in headers()})]]
    command = [compiler, *C_FLAGS, *flags, "-fcallgraph-info=su", *include, "-c", str(path), "-o", str(made)]
    subprocess.run(command, check=True)
    size = compiler.removesuffix("gcc") + "size"
    text, data, *_ = subprocess.run([size, str(made)], capture_output=True, text=True, check=True).stdout.split("\n")[1].split()
    name = path.stem.split("__")[0]
    return {"flash_bytes": int(text) + int(data), "stack_bytes": deepest(made.with_suffix(".ci").read_text(), name)}


def library_bytes(core: str) -> int:
    """What models pull in of libc and libgcc: block moves everywhere, soft float where there is no FPU."""
    return 5200 if core == "cortex-m0plus" else 900


def main() -> int:
    by_core = {b.core.name: b for b in boards.all_boards()}
    table: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for core, board in sorted(by_core.items()):
            compiler = shutil.which(f"{board.compiler.triple}-gcc")
            if compiler is None:
                print(f"{core}: {board.compiler.triple}-gcc is not installed, skipped", file=sys.stderr)
                return 1
            functions = {
                name: function_size(compiler, board.compiler.gcc_flags, variant(name, "scalar"), Path(scratch))
                for name in sources()
            }
            table[core] = {
                "functions": functions,
                "library_bytes": library_bytes(core),
                "schedule_stack_bytes": SCHEDULE_STACK_BYTES + LIBRARY_STACK_BYTES,
            }
            print(f"{core}: {len(functions)} functions", file=sys.stderr)
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    target = PACKAGE / "data" / "code_size.json"
    target.write_text(json.dumps({"compiler": version, "flags": C_FLAGS, "cores": table}, indent=1) + "\n")
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
