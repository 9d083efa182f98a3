"""Loops that stay loops: the body in the firmware once, run step by step, in every format, with states and captures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mcu_quant import codegen, memory, texts
from mcu_quant.audio.builder import Builder
from mcu_quant.calibrate import calibrate
from mcu_quant.data import Clip, Clips
from mcu_quant.emulator.folder import FolderSession
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.frontend import load, loops
from mcu_quant.ir import Graph
from mcu_quant.lower import lower
from mcu_quant.passes import optimise
from mcu_quant.program import Program
from tests import helpers
from tests.onnx_models import assert_same, model, node, random, save

INPUTS, UNITS, STEPS = 5, 8, 200
BOOL, INT64 = TensorProto.BOOL, TensorProto.INT64

#: A GRU whose candidate is normalised: no recurrent layer of ONNX.
CELL = [
    node("Concat", "xt h", "xh", axis=1, name="cell/concat"),
    node("Gemm", "xh Wg bg", "z", name="cell/gates"),
    node("Sigmoid", "z", "s", name="cell/sigmoid"),
    node("Split", "s", "r u", axis=1, num_outputs=2, name="cell/split"),
    node("Mul", "r h", "rh", name="cell/rh"),
    node("Concat", "xt rh", "xrh", axis=1, name="cell/concat_1"),
    node("Gemm", "xrh Wc bc", "c", name="cell/candidate"),
    node("LayerNormalization", "c gain bias", "cn", axis=-1, name="cell/norm"),
    node("Tanh", "cn", "n", name="cell/tanh"),
    node("Sub", "one u", "v", name="cell/sub"),
    node("Mul", "u h", "hu", name="cell/mul"),
    node("Mul", "v n", "vn", name="cell/mul_1"),
    node("Add", "hu vn", "h2", name="cell/add"),
    node("Identity", "h2", "seq"),
]


def value(name: str, shape: list[int], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def body(nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> onnx.GraphProto:
    return helper.make_graph(nodes, "body", inputs, outputs)


def cell_scan(
    steps: int = STEPS, axis: int = 0, back: int = 0, out_axis: int = 0, out_back: int = 0
) -> onnx.ModelProto:
    """h0 = tanh(k), then the cell over all steps; the last state and all of them."""
    rng = np.random.default_rng(5)
    weights = {
        "Wg": random(rng, INPUTS + UNITS, 2 * UNITS),
        "bg": random(rng, 2 * UNITS, scale=0.1),
        "Wc": random(rng, INPUTS + UNITS, UNITS),
        "bc": random(rng, UNITS, scale=0.1),
        "gain": 1 + random(rng, UNITS, scale=0.1),
        "bias": random(rng, UNITS, scale=0.1),
        "one": np.ones([], np.float32),
    }
    inner = body(
        CELL, [value("h", [1, UNITS]), value("xt", [1, INPUTS])], [value(n, [1, UNITS]) for n in ("h2", "seq")]
    )
    shape, out = [1, INPUTS], [1, UNITS]
    shape.insert(axis, steps)
    out.insert(out_axis, steps)
    attributes = {
        "num_scan_inputs": 1,
        "scan_input_axes": [axis],
        "scan_input_directions": [back],
        "scan_output_axes": [out_axis],
        "scan_output_directions": [out_back],
    }
    return model(
        [node("Tanh", "k", "h0"), node("Scan", "h0 x", "last all", body=inner, name="cells", **attributes)],
        {"x": shape, "k": [1, UNITS]},
        {"last": [1, UNITS], "all": out},
        weights,
    )


def nested() -> onnx.ModelProto:
    """A loop in a loop, which reads the state of the outer one and a value computed around both."""
    rng = np.random.default_rng(7)
    inner = body(
        [
            node("Add", "hc xc", "hs"),
            node("MatMul", "hs W", "hw"),
            node("Tanh", "hw", "ht"),
            node("Mul", "ht scale", "hc2"),
            node("Add", "hc2 offset", "yc"),
        ],
        [value("hc", [1, 4]), value("xc", [1, 4])],
        [value("hc2", [1, 4]), value("yc", [1, 4])],
    )
    outer = body(
        [
            node("Relu", "ho", "hr"),
            node("Scan", "hr xo", "hl ys", body=inner, num_scan_inputs=1, name="columns"),
            node("ReduceSum", "ys first", "sum", keepdims=0),
            node("Sub", "hl sum", "d"),
            node("Tanh", "d", "ho2"),
            node("Identity", "ho2", "out"),
            node("Identity", "ys", "all"),
        ],
        [value("ho", [1, 4]), value("xo", [20, 1, 4])],
        [value("ho2", [1, 4]), value("out", [1, 4]), value("all", [20, 1, 4])],
    )
    return model(
        [
            node("Sigmoid", "k", "offset"),
            node("Scan", "h0 x", "last outs alls", body=outer, num_scan_inputs=1, name="rows"),
            node("Tanh", "outs", "z"),
            node("Add", "offset last", "sum_"),
        ],
        {"x": [9, 20, 1, 4], "k": [1, 4]},
        {"last": [1, 4], "z": [9, 1, 4], "alls": [9, 20, 1, 4], "sum_": [1, 4]},
        {"h0": random(rng, 1, 4), "W": random(rng, 4, 4), "scale": random(rng, 4), "first": np.array([0])},
    )


def swapping() -> onnx.ModelProto:
    """a' = b, b' = tanh(a + x), c' = b: each is read after another was written; the outer h is one value for all."""
    inner = body(
        [
            node("Add", "a xt", "ax"),
            node("Add", "ax h", "axh"),
            node("Identity", "b", "a2"),
            node("Tanh", "axh", "b2"),
            node("Identity", "b", "c2"),
            node("Add", "a c", "y"),
        ],
        [value(n, [4]) for n in ("a", "b", "c", "xt")],
        [value(n, [4]) for n in ("a2", "b2", "c2", "y")],
    )
    return model(
        [node("Tanh", "k", "h"), node("Scan", "h zero k x", "al bl cl ys", body=inner, num_scan_inputs=1, name="swap")],
        {"x": [30, 4], "k": [4]},
        {"al": [4], "bl": [4], "cl": [4], "ys": [30, 4]},
        {"zero": np.zeros(4, np.float32)},
    )


