"""Measurements of a board: made-up boards with kernels slower and faster than the tables say, noise and interrupts.

What was fitted predicts calls that were not measured, and its ranges hold nine of ten of them.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mcu_quant import api, boards, calibration, cost, schemas
from mcu_quant.api.calibrating import CalibrateRequest, calibrate
from mcu_quant.calibration import MeasuredCall
from mcu_quant.cost import Status
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.refit import base_cycles, refit
from mcu_quant.selftest_log import Measured, Run, written
from mcu_quant.timing import table
from tests import report_example

CORE = "cortex-m4"
#: Cycles that reading a byte takes in made-up worlds, and what is expected beforehand.
READ, EXPECTED = 0.8, 0.5
KERNELS = sorted(
    (k, isa) for k, isa, core in table().kernels if core == CORE and isa == "dsp" and "fully_connected" not in k
)


class World:
    """A board whose kernels take `factors` times what the tables say, and whose calls differ by 3 % from that."""

    def __init__(self, seed, kernels):
        self.rng = np.random.default_rng(seed)
        chosen = self.rng.permutation(len(KERNELS))[:kernels]
        common = self.rng.lognormal(0.0, 0.12)
        self.factors = {KERNELS[i]: common * self.rng.lognormal(0.0, 0.06) for i in chosen}

    def calls(self, count, name, noise=0.01):
        """`count` calls of kernels in turn, with what they truly take."""
        kernels = list(self.factors)
        for i in range(count):
            kernel, isa = kernels[i % len(kernels)]
            n = int(self.rng.integers(4, 200))
            work = (n * n, n, n, n, 1)
            made = MeasuredCall(f"{name}/{i}", kernel, isa, work, n * n, 0)
            truth = self.factors[kernel, isa] * base_cycles(made, CORE) * self.rng.lognormal(0, 0.03) + READ * n * n
            yield replace(made, cycles=round(truth * self.rng.lognormal(0, noise)))


def predicted(fitted, call):
    own = fitted.kernels.get(call.key)
    factor = own.factor if own else fitted.factor
    return factor * base_cycles(call, CORE) + fitted.read_cycles_per_byte * call.constant_bytes


def test_ranges_of_a_fitted_board_hold_nine_of_ten_calls_of_models_that_were_not_measured():
    errors, inside, frames = [], 0, []
    for seed in range(40):
        world = World(seed, kernels=6)
        fitted = refit(list(world.calls(36, "measured")), CORE, EXPECTED)
        new = list(world.calls(48, "new", noise=0.0))
        for call in new:
            error = 100 * (call.cycles / predicted(fitted, call) - 1)
            low, high = fitted.kernels[call.key].error_pct
            inside += low <= error <= high
            errors.append(error)
        frames.append(100 * (sum(c.cycles for c in new) / sum(predicted(fitted, c) for c in new) - 1))
    assert inside / len(errors) >= 0.9
    assert np.median(np.abs(errors)) < 4
    assert np.max(np.abs(frames)) < 4  # a whole frame is nearer than its calls


def test_kernels_that_were_not_measured_are_taken_to_be_as_far_off_as_the_others():
    inside, total = 0, 0
    for seed in range(60):
        world = World(seed, kernels=9)
        kernels = list(world.factors)
        all_calls = list(world.calls(54, "measured"))
        seen = [c for c in all_calls if (c.kernel, c.isa) in kernels[:8]]
        fitted = refit(seen, CORE, EXPECTED)
        for call in all_calls:
            if (call.kernel, call.isa) == kernels[8]:
                low, high = fitted.error_pct
                inside += low <= 100 * (call.cycles / predicted(fitted, call) - 1) <= high
                total += 1
    assert inside / total >= 0.9


def test_reading_constants_is_told_from_computing():
    fitted = refit(list(World(3, kernels=5).calls(80, "measured", noise=0.003)), CORE, EXPECTED)
    assert fitted.read_cycles_per_byte == pytest.approx(READ, rel=0.25)


def test_interrupts_in_some_calls_move_nothing():
    world = World(5, kernels=5)
    calls = list(world.calls(60, "measured"))
    disturbed = [replace(c, cycles=5 * c.cycles) if i in (7, 31) else c for i, c in enumerate(calls)]
    quiet, loud = refit(calls, CORE, EXPECTED), refit(disturbed, CORE, EXPECTED)
    for key, factor in quiet.kernels.items():
        assert loud.kernels[key].factor == pytest.approx(factor.factor, rel=0.06)


def test_one_measured_call_leaves_the_range_of_others_wide():
    (call,) = World(1, kernels=1).calls(1, "measured")
    fitted = refit([call], CORE, EXPECTED)
    assert fitted.error_pct == table().cores[CORE].error_pct
    low, high = fitted.kernels[call.key].error_pct
    assert high - low > 15


def test_calls_that_the_tables_do_not_know_are_left_out_and_refused_alone():
    known = list(World(1, kernels=3).calls(9, "measured"))
    unknown = replace(known[0], kernel="mq_of_another_version", call="x")
    assert refit([*known, unknown], CORE, EXPECTED) == refit(known, CORE, EXPECTED)
    with pytest.raises(ValueError, match="none of the measured kernels"):
        refit([unknown], CORE, EXPECTED)


# --- from logs to reports ------------------------------------------------------------------------------------------

BOARD = "nucleo_f446re"


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A place for calibrations of this test alone."""
    monkeypatch.setenv("MCU_QUANT_CALIBRATIONS", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def build():
    return report_example.built().folder


def truth(build, factor=1.3):
    """Cycles of each call of the build on a board whose kernels take longer than the tables say."""
    calls = json.loads((build / "report.json").read_text())["memory"]["calls"]
    rng = np.random.default_rng(0)
    return [round(c["cycles"] * factor * rng.lognormal(0, 0.01)) for c in calls]


def log_of(build, **changes):
    """What the build's self-test would print."""
    manifest = json.loads((build / "manifest.json").read_text())
    (schedule,) = (n for n in manifest["files"] if n.endswith("_weights.c") and "/" not in n)
    model = schedule.removesuffix("_weights.c")
    steps = {i: Measured(c, c - 3, c + 5) for i, c in enumerate(truth(build))}
    run = Run(model, BOARD, "dsp", manifest["files"][f"{model}.c"][:16], 8, 180_000_000, "dwt", True, steps, {})
    return written(replace(run, **changes))


def calibrated(home, build, text, board=BOARD, **more):
    log = home / "uart.log"
    log.write_text(text)
    return calibrate(CalibrateRequest(board, (log,), (build,), **more))


def test_a_calibrated_board_predicts_what_it_measured_within_a_narrow_range(home, build):
    before = json.loads((build / "report.json").read_text())["latency"]
    made = calibrated(home, build, log_of(build), day="2026-11-20")
    assert schemas.validate(json.loads(made.path.read_text()), "calibration", "it", "MQ506") == []
    (after,) = api.report(api.ReportRequest(build, (BOARD,)))
    measured = sum(truth(build))
    latency = after["latency"]
    assert (latency["status"], latency["origin"]) == ("calibrated", "fitted")
    assert latency["cycles"] == pytest.approx(measured, rel=0.03)
    low, high = latency["error_pct"]
    assert before["error_pct"][1] - before["error_pct"][0] > high - low
    assert latency["cycles"] * (1 + low / 100) < measured < latency["cycles"] * (1 + high / 100)
    assert "measured on this board on 2026-11-20" in latency["why"][0]
    assert made.models[0].measured == pytest.approx(measured)


def test_a_board_file_has_its_calibration_beside_it(home, build):
    shutil.copy(boards.paths.boards() / f"{BOARD}.toml", home / f"{BOARD}.toml")
    file = str(home / f"{BOARD}.toml")
    made = calibrated(home, build, log_of(build), board=file)
    assert made.path == home / f"{BOARD}.calibration.json"
    assert boards.load(file).calibration is not None
    assert boards.load(BOARD).calibration is None
    assert cost.status(table().cores[CORE], boards.load(file)) is Status.CALIBRATED


def test_factors_of_older_tables_are_fitted_again(home, build):
    made = calibrated(home, build, log_of(build)).calibration
    stale = replace(made, tables="0" * 16, fitted=replace(made.fitted, factor=9.0))
    again = calibration.current(stale)
    assert again.tables == calibration.tables()
    assert again.fitted.factor == pytest.approx(made.fitted.factor, rel=0.02)


def test_a_damaged_calibration_is_named(home, build):
    made = calibrated(home, build, log_of(build))
    made.path.write_text(made.path.read_text().replace('"factor"', '"fcator"', 1))
    with pytest.raises(DiagnosticError, match="did you mean 'factor'"):
        boards.load(BOARD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counter": "emulated"}, "was made in an emulator"),
        ({"board": "nucleo_l476rg"}, "is of the board nucleo_l476rg, not of nucleo_f446re"),
        ({"passed": False}, "its self-test failed"),
        ({"schedule": "0" * 16}, "is not there"),
        ({"steps": {}}, "no step was timed"),
    ],
)
def test_logs_that_say_nothing_of_this_board_are_refused(home, build, changes, message):
    with pytest.raises(DiagnosticError, match=message):
        calibrated(home, build, log_of(build, **changes))
    assert boards.load(BOARD).calibration is None


def test_another_clock_and_caches_that_are_off_are_said(home, build):
    found = calibrated(home, build, log_of(build, clock_hz=64_000_000, dcache="off")).diagnostics
    messages = " ".join(d.message for d in found)
    assert "measured at 64 MHz, reports take 180 MHz" in messages
    assert "with dcache off" in messages


def test_nothing_is_written_on_a_dry_run(home, build):
    made = calibrated(home, build, log_of(build), write=False)
    assert not made.path.exists()
