"""Front and back ends of audio models: executed instructions per core, and how near transforms come to the true ones.

    python -m bench.audio [--core m4] [--cmsis-dsp ../CMSIS-DSP --cmsis-core ../CMSIS_6/CMSIS/Core/Include]
    python -m bench.audio --write          docs/transforms.md

Counted as in bench/kernels.py: one call, one frame, the window included. What CMSIS-DSP has for a length
(arm_rfft_fast_f32, arm_rfft_q31, arm_rfft_q15; powers of 2) is counted beside it, without a window, compiled with -O3.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import cmsis_dsp, kernels, programs
from bench.programs import Composed
from mcu_quant import ops
from mcu_quant.audio.builder import Builder
from mcu_quant.codegen import library_functions
from mcu_quant.data import Frame
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.emulator.qemu_program import QemuProgramSession, machine_for
from mcu_quant.ir import Array
from mcu_quant.ops import Fixed, Sample, fixed, given, weight
from mcu_quant.ops.common import fft, fixed_fft
from mcu_quant.program import Program, Purpose

#: Lengths of speech at 8, 16 and 48 kHz; CMSIS-DSP has one of them.
LENGTHS = (320, 400, 480, 512, 960)
FORMATS = ("f32", "s16")
BANDS = 40
RECORDED = Path(__file__).with_name("audio.json")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "transforms.md"


def _window(points: int) -> Array:
    return np.asarray(np.hanning(points + 1)[:-1] + 0.01, np.float32)


def _bands(points: int) -> Array:
    """Triangles of equal width over all bins."""
    at, edges = np.arange(points // 2 + 1)[:, None], np.linspace(0, points // 2, BANDS + 2)
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))


def spectrum(points: int) -> Composed:
    """A window and a transform."""
    b = Builder("spectrum")
    inputs = (b.input("x", (points,), "float32"), b.constant("w", _window(points)))
    b.add("Spectrum", "s", inputs, ("y",), frames=1, hop=points, fft=points, value="complex", logarithm=None)
    return Composed("spectrum", b.graph(("y",)))


def features(points: int, value: str) -> Composed:
    """Logarithms of bands of magnitudes or powers."""
    b = Builder("features")
    x, window = b.input("x", (points,), "float32"), b.constant("w", _window(points))
    inputs = (x, window, b.constant("bands", _bands(points)))
    log = (1e-6, 0.0, 1.0)
    b.add("Spectrum", "s", inputs, ("y",), frames=1, hop=points, fft=points, value=value, logarithm=log)
    return Composed(f"{value}_bands", b.graph(("y",)))


def levels(points: int, value: str) -> Composed:
    """Logarithms of all bins, of magnitudes or powers, above an offset."""
    b = Builder("levels")
    inputs = (b.input("x", (points,), "float32"), b.constant("w", _window(points)))
    log = (0.0, 1e-4, 10.0)
    b.add("Spectrum", "s", inputs, ("y",), frames=1, hop=points, fft=points, value=value, logarithm=log)
    return Composed(f"{value}_logs", b.graph(("y",)))


def masked(points: int, kind: str) -> Composed:
    """A spectrum, its magnitudes for a model, a mask from there, and the signal again."""
    b, bins = Builder("masked"), points // 2 + 1
    x, window = b.input("x", (points,), "float32"), b.constant("w", _window(points))
    mask = b.input("m", (1, bins) + ((2,) if kind == "complex" else ()), "float32")
    keys = {"frames": 1, "hop": points, "fft": points, "value": "magnitude", "logarithm": None}
    b.add("Spectrum", "s", (x, window), ("levels", "spectra"), **keys)
    b.add("InverseSpectrum", "y", ("spectra", mask), fft=points, mask=kind)
    return Composed(f"{kind}_mask", b.graph(("levels", "y")))


def inverse(points: int) -> Composed:
    """The signal of a spectrum."""
    b = Builder("inverse")
    b.add("InverseSpectrum", "y", (b.input("x", (1, points // 2 + 1, 2), "float32"),), fft=points, mask="none")
    return Composed("inverse", b.graph(("y",)))


def overlap_add(points: int, hop: int) -> Composed:
    """Blocks `hop` samples apart, added where they overlap, to samples of 16 bits."""
    b = Builder("overlap")
    before = b.state("sum", np.zeros(points - hop), "float32")
    inputs = (b.input("x", (1, points), "float32"), b.constant("w", _window(points)), before)
    b.add("OverlapAdd", "oa", inputs, ("y", "after"))
    b.carry(before, "after")
    b.add("ToPcm", "pcm", ("y",), scale=1.0 / 32768.0)
    return Composed("overlap_add", b.graph(("pcm",)))


def from_pcm(points: int) -> Composed:
    """Samples of 16 bits as reals."""
    b = Builder("pcm")
    b.add("FromPcm", "y", (b.input("x", (points,), "int16"),), scale=1.0 / 32768.0)
    return Composed("from_pcm", b.graph(("y",)))


def graphs(points: int) -> Iterator[Composed]:
    """What pipelines are made of, for a length of transform."""
    yield spectrum(points)
    yield inverse(points)
    for value in ("magnitude", "power"):
        yield features(points, value)
        yield levels(points, value)
    for kind in ("real", "complex"):
        yield masked(points, kind)
    yield overlap_add(points, points // 2)
    yield from_pcm(points)


def recorded(points: int) -> tuple[Composed, ...]:
    """One of each kind, which the page shows."""
    ends = spectrum(points), inverse(points), overlap_add(points, points // 2)
    return (*ends, features(points, "power"), masked(points, "real"))


@dataclass(frozen=True)
class Row:
    """One graph on one core; `library`: instructions of CMSIS-DSP's transform of that length, by its name."""

    graph: str
    points: int
    format: str
    core: str
    isa: str
    instructions: int
    library: dict[str, int]


