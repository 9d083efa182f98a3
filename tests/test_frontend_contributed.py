"""Operators that onnxruntime adds to ONNX do what onnxruntime does with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.frontend import load
from mcu_quant.frontend.contributed import UNROUNDED
from mcu_quant.interpret import Stream
from mcu_quant.metrics import snr_db
from mcu_quant.passes import optimise
from tests.onnx_models import model, node, save

RNG = np.random.default_rng(17)
Arrays = Mapping[str, np.ndarray]


def real(*shape: int) -> np.ndarray:
    return np.asarray(RNG.standard_normal(shape) * 0.7, np.float32)


def whole(kind: type[Any], *shape: int) -> np.ndarray:
    limits = np.iinfo(kind)
    return RNG.integers(limits.min, limits.max, shape, endpoint=True).astype(kind)


def contributed(*args: Any, **attributes: Any) -> onnx.NodeProto:
    return node(*args, domain="com.microsoft", **attributes)


def made(
    nodes: list[onnx.NodeProto], inputs: Mapping[str, np.ndarray], output: Any, constants: Arrays, opset: int = 18
) -> onnx.ModelProto:
    """A model of the nodes, with inputs of the shapes and types of the arrays, and one output `y` of that kind."""
    kinds = {n: helper.np_dtype_to_tensor_dtype(a.dtype) for n, a in inputs.items()}
    result = model(nodes, {n: a.shape for n, a in inputs.items()}, {}, constants, opset=opset, types=kinds)
    result.graph.output.append(
        helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(np.dtype(output)), None)
    )
    result.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return result


def check(made_model: onnx.ModelProto, given: Arrays, folder: Path, decibels: float = 110.0, steps: int = 0) -> None:
    """Whole numbers are equal, reals equal up to rounding; nothing of onnxruntime's is left."""
    path = save(made_model, folder)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    wanted = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(["y"], given)[0]
    graph = optimise(load(path).graph)
    have = Stream(graph).run(dict(given))["y"]
    assert have.shape == wanted.shape
    if wanted.dtype.kind in "iu":
        assert np.abs(have.astype(int) - wanted).max() <= steps
    else:
        assert snr_db(wanted, have) > decibels


# --- whole numbers ---------------------------------------------------------------------------------------------------

GRIDS = {
    np.int8: {"s": np.float32(0.02), "z": np.int8(-9), "t": np.float32(0.05), "v": np.int8(4)},
    np.uint8: {"s": np.float32(0.02), "z": np.uint8(119), "t": np.float32(0.05), "v": np.uint8(131)},
}
LINEAR = {
    "add": [contributed("QLinearAdd", "a s z b s z t v", "y")],
    "mul": [contributed("QLinearMul", "a s z b s z t v", "y")],
    "sigmoid": [contributed("QLinearSigmoid", "a s z t v", "y")],
    "leaky": [contributed("QLinearLeakyRelu", "a s z t v", "y", alpha=0.2)],
    "softmax": [contributed("QLinearSoftmax", "a s z t v", "y", axis=-1, opset=13)],
    "softmax of all from an axis": [contributed("QLinearSoftmax", "a s z t v", "y", axis=2, opset=11)],
    "average": [contributed("QLinearAveragePool", "a s z t v", "y", kernel_shape=[2, 2], strides=[2, 2])],
    "mean": [contributed("QLinearGlobalAveragePool", "a s z t v", "y")],
    "concat": [contributed("QLinearConcat", "t v a s z b s z", "y", axis=1)],
    "where": [node("Greater", "x zero", "c"), contributed("QLinearWhere", "c a s z b s z t v", "y")],
}


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("name", LINEAR)
def test_operators_on_whole_numbers(name: str, kind: type[Any], tmp_path: Path) -> None:
    if name == "softmax of all from an axis" and kind is np.int8:
        pytest.skip("onnxruntime has no such kernel")
    given = {n: whole(kind, 1, 4, 6, 8) for n in "ab"} | {"x": real(1, 4, 6, 8)}
    used = {i for n in LINEAR[name] for i in n.input}
    constants = {n: np.asarray(v) for n, v in GRIDS[kind].items()} | {"zero": np.float32(0.0)}
    given = {n: a for n, a in given.items() if n in used}
    constants = {n: np.asarray(a) for n, a in constants.items() if n in used}
    # onnxruntime averages in whole numbers
    check(made(LINEAR[name], given, kind, constants), given, tmp_path, steps=int(name == "average"))


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("output", ["whole", "real"])
def test_a_matrix_product_of_whole_numbers(rows: bool, turned: int, output: str, tmp_path: Path) -> None:
    a = whole(np.uint8, 3, 9)
    weights = whole(np.int8, 5, 9) if turned else whole(np.int8, 9, 5)
    scales = np.asarray(RNG.uniform(0.01, 0.03, 5 if rows else ()), np.float32)
    constants = {
        "w": weights,
        "ws": scales,
        "wz": np.zeros(scales.shape, np.int8),
        "b": whole(np.int16, 5).astype(np.int32) // 8,
        "s": np.float32(0.02),
        "z": np.uint8(119),
        "t": np.float32(0.5),
        "v": np.uint8(131),
    }
    inputs = "a s z w ws wz b t v" if output == "whole" else "a s z w ws wz b"
    nodes = [contributed("QGemm", inputs, "y", transB=turned)]
    constants = {n: np.asarray(v) for n, v in constants.items() if n in inputs.split()}
    check(made(nodes, {"a": a}, np.uint8 if output == "whole" else np.float32, constants), {"a": a}, tmp_path)


