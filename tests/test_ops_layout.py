"""Layout operators: maps to loops, what is a view, mixed formats, caches over frames, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mcu_quant import frontend, ops
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.emulator.folder import FolderSession
from mcu_quant.ir import Array, Graph, Operator, State, StatePiece, TensorType
from mcu_quant.lower import lower
from mcu_quant.ops import Fixed, Given, Sample
from mcu_quant.ops import fixed as constant
from mcu_quant.ops import given as activation
from mcu_quant.ops.layout import indices
from mcu_quant.precision.plan import CHOICES, OperatorPlan, PrecisionPlan, Range
from mcu_quant.program import Program, Purpose
from tests import helpers
from tests.test_codegen import write_folder


def scales(*values: float) -> Fixed:
    """Factors of a Resize, one for each axis."""
    return Fixed(np.array(values, np.float32))


# --- what costs nothing ----------------------------------------------------------------------------------------------


def _program(sample: Sample, folder: Path, fmt: str = "s8") -> tuple[Graph, Program]:
    case = helpers.case(sample, folder, stored=True)
    return case.graph, lower(case.graph, helpers.plan_in(case.graph, fmt, case.frames))


def _moves(program: Program) -> list[str]:
    """Kernels that move values for an operator: not those that compute, nor conversions at the graph's ends."""
    return [c.kernel for c in program.calls if c.purpose is Purpose.COMPUTE and not c.kernel.startswith("mq_table")]


@pytest.mark.parametrize(
    "sample",
    [
        Sample("Slice", (activation(1, 1, 9, 4), constant([2]), constant([5]), constant([2]))),
        Sample("Split", (activation(1, 6, 2), constant([2, 4])), {"axis": 1}, outputs=2),
        Sample("Transpose", (activation(1, 5, 1, 3),), {"perm": [1, 0, 2, 3]}),
        Sample("Gather", (activation(4, 3), constant(-2)), {"axis": 0}),
        Sample("Gather", (activation(4, 3), constant([1, 2, 3])), {"axis": 0}),
        Sample("Expand", (activation(3), constant([1, 1, 3]))),
        Sample("Tile", (activation(3, 2), constant([1, 1]))),
        Sample("Concat", (activation(3, 2),), {"axis": 1}),
        Sample("Pad", (activation(5, 2), constant([-1, 0, -2, 0]))),
        Sample("ScatterND", (activation(2, 2), indices([0], [1]), activation(2, 2))),
        Sample("DepthToSpace", (activation(1, 3, 2, 2),), {"blocksize": 1}),
        Sample("Resize", (activation(1, 1, 4), None, scales(1, 1, 1.1))),
    ],
    ids=str,
)
def test_contiguous_selections_are_views(sample: Sample, tmp_path: Path) -> None:
    _, program = _program(sample, tmp_path)
    assert _moves(program) == []


@pytest.mark.parametrize(
    ("sample", "kernels"),
    [
        (Sample("Transpose", (activation(3, 4),)), ["mq_strided_copy_8"]),
        (Sample("Gather", (activation(2, 5), constant([0, 2, 4])), {"axis": 1}), ["mq_strided_copy_8"]),
        (Sample("Gather", (activation(2, 5), constant([0, 3, 4])), {"axis": 1}), ["mq_gather_8"]),
        (Sample("Pad", (activation(2, 5), constant([0, 1, 0, 1]))), ["mq_fill", "mq_strided_copy_8"]),
        (Sample("Pad", (activation(2, 5), constant([0, 1, 0, 1])), {"mode": "reflect"}), ["mq_gather_8"]),
        (Sample("Concat", (activation(2, 2), activation(2, 3)), {"axis": 1}), ["mq_concat"]),
    ],
    ids=str,
)
def test_others_take_one_call_or_two(sample: Sample, kernels: list[str], tmp_path: Path) -> None:
    _, program = _program(sample, tmp_path)
    assert _moves(program) == kernels


@pytest.mark.parametrize(
    "sample",
    [
        Sample("Unsqueeze", (activation(3, 4), constant([0]))),
        Sample("Concat", (activation(2), activation(3), activation(2), activation(1), activation(4)), {"axis": 0}),
    ],
    ids=str,
)
def test_an_output_that_is_a_view_or_has_views_is_not_copied(sample: Sample, tmp_path: Path) -> None:
    graph, program = _program(sample, tmp_path, "f32")
    assert program.outputs == graph.outputs
    assert "mq_copy" not in program.kernels()


