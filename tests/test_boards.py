"""Board files: every one is valid, sourced and usable; every mistake in one is named, with a remedy."""

import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcu_quant import boards, cost, paths, schemas, timing
from mcu_quant.board_template import OWN, template
from mcu_quant.boards import HalfPrecision
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.energy import SPREAD, energy
from mcu_quant.ops import Counts
from mcu_quant.program import Program, Purpose

ALL = boards.ids()


def document(board_id: str = "nucleo_f446re") -> dict[str, Any]:
    return tomllib.loads((paths.boards() / f"{board_id}.toml").read_text(encoding="utf-8"))


def problems(changed: dict[str, Any]) -> dict[str, Diagnostic]:
    """Diagnostics by the key they are about."""
    found = boards.check(changed, "file.toml", changed.get("id", ""))
    assert all(d.code == "MQ502" for d in found)
    return {d.where.removeprefix("file.toml: "): d for d in found}


# --- the boards that come with the tool ----------------------------------------------------------------------------


def test_the_boards_the_documentation_promises_are_there() -> None:
    cores = {b.id: b.core.name for b in boards.all_boards()}
    assert cores["nucleo_f446re"] == "cortex-m4"
    assert cores["nucleo_h743zi2"] == "cortex-m7"
    assert cores["nucleo_n657x0_q"] == "cortex-m55"
    assert cores["raspberry_pi_pico"] == "cortex-m0plus"


@pytest.mark.parametrize("board_id", ALL)
def test_every_board_loads_and_every_fact_has_a_source(board_id: str) -> None:
    board = boards.load(board_id)
    assert board.id == board_id
    assert all(board.source(fact) for fact in board.facts)
    assert board.program_memory is not board.arena_memory
    assert board.arena_memory.writable and board.arena_memory.usable_bytes > 0


@pytest.mark.parametrize("board_id", ALL)
def test_the_arena_lies_in_the_largest_bank_unless_the_file_says_why_not(board_id: str) -> None:
    board = boards.load(board_id)
    on_chip = [r.usable_bytes for r in board.memory if r.kind == "sram" and "program" not in r.use]
    assert board.arena_memory.usable_bytes == max(on_chip)


@pytest.mark.parametrize("board_id", ALL)
def test_the_compiler_takes_the_flags_and_agrees_about_the_core(board_id: str) -> None:
    board = boards.load(board_id)
    gcc = shutil.which(f"{board.compiler.triple}-gcc")
    if gcc is None:
        pytest.skip(f"{board.compiler.triple}-gcc is not installed: flags were NOT tried")
    command = [gcc, *board.compiler.gcc_flags, "-dM", "-E", "-x", "c", "-"]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=True)
    macros = dict((*line.split(maxsplit=2)[1:], "")[:2] for line in done.stdout.splitlines())
    assert ("__ARM_FP" in macros or "__riscv_flen" in macros) == (board.core.fpu != "none")
    if "__riscv" in macros:
        return  # of what follows it has nothing
    assert ("__ARM_FEATURE_DSP" in macros) == board.core.dsp
    assert (int(macros.get("__ARM_FEATURE_MVE", "0")) == 3) == (board.core.mve == "fp")
    assert ("__ARM_FEATURE_FP16_SCALAR_ARITHMETIC" in macros) == board.core.fp16
    assert ("__ARM_FP16_FORMAT_IEEE" in macros) == board.offers_f16


@pytest.mark.parametrize(
    ("board_id", "isa", "half"),
    [
        ("raspberry_pi_pico", "scalar", HalfPrecision.NONE),
        ("nucleo_f446re", "dsp", HalfPrecision.STORAGE),
        ("nucleo_h743zi2", "dsp", HalfPrecision.STORAGE),
        ("raspberry_pi_pico2", "dsp", HalfPrecision.STORAGE),
        ("nucleo_n657x0_q", "mve", HalfPrecision.ARITHMETIC),
        ("ek_ra8m1", "mve", HalfPrecision.ARITHMETIC),
    ],
)
def test_what_follows_from_the_core(board_id: str, isa: str, half: HalfPrecision) -> None:
    board = boards.load(board_id)
    assert board.kernel_isa == isa
    assert board.half_precision is half
    assert board.offers_f16 == (half is not HalfPrecision.NONE)


def test_only_kernels_that_exist_are_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    helium, dsp, plain = (boards.load(b) for b in ("nucleo_n657x0_q", "nucleo_f446re", "raspberry_pi_pico"))
    for existing, expected in [
        ({"scalar"}, ("scalar", "scalar", "scalar")),
        ({"scalar", "dsp"}, ("dsp", "dsp", "scalar")),
        ({"scalar", "mve"}, ("mve", "scalar", "scalar")),
        ({"scalar", "dsp", "mve"}, ("mve", "dsp", "scalar")),
    ]:
        monkeypatch.setattr(boards, "existing_isas", lambda isas=existing: frozenset(isas))
        assert tuple(boards.available_isa(b) for b in (helium, dsp, plain)) == expected


