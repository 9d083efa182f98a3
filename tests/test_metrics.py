"""SNR, SI-SDR, NMSE and largest difference: values by hand, limits, and streams equal to whole signals."""

import json

import numpy as np
import pytest

from mcu_quant.metrics import EXACT_DB, Comparison, compare, max_abs, nmse, si_sdr_db, snr_db


@pytest.fixture
def speech() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(4000).astype(np.float32)


def test_known_values() -> None:
    reference, test = np.array([3.0, 4.0]), np.array([3.0, 4.5])
    assert nmse(reference, test) == pytest.approx(0.25 / 25.0)
    assert snr_db(reference, test) == pytest.approx(20.0)
    assert max_abs(reference, test) == 0.5


def test_equal_signals_are_exact(speech: np.ndarray) -> None:
    result = compare(speech, speech.copy())
    assert (result.snr_db, result.si_sdr_db, result.nmse, result.max_abs) == (EXACT_DB, EXACT_DB, 0.0, 0.0)
    assert result.exact and compare(np.zeros(3), np.zeros(3)).exact


def test_one_different_bit_is_not_exact(speech: np.ndarray) -> None:
    other = speech.copy()
    other[7] = np.nextafter(other[7], np.float32(10))
    result = compare(speech, other)
    assert result.unequal == 1 and not result.exact
    assert 150.0 < result.snr_db < EXACT_DB


def test_a_gain_costs_snr_but_not_si_sdr(speech: np.ndarray) -> None:
    assert snr_db(speech, 2.0 * speech) == pytest.approx(0.0, abs=1e-9)
    assert si_sdr_db(speech, 2.0 * speech) > 200.0


def test_si_sdr_equals_its_definition(speech: np.ndarray) -> None:
    test = 0.8 * speech + 0.1 * np.roll(speech, 3)
    r, t = speech.astype(np.float64), test.astype(np.float64)
    target = (t @ r) / (r @ r) * r
    wanted = 10.0 * np.log10((target @ target) / ((t - target) @ (t - target)))
    assert si_sdr_db(speech, test) == pytest.approx(wanted, abs=1e-6)


def test_si_sdr_keeps_its_digits_when_signals_are_nearly_equal(speech: np.ndarray) -> None:
    r = speech.astype(np.float64)
    test = 1.001 * r + 1e-9 * np.random.default_rng(2).standard_normal(r.size)
    assert si_sdr_db(r, test) == pytest.approx(180.0, abs=0.5)


def test_what_is_not_finite_is_as_wrong_as_can_be(speech: np.ndarray) -> None:
    for bad in (np.nan, np.inf):
        other = speech.copy()
        other[0] = bad
        result = compare(speech, other)
        assert (result.snr_db, result.si_sdr_db, result.max_abs) == (-EXACT_DB, -EXACT_DB, np.inf)
        assert json.loads(json.dumps(result.as_dict(), allow_nan=False))["max_abs"] is None


def test_the_same_infinity_on_both_sides_is_equal() -> None:
    both = np.array([1.0, np.inf, np.nan])
    assert compare(both, both.copy()).exact


def test_noise_over_silence() -> None:
    result = compare(np.zeros(4), np.full(4, 0.5))
    assert (result.snr_db, result.si_sdr_db, result.nmse) == (-EXACT_DB, -EXACT_DB, np.inf)


def test_a_stream_equals_the_whole(speech: np.ndarray) -> None:
    test = speech + 0.01 * np.roll(speech, 1)
    stream = Comparison()
    for start in range(0, speech.size, 160):
        stream.add(speech[start : start + 160], test[start : start + 160])
    whole, streamed = compare(speech, test), stream.result()
    assert streamed.count == whole.count == speech.size
    assert streamed.max_abs == whole.max_abs
    for name in ("snr_db", "si_sdr_db", "nmse"):
        assert getattr(streamed, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        snr_db(np.zeros(3), np.zeros((3, 1)))
