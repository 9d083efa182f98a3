"""The float graph by compiled kernels: what `interpret.Stream` computes, for graphs of many small operators.

    stream = float_stream(graph)
    stream.run(feeds, watch=lambda name, value: ...)

numpy needs some 20 microseconds per operator however small it is, so a streaming model of hundreds of operators spends
its time between them. The same graph lowered to f32 takes a fraction of that; where operators are large, numpy's own
products win.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from mcu_quant import ops
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator.library import host_compiler
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.interpret import Stream, Watch
from mcu_quant.ir import Array, Graph
from mcu_quant.lower import lower
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.program import Program

#: Where numpy and the compiled kernels take about the same time: operators, and multiply-accumulates of each.
MANY_OPERATORS, SMALL_MACS = 50, 20_000


class FloatStream(Protocol):
    """A float graph that keeps its states from frame to frame."""

    def reset(self) -> None:
        """Back to the first frame."""

    def run(
        self, feeds: Mapping[str, Array], taps: Collection[str] = (), watch: Watch | None = None
    ) -> dict[str, Array]:
        """The next frame: outputs, states and taps by the model's names; every edge shown to `watch`."""


def float_stream(graph: Graph) -> FloatStream:
    """The faster of both ways; numpy where there is no compiler, and where edges take several values within a frame."""
    if graph.loops:
        return Stream(graph)
    macs = sum(ops.spec(op).macs(op, graph) for op in graph.operators)
    if len(graph.operators) < MANY_OPERATORS or macs > SMALL_MACS * len(graph.operators):
        return Stream(graph)
    try:
        host_compiler()
    except DiagnosticError:
        return Stream(graph)
    return CompiledStream(graph)


class CompiledStream:
    """A graph in f32, call by call; between the calls every edge is shown where it lies."""

    def __init__(self, graph: Graph) -> None:
        lines = {op.name: OperatorPlan("f32") for op in graph.operators if ops.has_choice(op, graph)}
        program = lower(graph, PrecisionPlan(graph.name, "f32", lines))
        self._graph = graph
        self._session = ProgramSession(program)
        self._ready = _ready(graph, program)

    def reset(self) -> None:
        """Back to the first frame."""
        self._session.reset()

    def run(
        self, feeds: Mapping[str, Array], taps: Collection[str] = (), watch: Watch | None = None
    ) -> dict[str, Array]:
        """As `interpret.Stream.run`; the values that `watch` sees are overwritten later."""
        tapped: dict[str, Array] = {}
        wanted = frozenset(taps)

        def show(name: str, value: Array) -> None:
            if watch:
                watch(name, value)
            if name in wanted:
                tapped[name] = value.copy()

        outputs = self._session.run_watched(feeds, self._ready, show)
        shapes = {s.output: s.type.shape for s in self._graph.states}
        states = {n: v.reshape(shapes[n]) for n, v in self._session.states().items()}
        return {**dict(zip(self._graph.outputs, outputs, strict=True)), **states, **tapped}


def _ready(graph: Graph, program: Program) -> dict[int, list[str]]:
    """Edges of the graph by the number of calls after which they hold their value.

    An edge is there after the last call of its operator; one whose operator needs no call is a view of what was there
    after the last of its inputs.
    """
    last = {call.operator: i + 1 for i, call in enumerate(program.calls)}
    after = dict.fromkeys((*graph.inputs, *graph.state_inputs), 0)
    for op in graph.operators:
        read = (after[i] for i in op.inputs if i in after)
        after |= dict.fromkeys((o for o in op.outputs if o), last.get(op.name, max(read, default=0)))
    found: dict[int, list[str]] = {}
    for name, count in after.items():
        if name in program.holds:
            found.setdefault(count, []).append(name)
    return found
