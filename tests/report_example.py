"""One build that all tests of reports look at: three formats, so that there are conversions; states; audio."""

import tempfile
from functools import cache
from pathlib import Path

from mcu_quant import api
from tests import streaming_model

SETS = ("lstm=s8", "dense=f16", "mask=s16")


@cache
def built() -> api.BuildResult:
    """The folder and its report; the folder goes with the process."""
    home = Path(_home().name)
    request = api.BuildRequest(
        api.Source(streaming_model.write(home)),
        "nucleo_f446re",
        home / "fw",
        api.PrecisionRequest(preset="f32", edits=SETS),
        streaming_model.speech(home / "speech"),
    )
    return api.build(request)


@cache
def _home() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="mcu-quant-test-")
