"""SARIF 2.1.0: diagnostics as code-scanning services read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from mcu_quant.diagnostics import CATALOGUE
from mcu_quant.report import Report
from mcu_quant.version import VERSION

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(reports: Sequence[Report]) -> str:
    """One run; a result per diagnostic of each report."""
    return _log([(r["source"]["file"], f"{r['model']} on {r['board']}", d) for r in reports for d in r["diagnostics"]])


def render_difference(document: Mapping[str, Any]) -> str:
    """A result per finding: what no longer fits, limits that are exceeded."""
    pairs = document["pairs"]
    file = pairs[0]["new"]["file"] if pairs else ""
    return _log([(file, "", d) for d in document["diagnostics"]])


Finding = tuple[str, str, Mapping[str, str]]
"""File, what the finding is about, and the diagnostic."""


def _log(findings: Sequence[Finding]) -> str:
    codes = sorted({d["code"] for _, _, d in findings})
    run = {
        "tool": {"driver": {"name": "mcu-quant", "semanticVersion": VERSION, "rules": list(_rules(codes))}},
        "results": [_result(codes, *finding) for finding in findings],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1, ensure_ascii=False) + "\n"


def _rules(codes: Iterable[str]) -> Iterable[dict[str, Any]]:
    for code in codes:
        entry = CATALOGUE[code]
        yield {
            "id": code,
            "shortDescription": {"text": entry.title},
            "fullDescription": {"text": entry.explanation},
        }


def _result(codes: Sequence[str], file: str, about: str, found: Mapping[str, str]) -> dict[str, Any]:
    parts = [f"{found['where']}: {found['message']}", found["rule"] and f"rule: {found['rule']}", found["help"]]
    identity = "\n".join((file, about, found["code"], found["where"], found["rule"]))
    return {
        "ruleId": found["code"],
        "ruleIndex": codes.index(found["code"]),
        "level": found["severity"],
        "message": {"text": "\n".join(p for p in parts if p)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": quote(file)}},
                "logicalLocations": [{"fullyQualifiedName": ": ".join(p for p in (about, found["where"]) if p)}],
            }
        ],
        # without figures, so that a service knows a finding again when they change
        "partialFingerprints": {"mcuQuant/v1": hashlib.sha256(identity.encode()).hexdigest()[:32]},
    }
