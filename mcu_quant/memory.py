"""Live ranges to offsets: one arena for everything that does not outlive a frame, one region for the state.

Buffers that are never live together share bytes; a kernel that may work in place gets its output over an input that
nobody reads again. `prove` executes the finished plan byte by byte and is independent of how the plan was found.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mcu_quant import ops
from mcu_quant.program import Access, Buffer, Call, CallLoop, Edge, Program, Role
from mcu_quant.regions import Region, tree

#: Offsets are multiples of this, so that word loads of packed 8-bit data are aligned.
ALIGNMENT_BYTES = 8


@dataclass(frozen=True)
class Lifetime:
    """Calls between which a buffer holds something: from the first that writes it to the last that touches it."""

    first: int
    last: int


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets in bytes, by buffer name: `offsets` in the arena, `state_offsets` in the state region.

    `lower_bound_bytes` is the largest sum of bytes live at one call: no plan for this order of calls can be smaller.
    """

    arena_bytes: int
    state_bytes: int
    lower_bound_bytes: int
    offsets: Mapping[str, int]
    state_offsets: Mapping[str, int]
    lifetimes: Mapping[str, Lifetime]
    #: buffers that took over the memory of another one, in place
    inplace: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in ("offsets", "state_offsets", "lifetimes", "inplace"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))


@dataclass(frozen=True)
class _Block:
    """Buffers that share one piece of memory because each continues the one before in place."""

    names: tuple[str, ...]
    bytes: int
    first: int
    last: int


def plan(program: Program) -> MemoryPlan:
    """Place every buffer of a program.

    Raises:
        AssertionError: if the plan found does not pass `prove`; nothing unproven is returned.
    """
    lifetimes = _lifetimes(program)
    heirs = _inplace(program, lifetimes)
    blocks = _blocks(program, lifetimes, heirs)
    bound = _lower_bound(blocks, len(program.calls))
    placed = _place(blocks, bound)
    offsets = {name: placed[b.names[0]] for b in blocks for name in b.names}
    state_offsets, state_bytes = _sequence((s.edge, program.edges[s.edge].type.bytes) for s in program.states)
    made = MemoryPlan(
        arena_bytes=max((placed[b.names[0]] + b.bytes for b in blocks), default=0),
        state_bytes=state_bytes,
        lower_bound_bytes=bound,
        offsets=offsets,
        state_offsets=state_offsets,
        lifetimes=lifetimes,
        inplace=heirs,
    )
    problems = prove(program, made)
    if problems:
        raise AssertionError("the memory plan is wrong:\n" + "\n".join(problems))
    return made


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _sequence(sizes: Iterable[tuple[str, int]]) -> tuple[dict[str, int], int]:
    offsets: dict[str, int] = {}
    end = 0
    for name, size in sizes:
        offsets[name] = end
        end += _aligned(size)
    return offsets, end


def _in_arena(program: Program, root: str) -> bool:
    return program.edges[root].role in (Role.ARENA, Role.SCRATCH)


def _lifetimes(program: Program) -> dict[str, Lifetime]:
    """Of each arena buffer; views count for the buffer they are part of.

    What a loop finds when it begins it finds at every step: it lives until the loop ends. So does what is put together
    step by step, from the loop's beginning on.
    """
    found: dict[str, Lifetime] = {}

    def touch(edge: str, call: int) -> None:
        root = program.edges[edge].root
        if _in_arena(program, root):
            known = found.get(root, Lifetime(call, call))
            found[root] = Lifetime(min(known.first, call), max(known.last, call))

    for i, call in enumerate(program.calls):
        for _, buffer in call.buffers():
            touch(buffer.edge, i)
    for loop in program.loops:
        for name in loop.edges:
            touch(name, loop.start)
    for loop in reversed(program.loops):  # those inside first
        for root in _kept(program, loop, found):
            found[root] = Lifetime(min(found[root].first, loop.start), max(found[root].last, loop.stop - 1))
    return found


def _kept(program: Program, loop: CallLoop, lifetimes: Mapping[str, Lifetime]) -> set[str]:
    """Buffers that a loop touches and that must hold their value from one of its steps to the next."""
    touched = {e for call in program.calls[loop.start : loop.stop] for _, b in call.buffers() for e in (b.edge,)}
    touched |= set(loop.edges)
    found = set()
    for edge in (program.edges[e] for e in touched):
        if edge.root in lifetimes:
            moves = any(name == loop.name for name, _ in edge.strides)
            if moves or lifetimes[edge.root].first < loop.start or edge.name in loop.edges:
                found.add(edge.root)
    return found


