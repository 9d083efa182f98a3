"""Builds for size: other kernels and another option of the compiler, less flash, and the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcu_quant import api, boards
from mcu_quant.emulator import qemu
from mcu_quant.emulator.folder import FolderSession
from mcu_quant.emulator.qemu_folder import QemuFolderSession
from tests import streaming_model

BOARD = "mps2_an386"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, api.BuildResult]]:
    home = tmp_path_factory.mktemp("optimise")
    model, data = streaming_model.write(home), streaming_model.speech(home / "speech")
    precision = api.PrecisionRequest(preset="s8")
    return {
        what: (
            home / what,
            api.build(api.BuildRequest(api.Source(model), BOARD, home / what, precision, data, optimise=what)),
        )
        for what in ("speed", "size")
    }


def outputs(session: FolderSession | QemuFolderSession) -> list[bytes]:
    random = np.random.default_rng(3)
    frames = [random.uniform(-1, 1, (1, 1, 16)).astype(np.float32) for _ in range(6)]
    with session:
        return [np.asarray(y).tobytes() for frame in frames for y in session.run(None, {"x": frame})]


def test_a_build_for_size_is_smaller_and_says_what_each_kernel_takes(
    built: dict[str, tuple[Path, api.BuildResult]],
) -> None:
    if qemu.missing(qemu.target_of(boards.load(BOARD))):
        pytest.skip("the cross compiler is not installed")
    fast, small = (built[what][1].report["flash"] for what in ("speed", "size"))
    assert fast["origin"] == small["origin"] == "linked"
    assert small["code_bytes"] < 0.8 * fast["code_bytes"]
    assert small["weights_bytes"] <= fast["weights_bytes"]
    assert small["kernels"].keys() == fast["kernels"].keys()
    assert sum(small["kernels"].values()) < 0.8 * sum(fast["kernels"].values())


def test_both_give_the_same_bits_on_the_host_and_on_the_core(built: dict[str, tuple[Path, api.BuildResult]]) -> None:
    fast, small = (built[what][0] for what in ("speed", "size"))
    wanted = outputs(FolderSession(fast))
    assert outputs(FolderSession(small)) == wanted
    if qemu.missing(qemu.target_of(boards.load(BOARD))):
        pytest.skip("no emulator")
    for what, folder in (("speed", fast), ("size", small)):
        board = boards.load(BOARD, optimise=what)
        assert outputs(QemuFolderSession(folder, qemu.target_of(board), trace=False)) == wanted


def test_the_folder_tells_its_build_system(built: dict[str, tuple[Path, api.BuildResult]]) -> None:
    for what, level in (("speed", "-O2"), ("size", "-Os")):
        folder = built[what][0]
        assert f'CMAKE_C_FLAGS_RELEASE "{level}"' in (folder / "CMakeLists.txt").read_text()
        assert f'"optimise": "{what}"' in (folder / "manifest.json").read_text()
    assert "--optimize size" in (built["size"][0] / "manifest.json").read_text()
