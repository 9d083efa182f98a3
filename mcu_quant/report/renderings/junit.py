"""JUnit XML: a CI server shows each board as a suite and each resource as a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from mcu_quant.report import Report
from mcu_quant.report.summary import kib, time


@dataclass(frozen=True)
class Case:
    """One test: passed, failed with a reason, or left open (skipped) with one."""

    name: str
    text: str = ""
    failure: str = ""
    open: str = ""


def render(reports: Sequence[Report]) -> str:
    """A suite per report: flash and RAM suffice, a frame ends in time. An estimate that is too slow stays open."""
    return _xml([(f"{r['model']} on {r['board']}", [_size("flash", r), _size("ram", r), _time(r)]) for r in reports])


def render_difference(document: Mapping[str, Any]) -> str:
    """A suite with a test per pair of reports that fails with its findings, and one per finding without a pair."""
    names = [f"{p['new']['model']} on {p['new']['board']}" for p in document["pairs"]]
    boards = [p["new"]["board"] for p in document["pairs"]]
    cases = []
    for name, board in zip(names, boards, strict=True):
        about = (name, f"{board}:")
        found = [d for d in document["diagnostics"] if d["severity"] == "error" and d["where"].startswith(about)]
        failure = "\n".join(" ".join(filter(None, (f"{d['where']}: {d['message']}", d["rule"]))) for d in found)
        cases.append(Case(name, failure=failure))
    return _xml([("changes", cases)])


def _size(name: str, report: Report) -> Case:
    needed, there = report[name]["total_bytes"], report[name]["available_bytes"]
    text = f"{kib(needed)} of {kib(there)} in {report[name]['region']}"
    return Case(name, text, f"does not fit: {text}, {kib(needed - there)} too much" if needed > there else "")


def _time(report: Report) -> Case:
    latency = report["latency"]
    text = time(latency)
    late = report["real_time"] is False
    measured = latency["origin"] == "measured"
    return Case(
        "time", text, f"too slow: {text}" if late and measured else "", f"too slow: {text}" if late else ""
    )  # fmt: skip


def _xml(suites: Sequence[tuple[str, Sequence[Case]]]) -> str:
    root = ET.Element("testsuites", name="mcu-quant")
    for name, cases in suites:
        failures = sum(bool(c.failure) for c in cases)
        skipped = sum(bool(c.open) and not c.failure for c in cases)
        counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0", "skipped": str(skipped)}
        suite = ET.SubElement(root, "testsuite", {"name": name, **counts})
        for case in cases:
            _case(suite, name, case)
    ET.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _case(suite: ET.Element, class_name: str, case: Case) -> None:
    test = ET.SubElement(suite, "testcase", classname=class_name, name=case.name)
    if case.failure:
        ET.SubElement(test, "failure", message=case.failure.splitlines()[0]).text = case.failure
    elif case.open:
        ET.SubElement(test, "skipped", message=case.open)
    if case.text:
        ET.SubElement(test, "system-out").text = case.text
