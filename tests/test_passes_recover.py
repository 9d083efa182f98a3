"""LSTM cells and layer normalisation spelled out in elementary operators are recognised however they are written."""

import itertools

import numpy as np
import pytest

from mcu_quant.frontend import load
from mcu_quant.passes import optimise
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(5)


def kinds(graph):
    return [op.op for op in graph.operators]


# --- LSTM --------------------------------------------------------------------------------------------------------


class Cell:
    """Writes an LSTM cell node by node, in the manner of one exporter or another."""

    def __init__(self, order="ifgo", batch=1, inputs=3, hidden=4):
        self.order, self.batch, self.inputs, self.hidden = order, batch, inputs, hidden
        self.constants = {
            "W": random(RNG, inputs, 4 * hidden),
            "R": random(RNG, hidden, 4 * hidden),
            "b": random(RNG, 4 * hidden),
        }

    def sum(self):
        return [
            node("MatMul", "x W", "wx", name="cell/MatMul"),
            node("MatMul", "h_in R", "rh", name="cell/MatMul_1"),
            node("Add", "wx rh", "sum", name="cell/add"),
            node("Add", "sum b", "z", name="cell/BiasAdd"),
        ]

    def split(self):
        names = [f"z_{g}" for g in self.order]
        return [node("Split", "z", " ".join(names), axis=-1, num_outputs=4, name="cell/split")]

    def gates(self):
        functions = {"i": "Sigmoid", "f": "Sigmoid", "g": "Tanh", "o": "Sigmoid"}
        return [node(functions[g], f"z_{g}", g, name=f"cell/{g}") for g in self.order]

    def end(self):
        return [
            node("Mul", "f c_in", "fc", name="cell/mul"),
            node("Mul", "i g", "ig", name="cell/mul_1"),
            node("Add", "fc ig", "c_out", name="cell/add_1"),
            node("Tanh", "c_out", "tc", name="cell/Tanh"),
            node("Mul", "o tc", "h_out", name="cell/mul_2"),
        ]

    def model(self, nodes=None, **outputs):
        state = [self.batch, self.hidden]
        return model(
            nodes or [*self.sum(), *self.split(), *self.gates(), *self.end()],
            {"x": [self.batch, self.inputs], "h_in": state, "c_in": state},
            {"h_out": state, "c_out": state, **outputs},
            self.constants,
        )

    def optimised(self, tmp_path, made):
        path = save(made, tmp_path)
        # the new hidden state is an output of its own, too, so that something comes out
        graph = optimise(load(path).graph)
        assert [(s.input, s.output) for s in graph.states] == [("h_in", "h_out"), ("c_in", "c_out")]
        assert_same(path, graph, [{"x": random(RNG, self.batch, self.inputs, scale=2.0)} for _ in range(6)])
        return graph


@pytest.mark.parametrize("order", ["".join(p) for p in itertools.permutations("ifgo")])
def test_any_order_of_gates(tmp_path, order):
    cell = Cell(order)
    graph = cell.optimised(tmp_path, cell.model())
    assert [op.op for op in graph.operators if op.op != "Reshape"] == ["LSTM"]
    assert "cell" in [op.name for op in graph.operators]


@pytest.mark.parametrize("batch", [1, 3])
def test_states_go_straight_in_and_out(tmp_path, batch):
    cell = Cell(batch=batch)
    graph = cell.optimised(tmp_path, cell.model())
    [lstm] = [op for op in graph.operators if op.op == "LSTM"]
    assert graph.shape(lstm.input(5)) == (1, batch, 4)
    sources = {op.outputs[0]: op.inputs[0] for op in graph.operators if op.op == "Reshape"}
    assert {sources.get(lstm.input(5), lstm.input(5)), sources.get(lstm.input(6), lstm.input(6))} == {
        p.input for s in graph.states for p in s.pieces
    }


def test_slices_instead_of_split_and_operands_the_other_way_round(tmp_path):
    cell = Cell()
    slices = []
    for k, gate in enumerate(cell.order):
        cell.constants |= {f"s{k}": np.array([4 * k]), f"e{k}": np.array([4 * k + 4]), "last": np.array([1])}
        slices.append(node("Slice", f"z s{k} e{k} last", f"z_{gate}"))
    end = [
        node("Mul", "c_in f", "fc"),
        node("Mul", "g i", "ig"),
        node("Add", "ig fc", "c_out"),
        node("Tanh", "c_out", "tc"),
        node("Mul", "tc o", "h_out"),
    ]
    graph = cell.optimised(tmp_path, cell.model([*cell.sum(), *slices, *cell.gates(), *end]))
    assert "LSTM" in kinds(graph)
    assert "Sigmoid" not in kinds(graph)


