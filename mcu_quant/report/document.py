"""What is known of one build, as the contents of report.json; `schemas/report.json` describes every key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import log10
from types import MappingProxyType
from typing import Any

from mcu_quant import ops
from mcu_quant.boards import Board
from mcu_quant.capacity import Fit
from mcu_quant.compare import Accuracy, state_notes
from mcu_quant.cost import CostReport
from mcu_quant.diagnostics import Diagnostic
from mcu_quant.energy import Energy
from mcu_quant.footprint import Footprint
from mcu_quant.frontend import Imported
from mcu_quant.ir import Graph
from mcu_quant.memory import MemoryPlan
from mcu_quant.metrics import EXACT_DB, Difference
from mcu_quant.placement import Placement, default
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.program import Program, Purpose
from mcu_quant.report import distributions, memory
from mcu_quant.version import VERSION

Document = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Facts:
    """Everything a report is made of."""

    file: str
    sha256: str
    imported: Imported
    graph: Graph
    board: Board
    plan: PrecisionPlan
    program: Program
    memory: MemoryPlan
    footprint: Footprint
    cost: CostReport
    fit: Fit
    accuracy: Accuracy | None
    verified_on: str
    diagnostics: Sequence[Diagnostic]
    #: stored values of integer edges, counted on their grid while the accuracy was measured
    activations: Mapping[str, distributions.Counts] = field(default_factory=dict)
    energy: Energy | None = None
    placement: Placement | None = None


def document(facts: Facts) -> Document:
    """The report. The same facts give the same document, and it holds nothing but JSON values."""
    return {
        "schema": 1,
        "tool": {"name": "mcu-quant", "version": VERSION},
        "model": facts.graph.name,
        "board": facts.board.id,
        "fits": facts.fit.fits,
        "real_time": _real_time(facts.cost),
        "source": _source(facts),
        "target": _target(facts.board, facts.program),
        "plan": _plan(facts.plan),
        "flash": _flash(facts),
        "ram": _ram(facts),
        "latency": _latency(facts.cost),
        "energy": None if facts.energy is None else {**asdict(facts.energy), "sources": list(facts.energy.sources)},
        "accuracy": _accuracy(facts),
        "operators": list(_operators(facts)),
        "conversions": list(_conversions(facts)),
        "regions": memory.regions(facts.board, facts.footprint, facts.memory, facts.placement or default(facts.board)),
        "memory": memory.timeline(facts.program, facts.memory, facts.cost),
        "weights": list(distributions.weights(facts.program)),
        "activations": list(distributions.activations(facts.program, facts.activations)),
        "diagnostics": [d.as_dict() for d in facts.diagnostics],
    }


def _real_time(cost: CostReport) -> bool | None:
    return None if cost.budget_ms is None else cost.ms <= cost.budget_ms


def _source(facts: Facts) -> Document:
    imported = facts.imported
    return {
        "file": facts.file,
        "sha256": facts.sha256,
        "bindings": [{"name": b.name, "value": b.value, "why": str(b.why)} for b in imported.bindings],
        "states": [{"input": p.input, "output": p.output, "rule": p.rule} for p in imported.pairings],
        "inputs": [{"name": n, "shape": list(facts.graph.shape(n))} for n in facts.graph.inputs],
        "outputs": [{"name": n, "shape": list(facts.graph.shape(n))} for n in facts.graph.outputs],
        "notes": list(imported.notes),
    }


def _target(board: Board, program: Program) -> Document:
    return {
        "name": board.name,
        "mcu": board.mcu,
        "core": board.core.name,
        "isa": program.isa,
        "clock_hz": board.clock.hz,
        "half_precision": str(board.half_precision),
    }


def _plan(plan: PrecisionPlan) -> Document:
    return {"preset": plan.preset, "formats": plan.formats(), "calibrated_on": plan.calibrated_on}


def _flash(facts: Facts) -> Document:
    footprint, region = facts.footprint, facts.fit.regions[0]
    return {
        "total_bytes": footprint.flash_bytes,
        "predicted_bytes": footprint.predicted.flash_bytes if footprint.predicted else None,
        "weights_bytes": footprint.weights_bytes,
        "code_bytes": footprint.code_bytes,
        "library_bytes": footprint.library_bytes,
        "available_bytes": region.available_bytes,
        "region": region.region,
        "origin": footprint.origin,
        "compiler": footprint.compiler,
        "kernels": dict(footprint.kernels),
    }


def _ram(facts: Facts) -> Document:
    footprint, memory, regions = facts.footprint, facts.memory, facts.fit.regions[1:]
    held = memory.arena_bytes + memory.state_bytes
    copied = sum(facts.placement.bytes.values()) if facts.placement else 0
    return {
        "total_bytes": footprint.static_ram_bytes + footprint.stack_bytes + copied,
        "predicted_bytes": footprint.predicted.ram_bytes + copied if footprint.predicted else None,
        "copied_bytes": copied,
        "arena_bytes": memory.arena_bytes,
        "state_bytes": memory.state_bytes,
        "io_bytes": footprint.static_ram_bytes - held,
        "stack_bytes": footprint.stack_bytes,
        "arena_lower_bound_bytes": memory.lower_bound_bytes,
        "available_bytes": sum(r.available_bytes for r in regions),
        "region": " and ".join(r.region for r in regions),
        "origin": footprint.origin,
    }


def _latency(cost: CostReport) -> Document:
    return {
        "cycles": cost.cycles,
        "instructions": cost.instructions,
        "ms": cost.ms,
        "budget_ms": cost.budget_ms,
        "real_time_factor": cost.real_time_factor,
        "origin": cost.origin,
        "status": str(cost.status),
        "error_pct": list(cost.error_pct),
        "convert_cycles": cost.convert_cycles,
        "reading_cycles": cost.reading_cycles,
        "macs": cost.macs,
        "clock_hz": cost.clock_hz,
        "why": list(cost.why),
        "assumptions": list(cost.assumptions),
    }


def _accuracy(facts: Facts) -> Document | None:
    found = facts.accuracy
    if found is None:
        return None
    return {
        "reference": found.reference,
        "data": facts.verified_on,
        "frames": found.frames,
        "outputs": differences(found, state_notes(facts.graph, facts.program)),
    }


def differences(found: Accuracy, notes: Mapping[str, str] = MappingProxyType({})) -> Document:
    """Per output and state of the model: how far it is from the reference, and what must be known to read that."""
    outputs = {n: {"kind": "output", **difference(d)} for n, d in found.outputs.items()}
    states = {n: {"kind": "state", **difference(d)} for n, d in found.states.items()}
    return outputs | {n: d | ({"note": notes[n]} if n in notes else {}) for n, d in states.items()}


def difference(d: Difference) -> Document:
    """SNR in dB and the largest absolute difference, both always finite."""
    return {"snr_db": round(d.snr_db, 2), "max_abs": min(d.max_abs, 3.5e38)}


def _operators(facts: Facts) -> Iterator[Document]:
    costs = {c.operator: c for c in facts.cost.operators()}
    weights = weights_bytes(facts.program)
    snr = {n: d.snr_db for n, d in facts.accuracy.operators.items()} if facts.accuracy else {}
    added = dict(noise_added(facts.graph, snr))
    sources = _sources(facts.graph, costs.keys())
    states = {*facts.graph.state_inputs, *facts.graph.state_outputs}
    for op in facts.graph.operators:
        if op.name not in costs:
            continue
        cost, choice = costs[op.name], facts.plan.operators.get(op.name)
        output = _stored(facts.program, op.outputs)
        yield {
            "name": op.name,
            "op": op.op,
            "family": ops.spec(op).family,
            "format": choice.format if choice else output.partition("[")[0],
            "reason": _reason(choice) if choice else "stored as its input is",
            "output": output,
            "after": sources[op.name],
            "stateful": any(e in states for e in (*op.inputs, *op.outputs)),
            "macs": cost.macs,
            "instructions": cost.instructions,
            "cycles": cost.cycles,
            "convert_cycles": cost.convert_cycles,
            "weights_bytes": weights.get(op.name, 0),
            "snr_db": round(snr[op.name], 2) if op.name in snr else None,
            "noise_added_db": round(added[op.name], 2) if op.name in added else None,
        }


def _reason(choice: OperatorPlan) -> str:
    """The plan's reason, which says of layers in floats with weights in integers that they are that."""
    said = choice.reason
    return said if not choice.weight_only or "weight-only" in said else f"weight-only, {choice.weights} weights; {said}"


