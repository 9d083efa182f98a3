"""The generated tree in projects of others: built by their tools where they are installed, else by plain compilers with
the layout and flags of theirs, and their metadata held to the published rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from mcu_quant import api, codegen, ecosystems, library_sources, memory, texts
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.program import Program
from mcu_quant.version import VERSION
from tests.test_audio_pipelines import SPECTRAL, source, speech
from tests.test_audio_pipelines import dense as mask
from tests.test_codegen import program
from tests.test_selftest import on_host, the_run


def run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def need(*tools: str) -> None:
    missing = [t for t in tools if not shutil.which(t)]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: this test was NOT run")


def write(made: Program, folder: Path, prefix: str) -> Path:
    """A folder with everything, its vectors all zero."""
    zeros = {n: np.zeros((1, made.edges[n].type.size), np.float32) for n in (*made.inputs, *made.outputs)}
    outputs = {n.removesuffix("@output"): zeros[n] for n in made.outputs}
    vectors = codegen.Vectors({n: zeros[n] for n in made.inputs}, outputs)
    context = codegen.Context(prefix, f"{made.name}.onnx", "a board", "mcu-quant build", vectors, version="1.2.dev3")
    context = replace(context, ecosystems=ecosystems.names())
    plan = memory.plan(made)
    readme = codegen.readme(made, plan, context)
    texts.write(folder, {**codegen.generate(made, plan, context), "README.md": readme})
    return folder


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(program("dense", "s8"), tmp_path_factory.mktemp("dense") / "dense", "dense")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model, which needs some of the same kernels."""
    return write(program("streaming", "s8"), tmp_path_factory.mktemp("wide") / "wide", "wide")


def heard(folder: Path, end: str) -> Path:
    """A model of 40 samples behind their spectrum, with a back end."""
    folder.mkdir(exist_ok=True)
    text = SPECTRAL.format(length=40, hop=10, shape=[1, 1, 21], stft='window = "hann"')
    made = source(folder, mask(21, [1, 1, 21]), text + end)
    precision = api.PrecisionRequest("f32")
    api.build(api.BuildRequest(made, "nucleo_f446re", folder / "m", precision, speech(folder)))
    return folder / "m"


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A denoiser of samples: a mask over the spectrum."""
    return heard(tmp_path_factory.mktemp("spoken"), '[output.audio]\nas = "mask"\nwindow = "hann"\n')


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spotter of 21 words."""
    labels = ", ".join(f'"{chr(ord("a") + i)}"' for i in range(21))
    return heard(tmp_path_factory.mktemp("words"), f"[output.keyword]\nlabels = [{labels}]\nsmoothing_ms = 10\n")


@pytest.mark.parametrize("kind", ["spoken", "words"])
def test_the_self_test_of_a_model_of_samples_passes(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    shutil.copytree(request.getfixturevalue(kind), tmp_path / "m")
    status, log = on_host(tmp_path / "m")
    assert status == 0 and the_run(log).passed and the_run(log).outputs[0].of > 0


TWO = """
#include <stdio.h>
#include "dense.h"
#include "wide.h"
static dense_t one;
static wide_t two;
int main(void) {
    float x[DENSE_X_SIZE] = {1, 2, 3, 4, 5}, y[DENSE_Y_SIZE], a[WIDE_A_SIZE];
    dense_reset(&one);
    wide_reset(&two);
    dense_run(&one, x, y);
    wide_run(&two, x, a);
    wide_run(&two, x, a);
    printf("%.6f %.6f %08x\\n", (double)y[0], (double)a[0], (unsigned)(dense_weights_crc32() ^ DENSE_WEIGHTS_CRC32));
    return 0;
}
"""

CHECKED = """
#include "dense.h"
int main(void) {
    static dense_t model;
    return dense_init(&model);
}
"""


@pytest.mark.parametrize(("flags", "status"), [((), 0), (("-DMQ_CHECK_WEIGHTS",), 1)])
def test_damaged_constants_are_found_at_start_up_if_asked(
    dense: Path, tmp_path: Path, flags: tuple[str, ...], status: int
) -> None:
    shutil.copytree(dense, tmp_path / "dense")
    (tmp_path / "main.c").write_text(CHECKED)
    folder = tmp_path / "dense"
    for found in (0, status):
        command = ["gcc", "-ffp-contract=off", *flags, f"-I{folder}", tmp_path / "main.c", *folder.glob("*.c")]
        run(*command, *(folder / "mq").glob("*.c"), "-lm", "-o", tmp_path / "app")
        assert subprocess.run([str(tmp_path / "app")], check=False).returncode == found
        weights = folder / "dense_weights.c"
        weights.write_text(
            re.sub(r"(\{\s*-?)(\d)", lambda m: m[1] + str((int(m[2]) + 1) % 10), weights.read_text(), count=1)
        )


# --- CMake -----------------------------------------------------------------------------------------------------------


def cmake(source: Path, build: Path, *options: str) -> str:
    """Builds; returns the commands."""
    run("cmake", "-S", source, "-B", build, *options)
    return run("cmake", "--build", build, "--verbose", "--parallel", "2")


def two_models(folder: Path, dense: Path, wide: Path, *options: str) -> Path:
    folder.mkdir()
    (folder / "main.c").write_text(TWO)
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(app C)\n"
        f"add_subdirectory({dense} dense)\nadd_subdirectory({wide} wide)\n"
        "add_executable(app main.c)\ntarget_link_libraries(app dense::dense wide::wide)\n"
    )
    cmake(folder, folder / "build", *options)
    return folder / "build" / "app"


