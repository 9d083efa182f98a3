"""docs/benchmarks.md from bench/results.json: kernels beside CMSIS-NN's, whole models and where their time goes.

python -m bench.benchmarks_page         `make bench` does it, too
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"

HEAD = """\
# Benchmarks

<!-- made by `make bench`: edit bench/benchmarks_page.py -->

Executed instructions, counted in QEMU by `firmware/qemu/count_plugin.c`: whole calls, from the first instruction to the
return. `python -m bench.kernels --kernel fully_connected_s8 --shape 300,200 --core m4` measures one more shape; with
`--cmsis-nn DIR` CMSIS-NN's function for the same shape is counted in the same run, compiled with -O3, ours with -O2.
All figures are data in `bench/results.json`; `python -m bench --check` names every one that has changed since.

What instructions are in time: [Latency](latency.md).
"""

HOST = """\
## On a PC

Processor time per frame of the emulator (kernels in portable C, -O2) and of onnxruntime in one thread, the same frames.
`python -m bench.host --models DIR` measures it. onnxruntime multiplies with the PC's vector instructions; the emulator
computes what the board does, bit for bit, and half precision in integers.

"""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def _compiler(row: Mapping[str, Any]) -> str:
    return "clang" if "clang" in row["compiler"] else "GCC"


def _kernel(row: Mapping[str, Any]) -> Sequence[object]:
    work = row.get("macs") or row["elements"]
    theirs = row.get("cmsis_nn_instructions")
    return (
        row["kernel"],
        " x ".join(map(str, row["shape"])),
        row["core"],
        row["isa"],
        _compiler(row),
        f"{row['instructions'] / work:.3f} per {'product' if row.get('macs') else 'element'}",
        f"{theirs / work:.3f}" if theirs else "-",
        f"{row['instructions'] / theirs:.2f}" if theirs else "-",
        row["flash_bytes"],
        row["stack_bytes"],
    )


def _model(row: Mapping[str, Any]) -> Sequence[object]:
    total = row["instructions_per_frame"]
    parts = [f"{op} {100 * n / total:.0f} %" for op, n in list(row["operators"].items())[:4]]
    overhead = f"{100 * row['overhead_share']:.1f} %"
    sizes = (row["flash_bytes"], row["ram_bytes"], row["stack_high_water_bytes"])
    return (row["model"], row["core"], row["plan"], row["isa"], f"{total:,}", overhead, *sizes, ", ".join(parts))


def _host(row: Mapping[str, Any]) -> Sequence[object]:
    ratio = row["emulator_ms"] / row["onnxruntime_ms"]
    return (row["model"], row["plan"], f"{row['emulator_ms']:.3f}", f"{row['onnxruntime_ms']:.3f}", f"{ratio:.2f}")


def rendered(rows: Sequence[Mapping[str, Any]], host: Sequence[Mapping[str, Any]]) -> str:
    """The page."""
    kernels = [r for r in rows if "kernel" in r]
    models = [r for r in rows if "model" in r]
    kernel_head = (
        "kernel",
        "shape",
        "core",
        "variant",
        "compiler",
        "instructions",
        "CMSIS-NN",
        "ratio",
        "flash",
        "stack",
    )
    model_head = (
        "model",
        "core",
        "plan",
        "variant",
        "per frame",
        "overhead",
        "flash",
        "RAM",
        "stack",
        "largest shares",
    )
    parts = [
        HEAD,
        "## Whole models\n\nOverhead: what no operator computes itself, i.e. conversions, copies, the schedule.\n\n"
        + _table(model_head, map(_model, models)),
        "## Kernels\n\nA ratio below 1 is fewer instructions than CMSIS-NN's.\n\n"
        + _table(kernel_head, map(_kernel, kernels)),
        HOST + _table(("model", "plan", "emulator, ms", "onnxruntime, ms", "ratio"), map(_host, host)),
    ]
    return "\n".join(parts)


def recorded() -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """What the page is made from: bench/results.json and bench/host.json."""
    rows, host = (json.loads((HERE / name).read_text()) for name in ("results.json", "host.json"))
    return rows, host


def write() -> Path:
    """Make the page from what is recorded."""
    PAGE.write_text(rendered(*recorded()))
    return PAGE


if __name__ == "__main__":
    print(write())
    sys.exit(0)
