"""The generated tree in the hands of PlatformIO and the IDF Component Manager themselves: `make ecosystems` installs
them into an environment of their own (they want older versions of what mcu-quant needs) and runs this file."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.test_codegen import program
from tests.test_drop_in import write

pytestmark = pytest.mark.sweep
TOOLS = Path(__file__).resolve().parent.parent / ".venv-ecosystems" / "bin"

#: PlatformIO's platforms come from its registry; this one is the host's compiler, and nothing is downloaded for it.
PLATFORM = {
    "platform.json": '{"name": "here", "version": "1.0.0", "title": "this machine", "packages": {}, "frameworks": {}}',
    "platform.py": "from platformio.public import PlatformBase\nclass HerePlatform(PlatformBase):\n    pass\n",
    "builder/main.py": "from SCons.Script import Default, DefaultEnvironment\nenv = DefaultEnvironment()\n"
    'env.Replace(PROGNAME="program")\nDefault([env.BuildProgram()])\n',
}
MAIN = """
#include <dense.h>
#include <cstdio>
static dense_t m;
int main() { float x[] = {1, 2, 3, 4, 5}, y[3]; dense_reset(&m); dense_run(&m, x, y); printf("%.6f\\n", y[0]); }
"""


def tool(name: str) -> str:
    if not (TOOLS / name).exists():
        pytest.skip(f"{name} is not in .venv-ecosystems (make ecosystems): this test was NOT run")
    return str(TOOLS / name)


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def scons_of_pip(core: Path) -> None:
    """PlatformIO downloads SCons as a package of its own; the one from pip in its place."""
    wanted = run(
        str(TOOLS / "python"), "-c", "from platformio.dependencies import *; print(get_core_dependencies())", cwd=core
    )
    version = re.search(r"'tool-scons': '[~^]?([\d.]+)'", wanted)
    assert version, wanted
    package = core / "packages" / "tool-scons"
    package.mkdir(parents=True)
    about = {"name": "tool-scons", "version": version[1]}
    (package / "package.json").write_text(json.dumps(about))
    spec = {"owner": "platformio", "id": None, "name": "tool-scons", "requirements": None, "uri": None}
    (package / ".piopm").write_text(json.dumps({"type": "tool", **about, "spec": spec}))
    (package / "scons.py").write_text("from SCons.Script import main\nmain()\n")


def test_platformio_builds_the_library_and_packs_it(tmp_path: Path) -> None:
    pio = tool("pio")
    library = write(program("dense", "s8"), tmp_path / "dense", "dense")
    for name, text in PLATFORM.items():
        (tmp_path / "platform" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "platform" / name).write_text(text)
    (tmp_path / "app" / "src").mkdir(parents=True)
    (tmp_path / "app" / "src" / "main.cpp").write_text(MAIN)
    (tmp_path / "app" / "platformio.ini").write_text(
        f"[env:here]\nplatform = symlink://{tmp_path}/platform\nlib_deps = symlink://{library}\n"
    )
    core = tmp_path / "core"
    core.mkdir()
    scons_of_pip(core)
    own = {"PLATFORMIO_CORE_DIR": str(core), "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no"}
    run(pio, "run", cwd=tmp_path / "app", env=own)
    said = run(str(tmp_path / "app" / ".pio" / "build" / "here" / "program"), cwd=tmp_path)
    assert re.fullmatch(r"-?\d+\.\d{6}\n", said)
    assert "Wrote a tarball" in run(
        pio, "pkg", "pack", str(library), "-o", str(tmp_path / "t.tar.gz"), cwd=tmp_path, env=own
    )


def test_the_component_manager_accepts_the_manifest(tmp_path: Path) -> None:
    tool("compote")
    library = write(program("dense", "s8"), tmp_path / "dense", "dense")
    code = "import sys; from idf_component_tools.manager import ManifestManager as M; "
    code += "print(M(sys.argv[1], 'dense').load())"
    assert "ComponentVersion" in run(str(TOOLS / "python"), "-c", code, str(library), cwd=tmp_path)


def test_zephyr_accepts_the_module(tmp_path: Path) -> None:
    """The schema is quoted from scripts/zephyr_module.py of Zephyr, as far as this project uses it."""
    tool("pykwalify")
    library = write(program("dense", "s8"), tmp_path / "dense", "dense")
    text = {"type": "str", "required": False}
    build = {"type": "map", "required": False, "mapping": {"cmake": text, "kconfig": text}}
    (tmp_path / "schema.yaml").write_text(json.dumps({"type": "map", "mapping": {"name": text, "build": build}}))
    module = str(library / "zephyr" / "module.yml")
    run(str(TOOLS / "pykwalify"), "-d", module, "-s", str(tmp_path / "schema.yaml"), cwd=tmp_path)
