"""Operators: one file each, holding everything the rest of the system asks about it.

A file registers one or more `OpSpec`s, and the C functions (`Kernel`s) they are lowered to. Nothing else is edited to
add an operator: files are found by being in this folder, C sources by being in `firmware/kernels/<family>/`.

The life of an operator:

* `canonicalise` turns the ONNX node into the form the rest of the system knows (constant inputs become attributes,
  defaults become explicit, Squeeze becomes Reshape).
* `constraints` say what is not supported; their docstring is the rule, the error text and the documentation.
* `infer` gives the output types, `reference` the meaning in floats.
* `lowerings` say, per format, how the operator becomes kernel calls.
* `samples` are the nodes that every generic test sweeps.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType

if TYPE_CHECKING:
    from mcu_quant.lowering import Lowering
    from mcu_quant.program import Call, Program

# --- the C functions ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """Work of one call, counted from shapes: what the cost model turns into cycles on a board."""

    macs: int = 0
    #: elements produced, or visited once
    elements: int = 0
    #: rows or units with a cost of their own (requantisation, gates, activations)
    units: int = 0
    #: bytes that are moved in blocks
    moved: int = 0
    #: how often the constants are read from the first to the last
    passes: int = 1


@dataclass(frozen=True)
class Near:
    """Tolerance of a float kernel that rounds elsewhere than the scalar one: SNR in dB against it on the samples."""

    snr_db: float


@dataclass(frozen=True)
class Kernel:
    """One C function of the firmware library.

    `exact` is its specification when it computes in integers: numpy integer arrays in, for each parameter of the C
    prototype that it reads (structs as mappings of their fields), numpy integers out, one array per buffer it writes,
    in the order of the prototype. Never a dequantised value.
    """

    name: str
    family: str
    counts: Callable[[Program, Call], Counts]
    exact: Callable[..., Any] | None = None
    #: pairs (input, output) of parameters that may point to the same memory
    inplace: tuple[tuple[str, str], ...] = ()
    #: by instruction set and parameter, how a weight matrix is laid out: a function of the [groups * rows, columns]
    #: matrix and the number of groups. The matrix itself where nothing is named.
    pack: Mapping[tuple[str, str], Callable[[Array, int], Array]] = field(default_factory=dict)
    #: by instruction set, how near the variant comes to the scalar kernel where it rounds in other places; all others
    #: give the same bits
    near: Mapping[str, Near] = field(default_factory=dict)


# --- operators ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Formats:
    """What a lowering stores: of the input, weight, state and output separately. None where there is no such thing."""

    input: str
    output: str
    weight: str | None = None
    state: str | None = None


@dataclass(frozen=True)
class OpLowering:
    """One way to compute an operator. `format` is the word in the plan; `weights` refines it."""

    format: str
    formats: Formats
    lower: Callable[[Operator, Lowering], None]
    #: SNR in dB that the generated C must reach on the samples, against the float reference
    sample_snr_db: float = 0.0
    #: the operator can be computed this way only if this returns None; else it returns the reason
    applies: Callable[[Operator, Graph], str | None] | None = None
    #: when the scale of an integer input may be found
    scales: tuple[ScaleKind, ...] = (ScaleKind.STATIC,)
    #: formats in which the plan may have its first input read, where there is a choice beside `formats.input`
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """An input of a sample node: an activation of that shape from [low, high), whole numbers cut towards 0."""

    shape: Shape
    low: float = -1.0
    high: float = 1.0
    dtype: str = "float32"


@dataclass(frozen=True, eq=False)
class Fixed:
    """An input of a sample node: a constant, given, or drawn from a normal distribution scaled by `std`."""

    value: Array | None = None
    shape: Shape = ()
    std: float = 0.5


def fixed(*value: int | float | Sequence[int], dtype: str = "int64") -> Fixed:
    """A constant of a sample: numbers, or one list of them."""
    return Fixed(np.array(value[0] if len(value) == 1 else value, dtype))


def weight(*shape: int, std: float = 0.5) -> Fixed:
    """Weights of a sample, drawn from a normal distribution."""
    return Fixed(None, shape, std)


def given(*shape: int, low: float = -1.0, high: float = 1.0) -> Given:
    """An activation of a sample, drawn from [low, high)."""
    return Given(shape, low, high)


@dataclass(frozen=True, eq=False)
class Sample:
    """A node for the generic tests: it is built as an ONNX model, imported, lowered, run, compared with onnxruntime."""

    onnx: str
    inputs: tuple[Given | Fixed | None, ...]
    #: as ONNX has them, but a body as text
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 18
    name: str = ""

    def __str__(self) -> str:
        shapes = ",".join("x".join(map(str, i.shape)) for i in self.inputs if isinstance(i, Given))
        return f"{self.onnx}[{shapes}]{self.name and '-' + self.name}"


Constraint = Callable[[Operator, Graph], str | None]
"""Returns what is wrong with this operator in this graph, or None. The docstring's first line is the rule."""


@dataclass(frozen=True)
class NodeContext:
    """What `canonicalise` may ask about its surroundings."""

    graph: Graph
    opset: int

    def constant(self, name: str) -> Array | None:
        """The value of an input that is known before a frame arrives, else None."""
        return self.graph.constants.get(name) if name else None

    def type(self, name: str) -> TensorType:
        """Shape and dtype of an edge."""
        return self.graph.types[name]

    def shape(self, name: str) -> Shape:
        """Shape of an edge."""
        return self.graph.types[name].shape

    def ints(self, op: Operator, index: int, attribute: str) -> tuple[int, ...] | None:
        """A list of integers that ONNX gives as an attribute in old opsets and as a constant input in new ones."""
        if attribute in op.attributes:
            value = op.attributes[attribute]
            return tuple(int(v) for v in np.atleast_1d(value))
        array = self.constant(op.input(index))
        return None if array is None else tuple(int(v) for v in np.atleast_1d(array))


