"""Pair the cache outputs of a streaming model with its cache inputs.

A pair has equal shapes and types. Rules, in order; each input and each output is used once, and what a rule cannot
decide uniquely it leaves to the next:

1. The user names the pair.
2. Names: both are equal once the words for "before" and "after" are taken out (`h_in`/`h_out`, `state`/`stateN`,
   `past_x`/`present_x`, `h0`/`hn`), and they speak of a state: they hold a word for one, or of "next", "new", "past".
   `audio_in`/`audio_out` do not.
3. Recurrence: every use of the input is the initial state of a recurrent operator, and the same elements of the output
   are the final state of that operator.
4. Shift register: the output holds elements of the input, all moved towards the front by the same distance.
5. Position: names on both sides hold a word for a state, or the input's holds one that means nothing else and no
   output's does, and there are as many such inputs of this shape as outputs; they pair in order.

An input and an output of equal shape are not enough: that is what a mask or a spectrum looks like too. What looks like
a running average, but has no name that speaks of a state, is noted: mixing with the input looks the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mcu_quant import trace
from mcu_quant.diagnostics import Diagnostic, did_you_mean, raise_errors
from mcu_quant.interpret import execute
from mcu_quant.ir import Array, Graph, Operator, State, StatePiece
from mcu_quant.passes import optimise
from mcu_quant.passes.recurrent import RECURRENT

_CERTAIN_WORDS = frozenset(("state", "states", "hidden", "cache", "caches", "carry", "history"))
_RECURRENT_WORDS = frozenset(("rnn", "lstm", "gru", "cell", "h", "c", "hx", "cx"))
_MEMORY_WORDS = frozenset(("mem", "memory", "buffer", "buf", "hist", "ctx", "context", "ring", "fifo", "kv"))
#: Words that speak of a state, if the name on the other side agrees.
_STATE_WORDS = _CERTAIN_WORDS | _RECURRENT_WORDS | _MEMORY_WORDS
#: Words that say before or after, and speak of a state by themselves ...
_TIME_WORDS = frozenset(("new", "next", "prev", "previous", "past", "present", "old", "last", "updated"))
#: ... and words that a state's name may hold, as any other input's or output's.
_SIDE_WORDS = frozenset(("in", "out", "input", "output", "inputs", "outputs", "n", "cur", "current"))
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_INITIAL = re.compile(r"^([hc])(0|n|x)$")


@dataclass(frozen=True)
class Pairing:
    """A cache input, the output that becomes its next value, and the rule that says so."""

    input: str
    output: str
    rule: str

    def __str__(self) -> str:
        return f"{self.input} <- {self.output} ({self.rule})"


@dataclass(frozen=True, eq=False)
class Paired:
    """The graph with its states taken out of inputs and outputs."""

    graph: Graph
    pairings: tuple[Pairing, ...]
    notes: tuple[str, ...]


def pair(graph: Graph, asked: Sequence[tuple[str, str]] = ()) -> Paired:
    """Turn cache inputs and outputs into states of one piece each, zero at the start.

    Args:
        asked: Pairs (output, input) that the user names.

    Raises:
        DiagnosticError: MQ109, for every pair the user named wrongly.
    """
    raise_errors(list(_wrong(graph, asked)))
    found = [Pairing(i, o, "as asked") for o, i in asked]  # rule 1
    evidence = optimise(graph)
    rules: tuple[tuple[str, Callable[[Graph, str, str], bool]], ...] = (
        ("names", _names_match),  # rule 2
        ("recurrence", _recurs),  # rule 3
        ("shift register", _shifts),  # rule 4
    )
    for rule, holds in rules:
        found += _unique_pairs(evidence, found, rule, holds)
    found += _in_position(graph, found)  # rule 5
    order = {name: k for k, name in enumerate(graph.inputs)}
    found.sort(key=lambda p: order[p.input])
    return Paired(with_states(graph, found), tuple(found), tuple(_lonely(graph, found)))


def _wrong(graph: Graph, asked: Sequence[tuple[str, str]]) -> Iterator[Diagnostic]:
    for output, input_ in asked:
        where = f"{output}:{input_}"
        known = True
        for name, kind, names in ((output, "output", graph.outputs), (input_, "input", graph.inputs)):
            if name not in names:
                yield Diagnostic("MQ109", where, f"the model has no {kind} {name!r}", help=did_you_mean(name, names))
                known = False
            elif sum(name in p for p in asked) > 1:
                yield Diagnostic("MQ109", where, f"{name!r} is named in two pairs", help="name each only once")
        if known and graph.types[output] != graph.types[input_]:
            message = f"{output!r} is {graph.types[output]}, but {input_!r} is {graph.types[input_]}"
            yield Diagnostic("MQ109", where, message, help="a state has the same shape before and after a frame")


def _open(graph: Graph, found: Sequence[Pairing]) -> tuple[list[str], list[str]]:
    """Inputs and outputs that no pair uses yet."""
    used = {p.input for p in found} | {p.output for p in found}
    return [i for i in graph.inputs if i not in used], [o for o in graph.outputs if o not in used]


def _unique_pairs(
    graph: Graph, found: Sequence[Pairing], rule: str, holds: Callable[[Graph, str, str], bool]
) -> Iterator[Pairing]:
    inputs, outputs = _open(graph, found)
    fits = {i: [o for o in outputs if graph.types[i] == graph.types[o] and holds(graph, i, o)] for i in inputs}
    if holds is _recurs:
        # outputs that hold the same final state are equally right: the one that says so, else the last
        fits = {i: sorted(o, key=speaks_of_state)[-1:] for i, o in fits.items()}
    for i, (first, *others) in ((i, o) for i, o in fits.items() if o):
        if not others and sum(first in o for o in fits.values()) == 1:
            yield Pairing(i, first, rule)


# --- rule 2 --------------------------------------------------------------------------------------------------------


def _words(name: str) -> list[str]:
    """`h_out` -> h, out; `stateN` -> state, n; `hn.1` -> h, n, 1."""
    words: list[str] = []
    for part in re.split(r"[^0-9A-Za-z]+", name):
        initial = _INITIAL.match(part)
        words += initial.groups() if initial else [w.lower() for w in _WORD.findall(part)]
    return words


def _stem(name: str) -> list[str]:
    """What is left of a name without the words for before and after; `h0` and `hn` both leave h."""
    words = _words(name)
    if len(words) > 1 and words[0] in ("h", "c") and words[1] in ("0", "n", "x"):
        words.pop(1)
    return [w for w in words if w not in _TIME_WORDS and w not in _SIDE_WORDS]


def speaks_of_state(name: str, words: frozenset[str] = _STATE_WORDS) -> bool:
    """Does a name hold a word for a state?"""
    return not words.isdisjoint(_words(name))


def of_one_name(input_: str, output: str) -> bool:
    """Are two names the same but for words for before and after?"""
    return bool(_stem(input_)) and _stem(input_) == _stem(output)


def _names_match(graph: Graph, input_: str, output: str) -> bool:
    if not of_one_name(input_, output):
        return False
    said = {*_words(input_), *_words(output)}
    return not said.isdisjoint(_STATE_WORDS | _TIME_WORDS)


# --- rules 3 and 4 -------------------------------------------------------------------------------------------------


def _recurs(graph: Graph, input_: str, output: str) -> bool:
    pieces = trace.forward(graph, input_)
    arrives = trace.backward(graph, output)

    def kept(edge: str, op: Operator | None) -> bool:
        if op is None or op.op not in RECURRENT:
            return False
        finals = _final_states(graph, op.inputs.index(edge), op, arrives)
        return any(trace.same_order(pieces[edge], arrives[e]) for e in finals)

    uses = trace.uses(graph, pieces, output)
    return bool(uses) and all(kept(edge, op) for edge, op in uses)


def _final_states(graph: Graph, slot: int, op: Operator, arrives: dict[str, Array]) -> list[str]:
    """Outputs that hold the final state which an initial state (input 5 or 6) of a recurrent operator becomes."""
    edges = {5: (op.output(1), op.output(0)), 6: (op.output(2),)}.get(slot, ())
    return [e for e in edges if e and e in arrives and graph.types[e].size == graph.types[op.input(slot)].size]


def _shifts(graph: Graph, input_: str, output: str) -> bool:
    goes = trace.backward(graph, output).get(input_)
    if goes is None or not (goes >= 0).any():
        return False
    target = np.ravel(goes)
    moved = np.arange(target.size)[target >= 0] - target[target >= 0]
    return bool((moved == moved[0]).all() and moved[0] > 0)


# --- rule 5 --------------------------------------------------------------------------------------------------------


def _in_position(graph: Graph, found: Sequence[Pairing]) -> Iterator[Pairing]:
    inputs, outputs = _open(graph, found)
    for type_ in dict.fromkeys(graph.types[i] for i in inputs):
        same = [o for o in outputs if graph.types[o] == type_]
        theirs = [o for o in same if speaks_of_state(o)]
        ours = [i for i in inputs if graph.types[i] == type_ and speaks_of_state(i)]
        if not theirs:
            theirs, ours = same, [i for i in ours if speaks_of_state(i, _CERTAIN_WORDS)]
        if ours and len(ours) == len(theirs):
            yield from (Pairing(i, o, "position") for i, o in zip(ours, theirs, strict=True))


# --- the result ----------------------------------------------------------------------------------------------------


def with_states(graph: Graph, pairings: Sequence[Pairing]) -> Graph:
    """Turn the inputs and outputs of these pairs into states of one piece each, zero at the start."""
    states = []
    for p in pairings:
        type_ = graph.types[p.input]
        index = np.arange(type_.size).reshape(type_.shape)
        piece = StatePiece(p.input, p.output, index)
        states.append(State(p.input, p.output, type_, np.zeros(type_.shape, type_.dtype), (piece,)))
    paired = {p.input for p in pairings} | {p.output for p in pairings}
    return replace(
        graph,
        inputs=tuple(i for i in graph.inputs if i not in paired),
        outputs=tuple(o for o in graph.outputs if o not in paired),
        states=tuple(states),
    )


def _lonely(graph: Graph, pairings: Sequence[Pairing]) -> Iterator[str]:
    inputs, outputs = _open(graph, pairings)
    for name in inputs:
        same = [o for o in outputs if graph.types[o] == graph.types[name]]
        said = speaks_of_state(name) or f"{name}n" in same  # q and qn, as in formulas of recurrent cells
        if same and (
            said or _stands_apart(graph, name, inputs, outputs) or any(_averages(graph, name, o) for o in same)
        ):
            yield f"input {name!r} may be a state: pair it with --state OUTPUT:{name} (of its shape: {', '.join(same)})"


def _stands_apart(graph: Graph, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> bool:
    """Is an input whose name says nothing (`input_4`) the only one of its shape, beside others, as is one output?"""
    alike = [[e for e in edges if graph.types[e] == graph.types[name]] for edges in (inputs, outputs)]
    others = min(len(inputs), len(outputs)) > 1
    return others and list(map(len, alike)) == [1, 1] and all(word.isdigit() for word in _stem(name))


def _averages(graph: Graph, input_: str, output: str) -> bool:
    """Is each element of the output the input's times a number between 0 and 1, plus what other inputs bring?"""
    if _stem(input_) != _stem(output) or not _stem(input_) or not graph.types[input_].is_real:
        return False
    random = np.random.default_rng(0)
    slopes, rests = [], []
    for _ in range(2):
        feeds = {n: _drawn(random, graph, n) for n in graph.inputs}
        rest, one, two = (execute(graph, {**feeds, input_: feeds[input_] * k})[output] for k in (0, 1, 2))
        with np.errstate(all="ignore"):
            slopes.append((one - rest) / feeds[input_])
            slopes.append((two - rest) / feeds[input_] / 2)
        rests.append(rest)
    same = all(np.allclose(slope, slopes[0], rtol=1e-3, atol=1e-4) for slope in slopes)
    return same and bool(((slopes[0] > 0) & (slopes[0] < 1)).all()) and not np.allclose(rests[0], rests[1])


def _drawn(random: np.random.Generator, graph: Graph, name: str) -> Array:
    """Values of an input, none near zero."""
    type_ = graph.types[name]
    drawn = random.uniform(0.5, 1.5, type_.shape) * random.choice([-1, 1], type_.shape)
    return np.asarray(drawn, type_.dtype)
