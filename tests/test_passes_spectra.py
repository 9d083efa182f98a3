"""Fourier transforms written as matrices are fast transforms; matrices that are nearly that stay what they are."""

import numpy as np
import pytest

from mcu_quant.frontend import load
from mcu_quant.interpret import Stream
from mcu_quant.passes import optimise
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(8)


def waves(points, taps, sign=-1):
    """Cosines and sines under a window that is zero nowhere, [2, bins, taps]."""
    turns = 2 * np.pi * np.outer(np.arange(points // 2 + 1), np.arange(taps)) / points
    window = 0.6 - 0.4 * np.cos(2 * np.pi * (np.arange(taps) + 0.5) / taps)
    return (np.stack([np.cos(turns), sign * np.sin(turns)]) * window).astype(np.float32)


def kinds(graph):
    return [op.op for op in graph.operators]


def framed(rows, samples, hop, folder, nodes=(), shape=None, **attributes):
    """A convolution with these rows, and what follows; y is `shape`."""
    frames = (samples - rows.shape[1]) // hop + 1
    made = [node("Conv", "x W", "s" if nodes else "y", strides=[hop], **attributes), *nodes]
    constants = {"W": rows[:, None]}
    path = save(model(made, {"x": [1, 1, samples]}, {"y": shape or [1, len(rows), frames]}, constants), folder)
    return path, optimise(load(path).graph)


def same(path, graph):
    assert_same(path, graph, [{"x": random(RNG, *graph.shape("x"))} for _ in range(2)])


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("in_pairs", [False, True])
@pytest.mark.parametrize(("points", "taps", "hop"), [(64, 64, 16), (60, 60, 60), (512, 400, 160)])
def test_a_convolution_with_waves_is_a_fast_transform(points, taps, hop, in_pairs, sign, tmp_path):
    rows = waves(points, taps, sign)
    rows = np.stack(list(rows), 1).reshape(-1, taps) if in_pairs else rows.reshape(-1, taps)
    path, graph = framed(rows, taps + 3 * hop, hop, tmp_path)
    assert kinds(graph).count("Spectrum") == 1 and "Conv" not in kinds(graph)
    assert sum(a.size for a in graph.constants.values()) <= taps + 2
    same(path, graph)


@pytest.mark.parametrize("root", [True, False])
def test_squares_of_the_parts_are_never_stored(root, tmp_path):
    bins = 33
    nodes = [
        node("Split", "s", "re im", axis=1, num_outputs=2),
        node("Mul", "re re", "re2"),
        node("Mul", "im im", "im2"),
        node("Add", "im2 re2", "sum" if root else "y"),
        *([node("Sqrt", "sum", "y")] if root else []),
    ]
    path, graph = framed(waves(64, 64).reshape(-1, 64), 112, 16, tmp_path, nodes, [1, bins, 4])
    [spectrum] = [op for op in graph.operators if op.op == "Spectrum"]
    assert spectrum.attributes["value"] == ("magnitude" if root else "power")
    assert not {"Mul", "Add", "Sqrt"} & set(kinds(graph))
    same(path, graph)


def test_parts_that_something_else_reads_are_kept(tmp_path):
    nodes = [
        node("Split", "s", "re im", axis=1, num_outputs=2),
        node("Mul", "re re", "re2"),
        node("Mul", "im im", "im2"),
        node("Add", "re2 im2", "sum"),
        node("Add", "sum re", "y"),
    ]
    path, graph = framed(waves(64, 64).reshape(-1, 64), 112, 16, tmp_path, nodes, [1, 33, 4])
    [spectrum] = [op for op in graph.operators if op.op == "Spectrum"]
    assert spectrum.attributes["value"] == "complex"
    same(path, graph)


def test_a_product_with_waves_is_a_fast_transform(tmp_path):
    rows = waves(64, 48).reshape(-1, 48)
    path = save(model([node("MatMul", "x W", "y")], {"x": [3, 48]}, {"y": [3, 66]}, {"W": rows.T.copy()}), tmp_path)
    graph = optimise(load(path).graph)
    assert "Spectrum" in kinds(graph) and "Gemm" not in kinds(graph)
    same(path, graph)


def spoiled(what):
    rows = waves(64, 64).reshape(-1, 64)
    if what == "one weight":
        rows[7, 9] += 0.01
    if what == "a bin less":
        rows = np.delete(rows, [32, 65], axis=0)
    if what == "a prime length":
        rows = waves(2 * 37, 74).reshape(-1, 74)
    return rows, {"pads": [1, 0]} if what == "padding" else {}


@pytest.mark.parametrize("what", ["one weight", "a bin less", "a prime length", "padding"])
def test_what_is_no_transform_stays_a_convolution(what, tmp_path):
    rows, attributes = spoiled(what)
    path, graph = framed(rows, 128, 32, tmp_path, shape=[1, len(rows), None], **attributes)
    assert "Conv" in kinds(graph) and "Spectrum" not in kinds(graph)
    same(path, graph)


def test_trained_weights_and_few_points_stay_matrices(tmp_path):
    for rows in (random(RNG, 66, 64), waves(8, 8).reshape(-1, 8)):
        _, graph = framed(rows, 128, 32, tmp_path)
        assert kinds(graph) == ["Conv"]


# --- nodes ---------------------------------------------------------------------------------------------------------

#: A power of two, because onnxruntime is 100 dB from the true transform at other lengths.
POINTS, HOP, FRAMES, BINS = 64, 16, 4, 33
CONSTANTS = {
    "step": np.array(HOP, np.int64),
    "w": (np.hanning(POINTS + 1)[:-1] + 0.1).astype(np.float32),
    "two": np.array(2.0, np.float32),
    "last": np.array([-1], np.int64),
    "first": np.array(0, np.int64),
    "second": np.array(1, np.int64),
}
STFT = node("STFT", "x step w", "s", onesided=1)
#: What is read of y, the nodes that make it of the pairs [1, frames, bins, 2] in s, and its shape.
LEVELS = {
    "l2": ("magnitude", [node("ReduceL2", "s last", "y", keepdims=0)], (FRAMES, BINS)),
    "squares": ("power", [node("ReduceSumSquare", "s last", "y", keepdims=1)], (FRAMES, BINS, 1)),
    "pow": (
        "magnitude",
        [node("Pow", "s two", "q"), node("ReduceSum", "q last", "p", keepdims=0), node("Sqrt", "p", "y")],
        (FRAMES, BINS),
    ),
    "split": (
        "magnitude",
        [
            node("Split", "s", "re im", axis=3, num_outputs=2),
            node("Mul", "re re", "a"),
            node("Mul", "im im", "b"),
            node("Add", "b a", "p"),
            node("Sqrt", "p", "y"),
        ],
        (FRAMES, BINS, 1),
    ),
    "gather": (
        "power",
        [
            node("Transpose", "s", "t", perm=[0, 2, 1, 3]),
            node("Gather", "t first", "re", axis=3),
            node("Gather", "t second", "im", axis=3),
            node("Pow", "re two", "a"),
            node("Pow", "im two", "b"),
            node("Add", "a b", "y"),
        ],
        (BINS, FRAMES),
    ),
}


def transformed(nodes, shape, folder):
    samples = POINTS + (FRAMES - 1) * HOP
    path = save(model([STFT, *nodes], {"x": [1, samples, 1]}, {"y": [1, *shape]}, CONSTANTS), folder)
    return path, optimise(load(path).graph)


@pytest.mark.parametrize("how", LEVELS)
def test_levels_are_made_where_the_spectrum_is(how, tmp_path):
    value, nodes, shape = LEVELS[how]
    path, graph = transformed(nodes, shape, tmp_path)
    [spectrum] = [op for op in graph.operators if op.op == "Spectrum"]
    assert spectrum.attributes["value"] == value
    assert set(kinds(graph)) <= {"Spectrum", "Reshape", "Transpose"}
    same(path, graph)


@pytest.mark.parametrize("how", LEVELS)
def test_spectra_that_something_else_reads_stay(how, tmp_path):
    _, nodes, shape = LEVELS[how]
    nodes = [*nodes[:-1], node(nodes[-1].op_type, " ".join(nodes[-1].input), "z")]
    nodes[-1].attribute.extend(LEVELS[how][1][-1].attribute)
    nodes += [node("ReduceSum", "s", "all", keepdims=0), node("Add", "z all", "y")]
    path, graph = transformed(nodes, shape, tmp_path)
    assert [op.attributes["value"] for op in graph.operators if op.op == "Spectrum"] == ["complex"]
    same(path, graph)


def complex_of(values):
    return values[..., 0] + 1j * values[..., 1]


@pytest.mark.parametrize("onesided", [1, 0])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("points", [16, 60, 512])
def test_nodes_hold_no_matrix(points, batch, onesided, tmp_path):
    hop, samples, bins = points // 2, 2 * points, points // 2 + 1 if onesided else points
    constants = {"step": np.array(hop, np.int64), "w": random(RNG, points)}
    made = model(
        [node("STFT", "x step w", "y", onesided=onesided)],
        {"x": [batch, samples, 1]},
        {"y": [batch, 3, bins, 2]},
        constants,
    )
    graph = optimise(load(save(made, tmp_path)).graph)
    assert kinds(graph).count("Spectrum") == batch and not {"Conv", "Gemm"} & set(kinds(graph))
    assert sum(a.size for a in graph.constants.values()) <= points + 2
    x = random(RNG, batch, samples, 1)
    cut = np.stack([x[:, t * hop : t * hop + points, 0] for t in range(3)], 1).astype(np.float64)
    wanted = np.fft.fft(cut * constants["w"])[..., :bins]
    assert np.abs(complex_of(Stream(graph).run({"x": x})["y"]) - wanted).max() < 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("inverse", [0, 1])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(("points", "count"), [(16, 16), (60, 60), (24, 20), (20, 24)])
def test_transforms_of_all_kinds_are_numpys(points, count, parts, inverse, tmp_path):
    """Real and complex, there and back, filled up with zeros and cut."""
    made = model(
        [node("DFT", "x n", "y", inverse=inverse)],
        {"x": [3, count, parts]},
        {"y": [3, points, 2]},
        {"n": np.array(points, np.int64)},
        opset=17,
    )
    graph = optimise(load(save(made, tmp_path)).graph)
    assert "Spectrum" in kinds(graph) and "Gemm" not in kinds(graph)
    x = random(RNG, 3, count, parts)
    z = x[..., 0] + 1j * (x[..., 1] if parts == 2 else 0)
    wanted = (np.fft.ifft if inverse else np.fft.fft)(z.astype(np.complex128), points, axis=1)
    found = Stream(graph).run({"x": x})["y"]
    assert np.abs(complex_of(found) - wanted).max() < 1e-6 * np.abs(wanted).max()
