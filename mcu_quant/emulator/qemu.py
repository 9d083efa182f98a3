"""An emulated core that runs bare programs: what it is compiled with, how it is started, and how it is talked to.

The program on it is `firmware/qemu/agent.c` with kernels or a generated model linked in. It writes and reads memory and
calls functions as it is told, over QEMU's standard input and output (semihosting). A plugin of the project's own counts
executed instructions; nothing is added to what is counted.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import TracebackType

import numpy as np

from mcu_quant.boards import Board
from mcu_quant.cache import cache_folder, cached
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator.library import host_compiler
from mcu_quant.footprint import C_FLAGS
from mcu_quant.ir import Array
from mcu_quant.paths import firmware

#: How many integer words and how many floats the agent passes to a function (`call_t` in agent.c).
WORDS, FLOATS = 32, 8
_WRITE, _READ, _CALL = 1, 2, 3


@dataclass(frozen=True)
class QemuTarget:
    """An emulated machine and how to compile for its core.

    `libraries` are the linker's options for the C library; `float_registers` says whether floats are passed in
    registers of their own. `clang` is the clang that compiles instead of GCC, which then only links.
    """

    machine: str
    core: str
    triple: str
    flags: tuple[str, ...]
    libraries: tuple[str, ...]
    float_registers: bool
    clang: str = ""

    @property
    def name(self) -> str:
        """As reports write it."""
        return f"qemu:{self.machine}"

    @property
    def riscv(self) -> bool:
        """Not an Arm core."""
        return self.triple.startswith("riscv")

    @property
    def emulator(self) -> str:
        """The program that emulates the machine."""
        return "qemu-system-riscv32" if self.riscv else "qemu-system-arm"

    @property
    def compiler(self) -> str:
        """The cross compiler's name."""
        return self.clang or self.linker

    @property
    def linker(self) -> str:
        """The compiler that links."""
        return f"{self.triple}-gcc"


def target_of(board: Board) -> QemuTarget:
    """The machine that runs a board's code.

    Raises:
        DiagnosticError: MQ601 if the board file names none.
    """
    emulator = board.emulator("qemu")
    if emulator is None:
        message = "QEMU has no machine that runs this board's code"
        raise DiagnosticError(Diagnostic("MQ601", board.id, message, help="test on the host: --on host"))
    return board_target(board, emulator.machine)


def board_target(board: Board, machine: str = "") -> QemuTarget:
    """How to compile for a board; without a machine it cannot be run here."""
    return QemuTarget(
        machine,
        board.core.name,
        board.compiler.triple,
        board.compiler.gcc_flags,
        board.compiler.libraries,
        board.compiler.float_registers,
    )


# --- tools ---------------------------------------------------------------------------------------------------------

_PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    "qemu-system-arm": "qemu-system-arm",
    "qemu-system-riscv32": "qemu-system-misc",
}


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        help_ = f"Debian, Ubuntu: apt install {_PACKAGES.get(name, name)}"
        raise DiagnosticError(Diagnostic("MQ601", name, f"{name} is not installed", help=help_))
    return found


def missing(target: QemuTarget) -> tuple[str, ...]:
    """Tools that this target needs and that are not installed."""
    needed = dict.fromkeys((target.compiler, target.linker, target.emulator))
    return tuple(t for t in needed if shutil.which(t) is None)


@cache
def plugin() -> Path:
    """The counting plugin, compiled for this machine.

    Raises:
        DiagnosticError: MQ601 without a compiler, MQ602 if it does not compile.
    """
    source = firmware() / "qemu" / "count_plugin.c"
    flags = ["-std=c99", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]
    command = [host_compiler(), *flags]
    made = _place("count_plugin.so", [*command, source.read_text()])
    return cached(made, partial(_compile, [*command, str(source)]))


def _place(name: str, parts: Iterable[str]) -> Path:
    """Where the result of these inputs is kept."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    return cache_folder() / "qemu" / f"{digest}-{name}"


def _compile(command: Sequence[str], output: Path) -> None:
    """Run a compiler."""
    done = subprocess.run([*command, "-o", str(output)], capture_output=True, text=True, check=False)
    if done.returncode:
        message = "\n".join(done.stderr.splitlines()[:12])
        raise DiagnosticError(Diagnostic("MQ602", output.name, message, help="report this with the model"))


# --- compiling -----------------------------------------------------------------------------------------------------


@cache
def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def compiler_version(target: QemuTarget) -> str:
    """The first line of what the target's compiler says of itself."""
    return _version(_tool(target.compiler))


def compile_objects(
    target: QemuTarget, sources: Sequence[Path], includes: Sequence[Path], flags: Sequence[str] = C_FLAGS
) -> list[Path]:
    """One object file per source, each compiled once per content of it and of all headers.

    Raises:
        DiagnosticError: MQ601 without the compiler, MQ602 if something does not compile.
    """
    compiler = _tool(target.compiler)
    core = _clang_flags(target) if target.clang else target.flags
    command = [compiler, *flags, *core, *(f"-I{i}" for i in includes), "-c"]
    headers = [h.read_text() for i in includes for h in sorted(i.glob("*.h"))]
    fixed = hashlib.sha256("\0".join([_version(compiler), *flags, *core, *headers]).encode()).hexdigest()

    def compiled(source: Path) -> Path:
        place = _place(f"{source.stem}.o", [fixed, source.name, source.read_text()])
        return cached(place, partial(_compile, [*command, str(source)]))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compiled, sources))


