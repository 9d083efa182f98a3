"""Reductions of whole numbers and truth values: the kernel, and how a reduction along axes becomes a call of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_quant.ir import Array
from mcu_quant.ops import Counts, Kernel, register_kernel
from mcu_quant.program import Call, Program, Struct, Symbol

if TYPE_CHECKING:
    from mcu_quant.lowering import Lowering

#: Kind of a reduction -> the function on two whole numbers.
FUNCTIONS = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}
_NUMPY: dict[str, np.ufunc] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def reduced(kind: str, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The reduction, in 64 bits, cut to the type of x; of no numbers it is that which changes none."""
    wide = x.astype(np.uint64 if x.dtype == np.uint64 else np.int64)
    low, high = (0, 1) if x.dtype == np.bool_ else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    neutral = {"sum": 0, "prod": 1, "max": low, "min": high}[kind]
    with np.errstate(over="ignore"):
        found: Array = np.asarray(_NUMPY[FUNCTIONS[kind]].reduce(wide, axis=axes, initial=neutral))
    kept = [1 if a in axes else n for a, n in enumerate(x.shape)]
    return (found.reshape(kept) if keepdims else found).astype(x.dtype)


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    outer, count, inner = (int(p.fields[k]) for k in ("outer", "count", "inner"))  # type: ignore[arg-type]
    return Counts(elements=outer * count * inner, units=outer * inner)


def _exact(x: Array, p: dict[str, Any], f: str) -> Array:
    name = f.removeprefix("mq_whole_").removesuffix("_unsigned")
    kind = next(k for k, v in FUNCTIONS.items() if v == name)
    return reduced(kind, x.reshape(p["outer"], p["count"], p["inner"]), (1,), False)


register_kernel(Kernel("mq_reduce_whole", "reduce_whole", counts=_counts, exact=_exact))


def lower_whole(lo: Lowering, kind: str, edges: tuple[str, str], extent: tuple[int, int, int]) -> None:
    """Reduce one edge into another; `extent` is (outer, count, inner)."""
    x = lo.read(edges[0])
    unsigned = lo.natural(edges[0]) == "u64" and kind in ("max", "min")
    outer, count, inner = extent
    lo.call(
        "mq_reduce_whole",
        x=x,
        y=lo.write(edges[1]),
        p=lo.struct(
            "mq_reduce_whole_params", outer=outer, count=count, inner=inner, type=lo.type_of(x).storage.type_code
        ),
        f=Symbol(f"mq_whole_{FUNCTIONS[kind]}{'_unsigned' if unsigned else ''}"),
    )
