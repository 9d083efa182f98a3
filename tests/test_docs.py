"""The commands of README.md and the getting-started page, executed; links between pages lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from bench import messages
from bench.small_models import mask_lstm
from mcu_quant.data import synthetic
from mcu_quant.precision.problem import Candidate, Group, Problem
from mcu_quant.precision.strategies import strategy

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ("getting-started", "ten-minutes", "formats", "on-the-board")
PAGES = (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in GUIDE))

PIPELINE = """
title = "spectral magnitudes of 256 samples, 128 apart"
rate_hz = 16000

[block]
length = 256
hop = 128

[inputs.spectrum]
shape = [1, 1, 129]
[inputs.spectrum.stft]
value = "magnitude"
"""


def commands(page: Path) -> list[str]:
    """Lines of a page's code blocks that call mcu-quant, without their comments."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("mcu-quant ")]


def prepare(folder: Path) -> None:
    """What the pages assume: a model, the file that says how audio becomes its inputs, recordings."""
    for name in ("model", "vad"):
        mask_lstm(folder / f"{name}.onnx")
        (folder / f"{name}.toml").write_text(PIPELINE)
    clip = synthetic.speech(synthetic.VOICES[0], 16000, 2.0, seed=1)
    pcm = np.clip(np.rint(clip * 32768), -32768, 32767).astype(np.int16)
    (folder / "my_board.c").write_text('#include "selftest.h"\nvoid selftest_init(void) {}\n')
    (folder / "my_project.elf").write_bytes(b"\x7fELF")
    for path in ("speech/one.wav", "my_recordings/one.wav", "speech.wav"):
        (folder / path).parent.mkdir(exist_ok=True)
        wavfile.write(folder / path, 16000, pcm)


def runnable(line: str) -> str:
    """A command as it can be run here: without a board, flashing ends before the probe."""
    flashes = line.startswith("mcu-quant flash ") and "qemu" not in line and "--dry-run" not in line
    tool = "" if "--tool" in line else " --tool openocd"
    return f"{line} --dry-run{tool}" if flashes else line


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place for all pages: who reads on has the folders of the page before."""
    folder = tmp_path_factory.mktemp("reader")
    prepare(folder)
    return folder


#: Command lines that worked already, which the next page need not repeat.
WORKED: set[str] = set()


def works(line: str, folder: Path) -> None:
    if line in WORKED:
        return
    command = [sys.executable, "-m", "mcu_quant", *shlex.split(runnable(line))[1:]]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip(), line
    WORKED.add(line)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_of_the_pages_work(page: Path, workplace: Path) -> None:
    lines = commands(page)
    assert len(lines) >= 2
    if page.stem == "on-the-board" and not (workplace / "firmware").exists():
        lines.insert(0, "mcu-quant build vad.onnx --board nucleo_h743zi2 --data my_recordings/ --preset s8 -o firmware")
    emulated = [line for line in lines if "qemu" in line and not shutil.which("qemu-system-arm")]
    for line in (line for line in lines if line not in emulated):
        works(line, workplace)
    if emulated:
        pytest.skip(f"no qemu-system-arm here: NOT run: {'; '.join(emulated)}")


def test_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_page_of_messages_is_the_catalogue() -> None:
    assert messages.PAGE.read_text() == messages.page(), "python -m bench.messages writes it anew"


def test_the_method_of_the_guide_solves_problems() -> None:
    """The code of the page as it stands, beside the exact method."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "adding-a-method.md").read_text(), flags=re.M | re.S
    )
    made: dict[str, Any] = {}
    exec(code, made)
    ways = [(("f16", 2.0, 0.0), ("s8", 1.0, loss)) for loss in (0.1, 5.0, 0.2, 7.0, 0.3)]
    groups = [
        Group(str(i), tuple(Candidate(n, {"flash": size, "loss": lost}) for n, size, lost in both))
        for i, both in enumerate(ways)
    ]
    problem = Problem(tuple(groups), objective={"loss": 1.0}, limits={"flash": 7.0})
    found, best = (s.solve(problem, None) for s in (made["STRATEGY"], strategy("solvers", "milp")))
    assert found.choice == best.choice


@pytest.mark.slow
def test_the_guide_builds_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (make docs): this test was NOT run")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").glob("*.html"))
    assert len(pages) > 20
    for page in pages:  # nothing is loaded from elsewhere
        loaded = re.findall(r'(?:src|<link[^>]*href)="(https?:[^"]+)"', page.read_text())
        assert [u for u in loaded if 'rel="canonical' not in u] == [], page.name


def test_every_make_target_of_the_readme_exists() -> None:
    named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()))
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test"} <= named
    assert all(re.search(rf"^{target}:", makefile, flags=re.M) for target in named)
