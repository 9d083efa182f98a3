"""Calibration: statistics equal to those of all values at once, states carried and reset, memory bounded."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from mcu_quant import calibrate as module
from mcu_quant import ops
from mcu_quant.calibrate import BINS, Stats, calibrate, calibrate_ranges, covered
from mcu_quant.data import Clip, Clips, Frame
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.interpret import Stream
from mcu_quant.ir import Array, Graph, Operator, State, StatePiece, TensorType

SIZE = 5


def _graph() -> Graph:
    """y = tanh(W [x, h]), h' = y: the smallest recurrent network."""
    random = np.random.default_rng(5)
    vector = TensorType((1, SIZE))
    piece = StatePiece("h", "y", np.arange(SIZE).reshape(1, SIZE))
    return Graph(
        "cell",
        ("x",),
        ("y",),
        (
            Operator("join", "Concat", ("x", "h"), ("z",), {"axis": 1}),
            Operator("tanh", "Tanh", ("z",), ("t",)),
            Operator(
                "cut",
                "Slice",
                ("t",),
                ("y",),
                {"starts": (SIZE - 2,), "ends": (2 * SIZE - 2,), "axes": (1,), "steps": (1,)},
            ),
        ),
        {"x": vector, "h": vector, "z": TensorType((1, 2 * SIZE)), "t": TensorType((1, 2 * SIZE)), "y": vector},
        {},
        (State("h_in", "h_out", vector, random.standard_normal((1, SIZE)).astype(np.float32), (piece,)),),
    )


def _clip(name: str, count: int, seed: int, gain: float = 1.0) -> Clip:
    def frames() -> Iterator[Frame]:
        random = np.random.default_rng(seed)
        for _ in range(count):
            yield {"x": (gain * random.standard_normal((1, SIZE))).astype(np.float32)}

    return Clip(name, count, frames)


@pytest.fixture
def clips() -> Clips:
    return Clips((_clip("a", 40, 1), _clip("b", 7, 2, 10.0), _clip("c", 30, 3, 0.1)), "three clips")


def _all_values(graph: Graph, clips: Clips) -> dict[str, Array]:
    found: dict[str, list[Array]] = {name: [] for name in ("x", "h", "z", "t", "y")}
    for clip in clips:
        stream = Stream(graph)
        for frame in clip:
            values = stream.run(frame, tuple(found))
            for name, kept in found.items():
                kept.append(np.ravel(values[name]))
    return {name: np.concatenate(kept) for name, kept in found.items()}


