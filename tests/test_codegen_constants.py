"""Constants without an ordinary literal in generated folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcu_quant.emulator.folder import FolderSession
from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.lower import lower
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from tests.test_codegen import write_folder


def clipped(low: float, high: float) -> Graph:
    """A norm that is kept away from zero, as in x / max(norm(x), eps): bounded on one side only."""
    types = {n: TensorType((1, 6)) for n in ("x", "y")}
    clip = Operator("clip", "Clip", ("x",), ("y",), {"min": low, "max": high})
    return Graph("clipped", ("x",), ("y",), (clip,), types, {})


@pytest.mark.parametrize(("low", "high"), [(0.25, np.inf), (-np.inf, 0.25), (-np.inf, np.inf)])
@pytest.mark.parametrize("fmt", ["f32", "f16", "s16", "s8"])
def test_a_bound_on_one_side_compiles(fmt: str, low: float, high: float, tmp_path: Path) -> None:
    graph = clipped(low, high)
    ranges = {"x": Range(-2.0, 2.0), "y": Range(-2.0, 2.0)}
    folder = write_folder(
        lower(graph, PrecisionPlan("clipped", fmt, {"clip": OperatorPlan(fmt)}, ranges)), tmp_path, "c"
    )
    x = np.linspace(-1.75, 1.75, 6, dtype=np.float32)[None]
    with FolderSession(folder) as session:
        [y] = session.run(None, {"x": x})
    np.testing.assert_allclose(y, np.clip(x, low, high), atol=0.02)