@cache
def _clang_flags(target: QemuTarget) -> tuple[str, ...]:
    """What clang needs to compile for a core: GCC's options but one, and where the headers of the C library are."""
    preprocess = [_tool(target.linker), *target.flags, "-E", "-Wp,-v", "-xc", os.devnull]
    said = subprocess.run(preprocess, capture_output=True, text=True, check=True).stderr
    found = [Path(line.strip()).resolve() for line in said.splitlines() if line.startswith(" /")]
    folders = [f for f in found if "gcc" not in f.parts]  # clang has its own of those
    own = [f for f in target.flags if f != "-mfp16-format=ieee"]
    return (f"--target={target.triple}", *own, *(f"-isystem{f}" for f in folders))


def link(target: QemuTarget, objects: Sequence[Path], *, agent: bool = True, script: Path | None = None) -> Path:
    """A program from the objects, start-up code and, unless told otherwise, the agent: for the machine, or as `script`
    lays it out.

    Raises:
        DiagnosticError: MQ601, MQ602.
    """
    own = firmware() / "qemu"
    start = [own / ("start_riscv.c" if target.riscv else "start_arm.c"), own / "semihosting.c"]
    start += [own / "agent.c"] if agent else []
    every = [*compile_objects(replace(target, clang=""), start, [own], ("-std=gnu99", "-O2")), *objects]
    scripts = [script] if script else [own / f"{target.machine}.ld", own / "sections.ld"]
    command = [
        _tool(target.linker),
        *target.flags,
        *target.libraries,
        "-nostartfiles",
        "-static",
        "-Wl,--no-gc-sections" if agent else "-Wl,--gc-sections",
        f"-L{own}",
    ]
    command += [f"-T{scripts[0]}", "-Wl,--no-warn-rwx-segments", *map(str, every), "-lm"]
    made = _place("program.elf", [*command, *(s.read_text() for s in scripts)])
    return cached(made, partial(_compile, command))


# --- running -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretch:
    """What ran outside of the watched functions at one place: a call of a function and everything it called.

    `before` are the instructions of the watched function since the last stretch.
    """

    before: int
    instructions: int


@dataclass(frozen=True)
class Called:
    """What came of a call: its result's word, bytes of stack used, and instructions executed, of the whole call and
    of each call that a watched function (`Machine(watch=...)`) made. Empty and 0 where nothing is counted.

    `profile`, where it was asked for, has a row [address, executed, branched away] per instruction of the call.
    """

    value: int
    stack_bytes: int
    instructions: int = 0
    stretches: tuple[Stretch, ...] = ()
    profile: Array | None = None


