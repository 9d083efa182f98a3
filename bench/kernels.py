"""Executed instructions of single kernels, per core.

    python -m bench.kernels                                     all kernels on all cores
    python -m bench.kernels --kernel fully_connected_s8 --shape 300,200 --core m4
    python -m bench.kernels --core m55 --compiler clang --cmsis-nn ../CMSIS-NN

A kernel is an operator and a format: fully_connected_s8. Counted is the whole call, from its first instruction to its
return, by the plugin in firmware/qemu/count_plugin.c; the count is that of one frame of seeded noise. With a checkout
of CMSIS-NN its function for the same shape is counted in the same run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from elftools.elf.elffile import ELFFile

from bench import cmsis_nn, programs
from mcu_quant import boards, ops
from mcu_quant.boards import available_isa
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator import qemu
from mcu_quant.emulator.qemu import QemuTarget
from mcu_quant.emulator.qemu_program import QemuProgramSession, kernel_objects, machine_for
from mcu_quant.library_sources import library_functions
from mcu_quant.ops import Sample, given, weight
from mcu_quant.program import Program, Purpose
from mcu_quant.variants import variant

#: A board with each core; what is measured is the core.
BOARDS = {
    "m0plus": "raspberry_pi_pico",
    "m4": "mps2_an386",
    "m7": "nucleo_h743zi2",
    "m33": "raspberry_pi_pico2",
    "m55": "mps3_an547",
}
#: And with those that are counted for estimates only.
OTHERS = {"m3": "mps2_an385", "rv32": "esp32_c3_devkitm_1", "rv32f": "gap9_evk"}
CORES = (*BOARDS, "rv32")
FORMATS = ("s8", "s16", "f16", "f32")
SHF_ALLOC = 2


@dataclass(frozen=True)
class Operator:
    """How to make an operator of a shape; the numbers of the shape, and the shape that is measured if none is given."""

    dimensions: str
    shape: tuple[int, ...]
    sample: Callable[..., Sample]


def _fully_connected(inputs: int, outputs: int) -> Sample:
    scale = inputs**-0.5
    parts = (given(1, inputs), weight(outputs, inputs, std=scale), weight(outputs))
    return Sample("Gemm", parts, {"transB": 1})


def _recurrent(onnx: str, gates: int) -> Callable[[int, int], Sample]:
    def sample(inputs: int, units: int) -> Sample:
        w = weight(1, gates * units, inputs, std=inputs**-0.5)
        r = weight(1, gates * units, units, std=units**-0.5)
        bias = weight(1, 2 * gates * units)
        more = {"linear_before_reset": 1} if onnx == "GRU" else {}
        return Sample(onnx, (given(1, 1, inputs), w, r, bias), {"hidden_size": units, **more})

    return sample


def _pointwise(height: int, width: int, channels: int, outputs: int) -> Sample:
    parts = (given(1, channels, height, width), weight(outputs, channels, 1, 1, std=channels**-0.5), weight(outputs))
    return Sample("Conv", parts)


def _conv(height: int, width: int, channels: int, outputs: int, rows: int, columns: int, stride: int) -> Sample:
    parts = (given(1, channels, height, width), weight(outputs, channels, rows, columns), weight(outputs))
    return Sample("Conv", parts, {"strides": [stride, stride], "auto_pad": "SAME_UPPER"})


def _depthwise(height: int, width: int, channels: int, rows: int, columns: int) -> Sample:
    parts = (given(1, channels, height, width), weight(channels, 1, rows, columns), weight(channels))
    return Sample("Conv", parts, {"group": channels, "auto_pad": "SAME_UPPER"})


def _conv_1d(length: int, channels: int, outputs: int, taps: int) -> Sample:
    parts = (given(1, channels, length), weight(outputs, channels, taps), weight(outputs))
    return Sample("Conv", parts, {"auto_pad": "SAME_UPPER"})


def _conv_transpose(height: int, width: int, channels: int, outputs: int, rows: int, columns: int) -> Sample:
    parts = (given(1, channels, height, width), weight(channels, outputs, rows, columns), weight(outputs))
    return Sample("ConvTranspose", parts, {"strides": [1, 2]})


def _matmul(rows: int, inner: int, columns: int) -> Sample:
    return Sample("MatMul", (given(rows, inner), given(inner, columns)))


def _softmax(rows: int, columns: int) -> Sample:
    return Sample("Softmax", (given(rows, columns, low=-4.0, high=4.0),))


def _layer_normalization(rows: int, columns: int) -> Sample:
    return Sample("LayerNormalization", (given(rows, columns), weight(columns), weight(columns)))


def _elementwise(onnx: str) -> Callable[[int], Sample]:
    return lambda size: Sample(onnx, (given(1, size), given(1, size)))


def _unary(onnx: str) -> Callable[[int], Sample]:
    return lambda size: Sample(onnx, (given(1, size, low=-4.0, high=4.0),))


OPERATORS: Mapping[str, Operator] = {
    "fully_connected": Operator("inputs,outputs", (257, 256), _fully_connected),
    "lstm": Operator("inputs,units", (256, 256), _recurrent("LSTM", 4)),
    "gru": Operator("inputs,units", (256, 256), _recurrent("GRU", 3)),
    "rnn": Operator("inputs,units", (256, 256), _recurrent("RNN", 1)),
    "pointwise_conv": Operator("height,width,channels,outputs", (25, 5, 64, 64), _pointwise),
    "conv": Operator("height,width,channels,outputs,rows,columns,stride", (49, 10, 1, 64, 10, 4, 2), _conv),
    "depthwise_conv": Operator("height,width,channels,rows,columns", (25, 5, 64, 3, 3), _depthwise),
    "conv_1d": Operator("length,channels,outputs,taps", (64, 64, 64, 3), _conv_1d),
    "conv_transpose": Operator("height,width,channels,outputs,rows,columns", (1, 33, 16, 16, 3, 3), _conv_transpose),
    "matmul": Operator("rows,inner,columns", (64, 64, 64), _matmul),
    "softmax": Operator("rows,columns", (64, 64), _softmax),
    "layer_normalization": Operator("rows,columns", (64, 64), _layer_normalization),
    "add": Operator("size", (4096,), _elementwise("Add")),
    "mul": Operator("size", (4096,), _elementwise("Mul")),
    "sigmoid": Operator("size", (4096,), _unary("Sigmoid")),
    "tanh": Operator("size", (4096,), _unary("Tanh")),
}


@dataclass(frozen=True)
class Measured:
    """One kernel of one shape on one core. `macs` or `elements` is what it does, whichever is the more telling.

    `flash_bytes` is code and constants of the functions themselves, without what they call in libgcc.
    """

    kernel: str
    shape: tuple[int, ...]
    core: str
    isa: str
    compiler: str
    instructions: int
    flash_bytes: int
    stack_bytes: int
    macs: int
    elements: int
    #: of the library's function for the same shape, compiled with the same compiler; where it was measured
    cmsis_nn_instructions: int | None = None

    @property
    def each(self) -> float:
        """Instructions per multiply-accumulate, or per element where there is none."""
        return self.instructions / (self.macs or self.elements)

    def as_dict(self) -> dict[str, object]:
        unused = "elements" if self.macs else "macs"
        return {k: v for k, v in asdict(self).items() if k != unused and v is not None}


def target_of(core: str, compiler: str = "") -> tuple[QemuTarget, str]:
    """The emulated machine of a core, and the fastest instruction set that kernels are written for.

    `compiler` is the name of a clang, or empty for the core's GCC.
    """
    board = boards.load((BOARDS | OTHERS)[core])
    return replace(qemu.target_of(board), clang=compiler), available_isa(board)


def compilers(core: str) -> tuple[str, ...]:
    """What a core's kernels are measured with if nothing is said: GCC, and for Helium also clang where there is one."""
    newest = next((c for c in (*(f"clang-{n}" for n in range(22, 13, -1)), "clang") if shutil.which(c)), None)
    return ("", newest) if core == "m55" and newest else ("",)


