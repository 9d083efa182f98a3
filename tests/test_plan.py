"""Plans: their file, presets with reasons, edits, and everything that can be wrong with any of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_quant import frontend
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.lowering import Target
from mcu_quant.precision import presets
from mcu_quant.precision.plan import CHOICES, OperatorPlan, PrecisionPlan, Range, from_toml, load, to_toml
from tests import streaming_model

NO_F16 = Target(f16=False)
ANY = Target()


def graph() -> Graph:
    """x -> Reshape -> Gemm -> Sigmoid -> y."""
    rng = np.random.default_rng(0)
    constants = {"w": rng.standard_normal((3, 4)).astype(np.float32), "b": np.zeros(3, np.float32)}
    operators = (
        Operator("view", "Reshape", ("x",), ("v",), {"shape": (1, 4)}),
        Operator("dense/one", "Gemm", ("v", "w", "b"), ("h",)),
        Operator("squash", "Sigmoid", ("h",), ("y",)),
    )
    types = {"x": (4,), "v": (1, 4), "h": (1, 3), "y": (1, 3), "w": (3, 4), "b": (3,)}
    return Graph("tiny", ("x",), ("y",), operators, {n: TensorType(s) for n, s in types.items()}, constants)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory) -> Graph:
    """LSTM -> Gemm -> Sigmoid."""
    return frontend.load(streaming_model.write(tmp_path_factory.mktemp("model"))).graph


def codes(error) -> list[str]:
    return [d.code for d in error.value.diagnostics]


# --- the file ------------------------------------------------------------------------------------------------------

formats = st.sampled_from(CHOICES)
texts = st.text(st.characters(exclude_categories=["Cs"]))
lines = st.builds(
    OperatorPlan,
    format=formats,
    reason=texts,
    weights=st.none() | formats,
    output=st.none() | formats,
    scale=st.sampled_from(list(ScaleKind)),
)
floats = st.floats(allow_nan=False, allow_infinity=False)
ranges = st.tuples(floats, floats).map(lambda p: Range(min(p), max(p)))


@settings(deadline=None)
@given(
    st.builds(
        PrecisionPlan,
        model=texts,
        preset=texts,
        operators=st.dictionaries(texts, lines),
        ranges=st.dictionaries(texts, ranges),
        calibrated_on=texts,
        sha256=st.just("") | st.just("0123456789abcdef" * 4),
    )
)
def test_a_plan_survives_its_file_exactly(plan):
    text = to_toml(plan)
    again = from_toml(text)
    assert again == plan
    assert list(again.operators) == list(plan.operators)
    assert to_toml(again) == text


def test_one_line_per_operator_and_per_range():
    plan = PrecisionPlan(
        "m", "s8", {"a": OperatorPlan("s8", "why"), "/b/c": OperatorPlan("f16")}, {"x": Range(-1, 0.1)}
    )
    text = to_toml(plan).splitlines()
    assert '"a" = { format = "s8", reason = "why" }' in text
    assert '"/b/c" = { format = "f16" }' in text
    assert '"x" = [-1.0, 0.1]' in text


def test_everything_wrong_in_a_file_is_said_at_once():
    text = """
    modell = "m"
    [operators]
    a = { format = "int8" }
    b = { formt = "s8" }
    c = { format = "s8", scale = "sometimes" }
    d = { format = "s8", weights = "s9" }
    [ranges]
    x = [1.0, -1.0]
    y = [0.0, inf]
    z = [0.0]
    """
    with pytest.raises(DiagnosticError) as error:
        from_toml(text, "plan.toml")
    found = {(d.code, d.where) for d in error.value.diagnostics}
    assert found >= {
        ("MQ302", "plan.toml: operators.a.format"),
        ("MQ302", "plan.toml: operators.d.weights"),
        ("MQ304", "plan.toml: ranges.x"),
        ("MQ304", "plan.toml: ranges.y"),
        ("MQ304", "plan.toml: ranges.z"),
        ("MQ304", "plan.toml: modell"),
        ("MQ304", "plan.toml: operators.b.formt"),
        ("MQ304", "plan.toml: operators.c.scale"),
    }
    assert error.value.exit_status == 2


@pytest.mark.parametrize("text", ["", "[operators", "operators = 3", "model = 1\n[operators]", "[ranges]\nx = [0, 1]"])
def test_files_that_are_no_plans(text):
    with pytest.raises(DiagnosticError) as error:
        from_toml(text)
    assert set(codes(error)) == {"MQ304"}


def test_a_plan_that_is_not_there_or_no_text(tmp_path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("nothing.toml", "binary.toml"):
        with pytest.raises(DiagnosticError) as error:
            load(tmp_path / name)
        assert codes(error) == ["MQ304"]


# --- presets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", list(presets.presets()))
@pytest.mark.parametrize("target", [ANY, NO_F16], ids=["any board", "no f16"])
def test_a_preset_gives_each_operator_a_format_that_it_has(preset, target):
    made = presets.make(graph(), preset, target)
    assert set(made.operators) == {"dense/one", "squash"}
    presets.check(made, graph(), target)
    assert all(line.reason for line in made.operators.values())


def test_uniform_presets_are_uniform_where_every_kernel_exists():
    for preset in ("f32", "f16", "s8"):
        assert {o.format for o in presets.make(graph(), preset, ANY).operators.values()} == {preset}


def test_tinydenoiser_takes_recurrent_layers_to_8_bits_and_leaves_the_rest_in_half_precision(recurrent):
    made = presets.make(recurrent, "tinydenoiser", ANY)
    assert {n: o.format for n, o in made.operators.items()} == {"lstm": "s8", "dense": "f16", "mask": "f16"}


def test_without_half_precision_the_next_best_is_taken_and_the_reason_says_so(recurrent):
    made = presets.make(recurrent, "tinydenoiser", NO_F16)
    assert {n: o.format for n, o in made.operators.items()} == {"lstm": "s8", "dense": "f32", "mask": "f32"}
    assert "no f16: the board has no half precision" in made.operators["mask"].reason


def test_what_is_without_an_integer_kernel_stays_in_floats_and_says_why(monkeypatch):
    spec = presets.ops.spec("Sigmoid")
    floats_only = [low for low in spec.lowerings if low.format.startswith("f")]
    monkeypatch.setitem(presets.ops._specs, "Sigmoid", presets.replace(spec, lowerings=tuple(floats_only)))
    line = presets.make(graph(), "s8", ANY).operators["squash"]
    assert line.format == "f16"
    assert line.reason == "preset s8; no s8: Sigmoid has no s8 kernel; no s16: Sigmoid has no s16 kernel"


def test_the_default_preset_depends_on_recurrence(recurrent):
    assert presets.default_preset(graph()) == "s8"
    assert presets.default_preset(recurrent) == "tinydenoiser"


def test_an_unknown_preset():
    with pytest.raises(DiagnosticError) as error:
        presets.make(graph(), "tinydenoizer", ANY)
    assert codes(error) == ["MQ900"]
    assert "tinydenoiser" in error.value.diagnostics[0].help


def test_adapting_a_plan_replaces_only_what_the_board_lacks():
    plan = presets.make(graph(), "f16", ANY)
    plan = presets.edit(plan, graph(), presets.parse_edits(["squash=s8"]))
    made = presets.adapted(plan, graph(), NO_F16)
    assert {n: o.format for n, o in made.operators.items()} == {"dense/one": "f32", "squash": "s8"}
    assert presets.adapted(plan, graph(), ANY) == plan


# --- edits ---------------------------------------------------------------------------------------------------------


def edited(*texts: str) -> dict[str, OperatorPlan]:
    plan = presets.edit(presets.make(graph(), "f32", ANY), graph(), presets.parse_edits(texts))
    presets.check(plan, graph(), ANY)
    return dict(plan.operators)


def test_edits_by_name_pattern_and_type_and_the_last_one_wins():
    assert edited("dense/one=s8")["dense/one"].format == "s8"
    assert edited("dense/*=s8")["dense/one"].format == "s8"
    assert edited("Gemm=s8")["dense/one"].format == "s8"
    both = edited("*=s16", "squash=f16")
    assert (both["dense/one"].format, both["squash"].format) == ("s16", "f16")
    assert both["squash"].reason == "--set squash=f16"


def test_edits_can_say_more_than_the_format():
    line = edited("dense/one=s16:weights=s16:output=f32")["dense/one"]
    assert (line.format, line.weights, line.output, line.scale) == ("s16", "s16", "f32", ScaleKind.STATIC)


@pytest.mark.parametrize(
    ("text", "operators", "fmt"),
    [("a:0=s8", "a:0", "s8"), ("a=b=f16", "a=b", "f16"), ("x:y=z=s8:output=f32", "x:y=z", "s8")],
)
def test_names_may_hold_what_separates(text, operators, fmt):
    [one] = presets.parse_edits([text])
    assert (one.operators, one.format) == (operators, fmt)


def test_everything_wrong_with_edits_is_said_at_once():
    with pytest.raises(DiagnosticError) as error:
        presets.parse_edits(["dense", "=s8", "a=int8", "a=s8:weight=s8", "a=s8:scale=never", "a=s8:weights=s4"])
    assert codes(error) == ["MQ900", "MQ900", "MQ302", "MQ900", "MQ900", "MQ302"]
    with pytest.raises(DiagnosticError) as error:
        edited("dence/one=s8", "nothing*=s8", "view=s8")
    assert codes(error) == ["MQ301", "MQ301", "MQ303"]
    assert "dense/one" in error.value.diagnostics[0].help
    with pytest.raises(DiagnosticError) as error:
        presets.parse_edits(["dence/one=s9", "view=s8", "dense"], graph())
    assert codes(error) == ["MQ301", "MQ302", "MQ303", "MQ900"]


# --- checking ------------------------------------------------------------------------------------------------------


def test_a_plan_is_checked_against_model_and_board_all_at_once():
    operators = {"dense/on": OperatorPlan("s8"), "squash": OperatorPlan("f16"), "view": OperatorPlan("s8")}
    with pytest.raises(DiagnosticError) as error:
        presets.check(PrecisionPlan("tiny", "", operators), graph(), NO_F16, "plan.toml")
    assert sorted(codes(error)) == ["MQ301", "MQ301", "MQ303", "MQ305"]
    assert any("dense/one" in d.help for d in error.value.diagnostics)


def test_counts_per_format_name_every_format():
    plan = presets.make(graph(), "s8", ANY)
    assert plan.formats() == {"f32": 0, "f16": 0, "s16": 0, "s8": 2}


def test_magnitude():
    assert Range(-3.0, 2.0).magnitude == 3.0
    assert Range(1.0, 2.0).magnitude == 2.0
    assert math.isclose(Range(0.0, 0.0).magnitude, 0.0)