def _inplace(program: Program, lifetimes: Mapping[str, Lifetime]) -> dict[str, str]:
    """Which buffers may take over an input's memory: output -> input.

    Legal where the kernel allows the pair, both arguments are whole buffers of equal size, the call is the first to
    touch the output and the last to touch the input, no other argument of the call is part of either, and no loop needs
    the input at its next step.
    """
    heirs: dict[str, str] = {}
    taken: set[str] = {root for loop in program.loops for root in _kept(program, loop, lifetimes)}
    for i, call in enumerate(program.calls):
        for source, sink in ops.kernels()[call.kernel].inplace:
            pair = _whole_buffers(program, call, source, sink)
            if pair is None:
                continue
            old, new = pair
            if new in heirs or old in taken or lifetimes[old].last != i or lifetimes[new].first != i:
                continue
            if program.edges[old].type.bytes == program.edges[new].type.bytes:
                heirs[new] = old
                taken.add(old)
    return heirs


def _whole_buffers(program: Program, call: Call, source: str, sink: str) -> tuple[str, str] | None:
    buffers = dict(call.buffers())
    if source not in buffers or sink not in buffers:
        return None
    roots = [program.edges[b.edge].root for b in buffers.values()]
    a, b = program.edges[buffers[source].edge], program.edges[buffers[sink].edge]
    whole = all(e.type.bytes == program.edges[e.root].type.bytes for e in (a, b))
    if not whole or roots.count(a.root) != 1 or roots.count(b.root) != 1 or a.root == b.root:
        return None
    if not _in_arena(program, a.root) or not _in_arena(program, b.root):
        return None
    return a.root, b.root


def _blocks(program: Program, lifetimes: Mapping[str, Lifetime], heirs: Mapping[str, str]) -> list[_Block]:
    continued = set(heirs.values())
    blocks = []
    for name in lifetimes:
        if name in continued:
            continue
        chain = [name]
        while chain[0] in heirs:
            chain.insert(0, heirs[chain[0]])
        size = max(program.edges[n].type.bytes for n in chain)
        first = min(lifetimes[n].first for n in chain)
        blocks.append(_Block(tuple(chain), _aligned(size), first, max(lifetimes[n].last for n in chain)))
    return blocks


def _lower_bound(blocks: Sequence[_Block], calls: int) -> int:
    live = np.zeros(calls + 1, np.int64)
    for b in blocks:
        live[b.first : b.last + 1] += b.bytes
    return int(live.max(initial=0))


def _place(blocks: Sequence[_Block], bound: int) -> dict[str, int]:
    """Offsets by best of several greedy orders, then by a seeded local search while the bound is not reached."""
    orders = [
        sorted(blocks, key=lambda b: (-b.bytes, b.first)),
        sorted(blocks, key=lambda b: (-b.bytes * (b.last - b.first + 1), b.first)),
        sorted(blocks, key=lambda b: (b.first, -b.bytes)),
        sorted(blocks, key=lambda b: (-(b.last - b.first), -b.bytes)),
    ]
    best_size, best_order = min(((_greedy(o)[1], o) for o in orders), key=lambda p: p[0])
    chooser = random.Random(0)  # deterministic: the same program gets the same plan
    attempts = min(400, 20 * len(blocks)) if len(blocks) <= 400 else 0
    while best_size > bound and attempts:
        attempts -= 1
        order = list(best_order)
        i = chooser.randrange(len(order))
        order.insert(chooser.randrange(len(order)), order.pop(i))
        size = _greedy(order)[1]
        if size <= best_size:
            best_size, best_order = size, order
    return _greedy(best_order)[0]


def _greedy(order: Sequence[_Block]) -> tuple[dict[str, int], int]:
    """Each block at the lowest offset that is free for its whole life; returns offsets and the total."""
    placed: list[tuple[_Block, int]] = []
    end = 0
    for block in order:
        busy = sorted(
            (offset, offset + b.bytes) for b, offset in placed if b.first <= block.last and block.first <= b.last
        )
        at = 0
        for start, stop in busy:
            if start - at >= block.bytes:
                break
            at = max(at, stop)
        placed.append((block, at))
        end = max(end, at + block.bytes)
    return {b.names[0]: offset for b, offset in placed}, end