@pytest.mark.parametrize("bias", [False, True])
def test_a_product_that_is_rounded_at_run_time(bias: bool, tmp_path: Path) -> None:
    constants = {"w": whole(np.int8, 9, 5), "ws": np.float32(0.02), "wz": np.int8(0), "b": real(5)}
    inputs = "x w ws wz b" if bias else "x w ws wz"
    x = real(3, 9)
    constants = {n: np.asarray(v) for n, v in constants.items() if n in inputs.split()}
    check(
        made([contributed("DynamicQuantizeMatMul", inputs, "y")], {"x": x}, np.float32, constants), {"x": x}, tmp_path
    )


def test_a_product_of_rounded_numbers_that_is_real(tmp_path: Path) -> None:
    constants = {"w": whole(np.int8, 9, 5), "ws": np.float32(0.02), "wz": np.int8(3), "b": real(5)}
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        contributed("MatMulIntegerToFloat", "q w s ws z wz b", "y"),
    ]
    x = real(3, 9)
    check(made(nodes, {"x": x}, np.float32, {n: np.asarray(v) for n, v in constants.items()}), {"x": x}, tmp_path)


@pytest.mark.parametrize("rows", [False, True])
def test_a_layer_with_weights_in_whole_numbers(rows: bool, tmp_path: Path) -> None:
    """onnxruntime rounds what goes into the layer, so that its result is the less exact one."""
    shape = (1, 24) if rows else (1,)
    constants = {
        "W": whole(np.int8, 1, 9, 24),
        "R": whole(np.int8, 1, 6, 24),
        "B": real(1, 48),
        "s": np.asarray(RNG.uniform(0.002, 0.004, shape), np.float32),
        "z": np.zeros(shape, np.int8),
    }
    nodes = [
        contributed("DynamicQuantizeLSTM", "x W R B - - - - s z s z", "y", hidden_size=6, name="layer"),
    ]
    x = real(4, 1, 9)
    file = made(nodes, {"x": x}, np.float32, constants)
    check(file, {"x": x}, tmp_path, 30.0)
    rewrites = load(tmp_path / "model.onnx").graph.rewrites
    assert [r.where for r in rewrites if r.rule == UNROUNDED] == ["layer"]


# --- fused -----------------------------------------------------------------------------------------------------------

ACTIVATIONS = {
    "Relu": [],
    "Sigmoid": [],
    "Tanh": [],
    "LeakyRelu": [0.3],
    "Clip": [-0.2, 0.4],
    "HardSigmoid": [0.15, 0.4],
}


@pytest.mark.parametrize("opset", [10, 13, 18])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_convolution_with_its_activation(activation: str, opset: int, tmp_path: Path) -> None:
    parameters = {"activation_params": ACTIVATIONS[activation]} if ACTIVATIONS[activation] else {}
    nodes = [contributed("FusedConv", "x w b", "y", activation=activation, pads=[1, 1], **parameters)]
    x = real(1, 3, 8)
    check(made(nodes, {"x": x}, np.float32, {"w": real(4, 3, 3), "b": real(4)}, opset), {"x": x}, tmp_path)


