"""Quality of speech: figures where there are some, None where a recording has none."""

from __future__ import annotations

import numpy as np
import pytest

from mcu_quant.audio.judge import judge

pytest.importorskip("pesq", reason="extra `quality` is not installed")
pytest.importorskip("pystoi", reason="extra `quality` is not installed")
RATE_HZ = 16000


def noise(seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(int(seconds * rate_hz))


def test_equal_recordings_are_as_good_as_can_be():
    found = judge(noise(2.0), noise(2.0), RATE_HZ)
    assert found.pesq is not None and found.pesq > 4.6
    assert found.stoi is not None and found.stoi > 0.999


@pytest.mark.parametrize("seconds", [0.005, 0.05, 0.0501, 0.2])
@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_what_is_too_short_has_no_intelligibility(seconds, rate_hz):
    assert judge(noise(seconds, rate_hz), noise(seconds, rate_hz), rate_hz).stoi is None


@pytest.mark.parametrize("seconds", [0.005, 0.05, 0.2])
def test_failures_of_pesq_are_no_scores(seconds):
    assert judge(noise(seconds), noise(seconds), RATE_HZ).pesq is None


def test_mostly_silent_recordings_have_neither():
    clean = noise(0.6)
    clean[2000:] = 0.0
    found = judge(clean, clean + 0.1 * noise(0.6), RATE_HZ)
    assert (found.pesq, found.stoi) == (None, None)


def test_silence_has_no_score():
    assert judge(np.zeros(RATE_HZ), noise(1.0), RATE_HZ).pesq is None
