"""How long a cell lasts: energy at work, current asleep, with the range of the energy."""

import copy
import json

import pytest

from mcu_quant import schemas
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.report import render
from mcu_quant.report.battery import Battery, with_battery
from mcu_quant.report.summary import figures, lasting
from tests import report_example

ENERGY = {"mj": 0.2, "low_mj": 0.1, "high_mj": 0.4, "active_mw": 40.0, "average_mw": 20.0, "sources": ["x"]}


@pytest.fixture
def report():
    """5 ms of every 10 ms at 40 mW."""
    made = copy.deepcopy(json.loads((report_example.built().folder / "report.json").read_text()))
    made["latency"] |= {"ms": 5.0, "budget_ms": 10.0, "real_time_factor": 0.5}
    return {**made, "energy": dict(ENERGY)}


def test_a_cell_lasts_its_energy_over_the_average_power(report):
    found = with_battery(report, Battery(100.0, 3.0))
    assert schemas.validate(found, "report", "it", "MQ704") == []
    assert found["energy"]["battery"]["hours"] == pytest.approx(300.0 / 20.0)
    assert found["energy"]["battery"]["low_hours"] == pytest.approx(300.0 / 40.0)
    assert found["energy"]["battery"]["high_hours"] == pytest.approx(300.0 / 10.0)
    assert "15 hours (7.5 hours to 30 hours)" in dict(figures(found))["Battery"]


def test_duty_and_sleep_count(report):
    listening = with_battery(report, Battery(100.0, 3.0, duty=0.1, sleep_ua=1000.0))["energy"]["battery"]
    # a tenth of half the time at 40 mW, 3 mW for the rest
    assert listening["hours"] == pytest.approx(300.0 / (0.05 * 40.0 + 0.95 * 3.0))
    assert lasting(listening["hours"]) == "2.58 days"


def test_without_a_published_power_or_a_frame_rate_nothing_is_said(report):
    assert with_battery({**report, "energy": None}, Battery(1, 1))["energy"] is None
    slow = {**report, "latency": {**report["latency"], "budget_ms": None}}
    assert "battery" not in with_battery(slow, Battery(1, 1))["energy"]


def test_cells_have_names_or_numbers():
    assert Battery.parse("500mAh@3.7V", 10, 5) == Battery(500.0, 3.7, 0.1, 5)
    assert Battery.parse("CR2032", 100, 0) == Battery(220.0, 3.0)
    with pytest.raises(DiagnosticError, match="is no cell"):
        Battery.parse("500", 100, 0)


def test_it_is_a_card_of_the_page_and_a_column_beside_other_boards(report):
    lasting_long = with_battery(report, Battery(100.0, 3.0))
    page = render([lasting_long], "html")
    assert "15 hours" in page.partition('id="findings"')[0] and "100 mAh at 3 V" in page
    assert "battery" in render([lasting_long, {**lasting_long, "board": "other"}], "table").lower()
    rows = render([lasting_long, {**lasting_long, "board": "other"}], "csv").splitlines()
    assert rows[1].split(",")[rows[0].split(",").index("battery_hours")] == "15.0"
    assert "battery" not in render([report, {**report, "board": "other"}], "table").lower()
