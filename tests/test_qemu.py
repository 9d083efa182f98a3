"""Kernels and folders on emulated cores: the same bits as on the host and in the specification, counted exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from mcu_quant import boards, ops
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator import qemu
from mcu_quant.emulator.folder import FolderSession, read_interface
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.emulator.qemu import Machine, QemuTarget
from mcu_quant.emulator.qemu_folder import QemuFolderSession
from mcu_quant.emulator.qemu_program import QemuProgramSession, machine_for
from mcu_quant.library_sources import library_functions
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.ops import Sample, given, weight
from mcu_quant.program import Program
from mcu_quant.variants import sources
from tests import helpers
from tests.drawn_samples import EVERY
from tests.test_codegen import program as small_program
from tests.test_codegen import write_folder

BOARDS = {
    "m0plus": "raspberry_pi_pico",
    "m4": "mps2_an386",
    "m7": "nucleo_h743zi2",
    "m33": "raspberry_pi_pico2",
    "m55": "mps3_an547",
    "rv32": "esp32_c3_devkitm_1",
    "rv32f": "gap9_evk",
}
CORES = {name: qemu.target_of(boards.load(board)) for name, board in BOARDS.items()}
FORMATS = ("f32", "f16", "s16", "s8")

pytestmark = pytest.mark.slow


def target(core: str) -> QemuTarget:
    """The core, or a skipped test where its tools are not installed: tools/system-packages.sh installs them."""
    missing = qemu.missing(CORES[core])
    if missing:
        assert "CI" not in os.environ, f"CI has to install {missing}"
        pytest.skip(f"{', '.join(missing)} is not installed: this test was NOT run")
    return CORES[core]


#: (core, instruction set of the kernels): every kernel's samples run there.
SWEPT = [("m0plus", "scalar"), ("m4", "scalar"), ("m4", "dsp"), ("m55", "mve")]
#: The variants that each core can run.
RUNS = [(core, isa) for core in ("m4", "m7", "m33", "m55") for isa in ("dsp", "mve") if core == "m55" or isa == "dsp"]
#: Functions with a variant of their own, by instruction set.
VARIANTS = {isa: {n for n, files in sources().items() if isa in files} for isa in ("dsp", "mve")}


class Machines:
    """Machines on which programs run: those of a sweep have all kernels and are kept, others have what is needed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Machine] = {}

    @contextmanager
    def running(self, core: str, isa: str, program: Program) -> Iterator[Machine]:
        if (core, isa) in SWEPT:
            if (core, isa) not in self._kept:
                self._kept[core, isa] = machine_for(target(core), sources(), isa, count=True)
            yield self._kept[core, isa]
        else:
            with machine_for(target(core), library_functions(program), isa, count=True) as machine:
                yield machine

    def close(self) -> None:
        for machine in self._kept.values():
            machine.close()


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    made = Machines()
    yield made
    made.close()


def check(program: Program, machine: Machine, frames: list[helpers.Frame]) -> list[int]:
    """Every output, state and integer edge on the machine as on the host. Returns instructions of all calls."""
    board, host = QemuProgramSession(program, machine, verify=True), ProgramSession(program)
    counts = []
    for feeds in frames:
        for name, have, want in zip(program.outputs, board.run(None, feeds), host.run(None, feeds), strict=True):
            assert have.tobytes() == want.tobytes(), name
        counts += [c.instructions for c in board.called]
    for name, state in host.states().items():
        assert board.states()[name].tobytes() == state.tobytes(), name
    assert board.mismatches == []
    return counts


# --- every kernel ----------------------------------------------------------------------------------------------------

LSTM = next(s for s in ops.specs()["LSTM"].samples)
CONV = next(s for s in ops.specs()["Conv"].samples)
SMALL = {"gemm": Sample("Gemm", (given(2, 17), weight(17, 9), weight(9))), "lstm": LSTM, "conv": CONV}


def check_lowerings(sample: Sample, machines: Machines, core: str, isa: str, folder: Path, frames: int) -> None:
    """A sample in every way it can be lowered; in another instruction set than scalar, only where it has a variant."""
    case = helpers.case(sample, folder)
    for operator in {op.op for op in case.graph.operators}:
        same = [op for op in case.graph.operators if op.op == operator]
        for low in ops.spec(same[0]).lowerings:
            if low.applies and any(low.applies(op, case.graph) for op in same):
                continue
            for scale in low.scales:
                plan = helpers.plan_in(case.graph, low.format, case.frames, {operator: helpers.choice(low, scale)})
                program = lower(case.graph, plan, Target(isa))
                if isa == "scalar" or VARIANTS[isa].intersection(program.kernels()):
                    with machines.running(core, isa, program) as machine:
                        check(program, machine, case.frames[:frames])


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("name", SMALL)
def test_every_format_on_every_core(machines: Machines, name: str, core: str, tmp_path: Path) -> None:
    check_lowerings(SMALL[name], machines, core, "scalar", tmp_path, frames=4)


@pytest.mark.parametrize(("core", "isa"), RUNS)
@pytest.mark.parametrize("name", SMALL)
def test_variants_on_every_core(machines: Machines, name: str, core: str, isa: str, tmp_path: Path) -> None:
    check_lowerings(SMALL[name], machines, core, isa, tmp_path, frames=4)


