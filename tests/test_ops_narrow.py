"""Types narrower than a byte or than half precision: the same values as ml_dtypes, of which ONNX's own are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import mcu_quant.onnx_backend as backend
from mcu_quant.interpret import execute
from mcu_quant.ir import Array
from mcu_quant.onnx_backend import build
from mcu_quant.ops.narrow import BITS, FLOATS, HELD
from mcu_quant.program import Purpose
from tests.test_codegen import write_folder

OPSET = 25


def onnx_type(name: str) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(getattr(ml_dtypes, name))))


def model(nodes: list[onnx.NodeProto], x: tuple[int, list[int]], y: int, *constants: onnx.TensorProto) -> Any:
    graph = helper.make_graph(
        nodes,
        "narrow",
        [helper.make_tensor_value_info("x", *x)],
        [helper.make_tensor_value_info("y", y, None)],
        list(constants),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=13)


def everywhere(name: str) -> Array:
    """Every value of half precision, and the numbers half way between neighbours of the type, and beside those."""
    kind = np.dtype(getattr(ml_dtypes, name))
    patterns = np.arange(256 if kind.itemsize == 1 and name != "float4_e2m1fn" else 16, dtype=np.uint8)
    own = np.unique(patterns.view(kind).astype(np.float32))
    own = own[np.isfinite(own)]
    half = (own[1:] + own[:-1]) / np.float32(2.0)
    beside = [np.nextafter(half, np.float32(s)) for s in (-np.inf, np.inf)]
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    return np.concatenate([every, own, half, *beside, np.float32([1e30, -1e30, 1e-38, 2e-45])])


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("name", FLOATS)
def test_reals_are_rounded_to_the_type(name: str, saturate: int) -> None:
    x = everywhere(name)
    attributes = {"saturate": saturate} if name.startswith("float8") else {}
    node = helper.make_node("Cast", ["x"], ["y"], to=onnx_type(name), **attributes)
    (y,) = backend.run_model(model([node], (TensorProto.FLOAT, list(x.shape)), onnx_type(name)), [x])
    kind = np.dtype(getattr(ml_dtypes, name))
    largest = FLOATS[name].largest
    with np.errstate(all="ignore"):
        want = (np.clip(x, -largest, largest) if saturate else x).astype(kind)
    # float4 has no NaN: what becomes of one is nowhere defined
    asked = ~np.isnan(x) if name == "float4_e2m1fn" else np.full(x.shape, True)
    assert y.dtype == kind
    np.testing.assert_array_equal(y.astype(np.float32)[asked], want.astype(np.float32)[asked])


@pytest.mark.parametrize("source", [np.float32, np.int8, np.int32])
@pytest.mark.parametrize("name", BITS)
def test_whole_numbers_keep_their_low_bits(name: str, source: type) -> None:
    x = np.arange(-100, 120).astype(source)
    node = helper.make_node("Cast", ["x"], ["y"], to=onnx_type(name))
    made = model([node], (helper.np_dtype_to_tensor_dtype(np.dtype(source)), [220]), onnx_type(name))
    (y,) = backend.run_model(made, [x])
    assert y.tolist() == x.astype(getattr(ml_dtypes, name)).tolist()


@pytest.mark.parametrize("name", HELD)
def test_reference_and_firmware_agree(name: str) -> None:
    x = np.linspace(-7.0, 7.0, 113, dtype=np.float32)
    made = model(
        [helper.make_node("Cast", ["x"], ["y"], to=onnx_type(name))], (TensorProto.FLOAT, [113]), onnx_type(name)
    )
    built = build(made)
    (y,) = built.session.run(None, {"x": x})
    assert str(y.dtype) == HELD[name]
    np.testing.assert_array_equal(execute(built.graph, {"x": x})["y"], y)


@pytest.mark.parametrize("name", ["int4", "uint4", "float8_e4m3fn"])
def test_scale_per_block(name: str) -> None:
    """Quantised in blocks of three along the last axis, and back."""
    kind = np.dtype(getattr(ml_dtypes, name))
    x = np.random.default_rng(3).uniform(-2.0, 2.0, (4, 6)).astype(np.float32)
    scale = np.float32([[0.3, 0.1], [0.5, 0.2], [0.25, 0.4], [1.0, 0.3]])
    zero = numpy_helper.from_array(np.full((4, 2), 2 if name == "uint4" else 0).astype(kind), "zero")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], axis=1, block_size=3),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], axis=1, block_size=3),
    ]
    made = model(nodes, (TensorProto.FLOAT, [4, 6]), TensorProto.FLOAT, numpy_helper.from_array(scale, "scale"), zero)
    (y,) = backend.run_model(made, [x])
    steps, offset = np.repeat(scale, 3, 1), 2.0 if name == "uint4" else 0.0
    if name in BITS:
        info = ml_dtypes.iinfo(kind)
        want = (np.clip(np.rint(x / steps) + offset, info.min, info.max) - offset) * steps
    else:
        want = (x / steps).astype(kind).astype(np.float32) * steps
    np.testing.assert_allclose(y, want, rtol=1e-6)


def test_int4_weights_become_real_weights() -> None:
    """A language model's weights, four bits each and one scale per block: known when the firmware is built."""
    random = np.random.default_rng(5)
    stored = random.integers(-8, 8, (8, 3)).astype(ml_dtypes.int4)
    scale = random.uniform(0.05, 0.2, (2, 3)).astype(np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale"], ["real"], axis=0, block_size=4),
        helper.make_node("MatMul", ["x", "real"], ["y"]),
    ]
    constants = numpy_helper.from_array(stored, "w"), numpy_helper.from_array(scale, "scale")
    built = build(model(nodes, (TensorProto.FLOAT, [2, 8]), TensorProto.FLOAT, *constants))
    x = random.uniform(-1.0, 1.0, (2, 8)).astype(np.float32)
    (y,) = built.session.run(None, {"x": x})
    np.testing.assert_allclose(y, x @ (stored.astype(np.float32) * np.repeat(scale, 4, 0)), rtol=1e-5, atol=1e-6)
    computing = [c.kernel for c in built.program.calls if c.purpose is Purpose.COMPUTE]
    assert computing == ["mq_fully_connected_f32"]


@pytest.mark.parametrize("saturate", [0, 1])
def test_generated_c_has_the_parameters(saturate: int, tmp_path: Path) -> None:
    """NaN has no literal in C: what becomes NaN is said otherwise."""
    node = helper.make_node("Cast", ["x"], ["y"], to=onnx_type("float8_e4m3fn"), saturate=saturate)
    program = build(model([node], (TensorProto.FLOAT, [4]), onnx_type("float8_e4m3fn"))).program
    folder = write_folder(program, tmp_path, "narrow")
    assert "3.0f, -6.0f, 448.0f" in (folder / "narrow_weights.c").read_text()
    assert "mq_fn_round_to_type" in (folder / "narrow.c").read_text()


def test_values_of_a_narrow_type_are_only_passed_on() -> None:
    """What is given in a narrow type needs no rounding again."""
    kind = np.dtype(ml_dtypes.float8_e5m2)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("Cast", ["t"], ["y"], to=TensorProto.FLOAT),
    ]
    x = np.random.default_rng(7).normal(0.0, 3.0, (3, 5)).astype(np.float32).astype(kind)
    prepared = backend.prepare(model(nodes, (onnx_type("float8_e5m2"), [3, 5]), TensorProto.FLOAT))
    (y,) = prepared.run([x])
    np.testing.assert_array_equal(y, x.astype(np.float32).T)