def test_a_fact_inherits_the_source_of_the_table_around_it_unless_it_has_its_own() -> None:
    board = boards.load("nucleo_l4r5zi")
    assert "HALE" in board.source("memory.flash.read_cycles_per_byte")
    assert "stm32-data" in board.source("memory.flash.bytes")
    assert "cache.art_data.bytes" in board.unverified
    assert "core.name" not in board.unverified
    with pytest.raises(KeyError):
        board.source("memory.flash.colour")


def test_reserved_bytes_are_not_offered() -> None:
    flash = boards.load("arduino_nano33ble_sense").region("flash")
    assert flash.usable_bytes == flash.bytes - 65_536


def test_the_example_in_the_documentation_is_a_board_file() -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "boards.md").read_text(encoding="utf-8")
    example = tomllib.loads(text.split("```toml\n")[1].split("```")[0])
    assert boards.check(example, "docs/boards.md", "my_board") == []


# --- mistakes ------------------------------------------------------------------------------------------------------


def test_unknown_board_suggests_the_nearest() -> None:
    with pytest.raises(DiagnosticError) as caught:
        boards.load("nucleo_f446")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "MQ501"
    assert "'nucleo_f446re'" in diagnostic.help


def test_missing_file_is_an_unknown_board(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as caught:
        boards.load(tmp_path / "mine.toml")
    assert [d.code for d in caught.value.diagnostics] == ["MQ501"]


def test_a_board_file_of_ones_own(tmp_path: Path) -> None:
    text = (paths.boards() / "nucleo_f446re.toml").read_text(encoding="utf-8")
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace('id = "nucleo_f446re"', 'id = "mine"'), encoding="utf-8")
    assert boards.load(mine).id == "mine"
    assert boards.load(str(mine)).arena_memory.name == "sram"


@pytest.mark.parametrize("content", [b"id = \n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(DiagnosticError) as caught:
        boards.load(path)
    assert [d.code for d in caught.value.diagnostics] == ["MQ502"]


def test_several_mistakes_are_all_named_with_suggestions() -> None:
    changed = document()
    changed["core"]["fpuu"] = changed["core"].pop("fpu")
    changed["memroy"] = changed.pop("memory")
    changed["clock"]["180mhz"]["hz"] = "fast"
    changed["core"]["name"] = "cortex-m44"
    found = problems(changed)
    assert "'fpu'" in found["core.fpuu"].help
    assert "missing" in found["core.fpu"].message and "floating-point" in found["core.fpu"].help
    assert "'memory'" in found["memroy"].help
    assert "missing" in found["memory"].message
    assert "integer" in found["clock.180mhz.hz"].message
    assert "'cortex-m4'" in found["core.name"].help
    assert len(found) == 6


def test_a_fact_without_a_source_and_a_source_without_a_fact() -> None:
    changed = document()
    del changed["sources"]["cache"]
    changed["sources"]["memory.flsh"] = "a manual"
    found = problems(changed)
    assert "cache.art_data.bytes" in found
    assert "'memory.flash'" in found["sources.memory.flsh"].help


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("memory", {"memory": {"flash": {"use": []}}}),
        ("memory", {"memory": {"flash": {"use": ["program", "arena"]}}}),
        ("memory.flash.use", {"memory": {"flash": {"use": ["program", "arena"]}, "sram": {"use": []}}}),
        ("memory.sram.address", {"memory": {"sram": {"address": 0x0800_0100}}}),
        ("memory.flash.reserved_bytes", {"memory": {"flash": {"reserved_bytes": 10**9}}}),
        ("compiler.float_abi", {"compiler": {"float_abi": "soft"}}),
        ("core.fp16", {"core": {"fp16": True, "fpu": "none"}}),
        ("id", {"id": "other"}),
        ("compiler.mcpu", {"compiler": {"mcpu": None}}),
        ("emulator", {"emulator": {"qemuu": {"machine": "x", "same_memory_map": False}}}),
    ],
)
def test_contents_that_cannot_be_right(where: str, change: dict[str, Any]) -> None:
    changed = document()
    merge(changed, change)
    found = boards.check(changed, "file.toml", "nucleo_f446re")
    assert f"file.toml: {where}" in [d.where for d in found]


