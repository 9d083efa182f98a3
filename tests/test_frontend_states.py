"""Which outputs become which inputs at the next frame, and which do not."""

import numpy as np
import pytest

from mcu_quant.frontend import load
from mcu_quant.passes import optimise
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(3)


def pairs(path, **options):
    return [(p.input, p.output, p.rule) for p in load(path, **options).pairings]


def leaky(state_in, state_out, x="x", y="y"):
    """A first-order low-pass filter: nothing in its structure says more than arithmetic does."""
    nodes = [node("Mul", f"{state_in} decay", "kept"), node("Add", f"kept {x}", state_out), node("Tanh", state_out, y)]
    shapes = {x: [1, 4], state_in: [1, 4]}, {y: [1, 4], state_out: [1, 4]}
    return model(nodes, *shapes, {"decay": np.array(0.9, np.float32)})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("state", "stateN"),
        ("h_in", "h_out"),
        ("h0", "hn"),
        ("c_0", "c_n"),
        ("cache", "new_cache"),
        ("cache", "cache_new"),
        ("past_x2", "present_x2"),
        ("prev_level", "next_level"),
        ("conv_cache", "conv_cache_out"),
        ("encoder.state.1", "encoder.state.1.out"),
        ("memory_0_in", "memory_0_out"),
    ],
)
def test_names_of_states(tmp_path, before, after):
    path = save(leaky(before, after), tmp_path)
    assert pairs(path) == [(before, after, "names")]
    assert_same(path, load(path).graph, [{"x": random(RNG, 1, 4)} for _ in range(5)])


@pytest.mark.parametrize(
    ("before", "after"),
    [("input", "output"), ("audio_in", "audio_out"), ("frame", "frame_out"), ("noisy", "enhanced"), ("a", "b")],
)
def test_names_that_are_no_states(tmp_path, before, after):
    assert pairs(save(leaky(before, after), tmp_path)) == []


def test_the_user_pairs_what_nothing_shows(tmp_path):
    path = save(leaky("a", "b"), tmp_path)
    assert pairs(path, states=[("b", "a")]) == [("a", "b", "as asked")]
    graph = load(path, states=[("b", "a")]).graph
    assert (graph.inputs, graph.outputs) == (("x",), ("y",))
    assert_same(path, graph, [{"x": random(RNG, 1, 4)} for _ in range(5)])


def test_the_user_wins_over_names(tmp_path):
    path = save(leaky("state", "state_out", y="other"), tmp_path)
    assert pairs(path, states=[("other", "state")]) == [("state", "other", "as asked")]


def test_an_output_that_could_be_two_states_is_left(tmp_path):
    nodes = [node("Add", "h h_in", "t"), node("Add", "t x", "h_out")]
    path = save(model(nodes, {"x": [4], "h": [4], "h_in": [4]}, {"h_out": [4]}), tmp_path)
    imported = load(path)
    assert imported.pairings == ()
    assert sum("--state" in note for note in imported.notes) == 2


def lstm(x, h, c, after, name):
    return node("LSTM", f"{x} W R B - {h} {c}", after, hidden_size=4, name=name)


def two_layers(names_in, names_out):
    nodes = [
        lstm("x", names_in[0], names_in[1], f"y1 {names_out[0]} {names_out[1]}", "one"),
        node("Squeeze", "y1 axis", "x2"),
        lstm("x2", names_in[2], names_in[3], f"y2 {names_out[2]} {names_out[3]}", "two"),
        node("Squeeze", "y2 axis", "y"),
    ]
    constants = {"W": random(RNG, 1, 16, 4), "R": random(RNG, 1, 16, 4), "B": random(RNG, 1, 32), "axis": [1]}
    shape = [1, 1, 4]
    # the outputs stand in another order than the inputs
    return model(
        nodes,
        {"x": shape} | dict.fromkeys(names_in, shape),
        {"y": shape} | dict.fromkeys(names_out[::-1], shape),
        constants,
    )


def test_recurrence_pairs_states_of_equal_shape_whatever_they_are_called(tmp_path):
    path = save(two_layers(["i1", "i2", "i3", "i4"], ["o1", "o2", "o3", "o4"]), tmp_path)
    assert pairs(path) == [(f"i{k}", f"o{k}", "recurrence") for k in (1, 2, 3, 4)]
    assert_same(path, optimise(load(path).graph), [{"x": random(RNG, 1, 1, 4)} for _ in range(5)])


def shift_register(x_shape, state_shape, axis, slice_from):
    """A causal convolution's cache: the oldest frame leaves, the new one comes."""
    nodes = [
        node("Concat", "old x", "seen", axis=axis, name="join"),
        node("ReduceMean", "seen axis", "y", keepdims=0),
        node("Slice", "seen start end axis", "kept"),
    ]
    constants = {"start": [slice_from], "end": [99], "axis": [axis]}
    return model(nodes, {"x": x_shape, "old": state_shape}, {"y": None, "kept": state_shape}, constants)


