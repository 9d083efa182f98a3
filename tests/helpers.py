"""One-node ONNX models from operators' samples, and graphs run in formats: what tests of operators share."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pycparser
from onnx import TensorProto, helper, numpy_helper
from pycparser import c_ast

from bench.programs import attributes
from mcu_quant import frontend, ops
from mcu_quant.calibrate import calibrate
from mcu_quant.compare import Reference
from mcu_quant.data import Clip, Clips, Frame
from mcu_quant.emulator.library import declarations, headers
from mcu_quant.emulator.program import Mismatch, ProgramSession
from mcu_quant.formats import ScaleKind
from mcu_quant.interpret import Stream
from mcu_quant.ir import Array, Graph
from mcu_quant.lower import lower
from mcu_quant.ops import Fixed, Given, OpLowering, OpSpec, Sample
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Program, Struct

#: Frames per test, the later ones with a carried state; more of tiny ones, so that no signal is a number or two.
FRAMES, MOST_FRAMES, VALUES = 6, 40, 100

# --- models ----------------------------------------------------------------------------------------------------------


def onnx_model(sample: Sample, stored: bool = False) -> onnx.ModelProto:
    """The sample as a model of one node, with inputs x0, x1, ... and outputs y0, y1, ...; seeded constants.

    With `stored`, each input first passes a Clip that changes nothing: it has a format, and an operator that carries
    values gets them in it.
    """
    random = np.random.default_rng(seed(sample))
    names, inputs, constants, nodes = [], [], [], []
    for i, given in enumerate(sample.inputs):
        match given:
            case None:
                names.append("")
            case Given(shape, _, _, dtype):
                names.append(f"x{i}")
                inputs.append(
                    helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
                )
            case Fixed(value, shape, std):
                array = random.normal(0.0, std, shape).astype(np.float32) if value is None else value
                names.append(f"c{i}")
                constants.append(numpy_helper.from_array(np.asarray(array), f"c{i}"))
    if stored:
        reals = [i.name for i in inputs if i.type.tensor_type.elem_type == TensorProto.FLOAT]
        nodes = [_identity(n, f"{n}_stored", sample.opset) for n in reals]
        constants += [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("low", -1e3), ("high", 1e3))]
        names = [f"{n}_stored" if n in reals else n for n in names]
    outputs = [f"y{i}" for i in range(sample.outputs)]
    nodes.append(helper.make_node(sample.onnx, names, outputs, name="node", **attributes(sample)))
    graph = helper.make_graph(nodes, "sample", inputs, [onnx.ValueInfoProto(name=o) for o in outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", sample.opset)], ir_version=9)
    inferred = {v.name: v for v in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output}
    del model.graph.output[:]
    model.graph.output.extend(inferred[o] for o in outputs)
    return model


def _identity(x: str, y: str, opset: int) -> onnx.NodeProto:
    """A Clip that changes nothing; its limits were attributes before opset 11."""
    if opset < 11:
        return helper.make_node("Clip", [x], [y], min=-1e3, max=1e3)
    return helper.make_node("Clip", [x, "low", "high"], [y])


def seed(sample: Sample) -> int:
    """The same for the same sample on every machine."""
    return zlib.crc32(f"{sample}{sorted(sample.attributes.items())}".encode())


def frames_of(sample: Sample) -> list[Frame]:
    """Seeded frames, uniform over the range that each input says."""
    smallest = min((prod(g.shape) for g in sample.inputs if isinstance(g, Given)), default=VALUES)
    count = max(FRAMES, min(MOST_FRAMES, VALUES // smallest))
    random = np.random.default_rng(seed(sample) + 1)
    return [
        {
            f"x{i}": random.uniform(g.low, g.high, g.shape).astype(g.dtype)
            for i, g in enumerate(sample.inputs)
            if isinstance(g, Given)
        }
        for _ in range(count)
    ]


@dataclass(frozen=True, eq=False)
class Case:
    """An imported sample with frames, and what onnxruntime makes of them: by output and state, [frames, ...]."""

    sample: Sample
    graph: Graph
    frames: list[Frame]
    onnxruntime: dict[str, Array]


def case(sample: Sample, folder: Path, stored: bool = False) -> Case:
    """Build, import and run a sample in onnxruntime."""
    path = folder / "sample.onnx"
    onnx.save(onnx_model(sample, stored), path)
    graph = frontend.load(path).graph
    reference = Reference(path, graph, {})
    # an initial state that becomes a final one is no input any more: it is carried
    frames = [{n: f[n] for n in graph.inputs} for f in frames_of(sample)]
    return Case(sample, graph, frames, stack(reference.run(f) for f in frames))


def stack(results: Iterator[Mapping[str, Array]]) -> dict[str, Array]:
    """Per-frame results by name to one array [frames, ...] per name."""
    rows = list(results)
    return {name: np.stack([r[name] for r in rows]) for name in rows[0]}


def interpreted(graph: Graph, frames: Sequence[Frame]) -> dict[str, Array]:
    """Outputs and states of the float graph, [frames, ...]."""
    stream = Stream(graph)
    return stack(stream.run(f) for f in frames)


# --- plans and programs ----------------------------------------------------------------------------------------------


def ranges(graph: Graph, frames: Sequence[Frame]) -> Mapping[str, Range]:
    """Ranges that the frames give all edges and internals."""
    return calibrate(graph, Clips((Clip("frames", len(frames), lambda: iter(frames)),), "test")).ranges()


def choice(low: OpLowering, scale: ScaleKind = ScaleKind.STATIC) -> OperatorPlan:
    """The line of a plan that chooses exactly this lowering."""
    return OperatorPlan(low.format, weights=low.formats.weight, output=low.formats.output, scale=scale)


def plan_in(
    graph: Graph, fmt: str, frames: Sequence[Frame], special: Mapping[str, OperatorPlan] | None = None
) -> PrecisionPlan:
    """Every operator in a format where it can be, else in f32; `special` operators as they say, by operator type."""
    lines = {}
    for op in graph.operators:
        spec = ops.spec(op)
        if not ops.has_choice(op, graph):
            continue
        usable = any(low.format == fmt and not (low.applies and low.applies(op, graph)) for low in spec.lowerings)
        lines[op.name] = (special or {}).get(op.op) or OperatorPlan(fmt if usable else "f32")
    return PrecisionPlan(graph.name, "test", lines, ranges(graph, frames))


def wholly_in(graph: Graph, plan: PrecisionPlan, fmt: str) -> bool:
    """Is every operator in this format?"""
    return all(line.format == fmt for line in plan.operators.values())


@dataclass(frozen=True, eq=False)
class Ran:
    """A program that ran over frames, checked call by call against the specifications."""

    program: Program
    outputs: dict[str, Array]
    mismatches: list[Mismatch]


def run(graph: Graph, plan: PrecisionPlan, frames: Sequence[Frame]) -> Ran:
    """Lower a graph and run it through the compiled kernels; outputs and states, [frames, ...]."""
    program = lower(graph, plan)
    session = ProgramSession(program, verify=True)

    def frame(feeds: Frame) -> dict[str, Array]:
        found = dict(zip(graph.outputs, session.run(None, feeds), strict=True))
        states = session.states()
        return found | {s.output: states[s.output].reshape(s.type.shape) for s in graph.states}

    return Ran(program, stack(frame(f) for f in frames), session.mismatches)


def snr_db(reference: Mapping[str, Array], test: Mapping[str, Array]) -> float:
    """Signal to error of the worst output; infinite where all are equal. Infinite values must be equal."""
    worst = np.inf
    for name in reference:
        have, want = np.asarray(test[name], np.float64), np.asarray(reference[name], np.float64)
        assert have.shape == want.shape, f"{name}: {have.shape}, not {want.shape}"
        same = have == want
        noise = float(((have[~same] - want[~same]) ** 2).sum())
        power = float((want[np.isfinite(want)] ** 2).sum())
        if noise > 0.0 or np.isnan(noise):
            worst = min(worst, 10.0 * np.log10(power / noise)) if power > 0.0 and noise < np.inf else -np.inf
    return float(worst)


# --- C ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Declared:
    """What the firmware's headers declare: functions with parameter names and result, structs with field names."""

    parameters: Mapping[str, tuple[str, ...]]
    results: Mapping[str, str]
    structs: Mapping[str, tuple[str, ...]]


