"""Scan and Loop with a known number of steps: a recurrent layer, or steps one by one; test_loops.py: what stays."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.frontend import load
from mcu_quant.passes import optimise
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(21)
INPUTS, UNITS, STEPS = 3, 4, 7


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def body(nodes, inputs, outputs, constants=None):
    arrays = [numpy_helper.from_array(a, n) for n, a in (constants or {}).items()]
    return helper.make_graph(nodes, "body", inputs, outputs, arrays)


def imported(tmp_path, made, frames=4):
    path = save(made, tmp_path)
    graph = optimise(load(path).graph)
    given = [{n: random(RNG, *graph.shape(n)) for n in graph.inputs} for _ in range(frames)]
    assert_same(path, graph, given)
    return graph


def kinds(graph):
    return [op.op for op in graph.operators if op.op != "Reshape"]


# --- recurrent layers -------------------------------------------------------------------------------------------------

GRU_NODES = [
    node("Concat", "xt h", "xh", axis=1, name="cell/concat"),
    node("Gemm", "xh Wg bg", "z", name="cell/gates"),
    node("Sigmoid", "z", "s", name="cell/sigmoid"),
    node("Split", "s", "r u", axis=1, num_outputs=2, name="cell/split"),
    node("Mul", "r h", "rh", name="cell/rh"),
    node("Concat", "xt rh", "xrh", axis=1, name="cell/concat_1"),
    node("Gemm", "xrh Wc bc", "c", name="cell/candidate"),
    node("Tanh", "c", "n", name="cell/tanh"),
    node("Sub", "one u", "v", name="cell/sub"),
    node("Mul", "u h", "hu", name="cell/mul"),
    node("Mul", "v n", "nv", name="cell/mul_1"),
    node("Add", "hu nv", "h2", name="cell/add"),
]


def gru_weights(inputs=INPUTS, units=UNITS):
    return {
        "Wg": random(RNG, inputs + units, 2 * units),
        "bg": random(RNG, 2 * units),
        "Wc": random(RNG, inputs + units, units),
        "bc": random(RNG, units),
        "one": np.ones([], np.float32),
    }


def gru_body(inside, **more):
    """One state h, and h of every step collected."""
    return body(
        [*GRU_NODES, node("Identity", "h2", "seq")],
        [value("h", [1, UNITS]), value("xt", [1, INPUTS])],
        [value("h2", [1, UNITS]), value("seq", [1, UNITS])],
        inside,
    )


@pytest.mark.parametrize("where", ["outside", "inside"])
@pytest.mark.parametrize(
    ("axes", "back", "out_axis", "out_back"), [(0, 0, 0, 0), (1, 0, 1, 0), (0, 1, 0, 1), (1, 1, 0, 0), (0, 0, 2, 1)]
)
def test_a_scan_with_a_cell_is_a_layer(tmp_path, where, axes, back, out_axis, out_back):
    constants = gru_weights()
    inside = constants if where == "inside" else {}
    attributes = {
        "scan_input_axes": [axes],
        "scan_input_directions": [back],
        "scan_output_axes": [out_axis],
        "scan_output_directions": [out_back],
    }
    shape = [1, INPUTS]
    shape.insert(axes, STEPS)
    collected = [1, UNITS]
    collected.insert(out_axis, STEPS)
    made = model(
        [node("Scan", "h0 x", "last all", body=gru_body(inside), num_scan_inputs=1, name="loop", **attributes)],
        {"x": shape},
        {"last": [1, UNITS], "all": collected},
        {"h0": random(RNG, 1, UNITS), **({} if inside else constants)},
    )
    graph = imported(tmp_path, made)
    assert kinds(graph).count("GRU") == 1
    assert {"Gemm", "Sigmoid", "Tanh"}.isdisjoint(kinds(graph))
    assert any(r.rule == "Scan is a recurrent layer" for r in graph.rewrites)


def test_a_layer_may_have_any_number_of_steps(tmp_path):
    made = model(
        [node("Scan", "h0 x", "last all", body=gru_body({}), num_scan_inputs=1)],
        {"x": [3000, 1, INPUTS]},
        {"last": [1, UNITS]},
        {"h0": np.zeros((1, UNITS), np.float32), **gru_weights()},
    )
    assert kinds(imported(tmp_path, made, 1)) == ["GRU"]


def test_a_state_at_the_start_may_be_computed(tmp_path):
    made = model(
        [node("Tanh", "k", "h0"), node("Scan", "h0 x", "last all", body=gru_body({}), num_scan_inputs=1)],
        {"x": [STEPS, 1, INPUTS], "k": [1, UNITS]},
        {"last": [1, UNITS], "all": [STEPS, 1, UNITS]},
        gru_weights(),
    )
    assert sorted(kinds(imported(tmp_path, made))) == ["GRU", "Tanh"]


def lstm_scan(counter=True):
    """TensorFlow's BasicLSTMCell with a step counter, as tf2onnx writes it."""
    nodes = [
        node("Concat", "xt h", "xh", axis=1),
        node("Gemm", "xh W b", "z"),
        node("Split", "z", "zi zj zf zo", axis=1, num_outputs=4),
        node("Add", "zf one", "zf1"),
        node("Sigmoid", "zf1", "f"),
        node("Sigmoid", "zi", "i"),
        node("Sigmoid", "zo", "o"),
        node("Tanh", "zj", "j"),
        node("Mul", "c f", "p"),
        node("Mul", "i j", "q"),
        node("Add", "p q", "c2"),
        node("Tanh", "c2", "t"),
        node("Mul", "t o", "h2"),
        node("Add", "time step", "time2"),
    ]
    state, scalar = [1, UNITS], TensorProto.INT64
    inner = body(
        nodes,
        [value("h", state), value("time", [], scalar), value("c", state), value("xt", [1, INPUTS])],
        [value("h2", state), value("time2", [], scalar), value("c2", state)],
    )
    return model(
        [node("Scan", "zero start zero x", "last_h time_out last_c", body=inner, num_scan_inputs=1)],
        {"x": [STEPS, 1, INPUTS]},
        {"last_h": state, "last_c": state},
        {
            "zero": np.zeros(state, np.float32),
            "start": np.array(0),
            "step": np.array(1),
            "one": np.ones([], np.float32),
            "W": random(RNG, INPUTS + UNITS, 4 * UNITS),
            "b": random(RNG, 4 * UNITS),
        },
    )