def test_folder_gives_the_same_bits(tmp_path: Path) -> None:
    """The structs and tables of layout kernels as generated C, against the call-by-call session."""
    shapes = {"x": (2, 3), "p": (2, 5), "t": (5, 2), "g": (4, 2), "j": (4, 4), "s": (4, 4), "y": (4, 4)}
    operators = (
        Operator("pad", "Pad", ("x",), ("p",), {"pads": (0, 1, 0, 1), "mode": "constant", "value": 0.3}),
        Operator("transpose", "Transpose", ("p",), ("t",), {"perm": (1, 0)}),
        Operator("gather", "Gather", ("t", "index"), ("g",), {"axis": 0}),
        Operator("join", "Concat", ("g", "g"), ("j",), {"axis": 1}),
        Operator("scatter", "ScatterND", ("j", "rows", "g2"), ("s",), {"reduction": "none"}),
        Operator("out", "Clip", ("s",), ("y",), {"min": -0.5, "max": 0.5}),
    )
    constants = {
        "index": np.array([4, 0, 1, 3]),
        "rows": np.array([[2], [0]]),
        "g2": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4),
    }
    types = {n: TensorType(s) for n, s in shapes.items()}
    types |= {n: TensorType(a.shape, str(a.dtype)) for n, a in constants.items()}
    graph = Graph("layout", ("x",), ("y",), operators, types, constants)
    frames = [{"x": np.random.default_rng(i).uniform(-1, 1, (2, 3)).astype(np.float32)} for i in range(5)]
    ran = helpers.run(graph, helpers.plan_in(graph, "f16", frames), frames)
    assert ran.mismatches == []
    assert helpers.snr_db(helpers.interpreted(graph, frames), ran.outputs) >= 60.0
    assert {"mq_set_32", "mq_strided_copy_32", "mq_gather_32", "mq_concat"} <= set(ran.program.kernels())
    with FolderSession(write_folder(ran.program, tmp_path, "layout")) as folder:
        for frame, want in zip(frames, ran.outputs["y"], strict=True):
            np.testing.assert_array_equal(folder.run(None, frame)[0], want)


# --- formats and scales ----------------------------------------------------------------------------------------------


def _joined(
    formats: tuple[str, ...], ranges: tuple[float, ...], axis: int
) -> tuple[Graph, PrecisionPlan, list[dict[str, Array]]]:
    """Concat of inputs that each passed a Relu in a format of its own."""
    names = [f"x{i}" for i in range(len(formats))]
    shape = TensorType((2, 3) if axis else (3,))
    joined = list(shape.shape)
    joined[axis] *= len(names)
    operators = [Operator(f"relu{n}", "Relu", (n,), (f"{n}_r",)) for n in names]
    operators.append(Operator("join", "Concat", tuple(f"{n}_r" for n in names), ("y",), {"axis": axis}))
    types = {n: shape for name in names for n in (name, f"{name}_r")} | {"y": TensorType(tuple(joined))}
    graph = Graph("joined", tuple(names), ("y",), tuple(operators), types, {})
    random = np.random.default_rng(3)
    frames = [
        {n: random.uniform(0, top, shape.shape).astype(np.float32) for n, top in zip(names, ranges, strict=True)}
        for _ in range(5)
    ]
    lines = {f"relu{n}": OperatorPlan(f) for n, f in zip(names, formats, strict=True)}
    return graph, PrecisionPlan("joined", "test", lines, helpers.ranges(graph, frames)), frames


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("formats", "stored", "snr_db"),
    [
        (("s8", "s8", "f32"), "s8", 35.0),
        (("f16", "s8", "f16"), "f16", 35.0),
        (("s16", "f32", "s16", "s8", "s16", "s16"), "s16", 35.0),
        (("f32", "f16", "f32"), "f32", 60.0),
        (("s16",) * 5, "s16", 75.0),
    ],
    ids=str,
)
def test_concat_of_formats(formats: tuple[str, ...], stored: str, snr_db: float, axis: int) -> None:
    graph, plan, frames = _joined(formats, tuple(1.0 + i / 4 for i in range(len(formats))), axis)
    ran = helpers.run(graph, plan, frames)
    assert ran.program.edges["y"].type.format == stored
    assert ran.mismatches == []
    assert helpers.snr_db(helpers.interpreted(graph, frames), ran.outputs) >= snr_db


