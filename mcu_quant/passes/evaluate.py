"""One operator computed at import, by its own reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mcu_quant import ops
from mcu_quant.ir import Array, Operator


def evaluate(op: Operator, constants: Mapping[str, Array]) -> dict[str, Array] | None:
    """The outputs of an operator by name, if all its inputs are constants."""
    if op.op not in ops.specs() or not all(i in constants for i in op.inputs if i):
        return None
    values = ops.spec(op).reference(op, [constants[i] if i else None for i in op.inputs])
    return {o: np.array(v) for o, v in zip(op.outputs, values, strict=False) if o}
