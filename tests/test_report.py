"""Reports: what report.json says, that its figures agree with each other and with the folder, and its renderings."""

import copy
import csv
import io
import json
import shutil
import subprocess

import numpy as np
import pytest

from mcu_quant import api, compare, report, schemas
from mcu_quant.api import stages
from mcu_quant.boards import load
from mcu_quant.compare import Reference, accuracy, excerpts, integer_edges, operator_edges
from mcu_quant.data import Clip, Clips
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.report.advice import advice
from mcu_quant.report.boards import overview
from mcu_quant.report.charts.arena import live_bytes
from mcu_quant.report.distributions import Observer
from mcu_quant.report.document import noise_added
from mcu_quant.report.names import titles
from mcu_quant.report.summary import decibels, duration, figures, kib, noise, weakest
from mcu_quant.report.tables import Table, as_csv, as_markdown, as_text
from tests import report_example, streaming_model


@pytest.fixture(scope="module")
def built():
    return report_example.built()


@pytest.fixture
def document(built):
    return json.loads((built.folder / "report.json").read_text())


@pytest.fixture(scope="module")
def lowered(built):
    model = stages.read(api.Source(built.folder.parent / "tiny.onnx"))
    plan = stages.plans.load(built.folder / "plan.toml")
    return model, stages.lowered(model, plan, stages.target(load("nucleo_f446re")))


# --- report.json ---------------------------------------------------------------------------------------------------


def test_it_follows_its_published_schema(document):
    assert schemas.validate(document, "report", "report.json", "MQ502") == []


def test_it_has_the_keys_that_others_rely_on(document):
    assert (document["model"], document["board"], document["fits"]) == ("tiny", "nucleo_f446re", True)
    assert document["plan"]["formats"] == {"f32": 0, "f16": 1, "s16": 1, "s8": 1}
    for part, keys in {
        "flash": ("total_bytes", "weights_bytes", "code_bytes"),
        "ram": ("total_bytes", "arena_bytes", "state_bytes", "stack_bytes"),
        "latency": ("cycles", "instructions", "ms", "budget_ms", "origin", "status", "error_pct"),
    }.items():
        assert set(keys) <= document[part].keys()
    for operator in document["operators"]:
        assert {"name", "op", "format", "macs", "cycles", "weights_bytes", "snr_db"} <= operator.keys()


def test_its_figures_add_up(document, lowered):
    flash, ram, latency = document["flash"], document["ram"], document["latency"]
    assert flash["total_bytes"] == flash["weights_bytes"] + flash["code_bytes"] + flash["library_bytes"]
    assert ram["total_bytes"] == sum(ram[f"{n}_bytes"] for n in ("arena", "state", "io", "stack"))
    listed = sum(o["cycles"] for o in document["operators"])
    rest = sum(c["cycles"] for c in document["conversions"] if c["operator"].startswith("("))
    assert latency["cycles"] == listed + rest
    assert latency["ms"] == pytest.approx(1e3 * latency["cycles"] / document["target"]["clock_hz"])
    assert latency["budget_ms"] == 1.0
    assert latency["convert_cycles"] == sum(c["cycles"] for c in document["conversions"])
    program, memory = lowered[1].program, lowered[1].memory
    assert sum(o["weights_bytes"] for o in document["operators"]) == program.weights_bytes
    assert (ram["arena_bytes"], ram["state_bytes"]) == (memory.arena_bytes, memory.state_bytes)


def test_macs_are_those_of_the_model(document):
    units, block = streaming_model.UNITS, streaming_model.BLOCK
    macs = {o["name"]: o["macs"] for o in document["operators"]}
    assert macs["lstm"] == pytest.approx(4 * units * (units + block), rel=0.1)  # and the elementwise products
    assert macs["dense"] == units * block
    assert macs["mask"] == 0


def test_conversions_at_precision_boundaries_are_in_it(document):
    found = {(c["operator"], c["from"], c["to"]) for c in document["conversions"] if c["purpose"] == "convert"}
    assert {("mask", "f16", "s16"), ("(outputs)", "s16", "f32")} <= found
    assert any(op == "dense" and to == "f16" for op, _, to in found)