def measure(
    kernel: str, shape: tuple[int, ...], core: str, compiler: str = "", checkout: Path | None = None
) -> Measured:
    """Count one call; and one of CMSIS-NN, if there is a checkout of it and it has such a kernel.

    Raises:
        KeyError: if there is no such kernel.
        DiagnosticError: MQ303 if the operator has no such format, MQ601 if a tool is missing.
    """
    name, _, fmt = kernel.rpartition("_")
    sample = OPERATORS[name].sample(*shape)
    target, isa = target_of(core, compiler)
    program = programs.program(sample, fmt, isa)
    functions = library_functions(program)
    with machine_for(target, functions, isa, count=True) as machine:
        session = QemuProgramSession(program, machine)
        for feeds in programs.frames(sample, 1):
            session.run(None, feeds)
        calls = [(c, m) for c, m in zip(program.calls, session.called, strict=True) if c.purpose is Purpose.COMPUTE]
    counts = [ops.kernels()[c.kernel].counts(program, c) for c, _ in calls]
    used = {variant(c.kernel, isa).stem.rpartition("__")[2] for c, _ in calls}
    return Measured(
        kernel,
        shape,
        core,
        max(used, key=boards.KERNEL_ISAS.index),
        qemu.compiler_version(target),
        sum(m.instructions for _, m in calls),
        sum(map(_flash, kernel_objects(target, computing(program), isa))),
        max(m.stack_bytes for _, m in calls),
        sum(c.macs for c in counts),
        sum(c.elements for c in counts),
        cmsis_nn.count(checkout, target, kernel, shape) if checkout else None,
    )


def computing(program: Program) -> list[str]:
    """Functions of the library that the operator itself needs: not those that convert its input and output."""
    others = {c.kernel for c in program.calls if c.purpose is not Purpose.COMPUTE}
    used = {c.kernel for c in program.calls if c.purpose is Purpose.COMPUTE}
    return [f for f in library_functions(program) if f in used or f not in others]