@cache
def declared() -> Declared:
    """The headers of all kernel families, parsed."""
    widths = "".join(f"typedef int {s}int{b}_t;" for s in ("", "u") for b in (8, 16, 32, 64))
    tree = pycparser.CParser().parse(
        widths + "typedef unsigned size_t; typedef uint16_t mq_f16;\n" + declarations(headers())
    )
    parameters, results, structs = {}, {}, {}
    for node in tree.ext:
        if isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.FuncDecl):
            parameters[node.name] = tuple(p.name for p in node.type.args.params)
            kind = node.type.type
            results[node.name] = " ".join(kind.type.names) if isinstance(kind, c_ast.TypeDecl) else "pointer"
        elif isinstance(node, c_ast.Typedef) and isinstance(getattr(node.type, "type", None), c_ast.Struct):
            structs[node.name] = tuple(d.name for d in node.type.type.decls or ())
    return Declared(parameters, results, structs)


def prototype_problems(program: Program) -> list[str]:
    """Calls whose arguments or struct fields are not named and ordered as the C has them."""
    found = []
    for call in program.calls:
        names = declared().parameters[call.kernel]
        if tuple(call.args) != names:
            found.append(f"{call.kernel} has the parameters {names}, the call gives {tuple(call.args)}")
        for arg in call.args.values():
            if isinstance(arg, Struct) and tuple(arg.fields) != declared().structs[arg.c_type]:
                found.append(f"{arg.c_type} has the fields {declared().structs[arg.c_type]}, not {tuple(arg.fields)}")
    return found


# --- all samples -----------------------------------------------------------------------------------------------------


def samples() -> list[tuple[str, OpSpec, Sample]]:
    """Every sample of every operator, with a name that no other has."""
    found: dict[str, tuple[OpSpec, Sample]] = {}
    for spec in ops.specs().values():
        for sample in spec.samples:
            name = str(sample) if len(sample.inputs) < 6 else f"{sample.onnx}-{sample.name}"
            while name in found:
                name += "'"
            found[name] = (spec, sample)
    return [(name, spec, sample) for name, (spec, sample) in found.items()]