def test_concat_keeps_the_scale_of_the_widest_input() -> None:
    graph, plan, _ = _joined(("s8", "s8"), (1.0, 5.0), 0)
    program = lower(graph, plan)
    assert program.edges["y"].type.quant == program.edges["x1_r"].type.quant
    converted = [c for c in program.calls if c.operator == "join" and c.purpose is Purpose.CONVERT]
    assert [c.reads for c in converted] == [("x0_r",)]


def test_concat_of_one_scale_needs_no_calibrated_range() -> None:
    graph, plan, _ = _joined(("s8", "s8"), (1.0, 1.0), 0)
    ranges = {n: Range(0.0, 1.0) for n in plan.ranges if n != "y"}
    program = lower(graph, PrecisionPlan("joined", "test", plan.operators, ranges))
    assert program.edges["y"].type.quant == program.edges["x0_r"].type.quant


@pytest.mark.parametrize("fmt", ["s8", "s16"])
def test_pad_widens_the_range_only_where_the_value_lies_outside(fmt: str, tmp_path: Path) -> None:
    def scale(value: float) -> tuple[float, float]:
        sample = Sample("Pad", (activation(6), constant([1, 1]), constant(value, dtype="float32")))
        _, program = _program(sample, tmp_path, fmt)
        types = program.edges["x0_stored"].type, program.edges["y0"].type
        assert types[0].quant
        assert types[1].quant
        return types[0].quant.scale, types[1].quant.scale

    before, after = scale(0.5)
    assert after == before
    before, after = scale(-8.0)
    assert after > 2 * before


@pytest.mark.parametrize("fmt", CHOICES)
def test_pad_with_minus_infinity_loses_every_comparison(fmt: str, tmp_path: Path) -> None:
    sample = Sample("Pad", (activation(6), constant([1, 0]), constant(-np.inf, dtype="float32")))
    case = helpers.case(sample, tmp_path, stored=True)
    lines = {op.name: OperatorPlan(fmt) for op in case.graph.operators if not ops.spec(op).carries}
    ranges = {n: Range(-1.0, 1.0) for n in case.graph.types}
    ran = helpers.run(case.graph, PrecisionPlan("sample", "test", lines, ranges), case.frames)
    out = ran.outputs["y0"]
    assert (out[:, :1] <= out[:, 1:].min()).all()
    assert np.isneginf(out[:, 0]).all() or fmt in ("s8", "s16")


# --- caches ----------------------------------------------------------------------------------------------------------


def _state(name: str, successor: str, shape: tuple[int, ...], initial: float = 0.0) -> State:
    type_ = TensorType(shape)
    piece = StatePiece(name, successor, np.arange(type_.size).reshape(shape))
    return State(name, successor, type_, np.full(shape, initial, np.float32), (piece,))


def _streamed(graph: Graph, fmt: str, frames: int = 12) -> tuple[dict[str, Array], helpers.Ran]:
    random = np.random.default_rng(4)
    feeds = [{n: random.uniform(-1, 1, graph.shape(n)).astype(np.float32) for n in graph.inputs} for _ in range(frames)]
    return helpers.interpreted(graph, feeds), helpers.run(graph, helpers.plan_in(graph, fmt, feeds), feeds)


EXACT = {"f32": np.inf, "f16": 60.0, "s16": 75.0, "s8": 35.0}


@pytest.mark.parametrize("fmt", CHOICES)
@pytest.mark.parametrize("axis", [0, 1])
def test_cache_of_past_frames(fmt: str, axis: int) -> None:
    """joined = [cache, clip(x)], cache' = the end of joined: what causal convolutions do, on either axis."""
    one, cache = ((1, 3), (4, 3)) if axis == 0 else ((3, 1), (3, 4))
    whole = (5, 3) if axis == 0 else (3, 5)
    last = {"starts": (1,), "ends": (5,), "axes": (axis,), "steps": (1,)}
    graph = Graph(
        "cache",
        ("x",),
        ("y",),
        (
            Operator("in", "Clip", ("x",), ("c",), {"min": -10.0, "max": 10.0}),
            Operator("join", "Concat", ("cache", "c"), ("joined",), {"axis": axis}),
            Operator("last", "Slice", ("joined",), ("cache_out",), last),
            Operator("out", "Clip", ("joined",), ("y",), {"min": -10.0, "max": 10.0}),
        ),
        {
            **{n: TensorType(one) for n in ("x", "c")},
            **{n: TensorType(cache) for n in ("cache", "cache_out")},
            **{n: TensorType(whole) for n in ("joined", "y")},
        },
        {},
        (_state("cache", "cache_out", cache),),
    )
    want, ran = _streamed(graph, fmt)
    assert ran.mismatches == []
    assert helpers.snr_db(want, ran.outputs) >= EXACT[fmt]
    if fmt in ("s8", "s16"):
        kept = {ran.program.edges[n].type.quant for n in ("cache", "joined", "cache_out")}
        assert len(kept) == 1, "values that stay in the cache are converted every frame"


