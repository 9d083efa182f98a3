"""What LSTM, GRU and RNN share: canonical form, activation functions, order of steps, state.

Canonical inputs are X, W, R, B, sequence_lens, initial_h and, of an LSTM, initial_c and P; outputs Y, Y_h and, of an
LSTM, Y_c; "" where absent. Sequences come first (`layout` 0); what is zero or says nothing is absent. Attributes:
direction, hidden_size, activations, activation_alpha, activation_beta (one per function, 0 where it takes none), clip
(infinite for none).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from mcu_quant import quantise
from mcu_quant.formats import QuantParams
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Canonical, Counts, NodeContext
from mcu_quant.ops.activation import FUNCTIONS, Function
from mcu_quant.ops.common import columns
from mcu_quant.program import Argument, Buffer, Call, Constant, EdgeType, FieldValue, Program, Struct, Symbol

# --- activation functions --------------------------------------------------------------------------------------------

#: Operators whose results are within 1: of recurrent layers Y and Y_h.
_WITHIN_ONE = (
    "LSTM",
    "GRU",
    "RNN",
    "Tanh",
    "Sigmoid",
    "HardSigmoid",
    "Softsign",
    "Softmax",
    "MaskedSoftmax",
    "Cos",
    "Sin",
)
#: Operators that move values, or leave them out.
_MOVES = (
    *("Reshape", "Transpose", "Slice", "Split", "Concat", "Gather", "ScatterND", "Where", "Expand"),
    *("LoopStart", "LoopResult", "LoopSlice", "LoopStack"),
)

#: Functions that ONNX has in recurrent layers only.
_OWN = {
    "Affine": Function("mq_fn_affine", lambda x, alpha, beta: alpha * x + beta, (("alpha", 1.0), ("beta", 0.0))),
    "ScaledTanh": Function(
        "mq_fn_scaled_tanh", lambda x, alpha, beta: alpha * np.tanh(beta * x), (("alpha", 1.0), ("beta", 1.0))
    ),
}

#: Every function that ONNX allows in a recurrent layer, by its name in lower case.
_NAMES = {
    name.lower(): name
    for name in (
        *("Affine", "Elu", "HardSigmoid", "LeakyRelu", "Relu", "ScaledTanh"),
        *("Sigmoid", "Softplus", "Softsign", "Tanh", "ThresholdedRelu"),
    )
}


def function(name: str) -> Function:
    """An activation function of a recurrent layer by its canonical name."""
    return _OWN.get(name) or FUNCTIONS[name]


@dataclass(frozen=True)
class Activation:
    """One activation function of one operator, with its parameters."""

    name: str
    parameters: tuple[float, ...]

    def bound(self) -> Callable[[Array], Array]:
        """The function of every element of an array of f32."""
        f, parameters = function(self.name).f, tuple(np.float32(p) for p in self.parameters)
        return (lambda x: f(x, *parameters)) if parameters else f


def activations(op: Operator, direction: int) -> tuple[Activation, ...]:
    """The functions of one direction, in ONNX's order: f, g, h."""
    a = op.attributes
    count = len(a["activations"]) // directions(op)
    found = []
    for k in range(direction * count, (direction + 1) * count):
        name = a["activations"][k]
        known = {"alpha": a["activation_alpha"][k], "beta": a["activation_beta"][k]}
        found.append(Activation(name, tuple(known[p] for p, _ in function(name).parameters)))
    return tuple(found)


def gate_functions(op: Operator) -> list[Callable[[Array], Array]]:
    """f, g, h of values [directions, batch, units]; where the operator clips, all but the h of an LSTM do."""
    clip = op.attributes["clip"]
    found = []
    for k, each in enumerate(zip(*(activations(op, d) for d in range(directions(op))), strict=True)):
        found.append(_gate_function(each, inf if k == 2 else clip))
    return found


def _gate_function(each: Sequence[Activation], clip: float) -> Callable[[Array], Array]:
    calls = [a.bound() for a in each]
    apply = calls[0] if len(set(each)) == 1 else _per_direction(calls)
    if clip == inf:
        return apply
    low, high = np.float32(-clip), np.float32(clip)
    return lambda v: apply(np.clip(v, low, high))


