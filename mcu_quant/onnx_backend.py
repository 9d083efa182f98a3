"""ONNX's backend interface: a model runs through the generated path, the firmware's kernels compiled for this machine.

    import mcu_quant.onnx_backend as backend
    outputs = backend.run_model(model, [x])

    import onnx.backend.test
    tests = onnx.backend.test.BackendTest(backend, __name__)

Everything is computed in f32, whole numbers and truth values as they are. float64, float16 and bfloat16 are computed in
f32 too, float8 and float4 rounded where the model casts to them, and handed out in the type that the model declares.

Firmware has fixed shapes and packed weights, but this interface hands over the inputs only when the model runs. So a
model is built at its first run, for the shapes of the inputs given then. Inputs that must be known at build time
(weights, axes, a number of repetitions) are bound to the values given, as `--bind` and an initializer would: only those
without which the model is refused, the first input never, unless every input is such a number (`NUMBERS_ONLY`). A later
run with other values in them builds again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict
from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt

from mcu_quant import frontend
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Array, Graph
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.ops.narrow import HELD
from mcu_quant.passes import optimise
from mcu_quant.precision import presets
from mcu_quant.program import Program, Purpose

#: Operators that make a table or choose a branch: every input is a number that fixes what the firmware is.
NUMBERS_ONLY = frozenset(
    ("BlackmanWindow", "ConstantOfShape", "HammingWindow", "HannWindow", "If", "Loop", "MelWeightMatrix", "Range")
)


class Refused(BackendIsNotSupposedToImplementIt):
    """The model is not for this backend; `diagnostics` say why."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(str(d) for d in diagnostics))


@dataclass(frozen=True, eq=False)
class Built:
    """A program for given shapes and bound values. `empty` are values without elements: there is nothing to compute."""

    graph: Graph
    program: Program
    session: ProgramSession
    empty: Mapping[str, Array]

    @property
    def computes(self) -> bool:
        """Is anything left to compute at run time, or did the import find the outputs?"""
        return any(call.purpose is Purpose.COMPUTE for call in self.program.calls) or bool(self.program.inputs)


class Prepared(BackendRep):
    """A model, built for the inputs of its first run."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._built: dict[tuple[Any, ...], Built] = {}
        #: what ran last, and with what
        self.last: Built | None = None
        self.last_feeds: dict[str, Array] = {}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Outputs in the model's order, in the types it declares.

        Raises:
            Refused: if the model cannot be built for these inputs.
        """
        feeds = self._feeds(inputs)
        built = self._for(feeds)
        self.last = built
        computed = [name for name in self._outputs() if name not in built.empty]
        self.last_feeds = _known(built, feeds)
        values = built.session.run(None, self.last_feeds)
        found = {**built.empty, **dict(zip(computed, values, strict=True))}
        results = {name: found[name] for name in self._outputs()}
        return tuple(namedtupledict("Outputs", list(results))(*map(self._declared, results, results.values())))

    def _feeds(self, inputs: Any) -> dict[str, Array]:
        constants = {i.name for i in self._model.graph.initializer}
        names = [i.name for i in self._model.graph.input if i.name not in constants]
        given = inputs if isinstance(inputs, Mapping) else dict(zip(names, inputs, strict=False))
        strange = [n for n, v in given.items() if not isinstance(v, np.ndarray | np.generic) or v.dtype == object]
        if strange:
            raise Refused([Diagnostic("MQ112", n, "the input is no tensor of numbers") for n in strange])
        return {n: np.asarray(v) for n, v in given.items()}

    def _outputs(self) -> list[str]:
        return [o.name for o in self._model.graph.output]

    def _declared(self, name: str, value: Array) -> Array:
        output = next(o for o in self._model.graph.output if o.name == name)
        with np.errstate(over="ignore", invalid="ignore"):  # not every type has infinity or NaN
            return value.astype(onnx.helper.tensor_dtype_to_np_dtype(output.type.tensor_type.elem_type), copy=False)

    def _for(self, feeds: Mapping[str, Array]) -> Built:
        key = tuple((n, v.shape, str(v.dtype)) for n, v in feeds.items())
        refused: Refused | None = None
        for bound in _choices(self._model, feeds):
            full = (key, *((n, feeds[n].tobytes()) for n in bound))
            if full not in self._built:
                try:
                    self._built[full] = build(_bound(self._model, feeds, bound))
                except DiagnosticError as error:
                    refused = Refused(error.diagnostics)
                    continue
            return self._built[full]
        assert refused is not None
        raise refused


