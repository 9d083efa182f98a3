"""Front and back ends on every instruction set: the bits of the scalar kernels, on the PC and on emulated cores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench import audio, kernels, programs
from bench.programs import Composed
from mcu_quant.codegen import library_functions
from mcu_quant.emulator import qemu
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.emulator.qemu_program import machine_for
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.precision.plan import OperatorPlan
from mcu_quant.program import Program
from mcu_quant.variants import sources
from tests import helpers
from tests.test_qemu import check, target

#: Where vectors begin and end: with and without middle, first passes of each radix, odd strides, and those of speech.
LENGTHS = (4, 6, 8, 10, 12, 18, 20, 30, 36, 50, 54, 60, 90, 160, 320, 400, 480, 512, 960)

FOLDERS = ("audio", "spectrum")


@pytest.mark.parametrize("points", LENGTHS)
@pytest.mark.parametrize("fmt", audio.FORMATS)
def test_helium_has_the_bits_of_the_scalar_kernels(points: int, fmt: str) -> None:
    """The very source for Helium, with modelled instructions; integer calls are those of the specification, too."""
    for made in audio.graphs(points):
        scalar, helium = (programs.program(made, fmt, isa) for isa in ("scalar", "mve"))
        equal(made, scalar, helium)


def equal(made: Composed, *variants: Program) -> None:
    """The same bits from all, and those of the specification: loud, quiet, hardly there, silent."""
    sessions = [ProgramSession(program, verify=True) for program in variants]
    loud = programs.frames(made, 2)
    for level in (1.0, 1e-3, 5e-5, 0.0):
        for feeds in loud:
            now = {n: np.asarray(a * level + 0, a.dtype) for n, a in feeds.items()}
            first, *others = ([a.tobytes() for a in session.run(None, now)] for session in sessions)
            assert all(other == first for other in others), (made.name, level)
    assert not any(session.mismatches for session in sessions)


@pytest.mark.parametrize("fmt", audio.FORMATS)
@pytest.mark.parametrize(("points", "hop"), [(7, 3), (8, 7), (8, 1), (31, 5), (9, 9), (400, 160), (512, 128)])
def test_overlaps_of_any_length_have_the_same_bits(points: int, hop: int, fmt: str) -> None:
    """Blocks of which two, many or hardly any overlap; DSP cores have a variant of the one in fixed point."""
    made = audio.overlap_add(points, hop)
    equal(made, *(programs.program(made, fmt, isa) for isa in ("scalar", "dsp", "mve")))


@pytest.mark.parametrize("points", [6, 60, 400])
def test_spectra_with_exponents_are_read_as_floats(points: int) -> None:
    """The front end in fixed point, the back end in floats."""
    made = audio.masked(points, "real")
    frames = programs.frames(made, 2)
    plan = helpers.plan_in(made.graph, "s16", frames, {"InverseSpectrum": OperatorPlan("f32")})
    variants = [lower(made.graph, plan, Target(isa)) for isa in ("scalar", "mve")]
    assert "mq_spectrum_to_f32" in {call.kernel for call in variants[0].calls}
    equal(made, *variants)


def test_helium_computes_what_takes_the_time() -> None:
    """All of both ends but decisions, which are a few numbers for each call."""
    here = {n: set(files) for n, files in sources().items() if next(iter(files.values())).parent.name in FOLDERS}
    assert len(here) > 15
    assert {n for n, isas in here.items() if "mve" not in isas} == {"mq_activity", "mq_keyword"}


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
