"""Sizes predicted before anything is compiled, against the linker and the emulated core."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import code_size, whole_models
from mcu_quant import boards, codegen, footprint, memory, size_table, texts, variants
from mcu_quant.api import stages
from mcu_quant.api.stages import Model, PrecisionRequest
from mcu_quant.emulator import qemu
from mcu_quant.emulator.qemu_folder import QemuFolderSession
from tests.test_audio_pipelines import FRONTS, dense, source
from tests.test_codegen import program, write_folder

BOARDS = ("nucleo_g0b1re", "nucleo_l4r5zi", "nucleo_h743zi2", "raspberry_pi_pico2", "mps3_an547", "gap9_evk")
linker = pytest.mark.skipif(
    not shutil.which("arm-none-eabi-gcc"), reason="arm-none-eabi-gcc is not installed: this test was NOT run"
)


def compiler_of(board: boards.Board) -> str:
    """The board's GCC, or a skipped test."""
    found = shutil.which(f"{board.compiler.triple}-gcc")
    return found or pytest.skip(f"{board.compiler.triple}-gcc is not installed: this test was NOT run")


def folder_of(model: Model, preset: str, board: boards.Board, folder: Path) -> Path:
    """The model's firmware for a board."""
    target = stages.target(board)
    plan = stages.choose(model, target, PrecisionRequest(preset), None).plan
    program = stages.lowered(model, plan, target).program
    context = codegen.Context("net", model.graph.name, board.name, "", codegen.Vectors({}, {}))
    texts.write(folder, codegen.generate(program, memory.plan(program), context))
    return folder


def today(folder: Path, board: boards.Board) -> size_table.Core:
    """The table's figures of a core, with those of the folder's functions as they are now: kernels change every day."""
    core = size_table.core(board.size_core)
    with tempfile.TemporaryDirectory() as scratch:
        tools = code_size.Tools(board, compiler_of(board), Path(scratch))
        files = {p.stem: code_size.function(tools, p) for p in sources_of(folder)}
    return replace(core, functions={**core.functions, **files})


def sources_of(folder: Path) -> list[Path]:
    """The library's own files of what a folder holds."""
    stems = [p.stem.split("__") for p in (folder / "mq").glob("mq_*__*.c")]
    return [variants.sources()[name][isa] for name, isa in stems]


