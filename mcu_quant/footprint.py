"""What a folder occupies on a board: linked with the board's own compiler where there is one, else estimated.

The size probe of the folder (`selftest/footprint.c`) is linked as the folder's CMake file links it; flash and static
RAM are the ELF's, split by symbol. Stack is the deepest path of the compiler's own call graph.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from math import prod
from pathlib import Path

from mcu_quant import formats, size_table
from mcu_quant.boards import Board
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator.folder import read_interface

#: As in templates/CMakeLists.txt.j2; tests/test_footprint.py links both ways and compares.
C_FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections")
PROBE_FLAGS = ("-O2",)
LINK_FLAGS = ("-nostartfiles", "-Wl,--gc-sections", "-Wl,--entry=main")

#: Bytes of stack allowed for a function of the C library (memcpy, soft float), which has no call-graph record.
#: Estimated: newlib's and libgcc's helpers for Armv6-M save at most 8 registers and use few locals.
LIBRARY_STACK_BYTES = 64


@dataclass(frozen=True)
class Footprint:
    """Bytes in flash and RAM. `origin` is "linked" or "estimated"; `compiler` names what linked it.

    weights: constant arrays; code: schedule, kernels and their parameters; library: what the model pulls in of libc and
    libgcc; static_ram: arena, state and the caller's input and output buffers; stack: deepest path below `run`.
    """

    weights_bytes: int
    code_bytes: int
    library_bytes: int
    static_ram_bytes: int
    stack_bytes: int
    origin: str
    compiler: str = ""
    kernels: Mapping[str, int] = field(default_factory=dict)
    #: what was predicted of a linked program
    predicted: Footprint | None = None

    @property
    def ram_bytes(self) -> int:
        """Static RAM and stack."""
        return self.static_ram_bytes + self.stack_bytes

    @property
    def flash_bytes(self) -> int:
        """What the linker puts into flash."""
        return self.weights_bytes + self.code_bytes + self.library_bytes


def measure(folder: Path, board: Board) -> Footprint:
    """Link the folder's size probe for a board and read its ELF; estimate where the board's compiler is not installed.

    Raises:
        DiagnosticError: MQ602 if the folder does not compile for the board.
    """
    compiler = shutil.which(f"{board.compiler.triple}-gcc")
    predicted = estimated(folder, board)
    return replace(linked(folder, board, compiler), predicted=predicted) if compiler else predicted


# --- linked --------------------------------------------------------------------------------------------------------


def linked(folder: Path, board: Board, compiler: str) -> Footprint:
    """Sizes of the linked probe and the stack of its call graph."""
    prefix = read_interface(folder)["prefix"]
    with tempfile.TemporaryDirectory(prefix="mcu-quant-") as scratch:
        elf = _link(folder, prefix, board, compiler, Path(scratch))
        graph = "\n".join(p.read_text() for p in sorted(Path(scratch).glob("*.ci")))
        sizes = sections(elf)
        symbols = list(_symbols(elf))
    weights = set(re.findall(r"(\w+)\[\d+\];", (folder / f"{prefix}_weights.h").read_text()))
    in_flash = [s for s in symbols if s[2] == "flash"]
    weight_bytes = sum(size for name, size, _, _ in in_flash if name in weights)
    ours = {p.name for p in [*folder.glob("*.c"), *folder.glob("mq/*.c"), *folder.glob("selftest/*.c")]}
    code = [
        (name, size)
        for name, size, _, file in in_flash
        if name not in weights and (file in ours or name.startswith(f"{prefix}_") or name == "main")
    ]
    code_bytes = sum(size for _, size in code)
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    return Footprint(
        weights_bytes=weight_bytes,
        code_bytes=code_bytes,
        library_bytes=sizes["flash"] - weight_bytes - code_bytes,
        static_ram_bytes=sizes["ram"],
        stack_bytes=deepest(graph, f"{prefix}_run"),
        origin="linked",
        compiler=version.splitlines()[0],
        kernels={n.removeprefix(f"{prefix}_"): s for n, s in sorted(code) if n.startswith(f"{prefix}_mq_")},
    )


def _link(folder: Path, prefix: str, board: Board, compiler: str, scratch: Path) -> Path:
    sources = [
        folder / f"{prefix}.c",
        folder / f"{prefix}_weights.c",
        *sorted((folder / "mq").glob("*.c")),
        folder / "selftest" / "footprint.c",
    ]
    include = [f"-I{folder}", f"-I{folder / 'mq'}", f"-I{folder / 'selftest'}"]
    flags = [*C_FLAGS, *board.compiler.gcc_flags]
    objects = [scratch / f"{i}-{p.stem}.o" for i, p in enumerate(sources)]

    def compile_(source: Path, made: Path) -> None:
        own = [*PROBE_FLAGS, *board.compiler.gcc_flags] if source.name == "footprint.c" else flags
        _run([compiler, *own, "-fcallgraph-info=su", *include, "-c", str(source), "-o", str(made)], folder)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_, sources, objects))
    # the probe against a library, as CMake links it: the order in which the linker takes objects decides the padding
    *library, probe = map(str, objects)
    archive, elf = scratch / "model.a", scratch / "footprint.elf"
    _run([f"{board.compiler.triple}-ar", "qc", str(archive), *library], folder)
    _run([compiler, *flags, *board.compiler.libraries, *LINK_FLAGS, probe, str(archive), "-lm", "-o", str(elf)], folder)
    return elf


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = "\n".join(done.stderr.splitlines()[:12])
        raise DiagnosticError(Diagnostic("MQ602", str(folder), message, help="report this with the model"))


def sections(elf: Path) -> dict[str, int]:
    """Bytes of flash and static RAM as `size` counts them: text and data; data and bss.

    A section .stack is what a linker script sets aside without knowing the program, whose own stack is counted.
    """
    from elftools.elf.elffile import ELFFile

    found = {"flash": 0, "ram": 0}
    with elf.open("rb") as stream:
        for section in ELFFile(stream).iter_sections():
            header = section.header
            if not header.sh_flags & 2 or section.name == ".stack":  # SHF_ALLOC
                continue
            writable, empty = bool(header.sh_flags & 1), header.sh_type == "SHT_NOBITS"
            if not empty:
                found["flash"] += header.sh_size
            if writable:
                found["ram"] += header.sh_size
    return found


def _symbols(elf: Path) -> Iterable[tuple[str, int, str, str]]:
    """(name, bytes, "flash" or "ram", source file of a local symbol) of every object and function."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    with elf.open("rb") as stream:
        image = ELFFile(stream)
        table = image.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection), "the linker kept no symbols"
        file = ""
        for symbol in table.iter_symbols():
            kind = symbol.entry.st_info.type
            if kind == "STT_FILE":
                file = symbol.name
            if kind not in ("STT_OBJECT", "STT_FUNC") or symbol.entry.st_shndx == "SHN_UNDEF":
                continue
            section = image.get_section(symbol.entry.st_shndx)
            place = "ram" if section.header.sh_flags & 1 else "flash"
            local = symbol.entry.st_info.bind == "STB_LOCAL"
            yield symbol.name, symbol.entry.st_size, place, file if local else ""