def _flash(path: Path) -> int:
    with path.open("rb") as stream:
        sections = ELFFile(stream).iter_sections()
        return sum(s["sh_size"] for s in sections if s["sh_flags"] & SHF_ALLOC and s["sh_type"] == "SHT_PROGBITS")


def everything(cores: Iterable[str], compiler: str | None = None, checkout: Path | None = None) -> Iterator[Measured]:
    """Every kernel in its usual shape, in the formats that make sense on each core."""
    for name, operator in OPERATORS.items():
        for fmt in FORMATS:
            for core in cores:
                if fmt in ("s8", "s16") or core not in ("m0plus", "rv32"):
                    for one in compilers(core) if compiler is None else (compiler,):
                        yield measure(f"{name}_{fmt}", operator.shape, core, one, checkout)


def line(m: Measured) -> str:
    shape = ",".join(map(str, m.shape))
    per = "MAC" if m.macs else "element"
    compiler = "clang" if "clang" in m.compiler else "gcc"
    ours = (
        f"{m.kernel:24} {shape:20} {m.core:7} {m.isa:7} {compiler:6} {m.instructions:>10} {m.each:9.3f} per {per:8}"
        f"{m.flash_bytes:>6} B flash {m.stack_bytes:>4} B stack"
    )
    if m.cmsis_nn_instructions is None:
        return ours
    theirs = m.cmsis_nn_instructions / (m.macs or m.elements)
    return f"{ours}, CMSIS-NN {theirs:9.3f}, ratio {m.instructions / m.cmsis_nn_instructions:.2f}"


def chosen(parser: argparse.ArgumentParser, kernel: str, shape: str | None) -> tuple[int, ...]:
    """The shape to measure a kernel with; ends the program with a message if there is no such kernel or shape."""
    name, _, fmt = kernel.rpartition("_")
    if name not in OPERATORS or fmt not in FORMATS:
        known = f"an operator ({', '.join(OPERATORS)}) and a format ({', '.join(FORMATS)})"
        parser.error(f"--kernel: there is no {kernel!r}; a kernel is {known} joined by _: fully_connected_s8")
    operator = OPERATORS[name]
    if shape is None:
        return operator.shape
    numbers = shape.split(",")
    if len(numbers) != len(operator.shape) or not all(n.strip().isdecimal() and int(n) > 0 for n in numbers):
        usual = ",".join(map(str, operator.shape))
        parser.error(f"--shape: {name} takes {operator.dimensions}, whole numbers above 0, e.g. {usual}; not {shape!r}")
    return tuple(map(int, numbers))


def available(cores: Sequence[str] | None, compiler: str | None) -> list[str]:
    """Cores whose tools are installed; says on stderr which are not measured and why."""
    found = []
    for core in cores or CORES:
        missing = qemu.missing(target_of(core, compiler or "")[0])
        if missing:
            print(f"{core}: NOT measured, {', '.join(missing)} is not installed", file=sys.stderr)
        else:
            found.append(core)
    return found


def arguments(description: str) -> argparse.ArgumentParser:
    """What all counting commands understand."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--core", choices=CORES, action="append", help="may be repeated; default: all that can be run")
    parser.add_argument("--compiler", help="gcc, or the name of a clang; default: gcc, on m55 also clang if installed")
    parser.add_argument("--cmsis-nn", type=Path, metavar="DIR", help="a checkout of CMSIS-NN to compare with")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, checked."""
    options = parser.parse_args()
    if options.compiler and "gcc" in options.compiler:
        options.compiler = ""
    if options.cmsis_nn and not (options.cmsis_nn / "Include" / "arm_nnfunctions.h").is_file():
        parser.error(f"--cmsis-nn: {options.cmsis_nn} has no Include/arm_nnfunctions.h")
    return options


def main() -> int:
    parser = arguments("Executed instructions of kernels.")
    parser.add_argument("--kernel", help="operator and format, e.g. fully_connected_s8")
    parser.add_argument("--shape", help="numbers with commas; which: " + _dimensions())
    parser.add_argument("--json", action="store_true", help="objects as in bench/results.json")
    options = parsed(parser)
    if options.shape and not options.kernel:
        parser.error("--shape: say which --kernel")
    shape = chosen(parser, options.kernel, options.shape) if options.kernel else ()
    cores = available(options.core, options.compiler)
    if options.kernel is None:
        found = everything(cores, options.compiler, options.cmsis_nn)
    else:
        found = (
            measure(options.kernel, shape, core, one, options.cmsis_nn)
            for core in cores
            for one in (compilers(core) if options.compiler is None else (options.compiler,))
        )
    try:
        for m in found:
            print(json.dumps(m.as_dict()) if options.json else line(m), flush=True)
    except DiagnosticError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _dimensions() -> str:
    return "; ".join(f"{name} {o.dimensions}" for name, o in OPERATORS.items())


if __name__ == "__main__":
    sys.exit(main())