def _sources(graph: Graph, running: Collection[str]) -> dict[str, list[str]]:
    """Per operator, what it reads: inputs of the model and operators that run, seen through those that do not."""
    made_by: dict[str, tuple[str, ...]] = {name: (name,) for name in graph.inputs}
    found: dict[str, list[str]] = {}
    for op in graph.operators:
        sources = list(dict.fromkeys(s for i in op.inputs for s in made_by.get(i, ())))
        found[op.name] = sources
        made_by |= dict.fromkeys(op.outputs, (op.name,) if op.name in running else tuple(sources))
    return found


def noise_added(graph: Graph, snr_db: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Per operator, noise that it adds to what comes in, relative to its output signal, in dB: the higher, the worse.

    Noise-to-signal ratio of the output minus the largest of the inputs, as if an operator passed the ratio on. What
    comes in through a state counts as its own; operators without a figure pass their inputs' on.
    """
    ratio: dict[str, float] = {}
    for op in graph.operators:
        before = max((ratio.get(i, 0.0) for i in op.inputs), default=0.0)
        after = 10.0 ** (-snr_db[op.name] / 10.0) if op.name in snr_db else before
        ratio |= dict.fromkeys(op.outputs, after)
        if op.name in snr_db:
            grown = after - before
            yield op.name, max(-EXACT_DB, 10.0 * log10(grown)) if grown > 0.0 else -EXACT_DB


def _stored(program: Program, outputs: Sequence[str]) -> str:
    """How the first output that the program stores is stored: format, shape and scale."""
    return next((str(program.edges[program.holds[o]].type) for o in outputs if o in program.holds), "")


def weights_bytes(program: Program) -> Mapping[str, int]:
    """Bytes of constants per operator; what several share counts for the first."""
    found: dict[str, int] = {}
    seen: set[str] = set()
    for call in program.calls:
        new = [c for c in dict.fromkeys(call.constants) if c not in seen]
        seen.update(new)
        found[call.operator] = found.get(call.operator, 0) + sum(program.constants[c].bytes for c in new)
    return found


def _conversions(facts: Facts) -> Iterator[Document]:
    """Calls that compute nothing: they bring data into the format or place in which an operator reads it."""
    edges = facts.program.edges
    for call, cost in zip(facts.program.calls, facts.cost.calls, strict=True):
        if call.purpose is Purpose.COMPUTE or not call.writes:
            continue
        made = edges[call.writes[0]]
        source = edges[call.reads[0]] if call.reads else None
        yield {
            "operator": call.operator,
            "kernel": call.kernel,
            "purpose": str(call.purpose),
            "edge": source.name if source else made.name,
            "from": source.type.format if source else "constant",
            "to": made.type.format,
            "elements": made.type.size,
            "cycles": cost.cycles,
        }
