"""GRU and simple recurrent cells spelled out in elementary operators are recognised however they are written."""

import itertools

import numpy as np
import pytest

from mcu_quant import ops
from mcu_quant.frontend import load
from mcu_quant.passes import optimise
from tests.onnx_models import assert_same, model, node, random, save

RNG = np.random.default_rng(12)
INPUTS, UNITS = 3, 4
BLENDS = {
    "u h + (1 - u) n": (["Sub one u v", "Mul u h hu_", "Mul v n nv_", "Add hu_ nv_ h_out"], False),
    "(1 - u) n + u h": (["Sub one u v", "Mul n v nv_", "Mul h u hu_", "Add nv_ hu_ h_out"], False),
    "n + u (h - n)": (["Sub h n diff", "Mul u diff part", "Add n part h_out"], False),
    "(1 - u) h + u n": (["Sub one u v", "Mul v h hu_", "Mul u n nv_", "Add hu_ nv_ h_out"], True),
    "h - u (h - n)": (["Sub h n diff", "Mul diff u part", "Sub h part h_out"], True),
}


def lines(*texts):
    """Nodes from lines: kind, inputs, output."""
    made = []
    for text in texts:
        kind, *names, output = text.split()
        made.append(node(kind, " ".join(names), output, name=f"cell/{output}"))
    return made


def optimised(tmp_path, nodes, constants, batch=1, frames=6):
    state = [batch, UNITS]
    made = model(nodes, {"x": [batch, INPUTS], "h": state}, {"h_out": state}, constants)
    path = save(made, tmp_path)
    graph = optimise(load(path, states=[("h_out", "h")]).graph)
    assert_same(path, graph, [{"x": random(RNG, batch, INPUTS, scale=2.0)} for _ in range(frames)])
    return graph


def computed(graph):
    return [op.op for op in graph.operators if op.op != "Reshape"]


def weights(*names, rows=INPUTS, columns=UNITS):
    return {n: random(RNG, rows, columns) for n in names}


def tensorflow(blend, order="ru", sigmoid_first=True):
    """Gates from one product of [x, h], candidate from one of [x, r h]."""
    constants = {
        "one": np.ones([], np.float32),
        "Wg": random(RNG, INPUTS + UNITS, 2 * UNITS),
        "bg": random(RNG, 2 * UNITS),
        "Wc": random(RNG, INPUTS + UNITS, UNITS),
        "bc": random(RNG, UNITS),
    }
    names = " ".join(order if sigmoid_first else [f"z{g}" for g in order])
    nodes = [
        node("Concat", "x h", "xh", axis=1, name="cell/concat"),
        *lines("MatMul xh Wg p", "Add p bg z"),
        *(lines("Sigmoid z s") if sigmoid_first else []),
        node("Split", "s" if sigmoid_first else "z", names, axis=1, num_outputs=2, name="cell/split"),
        *([] if sigmoid_first else lines("Sigmoid zr r", "Sigmoid zu u")),
        *lines("Mul r h rh"),
        node("Concat", "x rh", "xrh", axis=1, name="cell/concat_1"),
        *lines("MatMul xrh Wc q", "Add q bc c", "Tanh c n"),
        *lines(*BLENDS[blend][0]),
    ]
    return nodes, constants


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("order", ["ru", "ur"])
@pytest.mark.parametrize("sigmoid_first", [True, False])
def test_the_cell_of_tensorflow(tmp_path, blend, order, sigmoid_first):
    graph = optimised(tmp_path, *tensorflow(blend, order, sigmoid_first))
    assert computed(graph) == ["GRU"]
    [gru] = [op for op in graph.operators if op.op == "GRU"]
    assert gru.attributes["linear_before_reset"] == 0
    assert gru.name == "cell"


def hard(nodes, limited):
    """The same nodes with HardSigmoid for Sigmoid, or with its formula, as TensorFlow writes it."""
    for each in nodes:
        x, y = each.input[0], each.output[0]
        if each.op_type != "Sigmoid":
            yield each
        elif limited:
            yield from (node("Mul", f"{x} slope", f"{y}_m"), node("Add", f"{y}_m middle", f"{y}_a"))
            yield node("Clip", f"{y}_a nil one", y)
        else:
            yield node("HardSigmoid", x, y, alpha=0.25, beta=0.375)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("limited", [True, False])
def test_gates_with_a_hard_sigmoid(tmp_path, blend, limited):
    nodes, constants = tensorflow(blend, "ru", sigmoid_first=False)
    numbers = {"slope": 0.2, "middle": 0.5, "nil": 0.0}
    constants |= {n: np.array(v, np.float32) for n, v in numbers.items()}
    graph = optimised(tmp_path, list(hard(nodes, limited)), constants)
    assert computed(graph) == ["GRU"]
    [gru] = [op for op in graph.operators if op.op == "GRU"]
    assert gru.attributes["activations"] == ("HardSigmoid", "Tanh")
    assert ops.spec(gru).formats(gru, graph)["s8"] is None


