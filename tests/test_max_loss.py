"""Budgets in what users hear or see: `--max-loss`."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench.small_models import mask_lstm
from mcu_quant import api
from mcu_quant.api import PlanRequest, PrecisionRequest, Source
from mcu_quant.api.planning import Planning
from mcu_quant.cli import goals
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.precision.goal import Goal
from mcu_quant.precision.metrics import METRICS, Played, metric


def request_of(tmp_path, loss: tuple[str, float], **more: object) -> PlanRequest:
    goal = Goal(max_loss=loss, minimise="flash", **more)  # type: ignore[arg-type]
    return PlanRequest(
        Source(mask_lstm(tmp_path / "mask.onnx")), "nucleo_h743zi2", PrecisionRequest(), None, Planning(goal)
    )


def lost(plan_words: str) -> float:
    """What the words of a plan say is expected of its change on other recordings."""
    return float(plan_words.split("on the recordings, ")[1].split(" expected", maxsplit=1)[0])


def test_a_change_is_kept_on_other_recordings_too_and_the_plan_says_so(tmp_path):
    loose, tight = (api.make_plan(request_of(tmp_path, ("change", most))).plan for most in (0.05, 0.004))
    assert lost(loose.planned) <= 0.05
    assert lost(tight.planned) <= 0.004
    assert lost(tight.planned) < lost(loose.planned)
    here = float(tight.planned.split("change lost ")[2].split(" ", maxsplit=1)[0])
    assert lost(tight.planned) == pytest.approx(METRICS["change"].elsewhere * here, rel=0.01)
    assert METRICS["change"].elsewhere > 1.0 == METRICS["pesq"].elsewhere


def test_what_no_plan_keeps_is_answered_with_what_one_keeps(tmp_path):
    """Too little flash for the last steps of the ladder: the best there is within it is tried as well, and named."""
    with pytest.raises(DiagnosticError, match="MQ306") as raised:
        api.make_plan(request_of(tmp_path, ("change", 1e-4), flash_bytes=80_000, min_snr_db=44.0))
    assert "flash 78.1 KiB at most, 44 dB at least, change lost 0.0001 at most" in str(raised.value)
    enough = re.search(r"this is enough: --max-loss change=([0-9.e-]+);", str(raised.value))
    assert enough, str(raised.value)
    kept = api.make_plan(request_of(tmp_path, ("change", float(enough[1])), flash_bytes=80_000, min_snr_db=44.0)).plan
    assert 1e-4 < lost(kept.planned) <= float(enough[1]) < 0.1


def test_audio_metrics_want_audio(tmp_path):
    with pytest.raises(DiagnosticError, match="MQ900") as raised:
        api.make_plan(request_of(tmp_path, ("pesq", 0.05)))
    assert "--audio" in str(raised.value)


def test_the_option():
    wanted = goals.planning(max_loss="pesq=0.05").goal
    assert wanted is not None and wanted.max_loss == ("pesq", 0.05) and wanted.objective == "balanced"
    assert Planning(wanted).words == ["--max-loss", "pesq=0.05"]
    for text, said in (("pesk=0.05", "pesq"), ("pesq", "is not understood"), ("pesq=much", "is not understood")):
        with pytest.raises(DiagnosticError, match="MQ900") as raised:
            goals.planning(max_loss=text)
        assert said in str(raised.value)


def test_figures_of_known_sounds():
    pytest.importorskip("pesq")
    random = np.random.default_rng(1)
    t = np.arange(32000) / 16000
    speech = 8000 * np.sin(2 * np.pi * 200 * t) * (np.sin(2 * np.pi * 3 * t) > 0) + random.normal(0, 20, t.size)
    same = Played(speech, speech, None, 16000)
    noisy = Played(speech, speech + random.normal(0, 500, t.size), None, 16000)
    assert metric("pesq").loss(same) == pytest.approx(0.0, abs=0.01)
    assert metric("pesq").loss(noisy) > 0.3
    clean = speech / 32768.0
    assert metric("si-sdr").loss(Played(noisy.made, noisy.made, clean, 16000)) == 0.0
    assert metric("si-sdr").loss(Played(speech, noisy.made, clean + 1e-4, 16000)) > 3.0
    assert set(METRICS) == {"pesq", "si-sdr", "change"}


@pytest.mark.parametrize(("board", "known"), [("nucleo_u575zi_q", True), ("nucleo_f446re", False)])
def test_energy_is_stated_where_its_power_is_published(tmp_path, board, known):
    goal = Goal(min_snr_db=30.0, minimise="energy")
    source = Source(mask_lstm(tmp_path / "mask.onnx"))
    made = api.make_plan(PlanRequest(source, board, PrecisionRequest(), None, Planning(goal)))
    codes = [d.code for d in made.diagnostics]
    assert ("mJ a frame (" in made.plan.planned) is known
    assert ("MQ309" in codes) is not known
    if known:
        text, ms = made.plan.planned.split("energy ")[-1], float(made.plan.planned.split(" ms a frame")[-2].split()[-1])
        mj, mw = float(text.split()[0]), float(text.split(" at ")[1].split()[0])
        assert mj == pytest.approx(mw * ms / 1e3, rel=0.02)