def test_one_matrix_for_input_and_hidden_state(tmp_path):
    cell = Cell()
    cell.constants["WR"] = np.concatenate([cell.constants.pop("W"), cell.constants.pop("R")])
    joined = [node("Concat", "x h_in", "xh", axis=1), node("MatMul", "xh WR", "p"), node("Add", "b p", "z")]
    graph = cell.optimised(tmp_path, cell.model([*joined, *cell.split(), *cell.gates(), *cell.end()]))
    assert kinds(graph).count("LSTM") == 1
    assert "Gemm" not in kinds(graph)


def test_gemms_with_a_bias_each(tmp_path):
    cell = Cell()
    cell.constants["b2"] = random(RNG, 16)
    both = [node("Gemm", "x W b", "wx"), node("Gemm", "h_in R b2", "rh"), node("Add", "rh wx", "z")]
    assert "LSTM" in kinds(cell.optimised(tmp_path, cell.model([*both, *cell.split(), *cell.gates(), *cell.end()])))


def test_input_as_wide_as_the_hidden_state(tmp_path):
    cell = Cell(inputs=4)
    graph = cell.optimised(tmp_path, cell.model())
    [lstm] = [op for op in graph.operators if op.op == "LSTM"]
    sources = {op.outputs[0]: op.inputs[0] for op in graph.operators if op.op == "Reshape"}
    assert sources.get(lstm.input(0), lstm.input(0)) == "x"


@pytest.mark.parametrize(
    ("gate", "function"), [("i", "HardSigmoid"), ("f", "Tanh"), ("g", "Sigmoid"), ("g", "Relu"), ("o", "HardSigmoid")]
)
def test_other_activations_are_no_lstm(tmp_path, gate, function):
    cell = Cell()
    gates = [n if n.output[0] != gate else node(function, f"z_{gate}", gate) for n in cell.gates()]
    made = cell.model([*cell.sum(), *cell.split(), *gates, *cell.end()])
    assert "LSTM" not in kinds(cell.optimised(tmp_path, made))


def test_an_lstm_with_hard_gates(tmp_path):
    """As Keras had them by default."""
    cell = Cell()
    gates = [n if n.op_type != "Sigmoid" else node("HardSigmoid", n.input[0], n.output[0]) for n in cell.gates()]
    graph = cell.optimised(tmp_path, cell.model([*cell.sum(), *cell.split(), *gates, *cell.end()]))
    [lstm] = [op for op in graph.operators if op.op == "LSTM"]
    assert lstm.attributes["activations"] == ("HardSigmoid", "Tanh", "Tanh")
    assert lstm.attributes["activation_alpha"][0] == np.float32(0.2)


def test_a_gate_that_is_used_elsewhere_keeps_the_cell_apart(tmp_path):
    cell = Cell()
    nodes = [*cell.sum(), *cell.split(), *cell.gates(), *cell.end(), node("Neg", "o", "y")]
    assert "LSTM" not in kinds(cell.optimised(tmp_path, cell.model(nodes, y=[1, 4])))


def test_one_state_for_a_whole_batch_is_no_lstm(tmp_path):
    cell = Cell()
    made = cell.model()
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    for output in made.graph.output:
        output.type.tensor_type.shape.dim[0].dim_value = 2
    path = save(made, tmp_path)
    graph = optimise(load(path).graph)
    assert "LSTM" not in kinds(graph)
    assert_same(path, graph, [{n: random(RNG, *graph.shape(n)) for n in graph.inputs}])


def test_weights_that_are_computed_are_no_lstm(tmp_path):
    cell = Cell()
    cell.constants["W0"] = cell.constants.pop("W")
    nodes = [
        node("ReduceSum", "x", "s", keepdims=0),
        node("Mul", "W0 s", "W"),
        *cell.sum(),
        *cell.split(),
        *cell.gates(),
        *cell.end(),
    ]
    assert "LSTM" not in kinds(cell.optimised(tmp_path, cell.model(nodes)))


# --- layer normalisation -----------------------------------------------------------------------------------------


def mean(x, y, pool):
    if pool:
        return node("GlobalAveragePool", x, y)
    return node("ReduceMean", f"{x} axes", y, keepdims=1)


