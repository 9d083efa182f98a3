"""Front and back ends on every instruction set: the bits of the scalar kernels, on the PC and on emulated cores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import audio, kernels, programs
from bench.programs import Composed
from mcu_quant.codegen import library_functions
from mcu_quant.emulator import qemu
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.emulator.qemu_program import machine_for
from mcu_quant.variants import sources
from tests.test_qemu import check, target

#: Where vectors begin and end: with and without middle, first passes of each radix, odd strides, and those of speech.
LENGTHS = (4, 6, 8, 10, 12, 18, 20, 30, 36, 50, 54, 60, 90, 160, 320, 400, 480, 512, 960)


@pytest.mark.parametrize("points", LENGTHS)
@pytest.mark.parametrize("fmt", audio.FORMATS)
def test_helium_has_the_bits_of_the_scalar_kernels(points: int, fmt: str) -> None:
    """The very source for Helium, with modelled instructions; integer calls are those of the specification, too."""
    for made in audio.graphs(points):
        scalar, helium = (programs.program(made, fmt, isa) for isa in ("scalar", "mve"))
        sessions = [ProgramSession(program, verify=True) for program in (scalar, helium)]
        for feeds in programs.frames(made, 2):
            one, other = (session.run(None, feeds) for session in sessions)
            assert [a.tobytes() for a in one] == [a.tobytes() for a in other], made.name
        assert not any(session.mismatches for session in sessions)


def test_helium_computes_what_takes_the_time() -> None:
    made = {n for n, files in sources().items() if "mve" in files}
    assert {"mq_spectrum_f32", "mq_spectrum_s16", "mq_features_s16", "mq_inverse_spectrum_s16"} <= made


def ran_on(core: str, made: Composed, fmt: str, compiler: str = "") -> None:
    about = replace(target(core), clang=compiler)
    if qemu.missing(about):
        pytest.skip(f"{compiler} is not installed: this test was NOT run")
    isa = kernels.target_of(core)[1]
    program = programs.program(made, fmt, isa)
    with machine_for(about, library_functions(program), isa) as machine:
        check(program, machine, programs.frames(made, 2))


@pytest.mark.slow
@pytest.mark.parametrize("core", kernels.CORES)
@pytest.mark.parametrize("points", [60, 320])
def test_cores_have_the_bits_of_the_host(core: str, points: int) -> None:
    """60 has passes of radix 2, 3 and 5, 320 of 4, 2 and 5."""
    for made in audio.graphs(points):
        for fmt in audio.FORMATS if core not in ("m0plus", "rv32") else ("s16",):
            ran_on(core, made, fmt)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", audio.FORMATS)
def test_clang_has_them_too(fmt: str) -> None:
    ran_on("m55", audio.spectrum(480), fmt, "clang-19")
    ran_on("m55", audio.inverse(36), fmt, "clang-19")
