"""Packed states come apart into pieces, element by element, or stay whole."""

import numpy as np
import pytest

from mcu_quant import trace
from mcu_quant.frontend import load
from mcu_quant.interpret import Stream, run
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.passes import optimise
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(6)


def optimised(tmp_path, nodes, inputs, outputs, constants=None, states=()):
    path = save(model(nodes, inputs, outputs, constants), tmp_path)
    graph = optimise(load(path, states=states).graph)
    assert_same(path, graph, [{n: random(RNG, *graph.shape(n)) for n in graph.inputs} for _ in range(6)])
    return graph


def pieces(graph):
    return [(p.input, p.output) for s in graph.states for p in s.pieces]


def kinds(graph):
    return [op.op for op in graph.operators]


def filters(letters="ab"):
    """Leaky sums, a' = x + a / 2 and b' = x + b / 3."""
    return [
        made
        for letter, factor in zip(letters, ("half", "third"), strict=False)
        for made in (
            node("Mul", f"{letter} {factor}", f"{letter}_kept"),
            node("Add", f"{letter}_kept x", f"{letter}_next"),
        )
    ]


HALF = {"half": np.array(1 / 2, np.float32), "third": np.array(1 / 3, np.float32)}


def test_halves_along_the_last_axis(tmp_path):
    nodes = [
        node("Split", "state", "a b", axis=1, num_outputs=2),
        *filters(),
        node("Concat", "a_next b_next", "state_out", axis=1),
        node("Sub", "a_next b_next", "y"),
    ]
    graph = optimised(tmp_path, nodes, {"x": [2, 3], "state": [2, 6]}, {"y": [2, 3], "state_out": [2, 6]}, HALF)
    assert pieces(graph) == [("a", "a_next"), ("b", "b_next")]
    assert "Split" not in kinds(graph)
    assert "Concat" not in kinds(graph)
    first, second = graph.states[0].pieces
    assert first.index.tolist() == [[0, 1, 2], [6, 7, 8]]
    assert second.index.tolist() == [[3, 4, 5], [9, 10, 11]]


def test_a_state_that_is_turned_before_use_and_back_after(tmp_path):
    nodes = [
        node("Transpose", "state", "a", perm=[1, 0]),
        *filters("a"),
        node("Transpose", "a_next", "state_out", perm=[1, 0]),
        node("Tanh", "a_next", "y"),
    ]
    graph = optimised(tmp_path, nodes, {"x": [3, 2], "state": [2, 3]}, {"y": [3, 2], "state_out": [2, 3]}, HALF)
    assert pieces(graph) == [("a", "a_next")]
    assert "Transpose" not in kinds(graph)


def test_states_with_fewer_axes_than_their_layer_lie_where_it_updates_them(tmp_path):
    """As TensorFlow exports them. Read through a view, a cell state of 16 bits was kept in 8 between frames."""
    names = {"state_h": [1, 5], "state_c": [1, 5]}
    nodes = [
        node("Unsqueeze", "x axis", "sequence"),
        node("Unsqueeze", "state_h axis", "h"),
        node("Unsqueeze", "state_c axis", "c"),
        node("LSTM", "sequence w r b - h c", "- h_new c_new", hidden_size=5, name="lstm"),
        node("Squeeze", "h_new axis", "state_h_out"),
        node("Squeeze", "c_new axis", "state_c_out"),
        node("Tanh", "state_h_out", "y"),
    ]
    weights = {n: random(RNG, *s, scale=0.5) for n, s in (("w", (1, 20, 3)), ("r", (1, 20, 5)), ("b", (1, 40)))}
    outputs = {"y": [1, 5], **{f"{n}_out": s for n, s in names.items()}}
    graph = optimised(tmp_path, nodes, {"x": [1, 3], **names}, outputs, {**weights, "axis": [0]})
    assert pieces(graph) == [("h", "h_new"), ("c", "c_new")]
    ranges = {e: Range(-1.0, 1.0) for e in (*graph.types, "lstm:cell")}
    lines = {"lstm": OperatorPlan("s8"), **{op.name: OperatorPlan("f32") for op in graph.operators if op.op == "Tanh"}}
    program = lower(graph, PrecisionPlan("", "", lines, ranges), Target())
    assert [program.edges[s.edge].type.format for s in program.states] == ["s8", "s16"]
    assert not [c for c in program.calls if c.operator == "(states)"]  # updated in place


