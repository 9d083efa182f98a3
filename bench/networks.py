"""Cycles of CMSIS-NN on the networks of MLPerf Tiny, per core, as bench/prices.py has them.

    python -m bench.networks DIR          DIR is a checkout of https://github.com/ARM-software/CMSIS-NN

Every layer is called as bench/cmsis_nn.py calls it, run in QEMU, and its executed instructions are priced. What others
measured of libraries that rest on CMSIS-NN, or that do the same work in the same way, is compared with these figures:
nothing of ours but the timing of the cores is in them. Recorded in bench/networks.json: per core and network, a row
[kind, cycles, bytes of weights, times they are read] per layer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench import cmsis_nn, prices
from bench.cmsis_nn import Library, _Window
from bench.estimate_coefficients import PRICED
from bench.kernels import target_of
from mcu_quant.emulator.qemu import Machine

#: Windows that the library computes at once, and so reads a weight once for.
AT_ONCE = {"m55": 4}


@dataclass(frozen=True)
class Layer:
    """A layer: conv, depthwise, dense or add, and its window, inputs and outputs, or elements."""

    kind: str
    shape: tuple[int, ...]

    @property
    def weight_bytes(self) -> int:
        """Of 8-bit weights."""
        if self.kind == "dense":
            return self.shape[0] * self.shape[1]
        if self.kind == "add":
            return 0
        _, _, channels, outputs, rows, columns, _ = self.shape
        return rows * columns * outputs * (1 if self.kind == "depthwise" else channels)

    @property
    def pixels(self) -> int:
        """Windows that the weights are used for."""
        if self.kind in ("dense", "add"):
            return 1
        height, width = _Window(*self.shape).out
        return height * width


def _conv(*shape: int) -> Layer:
    return Layer("conv", shape)


def _separable(height: int, width: int, channels: int, outputs: int, stride: int = 1) -> Iterator[Layer]:
    """A depthwise 3x3 and a pointwise layer."""
    yield Layer("depthwise", (height, width, channels, channels, 3, 3, stride))
    yield _conv(-(-height // stride), -(-width // stride), channels, outputs, 1, 1, 1)


def _keywords() -> Iterator[Layer]:
    yield _conv(49, 10, 1, 64, 10, 4, 2)
    for _ in range(4):
        yield from _separable(25, 5, 64, 64)
    yield Layer("dense", (64, 12))


def _images() -> Iterator[Layer]:
    yield _conv(32, 32, 3, 16, 3, 3, 1)
    yield from (_conv(32, 32, 16, 16, 3, 3, 1) for _ in range(2))
    yield Layer("add", (32 * 32 * 16,))
    for size, channels in ((32, 16), (16, 32)):
        yield _conv(size, size, channels, 2 * channels, 3, 3, 2)
        yield _conv(size // 2, size // 2, 2 * channels, 2 * channels, 3, 3, 1)
        yield _conv(size, size, channels, 2 * channels, 1, 1, 2)
        yield Layer("add", (size * size * channels // 2,))
    yield Layer("dense", (64, 10))


#: Channels in and out, and stride, of the separable layers of MobileNet with a quarter of the channels.
_MOBILE = (
    *((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2)),
    *((128, 128, 1),) * 5,
    *((128, 256, 2), (256, 256, 1)),
)


def _wake_words() -> Iterator[Layer]:
    yield _conv(96, 96, 3, 8, 3, 3, 2)
    size = 48
    for channels, outputs, stride in _MOBILE:
        yield from _separable(size, size, channels, outputs, stride)
        size = -(-size // stride)
    yield Layer("dense", (256, 2))


def _anomalies() -> Iterator[Layer]:
    widths = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
    yield from (Layer("dense", pair) for pair in pairwise(widths))


NETWORKS: Mapping[str, Sequence[Layer]] = {
    "kws": tuple(_keywords()),
    "ic": tuple(_images()),
    "vww": tuple(_wake_words()),
    "ad": tuple(_anomalies()),
}


@dataclass
class _Profiles(Library):
    """A library that prices what it executes for several cores."""

    cores: Sequence[str] = ()
    priced: tuple[float, ...] = ()

    def call(self, function: str, *arguments: int) -> int:
        """Runs a function; the cycles of the last one stay."""
        if function not in self.machine.symbols:  # sums of weights, which it has for Helium alone
            return 0
        called = self.machine.call(function, arguments)
        assert called.profile is not None
        lines = prices.listing(self.machine.elf, self.machine.target.triple)
        self.priced = tuple(prices.cycles(called.profile, lines, core) for core in self.cores)
        return called.instructions


def _run(lib: _Profiles, layer: Layer) -> tuple[float, ...]:
    match layer.kind:
        case "dense":
            cmsis_nn._fully_connected(lib, layer.shape, 8)
        case "add":
            cmsis_nn._add(lib, layer.shape, 8)
        case kind:
            cmsis_nn._convolve(lib, _Window(*layer.shape), 8, depthwise=kind == "depthwise")
    return lib.priced


Rows = list[list[str | int]]


def count(checkout: Path, core: str) -> dict[str, dict[str, Rows]]:
    """Rows per network, for each core that is priced with what this one executes.

    Raises:
        DiagnosticError: MQ601 if a tool is missing, MQ602 if the checkout does not compile.
    """
    target, _ = target_of(core)
    found: dict[str, dict[str, Rows]] = {priced: {} for priced in PRICED[core]}
    known: dict[Layer, tuple[float, ...]] = {}
    with Machine(target, cmsis_nn._program(checkout, target, False), profile=True) as machine:
        for name, layers in NETWORKS.items():
            for layer in layers:
                if layer not in known:
                    known[layer] = _run(_Profiles(machine, tuple(PRICED[core])), layer)
                reads = -(-layer.pixels // AT_ONCE.get(core, 2))
                for priced, cycles in zip(PRICED[core], known[layer], strict=True):
                    rows = found[priced].setdefault(name, [])
                    rows.append([layer.kind, round(cycles), layer.weight_bytes, reads])
    return found


def everything(checkout: Path, cores: Sequence[str] = ()) -> dict[str, dict[str, Rows]]:
    """Rows per core and network, on some cores or all that the library is for."""
    chosen = cores or [core for core in PRICED if not target_of(core)[0].riscv]
    return {priced: networks for core in chosen for priced, networks in count(checkout, core).items()}


def rendered(found: Mapping[str, Mapping[str, Rows]]) -> str:
    """As JSON, a line per network."""
    cores = [
        f' "{core}": {{\n' + ",\n".join(f'  "{n}": {json.dumps(rows)}' for n, rows in networks.items()) + "\n }"
        for core, networks in found.items()
    ]
    return "{\n" + ",\n".join(cores) + "\n}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Cycles of CMSIS-NN on the networks of MLPerf Tiny, per core.")
    parser.add_argument("checkout", type=Path)
    given = parser.parse_args()
    for core, networks in everything(given.checkout).items():
        for name, rows in networks.items():
            print(json.dumps({"core": core, "network": name, "cycles": sum(int(row[1]) for row in rows)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
