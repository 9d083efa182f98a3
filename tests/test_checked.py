"""Drawn shapes and inputs at the ends of their range, in builds that check every contract of a fixed-point primitive.

Kernels are compiled with MQ_CHECKED, portable ones and those for DSP cores and Helium. Each call is held to its
specification, and no contract may be broken on the way: no accumulator, shift or product leaves what its primitive is
proven for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cffi import FFI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import programs
from mcu_quant.emulator import library, program
from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ops import Sample, weight
from mcu_quant.ops import given as activation
from mcu_quant.paths import firmware
from mcu_quant.variants import sources, variant

#: What single operators need, and what converts before and after them.
FAMILIES = ("conv", "conv_transpose", "matmul", "fully_connected", "softmax", "normalise", "elementwise", "lstm", "gru")
FAMILIES += ("rnn", "convert", "rescale", "copy", "layout", "table", "map")
#: Counts instead of stopping, so that a failure says for which shape.
BROKEN = """
#include <stdint.h>
uint32_t mq_broken_contracts;
void mq_contract_broken(const char *file, int line, const char *condition);
void mq_contract_broken(const char *file, int line, const char *condition) {
    (void)file, (void)line, (void)condition;
    mq_broken_contracts++;
}
"""


class Checked(library.Library):
    """Kernels of `FAMILIES` for one instruction set, which count broken contracts."""

    def __init__(self, isa: str, folder: Path) -> None:
        counter = folder / "broken.c"
        counter.write_text(BROKEN)
        files = [p for p in (variant(name, isa) for name in sources()) if p.parent.name in FAMILIES]
        include = [firmware() / "include", *sorted({f.parent for f in library.headers()})]
        self.path = folder / f"{isa}.so"
        library.compile_shared([*files, counter], include, self.path, ["-DMQ_CHECKED", "-O0"])
        self.ffi = FFI()
        types = "typedef uint16_t mq_f16;\nextern uint32_t mq_broken_contracts;\n"
        self.ffi.cdef(types + library.declarations(library.headers()))
        self._lib = self.ffi.dlopen(str(self.path))

    @property
    def broken(self) -> int:
        return int(self._lib.mq_broken_contracts)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checked]:
    return {isa: Checked(isa, tmp_path_factory.mktemp(isa)) for isa in ("scalar", "dsp", "mve")}


def sizes(least: int, most: int) -> st.SearchStrategy[int]:
    return st.integers(least, most)


@st.composite
def convolutions(draw: st.DrawFn) -> Sample:
    rank = draw(sizes(1, 2))
    kernel, strides, dilations, extra = ([draw(sizes(1, most)) for _ in range(rank)] for most in (4, 3, 2, 7))
    pads = [draw(sizes(0, (k - 1) * d)) for k, d in zip(kernel, dilations, strict=True)] * 2
    spatial = [(k - 1) * d + e for k, d, e in zip(kernel, dilations, extra, strict=True)]
    group, channels, outputs = draw(sizes(1, 3)), draw(sizes(1, 6)), draw(sizes(1, 5))
    attributes = {"strides": strides, "dilations": dilations, "pads": pads, "group": group}
    if draw(st.booleans()):
        shape, pads = (group * channels, outputs), [0] * 2 * rank
        parts = (activation(1, group * channels, *extra), weight(*shape, *kernel), weight(group * outputs))
        return Sample("ConvTranspose", parts, {**attributes, "pads": pads})
    parts = (activation(1, group * channels, *spatial), weight(group * outputs, channels, *kernel))
    return Sample("Conv", (*parts, weight(group * outputs)), attributes)


@st.composite
def products(draw: st.DrawFn) -> Sample:
    rows, inner, columns = draw(sizes(1, 5)), draw(sizes(1, 40)), draw(sizes(1, 9))
    if draw(st.booleans()):
        return Sample("MatMul", (activation(2, rows, inner), activation(2, inner, columns)))
    return Sample("Gemm", (activation(rows, inner), weight(columns, inner), weight(columns)), {"transB": 1})


@st.composite
def cells(draw: st.DrawFn) -> Sample:
    onnx, gates = draw(st.sampled_from([("LSTM", 4), ("GRU", 3), ("RNN", 1)]))
    inputs, units = draw(sizes(1, 20)), draw(sizes(1, 12))
    weights = weight(1, gates * units, inputs), weight(1, gates * units, units), weight(1, 2 * gates * units)
    more = {"linear_before_reset": draw(sizes(0, 1))} if onnx == "GRU" else {}
    return Sample(onnx, (activation(1, 1, inputs), *weights), {"hidden_size": units, **more})


@st.composite
def rows_of_values(draw: st.DrawFn) -> Sample:
    onnx = draw(st.sampled_from(["Softmax", "LayerNormalization", "Add", "Sub", "Mul"]))
    rows, columns = 2, draw(sizes(1, 70))
    x = activation(rows, columns, low=draw(st.sampled_from([-8.0, -1.0, 0.0])), high=draw(st.sampled_from([0.5, 8.0])))
    more = {"Softmax": (), "LayerNormalization": (weight(columns), weight(columns))}
    return Sample(onnx, (x, *more.get(onnx, (activation(rows, columns),))))


@pytest.mark.parametrize("isa", ["scalar", "dsp", "mve"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(sample=st.one_of(convolutions(), products(), cells(), rows_of_values()), seed=st.integers(0, 2**32 - 1))
def test_contracts_hold(
    kernels: dict[str, Checked], monkeypatch: pytest.MonkeyPatch, isa: str, sample: Sample, seed: int
) -> None:
    monkeypatch.setattr(program, "library", lambda wanted="scalar": kernels[wanted])
    random = np.random.default_rng(seed)
    for low in programs.every_lowering(sample):
        session = ProgramSession(low.program(isa), verify=True)
        before = kernels[isa].broken
        for beyond in (1.0, 4.0):
            extremes = {
                n: (beyond * np.where(random.random(x.shape) < 0.5, x.min(), x.max())).astype(x.dtype)
                for n, x in low.frame.items()
            }
            session.run(None, extremes)
        assert session.mismatches == []
        assert kernels[isa].broken == before