def test_a_counter_beside_the_cell_disappears(tmp_path):
    assert kinds(imported(tmp_path, lstm_scan())) == ["LSTM"]


@pytest.mark.parametrize("name", ["armkws_gru_s", "armkws_basic_lstm_s"])
def test_keyword_spotters_with_a_scan(shared, name):
    path = shared / "models" / f"{name}.onnx"
    graph = optimise(load(path).graph)
    assert kinds(graph) == ["GRU" if "gru" in name else "LSTM", "Gemm", "Softmax"]
    assert_same(path, graph, [{n: random(RNG, *graph.shape(n), scale=5.0) for n in graph.inputs} for _ in range(10)])


# --- one by one -------------------------------------------------------------------------------------------------------


def test_several_states_and_sequences(tmp_path):
    inner = body(
        [
            node("Add", "a xt", "s"),
            node("Mul", "s yt", "a2"),
            node("Sub", "b a2", "b2"),
            node("Relu", "b2", "o1"),
            node("Add", "o1 outer", "o2"),
        ],
        [value("a", [2]), value("b", [2]), value("xt", [2]), value("yt", [2])],
        [value("a2", [2]), value("b2", [2]), value("o1", [2]), value("o2", [2])],
    )
    made = model(
        [
            node("Tanh", "k", "outer"),
            node(
                "Scan",
                "k zero x y",
                "a_last b_last p q",
                body=inner,
                num_scan_inputs=2,
                scan_input_axes=[0, -1],
                scan_input_directions=[0, 1],
                scan_output_axes=[-1, 0],
                scan_output_directions=[1, 0],
                name="loop",
            ),
        ],
        {"x": [5, 2], "y": [2, 5], "k": [2]},
        {"a_last": [2], "b_last": [2], "p": [2, 5], "q": [5, 2]},
        {"zero": np.zeros(2, np.float32)},
    )
    graph = imported(tmp_path, made)
    assert any(r.rule == "Scan unrolled" and r.detail == "5 steps" for r in graph.rewrites)


