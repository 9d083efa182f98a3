"""The generated C under the compiler options of other people's projects: it compiles without a warning, and needs no
more of a C library than the smallest ones have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mcu_quant.paths import firmware
from tests.test_codegen import program
from tests.test_drop_in import listed, need, run, write

#: What Zephyr's minimal C library declares and mcu-quant may call. It has no part of <math.h> that is used.
SMALL_STRING_H = """
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *text);
"""
CORTEX_M4F = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
#: Options of builds that a folder is dropped into, as their build systems pass them (toolchain first).
PROJECTS = {
    "zephyr": "{m4f} -Os -std=c99 -ffreestanding -fno-common -fno-pic -fno-reorder-functions -fno-defer-pop "
    "-Wexpansion-to-defined -Wpointer-arith -Werror=implicit-int",
    "arduino mbed": "arm-none-eabi-gcc -mcpu=cortex-m0plus -mthumb -Os -std=gnu11 -funsigned-char -fno-exceptions "
    "-fomit-frame-pointer -fmessage-length=0 -Wvla",
    "esp-idf riscv": "riscv64-unknown-elf-gcc -march=rv32imc -mabi=ilp32 -specs=picolibc.specs -Og -std=gnu17 "
    "-fno-jump-tables -fno-tree-switch-conversion -fstrict-volatile-bitfields -fno-builtin",
    "esp-idf linux": "gcc -Og -std=gnu17 -fno-lto -fstrict-volatile-bitfields -Wno-enum-conversion",
    "strict": "{m4f} -O3 -std=c11 -fshort-enums -Wundef -Wcast-align=strict -Wvla -Walloca -Wshadow -Wconversion "
    "-Wsign-conversion -Wdouble-promotion -Wmissing-prototypes -Wcast-qual -Wswitch-default -Wredundant-decls "
    "-Wnull-dereference -Wduplicated-cond -Wstack-usage=1024",
    "clang": "clang -O3 -std=c17 -Wundef -Wvla -Wconversion -Wcast-qual -Wimplicit-fallthrough",
}


@pytest.fixture(scope="module", params=["s8", "f32"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(program("streaming", request.param), tmp_path_factory.mktemp("of others") / "a model", "model")


@pytest.mark.parametrize("project", PROJECTS)
def test_no_warning_under_the_options_of_others(project: str, folder: Path, tmp_path: Path) -> None:
    compiler, *options = PROJECTS[project].format(m4f=" ".join(CORTEX_M4F)).split()
    need(compiler)
    for name in listed(folder):
        run(compiler, *options, *WARNINGS, "-ffp-contract=off", "-c", folder / name, "-o", tmp_path / "made.o")


def calls(kernel: str, folder: Path, *options: str) -> list[str]:
    """Functions of the C library that the kernel's code calls."""
    (source,) = (firmware() / "kernels").glob(f"*/{kernel}.c")
    include = [f"-I{path}" for path in (firmware() / "include", source.parent, folder)]
    (folder / "mq_names.h").write_text("")
    run(*CORTEX_M4F, "-O2", "-std=c99", *WARNINGS, *options, *include, "-S", source, "-o", folder / "made.s")
    return sorted(re.findall(r"\tbl?\t(mem\w+|sqrt\w*)$", (folder / "made.s").read_text(), flags=re.M))


@pytest.mark.parametrize(
    "kernel", ["mq_fully_connected_f16__dsp", "mq_lstm_s16_s8__dsp", "mq_normalise_f16__scalar", "mq_map_f16__scalar"]
)
def test_without_built_in_functions_and_math_h_the_code_is_the_same(kernel: str, tmp_path: Path) -> None:
    """Zephyr turns built-in functions off, and a copy that stands for the move of a register would be a call."""
    need("arm-none-eabi-gcc")
    (tmp_path / "string.h").write_text(SMALL_STRING_H)
    own = run(CORTEX_M4F[0], "-print-file-name=include").strip()
    bare = ("-ffreestanding", "-nostdinc", "-isystem", str(tmp_path), "-isystem", own)
    assert calls(kernel, tmp_path, *bare) == calls(kernel, tmp_path)


CORTEX_M0 = """
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_C_FLAGS_INIT "-mcpu=cortex-m0plus -mthumb")
set(CMAKE_EXE_LINKER_FLAGS_INIT "--specs=nano.specs --specs=nosys.specs")
"""


def test_a_project_for_a_core_without_fpu_finds_the_square_root(tmp_path: Path) -> None:
    need("cmake", "arm-none-eabi-gcc")
    write(program("streaming", "f32"), tmp_path / "a model", "model")
    sources = tmp_path / "a model" / "CMakeLists.txt"
    (tmp_path / "root.c").write_text(
        '#include "mq/mq_base.h"\nfloat root(float x);\nfloat root(float x) { return MQ_SQRT(x); }\n'
    )
    (tmp_path / "main.c").write_text(
        "float root(float x);\nint main(int n, char **v) { (void)v; return (int)root((float)n); }\n"
    )
    sources.write_text(sources.read_text().replace("set(model_sources\n", "set(model_sources\n  ../root.c\n", 1))
    (tmp_path / "cortex-m0.cmake").write_text(CORTEX_M0)
    (tmp_path / "CMakeLists.txt").write_text(
        'cmake_minimum_required(VERSION 3.16)\nproject(app C)\nadd_subdirectory("a model")\n'
        "add_executable(app main.c)\ntarget_link_libraries(app model::model)\n"
    )
    build = tmp_path / "build"
    run("cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_TOOLCHAIN_FILE={tmp_path / 'cortex-m0.cmake'}")
    run("cmake", "--build", build)
