"""Sessions against onnxruntime, and a folder against the specification of its integer kernels, over streamed frames.

`Reference` runs the model as it came, through onnxruntime, with its states carried. `accuracy` streams the same frames
through it and through a session and accumulates how far each output, each state and each operator is off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mcu_quant import ops
from mcu_quant.data import Clip, Clips, Frame
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator.floats import float_stream
from mcu_quant.emulator.folder import InterfaceSession
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.frontend.stream import streamed_file
from mcu_quant.ir import Array, Graph, Operator
from mcu_quant.metrics import Comparison, Difference
from mcu_quant.program import Edge, Program, Role

#: numpy types of onnxruntime's.
_DTYPES: Mapping[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(double)": np.dtype(np.float64),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(int16)": np.dtype(np.int16),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(uint16)": np.dtype(np.uint16),
    "tensor(uint32)": np.dtype(np.uint32),
    "tensor(uint64)": np.dtype(np.uint64),
    "tensor(bool)": np.dtype(np.bool_),
}


class Session(Protocol):
    """What is compared: a program, or a firmware folder."""

    def reset(self) -> None:
        """Set the state to its initial value."""

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Array], /) -> list[Array]:
        """One frame: outputs by name."""

    def states(self) -> dict[str, Array]:
        """State outputs after the last run, flat, by the model's names."""

    def tap(self, edge: str, /) -> Array:
        """Real values of an edge after the last run."""


class Runs(Protocol):
    """What a session is compared with: the model as it came, with its states carried."""

    version: str

    def reset(self) -> None:
        """Set the states to their initial values."""

    def run(self, feeds: Frame, /) -> dict[str, Array]:
        """One frame: outputs and state outputs by the model's names, as float32."""


