"""Variants of kernels for instruction sets: the very source, with modelled instructions, against the scalar one.

Every sample of every operator that has a variant, boundary sizes, and drawn shapes: both variants give the same bits,
and those of the specification where there is one. A float kernel that rounds elsewhere says so (`Kernel.near`), and is
as near to the scalar one as it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings

from mcu_quant import ops
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Graph
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.ops import OpLowering, OpSpec, Sample, given, weight
from mcu_quant.precision.plan import PrecisionPlan
from mcu_quant.variants import sources, variant_isa
from tests import helpers
from tests.drawn_samples import EVERY

VARIANTS = {isa: {n for n, files in sources().items() if isa in files} for isa in ("dsp", "mve")}

each_isa = pytest.mark.parametrize("isa", VARIANTS)


def gemm(rows: int, inputs: int, outputs: int) -> Sample:
    return Sample("Gemm", (given(rows, inputs), weight(inputs, outputs), weight(outputs)))


#: One less, exactly, one more than what a loop takes at a time: columns by 4 and 16, rows by 2 and 4.
BOUNDARIES = [gemm(1, n, m) for n in (1, 3, 4, 5, 15, 16, 17, 33) for m in (1, 2, 3, 4, 5, 6, 7, 9)]


def lowerings(spec: OpSpec) -> Iterator[tuple[OpLowering, ScaleKind]]:
    for low in spec.lowerings:
        for scale in low.scales:
            yield low, scale


def bits(outputs: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in outputs.items()}


def check(sample: Sample, isa: str, folder: Path, stored: bool = False) -> set[str]:
    """Run a sample in all lowerings on both instruction sets. Returns the kernels with a variant that ran."""
    case = helpers.case(sample, folder, stored)
    kernels: set[str] = set()
    for op in {op.op: op for op in case.graph.operators}.values():
        for low, scale in lowerings(ops.spec(op)):
            alike = [o for o in case.graph.operators if o.op == op.op]
            if low.applies and any(low.applies(o, case.graph) for o in alike):
                continue
            plan = helpers.plan_in(case.graph, low.format, case.frames, {op.op: helpers.choice(low, scale)})
            if not any(c.kernel in VARIANTS[isa] for c in lower(case.graph, plan, Target(isa)).calls):
                continue
            scalar = run(case.graph, plan, case.frames, "scalar")
            special = run(case.graph, plan, case.frames, isa)
            assert special.mismatches == [], low
            near = [ops.kernels()[c.kernel].near.get(variant_isa(c.kernel, isa)) for c in special.program.calls]
            if any(near):
                snr_db = helpers.snr_db(scalar.outputs, special.outputs)
                assert snr_db >= min(n.snr_db for n in near if n), low
            else:
                assert bits(special.outputs) == bits(scalar.outputs), low
            kernels |= {c.kernel for c in special.program.calls} & VARIANTS[isa]
    return kernels


def run(graph: Graph, plan: PrecisionPlan, frames: list[helpers.Frame], isa: str) -> helpers.Ran:
    program = lower(graph, plan, Target(isa))
    session = ProgramSession(program, verify=True)

    def frame(feeds: helpers.Frame) -> dict[str, np.ndarray]:
        return dict(zip(graph.outputs, session.run(None, feeds), strict=True)) | dict(session.states())

    return helpers.Ran(program, helpers.stack(frame(f) for f in frames), session.mismatches)


FAMILIES = {kernel.family for name, kernel in ops.kernels().items() if any(name in v for v in VARIANTS.values())}


@each_isa
@pytest.mark.parametrize(("spec", "sample"), [pytest.param(s, x, id=n) for n, s, x in helpers.samples()])
def test_samples(spec: OpSpec, sample: Sample, isa: str, tmp_path: Path) -> None:
    check(sample, isa, tmp_path)


@each_isa
@pytest.mark.parametrize("sample", BOUNDARIES, ids=str)
def test_boundary_sizes(sample: Sample, isa: str, tmp_path: Path) -> None:
    assert check(sample, isa, tmp_path)


@each_isa
@settings(max_examples=30, deadline=None, derandomize=True)
@drawn(sample=EVERY)
def test_drawn_shapes(sample: Sample, isa: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(sample, isa, tmp_path_factory.mktemp("drawn"))