FUSED = {
    "convolution and sum": [contributed("FusedConv", "x w b z", "y", activation="Relu", pads=[1, 1], kernel_shape=[3])],
    "gemm": [contributed("FusedGemm", "r v c", "y", activation="LeakyRelu", activation_alpha=0.2, transB=1)],
    "gelu": [contributed("Gelu", "x", "y")],
    "gelu and bias": [contributed("BiasGelu", "x e", "y")],
    "fast gelu": [contributed("FastGelu", "x", "y")],
    "fast gelu and bias": [contributed("FastGelu", "x e", "y")],
    "quick gelu": [contributed("QuickGelu", "x", "y", alpha=1.5)],
    "norm of a sum": [contributed("SkipLayerNormalization", "x z e g", "y", epsilon=1e-4)],
    "norm of a sum and bias": [contributed("SkipLayerNormalization", "x z e g h", "y")],
    "norm and sum": [
        contributed("SkipLayerNormalization", "x z e g", "n - - s"),
        node("Add", "n s", "y"),
    ],
    "rms norm": [node("SimplifiedLayerNormalization", "x e", "y", axis=-1, epsilon=1e-4)],
    "rms norm of a sum": [contributed("SkipSimplifiedLayerNormalization", "x z e", "y")],
    "attention": [contributed("Attention", "x q p", "y", num_heads=2)],
    "attention without bias": [contributed("Attention", "x q", "y", num_heads=4, scale=0.5)],
}
FUSED_CONSTANTS = {
    "w": real(3, 3, 3),
    "b": real(3),
    "v": real(5, 8),
    "c": real(5),
    **{n: real(8) for n in "egh"},
    "q": real(8, 24),
    "p": real(24),
}


@pytest.mark.parametrize("opset", [12, 18])
@pytest.mark.parametrize("name", FUSED)
def test_what_the_optimiser_fused(name: str, opset: int, tmp_path: Path) -> None:
    used = {i for n in FUSED[name] for i in n.input}
    given = {n: a for n, a in {"x": real(1, 3, 8), "z": real(1, 3, 8), "r": real(3, 8)}.items() if n in used}
    constants = {n: a for n, a in FUSED_CONSTANTS.items() if n in used}
    # onnxruntime finds the power of a sum from its square and mean, in float32
    check(made(FUSED[name], given, np.float32, constants, opset), given, tmp_path, 95.0 if "norm" in name else 110.0)


@pytest.mark.parametrize("turned", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("alpha", [1.0, 0.25])
def test_a_product_of_transposed_matrices(turned: tuple[int, int], batch: int, alpha: float, tmp_path: Path) -> None:
    a, b = np.zeros((2, 3, 5), np.float32), np.zeros((2, 5, 4), np.float32)
    a[...], b[...] = real(2, 3, 5), real(2, 5, 4)
    if turned[0]:
        a = a.swapaxes(1, 2)
    if turned[1]:
        b = b.swapaxes(1, 2)
    if batch:
        a, b = a.swapaxes(0, 1), b.swapaxes(0, 1)
    given = {"a": np.ascontiguousarray(a), "b": np.ascontiguousarray(b)}
    attributes = {"transA": turned[0], "transB": turned[1], "transBatchA": batch, "transBatchB": batch}
    check(
        made([contributed("FusedMatMul", "a b", "y", alpha=alpha, **attributes)], given, np.float32, {}),
        given,
        tmp_path,
    )


def test_names_are_those_of_the_original_and_the_list_says_what_was_written(tmp_path: Path) -> None:
    x = whole(np.int8, 1, 4)
    constants = {n: np.asarray(v) for n, v in GRIDS[np.int8].items()}
    path = save(
        made([contributed("QLinearAdd", "x s z x s z t v", "y", name="sum")], {"x": x}, np.int8, constants), tmp_path
    )
    graph = load(path).graph
    assert "sum" in [op.name for op in graph.operators if op.op == "Add"]
    written = [r for r in graph.rewrites if r.rule == "written in ONNX's operators"]
    assert [(r.where, r.detail) for r in written] == [("sum", "com.microsoft.QLinearAdd")]


def test_what_is_used_otherwise_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [
        contributed("QLinearGlobalAveragePool", "x s z t v", "m", channels_last=1, name="last"),
        contributed("NhwcMaxPool", "m", "y", kernel_shape=[1, 1], name="pool"),
    ]
    constants = {n: np.asarray(v) for n, v in GRIDS[np.int8].items()}
    path = save(made(nodes, {"x": whole(np.int8, 1, 4, 4, 3)}, np.int8, constants), tmp_path)
    with pytest.raises(DiagnosticError) as error:
        load(path)
    assert [(d.code, d.where) for d in error.value.diagnostics] == [("MQ107", "last"), ("MQ107", "pool")]


def test_a_quantised_type_of_a_later_opset(tmp_path: Path) -> None:
    """The quantiser writes 16-bit activations so where the opset of the model has none."""
    nodes = [
        contributed("QuantizeLinear", "x s z", "q"),
        contributed("DequantizeLinear", "q s z", "y"),
    ]
    constants = {"s": np.asarray(np.float32(0.0001)), "z": np.asarray(np.int16(5))}
    x = real(3, 8)
    check(made(nodes, {"x": x}, np.float32, constants, 13), {"x": x}, tmp_path)