def close_and_never_below(folder: Path, board: boards.Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flash, and RAM with the stack: at most 3 % above what the linker and the compiler's call graph say."""
    core = today(folder, board)
    with monkeypatch.context() as patch:
        patch.setattr(size_table, "core", lambda name: core)
        predicted = footprint.estimated(folder, board)
    linked = footprint.linked(folder, board, compiler_of(board))
    where = (folder.name, board.id, predicted, linked)
    assert linked.flash_bytes <= predicted.flash_bytes <= 1.03 * linked.flash_bytes, where
    assert linked.static_ram_bytes <= predicted.static_ram_bytes, where
    assert linked.stack_bytes <= predicted.stack_bytes, where
    ram = linked.static_ram_bytes + linked.stack_bytes
    # of a RAM of 2 KiB, 3 % are less than one function's frame
    assert predicted.static_ram_bytes + predicted.stack_bytes <= max(1.03 * ram, ram + 96), where


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    return list(whole_models.read(None, whole_models.SMALL, tmp_path_factory.mktemp("models")))


@linker
@pytest.mark.parametrize("board_id", ["nucleo_g0b1re", "nucleo_l4r5zi", "mps3_an547", "esp32_c3_devkitm_1"])
@pytest.mark.parametrize("preset", ["s8", "f32"])
def test_predicted_sizes_are_the_linker_s(
    models: list[Model], preset: str, board_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = boards.load(board_id)
    for i, model in enumerate(models):
        close_and_never_below(folder_of(model, preset, board, tmp_path / f"{i}"), board, monkeypatch)


@linker
@pytest.mark.sweep
@pytest.mark.parametrize("name", ["dtln_stage1", "silero_vad_16k", "mlperf_tiny_dscnn", "gtcrn_stream"])
def test_predicted_sizes_of_real_models_are_the_linker_s(
    shared: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model,) = whole_models.read(shared / "models", [name], tmp_path)
    for board in map(boards.load, BOARDS):
        for preset in ("s8", "f16", "f32") if board.offers_f16 else ("s8", "f32"):
            close_and_never_below(
                folder_of(model, preset, board, tmp_path / f"{board.id}-{preset}"), board, monkeypatch
            )


@linker
@pytest.mark.slow
def test_the_core_uses_no_more_stack_than_the_call_graph_says(models: list[Model], tmp_path: Path) -> None:
    for board_id in ("mps2_an386", "raspberry_pi_pico"):
        board = boards.load(board_id)
        target = qemu.target_of(board)
        if qemu.missing(target):
            pytest.skip("the emulator is not installed: this test was NOT run")
        for i, model in enumerate(models):
            folder = folder_of(model, "s8", board, tmp_path / f"{board_id}-{i}")
            with QemuFolderSession(folder, target, trace=False) as session:
                session.run(None, {p["name"]: [0.5] * _size(p) for p in session.interface["inputs"]})
                used = session.stack_bytes
            stated = footprint.measure(folder, board).stack_bytes
            # the call graph takes every path and a generous C library; the frame that calls `run` is in neither
            assert 0.4 * stated < used <= stated, (board_id, used, stated)


def _size(port: dict[str, list[int]]) -> int:
    size = 1
    for n in port["shape"]:
        size *= n
    return size


def test_a_function_that_is_newer_than_the_table_is_not_free() -> None:
    core = size_table.core("cortex-m4")
    known = core.functions["mq_conv_s8__dsp"]
    assert core.about("mq_conv_s8__mve")["flash_bytes"] >= known["flash_bytes"]
    largest = max(f["flash_bytes"] for f in core.functions.values())
    assert core.about("mq_new_s8__scalar")["flash_bytes"] == largest


def test_members_of_the_c_library_are_counted_once() -> None:
    core = size_table.core("cortex-m0plus")
    schedule = size_table.Schedule(1, 1, 0, 0, 0, 1, frozenset())
    one, _ = core.library_bytes(["mq_conv_f32__scalar"], schedule)
    both, _ = core.library_bytes(["mq_conv_f32__scalar", "mq_conv_f16__scalar"], schedule)
    assert 1000 < one <= both < 1.5 * one


@linker
def test_the_constants_of_a_front_end_are_counted(tmp_path: Path) -> None:
    """Mel bands are tables of unsigned numbers, which no model has."""
    text = "[block]\nlength = 256\nhop = 64\n[inputs.x]\nshape = [1, 7, 6]\n"
    text += f'stft = {{ window = "hann", length = 64, hop = 32 }}\n{FRONTS["mfcc"]}\n'
    board = boards.load("nucleo_l4r5zi")
    folder = folder_of(stages.read(source(tmp_path, dense(42, [1, 7, 6]), text)), "s8", board, tmp_path / "made")
    linked = footprint.linked(folder, board, compiler_of(board))
    estimated = footprint.estimated(folder, board)
    # every array is padded to 8 bytes, the last one by no linker
    assert 0 <= estimated.weights_bytes - linked.weights_bytes < 8 < linked.weights_bytes
    # samples have two bytes each
    assert 0 <= estimated.static_ram_bytes - linked.static_ram_bytes <= 16


def test_what_kernels_call_through_pointers_lies_below_them() -> None:
    node = 'node: {{ title: "{0}" label: "{0}\\n{1} bytes (static)" }}\n'
    nodes = node.format("mq_depthwise_s8", 40) + node.format("a.c:mq_two_outputs_up", 64) + node.format("a.c:other", 99)
    edge = 'edge: { sourcename: "mq_depthwise_s8" targetname: "__indirect_call" }'
    assert footprint.deepest(nodes + edge, "mq_depthwise_s8") == 104
    assert footprint.deepest(nodes, "mq_depthwise_s8") == 40


def test_what_states_begin_with_counts(tmp_path: Path) -> None:
    made = program("streaming", "f32")
    (state,) = made.states
    begun = replace(made, states=(replace(state, initial=np.linspace(-1.0, 1.0, 4, dtype=np.float32)),))
    zero, other = (
        size_table.Schedule.read(write_folder(p, tmp_path / name, "net")).parameter_bytes
        for name, p in (("zero", made), ("begun", begun))
    )
    assert other - zero == 4 * 4
