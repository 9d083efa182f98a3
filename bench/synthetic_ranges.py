"""How good are ranges from made-up speech? Compared with those from recordings, tensor by tensor.

    python bench/synthetic_ranges.py RECORDINGS MODEL.onnx [MODEL.onnx ...]

RECORDINGS is a folder of 16 kHz wav files, all of which is used. The table is the one in docs/data.md: for every tensor
that calibration watches, its largest magnitude on the made-up clips divided by that on the recordings.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mcu_quant.api import stages
from mcu_quant.calibrate import calibrate


def ratios(model: stages.Model, recordings: Path) -> np.ndarray:
    made_up = calibrate(model.graph, stages.clips(model, None), None).ranges()
    recorded = calibrate(model.graph, stages.clips(model, recordings), None).ranges()
    return np.array([made_up[n].magnitude / r.magnitude for n, r in recorded.items() if r.magnitude > 0.0])


def main(arguments: list[str]) -> None:
    recordings, *files = map(Path, arguments)
    print("| model | tensors | within a factor of 2 | smallest ratio | median | largest ratio |")
    print("|---|---|---|---|---|---|")
    for file in files:
        found = ratios(stages.read(stages.Source(file)), recordings)
        near = np.mean((found > 0.5) & (found < 2.0))
        numbers = " | ".join(f"{v:.2f}" for v in (found.min(), np.median(found), found.max()))
        print(f"| `{file.stem}` | {found.size} | {near:.0%} | {numbers} |")


if __name__ == "__main__":
    main(sys.argv[1:])