@pytest.mark.parametrize("fmt", CHOICES)
def test_scatter_into_a_cache(fmt: str) -> None:
    """cache' = cache with its second row replaced: two writes to one state in a frame."""
    graph = Graph(
        "scattered",
        ("x",),
        ("y",),
        (
            Operator("in", "Clip", ("x",), ("c",), {"min": -10.0, "max": 10.0}),
            Operator("first", "ScatterND", ("cache", "i1", "c"), ("half",), {"reduction": "none"}),
            Operator("second", "ScatterND", ("half", "i3", "c"), ("cache_out",), {"reduction": "none"}),
            Operator("out", "Clip", ("half",), ("y",), {"min": -10.0, "max": 10.0}),
        ),
        {
            **{n: TensorType((1, 3)) for n in ("x", "c")},
            **{n: TensorType((4, 3)) for n in ("cache", "half", "cache_out", "y")},
            **{n: TensorType((1, 1), "int64") for n in ("i1", "i3")},
        },
        {"i1": np.array([[1]]), "i3": np.array([[3]])},
        (_state("cache", "cache_out", (4, 3)),),
    )
    want, ran = _streamed(graph, fmt)
    assert ran.mismatches == []
    assert helpers.snr_db(want, ran.outputs) >= EXACT[fmt]


@pytest.mark.parametrize("fmt", CHOICES)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_states_that_swap(fmt: str, order: tuple[int, int]) -> None:
    """a' = b, b' = a, from different initial values; c' = c stays what it was."""
    swapped = (_state("a", "a_out", (3,), 0.5), _state("b", "b_out", (3,), -1.0))
    graph = Graph(
        "swap",
        ("x",),
        ("y",),
        (
            Operator("a", "Reshape", ("a",), ("b_out",), {"shape": (3,)}),
            Operator("b", "Reshape", ("b",), ("a_out",), {"shape": (3,)}),
            Operator("c", "Reshape", ("c",), ("c_out",), {"shape": (3,)}),
            Operator("join", "Concat", ("a", "c", "x"), ("joined",), {"axis": 0}),
            Operator("out", "Clip", ("joined",), ("y",), {"min": -10.0, "max": 10.0}),
        ),
        {
            **{n: TensorType((3,)) for n in ("x", "a", "b", "c", "a_out", "b_out", "c_out")},
            **{n: TensorType((9,)) for n in ("joined", "y")},
        },
        {},
        (*(swapped[i] for i in order), _state("c", "c_out", (3,), 0.25)),
    )
    want, ran = _streamed(graph, fmt)
    assert ran.mismatches == []
    assert helpers.snr_db(want, ran.outputs) >= EXACT[fmt]


@pytest.mark.parametrize("fmt", CHOICES)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_states_that_move_into_each_other(fmt: str, order: tuple[int, int]) -> None:
    """A delay line of two states: a' = x, b' = a. Whichever is written first, b must get the old a."""
    graph = Graph(
        "delay",
        ("x",),
        ("y",),
        (
            Operator("in", "Clip", ("x",), ("a_out",), {"min": -10.0, "max": 10.0}),
            Operator("pass", "Reshape", ("a",), ("b_out",), {"shape": (3,)}),
            Operator("out", "Clip", ("b",), ("y",), {"min": -10.0, "max": 10.0}),
        ),
        {n: TensorType((3,)) for n in ("x", "a", "b", "a_out", "b_out", "y")},
        {},
        tuple((_state("a", "a_out", (3,)), _state("b", "b_out", (3,)))[i] for i in order),
    )
    want, ran = _streamed(graph, fmt)
    assert ran.mismatches == []
    assert helpers.snr_db(want, ran.outputs) >= EXACT[fmt]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["f32", "s8"])