def until(most: int | None) -> onnx.ModelProto:
    """v = v + tanh(v W) until its elements sum up to 6, with the steps counted."""
    inner = body(
        [
            node("MatMul", "v W", "a"),
            node("Tanh", "a", "t"),
            node("Add", "v t", "v2"),
            node("ReduceSum", "v2", "s", keepdims=0),
            node("Less", "s enough", "go2"),
            node("Add", "n one", "n2"),
        ],
        [value("i", [], INT64), value("go", [], BOOL), value("v", [1, 4]), value("n", [], INT64)],
        [value("go2", [], BOOL), value("v2", [1, 4]), value("n2", [], INT64)],
    )
    limit = {} if most is None else {"most": np.array(most)}
    return model(
        [
            node("Abs", "x", "x0"),
            node("Loop", f"{'most' if limit else '-'} yes x0 zero", "last count", body=inner, name="until"),
        ],
        {"x": [1, 4]},
        {"last": [1, 4], "count": []},
        {
            "W": np.abs(random(np.random.default_rng(3), 4, 4)),
            "enough": np.array(6, np.float32),
            "yes": np.array(True),
            "zero": np.array(0),
            "one": np.array(1),
            **limit,
        },
        types={"count": INT64},
    )


def times() -> onnx.ModelProto:
    """As many steps as one input says, or none if another says so."""
    inner = body(
        [node("Identity", "go", "go2"), node("MatMul", "v W", "a"), node("Tanh", "a", "v2")],
        [value("i", [], INT64), value("go", [], BOOL), value("v", [1, 4])],
        [value("go2", [], BOOL), value("v2", [1, 4])],
    )
    return model(
        [
            node("Slice", "k zero one", "k1"),
            node("Slice", "c zero one", "c1"),
            node("Squeeze", "c1 zero", "c2"),
            node("Loop", "k1 c2 x", "last", body=inner, name="times"),
        ],
        {"x": [1, 4], "k": [2], "c": [2]},
        {"last": [1, 4]},
        {"W": 2 * random(np.random.default_rng(3), 4, 4), "zero": np.array([0]), "one": np.array([1])},
        types={"k": INT64, "c": BOOL},
    )


