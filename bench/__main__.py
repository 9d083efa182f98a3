"""Count everything and write it down: kernels and whole models, on every core whose tools are installed.

    python -m bench [--core m4] [--models ../shared/models] [--cmsis-nn ../CMSIS-NN] [--output bench/results.json]

What is not measured in a run stays in the file as it was recorded. With --check nothing is written, and every figure
that differs from the recorded one is printed: instructions have no tolerance.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import benchmarks_page, kernels, regression, whole_models
from mcu_quant.emulator import qemu

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
REAL_MODELS = HERE.parent.parent / "shared" / "models"


def main() -> int:
    parser = argparse.ArgumentParser(description="Executed instructions of kernels and models.")
    parser.add_argument("--core", choices=kernels.CORES, action="append", help="may be repeated; default: all")
    parser.add_argument("--models", type=Path, default=REAL_MODELS if REAL_MODELS.is_dir() else None)
    parser.add_argument("--cmsis-nn", type=Path, metavar="DIR", help="a checkout of CMSIS-NN to compare with")
    parser.add_argument("--only", choices=("kernels", "models"), help="measure only these")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--check", action="store_true", help="compare with the output file instead of writing it")
    given = parser.parse_args()
    cores = [c for c in given.core or kernels.CORES if not _missing(c)]
    recorded = json.loads(given.output.read_text()) if given.output.is_file() else []
    # through JSON, so that all have the same types
    found = [json.loads(json.dumps(row)) for row in _measured(cores, given)]
    if given.check:
        changed = regression.differences(recorded, found)
        print("\n".join(changed) or f"{len(found)} rows are as recorded")
        return int(bool(changed))
    rows = regression.merged(recorded, found)
    given.output.write_text("[\n" + ",\n".join(f" {json.dumps(m)}" for m in rows) + "\n]\n")
    if given.output == RESULTS:
        benchmarks_page.write()
    return 0


def _measured(cores: Sequence[str], given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if given.only != "models":
        for kernel in kernels.everything(cores, checkout=given.cmsis_nn):
            print(kernels.line(kernel), flush=True)
            yield kernel.as_dict()
    if given.only == "kernels":
        return
    with tempfile.TemporaryDirectory() as scratch:
        models = [*whole_models.read(None, whole_models.SMALL, Path(scratch))]
        if given.models:
            models += whole_models.read(given.models, whole_models.REAL, Path(scratch))
        for model in whole_models.everything(models, [c for c in cores if c in kernels.BOARDS]):
            print(whole_models.line(model), flush=True)
            yield whole_models.as_dict(model)


def _missing(core: str) -> tuple[str, ...]:
    missing = qemu.missing(kernels.target_of(core)[0])
    if missing:
        print(f"{core}: NOT measured, {', '.join(missing)} is not installed", file=sys.stderr)
    return missing


if __name__ == "__main__":
    sys.exit(main())