class Machine:
    """A running emulated core with a program of `link` on it. Use as a context manager, or call `close`.

    With `count`, every call tells how many instructions it executed; calls made by the function `watch` one by one.
    With `profile`, it also tells which.
    """

    def __init__(
        self, target: QemuTarget, elf: Path, *, count: bool = False, watch: str | None = None, profile: bool = False
    ) -> None:
        self.target = target
        self.elf = elf
        self.symbols, sizes = _symbols(elf)
        self._free = self.symbols["mq_free_start"]
        self._scratch = tempfile.TemporaryDirectory(prefix="mcu-quant-")
        self._records = Path(self._scratch.name) / "counts"
        self._seen = 0
        self._profiles = Path(self._scratch.name) / "profile" if profile else None
        self._seen_of_profiles = 0
        self._agent = (self.symbols["mq_call"], self.symbols["mq_call"] + sizes["mq_call"])
        self._count = count or profile
        command = [_tool(target.emulator), "-machine", target.machine, "-nodefaults", "-display", "none"]
        command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(elf)]
        if target.riscv:
            command += ["-bios", "none"]
        if self._count:
            ranges = [self._range(n, sizes) for n in ("mq_call", watch) if n]
            outputs = [f"out={self._records}", *([f"profile={self._profiles}"] if self._profiles else [])]
            command += ["-plugin", ",".join([str(plugin()), *outputs, *ranges])]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)

    def _range(self, function: str, sizes: Mapping[str, int]) -> str:
        low = self.symbols[function]
        return f"range={low}-{low + sizes[function]}"

    # --- memory ----------------------------------------------------------------------------------------------------

    def allocate(self, size: int) -> int:
        """Address of memory that nobody else uses, on a boundary of 16 bytes.

        Raises:
            DiagnosticError: MQ603 if the machine has no more.
        """
        address = self._free
        self._free += -(-size // 16) * 16
        if self._free > self.symbols["mq_free_end"]:
            message = f"the machine has no room for {size} bytes more"
            raise DiagnosticError(Diagnostic("MQ603", self.target.name, message, help="test on the host: --on host"))
        return address

    def release(self) -> None:
        """Everything that was allocated is free again."""
        self._free = self.symbols["mq_free_start"]

    def write(self, address: int, data: bytes) -> None:
        """Put bytes into the machine's memory."""
        self._send(struct.pack("<III", _WRITE, address, len(data)) + data)

    def read(self, address: int, size: int) -> bytes:
        """Bytes of the machine's memory."""
        self._send(struct.pack("<III", _READ, address, size))
        return self._receive(size)

    # --- calls -----------------------------------------------------------------------------------------------------

    def function(self, name: str) -> int:
        """The value of a pointer to a function."""
        return self.symbols[name] | (0 if self.target.riscv else 1)  # Thumb

    def call(self, function: str, arguments: Sequence[int | float]) -> Called:
        """Call a function: integers and pointers as int, f32 as float; up to 32 words and 8 floats.

        Raises:
            DiagnosticError: MQ603 if the core takes a fault or runs out of stack.
        """
        floats = [a for a in arguments if isinstance(a, float)] if self.target.float_registers else []
        words = [_word(a) for a in arguments if not (self.target.float_registers and isinstance(a, float))]
        if len(words) > WORDS or len(floats) > FLOATS:
            raise ValueError(f"{function} takes {len(arguments)} arguments, too many for the agent")
        words += [0] * (WORDS - len(words))
        floats += [0.0] * (FLOATS - len(floats))
        call = (self.function(function), *words, *floats)
        self._send(struct.pack(f"<III I{WORDS}I{FLOATS}f", _CALL, 0, 0, *call))
        value, stack = struct.unpack("<II", self._receive(8))
        room = self.symbols["mq_stack_top"] - self.symbols["mq_stack_bottom"]
        if stack >= room - 1024:
            raise DiagnosticError(Diagnostic("MQ603", function, f"uses more than the {room} bytes of stack"))
        return Called(value, stack, *self._counted(), self._profiled())

    def _profiled(self) -> Array | None:
        """What the last call executed: the second of the two records that it made, less the caller's own."""
        if not self._profiles:
            return None
        with self._profiles.open("rb") as stream:
            stream.seek(self._seen_of_profiles)
            data = np.frombuffer(stream.read(), np.uint64)
        self._seen_of_profiles += data.nbytes
        found = data[2 + 3 * int(data[0]) :].reshape(-1, 3)
        low, high = self._agent
        return found[(found[:, 0] < low) | (found[:, 0] >= high)]

    def _counted(self) -> tuple[int, tuple[Stretch, ...]]:
        """Instructions of the last call, and of each call that the watched function made."""
        if not self._count:
            return 0, ()
        with self._records.open("rb") as stream:
            stream.seek(self._seen)
            data = stream.read()
        self._seen += len(data)
        # entering mq_call, then every return to mq_call or to the watched function
        _, *records = np.frombuffer(data, np.uint64).reshape(-1, 3).tolist()
        instructions = 0
        stretches = []
        began = records[0][1]
        inside = False
        since = began
        for range_, left, entered in records:
            if inside and entered > left:
                stretches.append(Stretch(left - since, entered - left))
            inside = range_ != 0
            since = entered
            instructions = entered - began
        return instructions, tuple(stretches)

    # --- the process -----------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            self._stopped()

    def _receive(self, size: int) -> bytes:
        assert self._process.stdout
        data = self._process.stdout.read(size)
        if len(data) != size:
            self._stopped()
        return data

    def _stopped(self) -> None:
        """The emulator ended by itself: say what it said.

        Raises:
            DiagnosticError: MQ601 if it cannot load the plugin, else MQ603.
        """
        assert self._process.stderr
        self._process.wait(timeout=30)
        lines = self._process.stderr.read().decode(errors="replace").splitlines()
        said = "\n".join(line for line in lines if ": warning: " not in line)
        message = said[:2000] or f"exit status {self._process.returncode}"
        if "plugin" in said:
            help_ = "instructions are counted with QEMU 7 or 8, built with plugins as Debian's is"
            raise DiagnosticError(Diagnostic("MQ601", self.target.emulator, message, help=help_))
        raise DiagnosticError(Diagnostic("MQ603", self.target.name, message, help="report this with the model"))

    def close(self) -> None:
        """End the emulator."""
        assert self._process.stdin
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        self._scratch.cleanup()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _word(value: int | float) -> int:
    if isinstance(value, float):
        return int(np.float32(value).view(np.uint32))
    return value & 0xFFFFFFFF


@cache
def _symbols(elf: Path) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Addresses (without the Thumb bit) and sizes of all named symbols."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    addresses, sizes = {}, {}
    with elf.open("rb") as stream:
        image = ELFFile(stream)
        thumb = image["e_machine"] == "EM_ARM"
        table = image.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols():
            function = symbol.entry.st_info.type == "STT_FUNC"
            addresses[symbol.name] = symbol.entry.st_value & (~1 if thumb and function else ~0)
            sizes[symbol.name] = symbol.entry.st_size
    return addresses, sizes


def as_bytes(array: Array) -> bytes:
    """The bytes of an array as the machine stores it: little-endian, as this one."""
    return np.ascontiguousarray(array).tobytes()
