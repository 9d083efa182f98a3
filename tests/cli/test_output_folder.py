"""Output folders appear whole or not at all, and nothing that existed before is lost."""

import json
from pathlib import Path

import pytest

from mcu_quant.api import folder


def snapshot(path):
    return {p.relative_to(path): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.fixture
def build_into(project, cli):
    def run(target, *more):
        args = ["build", project / "tiny.onnx", "--board", "nucleo_f446re", "-o", target]
        args += ["--data", project / "speech"]
        args += [] if "--plan" in more else ["--preset", "tinydenoiser"]
        return cli(*args, "--format", "json", *more)

    return run


def test_a_folder_of_somebody_else_is_left_alone(build_into, tmp_path):
    target = tmp_path / "mine"
    target.mkdir()
    (target / "notes.txt").write_text("keep me")
    status, out, _ = build_into(target)
    assert (status, json.loads(out)["diagnostics"][0]["code"]) == (2, "MQ702")
    assert snapshot(tmp_path) == {Path("mine/notes.txt"): b"keep me"}
    file = tmp_path / "file"
    file.write_text("keep me too")
    assert build_into(file)[0] == 2
    assert file.read_text() == "keep me too"


def test_a_folder_that_cannot_be_written(build_into, tmp_path):
    (tmp_path / "file").write_text("")
    status, out, _ = build_into(tmp_path / "file" / "fw")
    assert (status, json.loads(out)["diagnostics"][0]["code"]) == (2, "MQ701")


def test_a_folder_that_fails_while_it_is_written_leaves_nothing(build_into, monkeypatch, tmp_path):
    def full(self, mode="r", *args, **kwargs):
        if mode == "w" and self.name == "tiny.c" and "fw" in str(self):
            raise OSError(28, "No space left on device")
        return original(self, mode, *args, **kwargs)

    original = Path.open
    monkeypatch.setattr(Path, "open", full)
    status, out, _ = build_into(tmp_path / "new" / "fw")
    assert (status, json.loads(out)["diagnostics"][0]["code"]) == (2, "MQ701")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_fails_while_it_is_replaced_stays(build_into, copied, monkeypatch):
    before = snapshot(copied.parent)

    def broken(self, target):
        if self.name.startswith(".fw-") and "-old-" not in self.name and Path(target).name == "fw":
            raise OSError(5, "Input/output error")
        return original(self, target)

    original = Path.rename
    monkeypatch.setattr(Path, "rename", broken)
    status, _, _ = build_into(copied, "--preset", "f32")
    assert status == 2
    assert snapshot(copied.parent) == before


def test_rebuilding_replaces_what_was_generated_and_keeps_the_rest(build_into, copied):
    (copied / "build").mkdir()
    (copied / "build" / "CMakeCache.txt").write_text("mine")
    status, out, _ = build_into(copied, "--preset", "f32")
    assert status == 0
    assert json.loads(out)["plan"]["formats"] == {"f32": 3, "f16": 0, "s16": 0, "s8": 0}
    assert (copied / "build" / "CMakeCache.txt").read_text() == "mine"
    assert folder.changed_files(copied, folder.read_manifest(copied)) == []
    assert not [p for p in copied.parent.iterdir() if p.name.startswith(".")]


def test_a_file_in_the_way_of_a_new_one_is_not_lost(build_into, copied):
    mine = copied / "mq" / "mq_fully_connected_f32__scalar.c"
    assert not mine.exists()
    mine.write_text("/* mine */")
    before = snapshot(copied.parent)
    status, out, _ = build_into(copied, "--preset", "f32")
    assert (status, json.loads(out)["diagnostics"][0]["code"]) == (2, "MQ702")
    assert snapshot(copied.parent) == before


def test_edits_are_not_lost_but_an_edited_plan_may_be_built_from(build_into, copied, cli):
    plan = copied / "plan.toml"
    plan.write_text(plan.read_text().replace('"mask" = { format = "f16"', '"mask" = { format = "s8"'))
    assert cli("test", copied)[0] == 1, "the code was not made from this plan"
    status, out, _ = build_into(copied)
    assert (status, json.loads(out)["diagnostics"][0]["code"]) == (1, "MQ704")
    assert '"mask" = { format = "s8"' in plan.read_text()
    status, out, _ = build_into(copied, "--plan", plan)
    assert status == 0
    assert json.loads(out)["plan"]["formats"]["s8"] == 2
    (copied / "tiny.c").write_text("/* mine */")
    assert build_into(copied)[0] == 1
    assert (copied / "tiny.c").read_text() == "/* mine */"
