"""What every way to compute every operator costs on a board: flash, cycles, RAM at each point of the program.

Programs are lowered, never imitated: in the k-th of a few programs every operator is computed in its k-th way, and what
its calls take is read off. What depends on the neighbours is left to the problem: conversions (`Net`), kernels and
tables that several operators use (`Shared`), buffers that are alive together (the points of the peak).

RAM is priced with the buffers of the f32 program and the order of its calls. A plan that was found is lowered and
placed for itself before anybody relies on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mcu_quant import cost, formats, memory, ops
from mcu_quant.boards import Board
from mcu_quant.code_size import code_bytes
from mcu_quant.ir import Graph
from mcu_quant.lower import lower
from mcu_quant.precision.candidates import Way, wide_macs
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan
from mcu_quant.precision.problem import CYCLES, FLASH, LOSS, RAM, WIDE, Amounts, Candidate, Group, Net, Shared
from mcu_quant.precision.trial import Trial
from mcu_quant.program import Call, Program, Purpose, Role, Scalar, Struct, Symbol

#: The caller, who gives inputs and takes outputs: a group of one candidate.
CALLER = "(caller)"
FLOAT = "f32"

OUTSIDE = Way(FLOAT, OperatorPlan(FLOAT), FLOAT, FLOAT, 32.0)

#: Flash of a parameter struct's field.
FIELD_BYTES = 4

Key = tuple[str, str]
"""(operator, name of the way)."""


@dataclass(frozen=True)
class Prices:
    """Amounts of each way, and what is paid between operators."""

    amounts: Mapping[Key, Amounts]
    nets: tuple[Net, ...]
    shared: tuple[Shared, ...]
    points: tuple[str, ...]

    def groups(
        self, graph: Graph, ways: Mapping[str, tuple[Way, ...]], losses: Mapping[Key, float]
    ) -> tuple[Group, ...]:
        """Operators as groups, with losses added; the caller last."""
        categories = {op.name: ops.spec(op).family for op in graph.operators}
        made = [
            Group(op, tuple(self._candidate(op, w, losses[op, w.name]) for w in known), (op,), categories[op])
            for op, known in ways.items()
        ]
        return (*made, Group(CALLER, (Candidate(FLOAT, self.amounts[CALLER, FLOAT], FLOAT, FLOAT),)))

    def _candidate(self, op: str, way: Way, loss: float) -> Candidate:
        return Candidate(way.name, {**self.amounts[op, way.name], LOSS: loss}, way.reads, way.stores, way.bits)


def price(graph: Graph, ways: Mapping[str, tuple[Way, ...]], trial: Trial, board: Board) -> Prices:
    """Prices of a graph's operators on a board, for plans with the ranges of a trial's start."""
    return _Pricer(graph, ways, trial, board).prices()


@dataclass
class _Use:
    """What one way of one operator takes for itself, and what it uses with others."""

    cycles: float = 0.0
    flash: float = 0.0
    working: float = 0.0
    state: float = 0.0
    functions: set[str] = field(default_factory=set)
    #: constants by content, with their bytes
    constants: dict[str, int] = field(default_factory=dict)


class _Pricer:
    def __init__(self, graph: Graph, ways: Mapping[str, tuple[Way, ...]], trial: Trial, board: Board) -> None:
        self._graph, self._ways, self._trial, self._board = graph, ways, trial, board
        self._producer, self._consumers = graph.producer(), graph.consumers()
        self._successor = {p.input: p.output for s in graph.states for p in s.pieces}
        self._uses: dict[Key, _Use] = {}
        self._operators = {op.name: op for op in graph.operators}
        self._macs = max(1, sum(ops.spec(op).macs(op, graph) for op in graph.operators))
        #: who has a constant, by its content
        self._users: dict[str, set[Key]] = {}

    def prices(self) -> Prices:
        for plan, chosen in self._sweep():
            self._read(lower(self._graph, plan, self._trial.target), chosen)
        for key, use in self._uses.items():
            for content in use.constants:
                self._users.setdefault(content, set()).add(key)
        base = lower(self._graph, self._trial.start, self._trial.target)
        points = _Points(self, base)
        amounts = {(op, way.name): self._amounts(op, way, points) for op, known in self._ways.items() for way in known}
        amounts[CALLER, FLOAT] = self._amounts(CALLER, OUTSIDE, points)
        return Prices(amounts, tuple(self._nets(points)), tuple(self._shared()), points.names)

    def _amounts(self, op: str, way: Way, points: _Points) -> Amounts:
        use = self._uses[op, way.name]
        own = sum(size for content, size in use.constants.items() if not self._common(content))
        wide = 0.0 if op == CALLER else wide_macs(self._operators[op], self._graph, way) / self._macs
        fixed = {CYCLES: use.cycles, FLASH: use.flash + own, RAM: use.state, WIDE: wide}
        return {n: a for n, a in {**fixed, **points.taken(op, way, use.working)}.items() if a}

    def _sweep(self) -> Iterator[tuple[PrecisionPlan, dict[str, Way]]]:
        """Plans in which together every operator is computed in each of its ways."""
        for k in range(max((len(w) for w in self._ways.values()), default=0)):
            chosen = {op: known[min(k, len(known) - 1)] for op, known in self._ways.items()}
            yield self._trial.with_lines({op: way.line for op, way in chosen.items()}), chosen

    def _read(self, program: Program, chosen: Mapping[str, Way]) -> None:
        """Enter what each operator takes in a program."""
        priced = cost.estimate(program, self._board).calls
        made = {(op, way.name): _Use() for op, way in chosen.items()} | {(CALLER, FLOAT): _Use()}
        of = {op: use for (op, _), use in made.items()}
        for call, cycles in zip(program.calls, priced, strict=True):
            if call.purpose is not Purpose.CONVERT:
                self._enter(of[self._payer(program, call)], program, call, cycles.cycles)
        for op in chosen:
            of[op].working = self._working(program, op)
        for state in program.states:
            of[self.keeper(state.edge)].state += program.edges[state.edge].type.bytes
        self._uses = made | self._uses  # the caller's part is that of the first program

    def _payer(self, program: Program, call: Call) -> str:
        """Who pays for a call: its operator or, where that passes data on, the one whose format the data has."""
        if call.operator in self._ways:
            return call.operator
        written = [program.edges[e].root for e in call.writes]
        known = [e for e in (*call.writes, *written) if e in self._graph.types]
        return self.source(known[0]) if known and ops.is_real(self._graph, known[0]) else CALLER

    def _enter(self, use: _Use, program: Program, call: Call, cycles: int) -> None:
        use.cycles += cycles
        for arg in call.args.values():
            values = (*arg.fields.values(),) if isinstance(arg, Struct) else (arg,)
            use.functions.update(v.name for v in values if isinstance(v, Symbol) and v.name != "NULL")
            use.flash += FIELD_BYTES * len(values) if isinstance(arg, Struct) else 0
        use.functions.add(call.kernel)
        for name in call.constants:
            constant = program.constants[name]
            content = hashlib.sha256(f"{constant.format} ".encode() + constant.array.tobytes()).hexdigest()
            use.constants[content] = constant.bytes

    def _working(self, program: Program, op: str) -> int:
        """Bytes of what this operator's own calls write and the graph does not know."""
        calls = [c for c in program.calls if c.operator == op and c.purpose is Purpose.COMPUTE]
        own = {program.edges[e].root for call in calls for e in call.writes}
        edges = (program.edges[n] for n in own if n not in self._graph.types)
        return sum(e.type.bytes for e in edges if e.role in (Role.SCRATCH, Role.ARENA))

    # --- who reads what --------------------------------------------------------------------------------------------

    def source(self, edge: str) -> str:
        """The operator with a choice whose format an edge has, through operators that pass data on; or the caller."""
        op = self._producer.get(edge)
        if op is None:
            return self.keeper(edge) if edge in self._successor else CALLER
        if op.name in self._ways:
            return op.name
        real = [i for i in op.inputs if i and i not in self._graph.constants and ops.is_real(self._graph, i)]
        return self.source(real[0]) if real else CALLER

    def keeper(self, state: str) -> str:
        """The operator whose format a state has: the first that reads it, else the one that computes it."""
        return self.reader(state) or self.source(self._successor[state])

    def readers(self, edge: str) -> list[str]:
        """The operators with a choice that read an edge, through operators that pass data on; and the caller."""
        found = [CALLER] if edge in self._graph.outputs else []
        for op in self._consumers.get(edge, []):
            if ops.has_choice(op, self._graph):
                found.append(op.name)
            else:
                found += [r for o in op.outputs if o for r in self.readers(o)]
        return list(dict.fromkeys(found))

    def reader(self, edge: str) -> str | None:
        """The first operator with a choice that reads an edge."""
        return next((r for r in self.readers(edge) if r != CALLER), None)

    # --- between operators -----------------------------------------------------------------------------------------

    def _nets(self, points: _Points) -> Iterator[Net]:
        """Edges between operators with a choice, inputs, outputs and states among them."""
        reads = {w.reads for known in self._ways.values() for w in known} | {FLOAT}
        stores = {w.stores for known in self._ways.values() for w in known} | {FLOAT}
        for edge, source, sinks in self._edges():
            if sinks:
                size = self._graph.types[edge].size
                pairs = {(a, b): self._conversion(a, b, size, sinks, points) for a in stores for b in reads}
                yield Net(source, tuple(sinks), {pair: amounts for pair, amounts in pairs.items() if amounts})

    def _edges(self) -> Iterator[tuple[str, str, list[str]]]:
        for name in self._graph.inputs:
            if ops.is_real(self._graph, name):
                yield name, CALLER, self.readers(name)
        for op in self._graph.operators:
            if op.name in self._ways:
                for name in op.outputs:
                    if name and ops.is_real(self._graph, name):
                        yield name, op.name, [r for r in self.readers(name) if r != op.name]
        for state, successor in self._successor.items():
            if ops.is_real(self._graph, state):
                source, sink = self.source(successor), self.keeper(state)
                yield state, source, [sink] if sink != source else []

    def _conversion(self, stored: str, read: str, size: int, sinks: Sequence[str], points: _Points) -> Amounts:
        """Cycles of bringing an edge from one format to another, and the copy while its readers run."""
        if stored == read:
            return {}
        cycles = 0
        steps = [(stored, read)]
        fmt, _, kind = read.partition("-")
        if kind and formats.get(stored).integer:
            steps = [(stored, FLOAT), (FLOAT, read)]
        for a, b in steps:
            cycles += self._cycles(f"mq_convert_{a}_{f'{fmt}_frame' if kind and b == read else b}", size)
        return {CYCLES: cycles, **points.copied(size * formats.get(fmt).bytes, sinks)}

    def _cycles(self, kernel: str, size: int) -> int:
        call = Call(kernel, "", {"n": Scalar(size)}, Purpose.CONVERT)
        program = Program("", self._trial.target.isa, (), (), {}, {}, (call,))
        return cost.estimate(program, self._board).cycles

    def _common(self, content: str) -> bool:
        """Do several operators have this constant?"""
        return len({op for op, _ in self._users[content]}) > 1

    def _shared(self) -> Iterator[Shared]:
        """Code of kernels, and constants that several operators have."""
        called = {f for use in self._uses.values() for f in use.functions}
        for name, size in code_bytes(called, self._board, self._trial.target.isa).items():
            users = frozenset(key for key, use in self._uses.items() if name in use.functions)
            yield Shared(name, users, {FLASH: size})
        sizes = {c: size for use in self._uses.values() for c, size in use.constants.items()}
        for content in sorted(sizes):
            if self._common(content):
                yield Shared(content, frozenset(self._users[content]), {FLASH: sizes[content]})