def core(pool=False, square="Mul", epsilon=True):
    nodes = [mean("x", "m", pool), node("Sub", "x m", "d")]
    nodes.append(node("Mul", "d d", "q") if square == "Mul" else node("Pow", "d two", "q"))
    nodes.append(mean("q", "v", pool))
    if epsilon:
        nodes.append(node("Add", "v eps", "ve"))
    return [*nodes, node("Sqrt", "ve" if epsilon else "v", "s")]


ENDINGS = {
    "Div": [node("Div", "d s", "n"), node("Mul", "n gamma", "t"), node("Add", "t beta", "y")],
    "Reciprocal": [
        node("Reciprocal", "s", "r"),
        node("Mul", "r d", "n"),
        node("Mul", "gamma n", "t"),
        node("Add", "beta t", "y"),
    ],
    "one over": [
        node("Div", "one s", "r"),
        node("Mul", "d r", "n"),
        node("Mul", "n gamma", "t"),
        node("Add", "t beta", "y"),
    ],
    "gamma first": [
        node("Reciprocal", "s", "r"),
        node("Mul", "r gamma", "rg"),
        node("Mul", "d rg", "t"),
        node("Add", "t beta", "y"),
    ],
    "TensorFlow": [
        node("Reciprocal", "s", "r"),
        node("Mul", "r gamma", "rg"),
        node("Mul", "m rg", "mr"),
        node("Sub", "beta mr", "o"),
        node("Mul", "x rg", "xr"),
        node("Add", "xr o", "y"),
    ],
    "no gamma": [node("Div", "d s", "n"), node("Add", "n beta", "y")],
    "no beta": [node("Div", "d s", "n"), node("Mul", "n gamma", "y")],
    "neither": [node("Div", "d s", "y")],
    "neither, TensorFlow": [
        node("Reciprocal", "s", "r"),
        node("Mul", "m r", "mr"),
        node("Mul", "x r", "xr"),
        node("Sub", "xr mr", "y"),
    ],
}


def normalised(tmp_path, nodes, shape, gamma, axes, outputs=None):
    constants = {
        "axes": axes,
        "gamma": gamma,
        "beta": random(RNG, *gamma.shape),
        "eps": np.array(1e-3, np.float32),
        "one": np.array(1, np.float32),
        "two": np.array(2, np.float32),
    }
    path = save(model(nodes, {"x": shape}, outputs or {"y": shape}, constants), tmp_path)
    graph = optimise(load(path).graph)
    assert_same(path, graph, [{"x": random(RNG, *shape) + 1} for _ in range(2)])
    return graph


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("pool", [False, True])
def test_layer_normalisation_in_all_its_forms(tmp_path, ending, pool):
    graph = normalised(tmp_path, [*core(pool), *ENDINGS[ending]], [1, 5, 8], random(RNG, 8), [-1])
    [op] = graph.operators
    assert (op.op, op.attributes["axis"]) == ("LayerNormalization", 2)
    assert op.attributes["epsilon"] == np.float32(1e-3)


@pytest.mark.parametrize(("shape", "gamma", "axes", "axis"), [
    ([1, 4, 3, 8], (3, 8), [-2, -1], 2),
    ([1, 4, 3, 8], (1, 1, 3, 8), [2, 3], 2),
    ([2, 6], (), [1], 1),
    ([2, 6], (1,), [1], 1),
])  # fmt: skip
def test_several_axes_and_broadcast_parameters(tmp_path, shape, gamma, axes, axis):
    graph = normalised(tmp_path, [*core(square="Pow"), *ENDINGS["Div"]], shape, random(RNG, *gamma), axes)
    [op] = graph.operators
    assert (op.op, op.attributes["axis"]) == ("LayerNormalization", axis)


def test_without_epsilon(tmp_path):
    graph = normalised(tmp_path, [*core(epsilon=False), *ENDINGS["Div"]], [2, 6], random(RNG, 6), [1])
    assert [op.op for op in graph.operators] == ["LayerNormalization"]
    assert graph.operators[0].attributes["epsilon"] == 0.0


def test_parameters_of_another_axis_stay_outside(tmp_path):
    graph = normalised(tmp_path, [*core(), *ENDINGS["Div"]], [1, 5, 8], random(RNG, 5, 1), [-1])
    assert kinds(graph) == ["LayerNormalization", "Mul", "Add"]