def measure(made: Composed, points: int, fmt: str, core: str, library: dict[str, int]) -> Row:
    """Count one frame of a graph.

    Raises:
        DiagnosticError: MQ601 if a tool is missing.
    """
    isa = kernels.target_of(core)[1]
    count = counted(programs.program(made, fmt, isa), programs.frames(made, 1)[0], core)
    return Row(made.name, points, fmt, core, isa, count, library)


def counted(program: Program, frame: Frame, core: str) -> int:
    """Instructions of what a program computes; conversions at its ends are left out."""
    target, isa = kernels.target_of(core)
    with machine_for(target, library_functions(program), isa, count=True) as machine:
        session = QemuProgramSession(program, machine)
        session.run(None, frame)
        called = zip(program.calls, session.called, strict=True)
        return sum(m.instructions for c, m in called if c.purpose is Purpose.COMPUTE)


def snr_db(points: int, fmt: str, level: float) -> float:
    """Of the spectrum of a white frame with that peak, against the transform in f64 of the same stored samples."""
    made = spectrum(points)
    x = np.random.default_rng(3).uniform(-level, level, points)
    x = np.asarray(np.rint(x * 32768) / 32768, np.float32)
    session = ProgramSession(programs.program(made, fmt, "scalar", ({"x": x},)))
    found = np.asarray(session.run(None, {"x": x})[0], np.float64).reshape(-1, 2)
    wanted = np.fft.rfft(x.astype(np.float64) * _window(points).astype(np.float64))
    noise = np.sum((found[:, 0] - wanted.real) ** 2 + (found[:, 1] - wanted.imag) ** 2)
    return float(10 * np.log10(np.sum(np.abs(wanted) ** 2) / noise))


def rows(cores: Sequence[str], lengths: Sequence[int], library: cmsis_dsp.Checkout | None) -> Iterator[Row]:
    """Every graph of every length on every core, in the formats that make sense there."""
    for core in cores:
        for points in lengths:
            for made in recorded(points):
                for fmt in FORMATS if core not in ("m0plus", "rv32") else ("s16",):
                    counted = library.count(kernels.target_of(core)[0], made.name, points, fmt) if library else {}
                    yield measure(made, points, fmt, core, counted)


def line(row: Row) -> str:
    beside = "".join(f", {name} {n} ({row.instructions / n:.2f})" for name, n in row.library.items())
    return f"{row.graph:16} {row.points:5} {row.format:4} {row.core:7} {row.isa:7} {row.instructions:>8}{beside}"


