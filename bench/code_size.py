"""Compile every library function for every core and write what it occupies to mcu_quant/tables/code_size.json.

    python -m bench.code_size
    python -m bench.code_size --core rv32imc          one core again, the others as they are

The table is what sizes are predicted from before anything is compiled. Nothing in it is typed by hand: functions are
compiled alone; what they need of the C library is asked of the linker, function by function; what a call in the
schedule costs is fitted to whole folders of the models in bench/small_models.py, from above.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from elftools.elf.elffile import ELFFile
from scipy.optimize import linprog

from bench.small_models import MODELS, Builder
from mcu_quant import boards, codegen, memory, size_table, texts
from mcu_quant.api import stages
from mcu_quant.api.stages import PrecisionRequest, Source
from mcu_quant.boards import KERNEL_ISAS, Board
from mcu_quant.emulator.library import headers
from mcu_quant.footprint import C_FLAGS, LIBRARY_STACK_BYTES, LINK_FLAGS, deepest
from mcu_quant.paths import firmware
from mcu_quant.variants import sources

PRESETS = ("f32", "f16", "s8")
SHF_ALLOC = 2
#: First words of the names of sections.
IN_FLASH = ("text", "rodata", "data", "ARM.ex", "init", "fini", "eh_frame", "srodata", "sdata")
IN_RAM = ("data", "bss", "sdata", "sbss")


@dataclass(frozen=True)
class Tools:
    """The compiler of a board, and a folder for what it makes."""

    board: Board
    compiler: str
    scratch: Path

    def compile(self, path: Path, *flags: str) -> Path:
        """The object file of a C file."""
        made = self.scratch / f"{path.stem}.o"
        include = [f"-I{i}" for i in [firmware() / "include", *sorted({h.parent for h in headers()})]]
        command = [self.compiler, *C_FLAGS, *self.board.compiler.gcc_flags, *flags, *include]
        subprocess.run([*command, "-c", str(path), "-o", str(made)], check=True)
        return made


def flash(made: Path) -> int:
    """Bytes of an object file that go to flash, each section on its own boundary."""
    with made.open("rb") as stream:
        parts = [
            s for s in ELFFile(stream).iter_sections() if s["sh_flags"] & SHF_ALLOC and s["sh_type"] != "SHT_NOBITS"
        ]
        return sum(-(-s["sh_size"] // s["sh_addralign"]) * s["sh_addralign"] for s in parts if s["sh_size"])


# --- functions of our own library -----------------------------------------------------------------------------------


def function(tools: Tools, path: Path) -> dict[str, Any]:
    """Flash bytes of one object file, the deepest stack inside it, and the functions that it needs of others."""
    made = tools.compile(path, "-fcallgraph-info=su")
    graph = made.with_suffix(".ci").read_text()
    with made.open("rb") as stream:
        symbols = ELFFile(stream).get_section_by_name(".symtab").iter_symbols()
        needs = sorted(s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name)
    return {
        "flash_bytes": flash(made),
        "stack_bytes": deepest(graph, path.stem.split("__")[0]),
        "needs": needs,
        "by_pointer": "__indirect_call" in graph,
    }


# --- what they need of the C library --------------------------------------------------------------------------------


def members(tools: Tools, needed: str) -> dict[str, list[int]]:
    """Members of archives that the linker takes for a function: bytes of flash and of RAM by name."""
    stem = tools.scratch / f"with-{needed}"
    source, elf, map_ = stem.with_suffix(".c"), stem.with_suffix(".elf"), stem.with_suffix(".map")
    source.write_text("int main(void) { return 0; }\n")
    options = [*tools.board.compiler.libraries, *LINK_FLAGS, f"-Wl,--undefined={needed}", f"-Wl,-Map={map_}"]
    command = [tools.compiler, *tools.board.compiler.gcc_flags, *options, str(source)]
    subprocess.run([*command, "-lm", "-o", str(elf)], check=True, capture_output=True)
    found: dict[str, list[int]] = {}
    text = map_.read_text().partition("Linker script and memory map")[2]
    for section, size, member in re.findall(
        r"^ \.(ARM\.ex|\w+)\S*\s+0x[0-9a-f]+\s+0x([0-9a-f]+) \S*\((\S+)\)$", text, flags=re.M
    ):
        sizes = found.setdefault(member, [0, 0])
        # what the linker puts on a boundary of four bytes
        bytes_ = -(-int(size, 16) // 4) * 4
        sizes[0] += bytes_ if section in IN_FLASH else 0
        sizes[1] += bytes_ if section in IN_RAM else 0
    return {m: sizes for m, sizes in found.items() if any(sizes)}


def library(tools: Tools, needs: Iterable[str]) -> dict[str, Any]:
    """By function of the C library which members of its archives come with it, and what each occupies."""
    wanted = sorted(needs)
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(wanted, pool.map(partial(members, tools), wanted), strict=True))
    sizes = {m: s for taken in found.values() for m, s in taken.items()}
    return {"functions": {n: sorted(taken) for n, taken in found.items()}, "members": dict(sorted(sizes.items()))}


# --- the schedule ---------------------------------------------------------------------------------------------------


def deep(path: Path, blocks: int) -> Path:
    """A model of many small operators, whose schedule is long, and whose second half needs all of the first."""
    b = Builder("deep", blocks)
    x, width, kept = "x", 24, []
    for i in range(blocks):
        x = b.node("Conv", [x, b.weight(f"C{i}", width, width, 3), b.weight(f"B{i}", width)], pads=[1, 1])
        y = b.node("Sigmoid", [x])
        y = b.node("Mul", [x, y])
        parts = [f"left{i}", f"right{i}"]
        b.node("Split", [y], *parts, axis=1)
        x = b.node("Concat", [b.node("Tanh", parts[:1]), parts[1]], axis=1)
        x = b.node("Add", [x, y])
        if i < blocks // 2:
            kept.append(x)
        elif kept:
            x = b.node("Add", [x, kept.pop()])
    b.node("Relu", [x], "y")
    return b.save(path, {"x": (1, width, 80)}, {"y": (1, width, 80)})


def folders(scratch: Path) -> Mapping[str, list[Path]]:
    """Firmware folders of made-up models in the uniform presets, by instruction set."""
    builders = {**MODELS, **{f"deep{n}": partial(deep, blocks=n) for n in (2, 6, 30)}}
    read = {name: stages.read(Source(build(scratch / f"{name}.onnx"))) for name, build in builders.items()}
    made: dict[str, list[Path]] = {}
    for board in {boards.available_isa(b): b for b in boards.all_boards()}.values():
        target = stages.target(board)
        for name, model in read.items():
            for preset in PRESETS if board.offers_f16 else ("f32", "s8"):
                plan = stages.choose(model, target, PrecisionRequest(preset), None).plan
                program = stages.lowered(model, plan, target).program
                folder = scratch / f"{name}_{preset}_{target.isa}"
                context = codegen.Context("net", name, "", "", codegen.Vectors({}, {}))
                texts.write(folder, codegen.generate(program, memory.plan(program), context))
                made.setdefault(target.isa, []).append(folder)
    return made


#: The compiler lays out long schedules with many edges alive as it likes; the made-up ones are only so long. What does
#: not grow with the schedule needs no margin.
MARGIN, STACK_MARGIN = 1.2, 2.0
#: An argument is an instruction and often its literal; on the stack it takes one more.
LEAST_BYTES = (0.0, 5.0, 2.0, 0.0)


def schedule(tools: Tools, made: Sequence[Path]) -> dict[str, Any]:
    """Bytes of a schedule and of the program around it, and its stack, per thing in it (`size_table.Schedule`)."""
    rows, wanted, stacks = [], [], []
    for folder in made:
        text = size_table.Schedule.read(folder)
        include = [f"-I{folder}", f"-I{folder / 'mq'}", f"-I{folder / 'selftest'}"]
        compiled = [tools.compile(folder / "net.c", "-fcallgraph-info=su", *include)]
        graph = compiled[0].with_suffix(".ci").read_text()
        compiled.append(tools.compile(folder / "selftest" / "footprint.c", *include))
        rows.append(text)
        wanted.append(sum(map(flash, compiled)) - text.parameter_bytes)
        stacks.append(deepest(graph, "net_run") - LIBRARY_STACK_BYTES)
    return {
        "schedule": from_above([r.features for r in rows], wanted, MARGIN, LEAST_BYTES),
        "schedule_stack": from_above([r.stack_features for r in rows], stacks, STACK_MARGIN, (0.0, 0.0, 0.0)),
    }


def from_above(
    features: Sequence[Sequence[int]], wanted: Sequence[int], margin: float, least: Sequence[float]
) -> list[float]:
    """Coefficients, each at least so much, that are nowhere below what is wanted; a margin on what grows."""
    a, b = np.array(features, float), np.array(wanted, float)
    solved = linprog(a.sum(axis=0), A_ub=-a, b_ub=-b, bounds=[(low, None) for low in least])
    assert solved.success, solved.message
    fixed, *growing = solved.x.tolist()
    return [float(f"{v:.4g}") for v in (fixed, *(margin * v for v in growing))]


# --- the table ------------------------------------------------------------------------------------------------------


def measured(board: Board, made: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """Everything about one core."""
    compiler = shutil.which(f"{board.compiler.triple}-gcc")
    assert compiler
    with tempfile.TemporaryDirectory() as scratch:
        tools = Tools(board, compiler, Path(scratch))
        able = KERNEL_ISAS[: KERNEL_ISAS.index(boards.available_isa(board)) + 1]
        files = [f[isa] for f in sources().values() for isa in able if isa in f]
        with ThreadPoolExecutor(2) as pool:
            functions = {
                p.stem: found for p, found in zip(files, pool.map(partial(function, tools), files), strict=True)
            }
        needs = {n for f in functions.values() for n in f["needs"] if not n.startswith("mq_")}
        around = schedule(tools, made[boards.available_isa(board)])
        return {**around, "functions": functions, "library": library(tools, needs | size_table.OF_SCHEDULE)}


def rendered(document: Mapping[str, Any]) -> str:
    """JSON with a line per function."""
    cores = []
    for core, about in document["cores"].items():
        lines = [f'   "{n}": {json.dumps(f)}' for n, f in about["functions"].items()]
        rest = {k: v for k, v in about.items() if k != "functions"}
        functions = ",\n".join(lines)
        cores.append(f'  "{core}": {json.dumps(rest)[:-1]}, "functions": {{\n{functions}\n  }}}}')
    head = {k: v for k, v in document.items() if k != "cores"}
    return json.dumps(head)[:-1] + ', "cores": {\n' + ",\n".join(cores) + "\n}}\n"


def _version(compiler: str) -> str:
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0]


def main() -> int:
    # of several boards one that has the very core, and not one that it stands for
    found = sorted(boards.all_boards(), key=lambda b: b.core.name == b.size_core)
    every = {b.size_core: b for b in found if b.size_core not in size_table.STANDS_FOR}
    parser = argparse.ArgumentParser(description="Sizes of every library function on every core.")
    parser.add_argument("--core", choices=sorted(every), action="append", help="only these, may be repeated")
    chosen = parser.parse_args().core
    by_core = {core: board for core, board in every.items() if not chosen or core in chosen}
    missing = [t for t in {f"{b.compiler.triple}-gcc" for b in by_core.values()} if not shutil.which(t)]
    if missing:
        print(f"{', '.join(missing)} is not installed: nothing was written", file=sys.stderr)
        return 1
    versions = sorted({_version(f"{b.compiler.triple}-gcc") for b in every.values()})
    cores = json.loads(size_table.TABLE.read_text())["cores"] if chosen else {}
    with tempfile.TemporaryDirectory() as name:
        made = folders(Path(name))
        for core, board in sorted(by_core.items()):
            cores[core] = measured(board, made)
            print(f"{core}: {len(cores[core]['functions'])} functions", file=sys.stderr)
    size_table.TABLE.write_text(
        rendered({"compilers": versions, "flags": C_FLAGS, "cores": dict(sorted(cores.items()))})
    )
    print(size_table.TABLE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
