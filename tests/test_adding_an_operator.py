"""An operator is its own files: without them it is refused by name, with them it is there, and nothing else changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parent.parent

#: operator -> its files, and a node of it on x: [1, 6, 4, 1]
OPERATORS = {
    "LRN": (("mcu_quant/ops/lrn.py", "firmware/kernels/lrn"), {"size": 3}),
    "CumSum": (("mcu_quant/ops/cumulate.py", "firmware/kernels/cumulate"), {}),
}

#: Imports a model, lowers it to f32, runs it, and generates its C.
RUN = """
import sys
import numpy as np
import onnx
from mcu_quant.onnx_backend import build
built = build(onnx.load(sys.argv[1]))
x = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(1, 6, 4, 1)
print(built.session.run(None, {"x": x})[0].ravel().tolist())
"""


def tree(folder: Path) -> Path:
    """A copy of everything that an installation holds."""
    for name in ("mcu_quant", "firmware", "boards", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def model(kind: str, attributes: dict[str, int], path: Path) -> str:
    """A model of that node alone; CumSum's axis is a constant input."""
    inputs = ["x", "axis"] if kind == "CumSum" else ["x"]
    constants = [onnx.numpy_helper.from_array(np.array(1), "axis")] if kind == "CumSum" else []
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 6, 4, 1]) for n in ("x", "y")]
    node = helper.make_node(kind, inputs, ["y"], **attributes)
    graph = helper.make_graph([node], "one", ports[:1], ports[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", OPERATORS)
def test_an_operator_is_only_its_own_files(kind: str, tmp_path: Path) -> None:
    files, attributes = OPERATORS[kind]
    path = model(kind, attributes, tmp_path / "one.onnx")
    folder = tree(tmp_path / "tree")
    for name in files:
        kept = tmp_path / "kept" / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / name, kept)
    without = python(folder, "-c", RUN, path)
    assert f"operator {kind} is not supported" in without.stderr, without.stderr[-1000:]
    assert "MQ107" in without.stderr
    listed = python(folder, "-m", "mcu_quant", "ops")
    assert listed.returncode == 0, listed.stderr
    for name in files:
        shutil.move(tmp_path / "kept" / name, folder / name)
    added = python(folder, "-c", RUN, path)
    assert added.returncode == 0, added.stderr[-1000:]
    assert added.stdout == python(ROOT, "-c", RUN, path).stdout