def kernels(app: Path) -> list[str]:
    return [line.split()[-1] for line in run("nm", app).splitlines() if re.search(r" T .*mq_", line)]


@pytest.mark.slow
def test_two_models_in_one_program_and_their_kernels_shared(dense: Path, wide: Path, tmp_path: Path) -> None:
    need("cmake", "nm")
    (tmp_path / "main.c").write_text(TWO)
    apart = tmp_path / "apart"
    every = [f / name for f in (dense, wide) for name in listed(f)]
    run("gcc", "-ffp-contract=off", f"-I{dense}", f"-I{wide}", tmp_path / "main.c", *every, "-lm", "-o", apart)
    shared = two_models(tmp_path / "shared", dense, wide, "-DMQ_SHARE_KERNELS=ON")
    assert run(apart) == run(shared) and run(apart).endswith(" 00000000\n")
    of_dense, of_wide = (sorted(p.stem for p in (f / "mq").glob("*.c")) for f in (dense, wide))
    assert set(of_dense) & set(of_wide)
    assert len(kernels(apart)) == len(of_dense) + len(of_wide)
    assert len(kernels(shared)) == len(set(of_dense) | set(of_wide))
    assert all(re.search(r"^mq_\w+_[0-9a-f]{8}$", name) for name in kernels(shared))


def test_a_kernel_of_another_version_has_another_name(dense: Path) -> None:
    text = (dense / "mq" / "mq_names.h").read_text()
    names = dict(re.findall(r"#define (mq_\w+) (mq_\w+_[0-9a-f]{8})$", text, flags=re.M))
    assert names and all(shared.startswith(name) for name, shared in names.items())
    assert len({shared[-8:] for shared in names.values()}) == len(names)
    function = next(iter(names))
    assert names[function].endswith(library_sources.text_hash(function, "scalar"))


@pytest.mark.slow
def test_installed_and_found_by_another_project(dense: Path, tmp_path: Path) -> None:
    need("cmake", "g++")
    cmake(dense, tmp_path / "build", f"-DCMAKE_INSTALL_PREFIX={tmp_path / 'prefix'}")
    run("cmake", "--install", tmp_path / "build")
    app = tmp_path / "app"
    app.mkdir()
    (app / "main.cpp").write_text(
        "#include <dense.h>\nstatic dense_t m;\n"
        "int main() { float x[5] = {}, y[3]; dense_reset(&m); dense_run(&m, x, y); }\n"
    )
    (app / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(app CXX)\nfind_package(dense REQUIRED)\n"
        "add_executable(app main.cpp)\ntarget_compile_options(app PRIVATE -fno-exceptions -fno-rtti -Wall -Werror)\n"
        "target_link_libraries(app dense::dense)\n"
    )
    cmake(app, app / "build", f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}")
    run(app / "build" / "app")


@pytest.mark.parametrize("dialect", ["c++98", "c++11", "c++20"])
def test_headers_are_read_by_cpp_without_exceptions(dialect: str, dense: Path, spoken: Path, tmp_path: Path) -> None:
    need("g++")
    user = tmp_path / "user.cpp"
    user.write_text('#include "dense.h"\n#include "m_stream.h"\nint main() { return 0; }\n')
    flags = ("-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Werror", "-fsyntax-only")
    run("g++", f"-std={dialect}", *flags, f"-I{dense}", f"-I{spoken}", user)


# --- ESP-IDF and Zephyr: their CMake functions stand in, the files are ours ----------------------------------------