def test_accuracy_covers_outputs_states_and_operators(document):
    found = document["accuracy"]
    assert {n: o["kind"] for n, o in found["outputs"].items()} == {"y": "output", "h_out": "state", "c_out": "state"}
    assert found["frames"] == 200
    assert {o["name"]: o["snr_db"] is not None for o in document["operators"]} == {
        "lstm": True,
        "dense": True,
        "mask": True,
    }
    assert weakest(document)["name"] == "lstm", "8 bits among 16"


def test_noise_is_blamed_on_the_operator_that_adds_it(lowered):
    graph = lowered[0].graph
    added = dict(noise_added(graph, {"lstm": 40.0, "dense": 39.9, "mask": 45.0}))
    assert added["lstm"] == pytest.approx(-40.0)
    assert added["dense"] == pytest.approx(
        -56.3, abs=0.1
    )  # 39.9 dB is a little less than 40, and that little is its own
    assert added["mask"] == -999.0


@pytest.mark.skipif(not shutil.which("arm-none-eabi-size"), reason="arm-none-eabi-gcc is not installed: NOT compared")
def test_its_sizes_are_the_linkers(built, document, tmp_path):
    cmake = ["cmake", "-S", built.folder, "-B", tmp_path, f"-DCMAKE_TOOLCHAIN_FILE={built.folder / 'toolchain.cmake'}"]
    subprocess.run(cmake, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", tmp_path], check=True, capture_output=True)
    said = subprocess.run(
        ["arm-none-eabi-size", tmp_path / "tiny_footprint"], check=True, capture_output=True, text=True
    ).stdout
    text, data, bss = map(int, said.splitlines()[1].split()[:3])
    assert document["flash"]["origin"] == "linked"
    assert document["flash"]["total_bytes"] == text + data
    assert document["ram"]["total_bytes"] - document["ram"]["stack_bytes"] == data + bss


# --- memory and distributions --------------------------------------------------------------------------------------


def test_regions_hold_what_is_needed_and_where(document):
    held = {r["name"]: r["holds"] for r in document["regions"]}
    assert sum(held["flash"].values()) == document["flash"]["total_bytes"]
    assert sum(held["sram"].values()) == document["ram"]["total_bytes"]
    assert [r["address"] for r in document["regions"]] == sorted(r["address"] for r in document["regions"])


def test_buffers_over_time_are_those_of_the_plan(document, lowered):
    program, memory = lowered[1].program, lowered[1].memory
    shown = {b["name"]: (b["offset_bytes"], b["first_call"], b["last_call"]) for b in document["memory"]["buffers"]}
    assert shown == {n: (o, memory.lifetimes[n].first, memory.lifetimes[n].last) for n, o in memory.offsets.items()}
    assert len(document["memory"]["calls"]) == len(program.calls)
    assert sum(c["cycles"] for c in document["memory"]["calls"]) == document["latency"]["cycles"]
    assert max(b["offset_bytes"] + b["bytes"] for b in document["memory"]["buffers"]) <= memory.arena_bytes


def test_live_bytes_reach_the_bound_and_never_more(document):
    live = live_bytes(document["memory"])
    aligned = 8 * len(document["memory"]["buffers"])
    assert max(live) <= document["ram"]["arena_lower_bound_bytes"] < max(live) + aligned


def counts(entry):
    return [int(n) for n in entry["counts"].split()]


def test_every_weight_is_in_its_histogram(document, lowered):
    constants = lowered[1].program.constants
    shown = {w["name"]: w for w in document["weights"]}
    assert {w["format"] for w in shown.values()} == {"s8", "f16", "f32"}, "biases beside f16 weights are f32"
    for name, entry in shown.items():
        assert sum(counts(entry)) == entry["elements"] == constants[name].plain.size
    narrow = next(w for w in shown.values() if w["format"] == "s8")
    values = np.bincount(constants[narrow["name"]].plain.ravel().astype(int) + 128, minlength=256)
    first = narrow["low"] + 128
    assert counts(narrow) == list(values[first : first + len(counts(narrow))])


def test_activations_are_what_the_edges_held(lowered):
    program = lowered[1].program
    session = ProgramSession(program)
    observer = Observer(session, 3)
    expected = {name: np.zeros(256, int) for name in observer.counts}
    for i in range(3):
        session.run(None, {"x": np.full((1, 1, 16), 0.3 * i, np.float32)})
        observer.frame()
        for name, bins in expected.items():
            step = 1 if program.edges[name].type.format == "s8" else 256
            for value in session.raw(name).ravel():
                bins[int(value) // step + 128] += 1
    assert expected, "the LSTM is in s8 and the mask in s16"
    for name, found in observer.counts.items():
        assert np.array_equal(found, expected[name])


def test_what_an_operator_reads_is_seen_through_those_that_do_not_run(document):
    assert {o["name"]: o["after"] for o in document["operators"]} == {
        "lstm": ["x"], "dense": ["lstm"], "mask": ["dense"]
    }  # fmt: skip
    assert {o["name"] for o in document["operators"] if o["stateful"]} == {"lstm"}


# --- renderings ----------------------------------------------------------------------------------------------------


def test_there_are_these_renderings():
    assert report.formats() == (
        "table", "csv", "html", "json", "junit", "markdown", "model-explorer", "sarif"
    )  # fmt: skip


def test_the_table_says_what_a_newcomer_asks(document):
    text = report.render([document], "table")
    for label, value in figures(document):
        assert label in text
        assert value in text
    for words in ("Fits", "KiB of 512.0 KiB", " of 1 ms", "estimated", "onnxruntime", "lstm", "--set lstm=s8", "s16"):
        assert words in text


def test_json_is_the_report_and_several_are_one_object(document):
    assert json.loads(report.render([document], "json")) == document
    assert json.loads(report.render([document, document], "json")) == {"reports": [document, document]}


def test_csv_has_a_row_per_operator_or_per_board(document):
    rows = list(csv.DictReader(io.StringIO(report.render([document], "csv"))))
    assert [r["name"] for r in rows] == ["lstm", "dense", "mask"]
    assert [float(r["snr_db"]) for r in rows] == [o["snr_db"] for o in document["operators"]]
    rows = list(csv.DictReader(io.StringIO(report.render([document, document], "csv"))))
    assert [r["board"] for r in rows] == ["nucleo_f446re"] * 2
    assert int(rows[0]["flash_bytes"]) == document["flash"]["total_bytes"]


def test_markdown_has_the_same_rows(document):
    text = report.render([document], "markdown")
    assert "| lstm | LSTM | s8 |" in text
    other = {**document, "board": "b"}
    both = report.render([document, other], "markdown")
    assert "\n| nucleo_f446re | yes |" in both and "\n| b | yes |" in both
    assert "\n| nucleo_f446re | yes |" not in text


def test_several_boards_are_one_table_and_then_what_limits_each(document):
    energy = {"mj": 1.5, "low_mj": 0.5, "high_mj": 4.0, "active_mw": 50.0, "average_mw": None, "sources": ["x"]}
    small = copy.deepcopy({**document, "board": "small", "fits": False, "energy": energy})
    small["ram"]["available_bytes"] = 10
    table = overview([document, small])
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert rows["nucleo_f446re"]["fits"] and not rows["small"]["fits"]
    assert rows["small"]["mJ"] == "1.5 (0.5 to 4)" and rows["nucleo_f446re"]["mJ"] == ""
    assert rows["small"]["what limits"] == "RAM"
    text = report.render([document, small], "table")
    assert "TOO MUCH" not in text, "the bank itself is large enough: only what others take is in the way"
    assert "what to try next" in text and "Memory by bank" in text


def test_what_does_not_fit_says_by_how_much_what_helps_and_where_it_would_fit(document):
    small = copy.deepcopy({**document, "fits": False})
    small["ram"]["available_bytes"] = small["ram"]["total_bytes"] - 64
    help_ = "smaller formats; or take a board with more memory: nucleo_f411re, nucleo_l476rg"
    small["diagnostics"] = [
        {"code": "MQ503", "where": "b: sram", "message": "", "rule": "", "help": help_, "severity": "error"}
    ]
    first = advice(small)[0]
    assert first.blocks and first.limit == "RAM: 64 B too much in sram"
    assert "most is live at" in first.remedy and first.remedy.endswith("nucleo_f411re, nucleo_l476rg")
    assert not any(a.blocks for a in advice(document))


def test_advice_names_what_saves_most_and_what_it_saves(document):
    full = copy.deepcopy(document)
    full["flash"]["available_bytes"] = full["flash"]["total_bytes"]
    wide = max((w for w in full["weights"] if w["format"] != "s8"), key=lambda w: w["bytes"])
    found = next(a for a in advice(full) if a.resource == "flash")
    assert not found.blocks and f"--set {wide['operator']}=s8" in found.remedy and "less" in found.remedy


def test_builds_on_one_board_are_told_apart():
    def build(model, s8, f16):
        formats = {"f32": 0, "f16": f16, "s16": 0, "s8": s8}
        return {"board": "b", "model": model, "plan": {"formats": formats}}

    assert titles([build("m", 1, 0), build("n", 1, 0)]) == ["m on b", "n on b"]
    assert titles([build("m", 1, 0), build("m", 0, 1)]) == ["m on b, 1 s8", "m on b, 1 f16"]
    assert titles([build("m", 1, 0)] * 2) == ["1: m on b, 1 s8", "2: m on b, 1 s8"]


def test_names_that_look_like_markup_survive():
    table = Table(("a|b", "n"), (("[bold]x[/bold]|y", 1234567), (None, None)), "T")
    assert "[bold]x[/bold]|y" in as_text([table])
    assert "1 234 567" in as_text([table])
    assert as_csv(table) == "a|b,n\n[bold]x[/bold]|y,1234567\n,\n"
    assert "| [bold]x[/bold]\\|y | 1 234 567 |" in as_markdown(table)


def test_words_for_numbers():
    assert (decibels(999.0), decibels(41.26), decibels(-999.0)) == ("exact", "41.3 dB", "not finite")
    assert (noise(None), noise(-999.0), noise(-41.26), noise(999.0)) == ("", "", "-41 dB", "not finite")
    assert (kib(1023), kib(1536)) == ("1023 B", "1.5 KiB")
    assert (duration(1500), duration(13.34), duration(0.0064)) == ("1.5 s", "13.3 ms", "6.4 µs")


def test_the_readme_quotes_the_report(built, document):
    readme = (built.folder / "README.md").read_text()
    for _, value in figures(document):
        assert value in readme


# --- comparison ----------------------------------------------------------------------------------------------------


def clips(*lengths):
    frames = [{"x": np.full((1, 1, 16), 0.1 * i, np.float32)} for i in range(max(lengths))]
    made = [Clip("same name", n, lambda n=n: iter(frames[:n])) for n in lengths]
    return Clips(tuple(made), "test")


@pytest.mark.parametrize(
    ("lengths", "frames", "shares"),
    [((10, 10), 10, [5, 5]), ((2, 100, 100), 50, [2, 24, 24]), ((3, 4), 100, [3, 4]), ((5, 5, 5), 1, [1])],
)
def test_excerpts_take_equal_shares_and_never_more(lengths, frames, shares):
    assert [n for _, n in excerpts(clips(*lengths), frames)] == shares


def test_the_reference_carries_states_and_forgets_them(lowered):
    model, _ = lowered
    reference = Reference(model.file, model.graph, model.scalars)
    feeds = {"x": np.ones((1, 1, 16), np.float32)}
    first, second = reference.run(feeds), reference.run(feeds)
    assert not np.array_equal(first["h_out"], second["h_out"])
    reference.reset()
    assert all(np.array_equal(a, b) for a, b in zip(first.values(), reference.run(feeds).values(), strict=True))


def test_accuracy_sees_a_wrong_state_and_each_frame(lowered):
    model, made = lowered
    reference = Reference(model.file, model.graph, model.scalars)
    session = ProgramSession(made.program)
    seen = []
    edges = operator_edges(model.graph, made.program)
    good = accuracy(
        model.graph, session, reference, clips(5, 5), 8, operators=edges, on_frame=lambda f, o: seen.append(o)
    )
    assert (good.frames, len(seen)) == (8, 8)
    assert set(good.operators) == {"lstm", "dense", "mask"}
    assert good.worst_snr_db > 15

    class Forgetful(ProgramSession):
        def run(self, names, feeds):
            self.reset()
            return super().run(names, feeds)

    bad = accuracy(model.graph, Forgetful(made.program), reference, clips(5, 5), 8)
    assert bad.states["h_out"].snr_db < good.states["h_out"].snr_db - 6


def test_only_edges_that_keep_their_value_are_compared(lowered):
    _, made = lowered
    edges = integer_edges(made.program)
    assert {made.program.edges[e].type.format for e in edges} <= {"s8", "s16", "s32"}
    written = [e for call in made.program.calls for e in call.writes]
    for edge in edges:
        after = written[len(written) - written[::-1].index(edge) :]
        mine = made.program.edges[edge]
        assert not any(compare._overlap(mine, made.program.edges[other]) for other in after if other != edge)
