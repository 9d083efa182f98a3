"""Front and back ends as operators: their C beside numpy, at the lengths that speech uses and at awkward ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_quant import memory, ops
from mcu_quant.audio.builder import Builder
from mcu_quant.ir import Array, Graph
from mcu_quant.ops.common import fft, fixed_fft
from tests import helpers

#: Lengths of speech at 8, 16 and 48 kHz, and some that need each radix or several.
LENGTHS = (4, 6, 8, 10, 20, 30, 54, 160, 200, 240, 256, 320, 400, 480, 512, 640, 960, 1024, 2048)


def ran(graph: Graph, frames: Sequence[Mapping[str, Array]], fmt: str = "f32") -> dict[str, Array]:
    """Outputs of the compiled C over frames, checked call by call; [frames, ...]."""
    made = helpers.run(graph, helpers.plan_in(graph, fmt, frames), frames)
    assert made.mismatches == []
    assert helpers.prototype_problems(made.program) == []
    memory.plan(made.program)
    return made.outputs


def signal(size: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, size).astype(np.float32)


def spectrum(frames: int, hop: int, length: int, points: int, **attributes: Any) -> Graph:
    b = Builder("spectrum")
    x = b.input("x", ((frames - 1) * hop + length,), "float32")
    inputs = [x, b.constant("window", np.hanning(length + 1)[:-1] + 0.01)]
    if "bands" in attributes:
        inputs.append(b.constant("bands", attributes.pop("bands")))
    b.add(
        "Spectrum",
        "s",
        inputs,
        ("y", "pairs"),
        frames=frames,
        hop=hop,
        fft=points,
        **{"value": "complex", "logarithm": None, **attributes},
    )
    return b.graph(("y",) if attributes.get("value") else ("pairs",))


def spectra(x: Array, points: int) -> Array:
    wanted = np.fft.rfft(x * (np.hanning(points + 1)[:-1].astype(np.float64) + 0.01))
    return np.stack([wanted.real, wanted.imag], -1)


def snr_db(wanted: Array, made: Array) -> float:
    noise = float(np.sum((np.asarray(wanted, np.float64) - made) ** 2))
    return float(10 * np.log10(np.sum(np.asarray(wanted, np.float64) ** 2) / max(noise, 1e-300)))


@pytest.mark.parametrize("points", LENGTHS)
def test_spectra_are_numpys_and_come_back(points: int) -> None:
    x = signal(points)
    made = ran(spectrum(1, points, points, points), [{"x": x}])["pairs"][0, 0]
    assert snr_db(spectra(x, points), made) > 125.0
    b = Builder("inverse")
    b.add("InverseSpectrum", "y", (b.input("x", (1, points // 2 + 1, 2), "float32"),), fft=points, mask="none")
    back = ran(b.graph(("y",)), [{"x": made[None]}])["y"][0, 0]
    assert snr_db(x * (np.hanning(points + 1)[:-1] + 0.01), back) > 120.0


@pytest.mark.parametrize("points", LENGTHS)
def test_spectra_in_fixed_point_are_specified_to_the_bit_and_keep_quiet_frames(points: int) -> None:
    """Calibrated on loud frames; 60 dB below them, spectra that a back end reads keep their bits."""
    b = Builder("there and back")
    x = b.input("x", (points,), "float32")
    window = b.constant("window", np.hanning(points + 1)[:-1] + 0.01)
    keys = {"frames": 1, "hop": points, "fft": points, "value": "complex", "logarithm": None}
    b.add("Spectrum", "s", (x, window), ("y", "pairs"), **keys)
    b.add("InverseSpectrum", "back", ("pairs",), fft=points, mask="none")
    graph = b.graph(("y", "back"))
    loud = signal(points)
    frames = [{"x": loud}, {"x": -loud}, {"x": np.zeros(points, np.float32)}]
    made = ran(graph, frames, "s16")
    assert snr_db(spectra(loud, points), made["y"][0, 0]) > 70.0
    taken = loud * (np.hanning(points + 1)[:-1] + 0.01)
    assert snr_db(taken, made["back"][0, 0]) > 70.0
    assert not made["y"][2].any() and not made["back"][2].any()


#: Every length that there is a fast transform of, up to 2048.
SMOOTH = tuple(n for n in range(4, 2049) if fft.is_fast(n))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(points=st.sampled_from(SMOOTH), data=st.data())
def test_every_fast_length_is_numpys(points: int, data: st.DataObject) -> None:
    """Any window up to the length, any hop, any number of frames, there and back, in floats and in fixed point."""
    length, frames = data.draw(st.integers(1, points)), data.draw(st.integers(1, 3))
    hop = data.draw(st.integers(1, 2 * points))
    x = signal((frames - 1) * hop + length, points)
    window = np.hanning(length + 1)[:-1] + 0.01
    taken = np.stack([x[t * hop : t * hop + length] * window for t in range(frames)])
    whole = np.fft.rfft(taken, points)
    wanted = np.stack([whole.real, whole.imag], -1)
    for fmt, least in (("f32", 120.0), ("s16", 70.0)):
        made = ran(spectrum(frames, hop, length, points, value="complex"), [{"x": x}], fmt)["y"][0]
        assert snr_db(wanted, made) > least, fmt
        b = Builder("inverse")
        b.add("InverseSpectrum", "y", (b.input("x", made.shape, "float32"),), fft=points, mask="none")
        back = ran(b.graph(("y",)), [{"x": wanted.astype(np.float32)}], fmt)["y"][0]
        assert snr_db(np.pad(taken, ((0, 0), (0, points - length))), back) > least, fmt


def test_lengths_are_those_without_other_prime_factors() -> None:
    """Even, and 2, 3 and 5 alone; those of speech among them."""
    assert {200, 256, 320, 400, 480, 512, 640, 960, 1024} <= set(SMOOTH)
    smooth = {2**a * 3**b * 5**c for a in range(1, 12) for b in range(8) for c in range(6)}
    assert set(SMOOTH) == {n for n in smooth if 4 <= n <= 2048}


@pytest.mark.parametrize("level", [32767, 3000, 100, 5])
def test_the_exponent_of_a_frame_keeps_the_bits_of_quiet_ones(level: int) -> None:
    rng, points = np.random.default_rng(8), 480
    x = rng.integers(-level, level + 1, points).astype(np.int16)
    window = np.rint(np.hanning(points) * 32767).astype(np.int16)
    table = fixed_fft.q31(fft.twiddles(points))
    made, exponent = fixed_fft.spectrum(x, window, table, points)
    wanted = np.fft.rfft(x * (window / 2.0**15))
    assert snr_db(np.stack([wanted.real, wanted.imag], -1), made * 2.0**-exponent) > 100.0
    assert np.abs(made).max() <= 2**30 * (1 + 2**-10)


@pytest.mark.parametrize("points", LENGTHS)
def test_no_signal_overflows_the_fixed_point_transform(points: int) -> None:
    """Signals whose energy lands in one bin, at full scale: what the room left before the transform is for."""
    table = fixed_fft.q31(fft.twiddles(points))
    n = np.arange(points)
    waves = [np.ones(points), (-1.0) ** n, np.sign(np.cos(2 * np.pi * n / points)), np.eye(points)[points // 2]]
    window = np.full(points, 32767)
    for wave in waves:
        for sign in (32767, -32768):
            made, exponent = fixed_fft.spectrum((wave * sign).astype(np.int64), window, table, points)
            assert np.abs(made).max() <= 2**30 * (1 + 2**-10)
            back = fixed_fft.inverse(made, exponent, table, points, *fixed_fft.dyadic(0.5 / points))
            assert np.abs(back - 0.5 * wave * sign).max() <= 2


@pytest.mark.parametrize("points", [7, 14, 22, 2])
def test_other_lengths_are_refused(points: int) -> None:
    graph = spectrum(1, points, points, points)
    [rule] = ops.spec("Spectrum").constraints
    assert rule(graph.operators[0], graph) == f"this one has {points}"


@pytest.mark.parametrize("value", ["magnitude", "power"])
@pytest.mark.parametrize("logarithm", [None, (1e-6, 0.0, 1.0), (0.0, 1e-3, 0.4342945)])
@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize(("fmt", "least"), [("f32", 110.0), ("s16", 68.0)])
def test_features_are_numpys(
    value: str, logarithm: tuple[float, float, float] | None, bands: bool, fmt: str, least: float
) -> None:
    frames, hop, length, points = 5, 37, 100, 128
    x = signal(length + (frames - 1) * hop)
    extra: dict[str, Any] = {"value": value, "logarithm": logarithm}
    weights = np.zeros((points // 2 + 1, 4))
    weights[3:9, 0], weights[8, 1], weights[20:64, 2] = np.arange(6), 2.0, 0.1  # the last band is empty
    if bands:
        extra["bands"] = weights
    window = np.hanning(length + 1)[:-1] + 0.01
    cut = np.stack([x[t * hop : t * hop + length] * window for t in range(frames)])
    levels = np.abs(np.fft.rfft(cut, points)) ** (2 if value == "power" else 1)
    wanted = levels @ weights if bands else levels
    if logarithm:
        wanted = logarithm[2] * np.log(np.maximum(wanted, logarithm[0]) + logarithm[1])
    graph = spectrum(frames, hop, length, points, **extra)
    assert snr_db(wanted, ran(graph, [{"x": x}], fmt)["y"][0]) > least


@pytest.mark.parametrize(("fmt", "least"), [("f32", 120.0), ("s16", 70.0)])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_masks_are_laid_over_spectra(kind: str, fmt: str, least: float) -> None:
    points, rng = 60, np.random.default_rng(3)
    b = Builder("masked")
    x = b.input("x", (1, points // 2 + 1, 2), "float32")
    mask = b.input("m", (1, points // 2 + 1) + ((2,) if kind == "complex" else ()), "float32")
    b.add("InverseSpectrum", "y", (x, mask), fft=points, mask=kind)
    graph = b.graph(("y",))
    pairs, factors = (rng.standard_normal(graph.shape(n)).astype(np.float32) for n in ("x", "m"))
    laid = factors[0] if kind == "real" else factors[0, :, 0] + 1j * factors[0, :, 1]
    wanted = np.fft.irfft((pairs[0, :, 0] + 1j * pairs[0, :, 1]) * laid, points)
    assert snr_db(wanted, ran(graph, [{"x": pairs, "m": factors}], fmt)["y"][0, 0]) > least


@pytest.mark.parametrize(("fmt", "least"), [("f32", 125.0), ("s16", 70.0)])
@pytest.mark.parametrize(("length", "hop"), [(512, 128), (512, 256), (400, 160), (7, 3), (8, 7)])
def test_overlapping_blocks_become_a_stream(length: int, hop: int, fmt: str, least: float) -> None:
    window, count = np.hanning(length + 2)[1:-1].astype(np.float32), 9
    b = Builder("overlap")
    x = b.input("x", (1, length), "float32")
    before = b.state("sum", np.zeros(length - hop), "float32")
    b.add("OverlapAdd", "oa", (x, b.constant("w", window), before), ("y", "after"))
    b.carry(before, "after")
    blocks = [signal(length, seed)[None] for seed in range(count)]
    made = ran(b.graph(("y",)), [{"x": block} for block in blocks], fmt)["y"]
    wanted = np.zeros((count - 1) * hop + length)
    for i, block in enumerate(blocks):
        wanted[i * hop : i * hop + length] += block[0] * window
    assert snr_db(wanted[: count * hop], np.ravel(made)) > least


@pytest.mark.parametrize("fmt", ["f32", "s16"])
def test_samples_of_16_bits_come_back_from_reals_and_are_limited(fmt: str) -> None:
    b = Builder("pcm")
    real = b.add("FromPcm", "real", (b.input("x", (6,), "int16"),), scale=1.0 / 32768.0)
    twice = b.add("Mul", "twice", (real, b.constant("two", np.array(2.0))))
    b.add("ToPcm", "same", (real,), scale=1.0 / 32768.0)
    b.add("ToPcm", "loud", (twice,), scale=1.0 / 32768.0)
    x = np.array([-32768, -1, 0, 1, 16384, 32767], np.int16)
    made = ran(b.graph(("same", "loud")), [{"x": x}], fmt)
    assert made["same"][0].tolist() == x.tolist()
    assert made["loud"][0].tolist() == [-32768, -2, 0, 2, 32767, 32767]


def activity(**attributes: Any) -> Graph:
    b = Builder("activity")
    x = b.input("x", (1, 1), "float32")
    level, run = b.state("level", np.zeros(1), "float32"), b.state("run", np.zeros(2), "int32")
    keys = {"smoothing": 1.0, "threshold": 0.5, "release": 0.3, "attack": 1, "hold": 1, **attributes}
    b.add("Activity", "a", (x, level, run), ("p", "active", "level2", "run2"), **keys)
    b.carry(level, "level2")
    b.carry(run, "run2")
    return b.graph(("p", "active"))


def decisions(values: Sequence[float], **attributes: Any) -> str:
    graph = activity(**attributes)
    frames = [{"x": np.array([[v]], np.float32)} for v in values]
    found = ran(graph, frames)["active"]
    assert np.array_equal(np.ravel(helpers.interpreted(graph, frames)["active"]), np.ravel(found))
    return "".join(str(int(v)) for v in np.ravel(found))


def test_decisions_have_hysteresis_and_wait() -> None:
    assert decisions([0.4, 0.5, 0.4, 0.3, 0.29, 0.4, 0.6]) == "0111001"
    assert decisions([0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9], attack=3) == "0000011"
    assert decisions([0.9, 0.1, 0.9, 0.1, 0.1, 0.1], hold=3) == "111110"
    assert decisions([1.0, 1.0, 0.0, 0.0], smoothing=0.4) == "0110"  # levels 0.4, 0.64, 0.384, 0.23


def test_keywords_are_means_and_are_followed_by_silence() -> None:
    b = Builder("keyword")
    x = b.input("x", (1, 3), "float32")
    last, place = b.state("last", np.zeros((2, 3)), "float32"), b.state("place", np.zeros(2), "int32")
    keys = {"wanted": (0, 1, 1), "threshold": 0.5, "refractory": 2}
    b.add("Keyword", "k", (x, last, place), ("keyword", "score", "last2", "place2"), **keys)
    b.carry(last, "last2")
    b.carry(place, "place2")
    graph = b.graph(("keyword", "score"))
    rows = [[0.9, 0.1, 0.0], [0.0, 0.9, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    frames = [{"x": np.array([row], np.float32)} for row in rows]
    found, wanted = ran(graph, frames), helpers.interpreted(graph, frames)
    assert np.ravel(found["keyword"]).tolist() == [-1, 1, -1, -1, 2, -1]
    assert np.ravel(found["score"]) == pytest.approx([0.05, 0.5, 0.9, 0.55, 1.0, 1.0])
    assert all(np.array_equal(found[n], wanted[n]) for n in found)
