"""What the tool says when something is wrong: one value type, one catalogue of codes.

Every problem a user can meet is a `Diagnostic`. Functions that check something return all the diagnostics they
found; a caller that cannot go on raises `DiagnosticError` with the whole list, and the command line renders it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Errors stop; warnings and notes are said."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Code:
    """One entry of the catalogue: what `mcu-quant explain CODE` prints, and the exit status the code leads to."""

    title: str
    explanation: str
    exit_status: int


#: Exit status of findings about the model (unsupported, does not fit, below the asked quality).
FINDINGS = 1
#: Exit status of bad usage, bad input files and internal errors.
USAGE = 2

CATALOGUE: dict[str, Code] = {
    # MQ1xx: reading a model
    "MQ101": Code(
        "model file cannot be read",
        "The file is missing, truncated, or not an ONNX protobuf. Export the model again, or check the download. "
        "`python -c 'import onnx; onnx.checker.check_model(\"MODEL\")'` says what onnx itself thinks of it.",
        USAGE,
    ),
    "MQ102": Code(
        "external data is missing",
        "The model keeps weights in separate files beside the .onnx file, and one of them is not there. Copy the "
        "data files beside the model, or save the model with its weights inside.",
        USAGE,
    ),
    "MQ103": Code(
        "weight holds NaN or infinity",
        "A constant of the model is not finite. Such a model gives NaN for every input; the usual causes are a "
        "diverged training run or a conversion to float16 that overflowed.",
        USAGE,
    ),
    "MQ104": Code(
        "graph is cyclic or uses a value before it exists",
        "The nodes cannot be put in an order in which every input is computed before it is used.",
        USAGE,
    ),
    "MQ105": Code(
        "tensor has no elements",
        "A tensor has a dimension of size zero after all dimensions were bound. Bind the dimensions to the shapes "
        "the model runs at: --bind DIM=N.",
        USAGE,
    ),
    "MQ106": Code(
        "dimension is not bound",
        "Firmware has fixed shapes. A batch dimension is bound to 1 by itself; every other dynamic dimension, and "
        "every scalar input that decides control flow, needs --bind NAME=N.",
        USAGE,
    ),
    "MQ107": Code(
        "operator is not supported",
        "No operator of this name is implemented. `mcu-quant ops` lists what is, with the rules of each.",
        FINDINGS,
    ),
    "MQ108": Code(
        "operator is used in a way that is not supported",
        "The operator is implemented, but not with these attributes, shapes or types. The rule is quoted from the "
        "supported-operators page.",
        FINDINGS,
    ),
    "MQ109": Code(
        "state cannot be paired",
        "A cache output and a cache input were named as a pair, but do not exist or have different shapes.",
        USAGE,
    ),
    "MQ110": Code(
        "name to bind does not exist",
        "--bind names a dimension or an input that the model does not have.",
        USAGE,
    ),
    "MQ111": Code(
        "model is invalid",
        "The file is an ONNX model, but it breaks ONNX's own rules (a node with missing inputs, an unknown "
        "attribute, types that do not agree), so its meaning is not defined.",
        USAGE,
    ),
    "MQ112": Code(
        "shape is not known",
        "The shape of a value depends on data, or could not be inferred. Firmware needs every shape at build time.",
        FINDINGS,
    ),
    "MQ113": Code(
        "type of a value is not supported",
        "Firmware stores real numbers (float64, float16 and bfloat16 become formats of the plan), truth values and "
        "integers of 8 to 64 bits. Strings, sequences, complex numbers, and numbers of 2 or 4 bits or 8-bit floats "
        "have no place in it.",
        FINDINGS,
    ),
    "MQ114": Code(
        "layer cannot carry its state",
        "--stream names a recurrent layer or a loop that starts afresh in every run, to make it carry its state from "
        "run to run. That needs a layer that runs forwards in time and starts from constants.",
        USAGE,
    ),
    "MQ115": Code(
        "rewritten model is not the original",
        "With --verify, the imported and rewritten model is run beside onnxruntime on the original file. They differ "
        "by more than rounding. This is a defect of mcu-quant.",
        FINDINGS,
    ),
    # MQ3xx: plans
    "MQ301": Code(
        "plan names an operator that does not exist",
        "The plan was made for another model, or an operator was renamed. `mcu-quant inspect MODEL` lists the names.",
        USAGE,
    ),
    "MQ302": Code(
        "format is unknown",
        "The formats are f32, f16, s16 and s8.",
        USAGE,
    ),
    "MQ303": Code(
        "operator has no kernel for this format",
        "Not every operator exists in every format; `mcu-quant ops` lists the formats of each.",
        FINDINGS,
    ),
    "MQ304": Code(
        "plan file cannot be read",
        "The plan is not valid TOML or has keys that do not belong there.",
        USAGE,
    ),
    "MQ305": Code(
        "board does not offer this format",
        "f16 needs a core with a floating-point unit (conversion instructions at least).",
        FINDINGS,
    ),
    "MQ307": Code(
        "values do not fit the format",
        "8 bits span 48 dB, half precision ends at 65504. Powers of spectra, their roots and logarithms need f32; the "
        "message names the operators, and --set or the plan gives them another format.",
        FINDINGS,
    ),
    # MQ4xx: calibration and test data
    "MQ306": Code(
        "no plan keeps the limits",
        "The message says what the plan that comes nearest takes, and with which limits there is one: asked for as "
        "they are written, they lead to a plan.",
        FINDINGS,
    ),
    "MQ309": Code(
        "energy of this board is not known",
        "Energy is published power times estimated time. Where nobody published the power at the board's clock, the "
        "plan with least energy is still the one with least time; what it takes in millijoules cannot be said. A board "
        "file may state power, with its source.",
        FINDINGS,
    ),
    "MQ310": Code(
        "scores that say nothing",
        "A method of the first order scores a format by the gradient of a loss. The distance to the model's own "
        "outputs is least at the model's own weights, so its gradient there is zero and so are all scores. With labels "
        "the loss is that of the task: an .npz of the data holds arrays under the names of the outputs. `direct`, the "
        "default method, needs none.",
        FINDINGS,
    ),
    "MQ308": Code(
        "formats were not chosen by measuring",
        "Measuring every format of a model of this size takes long. A goal (--min-snr 30) asks for it all the same.",
        FINDINGS,
    ),
    "MQ401": Code(
        "data cannot be used",
        "The calibration or test data is missing, unreadable, or has another shape, rate or number of channels than "
        "the model and its pipeline need.",
        USAGE,
    ),
    "MQ402": Code(
        "calibrated without real data",
        "No --data was given, so ranges come from synthetic signals. Formats with integer scales can clip or waste "
        "bits on real audio. Pass --data FOLDER_OF_WAVS.",
        FINDINGS,
    ),
    "MQ403": Code(
        "pipeline description is wrong",
        "The TOML file that says how audio becomes model inputs has an unknown key, a missing key or a wrong value.",
        USAGE,
    ),
    # MQ5xx: boards
    "MQ501": Code(
        "board is unknown",
        "`mcu-quant boards` lists the boards. --board also takes the path of a board file.",
        USAGE,
    ),
    "MQ502": Code(
        "board file is wrong",
        "A key is unknown, missing, or of the wrong type. Every board file follows mcu_quant/schemas/board.json.",
        USAGE,
    ),
    "MQ503": Code(
        "model does not fit the board",
        "Flash or RAM is too small for this plan.",
        FINDINGS,
    ),
    "MQ504": Code(
        "model is too slow for the board",
        "A frame is estimated to take longer than the time until the next one.",
        FINDINGS,
    ),
    "MQ505": Code(
        "limit is exceeded",
        "A figure, or its change since an older report, goes beyond what --fail-on allows.",
        FINDINGS,
    ),
    "MQ506": Code(
        "measurements cannot be used",
        "The log of a self-test has no whole run, is of another board or build, or was made in an emulator, whose "
        "counters say nothing of a core's time.",
        USAGE,
    ),
    "MQ507": Code(
        "placement is not possible",
        "--place names a memory or an operator that is not there, or puts more into a memory than it holds. "
        "`mcu-quant boards BOARD` lists the memories.",
        USAGE,
    ),
    # MQ6xx: tools and emulation
    "MQ601": Code(
        "tool is missing",
        "A compiler or emulator is not installed. `mcu-quant doctor` says what is there and how to get the rest.",
        USAGE,
    ),
    "MQ602": Code(
        "generated code did not compile",
        "This is a defect of mcu-quant or of the compiler. The compiler's first messages are quoted.",
        USAGE,
    ),
    "MQ603": Code(
        "generated program stopped",
        "The program built from the folder ended before it answered, for example because a sanitizer found an error.",
        USAGE,
    ),
    "MQ604": Code(
        "outputs differ from the reference",
        "The generated C differs from onnxruntime, or an integer kernel from its specification, by more than allowed.",
        FINDINGS,
    ),
    "MQ606": Code(
        "board cannot be flashed",
        "The tool that flashes found no probe, does not know the chip or could not write to it, or nothing of ours "
        "starts on the board by itself. Its last lines are quoted; `mcu-quant flash --dry-run` shows its commands.",
        USAGE,
    ),
    "MQ607": Code(
        "board did not answer",
        "The program was flashed, but the log of its self-test did not come, or not to its end.",
        USAGE,
    ),
    # MQ7xx: output
    "MQ701": Code(
        "output cannot be written",
        "The folder cannot be created or written. Nothing was changed.",
        USAGE,
    ),
    "MQ702": Code(
        "output exists and was not made by mcu-quant",
        "The output folder holds files that this tool did not generate, so it is left alone. Choose another folder, "
        "or remove it yourself.",
        USAGE,
    ),
    "MQ703": Code(
        "folder is not a firmware folder",
        "The folder has no manifest.json of mcu-quant. Make one with `mcu-quant build`.",
        USAGE,
    ),
    "MQ704": Code(
        "firmware folder was changed",
        "A generated file differs from what the manifest records.",
        FINDINGS,
    ),
    "MQ705": Code(
        "model of the folder is not there",
        "A firmware folder is tested against the model it was made from. The model was moved, or replaced by another "
        "one. Say where it is: --model MODEL.",
        USAGE,
    ),
    # MQ9xx: the tool itself
    "MQ900": Code(
        "usage",
        "The command line is not right: an option is missing or has a wrong value.",
        USAGE,
    ),
    "MQ999": Code(
        "internal error",
        "A defect of mcu-quant. `--save-repro DIR` saves what is needed to reproduce it.",
        USAGE,
    ),
}


@dataclass(frozen=True)
class Diagnostic:
    """One problem: which rule, where, what, and what to do about it.

    `where` names the node, file, key or option; `rule` quotes the rule that is broken; `help` is the remedy.
    """

    code: str
    where: str
    message: str
    rule: str = ""
    help: str = ""
    severity: Severity = Severity.ERROR

    def __post_init__(self) -> None:
        if self.code not in CATALOGUE:
            raise ValueError(f"diagnostic code {self.code} is not in the catalogue")

    @property
    def exit_status(self) -> int:
        """What the process ends with because of this: 0 for warnings and notes."""
        return CATALOGUE[self.code].exit_status if self.severity is Severity.ERROR else 0

    def as_dict(self) -> dict[str, str]:
        """Plain strings, for JSON."""
        return {key: str(value) for key, value in asdict(self).items()}

    def __str__(self) -> str:
        lines = [f"{self.severity}[{self.code}] {self.where}: {self.message}"]
        if self.rule:
            lines.append(f"  rule: {self.rule}")
        if self.help:
            lines.append(f"  help: {self.help}")
        return "\n".join(lines)


class DiagnosticError(Exception):
    """Raised where work cannot go on; carries every problem found, never only the first."""

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        items = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        if not items:
            raise ValueError("a DiagnosticError needs at least one diagnostic")
        self.diagnostics: tuple[Diagnostic, ...] = items
        super().__init__("\n".join(str(d) for d in items))

    def __reduce__(self) -> tuple[type[DiagnosticError], tuple[tuple[Diagnostic, ...]]]:
        return DiagnosticError, (self.diagnostics,)  # so that it survives the way from another process

    @property
    def exit_status(self) -> int:
        """The highest of all."""
        return max(d.exit_status for d in self.diagnostics)


def raise_errors(diagnostics: Sequence[Diagnostic]) -> None:
    """Raise if any of them is an error; warnings and notes alone pass.

    Raises:
        DiagnosticError: with all diagnostics given, errors first.
    """
    if any(d.severity is Severity.ERROR for d in diagnostics):
        raise DiagnosticError(sorted(diagnostics, key=lambda d: list(Severity).index(d.severity)))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy for a mistyped name: the nearest known ones, or all of them when there are few."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    if 0 < len(names) <= 12:
        return "known: " + ", ".join(names)
    return ""
