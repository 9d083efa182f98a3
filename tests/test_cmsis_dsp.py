"""Transforms by CMSIS-DSP in the place of ours: with a stand-in on this machine, and with a checkout on a Cortex-M4.

MQ_CMSIS_DSP is the folder of a checkout of CMSIS-DSP, MQ_CMSIS_CORE that of CMSIS-Core's headers.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from cffi import FFI

from bench import audio, cmsis_dsp, programs
from mcu_quant.emulator import qemu
from mcu_quant.emulator.library import WARNINGS, compile_shared
from mcu_quant.emulator.qemu import Machine
from mcu_quant.footprint import C_FLAGS
from mcu_quant.ops.common import fft
from mcu_quant.paths import firmware
from tests.test_drop_in import cmake, need, run, write
from tests.test_qemu import target

KERNELS = firmware() / "kernels" / "spectrum"
INCLUDES = [firmware() / "include", KERNELS]
SOURCES = [KERNELS / "mq_spectrum_f32__scalar.c", KERNELS / "mq_inverse_spectrum_f32__scalar.c"]

#: There and back: one frame with a window, its spectrum, and the signal of that.
CALLER = """
#include <string.h>
#include "mq_spectrum.h"
void there_and_back(const float *x, const float *tables, float *y, float *back, float *work, int points,
                    const unsigned char *radices);
