"""Latency and fit: monotone in the work, ordered as the cores are, honest about what is not known."""

from dataclasses import replace

import numpy as np
import pytest

from mcu_quant import boards, capacity, cost, ops, timing
from mcu_quant.diagnostics import Severity
from mcu_quant.ops import Counts, Kernel
from mcu_quant.program import (
    Access,
    Buffer,
    Call,
    Constant,
    Edge,
    EdgeType,
    PackedConstant,
    Program,
    Purpose,
    Role,
    Scalar,
    Struct,
    Symbol,
)

DTYPES = {"s8": np.int8, "s16": np.int16, "f16": np.float16, "f32": np.float32}


def dense(fmt: str, inputs: int, outputs: int, kernel: str = "") -> Program:
    """One fully connected layer."""
    edges = {
        "x": Edge("x", EdgeType((inputs,), fmt), Role.INPUT),
        "y": Edge("y", EdgeType((outputs,), fmt), Role.OUTPUT),
    }
    weight = PackedConstant("w", np.zeros((outputs, inputs), DTYPES["s8" if fmt == "s16" else fmt]), fmt)
    parameters = Struct("mq_fully_connected_params", {"rows": 1, "inputs": inputs, "outputs": outputs})
    args = {"x": Buffer("x", Access.READ), "w": Constant("w"), "y": Buffer("y", Access.WRITE), "p": parameters}
    call = Call(kernel or f"mq_fully_connected_{fmt}", "layer", args)
    return Program("dense", "scalar", ("x",), ("y",), edges, {"w": weight}, (call,))


def made_up(name: str, work: Counts) -> dict[str, Kernel]:
    return {name: Kernel(name, "new", counts=lambda program, call: work)}


M4 = boards.load("nucleo_f446re")
M0 = boards.load("raspberry_pi_pico")
IN_FLASH = boards.load("nucleo_g0b1re")


# --- the estimate --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("board", boards.all_boards(), ids=lambda b: b.id)
@pytest.mark.parametrize("fmt", ["s8", "s16", "f32"])
def test_more_work_costs_more_on_every_board(board: boards.Board, fmt: str) -> None:
    cycles = [cost.estimate(dense(fmt, n, 64), board).cycles for n in (1, 16, 64, 256)]
    assert cycles == sorted(set(cycles))
    # the loop over the inputs dominates: 4 times the inputs, nearly 4 times the cycles
    assert 3 < cycles[3] / cycles[2] < 4


def test_floats_without_a_floating_point_unit_cost_far_more_than_integers() -> None:
    f32, s8 = (cost.estimate(dense(fmt, 256, 256), IN_FLASH) for fmt in ("f32", "s8"))
    assert f32.cycles > 10 * s8.cycles
    f32, s8 = (cost.estimate(dense(fmt, 256, 256), M4) for fmt in ("f32", "s8"))
    # four products are on their way at a time in the integer kernel, one in that of floats
    assert s8.cycles < f32.cycles < 4 * s8.cycles


def test_half_precision_as_storage_costs_more_time_than_single() -> None:
    f16, f32 = (cost.estimate(dense(fmt, 256, 256), M4).calls[0] for fmt in ("f16", "f32"))
    assert f16.compute_cycles > f32.compute_cycles
    assert f16.constant_bytes == f32.constant_bytes / 2


def test_faster_cores_need_fewer_cycles() -> None:
    names = ["nucleo_g0b1re", "nucleo_f446re", "nucleo_h743zi2", "ek_ra8m1"]
    cycles = [cost.estimate(dense("s8", 256, 256), boards.load(n)).cycles for n in names]
    assert cycles == sorted(cycles, reverse=True)


def test_weights_in_flash_cost_extra_once_and_in_ram_nothing() -> None:
    program = dense("s8", 256, 256)
    l4, fpga = (cost.estimate(program, boards.load(b)).calls[0] for b in ("nucleo_l4r5zi", "mps2_an386"))
    assert l4.memory_cycles == 0.5 * 256 * 256
    assert fpga.memory_cycles == 0
    assert l4.compute_cycles == fpga.compute_cycles
    pico = cost.estimate(program, M0).calls[0]
    assert pico.memory_cycles > 10 * l4.memory_cycles