def deepest(graph: str, root: str) -> int:
    """Stack bytes of the deepest path below a function, from GCC's -fcallgraph-info=su (VCG text).

    A call through a pointer counts as the deepest function whose address the kernels take (mq_fn_*, and
    mq_two_outputs_* of depthwise convolutions); a function without a record counts as LIBRARY_STACK_BYTES.
    """
    own: dict[str, int] = {}
    for title, label in re.findall(r'node: \{ title: "([^"]+)" label: "([^"]*)"', graph):
        size = re.search(r"(\d+) bytes", label)
        if size:
            own[title] = int(size[1])
    calls: dict[str, set[str]] = {}
    for source, target in re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', graph):
        calls.setdefault(source, set()).add(target)
    pointed = {f for f in own if re.search(r"(^|_)mq_fn_|(^|_|:)mq_two_outputs_", f)}

    @cache
    def depth(function: str) -> int:
        targets = pointed if function == "__indirect_call" else calls.get(function, set())
        below = max((depth(t) for t in targets), default=0)
        own_bytes = 0 if function == "__indirect_call" else own.get(function, LIBRARY_STACK_BYTES)
        return own_bytes + below

    entry = next((f for f in own if f == root or f.endswith(f":{root}")), root)
    return depth(entry)


# --- predicted -----------------------------------------------------------------------------------------------------


def estimated(folder: Path, board: Board) -> Footprint:
    """Sizes before anything is compiled, from the text of the folder and the table of functions (`size_table.py`)."""
    interface = read_interface(folder)
    prefix = interface["prefix"]
    core = size_table.core(board.size_core)
    files = [p.stem for p in sorted((folder / "mq").glob("mq_*__*.c"))]
    schedule = size_table.Schedule.read(folder)
    kernels = {f.split("__")[0]: int(core.about(f)["flash_bytes"]) for f in files}
    library_flash, library_ram = core.library_bytes(files, schedule)
    ports = sum(formats.get(p["format"]).bytes * prod(p["shape"]) for p in interface["inputs"] + interface["outputs"])
    memory = re.findall(r"_(?:ARENA|STATE)_BYTES (\d+)", (folder / f"{prefix}.h").read_text())
    return Footprint(
        weights_bytes=_weights_bytes(folder / f"{prefix}_weights.h"),
        code_bytes=sum(kernels.values()) + size_table.schedule_bytes(schedule, core),
        library_bytes=library_flash,
        static_ram_bytes=-(-(ports + sum(map(int, memory)) + library_ram) // 8) * 8 + 8,
        stack_bytes=size_table.schedule_stack_bytes(schedule, core) + core.stack_bytes(files),
        origin="estimated",
        kernels=kernels,
    )


def _weights_bytes(header: Path) -> int:
    """Sum of the declared arrays, each padded to the 8 bytes of MQ_ALIGNED."""
    arrays = re.findall(r"extern const (\w+) \w+\[(\d+)\];", header.read_text())
    sizes = {f.c_type: f.bytes for f in formats.formats().values()}
    return sum(-(-sizes[c_type] * int(n) // 8) * 8 for c_type, n in arrays)
