"""The commands of README.md and the getting-started page, executed; links between pages lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from bench.small_models import mask_lstm
from mcu_quant.data import synthetic

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "getting-started.md")

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


def workplace(folder: Path) -> None:
    """What the pages assume: a model, the file that says how audio becomes its inputs, recordings."""
    for name in ("model", "vad"):
        mask_lstm(folder / f"{name}.onnx")
        (folder / f"{name}.toml").write_text(PIPELINE)
    clip = synthetic.speech(synthetic.VOICES[0], 16000, 2.0, seed=1)
    pcm = np.clip(np.rint(clip * 32768), -32768, 32767).astype(np.int16)
    for path in ("speech/one.wav", "my_recordings/one.wav", "speech.wav"):
        (folder / path).parent.mkdir(exist_ok=True)
        wavfile.write(folder / path, 16000, pcm)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_of_the_pages_work(page: Path, tmp_path: Path) -> None:
    workplace(tmp_path)
    lines = commands(page)
    assert len(lines) >= 4
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    emulated = [line for line in lines if "qemu" in line and not shutil.which("qemu-system-arm")]
    for line in (line for line in lines if line not in emulated):
        command = [sys.executable, "-m", "mcu_quant", *shlex.split(line)[1:]]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), line
    if emulated:
        pytest.skip(f"no qemu-system-arm here: NOT run: {'; '.join(emulated)}")


def test_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_make_target_of_the_readme_exists() -> None:
    named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()))
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test"} <= named
    assert all(re.search(rf"^{target}:", makefile, flags=re.M) for target in named)