def merge(into: dict[str, Any], change: dict[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, dict) and key in into:
            merge(into[key], value)
        elif value is None:
            del into[key]
        else:
            into[key] = value


# --- a file to begin with ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("board_id", ALL)
def test_a_new_file_is_valid_at_once_and_claims_nothing(board_id: str) -> None:
    text = template("my_board", boards.load(board_id), document(board_id))
    made = tomllib.loads(text)
    assert boards.check(made, "my_board.toml", "my_board") == []
    assert all(source.startswith("unverified") for source in made["sources"].values())
    assert (made["core"], made["compiler"]) == (document(board_id)["core"], document(board_id)["compiler"])
    for table in ("clock", "memory"):  # all but what was measured on the other board
        copied = {n: {k: v for k, v in t.items() if k not in OWN} for n, t in document(board_id)[table].items()}
        assert made[table] == copied


def test_every_key_of_a_new_file_has_a_comment_and_those_left_out_are_there_to_be_uncommented() -> None:
    text = template("my_board", boards.load("nucleo_f446re"), document())
    lines = [line for line in text.splitlines() if " = " in line and not line.startswith(("# Build", '"'))]
    keys, _, sources = text.partition("[sources]")
    assert all("  # " in line for line in lines if line not in sources)
    for key in ("reserved_bytes", "read_cycles_per_byte", "fp16", "zephyr_board", "condition"):
        assert re.search(rf"^# {key} = ", keys, flags=re.M), key
    uncommented = keys.replace("# mve = ", "mve = ").replace("# count = ", "count = ")
    assert tomllib.loads(uncommented)["core"]["count"] == 1


# --- energy --------------------------------------------------------------------------------------------------------


def report_of(board: boards.Board, ms: float) -> cost.CostReport:
    """A cost report of so many milliseconds, -20 to +50 %, every 10 ms."""
    call = cost.CallCost(
        "k", "o", Purpose.COMPUTE, Counts(), ms * board.clock.hz / 1e3, 0.0, 0, 0, 0, 0, (0, 0), "k", "dsp", False
    )
    made = cost.estimate(Program("p", "scalar", (), (), {}, {}, ()), board, 10.0)
    return replace(made, calls=(call,), error_pct=(-20.0, 50.0))


def test_energy_is_published_power_times_time_with_the_ranges_of_both() -> None:
    board = boards.load("nucleo_u385rg_q")
    found = energy(board, report_of(board, 4.0))
    assert found is not None
    assert found.mj == pytest.approx(5.1 * 4e-3)
    assert found.low_mj == pytest.approx(5.1 / SPREAD * 4e-3 * 0.8)
    assert found.high_mj == pytest.approx(5.1 * SPREAD * 4e-3 * 1.5)
    assert found.average_mw == pytest.approx(5.1 * 0.4)
    assert "MLPerf" in found.sources[0]


def test_several_published_figures_are_the_range() -> None:
    board = boards.load("nucleo_l4r5zi")
    found = energy(board, report_of(board, 1.0))
    assert found is not None
    assert (found.low_mj, found.high_mj) == (pytest.approx(33e-3 * 0.8), pytest.approx(75e-3 * 1.5))
    assert found.low_mj < found.mj < found.high_mj


def test_no_energy_without_a_published_figure_at_the_clock() -> None:
    assert energy(boards.load("nucleo_f446re"), report_of(boards.load("nucleo_f446re"), 1.0)) is None
    board = boards.load("nucleo_l4r5zi")
    slower = replace(report_of(board, 1.0), clock_hz=80_000_000)
    assert energy(board, slower) is None


# --- schemas -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", schemas.names())
def test_every_schema_is_a_schema(name: str) -> None:
    assert schemas.load(name)["type"] == "object"


def test_every_key_of_a_board_file_is_described() -> None:
    def undescribed(schema: dict[str, Any], path: str) -> list[str]:
        found = []
        for key, sub in schema.get("properties", {}).items():
            found += [] if "description" in sub else [f"{path}{key}"]
            found += undescribed(sub, f"{path}{key}.")
            if isinstance(sub.get("additionalProperties"), dict):
                found += undescribed(sub["additionalProperties"], f"{path}{key}.*.")
        return found

    assert undescribed(dict(schemas.load("board")), "") == []


def test_a_core_without_a_floating_point_unit_is_timed_as_one_that_never_has_one() -> None:
    m33 = boards.load("mps2_an521")
    facts = (m33.core.name, m33.timing_core, m33.kernel_isa, m33.offers_f16)
    assert facts == ("cortex-m33", "cortex-m3", "scalar", False)
    assert boards.load("mps2_an505").timing_core == "cortex-m33"
    assert all(b.timing_core in timing.table().cores for b in boards.all_boards())


@pytest.mark.parametrize(
    ("like", "compiler", "complaint"),
    [
        ("esp32_c3_devkitm_1", {"mabi": "ilp32f"}, "compiler.mabi"),
        ("esp32_c3_devkitm_1", {"mabi": None}, "compiler.mabi"),
        ("gap9_evk", {"mabi": "ilp32"}, "compiler.mabi"),
        ("nucleo_f446re", {"float_abi": None}, "compiler.float_abi"),
    ],
)
def test_registers_for_floats_go_with_a_floating_point_unit(like: str, compiler: dict, complaint: str) -> None:
    changed = document(like)
    given = {**changed["compiler"], **compiler}
    changed["compiler"] = {k: v for k, v in given.items() if v is not None}
    changed["sources"] |= {"compiler": "by hand"}
    assert list(problems(changed)) == [complaint]
    changed["compiler"] = document(like)["compiler"]
    assert problems(changed) == {}


def test_a_new_file_does_not_claim_what_was_measured_elsewhere(tmp_path: Path) -> None:
    like = boards.load("cy8cproto_062_4343w")
    document = tomllib.loads((paths.boards() / f"{like.id}.toml").read_text())
    file = tmp_path / "mine.toml"
    file.write_text(template("mine", like, document))
    made = boards.load(file)
    assert like.clock.cycles_factor != 1.0 and made.clock.cycles_factor == 1.0
    assert like.program_memory.read_cycles_per_byte and made.program_memory.read_cycles_per_byte is None