IDF = """
cmake_minimum_required(VERSION 3.16)
project(app C)
function(idf_component_register)
  cmake_parse_arguments(A "" "" "SRCS;INCLUDE_DIRS;PRIV_INCLUDE_DIRS;REQUIRES" ${ARGN})
  if(A_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown: ${A_UNPARSED_ARGUMENTS}")
  endif()
  add_library(__idf_dense STATIC ${A_SRCS})
  target_include_directories(__idf_dense PUBLIC ${A_INCLUDE_DIRS})
  set(COMPONENT_LIB __idf_dense PARENT_SCOPE)
endfunction()
set(ESP_PLATFORM 1)
add_compile_options(-Wall -Wextra -Werror -std=gnu17)
add_subdirectory(%(folder)s dense)
add_executable(app main.c)
target_link_libraries(app __idf_dense m)
"""

ZEPHYR = """
cmake_minimum_required(VERSION 3.20)
project(app C)
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
  add_library(${name} STATIC)
  target_link_libraries(${name} PRIVATE zephyr_interface)
endmacro()
function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
function(zephyr_library_compile_options)
  target_compile_options(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
function(zephyr_library_compile_definitions_ifdef toggle)
  if(${toggle})
    target_compile_definitions(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
  endif()
endfunction()
function(zephyr_include_directories)
  target_include_directories(zephyr_interface INTERFACE ${ARGN})
endfunction()
add_library(zephyr_interface INTERFACE)
add_compile_options(-Wall -Wextra -Werror -std=c17)
set(CONFIG_MCU_QUANT_DENSE y)
add_subdirectory(%(folder)s/zephyr dense)
add_executable(app main.c)
target_link_libraries(app zephyr_interface -Wl,--whole-archive dense -Wl,--no-whole-archive m)
"""

ONE = """
#include "dense.h"
static dense_t m;
int main(void) { float x[DENSE_X_SIZE] = {0}, y[DENSE_Y_SIZE]; dense_reset(&m); dense_run(&m, x, y); return 0; }
"""


@pytest.mark.slow
@pytest.mark.parametrize("project", [IDF, ZEPHYR], ids=["esp-idf", "zephyr"])
def test_the_cmake_files_of_esp_idf_and_zephyr(project: str, dense: Path, tmp_path: Path) -> None:
    need("cmake")
    (tmp_path / "main.c").write_text(ONE)
    (tmp_path / "CMakeLists.txt").write_text(project % {"folder": dense})
    commands = cmake(tmp_path, tmp_path / "build")
    run(tmp_path / "build" / "app")
    compiled = [line for line in commands.splitlines() if f" -c {dense}" in line]
    assert compiled and all("-ffp-contract=off" in line for line in compiled)


def test_the_zephyr_module_is_one(dense: Path, spoken: Path) -> None:
    """Keys of METADATA_SCHEMA in Zephyr's scripts/zephyr_module.py; Kconfig as Zephyr's own kconfiglib reads it."""
    kconfiglib = pytest.importorskip("kconfiglib", reason="kconfiglib is not installed: this test was NOT run")
    for folder, symbol in ((dense, "MCU_QUANT_DENSE"), (spoken, "MCU_QUANT_M")):
        about = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
        assert about == {"name": folder.name, "build": {"cmake": "zephyr", "kconfig": "zephyr/Kconfig"}}
        assert (folder / "zephyr" / "CMakeLists.txt").is_file()
        found = kconfiglib.Kconfig(str(folder / "zephyr" / "Kconfig"))
        assert [s.name for s in found.unique_defined_syms] == [symbol, "MCU_QUANT_CHECK_WEIGHTS"]
        assert not found.warnings


def test_the_esp_idf_manifest(dense: Path) -> None:
    """Keys of the manifest of the IDF Component Manager (`compote manifest schema`); `make ecosystems` asks itself."""
    about = yaml.safe_load((dense / "idf_component.yml").read_text())
    assert set(about) <= {"version", "description", "files", "targets", "dependencies"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["version"]) and set(about["files"]) <= {"include", "exclude"}


# --- Arduino ---------------------------------------------------------------------------------------------------------

