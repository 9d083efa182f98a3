"""Powers of spectra stay out of 8 bits: found in the graph, in floats under preset s8, and said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mcu_quant import api, frontend
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.interpret import execute
from mcu_quant.ir import Graph
from mcu_quant.lower import lower
from mcu_quant.lowering import Target
from mcu_quant.metrics import snr_db
from mcu_quant.passes import optimise
from mcu_quant.powers import powers
from mcu_quant.precision import presets
from mcu_quant.precision.plan import Range
from tests.onnx_models import model, node, save


def graph_of(nodes: list[onnx.NodeProto], constants: Mapping[str, Any], outputs: Any, folder: Path) -> Graph:
    return optimise(frontend.load(save(model(nodes, {"x": [1, 16]}, outputs, constants), folder)).graph)


def spectrum(folder: Path, root: str = "Log") -> Graph:
    """A linear map, squared, summed over bands, floored, and its root or logarithm; then a layer on that."""
    random = np.random.default_rng(2)
    constants = {
        "basis": random.standard_normal((16, 12)).astype(np.float32),
        "two": np.array(2, np.float32),
        "mel": np.abs(random.standard_normal((12, 5))).astype(np.float32),
        "floor": np.array(1e-6, np.float32),
        "last": random.standard_normal((5, 4)).astype(np.float32),
    }
    nodes = [
        node("MatMul", "x basis", "s", name="basis"),
        node("Pow", "s two", "p", name="square"),
        node("MatMul", "p mel", "b", name="bands"),
        node("Max", "b floor", "f", name="floor"),
        node(root, "f", "l", name="root"),
        node("MatMul", "l last", "y", name="last"),
    ]
    return graph_of(nodes, constants, {"y": [1, 4]}, folder)


@pytest.mark.parametrize("root", ["Log", "Sqrt"])
def test_from_the_square_to_the_root(root: str, tmp_path: Path) -> None:
    found = powers(spectrum(tmp_path, root))
    assert {"square", "bands", "root"} <= found.inside and "last" not in found.inside
    assert found.before == {"basis"}


def test_a_root_of_no_square_is_none_and_a_logarithm_always_is(tmp_path: Path) -> None:
    nodes = [node("Sigmoid", "x", "s", name="gate"), node("Sqrt", "s", "y", name="root"), node("Log", "s", "z")]
    found = powers(graph_of(nodes, {}, {"y": [1, 16], "z": [1, 16]}, tmp_path))
    assert found.inside == {"z"} and found.before == {"gate"}


def test_a_square_without_a_root_and_products_of_signals_are_none(tmp_path: Path) -> None:
    nodes = [
        node("Mul", "x x", "s", name="square"),
        node("Mul", "s x", "c", name="cube"),
        node("Sqrt", "c", "y", name="root"),
    ]
    assert powers(graph_of(nodes, {}, {"y": [1, 16]}, tmp_path)).inside == frozenset()


def test_preset_s8_computes_them_in_floats_and_says_so(tmp_path: Path) -> None:
    graph = spectrum(tmp_path)
    random = np.random.default_rng(3)
    # loud and quiet frames, 50 dB apart
    frames = [
        (random.standard_normal((1, 16)) * gain).astype(np.float32) for gain in 10.0 ** random.uniform(-2.5, 0, 64)
    ]
    values = [execute(graph, {"x": x}) for x in frames]
    ranges = {
        n: Range(float(min(v[n].min() for v in values)), float(max(v[n].max() for v in values))) for n in values[0]
    }
    plan = presets.make(graph, "s8", Target(), ranges=ranges)
    assert {n: plan.operators[n].format for n in ("basis", "square", "bands", "root", "last")} == {
        "basis": "s8",
        "square": "f32",
        "bands": "f32",
        "root": "f32",
        "last": "s8",
    }
    assert "24 dB" in plan.operators["square"].reason
    warning = presets.powers_in_s8(plan, graph)
    assert warning is not None and (warning.code, warning.where, warning.exit_status) == ("MQ307", "square", 0)
    insisting = presets.edit(plan, graph, presets.parse_edits(["*=s8"]))
    again = presets.powers_in_s8(insisting, graph)
    assert again is not None and "--set 'square=f32'" in again.help
    wanted = np.concatenate([v["y"] for v in values])

    def quality(chosen: Any) -> float:
        session = ProgramSession(lower(graph, chosen), verify=True)
        made = np.concatenate([session.run(None, {"x": x})[0] for x in frames])
        assert session.mismatches == []
        return snr_db(wanted, made)

    assert quality(plan) > quality(insisting) + 10.0


@pytest.mark.parametrize("preset", ["f16", "tinydenoiser"])
def test_presets_in_half_precision_keep_them_in_f32(preset: str, tmp_path: Path) -> None:
    """The logarithm of what half precision rounds to zero is no number."""
    random = np.random.default_rng(5)
    constants = {"floor": np.array(1e-9, np.float32), "last": random.standard_normal((16, 4)).astype(np.float32)}
    nodes = [
        node("Mul", "x x", "p", name="square"),
        node("Add", "p floor", "f", name="floor"),
        node("Log", "f", "l", name="root"),
        node("MatMul", "l last", "y", name="last"),
    ]
    graph = graph_of(nodes, constants, {"y": [1, 4]}, tmp_path)
    plan = presets.make(graph, preset, Target())
    formats = {n: o.format for n, o in plan.operators.items()}
    assert formats == {"square": "f32", "floor": "f32", "root": "f32", "last": "f16"}
    quiet = np.full((1, 16), 1e-5, np.float32)
    made = ProgramSession(lower(graph, plan)).run(None, {"x": quiet})[0]
    assert snr_db(execute(graph, {"x": quiet})["y"], made) > 50.0


def test_models_without_powers_hear_nothing(tmp_path: Path) -> None:
    graph = graph_of([node("Tanh", "x", "y")], {}, {"y": [1, 16]}, tmp_path)
    assert presets.powers_in_s8(presets.make(graph, "s8", Target()), graph) is None


def test_values_beyond_half_precision_are_said_and_fail_the_test(tmp_path: Path) -> None:
    constants = {"w": np.full((16, 3), 9000.0, np.float32)}
    path = save(model([node("MatMul", "x w", "y", name="loud")], {"x": [1, 16]}, {"y": [1, 3]}, constants), tmp_path)
    np.savez(tmp_path / "x.npz", x=np.ones((4, 1, 16), np.float32))
    for preset, fine in (("f16", False), ("f32", True)):
        folder = tmp_path / preset
        request = api.BuildRequest(
            api.Source(path), "nucleo_h743zi2", folder, api.PrecisionRequest(preset), data=tmp_path / "x.npz"
        )
        made = api.build(request)
        assert [d.where for d in made.diagnostics if d.code == "MQ307"] == ([] if fine else ["loud"])
        tested = api.test_folder(api.TestRequest(folder))
        assert tested.passed == fine and tested.exit_status == int(not fine)


@pytest.mark.parametrize("preset", ["f16", "tinydenoiser"])
def test_a_root_is_a_number_in_half_precision_too(preset: str, tmp_path: Path) -> None:
    graph = spectrum(tmp_path, "Sqrt")
    plan = presets.make(graph, preset, Target())
    assert {o.format for o in plan.operators.values()} == {"f16"}