def build(model: onnx.ModelProto) -> Built:
    """Import, optimise and lower a model whose shapes are known, in f32.

    Raises:
        DiagnosticError: as `frontend.load_whole` and `lower`.
    """
    imported = frontend.load_whole(model)
    graph = optimise(imported.graph)
    program = lower(graph, presets.make(graph, "f32", Target()))
    empty = {n: np.zeros(t.shape, t.dtype) for n, t in imported.empty.items()}
    return Built(graph, program, ProgramSession(program), empty)


def _known(built: Built, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What is left to feed; values of narrow types in the type that holds them."""
    return {n: feeds[n].astype(HELD.get(str(feeds[n].dtype), feeds[n].dtype)) for n in built.program.inputs}


def _choices(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> Iterator[tuple[str, ...]]:
    """Which inputs to bind, the fewest first: none, whole numbers, all but the first; all where that is meant."""
    names = list(feeds)
    whole = tuple(n for n in names[1:] if feeds[n].dtype.kind in "biu")
    kinds = {node.op_type for node in model.graph.node}
    # a loop over such numbers: how often it runs must be known, whatever they are
    scalars = all(feeds[n].ndim == 0 and (feeds[n].dtype.kind in "biu" or "Loop" in kinds) for n in names)
    numbers = (
        scalars
        or kinds <= NUMBERS_ONLY | {"Constant"}
        or (kinds & {"If", "Loop"} and feeds[names[0]].dtype.kind in "biu")
    )
    yield from dict.fromkeys([(), whole, tuple(names[1:]), *([tuple(names)] if numbers else [])])


def _bound(model: onnx.ModelProto, feeds: Mapping[str, Array], bound: Sequence[str]) -> onnx.ModelProto:
    """The model with some inputs as constants, and the shapes of the others as given."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.ir_version = max(made.ir_version, 4)  # before, every constant had to be an input, too
    del made.graph.input[:]
    constants = {i.name for i in model.graph.initializer}
    for value in model.graph.input:
        if value.name in bound:
            made.graph.initializer.append(onnx.numpy_helper.from_array(feeds[value.name], value.name))
        elif value.name not in constants:
            type_ = value.type.tensor_type.elem_type
            made.graph.input.append(onnx.helper.make_tensor_value_info(value.name, type_, feeds[value.name].shape))
    return made


class McuQuantBackend(Backend):
    """See the module."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether the model can be built without knowing the values of its inputs."""
        try:
            build(model)
        except DiagnosticError:
            return False
        return True

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """A handle; what can be wrong with the model is found when it runs, with its inputs."""
        return Prepared(model)

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Outputs of a model for inputs in order, or by name."""
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """Outputs of a single node; its inputs in order, or by name. `outputs_info`: dtype and shape of each output."""
        names = [i for i in node.input if i]
        given = [inputs[n] for n in names] if isinstance(inputs, Mapping) else list(inputs)
        opset = int(kwargs.get("opset_version", onnx.defs.onnx_opset_version()))

        def value(name: str, array: Array) -> onnx.ValueInfoProto:
            kind = onnx.helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype)
            return onnx.helper.make_tensor_value_info(name, kind, np.shape(array))

        outputs = [onnx.ValueInfoProto(name=o) for o in node.output if o]
        ports = list(map(value, names, given))
        graph = onnx.helper.make_graph([node], node.op_type, ports, outputs)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, opset)])
        inferred = {v.name: v for v in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output}
        for output, info in zip(list(outputs), outputs_info or [None] * len(outputs), strict=True):
            if info is not None:
                kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(info[0]))
                inferred[output.name] = onnx.helper.make_tensor_value_info(output.name, kind, info[1])
        del model.graph.output[:]
        model.graph.output.extend(inferred[o.name] for o in outputs)
        return cls.run_model(model, given, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Kernels run on this machine's processor."""
        return bool(Device(device).type == DeviceType.CPU)


is_compatible = McuQuantBackend.is_compatible
prepare = McuQuantBackend.prepare
run_model = McuQuantBackend.run_model
run_node = McuQuantBackend.run_node
supports_device = McuQuantBackend.supports_device