class _Points:
    """The calls of a program at which memory may be fullest, and which operators' outputs are alive there."""

    def __init__(self, pricer: _Pricer, program: Program) -> None:
        plan = memory.plan(program)
        alive: list[dict[str, int]] = [{} for _ in program.calls]
        for name, life in plan.lifetimes.items():
            edge = program.edges[name]
            if edge.role is Role.SCRATCH:
                continue
            owner = _owner(pricer, program, name)
            # what a call leaves in place of its input does not need room of its own during that call
            last = life.last - 1 if name in plan.inplace.values() else life.last
            for t in range(life.first, last + 1):
                alive[t][owner] = alive[t].get(owner, 0) + edge.type.size
        self._alive = _largest(alive, [call.operator for call in program.calls])
        self.names = tuple(f"{RAM}@{t}" for t in self._alive)
        self._running = {t: program.calls[t].operator for t in self._alive}

    def taken(self, op: str, way: Way, working: float) -> Amounts:
        """Bytes at each point: of the operator's output while it is alive, and what its own calls need."""
        size = formats.get(way.stores).bytes
        found = {f"{RAM}@{t}": float(size * alive[op]) for t, alive in self._alive.items() if op in alive}
        for t, running in self._running.items():
            if running == op and working:
                found[f"{RAM}@{t}"] = found.get(f"{RAM}@{t}", 0.0) + working
        return found

    def copied(self, size: int, readers: Iterable[str]) -> Amounts:
        """Bytes of a converted copy while its readers run."""
        return {f"{RAM}@{t}": float(size) for t, running in self._running.items() if running in set(readers)}


def _owner(pricer: _Pricer, program: Program, name: str) -> str:
    """The operator whose format a buffer has: the one that computes it."""
    if name in pricer._graph.types:
        return pricer.source(name)
    return next(c.operator for c in program.calls if any(program.edges[e].root == name for e in c.writes))


def _largest(alive: Sequence[Mapping[str, int]], running: Sequence[str]) -> dict[int, Mapping[str, int]]:
    """Calls whose buffers are not all alive, as large, during another call of the same operator or while none runs."""

    def within(a: int, b: int) -> bool:
        return running[a] == running[b] and all(alive[b].get(k, 0) >= v for k, v in alive[a].items())

    kept: dict[int, Mapping[str, int]] = {}
    for t in range(len(alive)):
        if not any(within(t, other) for other in kept):
            kept = {other: alive[other] for other in kept if not within(other, t)}
            kept[t] = alive[t]
    return kept