def counting(limit: int) -> onnx.ModelProto:
    """A loop that computes with the number of its step."""
    inner = body(
        [
            node("Cast", "i", "f", to=1),
            node("Mul", "f small", "g"),
            node("Add", "v g", "w"),
            node("Mul", "w start", "v2"),
            node("Identity", "go", "go2"),
            node("Neg", "v2", "out"),
        ],
        [value("i", [], INT64), value("go", [], BOOL), value("v", [2])],
        [value("go2", [], BOOL), value("v2", [2]), value("out", [2])],
    )
    return model(
        [node("Tanh", "x", "start"), node("Loop", "limit - start", "last all", body=inner, name="count")],
        {"x": [2]},
        {"last": [2], "all": [limit, 2]},
        {"limit": np.array(limit), "small": np.array(0.01, np.float32)},
    )


def imported(made: onnx.ModelProto, folder: Path, frames: int = 3, db: float = 100.0) -> tuple[Graph, list[Any]]:
    """The graph with its loops taken apart, which does what onnxruntime does, as it does with its loops whole."""
    path = save(made, folder)
    whole = load(path).graph
    graph = optimise(whole)
    rng = np.random.default_rng(11)
    given = [{n: random(rng, *graph.shape(n)) for n in graph.inputs} for _ in range(frames)]
    assert_same(path, whole, given, at_least_db=db)
    assert_same(path, graph, given, at_least_db=db)
    return graph, given


def ran(graph: Graph, fmt: str, frames: list[Any]) -> tuple[Program, float]:
    """The program in a format, checked call by call at every step, and how near it comes to the floats."""
    plan = helpers.plan_in(graph, fmt, frames)
    done = helpers.run(graph, plan, frames)
    assert done.mismatches == []
    assert memory.prove(done.program, memory.plan(done.program)) == []
    return done.program, helpers.snr_db(helpers.interpreted(graph, frames), done.outputs)


_NEVER = memory.Lifetime(-1, -1)

MODELS = {"cells": cell_scan, "nested": nested, "swapping": swapping}
LEAST_DB = {"f32": 100.0, "f16": 50.0, "s16": 30.0, "s8": 20.0}


@pytest.mark.parametrize("fmt", LEAST_DB)
@pytest.mark.parametrize("name", MODELS)
def test_loops_in_every_format(name: str, fmt: str, tmp_path: Path) -> None:
    graph, frames = imported(MODELS[name](), tmp_path)
    assert graph.loops
    program, snr = ran(graph, fmt, frames)
    assert len(program.loops) == len(graph.loops)
    assert snr >= LEAST_DB[fmt]


@pytest.mark.parametrize(
    ("axis", "back", "out_axis", "out_back"), [(1, 0, 1, 0), (0, 1, 0, 1), (2, 1, 2, 0), (0, 0, 0, 1)]
)
def test_axes_and_directions_of_scan(tmp_path: Path, axis: int, back: int, out_axis: int, out_back: int) -> None:
    graph, frames = imported(cell_scan(40, axis, back, out_axis, out_back), tmp_path, 2)
    assert [loop.count for loop in graph.loops] == [40]
    assert ran(graph, "f32", frames)[1] >= 100.0
    assert ran(graph, "s16", frames)[1] >= 30.0


