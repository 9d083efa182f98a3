"""The real-time skeleton: nothing is lost silently, whatever arrives when; the model here is a small filter in C."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_quant import api, codegen
from mcu_quant.emulator.library import WARNINGS
from mcu_quant.ir import Array
from mcu_quant.paths import firmware
from tests.test_audio_pipelines import SPECTRAL, dense, source, speech

HOP, BLOCK, SLACK = 12, 20, 2
PREFILL = BLOCK + HOP
ROOM = BLOCK + (1 + SLACK) * HOP

#: A filter with a state, so that the order of frames matters; frames that are asked to, take long.
MODEL_H = """
#ifndef TONE_H
#define TONE_H
#include <stdint.h>
#define TONE_HOP 12
#define TONE_LATENCY 0
#define TONE_RATE_HZ 16000
#define TONE_AUDIO_OUT_SIZE TONE_HOP
#define TONE_LEVEL_SIZE 1
#define TONE_WEIGHTS_CRC32 7u
typedef struct { int32_t last; } tone_t;
extern uint32_t tone_now, tone_frame_cycles, tone_crc;
static inline void tone_reset(tone_t *m) { m->last = 0; }
static inline int tone_init(tone_t *m) { tone_reset(m); return tone_crc != TONE_WEIGHTS_CRC32; }
static inline void tone_run(tone_t *m, const int16_t *in, int16_t *out, float *level) {
    for (int i = 0; i < TONE_HOP; i++) {
        m->last = (3 * m->last + in[i]) / 4;
        out[i] = (int16_t)m->last;
    }
    *level = (float)m->last;
    tone_now += tone_frame_cycles;
}
#endif
"""

DRIVER = """
#include <stdlib.h>
#include "tone_stream.h"
uint32_t tone_now, tone_frame_cycles, tone_crc = TONE_WEIGHTS_CRC32;
static float levels[64];
static uint32_t indices[64];
static uint32_t clock_now(void) { return tone_now; }
static void note(void *user, const tone_frame_t *frame) {
    (void)user;
    levels[frame->index % 64] = *frame->level;
    indices[frame->index % 64] = frame->index;
}
tone_stream_t *made(uint32_t deadline);
int began(tone_stream_t *s);
float level_of(uint32_t index);
tone_stream_t *made(uint32_t deadline) {
    tone_stream_config_t config = {note, 0, clock_now, deadline};
    tone_stream_t *s = malloc(sizeof *s);
    (void)tone_stream_init(s, &config);
    return s;
}
int began(tone_stream_t *s) { return tone_stream_init(s, 0); }
float level_of(uint32_t index) { return indices[index % 64] == index ? levels[index % 64] : -1e9f; }

