"""The page of supported operators, from the same registry and the same rules that the import applies.

python -m bench.operators     # writes docs/operators.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx.defs

from bench.conformance import RECORD, cases
from bench.conformance import operators as operators_of
from mcu_quant import ops
from mcu_quant.ops import OpSpec
from mcu_quant.precision.plan import CHOICES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operators.md"

_HEAD = """# Supported operators

Made by `python -m bench.operators` from the operators' own files; `mcu-quant ops NAME` prints the same for one.

A format is one that the plan may choose. *Passed on*: the operator only moves values and works on whatever format they
are stored in. *Exact*: whole numbers and truth values, as the model has them. A rule that a model breaks is a
diagnostic that names the node, the rule and what to do, all of a model's at once.
"""


def formats(spec: OpSpec) -> str:
    """How an operator computes, in words."""
    have = {low.format for low in spec.lowerings}
    if spec.carries:
        return "passed on"
    if not have and not spec.exact:
        return "those of what it becomes"
    return ", ".join([*(f for f in CHOICES if f in have), *(["exact"] if spec.exact else [])])


def _rows() -> Iterator[str]:
    for name, spec in sorted(ops.by_onnx().items()):
        if "." not in name:
            rules = " ".join(ops.rule(c).replace("|", "/") for c in spec.constraints)
            yield f"| {name} | {spec.family} | {formats(spec)} | {rules} |"


def by_definition() -> list[str]:
    """Operators without a file, of which ONNX's own definition is taken, and a node test passes."""
    passed = {t for t, status in json.loads(RECORD.read_text())["tests"].items() if status == "passed"}
    tests = cases()
    about = operators_of(tests)
    found = {about[t.name] for t in tests if t.name in passed} - set(ops.by_onnx())
    return sorted(n for n in found if onnx.defs.has(n))


def page() -> str:
    """docs/operators.md."""
    lines = [_HEAD, "| ONNX | family | formats | rules |", "|---|---|---|---|", *_rows(), ""]
    lines += ["## By ONNX's own definition", ""]
    lines += ["These become the operators that the standard defines them by, or are decided at build time:", ""]
    return "\n".join([*lines, ", ".join(by_definition()) + "."]) + "\n"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