@pytest.mark.parametrize("most", [50, 3, None])
def test_data_ends_a_loop(tmp_path: Path, most: int | None) -> None:
    graph, frames = imported(until(most), tmp_path, 6, 90.0)
    [loop] = graph.loops
    assert (loop.count, loop.condition) == (most, "go")
    counts = helpers.interpreted(graph, frames)["count"]
    assert counts.max() == 3 if most == 3 else len(set(np.ravel(counts))) > 1
    assert ran(graph, "f32", frames)[1] >= 90.0
    assert ran(graph, "f16", frames)[1] >= 40.0


def test_data_says_how_often_a_loop_runs(tmp_path: Path) -> None:
    path = save(times(), tmp_path)
    graph = optimise(load(path).graph)
    rng = np.random.default_rng(2)
    runs = [(3, True), (0, True), (5, False), (9, True)]
    frames = [{"x": random(rng, 1, 4), "k": np.array([k, 99]), "c": np.array([c, not c])} for k, c in runs]
    assert_same(path, graph, frames)
    for fmt, least in {"f32": 110.0, "s8": 25.0}.items():
        program, snr = ran(graph, fmt, frames)
        assert program.loops[0].limit and program.loops[0].condition
        assert snr >= least


def test_the_number_of_the_step_is_a_value(tmp_path: Path) -> None:
    graph, frames = imported(counting(300), tmp_path)
    assert graph.loops[0].count == 300
    assert ran(graph, "f32", frames)[1] >= 100.0


def test_a_collected_size_that_depends_on_data_is_refused(tmp_path: Path) -> None:
    made = until(None)
    [loop] = [n for n in made.graph.node if n.op_type == "Loop"]
    [inner] = [a.g for a in loop.attribute if a.name == "body"]
    inner.node.append(node("Neg", "v2", "kept"))
    inner.output.append(value("kept", [1, 4]))
    loop.output.append("every")
    made.graph.output.append(helper.make_tensor_value_info("every", TensorProto.FLOAT, ["n", 1, 4]))
    with pytest.raises(Exception, match="the size of what it collects"):
        load(save(made, tmp_path))


def test_a_body_that_cannot_stay_is_refused_with_its_reason(tmp_path: Path) -> None:
    made = counting(2000)
    [inner] = [a.g for n in made.graph.node for a in n.attribute if a.name == "body"]
    inner.node.insert(0, node("Range", "nought i step", "growing"))
    inner.node.insert(1, node("ReduceSum", "growing", "i_", keepdims=0))
    inner.node[2].input[0] = "i_"
    for name, number in (("nought", 0), ("step", 1)):
        made.graph.initializer.append(helper.make_tensor(name, INT64, [], [number]))
    with pytest.raises(Exception, match=r"would become 16000 nodes.*It cannot stay a loop: .*growing"):
        load(save(made, tmp_path))


def test_it_takes_a_fraction_of_the_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, frames = imported(cell_scan(50), tmp_path, 1)
    program, _ = ran(graph, "f32", frames)
    monkeypatch.setattr(loops, "FEW_NODES", 4000)
    unrolled, same = imported(cell_scan(50), tmp_path, 1)
    assert not unrolled.loops and len(program.calls) * 30 < len(ran(unrolled, "f32", same)[0].calls)


def test_nothing_is_copied_that_can_stay_where_it_is(tmp_path: Path) -> None:
    """The input is read where it lies, what is carried is updated in place; the caller's output is written apart."""
    graph, frames = imported(cell_scan(), tmp_path, 1)
    program, _ = ran(graph, "s8", frames)
    assert program.edges["xt"].view and program.edges["xt"].root == "x"
    assert program.edges["h2"].root == program.edges["h"].root
    into = [
        program.edges[e].root
        for c in program.calls[program.loops[0].start :]
        if c.purpose != "compute"
        for e in c.writes
    ]
    assert program.edges["h"].root not in into
    assert memory.plan(program).arena_bytes < 8 * UNITS * 4


