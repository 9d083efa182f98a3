"""Node data of Google's Model Explorer: the graph of the ONNX file, coloured by format.

`model-explorer MODEL.onnx --node_data_paths=FILE` (with the ONNX adapter) shows it. Keys are names of nodes; what a
rewrite made of several nodes colours the one that it is named after.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from mcu_quant.report import Report

#: As in the HTML report.
COLOURS = {"s8": "#d9822b", "s16": "#1f9a74", "f16": "#3d8fd1", "f32": "#8a5fc4"}
OTHER = "#8b949e"


def render(reports: Sequence[Report]) -> str:
    """The formats of the first report: of the same plan on several boards they are the same."""
    report = reports[0]
    results = {
        o["name"]: {"value": o["format"], "bgColor": COLOURS.get(o["format"], OTHER), "textColor": "#ffffff"}
        for o in report["operators"]
    }
    document = {
        "name": f"formats ({report['board']})",
        "results": results,
        "showExpandedSummaryOnGroupNode": True,
        "showLabelCountColumnsInChildrenStatsTable": True,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
