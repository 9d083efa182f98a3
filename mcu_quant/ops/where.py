"""Where: a where the condition is true, b elsewhere, element by element, all three broadcast.

It selects, so it computes nothing: values stay in the format they are stored in, both sides brought to a common one.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from mcu_quant.ir import Array, Graph, Operator, Shape, TensorType
from mcu_quant.lowering import Lowering
from mcu_quant.ops import Counts, Fixed, Given, Kernel, OpSpec, Sample, given, register, register_kernel
from mcu_quant.ops.common.broadcast import LOOPS, steps_of
from mcu_quant.ops.layout import carrying, common_type
from mcu_quant.ops.whole import spread
from mcu_quant.program import Call, Program, Struct


def loops(*operands: Shape) -> tuple[tuple[int, ...], ...]:
    """The fewest loops that broadcast shapes: sizes, then the steps of each operand; the first loops have size 1."""
    y = np.broadcast_shapes(*operands)
    axes: list[tuple[int, ...]] = []
    for size, *steps in zip(y, *(steps_of(s, len(y)) for s in operands), strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1:] == tuple(size * s for s in steps):
            axes[-1] = (axes[-1][0] * size, *steps)
        else:
            axes.append((size, *steps))
    missing = LOOPS - len(axes)
    return tuple(zip(*[(1, *[0] * len(operands))] * missing, *axes, strict=True))


def infer(op: Operator, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """All three shapes, broadcast."""
    condition, a, b = types
    assert condition and a and b
    return (TensorType(tuple(np.broadcast_shapes(condition.shape, a.shape, b.shape)), a.dtype),)


def reference(op: Operator, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The selected values."""
    return (np.where(*inputs),)


def few_loops(op: Operator, graph: Graph) -> str | None:
    """Broadcasting takes at most six nested loops, neighbouring axes that all operands move along alike being one."""
    shapes = [graph.shape(i) for i in op.inputs]
    axes = len(loops(*shapes)[0])
    return f"{shapes} take {axes}" if axes > LOOPS else None


def _counts(program: Program, call: Call) -> Counts:
    p = call.args["p"]
    assert isinstance(p, Struct)
    shape = p.fields["shape"]
    assert isinstance(shape, tuple)
    return Counts(elements=int(prod(shape)), units=int(prod(shape[:-1])))


def _exact(condition: Array, a: Array, b: Array, p: dict[str, Any]) -> Array:
    steps = (p["condition_step"], p["a_step"], p["b_step"])
    taken, left, right = (spread(x.ravel(), p["shape"], s) for x, s in zip((condition, a, b), steps, strict=True))
    return np.where(taken, left, right)


for _bits in (8, 16, 32, 64):
    inplace = (("a", "y"), ("b", "y"))
    register_kernel(Kernel(f"mq_where_{_bits}", "layout", counts=_counts, exact=_exact, inplace=inplace))


def _lower(op: Operator, lo: Lowering) -> None:
    condition, a, b = op.inputs
    want = common_type(lo, (a, b), op.outputs[0])
    shape, condition_step, a_step, b_step = loops(*(lo.shape(i) for i in op.inputs))
    p = lo.struct("mq_where_params", shape=shape, condition_step=condition_step, a_step=a_step, b_step=b_step)
    lo.call(
        f"mq_where_{want.storage.bytes * 8}",
        condition=lo.read(condition, "b8"),
        a=lo.read(a, want.format, want.quant),
        b=lo.read(b, want.format, want.quant),
        y=lo.write(op.outputs[0], want.format, want.quant),
        p=p,
    )


def _condition(*shape: int) -> Given:
    return Given(shape, 0.0, 2.0, "bool")


WHERE = register(
    OpSpec(
        name="Where",
        onnx=("Where",),
        infer=infer,
        reference=reference,
        constraints=(few_loops,),
        carries=True,
        family="layout",
        lowerings=carrying(_lower),
        samples=(
            Sample("Where", (Fixed(np.array([True, False, True])), given(2, 3), given(2, 3))),
            Sample("Where", (Fixed(np.eye(3, dtype=bool)), given(2, 3, 3), Fixed(np.array(-0.5, np.float32)))),
            Sample("Where", (_condition(4, 1), given(1, 5), given(3, 4, 5)), name="computed"),
            Sample("Where", (_condition(9), Given((9,), 0, 9, "int64"), Given((2, 9), 0, 9, "int64")), name="int64"),
        ),
    )
)