class Reference:
    """The model file in onnxruntime, frame by frame, with states carried and scalar inputs fed as they were bound.

    Layers in `stream` carry their state, too. Without `optimised`, onnxruntime computes operator by operator: its fused
    kernels of quantised models round elsewhere than the model says. `threads` of 0 are as many as onnxruntime likes.

    Raises:
        DiagnosticError: MQ101 if onnxruntime does not take the model.
    """

    def __init__(
        self,
        model: Path,
        graph: Graph,
        scalars: Mapping[str, int],
        stream: Sequence[str] = (),
        *,
        optimised: bool = True,
        threads: int = 0,
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        if not optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        try:
            source = streamed_file(model, stream) if stream else str(model)
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no common base class for what a bad file raises
            message = f"onnxruntime does not take it: {str(error).splitlines()[0]}"
            raise DiagnosticError(Diagnostic("MQ101", str(model), message)) from error
        self.version: str = onnxruntime.__version__
        self._graph = graph
        self._types = {i.name: _DTYPES.get(i.type, np.dtype(np.float32)) for i in self._session.get_inputs()}
        shapes = {i.name: [d if isinstance(d, int) else 1 for d in i.shape] for i in self._session.get_inputs()}
        fed = {*graph.inputs, *(s.input for s in graph.states)}
        self._fixed = {
            n: np.full(shapes[n], scalars.get(n, 0), dtype) for n, dtype in self._types.items() if n not in fed
        }
        self._names = [*graph.outputs, *(s.output for s in graph.states)]
        self._states: dict[str, Array] = {}
        self.reset()

    def reset(self) -> None:
        """Set the states to their initial values."""
        self._states = {
            s.input: np.asarray(s.initial, self._types[s.input]).reshape(s.type.shape) for s in self._graph.states
        }

    def run(self, feeds: Frame, /) -> dict[str, Array]:
        """One frame: outputs and state outputs by the model's names, as float32."""
        given = {n: np.asarray(a, self._types[n]) for n, a in feeds.items() if n in self._types}
        results = dict(
            zip(self._names, self._session.run(self._names, {**self._fixed, **self._states, **given}), strict=True)
        )
        self._states = {s.input: results[s.output] for s in self._graph.states}
        return {n: np.asarray(a, np.float32) for n, a in results.items()}


@dataclass(frozen=True)
class Accuracy:
    """How far a session is from onnxruntime over `frames` frames. Outputs and states by the model's names."""

    frames: int
    outputs: Mapping[str, Difference]
    states: Mapping[str, Difference]
    #: per operator, its output against the float graph's; the worst of several outputs
    operators: Mapping[str, Difference]
    reference: str

    @property
    def worst_snr_db(self) -> float:
        """SNR of the output or state that is farthest off."""
        return min((d.snr_db for d in (*self.outputs.values(), *self.states.values())), default=float("inf"))


#: Values of one name that are gathered before they are compared: small arrays cost their number, not their size.
GATHER = 1 << 12


@dataclass
class _Pairs:
    """The arrays of one name: gathered until there are enough of them."""

    comparison: Comparison = field(default_factory=Comparison)
    waiting: list[tuple[Array, Array]] = field(default_factory=list)
    size: int = 0

    def add(self, reference: Array, test: Array) -> None:
        self.waiting.append((reference, test))
        self.size += test.size
        if self.size >= GATHER:
            self.compare()

    def compare(self) -> None:
        if self.waiting:
            references, tests = zip(*self.waiting, strict=True)
            self.comparison.add(np.concatenate(references), np.concatenate(tests))
            self.waiting, self.size = [], 0


@dataclass
class _Tally:
    """Comparisons by name, made when first needed."""

    of: dict[str, _Pairs] = field(default_factory=dict)

    def add(self, name: str, reference: Array, test: Array) -> None:
        """Take in two arrays, of which the first may be overwritten later."""
        self.of.setdefault(name, _Pairs()).add(np.array(reference).ravel(), np.ravel(test))

    def results(self) -> dict[str, Difference]:
        for pairs in self.of.values():
            pairs.compare()
        return {name: pairs.comparison.result() for name, pairs in self.of.items()}


OnFrame = Callable[[Frame, Mapping[str, Array]], None]


def accuracy(
    graph: Graph,
    session: Session,
    reference: Runs,
    clips: Clips,
    frames: int,
    *,
    operators: Mapping[str, Sequence[str]] | None = None,
    on_clip: Callable[[], None] | None = None,
    on_frame: OnFrame | None = None,
) -> Accuracy:
    """Stream at most `frames` frames of the clips through a session and through onnxruntime; each clip starts afresh.

    `operators` gives, per operator to look at, the edges to tap. `on_clip()` is called before each clip,
    `on_frame(feeds, outputs)` after each frame.
    """
    watched = dict(operators or {})
    edges = {e for es in watched.values() for e in es}
    floats = float_stream(graph) if edges else None
    outputs, states, tapped = _Tally(), _Tally(), _Tally()

    last: dict[str, Array] = {}
    repeated = graph.repeated

    def tap(edge: str, value: Array) -> None:
        if edge in edges and edge in repeated:
            last[edge] = value  # of a loop, a session shows the last step
        elif edge in edges:
            tapped.add(edge, value, session.tap(edge))

    done = 0
    for clip, count in excerpts(clips, frames):
        reference.reset()
        session.reset()
        if floats:
            floats.reset()
        if on_clip:
            on_clip()
        for feeds in islice(clip, count):
            wanted = reference.run(feeds)
            made = dict(zip(graph.outputs, session.run(list(graph.outputs), feeds), strict=True))
            for name, value in made.items():
                outputs.add(name, wanted[name], value)
            for name, value in session.states().items():
                if name in wanted:  # those of front and back ends have no counterpart
                    states.add(name, wanted[name], value)
            if floats:
                floats.run(feeds, watch=tap)
                for edge, value in last.items():
                    tapped.add(edge, value, session.tap(edge))
            if on_frame:
                on_frame(feeds, made)
            done += 1
    by_edge = tapped.results()
    worst = {op: min((by_edge[e] for e in es), key=lambda d: d.snr_db) for op, es in watched.items() if es}
    return Accuracy(done, outputs.results(), states.results(), worst, f"onnxruntime {reference.version}")


def excerpts(clips: Clips, frames: int) -> Iterator[tuple[Clip, int]]:
    """The beginning of each clip, about equally long, `frames` frames in all or everything there is."""
    counts = [len(clip) for clip in clips]
    left = frames
    shares = [0] * len(counts)
    for rank, i in enumerate(sorted(range(len(counts)), key=counts.__getitem__)):
        shares[i] = min(counts[i], -(-left // (len(counts) - rank)))
        left -= shares[i]
    yield from ((clip, share) for clip, share in zip(clips, shares, strict=True) if share)


def operator_edges(graph: Graph, program: Program) -> dict[str, tuple[str, ...]]:
    """Per operator that computes or copies something, the outputs that a session can show after a frame.

    Not those that are cut off by design, unless there is no other.
    """
    called = {c.operator for c in program.calls}
    kept = set(_final(program))
    found = {}
    for op in graph.operators:
        if op.name in called:
            held = [o for o in op.outputs if o and program.holds.get(o, "") in kept]
            found[op.name] = tuple(o for o in held if not saturating(op, o, program)) or tuple(held)
    return found


def saturating(op: Operator, output: str, program: Program) -> str | None:
    """Why this output is cut off in the format it is stored in, or None: its error then says nothing."""
    stored = program.edges[program.holds[output]].type.storage
    return ops.spec(op).saturates.get(op.outputs.index(output)) if stored.integer else None


def state_notes(graph: Graph, program: Program) -> dict[str, str]:
    """What must be known to read the figure of a state, by the name of its output in the model."""
    producer = {o: op for op in graph.operators for o in op.outputs if o}
    notes = {}
    for state in graph.states:
        for piece in state.pieces:
            op = producer.get(piece.output)
            note = saturating(op, piece.output, program) if op and piece.output in program.holds else None
            if note:
                notes[state.output] = note
    return notes


def _final(program: Program) -> Iterator[str]:
    """Edges that still hold what a call wrote there at the end of a frame: nobody writes over them later.

    Not those that move with the steps of a loop: the whole of which they are parts is there.
    """
    edges = program.edges
    last = {e: i for i, call in enumerate(program.calls) for e in call.writes}
    for name, step in last.items():
        edge = edges[name]
        later = (edges[e] for call in program.calls[step + 1 :] for e in call.writes if e != name)
        if edge.role is not Role.SCRATCH and not edge.strides and not any(_overlap(edge, other) for other in later):
            yield name


def _overlap(a: Edge, b: Edge) -> bool:
    if a.root != b.root:
        return False
    return a.offset_bytes < b.offset_bytes + b.type.bytes and b.offset_bytes < a.offset_bytes + a.type.bytes


# --- bit for bit ---------------------------------------------------------------------------------------------------


def integer_edges(program: Program) -> tuple[str, ...]:
    """Integer edges that calls write and that still hold the result at the end of a frame, in the model's memory.

    What lies in a caller's buffer is compared as the output it is.
    """
    edges = program.edges
    own = (n for n in _final(program) if edges[edges[n].root].role is not Role.OUTPUT)
    return tuple(n for n in own if edges[n].type.storage.integer)


@dataclass(frozen=True)
class EdgeMismatch:
    """An edge that differs from its specification, and where that was first seen.

    Integer edges are specified by the numpy form of their kernel, float outputs by the same program run call by call.
    """

    edge: str
    frame: int
    detail: str
    integer: bool = True


class BitCheck:
    """Runs a program beside a folder, each kernel against its specification, and compares every integer edge."""

    def __init__(self, program: Program, folder: InterfaceSession, edges: Iterable[str]) -> None:
        self._specified = ProgramSession(program, verify=True)
        self._folder = folder
        self._edges = tuple(edges)
        self._frame = 0
        self._found: dict[str, EdgeMismatch] = {}

    def reset(self) -> None:
        """At the start of a clip."""
        self._specified.reset()

    def frame(self, feeds: Frame, outputs: Mapping[str, Array]) -> None:
        """After the folder ran a frame: run the program on the same inputs and compare."""
        before = len(self._specified.mismatches)
        specified = self._specified.run(list(outputs), feeds)
        for m in self._specified.mismatches[before:]:
            self._note(m.edge, f"{m.kernel} differs from its specification in {m.elements} elements: {m.first}")
        for edge in self._edges:
            have, want = self._folder.raw(edge), self._specified.raw(edge)
            if not np.array_equal(have, want):
                self._note(edge, f"the folder differs in {int(np.sum(have != want))} elements")
        for name, want in zip(outputs, specified, strict=True):
            if not np.array_equal(outputs[name], want, equal_nan=True):
                self._note(name, "the output of the folder is not that of the program", integer=False)
        self._frame += 1

    def _note(self, edge: str, detail: str, integer: bool = True) -> None:
        self._found.setdefault(edge, EdgeMismatch(edge, self._frame, detail, integer))

    @property
    def mismatches(self) -> tuple[EdgeMismatch, ...]:
        """Every edge that ever differed, once."""
        return tuple(self._found.values())
