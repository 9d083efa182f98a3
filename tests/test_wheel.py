"""A wheel in an empty environment does what the checkout does."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bench.small_models import mask_lstm

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_carries_what_is_not_python(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for folder, suffix in (("templates", ".j2"), ("firmware", ".c"), ("boards", ".toml")):
        carried = {n.removeprefix("mcu_quant/_data/") for n in names if n.startswith(f"mcu_quant/_data/{folder}/")}
        here = {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*") if p.is_file()}
        assert here == carried and any(n.endswith(suffix) for n in carried)
    assert not any(n.startswith(("tests/", "bench/", "examples/")) for n in names)


def test_an_installed_wheel_builds_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    model = mask_lstm(tmp_path / "model.onnx")

    def build(command: list[str], output: str) -> dict[str, bytes]:
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        clean["MCU_QUANT_CACHE"] = str(tmp_path / f"cache-{output}")
        words = ["build", str(model), "--board", "nucleo_f446re", "--preset", "s8", "-o", output]
        done = subprocess.run([*command, *words], cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / output
        made = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        return {n: b for n, b in made.items() if n not in ("manifest.json", "report.html", "report.json", "README.md")}

    installed = build([str(environment / "bin" / "mcu-quant")], "installed")
    here = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from mcu_quant.cli import main; main()"
    checkout = build([sys.executable, "-c", here], "checkout")
    assert installed.keys() == checkout.keys() and "plan.toml" in installed
    assert installed == checkout