def test_a_state_that_comes_back_in_another_order_is_turned_once(tmp_path):
    nodes = [
        node("Transpose", "state", "a", perm=[1, 0]),
        node("Mul", "a half", "kept"),
        node("Transpose", "kept", "back", perm=[1, 0]),
        node("Add", "back x", "state_out"),
        node("Tanh", "state_out", "y"),
    ]
    graph = optimised(tmp_path, nodes, {"x": [2, 3], "state": [2, 3]}, {"y": [2, 3], "state_out": [2, 3]}, HALF)
    assert len(pieces(graph)) == 1


def test_a_piece_that_is_read_in_two_shapes(tmp_path):
    nodes = [
        node("Split", "state", "a b", axis=0, num_outputs=2),
        *filters(),
        node("Squeeze", "a zero", "a_row"),
        node("Transpose", "b", "b_turned", perm=[2, 0, 1]),
        node("Tanh", "a_row", "y"),
        node("Tanh", "b_turned", "z"),
        node("Concat", "a_next b_next", "state_out", axis=0),
    ]
    shapes = {"x": [1, 2, 3], "state": [2, 2, 3]}, {"y": [2, 3], "z": [3, 1, 2], "state_out": [2, 2, 3]}
    graph = optimised(tmp_path, nodes, *shapes, HALF | {"zero": [0]})
    assert pieces(graph) == [("a", "a_next"), ("b", "b_next")]


def test_uses_that_overlap_keep_the_state_whole(tmp_path):
    nodes = [
        node("Slice", "state zero two axis", "a"),
        node("Slice", "state one three axis", "b"),
        node("Add", "a b", "y"),
        node("Mul", "state half", "kept"),
        node("Add", "kept x", "state_out"),
    ]
    constants = HALF | {"zero": [0], "one": [1], "two": [2], "three": [3], "axis": [1]}
    shapes = {"x": [2, 3], "state": [2, 3]}, {"y": [2, 2], "state_out": [2, 3]}
    assert pieces(optimised(tmp_path, nodes, *shapes, constants)) == [("state", "state_out")]


def test_elements_that_nobody_reads_keep_the_state_whole(tmp_path):
    nodes = [
        node("Slice", "state zero two axis", "a"),
        *filters("a"),
        node("Concat", "a_next a_next", "state_out", axis=1),
        node("Tanh", "a_next", "y"),
    ]
    constants = HALF | {"zero": [0], "two": [2], "axis": [1]}
    shapes = {"x": [1, 2], "state": [1, 4]}, {"y": [1, 2], "state_out": [1, 4]}
    graph = optimised(tmp_path, nodes, *shapes, constants)
    assert [p[0] for p in pieces(graph)] == ["state"]


def test_a_state_that_is_also_an_output_stays_whole(tmp_path):
    nodes = [
        node("Split", "state", "a b", axis=1, num_outputs=2),
        *filters(),
        node("Concat", "a_next b_next", "state_out", axis=1),
    ]
    shapes = {"x": [1, 2], "state": [1, 4]}, {"a": [1, 2], "state_out": [1, 4]}
    assert [p[0] for p in pieces(optimised(tmp_path, nodes, *shapes, HALF))] == ["state"]


def test_caches_of_several_convolutions_in_one_tensor(tmp_path):
    """Two shift registers of different length, updated in place by ScatterND, as GTCRN keeps them."""
    nodes = []
    for k, (before, x) in enumerate((("conv_cache", "x"), ("cache0", "x1"))):
        nodes += [
            node("Slice", f"{before} start{k} stop{k} zero", f"old{k}"),
            node("Concat", f"old{k} {x}", f"seen{k}", axis=0),
            node("ReduceMean", f"seen{k} zero", f"mean{k}", keepdims=1),
            node("Add", f"mean{k} x", f"x{k + 1}"),
            node("Slice", f"seen{k} one large zero", f"new{k}"),
            node("ScatterND", f"{before} rows{k} new{k}", f"cache{k}"),
        ]
    nodes += [node("Identity", "cache1", "conv_cache_out"), node("Tanh", "x2", "y")]
    constants = {"zero": [0], "one": [1], "large": [2**62], "start0": [0], "stop0": [2], "start1": [2], "stop1": [5]}
    constants |= {"rows0": [[0], [1]], "rows1": [[2], [3], [4]]}
    shapes = {"x": [1, 4], "conv_cache": [5, 4]}, {"y": [1, 4], "conv_cache_out": [5, 4]}
    graph = optimised(tmp_path, nodes, *shapes, constants)
    assert pieces(graph) == [("old0", "new0"), ("old1", "new1")]
    assert "ScatterND" not in kinds(graph)


