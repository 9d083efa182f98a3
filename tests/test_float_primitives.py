"""Float primitives: the errors that mq_float.h states, over a dense sample of all floats, and their special values."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import inf, isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from mcu_quant import ops
from mcu_quant.emulator.library import library
from mcu_quant.ir import Operator
from mcu_quant.ops.activation import FUNCTIONS
from mcu_quant.ops.convert import round_f32
from tests.inline_c import Inlines

UNARY = ["exp", "expm1", "log", "log1p", "sigmoid", "tanh", "erf", "sin", "cos", "atan", "rint", "floor", "ceil", "abs"]
TINY, LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> Inlines:
    prototypes = [f"float mq_{name}(float)" for name in UNARY]
    prototypes += ["float mq_pow(float, float)", "float mq_copysign(float, float)", "int32_t mq_round(float)"]
    prototypes += ["float mq_f16_to_f32(uint16_t)", "uint16_t mq_f32_to_f16(float)", "float host_pow(float, float)"]
    # numpy's power has short cuts for some exponents, which differ from C's at infinity and -0
    own = "#include <math.h>\nstatic float host_pow(float x, float y) { return powf(x, y); }"
    return Inlines("mq_float.h", prototypes, tmp_path_factory.mktemp("floats"), own)


def floats(low: float, high: float, every: int = 4093) -> NDArray[np.float32]:
    """Every so many-th of all floats from low to high, both ends included; dense near zero as floats are."""

    def positive(a: float, b: float) -> NDArray[np.float32]:
        first, last = (int(np.float32(v).view(np.int32)) for v in (a, b))
        return np.append(np.arange(first, last, every), last).astype(np.int32).view(np.float32)

    parts = [positive(max(low, 0.0), high)] if high > 0 else []
    return np.concatenate([*parts, *([-positive(max(-high, 0.0), -low)] if low < 0 else [])])


def test_sample_of_floats_is_one() -> None:
    x = floats(-2.0, 8.0)
    assert x.min() == -2.0
    assert x.max() == 8.0
    assert np.sum(np.abs(x) < 1e-30) > 1000


@pytest.mark.parametrize(
    ("name", "f", "low", "high", "relative"),
    [
        ("exp", np.exp, -87.2, 88.6, 2e-7),
        ("expm1", np.expm1, -87.2, 88.6, 3e-7),
        ("log1p", np.log1p, -0.9999, LARGEST, 3e-7),
        ("sigmoid", special.expit, -87.2, 200.0, 3e-7),
        ("tanh", np.tanh, -200.0, 200.0, 3e-7),
        ("erf", special.erf, -200.0, 200.0, 3e-7),
        ("atan", np.arctan, -LARGEST, LARGEST, 2e-7),
    ],
)
def test_relative_error(
    c: Inlines, name: str, f: Callable[..., NDArray[np.float64]], low: float, high: float, relative: float
) -> None:
    x = floats(low, high)
    want = f(x.astype(np.float64))
    normal = np.abs(want) >= TINY
    error = np.abs(c[f"mq_{name}"](x) - want)
    assert np.max(error[normal] / np.abs(want[normal])) < relative
    assert np.max(error[~normal], initial=0.0) <= 2.0**-148, "a subnormal result is one step off at most"


def test_log_is_within_an_ulp(c: Inlines) -> None:
    for x in (floats(1e-45, LARGEST), floats(0.5, 2.0, every=61)):
        want = np.log(x.astype(np.float64))
        ulp = np.spacing(np.abs(want).astype(np.float32)).astype(np.float64)
        assert np.max(np.abs(c["mq_log"](x) - want) / ulp) < 1.0


@pytest.mark.parametrize(("name", "f"), [("sin", np.sin), ("cos", np.cos)])
def test_absolute_error_of_angles(c: Inlines, name: str, f: Callable[..., NDArray[np.float64]]) -> None:
    x = floats(-8192.0, 8192.0)
    assert np.max(np.abs(c[f"mq_{name}"](x) - f(x.astype(np.float64)))) < 1.5e-7
    assert np.all(np.isnan(c[f"mq_{name}"]([inf, -inf, nan])))


@pytest.mark.parametrize(("name", "f"), [("rint", np.rint), ("floor", np.floor), ("ceil", np.ceil), ("abs", np.abs)])
def test_rounding_is_exact(c: Inlines, name: str, f: Callable[..., NDArray[np.float32]]) -> None:
    halves = np.arange(-1000, 1000) / 2.0
    x = np.concatenate([floats(-LARGEST, LARGEST), halves.astype(np.float32), [np.float32(8388607.5), inf, -inf]])
    assert np.array_equal(c[f"mq_{name}"](x), f(x.astype(np.float32)))


@pytest.mark.parametrize(
    ("name", "x", "want"),
    [
        ("exp", [-inf, -1e30, 0.0, 88.8, inf], [0.0, 0.0, 1.0, inf, inf]),
        ("expm1", [-inf, -0.0, 0.0, inf], [-1.0, -0.0, 0.0, inf]),
        ("log", [0.0, -0.0, 1.0, inf], [-inf, -inf, 0.0, inf]),
        ("log1p", [-1.0, 0.0, inf], [-inf, 0.0, inf]),
        ("sigmoid", [-inf, 0.0, inf], [0.0, 0.5, 1.0]),
        ("tanh", [-inf, 0.0, inf], [-1.0, 0.0, 1.0]),
        ("erf", [-inf, -4.0, 0.0, 4.0, inf], [-1.0, -1.0, 0.0, 1.0, 1.0]),
        ("atan", [-inf, 0.0, inf], [-np.float32(np.pi / 2), 0.0, np.float32(np.pi / 2)]),
        ("sin", [0.0], [0.0]),
        ("cos", [0.0], [1.0]),
    ],
)
def test_special_values(c: Inlines, name: str, x: list[float], want: list[float]) -> None:
    assert c[f"mq_{name}"](x).tolist() == want
    assert isnan(c[f"mq_{name}"]([nan])[0])


def test_log_of_negative_numbers_is_nan(c: Inlines) -> None:
    assert np.all(np.isnan(c["mq_log"]([-1e-45, -1.0, -inf])))


# --- powers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spread", "most"), [(30, 4.0), (1, 100.0), (100, 1.2), (0.001, 40000.0), (126, 0.5)])
def test_relative_error_of_powers(c: Inlines, spread: float, most: float) -> None:
    random = np.random.default_rng(9)
    x = np.exp2(random.uniform(-spread, spread, 300_000)).astype(np.float32)
    y = random.uniform(-most, most, x.size).astype(np.float32)
    want, have = np.power(x.astype(np.float64), y.astype(np.float64)), c["mq_pow"](x, y).astype(np.float64)
    normal = (want >= TINY) & (want <= LARGEST)
    assert np.max(np.abs(have[normal] / want[normal] - 1.0)) < 3e-7
    assert np.all(np.isinf(have[want > LARGEST * 1.000001]))
    assert np.max(np.abs(have - want)[want < TINY], initial=0.0) <= 2.0**-148


def test_special_powers_are_those_of_powf(c: Inlines) -> None:
    values = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, -1e30, 1e-40, -1e-40, 33554432.0, 16777217.0]
    values += [inf, -inf, nan]
    for x, y in product(np.array(values, np.float32), repeat=2):
        want, have = c["host_pow"]([x], [y])[0], c["mq_pow"]([x], [y])[0]
        assert (isnan(want) and isnan(have)) or have == want or abs(have - want) < 3e-7 * abs(want), (x, y)
        if want == 0:
            assert np.signbit(have) == np.signbit(want), (x, y)


@settings(max_examples=200, deadline=None)
@given(st.floats(width=32), st.floats(width=32))
def test_any_power(c: Inlines, x: float, y: float) -> None:
    want, have = float(c["host_pow"]([x], [y])[0]), float(c["mq_pow"]([x], [y])[0])
    same = have == want or (isnan(have) and isnan(want))
    assert same or abs(have - want) <= 4e-7 * abs(want) + 2.0**-148


# --- half precision and integers --------------------------------------------------------------------------------------


def test_every_half_widens_exactly(c: Inlines) -> None:
    halves = np.arange(65536, dtype=np.uint16)
    want = halves.view(np.float16).astype(np.float32)
    have = c["mq_f16_to_f32"](halves)
    assert np.array_equal(have, want, equal_nan=True)
    assert np.array_equal(np.signbit(have), np.signbit(want))


def test_narrowing_to_half_rounds_to_even(c: Inlines) -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = (halves[:-1] + halves[1:]) / 2  # exact in f32
    around = np.concatenate([halves, middle, np.nextafter(middle, inf), np.nextafter(middle, -inf)])
    x = np.concatenate([around, floats(0.0, LARGEST, every=997), [65519.99, 65520.0, inf, nan]]).astype(np.float32)
    with np.errstate(over="ignore"):
        want = np.concatenate([x, -x]).astype(np.float16)
    have = c["mq_f32_to_f16"](np.concatenate([x, -x])).view(np.float16)
    assert np.array_equal(have, want, equal_nan=True)
    assert np.array_equal(np.signbit(have)[~np.isnan(want)], np.signbit(want)[~np.isnan(want)])


def test_round_to_integer(c: Inlines) -> None:
    halves = (np.arange(-(2**12), 2**12) / 2).astype(np.float32)
    x = np.concatenate([halves, floats(-(2.0**21), 2.0**21), [inf, -inf, nan]]).astype(np.float32)
    assert np.array_equal(c["mq_round"](x), round_f32(x))


# --- the functions that are mapped over tensors -----------------------------------------------------------------------

#: Arguments where the f32 reference itself is no yardstick: it has poles, or subtracts nearly equal numbers.
_WIDE = {"Tan": (-1.5, 1.5), "Atanh": (-0.999, 0.999), "Acosh": (1.0, 1e15), "Asin": (-1.0, 1.0), "Acos": (-1.0, 1.0)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_mapped_function_is_its_reference(name: str) -> None:
    """Against the numpy definition in f64, over all sizes of arguments; nothing is NaN that is not there."""
    function = FUNCTIONS[name]
    low, high = _WIDE.get(name, (0.0 if function.low >= 0.0 else -80.0, 80.0))
    x = floats(low, high, every=65521)
    parameters = [{"min": -0.5, "max": 0.7}.get(p, default) for p, default in function.parameters]
    if name == "Power":
        parameters = [1.7]
    lib = library()
    y, constants = np.empty_like(x), np.array(parameters, np.float32)
    pointers = [lib.ffi.cast("float *", a.ctypes.data) for a in (x, y, constants)]
    lib.function("mq_map_f32")(pointers[0], pointers[1], x.size, lib.function(function.c_name), pointers[2])
    with np.errstate(all="ignore"):
        want = np.asarray(function.f(x.astype(np.float64), *[float(v) for v in constants]))
    finite = np.isfinite(want) & (np.abs(want) <= LARGEST)
    error = np.abs(y[finite].astype(np.float64) - want[finite])
    # an argument that is not known better than its own rounding moves Gelu and its like by that much
    scale = np.abs(want[finite]) + np.minimum(np.abs(x[finite].astype(np.float64)), 1.0)
    assert np.all(error <= 8e-7 * scale + 2.0**-140)
    assert np.array_equal(np.isnan(y), np.isnan(want))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_reference_keeps_f32(name: str) -> None:
    attributes = dict(FUNCTIONS[name].parameters)
    op = Operator("f", name, ("x",), ("y",), attributes)
    x = np.linspace(FUNCTIONS[name].low, FUNCTIONS[name].high, 7, dtype=np.float32)
    (y,) = ops.spec(name).reference(op, [x])
    assert y.dtype == np.float32
    assert FUNCTIONS[name].f(x, *[np.float32(v) for v in attributes.values()]).dtype == np.float32, "no f64 inside"


# --- products in integers --------------------------------------------------------------------------------------------

BITS = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 0x7F800000, 0xFF800000, 0x7FC00000, 0x80000000]))
SCALE = st.one_of(st.integers(0x0A800000, 0x6E000000), st.sampled_from([0x3F800000, 0x3F7FFFFF, 0x7F800000, 1, 0]))


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory) -> Inlines:
    own = """
    static int32_t round_times(float x, float s) {
        const mq_soft_factor f = mq_soft_factor_of(s);
        return mq_soft_round_times(x, &f);
    }
    static int32_t round_product(float x, float s) { return mq_round(x * s); }
    static float times(int32_t v, float s) {
        const mq_soft_factor f = mq_soft_factor_of(s);
        return mq_soft_times(v, &f);
    }
    """
    names = ["int32_t round_times(float, float)", "int32_t round_product(float, float)", "float times(int32_t, float)"]
    return Inlines("mq_soft_factor.h", names, tmp_path_factory.mktemp("soft"), own)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(BITS, SCALE, st.integers(-10, 22), st.integers(-131071, 131071)), min_size=32, max_size=32))
def test_products_in_integers_have_the_bits_of_floats(soft: Inlines, rows: list[tuple[int, int, int, int]]) -> None:
    bits, scale, power, v = (np.array(c, np.int64) for c in zip(*rows, strict=True))
    s = scale.astype(np.uint32).view(np.float32)
    near = (2.0**power * (1.0 + (bits & 0x7FFFFF) * 2.0**-23)).astype(np.float32)
    with np.errstate(all="ignore"):
        for x in (bits.astype(np.uint32).view(np.float32), near / s, (np.rint(near) + np.float32(0.5)) / s):
            assert np.array_equal(soft["round_times"](x, s), soft["round_product"](x, s))
        wanted = v.astype(np.float32) * s
    made = soft["times"](v.astype(np.int32), s)
    assert np.array_equal(made.view(np.uint32)[~np.isnan(wanted)], wanted.view(np.uint32)[~np.isnan(wanted)])


def test_an_integer_of_one_bit_times_a_float(soft: Inlines) -> None:
    v = np.array([s * 2**k for k in range(17) for s in (1, -1)], np.int32)
    assert np.array_equal(soft["times"](v, np.full(len(v), 0.3, np.float32)), v.astype(np.float32) * np.float32(0.3))
