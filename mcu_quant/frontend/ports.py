"""Names and sizes of a model's inputs and outputs as its file states them, before anything is bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import onnx

from mcu_quant.frontend.read import read

#: A number, or the name of a dimension that is not fixed (None: without a name), per axis.
Sizes = tuple[int | str | None, ...]


@dataclass(frozen=True)
class Ports:
    """Inputs (caches included, constants not) and outputs by name."""

    inputs: Mapping[str, Sizes]
    outputs: Mapping[str, Sizes]


def ports(path: str | PathLike[str]) -> Ports:
    """The ports of a model file.

    Raises:
        DiagnosticError: MQ101, MQ102 if it cannot be read.
    """
    graph = read(Path(path)).graph
    constants = {initializer.name for initializer in graph.initializer}
    return Ports(_sizes(v for v in graph.input if v.name not in constants), _sizes(graph.output))


def _sizes(values: Iterable[onnx.ValueInfoProto]) -> dict[str, Sizes]:
    return {v.name: tuple(_size(d) for d in v.type.tensor_type.shape.dim) for v in values}


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    return dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