def test_a_board_s_own_measurement_goes_before_the_table() -> None:
    flash = replace(M4.program_memory, read_cycles_per_byte=2.0)
    measured = replace(M4, memory=(flash, *M4.memory[1:]))
    assert cost.estimate(dense("s8", 8, 8), measured).calls[0].memory_cycles == 2.0 * 64


def test_published_times_of_the_same_loop_lie_within_the_range() -> None:
    """TFLM's float fully connected kernel is the same plain loop: EdgeMark FC_8 and FC_10, -O3, 120 MHz."""
    board = boards.load("nucleo_l4r5zi")
    for macs, published_ms in ((34_752, 3.19), (199_414, 19.5)):
        report = cost.estimate(dense("f32", macs // 8, 8), board)
        low, high = report.ms_range
        assert low < published_ms < high
        assert report.ms == pytest.approx(published_ms, rel=0.15)


def test_time_is_cycles_over_the_clock_with_a_range_around_it() -> None:
    report = cost.estimate(dense("s8", 64, 64), M4, budget_ms=10.0)
    assert report.ms == pytest.approx(report.cycles / 180_000)
    low, high = report.ms_range
    assert low < report.ms < high
    assert report.real_time_factor == pytest.approx(report.ms / 10.0)
    assert report.origin == "estimated"
    assert report.error_pct[0] <= -15 and report.error_pct[1] >= 25
    assert report.why


@pytest.mark.parametrize("board", boards.all_boards(), ids=lambda b: b.id)
def test_a_range_is_never_tighter_than_the_core_s_and_widest_where_nothing_was_measured(board: boards.Board) -> None:
    report = cost.estimate(dense("s8", 64, 64), board)
    entry = timing.table().cores[board.core.name]
    assert report.error_pct[0] <= entry.error_pct[0] and report.error_pct[1] >= entry.error_pct[1]
    assert (report.status is cost.Status.CALIBRATED) == (board.id in entry.measured_on)
    assert report.why[0].startswith(report.status)
    if report.status is cost.Status.TRANSFERRED:
        assert report.error_pct[0] < entry.error_pct[0] and report.error_pct[1] > entry.error_pct[1]


def test_counted_kernels_add_little_to_the_range_of_core_and_memory() -> None:
    table = timing.table()
    for board in boards.all_boards():
        for fmt in ("s8", "s16", "f32"):
            report = cost.estimate(dense(fmt, 256, 256), board)
            parts = [table.cores[board.timing_core].error_pct]
            parts += [table.transferred_error_pct] if report.status is cost.Status.TRANSFERRED else []
            in_place = board.program_memory.kind == "xip" and report.status is not cost.Status.CALIBRATED
            parts += [table.xip_error_pct] if in_place else []
            for side in (0, 1):
                without = np.prod([1 + p[side] / 100 for p in parts])
                added = (1 + report.error_pct[side] / 100) / without
                assert 0.7 < added < 1.3, (board.id, fmt, report.error_pct)


def test_errors_of_the_coefficients_weigh_by_their_share() -> None:
    program = dense("s8", 64, 64)
    (call,) = program.calls
    new = replace(call, kernel="mq_new_s8")
    kernels = {**ops.kernels(), **made_up("mq_new_s8", Counts(elements=1))}
    small, large = (
        cost.estimate(replace(program, calls=(*n * (call,), new)), M4, kernels=kernels).error_pct for n in (100, 1)
    )
    alone = cost.estimate(program, M4).error_pct
    # whole percents; and errors of two kernels are independent
    assert alone[0] + 1 >= small[0] > large[0] and alone[1] - 1 <= small[1] < large[1]


def test_constants_larger_than_the_cache_are_read_in_every_pass() -> None:
    """NUCLEO-L4R5ZI has 256 bytes in front of its flash, NUCLEO-H743ZI2 a data cache of 16 KiB."""
    program = dense("s8", 64, 64)
    twice = {
        "mq_fully_connected_s8": replace(ops.kernels()["mq_fully_connected_s8"], counts=lambda p, c: Counts(passes=2))
    }
    for board_id, times in (("nucleo_l4r5zi", 2), ("nucleo_h743zi2", 1)):
        board = boards.load(board_id)
        once = cost.estimate(program, board).calls[0].memory_cycles
        assert cost.estimate(program, board, kernels=twice).calls[0].memory_cycles == times * once


# --- what the tables do not know -----------------------------------------------------------------------------------


def test_an_unknown_kernel_is_priced_by_its_format_and_the_report_says_so() -> None:
    name = "mq_new_s8"
    kernels = made_up(name, Counts(macs=4096, elements=64, units=64))
    report = cost.estimate(dense("s8", 64, 64, name), M4, kernels=kernels)
    known = cost.estimate(dense("s8", 64, 64), M4)
    assert report.by_format == (name,) and report.calls[0].entry == "s8"
    assert known.by_format == ()
    assert report.cycles >= known.cycles
    assert report.error_pct[0] < known.error_pct[0] and report.error_pct[1] > known.error_pct[1]
    assert any(name in reason for reason in report.why)


@pytest.mark.parametrize("fmt", ["s8", "s16", "f16", "f32"])
@pytest.mark.parametrize("board", [M4, IN_FLASH], ids=["m4", "m0plus"])
def test_prices_by_format_are_not_below_those_of_the_known_kernels(fmt: str, board: boards.Board) -> None:
    name = f"mq_new_{fmt}"
    work = Counts(macs=64 * 64, elements=64, units=64)
    unknown = cost.estimate(dense(fmt, 64, 64, name), board, kernels=made_up(name, work))
    assert unknown.cycles >= cost.estimate(dense(fmt, 64, 64), board).cycles


def test_a_kernel_on_two_formats_is_priced_as_the_dearer() -> None:
    program = dense("s8", 64, 64, "mq_new")
    y = replace(program.edges["y"], type=EdgeType((64,), "f32"))
    mixed = replace(program, edges={**program.edges, "y": y})
    report = cost.estimate(mixed, M4, kernels=made_up("mq_new", Counts(macs=1)))
    assert report.calls[0].entry == "f32"


def test_work_of_a_kernel_without_macs_is_not_free() -> None:
    for work in (Counts(), Counts(elements=10), Counts(units=10)):
        assert cost.estimate(dense("s8", 4, 4, "mq_new"), M4, kernels=made_up("mq_new", work)).cycles > 0


def test_functions_passed_to_a_kernel_are_part_of_its_price() -> None:
    args = {"x": Buffer("x", Access.READ), "n": Scalar(3), "f": Symbol("mq_fn_tanh"), "parameters": Symbol("NULL")}
    assert cost.priced_name(Call("mq_map_f32", "o", args)) == "mq_map_f32+mq_fn_tanh"
    inside = {"p": Struct("params", {"n": 3, "gate": Symbol("mq_fn_relu")})}
    assert cost.priced_name(Call("mq_gru_f32", "o", inside)) == "mq_gru_f32+mq_fn_relu"


def test_a_faster_instruction_set_falls_back_to_scalar_prices_and_the_report_names_both() -> None:
    program = replace(dense("s8", 64, 64), isa="dsp")
    scalar = cost.estimate(dense("s8", 64, 64), M4)
    assert cost.estimate(program, M4).cycles <= scalar.cycles
    assert (scalar.isa, scalar.kernel_isa) == ("scalar", "dsp")
    assert any("scalar" in text and "dsp" in text for text in scalar.assumptions)


# --- sums ----------------------------------------------------------------------------------------------------------


def test_sums_per_operator_and_of_conversions() -> None:
    program = dense("s8", 64, 64)
    (call,) = program.calls
    calls = (replace(call, purpose=Purpose.CONVERT), call, replace(call, operator="second"))
    report = cost.estimate(replace(program, calls=calls), M4)
    one = report.calls[0].cycles
    assert report.cycles == 3 * one
    assert report.convert_cycles == one
    first, second = report.operators()
    assert (first.operator, first.calls, first.cycles, first.convert_cycles) == ("layer", 2, 2 * one, one)
    assert (second.operator, second.calls, second.cycles, second.convert_cycles) == ("second", 1, one, 0)
    assert report.macs == 3 * 64 * 64 == first.macs + second.macs


def test_a_program_without_calls_takes_no_time() -> None:
    report = cost.estimate(replace(dense("s8", 4, 4), calls=()), M4, budget_ms=1.0)
    assert (report.cycles, report.ms, report.operators(), report.diagnostics()) == (0, 0.0, (), [])


def test_too_slow_is_an_error_and_perhaps_too_slow_a_warning() -> None:
    report = cost.estimate(dense("s8", 256, 256), M4)
    low, high = report.ms_range
    for budget, severity in ((low * 0.9, Severity.ERROR), ((low + high) / 2, Severity.WARNING)):
        (found,) = replace(report, budget_ms=budget).diagnostics()
        assert (found.code, found.severity) == ("MQ504", severity)
        assert "layer" in found.help
    assert replace(report, budget_ms=high * 1.1).diagnostics() == []
    assert report.diagnostics() == []


# --- the tables ----------------------------------------------------------------------------------------------------


def test_every_core_that_a_board_file_may_name_has_a_sourced_entry() -> None:
    from mcu_quant.schemas import load

    cores = load("board")["properties"]["core"]["properties"]["name"]["enum"]
    table = timing.table()
    assert set(table.cores) == set(cores)
    for entry in table.cores.values():
        assert entry.source and entry.why
        assert entry.error_pct[0] < 0 < entry.error_pct[1]
        assert any(core == entry.coefficients_of for _, _, core in table.kernels)
        for fmt in DTYPES:
            assert (fmt, entry.coefficients_of) in table.formats
        assert set(entry.measured_on) <= set(boards.ids())


# --- fit -----------------------------------------------------------------------------------------------------------


def test_what_fits_fits_and_to_the_byte() -> None:
    flash, ram = M4.program_memory.usable_bytes, M4.arena_memory.usable_bytes
    exact = capacity.fit(M4, flash, ram)
    assert exact.fits and exact.remedy == "" and exact.diagnostics() == []
    assert not capacity.fit(M4, flash + 1, ram).fits
    assert not capacity.fit(M4, flash, ram + 1).fits


def test_what_does_not_fit_says_where_by_how_much_and_what_helps() -> None:
    found = capacity.fit(M4, 600 * 1024, 300 * 1024)
    program, arena = found.regions
    assert (program.region, program.missing_bytes) == ("flash", 88 * 1024)
    assert (arena.region, arena.missing_bytes) == ("sram", 172 * 1024)
    assert "s8" in found.remedy and "nucleo_f767zi" in found.remedy
    assert [d.code for d in found.diagnostics()] == ["MQ503", "MQ503"]
    assert "88.0 KiB too much" in found.diagnostics()[0].message


def test_boards_that_are_proposed_would_do() -> None:
    found = capacity.fit(M4, 600 * 1024, 300 * 1024)
    for board_id in found.remedy.rpartition(": ")[2].split(", "):
        assert capacity.fit(boards.load(board_id), 600 * 1024, 300 * 1024).fits


def test_the_arena_is_not_spread_over_banks() -> None:
    h743 = boards.load("nucleo_h743zi2")
    assert capacity.fit(h743, 1000, 512 * 1024).fits
    assert not capacity.fit(h743, 1000, 513 * 1024).fits


def test_a_model_for_no_board_gets_advice_without_a_board() -> None:
    found = capacity.fit(M4, 10**9, 10**9)
    assert not found.fits and "take a board" not in found.remedy
