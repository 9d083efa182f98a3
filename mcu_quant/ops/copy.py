"""Plain copies and fills: no ONNX operator, what lowering inserts where values must move or start at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mcu_quant.ir import Array
from mcu_quant.ops import Counts, Kernel, register_kernel
from mcu_quant.program import Call, Program, Scalar

if TYPE_CHECKING:
    pass


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
