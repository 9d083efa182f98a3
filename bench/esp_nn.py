"""Cycles of ESP-NN's portable C on RISC-V, counted and priced, for what Espressif published of it.

    python -m bench.esp_nn DIR          DIR is a checkout of https://github.com/espressif/esp-nn

The library's functions in plain C (`_ansi`), and those that are optimised without instructions of their own (`_opt`,
which the ESP32-C3 uses), are compiled here and run in QEMU; what they execute is priced (bench/prices_riscv.py). Its
README has the time of a whole network, person detection, on the ESP32-C3, and ticks of single functions on the
ESP32-S3. Recorded in bench/esp_nn.json: cycles by core and case.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import prices
from bench.cmsis_nn import Library, _Window
from bench.estimate_coefficients import PRICED
from bench.kernels import target_of
from bench.networks import NETWORKS, Layer
from mcu_quant.emulator import qemu
from mcu_quant.emulator.qemu import Machine

FLAGS = ("-O2", "-ffunction-sections", "-fdata-sections", "-w", "-include", "stddef.h")
FOLDERS = ("convolution", "fully_connected")
RECORDED = Path(__file__).resolve().parent / "esp_nn.json"
CORES = ("rv32", "rv32f")

#: Person detection of TFLM: the visual wake words network for images of one channel, which its first layer multiplies.
#: Its last layer, 256 values to 2, is left out.
PERSON_DETECTION = (Layer("depthwise", (96, 96, 1, 8, 3, 3, 2)), *NETWORKS["vww"][1:-1])
_KINDS = {"conv": "conv", "depthwise": "depthwise_conv"}


@dataclass(frozen=True)
class Padded(_Window):
    """A window with so many zeros on every side, as the library's tests have them."""

    zeros: int = 0

    @property
    def out(self) -> tuple[int, int]:
        return self.height - self.rows + 1 + 2 * self.zeros, self.width - self.columns + 1 + 2 * self.zeros

    @property
    def padding(self) -> tuple[int, int]:
        return self.zeros, self.zeros


#: Functions of the README's table for the ESP32-S3: kind and window; of dense ones inputs and outputs.
FUNCTIONS: Mapping[str, tuple[str, _Window | tuple[int, int]]] = {
    "conv 10x10, filter 64x1x1x64": ("conv", Padded(10, 10, 64, 64, 1, 1, 1)),
    "conv 8x8, filter 16x1x1x16": ("conv", Padded(8, 8, 16, 16, 1, 1, 1)),
    "conv 8x8, filter 64x3x3x3": ("conv", Padded(8, 8, 3, 64, 3, 3, 1)),
    "depthwise conv 18x18, filter 1x3x3x16": ("depthwise_conv", Padded(18, 18, 16, 16, 3, 3, 1)),
    "depthwise conv 12x12, filter 8x5x5x4": ("depthwise_conv", Padded(12, 12, 8, 32, 5, 5, 1, zeros=1)),
    "fully connected 271 x 3": ("fully_connected", (271, 3)),
}


@dataclass
class EspNN(Library):
    """A machine with ESP-NN on it. `variant` is the ending of its functions."""

    variant: str = "ansi"

    def run(self, kind: str, shape: _Window | tuple[int, int], cores: tuple[str, ...]) -> list[float]:
        """Cycles of a function on cores that execute the same instructions."""
        arguments = self._window(shape, kind) if isinstance(shape, _Window) else self._dense(*shape)
        called = self.machine.call(f"esp_nn_{kind}_s8_{self.variant}", arguments)
        lines = prices.listing(self.machine.elf, self.machine.target.triple)
        self.machine.release()
        assert called.profile is not None
        return [prices.cycles(called.profile, lines, core) for core in cores]

    def _window(self, w: _Window, kind: str) -> list[int]:
        depthwise = kind == "depthwise_conv"
        inner = 1 if depthwise else w.channels
        height, width = w.out
        given = self.struct(w.width, w.height, w.channels, 1)
        filter_ = self.struct(w.columns, w.rows, inner, w.outputs)
        result = self.struct(width, height, w.outputs, 1)
        inputs = self.noise(w.width * w.height * w.channels)
        weights = self.noise(w.rows * w.columns * inner * w.outputs)
        bias = self.noise(w.outputs, "int32")
        outputs = self.noise(height * width * w.outputs)
        times = (w.outputs // w.channels,) if depthwise else ()
        parameters = self.struct(1, 1, *times, w.stride, w.stride, *w.padding, 1, 1, -128, 127)
        shift, multiplier = (self.bytes(np.full(w.outputs, v, np.int32).tobytes()) for v in (-8, 1 << 30))
        scales = self.struct(shift, multiplier)
        return [given, inputs, filter_, weights, bias, result, outputs, parameters, scales]

    def _dense(self, inputs: int, outputs: int) -> list[int]:
        x, w, y = self.noise(inputs), self.noise(inputs * outputs), self.noise(outputs)
        bias = self.noise(outputs, "int32")
        return [x, 1, inputs, w, 0, bias, y, outputs, 0, -8, 1 << 30, -128, 127]


def cases(checkout: Path, core: str) -> Iterator[tuple[str, str, float]]:
    """(core, case, cycles) of everything that is compared."""
    target, _ = target_of(core)
    sources = sorted(s for f in FOLDERS for s in (checkout / "src" / f).glob("*.c") if "esp32" not in s.stem)
    includes = [checkout / "include", checkout / "src" / "common"]
    elf = qemu.link(target, qemu.compile_objects(target, sources, includes, FLAGS))
    priced = tuple(PRICED[core])
    with Machine(target, elf, profile=True) as machine:
        for name, (kind, shape) in FUNCTIONS.items():
            for on, cycles in zip(priced, EspNN(machine).run(kind, shape, priced), strict=True):
                yield on, name, cycles
        optimised = EspNN(machine, "opt")
        layers = [optimised.run(_KINDS[x.kind], _Window(*x.shape), priced) for x in PERSON_DETECTION]
    for on, found in zip(priced, zip(*layers, strict=True), strict=True):
        yield on, "person detection", sum(found)


def everything(checkout: Path) -> dict[str, dict[str, int]]:
    """Cycles by core and case."""
    found: dict[str, dict[str, int]] = {}
    for core in CORES:
        for on, name, cycles in cases(checkout, core):
            found.setdefault(on, {})[name] = round(cycles)
    return found


def rendered(found: Mapping[str, Mapping[str, int]]) -> str:
    """As JSON."""
    return json.dumps(found, indent=1) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="ESP-NN's portable functions on RISC-V, counted and priced.")
    parser.add_argument("checkout", type=Path)
    given = parser.parse_args()
    RECORDED.write_text(rendered(everything(given.checkout)))
    print(RECORDED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
