"""Models that are quantised already, in QDQ form: their own scales and whole numbers, as onnxruntime computes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from mcu_quant import frontend, qdq
from mcu_quant.data import load as load_data
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.formats import QuantParams
from mcu_quant.frontend.ports import ports
from mcu_quant.interpret import execute
from mcu_quant.ir import Array, Graph
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.passes import optimise
from mcu_quant.pipelines import resolve
from mcu_quant.precision import presets
from mcu_quant.precision.plan import Range
from mcu_quant.program import Purpose
from mcu_quant.quantise import Known, rows
from tests.onnx_models import model, node, save

ONNX = {np.int8: TensorProto.INT8, np.uint8: TensorProto.UINT8}


def graph_of(path: Path) -> Graph:
    return optimise(frontend.load(path).graph)


def session_of(graph: Graph, preset: str = "qdq", ranges: Mapping[str, Range] | None = None) -> ProgramSession:
    plan = presets.make(graph, preset, Target(), ranges=ranges or {})
    return ProgramSession(lower(graph, plan), verify=True)


def onnxruntime_of(path: Path, *, optimised: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def used(session: ProgramSession) -> set[str]:
    """Kernels that compute, by name."""
    return {c.kernel for c in session.program.calls if c.purpose is Purpose.COMPUTE}


# --- small models --------------------------------------------------------------------------------------------------


class Layers:
    """A convolution, pooling, a fully connected layer and a softmax between ports of 8 bits, drawn from a seed."""

    def __init__(self, activation: type[Any], weight: type[Any], per_channel: bool, seed: int = 7) -> None:
        self.random = np.random.default_rng(seed)
        self.activation, self.weight, self.per_channel = activation, weight, per_channel
        self.constants: dict[str, Array] = {}
        self.nodes: list[onnx.NodeProto] = []
        #: whole numbers minus their zero point, by the name of the weights
        self.whole: dict[str, Array] = {}

    def scale(self, name: str, value: float, zero: int) -> str:
        low = np.iinfo(self.activation).min
        self.constants[f"{name}_s"] = np.array(value, np.float32)
        self.constants[f"{name}_z"] = np.array(zero + low, self.activation)
        return f"{name}_s {name}_z"

    def pair(self, x: str, name: str, value: float, zero: int) -> str:
        grid = self.scale(name, value, zero)
        self.nodes += [
            node("QuantizeLinear", f"{x} {grid}", f"{name}_q"),
            node("DequantizeLinear", f"{name}_q {grid}", name),
        ]
        return name

    def weights(self, name: str, shape: tuple[int, ...], axis: int, x_scale: float) -> tuple[str, str]:
        """Names of weights and bias behind their DequantizeLinear. Zero points of uint8 are 128: what fits s8."""
        outputs = shape[axis]
        zero = 128 if self.weight is np.uint8 else 0
        stored = self.random.integers(-128, 128, shape)
        scale = np.asarray(self.random.uniform(0.002, 0.01, outputs if self.per_channel else ()), np.float32)
        bias = self.random.integers(-3000, 3000, outputs)
        self.whole[name] = stored
        self.constants |= {
            f"{name}_w": (stored + zero).astype(self.weight),
            f"{name}_ws": scale,
            f"{name}_wz": np.full(scale.shape, zero, self.weight),
            f"{name}_b": bias.astype(np.int32),
            f"{name}_bs": np.asarray(scale * np.float32(x_scale), np.float32),
        }
        self.nodes += [
            node("DequantizeLinear", f"{name}_w {name}_ws {name}_wz", f"{name}_wr", axis=axis),
            node("DequantizeLinear", f"{name}_b {name}_bs", f"{name}_br", axis=0),
        ]
        return f"{name}_wr", f"{name}_br"

    def build(self, opset: int = 18) -> onnx.ModelProto:
        w, b = self.weights("conv", (6, 3, 3, 2), 0, 0.02)
        self.nodes += [
            node("DequantizeLinear", f"x {self.scale('x', 0.02, 131)}", "xr"),
            node("Conv", f"xr {w} {b}", "c"),
        ]
        self.nodes += [node("Relu", "c", "r")]
        pooled = self.pair("r", "a", 0.03, 0)
        self.nodes += [node("MaxPool", "a_q", "m_q", kernel_shape=[2, 2], strides=[2, 2])]
        self.nodes += [node("Flatten", "m_q", "f_q"), node("DequantizeLinear", "f_q a_s a_z", "f")]
        assert pooled == "a"
        w, b = self.weights("dense", (36, 5), 1, 0.03)
        self.nodes += [node("MatMul", f"f {w}", "d"), node("Add", f"d {b}", "e")]
        logits = self.pair("e", "l", 0.12, 140)
        self.nodes += [node("Softmax", logits, "p"), node("QuantizeLinear", f"p {self.scale('y', 1 / 256, 0)}", "y")]
        types = {"x": ONNX[self.activation], "y": ONNX[self.activation]}
        return model(self.nodes, {"x": [1, 3, 9, 5]}, {"y": [1, 5]}, self.constants, opset=opset, types=types)

    def feeds(self, count: int) -> list[Array]:
        limits = np.iinfo(self.activation)
        return [
            self.random.integers(limits.min, limits.max + 1, (1, 3, 9, 5)).astype(self.activation) for _ in range(count)
        ]


each_kind = pytest.mark.parametrize(
    ("activation", "weight", "per_channel"),
    [
        pytest.param(np.int8, np.int8, True, id="int8, per channel"),
        pytest.param(np.int8, np.int8, False, id="int8, per tensor"),
        pytest.param(np.uint8, np.int8, True, id="uint8, per channel"),
        pytest.param(np.uint8, np.uint8, False, id="uint8, uint8 weights"),
    ],
)


@each_kind
def test_a_quantised_model_gives_what_onnxruntime_gives(
    activation: type[Any], weight: type[Any], per_channel: bool, tmp_path: Path
) -> None:
    layers = Layers(activation, weight, per_channel)
    path = save(layers.build(), tmp_path)
    graph = graph_of(path)
    assert presets.default_preset(graph) == "qdq"
    session, reference = session_of(graph), onnxruntime_of(path, optimised=False)
    assert {f for f, n in presets.make(graph, "qdq", Target()).formats().items() if n} == {"s8"}, (
        "no calibration, no floats"
    )
    differences = []
    for x in layers.feeds(200):
        have, want = session.run(None, {"x": x})[0], reference.run(None, {"x": x})[0]
        assert have.dtype == activation
        differences.append(have.astype(int) - want)
    assert session.mismatches == []
    off = np.abs(np.concatenate(differences))
    assert off.max() <= 1 and np.mean(off == 0) >= 0.998


@each_kind
def test_integers_and_scales_are_taken_over_as_they_are(
    activation: type[Any], weight: type[Any], per_channel: bool, tmp_path: Path
) -> None:
    layers = Layers(activation, weight, per_channel)
    program = session_of(graph_of(save(layers.build(), tmp_path))).program
    stored = {c.array.shape: c.array for c in program.constants.values() if c.format == "s8" and c.kind == "weights"}
    conv = layers.whole["conv"].transpose(0, 2, 3, 1).reshape(6, -1)
    assert np.array_equal(np.sort(conv, axis=None), np.sort(stored[6, 18], axis=None))
    assert np.array_equal(stored[6, 18], conv)
    assert np.array_equal(stored[5, 36], layers.whole["dense"].T)
    quants = {e.type.quant for e in program.edges.values() if e.type.format == "s8"}
    low = -128  # u8 counts from 0 what s8 counts from -128
    wanted = [(0.02, 131), (0.03, 0), (0.12, 140), (1 / 256, 0)]
    assert quants == {QuantParams(float(np.float32(s)), z + low) for s, z in wanted}


@pytest.mark.parametrize("activation", [np.int8, np.uint8])
@pytest.mark.parametrize(("preset", "equal", "near"), [("f32", 1.0, 1.0), ("s8", 0.99, 1.0), ("f16", 0.8, 0.95)])
def test_other_presets_round_to_the_models_scales_too(
    preset: str, equal: float, near: float, activation: type[Any], tmp_path: Path
) -> None:
    layers = Layers(activation, np.int8, True)
    path = save(layers.build(), tmp_path)
    graph = graph_of(path)
    ranges = {name: Range(-30.0, 30.0) for name in graph.types}
    session, reference = session_of(graph, preset, ranges), onnxruntime_of(path, optimised=False)
    pairs = [(session.run(None, {"x": x})[0], reference.run(None, {"x": x})[0]) for x in layers.feeds(30)]
    off = np.abs(np.concatenate([a.astype(int) - b for a, b in pairs]))
    assert session.mismatches == []
    assert np.mean(off == 0) >= equal and np.mean(off <= 1) >= near


def test_pairs_disappear_where_neighbours_compute_on_their_scale(tmp_path: Path) -> None:
    session = session_of(graph_of(save(Layers(np.int8, np.int8, True).build(), tmp_path)))
    kernels = [c.kernel for c in session.program.calls]
    assert kernels == ["mq_conv_s8", "mq_max_pool_s8", "mq_fully_connected_s8", "mq_softmax_s8"]


# --- what the model leaves in floats -------------------------------------------------------------------------------


def _float_inside(tmp_path: Path) -> Path:
    """Quantised product, then a bias in floats and a function, then quantised again; ports are floats."""
    rng = np.random.default_rng(3)
    constants = {
        "w": rng.integers(-127, 128, (16, 8)).astype(np.int8),
        "ws": rng.uniform(0.005, 0.01, 8).astype(np.float32),
        "wz": np.zeros(8, np.int8),
        "bias": rng.standard_normal(8).astype(np.float32),
        "s": np.array(0.02, np.float32),
        "z": np.array(120, np.uint8),
        "t": np.array(0.015, np.float32),
        "u": np.array(9, np.uint8),
    }
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "w ws wz", "wd", axis=1),
        node("MatMul", "xd wd", "product"),
        node("Tanh", "product", "squashed"),
        node("Add", "squashed bias", "shifted"),
        node("QuantizeLinear", "shifted t u", "yq"),
        node("DequantizeLinear", "yq t u", "y"),
    ]
    return save(model(nodes, {"x": [4, 16]}, {"y": [4, 8]}, constants), tmp_path)


def test_operators_without_scales_say_why_and_stay_in_floats(tmp_path: Path) -> None:
    path = _float_inside(tmp_path)
    graph = graph_of(path)
    plan = presets.make(graph, "qdq", Target())
    by_kind = {op.op: plan.operators[op.name] for op in graph.operators if op.name in plan.operators}
    assert (by_kind["Gemm"].format, by_kind["Gemm"].output) == ("s8", "s16")
    assert by_kind["Tanh"].format == by_kind["Add"].format == "f32"
    assert "leaves" in by_kind["Tanh"].reason and "0.015" in by_kind["FakeQuantise"].reason
    x = np.random.default_rng(5).uniform(-2.4, 2.6, (4, 16)).astype(np.float32)
    ranges = {n: Range(-20.0, 20.0) for n in graph.types}
    session = session_of(graph, "qdq", ranges)
    have, want = session.run(None, {"x": x})[0], onnxruntime_of(path, optimised=False).run(None, {"x": x})[0]
    assert session.mismatches == [] and "mq_fully_connected_s8_s16" in used(session)
    assert np.abs(have - want).max() <= 1.01 * 0.015


def test_floats_round_as_onnxruntime_rounds(tmp_path: Path) -> None:
    scale, zero = np.array(0.1, np.float32), np.array(-3, np.int8)
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")]
    path = save(model(nodes, {"x": [4000]}, {"y": [4000]}, {"s": scale, "z": zero}), tmp_path)
    halves = (np.arange(-2000, 2000) / 8 * np.float32(0.1)).astype(np.float32)
    want = onnxruntime_of(path, optimised=False).run(None, {"x": halves})[0]
    for preset in ("f32", "qdq", "s8"):
        session = session_of(graph_of(path), preset)
        assert np.array_equal(session.run(None, {"x": halves})[0], want), preset
        assert session.mismatches == []


def test_a_scale_for_every_channel_of_an_activation_stays_in_floats(tmp_path: Path) -> None:
    constants = {"s": np.array([0.1, 0.2, 0.05], np.float32), "z": np.array([0, 5, -7], np.int8)}
    nodes = [node("QuantizeLinear", "x s z", "q", axis=1), node("DequantizeLinear", "q s z", "y", axis=1)]
    path = save(model(nodes, {"x": [2, 3, 8]}, {"y": [2, 3, 8]}, constants), tmp_path)
    x = np.random.default_rng(1).uniform(-20, 20, (2, 3, 8)).astype(np.float32)
    session = session_of(graph_of(path))
    assert np.array_equal(session.run(None, {"x": x})[0], onnxruntime_of(path).run(None, {"x": x})[0])
    assert used(session) == {"mq_fake_quantise_f32"}


def test_layout_between_the_halves_of_a_pair(tmp_path: Path) -> None:
    constants = {"s": np.array(0.1, np.float32), "z": np.array(7, np.uint8), "shape": [3, 8]}
    nodes = [
        node("Relu", "x", "r"),
        node("QuantizeLinear", "r s z", "q"),
        node("Transpose", "q", "t", perm=[0, 2, 1]),
        node("Reshape", "t shape", "v"),
        node("Concat", "v v", "w", axis=1),
        node("DequantizeLinear", "w s z", "y"),
    ]
    path = save(model(nodes, {"x": [2, 3, 4]}, {"y": [3, 16]}, constants), tmp_path)
    graph = graph_of(path)
    assert [op.op for op in graph.operators if op.op in qdq.KINDS] == ["FakeQuantise"]
    x = np.random.default_rng(1).uniform(-5, 30, (2, 3, 4)).astype(np.float32)
    want = onnxruntime_of(path).run(None, {"x": x})[0]
    assert np.array_equal(execute(graph, {"x": x})["y"], want)
    session = session_of(graph)
    assert np.array_equal(session.run(None, {"x": x})[0], want)
    assert used(session) == {"mq_map_f32", "mq_quantise_f32_i8", "mq_strided_copy_8", "mq_concat"}


# --- weights -------------------------------------------------------------------------------------------------------


def test_weights_that_cannot_be_taken_over_are_quantised_again() -> None:
    random = np.random.default_rng(2)
    whole = random.integers(-128, 128, (4, 9))
    steps = np.broadcast_to(np.array([0.1, 0.2, 0.3, 0.4])[:, None], (4, 9))
    x = QuantParams(0.05, 3)
    taken = rows(whole * steps, None, x, "s8", known=Known(steps=steps))
    assert np.array_equal(taken.weights, whole) and np.array_equal(taken.scale, steps[:, 0])
    columns = np.broadcast_to(random.uniform(0.1, 0.2, 9), (4, 9))
    again = rows(whole * columns, None, x, "s8", known=Known(steps=columns))
    assert np.abs(again.weights).max() == 127 and np.array_equal(
        again.weights, rows(whole * columns, None, x, "s8").weights
    )
    wide = random.integers(-255, 256, (4, 9)) * steps
    assert np.array_equal(
        rows(wide, None, x, "s8", known=Known(steps=steps)).weights, rows(wide, None, x, "s8").weights
    )


# --- real models ---------------------------------------------------------------------------------------------------


def _frames(graph: Graph, path: Path, audio: Path | None) -> list[Array]:
    (name,) = graph.inputs
    stated = ports(path)
    pipeline = resolve(path, stated.inputs, stated.outputs, None)
    clips = load_data(audio if pipeline else None, pipeline, {name: graph.types[name]}, None, qdq.stored_inputs(graph))
    return [frame[name] for clip in clips for frame in clip]


@pytest.mark.parametrize(("name", "integers"), [("mlperf_tiny_dscnn_int8_qdq", 11), ("mlperf_tiny_sww_int8_qdq", 10)])
def test_real_models_agree_with_onnxruntime(name: str, integers: int, shared: Path) -> None:
    path = shared / "models" / f"{name}.onnx"
    graph = graph_of(path)
    session, reference = session_of(graph), onnxruntime_of(path)
    assert (
        len([c for c in session.program.calls if c.purpose is Purpose.COMPUTE and c.kernel.endswith("_s8")]) >= integers
    )
    assert {f for f, n in presets.make(graph, "qdq", Target()).formats().items() if n} == {"s8"}
    off = []
    for x in _frames(graph, path, shared / "audio" / "kws")[::4]:
        feeds = {graph.inputs[0]: x}
        off.append(np.abs(session.run(None, feeds)[0].astype(int) - reference.run(None, feeds)[0]).ravel())
    assert session.mismatches == []
    assert np.mean(np.concatenate(off) <= 1) >= 0.999


def test_a_large_model_computes_every_weight_in_integers(shared: Path) -> None:
    graph = graph_of(shared / "models" / "smart_turn_v3_2_int8_qdq.onnx")
    plan = presets.make(graph, "qdq", Target())
    weighted = [op for op in graph.operators if op.op in ("Conv", "Gemm", "MatMul")]
    assert len(weighted) == 39
    assert {plan.operators[op.name].format for op in weighted} == {"s8"}
    assert all(op.inputs[1] in graph.steps for op in weighted if op.op != "MatMul")


# --- products of whole numbers -------------------------------------------------------------------------------------


def _linear(weight: type[Any], *, per_channel: bool) -> onnx.ModelProto:
    """QLinearConv, then QLinearMatMul, between ports of 8 bits."""
    rng, low = np.random.default_rng(4), int(np.iinfo(weight).min)
    scales = np.asarray(rng.uniform(0.002, 0.01, (4,) if per_channel else ()), np.float32)
    constants: dict[str, Any] = {
        "xs": np.array(0.02, np.float32),
        "xz": np.array(100, np.uint8),
        "w": rng.integers(low, low + 256, (4, 3, 2, 2)).astype(weight),
        "ws": scales,
        "wz": np.full(scales.shape, low + 128, weight),
        "cs": np.array(0.05, np.float32),
        "cz": np.array(128, np.uint8),
        "b": rng.integers(-900, 900, 4).astype(np.int32),
        "m": rng.integers(low, low + 256, (5, 6)).astype(weight),
        "ms": np.array(0.007, np.float32),
        "mz": np.array(low + 128, weight),
        "ys": np.array(0.1, np.float32),
        "yz": np.array(120, np.uint8),
    }
    nodes = [
        node("QLinearConv", "x xs xz w ws wz cs cz b", "c", pads=[0, 1, 1, 0], name="conv"),
        node("QLinearMatMul", "c cs cz m ms mz ys yz", "y", name="product"),
    ]
    types = {"x": TensorProto.UINT8, "y": TensorProto.UINT8}
    return model(nodes, {"x": [1, 3, 6, 5]}, {"y": [1, 4, 6, 6]}, constants, types=types)


@pytest.mark.parametrize(("weight", "per_channel"), [(np.int8, True), (np.int8, False), (np.uint8, False)])
def test_linear_products_are_quantised_models_too(weight: type[Any], per_channel: bool, tmp_path: Path) -> None:
    path = save(_linear(weight, per_channel=per_channel), tmp_path)
    graph = graph_of(path)
    reference, rng = onnxruntime_of(path), np.random.default_rng(8)
    sessions = {preset: session_of(graph, preset) for preset in ("f32", "qdq")}
    assert used(sessions["qdq"]) >= {"mq_conv_s8", "mq_fully_connected_s8"}
    for _ in range(20):
        x = rng.integers(0, 256, (1, 3, 6, 5)).astype(np.uint8)
        want = reference.run(None, {"x": x})[0].astype(int)
        for session in sessions.values():
            off = np.abs(session.run(None, {"x": x})[0] - want)
            assert off.max() <= 1 and np.mean(off == 0) > 0.97
            assert session.mismatches == []


def test_products_of_whole_numbers_are_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    constants = {
        "w": rng.integers(0, 256, (9, 7)).astype(np.uint8),
        "az": np.array(7, np.int8),
        "bz": np.array(99, np.uint8),
    }
    made = model(
        [node("MatMulInteger", "a w az bz", "y", name="product")],
        {"a": [4, 9]},
        {"y": [4, 7]},
        constants,
        types={"a": TensorProto.INT8, "y": TensorProto.INT32},
    )
    path = save(made, tmp_path)
    a = rng.integers(-128, 128, (4, 9)).astype(np.int8)
    have = session_of(graph_of(path), "f32").run(None, {"a": a})[0]
    assert have.dtype == np.int32
    assert np.array_equal(have, (a.astype(int) - 7) @ (constants["w"].astype(int) - 99))


def test_a_dynamically_quantised_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    constants = {
        "w": rng.integers(-127, 128, (16, 8)).astype(np.int8),
        "wz": np.array(0, np.int8),
        "ws": np.array(0.01, np.float32),
    }
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("MatMulInteger", "q w z wz", "p", name="product"),
        node("Cast", "p", "r", to=1),
        node("Mul", "s ws", "t"),
        node("Mul", "r t", "y"),
    ]
    path = save(model(nodes, {"x": [3, 16]}, {"y": [3, 8]}, constants), tmp_path)
    graph, reference = graph_of(path), onnxruntime_of(path)
    session = session_of(graph, "f32")
    for _ in range(10):
        x = rng.uniform(-3, 2, (3, 16)).astype(np.float32)
        want = reference.run(None, {"x": x})[0]
        assert np.abs(session.run(None, {"x": x})[0] - want).max() <= 1e-5 * np.abs(want).max()
