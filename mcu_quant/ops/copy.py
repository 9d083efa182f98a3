"""Plain copies and fills: no ONNX operator, what lowering inserts where values must move or start at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mcu_quant.ir import Array
from mcu_quant.ops import Counts, Kernel, register_kernel
from mcu_quant.program import Access, Buffer, Call, Constant, Program, Purpose, Scalar

if TYPE_CHECKING:
    from mcu_quant.lower import Lowering


def _words(program: Program, call: Call) -> Counts:
    count = call.args["bytes"]
    assert isinstance(count, Scalar)
    return Counts(elements=(int(count.value) + 3) // 4)


def _exact_copy(x: Array, bytes: int) -> Array:
    return x


def _exact_fill(value: int, bytes: int) -> Array:
    return np.full(bytes, value, np.int8)


COPY = register_kernel(Kernel("mq_copy", "copy", counts=_words, exact=_exact_copy))
FILL = register_kernel(Kernel("mq_fill", "copy", counts=_words, exact=_exact_fill))


def copy(lo: Lowering, source: Buffer | Constant, edge: str) -> None:
    """Copy an operand to an edge of the same format and scale."""
    type_ = lo.type_of(Buffer(edge, Access.READ))
    lo.call("mq_copy", Purpose.COPY, x=source, y=Buffer(edge, Access.WRITE), bytes=type_.bytes)


def fill(lo: Lowering, edge: str) -> None:
    """Set an edge to the real number zero."""
    type_ = lo.type_of(Buffer(edge, Access.READ))
    zero = type_.quant.zero_point if type_.quant else 0
    if zero and type_.storage.bytes != 1:
        raise ValueError(f"{edge}: a zero point in {type_.format} cannot be filled bytewise")
    lo.call("mq_fill", Purpose.COPY, y=Buffer(edge, Access.WRITE), value=zero, bytes=type_.bytes)
