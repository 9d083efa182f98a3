"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real models and audio beside the project; tests that need it are skipped without it."""
    if not (SHARED / "models").is_dir():
        pytest.skip("../shared (real models and audio) is not there: this test was NOT run")
    return SHARED