def test_normalisation_over_other_axes_is_left_alone(tmp_path):
    graph = normalised(tmp_path, [*core(), *ENDINGS["Div"]], [1, 5, 8], random(RNG, 8), [1])
    assert "LayerNormalization" not in kinds(graph)


def test_a_deviation_that_is_used_elsewhere_is_left_alone(tmp_path):
    nodes = [*core(), *ENDINGS["Div"], node("Neg", "s", "deviation")]
    graph = normalised(tmp_path, nodes, [1, 5, 8], random(RNG, 8), [-1], {"y": [1, 5, 8], "deviation": [1, 5, 1]})
    assert "LayerNormalization" not in kinds(graph)


def test_a_variance_around_another_mean_is_left_alone(tmp_path):
    nodes = [*core()[:1], node("Neg", "m", "w"), node("Sub", "x w", "d"), *core()[2:], *ENDINGS["Div"]]
    assert "LayerNormalization" not in kinds(normalised(tmp_path, nodes, [1, 5, 8], random(RNG, 8), [-1]))


def test_a_mean_of_means_and_a_number_per_channel_make_one_group(tmp_path):
    """Global layer normalisation, as Conv-TasNet has it."""

    def mean(x, y):
        return [node("ReduceMean", f"{x} one_", f"{y}1", keepdims=1), node("ReduceMean", f"{y}1 two_", y, keepdims=1)]

    nodes = [*mean("x", "m"), node("Sub", "x m", "d"), node("Pow", "d two", "q"), *mean("q", "v")]
    nodes += [node("Add", "v eps", "ve"), node("Pow", "ve half", "s"), node("Mul", "gamma d", "n")]
    nodes += [node("Div", "n s", "t"), node("Add", "t beta", "y")]
    constants = {"gamma": random(RNG, 1, 6, 1), "beta": random(RNG, 1, 6, 1), "one_": [1], "two_": [2]}
    constants |= {n: np.array(v, np.float32) for n, v in {"two": 2, "half": 0.5, "eps": 1e-8}.items()}
    path = save(model(nodes, {"x": [1, 6, 9]}, {"y": [1, 6, 9]}, constants), tmp_path)
    graph = optimise(load(path).graph)
    assert_same(path, graph, [{"x": random(RNG, 1, 6, 9) + 1}])
    assert kinds(graph) == ["GroupNormalization"]
    assert max(a.size for a in graph.constants.values()) == 6


SQUARES = [node("Pow", "x two", "q"), node("ReduceMean", "q axes", "v", keepdims=1), node("Add", "v eps", "ve")]
RMS_ENDINGS = {
    "Div": [node("Sqrt", "ve", "s"), node("Div", "x s", "n"), node("Mul", "n gamma", "y")],
    "Reciprocal": [
        node("Sqrt", "ve", "s"),
        node("Reciprocal", "s", "r"),
        node("Mul", "x r", "n"),
        node("Mul", "gamma n", "y"),
    ],
    "power": [node("Pow", "ve minus_half", "r"), node("Mul", "r x", "n"), node("Mul", "n gamma", "y")],
    "gamma first": [
        node("Sqrt", "ve", "s"),
        node("Div", "one s", "r"),
        node("Mul", "r gamma", "g"),
        node("Mul", "x g", "y"),
    ],
    "no gamma": [node("Sqrt", "ve", "s"), node("Div", "x s", "y")],
}


def rms_normalised(tmp_path, nodes, axes=(-1,), gamma=8, outputs=None):
    constants = {"axes": list(axes), "gamma": random(RNG, gamma) if isinstance(gamma, int) else random(RNG, *gamma)}
    numbers = {"eps": 1e-3, "one": 1, "two": 2, "minus_half": -0.5}
    constants |= {n: np.array(v, np.float32) for n, v in numbers.items()}
    path = save(model(nodes, {"x": [1, 5, 8]}, outputs or {"y": [1, 5, 8]}, constants), tmp_path)
    graph = optimise(load(path).graph)
    assert_same(path, graph, [{"x": random(RNG, 1, 5, 8) + 1} for _ in range(2)])
    return graph


@pytest.mark.parametrize("ending", RMS_ENDINGS)
def test_rms_normalisation_in_all_its_forms(tmp_path, ending):
    graph = rms_normalised(tmp_path, [*SQUARES, *RMS_ENDINGS[ending]])
    [op] = graph.operators
    assert (op.op, op.attributes["axis"]) == ("RMSNormalization", 2)
    assert op.attributes["epsilon"] == np.float32(1e-3)


