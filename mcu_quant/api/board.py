"""A folder's self-test on its board: built, flashed, run, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mcu_quant import boards, selftest_log
from mcu_quant.api import folder
from mcu_quant.api.stages import Progress, quiet
from mcu_quant.boards import Board
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator import qemu
from mcu_quant.emulator.folder import read_interface
from mcu_quant.flash import image, reader, tools
from mcu_quant.flash.reader import Serial
from mcu_quant.flash.tools import Tool
from mcu_quant.program import Purpose
from mcu_quant.report.document import Document
from mcu_quant.selftest_log import Run


@dataclass(frozen=True)
class FlashRequest:
    """A folder whose self-test shall run on its board.

    `elf` is a program that holds the self-test already, `more` are C files that replace its weak functions.
    """

    folder: Path
    #: None: the first that is installed and knows the board
    tool: str | None = None
    probe: str = ""
    elf: Path | None = None
    more: tuple[Path, ...] = ()
    clock_hz: int | None = None
    serial: Serial | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Prepared:
    """What `flash` would run."""

    tool: str
    board: str
    elf: Path
    commands: tuple[tuple[str, ...], ...]

    def as_dict(self) -> Document:
        """Keys of `mcu-quant flash --dry-run --format json`."""
        return {
            "tool": self.tool,
            "board": self.board,
            "elf": str(self.elf),
            "commands": [list(command) for command in self.commands],
        }


@dataclass(frozen=True, eq=False)
class FlashResult:
    """What the self-test found, and cycles per frame: of each operator, of conversions, of copies."""

    prepared: Prepared
    run: Run
    log: str
    operators: Mapping[str, int]
    conversions: int
    copies: int
    board_clock_hz: int
    diagnostics: tuple[Diagnostic, ...] = field(default_factory=tuple)

    @property
    def exit_status(self) -> int:
        """0 if the self-test passed."""
        return max((d.exit_status for d in self.diagnostics), default=0)

    @property
    def weights_intact(self) -> bool:
        """Whether the constants on the board are those that were generated."""
        return self.run.weights_crc32 == self.run.expected_crc32

    def as_dict(self) -> Document:
        """Keys of `mcu-quant flash --format json`."""
        run = self.run
        return {
            **self.prepared.as_dict(),
            "passed": run.passed,
            "counter": run.counter,
            "clock_hz": run.clock_hz,
            "frames": run.frames,
            "cycles": run.frame.cycles if run.frame else None,
            "operators": dict(self.operators),
            "conversions": self.conversions,
            "copies": self.copies,
            "stack_bytes": run.stack_bytes,
            "weights_intact": self.weights_intact,
            "outputs": {str(i): asdict(o) for i, o in run.outputs.items()},
            "diagnostics": [d.as_dict() for d in self.diagnostics],
        }


def prepare(request: FlashRequest, *, dry: bool = False, progress: Progress = quiet) -> Prepared:
    """Choose the tool and build the program. A `dry` preparation needs no tool to be installed.

    Raises:
        DiagnosticError: MQ703, MQ501, MQ601, MQ602, MQ606.
    """
    manifest = folder.read_manifest(request.folder)
    board = boards.load(manifest.board, optimise=manifest.optimise)
    tool = _tool(request, board, dry)
    progress(f"building the self-test for {board.id}")
    elf = request.elf or _built(request, board, tool)
    if not elf.is_file():
        help_ = "give the program that your project linked"
        raise DiagnosticError(Diagnostic("MQ606", str(elf), "there is no such file", help=help_))
    steps = tool.steps(tools.Job(board, elf, request.probe))
    return Prepared(tool.name, board.id, elf, tuple(step.argv for step in steps))


def _tool(request: FlashRequest, board: Board, dry: bool) -> Tool:
    if not dry:
        return tools.choose(request.tool, board)
    wanted = [tools.TOOLS[request.tool]] if request.tool else [t for t in tools.PROBES if not t.unknown(board)]
    if not wanted:
        return tools.choose(None, board)
    tools.raise_for(wanted[0], board, installed=False)
    return next((t for t in wanted if t.installed), wanted[0])


def _built(request: FlashRequest, board: Board, tool: Tool) -> Path:
    if tool is tools.QEMU:
        emulator = board.emulator("qemu")
        placed = emulator is not None and emulator.same_memory_map
        return image.build_emulated(request.folder, qemu.target_of(board), request.more, placed)
    return image.build(request.folder, board, request.more, request.clock_hz)


def flash(request: FlashRequest, progress: Progress = quiet) -> FlashResult:
    """Flash the self-test, wait for its log and read it.

    Raises:
        DiagnosticError: as `prepare`; MQ606 if flashing fails, MQ607 if no log comes, MQ506 if it is not whole.
    """
    prepared = prepare(request, progress=progress)
    manifest = folder.read_manifest(request.folder)
    board = boards.load(manifest.board, optimise=manifest.optimise)
    tool = tools.TOOLS[prepared.tool]
    progress(f"flashing with {tool.name}, and waiting for the self-test")
    steps = tool.steps(tools.Job(board, prepared.elf, request.probe))
    log = reader.run(tool, steps, request.timeout_s, request.serial)
    runs, problems = selftest_log.read(log, tool.name)
    if not runs:
        raise DiagnosticError(problems)
    run = runs[-1]
    interface = read_interface(request.folder)
    operators, conversions, copies = _by_operator(run, interface["steps"])
    found = (*problems, *_verdict(request, run))
    return FlashResult(prepared, run, log, operators, conversions, copies, board.clock.hz, found)


def _by_operator(run: Run, steps: list[dict[str, str]]) -> tuple[dict[str, int], int, int]:
    """Cycles of each operator's own calls, of conversions and of copies."""
    operators: dict[str, int] = {}
    others = {Purpose.CONVERT.value: 0, Purpose.COPY.value: 0}
    for index, measured in run.steps.items():
        purpose, operator = steps[index]["purpose"], steps[index]["operator"]
        if purpose in others:
            others[purpose] += measured.cycles
        else:
            operators[operator] = operators.get(operator, 0) + measured.cycles
    return operators, others[Purpose.CONVERT.value], others[Purpose.COPY.value]


def _verdict(request: FlashRequest, run: Run) -> list[Diagnostic]:
    where = str(request.folder)
    made = folder.read_manifest(request.folder).files.get(f"{run.model}.c", "")
    if made[: selftest_log.SCHEDULE_DIGITS] != run.schedule:
        message = "the self-test on the board is of another build of this folder"
        return [Diagnostic("MQ607", where, message, help="flash the program that was built from it")]
    found = []
    if run.weights_crc32 != run.expected_crc32:
        message = (
            f"the constants on the board have CRC {run.weights_crc32}, they were generated with {run.expected_crc32}"
        )
        found.append(Diagnostic("MQ604", where, message, help="flash again; then suspect the flash or its wait states"))
    for index, output in run.outputs.items():
        if output.differ:
            message = f"{output.differ} of {output.of} values differ from the emulator's"
            help_ = "compile with -ffp-contract=off and without -ffast-math; report it if that is so"
            found.append(Diagnostic("MQ604", f"{where}: output {index}", message, help=help_))
    if not run.passed and not found:
        found.append(Diagnostic("MQ604", where, "the self-test failed", help="look at its log: --log FILE"))
    return found