ARDUINO_H = """
#pragma once
#include <stdint.h>
#include <stddef.h>
unsigned long micros();
void delay(unsigned long ms);
struct SerialPort { void begin(long); void print(const char *); void print(unsigned long); void print(unsigned int);
    void println(const char *); void println(unsigned long); void println(unsigned int); void println(double); };
extern SerialPort Serial;
"""
PDM_H = """
#pragma once
struct Microphone { void (*heard)(); int waiting; void onReceive(void (*f)()); int begin(int, long); int available();
    int read(void *, size_t); };
extern Microphone PDM;
"""
CORE = """
#include <Arduino.h>
#include <PDM.h>
#include <stdio.h>
#include <string.h>
SerialPort Serial; Microphone PDM; static unsigned long now;
unsigned long micros() { return now += 5; }
void delay(unsigned long) {}
void SerialPort::begin(long) {}
void SerialPort::print(const char *t) { fputs(t, stdout); }
void SerialPort::print(unsigned long v) { printf("%lu", v); }
void SerialPort::print(unsigned int v) { printf("%u", v); }
void SerialPort::println(const char *t) { puts(t); }
void SerialPort::println(unsigned long v) { printf("%lu\\n", v); }
void SerialPort::println(unsigned int v) { printf("%u\\n", v); }
void SerialPort::println(double v) { printf("%g\\n", v); }
void Microphone::onReceive(void (*f)()) { heard = f; }
int Microphone::begin(int channels, long rate) { return channels == 1 && rate == 16000; }
int Microphone::available() { return waiting; }
int Microphone::read(void *to, size_t bytes) { memset(to, 1, bytes); waiting -= (int)bytes; return (int)bytes; }
void setup(); void loop();
int main() {
    setup();
    for (int i = 0; i < 300; i++) { PDM.waiting = 2 * (i % 23); if (PDM.heard) { PDM.heard(); } loop(); }
}
"""


def arduino(library: Path, work: Path, compiler: str = "g++") -> Path:
    """As the IDE does it: everything in src/ with src/ alone on the path, into an archive; the sketch as C++."""
    properties = dict(line.split("=", 1) for line in (library / "library.properties").read_text().splitlines() if line)
    for key in ("name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"):
        assert properties[key], key  # the fields that Arduino's library specification requires
    assert re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z _.-]{0,62}", properties["name"])
    assert (library / "src" / properties["includes"]).is_file() and properties["dot_a_linkage"] == "true"
    work.mkdir()
    flags = ["-Os", "-ffunction-sections", "-fdata-sections", "-DARDUINO=10819", f"-I{library / 'src'}", f"-I{work}"]
    for name, text in (("Arduino.h", ARDUINO_H), ("PDM.h", PDM_H), ("core.cpp", CORE)):
        (work / name).write_text(text)
    for i, path in enumerate(sorted((library / "src").rglob("*.c"))):
        run("gcc", "-std=gnu11", *flags, "-Wall", "-Werror", "-c", path, "-o", work / f"{i}.o")
    run("ar", "rcs", work / "library.a", *sorted(work.glob("*.o")))
    (sketch,) = library.glob("examples/*/*.ino")
    assert sketch.stem == sketch.parent.name
    (work / "sketch.cpp").write_text(f"#include <Arduino.h>\nvoid setup(); void loop();\n{sketch.read_text()}")
    cpp = ["-std=gnu++14", "-fno-exceptions", "-fno-rtti", "-fpermissive", *flags]
    run(compiler, *cpp, work / "sketch.cpp", work / "core.cpp", work / "library.a", "-lm", "-o", work / "sketch")
    return work / "sketch"


@pytest.mark.slow
def test_the_arduino_library_and_its_sketch(dense: Path, spoken: Path, words: Path, tmp_path: Path) -> None:
    need("gcc", "g++", "ar")
    assert "one frame took us: 5" in run(arduino(dense, tmp_path / "dense"))
    assert set(run(arduino(words, tmp_path / "words")).split()) <= set("abcdefghijklmnopqrstu")
    said = run(arduino(spoken, tmp_path / "spoken"))
    assert said.startswith("frames 1, samples lost 0") and said.count("samples lost 0") == said.count("frames") >= 2