def test_what_is_no_rms_normalisation_of_the_last_axes_is_left_alone(tmp_path):
    nodes = [*SQUARES, *RMS_ENDINGS["Div"]]
    assert "RMSNormalization" not in kinds(rms_normalised(tmp_path, nodes, axes=[1]))
    assert kinds(rms_normalised(tmp_path, nodes, gamma=(5, 1))) == ["RMSNormalization", "Mul"]
    level = [*nodes, node("Neg", "s", "level")]
    assert "RMSNormalization" not in kinds(
        rms_normalised(tmp_path, level, outputs={"y": [1, 5, 8], "level": [1, 5, 1]})
    )


# --- activation functions ------------------------------------------------------------------------------------------

FUNCTIONS = {
    "Gelu": [
        node("Div", "x root2", "a"),
        node("Erf", "a", "b"),
        node("Add", "b one", "c"),
        node("Mul", "x c", "d"),
        node("Mul", "d half", "y"),
    ],
    "GeluTanh": [
        node("Mul", "x half", "h"),
        node("Pow", "x three", "p"),
        node("Mul", "p k", "q"),
        node("Add", "x q", "r"),
        node("Mul", "r pi", "s"),
        node("Tanh", "s", "t"),
        node("Add", "t one", "u"),
        node("Mul", "h u", "y"),
    ],
    "GeluTanh, cubed by hand": [
        node("Mul", "x x", "xx"),
        node("Mul", "x xx", "p"),
        node("Mul", "p k", "q"),
        node("Add", "x q", "r"),
        node("Mul", "r pi", "s"),
        node("Tanh", "s", "t"),
        node("Add", "one t", "u"),
        node("Mul", "x u", "v"),
        node("Mul", "half v", "y"),
    ],
    "Swish": [node("Sigmoid", "x", "s"), node("Mul", "x s", "y")],
    "Swish, as a quotient": [
        node("Neg", "x", "n"),
        node("Exp", "n", "e"),
        node("Add", "e one", "d"),
        node("Div", "x d", "y"),
    ],
    "HardSwish": [node("HardSigmoid", "x", "s", alpha=1 / 6, beta=0.5), node("Mul", "s x", "y")],
    "Mish": [node("Softplus", "x", "p"), node("Tanh", "p", "t"), node("Mul", "x t", "y")],
}
NUMBERS = {
    n: np.array(v, np.float32)
    for n, v in {"one": 1, "half": 0.5, "three": 3, "root2": 2**0.5, "k": 0.044715, "pi": 0.7978845608}.items()
}


def activation(tmp_path, nodes, **more):
    before, after = node("Neg", "input", "x"), node("Neg", "y", "out")
    outputs = {"out": [2, 50]} | {name: [2, 50] for name in more}
    path = save(model([before, *nodes, after], {"input": [2, 50]}, outputs, NUMBERS), tmp_path)
    graph = optimise(load(path).graph)
    assert_same(path, graph, [{"input": random(RNG, 2, 50, scale=3.0)}])
    return kinds(graph)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activation_functions_are_known_by_their_values(tmp_path, name):
    assert activation(tmp_path, FUNCTIONS[name]) == ["Neg", name.split(",")[0], "Neg"]


def test_a_function_that_is_almost_one_stays(tmp_path):
    almost = [node("Mul", "x root2", "a"), node("Sigmoid", "a", "s"), node("Mul", "x s", "y")]
    assert activation(tmp_path, almost) == ["Neg", "Mul", "Sigmoid", "Mul", "Neg"]


def test_a_function_whose_inside_is_used_stays(tmp_path):
    assert "Swish" not in activation(tmp_path, FUNCTIONS["Swish"], s=True)


@pytest.mark.parametrize("name", ["Gelu", "GeluTanh", "Swish, as a quotient"])
def test_activation_functions_with_constants_in_half_precision(tmp_path, name):
    """Rounded constants make another function: the one they stand for is taken."""
    numbers = {n: a.astype(np.float16) for n, a in NUMBERS.items()}
    nodes = [node("Cast", "input", "x", to=10), *FUNCTIONS[name], node("Cast", "y", "out", to=1)]
    path = save(model(nodes, {"input": [2, 50]}, {"out": [2, 50]}, numbers), tmp_path)
    graph = optimise(load(path).graph)
    assert kinds(graph) == [name.split(",")[0]]
    assert_same(path, graph, [{"input": random(RNG, 2, 50, scale=3.0)}], at_least_db=50.0)