def _per_direction(calls: Sequence[Callable[[Array], Array]]) -> Callable[[Array], Array]:
    return lambda v: np.stack([f(x) for f, x in zip(calls, v, strict=True)])


def from_x(x: Array, w: Array, bias: Array | None) -> Array:
    """W x + b for all steps, [steps, directions, batch, rows]; bias is [directions, rows]."""
    sums = np.stack([x @ each.T for each in w], axis=1)
    return sums if bias is None else sums + bias[:, None]


def from_h(h: Array, r: Array) -> Array:
    """R h of all directions, [directions, batch, rows]; one product per direction, as that is what BLAS is fast at."""
    return np.stack([a @ b.T for a, b in zip(h, r, strict=True)])


def summed_bias(b: Array | None) -> Array | None:
    """The biases of W and R together, [directions, rows]."""
    if b is None:
        return None
    half = b.shape[1] // 2
    return b[:, :half] + b[:, half:]


def has_default_activations(op: Operator, graph: Graph) -> str | None:
    """None if all functions are those that ONNX has by default, else why integers cannot do it.

    HardSigmoid may take the place of all Sigmoids: it is another table.
    """
    default = _DEFAULT[op.op]
    functions = [activations(op, d) for d in range(directions(op))]
    first = functions[0]
    hard = tuple("Sigmoid" if a.name == "HardSigmoid" else a.name for a in first)
    if hard == default and all(each == first for each in functions):
        return None
    return f"activations {', '.join(op.attributes['activations'])} instead of {', '.join(default)}"


def starts_within_one(op: Operator, graph: Graph) -> str | None:
    """None if |h| <= 1 at the start: integers keep h in that range, as no step can leave it. Else what may be larger.

    What the caller of the model brings counts as a state from before.
    """
    makers, pending, seen = graph.producer(), [op.input(5)], {""}
    after = {p.input: p.output for s in graph.states for p in s.pieces}
    after |= {before: new for loop in graph.loops for before, new in loop.carried}
    while pending:
        name = pending.pop()
        maker = makers.get(name)
        if name in seen or (maker and maker.op in _WITHIN_ONE and name in maker.outputs[:2]):
            continue
        seen.add(name)
        if name in after:
            pending.append(after[name])
        if name in after and maker is None:
            continue
        if name in graph.constants and np.abs(graph.constants[name]).max(initial=0.0) > 1.0:
            return f"its initial state is beyond 1 ({name})"
        elif maker and maker.op not in _MOVES:
            return f"its initial state comes from {maker.name} ({maker.op}) and may be beyond 1"
        elif maker:
            pending += [i for i in maker.inputs if i and graph.types[i].is_real]
    return None


# --- canonical form --------------------------------------------------------------------------------------------------

_DEFAULT = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_INPUTS = {"LSTM": 8, "GRU": 6, "RNN": 6}
_OUTPUTS = {"LSTM": 3, "GRU": 2, "RNN": 2}


def canonicalise(op: Operator, node: NodeContext) -> Canonical:
    """All inputs, outputs and attributes explicit; `layout` 1 becomes transpositions around a `layout` 0."""
    inputs = [op.input(i) for i in range(_INPUTS[op.op])]
    inputs[4] = "" if _says_nothing(node.constant(inputs[4]), node.shape(inputs[0]), op) else inputs[4]
    for i in (3, 5, 6, 7):  # B, initial_h, initial_c, P
        value = node.constant(op.input(i))
        if value is not None and not value.any():
            inputs[i] = ""
    outputs = tuple(op.output(i) for i in range(_OUTPUTS[op.op]))
    made = Operator(op.name, op.op, tuple(inputs), outputs, _attributes(op, node))
    return _time_first(made, node) if op.attributes.get("layout", 0) else Canonical((made,))


def _says_nothing(lengths: Array | None, x_shape: Shape, op: Operator) -> bool:
    """Do the sequence lengths only say that all sequences are complete?"""
    return lengths is not None and bool((lengths == x_shape[1 if op.attributes.get("layout", 0) else 0]).all())