@pytest.mark.slow
def test_arduino_sources_do_not_fuse_although_they_have_no_flags(tmp_path: Path) -> None:
    """A Cortex-M4F has a fused instruction, and GCC uses it unless it is told not to."""
    need("arm-none-eabi-gcc", "arm-none-eabi-objdump")
    library = write(program("streaming", "f32"), tmp_path / "float", "floating")
    flags = ["-std=gnu11", "-Os", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=softfp", "-mthumb", "-c"]

    def fused(root: str) -> int:
        found = 0
        for path in sorted((library / root / "mq").glob("*.c")):
            run("arm-none-eabi-gcc", *flags, path, "-o", tmp_path / "made.o")
            found += len(re.findall(r"\bvfm[as]", run("arm-none-eabi-objdump", "-d", tmp_path / "made.o")))
        return found

    assert fused("src") == 0 < fused(".")


# --- PlatformIO, CMSIS-Pack, Rust ------------------------------------------------------------------------------------


def test_the_platformio_manifest_names_all_that_is_compiled(spoken: Path) -> None:
    """Fields of library.json as PlatformIO documents them; `make ecosystems` has PlatformIO itself build it."""
    about = json.loads((spoken / "library.json").read_text())
    assert set(about) == {"name", "version", "description", "keywords", "frameworks", "platforms", "headers", "build"}
    assert all((spoken / header).is_file() for header in about["headers"])
    build = about["build"]
    taken = [p for pattern in build["srcFilter"] if pattern[0] == "+" for p in spoken.glob(pattern[2:-1])]
    assert build["srcDir"] == "." and "-ffp-contract=off" in build["flags"]
    assert {p.relative_to(spoken).as_posix() for p in taken} == set(listed(spoken))


def listed(folder: Path) -> Sequence[str]:
    """C files as the folder's CMake file lists them."""
    return re.findall(r"^  (\S+\.c)$", (folder / "CMakeLists.txt").read_text(), flags=re.M)


def test_the_pack_description_names_files_that_are_there(spoken: Path) -> None:
    """Required elements of PACK.xsd of Open-CMSIS-Pack; generated files were validated against version 1.7.60 of it."""
    (path,) = spoken.glob("*.pdsc")
    pack = ET.parse(path).getroot()
    vendor, name = pack.findtext("vendor"), pack.findtext("name")
    assert path.name == f"{vendor}.{name}.pdsc" and pack.findtext("description")
    (release,) = pack.findall("releases/release")
    (component,) = pack.findall("components/component")
    assert release.get("version") == component.get("Cversion") == VERSION
    assert component.get("condition") in {c.get("id") for c in pack.findall("conditions/condition")}
    files = {f.get("name"): f.get("category") for f in component.findall("files/file")}
    assert all((spoken / name).exists() for name in files)
    assert {n for n, kind in files.items() if kind == "sourceC"} == set(listed(spoken))


@pytest.mark.slow
def test_the_rust_crate_runs(dense: Path, spoken: Path, tmp_path: Path) -> None:
    need("cargo", "cc", "ar")
    app = tmp_path / "app"
    (app / "src").mkdir(parents=True)
    shutil.copytree(dense, tmp_path / "dense")
    (app / "Cargo.toml").write_text(
        '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n'
        '[dependencies]\ndense = { path = "../dense/rust" }\n'
    )
    (app / "src" / "main.rs").write_text(
        "fn main() {\n    let mut model = dense::Model::new();\n    let mut y = [0.0; dense::Y_SIZE];\n"
        "    model.run(&[1.0, 2.0, 3.0, 4.0, 5.0], &mut y);\n"
        '    println!("{:.6} {}", y[0], dense::weights_intact());\n}\n'
    )
    out = run("cargo", "run", "--offline", "--quiet", cwd=app)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "dense.h"\nstatic dense_t m;\nint main(void) {\n'
        "    float x[] = {1, 2, 3, 4, 5}, y[DENSE_Y_SIZE];\n    dense_reset(&m);\n    dense_run(&m, x, y);\n"
        '    printf("%.6f\\n", (double)y[0]);\n    return 0;\n}\n'
    )
    sources = [dense / name for name in listed(dense)]
    run("gcc", "-O2", "-ffp-contract=off", f"-I{dense}", tmp_path / "main.c", *sources, "-lm", "-o", tmp_path / "c")
    assert out.split() == [run(tmp_path / "c").strip(), "true"]


# --- which ----------------------------------------------------------------------------------------------------------


def test_only_what_was_asked_for_is_there() -> None:
    assert ecosystems.chosen("all") == ecosystems.names() and ecosystems.chosen("none") == ()
    assert ecosystems.chosen("zephyr,arduino") == ("arduino", "zephyr")
    with pytest.raises(DiagnosticError) as refused:
        ecosystems.chosen("zephir,arduino,mbed")
    assert refused.value.diagnostics[0].help == "did you mean 'zephyr'?"
    assert len(refused.value.diagnostics) == 2
    assert set(ecosystems.names()) == {"arduino", "cmsis-pack", "esp-idf", "platformio", "rust", "zephyr"}


def test_the_readme_says_how_for_each_that_is_there(dense: Path) -> None:
    text = (dense / "README.md").read_text()
    for word in ("CMake", "ESP-IDF", "Zephyr", "PlatformIO", "Arduino", "CMSIS-Pack", "Rust"):
        assert f"| {word} |" in text