def looped(nodes, outputs=(("v2", [2]), ("out", [2])), limit=3, condition="yes", **constants):
    """A Loop over v [2] with one collected output."""
    inner = body(
        nodes,
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("v", [2])],
        [value("go2", [], TensorProto.BOOL), *(value(n, s) for n, s in outputs)],
    )
    return model(
        [
            node("Relu", "x", "start"),
            node(
                "Loop", f"{'limit' if limit is not None else '-'} {condition} start", "last all", body=inner, name="l"
            ),
        ],
        {"x": [2]},
        {"last": [2], "all": [limit, 2]},
        {"limit": np.array(limit), "yes": np.array(True), **constants},
    )


STEP = [
    node("Cast", "i", "f", to=1),
    node("Add", "v f", "w"),
    node("Mul", "w start", "v2"),
    node("Identity", "go", "go2"),
    node("Neg", "v2", "out"),
]


@pytest.mark.parametrize("condition", ["yes", "-"])
def test_a_loop_uses_its_index_and_values_from_around_it(tmp_path, condition):
    graph = imported(tmp_path, looped(STEP, condition=condition))
    assert any(r.rule == "Loop unrolled" for r in graph.rewrites)
    assert {"Add", "Mul"} <= set(kinds(graph))


def test_a_loop_with_a_constant_condition(tmp_path):
    true = helper.make_node("Constant", [], ["go2"], value=numpy_helper.from_array(np.array(True)))
    imported(tmp_path, looped([*(n for n in STEP if n.op_type != "Identity"), true]))


def test_a_loop_in_a_loop_with_a_branch(tmp_path):
    inner = body(
        [node("Identity", "go3", "go4"), node("Add", "u v", "u2")],
        [value("j", [], TensorProto.INT64), value("go3", [], TensorProto.BOOL), value("u", [2])],
        [value("go4", [], TensorProto.BOOL), value("u2", [2])],
    )
    then = body([node("Neg", "u_last", "n1")], [], [value("n1", [2])])
    other = body([node("Tanh", "u_last", "n2")], [], [value("n2", [2])])
    nodes = [
        node("Loop", "limit yes v", "u_last", body=inner, name="inner"),
        node("Equal", "i one", "is_one"),
        node("If", "is_one", "v2", then_branch=then, else_branch=other, name="branch"),
        node("Identity", "go", "go2"),
        node("Add", "v2 start", "out"),
    ]
    graph = imported(tmp_path, looped(nodes, one=np.array(1)))
    assert len([r for r in graph.rewrites if r.rule == "Loop unrolled"]) == 4
    assert len([op for op in graph.operators if op.op == "Neg"]) <= 1


@pytest.mark.parametrize("limit", [0, 1])
def test_few_steps(tmp_path, limit):
    made = looped(STEP, limit=limit)
    del made.graph.output[1]
    imported(tmp_path, made)


def test_every_loop_that_stays_is_named_with_reason_and_remedy(tmp_path):
    computed = [node("ReduceSum", "v", "sum", keepdims=0), node("Less", "sum big", "go2")]
    made = looped([*(n for n in STEP if n.op_type != "Identity"), *computed], big=np.float32(9).reshape(()))
    with pytest.raises(DiagnosticError) as error:
        load(save(made, tmp_path))
    [problem] = error.value.diagnostics
    assert (problem.code, problem.where) == ("MQ107", "l")
    assert "when it ends depends on data" in problem.message
    assert problem.help