@pytest.mark.parametrize(
    ("name", "bind", "expected"),
    [
        ("dtln_stage1", {}, [f"lstm_{k}_initial_{s}<-lstm_{k}_Y_{s}" for k in (4, 5) for s in "hc"]),
        ("dtln_stage2", {}, [f"model_2/lstm_{k}:initial_{s}<-model_2/lstm_{k}:{s}" for k in (6, 7) for s in "hc"]),
    ],
)
def test_real_states_reach_the_recurrent_operators(shared, name, bind, expected):
    graph = optimise(load(shared / "models" / f"{name}.onnx", bind).graph)
    assert [f"{a}<-{b}" for a, b in pieces(graph)] == expected
    for op in graph.operators:
        if op.op == "LSTM":
            assert (op.input(5), op.output(1)) in pieces(graph)
            assert (op.input(6), op.output(2)) in pieces(graph)
    assert not {"Slice", "Concat", "Split", "Transpose"} & set(kinds(graph))


def test_the_state_of_silero(shared):
    graph = optimise(load(shared / "models" / "silero_vad_16k.onnx", {"sequence": 576, "sr": 16000}).graph)
    [lstm] = [op for op in graph.operators if op.op == "LSTM"]
    assert pieces(graph) == [(lstm.input(5), lstm.output(1)), (lstm.input(6), lstm.output(2))]


def test_all_caches_of_gtcrn_come_apart(shared):
    graph = optimise(load(shared / "models" / "gtcrn_stream.onnx").graph)
    assert [len(s.pieces) for s in graph.states] == [6, 6, 4]


# --- tracing and running -----------------------------------------------------------------------------------------


def test_tracing_follows_elements_both_ways(tmp_path):
    nodes = [
        node("Slice", "x one three axis", "a"),
        node("Transpose", "a", "b", perm=[1, 0]),
        node("Concat", "b z", "c", axis=0),
        node("Relu", "c", "y"),
    ]
    constants = {"one": [1], "three": [3], "axis": [1]}
    path = save(model(nodes, {"x": [2, 4], "z": [1, 2]}, {"y": [3, 2]}, constants), tmp_path)
    graph = load(path).graph
    moved = trace.forward(graph, "x")
    assert moved["b"].tolist() == [[1, 5], [2, 6]]
    assert moved["c"].tolist() == [[1, 5], [2, 6], [-1, -1]]
    assert list(trace.pure(moved)) == ["x", "a", "b"]
    assert [(edge, op.op) for edge, op in trace.uses(graph, moved)] == [("b", "Concat")]
    back = trace.backward(graph, "c")
    assert back["z"].tolist() == [[4, 5]]
    assert back["x"].tolist() == [[-1, 0, 2, -1], [-1, 1, 3, -1]]


def test_elements_that_arrive_twice_arrive_nowhere(tmp_path):
    path = save(model([node("Concat", "x x", "y", axis=0)], {"x": [2]}, {"y": [4]}), tmp_path)
    assert trace.backward(load(path).graph, "y")["x"].tolist() == [-1, -1]


def test_a_stream_carries_its_state_until_reset(tmp_path):
    path = save(
        model([node("Add", "x state", "state_out"), node("Neg", "state_out", "y")],
              {"x": [2], "state": [2]}, {"y": [2], "state_out": [2]}), tmp_path
    )  # fmt: skip
    stream = Stream(load(path).graph)
    one = {"x": np.ones(2, np.float32)}
    assert [stream.run(one)["y"].tolist() for _ in range(3)] == [[-1, -1], [-2, -2], [-3, -3]]
    stream.reset()
    assert stream.run(one, taps=["state"])["state"].tolist() == [0, 0]
    assert run(stream.graph, {**one, "state": np.array([5, 6], np.float32)})["state_out"].tolist() == [6, 7]
    with pytest.raises(ValueError, match=r"x is float32\[2\], got shape \(3,\)"):
        stream.run({"x": np.ones(3, np.float32)})
