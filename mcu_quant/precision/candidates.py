"""Ways to compute each operator on a target: what the planner chooses from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from mcu_quant import formats, ops
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Graph, Operator
from mcu_quant.lower import resolve
from mcu_quant.lowering import Target
from mcu_quant.ops import OpLowering
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan


@dataclass(frozen=True)
class Way:
    """A line of the plan that leads to one lowering, under the name that `--set` takes ("s16:weights=s16")."""

    name: str
    line: OperatorPlan
    #: how inputs are read and outputs are stored; "s8-frame" for a scale that is found per frame
    reads: str
    stores: str
    #: mean width of activations and weights
    bits: float
    #: the format of its weights; empty where it has none
    weights: str = ""


def wide_macs(op: Operator, graph: Graph, way: Way) -> float:
    """Multiplications of one run that are not of 8 bits with at most 8 bits."""
    macs = ops.spec(op).macs(op, graph)
    if not macs or way.line.format != "s8" or (way.weights and not formats.get(way.weights).narrow):
        return float(macs)
    if way.reads.startswith("s8"):
        return 0.0
    if ops.spec(op).family != "recurrent":
        return float(macs)
    inputs, units = graph.shape(op.inputs[1])[-1], graph.shape(op.inputs[2])[-1]
    return macs * inputs / (inputs + units)


def offered(known: tuple[Way, ...], target: Target) -> tuple[Way, ...]:
    """Ways that the planner chooses from: weight-only takes the smaller floats where the board has them."""
    return tuple(w for w in known if not (w.line.weight_only and w.line.format == "f32" and target.f16)) or known


def ways(op: Operator, graph: Graph, target: Target) -> tuple[Way, ...]:
    """All ways to compute an operator, each lowering and kind of scale once, in the order of its specification."""
    return tuple(_ways(op, graph, target))


def _ways(op: Operator, graph: Graph, target: Target) -> Iterator[Way]:
    alone = replace(graph, operators=(op,))
    for low in ops.spec(op).lowerings:
        for scale, read in product(low.scales, low.inputs or (None,)):
            lines = _lines(low, scale, read)
            line = next((line for line in lines if _resolved(alone, op, line, target) is low), None)
            if line is not None:
                yield _way(low, line)


def _lines(low: OpLowering, scale: ScaleKind, read: str | None) -> Iterator[OperatorPlan]:
    """Lines that may lead to a lowering, the shortest first."""
    short = OperatorPlan(low.format, scale=scale, input=read)
    yield short
    if low.formats.weight:
        yield replace(short, weights=low.formats.weight)
    yield replace(short, output=low.formats.output)
    yield replace(short, weights=low.formats.weight, output=low.formats.output)


def _resolved(alone: Graph, op: Operator, line: OperatorPlan, target: Target) -> OpLowering | None:
    try:
        return resolve(alone, PrecisionPlan("", "", {op.name: line}), target)[op.name][1]
    except DiagnosticError:
        return None


def _way(low: OpLowering, line: OperatorPlan) -> Way:
    parts = [line.format]
    parts += [f"input={line.input}"] if line.input else []
    parts += [f"weights={line.weights}"] if line.weights else []
    parts += [f"output={line.output}"] if line.output else []
    parts += [f"scale={line.scale}"] if line.scale is not ScaleKind.STATIC else []
    read = line.input or low.formats.input
    reads = read if line.scale is ScaleKind.STATIC else f"{read}-{line.scale}"
    widths = [formats.get(low.format).bits, formats.get(low.formats.weight or low.format).bits]
    weights = low.formats.weight or ""
    return Way(":".join(parts), line, reads, low.formats.output, sum(widths) / len(widths), weights)