def test_scan_of_opset_8_is_refused(tmp_path):
    inner = body(
        [node("Add", "a xt", "a2"), node("Identity", "a2", "o")],
        [value("a", [2]), value("xt", [2])],
        [value("a2", [2]), value("o", [2])],
    )
    made = model(
        [node("Scan", "- k x", "last all", body=inner, num_scan_inputs=1, name="old")],
        {"x": [1, 5, 2], "k": [1, 2]},
        {"last": [1, 2], "all": [1, 5, 2]},
        opset=8,
    )
    with pytest.raises(DiagnosticError) as error:
        load(save(made, tmp_path))
    assert any("opset 8" in d.message and d.where == "old" for d in error.value.diagnostics)


def test_the_file_is_valid():
    onnx.checker.check_model(lstm_scan())


# --- loops that take apart and put together --------------------------------------------------------------------------


def scripted(join, *, reader="Gather", count=STEPS):
    """A loop as `torch.jit.script` leaves it: x[:, t] in every step, what comes out appended to a list."""
    shape = [1, count if reader == "Gather" else count + 2, INPUTS]
    nodes = [
        node("Slice", "x zero far one_", "whole"),  # of everything: does not change from step to step
        node("Gather", "whole t", "xt", axis=1),
        *GRU_NODES,
        node("SequenceInsert", "list h2", "longer"),
        node("Identity", "go", "go2"),
    ]
    listed = helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None)
    longer = helper.make_tensor_sequence_value_info("longer", TensorProto.FLOAT, None)
    inner = body(
        nodes,
        [value("t", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("h", [1, UNITS]), listed],
        [value("go2", [], TensorProto.BOOL), value("h2", [1, UNITS]), longer],
        {"zero": np.array([0]), "far": np.array([2**40]), "one_": np.array([1])},
    )
    return model(
        [
            node("SequenceEmpty", "", "nothing"),
            node("Loop", "limit yes h0 nothing", "last parts", body=inner, name="loop"),
            node("ConcatFromSequence", "parts", "all", **join),
        ],
        {"x": shape},
        {"last": [1, UNITS], "all": [None] * (3 if join.get("new_axis") else 2)},
        {"limit": np.array(count), "yes": np.array(True), "h0": np.zeros((1, UNITS), np.float32), **gru_weights()},
    )


@pytest.mark.parametrize("reader", ["Gather", "longer"])
@pytest.mark.parametrize("join", [{"axis": 1, "new_axis": 1}, {"axis": -1, "new_axis": 1}, {"axis": 0}, {"axis": 1}])
def test_a_scripted_loop_is_a_layer(tmp_path, join, reader):
    graph = imported(tmp_path, scripted(join, reader=reader))
    assert "GRU" in kinds(graph)
    assert {"Gemm", "Sigmoid", "Tanh"}.isdisjoint(kinds(graph))
    assert {"Loop is a Scan", "Scan is a recurrent layer"} <= {r.rule for r in graph.rewrites}


def test_a_scripted_loop_with_something_else_in_it(tmp_path):
    """The number of the step is used twice: as an index, and as a number."""
    nodes = [
        node("Gather", "x i", "xt"),
        node("Cast", "i", "f", to=1),
        node("Mul", "v f", "w"),
        node("Add", "w xt", "v2"),
        node("Where", "go v2 v", "out"),
        node("Identity", "go", "go2"),
    ]
    made = looped(nodes, limit=2)
    graph = imported(tmp_path, made)
    assert [r.rule for r in graph.rewrites if "Scan" in r.rule] == ["Loop is a Scan", "Scan unrolled"]


# --- loops that count -------------------------------------------------------------------------------------------------


def counting(start, step, until, *, kind=TensorProto.INT64, compare="Less", reads=True, limit=None):
    """`while k < n`, as Keras writes it: the cell reads x[k], and k counts beside the number of the step."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    read = [node("Gather", "x k", "xt")] if reads else [node("Cast", "k", "f", to=1), node("Add", "first f", "xt")]
    nodes = [
        *read,
        *GRU_NODES,
        node("Add", "k by", "k2"),
        node(compare, "k2 end", "more"),
        node("And", "more go", "go2"),
        node("Identity", "h2", "y"),
    ]
    inner = body(
        nodes,
        [
            *map(value, ("i", "go", "k"), ([], [], []), (TensorProto.INT64, TensorProto.BOOL, kind)),
            value("h", [1, UNITS]),
        ],
        [value("go2", [], TensorProto.BOOL), value("k2", [], kind), value("h2", [1, UNITS]), value("y", [1, UNITS])],
    )
    numbers = {"by": step, "end": until, "k0": start}
    return model(
        [
            node("Gather", "x zero", "first"),
            node("Loop", f"{'-' if limit is None else 'limit'} yes k0 h0", "k_end last all", body=inner, name="while"),
            node("Cast", "k_end", "k_last", to=1),
        ],
        {"x": [STEPS, 1, INPUTS]},
        {"last": [1, UNITS], "all": ["steps", 1, UNITS], "k_last": []},
        {
            **{n: np.array(v, dtype) for n, v in numbers.items()},
            **({} if limit is None else {"limit": np.array(limit)}),
            "zero": np.array(0),
            "yes": np.array(True),
            "h0": np.zeros((1, UNITS), np.float32),
            **gru_weights(),
        },
    )


@pytest.mark.parametrize("limit", [None, STEPS, 4])
def test_a_loop_that_counts_its_steps_is_a_layer(tmp_path, limit):
    graph = imported(tmp_path, counting(0, 1, STEPS, limit=limit))
    assert set(kinds(graph)) <= {"GRU", "Slice"}
    assert len(graph.constants[next(n for n in graph.outputs if n in graph.constants)].shape) == 0


@pytest.mark.parametrize(
    ("start", "step", "until", "compare", "kind"),
    [
        (STEPS - 1, -1, -1, "Greater", TensorProto.INT64),
        (1, 2, STEPS, "Less", TensorProto.INT64),
        (0, 1, 5, "Less", TensorProto.INT32),
    ],
)
def test_counters_of_any_kind(tmp_path, start, step, until, compare, kind):
    graph = imported(tmp_path, counting(start, step, until, compare=compare, kind=kind))
    steps = len(range(start, until, step))
    assert any(r.rule == "Loop is a Scan" and r.detail == f"{steps} steps" for r in graph.rewrites)


def test_a_counter_that_is_no_index(tmp_path):
    imported(tmp_path, counting(0.5, 0.25, 2.0, kind=TensorProto.FLOAT, reads=False))


def test_a_loop_that_counts_for_ever_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mcu_quant.frontend.schedule.MOST_STEPS", 50)
    with pytest.raises(DiagnosticError) as error:
        load(save(counting(0, 1, -1, compare="Greater", reads=False), tmp_path))
    assert [d.code for d in error.value.diagnostics] == ["MQ107"]


def test_any_number_of_loops_may_each_wait_for_the_one_before(tmp_path):
    """How often each runs is the length of what the one before collected."""
    count = 12
    nodes = []
    for i in range(count):
        step = body(
            [
                node("Identity", "go", f"on{i}"),
                node("Mul", f"kept{i} half", f"next{i}"),
                node("Exp", f"kept{i}", f"e{i}"),
            ],
            [value(f"i{i}", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value(f"kept{i}", [2])],
            [value(f"on{i}", [], TensorProto.BOOL), value(f"next{i}", [2]), value(f"e{i}", [2])],
        )
        nodes += [
            node("Shape", f"x{i}", f"shape{i}"),
            node("Gather", f"shape{i} zero", f"length{i}"),
            node("Loop", f"length{i} yes x", f"last{i} all{i}", body=step, name=f"loop{i}"),
            node("Add", f"all{i} last{i}", f"x{i + 1}"),
        ]
    nodes[0] = node("Shape", "x", "shape0")
    constants = {"zero": np.array(0, np.int64), "yes": np.array(True), "half": np.array(0.5, np.float32)}
    graph = imported(tmp_path, model(nodes, {"x": [2]}, {f"x{count}": [2, 2]}, constants))
    assert [r.rule for r in graph.rewrites].count("Loop unrolled") == count
