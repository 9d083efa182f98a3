"""Generated folders: golden C for small models, strict warnings, linking two models, C++, re-entrancy."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcu_quant import bare, codegen, memory, texts
from mcu_quant.boards import Board
from mcu_quant.c_text import Names, float_literal
from mcu_quant.emulator.folder import FolderSession
from mcu_quant.emulator.library import WARNINGS
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Graph, Operator, State, StatePiece, TensorType
from mcu_quant.lower import lower
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Program

GOLDEN = Path(__file__).parent / "golden"


def dense_graph() -> Graph:
    """Fully connected and sigmoid."""
    rng = np.random.default_rng(1)
    constants = {"w": rng.normal(size=(3, 5)).astype(np.float32), "b": rng.normal(size=3).astype(np.float32)}
    types = {"x": TensorType((1, 5)), "h": TensorType((1, 3)), "y": TensorType((1, 3))}
    types |= {n: TensorType(a.shape) for n, a in constants.items()}
    operators = (
        Operator("net/dense/Gemm", "Gemm", ("x", "w", "b"), ("h",)),
        Operator("net/act", "Sigmoid", ("h",), ("y",)),
    )
    return Graph("dense", ("x",), ("y",), operators, types, constants)


def streaming_graph() -> Graph:
    """y = tanh(W x + previous y): a state that is updated from frame to frame."""
    rng = np.random.default_rng(2)
    constants = {"w": rng.normal(size=(4, 4)).astype(np.float32)}
    types = {n: TensorType((1, 4)) for n in ("x", "h", "a", "s", "y")} | {"w": TensorType((4, 4))}
    operators = (
        Operator("mix", "Gemm", ("x", "w"), ("h",)),
        Operator("leak", "LeakyRelu", ("s",), ("a",), {"alpha": 0.5}),
        Operator("out", "Tanh", ("h",), ("y",)),
    )
    piece = StatePiece("s", "y", np.arange(4))
    state = State("s", "y", TensorType((1, 4)), np.zeros((1, 4), np.float32), (piece,))
    return Graph("streaming", ("x",), ("a",), operators, types, constants, (state,))


RANGES = {n: Range(-3.0, 3.0) for n in ("x", "h", "s", "a")} | {"y": Range(-1.0, 1.0)}
GRAPHS = {"dense": dense_graph, "streaming": streaming_graph}


def program(name: str, fmt: str) -> Program:
    graph = GRAPHS[name]()
    plan = PrecisionPlan(name, fmt, {op.name: OperatorPlan(fmt) for op in graph.operators}, RANGES)
    return lower(graph, plan)


def write_folder(made: Program, folder: Path, prefix: str, frames: int = 2, board: Board | None = None) -> Path:
    session = ProgramSession(made)
    rng = np.random.default_rng(3)
    feeds = [
        {n: rng.uniform(-1, 1, made.edges[n].type.shape).astype(np.float32) for n in made.inputs} for _ in range(frames)
    ]
    results = [dict(zip((o.name for o in session.get_outputs()), session.run(None, f), strict=True)) for f in feeds]
    vectors = codegen.Vectors(
        {n: np.stack([f[n].ravel() for f in feeds]) for n in made.inputs},
        {o.name: np.stack([r[o.name].ravel() for r in results]) for o in session.get_outputs()},
    )
    context = codegen.Context(prefix, f"{made.name}.onnx", "no board", "mcu-quant build", vectors, version="1.2.3")
    if board:
        context = replace(context, board=board.name, board_id=board.id, layout=bare.layout(board))
    plan = memory.plan(made)
    texts.write(folder, {**codegen.generate(made, plan, context), "README.md": codegen.readme(made, plan, context)})
    return folder


def compilers() -> list[str]:
    return [c for c in ("gcc", "clang") if shutil.which(c)]


@pytest.mark.parametrize(
    ("name", "fmt"), [("dense", "s8"), ("dense", "f16"), ("streaming", "s16"), ("streaming", "f32")]
)
def test_generated_c_is_golden(name: str, fmt: str, tmp_path: Path) -> None:
    """The schedule and the header, as reviewers see them. UPDATE_GOLDEN=1 writes them anew."""
    folder = write_folder(program(name, fmt), tmp_path, f"{name}_{fmt}")
    for suffix in (".c", ".h"):
        made = (folder / f"{name}_{fmt}{suffix}").read_text()
        golden = GOLDEN / f"{name}_{fmt}{suffix}"
        if os.environ.get("UPDATE_GOLDEN"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(made)
        assert made == golden.read_text()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_folder(program("dense", "s8"), tmp_path / "a", "same")
    second = write_folder(program("dense", "s8"), tmp_path / "b", "same")
    files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(second) for p in second.rglob("*") if p.is_file())
    assert all((first / f).read_bytes() == (second / f).read_bytes() for f in files)


@pytest.mark.parametrize("compiler", compilers())
def test_clean_under_strict_warnings(compiler: str, tmp_path: Path) -> None:
    for name in GRAPHS:
        for fmt in ("f32", "f16", "s16", "s8"):
            folder = write_folder(program(name, fmt), tmp_path / f"{name}{fmt}", f"{name}_{fmt}")
            for source in [*folder.glob("*.c"), *folder.glob("mq/*.c"), *folder.glob("selftest/*.c")]:
                command = [compiler, "-std=c99", "-pedantic", "-O2", *WARNINGS, f"-I{folder}", f"-I{folder}/mq"]
                done = subprocess.run(
                    [*command, "-Wno-discarded-qualifiers", "-c", str(source), "-o", str(tmp_path / "o")]
                    if compiler == "gcc"
                    else [*command, "-c", str(source), "-o", str(tmp_path / "o")],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("fmt", ["f32", "f16", "s16", "s8"])
def test_folder_and_program_give_the_same_bits(fmt: str, tmp_path: Path) -> None:
    made = program("streaming", fmt)
    folder = write_folder(made, tmp_path, "bits")
    session = ProgramSession(made, verify=True)
    rng = np.random.default_rng(4)
    with FolderSession(folder, taps=["h"]) as other:
        for frame in range(20):
            if frame == 10:
                session.reset()
                other.reset()
            x = {"x": rng.uniform(-3, 3, (1, 4)).astype(np.float32)}
            assert np.array_equal(session.run(None, x)[0], other.run(None, x)[0])
            assert np.array_equal(session.raw("h"), other.raw("h"))
            assert np.array_equal(session.states()["y"], other.states()["y"])
    assert session.mismatches == []


@pytest.mark.slow
def test_cmake_builds_and_the_self_test_passes(tmp_path: Path) -> None:
    folder = write_folder(program("streaming", "s8"), tmp_path / "f", "selftest_s8")
    build = tmp_path / "build"
    subprocess.run(["cmake", "-S", str(folder), "-B", str(build)], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
    done = subprocess.run([str(build / "selftest_s8_selftest")], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "mq: end result=PASS" in done.stdout
    vectors = folder / "selftest" / "vectors.c"
    text = vectors.read_text()
    head, tail = text.rsplit("= {\n    ", 1)
    vectors.write_text(head + "= {\n    0.123f, " + tail.split(", ", 1)[1])  # a wrong expectation must be found
    subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
    done = subprocess.run([str(build / "selftest_s8_selftest")], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "mq: end result=FAIL" in done.stdout


def test_two_models_link_together_and_run_from_cpp(tmp_path: Path) -> None:
    a = write_folder(program("dense", "s8"), tmp_path / "a", "first")
    b = write_folder(program("streaming", "s8"), tmp_path / "b", "second")
    main = tmp_path / "main.cpp"
    main.write_text(
        '#include "first.h"\n#include "second.h"\n'
        "static first_t one; static second_t two, three;\n"
        "int main() { float x[5] = {0}, y[3], a[4];\n"
        "  first_reset(&one); second_reset(&two); second_reset(&three);\n"
        "  first_run(&one, x, y); second_run(&two, x, a); second_run(&three, x, a); return 0; }\n"
    )
    objects = []
    for folder in (a, b):
        for source in [*folder.glob("*.c"), *folder.glob("mq/*.c")]:
            made = tmp_path / f"{folder.name}-{source.stem}.o"
            subprocess.run(
                ["gcc", "-std=c99", f"-I{folder}", f"-I{folder}/mq", "-c", str(source), "-o", str(made)], check=True
            )
            objects.append(str(made))
    program_path = tmp_path / "both"
    command = ["g++", f"-I{a}", f"-I{b}", str(main), *objects, "-lm", "-o", str(program_path)]
    subprocess.run(command, check=True)
    subprocess.run([str(program_path)], check=True)
    names = subprocess.run(["nm", "--defined-only", "-g", *objects], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[2] for line in names.splitlines() if len(line.split()) == 3]
    assert symbols and all(s.startswith(("first_", "second_")) for s in symbols)
    writable = [line for line in names.splitlines() if line.split()[1:2] in (["D"], ["B"], ["C"])]
    assert writable == []


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, 1e-30, 3.4e38, 1 / 3, 16777217.0, -1e-7])
def test_float_literals_are_exact(value: float) -> None:
    text = float_literal(value)
    assert text.endswith("f") and np.float32(text[:-1]) == np.float32(value)


def test_what_is_no_finite_number_has_a_macro_of_ours() -> None:
    assert [float_literal(v) for v in (float("inf"), float("-inf"), float("nan"))] == [
        "MQ_INFINITY",
        "-MQ_INFINITY",
        "MQ_NAN",
    ]


def test_names_are_valid_unique_and_recognisable() -> None:
    names = Names(["net/a", "net/b/c"])
    assert names("net/b/c/MatMul_output_0") == "b_c_MatMul"
    onnx = ["a/b:0", "a/b;0", "a.b.0", "int", "3d", "ü", "model/encoder/0/reparam_conv/Conv_output_0", "m", "M"]
    made = [names(n) for n in onnx]
    assert len({n.lower() for n in made}) == len(onnx)
    assert all(n.isidentifier() and n.lower() not in Names.TAKEN for n in made)
    assert made[0] == "a_b_0" and made[6].endswith("reparam_conv_Conv")
    assert [names(n) for n in onnx] == made