_NOBODY = -1


def prove(program: Program, memory: MemoryPlan) -> list[str]:
    """Execute the plan on bytes that remember who wrote them; list every read that finds somebody else's.

    Each byte of the arena has an owner, the buffer that wrote it last. A call may read only bytes its buffer owns, and
    may write over bytes that its own arguments still need only where the kernel allows it.
    """
    owners = np.full(memory.arena_bytes, _NOBODY, np.int64)
    number = {name: i for i, name in enumerate(program.edges)}
    problems: dict[str, None] = {}
    for i in _order(tree(len(program.calls), program.loops)):
        problems |= dict.fromkeys(_proven(program, memory, i, owners, number))
    return [*problems, *_region(program, memory)]


def _order(parts: Iterable[int | Region[CallLoop]]) -> Iterator[int | CallLoop]:
    """Calls as they are made, with loops where they begin a step; of each loop two steps, after which all are alike."""
    for part in parts:
        if isinstance(part, int):
            yield part
        else:
            for _ in range(2):
                yield part.loop
                yield from _order(part.body)


_Span = tuple[int, int, int, Access]


def _proven(
    program: Program, memory: MemoryPlan, at: int | CallLoop, owners: NDArray[np.int64], number: Mapping[str, int]
) -> list[str]:
    """What is wrong with one call, or with the beginning of a step; brings `owners` up to date."""
    if isinstance(at, int):
        call = program.calls[at]
        where, touched = f"call {at} {call.kernel} of {call.operator}", dict(call.buffers())
    else:
        where, touched = f"loop {at.name}", dict(_of_step(at))
    problems: list[str] = []
    spans: dict[str, _Span] = {}
    for name, buffer in touched.items():
        edge = program.edges[buffer.edge]
        if not _in_arena(program, edge.root):
            continue
        start, stop = _reach(program, memory, edge)
        if stop > memory.arena_bytes:
            problems.append(f"{where}: {edge.name} ends at {stop}, beyond the arena")
        spans[name] = (start, stop, number[edge.root], buffer.access)
    for name, (start, stop, owner, access) in spans.items():
        if access is not Access.WRITE and not (owners[start:stop] == owner).all():
            problems.append(f"{where}: {name} reads bytes that were overwritten")
    if isinstance(at, int):
        problems += _clashes(where, program.calls[at], spans)
    for start, stop, owner, access in spans.values():
        if access is not Access.READ:
            owners[start:stop] = owner
    return problems


def _of_step(loop: CallLoop) -> Iterator[tuple[str, Buffer]]:
    """What a loop itself reads and writes at the beginning of a step."""
    for what, edge in (("index", loop.index), ("condition", loop.condition), ("limit", loop.limit)):
        if edge:
            yield what, Buffer(edge, Access.WRITE if what == "index" else Access.READ)


def _reach(program: Program, memory: MemoryPlan, edge: Edge) -> tuple[int, int]:
    """Where an edge lies; one that moves with the steps of a loop counts as all of its buffer."""
    offset = memory.offsets[edge.root]
    if edge.strides:
        return offset, offset + program.edges[edge.root].type.bytes
    return offset + edge.offset_bytes, offset + edge.offset_bytes + edge.type.bytes


def _clashes(where: str, call: Call, spans: Mapping[str, _Span]) -> list[str]:
    """Arguments of one call that overlap without the kernel allowing it."""
    allowed = set(ops.kernels()[call.kernel].inplace)
    found = []
    for sink, (s0, s1, _, access) in spans.items():
        if access is Access.READ:
            continue
        for other, (o0, o1, _, _) in spans.items():
            if other != sink and s0 < o1 and o0 < s1 and (other, sink) not in allowed and (sink, other) not in allowed:
                found.append(f"{where}: {sink} overlaps {other}")
    return found


def _region(program: Program, memory: MemoryPlan) -> list[str]:
    """States lie apart from each other, inside their region."""
    spans = sorted(
        (memory.state_offsets[s.edge], memory.state_offsets[s.edge] + program.edges[s.edge].type.bytes, s.edge)
        for s in program.states
    )
    found = [f"states {a[2]} and {b[2]} overlap" for a, b in pairwise(spans) if a[1] > b[0]]
    if spans and spans[-1][1] > memory.state_bytes:
        found.append(f"state {spans[-1][2]} ends beyond the region")
    return found
