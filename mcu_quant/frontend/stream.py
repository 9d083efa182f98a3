"""Recurrent layers that start afresh in every run, made to carry their state from run to run on request.

Before: y = LSTM(x) with no initial state, or a constant one; or a Scan or Loop that starts from constants.
After:  the model has inputs `NODE:h_in` (and `NODE:c_in`; `NODE:0_in`, ... of a loop) that take the place of the
        initial states, and outputs `NODE:h_out`, ... for the final ones. The state begins as the model had it.

Refused: layers that run backwards in time, and states that start from something computed: they are not the same when
the sequence is cut into frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import onnx

from mcu_quant.diagnostics import Diagnostic, did_you_mean, raise_errors
from mcu_quant.frontend import libraries
from mcu_quant.frontend.read import node_name, opset, read
from mcu_quant.ir import Array

_STATES = {"LSTM": ("h", "c"), "GRU": ("h",), "RNN": ("h",)}
_STREAMABLE = (*_STATES, "Scan", "Loop")
_FIRST_INITIAL = 5
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)

Values = Callable[[onnx.ModelProto, Sequence[str]], Mapping[str, Array | None]]
"""Values of edges of a model by name; None for those that are not constant."""


@dataclass(frozen=True, eq=False)
class Streamed:
    """A state that was given an input and an output, and what it starts as (None: zeros)."""

    input: str
    output: str
    initial: Array | None


@dataclass(frozen=True)
class _Slot:
    """Where a node takes an initial state from and puts the final one: positions, and the state's name."""

    name: str
    input: int
    output: int


def streamed(
    model: onnx.ModelProto, names: Sequence[str], values: Values
) -> tuple[onnx.ModelProto, tuple[Streamed, ...]]:
    """A copy of a model in which these nodes carry their state.

    Args:
        values: Tells what initial states are constant, and their values.

    Raises:
        DiagnosticError: MQ114, all of them at once.
    """
    if not names:
        return model, ()
    nodes = {node_name(n): n for n in model.graph.node if n.op_type in _STREAMABLE}
    raise_errors(list(_unfit(names, nodes, opset(model))))
    types = _types(model)
    initial = {_read(nodes[n], s) for n in names for s in _slots(nodes[n], types)}
    known = values(model, sorted(initial - {""}))
    problems = [
        Diagnostic("MQ114", n, f"its state starts from {i!r}, which is computed", help="stream it as the model does")
        for n in names
        for s in _slots(nodes[n], types)
        if (i := _read(nodes[n], s)) and known[i] is None
    ]
    raise_errors(problems)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    states: list[Streamed] = []
    for node in [n for n in made.graph.node if node_name(n) in names and n.op_type in _STREAMABLE]:
        for slot in _slots(node, types):
            name = _read(node, slot)
            type_ = types[name] if name and node.op_type not in _STATES else _state_type(node, types)
            if type_.tensor_type.elem_type in _FLOATS:  # not a counter of the steps
                before, after = _expose(made, node, slot, type_)
                states.append(Streamed(before, after, known[name] if name else None))
    return made, tuple(states)


def streamed_file(path: str | PathLike[str], names: Sequence[str]) -> bytes:
    """A model file with these nodes made to carry their state, for a session of onnxruntime.

    The nodes were accepted by `load` before: nothing is checked again.
    """
    made, _ = streamed(read(Path(path)), names, lambda _, wanted: dict.fromkeys(wanted, np.zeros(0, np.float32)))
    return bytes(made.SerializeToString())


def _unfit(names: Sequence[str], nodes: Mapping[str, onnx.NodeProto], version: int) -> Iterator[Diagnostic]:
    for name in names:
        if name not in nodes:
            help_ = did_you_mean(name, nodes) or "`mcu-quant inspect` lists the operators"
            yield Diagnostic("MQ114", name, "the model has no recurrent layer and no loop of this name", help=help_)
        elif _runs_backwards(nodes[name]):
            message = "runs backwards in time: it needs the end of the sequence at its start"
            yield Diagnostic("MQ114", name, message, help="stream a layer that runs forwards")
        elif nodes[name].op_type == "Scan" and version < 9:
            yield Diagnostic("MQ114", name, "is a Scan of opset 8", help="export with opset 9 or later")


def _runs_backwards(node: onnx.NodeProto) -> bool:
    for a in node.attribute:
        if a.name == "direction" and a.s not in (b"forward", b""):
            return True
        if a.name == "scan_input_directions" and any(a.ints):
            return True
    return False


def _slots(node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto]) -> list[_Slot]:
    """States of a node; a list that a loop fills is none."""
    if node.op_type in _STATES:
        return [_Slot(s, _FIRST_INITIAL + k, 1 + k) for k, s in enumerate(_STATES[node.op_type])]
    if node.op_type == "Loop":
        slots = [_Slot(str(k), 2 + k, k) for k in range(len(node.input) - 2)]
        return [s for s in slots if not types.get(_read(node, s), onnx.TypeProto()).HasField("sequence_type")]
    [scans] = [a.i for a in node.attribute if a.name == "num_scan_inputs"]
    return [_Slot(str(k), k, k) for k in range(len(node.input) - scans)]


def _read(node: onnx.NodeProto, slot: _Slot) -> str:
    return node.input[slot.input] if len(node.input) > slot.input else ""


def _types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    inferred = libraries.with_shapes(model).graph
    found = {v.name: v.type for v in (*inferred.value_info, *inferred.input, *inferred.output)}
    for tensor in model.graph.initializer:
        found[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    return found


def _expose(model: onnx.ModelProto, node: onnx.NodeProto, slot: _Slot, type_: onnx.TypeProto) -> tuple[str, str]:
    """Make an initial state an input, and the final one an output; their names."""
    before, after = (f"{node_name(node)}:{slot.name}_{side}" for side in ("in", "out"))
    while len(node.input) <= slot.input:
        node.input.append("")
    while len(node.output) <= slot.output:
        node.output.append("")
    node.input[slot.input] = before
    final = node.output[slot.output] or f"{after}:value"
    node.output[slot.output] = final
    model.graph.node.add(op_type="Identity", name=after, input=[final], output=[after])
    model.graph.input.add(name=before).type.CopyFrom(type_)
    model.graph.output.add(name=after).type.CopyFrom(type_)
    return before, after


def _state_type(node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto]) -> onnx.TypeProto:
    """The type of h and c of a layer: its units are as wide as R, its batch is that of X, or 1."""
    attributes = {a.name: a for a in node.attribute}
    x = types[node.input[0]].tensor_type
    layout = attributes["layout"].i if "layout" in attributes else 0
    units = types[node.input[2]].tensor_type.shape.dim[2].dim_value
    batch: int | str = 1
    if len(x.shape.dim) == 3:
        dim = x.shape.dim[0 if layout else 1]
        batch = dim.dim_value or dim.dim_param or 1
    shape = [batch, 1, units] if layout else [1, batch, units]
    return onnx.helper.make_tensor_type_proto(x.elem_type, shape)
