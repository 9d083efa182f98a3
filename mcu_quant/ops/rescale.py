"""What an integer layer makes of an input with the scale of the frame, in floats: no ONNX operator.

    x in s8 or s16 with the frame's scale -> layer with s8 weights and no scale -> s16 -> mq_rescale -> f32 or f16

The layer's kernels are those of static scales: sums of products have no scale, and 16 bits cover the largest sum of
each row for any input. `firmware/kernels/rescale/mq_rescale.h` has the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mcu_quant import formats
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Array
from mcu_quant.ops import Counts, Kernel, register_kernel
from mcu_quant.program import Access, Buffer, Call, Program, Struct

if TYPE_CHECKING:
    from mcu_quant.lowering import Lowering
    from mcu_quant.quantise import Rows

#: Scales of 16 bits that are found per frame.
POW2 = (ScaleKind.FRAME_POW2,)

#: Largest stored sum: a little below the largest value, so that rounding cannot leave the format.
LARGEST = 32760.0


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    f: Any = p.fields
    return Counts(elements=f["batch"] * f["rows"] * f["columns"], units=f["batch"] * f["rows"])


def _exact(fmt: str) -> Callable[..., Array]:
    def exact(x: Array, x_scale: Array, p: Mapping[str, Any]) -> Array:
        shaped = x.reshape(p["batch"], p["rows"], p["columns"]).astype(np.float32)
        factor = (p["factor"] * x_scale[0]).astype(np.float32)[:, None]
        with np.errstate(over="ignore"):  # infinite where C's is
            real = np.clip(shaped * factor + p["bias"][:, None], np.float32(p["low"]), np.float32(p["high"]))
            made: Array = real.astype(formats.get(fmt).dtype)
        return made

    return exact


for _fmt in ("f32", "f16"):
    register_kernel(Kernel(f"mq_rescale_{_fmt}", "rescale", counts=_counts, exact=_exact(_fmt)))


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of each row as 16 bits: what accumulators are multiplied by, and the size of one step of the result."""

    to_stored: NDArray[np.float64]
    factor: NDArray[np.float64]

    @staticmethod
    def of(rows: Rows, doubled: bool) -> Sums:
        """So that no input leaves 16 bits: the largest accumulator of each row is known.

        `doubled`: the kernel subtracts a zero point, so that inputs are up to twice as large.
        """
        bound = np.maximum(rows.bound.astype(np.float64), 1.0) * (2.0 if doubled else 1.0)
        to_stored = LARGEST / bound
        return Sums(to_stored, rows.scale / to_stored)


def rescale(
    lo: Lowering,
    sums: str,
    x_scale: Buffer,
    y: Buffer,
    made: Sums,
    bias: Array | None,
    shape: tuple[int, int, int],
    limits: tuple[float, float],
) -> None:
    """The call: `sums` [batch, rows, columns] to y. `bias`: [rows] in reals."""
    batch, rows, columns = shape
    op = lo.op.name
    p = lo.struct(
        "mq_rescale_params",
        batch=batch,
        rows=rows,
        columns=columns,
        factor=lo.constant(made.factor, "f32", hint=f"{op}:factor", kind="table"),
        bias=lo.constant(np.zeros(rows) if bias is None else bias, "f32", hint=f"{op}:bias"),
        low=limits[0],
        high=limits[1],
    )
    kernel = f"mq_rescale_{lo.type_of(y).format}"
    lo.call(kernel, x=Buffer(sums, Access.READ), x_scale=x_scale, y=y, p=p)
