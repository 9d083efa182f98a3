"""Dimensions and scalar inputs to numbers: firmware has fixed shapes and no control flow.

Rules, cited by number in the code:
1. What the user asks for is bound as asked.
2. What the audio pipeline of a known model says is bound as it says.
3. A batch is 1: the first of two or more dimensions when it is dynamic, unless its name says that it counts time; any
   dimension whose name says batch; and one without a name in an input that is called a state.
4. Every other dynamic dimension, and every scalar integer or boolean input, must be bound by 1 or 2.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain

import numpy as np
import onnx_ir

from mcu_quant.diagnostics import Diagnostic, did_you_mean, raise_errors
from mcu_quant.frontend.states import of_one_name, speaks_of_state

_BATCH = re.compile(r"^(n|bs|unk__\d+|.*batch.*)$", re.IGNORECASE)
_TIME = re.compile(r"(seq|time|len|frame|sample|step|chunk|window|^t$|^l$)", re.IGNORECASE)


class Why(StrEnum):
    """Who decided the value of a binding."""

    ASKED = "asked"
    PIPELINE = "pipeline"
    BATCH = "batch default"


@dataclass(frozen=True)
class Binding:
    """A dynamic dimension, or a scalar input, and the number it was given. `where` names the places it stands in."""

    name: str
    value: int
    why: Why
    where: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} = {self.value} ({self.why}; {', '.join(self.where)})"


def bind_inputs(
    model: onnx_ir.Model, asked: Mapping[str, int], pipeline: Mapping[str, int] | None = None
) -> tuple[Binding, ...]:
    """Fix every input of a model in place: numbers for dimensions, constants for scalar inputs.

    Raises:
        DiagnosticError: MQ106 and MQ110, all of them at once.
    """
    pipeline = pipeline or {}
    found: dict[str, Binding] = {}
    problems: list[Diagnostic] = []
    for name, places, batch in _open(model):
        if name in asked:
            choice = Binding(name, asked[name], Why.ASKED, places)  # rule 1
        elif name in pipeline:
            choice = Binding(name, pipeline[name], Why.PIPELINE, places)  # rule 2
        elif batch:
            choice = Binding(name, 1, Why.BATCH, places)  # rule 3
        else:
            problems.append(_unbound(name, places))  # rule 4
            continue
        known = found.get(name)
        found[name] = replace(choice, where=(*known.where, *places)) if known else choice
    problems = list({p.where: p for p in problems}.values())
    problems += _unknown(model, asked, found.keys() | {p.where for p in problems})
    problems += _impossible(model, found)
    raise_errors(problems)
    _apply(model, found)
    return tuple(found.values())


def _open(model: onnx_ir.Model) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Everything that needs a number: its name, where it stands, and whether it is a batch."""
    named_batch = {
        str(value.shape[0].value)
        for value in model.graph.inputs
        if value.shape is not None and len(value.shape) > 1 and not isinstance(value.shape[0], int)
    }
    for value in model.graph.inputs:
        if _is_scalar_choice(value):
            if value.uses():
                yield str(value.name), (f"input {value.name}",), False
            continue
        for axis, dim in enumerate(value.shape or ()):
            if isinstance(dim, int):
                continue
            name = _dimension(value, axis)
            first = axis == 0 and len(value.shape or ()) > 1
            says_batch = name in named_batch or bool(_BATCH.match(name))
            in_state = not dim.value and speaks_of_state(str(value.name))
            time = bool(dim.value and _TIME.search(name))
            yield name, (f"{value.name}[{axis}]",), not time and (first or says_batch or in_state)


def _is_scalar_choice(value: onnx_ir.Value) -> bool:
    """A sampling rate, a switch: one integer or truth value, which control flow can hang on.

    Not a position or a count, which comes out again under nearly the same name: that is a state.
    """
    whole = value.dtype is not None and (value.dtype.is_integer() or value.dtype == onnx_ir.DataType.BOOL)
    one = whole and value.shape is not None and all(d == 1 for d in value.shape) and len(value.shape) <= 1
    outputs = value.graph.outputs if one and value.graph is not None else ()
    return one and not any(o.dtype == value.dtype and of_one_name(str(value.name), str(o.name)) for o in outputs)


def _dimension(value: onnx_ir.Value, axis: int) -> str:
    """The name of a dynamic dimension; one without a name is called after its input."""
    assert value.shape is not None
    dim = value.shape[axis]
    name = None if isinstance(dim, int) else dim.value
    return name or f"{value.name}.{axis}"


def _unbound(name: str, places: tuple[str, ...]) -> Diagnostic:
    scalar = places[0].startswith("input ")
    what = "a scalar input must be a constant" if scalar else f"the dynamic dimension {places[0]} has no size"
    return Diagnostic("MQ106", name, what, help=f"--bind {name}=N")


def _unknown(model: onnx_ir.Model, asked: Mapping[str, int], known: set[str]) -> Iterator[Diagnostic]:
    outputs = chain.from_iterable(value.shape or () for value in model.graph.outputs)
    harmless = {str(d.value) for d in outputs if not isinstance(d, int) and d.value}
    for name in asked:
        if name not in known and name not in harmless:
            help_ = did_you_mean(name, known) or "the model has nothing to bind"
            yield Diagnostic("MQ110", name, "the model has no dimension or scalar input of this name", help=help_)


def _impossible(model: onnx_ir.Model, found: Mapping[str, Binding]) -> Iterator[Diagnostic]:
    """Dimensions below 1, and numbers that do not fit the type of a scalar input."""
    inputs = {str(value.name): value for value in model.graph.inputs}
    for name, binding in found.items():
        value = inputs.get(name)
        if value is None:
            low, high, what = 1, sys.maxsize, "a dimension"
        else:
            assert value.dtype is not None
            whole = value.dtype != onnx_ir.DataType.BOOL
            limits = np.iinfo(value.dtype.numpy()) if whole else None
            low, high, what = (int(limits.min), int(limits.max), str(limits.dtype)) if limits else (0, 1, "bool")
        if not low <= binding.value <= high:
            help_ = f"--bind {name}=N, with N of at least {low}" if binding.value < low else f"--bind {name}=N"
            yield Diagnostic("MQ106", name, f"{what} cannot be {binding.value}", help=help_)


def _apply(model: onnx_ir.Model, bindings: Mapping[str, Binding]) -> None:
    for value in tuple(model.graph.inputs):
        if _is_scalar_choice(value):
            model.graph.inputs.remove(value)
            if str(value.name) in bindings:
                assert value.dtype is not None and value.shape is not None
                number = np.full([1] * len(value.shape), bindings[str(value.name)].value, value.dtype.numpy())
                value.const_value = onnx_ir.tensor(number, name=value.name)
                model.graph.register_initializer(value)
        elif value.shape is not None:
            sizes = enumerate(value.shape)
            value.shape = onnx_ir.Shape(
                d if isinstance(d, int) else bindings[_dimension(value, a)].value for a, d in sizes
            )