def _attributes(op: Operator, node: NodeContext) -> dict[str, Any]:
    given = op.attributes
    direction = _text(given.get("direction", "forward"))
    count = 2 if direction == "bidirectional" else 1
    names = [_text(n) for n in given.get("activations", ())] or list(_DEFAULT[op.op]) * count
    names = [_NAMES.get(n.lower(), n) for n in names]
    explicit: dict[str, Any] = {
        "direction": direction,
        "hidden_size": int(node.shape(op.inputs[2])[-1]),
        "activations": tuple(names),
        "activation_alpha": _consumed(names, "alpha", given.get("activation_alpha", ())),
        "activation_beta": _consumed(names, "beta", given.get("activation_beta", ())),
        "clip": float(given.get("clip", inf)),
    }
    for name in {"LSTM": ("input_forget",), "GRU": ("linear_before_reset",), "RNN": ()}[op.op]:
        explicit[name] = int(given.get(name, 0))
    return explicit


def onnx_parameters(op: Operator, parameter: str) -> list[float]:
    """The values of `alpha` or `beta` as ONNX lists them: those of functions that take the parameter."""
    named = zip(op.attributes["activations"], op.attributes[f"activation_{parameter}"], strict=True)
    return [value for name, value in named if parameter in dict(function(name).parameters)]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _consumed(names: Sequence[str], parameter: str, values: Sequence[float]) -> tuple[float, ...]:
    """ONNX's lists hold values for those functions only that take the parameter, in order."""
    left = list(values)
    result = []
    for name in names:
        known = dict(function(name).parameters) if name in _OWN or name in FUNCTIONS else {}
        result.append(float(left.pop(0) if left else known[parameter]) if parameter in known else 0.0)
    return tuple(result)


def _time_first(op: Operator, node: NodeContext) -> Canonical:
    """ONNX's `layout` 1: X [batch, steps, inputs], Y [batch, steps, directions, units], states with batch first, too.

    Where only axes of size 1 change places, the transposition is a view or nothing at all.
    """
    before: list[Operator] = []
    after: list[Operator] = []
    constants: dict[str, Array] = {}
    types: dict[str, TensorType] = {}

    def moved(name: str, suffix: str, perm: tuple[int, ...]) -> Operator | None:
        """What makes a new edge of `name` with its axes permuted; None if that changes nothing."""
        shape = node.shape(name)
        target = tuple(shape[p] for p in perm)
        view = _only_unit_axes_move(shape, perm)
        if view and target == shape:
            return None
        edge = f"{op.name}:{suffix}"
        types[edge] = TensorType(target, node.type(name).dtype)
        if view:
            return Operator(edge, "Reshape", (name,), (edge,), {"shape": target})
        return Operator(edge, "Transpose", (name,), (edge,), {"perm": perm})

    inputs = list(op.inputs)
    for i, suffix in ((0, "x"), (5, "initial_h"), (6, "initial_c")):
        operator = moved(op.input(i), suffix, (1, 0, 2)) if op.input(i) else None
        if operator is None:
            continue
        inputs[i] = operator.outputs[0]
        value = node.constant(op.input(i))
        if value is None:
            before.append(operator)
        else:
            constants[inputs[i]] = np.ascontiguousarray(value.transpose(1, 0, 2))
    outputs = list(op.outputs)
    for i, suffix, perm in ((0, "y", (1, 2, 0, 3)), (1, "y_h", (1, 0, 2)), (2, "y_c", (1, 0, 2))):
        operator = moved(op.output(i), suffix, perm) if op.output(i) else None
        if operator:
            outputs[i] = operator.outputs[0]
            after.append(_inverse(operator, node.shape(op.output(i))))
    return Canonical((*before, replace(op, inputs=tuple(inputs), outputs=tuple(outputs)), *after), constants, types)


def _only_unit_axes_move(shape: Shape, perm: tuple[int, ...]) -> bool:
    order = [p for p in perm if shape[p] != 1]
    return order == sorted(order)


def _inverse(op: Operator, shape: Shape) -> Operator:
    """The operator that undoes a Reshape or Transpose, to the given shape."""
    if op.op == "Reshape":
        return replace(op, inputs=op.outputs, outputs=op.inputs, attributes={"shape": shape})
    perm = op.attributes["perm"]
    return replace(op, inputs=op.outputs, outputs=op.inputs, attributes={"perm": tuple(np.argsort(perm).tolist())})