def page(found: Sequence[Row], library: cmsis_dsp.Checkout | None) -> str:
    """docs/transforms.md."""
    cores = list(dict.fromkeys(r.core for r in found))
    text = [
        "# Transforms: what they cost, and how exact they are",
        "",
        "Made by `python -m bench.audio --write` with a checkout of CMSIS-DSP.",
        "",
        "## Executed instructions of a frame",
        "",
        "`inverse` is the signal of a spectrum, `overlap_add` makes samples of blocks that overlap by half,",
        f"`power_bands` are logarithms of {BANDS} bands, and `real_mask` is all of a denoiser's ends but the overlap:",
        "a spectrum, its magnitudes for the model, the model's mask over it, and the signal again.",
        "",
        "Ours with a window; CMSIS-DSP, where it has the length, without one: `arm_rfft_fast_f32` beside f32,",
        "`arm_rfft_q31` beside s16, which computes in 32 bits, and `arm_rfft_q15`, which computes in 16.",
        "",
        "| graph | points | format | " + " | ".join(cores) + " | CMSIS-DSP |",
        "|---|---|---|" + "---|" * (len(cores) + 1),
    ]
    for key in dict.fromkeys((r.graph, r.points, r.format) for r in found):
        here = {r.core: r for r in found if (r.graph, r.points, r.format) == key}
        counts = [str(here[c].instructions) if c in here else "" for c in cores]
        beside = [f"{c}: {n} {v}" for c, r in here.items() for n, v in r.library.items()]
        text.append(f"| {key[0]} | {key[1]} | {key[2]} | " + " | ".join(counts) + f" | {'; '.join(beside)} |")
    text += [
        "",
        "## Signal-to-noise ratio of a spectrum, dB",
        "",
        "White frames of 16-bit samples, calibrated on the same frame, against f64. The last column is what a back end",
        "reads, which keeps the exponent of the frame; the one before is rounded to 16 bits for a model.",
        "",
        "| points | f32 | f32, 60 dB quieter | s16 | s16 before it is rounded, 60 dB quieter |",
        "|---|---|---|---|---|",
    ]
    for points in LENGTHS:
        text.append(
            f"| {points} | {snr_db(points, 'f32', 1.0):.0f} | {snr_db(points, 'f32', 1e-3):.0f} "
            f"| {snr_db(points, 's16', 1.0):.0f} | {with_exponent_db(points, 1e-3):.0f} |"
        )
    return "\n".join([*text, *(library_lines(library) if library else ()), *node_lines()]) + "\n"


def node_lines() -> list[str]:
    """What an STFT inside a model takes, beside the convolution with its waves that it would otherwise be."""
    points, hop, frames = THEIRS, THEIRS // 4, 4
    signal = (frames - 1) * hop + points
    taken = {
        "fast transform": Sample(
            "STFT", (given(1, signal, 1), fixed(hop), Fixed(_window(points)), fixed(points)), {"onesided": 1}
        ),
        "matrix": Sample("Conv", (given(1, 1, signal), weight(points + 2, 1, points)), {"strides": [hop]}),
    }
    text = [
        "",
        "## A node STFT inside a model",
        "",
        f"{frames} frames of {points} points in f32, with what they take as a convolution with a matrix of waves.",
        "",
        "| computed by | multiply-accumulates | constants, bytes | instructions on m4 |",
        "|---|---|---|---|",
    ]
    for name, sample in taken.items():
        graph, program = programs.graph_of(sample), programs.program(sample, "f32", "dsp")
        macs = sum(ops.spec(op).macs(op, graph) for op in graph.operators)
        size = sum(constant.array.nbytes for constant in program.constants.values())
        text.append(f"| {name} | {macs} | {size} | {counted(program, programs.frames(sample, 1)[0], 'm4')} |")
    return text


#: The length of speech that CMSIS-DSP has.
THEIRS = 512


