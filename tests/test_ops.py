"""Every operator over its samples: shapes and meaning as onnxruntime's, and every lowering's C as it is specified."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from mcu_quant import formats, memory, ops
from mcu_quant.formats import ScaleKind
from mcu_quant.interpret import execute
from mcu_quant.ops import OpLowering, OpSpec, Sample
from mcu_quant.passes.loops import inline_loops
from mcu_quant.precision.plan import CHOICES
from mcu_quant.variants import sources
from tests import helpers

SAMPLES = helpers.samples()

#: SNR in dB of the float references against onnxruntime: f32 arithmetic in another order.
REFERENCE_SNR_DB = 100.0

#: SNR in dB that is left when values from [-1, 1] or so are only stored in a format.
STORAGE_SNR_DB = {"f32": 140.0, "f16": 65.0, "s16": 75.0, "s8": 30.0}

each_sample = pytest.mark.parametrize(("spec", "sample"), [pytest.param(s, x, id=n) for n, s, x in SAMPLES])


@each_sample
def test_reference_is_what_onnxruntime_computes(spec: OpSpec, sample: Sample, tmp_path: Path) -> None:
    case = helpers.case(sample, tmp_path)
    snr_db = helpers.snr_db(case.onnxruntime, helpers.interpreted(case.graph, case.frames))
    assert snr_db >= REFERENCE_SNR_DB


@each_sample
def test_inferred_types_are_those_of_the_values(spec: OpSpec, sample: Sample, tmp_path: Path) -> None:
    case = helpers.case(sample, tmp_path)
    values = execute(case.graph, case.frames[0])
    for op in case.graph.operators:
        types = [case.graph.types[i] if i else None for i in op.inputs]
        inferred = ops.spec(op).infer(op, types)
        for name, type_ in zip(op.outputs, inferred, strict=False):
            if name:
                assert type_ == case.graph.types[name], op
                assert type_.shape == values[name].shape, op


def _lowerings() -> list[object]:
    found = []
    for name, spec, sample in SAMPLES:
        if spec.carries:
            continue
        for low in spec.lowerings:
            for scale in low.scales:
                parts = [low.format, f"w-{low.formats.weight}" * bool(low.formats.weight), low.formats.output]
                parts += [scale] if scale is not ScaleKind.STATIC else []
                found.append(pytest.param(spec, sample, low, scale, id="-".join((name, *filter(None, parts)))))
    return found


@pytest.mark.parametrize(("spec", "sample", "low", "scale"), _lowerings())
def test_lowering(spec: OpSpec, sample: Sample, low: OpLowering, scale: ScaleKind, tmp_path: Path) -> None:
    case = helpers.case(sample, tmp_path)
    if not any(op.op == spec.name for op in case.graph.operators):
        pytest.skip(f"this sample is no {spec.name} in its canonical form")
    refused = [low.applies(op, case.graph) for op in case.graph.operators if op.op == spec.name and low.applies]
    if any(refused):
        pytest.skip(f"does not apply: {refused}")
    plan = helpers.plan_in(case.graph, low.format, case.frames, {spec.name: helpers.choice(low, scale)})
    ran = helpers.run(case.graph, plan, case.frames)
    assert ran.mismatches == []
    assert helpers.prototype_problems(ran.program) == []
    memory.plan(ran.program)  # raises where two live buffers overlap
    snr_db = helpers.snr_db(case.onnxruntime, ran.outputs)
    if helpers.wholly_in(case.graph, plan, low.format):
        assert snr_db >= low.sample_snr_db


@pytest.mark.parametrize("fmt", CHOICES)
@pytest.mark.parametrize(("spec", "sample"), [pytest.param(s, x, id=n) for n, s, x in SAMPLES if s.carries])
def test_carried_values(spec: OpSpec, sample: Sample, fmt: str, tmp_path: Path) -> None:
    case = helpers.case(sample, tmp_path, stored=True)
    ran = helpers.run(case.graph, helpers.plan_in(case.graph, fmt, case.frames), case.frames)
    assert ran.mismatches == []
    assert helpers.prototype_problems(ran.program) == []
    memory.plan(ran.program)
    snr_db = helpers.snr_db(case.onnxruntime, ran.outputs)
    assert snr_db >= STORAGE_SNR_DB[fmt]
    kept = {ran.program.edges[n].type.format for n in case.graph.outputs if n in ran.program.edges}
    assert kept <= {fmt, "f32", *(formats.natural(case.graph.types[n].dtype).name for n in case.graph.outputs)}


#: SNR in dB at least of operators that are several others in their canonical form, each with its own rounding.
COMPOSED_SNR_DB = {"f32": 100.0, "f16": 45.0, "s16": 35.0, "s8": 20.0}


@pytest.mark.parametrize("fmt", CHOICES)
@pytest.mark.parametrize(("spec", "sample"), [pytest.param(s, x, id=n) for n, s, x in SAMPLES if not s.lowerings])
def test_composed_operator(spec: OpSpec, sample: Sample, fmt: str, tmp_path: Path) -> None:
    case = helpers.case(sample, tmp_path)
    graph = inline_loops(case.graph)
    lowered = [ops.spec(op).lowerings or ops.spec(op).exact for op in graph.operators]
    assert all(lowered), "the canonical form must be one that is lowered"
    plan = helpers.plan_in(graph, fmt, case.frames)
    ran = helpers.run(graph, plan, case.frames)
    assert ran.mismatches == []
    assert helpers.prototype_problems(ran.program) == []
    memory.plan(ran.program)
    snr_db = helpers.snr_db(case.onnxruntime, ran.outputs)
    assert snr_db >= COMPOSED_SNR_DB[fmt]


# --- the registry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ops.specs().values(), ids=lambda s: s.name)
def test_operator_is_complete(spec: OpSpec) -> None:
    assert spec.samples or not spec.onnx, "an operator needs at least one sample"
    assert {s.onnx for s in spec.samples} <= set(ops.by_onnx())
    # what always becomes other operators, as BatchNormalization does, has no kernels of its own
    assert spec.lowerings or spec.canonicalise or spec.exact
    assert all(low.format in CHOICES for low in spec.lowerings)
    for constraint in spec.constraints:
        assert constraint.__doc__, f"{constraint.__name__}: the docstring is the rule"
        assert ops.rule(constraint).endswith(".")
    assert (inspect.getmodule(spec.reference).__doc__ or "").strip()


def test_kernels_and_c_files_belong_together() -> None:
    kernels, files = ops.kernels(), sources()
    assert set(kernels) - set(files) == set(), "kernels without a C file"
    # a function that is passed to a kernel computes one number
    numbers = ("float", "int32_t", "int64_t")
    functions = {n for n in set(files) - set(kernels) if helpers.declared().results[n] in numbers}
    assert set(files) - set(kernels) - functions == set(), "C files without a kernel"
    for name, kernel in kernels.items():
        assert {path.parent.name for path in files[name].values()} == {kernel.family}
        assert "scalar" in files[name], f"{name} has no scalar variant"


@pytest.mark.parametrize("kernel", ops.kernels().values(), ids=lambda k: k.name)
def test_kernel_is_declared_and_specified(kernel: ops.Kernel) -> None:
    assert kernel.name in helpers.declared().parameters, "no prototype"
    parameters = set(helpers.declared().parameters[kernel.name])
    assert {name for pair in kernel.inplace for name in pair} <= parameters
    if kernel.name.endswith(("_s8", "_s16")):
        assert kernel.exact, "an integer kernel has a specification"
    if kernel.exact:
        signature = inspect.signature(kernel.exact).parameters
        own = {n for n, p in signature.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
        assert own <= parameters | {n for n, p in signature.items() if p.default is not p.empty}


def test_snr_tells_equal_from_wrong() -> None:
    want = {"y": np.array([1.0, -2.0, np.inf])}
    assert helpers.snr_db(want, {"y": np.array([1.0, -2.0, np.inf])}) == np.inf
    assert helpers.snr_db(want, {"y": np.array([1.0, -2.02, np.inf])}) < 41.0
    assert helpers.snr_db(want, {"y": np.array([1.0, -2.0, 5.0])}) == -np.inf
    assert helpers.snr_db(want, {"y": np.array([1.0, np.nan, np.inf])}) == -np.inf
