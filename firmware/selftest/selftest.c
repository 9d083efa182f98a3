/* Runs a model's vectors three times: compared with what the host's emulator gave and with the stack watched; as whole
 * frames against the clock; and step by step against the clock. Prints the records of docs/self-test-log.md.
 *
 * The arithmetic uses IEEE basic operations in a fixed order, so a board that compiles with -ffp-contract=off gives the
 * host's bits. No libc is needed but memcmp. SPDX-License-Identifier: Apache-2.0 */
#include "selftest.h"

#include <string.h>

#include "../mq/mq_crc32.h"
#include "adapter.h"
#include "vectors.h"

/* The first frame meets cold caches and is not counted, so there are two at least. */
#define TIMED_FRAMES (VECTOR_FRAMES > 1 ? VECTOR_FRAMES : 2)
#define PAINT 0x5aa5c33cu
/* What lies so near to where the stack is painted from may be in use. */
#define NEAR_BYTES 64u
#if defined(__GNUC__)
#define NOT_INLINED __attribute__((noinline))
#else
#define NOT_INLINED
#endif

typedef struct {
    uint64_t sum;
    uint32_t least;
    uint32_t most;
} timing_t;

void mq_trace(uint32_t step);

ADAPTER_MEMORY static adapter_t model;
static timing_t step_timing[ADAPTER_STEPS + 1];
static uint32_t different[ADAPTER_OUTPUTS + 1];
static uint32_t crcs[ADAPTER_OUTPUTS + 1];
static uint32_t records;
static uint32_t overhead;
static uint32_t step_began;
static const void *volatile caller; /* where the stack is when the model is called */
static int warm;

/* --- the log --- */

static void put_text(const char *text) {
    while (*text) {
        selftest_putchar(*text++);
    }
}

static void put_number(uint32_t value) {
    char digits[11];
    uint32_t n = sizeof digits - 1;
    digits[n] = 0;
    do {
        digits[--n] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value);
    put_text(&digits[n]);
}

static void put_hex(uint32_t value) {
    put_text("0x");
    for (uint32_t shift = 32; shift; shift -= 4) {
        selftest_putchar("0123456789abcdef"[(value >> (shift - 4)) & 15u]);
    }
}

static void record(const char *text) {
    put_text("mq: ");
    put_text(text);
    records++;
}

static void pair(const char *key, uint32_t value) {
    put_text(key);
    put_number(value);
}

static void end_record(void) {
    selftest_putchar('\n');
}

static void cache(const char *key, int state) {
    put_text(key);
    put_text(state > 0 ? "on" : state == 0 ? "off" : "none");
}

static void timing(const timing_t *t) {
    pair(" cycles=", (uint32_t)(t->sum / (TIMED_FRAMES - 1)));
    pair(" min=", t->least);
    pair(" max=", t->most);
    end_record();
}

/* --- time --- */

static void add(timing_t *t, uint32_t cycles) {
    if (!warm) {
        t->least = UINT32_MAX;
        return;
    }
    t->sum += cycles;
    t->least = cycles < t->least ? cycles : t->least;
    t->most = cycles > t->most ? cycles : t->most;
}

/* Step `step` begins and the one before it is done. What is done here lies between the two readings. */
void mq_trace(uint32_t step) {
    const uint32_t now = selftest_cycles();
    if (step) {
        const uint32_t passed = now - step_began;
        add(&step_timing[step - 1], passed > overhead ? passed - overhead : 0);
    }
    step_began = selftest_cycles();
}

/* Cycles between two readings with nothing in between: the least of some, as the first ones are fetched from flash. */
static uint32_t between_readings(void) {
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < 8; i++) {
        const uint32_t began = selftest_cycles();
        const uint32_t passed = selftest_cycles() - began;
        least = passed < least ? passed : least;
    }
    return least;
}

/* --- frames --- */

static void frame_inputs(uint32_t frame, const void **inputs) {
    for (uint32_t i = 0; i < ADAPTER_INPUTS; i++) {
        inputs[i] = (const char *)vector_inputs[i] + frame * adapter_input_size[i] * adapter_input_width[i];
    }
}

static void compare(uint32_t frame) {
    for (uint32_t o = 0; o < ADAPTER_OUTPUTS; o++) {
        const uint32_t width = adapter_output_width[o];
        const uint32_t bytes = adapter_output_size[o] * width;
        const char *given = (const char *)vector_outputs[o];
        const char *expected = (const char *)vector_expected[o] + frame * bytes;
        for (uint32_t i = 0; i < bytes; i += width) {
            different[o] += memcmp(given + i, expected + i, width) != 0;
        }
        crcs[o] = mq_crc32(crcs[o], given, bytes);
    }
}

