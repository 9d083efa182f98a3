"""The generated self-test: what it prints, on this machine and on emulated cores, and that it finds what is wrong."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcu_quant import bare, boards, codegen, selftest_log
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator import qemu
from mcu_quant.emulator.folder import read_interface
from mcu_quant.flash import image
from mcu_quant.program import PackedConstant
from tests.test_codegen import program, write_folder

PARTS = ("main", "selftest", "port", "timed", "vectors")


def on_host(folder: Path, *flags: str) -> tuple[int, str]:
    """Exit status and log of the self-test, compiled with sanitizers as one command would."""
    prefix = read_interface(folder)["prefix"]
    sources = [folder / f"{prefix}{part}.c" for part in ("", "_weights", "_check")]
    sources += [*sorted((folder / "mq").glob("*.c")), *(folder / "selftest" / f"{p}.c" for p in PARTS)]
    made = folder / "selftest-program"
    command = ["gcc", "-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", *flags]
    command += ["-fsanitize=undefined", "-fno-sanitize-recover=all", f"-I{folder / 'mq'}", *map(str, sources)]
    subprocess.run([*command, "-lm", "-o", str(made)], check=True)
    done = subprocess.run([str(made)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def the_run(log: str) -> selftest_log.Run:
    runs, problems = selftest_log.read(log, "log")
    assert len(runs) == 1 and not problems
    return runs[0]


@pytest.mark.parametrize(("name", "fmt"), [("dense", "s8"), ("streaming", "f16"), ("streaming", "f32")])
def test_prints_a_whole_log_and_passes(name: str, fmt: str, tmp_path: Path) -> None:
    made = program(name, fmt)
    folder = write_folder(made, tmp_path, "probe", frames=5)
    status, log = on_host(folder)
    run = the_run(log)
    assert (status, run.passed, run.model, run.isa, run.counter) == (0, True, "probe", "scalar", "emulated")
    assert set(run.steps) == set(range(len(made.calls))) and run.frames == 4
    assert [(o.differ, o.of) for o in run.outputs.values()] == [(0, 5 * made.edges[made.outputs[0]].type.size)]
    assert run.weights_crc32 == run.expected_crc32 == f"0x{codegen.weights_crc32(made):08x}"
    assert run.frame is not None and run.frame.least <= run.frame.cycles <= run.frame.largest
    assert run.stack_bytes and run.stack_bytes < 65536


def test_the_schedule_of_the_log_is_the_file(tmp_path: Path) -> None:
    folder = write_folder(program("dense", "s8"), tmp_path, "probe")
    digest = hashlib.sha256((folder / "probe.c").read_bytes()).hexdigest()
    assert the_run(on_host(folder)[1]).schedule == digest[: selftest_log.SCHEDULE_DIGITS]


def test_one_frame_of_vectors_is_timed_twice(tmp_path: Path) -> None:
    folder = write_folder(program("streaming", "s8"), tmp_path, "probe", frames=1)
    status, log = on_host(folder)
    run = the_run(log)
    assert (status, run.frames) == (0, 1) and all(m.least == m.largest for m in run.steps.values())


def test_a_wrong_value_and_a_changed_constant_fail(tmp_path: Path) -> None:
    folder = write_folder(program("dense", "s8"), tmp_path, "probe")
    vectors, weights = folder / "selftest" / "vectors.c", folder / "probe_weights.c"
    right = vectors.read_text()
    before, after = right.split("const float probe_expected_")
    name, values = after.split("= {\n    ", 1)
    first, rest = values.split(", ", 1)
    vectors.write_text(f"{before}const float probe_expected_{name}= {{\n    {float(first[:-1]) + 0.5}f, {rest}")
    status, log = on_host(folder)
    assert status == 1 and not the_run(log).passed
    assert [o.differ for o in the_run(log).outputs.values()] == [1]

    vectors.write_text(right)
    text = weights.read_text()
    head, tail = text.split("= {\n    ", 1)
    first, rest = tail.split(", ", 1)
    changed = int(first) ^ 1
    weights.write_text(f"{head}= {{\n    {changed}, {rest}")
    status, log = on_host(folder)
    run = the_run(log)
    assert status == 1 and run.weights_crc32 != run.expected_crc32


def test_functions_of_the_port_can_be_replaced(tmp_path: Path) -> None:
    folder = write_folder(program("dense", "s8"), tmp_path, "probe")
    (folder / "selftest" / "vectors.c").write_text(
        (folder / "selftest" / "vectors.c").read_text()
        + '\n#include <stdio.h>\n#include "selftest.h"\n'
        + "uint32_t selftest_clock_hz(void) { return 168000000u; }\n"
        + "void selftest_putchar(char c) { (void)fputc(c, stderr); }\n"
    )
    assert on_host(folder) == (0, "")  # everything went to the other stream


def test_constants_of_all_types_have_the_crc_of_the_compiler(tmp_path: Path) -> None:
    """NaN, minus zero and the most negative numbers are laid out as numpy has them."""
    made = program("dense", "s8")
    rng = np.random.default_rng(5)
    arrays = {
        "f32": np.array([np.nan, -0.0, np.inf, -np.inf, 1e-45, 3.4e38, -np.float32("nan")], np.float32),
        "f16": np.array([np.inf, -0.0, 65504, 6e-8], np.float16),
        **{f"s{n}": np.array([-(2 ** (n - 1)), 2 ** (n - 1) - 1, 0], f"int{n}") for n in (8, 16, 32, 64)},
        **{f"u{n}": np.array([2**n - 1, 0], f"uint{n}") for n in (8, 16, 32, 64)},
        "b8": rng.integers(0, 2, 5).astype(bool),
    }
    more = {f"extra {fmt}": PackedConstant(f"extra {fmt}", a, fmt) for fmt, a in arrays.items()}
    folder = write_folder(replace(made, constants={**made.constants, **more}), tmp_path, "probe")
    status, log = on_host(folder)
    assert (status, the_run(log).weights_crc32) == (0, the_run(log).expected_crc32)


# --- on cores --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "board_id", ["nucleo_f446re", "nucleo_g0b1re", "nucleo_u575zi_q", "ek_ra8m1", "nucleo_h743zi2"]
)
def test_the_same_sources_pass_on_emulated_cores(board_id: str, tmp_path: Path) -> None:
    board = boards.load(board_id)
    target = qemu.target_of(board)
    if qemu.missing(target):
        pytest.skip(f"{', '.join(qemu.missing(target))} is not installed: this test was NOT run")
    made = program("streaming", "s8")
    folder = write_folder(made, tmp_path, "probe", frames=4)
    elf = image.build_emulated(folder, target)
    command = [target.emulator, "-machine", target.machine, "-nodefaults", "-display", "none", "-icount", "shift=0"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(elf)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    run = the_run(done.stdout)
    assert done.returncode == 0 and run.passed and run.counter == "emulated"
    assert run.frame is not None and run.frame.cycles > 0 and run.stack_bytes and run.stack_bytes < 4096
    host = the_run(on_host(folder)[1])
    assert run.weights_crc32 == host.weights_crc32 and run.outputs == host.outputs


def test_a_program_for_the_board_lies_where_its_file_says(tmp_path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    board = boards.load("nucleo_h743zi2")
    if qemu.missing(qemu.target_of(board)):
        pytest.skip("no cross compiler: this test was NOT run")
    folder = write_folder(program("dense", "s8"), tmp_path, "probe", board=board)
    elf = image.build(folder, board, clock_hz=64_000_000)
    with elf.open("rb") as stream:
        found = ELFFile(stream)
        segments = [s.header for s in found.iter_segments() if s.header.p_type == "PT_LOAD" and s.header.p_filesz]
        vectors = found.get_section_by_name(".vectors").data()[:8]
    assert all(board.program_memory.address <= s.p_paddr < board.program_memory.end for s in segments)
    stack, reset = np.frombuffer(vectors, np.uint32)
    assert stack == board.arena_memory.end and reset & 1 and board.program_memory.address < reset


@pytest.mark.parametrize(
    "board_id", ["raspberry_pi_pico2", "mps2_an386", "cy8cproto_062_4343w", "arduino_nano33ble_sense"]
)
def test_a_board_that_starts_otherwise_is_refused_with_its_reason(board_id: str, tmp_path: Path) -> None:
    board = boards.load(board_id)
    assert bare.obstacle(board) and bare.layout(board) is None
    folder = write_folder(program("dense", "s8"), tmp_path, "probe", board=board)
    assert not (folder / "selftest" / "board.ld").exists()
    with pytest.raises(DiagnosticError) as refused:
        image.build(folder, board)
    assert [d.code for d in refused.value.diagnostics] == ["MQ606"] and refused.value.diagnostics[0].help
