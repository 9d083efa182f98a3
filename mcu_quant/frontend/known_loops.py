"""Scan and Loop as steps: how many, what goes from step to step, what is taken apart and put together.

Cases, cited in the code:
1. Scan, as of opset 9: as many steps as the scanned axes are long, forwards or backwards; any axes, any states.
2. Loop whose number of steps is known: by a limit that is constant, or by counting ahead (`schedule.py`).
3. Loop whose condition or limit depends on data: the condition is one of the values that go from step to step.

Refused, with the reason: collected results of a number of steps that depends on data, Scan of opset 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir

from mcu_quant.frontend.read import ONNX_DOMAINS
from mcu_quant.frontend.schedule import known, schedule
from mcu_quant.ir import Array

_FIRST_SCAN = 9


@dataclass(frozen=True, eq=False)
class Carried:
    """A value that goes from step to step: what it starts as, its name in the body before and after, the result."""

    initial: onnx_ir.Value
    before: onnx_ir.Value
    after: onnx_ir.Value
    final: onnx_ir.Value


@dataclass(frozen=True, eq=False)
class Sliced:
    """A sequence of which each step sees one slice (`whole` outside, `part` in the body), or the other way round."""

    whole: onnx_ir.Value
    part: onnx_ir.Value
    axis: int
    backwards: bool = False


@dataclass(frozen=True, eq=False)
class Steps:
    """A loop of `count` steps, or at most as many, or None. `index` is what the body calls the number of the step.

    `known` are values from step to step that are known ahead, [count + 1, ...], by their name before the step. It ends
    earlier where `until`, one of `carried`, is false, or after `trips` steps, a value outside.
    """

    node: onnx_ir.Node
    body: onnx_ir.Graph
    count: int | None
    carried: tuple[Carried, ...]
    scanned: tuple[Sliced, ...] = ()
    stacked: tuple[Sliced, ...] = ()
    index: onnx_ir.Value | None = None
    condition: onnx_ir.Value | None = None
    known: Mapping[onnx_ir.Value, Array] = field(default_factory=dict)
    until: Carried | None = None
    trips: onnx_ir.Value | None = None

    @property
    def fixed(self) -> int | None:
        """The number of steps, if it is known before a frame arrives."""
        return None if self.until or self.trips else self.count


@dataclass(frozen=True)
class Unknown:
    """Why a loop stays, and what to do about it."""

    reason: str
    help: str


def opset_of(model: onnx_ir.Model) -> int:
    """Version of the ONNX operators that the model uses."""
    return max((v for d, v in model.opset_imports.items() if d in ONNX_DOMAINS), default=1)


def steps_of(node: onnx_ir.Node, opset: int) -> Steps | Unknown:
    """The steps of a Scan or Loop, or why they are not known."""
    return _scan(node, opset) if node.op_type == "Scan" else _loop(node, opset)


def _scan(node: onnx_ir.Node, opset: int) -> Steps | Unknown:
    """Case 1."""
    if opset < _FIRST_SCAN:
        return Unknown("Scan of opset 8 has a batch axis and lengths of its own", "export with opset 9 or later")
    body = node.attributes["body"].as_graph()
    scans = node.attributes["num_scan_inputs"].as_int()
    states, stacks = len(body.inputs) - scans, len(body.outputs) - (len(body.inputs) - scans)
    inputs = [v for v in node.inputs if v is not None]
    wholes = inputs[states:]
    if any(v.shape is None or not all(isinstance(d, int) for d in v.shape) for v in wholes):
        return Unknown("Scan: the shape of what it scans is not known", "bind its dimensions (--bind)")
    axes = [a % len(v.shape or ()) for a, v in zip(_ints(node, "scan_input_axes", scans), wholes, strict=True)]
    lengths = {d for v, a in zip(wholes, axes, strict=True) if v.shape and isinstance(d := v.shape[a], int)}
    if len(lengths) != 1:
        return Unknown(f"Scan: what it scans has {sorted(lengths)} steps", "make all scanned axes equally long")
    backwards = _ints(node, "scan_input_directions", scans)
    carried = zip(inputs[:states], body.inputs[:states], body.outputs[:states], node.outputs[:states], strict=True)
    return Steps(
        node,
        body,
        lengths.pop(),
        tuple(Carried(*c) for c in carried),
        tuple(
            Sliced(whole, part, axis, bool(back))
            for whole, part, axis, back in zip(wholes, body.inputs[states:], axes, backwards, strict=True)
        ),
        tuple(
            Sliced(whole, part, axis % (_rank(part) + 1) if axis < 0 else axis, bool(back))
            for whole, part, axis, back in zip(
                node.outputs[states:],
                body.outputs[states:],
                _ints(node, "scan_output_axes", stacks),
                _ints(node, "scan_output_directions", stacks),
                strict=True,
            )
        ),
    )


def _rank(value: onnx_ir.Value) -> int:
    return 0 if value.shape is None else len(value.shape)


def _ints(node: onnx_ir.Node, name: str, count: int) -> list[int]:
    """A list attribute, zeros where it is absent."""
    attribute = node.attributes.get(name)
    return [0] * count if attribute is None else list(attribute.as_ints())


def _loop(node: onnx_ir.Node, opset: int) -> Steps | Unknown:
    """Case 2."""
    body = node.attributes["body"].as_graph()
    limit, start = (known(v) for v in node.inputs[:2])
    most = None if limit is None else max(0, int(limit.reshape(-1)[0]))
    counted = None
    if start is not None and not start.any():
        count = 0
    elif (node.inputs[1] is not None and start is None) or (node.inputs[0] is not None and limit is None):
        return _open(node, body, most)
    elif (counted := schedule(node, most, opset)) is not None:
        count = counted.count
    elif most is not None and _stays_true(body):
        count = most
    else:
        return _open(node, body, most)
    return Steps(
        node,
        body,
        count,
        _carried(node, body),
        (),
        _stacked(node, body),
        body.inputs[0],
        body.inputs[1],
        counted.values if counted else {},
    )


def _carried(node: onnx_ir.Node, body: onnx_ir.Graph) -> tuple[Carried, ...]:
    initial = [v for v in node.inputs[2:] if v is not None]
    n = len(initial)
    parts = zip(initial, body.inputs[2:], body.outputs[1 : n + 1], node.outputs[:n], strict=True)
    return tuple(Carried(*c) for c in parts)


def _stacked(node: onnx_ir.Node, body: onnx_ir.Graph) -> tuple[Sliced, ...]:
    n = len(body.inputs) - 2
    return tuple(Sliced(*s, 0) for s in zip(node.outputs[n:], body.outputs[n + 1 :], strict=True))


def _open(node: onnx_ir.Node, body: onnx_ir.Graph, most: int | None) -> Steps | Unknown:
    """Case 3."""
    if any(s.whole.uses() or s.whole.is_graph_output() for s in _stacked(node, body)):
        reason = "Loop: when it ends depends on data at run time, and with that the size of what it collects"
        return Unknown(reason, "bind what decides it (--bind), or export it with a fixed number of steps")
    limit, going = node.inputs[:2]
    until = None
    if not (_stays_true(body) and (going is None or known(going) is not None)):
        final = onnx_ir.Value(name="going")
        until = Carried(going or _true(), body.inputs[1], body.outputs[0], final)
    trips = limit if limit is not None and most is None else None
    carried = (*_carried(node, body), *([until] if until else []))
    return Steps(node, body, most, carried, (), (), body.inputs[0], body.inputs[1], {}, until, trips)


def _true() -> onnx_ir.Value:
    value = onnx_ir.Value(name="true", const_value=onnx_ir.tensor(np.array(True), name="true"))
    value.type, value.shape = onnx_ir.TensorType(onnx_ir.DataType.BOOL), onnx_ir.Shape(())
    return value


def _stays_true(body: onnx_ir.Graph) -> bool:
    """Is the condition for the next step the one for this step, or true?"""
    value = body.outputs[0]
    while (maker := value.producer()) is not None and maker.op_type in ("Identity", "Cast"):
        source = maker.inputs[0]
        assert source is not None
        value = source
    constant = known(value)
    return value is body.inputs[1] or (constant is not None and bool(constant.all()))