@pytest.mark.parametrize(("core", "isa"), SWEPT)
@pytest.mark.parametrize("sample", [pytest.param(x, id=n) for n, _, x in helpers.samples()])
def test_samples(machines: Machines, sample: Sample, core: str, isa: str, tmp_path: Path) -> None:
    check_lowerings(sample, machines, core, isa, tmp_path, frames=2)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@drawn(
    run=st.sampled_from([*((core, "scalar") for core in BOARDS), *RUNS]),
    rows=st.integers(1, 3),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 40),
)
def test_drawn_shapes(
    machines: Machines, run: tuple[str, str], rows: int, inputs: int, outputs: int, tmp_path: Path
) -> None:
    sample = Sample("Gemm", (given(rows, inputs), weight(inputs, outputs), weight(outputs)))
    check_lowerings(sample, machines, *run, tmp_path, frames=1)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@drawn(sample=EVERY)
def test_drawn_operators_on_helium(machines: Machines, sample: Sample, tmp_path: Path) -> None:
    check_lowerings(sample, machines, "m55", "mve", tmp_path, frames=1)


# --- counting --------------------------------------------------------------------------------------------------------

COUNTED = """\
int mq_loop(int n);
int mq_outer(int n);
__attribute__((naked, noinline)) int mq_loop(int n) {
    (void)n;
    __asm__ volatile(%s);
}
__attribute__((noinline)) int mq_outer(int n) {
    return mq_loop(n) + mq_loop(n + 1) + 1;
}
"""
LOOPS = {
    "arm": r'".syntax unified\n 1:\n subs r0, #1\n bne 1b\n bx lr"',
    "riscv": r'"1:\n addi a0, a0, -1\n bnez a0, 1b\n ret"',
}


def counted(core: str, folder: Path) -> Machine:
    about = target(core)
    source = folder / "counted.c"
    source.write_text(COUNTED % LOOPS["riscv" if about.riscv else "arm"])
    return Machine(about, qemu.link(about, qemu.compile_objects(about, [source], [])), count=True, watch="mq_outer")


@pytest.mark.parametrize("core", CORES)
def test_counts_are_exact(core: str, tmp_path: Path) -> None:
    with counted(core, tmp_path) as machine:
        for n in (1, 7, 1000):
            assert machine.call("mq_loop", [n]).instructions == 2 * n + 1
        called = machine.call("mq_outer", [5])
    assert [s.instructions for s in called.stretches] == [11, 13]
    around = sum(s.before for s in called.stretches)
    assert 24 + around < called.instructions < 24 + around + 8  # the rest is behind the second call
    assert called.value == 1


@pytest.mark.parametrize("core", CORES)
def test_counts_are_the_same_every_time(core: str) -> None:
    program = small_program("streaming", "s16")
    rng = np.random.default_rng(0)
    frames = [{"x": rng.uniform(-3, 3, (1, 4)).astype(np.float32)} for _ in range(5)]
    found = []
    for _ in range(2):
        with machine_for(target(core), library_functions(program), count=True) as machine:
            found.append(check(program, machine, frames))
    assert found[0] == found[1]
    assert min(found[0]) > 10


def test_a_machine_that_does_not_count() -> None:
    program = small_program("dense", "s8")
    with machine_for(target("m4"), library_functions(program)) as machine:
        counts = check(program, machine, [{"x": np.ones((1, 5), np.float32)}])
    assert counts == [0] * len(counts)


# --- trouble ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("core", CORES)
def test_a_fault_is_reported(core: str, tmp_path: Path) -> None:
    source = tmp_path / "fault.c"
    source.write_text("int mq_fault_now(int *p);\nint mq_fault_now(int *p) { return *(volatile int *)p; }\n")
    about = target(core)
    with (
        Machine(about, qemu.link(about, qemu.compile_objects(about, [source], []))) as machine,
        pytest.raises(DiagnosticError, match=r"(?s)MQ603.*took a (fault|trap)"),
    ):
        machine.call("mq_fault_now", [0xF000_0000])


def test_a_machine_has_an_end() -> None:
    with machine_for(target("m4"), ()) as machine, pytest.raises(DiagnosticError, match=r"MQ603.*no room"):
        machine.allocate(1 << 30)


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DiagnosticError, match=r"(?s)MQ601.*apt install gcc-arm-none-eabi"):
        qemu.compile_objects(CORES["m4"], [Path(__file__)], [])


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("fmt", FORMATS)
def test_folder(core: str, fmt: str, tmp_path: Path) -> None:
    made = small_program("streaming", fmt)
    folder = write_folder(made, tmp_path, "net")
    edges = read_interface(folder)["edges"]
    taps = [e for e in made.holds.values() if e in edges and not edges[e]["scratch"]]
    rng = np.random.default_rng(0)
    with (
        FolderSession(folder, taps=taps) as host,
        QemuFolderSession(folder, target(core), taps) as traced,
        QemuFolderSession(folder, target(core), trace=False) as flashed,
    ):
        for i in range(6):
            if i == 3:
                for session in (host, traced, flashed):
                    session.reset()
            feeds = {"x": rng.uniform(-3, 3, (1, 4)).astype(np.float32)}
            want = host.run(None, feeds)
            for session in (traced, flashed):
                assert [a.tobytes() for a in session.run(None, feeds)] == [a.tobytes() for a in want]
            assert all(traced.raw(e).tobytes() == host.raw(e).tobytes() for e in taps)
            assert traced.states()["y"].tobytes() == host.states()["y"].tobytes()
        executed = flashed.executed()
    parts = sum(executed.operators.values()) + executed.conversions + executed.copies + executed.schedule
    assert abs(parts - executed.per_frame) <= len(executed.operators) + 3  # each is a rounded mean
    assert set(executed.operators) == {"mix", "leak", "out"}
    assert 0 < executed.schedule < 100
    assert 0 < flashed.stack_bytes < 1024