static NOT_INLINED void run_vectors(void) {
    const void *inputs[ADAPTER_INPUTS + 1] = {0};
    caller = (const void *)inputs;
    adapter_reset(&model);
    for (uint32_t frame = 0; frame < VECTOR_FRAMES; frame++) {
        frame_inputs(frame, inputs);
        adapter_run(&model, inputs, vector_outputs);
        compare(frame);
    }
}

static void time_frames(timing_t *whole, int by_step) {
    const void *inputs[ADAPTER_INPUTS + 1] = {0};
    adapter_reset(&model);
    for (uint32_t frame = 0; frame < TIMED_FRAMES; frame++) {
        frame_inputs(VECTOR_FRAMES > 1 ? frame : 0, inputs);
        warm = frame > 0;
        if (by_step) {
            adapter_run_timed(&model, inputs, vector_outputs);
            continue;
        }
        const uint32_t began = selftest_cycles();
        adapter_run(&model, inputs, vector_outputs);
        const uint32_t passed = selftest_cycles() - began;
        add(whole, passed > overhead ? passed - overhead : 0);
    }
}

/* --- stack --- */

static volatile uint32_t *word_at(uintptr_t address) {
    return (volatile uint32_t *)address;
}

/* Paints what lies below, runs the vectors and looks how far down the paint was changed: bytes, 0 if not measured. */
static uint32_t stack_of_vectors(void) {
    volatile uint32_t here = 0;
    const uintptr_t top = (uintptr_t)&here - NEAR_BYTES;
    const uintptr_t room = selftest_stack_room((const void *)&here) & ~(uint32_t)3;
    const uintptr_t bottom = room > NEAR_BYTES ? (uintptr_t)&here - room : top;
    for (uintptr_t at = bottom; at < top; at += 4) {
        *word_at(at) = PAINT;
    }
    run_vectors();
    uintptr_t lowest = bottom;
    while (lowest < top && *word_at(lowest) == PAINT) {
        lowest += 4;
    }
    return lowest < top && lowest < (uintptr_t)caller ? (uint32_t)((uintptr_t)caller - lowest) : 0;
}

/* --- all of it --- */

static void introduce(void) {
    const char *counter = selftest_counter();
    overhead = between_readings();
    record("log version=1");
    end_record();
    record("build model=" ADAPTER_NAME " schedule=" ADAPTER_SCHEDULE " board=" ADAPTER_BOARD " isa=" ADAPTER_ISA);
    pair(" steps=", ADAPTER_STEPS);
    pair(" frames=", TIMED_FRAMES - 1);
    end_record();
    record("clock");
    pair(" hz=", selftest_clock_hz());
    put_text(" counter=");
    put_text(counter);
    pair(" overhead=", overhead);
    end_record();
    record("memory");
    cache(" icache=", selftest_icache());
    cache(" dcache=", selftest_dcache());
    end_record();
}

static uint32_t weights(void) {
    const uint32_t found = adapter_weights_crc32();
    record("weights crc32=");
    put_hex(found);
    put_text(" expected=");
    put_hex(ADAPTER_WEIGHTS_CRC32);
    end_record();
    return found != ADAPTER_WEIGHTS_CRC32;
}

static uint32_t outputs(void) {
    uint32_t failed = 0;
    for (uint32_t o = 0; o < ADAPTER_OUTPUTS; o++) {
        record("output ");
        put_number(o);
        pair(" differ=", different[o]);
        pair(" of=", VECTOR_FRAMES * adapter_output_size[o]);
        put_text(" crc32=");
        put_hex(crcs[o]);
        end_record();
        failed += different[o];
    }
    return failed;
}

int selftest(void) {
    timing_t whole = {0, 0, 0};
    selftest_init();
    adapter_load();
    introduce();
    uint32_t failed = weights();
    const uint32_t stack = stack_of_vectors();
    time_frames(&whole, 0);
    time_frames(&whole, 1);
    for (uint32_t step = 0; step < ADAPTER_STEPS; step++) {
        record("step ");
        put_number(step);
        timing(&step_timing[step]);
    }
    record("frame");
    timing(&whole);
    if (stack) {
        record("stack");
        pair(" bytes=", stack);
        end_record();
    }
    failed += outputs();
    record("end result=");
    put_text(failed ? "FAIL" : "PASS");
    pair(" lines=", records);
    end_record();
    return failed ? 1 : 0;
}
