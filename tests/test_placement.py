"""Where constants and working memory lie: what was decided fits, is linked there, runs, and is in the report."""

import shutil

import pytest
from elftools.elf.elffile import ELFFile

from mcu_quant import api, boards, cost, memory
from mcu_quant.api.board import FlashRequest, flash
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator import qemu
from mcu_quant.flash import image
from mcu_quant.placement import STACK_BYTES, Wish, place
from tests import streaming_model
from tests.test_cost import dense

H743 = boards.load("nucleo_h743zi2")


def placed(program, board, *wishes):
    return place(program, memory.plan(program), board, cost.estimate(program, board), Wish.parse(wishes))


def test_nothing_moves_unasked():
    found = placed(dense("s8", 64, 64), H743)
    assert (found.memory, dict(found.weights), found.banks) == ("axi_sram", {}, ())


def test_automatic_placement_takes_tightly_coupled_memory_while_there_is_room():
    small, large = dense("s8", 128, 64), dense("s8", 512, 400)
    found = placed(small, H743, "auto")
    assert (found.memory, dict(found.weights), dict(found.bytes)) == ("dtcm", {"w": "dtcm"}, {"dtcm": 128 * 64})
    assert "copied from flash to dtcm" in found.why[-1]
    # 200 KiB do not fit into 128: the next best
    assert dict(placed(large, H743, "auto").weights) == {"w": "axi_sram"}


def test_what_was_copied_costs_no_waiting_and_what_was_not_as_before():
    program = dense("s8", 256, 256)
    there = placed(program, H743, "weights=dtcm")
    before, after = (cost.estimate(program, H743, placement=p) for p in (None, there))
    assert before.calls[0].memory_cycles > 0
    assert after.calls[0].memory_cycles == 0
    assert after.calls[0].compute_cycles == before.calls[0].compute_cycles
    assert dict(placed(program, boards.load("mps2_an386"), "auto").weights) == {}  # nothing waits there


def test_the_stack_and_the_callers_buffers_keep_their_room():
    program = dense("s8", 64, 64)
    board = boards.load("nucleo_f411re")
    room = board.arena_memory.usable_bytes - STACK_BYTES
    assert placed(dense("s8", 400, 300), board, "weights=sram").bytes["sram"] < room
    with pytest.raises(DiagnosticError, match="do not fit"):
        placed(dense("s8", 600, 300), board, "layer=sram")
    assert placed(program, board, "layer=sram").bytes == {"sram": 64 * 64}


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("arena=dtmc", "did you mean 'dtcm'"),
        ("weights=flash2", "no memory 'flash2'"),
        ("lyer=dtcm", "did you mean 'layer'"),
        ("dtcm", "is no placement"),
        ("arena=flash", "no memory 'flash' that can be written"),
    ],
)
def test_what_is_not_there_is_named_with_a_suggestion(wish, message):
    with pytest.raises(DiagnosticError, match=message):
        placed(dense("s8", 64, 64), H743, wish)


# --- in a folder ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = tmp_path_factory.mktemp("placed")
    return made, streaming_model.write(made), streaming_model.speech(made / "speech")


def built(project, board, *places):
    home, model, data = project
    folder = home / f"{board}-{'-'.join(places).replace('=', '_')}"
    precision = api.PrecisionRequest(preset="s8")
    request = api.BuildRequest(api.Source(model), board, folder, precision, data, places=places)
    return folder, api.build(request).report


def addresses(elf):
    with elf.open("rb") as stream:
        return {s.name: s["st_value"] for s in ELFFile(stream).get_section_by_name(".symtab").iter_symbols()}


def test_the_linker_puts_everything_where_the_report_says(project):
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no compiler for the board: this test was NOT run")
    folder, report = built(project, "nucleo_h743zi2", "auto")
    held = {r["name"]: r["holds"] for r in report["regions"] if r["holds"]}
    assert set(held) == {"flash", "dtcm", "axi_sram"}
    assert held["dtcm"]["copied"] == report["ram"]["copied_bytes"] > 0
    assert "arena" not in held["axi_sram"] and "stack" in held["axi_sram"]
    symbols = addresses(image.build(folder, H743))
    dtcm = H743.region("dtcm")
    names = [n for n in symbols if n.startswith("mq_weights_dtcm_") and not n.endswith("_load")] + ["model"]
    assert len(names) == 3
    assert all(dtcm.address <= symbols[n] < dtcm.end for n in names)
    copied = symbols["mq_weights_dtcm_end"] - symbols["mq_weights_dtcm_start"]
    assert held["dtcm"]["copied"] <= copied < held["dtcm"]["copied"] + 8 * 40
    assert H743.program_memory.address < symbols["mq_weights_dtcm_load"] < H743.program_memory.end


def test_a_placed_program_copies_its_constants_and_computes_the_same(project):
    board = boards.load("mps2_an500")
    if qemu.missing(qemu.target_of(board)):
        pytest.skip("the emulator is not installed: this test was NOT run")
    folder, report = built(project, board.id, "weights=ssram23", "arena=psram")
    assert report["ram"]["copied_bytes"] > 0
    found = flash(FlashRequest(folder, tool="qemu"))
    assert found.run.passed and found.weights_intact
    symbols = addresses(found.prepared.elf)
    assert symbols["mq_weights_ssram23_start"] != symbols["mq_weights_ssram23_load"]
    assert board.region("psram").address <= symbols["model"] < board.region("psram").end
    # on a machine whose linker script knows nothing of it, it stays where it was, and runs, too
    plain = api.test_folder(api.TestRequest(folder, frames=4))
    assert plain.passed
