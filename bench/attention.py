"""What attention in blocks of rows saves and costs: the arena, and estimated instructions, with and without.

python -m bench.attention [MODEL.onnx ...]     # by default the Transformers among ../shared/models
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import numpy as np

from mcu_quant import boards, cost, memory, ops, passes
from mcu_quant.calibrate import calibrate_ranges
from mcu_quant.data import Clip, Clips
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.frontend import load
from mcu_quant.ir import Graph
from mcu_quant.lower import lower
from mcu_quant.passes import attention
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan

MODELS = ("kwt1_mfcc", "smart_turn_v3_2_int8_qdq")
BOARD = "nucleo_h743zi2"


def _always(graph: Graph) -> dict[str, int]:
    """As if nothing but attention needed memory."""
    inside = {op.name for chain in attention._chains(graph) for op in chain.operators}
    return {op.name: int(op.name in inside) for op in graph.operators}


def _never(graph: Graph) -> Graph:
    return graph


def _plan(graph: Graph, fmt: str, frame: dict[str, np.ndarray]) -> PrecisionPlan:
    """Every operator in a format where it can be, calibrated on one frame."""
    clip = Clip("noise", 1, lambda: iter([frame]))
    lines = {}
    for op in graph.operators:
        if ops.has_choice(op, graph):
            usable = [name for name, reason in ops.spec(op).formats(op, graph).items() if reason is None]
            lines[op.name] = OperatorPlan(fmt if fmt in usable else "f32")
    return PrecisionPlan(graph.name, fmt, lines, calibrate_ranges(graph, Clips((clip,), "noise")).edges)


def _rows(path: Path) -> Iterator[str]:
    ways: Sequence[tuple[str, str, Callable[[Graph], object]]] = (
        ("never", "mcu_quant.passes.split_attention", _never),
        ("as it is", "", _never),
        ("always", "mcu_quant.passes.attention._alive", _always),
    )
    raw = load(path).graph
    for name, target, replacement in ways:
        with mock.patch(target, replacement) if target else nullcontext():
            graph = passes.optimise(raw)
        rng = np.random.default_rng(0)
        frame = {n: rng.standard_normal(graph.shape(n)).astype(np.float32) for n in graph.inputs}
        blocks = sum(r.rule.startswith("attention") for r in graph.rewrites)
        for fmt in ("f32", "s8"):
            program = lower(graph, _plan(graph, fmt, frame))
            instructions = cost.estimate(program, boards.load(BOARD)).instructions
            crc = zlib.crc32(b"".join(a.tobytes() for a in ProgramSession(program).run(None, frame)))
            arena = memory.plan(program).arena_bytes
            yield f"{path.stem:28} {fmt:4} {name:9} {blocks:3} {arena:10} {instructions:14} {crc:08x}"


def main(words: Sequence[str]) -> int:
    """Print a row per model, format and way."""
    shared = Path(__file__).resolve().parent.parent.parent / "shared" / "models"
    print(f"{'model':28} {'fmt':4} {'blocks':9} {'of':>3} {'arena B':>10} {'instructions':>14} output")
    for path in [Path(w) for w in words] or [shared / f"{m}.onnx" for m in MODELS]:
        for row in _rows(path):
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
