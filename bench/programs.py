"""Programs of one operator, made on the spot: what benchmarks of kernels run."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from mcu_quant import frontend, ops
from mcu_quant.calibrate import calibrate
from mcu_quant.data import Clip, Clips, Frame
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Array, Graph, Operator, Shape
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.ops import Fixed, Given, OpLowering, Sample
from mcu_quant.passes import optimise
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Program

FORMATS = ("f32", "f16", "s16", "s8")


@dataclass(frozen=True, eq=False)
class Composed:
    """A graph that no ONNX node stands for."""

    name: str
    graph: Graph = field(repr=False)


def attributes(sample: Sample) -> dict[str, Any]:
    """The sample's attributes as ONNX's helpers take them: a body, which samples give as text, as a graph."""
    return {k: onnx.parser.parse_graph(v) if k == "body" else v for k, v in sample.attributes.items()}


def model(sample: Sample) -> onnx.ModelProto:
    """The sample as a model of one node with seeded weights."""
    random = np.random.default_rng(1)
    names, inputs, constants = [], [], []
    for i, value in enumerate(sample.inputs):
        names.append(f"x{i}" if value is not None else "")
        match value:
            case Given(shape, dtype=dtype):
                kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
                inputs.append(onnx.helper.make_tensor_value_info(names[-1], kind, shape))
            case Fixed(array, shape, std):
                drawn = random.normal(0, std, shape).astype(np.float32) if array is None else array
                constants.append(onnx.numpy_helper.from_array(drawn, names[-1]))
    outputs = [f"y{i}" for i in range(sample.outputs)]
    node = onnx.helper.make_node(sample.onnx, names, outputs, name="node", **attributes(sample))
    results = [onnx.helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = onnx.helper.make_graph([node], "sample", inputs, results, constants)
    opset = onnx.helper.make_opsetid("", sample.opset)
    made = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
    return onnx.shape_inference.infer_shapes(made, data_prop=True)


def graph_of(sample: Sample | Composed) -> Graph:
    """The sample as a graph."""
    return sample.graph if isinstance(sample, Composed) else imported(model(sample))


def _drawn(random: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Values in [-1, 1), or whole numbers of the type's whole range."""
    if dtype.kind == "i":
        return random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    return random.uniform(-1.0, 1.0, shape).astype(dtype)


def frames(sample: Sample | Composed, count: int = 3) -> list[Frame]:
    """Seeded inputs, uniform over the range that the sample says, or over [-1, 1)."""
    random = np.random.default_rng(2)
    if isinstance(sample, Composed):
        types = {name: sample.graph.types[name] for name in sample.graph.inputs}
        return [{n: _drawn(random, t.shape, np.dtype(t.dtype)) for n, t in types.items()} for _ in range(count)]
    given = {f"x{i}": x for i, x in enumerate(sample.inputs) if isinstance(x, Given)}
    return [{n: random.uniform(x.low, x.high, x.shape).astype(x.dtype) for n, x in given.items()} for _ in range(count)]


def program(sample: Sample | Composed, fmt: str, isa: str, fed: Sequence[Frame] = ()) -> Program:
    """The sample lowered with everything in a format, weights of integers in 8 bits; calibrated on `fed`, or on noise.

    Recurrent layers read their input in the format, too, not in a wider one.

    Raises:
        DiagnosticError: MQ303 if the operator has no such format.
    """
    graph = graph_of(sample)
    fed = fed or frames(sample)
    lines = {op.name: _line(op, OperatorPlan(fmt, input=fmt)) for op in graph.operators if not ops.spec(op).carries}
    return lower(graph, PrecisionPlan("sample", fmt, lines, _ranges(graph, fed)), Target(isa))


def imported(made: onnx.ModelProto) -> Graph:
    """The graph of a model, as `mcu-quant build` sees it."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "sample.onnx"
        onnx.save(made, path)
        return optimise(frontend.load(path).graph)


def _ranges(graph: Graph, fed: Sequence[Frame]) -> Mapping[str, Range]:
    return calibrate(graph, Clips((Clip("frames", len(fed), lambda: iter(fed)),), "made up")).ranges()


@dataclass(frozen=True)
class Lowered:
    """One way to compute a graph, for any instruction set, and a frame to run it on."""

    graph: Graph
    plan: PrecisionPlan
    frame: Frame

    def program(self, isa: str) -> Program:
        """The calls for an instruction set."""
        return lower(self.graph, self.plan, Target(isa))


def every_lowering(sample: Sample | Composed) -> Iterator[Lowered]:
    """The sample in every format, with every format of weights and outputs, and every kind of scale."""
    graph = graph_of(sample)
    fed = frames(sample)
    ranges = _ranges(graph, fed)
    free = [op for op in graph.operators if ops.has_choice(op, graph)]
    for choice in dict.fromkeys(c for op in free for low in ops.spec(op).lowerings for c in _choices(low)):
        lines = {op.name: _line(op, choice) for op in free}
        if all(ops.spec(op).formats(op, graph).get(choice.format, "") is None for op in free):
            yield Lowered(graph, PrecisionPlan("sample", choice.format, lines, ranges), fed[0])
    if not free:
        yield Lowered(graph, PrecisionPlan("sample", "f32", {}, ranges), fed[0])


def boundaries(onnx_name: str, sizes: Sequence[int] = (1, 17, 256, 1000)) -> Iterator[Lowered]:
    """Two operators of a kind in a row, in every pair of formats: what lies between them converts."""
    for size in sizes:
        made = model(Sample(onnx_name, (Given((1, size)),)))
        (node,) = made.graph.node
        second = onnx.helper.make_node(onnx_name, ["between"], list(node.output), name="second")
        node.output[0] = "between"
        made.graph.node.append(second)
        graph = imported(made)
        fed = frames(Sample(onnx_name, (Given((1, size)),)))
        ranges = _ranges(graph, fed)
        first, last = (op.name for op in graph.operators)
        for a, b in itertools.product(FORMATS, repeat=2):
            lines = {first: OperatorPlan(a), last: OperatorPlan(b)}
            yield Lowered(graph, PrecisionPlan("sample", a, lines, ranges), fed[0])


def _choices(low: OpLowering) -> Iterator[OperatorPlan]:
    for scale, read in itertools.product(low.scales, dict.fromkeys((None, *low.inputs))):
        weights, output = low.formats.weight, low.formats.output
        yield OperatorPlan(low.format, weights=weights, output=output, scale=scale, input=read)


def _line(op: Operator, chosen: OperatorPlan) -> OperatorPlan:
    """The choice for one operator: weights, scale and input only where it has any."""
    every = ops.spec(op).lowerings
    own = [low for low in every if low.format == chosen.format]
    return replace(
        chosen,
        weights=chosen.weights if any(chosen.weights == low.formats.weight for low in every) else None,
        scale=chosen.scale if any(chosen.scale in low.scales for low in own) else ScaleKind.STATIC,
        input=chosen.input if any(chosen.input in low.inputs for low in own) else None,
    )
