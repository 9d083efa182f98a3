"""Cycles of CoreMark per core as bench/prices.py has them, beside what is published: a test of the cores' timing.

    python -m bench.coremark DIR          DIR is a checkout of https://github.com/eembc/coremark

It is compiled here with GCC and run in QEMU as it is; only the port (clock, printing) is ours. The published figures
were made with other compilers, which is part of what they are compared with.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench import prices
from bench.estimate_coefficients import PRICED
from bench.kernels import target_of
from mcu_quant.emulator import qemu
from mcu_quant.emulator.qemu import Machine

FLAGS = (
    "-O3",
    "-funroll-loops",
    "-w",
    "-include",
    "stddef.h",
    "-Dmain=coremark_main",
    "-DMEM_METHOD=MEM_STATIC",
    '-DFLAGS_STR=""',
)
PARTS = ("core_list_join.c", "core_main.c", "core_matrix.c", "core_state.c", "core_util.c")
#: No clock and no output: what is counted is counted from outside.
PORT = """
#include "coremark.h"
volatile ee_s32 seed1_volatile = 0, seed2_volatile = 0, seed3_volatile = 0x66, seed4_volatile = 1, seed5_volatile = 0;
ee_u32 default_num_contexts = 1;
int ee_printf(const char *format, ...) { (void)format; return 0; }
void portable_init(core_portable *p, int *argc, char *argv[]) { p->portable_id = 1; }
void portable_fini(core_portable *p) { p->portable_id = 0; }
void start_time(void) {}
void stop_time(void) {}
CORE_TICKS get_time(void) { return 1000; }
secs_ret time_in_secs(CORE_TICKS ticks) { return (secs_ret)ticks; }
"""


def cycles(checkout: Path, core: str) -> dict[str, float]:
    """Cycles of one iteration on the cores that are priced with what this one executes.

    Raises:
        DiagnosticError: MQ601 if a tool is missing, MQ602 if the checkout does not compile.
    """
    target, _ = target_of(core)
    with tempfile.TemporaryDirectory() as scratch:
        port = Path(scratch) / "port.c"
        port.write_text(PORT)
        parts = [*(checkout / p for p in PARTS), port]
        objects = qemu.compile_objects(target, parts, [checkout, checkout / "barebones"], FLAGS)
        with Machine(target, qemu.link(target, objects), profile=True) as machine:
            lines = prices.listing(machine.elf, target.triple)
            profiles = []
            for iterations in (1, 3):
                machine.write(machine.symbols["seed4_volatile"], np.int32(iterations).tobytes())
                profiles.append(machine.call("coremark_main", []).profile)
    # what happens once, at the beginning and the end, is not part of an iteration
    one, three = ([prices.cycles(p, lines, priced) for priced in PRICED[core]] for p in profiles if p is not None)
    return {priced: (b - a) / 2 for priced, a, b in zip(PRICED[core], one, three, strict=True)}


def everything(checkout: Path) -> dict[str, float]:
    """Cycles of one iteration on every core."""
    return {priced: each for core in PRICED for priced, each in cycles(checkout, core).items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="CoreMark per MHz, as the cores' timing has it.")
    parser.add_argument("checkout", type=Path)
    given = parser.parse_args()
    for core, each in everything(given.checkout).items():
        print(json.dumps({"core": core, "cycles": round(each), "coremark_per_mhz": round(1e6 / each, 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
