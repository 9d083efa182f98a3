"""What the latency estimate rests on: prices of instructions, fits, and published measurements."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import estimate_coefficients as estimate
from bench import kernels, latency, prices, programs
from bench.prices import Instruction
from mcu_quant import timing
from mcu_quant.emulator import qemu
from mcu_quant.ops import Counts, Sample, given

# --- prices --------------------------------------------------------------------------------------------------------


def priced(core: str, *listing: tuple[str, str] | tuple[str, str, bool], times: int = 1, left: int = 0) -> float:
    """Cycles of instructions in a row, the last of which branches away `left` times."""
    program = {2 * i: Instruction(*one) for i, one in enumerate(listing)}
    rows = [[address, times, left if address == max(program) else 0] for address in program]
    return prices.cycles(np.array(rows), program, core)


def test_loads_in_a_row_overlap_on_a_cortex_m4_and_branches_refill_the_pipeline() -> None:
    load = ("ldr", "r0, [r1, #0]")
    assert priced("cortex-m4", load) == 2
    assert priced("cortex-m4", load, ("ldr", "r2, [r1, #4]")) == 3
    assert priced("cortex-m0plus", load, ("ldr", "r2, [r1, #4]")) == 4
    assert priced("cortex-m4", ("add", "r0, r1, r2"), ("bne", "0"), times=10, left=9) == 20 + 2 * 9
    assert priced("cortex-m4", ("push", "{r4, r5, r6, lr}")) == 5
    assert priced("cortex-m4", ("vldmia", "r0!, {s0-s3}")) == 5


def test_a_cortex_m33_issues_two_short_instructions_and_waits_for_what_it_loads() -> None:
    add, sub = ("adds", "r0, r1, r2", True), ("subs", "r3, r4, r5", True)
    assert priced("cortex-m33", add, sub) == 1
    assert priced("cortex-m33", add, ("subs", "r3, r0, r5", True)) == 2
    assert priced("cortex-m33", add, ("sub", "r3, r4, r5", False)) == 2
    assert priced("cortex-m33", add, sub, add) == 2
    assert priced("cortex-m33", ("ldr", "r0, [r1]", True), ("smlad", "r3, r4, r5, r3", False)) == 2
    assert priced("cortex-m33", ("ldr", "r0, [r1]", True), ("smlad", "r3, r0, r5, r3", False)) == 3


def test_two_issue_slots_take_what_does_not_depend() -> None:
    free = (("add", "r0, r1, r2"), ("sub", "r3, r4, r5"))
    bound = (("add", "r0, r1, r2"), ("sub", "r3, r0, r5"))
    assert priced("cortex-m7", *free) == 1 and priced("cortex-m7", *bound) == 2
    assert priced("cortex-m4", *free) == 2
    # one multiplier; what is loaded comes a cycle late
    assert priced("cortex-m7", ("smlad", "r0, r1, r2, r0"), ("smlad", "r3, r1, r2, r3")) == 2
    assert priced("cortex-m7", ("ldr", "r0, [r1]"), ("add", "r2, r0, r3")) == 3
    assert priced("cortex-m7", ("ldr", "r0, [r1]"), ("add", "r2, r4, r3")) == 1


def test_vector_instructions_take_two_cycles_and_overlap_with_those_of_the_other_kind() -> None:
    load, multiply = ("vldrw", "q0, [r0]"), ("vmladava", "r2, q1, q2")
    assert priced("cortex-m55", load) == 2
    assert priced("cortex-m55", load, multiply) == 3
    assert priced("cortex-m55", multiply, multiply) == 4
    assert priced("cortex-m55", ("le", "lr, 0"), times=100, left=99) == 0


def test_a_cortex_m3_multiplies_longer_and_a_cortex_m0_branches_longer() -> None:
    assert priced("cortex-m3", ("mla", "r0, r1, r2, r3")) == 2 and priced("cortex-m4", ("mla", "r0, r1, r2, r3")) == 1
    assert priced("cortex-m3", ("smull", "r0, r1, r2, r3")) == 4
    assert priced("cortex-m0", ("bne", "0"), times=10, left=9) == 10 + 2 * 9
    assert priced("cortex-m0plus", ("bne", "0"), times=10, left=9) == 10 + 9


def test_risc_v_waits_for_loads_jumps_and_upper_words_as_its_cores_do() -> None:
    load = ("lw", "a5,0(a4)")
    for core in ("hazard3", "gap9", "esp-riscv"):
        assert priced(core, load, ("add", "a3,a2,a1")) == 2
        assert priced(core, load, ("add", "a3,a5,a1")) == 3
        assert priced(core, load, ("sw", "a3,0(a5)")) == 3
        assert priced(core, ("ret", "")) == 2
    assert priced("hazard3", ("mulh", "a0,a1,a2")) == 1 and priced("gap9", ("mulh", "a0,a1,a2")) == 5
    assert priced("hazard3", load, ("sw", "a5,0(a3)")) == 2 and priced("gap9", load, ("sw", "a5,0(a3)")) == 3
    # a result of the floating-point unit is a cycle late
    assert priced("gap9", ("fmadd", "fa0,fa1,fa2,fa0"), ("fmadd", "fa0,fa3,fa4,fa0")) == 3
    assert priced("gap9", ("fmadd", "fa0,fa1,fa2,fa0"), ("fmadd", "fa1,fa3,fa4,fa1")) == 2


def test_a_hazard3_foretells_the_branch_that_closes_a_loop() -> None:
    """Ten runs of a loop of ten steps: of the branch backwards the first and the last of each run are unexpected."""
    back = ("bne", "a5,a4,0")
    assert priced("hazard3", ("addi", "a5,a5,1"), back, times=100, left=90) == 200 + 20
    assert priced("gap9", ("addi", "a5,a5,1"), back, times=100, left=90) == 200 + 2 * 90
    forward = ("bne", "a5,a4,100")
    assert priced("hazard3", ("addi", "a5,a5,1"), forward, times=100, left=90) == 200 + 90


# --- fits ----------------------------------------------------------------------------------------------------------


def test_coefficients_are_found_again_and_errors_said() -> None:
    works = [Counts(macs=n * m, elements=m) for n in (8, 64, 300) for m in (4, 32, 100)]
    rows = [estimate.Row(w, 2.5 * w.macs + 30 * w.elements + 100, 2 * w.macs + 20 * w.elements + 50) for w in works]
    found = estimate.fit(rows)
    assert found.cycles == pytest.approx((2.5, 30, 0, 0, 100), rel=0.01)
    assert found.instructions == pytest.approx((2, 20, 0, 0, 50), rel=0.01)
    assert -1 <= found.error_pct[0] <= 0 <= found.error_pct[1] <= 1
    spoilt = [*rows[:-1], estimate.Row(works[-1], 1.5 * rows[-1].cycles, rows[-1].instructions)]
    assert estimate.fit(spoilt).error_pct[1] > 5
    # one call says nothing of how it grows
    assert estimate.fit(rows[:1]).error_pct == (-10, 10)


@pytest.mark.slow
def test_the_table_is_what_is_counted() -> None:
    """One kernel again, as the whole table was made; whoever changes it makes the table again."""
    target = kernels.target_of("m4")[0]
    if qemu.missing(target):
        pytest.skip("the emulator is not installed: this test was NOT run")
    rows = estimate.collect([Sample("Relu", (given(1, 1000),))], ["m4"])
    for name in ("mq_convert_f32_s8", "mq_convert_s8_f32"):
        (cycles,) = {r.cycles for r in rows[name, "scalar", "cortex-m4"] if r.work.elements == 1000}
        recorded = timing.table().kernels[name, "scalar", "cortex-m4"]
        assert recorded.cycles.of(Counts(elements=1000)) == pytest.approx(cycles, rel=0.02)


def test_every_format_of_an_operator_is_lowered_once() -> None:
    made = list(programs.every_lowering(Sample("Relu", (given(1, 8),))))
    assert {m.plan.preset for m in made} >= set(programs.FORMATS)


# --- published measurements ----------------------------------------------------------------------------------------


def cases() -> list[latency.Case]:
    return latency.cases(json.loads(latency.COREMARK.read_text()))


def test_recorded_cases_are_what_the_tables_give() -> None:
    """After a change of the tables: make bench-latency."""
    assert json.loads(latency.CASES.read_text()) == [latency.as_dict(c) for c in cases()]


def test_nine_of_ten_held_out_measurements_are_inside_their_range() -> None:
    held = [c for c in cases() if c.used == latency.HELD_OUT]
    assert len(held) >= 130
    assert sum(c.covered for c in held) >= 0.9 * len(held)
    # those outside are the ones that docs/latency.md explains
    assert {c.case.split(",")[0] for c in held if not c.covered} == {
        "TFLM",
        "X-CUBE-AI 9.0",
        "Plumerai 2022",
        "Plumerai 2023.05",
    }


def test_most_networks_are_within_10_percent_from_one_core_to_another() -> None:
    errors = [abs(c.error_pct) for c in cases() if c.test == "core to core" and c.used == latency.HELD_OUT]
    assert len(errors) > 70
    assert np.median(errors) < 10
    assert np.mean(np.array(errors) <= 20) > 0.75


def test_half_of_the_held_out_measurements_are_within_the_aims() -> None:
    held = [c for c in cases() if c.used == latency.HELD_OUT]
    for status, aim in (("calibrated", 10), ("transferred", 20)):
        errors = [abs(c.error_pct) for c in held if c.status == status]
        assert np.median(errors) < aim


def test_the_worst_case_comes_first() -> None:
    errors = [abs(c.error_pct) for c in cases()]
    assert errors == sorted(errors, reverse=True)