/* Many samples in blocks of random sizes, beside the same model called frame by frame: samples that differ. */
uint32_t long_run(uint64_t samples, uint32_t seed);
static uint32_t drawn(uint32_t *seed) { *seed = *seed * 1664525u + 1013904223u; return *seed >> 16; }
uint32_t long_run(uint64_t samples, uint32_t seed) {
    static tone_stream_t s;
    static tone_t plain;
    int16_t frame[TONE_HOP], expected[TONE_HOP], in[TONE_STREAM_BLOCK], out[TONE_STREAM_BLOCK];
    float level;
    uint32_t different = 0, noise_in = 1, noise_plain = 1, at = TONE_HOP;
    uint64_t pulled = 0;
    (void)tone_stream_init(&s, 0);
    tone_reset(&plain);
    while (pulled < samples) {
        const uint32_t n = drawn(&seed) % (TONE_STREAM_BLOCK + 1);
        for (uint32_t i = 0; i < n; i++) { in[i] = (int16_t)drawn(&noise_in); }
        (void)tone_audio_push(&s, in, n);
        if (drawn(&seed) % 2) { (void)tone_audio_pull(&s, out, n); while (tone_stream_work(&s)) { } }
        else { while (tone_stream_work(&s)) { } (void)tone_audio_pull(&s, out, n); }
        for (uint32_t i = 0; i < n; i++, pulled++) {
            if (pulled < TONE_STREAM_PREFILL) { different += out[i] != 0; continue; }
            if (at == TONE_HOP) {
                for (at = 0; at < TONE_HOP; at++) { frame[at] = (int16_t)drawn(&noise_plain); }
                tone_run(&plain, frame, expected, &level);
                at = 0;
            }
            different += out[i] != expected[at++];
        }
    }
    const tone_stream_counters_t c = tone_stream_counters(&s);
    return different + c.dropped + c.missed + c.skipped + c.unplayed;
}
"""

DECLARATIONS = """
typedef struct tone_stream tone_stream_t;
typedef struct { uint32_t frames, late, worst_cycles, dropped, missed, skipped, unplayed; } counters_t;
extern uint32_t tone_now, tone_frame_cycles, tone_crc;
tone_stream_t *made(uint32_t deadline);
int began(tone_stream_t *s);
float level_of(uint32_t index);
uint32_t tone_audio_push(tone_stream_t *s, const int16_t *samples, uint32_t count);
uint32_t tone_audio_pull(tone_stream_t *s, int16_t *samples, uint32_t count);
int tone_stream_work(tone_stream_t *s);
counters_t tone_stream_counters(const tone_stream_t *s);
uint32_t long_run(uint64_t samples, uint32_t seed);
void free(void *p);
"""
OUTPUTS = [{"name": "audio_out", "type": "int16_t"}, {"name": "level", "type": "float"}]


def write_sources(folder: Path, outputs: list[dict[str, str]] = OUTPUTS) -> None:
    for name, text in {**codegen.stream_files("tone", outputs), "tone.h": MODEL_H}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> tuple[cffi.FFI, Any]:
    folder = tmp_path_factory.mktemp("stream")
    write_sources(folder)
    (folder / "driver.c").write_text(DRIVER)
    command = ["gcc", "-std=c99", "-O2", *WARNINGS, "-shared", "-fPIC", "-DMQ_CHECK_WEIGHTS"]
    command += [f"-DTONE_STREAM_BLOCK={BLOCK}", f"-DTONE_STREAM_SLACK={SLACK}", "-fsanitize=undefined"]
    command += ["-fno-sanitize-recover=all", "driver.c", "tone_stream.c", "-o", "stream.so"]
    subprocess.run(command, cwd=folder, check=True)
    ffi = cffi.FFI()
    ffi.cdef(DECLARATIONS)
    return ffi, ffi.dlopen(str(folder / "stream.so"))


def filtered(samples: Array) -> Array:
    """What the model makes of samples, frame by frame."""
    made, last = [], 0
    for x in samples.tolist():
        total = 3 * last + x
        last = total // 4 if total >= 0 else -(-total // 4)
        made.append(last)
    return np.array(made, np.int16)


class Stream:
    """The C under test, with what went in and what came out."""

    def __init__(self, c: tuple[cffi.FFI, Any], deadline: int = 0) -> None:
        self.ffi, self.lib = c
        self.lib.tone_frame_cycles = 0
        self.s = self.ffi.gc(self.lib.made(deadline), self.lib.free)
        self.offered, self.accepted = 0, np.zeros(0, np.int16)
        self.out = np.zeros(0, np.int16)

    def push(self, count: int) -> int:
        block = (np.arange(self.offered, self.offered + count) * 7919 % 32749 - 16000).astype(np.int16)
        taken = self.lib.tone_audio_push(self.s, self.ffi.from_buffer("int16_t[]", block), count)
        self.offered += count
        self.accepted = np.concatenate([self.accepted, block[:taken]])
        return int(taken)

    def pull(self, count: int) -> int:
        block = np.full(count, 123, np.int16)
        there = self.lib.tone_audio_pull(self.s, self.ffi.from_buffer("int16_t[]", block), count)
        self.out = np.concatenate([self.out, block])
        return int(there)

    def work(self) -> int:
        return int(self.lib.tone_stream_work(self.s))

    def work_all(self) -> None:
        while self.work():
            pass

    @property
    def counters(self) -> Any:
        return self.lib.tone_stream_counters(self.s)


@given(blocks=st.lists(st.integers(0, BLOCK), max_size=60), orders=st.lists(st.booleans(), min_size=60, max_size=60))
@settings(deadline=None, max_examples=60)
def test_blocks_of_any_size_give_what_frames_give(c, blocks: list[int], orders: list[bool]) -> None:
    """As long as work keeps up, also if it runs only after the samples of the same block are wanted."""
    s = Stream(c)
    for count, pull_first in zip(blocks, orders, strict=False):
        assert s.push(count) == count
        for step in (lambda n=count: s.pull(n), s.work_all) if pull_first else (s.work_all, lambda n=count: s.pull(n)):
            step()
    expected = np.concatenate([np.zeros(PREFILL, np.int16), filtered(s.accepted)])
    assert np.array_equal(s.out, expected[: len(s.out)])
    found = s.counters
    assert (found.dropped, found.missed, found.skipped, found.unplayed) == (0, 0, 0, 0)
    assert found.frames == len(s.accepted) // HOP


OPERATIONS = st.lists(st.tuples(st.sampled_from(["push", "pull", "work"]), st.integers(0, 3 * BLOCK)), max_size=120)


@given(operations=OPERATIONS)
@settings(deadline=None, max_examples=150)
def test_every_sample_is_accounted_for_in_any_order(c, operations: list[tuple[str, int]]) -> None:
    s = Stream(c)
    real = pulled = 0
    for name, count in operations:
        if name == "work":
            s.work()
        elif name == "push":
            s.push(count)
        else:
            pulled += count
            real += s.pull(count)
    found = s.counters
    assert found.dropped == s.offered - len(s.accepted)
    assert found.missed == pulled - real
    waiting = len(s.accepted) - HOP * found.frames
    assert 0 <= waiting <= ROOM
    # of what was computed, and the silence before it: played, left out, without room, or still in the ring
    inside = PREFILL + HOP * found.frames - found.skipped - found.unplayed - real
    assert 0 <= inside <= PREFILL + ROOM
    # what was played and is no silence stands in the order in which it was computed
    rest = iter(filtered(s.accepted[: HOP * found.frames]).tolist())
    assert all(any(value == other for other in rest) for value in s.out.tolist() if value != 0)


def in_time(s: Stream, blocks: int, stalled: range) -> None:
    """Blocks go in and out at the same rate; while it is stalled, work is not done."""
    for i in range(blocks):
        s.push(HOP)
        s.pull(HOP)
        if i not in stalled:
            s.work_all()


def test_a_slow_frame_costs_its_own_time_and_nothing_after_it(c) -> None:
    s = Stream(c)
    in_time(s, 40, range(10, 13))
    found = s.counters
    assert found.dropped == 0 and found.missed == found.skipped > 0 and found.unplayed == 0
    expected = np.concatenate([np.zeros(PREFILL, np.int16), filtered(s.accepted)])[: len(s.out)]
    wrong = np.flatnonzero(s.out != expected)
    assert len(wrong) <= found.missed and (s.out[wrong] == 0).all()  # silence, and the delay is what it was
    assert wrong.max() < 15 * HOP


def test_samples_that_found_no_room_are_counted_and_the_delay_stays(c) -> None:
    s = Stream(c)
    in_time(s, 60, range(10, 25))
    found = s.counters
    assert found.dropped == s.offered - len(s.accepted) > 0 and found.missed > 0
    assert found.missed == found.dropped + found.skipped
    tail = 10 * HOP
    aligned = np.concatenate([np.zeros(PREFILL, np.int16), filtered(s.accepted)])
    # what was dropped never comes out; all that follows comes as late as before
    assert np.array_equal(s.out[-tail:], aligned[len(s.out) - found.dropped - tail : len(s.out) - found.dropped])


def test_nobody_pulls(c) -> None:
    s = Stream(c)
    for _ in range(50):
        s.push(HOP)
        s.work_all()
    assert s.counters.unplayed == 50 * HOP + PREFILL - (PREFILL + ROOM) and s.counters.frames == 50


def test_deadlines_and_the_frame_callback(c) -> None:
    s = Stream(c, deadline=1000)
    for i in range(10):
        s.lib.tone_frame_cycles = 1500 if i == 4 else 1001 if i == 7 else 1000
        s.push(HOP)
        s.work_all()
    found = s.counters
    assert (found.frames, found.late, found.worst_cycles) == (10, 2, 1500)
    levels = filtered(s.accepted)[HOP - 1 :: HOP]
    assert [s.lib.level_of(i) for i in range(10)] == levels.tolist()


def test_changed_constants_are_found_at_the_start(c) -> None:
    s = Stream(c)
    assert s.lib.began(s.s) == 0
    s.lib.tone_crc = 8
    assert s.lib.began(s.s) == 1
    s.lib.tone_crc = 7


def test_an_hour_equals_frame_by_frame(c) -> None:
    assert c[1].long_run(3600 * 16000, 1) == 0


FIRMWARE_HOUR = """
#include "m_stream.h"
uint32_t long_run(uint64_t samples, uint32_t seed);
%s
int main(void) { return long_run(UINT64_C(57600000), 7) != 0; }
"""


@pytest.mark.sweep
def test_an_hour_through_generated_firmware_equals_frame_by_frame(tmp_path: Path) -> None:
    """A denoiser with its front and back end, as `build --audio` makes it; its frames have 10 samples."""
    text = SPECTRAL.format(length=40, hop=10, shape=[1, 1, 21], stft='window = "hann"')
    made = source(tmp_path, dense(21, [1, 1, 21]), text + '[output.audio]\nas = "mask"\nwindow = "hann"\n')
    precision = api.PrecisionRequest("f32")
    api.build(api.BuildRequest(made, "nucleo_f446re", tmp_path / "m", precision, speech(tmp_path)))
    body = DRIVER[DRIVER.index("static uint32_t drawn") :].replace("TONE", "M").replace("tone_", "m_")
    body = body.replace("expected, &level)", "expected)").replace("    float level;\n", "")
    (tmp_path / "hour.c").write_text(FIRMWARE_HOUR % body)
    sources = [*(tmp_path / "m").glob("*.c"), *(tmp_path / "m" / "mq").glob("*.c")]
    command = ["gcc", "-std=c99", "-O2", "-ffp-contract=off", "-DM_STREAM_BLOCK=37", f"-I{tmp_path / 'm'}", "hour.c"]
    subprocess.run([*command, *map(str, sources), "-lm", "-o", "hour"], cwd=tmp_path, check=True)
    assert subprocess.run([str(tmp_path / "hour")], check=False).returncode == 0


INTERRUPTED = """
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include "tone_stream.h"
#define TOTAL (400u * TONE_HOP)
uint32_t tone_now, tone_frame_cycles, tone_crc = TONE_WEIGHTS_CRC32;
static tone_stream_t s;
static int16_t in[TOTAL], out[TOTAL];
static volatile uint32_t at, interrupts;
/* The interrupt: it preempts work wherever that is, and moves blocks of all sizes in and out. */
static void interrupt(int number) {
    (void)number;
    interrupts++;
    const uint32_t n = 1 + interrupts % TONE_STREAM_BLOCK;
    const uint32_t now = at;
    if (now + n > TOTAL || mq_ring_count(&s.in) + n > TONE_STREAM_ROOM || mq_ring_count(&s.out) < n) {
        return; /* it was not work's turn for long */
    }
    (void)tone_audio_push(&s, in + now, n);
    (void)tone_audio_pull(&s, out + now, n);
    at = now + n;
}
int main(void) {
    static tone_t plain;
    static int16_t expected[TOTAL];
    float level;
    for (uint32_t i = 0; i < TOTAL; i++) { in[i] = (int16_t)(i * 7919u % 32749u); }
    (void)tone_stream_init(&s, 0);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupt;
    (void)sigaction(SIGALRM, &action, 0);
    struct itimerval often = {{0, 20}, {0, 20}};
    (void)setitimer(ITIMER_REAL, &often, 0);
    while (at + TONE_STREAM_BLOCK < TOTAL) { (void)tone_stream_work(&s); }
    const struct itimerval never = {{0, 0}, {0, 0}};
    (void)setitimer(ITIMER_REAL, &never, 0);
    tone_reset(&plain);
    for (uint32_t i = 0; i + TONE_HOP <= TOTAL; i += TONE_HOP) { tone_run(&plain, in + i, expected + i, &level); }
    uint32_t different = 0;
    for (uint32_t i = 0; i < at; i++) {
        different += out[i] != (i < TONE_STREAM_PREFILL ? 0 : expected[i - TONE_STREAM_PREFILL]);
    }
    const tone_stream_counters_t c = tone_stream_counters(&s);
    printf("%u %u %u %u\\n", (unsigned)interrupts, (unsigned)different, (unsigned)c.dropped, (unsigned)c.missed);
    return 0;
}
"""


def test_interrupts_that_preempt_work_anywhere(tmp_path: Path) -> None:
    """A timer's signal is to this program what an interrupt is to firmware."""
    write_sources(tmp_path)
    (tmp_path / "main.c").write_text(INTERRUPTED)
    subprocess.run(["gcc", "-std=gnu99", "-O2", "main.c", "tone_stream.c", "-o", "program"], cwd=tmp_path, check=True)
    done = subprocess.run([str(tmp_path / "program")], capture_output=True, text=True, timeout=60, check=True)
    interrupts, different, dropped, missed = map(int, done.stdout.split())
    assert interrupts > 100 and (different, dropped, missed) == (0, 0, 0)