# --- constraints -----------------------------------------------------------------------------------------------------


def constant_weights(op: Operator, graph: Graph) -> str | None:
    """W, R, B and P of a recurrent layer are constants."""
    computed = [i for i in (*op.inputs[1:4], op.input(7)) if i and i not in graph.constants]
    return f"{', '.join(computed)} computed at run time" if computed else None


def constant_lengths(op: Operator, graph: Graph) -> str | None:
    """Constant sequence_lens are lengths from 1 to the number of steps; those known at run time only need constant
    weights and opset 9: the layer then runs step by step in a loop.
    """
    name = op.input(4)
    if not name:
        return None
    if name not in graph.constants:
        return f"{name} is known at run time only"
    lengths, steps = graph.constants[name], graph.shape(op.inputs[0])[0]
    return None if ((lengths >= 1) & (lengths <= steps)).all() else f"lengths {lengths.tolist()} of {steps} steps"


def known_activations(op: Operator, graph: Graph) -> str | None:
    """Activation functions are those ONNX names for recurrent layers, one per kind of gate and direction."""
    names = op.attributes["activations"]
    unknown = [n for n in names if n not in _OWN and n not in FUNCTIONS]
    if unknown:
        return f"activation {', '.join(unknown)}"
    count = len(_DEFAULT[op.op]) * directions(op)
    return None if len(names) == count else f"{len(names)} activation functions instead of {count}"


CONSTRAINTS = (constant_weights, constant_lengths, known_activations)


# --- shapes and order ------------------------------------------------------------------------------------------------


def directions(op: Operator) -> int:
    """1 or 2."""
    return 2 if op.attributes["direction"] == "bidirectional" else 1