def library_lines(library: cmsis_dsp.Checkout) -> list[str]:
    """What CMSIS-DSP's fixed-point transforms leave of loud and of quiet frames."""
    cells = [f"{library_snr_db(library, fmt, level):.0f}" for fmt in ("q31", "q15") for level in (1.0, 1e-3)]
    return [
        "",
        f"The same of CMSIS-DSP's transforms of {THEIRS} points, on an emulated Cortex-M4: they halve values in every",
        "pass, whatever the level, where ours shifts a frame once, as far as it has room. Shifted like that before it,",
        "`arm_rfft_q31` would keep quiet frames too, and be as exact as ours; but its bits are others than those that",
        "integer kernels are specified to have, so it does not take their place.",
        "",
        "| points | q31 | q31, 60 dB quieter | q15 | q15, 60 dB quieter |",
        "|---|---|---|---|---|",
        f"| {THEIRS} | {' | '.join(cells)} |",
    ]


def library_snr_db(library: cmsis_dsp.Checkout, fmt: str, level: float) -> float:
    """Of CMSIS-DSP's spectrum, at its best scale, of the frame that `with_exponent_db` has."""
    taken = _frame(THEIRS, level)
    stored = 2 * taken if fmt == "q31" else np.rint(taken / 2**15).astype(np.int64)
    made = library.spectrum(kernels.target_of("m4")[0], fmt, stored)
    wanted = np.fft.rfft(taken.astype(np.float64))
    noise = wanted - made * np.vdot(made, wanted) / np.vdot(made, made)
    return float(10 * np.log10(np.sum(np.abs(wanted) ** 2) / np.sum(np.abs(noise) ** 2)))


def with_exponent_db(points: int, level: float) -> float:
    """Of the specification's spectrum with its exponent, against f64 with the same window in 16 bits."""
    x, window = _samples(points, level), _fixed_window(points)
    made, exponent = fixed_fft.spectrum(x, window, fixed_fft.q31(fft.twiddles(points)), points)
    wanted = np.fft.rfft(_frame(points, level) / 2.0**15)
    found = made * 2.0**-exponent
    noise = np.sum((found[:, 0] - wanted.real) ** 2 + (found[:, 1] - wanted.imag) ** 2)
    return float(10 * np.log10(np.sum(np.abs(wanted) ** 2) / noise))


def _fixed_window(points: int) -> NDArray[np.int64]:
    return np.rint(_window(points) / _window(points).max() * 32767).astype(np.int64)


def _samples(points: int, level: float) -> NDArray[np.int64]:
    return np.rint(np.random.default_rng(3).uniform(-level, level, points) * 32767).astype(np.int64)


def _frame(points: int, level: float) -> NDArray[np.int64]:
    """White samples of 16 bits times the window in Q15."""
    return _samples(points, level) * _fixed_window(points)


def main() -> int:
    parser = argparse.ArgumentParser(description="Executed instructions of front and back ends.")
    parser.add_argument("--core", choices=kernels.CORES, action="append", help="may be repeated; default: all")
    parser.add_argument("--points", type=int, action="append", help="may be repeated; default: those of speech")
    parser.add_argument("--cmsis-dsp", type=Path, metavar="DIR", help="a checkout of CMSIS-DSP to compare with")
    parser.add_argument("--cmsis-core", type=Path, metavar="DIR", help="the folder that has cmsis_compiler.h")
    parser.add_argument("--write", action="store_true", help="record the rows, and write docs/transforms.md")
    options = parser.parse_args()
    if options.cmsis_dsp and not (options.cmsis_core and (options.cmsis_core / "cmsis_compiler.h").is_file()):
        parser.error("--cmsis-dsp: say with --cmsis-core where cmsis_compiler.h is")
    library = cmsis_dsp.Checkout(options.cmsis_dsp, options.cmsis_core) if options.cmsis_dsp else None
    found = []
    for row in rows(kernels.available(options.core, None), options.points or LENGTHS, library):
        print(line(row), flush=True)
        found.append(row)
    if options.write:
        RECORDED.write_text("[\n" + ",\n".join(f" {json.dumps(asdict(r))}" for r in found) + "\n]\n")
        PAGE.write_text(page(found, library))
    return 0


if __name__ == "__main__":
    sys.exit(main())
