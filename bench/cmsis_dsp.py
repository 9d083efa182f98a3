"""Executed instructions of CMSIS-DSP's real transforms in the same emulator: what `bench.audio --cmsis-dsp DIR` adds.

DIR is a checkout of https://github.com/ARM-software/CMSIS-DSP, which needs cmsis_compiler.h of CMSIS-Core. Whole calls
of the public functions are counted, on noise; making the instance is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.cmsis_nn import FLAGS, Library
from mcu_quant.emulator import qemu
from mcu_quant.emulator.qemu import Machine, QemuTarget

#: Words of the largest instance of a transform.
INSTANCE = 64
#: Arguments of an instance: not the inverse, and in the order of the bins.
FORWARD = (0, 1)
TABLES = ("arm_common_tables.c", "arm_const_structs.c", "arm_mve_tables.c")
#: Other types than those that are counted, and what would need further folders.
LEFT_OUT = ("f16", "f64", "mfcc")


def sources(checkout: Path) -> list[Path]:
    """The files that its real transforms of f32, q31 and q15 need."""
    folder = checkout / "Source"
    transforms = sorted((folder / "TransformFunctions").glob("arm_*.c"))
    used = [f for f in transforms if not any(part in f.stem for part in LEFT_OUT)]
    shifts = [folder / "BasicMathFunctions" / f"arm_shift_{fmt}.c" for fmt in ("q15", "q31")]
    tables = [folder / "CommonTables" / name for name in TABLES]
    return [*used, *shifts, folder / "BasicMathFunctions" / "arm_scale_f32.c", *tables]


def includes(checkout: Path, core: Path) -> list[Path]:
    """Folders of headers."""
    return [checkout / "Include", checkout / "PrivateInclude", core]


@cache
def _program(checkout: Path, core: Path, target: QemuTarget) -> Path:
    return qemu.link(target, qemu.compile_objects(target, sources(checkout), includes(checkout, core), FLAGS))


@dataclass(frozen=True)
class Checkout:
    """CMSIS-DSP, and the folder of CMSIS-Core's headers."""

    root: Path
    core: Path

    def count(self, target: QemuTarget, graph: str, points: int, fmt: str) -> dict[str, int]:
        """Instructions by function, of those that do what a graph does on a format; empty where there is none.

        Raises:
            DiagnosticError: MQ602 if it does not compile.
        """
        if graph != "spectrum" or target.riscv or points & (points - 1):
            return {}
        with Machine(target, _program(self.root, self.core, target), count=True) as machine:
            library = Library(machine)
            if fmt == "f32":
                return {"f32": _transform(library, "arm_rfft_fast_init_f32", "arm_rfft_fast_f32", points, "float32")}
            return {
                q: _transform(library, f"arm_rfft_init_{q}", f"arm_rfft_{q}", points, dtype)
                for q, dtype in (("q31", "int32"), ("q15", "int16"))
            }

    def spectrum(self, target: QemuTarget, fmt: str, x: NDArray[np.int64]) -> NDArray[np.complex128]:
        """What arm_rfft_q31 or arm_rfft_q15 makes of whole numbers of that format, up to a factor.

        Raises:
            DiagnosticError: MQ602 if it does not compile.
        """
        dtype = np.dtype({"q31": "<i4", "q15": "<i2"}[fmt])
        with Machine(target, _program(self.root, self.core, target)) as machine:
            library = Library(machine)
            instance = library.noise(INSTANCE, "int32")
            library.call(f"arm_rfft_init_{fmt}", instance, x.size, *FORWARD)
            taken, y = library.bytes(x.astype(dtype).tobytes()), library.noise(2 * x.size, dtype.name)
            machine.call(f"arm_rfft_{fmt}", (instance, taken, y))
            pairs = np.frombuffer(machine.read(y, (x.size + 2) * dtype.itemsize), dtype).astype(np.float64)
        made: NDArray[np.complex128] = pairs[::2] + 1j * pairs[1::2]
        return made


def _transform(library: Library, init: str, run: str, points: int, dtype: str) -> int:
    instance = library.noise(INSTANCE, "int32")
    x, y = library.noise(points, dtype), library.noise(2 * points, dtype)
    real = dtype == "float32"
    library.call(init, instance, points, *(() if real else FORWARD))
    # the function itself returns nothing that could be looked at
    return library.machine.call(run, (instance, x, y, *(FORWARD[:1] if real else ()))).instructions
