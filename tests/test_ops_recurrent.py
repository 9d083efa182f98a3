"""Recurrent layers beyond the sweep over samples: attributes against onnxruntime, saturation, states, accuracy."""

from __future__ import annotations

import itertools
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mcu_quant import fixed, frontend, ops
from mcu_quant.calibrate import calibrate
from mcu_quant.data import Clip, Clips
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.interpret import Stream, execute
from mcu_quant.ir import Array, Graph, Operator, State, StatePiece, TensorType
from mcu_quant.lower import lower
from mcu_quant.ops.common import gates, recurrent
from mcu_quant.ops.lstm import cell_bits
from mcu_quant.passes import optimise
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Program, Purpose, Role
from tests import helpers

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
INTEGERS = (("s8", None), ("s16", None), ("s16", "s16"))
FORMATS = (("f32", None), ("f16", None), *INTEGERS)


@dataclass(frozen=True, eq=False)
class Layer:
    """One recurrent layer as a canonical graph and as an ONNX model."""

    graph: Graph
    model: onnx.ModelProto

    @property
    def op(self) -> Operator:
        return next(o for o in self.graph.operators if o.op in GATES)

    def frames(self, count: int, gain: float = 1.0) -> list[dict[str, Array]]:
        random = np.random.default_rng(7)
        shapes = {n: self.graph.shape(n) for n in self.graph.inputs}
        return [
            {n: (random.uniform(-1, 1, s) * (gain if n == "X" else 0.9)).astype(np.float32) for n, s in shapes.items()}
            for _ in range(count)
        ]

    def onnxruntime(self, frame: Mapping[str, Array]) -> dict[str, Array]:
        session = onnxruntime.InferenceSession(self.model.SerializeToString(), providers=["CPUExecutionProvider"])
        return dict(zip(self.graph.outputs, session.run(None, dict(frame)), strict=True))


