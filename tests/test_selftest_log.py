"""The log of a self-test: what its page shows is read, whatever stands around it, and nothing that was cut is used."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_quant import selftest_log
from mcu_quant.diagnostics import Severity
from mcu_quant.selftest_log import Measured, Output, Run, read, written

PAGE = Path(__file__).resolve().parent.parent / "docs" / "self-test-log.md"
EXAMPLE = PAGE.read_text(encoding="utf-8").split("```")[1]
RUN = Run(
    "gtcrn", "nucleo_f446re", "dsp", "6f1e7a90c2b4d853", 8, 180_000_000, "dwt", True,
    {0: Measured(1234, 1230, 1311), 1: Measured(90412, 90398, 90520), 2: Measured(604, 604, 611)},
    {0: Output(0, 2056)}, Measured(92290, 92240, 92480), 1312, 11, "", "on", "on", "0x8e1f02aa", "0x8e1f02aa",
)  # fmt: skip


def problems(text):
    runs, found = read(text, "log")
    return len(runs), [(d.severity, d.message) for d in found]


def test_the_example_of_the_page_is_read_as_it_says():
    assert read(EXAMPLE, "log") == ([RUN], [])


@given(st.sampled_from(["", "[00:00:01.000] <inf> app: ", "I (312) main: \t"]), st.sampled_from(["\n", "\r\n"]))
def test_prefixes_line_ends_and_other_peoples_lines_do_not_matter(prefix, end):
    lines = [prefix + line for line in EXAMPLE.strip().splitlines()]
    text = end.join(["*** Booting ***", *(x for line in lines for x in (line, "mqtt: connected"))])
    assert read(text, "log") == ([RUN], [])


def test_what_a_later_version_may_add_is_passed_over():
    added = EXAMPLE.replace("counter=dwt", "counter=dwt volts=3.3").replace("lines=12", "lines=13")
    assert read(added.replace("mq: stack", "mq: heap bytes=0\nmq: stack"), "log") == ([RUN], [])


def test_every_run_of_a_log_counts():
    runs, found = read(EXAMPLE * 3, "log")
    assert runs == [RUN] * 3
    assert found == []


@pytest.mark.parametrize("line", range(len(EXAMPLE.strip().splitlines())))
def test_a_run_that_lacks_any_line_is_not_used(line):
    lines = EXAMPLE.strip().splitlines()
    runs, found = read("\n".join([*lines[:line], *lines[line + 1 :]]), "log")
    assert runs == []
    assert found[-1].severity is Severity.ERROR


@given(st.integers(0, len(EXAMPLE.strip()) - 2))
def test_a_log_that_was_cut_anywhere_is_not_used(length):
    runs, found = read(EXAMPLE.strip()[:length], "log")
    assert runs == []
    assert found


def test_a_run_after_one_that_was_cut_is_used():
    lines = EXAMPLE.strip().splitlines()
    runs, found = read("\n".join([*lines[:5], *lines]), "log")
    assert runs == [RUN]
    assert [d.where for d in found] == ["log:1"]


def test_a_later_version_is_refused():
    count, found = problems(EXAMPLE.replace("version=1", "version=2"))
    assert count == 0
    assert (Severity.WARNING, "is a log of version 2; this mcu-quant reads version 1") in found


@pytest.mark.parametrize("broken", ["cycles=12x4", "cycles=", "=5", "cycles"])
def test_a_damaged_record_is_named_with_its_line(broken):
    runs, found = read(EXAMPLE.replace("cycles=1234", broken), "log")
    assert runs == []
    assert found[0].where == f"log:{EXAMPLE.splitlines().index('mq: step 0 cycles=1234 min=1230 max=1311') + 1}"


def test_a_written_run_is_read_back():
    run = selftest_log.read(EXAMPLE, "log")[0][0]
    bare = Run(run.model, "b", "scalar", run.schedule, 1, 1, "mcycle", False, {0: Measured(7)}, {}, day="2026-11-23")
    for one in (bare, Run(**{**vars(run), "weights_crc32": "", "expected_crc32": ""})):
        assert read(written(one), "log") == ([one], [])