def test_gates_of_two_kinds_are_no_gru(tmp_path):
    nodes, constants = tensorflow("u h + (1 - u) n", sigmoid_first=False)
    mixed = [node("HardSigmoid", "zr", "r") if n.op_type == "Sigmoid" and n.output[0] == "r" else n for n in nodes]
    assert "GRU" not in computed(optimised(tmp_path, mixed, constants))


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("order", ["".join(p) for p in itertools.permutations("run")])
def test_the_cell_of_pytorch_and_keras(tmp_path, blend, order):
    """One product of x, one of h, both in three parts; the reset gate acts on the product of h with its bias."""
    constants = {"one": np.ones([], np.float32)} | weights("W", columns=3 * UNITS)
    constants |= weights("R", rows=UNITS, columns=3 * UNITS)
    constants |= {"b": random(RNG, 3 * UNITS), "e": random(RNG, 3 * UNITS)}
    nodes = [
        *lines("MatMul x W wx", "Add wx b i", "MatMul h R rh", "Add rh e g"),
        node("Split", "i", " ".join(f"i{k}" for k in order), axis=-1, num_outputs=3),
        node("Split", "g", " ".join(f"g{k}" for k in order), axis=-1, num_outputs=3),
        *lines("Add ir gr zr", "Sigmoid zr r", "Add iu gu zu", "Sigmoid zu u"),
        *lines("Mul r gn rg", "Add in rg zn", "Tanh zn n"),
        *lines(*BLENDS[blend][0]),
    ]
    graph = optimised(tmp_path, nodes, constants)
    assert computed(graph) == ["GRU"]
    [gru] = [op for op in graph.operators if op.op == "GRU"]
    assert gru.attributes["linear_before_reset"] == 1


@pytest.mark.parametrize("batch", [1, 3])
def test_a_cell_with_matrices_of_its_own_for_every_gate(tmp_path, batch):
    constants = {"one": np.ones([], np.float32)} | weights("Wr", "Wu", "Wn")
    constants |= weights("Rr", "Ru", "Rn", rows=UNITS) | {"br": random(RNG, UNITS)}
    nodes = lines(
        *("MatMul x Wr xr", "MatMul h Rr hr", "Add xr hr sr", "Add sr br zr", "Sigmoid zr r"),
        *("MatMul x Wu xu", "MatMul h Ru hu", "Add xu hu zu", "Sigmoid zu u"),
        *("Mul h r rh", "MatMul x Wn xn", "MatMul rh Rn hn", "Add xn hn zn", "Tanh zn n"),
        *BLENDS["u h + (1 - u) n"][0],
    )
    assert computed(optimised(tmp_path, nodes, constants, batch)) == ["GRU"]


def test_what_is_no_gru_stays(tmp_path):
    """h' = u h + (1 + u) n has every part of a GRU but one sign."""
    nodes, constants = tensorflow("u h + (1 - u) n")
    nodes = [n if n.output[0] != "v" else node("Add", "one u", "v") for n in nodes]
    assert "GRU" not in computed(optimised(tmp_path, nodes, constants, frames=2))


def test_a_gate_that_is_used_elsewhere_stays(tmp_path):
    nodes, constants = tensorflow("u h + (1 - u) n")
    state = [1, UNITS]
    outputs = {"h_out": state, "gate": state}
    made = model([*nodes, node("Neg", "r", "gate")], {"x": [1, INPUTS], "h": state}, outputs, constants)
    path = save(made, tmp_path)
    graph = optimise(load(path, states=[("h_out", "h")]).graph)
    assert "GRU" not in computed(graph)
    assert_same(path, graph, [{"x": random(RNG, 1, INPUTS)} for _ in range(3)])


def test_a_simple_cell_is_known_by_its_state(tmp_path):
    constants = weights("W") | weights("R", rows=UNITS) | {"b": random(RNG, UNITS)}
    nodes = lines("MatMul x W wx", "MatMul h R rh", "Add rh wx s", "Add s b z", "Tanh z h_out")
    assert computed(optimised(tmp_path, nodes, constants)) == ["RNN"]


def test_two_dense_layers_are_no_recurrent_layer(tmp_path):
    constants = weights("W") | weights("R", rows=UNITS)
    nodes = lines("MatMul x W wx", "MatMul k R rk", "Add wx rk z", "Tanh z y")
    made = model(nodes, {"x": [1, INPUTS], "k": [1, UNITS]}, {"y": [1, UNITS]}, constants)
    path = save(made, tmp_path)
    graph = optimise(load(path).graph)
    assert "RNN" not in computed(graph)
    assert_same(path, graph, [{"x": random(RNG, 1, INPUTS), "k": random(RNG, 1, UNITS)}])


def test_a_forget_bias_behind_the_split(tmp_path):
    """TensorFlow's BasicLSTMCell: i, j, f, o, and 1 is added to f alone."""
    constants = {"W": random(RNG, INPUTS + UNITS, 4 * UNITS), "b": random(RNG, 4 * UNITS)}
    constants["one"] = np.ones([], np.float32)
    nodes = [
        node("Concat", "x h", "xh", axis=1),
        *lines("MatMul xh W p", "Add p b z"),
        node("Split", "z", "zi zj zf zo", axis=1, num_outputs=4),
        *lines("Add zf one zf1", "Sigmoid zf1 f", "Sigmoid zi i", "Sigmoid zo o", "Tanh zj j"),
        *lines("Mul c f a", "Mul i j d", "Add a d c_out", "Tanh c_out t", "Mul t o h_out"),
    ]
    state = [1, UNITS]
    states = {"h": state, "c": state}
    made = model(nodes, {"x": [1, INPUTS], **states}, {"h_out": state, "c_out": state}, constants)
    path = save(made, tmp_path)
    graph = optimise(load(path).graph)
    assert computed(graph) == ["LSTM"]
    assert_same(path, graph, [{"x": random(RNG, 1, INPUTS)} for _ in range(5)])