def test_indices_at_run_time_stay_inside(fmt: str, tmp_path: Path) -> None:
    """What is undefined in ONNX reads the nearest element that exists, never memory beyond."""
    sample = Sample("Gather", (activation(4, 3), Given((6,), 0, 4, "int64")), {"axis": 0})
    case = helpers.case(sample, tmp_path, stored=True)
    x, index = case.frames[0]["x0"], np.array([-(2**40), -5, -1, 2, 4, 2**31 - 1])
    ran = helpers.run(case.graph, helpers.plan_in(case.graph, fmt, case.frames), [{"x0": x, "x1": index}])
    assert ran.mismatches == []
    np.testing.assert_allclose(ran.outputs["y0"][0], x[[0, 0, 3, 2, 3, 3]], atol=1e-6 if fmt == "f32" else 0.01)


@pytest.mark.parametrize(
    ("sample", "rule"),
    [
        (
            Sample("ScatterND", (activation(3), constant([[1], [1]]), activation(2))),
            "Every position is updated at most once",
        ),
        (Sample("ScatterND", (activation(3), constant([[3]]), activation(1))), "lies inside its axis"),
        (Sample("Gather", (activation(3, 2), constant([0, 3]))), "lies inside its axis"),
        (
            Sample("Resize", (activation(1, 1, 4, 4), None, scales(1, 1, 2, 2)), {"mode": "spline"}),
            "The mode of Resize is nearest, linear or cubic",
        ),
        (
            Sample(
                "Resize",
                (activation(1, 1, 4, 4), None, scales(1, 1, 0.8, 0.8)),
                {"mode": "cubic", "coordinate_transformation_mode": "align_corners"},
            ),
            "a scale gives a whole number of elements",
        ),
        (
            Sample(
                "Resize",
                (activation(1, 1, 4, 4), None, scales(1, 1, 1.4, 1.4)),
                {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
            ),
            "With align_corners a scale gives a whole number",
        ),
    ],
    ids=str,
)
def test_unsupported_uses_name_their_rule(sample: Sample, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "refused.onnx"
    onnx.save(helpers.onnx_model(sample), path)
    with pytest.raises(DiagnosticError, match=rule) as caught:
        frontend.load(path)
    assert {d.code for d in caught.value.diagnostics} == {"MQ108"}


# --- opsets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", range(11, 21))
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pad_in_every_opset(opset: int, mode: str, tmp_path: Path) -> None:
    if mode == "wrap" and opset < 19:
        pytest.skip("wrap came with opset 19")
    sample = Sample("Pad", (activation(3, 4), constant([1, 2, 0, 1])), {"mode": mode}, opset=opset)
    case = helpers.case(sample, tmp_path)
    assert helpers.snr_db(case.onnxruntime, helpers.interpreted(case.graph, case.frames)) == np.inf


@pytest.mark.parametrize("opset", range(11, 21))
def test_slice_and_split_in_every_opset(opset: int, tmp_path: Path) -> None:
    samples = [
        Sample("Slice", (activation(5, 4), constant([-1, 1]), constant([0, 4]), None, constant([-2, 1])), opset=opset)
    ]
    if opset < 13:
        samples.append(Sample("Split", (activation(5, 4),), {"split": [1, 4]}, outputs=2, opset=opset))
    else:
        samples.append(Sample("Split", (activation(5, 4), constant([1, 4])), outputs=2, opset=opset))
    for sample in samples:
        case = helpers.case(sample, tmp_path)
        assert helpers.snr_db(case.onnxruntime, helpers.interpreted(case.graph, case.frames)) == np.inf


TRANSFORMATIONS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("mode", ["linear", "floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_resize_as_onnxruntime(transformation: str, mode: str, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    attributes = {"coordinate_transformation_mode": transformation, "mode": "linear" if mode == "linear" else "nearest"}
    attributes |= {} if mode == "linear" else {"nearest_mode": mode}
    for _ in range(4):
        shape = (1, 2, *(int(n) for n in random.integers(1, 7, 2)))
        sizes = constant([1, 2, *(int(n) for n in random.integers(1, 9, 2))])
        factors = scales(1, 1, *random.choice([1.0, 1.25, 2.0, 2.7], 2))
        for inputs in ((None, None, sizes), (None, factors)):
            if (mode, transformation) == ("linear", "align_corners") and inputs[0] is None and len(inputs) == 2:
                continue  # where a scale gives a fraction of an element it is refused; see below
            case = helpers.case(Sample("Resize", (activation(*shape), *inputs), attributes, opset=19), tmp_path)
            assert helpers.snr_db(case.onnxruntime, helpers.interpreted(case.graph, case.frames)) >= 110.0