def layer(
    kind: str,
    sizes: tuple[int, int, int, int],
    *,
    bias: bool = True,
    lengths: Sequence[int] | None = None,
    initial: str = "input",
    peepholes: bool = False,
    outputs: Sequence[str] = ("Y", "Y_h", "Y_c"),
    seed: int = 0,
    **attributes: Any,
) -> Layer:
    """A layer of steps, batch, inputs, units; `initial` states are an input, a constant, zero, or absent."""
    steps, batch, inputs, units = sizes
    n, g, first = 2 if attributes.get("direction") == "bidirectional" else 1, GATES[kind], attributes.get("layout", 0)
    random = np.random.default_rng(seed)

    def normal(*shape: int, std: float) -> Array:
        return random.normal(0.0, std, shape).astype(np.float32)

    state = (batch, n, units) if first else (n, batch, units)
    x = (batch, steps, inputs) if first else (steps, batch, inputs)
    shapes = {"X": x, "Y": (batch, steps, n, units) if first else (steps, *state), "Y_h": state, "Y_c": state}
    constants = {"W": normal(n, g * units, inputs, std=1.5 / inputs**0.5), "R": normal(n, g * units, units, std=0.5)}
    if bias:
        constants["B"] = normal(n, 2 * g * units, std=0.3)
    if lengths is not None:
        constants["lengths"] = np.array(lengths, np.int32)
    names = ["X", "W", "R", "B" if bias else "", "lengths" if lengths is not None else ""]
    for name in ("h0", "c0")[: 2 if kind == "LSTM" else 1]:
        names.append(name if initial else "")
        shapes[name] = state
        if initial in ("constant", "zero"):
            constants[name] = np.zeros(state, np.float32) if initial == "zero" else normal(*state, std=0.5)
    if peepholes:
        constants["P"] = normal(n, 3 * units, std=0.3)
        names.append("P")
    while not names[-1]:
        names.pop()
    given_ = [i for i in names if i in shapes and i not in constants]
    made = [o if o in outputs else "" for o in ("Y", "Y_h", "Y_c")[: 3 if kind == "LSTM" else 2]]
    attributes = {"hidden_size": units, **attributes}

    def info(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name])

    proto = helper.make_graph(
        [helper.make_node(kind, names, made, "layer", **attributes)],
        "g",
        [info(i) for i in given_],
        [info(o) for o in made if o],
        [numpy_helper.from_array(a, i) for i, a in constants.items()],
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    types = {i: TensorType(tuple(a.shape), str(a.dtype)) for i, a in constants.items()}
    types |= {i: TensorType(shapes[i]) for i in (*given_, *(o for o in made if o))}
    raw = Operator("layer", kind, tuple(names), tuple(made), attributes)
    graph = Graph("g", tuple(given_), tuple(o for o in made if o), (raw,), types, constants)
    canonical = ops.by_onnx()[kind].canonicalise(raw, ops.NodeContext(graph, 14))
    graph = replace(
        graph,
        operators=canonical.operators,
        types={**types, **canonical.types},
        constants={**constants, **canonical.constants},
    )
    return Layer(graph, model)


def plan(one: Layer, fmt: str, weights: str | None, frames: Sequence[Mapping[str, Array]]) -> PrecisionPlan:
    ranges = helpers.ranges(one.graph, frames)
    return PrecisionPlan("g", "test", {"layer": OperatorPlan(fmt, weights=weights)}, ranges)


def run(program: Program, frames: Sequence[Mapping[str, Array]]) -> list[list[Array]]:
    """Outputs of each frame; every integer call equals its specification."""
    session = ProgramSession(program, verify=True)
    results = [session.run(None, f) for f in frames]
    assert session.mismatches == []
    return results


def snr_db(want: Array, have: Array) -> float:
    error = ((np.asarray(want, np.float64) - have) ** 2).sum()
    return float(10 * np.log10((np.asarray(want, np.float64) ** 2).sum() / max(error, 1e-30)))


# --- the meaning: float reference against onnxruntime ----------------------------------------------------------------


def variants(kind: str) -> Iterator[dict[str, Any]]:
    own = {"LSTM": "input_forget", "GRU": "linear_before_reset"}.get(kind)
    for direction, batch, short, clip, extra, initial in itertools.product(
        ("forward", "reverse", "bidirectional"), (1, 3), (False, True), (None, 0.5), (0, 1), ("input", "", "zero")
    ):
        if extra and own is None:
            continue
        found: dict[str, Any] = {"direction": direction, "initial": initial, "bias": initial != "zero"}
        found |= {"clip": clip} if clip else {}
        found |= {own: extra} if own else {}
        found |= {"lengths": [max(1, 4 - i) for i in range(batch)]} if short else {}
        found |= {"peepholes": True} if kind == "LSTM" and batch == 3 else {}
        yield {"batch": batch, **found}


@pytest.mark.parametrize("kind", GATES)
def test_reference_over_all_attributes(kind: str) -> None:
    for seed, variant in enumerate(variants(kind)):
        batch = variant.pop("batch")
        one = layer(kind, (4, batch, 3, 5), seed=seed, **variant)
        (frame,) = one.frames(1, gain=2.0)
        values = execute(one.graph, frame)
        for name, want in one.onnxruntime(frame).items():
            np.testing.assert_allclose(values[name], want, atol=2e-6, err_msg=f"{kind} {variant} {name}")


ACTIVATIONS: dict[str, tuple[list[float], list[float]]] = {
    "Affine": ([0.4], [0.1]),
    "Elu": ([0.7], []),
    "HardSigmoid": ([0.3], [0.4]),
    "LeakyRelu": ([0.2], []),
    "Relu": ([], []),
    "ScaledTanh": ([0.8], [0.6]),
    "Sigmoid": ([], []),
    "Softplus": ([], []),
    "Softsign": ([], []),
    "Tanh": ([], []),
    "ThresholdedRelu": ([0.1], []),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("kind", GATES)
def test_every_activation_function(kind: str, name: str) -> None:
    """The function under test takes its parameters from the lists after one that takes both."""
    alpha, beta = ACTIVATIONS[name]
    functions = {"LSTM": ["HardSigmoid", name, "Tanh"], "GRU": ["HardSigmoid", name], "RNN": [name]}[kind]
    before = ([], []) if kind == "RNN" else ([0.25], [0.45])
    attributes = {"activations": functions, "activation_alpha": before[0] + alpha, "activation_beta": before[1] + beta}
    attributes = {k: v for k, v in attributes.items() if v}
    one = layer(kind, (3, 1, 4, 5), **attributes)
    frames = one.frames(2)
    for fmt, bound in (("f32", 100.0), ("f16", 50.0)):
        results = run(lower(one.graph, plan(one, fmt, None, frames)), frames)
        for frame, result in zip(frames, results, strict=True):
            for want, have in zip(one.onnxruntime(frame).values(), result, strict=True):
                assert snr_db(want, have) >= bound


def test_directions_may_have_different_functions() -> None:
    one = layer(
        "GRU", (3, 2, 4, 5), direction="bidirectional", activations=["Sigmoid", "Tanh", "HardSigmoid", "Softsign"]
    )
    frames = one.frames(2)
    results = run(lower(one.graph, plan(one, "f32", None, frames)), frames)
    assert snr_db(one.onnxruntime(frames[0])["Y"], results[0][0]) > 100


def test_functions_without_parameters_get_onnx_defaults() -> None:
    one = layer("GRU", (2, 1, 3, 4), activations=["sigmoid", "leakyrelu"])
    assert one.op.attributes["activations"] == ("Sigmoid", "LeakyRelu")
    assert one.op.attributes["activation_alpha"] == (0.0, 0.01)
    (frame,) = one.frames(1)
    np.testing.assert_allclose(execute(one.graph, frame)["Y"], one.onnxruntime(frame)["Y"], atol=2e-6)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("kind", GATES)
def test_batch_first_is_the_same_layer(kind: str, direction: str, batch: int) -> None:
    """onnxruntime does not compute `layout` 1 on the CPU: compare with `layout` 0 on transposed arrays."""
    sizes = (3, batch, 4, 5)
    one = layer(kind, sizes, layout=1, direction=direction)
    zero = layer(kind, sizes, direction=direction)
    (frame,) = one.frames(1)
    want = zero.onnxruntime({n: a.transpose(1, 0, 2) for n, a in frame.items()})
    perms = {"Y": (2, 0, 1, 3), "Y_h": (1, 0, 2), "Y_c": (1, 0, 2)}
    values = execute(one.graph, frame)
    for name, array in want.items():
        np.testing.assert_allclose(values[name], array.transpose(perms[name]), atol=2e-6, err_msg=name)
    if batch == 1:
        assert not [o for o in one.graph.operators if o.op == "Transpose" and direction == "forward"]


def test_what_says_nothing_is_absent() -> None:
    one = layer("LSTM", (3, 2, 4, 5), lengths=[3, 3], initial="zero")
    assert one.op.inputs == ("X", "W", "R", "B", "", "", "", "")


# --- what is refused -------------------------------------------------------------------------------------------------


def wrong(one: Layer, graph: Graph | None = None) -> list[str]:
    found = [c(one.op, graph or one.graph) for c in ops.spec(one.op).constraints]
    return [w for w in found if w]


def test_weights_and_lengths_are_constants() -> None:
    one = layer("LSTM", (3, 2, 4, 5), lengths=[3, 2])
    assert wrong(one) == []
    constants = {n: a for n, a in one.graph.constants.items() if n not in ("R", "lengths")}
    problems = wrong(one, replace(one.graph, constants=constants))
    assert problems == ["R computed at run time", "lengths is known at run time only"]


def test_impossible_lengths_and_unknown_functions() -> None:
    assert wrong(layer("RNN", (3, 2, 4, 5), lengths=[0, 4])) == ["lengths [0, 4] of 3 steps"]
    assert wrong(layer("RNN", (3, 1, 4, 5), activations=["Cosine"])) == ["activation Cosine"]
    assert wrong(layer("GRU", (3, 1, 4, 5), activations=["Tanh"])) == ["1 activation functions instead of 2"]


def test_integers_refuse_with_a_reason() -> None:
    def reasons(one: Layer) -> set[str | None]:
        return {why for fmt, why in ops.spec(one.op).formats(one.op, one.graph).items() if fmt.startswith("s")}

    assert reasons(layer("LSTM", (1, 1, 3, 4))) == {None}
    peeping = layer("LSTM", (1, 1, 3, 4), peepholes=True)
    assert reasons(peeping) == {None}
    wide = {**peeping.graph.constants, "P": np.full((1, 12), 40.0, np.float32)}
    huge = replace(peeping, graph=replace(peeping.graph, constants=wide))
    assert reasons(huge) == {"a peephole weighs 32 or more"}
    assert reasons(layer("RNN", (1, 1, 3, 4), activations=["Relu"])) == {"activations Relu instead of Tanh"}


# --- integers --------------------------------------------------------------------------------------------------------


def test_tables_are_as_good_as_stated() -> None:
    x = np.arange(-32768, 32768)
    for name, bound in (("sigmoid", 1.7), ("tanh", 2.3)):
        real = x / 2.0 ** gates.TABLE_BITS[name]
        want = np.tanh(real) if name == "tanh" else 1 / (1 + np.exp(-real))
        have = fixed.lookup(x, gates.table(name))
        assert np.abs(have - 32768 * want).max() <= bound
        assert have.min() >= (0 if name == "sigmoid" else -32767)


def test_cell_range_covers_calibration_up_to_16() -> None:
    found = {m: cell_bits(m) for m in (0.0, 0.3, 1.0, 1.1, 8.0, 8.1, 16.0, 621.0)}
    assert found == {0.0: 0, 0.3: 0, 1.0: 0, 1.1: 1, 8.0: 3, 8.1: 4, 16.0: 4, 621.0: 4}


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(tuple(GATES)),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    numerics=st.sampled_from(INTEGERS),
    direction=st.sampled_from(("forward", "reverse", "bidirectional")),
    extra=st.integers(0, 1),
    outputs=st.sampled_from((("Y",), ("Y_h",), ("Y", "Y_h", "Y_c"))),
    gain=st.sampled_from((1e-3, 1.0, 1e4)),
    covered=st.sampled_from((1e-2, 1.0, 30.0)),
    seed=st.integers(0, 99),
)
def test_integers_equal_their_specification(
    kind: str,
    sizes: tuple[int, int, int, int],
    numerics: tuple[str, str | None],
    direction: str,
    extra: int,
    outputs: tuple[str, ...],
    gain: float,
    covered: float,
    seed: int,
) -> None:
    """Also far outside of the calibrated ranges: everything saturates, nothing wraps, on both sides alike."""
    own = {
        "LSTM": {"input_forget": extra, "peepholes": seed % 2 == 0},
        "GRU": {"linear_before_reset": extra},
        "RNN": {},
    }[kind]
    lengths = [1 + (i + seed) % sizes[0] for i in range(sizes[1])] if seed % 3 == 0 else None
    one = layer(kind, sizes, direction=direction, outputs=outputs, lengths=lengths, seed=seed, **own)
    names = [*one.graph.types, "layer:cell"]
    ranges = {n: Range(-covered, covered) for n in names}
    chosen = PrecisionPlan("g", "test", {"layer": OperatorPlan(numerics[0], weights=numerics[1])}, ranges)
    run(lower(one.graph, chosen), one.frames(3, gain))


@pytest.mark.parametrize("numerics", INTEGERS)
def test_cell_state_saturates(numerics: tuple[str, str | None]) -> None:
    """Gates wide open: c grows by 1 each frame, stops at the end of its range, and h stays near tanh of it."""
    one = layer("LSTM", (1, 1, 1, 1), bias=True)
    units = {"W": np.zeros((1, 4, 1)), "R": np.zeros((1, 4, 1)), "B": np.full((1, 8), 10.0)}
    constants = {**one.graph.constants, **{n: a.astype(np.float32) for n, a in units.items()}}
    graph = stateful(replace(one.graph, constants=constants))
    ranges = {n: Range(-1.0, 1.0) for n in graph.types} | {"layer:cell": Range(-621.0, 621.0)}
    program = lower(
        graph, PrecisionPlan("g", "test", {"layer": OperatorPlan(numerics[0], weights=numerics[1])}, ranges)
    )
    session = ProgramSession(program, verify=True)
    for _ in range(40):
        session.run(None, {"X": np.ones((1, 1, 1), np.float32)})
    assert session.mismatches == []
    assert 15.9 < session.tap("Y_c").item() < 16.0
    assert session.tap("Y_h").item() > 0.99


# --- states ----------------------------------------------------------------------------------------------------------


def stateful(graph: Graph) -> Graph:
    """The layer as it streams: initial states are the final ones of the frame before."""
    pairs = [(i, o) for i, o in (("h0", "Y_h"), ("c0", "Y_c")) if i in graph.inputs]

    def state(i: str, o: str) -> State:
        shape = graph.shape(i)
        zeros = np.zeros(shape, np.float32)
        return State(i, o, graph.types[i], zeros, (StatePiece(i, o, np.arange(zeros.size).reshape(shape)),))

    return replace(graph, inputs=("X",), outputs=("Y",), states=tuple(state(*p) for p in pairs))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("numerics", FORMATS)
@pytest.mark.parametrize("kind", GATES)
def test_states_are_updated_in_place(kind: str, numerics: tuple[str, str | None], steps: int) -> None:
    one = layer(kind, (steps, 1, 6, 8), direction="forward")
    graph = stateful(one.graph)
    frames = [{"X": f["X"]} for f in one.frames(20)]
    ranges = helpers.ranges(graph, frames)
    program = lower(
        graph, PrecisionPlan("g", "test", {"layer": OperatorPlan(numerics[0], weights=numerics[1])}, ranges)
    )
    assert [c.purpose for c in program.calls].count(Purpose.COMPUTE) == 1
    kept = {program.edges[e].root for c in program.calls for e in c.writes if program.edges[e].role is Role.STATE}
    assert kept == {s.edge for s in program.states}
    moved = [c for c in program.calls if c.purpose is not Purpose.COMPUTE and kept & set(c.writes)]
    assert moved == []
    if steps == 1 and not (kind == "GRU" and numerics[0] == "s8"):
        assert program.edges["Y"].root in kept, "one step makes Y a view of the state"
    stream = Stream(graph)
    want = np.array([stream.run(f)["Y"] for f in frames])
    bound = {"f32": 110.0, "f16": 55.0, "s16": 38.0, "s8": 28.0}[numerics[0]]
    assert snr_db(want, np.array([r[0] for r in run(program, frames)])) >= bound


def test_an_output_format_leaves_the_states_alone() -> None:
    """A cell state that went through half precision each frame would lose what 16-bit integers keep."""
    graph = stateful(layer("LSTM", (1, 1, 6, 8)).graph)
    ranges = {n: Range(-1.0, 1.0) for n in (*graph.types, "layer:cell")}
    chosen = PrecisionPlan("g", "test", {"layer": OperatorPlan("s8", output="f16")}, ranges)
    program = lower(graph, chosen)
    assert {program.edges[s.edge].type.format for s in program.states} == {"s8", "s16"}
    assert program.edges["Y"].type.format == "f16"
    assert [c.kernel for c in program.calls if {"h0", "c0"} & {program.edges[e].root for e in c.writes}] == [
        "mq_lstm_s16_s8"
    ]


@pytest.mark.parametrize("kind", GATES)
def test_what_is_stored_in_8_bits_is_read_in_8_bits(kind: str) -> None:
    first, second = layer(kind, (2, 1, 6, 8), outputs=("Y",)), layer(kind, (2, 1, 8, 8), outputs=("Y",), seed=1)
    a, b = first.op, second.op
    constants = {**first.graph.constants, **{f"{n}2": v for n, v in second.graph.constants.items()}}
    shape = (2, 1, 1, 8)
    graph = Graph(
        "g",
        ("X",),
        ("Y2",),
        (
            replace(a, inputs=(*a.inputs[:4], *[""] * (len(a.inputs) - 4))),
            Operator("flat", "Reshape", ("Y",), ("X2",), {"shape": (2, 1, 8)}),
            replace(b, name="layer2", inputs=("X2", "W2", "R2", "B2", *[""] * (len(b.inputs) - 4)), outputs=("Y2",)),
        ),
        {n: TensorType(s) for n, s in {"X": (2, 1, 6), "Y": shape, "X2": (2, 1, 8), "Y2": shape}.items()}
        | {n: TensorType(tuple(v.shape)) for n, v in constants.items()},
        constants,
    )
    frames = [{"X": f["X"]} for f in first.frames(10)]
    lines = {n: OperatorPlan("s8") for n in ("layer", "layer2")}
    program = lower(graph, PrecisionPlan("g", "test", lines, helpers.ranges(graph, frames)))
    name = f"mq_{kind.lower()}"
    assert [c.kernel for c in program.calls if c.kernel.startswith(name)] == [f"{name}_s16_s8", f"{name}_s8"]
    want = np.array([execute(graph, f)["Y2"] for f in frames])
    assert snr_db(want, np.array([r[0] for r in run(program, frames)])) >= 28


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_error_does_not_grow_with_time(kind: str) -> None:
    graph = stateful(layer(kind, (1, 1, 16, 32)).graph)
    random = np.random.default_rng(3)
    frames = [{"X": random.normal(0, 1, (1, 1, 16)).astype(np.float32)} for _ in range(1000)]
    line = {"layer": OperatorPlan("s8")}
    program = lower(graph, PrecisionPlan("g", "test", line, helpers.ranges(graph, frames[:300])))
    session, stream = ProgramSession(program), Stream(graph)
    error = [((session.run(None, f)[0] - stream.run(f)["Y"]) ** 2).sum() for f in frames]
    assert sum(error[800:]) <= 1.5 * sum(error[:200])


# --- a real model ----------------------------------------------------------------------------------------------------


def magnitudes(path: Path) -> list[dict[str, Array]]:
    """The inputs of DTLN's first stage: magnitudes of 512 samples every 128."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    blocks = np.lib.stride_tricks.sliding_window_view(samples, 512)[::128]
    return [{"input_2": m.reshape(1, 1, 257)} for m in np.abs(np.fft.rfft(blocks)).astype(np.float32)]


@pytest.fixture(scope="module")
def dtln(shared: Path) -> tuple[Graph, dict[str, Range]]:
    graph = optimise(frontend.load(shared / "models" / "dtln_stage1.onnx").graph)
    clips = [(p.stem, magnitudes(p)) for p in sorted((shared / "audio" / "calibration").glob("*.wav"))]
    data = Clips(tuple(Clip(name, len(c), lambda c=c: iter(c)) for name, c in clips), "calibration")
    return graph, dict(calibrate(graph, data).ranges())


@pytest.mark.parametrize(
    ("fmt", "weights", "bound"), [("f32", None, 110), ("f16", None, 50), ("s8", None, 25), ("s16", "s16", 40)]
)
def test_masks_of_a_real_denoiser(
    dtln: tuple[Graph, dict[str, Range]], shared: Path, fmt: str, weights: str | None, bound: float
) -> None:
    """300 frames with the state carried: bit-exact, states in place, and near the float model."""
    graph, ranges = dtln
    rest = fmt if fmt.startswith("f") else "f16"
    lines = {
        o.name: OperatorPlan(fmt, weights=weights) if o.op == "LSTM" else OperatorPlan(rest) for o in graph.operators
    }
    program = lower(graph, PrecisionPlan("dtln", "test", lines, ranges))
    assert [c for c in program.calls if c.purpose is Purpose.COPY] == []
    frames = magnitudes(shared / "audio" / "valentini" / "noisy" / "p257_003.wav")[:300]
    session = onnxruntime.InferenceSession(
        str(shared / "models" / "dtln_stage1.onnx"), providers=["CPUExecutionProvider"]
    )
    state, want = np.zeros((1, 2, 128, 2), np.float32), []
    for frame in frames:
        mask, state = session.run(None, {**frame, "input_3": state})
        want.append(mask)
    assert snr_db(np.array(want), np.array([r[0] for r in run(program, frames)])) >= bound


def test_counts_are_those_of_the_shapes() -> None:
    one = layer("GRU", (5, 2, 6, 8), direction="bidirectional")
    program = lower(one.graph, plan(one, "f32", None, one.frames(1)))
    (call,) = (c for c in program.calls if c.kernel == "mq_gru_f32")
    counted = recurrent.counts(program, call)
    assert counted.macs == 5 * 2 * 2 * 3 * 8 * (6 + 8) == ops.spec("GRU").macs(one.op, one.graph)
    assert (counted.elements, counted.units) == (5 * 2 * 2 * 8, 3 * 5 * 2 * 2 * 8)


# --- states at the start ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("between", "fits"),
    [("Tanh", True), ("Reshape", True), ("Relu", False), ("LayerNormalization", False)],
)
def test_integers_keep_the_state_within_one(between, fits):
    """What a layer starts from is limited to 1 by its format: nothing else may come there."""
    attributes = {"Reshape": {"shape": (1, 1, 3)}, "LayerNormalization": {"axis": -1, "epsilon": 1e-5}}
    gru = {"direction": "forward", "hidden_size": 3, "activations": ("Sigmoid", "Tanh")}
    layer = Operator("layer", "GRU", ("x", "w", "r", "", "", "start"), ("", "after"), gru)
    makes = Operator("makes", between, ("before",), ("start",), attributes.get(between, {}))
    types = {n: TensorType((1, 1, 3)) for n in ("x", "before", "start", "after")}
    graph = Graph("test", ("x",), ("after",), (makes, layer), types, {})
    index = np.arange(3).reshape(1, 1, 3)
    state = State("before", "after", types["before"], np.zeros((1, 1, 3)), (StatePiece("before", "after", index),))
    assert (recurrent.starts_within_one(layer, replace(graph, states=(state,))) is None) == fits
