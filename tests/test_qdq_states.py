"""Quantised models that stream: a cache is stored on the model's own scale, and nothing has to be calibrated for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcu_quant import api
from mcu_quant.api import rewrites, stages
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Array
from tests.onnx_models import model, node, save, stream_reference

CHANNELS, TAPS = 4, 3


def _rounded(name: str, source: str, scale: str) -> list[object]:
    return [
        node("QuantizeLinear", f"{source} {scale} z", f"{name}_q", name=f"{name}_q"),
        node("DequantizeLinear", f"{name}_q {scale} z", name, name=name),
    ]


def _causal_convolution(tmp_path: Path, kind: type, cache_scale: float) -> Path:
    """A cache of the last columns in front of a convolution, everything rounded to 8 bits."""
    random = np.random.default_rng(12)
    constants = {
        "s": np.array(0.02, np.float32),
        "c": np.array(cache_scale, np.float32),
        "z": np.array(3 if kind is np.int8 else 131, kind),
        "w": random.integers(-127, 128, (CHANNELS, CHANNELS, TAPS)).astype(np.int8),
        "ws": np.array(0.004, np.float32),
        "wz": np.array(0, np.int8),
        "first": np.array([1], np.int64),
        "end": np.array([TAPS], np.int64),
        "axis": np.array([2], np.int64),
    }
    nodes = [
        *_rounded("old", "cache", "c"),
        *_rounded("new", "x", "s"),
        node("Concat", "old new", "joined", axis=2, name="join"),
        *_rounded("window", "joined", "c"),
        node("DequantizeLinear", "w ws wz", "weights"),
        node("Conv", "window weights", "sum", name="conv"),
        *_rounded("y", "sum", "s"),
        node("Slice", "window first end axis", "kept"),
        *_rounded("cache_out", "kept", "c"),
    ]
    inputs = {"x": [1, CHANNELS, 1], "cache": [1, CHANNELS, TAPS - 1]}
    outputs = {"y": [1, CHANNELS, 1], "cache_out": [1, CHANNELS, TAPS - 1]}
    return save(model(nodes, inputs, outputs, constants), tmp_path)


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("cache_scale", [0.02, 0.03])
def test_a_cache_has_the_models_scale(kind: type, cache_scale: float, tmp_path: Path) -> None:
    path = _causal_convolution(tmp_path, kind, cache_scale)
    found = stages.read(api.Source(path))
    rewrites.verify(found, None)
    target = stages.target(None)
    planned = stages.choose(found, target, api.PrecisionRequest("qdq"), None)
    assert not planned.plan.ranges  # the model says everything
    session = ProgramSession(stages.lowered(found, planned.plan, target).program, verify=True)
    [state] = session.program.states
    stored = session.program.edges[state.edge].type
    assert (stored.format, stored.quant and stored.quant.scale) == ("s8", np.float32(cache_scale))
    random = np.random.default_rng(4)
    frames = [{"x": random.uniform(-2, 2, (1, CHANNELS, 1)).astype(np.float32)} for _ in range(20)]
    ours = [_results(session, frame) for frame in frames]
    for have, want in zip(ours, stream_reference(path, found.graph, frames), strict=True):
        for name in ("y", "cache_out"):
            np.testing.assert_allclose(np.ravel(have[name]), np.ravel(want[name]), atol=1e-5)
    assert session.mismatches == []


def _results(session: ProgramSession, frame: dict[str, Array]) -> dict[str, Array]:
    return {"y": session.run(["y"], frame)[0], **session.states()}
