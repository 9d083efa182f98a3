"""One operator in one format, at any scale: what tests of integer kernels share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mcu_quant import formats, ops
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.lower import lower
from mcu_quant.ops import NodeContext
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Access, Call, Program, Purpose

INTEGERS = ("s8", "s16")

#: Calibrated ranges.
RANGES = st.tuples(st.floats(-100.0, 0.0), st.floats(0.0, 100.0)).filter(lambda r: r[1] - r[0] > 1e-3)


def graph_of(operator: str, inputs: Mapping[str, Shape | Array], output: Shape, /, **attributes: Any) -> Graph:
    """One canonical operator "op" with output "y"; inputs given by shape are fed, those given by value constants."""
    constants = {n: v for n, v in inputs.items() if isinstance(v, np.ndarray)}
    shapes = {n: tuple(v.shape) if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    types = {n: TensorType(s) for n, s in {**shapes, "y": output}.items()}
    op = Operator("op", operator, tuple(inputs), ("y",), attributes)
    return Graph("test", tuple(n for n in inputs if n not in constants), ("y",), (op,), types, constants)


class Ran:
    """An operator in a format on given inputs: real inputs as stored, the stored output, and what reads both."""

    def __init__(self, graph: Graph, fmt: str, feeds: Mapping[str, Array], ranges: Mapping[str, tuple[float, float]]):
        self.program = program_of(graph, fmt, ranges)
        session = ProgramSession(self.program, verify=True)
        session.run(None, {n: np.asarray(v, np.float32) for n, v in feeds.items()})
        self.mismatches = session.mismatches
        self.y = session.raw("y").astype(np.int64)
        self.quant = self.program.edges["y"].type.quant
        self.format = formats.get(fmt)
        call = self.call()
        #: operands in f64, by parameter of the C function
        self.operands: dict[str, Array] = {}
        for name, arg in call.args.items():
            if getattr(arg, "access", None) is Access.READ:
                type_ = self.program.edges[arg.edge].type
                self.operands[name] = (
                    session.raw(arg.edge).astype(np.float64) - type_.quant.zero_point
                ) * type_.quant.scale

    def call(self) -> Call:
        """The call that computes."""
        return next(c for c in self.program.calls if c.purpose is Purpose.COMPUTE)

    def error(self, real: Array) -> Array:
        """Distance of the output from a real result, in steps, where the format can represent that at all."""
        assert self.quant
        steps = np.clip(real / self.quant.scale + self.quant.zero_point, self.format.minimum, self.format.maximum)
        return np.abs(self.y - steps)


def program_of(graph: Graph, fmt: str, ranges: Mapping[str, tuple[float, float]]) -> Program:
    plan = PrecisionPlan("test", "test", {"op": OperatorPlan(fmt)}, {n: Range(*r) for n, r in ranges.items()})
    return lower(graph, plan)


def drawn(shape: Shape, limits: tuple[float, float], seed: int) -> Array:
    """Values over a range and a little beyond, with both ends and zero among them."""
    random = np.random.default_rng(seed)
    x = random.uniform(1.1 * limits[0], 1.1 * limits[1], shape)
    special = np.array([limits[0], limits[1], 0.0])
    return np.where(random.random(shape) < 0.2, random.choice(special, shape), x).astype(np.float32)


def canonical(op: Operator, graph: Graph, opset: int = 18) -> Graph:
    """The graph with its one operator in canonical form."""
    spec = ops.by_onnx()[op.op]
    assert spec.canonicalise
    made = spec.canonicalise(op, NodeContext(graph, opset))
    return replace(
        graph,
        operators=made.operators,
        constants={**graph.constants, **made.constants},
        types={**graph.types, **made.types},
    )
