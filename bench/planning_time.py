"""Where the time of planning goes: processor seconds of each part, with an empty cache.

    python -m bench.planning_time [NAME ...] [--output bench/planning_time.json]

Each model is planned in a process of its own and in that alone (`--jobs 1`), for one board, to lose no more than 30 dB
in as little flash as possible. Compilers and linkers are counted with what calls them, and nothing twice: a part's
seconds are without those of the parts it calls. Seconds of a processor do not depend on what else the machine does;
with two processors, the clock shows little more than half of them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from bench.models import BOARD, HERE, SHARED
from bench.small_models import mask_lstm

MODELS = ("dtln_stage1", "dtln_stage2", "gtcrn_stream", "silero_vad_16k", "kwt1_mfcc", "lstm_1m")

#: Parts: where the functions are that do each of them.
PARTS = {
    "kernels compiled": ("mcu_quant.emulator.library:Library.__init__",),
    "model read": ("mcu_quant.api.stages:read",),
    "ranges and inputs of layers": ("mcu_quant.api.planning:begin", "mcu_quant.precision.planner:collect"),
    "plans lowered": ("mcu_quant.precision.trial:lower",),
    "programs bound": ("mcu_quant.emulator.side_by_side:SideBySide.__init__",),
    "kernels run": ("mcu_quant.emulator.side_by_side:SideBySide.run",),
    "outputs compared": ("mcu_quant.precision.trial:Trial.losses",),
    "prices": ("mcu_quant.precision.planner:price",),
    "programs solved": ("mcu_quant.precision.solvers.milp:milp",),
    "firmware linked": ("mcu_quant.api.planning:linked",),
}
REST = "everything else"


def _cpu() -> float:
    return sum(os.times()[:4])


class Parts:
    """Seconds by part, each without those of the parts inside it."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._inside = [0.0]

    def watch(self, part: str, place: str) -> None:
        """Count a function, given as module:name, from now on."""
        module, _, name = place.partition(":")
        owner: Any = importlib.import_module(module)
        *path, last = name.split(".")
        for step in path:
            owner = getattr(owner, step)
        setattr(owner, last, self._counted(part, getattr(owner, last)))

    def _counted(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            began = _cpu()
            self._inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                spent = _cpu() - began
                self.seconds[part] += spent - self._inside.pop()
                self._inside[-1] += spent

        return counted


def measure(path: Path) -> dict[str, Any]:
    """Seconds of one model, in this process, which must not have done anything else."""
    from mcu_quant import api, boards
    from mcu_quant.api import planning, stages
    from mcu_quant.precision.goal import Goal

    parts = Parts()
    for part, places in PARTS.items():
        for place in places:
            parts.watch(part, place)
    data = SHARED / "audio" / "calibration" if path.parent == SHARED / "models" else None
    with tempfile.TemporaryDirectory() as cache:
        os.environ["MCU_QUANT_CACHE"] = cache
        model = stages.read(api.Source(path))
        asked = planning.Planning(Goal(min_snr_db=30.0, minimise="flash"), jobs=1)
        planning.choose(model, boards.load(BOARD), api.PrecisionRequest(), asked, data)
    found = {part: round(seconds, 1) for part, seconds in parts.seconds.items()}
    total = _cpu()
    return {"model": path.stem, "cpu_s": round(total, 1), **found, REST: round(total - sum(parts.seconds.values()), 1)}


def apart(name: str) -> dict[str, Any]:
    """`measure` in a process of its own, with what the clock says."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / f"{name}.onnx"
        path = mask_lstm(made, bins=257, units=384) if name == "lstm_1m" else SHARED / "models" / f"{name}.onnx"
        command = [sys.executable, "-m", "bench.planning_time", "--measure", str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def line(row: dict[str, Any]) -> str:
    """A row for people, the largest parts first."""
    parts = sorted(((s, n) for n, s in row.items() if n not in ("model", "cpu_s")), reverse=True)
    return f"{row['model']:16} {row['cpu_s']:6.1f} s: " + ", ".join(f"{name} {s:.1f}" for s, name in parts if s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, metavar="NAME")
    parser.add_argument("--output", type=Path, default=HERE / "planning_time.json")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure)))
        return
    known = {r["model"]: r for r in json.loads(asked.output.read_text())} if asked.output.is_file() else {}
    for name in asked.models:
        began = time.monotonic()
        known[name] = apart(name)
        print(line(known[name]), f"({time.monotonic() - began:.0f} s by the clock)", flush=True)
        rows = [known[n] for n in sorted(known)]
        asked.output.write_text("[\n" + ",\n".join(f" {json.dumps(r)}" for r in rows) + "\n]\n")


if __name__ == "__main__":
    main()