def test_a_shift_register(tmp_path):
    path = save(shift_register([1, 3, 1], [1, 3, 4], 2, 1), tmp_path)
    assert pairs(path) == [("old", "kept", "shift register")]
    assert_same(path, optimise(load(path).graph), [{"x": random(RNG, 1, 3, 1)} for _ in range(8)])


def test_a_window_that_drops_the_newest_is_no_shift_register(tmp_path):
    made = shift_register([1, 3, 1], [1, 3, 4], 2, 0)
    made.graph.initializer[1].CopyFrom(__import__("onnx").numpy_helper.from_array(np.array([4]), "end"))
    assert pairs(save(made, tmp_path)) == []


def test_position_where_names_say_state_on_both_sides(tmp_path):
    nodes = [
        node("Add", "x encoder_state", "state_a"),
        node("Add", "state_a decoder_state", "state_b"),
        node("Tanh", "state_b", "y"),
    ]
    shapes = {"x": [4], "encoder_state": [4], "decoder_state": [4]}, {"y": [4], "state_a": [4], "state_b": [4]}
    assert pairs(save(model(nodes, *shapes), tmp_path)) == [
        ("encoder_state", "state_a", "position"),
        ("decoder_state", "state_b", "position"),
    ]


def test_a_mask_beside_a_packed_state(tmp_path):
    """Input and mask have one shape, both are sliced and joined; only the state goes through the recurrent operator."""
    nodes = [
        node("Slice", "packed zero one first", "h"),
        node("Slice", "packed one two first", "c"),
        lstm("spectrum", "h", "c", "- h2 c2", "rnn"),
        node("Concat", "h2 c2", "packed2", axis=0),
        node("Mul", "spectrum h2", "clean"),
    ]
    constants = {"W": random(RNG, 1, 16, 4), "R": random(RNG, 1, 16, 4), "B": random(RNG, 1, 32)}
    constants |= {"zero": [0], "one": [1], "two": [2], "first": [0]}
    path = save(
        model(
            nodes,
            {"spectrum": [1, 1, 4], "packed": [2, 1, 4]},
            {"clean": [1, 1, 4], "packed2": [2, 1, 4]},
            constants,
        ),
        tmp_path,
    )
    assert pairs(path) == [("packed", "packed2", "recurrence")]
    graph = optimise(load(path).graph)
    assert [(p.input, p.output) for s in graph.states for p in s.pieces] == [("h", "h2"), ("c", "c2")]
    assert [op.op for op in graph.operators] == ["LSTM", "Mul"]
    assert_same(path, graph, [{"spectrum": random(RNG, 1, 1, 4)} for _ in range(5)])


@pytest.mark.parametrize(
    ("name", "bind", "expected"),
    [
        ("silero_vad_16k", {"sequence": 576, "sr": 16000}, [("state", "stateN", "names")]),
        ("dtln_stage1", {}, [("input_3", "tf_op_layer_stack_2", "recurrence")]),
        ("dtln_stage2", {}, [("input_5", "tf_op_layer_stack_5", "recurrence")]),
        (
            "gtcrn_stream",
            {},
            [(f"{n}_cache", f"{n}_cache_out", "names") for n in ("conv", "tra", "inter")],
        ),
        ("kwt1_mfcc", {}, []),
        ("speech_embedding", {}, []),
    ],
)
def test_real_models(shared, name, bind, expected):
    imported = load(shared / "models" / f"{name}.onnx", bind)
    assert [(p.input, p.output, p.rule) for p in imported.pairings] == expected


@pytest.mark.parametrize(
    ("before", "after", "noted"), [("q", "qn", True), ("mean_in", "mean_out", True), ("noisy", "clean", False)]
)
def test_what_may_be_a_state_is_noted(tmp_path, before, after, noted):
    made = load(save(leaky(before, after), tmp_path))
    assert made.pairings == ()
    assert any(f"--state OUTPUT:{before}" in note for note in made.notes) == noted


@pytest.mark.parametrize("decay", [1.0, -0.5, 2.0])
def test_other_sums_are_no_averages(tmp_path, decay):
    nodes = [node("Mul", "x_in decay", "kept"), node("Add", "kept other", "x_out")]
    constants = {"decay": np.array(decay, np.float32)}
    made = model(nodes, {"other": [1, 4], "x_in": [1, 4]}, {"x_out": [1, 4]}, constants)
    assert not any("--state" in note for note in load(save(made, tmp_path)).notes)
