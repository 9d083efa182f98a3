"""Programs of one operator, made on the spot: what benchmarks of kernels run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx

from mcu_quant import frontend, ops
from mcu_quant.calibrate import calibrate
from mcu_quant.data import Clip, Clips, Frame
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.ops import Fixed, Given, Sample
from mcu_quant.passes import optimise
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.program import Program


def model(sample: Sample) -> onnx.ModelProto:
    """The sample as a model of one node with seeded weights."""
    random = np.random.default_rng(1)
    names, inputs, constants = [], [], []
    for i, value in enumerate(sample.inputs):
        names.append(f"x{i}" if value is not None else "")
        match value:
            case Given(shape):
                inputs.append(onnx.helper.make_tensor_value_info(names[-1], onnx.TensorProto.FLOAT, shape))
            case Fixed(array, shape, std):
                drawn = random.normal(0, std, shape).astype(np.float32) if array is None else array
                constants.append(onnx.numpy_helper.from_array(drawn, names[-1]))
    outputs = [f"y{i}" for i in range(sample.outputs)]
    node = onnx.helper.make_node(sample.onnx, names, outputs, name="node", **sample.attributes)
    results = [onnx.helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = onnx.helper.make_graph([node], "sample", inputs, results, constants)
    opset = onnx.helper.make_opsetid("", sample.opset)
    made = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
    return onnx.shape_inference.infer_shapes(made, data_prop=True)


def frames(sample: Sample, count: int = 3) -> list[Frame]:
    """Seeded inputs, uniform over the range that the sample says."""
    random = np.random.default_rng(2)
    given = {f"x{i}": x for i, x in enumerate(sample.inputs) if isinstance(x, Given)}
    return [
        {n: random.uniform(x.low, x.high, x.shape).astype(np.float32) for n, x in given.items()} for _ in range(count)
    ]


def program(sample: Sample, fmt: str, isa: str) -> Program:
    """The sample lowered with everything in a format, weights of integers in 8 bits."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "sample.onnx"
        onnx.save(model(sample), path)
        graph = optimise(frontend.load(path).graph)
    fed = frames(sample)
    clips = Clips((Clip("frames", len(fed), lambda: iter(fed)),), "made up")
    lines = {op.name: OperatorPlan(fmt) for op in graph.operators if not ops.spec(op).carries}
    return lower(graph, PrecisionPlan("sample", fmt, lines, calibrate(graph, clips).ranges()), Target(isa))