@dataclass(frozen=True, eq=False)
class Dims:
    """Sizes of one recurrent layer, and the order in which its steps are taken."""

    steps: int
    batch: int
    inputs: int
    units: int
    directions: int
    reverse: int
    lengths: Array | None

    @staticmethod
    def of(op: Operator, x_shape: Shape, lengths: Array | None) -> Dims:
        """From the canonical operator and the shape of its X."""
        steps, batch, inputs = x_shape
        reverse = int(op.attributes["direction"] == "reverse")
        return Dims(steps, batch, inputs, op.attributes["hidden_size"], directions(op), reverse, lengths)

    @staticmethod
    def given(p: Mapping[str, Any]) -> Dims:
        """From the fields of a kernel's parameter struct."""
        names = ("steps", "batch", "inputs", "units", "directions", "reverse")
        lengths = p["lengths"] if isinstance(p["lengths"], np.ndarray) else None
        return Dims(**{n: int(p[n]) for n in names}, lengths=lengths)

    @property
    def state(self) -> Shape:
        """Shape of h and c."""
        return (self.directions, self.batch, self.units)

    @property
    def sequence(self) -> Shape:
        """Shape of Y."""
        return (self.steps, *self.state)

    def fields(self, lo: Lowering, op: Operator) -> dict[str, FieldValue]:
        """The fields that every parameter struct of a recurrent kernel begins with."""
        lengths: FieldValue = Symbol("NULL")
        if self.lengths is not None:
            lengths = lo.constant(self.lengths, "s32", hint=f"{op.name}:lengths", kind="table")
        return {
            "steps": self.steps,
            "batch": self.batch,
            "inputs": self.inputs,
            "units": self.units,
            "directions": self.directions,
            "reverse": self.reverse,
            "lengths": lengths,
        }

    def sweep(
        self, states: Sequence[Array], step: Callable[[Array, tuple[Array, ...]], tuple[Array, ...]]
    ) -> tuple[tuple[Array, ...], list[Array]]:
        """Take all steps, in all directions at once.

        `step(at, states)` maps states [directions, batch, units] to the next ones, `at` being the step that each
        direction takes. Gives the final states, and those after every step as [steps, directions, batch, units], zero
        beyond the length of a sequence.
        """
        now = tuple(np.reshape(s, self.state) for s in states)
        record: list[Array] = []
        everywhere = np.arange(self.directions)
        backwards = (everywhere == 1) | bool(self.reverse)
        for k in range(self.steps):
            at = np.where(backwards, self.steps - 1 - k, k)
            new = step(at, now)
            record = record or [np.zeros(self.sequence, value.dtype) for value in new]
            if self.lengths is None:
                now, kept = new, new
            else:
                active = (at[:, None] < self.lengths)[..., None]
                now = tuple(np.where(active, value, old) for value, old in zip(new, now, strict=True))
                kept = tuple(np.where(active, value, value.dtype.type(0)) for value in new)
            for target, value in zip(record, kept, strict=True):
                target[at, everywhere] = value
        return now, record


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Y [steps, directions, batch, units], and states [directions, batch, units]."""
    assert types[0]
    dims = Dims.of(op, types[0].shape, None)
    state = TensorType(dims.state, types[0].dtype)
    return (TensorType(dims.sequence, types[0].dtype), *[state] * (_OUTPUTS[op.op] - 1))


def macs(op: Operator, graph: Graph) -> int:
    """Multiply-accumulates of one run."""
    x, w = graph.shape(op.inputs[0]), graph.shape(op.inputs[1])
    return x[0] * x[1] * w[0] * w[1] * (x[2] + int(op.attributes["hidden_size"]))


def counts(program: Program, call: Call) -> Counts:
    """Work of one call of any recurrent kernel; units are gates."""
    p = call.args["p"]
    assert isinstance(p, Struct)
    f = {k: v for k, v in p.fields.items() if isinstance(v, int)}
    r = call.args["r"]
    assert isinstance(r, Constant)
    gates = program.constants[r.name].plain.size // (f["directions"] * f["units"] * f["units"])
    rows = f["steps"] * f["directions"] * f["batch"] * f["units"]
    return Counts(macs=rows * gates * (f["inputs"] + f["units"]), elements=rows, units=rows * gates)


# --- lowering: state and outputs -------------------------------------------------------------------------------------

#: Default of a kernel's parameter that `exact` gets only where it is NULL.
WRITTEN = Symbol("written")

#: Scale of a hidden state: its values lie in [-1, 1], so no calibration is needed.
HIDDEN: Mapping[str, QuantParams | None] = {
    "f32": None,
    "f16": None,
    "s16": QuantParams(2.0**-15),
    "s8": QuantParams(1.0 / 127.0),
}


def dims(op: Operator, lo: Lowering) -> Dims:
    """Sizes of the operator that is being lowered."""
    name = op.inputs[4]
    return Dims.of(op, lo.shape(op.inputs[0]), lo.weights_of(name).astype(np.int32) if name else None)


def integer_input(lo: Lowering, op: Operator) -> tuple[columns.Read, EdgeType, str]:
    """X as an integer layer reads it, with what W is multiplied by, its type, and the suffix of the kernel for it.

    The plan may say which (`OperatorPlan.input`). If it does not, an input that is not stored in s8 is read in s16 even
    with s8 weights and states: it is converted anyway, and features with a heavy tail (magnitudes of a spectrum) lose
    more in 8 bits than everything else in the layer together.
    """
    assert lo.formats
    name, fmt = op.inputs[0], lo.formats.input
    converted = lo.is_constant(name) or lo.stored(name).format != fmt
    read = lo.choice.input or ("s16" if converted else fmt)
    x = columns.read(lo, name, op.inputs[1], matrix(lo, op, 1), read)
    type_ = lo.type_of(x.operand)
    if lo.formats.weight == "s16":
        return x, type_, "s16s16"
    return x, type_, fmt if type_.format == fmt else f"{type_.format}_{fmt}"


def frame_input(lo: Lowering, op: Operator) -> tuple[dict[str, Argument | int | float], columns.Read]:
    """X in s8 with the scale of the frame: the first arguments of the kernel, and what W is multiplied by."""
    x, scale, read = columns.read_frame(lo, op.inputs[0], op.inputs[1], matrix(lo, op, 1))
    return {"x": x, "x_scale": scale}, read


def state(lo: Lowering, op: Operator, index: int, source: int, want: EdgeType) -> Buffer:
    """A state of the layer, for the kernel to update in place: output `index`, beginning as input `source`."""
    name = op.output(index) or lo.temporary(want.shape, want.format, want.quant, f"state{index}")
    return lo.update(name, op.input(source) or None, want)


def sequence(lo: Lowering, op: Operator, d: Dims, h: Buffer, fmt: str) -> Argument:
    """Where the kernel writes Y: nowhere, if nobody reads it, or if one step makes it a view of the hidden state."""
    name = op.outputs[0]
    if not name:
        return Symbol("NULL")
    if d.steps == 1 and lo.type_of(h).format == fmt:
        lo.view(name, h.edge, shape=d.sequence)
        return Symbol("NULL")
    return lo.write(name, fmt, HIDDEN[fmt])


def float_functions(lo: Lowering, op: Operator, names: Sequence[str]) -> dict[str, FieldValue]:
    """Fields with the functions of both directions, their parameters, two each, and whether they are the usual ones."""
    found = [activations(op, d) for d in range(directions(op))]
    fields: dict[str, FieldValue] = {}
    for suffix, functions in zip(("", "_second"), (*found, None)[:2], strict=True):
        for k, name in enumerate(names):
            fields[name + suffix] = Symbol(function(functions[k].name).c_name if functions else "NULL")
    values = [(*a.parameters, 0.0, 0.0)[:2] for functions in found for a in functions]
    return {
        **fields,
        "parameters": lo.constant(np.array(values, np.float32), "f32", hint=f"{op.name}:parameters", kind="table"),
        "usual": int(all(tuple(a.name for a in functions) == _DEFAULT[op.op] for functions in found)),
    }


def float_weights(
    lo: Lowering, op: Operator, kernel: str, gates: int, bias: Array | None
) -> tuple[dict[str, Argument | int | float], Constant | Symbol]:
    """Arguments for W and R of a layer whose input and state are floats, and the one for the bias of the sums from x.

    With weights in s8, the scales of their rows are arguments as well.
    """
    assert lo.formats and lo.formats.weight
    fmt, groups = lo.formats.weight, gates * directions(op)
    real = {"w": matrix(lo, op, 1), "r": matrix(lo, op, 2)}
    scales: dict[str, Argument | int | float] = {}
    if fmt == "s8":
        of_x, of_h = (columns.known(lo, op.inputs[k], step_matrix(lo, op, k), biased=k == 1) for k in (1, 2))
        real["w"], x_scale, bias = quantise.for_floats(real["w"], bias, of_x)
        real["r"], h_scale, _ = quantise.for_floats(real["r"], None, of_h)
        for name, scale in (("x_scale", x_scale), ("h_scale", h_scale)):
            scales[name] = lo.constant(scale, "f32", hint=f"{op.name}:{name}", kind="table")
    packed: dict[str, Argument | int | float] = {
        name: lo.matrix(kernel, name, value, fmt, hint=f"{op.name}:{name.upper()}", groups=groups)
        for name, value in real.items()
    }
    b = Symbol("NULL") if bias is None else lo.constant(bias, "f32", hint=f"{op.name}:bias")
    return {**packed, **scales}, b


def float_kernel(lo: Lowering, name: str) -> str:
    """The kernel of a layer in floats, for weights in the same floats or in s8."""
    assert lo.formats
    return f"mq_{name}_{'w8_' if lo.formats.weight == 's8' else ''}{lo.formats.input}"


def matrix(lo: Lowering, op: Operator, index: int) -> Array:
    """W or R of all directions as [rows, columns]."""
    value = lo.weights_of(op.inputs[index])
    return value.reshape(-1, value.shape[-1])


def step_matrix(lo: Lowering, op: Operator, index: int) -> Array | None:
    """The steps of W or R (see `quantise.rows`), if the model has them as whole numbers."""
    steps = lo.steps_of(op.inputs[index])
    return None if steps is None else steps.reshape(-1, steps.shape[-1])


def biases(lo: Lowering, op: Operator) -> tuple[Array, Array] | None:
    """The biases of W and of R, [directions, gates, units] each; None without B."""
    if not op.inputs[3]:
        return None
    both = np.asarray(lo.weights_of(op.inputs[3]), np.float64)
    both = both.reshape(directions(op), 2, -1, op.attributes["hidden_size"])
    return both[:, 0], both[:, 1]
