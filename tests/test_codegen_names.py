"""Names that exporters and people give, and those that nobody would: the generated C compiles, also from C++."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mcu_quant.c_text import Names
from mcu_quant.emulator.library import WARNINGS
from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.lower import lower
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from tests.test_codegen import write_folder

HOSTILE = (
    *("class", "new", "this", "operator", "template", "private", "delete", "bool", "true", "nullptr", "export"),
    *("int8_t", "size_t", "uint8_t", "float", "double", "inline", "restrict", "_Bool", "asm", "typeof"),
    *("memcpy", "memset", "sqrtf", "INFINITY", "NULL", "NAN", "linux", "unix", "errno", "EOF", "stdin", "assert"),
    *("m", "arena", "state", "main", "x", "X", "y", "mq_base", "MQ_STEP", "MQ_ALIGNED", "scalar_s", "step"),
    *("a/b:0", "a/b;0", "a.b.0", "a b 0", "3d", "ü", "日本", "///", "_", "__x", "é/é"),
    *(
        "ends a comment */ int oops; /*",
        "a line\nbreak",
        "back\\slash\\",
        "??/",
        "%s %d",
        '"quoted"',
        "{{ x }}",
        "#if 0",
    ),
    *("long" * 40, "long" * 40 + "!", "tensor_output_0", "tensor_output_1"),
)


def _chain(names: tuple[str, ...], several: int) -> Graph:
    """Fully connected layers one after the other: every name is that of an edge, of weights and of an operator."""
    rng = np.random.default_rng(4)
    constants, types, operators = {}, {"in": TensorType((1, 3))}, []
    before = "in"
    for name in names:
        constants[f"{name}.w"] = rng.normal(size=(3, 3)).astype(np.float32) / 3.0
        types[f"{name}.w"], types[name] = TensorType((3, 3)), TensorType((1, 3))
        operators.append(Operator(name, "Gemm", (before, f"{name}.w"), (name,)))
        before = name
    # the last ones are outputs, too
    return Graph("names", ("in",), names[-several:], tuple(operators), types, constants)


def _compiles(folder: Path, compiler: str, *more: str) -> None:
    includes = [f"-I{folder}", f"-I{folder}/mq"]
    for source in sorted(folder.glob("*.c")):
        command = [compiler, *more, *WARNINGS, "-fsyntax-only", *includes, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.parametrize("fmt", ["f32", "s8"])
def test_any_name_gives_c_that_compiles(fmt: str, tmp_path: Path) -> None:
    graph = _chain(HOSTILE, 5)
    ranges = {n: Range(-2.0, 2.0) for n in graph.types}
    plan = PrecisionPlan("names", fmt, {op.name: OperatorPlan(fmt) for op in graph.operators}, ranges)
    folder = write_folder(lower(graph, plan), tmp_path, "names")
    for dialect in ("c99", "gnu99", "gnu11"):
        _compiles(folder, "gcc", f"-std={dialect}")


@pytest.mark.parametrize("start", range(0, len(HOSTILE), 12))
def test_any_name_may_be_an_input_or_an_output(start: int, tmp_path: Path) -> None:
    """The header is read by C and by C++."""
    names = HOSTILE[start : start + 12]
    types = {n: TensorType((1, 3)) for n in (*names, *(f"out {n}" for n in names))}
    operators = tuple(Operator(f"f {n}", "Tanh", (n,), (f"out {n}",)) for n in names)
    graph = Graph("ports", names, tuple(f"out {n}" for n in names), operators, types, {})
    plan = PrecisionPlan("ports", "f32", {op.name: OperatorPlan("f32") for op in operators}, {})
    folder = write_folder(lower(graph, plan), tmp_path, "ports")
    _compiles(folder, "gcc", "-std=gnu11")
    if shutil.which("g++"):
        user = tmp_path / "user.cpp"
        user.write_text('#include "ports.h"\nint main() { return 0; }\n')
        for dialect in ("gnu++98", "c++20"):
            command = ["g++", f"-std={dialect}", "-fsyntax-only", f"-I{folder}", str(user)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[:2000]


def test_names_stay_apart_and_keep_what_they_say() -> None:
    names = Names(HOSTILE)
    made = [names(n) for n in HOSTILE]
    assert len({n.lower() for n in made}) == len(HOSTILE)
    assert all(n.isidentifier() and n.isascii() and len(n) <= 2 * Names.LONGEST + 4 for n in made)
    for given in ("memcpy", "tensor_output_0", "a/b:0", "MQ_STEP"):
        said = given.split("/")[0].split("_output")[0].lower()
        assert said in made[HOSTILE.index(given)].lower()
