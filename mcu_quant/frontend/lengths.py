"""Recurrent layers with sequence lengths that are known at run time only: a Scan of one step at a time.

Before: y, y_h = GRU(x, W, R, B, lengths, h0)
After:  y, y_h = Scan(h0, x, 0 1 2 ...; h' = GRU(x_t, W, R, B, h) for one step, where t < lengths: h', else h and 0)

One Scan per direction; one that runs backwards begins at the last step of the longest sequence there can be. So the
layer's own kernels take each step, in any format, and know nothing of lengths. `unfold` decides what becomes of it.

Refused: layers whose weights are computed, or the shape of whose input is not known; they stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir

from mcu_quant.frontend.known_loops import opset_of
from mcu_quant.frontend.nodes import Writer
from mcu_quant.frontend.one_step import shape_of
from mcu_quant.frontend.read import ONNX_DOMAINS
from mcu_quant.frontend.schedule import known
from mcu_quant.ir import Rewrite

#: Functions of one direction, and how many states there are.
_LAYERS = {"LSTM": (3, 2), "GRU": (2, 1), "RNN": (1, 1)}
_LENGTHS, _STATES, _PEEPHOLE = 4, 5, 7
_FIRST_OPSET = 9


def by_steps(model: onnx_ir.Model) -> list[Rewrite]:
    """Replace such layers, in place."""
    done = []
    for node in [n for n in model.graph if n.op_type in _LAYERS and n.domain in ONNX_DOMAINS]:
        lengths = node.inputs[_LENGTHS] if len(node.inputs) > _LENGTHS else None
        constants = [known(v) for v in node.inputs[1:4] if v is not None]
        sizes = shape_of(node.inputs[0]) if node.inputs[0] is not None else None
        computed = sizes is None or any(c is None for c in constants) or opset_of(model) < _FIRST_OPSET
        if lengths is None or known(lengths) is not None or computed:
            continue
        _Layer(model, node, lengths, sizes or ()).replace()
        done.append(Rewrite("sequence lengths are looked at step by step", str(node.name), str(lengths.name)))
    return done


def _input(node: onnx_ir.Node, index: int) -> onnx_ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


@dataclass(eq=False)
class _Layer:
    """A layer on its way to become Scans."""

    model: onnx_ir.Model
    node: onnx_ir.Node
    lengths: onnx_ir.Value
    sizes: Sequence[int]

    def __post_init__(self) -> None:
        self.writer = Writer(str(self.node.name), opset_of(self.model))
        self.attributes: dict[str, Any] = {n: a.value for n, a in self.node.attributes.items()}
        self.batch_first = bool(self.attributes.pop("layout", 0))
        self.direction = str(self.attributes.pop("direction", "forward"))
        weights = known(self.node.inputs[2])
        assert weights is not None
        self.units = weights.shape[-1]
        self.dtype = weights.dtype

    def replace(self) -> None:
        """Put Scans, and what joins their results, where the layer was."""
        w, node = self.writer, self.node
        x = node.inputs[0]
        assert x is not None
        if self.batch_first:
            x = w.add("Transpose", x, perm=[1, 0, 2])[0]
        backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[self.direction]
        found = [self._direction(x, d, back, len(backwards)) for d, back in enumerate(backwards)]
        made = [w.add("Concat", *(f[-1] for f in found), axis=1)[0]]
        made += [w.add("Concat", *(f[k] for f in found), axis=0)[0] for k in range(_LAYERS[node.op_type][1])]
        if self.batch_first:
            made = [
                w.add("Transpose", v, perm=p)[0] for v, p in zip(made, ([2, 0, 1, 3], *[[1, 0, 2]] * 2), strict=False)
            ]
        finals = [w.add("Identity", v)[0] for v in made[: len(node.outputs)]]
        onnx_ir.convenience.replace_nodes_and_values(
            self.model.graph, node, [node], w.nodes, list(node.outputs), finals
        )

    def _direction(self, x: onnx_ir.Value, d: int, backwards: bool, directions: int) -> tuple[onnx_ir.Value, ...]:
        """The final states of one direction, [1, batch, units], and its sequence [steps, 1, batch, units]."""
        states = [self._initial(k, d) for k in range(_LAYERS[self.node.op_type][1])]
        steps = self.sizes[1 if self.batch_first else 0]
        numbers = self.writer.constant(np.arange(steps, dtype=np.int32))
        return self.writer.add(
            "Scan",
            *states,
            x,
            numbers,
            name=str(self.node.name) + (f":{('forward', 'backward')[d]}" if directions == 2 else ":steps"),
            outputs=len(states) + 1,
            body=self._body(d, directions),
            num_scan_inputs=2,
            scan_input_directions=[int(backwards)] * 2,
            scan_output_directions=[int(backwards)],
        )

    def _initial(self, k: int, d: int) -> onnx_ir.Value:
        w, given = self.writer, _input(self.node, _STATES + k)
        if given is None:
            batch = self.sizes[0 if self.batch_first else 1]
            return w.constant(np.zeros((1, batch, self.units), self.dtype))
        return w.stack([w.take(given, 1 if self.batch_first else 0, d)], 0)

    def _body(self, d: int, directions: int) -> onnx_ir.Graph:
        """One step: states, x_t [batch, inputs] and t to states and what is collected."""
        kind = self.node.op_type
        count, states = _LAYERS[kind]
        w = Writer(f"{self.node.name}:{d}", opset_of(self.model))
        names = ("h", "c")[:states]
        before = [onnx_ir.Value(name=f"{self.node.name}:{d}:{n}") for n in names]
        part, at = (onnx_ir.Value(name=f"{self.node.name}:{d}:{n}") for n in ("x", "t"))
        running = w.stack([w.add("Less", at, self.lengths)[0]], 1)
        weights = [self._of_direction(w, i, d) for i in range(1, 4)]
        peephole = self._of_direction(w, _PEEPHOLE, d)
        more = [peephole] if peephole is not None else []
        layer = w.add(
            kind,
            w.stack([part], 0),
            *weights,
            None,
            *before,
            *more,
            name=f"{self.node.name}:{d}:layer" if directions == 2 else f"{self.node.name}:layer",
            outputs=states + 1,
            **self._attributes(d, count, directions),
        )
        kept = [w.add("Where", running, n, b)[0] for n, b in zip(layer[1:], before, strict=True)]
        zero = w.constant(np.zeros((), self.dtype))
        collected = w.add("Where", running, layer[1], zero)[0]
        return onnx_ir.Graph([*before, part, at], [*kept, collected], nodes=w.nodes, name=f"{self.node.name}:{d}")

    def _of_direction(self, w: Writer, index: int, d: int) -> onnx_ir.Value | None:
        value = known(_input(self.node, index))
        return None if value is None else w.constant(np.ascontiguousarray(value[d : d + 1]))

    def _attributes(self, d: int, count: int, directions: int) -> dict[str, Any]:
        """Those of one direction: it has its own functions."""
        found = dict(self.attributes)
        if "activations" in found:
            found["activations"] = list(found["activations"])[d * count : (d + 1) * count]
        for name in ("activation_alpha", "activation_beta"):
            values = list(found.get(name, ()))
            if values and directions == 2:
                found[name] = _share(self.attributes.get("activations", ()), values, name, d, count)
        return {n: v for n, v in found.items() if not isinstance(v, list) or v}


def _share(functions: Sequence[str], values: Sequence[float], name: str, d: int, count: int) -> list[float]:
    """The values of the functions of one direction: ONNX lists those of functions that take them, in order."""
    takes = [f.lower() in _TAKES[name] for f in functions]
    before = sum(takes[: d * count])
    return list(values[before : before + sum(takes[d * count : (d + 1) * count])])


_TAKES = {
    "activation_alpha": ("affine", "elu", "hardsigmoid", "leakyrelu", "scaledtanh", "thresholdedrelu"),
    "activation_beta": ("affine", "hardsigmoid", "scaledtanh"),
}