def test_calibration_sees_every_step(tmp_path: Path) -> None:
    graph, frames = imported(counting(300), tmp_path)
    stats = calibrate(graph, Clips((Clip("frames", len(frames), lambda: iter(frames)),), "test"))
    assert stats.edges["g"].high == pytest.approx(2.99) and stats.edges["g"].low == 0.0
    assert stats.edges["g"].count == 300 * len(frames)


def test_weights_around_a_loop_are_stored_once(tmp_path: Path) -> None:
    made = nested()
    made.graph.node.append(node("MatMul", "sum_ W", "again"))
    made.graph.output.append(value("again", [1, 4]))
    graph, frames = imported(made, tmp_path)
    program, _ = ran(graph, "f32", frames)
    assert [c.array.size for c in program.constants.values()].count(16) == 1


def test_the_proof_finds_what_a_step_destroys_for_the_next(tmp_path: Path) -> None:
    """A buffer over one that is not read any more in this step, but in the next."""
    graph, frames = imported(swapping(), tmp_path, 1)
    program, _ = ran(graph, "f32", frames)
    plan = memory.plan(program)
    last = max(i for i, c in enumerate(program.calls) if "h" in c.reads)
    later = next(e for c in program.calls[last + 1 :] for e in c.writes if plan.lifetimes.get(e, _NEVER).first > last)
    wrong = replace(plan, offsets={**plan.offsets, later: plan.offsets["h"]})
    assert memory.prove(replace(program, loops=()), wrong) == []
    assert any("overwritten" in p for p in memory.prove(program, wrong))


@pytest.mark.parametrize("fmt", ["f32", "s8"])
@pytest.mark.parametrize("made", [nested, lambda: until(50)], ids=["nested", "until"])
def test_the_generated_folder_gives_the_same_bits(made: Any, fmt: str, tmp_path: Path) -> None:
    graph, frames = imported(made(), tmp_path, 3, 90.0)
    program = lower(graph, helpers.plan_in(graph, fmt, frames))
    vectors = codegen.Vectors({}, {})
    context = codegen.Context("loops", "loops.onnx", "none", "test", vectors, version="0")
    texts.write(tmp_path / "out", codegen.generate(program, memory.plan(program), context))
    session = ProgramSession(program)
    inside = {"nested": "hw", "until": "a"}["nested" if "k" in graph.inputs else "until"]
    with FolderSession(tmp_path / "out", taps=[inside]) as folder:
        for feeds in frames:
            for ours, theirs in zip(session.run(None, feeds), folder.run(None, feeds), strict=True):
                assert np.array_equal(ours, theirs)
            assert np.array_equal(session.raw(inside), folder.raw(inside))  # after the last step


def test_loops_in_composed_graphs(tmp_path: Path) -> None:
    """A front end before the model, and what nobody needs dropped: loops are where their operators are."""
    graph, frames = imported(nested(), tmp_path)
    builder = Builder("composed")
    given = {n: builder.input(f"given {n}", graph.shape(n), "float32") for n in graph.inputs}
    unused = builder.add("Tanh", "unused", (given["k"],))
    assert unused
    builder.add("Tanh", "before", (given["k"],))
    outputs = builder.include(graph, {**given, "k": "before"}, "model/")
    composed = builder.graph([outputs["last"], outputs["z"]])
    assert [loop.name for loop in composed.loops] == ["model/rows", "model/rows/columns"]
    feeds = [{f"given {n}": a for n, a in f.items()} for f in frames]
    wanted = helpers.interpreted(graph, [{**f, "k": np.tanh(f["k"])} for f in frames])
    made = helpers.interpreted(composed, feeds)
    assert np.array_equal(made["model/last"], wanted["last"]) and np.array_equal(made["model/z"], wanted["z"])
    assert ran(composed, "f32", feeds)[1] >= 100.0