@pytest.mark.parametrize("compiler", ["gcc", "clang", "g++"])
@pytest.mark.parametrize("plays", [True, False])
def test_compiles_without_a_warning(compiler: str, plays: bool, tmp_path: Path) -> None:
    write_sources(tmp_path, OUTPUTS if plays else OUTPUTS[1:])
    header = (tmp_path / "tone.h").read_text()
    (tmp_path / "tone.h").write_text(header if plays else header.replace("int16_t *out, ", "").replace("out[i] =", ""))
    source = "tone_stream.c"
    if compiler == "g++":
        (tmp_path / "user.cpp").write_text(
            '#include "tone_stream.h"\nint main() { return sizeof(tone_stream_t) == 0; }\n'
        )
        source = "user.cpp"
    dialect = "-std=c++11" if compiler == "g++" else "-std=c99"
    try:
        command = [compiler, dialect, *WARNINGS, "-Wno-unused-value", "-fno-exceptions", "-c", source, "-o", "made.o"]
        if not plays and compiler != "g++":
            command.insert(1, "-Wno-unused-value")
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"{compiler} is not installed: this test was NOT run")
    assert done.returncode == 0, done.stderr


def test_other_compilers_must_say_what_a_barrier_is() -> None:
    text = (firmware() / "include" / "mq_ring.h").read_text()
    assert "#error" in text and text.count("MQ_BARRIER()") >= 4