def test_streamed_statistics_are_those_of_all_values(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = _graph()
    wanted = _all_values(graph, clips)
    for gathered in (1, 200, module.GATHER):  # a frame at a time, a few, everything
        monkeypatch.setattr(module, "GATHER", gathered)
        stats = calibrate(graph, clips)
        assert stats.frames == 77 and stats.calibrated_on == "three clips"
        assert set(stats.edges) == {"x", "h", "z", "t", "y"}
        for name, edge in stats.edges.items():
            values = wanted[name]
            assert (edge.count, edge.low, edge.high) == (values.size, values.min(), values.max())
            assert edge.mean == pytest.approx(values.mean(dtype=np.float64), rel=1e-6)
            assert edge.mean_square == pytest.approx(np.mean(np.square(values, dtype=np.float64)), rel=1e-6)
            assert edge.histogram.sum() == values.size


def test_the_histogram_is_by_powers_of_two() -> None:
    values = np.array([[0.0, 0.5, -0.75, 1.0, -3.9]], np.float32)
    clip = Clip("one", 1, lambda: iter([{"x": values}]))
    histogram = calibrate(_graph(), Clips((clip,), "")).edges["x"].histogram
    assert histogram.shape == (BINS,)
    assert {b: int(n) for b, n in enumerate(histogram) if n} == {0: 1, 126: 2, 127: 1, 128: 1}


def test_the_state_is_carried_within_a_clip_and_reset_between(clips: Clips) -> None:
    graph = _graph()
    whole = calibrate(graph, clips).edges["h"]
    apart = [calibrate(graph, Clips((clip,), "")).edges["h"] for clip in clips]
    assert whole.low == min(e.low for e in apart) and whole.high == max(e.high for e in apart)
    assert whole.mean * whole.count == pytest.approx(sum(e.mean * e.count for e in apart))
    backwards = calibrate(graph, Clips(clips.clips[::-1], "")).edges["h"]
    assert (backwards.low, backwards.high) == (whole.low, whole.high)


def test_a_maximum_of_frames_is_shared_among_clips(clips: Clips) -> None:
    calls: list[tuple[int, int]] = []
    stats = calibrate(_graph(), clips, 30, lambda done, total: calls.append((done, total)))
    assert calls == [(i, 30) for i in range(1, 31)]  # 7 of the short clip, 11 and 12 of the others
    assert stats.frames == 30 and stats.calibrated_on == "three clips; of these the first 30 frames"
    assert stats.edges["x"].high > 5.0  # the loud short clip is in it


def test_ranges_for_a_plan(clips: Clips) -> None:
    stats = calibrate(_graph(), clips)
    assert stats.ranges()["y"].low == stats.edges["y"].low
    assert stats.ranges()["y"].magnitude == max(-stats.edges["y"].low, stats.edges["y"].high)


def test_ranges_of_plans_cover_louder_copies_and_no_softer_ones(clips: Clips) -> None:
    loud, soft = (replace(_clip("a", 40, 1, gain), level_db=db) for gain, db in ((3.0, 9.0), (0.03, -30.0)))
    one = Clips((_clip("a", 40, 1),), "one")
    as_recorded, heard = covered(_graph(), one), covered(_graph(), replace(one, levels=(soft, loud)))
    assert heard.frames == 2 * as_recorded.frames
    assert heard.edges["x"].high == pytest.approx(3.0 * as_recorded.edges["x"].high)
    assert as_recorded.edges["t"].high < heard.edges["t"].high <= 1.0


@pytest.mark.parametrize("large", [module.LARGE, 1])
def test_ranges_alone_are_those_of_the_statistics(clips: Clips, large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", large)  # gathered, and taken in at once
    stats, ranges = calibrate(_graph(), clips, 30), calibrate_ranges(_graph(), clips, 30)
    assert dict(ranges.edges) == dict(stats.ranges()) and list(ranges.edges) == list(stats.edges)
    assert (ranges.frames, ranges.calibrated_on) == (stats.frames, stats.calibrated_on)


def test_stats_survive_json_to_the_bit(clips: Clips) -> None:
    stats = calibrate(_graph(), clips)
    again = Stats.from_dict(json.loads(json.dumps(stats.as_dict(), allow_nan=False)))
    assert (again.frames, again.calibrated_on, again.ranges()) == (stats.frames, stats.calibrated_on, stats.ranges())
    for name, edge in stats.edges.items():
        other = again.edges[name]
        assert (edge.count, edge.mean, edge.mean_square) == (other.count, other.mean, other.mean_square)
        assert np.array_equal(edge.histogram, other.histogram)


def test_tensors_inside_operators(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ops.spec("Tanh")
    monkeypatch.setitem(
        ops._specs,  # a double: no operator with internals is as small as this graph
        "Tanh",
        module.ops.OpSpec(
            spec.name, spec.onnx, spec.reference, spec.infer, internals=lambda op, inputs: {"twice": 2.0 * inputs[0]}
        ),
    )
    stats = calibrate(_graph(), clips)
    assert stats.ranges()["tanh:twice"].high == 2.0 * stats.ranges()["z"].high


@pytest.mark.parametrize("fold", [calibrate, calibrate_ranges])
@pytest.mark.parametrize("large", [module.LARGE, 1])
def test_a_model_that_is_not_finite_names_the_clip_and_the_first_tensor(
    fold: Callable[..., object], large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGE", large)
    bad = Clip("bad", 1, lambda: iter([{"x": np.full((1, SIZE), np.nan, np.float32)}]))
    with pytest.raises(DiagnosticError) as error:
        fold(_graph(), Clips((_clip("good", 3, 1), bad), ""))
    (problem,) = error.value.diagnostics
    assert (problem.code, problem.where) == ("MQ401", "x") and "'bad'" in problem.message


def test_no_frames_at_all() -> None:
    with pytest.raises(DiagnosticError, match="no frames"):
        calibrate(_graph(), Clips((), "nothing"))


def test_memory_does_not_grow_with_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER", 1 << 12)

    def peak(count: int) -> int:
        tracemalloc.start()
        calibrate(_graph(), Clips((_clip("long", count, 1),), ""), max_frames=None)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    # the least of some, since when garbage is collected is chance; at first caches fill
    few, many = (min(peak(count) for _ in range(3)) for count in (500, 5000))
    assert many < 1.1 * few