@dataclass(frozen=True)
class Canonical:
    """What a node becomes: operators, constants (with their `Graph.steps`) and types of new edges between them."""

    operators: tuple[Operator, ...]
    constants: Mapping[str, Array] = field(default_factory=dict)
    types: Mapping[str, TensorType] = field(default_factory=dict)
    steps: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class OpSpec:
    """An operator of the graph, registered under its own name and under the ONNX names it canonicalises."""

    name: str
    onnx: tuple[str, ...]
    reference: Callable[[Operator, Sequence[Any]], tuple[Array, ...]]
    infer: Callable[[Operator, Sequence[TensorType | None]], tuple[TensorType, ...]]
    lowerings: tuple[OpLowering, ...] = ()
    canonicalise: Callable[[Operator, NodeContext], Canonical] | None = None
    constraints: tuple[Constraint, ...] = ()
    samples: tuple[Sample, ...] = ()
    #: data passes through in whatever format it is stored: views, slices, transposes. No line in the plan.
    carries: bool = False
    #: with more outputs than these ONNX's own definition takes the operator's place (None: never)
    most_outputs: int | None = None
    #: some operands are whole numbers or truth values although it has formats to choose from (indices, conditions)
    mixed: bool = False
    #: how it is computed on whole numbers and truth values, which are stored as they are. No line in the plan.
    exact: Callable[[Operator, Lowering], None] | None = None
    #: "recurrent", "dense", "convolution", "elementwise", ...: what presets and reports group by
    family: str = "elementwise"
    #: tensors inside the operator whose range calibration must know, by suffix of the operator's name
    internals: Callable[[Operator, Sequence[Any]], Mapping[str, Array]] | None = None
    #: outputs that are cut off in integer formats, by index, with the reason: their error says nothing of the operator
    saturates: Mapping[int, str] = field(default_factory=dict)
    #: multiply-accumulates of one run, recounted from shapes
    macs: Callable[[Operator, Graph], int] = field(default=lambda op, graph: 0)

    def lowering(self, fmt: str) -> OpLowering | None:
        """The lowering that a format of the plan names, if there is one."""
        return next((low for low in self.lowerings if low.format == fmt), None)

    def formats(self, op: Operator, graph: Graph) -> dict[str, str | None]:
        """Formats of this operator's lowerings, each with the reason why it cannot be used here, or None."""
        return {low.format: low.applies(op, graph) if low.applies else None for low in self.lowerings}


def is_real(graph: Graph, edge: str) -> bool:
    """Is an edge a real number, stored in a format of the plan? Else it is a whole number or a truth value."""
    return graph.types[edge].is_real


def has_choice(op: Operator, graph: Graph) -> bool:
    """Does the plan choose a format for this operator? Not where it passes on what is stored, nor without reals."""
    if spec(op).carries:
        return False
    return spec(op).exact is None or any(is_real(graph, e) for e in (*op.inputs, *op.outputs) if e)


def reads_reals(op: Operator, graph: Graph) -> str | None:
    """An operator that has no exact form computes real numbers."""
    if not has_choice(op, graph) or spec(op).mixed:
        return None
    edges = [e for e in (*op.inputs, *op.outputs) if e and e not in graph.constants]
    return "; ".join(f"{e!r} is {graph.types[e]}" for e in edges if not is_real(graph, e)) or None


def rule(constraint: Constraint) -> str:
    """The constraint in words: the first paragraph of its docstring."""
    return " ".join((constraint.__doc__ or constraint.__name__).strip().split("\n\n")[0].split())


#: Half-precision vector arithmetic on Helium, with sums in f32 of 32 products in f16 each.
HALF_ON_HELIUM: Mapping[str, Near] = MappingProxyType({"mve": Near(56.0)})

_specs: dict[str, OpSpec] = {}
_onnx: dict[str, OpSpec] = {}
_kernels: dict[str, Kernel] = {}


def register(spec: OpSpec) -> OpSpec:
    """Enter an operator. Raises ValueError where a name is taken."""
    if spec.name in _specs:
        raise ValueError(f"operator {spec.name} is registered twice")
    _specs[spec.name] = spec
    for name in spec.onnx:
        if name in _onnx:
            raise ValueError(f"ONNX operator {name} is registered by {_onnx[name].name} and {spec.name}")
        _onnx[name] = spec
    return spec


def register_kernel(kernel: Kernel) -> Kernel:
    """Enter a kernel. Raises ValueError where its name is taken."""
    if kernel.name in _kernels:
        raise ValueError(f"kernel {kernel.name} is registered twice")
    _kernels[kernel.name] = kernel
    return kernel


@cache
def _load() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def specs() -> Mapping[str, OpSpec]:
    """All operators by the graph's name."""
    _load()
    return MappingProxyType(_specs)


def by_onnx() -> Mapping[str, OpSpec]:
    """Operators by the ONNX name they canonicalise."""
    _load()
    return MappingProxyType(_onnx)


def kernels() -> Mapping[str, Kernel]:
    """All kernels by the name of their C function."""
    _load()
    return MappingProxyType(_kernels)


def spec(op: Operator | str) -> OpSpec:
    """The specification of an operator, or of its name in the graph."""
    return specs()[op if isinstance(op, str) else op.op]


# --- helpers that many operators share -----------------------------------------------------------------------------


def same_as_input(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Shape rule of operators whose output is like their first input."""
    assert types[0] is not None
    return (types[0],)


def normalise_axis(axis: int, rank: int) -> int:
    """ONNX counts axes from the end where they are negative."""
    return axis + rank if axis < 0 else axis
