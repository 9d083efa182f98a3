"""One JSON object: the report itself, or {"reports": [...]} for several boards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcu_quant.report import Report


def render(reports: Sequence[Report]) -> str:
    """The contents of report.json."""
    document = reports[0] if len(reports) == 1 else {"reports": list(reports)}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def render_difference(document: Mapping[str, Any]) -> str:
    """The document itself."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
