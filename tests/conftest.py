"""Fixtures shared by all tests."""

import os
import tempfile
from pathlib import Path

import pytest

#: What the user of this machine measured on boards must not reach the tests.
_CALIBRATIONS = tempfile.TemporaryDirectory(prefix="mcu-quant-calibrations-")
os.environ["MCU_QUANT_CALIBRATIONS"] = _CALIBRATIONS.name

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real models and audio beside the project; tests that need it are skipped without it."""
    if not (SHARED / "models").is_dir():
        pytest.skip("../shared (real models and audio) is not there: this test was NOT run")
    return SHARED
