"""The page: whole, safe, offline, the same every time, and with the figures of the report in it."""

import copy
import json
import re
from html.parser import HTMLParser

import pytest

from mcu_quant import report
from mcu_quant.report.charts import byte_steps, element, steps
from mcu_quant.report.charts.flow import flow, place
from mcu_quant.report.charts.front import front, pareto, points
from mcu_quant.report.names import clipped, labels
from mcu_quant.report.summary import decibels, kib
from tests import report_example

#: Elements that hold nothing: of SVG, which close themselves.
SHAPES = {"line", "rect", "circle", "path", "polyline"}


class Page(HTMLParser):
    """Elements of a page, with what is never closed or closed without having been opened."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.wrong, self.seen, self.ids, self.words = [], [], [], set(), []
        self.feed(text)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.seen.append((tag, found))
        self.ids.add(found.get("id"))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in SHAPES:
            self.wrong.append(f"<{tag}/>")

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def document():
    return json.loads((report_example.built().folder / "report.json").read_text())


@pytest.fixture
def page(document):
    return report.render([document], "html")


def test_it_is_whole(page):
    found = Page(page)
    assert found.wrong == []
    assert {a["href"][1:] for tag, a in found.seen if tag == "a"} <= found.ids, "links lead to parts of the page"


def test_it_asks_no_network_for_anything(page):
    found = Page(page)
    policy = next(a["content"] for tag, a in found.seen if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    for tag, attributes in found.seen:
        assert not attributes.keys() & {"src", "srcset", "action", "data", "xlink:href"}, tag
        assert attributes.get("href", "#").startswith("#")
        assert tag not in ("link", "iframe", "object", "embed", "img")
    assert "url(" not in page and "@import" not in page and "fetch(" not in page
    assert not re.search(r"https?:|//[a-z]+\.[a-z]", page.replace("http-equiv", ""))


def test_the_same_report_gives_the_same_bytes(document, page):
    shuffled = json.loads(json.dumps(document))
    assert report.render([shuffled], "html") == page


def test_it_is_in_the_folder(page):
    assert (report_example.built().folder / "report.html").read_text() == page


def test_it_says_what_the_report_says(document, page):
    words = re.sub(r"\s+", " ", " ".join(Page(page).words))
    for text in (
        document["target"]["name"], kib(document["flash"]["total_bytes"]), kib(document["ram"]["total_bytes"]),
        f"{document['latency']['ms']:.3g} ms", document["plan"]["calibrated_on"], document["source"]["sha256"],
    ):  # fmt: skip
        assert text in words
    for o in document["operators"]:
        assert o["name"] in words and decibels(o["snr_db"]) in words


def test_there_is_a_box_for_every_buffer_and_a_figure_for_every_histogram(document, page):
    arena = page[page.index('<svg viewBox="0 0 1000 380"') :]
    boxes = re.findall(r"<title>([^<]*), calls \d+ to \d+", arena[: arena.index("</svg>")])
    assert len(boxes) == len(document["memory"]["buffers"])
    assert page.count("<figure>") == len(document["weights"]) + len(document["activations"])


def test_names_cannot_break_out(document):
    evil = copy.deepcopy(document)
    text = '</title><script>alert(1)</script>"&'
    evil["model"] = evil["operators"][0]["name"] = evil["memory"]["calls"][0]["operator"] = text
    made = report.render([evil], "html")
    assert "<script>alert" not in made
    assert Page(made).wrong == []


def test_what_does_not_fit_is_said_first(document):
    small = copy.deepcopy(document)
    small["fits"] = False
    small["ram"]["available_bytes"] = small["ram"]["total_bytes"] - 100
    for region in small["regions"]:
        if region["name"] == small["ram"]["region"]:
            region["bytes"] = small["ram"]["available_bytes"]
    words = " ".join(Page(report.render([small], "html")).words)
    assert "does not fit" in words
    assert "RAM: 100 B too much in sram" in words


def test_several_boards_get_a_table_and_a_part_each(document):
    other = {**document, "board": "my_board"}
    found = Page(report.render([document, other], "html"))
    assert found.wrong == []
    assert {"r1", "r2"} <= found.ids
    assert {a["href"] for tag, a in found.seen if tag == "a"} == {"#r1", "#r2"}


def build_at(document, name, ms, snr_db):
    made = copy.deepcopy({**document, "board": name})
    made["latency"]["ms"] = ms
    for output in made["accuracy"]["outputs"].values():
        output["snr_db"] = snr_db
    return made


def test_error_against_cost_joins_the_builds_that_no_other_beats(document):
    builds = [("a", 1.0, 20.0), ("b", 2.0, 15.0), ("c", 4.0, 40.0), ("d", 4.0, 30.0), ("e", 9.0, 999.0)]
    made = [build_at(document, *b) for b in builds]
    assert [p.name for p in pareto(points(made))] == ["a", "c", "e"]
    picture = front(points(made))
    assert picture.count("<circle") == 5
    assert picture.count('class="best"') == 3
    assert "e: 9 ms, exact" in picture
    assert front(points([made[0], build_at(document, "x", 3.0, 20.0)])) == "", "time alone needs no picture"


def test_a_measured_front_stands_beside_the_build(document):
    row = {
        "plan": "f32",
        "kind": "fixed",
        "snr_db": 90.0,
        "flash_bytes": 9000.0,
        "ram_bytes": 500.0,
        "ms": 2.0,
        "best": True,
    }
    page = report.render([{**document, "front": [row]}], "html")
    assert 'id="front"' in page and "f32: 2 ms, 90.0 dB, flash 8.8 KiB" in page
    assert 'id="front"' not in report.render([document], "html")


def test_a_report_without_a_comparison_or_budget_still_renders(document):
    bare = copy.deepcopy(document)
    bare["accuracy"] = bare["real_time"] = None
    bare["latency"] |= {"budget_ms": None, "real_time_factor": None}
    bare["operators"] = [{**o, "snr_db": None, "noise_added_db": None} for o in bare["operators"]]
    assert Page(report.render([bare], "html")).wrong == []
    empty = {**bare, "operators": [], "conversions": [], "weights": [], "activations": []}
    empty["memory"] = {"calls": [], "buffers": [], "states": []}
    empty["latency"] = {**bare["latency"], "cycles": 0, "ms": 0.0}
    assert Page(report.render([empty], "html")).wrong == []


# --- parts ---------------------------------------------------------------------------------------------------------


def test_html_elements_are_closed_and_shapes_close_themselves():
    assert element("i", class_="x") == '<i class="x"></i>'
    assert element("rect", x=0.25, y=1.0) == '<rect x="0.2" y="1"/>'
    assert element("text", "a<b", x=1) == '<text x="1">a&lt;b</text>'


def test_axes_have_round_numbers():
    assert steps(0.9, 4) == pytest.approx([0.0, 0.5])
    assert steps(100, 5) == [0, 20, 40, 60, 80, 100]
    assert byte_steps(18 * 1024) == [0, 4096, 8192, 12288, 16384]


def test_labels_are_short_and_tell_operators_apart():
    names = ["a/b/conv/BiasAdd", "a/b/conv_1/BiasAdd", "MatMul_3", "a/MatMul", "x", "x/y"]
    assert labels(names) == {
        "a/b/conv/BiasAdd": "conv/BiasAdd", "a/b/conv_1/BiasAdd": "conv_1/BiasAdd", "MatMul_3": "MatMul_3",
        "a/MatMul": "a/MatMul", "x": "x", "x/y": "x/y",
    }  # fmt: skip
    many = [f"net/{i}/op" for i in range(500)]
    assert len(set(labels(many).values())) == 500
    assert clipped("abcdefgh", 5) == "…efgh"


def test_connections_keep_their_lane_until_their_last_reader(document):
    rows = flow(document)
    assert [r.node.name for r in rows] == ["x", "lstm", "dense", "mask"]
    skip = copy.deepcopy(document)
    skip["operators"][2]["after"] = ["dense", "lstm"]
    lane = place([r.node for r in flow(skip)])
    assert lane["dense"] != lane["lstm"], "lstm is still needed below"
    assert lane["mask"] in (lane["dense"], lane["lstm"])
    crossing = flow(skip)[2].lanes
    assert crossing.count("<path") == 2 + 1, "lstm passes, lstm arrives, dense begins"
