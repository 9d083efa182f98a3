"""The model of Helium's intrinsics against an emulated Cortex-M55, and Helium kernels under each compiler."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from cffi import FFI

from mcu_quant.emulator import qemu
from mcu_quant.emulator.library import WARNINGS, compile_shared, headers, host_compiler
from mcu_quant.emulator.qemu import Machine
from mcu_quant.footprint import C_FLAGS
from mcu_quant.library_sources import library_functions
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.ops import Sample, given, weight
from mcu_quant.paths import firmware
from mcu_quant.variants import variant
from tests import helpers
from tests.test_qemu import check, target

pytestmark = pytest.mark.slow

#: Bytes of each argument and result.
ROOM = 64
TRIALS = 24
#: What immediate operands are tried with: legal for every intrinsic that has one.
IMMEDIATES = (1, 2, 8)
INCLUDES = [firmware() / "include"]


@dataclass(frozen=True)
class Intrinsic:
    """A function of mq_mve_model.h: its result's type ("void" for stores), its name, its arguments' types and names."""

    result: str
    name: str
    arguments: tuple[tuple[str, str], ...]

    @property
    def immediate(self) -> bool:
        return any(name == "imm" for _, name in self.arguments)

    def wrapper(self, name: str, imm: int) -> str:
        """`void name(const char *in, char *out)`: of each trial, argument i lies at in + 64 i and the result at out."""
        lines, values = [], []
        for i, (type_, argument) in enumerate(self.arguments):
            at = f"(void *)(uintptr_t)(in + {ROOM * i})"
            if argument == "imm":
                values.append(str(imm))
            elif argument == "p":
                values.append("(void *)out" if self.result == "void" else at)
            elif type_ == "mve_pred16_t":  # of the first so many lanes
                values.append(f"{self.predicate}(*(uint32_t *){at})")
            else:
                lines.append(f"{type_} v{i}; memcpy(&v{i}, {at}, sizeof v{i});")
                if argument == "offset":  # up to 7, the other bytes of a lane 0
                    width = 16 // int(type_.split("x")[1].removesuffix("_t"))
                    mask = f"(k % {width} ? 0 : 7)"
                    lines.append(f"for (int k = 0; k < 16; k++) {{ ((unsigned char *)&v{i})[k] &= {mask}; }}")
                values.append(f"v{i}")
        call = f"{self.name}({', '.join(values)})"
        end = f"{call};" if self.result == "void" else f"{self.result} r = {call}; memcpy(out, &r, sizeof r);"
        body = f"{{ {' '.join(lines)} {end} }}"
        return (
            f"void {name}(const char *in, char *out);\nvoid {name}(const char *in, char *out)\n"
            f"{{ for (int t = 0; t < {TRIALS}; t++, in += {4 * ROOM}, out += {ROOM}) {body} }}\n"
        )

    @property
    def predicate(self) -> str:
        lanes = next(t for t in (self.result, *(t for t, _ in self.arguments)) if "x" in t)
        return f"vctp{128 // int(lanes.split('x')[1].removesuffix('_t'))}q"


def intrinsics() -> dict[str, Intrinsic]:
    """Every function of the model that is named as an intrinsic, and those that stand for one."""
    command = [host_compiler(), "-E", "-P", f"-I{INCLUDES[0]}", str(INCLUDES[0] / "mq_mve_model.h")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"static inline (\w+) (v\w+|mq_(?:widen|narrow)_\w+)\s?\(([^)]*)\)\s?{", text)
    every = {}
    for result, name, arguments in found:
        parts = [re.fullmatch(r"(?:const )?(.*?)\s*(\w+)", a.strip()) for a in arguments.split(",")]
        every[name] = Intrinsic(result, name, tuple((p[1], p[2]) for p in parts if p))
    return every


def cases() -> Iterator[tuple[str, Intrinsic, int]]:
    for name, intrinsic in intrinsics().items():
        for imm in IMMEDIATES if intrinsic.immediate else (0,):
            yield f"test_{name}_{imm}", intrinsic, imm


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mve") / "intrinsics.c"
    code = '#include <string.h>\n#include "mq_mve.h"\n'
    for name, intrinsic, imm in cases():
        code += intrinsic.wrapper(name, imm)
    path.write_text(code)
    return path


def inputs(trial: int, rng: np.random.Generator) -> bytes:
    """Four arguments: any bits, small numbers, or extremes of each width."""
    if trial % 3 == 0:
        return rng.bytes(4 * ROOM)
    if trial % 3 == 1:
        return rng.integers(-40, 41, 4 * ROOM // 4).astype("<i4").tobytes()
    extremes = np.array([0, -1, 1, 127, -128, 32767, -32768, 2**31 - 1, -(2**31), 0x7F7F7F7F, 2**30], "<i4")
    return rng.choice(extremes, 4 * ROOM // 4).tobytes()


@pytest.mark.parametrize("compiler", ["", "clang-19"], ids=["gcc", "clang"])
def test_model_of_intrinsics(source: Path, compiler: str) -> None:
    core = replace(target("m55"), clang=compiler)
    if qemu.missing(core):
        pytest.skip(f"{compiler} is not installed: this test was NOT run")
    assert len(intrinsics()) >= 30
    library = source.with_suffix(".so")
    compile_shared([source], INCLUDES, library, [w for w in WARNINGS if w != "-Wconversion"])
    ffi = FFI()
    ffi.cdef("\n".join(f"void {n}(const char *in, char *out);" for n, _, _ in cases()))
    host = ffi.dlopen(str(library))
    rng = np.random.default_rng(4)
    data = b"".join(inputs(i, rng) for i in range(TRIALS))
    with Machine(core, qemu.link(core, qemu.compile_objects(core, [source], INCLUDES))) as machine:
        given, made = machine.allocate(len(data)), machine.allocate(ROOM * TRIALS)
        machine.write(given, data)
        for name, _, _ in cases():
            out = ffi.new(f"char[{ROOM * TRIALS}]")
            getattr(host, name)(ffi.from_buffer(data), out)
            machine.write(made, bytes(ROOM * TRIALS))
            machine.call(name, [given, made])
            assert machine.read(made, ROOM * TRIALS) == bytes(ffi.buffer(out)), name


#: One of each kind of loop: whole chunks by four and one by one, every kind of tail, rows behind the last block.
SAMPLES = {
    "gemm": Sample("Gemm", (given(1, 87), weight(87, 11), weight(11))),
    "lstm": Sample("LSTM", (given(2, 1, 35), weight(1, 20, 35), weight(1, 20, 5)), {"hidden_size": 5}),
    "gru": Sample("GRU", (given(2, 1, 19), weight(1, 27, 19), weight(1, 27, 9)), {"hidden_size": 9}),
    "conv": Sample("Conv", (given(1, 3, 7, 6), weight(6, 3, 3, 2), weight(6)), {"pads": [1, 0, 1, 1]}),
    "pointwise": Sample("Conv", (given(1, 21, 3, 7), weight(9, 21, 1, 1), weight(9))),
    "depthwise": Sample("Conv", (given(1, 5, 9, 6), weight(5, 1, 3, 3)), {"group": 5, "pads": [1, 1, 1, 1]}),
    "transposed": Sample(
        "ConvTranspose", (given(1, 5, 3, 9), weight(5, 7, 3, 3), weight(7)), {"strides": [2, 2], "pads": [1, 0, 1, 1]}
    ),
    "matmul": Sample("MatMul", (given(19, 37), given(37, 7))),
    "softmax": Sample("Softmax", (given(3, 23, low=-4.0, high=4.0),)),
    "columns": Sample("Softmax", (given(2, 5, 7, low=-4.0, high=4.0),), {"axis": 1}),
    "layer": Sample("LayerNormalization", (given(3, 21), weight(21), weight(21))),
    "instance": Sample("InstanceNormalization", (given(1, 3, 11), weight(3), weight(3))),
    "sum": Sample("Add", (given(2, 21), given(21))),
    "product": Sample("Mul", (given(2, 21), given(2, 1))),
    "largest": Sample("Max", (given(2, 21), given(2, 21))),
    "sigmoid": Sample("Sigmoid", (given(1, 37, low=-4.0, high=4.0),)),
}


@pytest.mark.parametrize("fmt", ["s8", "s16", "f16"])
@pytest.mark.parametrize("compiler,level", [("", "-O3"), ("clang-19", "-O2"), ("clang-19", "-O3")])
def test_compilers(compiler: str, level: str, fmt: str, tmp_path: Path) -> None:
    """The same bits as on the host under each compiler; GCC at -O2 is what all other tests run.

    GNU as up to 2.40 encodes VCVTB and VCVTT between f16 and f32 with wrong registers: mq_mve_widen.h.
    """
    core = replace(target("m55"), clang=compiler)
    if qemu.missing(core):
        pytest.skip(f"{compiler} is not installed: this test was NOT run")
    cases = {name: helpers.case(sample, tmp_path) for name, sample in SAMPLES.items()}
    plans = {name: helpers.plan_in(case.graph, fmt, case.frames, {}) for name, case in cases.items()}
    programs = {name: lower(case.graph, plans[name], Target("mve")) for name, case in cases.items()}
    sources = sorted({variant(f, "mve") for program in programs.values() for f in library_functions(program)})
    includes = [*INCLUDES, *sorted({h.parent for h in headers()})]
    objects = qemu.compile_objects(core, sources, includes, (*C_FLAGS, level))
    with Machine(core, qemu.link(core, objects)) as machine:
        for name, program in programs.items():
            check(program, machine, cases[name].frames)
