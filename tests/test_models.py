"""The main job on real models and real speech: build, stream 500 frames through the generated C, compare.

These are the promises of the first release, checked through the same API that the command line calls.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from mcu_quant import api, ops

MODELS = ("dtln_stage1", "dtln_stage2", "silero_vad_16k")
FRAMES = 500

pytestmark = pytest.mark.slow


def built(shared: Path, model: str, preset: str, folder: Path, board: str = "nucleo_h743zi2") -> api.BuildResult:
    request = api.BuildRequest(
        api.Source(shared / "models" / f"{model}.onnx"),
        board,
        folder,
        api.PrecisionRequest(preset=preset),
        data=shared / "audio" / "calibration",
    )
    return api.build(request)


def streamed(folder: Path, shared: Path) -> api.TestResult:
    """Through speech that the ranges were not taken from."""
    return api.test_folder(api.TestRequest(folder, data=shared / "audio" / "valentini" / "noisy", frames=FRAMES))


@pytest.mark.parametrize("model", MODELS)
def test_f32_is_within_90_db_on_every_output_and_state(model: str, shared: Path, tmp_path: Path) -> None:
    built(shared, model, "f32", tmp_path / "f")
    result = streamed(tmp_path / "f", shared)
    found = {**result.accuracy.outputs, **result.accuracy.states}
    assert result.accuracy.frames >= FRAMES
    assert result.accuracy.states, "the state must be compared as well"
    assert {name: d.snr_db for name, d in found.items() if d.snr_db < 90.0} == {}
    assert result.passed


def formats_of(operator: str) -> set[str]:
    """Formats that there are kernels in for a type of operator."""
    return {lowering.format for lowering in ops.spec(operator).lowerings}


@pytest.mark.parametrize("preset", ["f16", "s8", "tinydenoiser"])
@pytest.mark.parametrize("model", MODELS)
def test_integers_equal_their_specification_and_quality_is_measured(
    model: str, preset: str, shared: Path, tmp_path: Path
) -> None:
    made = built(shared, model, preset, tmp_path / "f")
    result = streamed(tmp_path / "f", shared)
    assert result.mismatches == ()
    assert result.accuracy.frames >= FRAMES
    outputs = result.as_dict()["outputs"]
    assert all(isinstance(o["snr_db"], float) and isinstance(o["max_abs"], float) for o in outputs.values())
    computed = [op for op in made.report["operators"] if op["macs"]]
    assert computed and all(op["snr_db"] is not None for op in computed)
    formats = made.report["plan"]["formats"]
    if preset == "tinydenoiser":
        recurrent = {op["format"] for op in made.report["operators"] if op["family"] == "recurrent"}
        others = [op for op in made.report["operators"] if op["family"] not in ("recurrent", "layout")]
        halves = {op["format"] for op in others if "f16" in formats_of(op["op"])}
        assert recurrent == {"s8"} and halves == {"f16"}
        assert {op["format"] for op in others if "f16" not in formats_of(op["op"])} <= {"f32"}
    else:
        assert formats[preset] > 0


@pytest.mark.parametrize("model", [*MODELS, "gtcrn_stream", "kwt1_mfcc", "mlperf_tiny_dscnn"])
def test_the_arena_is_within_10_percent_of_the_lower_bound(model: str, shared: Path, tmp_path: Path) -> None:
    ram = built(shared, model, "f16", tmp_path / "f").report["ram"]
    assert ram["arena_bytes"] <= 1.1 * ram["arena_lower_bound_bytes"]


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="arm-none-eabi-gcc is not installed: NOT run")
@pytest.mark.parametrize("board", ["nucleo_f446re", "raspberry_pi_pico", "mps3_an547"])
def test_the_report_says_what_the_linker_says(board: str, shared: Path, tmp_path: Path) -> None:
    """report.json against arm-none-eabi-size of the probe that the folder's own CMake file links."""
    folder = tmp_path / "f"
    preset = "s8" if board == "raspberry_pi_pico" else "tinydenoiser"
    report = built(shared, "dtln_stage1", preset, folder, board).report
    build = tmp_path / "build"
    configure = ["cmake", "-S", str(folder), "-B", str(build), f"-DCMAKE_TOOLCHAIN_FILE={folder}/toolchain.cmake"]
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
    shown = subprocess.run(
        ["arm-none-eabi-size", str(build / "dtln_stage1_footprint")], check=True, capture_output=True, text=True
    ).stdout
    text, data, bss, *_ = (int(v) for v in shown.splitlines()[1].split()[:4])
    flash, ram = report["flash"], report["ram"]
    assert flash["origin"] == "linked"
    assert flash["total_bytes"] == text + data
    assert ram["total_bytes"] - ram["stack_bytes"] == data + bss
    assert flash["total_bytes"] == flash["weights_bytes"] + flash["code_bytes"] + flash["library_bytes"]
    assert ram["total_bytes"] == sum(ram[k] for k in ("arena_bytes", "state_bytes", "io_bytes", "stack_bytes"))


def test_a_plan_file_is_enough_to_build_the_same_bytes_again(shared: Path, tmp_path: Path) -> None:
    """Formats, scales and code come from the plan alone; only texts that name the command and the data differ."""
    first, second = tmp_path / "a", tmp_path / "b"
    built(shared, "dtln_stage1", "tinydenoiser", first)
    source = api.Source(shared / "models" / "dtln_stage1.onnx")
    precision = api.PrecisionRequest(plan=first / "plan.toml")
    data = shared / "audio" / "calibration"
    api.build(api.BuildRequest(source, "nucleo_h743zi2", second, precision, data=data))
    names = {p.relative_to(first).as_posix() for p in first.rglob("*") if p.is_file()}
    assert names == {p.relative_to(second).as_posix() for p in second.rglob("*") if p.is_file()}
    different = {n for n in names if (first / n).read_bytes() != (second / n).read_bytes()}
    assert different <= {"README.md", "manifest.json", "report.html", "report.json"}
    again = json.loads((second / "report.json").read_text())
    assert again["flash"] == json.loads((first / "report.json").read_text())["flash"]
