"""Count what each kernel costs on Cortex-M0+ and Cortex-M4, and fit the coefficients that the latency estimate uses.

Every sample of every operator is lowered in every format, generated as C, cross compiled and run in an emulator. Each
executed instruction is priced after Arm's technical reference manuals; flash and caches are not part of it. Per kernel,
cycles = mac * macs + element * elements + unit * units + call is fitted with non-negative coefficients.

    pip install unicorn capstone pyelftools
    python bench/estimate_coefficients.py > mcu_quant/tables/latency_kernels.toml
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from capstone import CS_ARCH_ARM, CS_MODE_MCLASS, CS_MODE_THUMB, Cs
from elftools.elf.elffile import ELFFile
from scipy.optimize import nnls
from unicorn import UC_ARCH_ARM, UC_HOOK_BLOCK, UC_HOOK_MEM_WRITE, UC_MODE_THUMB, Uc
from unicorn.arm_const import (
    UC_ARM_REG_C1_C0_2,
    UC_ARM_REG_FPEXC,
    UC_ARM_REG_LR,
    UC_ARM_REG_SP,
    UC_CPU_ARM_CORTEX_A15,
)

from mcu_quant import boards, codegen, frontend, memory, ops
from mcu_quant.boards import Board
from mcu_quant.codegen import Context, Vectors
from mcu_quant.cost import priced_name
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Graph
from mcu_quant.lower import lower
from mcu_quant.ops import Counts, Given, OpLowering, Sample
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Program

BOARDS = {"cortex-m0plus": "raspberry_pi_pico", "cortex-m4": "nucleo_f446re"}
FLAGS = ("-O2", "-std=c99", "-ffp-contract=off", "-fno-strict-aliasing", "-ffunction-sections", "-DMQ_TRACE")
FLASH, RAM, STOP, SIZE = 0x0800_0000, 0x2000_0000, 0x4000_0000, 64 << 20
#: Samples per operator, spread over all it has: four coefficients need no more.
SAMPLES = 6
Limits = tuple[float, float]
SCRIPT = f"""ENTRY(main)
SECTIONS {{
    . = {FLASH}; .text : {{ *(.text*) *(.rodata*) }}
    . = {RAM}; .data : {{ *(.data*) }} .bss : {{ *(.bss*) *(COMMON) }}
}}
"""


# --- prices of instructions ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Price:
    """Cycles of an instruction, what a taken branch adds, and what matters for its successor."""

    cycles: int
    taken: int = 0
    access: bool = False
    arithmetic_fp: bool = False


def _registers(operands: str) -> int:
    """How many registers a list names; capstone writes every one."""
    return operands[operands.index("{") :].count(",") + 1 if "{" in operands else 1


#: Cortex-M4: beginnings of mnemonics, the first that fits decides. Technical reference manual, tables 3-1 and 7-1; a
#: taken branch refills the pipeline in two cycles.
_CORTEX_M4 = (
    (("vldr", "vstr"), Price(2, access=True)),
    (("vdiv", "vsqrt"), Price(14, arithmetic_fp=True)),
    (("vmla", "vmls", "vfma", "vfms", "vnml"), Price(3, arithmetic_fp=True)),
    (("vmov", "vmrs"), Price(1)),
    (("v",), Price(1, arithmetic_fp=True)),
    (("ldrd", "strd"), Price(3, access=True)),
    (("ldr",), Price(2, taken=2, access=True)),
    (("str",), Price(1, access=True)),
    (("sdiv", "udiv"), Price(7)),
    (("",), Price(1, taken=2)),
)


def cortex_m4(mnemonic: str, operands: str) -> Price:
    if mnemonic.startswith(("vldm", "vstm", "vpush", "vpop", "ldm", "stm", "push", "pop")):
        return Price(1 + _registers(operands), taken=2)
    return next(price for beginnings, price in _CORTEX_M4 if mnemonic.startswith(beginnings))


def cortex_m0plus(mnemonic: str, operands: str) -> Price:
    """Cortex-M0+ technical reference manual, table 3-1, with the single-cycle multiplier."""
    m = mnemonic.partition(".")[0]
    if m.startswith(("ldm", "stm", "push", "pop")):
        return Price(1 + _registers(operands), taken=2)
    if m.startswith(("ldr", "str")):
        return Price(2)
    return Price(1, taken=2 if m == "bl" else 1)


PRICES = {"cortex-m0plus": cortex_m0plus, "cortex-m4": cortex_m4}


# --- running -------------------------------------------------------------------------------------------------------


@cache
def _objects(board: Board, folder: Path) -> Mapping[str, Path]:
    """Every C file of the firmware library, compiled for a core once."""
    include = [f"-I{p}" for p in (codegen.firmware() / "include", *sorted((codegen.firmware() / "kernels").iterdir()))]
    made = {}
    for source in sorted(codegen.firmware().glob("kernels/*/*__scalar.c")):
        made[source.name] = folder / f"{board.core.name}-{source.stem}.o"
        _gcc(board, *include, "-c", str(source), "-o", str(made[source.name]))
    return made


def _gcc(board: Board, *args: str) -> None:
    subprocess.run([f"{board.compiler.triple}-gcc", *board.compiler.gcc_flags, *FLAGS, *args], check=True)


def _build(program: Program, board: Board, folder: Path) -> Path:
    """The program with a main that runs one frame and says where each step begins."""
    sizes = {n: program.edges[n].type.size for n in (*program.inputs, *program.outputs)}
    empty = Vectors({}, {})
    files = codegen.generate(program, memory.plan(program), Context("m", "m.onnx", board.id, "", empty))
    # the library is compiled once for all programs, so its functions keep their plain names
    files["mq/mq_names.h"] = (codegen.firmware() / "include" / "mq_names.h").read_text()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    arrays = [f"float port{i}[{size}];" for i, size in enumerate(sizes.values())]
    arguments = ", ".join(["&model", *(f"port{i}" for i in range(len(sizes)))])
    main = [
        '#include "m.h"',
        "volatile uint32_t step;",
        "void mq_trace(uint32_t now) { step = now; }",
        "static m_t model;",
        *arrays,
        f"int main(void) {{ m_reset(&model); m_run({arguments}); return 0; }}",
    ]
    (folder / "main.c").write_text("\n".join(main))
    (folder / "link.ld").write_text(SCRIPT)
    objects = _objects(board, folder.parent)
    library = codegen.library_files(codegen.library_functions(program), "scalar")
    needed = [str(objects[name]) for name in library if name in objects]
    sources = [str(folder / n) for n in ("main.c", "m.c", "m_weights.c")]
    include = [f"-I{folder}", f"-I{folder}/mq"]
    runtime = ["-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs", "-lm"]
    link = [*runtime, f"-Wl,-T,{folder}/link.ld", "-Wl,--gc-sections"]
    _gcc(board, *include, *sources, *needed, *link, "-o", str(folder / "a.elf"))
    return folder / "a.elf"


@dataclass(frozen=True, eq=False)
class Case:
    """A program, and the limits of its inputs."""

    program: Program
    given: Mapping[str, Limits]


def count(case: Case, board: Board, folder: Path) -> list[float]:
    """Cycles of each call of one run on random inputs."""
    program = case.program
    elf = ELFFile((_build(program, board, folder)).open("rb"))
    symbols = {s.name: s["st_value"] for s in elf.get_section_by_name(".symtab").iter_symbols()}
    # an application core runs the same instructions, and its floating-point unit can be switched on from outside
    machine = Uc(UC_ARCH_ARM, UC_MODE_THUMB)
    machine.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_A15)
    for start in (FLASH, RAM):
        machine.mem_map(start, SIZE)
    machine.mem_map(STOP, 0x1000)
    machine.reg_write(UC_ARM_REG_C1_C0_2, machine.reg_read(UC_ARM_REG_C1_C0_2) | (0xF << 20))
    machine.reg_write(UC_ARM_REG_FPEXC, 0x4000_0000)
    for segment in elf.iter_segments():
        if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]:
            machine.mem_write(segment["p_vaddr"], segment.data())
    random = np.random.default_rng(0)
    for i, name in enumerate(program.inputs):
        values = random.uniform(*case.given.get(name, (-1.0, 1.0)), program.edges[name].type.size).astype(np.float32)
        machine.mem_write(symbols[f"port{i}"], values.tobytes())
    meter = _Meter(machine, board.core.name, symbols["step"])
    machine.reg_write(UC_ARM_REG_SP, RAM + SIZE - 64)
    machine.reg_write(UC_ARM_REG_LR, STOP | 1)
    machine.emu_start(symbols["main"] | 1, STOP)
    return [meter.cycles[i] for i in range(len(program.calls))]


class _Meter:
    """Adds up prices of executed instructions, step by step. Straight runs of instructions are priced once."""

    def __init__(self, machine: Any, core: str, step_address: int) -> None:
        self.cycles: dict[int, float] = defaultdict(float)
        self._price = PRICES[core]
        self._overlap = core == "cortex-m4"
        self._decoder = Cs(CS_ARCH_ARM, CS_MODE_THUMB | CS_MODE_MCLASS)
        self._known: dict[tuple[int, int], tuple[int, int]] = {}
        self._step: int | None = None
        self._taken, self._next = 0, 0
        machine.hook_add(UC_HOOK_MEM_WRITE, self._on_step, begin=step_address, end=step_address + 3)
        machine.hook_add(UC_HOOK_BLOCK, self._on_block)

    def _on_step(self, *event: Any) -> None:
        *_, value, _ = event  # machine, access, address, size, value, user data
        self._step = value

    def _on_block(self, machine: Any, address: int, size: int, _: Any) -> None:
        known = self._known.get((address, size))
        if known is None:
            known = self._known[address, size] = self._run(bytes(machine.mem_read(address, size)), address)
        cycles, taken = known
        if self._step is not None:
            self.cycles[self._step] += cycles + (self._taken if address != self._next else 0)
        self._taken, self._next = taken, address + size

    def _run(self, code: bytes, address: int) -> tuple[int, int]:
        """Cycles of a straight run, and what its last instruction adds when it branches."""
        cycles, last = 0, Price(0)
        for instruction in self._decoder.disasm(code, address):
            price = self._price(instruction.mnemonic, instruction.op_str)
            cycles += price.cycles
            if self._overlap:
                # a load behind a load or store begins in its shadow; a floating-point result is a cycle late
                cycles -= 1 if price.access and last.access and price.cycles == 2 else 0
                cycles += 1 if price.arithmetic_fp and last.arithmetic_fp else 0
            last = price
        return cycles, last.taken


# --- fitting -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    work: Counts
    cycles: float


def fit(rows: Iterable[Row]) -> dict[str, float]:
    """Non-negative coefficients with the least sum of squared relative errors."""
    measured = [r for r in rows if r.cycles]
    features = np.array([[r.work.macs, r.work.elements, r.work.units, 1.0] for r in measured])
    cycles = np.array([r.cycles for r in measured])
    found, _ = nnls(features / cycles[:, None], np.ones(len(cycles)))
    return {k: float(f"{v:.3g}") for k, v in zip(("mac", "element", "unit", "call"), found, strict=True)}


def worst(rows: Iterable[Row], c: Mapping[str, float]) -> float:
    """Largest relative error of a fit, in percent."""
    errors = []
    for row in rows:
        w = row.work
        fitted = c["mac"] * w.macs + c["element"] * w.elements + c["unit"] * w.units + c["call"]
        errors.append(abs(fitted / row.cycles - 1) if row.cycles else 0.0)
    return 100 * max(errors)


def collect(cases: Iterable[Case], board: Board) -> dict[str, list[Row]]:
    """Counted cycles of every call, by kernel."""
    rows: dict[str, list[Row]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        for i, case in enumerate(cases):
            folder = Path(scratch) / f"program{i}"
            for call, cycles in zip(case.program.calls, count(case, board, folder), strict=True):
                work = ops.kernels()[call.kernel].counts(case.program, call)
                rows[priced_name(call)].append(Row(work, cycles))
    return rows


# --- programs ------------------------------------------------------------------------------------------------------


def cases(folder: Path) -> Iterator[Case]:
    """Samples of every operator, in every way they can be lowered."""
    for spec in ops.specs().values():
        step = -(-len(spec.samples) // SAMPLES) or 1
        for i, sample in enumerate(spec.samples[::step]):
            graph = frontend.load(_onnx(sample, folder / f"{spec.name}{i}.onnx")).graph
            given = {f"input{n}": (x.low, x.high) for n, x in enumerate(sample.inputs) if isinstance(x, Given)}
            ranges = _ranges(graph, given)
            for low in {(low.format, low.formats.weight, low.formats.output): low for low in spec.lowerings}.values():
                plan = _plan(graph, low, ranges)
                if plan is not None:
                    yield Case(lower(graph, plan), given)


def _onnx(sample: Sample, path: Path) -> Path:
    """The sample as a model of one node."""
    random = np.random.default_rng(1)
    names, inputs, constants = [], [], []
    for i, value in enumerate(sample.inputs):
        names.append(f"input{i}" if value is not None else "")
        if isinstance(value, Given):
            inputs.append(onnx.helper.make_tensor_value_info(names[-1], onnx.TensorProto.FLOAT, value.shape))
        elif value is not None:
            drawn = random.normal(0, value.std, value.shape).astype(np.float32)
            array = drawn if value.value is None else value.value
            constants.append(onnx.numpy_helper.from_array(array, names[-1]))
    outputs = [f"output{i}" for i in range(sample.outputs)]
    node = onnx.helper.make_node(sample.onnx, names, outputs, name="sample", **sample.attributes)
    results = [onnx.helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = onnx.helper.make_graph([node], "sample", inputs, results, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", sample.opset)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def _ranges(graph: Graph, given: Mapping[str, Limits]) -> dict[str, Range]:
    """Ranges of every tensor on one random input."""
    random = np.random.default_rng(2)
    values: dict[str, Any] = {**graph.constants, "": None}
    for name in (*graph.inputs, *graph.state_inputs):
        values[name] = random.uniform(*given.get(name, (-1.0, 1.0)), graph.shape(name)).astype(np.float32)
    inside = {}
    for op in graph.operators:
        spec, arguments = ops.spec(op), [values[i] for i in op.inputs]
        values |= dict(zip(op.outputs, spec.reference(op, arguments), strict=False))
        if spec.internals:
            inside |= {f"{op.name}:{k}": v for k, v in spec.internals(op, arguments).items()}
    floats = {n: v for n, v in (values | inside).items() if n and np.asarray(v).dtype.kind == "f" and np.size(v)}
    return {name: Range(float(np.min(v)), float(np.max(v))) for name, v in floats.items()}


def _plan(graph: Graph, low: OpLowering, ranges: Mapping[str, Range]) -> PrecisionPlan | None:
    """All operators lowered this way, or None where one cannot be."""
    if ScaleKind.STATIC not in low.scales:
        return None
    choices = {}
    for op in graph.operators:
        spec = ops.spec(op)
        if spec.carries:
            continue
        if spec.formats(op, graph).get(low.format, "") is not None:
            return None
        known = {one.formats.weight for one in spec.lowerings}
        weights = low.formats.weight if low.formats.weight in known else None
        choices[op.name] = OperatorPlan(low.format, weights=weights, output=low.formats.output)
    return PrecisionPlan(graph.name, low.format, choices, ranges)


# --- the table -----------------------------------------------------------------------------------------------------

HEADER = """\
# Cycles of the scalar kernels per multiply-accumulate, element, unit and call: what Kernel.counts counts.
# Made by bench/estimate_coefficients.py: instructions counted in an emulator, priced after Arm's technical reference
# manuals, without wait states and caches. Each line ends with the largest error of the fit over the samples.
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        made = list(cases(Path(scratch)))
    print(f"{len(made)} programs", file=sys.stderr)
    rows = {core: collect(made, boards.load(board_id)) for core, board_id in BOARDS.items()}
    print(HEADER)
    for name in sorted(rows["cortex-m4"]):
        print(f'[[kernel]]\nname = "{name}"\nisa = "scalar"')
        for core, found in rows.items():
            c = fit(found[name])
            inner = ", ".join(f"{k} = {v:g}" for k, v in c.items())
            print(f"cycles.{core} = {{ {inner} }} # {len(found[name])} calls, {worst(found[name], c):.0f} %")
        print()


if __name__ == "__main__":
    main()
