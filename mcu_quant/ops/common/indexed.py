"""Moving elements to or from positions that are known only at run time: calls, and their specification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mcu_quant.ir import Array
from mcu_quant.ops import Counts, Kernel, register_kernel
from mcu_quant.program import Access, Buffer, Call, Program, Struct

if TYPE_CHECKING:
    from mcu_quant.lowering import Lowering, Operand


@dataclass(frozen=True, eq=False)
class Positions:
    """Flat positions as `base` plus indices times `step`, one row of `len(step)` indices for each, rows repeating."""

    base: Array
    rows: int
    size: tuple[int, ...]
    step: tuple[int, ...]


def _fields(call: Call) -> dict[str, Any]:
    p = call.args["p"]
    assert isinstance(p, Struct)
    return dict(p.fields)


def _positions_counts(program: Program, call: Call) -> Counts:
    return Counts(elements=int(_fields(call)["count"] * _fields(call)["depth"]))


def _gather_counts(program: Program, call: Call) -> Counts:
    return Counts(elements=int(_fields(call)["count"] * _fields(call)["run"]), units=int(_fields(call)["count"]))


def _exact_positions(index: Array, p: dict[str, Any]) -> Array:
    rows = np.resize(index.reshape(-1, p["depth"]).astype(np.int64), (p["count"], p["depth"]))
    inside = np.clip(np.where(rows < 0, rows + p["size"], rows), 0, np.asarray(p["size"], np.int64) - 1)
    return np.asarray(p["base"] + inside @ np.asarray(p["step"], np.int64)).astype(np.int32)


def _exact_gather(x: Array, position: Array, p: dict[str, Any]) -> Array:
    return x.ravel()[np.add.outer(position.astype(np.int64), np.arange(p["run"])).ravel()]


def _exact_scatter(x: Array, position: Array, y: Array, p: dict[str, Any]) -> Array:
    written = y.flatten()
    for at, run in zip(position, x.reshape(p["count"], p["run"]), strict=True):  # of several the last one stays
        written[at : at + p["run"]] = run
    return written


register_kernel(Kernel("mq_positions", "indexed", counts=_positions_counts, exact=_exact_positions))
for _bits in (8, 16, 32, 64):
    register_kernel(Kernel(f"mq_gather_at_{_bits}", "indexed", counts=_gather_counts, exact=_exact_gather))
    register_kernel(Kernel(f"mq_scatter_at_{_bits}", "indexed", counts=_gather_counts, exact=_exact_scatter))


def gather_at(lo: Lowering, x: Operand, index: str, y: Buffer, where: Positions, run: int) -> None:
    """y = runs of x from the positions that an edge of indices gives."""
    position = _positions(lo, index, where)
    bits = lo.type_of(x).storage.bytes * 8
    lo.call(f"mq_gather_at_{bits}", x=x, position=position, y=y, p=_runs(lo, where, run))


def scatter_at(lo: Lowering, x: Operand, index: str, y: Buffer, where: Positions, run: int) -> None:
    """Runs of x to the positions of y that an edge of indices gives; y is updated."""
    position = _positions(lo, index, where)
    bits = lo.type_of(x).storage.bytes * 8
    lo.call(f"mq_scatter_at_{bits}", x=x, position=position, y=y, p=_runs(lo, where, run))


def _runs(lo: Lowering, where: Positions, run: int) -> Struct:
    return lo.struct("mq_gather_at_params", count=int(np.size(where.base)), run=run)


def _positions(lo: Lowering, index: str, where: Positions) -> Buffer:
    """The flat positions that an edge of indices gives."""

    def table(name: str, values: Array) -> Any:
        return lo.constant(np.asarray(values), "s32", hint=f"{lo.op.name}:{name}", comment="offsets", kind="table")

    count = int(np.size(where.base))
    position = lo.temporary((count,), "i32", hint="position")
    p = lo.struct(
        "mq_positions_params",
        count=count,
        rows=where.rows,
        depth=len(where.step),
        base=table("base", np.ravel(where.base)),
        size=table("size", np.array(where.size)),
        step=table("step", np.array(where.step)),
    )
    lo.call("mq_positions", index=lo.read(index, "i32"), position=Buffer(position, Access.WRITE), p=p)
    return Buffer(position, Access.READ)
