"""Fixed point: the C primitives are numpy's to the bit, for every legal argument, and within the errors they state."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_quant import fixed, fixed_functions
from tests.inline_c import Inlines

S32 = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.sampled_from([-(2**31), -(2**31) + 1, -(2**30), -1, 0, 1, 2**30 - 1, 2**30, 2**31 - 1]),
    st.integers(-300, 300),
)
S64 = st.one_of(
    st.integers(-(2**62), 2**62), st.integers(0, 62).map(lambda n: 2**n), st.integers(1, 62).map(lambda n: 1 - 2**n)
)
POSITIVE = st.one_of(
    st.integers(1, 2**63 - 1), st.integers(0, 62).map(lambda n: 2**n), st.integers(1, 63).map(lambda n: 2**n - 1)
)
MULTIPLIER = st.one_of(st.integers(2**30, 2**31 - 1), st.sampled_from([0, 2**30, 2**31 - 1]))
REAL_FACTOR = st.floats(2.0**-20, 2.0**15)
many = settings(max_examples=150, deadline=None)


def vectors(*values: st.SearchStrategy[int]) -> st.SearchStrategy[list[tuple[int, ...]]]:
    """Sixteen argument tuples at once: calling C costs more than computing."""
    return st.lists(st.tuples(*values), min_size=16, max_size=16)


def columns(rows: list[tuple[int, ...]]) -> list[np.ndarray]:
    return [np.array(c, np.int64) for c in zip(*rows, strict=True)]


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> Inlines:
    prototypes = [
        "int32_t mq_mulhr(int32_t, int32_t)",
        "int32_t mq_mulh(int32_t, int32_t)",
        "int32_t mq_mulhr_by_halves(int32_t, int32_t)",
        "int32_t mq_mulh_by_halves(int32_t, int32_t)",
        "int32_t mulh_by_signed_halves(int32_t, int32_t)",
        "int64_t inverse_by_division(int64_t)",
        "int64_t inverse_by_digits(int64_t)",
        "int32_t mq_rshr(int32_t, int32_t)",
        "int64_t mq_rshr64(int64_t, int32_t)",
        "int32_t mq_shl_sat(int32_t, int32_t)",
        "int32_t mq_requantise(int32_t, int32_t, int32_t)",
        "int32_t mq_requantise64(int64_t, int32_t, int32_t, int32_t)",
        "int32_t mq_clamp(int32_t, int32_t, int32_t)",
        "int16_t mq_lookup(int16_t, const int16_t *)",
        "int32_t mq_exp2_negative(int32_t)",
        "int32_t mq_log2(int64_t)",
        "int32_t mq_bit_length(uint64_t)",
        "int32_t reciprocal_multiplier(int64_t)",
        "int32_t reciprocal_shift(int64_t)",
        "int32_t rsqrt_multiplier(int64_t)",
        "int32_t rsqrt_shift(int64_t)",
    ]
    own = "\n".join(
        f"static int32_t {f}_{part}(int64_t x) {{ return mq_{f}(x).{part}; }}"
        for f in ("reciprocal", "rsqrt")
        for part in ("multiplier", "shift")
    )
    own += """
    static int32_t mulh_by_signed_halves(int32_t a, int32_t m) {
        return mq_mulh_by_signed_halves(a, mq_signed_halves_of(m));
    }
    static int64_t inverse_by_division(int64_t s) { return mq_inverse_by_division((uint32_t)s); }
    static int64_t inverse_by_digits(int64_t s) { return mq_inverse_by_digits((uint32_t)s); }
    """
    return Inlines("mq_fixed_functions.h", prototypes, tmp_path_factory.mktemp("fixed"), own)


# --- equal to the twin -----------------------------------------------------------------------------------------------


@many
@given(vectors(S32, S32))
def test_mulhr(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    a, b = columns(rows)
    assert c["mq_mulhr"](a, b).tolist() == fixed.mulhr(a, b).tolist()
    assert fixed.mulhr(a, b).tolist() == [(x * y + 2**31) // 2**32 for x, y in rows]


@many
@given(vectors(S32, S32))
def test_mulh(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    a, b = columns(rows)
    assert c["mq_mulh"](a, b).tolist() == fixed.mulh(a, b).tolist() == [(x * y) >> 32 for x, y in rows]


@many
@given(vectors(S32, S32))
def test_high_words_by_halves(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    a, b = columns(rows)
    assert c["mq_mulh_by_halves"](a, b).tolist() == fixed.mulh(a, b).tolist()
    assert c["mq_mulhr_by_halves"](a, b).tolist() == fixed.mulhr(a, b).tolist()


FAR = 2**31 - 2**18 - 2


@many
@given(vectors(st.one_of(st.integers(-FAR, FAR), st.sampled_from([-FAR, FAR, 32768, -32768, 32767])), MULTIPLIER))
def test_high_words_by_signed_halves(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    a, m = columns(rows)
    assert c["mulh_by_signed_halves"](a, m).tolist() == fixed.mulh(a, m).tolist()


@many
@given(vectors(st.one_of(st.integers(2**31, 2**32 - 1), st.sampled_from([2**31, 2**32 - 1]))))
def test_inverses(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    """Normalised sums are even: the last bit does not count."""
    (s,) = columns(rows)
    s &= ~1
    wanted = [(2**62 - 2) // v for v in s.tolist()]
    assert c["inverse_by_division"](s).tolist() == wanted
    assert c["inverse_by_digits"](s).tolist() == wanted


@many
@given(vectors(S32, st.integers(0, 31)))
def test_rshr(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    x, shift = columns(rows)
    assert c["mq_rshr"](x, shift).tolist() == fixed.rshr(x, shift).tolist()
    half_up = [(Fraction(v, 2**s) + Fraction(1, 2)).__floor__() for v, s in rows]
    assert fixed.rshr(x, shift).tolist() == half_up


@many
@given(vectors(S64, st.integers(0, 62)))
def test_rshr64(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    x, shift = columns(rows)
    assert c["mq_rshr64"](x, shift).tolist() == [(v + ((1 << s) >> 1)) >> s for v, s in rows]


@many
@given(vectors(S32, st.integers(0, 31)))
def test_shl_sat(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    x, shift = columns(rows)
    assert c["mq_shl_sat"](x, shift).tolist() == [min(max(v << s, -(2**31)), 2**31 - 1) for v, s in rows]


@many
@given(vectors(S32, MULTIPLIER, st.integers(-31, 31)))
def test_requantise(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    acc, m, shift = columns(rows)
    assert c["mq_requantise"](acc, m, shift).tolist() == fixed.requantise(acc, m, shift).tolist()
    for (a, factor, s), y in zip(rows, fixed.requantise(acc, m, shift).tolist(), strict=True):
        if abs(a) << max(s, 0) < 2**31:
            assert y == (Fraction(a * factor) * Fraction(2) ** (s - 32) + Fraction(1, 2)).__floor__(), "rounded once"


@many
@given(vectors(S64, MULTIPLIER, st.integers(-31, 31)), st.integers(32, 62))
def test_requantise64(c: Inlines, rows: list[tuple[int, ...]], pre: int) -> None:
    acc, m, shift = columns(rows)
    assert c["mq_requantise64"](acc, pre, m, shift).tolist() == fixed.requantise64(acc, pre, m, shift).tolist()


@many
@given(vectors(S32, S32, S32))
def test_clamp(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    ordered = [(x, min(a, b), max(a, b)) for x, a, b in rows]
    x, low, high = columns(ordered)
    assert c["mq_clamp"](x, low, high).tolist() == [min(max(v, a), b) for v, a, b in ordered]
    assert [int(fixed.saturate(np.int64(v), a, b)) for v, a, b in ordered] == [min(max(v, a), b) for v, a, b in ordered]


@pytest.mark.parametrize("kind", ["random", "steepest", "constant", "line"])
def test_lookup_of_every_input(c: Inlines, kind: str) -> None:
    tables = {
        "random": np.random.default_rng(3).integers(-32768, 32768, 513),
        "steepest": np.where(np.arange(513) % 2, 32767, -32768),
        "constant": np.full(513, -32768),
        "line": np.minimum(np.arange(513) * 128 - 32768, 32767),
    }
    x, table = np.arange(-32768, 32768), tables[kind].astype(np.int16)
    have = c["mq_lookup"](x, table)
    assert np.array_equal(have, fixed.lookup(x, table))
    assert np.array_equal(have[::128], table[:-1]), "on its points a table is exact"
    if kind == "line":
        assert np.abs(have - x.astype(np.int64)).max() <= 1  # the last interval ends at 32767, not 32768


def test_lookup_stays_between_its_points(c: Inlines) -> None:
    x, table = np.arange(-32768, 32768), np.random.default_rng(4).integers(-32768, 32768, 513).astype(np.int16)
    low, high = np.minimum(table[:-1], table[1:]), np.maximum(table[:-1], table[1:])
    have = c["mq_lookup"](x, table)
    assert np.all((have >= np.repeat(low, 128)) & (have <= np.repeat(high, 128)))


@many
@given(vectors(st.one_of(st.integers(0, 2**31 - 1), st.integers(0, 2**29), st.just(2**31 - 1))))
def test_exp2_negative(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    (x,) = columns(rows)
    assert c["mq_exp2_negative"](x).tolist() == fixed_functions.exp2_negative(x).tolist()


@many
@given(vectors(POSITIVE))
def test_functions_of_64_bits(c: Inlines, rows: list[tuple[int, ...]]) -> None:
    (x,) = columns(rows)
    assert c["mq_bit_length"](x).tolist() == fixed_functions.bit_length(x).tolist() == [v.bit_length() for (v,) in rows]
    assert c["mq_log2"](x).tolist() == fixed_functions.log2(x).tolist()
    for name, f in (("reciprocal", fixed_functions.reciprocal), ("rsqrt", fixed_functions.rsqrt)):
        multiplier, shift = f(x)
        assert c[f"{name}_multiplier"](x).tolist() == multiplier.tolist()
        assert c[f"{name}_shift"](x).tolist() == shift.tolist()


# --- within the stated errors ----------------------------------------------------------------------------------------


@many
@given(st.floats(2.0**-33, 2.0**30))
def test_multiplier_is_within_its_relative_error(real: float) -> None:
    m, shift = fixed.multiplier(real)
    assert 2**30 <= m < 2**31
    assert abs(Fraction(m) * Fraction(2) ** (shift - 32) / Fraction(real) - 1) <= Fraction(1, 2**31)


def test_multiplier_at_its_ends() -> None:
    assert fixed.multiplier(2.0**-40) == (0, 0)
    assert fixed.multiplier(2.0**40) == (2**31 - 1, 31)
    assert fixed.multiplier(1.0) == (2**30, 2)
    for wrong in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="positive and finite"):
            fixed.multiplier(wrong)


@many
@given(vectors(S32), REAL_FACTOR)
def test_requantise_is_within_its_error(rows: list[tuple[int, ...]], real: float) -> None:
    m, shift = fixed.multiplier(real)
    result = fixed.requantise(columns(rows)[0], m, shift).tolist()
    for (acc,), y in zip(rows, result, strict=True):
        exact = (acc * m) << (shift + 32)  # in steps of 2**-64
        if not -(2**31) <= acc << max(shift, 0) < 2**31:
            assert abs(exact) >= 2 ** (16 + 64), "what saturates is beyond every 16-bit output"
            assert abs(y) >= 2**16
        else:
            assert abs((y << 64) - exact) <= 2**63 + 2 ** (63 + min(shift, 0))


def _dense(low: float, high: float) -> np.ndarray:
    """Integers spread evenly over the logarithm, and both neighbours of every power of two."""
    spread = 2.0 ** np.random.default_rng(6).uniform(low, high, 200_000)
    powers = 2 ** np.arange(int(low), int(high), dtype=np.int64)
    return np.unique(np.concatenate([spread.astype(np.int64), powers, powers + 1, np.maximum(powers - 1, 1)]))


def test_exp2_is_within_its_error() -> None:
    x = np.concatenate([np.arange(0, 2**24, 61), _dense(0, 31)])
    want = np.exp2(-x / 2.0**24) * 2**30
    have = fixed_functions.exp2_negative(x)
    assert np.all(np.abs(have - want) <= 0.5 + 1.0e-7 * want)
    assert fixed_functions.exp2_negative(np.array([0, 31 << 24, 2**29, 2**31 - 1])).tolist() == [2**30, 1, 0, 0]


def test_log2_is_within_its_error() -> None:
    x = _dense(0, 62.99)
    error = fixed_functions.log2(x) - np.log2(x.astype(np.longdouble)) * 2**24
    assert -1.1 < error.min() <= error.max() <= 0.0
    assert fixed_functions.log2(2 ** np.arange(63)).tolist() == [n << 24 for n in range(63)]


@pytest.mark.parametrize(
    ("f", "power", "bits"), [(fixed_functions.reciprocal, -1.0, 29), (fixed_functions.rsqrt, -0.5, 28)]
)
def test_inverse_is_within_its_error(f: Callable[..., tuple[np.ndarray, np.ndarray]], power: float, bits: int) -> None:
    x = _dense(0, 62.99)
    multiplier, shift = f(x)
    assert multiplier.min() >= 2**30, "a legal multiplier of requantise"
    assert multiplier.max() < 2**31
    have = multiplier.astype(np.longdouble) * np.exp2(shift.astype(np.longdouble) - 32)
    error = np.abs(have / x.astype(np.longdouble) ** power - 1).max()
    assert log2(error) < -bits


# --- broken contracts ------------------------------------------------------------------------------------------------


def test_checked_build_traps_where_numpy_raises(tmp_path_factory: pytest.TempPathFactory) -> None:
    own = """
static int32_t broken = 0;
void mq_contract_broken(const char *file, int line, const char *condition) {
    (void)file; (void)line; (void)condition;
    broken++;
}
static int32_t traps(int64_t acc, int32_t pre) {
    broken = 0;
    (void)mq_requantise64(acc, pre, 1 << 30, 0);
    return broken;
}
"""
    folder = tmp_path_factory.mktemp("checked")
    checked = Inlines("mq_fixed.h", ["int32_t traps(int64_t, int32_t)"], folder, own, checked=True)
    fine, wrong = [(2**40, 10), (2**31 - 1, 0), (-(2**31), 0)], [(2**40, 9), (-(2**40), 8), (2**31, 0)]
    for acc, pre in fine:
        assert checked["traps"]([acc], [pre]).tolist() == [0]
        fixed.requantise64(np.array([acc]), pre, 2**30, 0)
    for acc, pre in wrong:
        assert checked["traps"]([acc], [pre]).tolist() == [1]
        with pytest.raises(OverflowError):
            fixed.requantise64(np.array([acc]), pre, 2**30, 0)