void there_and_back(const float *x, const float *tables, float *y, float *back, float *work, int points,
                    const unsigned char *radices) {
    mq_spectrum_params p = {1, (uint32_t)points, (uint32_t)points, (uint32_t)points, {0}};
    memcpy(p.radices, radices, sizeof p.radices);
    mq_spectrum_f32(x, tables, tables + points, y, work, &p);
    mq_inverse_spectrum_f32(y, tables + points, back, work, &p);
}
"""
#: The parts of arm_math.h that are used, with the same meaning; it counts its transforms.
HEADER = """
#include <stdint.h>
typedef enum { ARM_MATH_SUCCESS = 0, ARM_MATH_ARGUMENT_ERROR = -1 } arm_status;
typedef struct { uint16_t fftLenRFFT; } arm_rfft_fast_instance_f32;
arm_status arm_rfft_fast_init_f32(arm_rfft_fast_instance_f32 *S, uint16_t fftLen);
void arm_rfft_fast_f32(const arm_rfft_fast_instance_f32 *S, float *p, float *pOut, uint8_t ifftFlag);
int transforms(void);
"""
STAND_IN = """
#include <math.h>
#include "arm_math.h"
static int count;
int transforms(void) { return count; }
arm_status arm_rfft_fast_init_f32(arm_rfft_fast_instance_f32 *S, uint16_t n) {
    S->fftLenRFFT = n;
    return n < 32 || n > 4096 || (n & (n - 1)) ? ARM_MATH_ARGUMENT_ERROR : ARM_MATH_SUCCESS;
}
void arm_rfft_fast_f32(const arm_rfft_fast_instance_f32 *S, float *p, float *out, uint8_t inverse) {
    const int n = S->fftLenRFFT;
    const double turn = 6.283185307179586 / n;
    count++;
    if (inverse) {
        for (int t = 0; t < n; t++) {
            double sum = p[0] + (t % 2 ? -p[1] : p[1]);
            for (int k = 1; k < n / 2; k++) {
                sum += 2 * (p[2 * k] * cos(turn * k * t) - p[2 * k + 1] * sin(turn * k * t));
            }
            out[t] = (float)(sum / n);
        }
        return;
    }
    for (int k = 0; k <= n / 2; k++) {
        double re = 0, im = 0;
        for (int t = 0; t < n; t++) {
            re += p[t] * cos(turn * k * t);
            im -= p[t] * sin(turn * k * t);
        }
        out[k == n / 2 ? 1 : 2 * k] = (float)re;
        if (k > 0 && k < n / 2) {
            out[2 * k + 1] = (float)im;
        }
    }
    for (int t = 0; t < n; t++) { /* as there, the input is lost */
        p[t] = 0;
    }
}
"""


def arrays(points: int) -> tuple[np.ndarray, np.ndarray, bytes]:
    """A frame, the window with the tables behind it, and the radices."""
    window = np.hanning(points + 1)[:-1] + 0.01
    tables = np.concatenate([window, fft.twiddles(points)]).astype(np.float32)
    x = np.random.default_rng(points).uniform(-1.0, 1.0, points).astype(np.float32)
    return x, tables, bytes(fft.field(points))


def check(points: int, spectrum: np.ndarray, back: np.ndarray) -> None:
    """Both are the true ones to 110 dB."""
    x, tables, _ = arrays(points)
    taken = x.astype(np.float64) * tables[:points]
    wanted = np.fft.rfft(taken)
    found = spectrum.reshape(-1, 2)[:, 0] + 1j * spectrum.reshape(-1, 2)[:, 1]
    assert 10 * np.log10(np.sum(np.abs(wanted) ** 2) / np.sum(np.abs(found - wanted) ** 2)) > 110.0
    assert 10 * np.log10(np.sum(taken**2) / np.sum((back - taken) ** 2)) > 110.0
    assert found[0].imag == found[-1].imag == 0.0


@pytest.mark.parametrize(("points", "theirs"), [(32, 2), (256, 2), (512, 2), (16, 0), (400, 0), (480, 0)])
def test_lengths_that_it_has_are_its_business_and_others_ours(points: int, theirs: int, tmp_path: Path) -> None:
    (tmp_path / "arm_math.h").write_text(HEADER)
    (tmp_path / "caller.c").write_text(CALLER)
    (tmp_path / "arm.c").write_text(STAND_IN)
    library = tmp_path / "library.so"
    flags = ["-DMQ_USE_CMSIS_DSP", *(w for w in WARNINGS if w != "-Wconversion")]
    compile_shared([*SOURCES, tmp_path / "caller.c", tmp_path / "arm.c"], [*INCLUDES, tmp_path], library, flags)
    ffi = FFI()
    parts = "const float *x, const float *tables, float *y, float *back, float *work, int points, const char *radices"
    ffi.cdef(f"void there_and_back({parts}); int transforms(void);")
    made = ffi.dlopen(str(library))
    x, tables, radices = arrays(points)
    y, back, work = (np.zeros(n, np.float32) for n in (points + 2, points, 2 * points))
    pointers = [ffi.cast("float *", a.ctypes.data) for a in (x, tables, y, back, work)]
    made.there_and_back(*pointers, points, radices)
    check(points, y, back)
    assert made.transforms() == theirs


@pytest.mark.slow
@pytest.mark.parametrize("points", [64, 512, 1024, 480])
def test_the_real_one_on_a_core(points: int, tmp_path: Path) -> None:
    folders = [os.environ.get(name) for name in ("MQ_CMSIS_DSP", "MQ_CMSIS_CORE")]
    if not all(folders):
        pytest.skip("MQ_CMSIS_DSP and MQ_CMSIS_CORE name no checkout of CMSIS-DSP: this test was NOT run")
    checkout, core = (Path(str(f)) for f in folders)
    about, caller = target("m4"), tmp_path / "caller.c"
    caller.write_text(CALLER)
    headers = cmsis_dsp.includes(checkout, core)
    flags = [*C_FLAGS, "-DMQ_USE_CMSIS_DSP", "-Wall", "-Werror"]
    ours = qemu.compile_objects(about, [*SOURCES, caller], [*INCLUDES, *headers], flags)
    theirs = qemu.compile_objects(about, cmsis_dsp.sources(checkout), headers, cmsis_dsp.FLAGS)
    x, tables, radices = arrays(points)
    with Machine(about, qemu.link(about, [*ours, *theirs])) as machine:

        def placed(data: bytes) -> int:
            at = machine.allocate(len(data))
            machine.write(at, data)
            return at

        y, back, work = (machine.allocate(4 * n) for n in (points + 2, points, 2 * points))
        given = [placed(x.tobytes()), placed(tables.tobytes()), y, back, work, points, placed(radices)]
        machine.call("there_and_back", given)
        spectrum, signal = machine.read(y, 4 * (points + 2)), machine.read(back, 4 * points)
    check(points, np.frombuffer(spectrum, np.float32), np.frombuffer(signal, np.float32))


#: The user's program, in which CMSIS-DSP is a target: all bins of a frame, then how often it was asked.
PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(app C)
add_library(CMSISDSP STATIC arm.c)
target_include_directories(CMSISDSP PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(CMSISDSP PRIVATE m)
add_subdirectory(ends)
add_executable(app main.c)
target_link_libraries(app ends::ends CMSISDSP m)
"""
MAIN = """
#include <math.h>
#include <stdio.h>
#include "arm_math.h"
#include "ends.h"
static ends_t model;
int main(void) {
    static float x[ENDS_X_SIZE], y[ENDS_Y_SIZE];
    for (int n = 0; n < ENDS_X_SIZE; n++) {
        x[n] = (float)cos(0.37 * n);
    }
    ends_reset(&model);
    ends_run(&model, x, y);
    for (int i = 0; i < ENDS_Y_SIZE; i++) {
        printf("%.9g\\n", (double)y[i]);
    }
    printf("%d\\n", transforms());
    return 0;
}
"""


@pytest.mark.parametrize(("option", "points", "theirs"), [("ON", 512, 1), ("ON", 480, 0), ("OFF", 512, 0)])
def test_the_generated_cmake_option_builds_and_links_it(option: str, points: int, theirs: int, tmp_path: Path) -> None:
    need("cmake")
    write(programs.program(audio.spectrum(points), "f32", "scalar"), tmp_path / "ends", "ends")
    files = {"CMakeLists.txt": PROJECT, "main.c": MAIN, "arm_math.h": HEADER, "arm.c": STAND_IN}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    cmake(tmp_path, tmp_path / "build", f"-DMQ_USE_CMSIS_DSP={option}")
    *values, asked = run(tmp_path / "build" / "app").split()
    found = np.array(values, np.float64).reshape(-1, 2)
    wanted = np.fft.rfft(np.cos(0.37 * np.arange(points)) * (np.hanning(points + 1)[:-1] + 0.01))
    assert np.abs(found[:, 0] + 1j * found[:, 1] - wanted).max() < 1e-6 * np.abs(wanted).max()
    assert int(asked) == theirs
