"""What importing and building cost: time, and memory above that of the libraries, per model.

    python -m bench.import_cost [NAME ...] [--shared ../shared] [--output bench/import_cost.json]

Each model has a process of its own, which first builds a tiny model, so that what libraries load once is not counted.
`build` is `mcu-quant build MODEL --board nucleo_h743zi2` with nothing else said: import, calibration on made-up
signals, lowering, comparison with onnxruntime, code, cross compilation, report. Seconds of a processor do not depend on
what else the machine does; those of the clock do.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.models import BOARD, HERE, SHARED, names
from bench.small_models import conv_vad

MIB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """Seconds of the clock and of a processor, and the highest memory above the libraries', of one model."""

    model: str
    model_mib: float
    import_s: float
    import_cpu_s: float
    import_mib: float
    build_s: float
    build_cpu_s: float
    build_mib: float


def _cpu() -> float:
    """Seconds of a processor so far, those of compilers and linkers among them."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path: Path) -> Cost:
    """The cost of one model, in this process, which must not have done anything else."""
    from mcu_quant import api
    from mcu_quant.api import stages

    with tempfile.TemporaryDirectory() as scratch:
        tiny = api.Source(conv_vad(Path(scratch) / "tiny.onnx"))
        api.build(api.BuildRequest(tiny, BOARD, Path(scratch) / "tiny"))
        base, clock, cpu = _peak_mib(), time.monotonic(), _cpu()
        stages.read(api.Source(path))
        imported = time.monotonic(), _cpu(), _peak_mib()
        api.build(api.BuildRequest(api.Source(path), BOARD, Path(scratch) / "built"))
        built = time.monotonic(), _cpu(), _peak_mib()
    return Cost(
        model=path.stem,
        model_mib=round(path.stat().st_size / MIB, 2),
        import_s=round(imported[0] - clock, 1),
        import_cpu_s=round(imported[1] - cpu, 1),
        import_mib=round(imported[2] - base, 1),
        build_s=round(built[0] - imported[0], 1),
        build_cpu_s=round(built[1] - imported[1], 1),
        build_mib=round(built[2] - base, 1),
    )


def in_a_process(path: Path) -> dict[str, Any]:
    """The cost of one model, measured in a new process."""
    command = [sys.executable, "-m", "bench.import_cost", "--measure", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE.parent)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Time and memory of importing and building the published models.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with models/")
    parser.add_argument("--output", type=Path, help="write what was measured")
    parser.add_argument("--measure", type=Path, metavar="FILE", help="measure in this process, print JSON")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(asdict(measure(given.measure))))
        return 0
    head = ("model", "MiB", "import s", "cpu s", "+MiB", "build s", "cpu s", "+MiB")
    print("{:28}{:>8}{:>10}{:>8}{:>8}{:>10}{:>8}{:>8}".format(*head))
    rows = []
    for name in given.names or names(given.shared):
        found = in_a_process(given.shared.resolve() / "models" / f"{name}.onnx")
        print("{:28}{:8.2f}{:10.1f}{:8.1f}{:8.1f}{:10.1f}{:8.1f}{:8.1f}".format(*found.values()), flush=True)
        rows.append(found)
        if given.output:
            given.output.write_text("[\n" + ",\n".join(f" {json.dumps(r)}" for r in rows) + "\n]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
