/* Drives a generated folder from another process: frames come in on stdin, outputs and taps go out on stdout.
 *
 * Commands are one byte, numbers are native-endian:
 *   'r'                                    reset
 *   't' u32 n, n x {u32 step, region, offset, bytes}   choose what to copy out after which step, in order of step;
 *                                          region 0 is the arena, 1 the state
 *   'f' inputs in their C types            run one frame; answers with the outputs likewise, then the tapped bytes
 *   'q'                                    quit
 *
 * Compiled with MQ_TRACE, so that the schedule announces each step.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "adapter.h"

typedef struct {
    uint32_t step;
    uint32_t region;
    uint32_t offset;
    uint32_t bytes;
} tap_t;

static adapter_t model;
static tap_t *taps;
static uint32_t tap_count;
static uint32_t next_tap;
static uint8_t *tapped;
static size_t tapped_bytes;
static size_t tapped_end;

void mq_trace(uint32_t step);

#if defined(MQ_CHECKED)
void mq_contract_broken(const char *file, int line, const char *condition);

void mq_contract_broken(const char *file, int line, const char *condition) {
    (void)fprintf(stderr, "%s:%d: contract broken: %s\n", file, line, condition);
    exit(4);
}
#endif

static void fail(const char *what) {
    (void)fprintf(stderr, "driver: %s\n", what);
    exit(3);
}

static void get(void *to, size_t bytes) {
    if (bytes && fread(to, 1, bytes, stdin) != bytes) {
        fail("input ended in the middle of a command");
    }
}

static void put(const void *from, size_t bytes) {
    if (bytes && fwrite(from, 1, bytes, stdout) != bytes) {
        fail("output cannot be written");
    }
}

static void *room(size_t bytes) {
    void *made = malloc(bytes ? bytes : 1);
    if (!made) {
        fail("out of memory");
    }
    return made;
}

/* Step `step` begins, so everything before it is done: copy what was asked for after those steps. Where a loop begins
 * anew, what was copied in it is copied again, so that the last time counts. */
void mq_trace(uint32_t step) {
    while (next_tap > 0 && taps[next_tap - 1].step >= step) {
        tapped_end -= taps[--next_tap].bytes;
    }
    while (next_tap < tap_count && taps[next_tap].step < step) {
        const tap_t *tap = &taps[next_tap++];
        const uint8_t *region = tap->region ? adapter_state(&model) : adapter_arena(&model);
        for (uint32_t i = 0; i < tap->bytes; i++) {
            tapped[tapped_end++] = region[tap->offset + i];
        }
    }
}

static void set_taps(void) {
    get(&tap_count, sizeof tap_count);
    free(taps);
    free(tapped);
    taps = room(tap_count * sizeof *taps);
    get(taps, tap_count * sizeof *taps);
    tapped_bytes = 0;
    for (uint32_t i = 0; i < tap_count; i++) {
        tapped_bytes += taps[i].bytes;
    }
    tapped = room(tapped_bytes);
}

static void frame(void *const *inputs, void *const *outputs) {
    for (uint32_t i = 0; i < ADAPTER_INPUTS; i++) {
        get(inputs[i], adapter_input_size[i] * adapter_input_width[i]);
    }
    next_tap = 0;
    tapped_end = 0;
    adapter_run(&model, (const void *const *)inputs, outputs);
    if (tapped_end != tapped_bytes) {
        fail("not every tapped step was reached");
    }
    for (uint32_t i = 0; i < ADAPTER_OUTPUTS; i++) {
        put(outputs[i], adapter_output_size[i] * adapter_output_width[i]);
    }
    put(tapped, tapped_bytes);
    (void)fflush(stdout);
}

int main(void) {
    void *inputs[ADAPTER_INPUTS + 1];
    void *outputs[ADAPTER_OUTPUTS + 1];
    for (uint32_t i = 0; i < ADAPTER_INPUTS; i++) {
        inputs[i] = room(adapter_input_size[i] * adapter_input_width[i]);
    }
    for (uint32_t i = 0; i < ADAPTER_OUTPUTS; i++) {
        outputs[i] = room(adapter_output_size[i] * adapter_output_width[i]);
    }
    tapped = room(0);
    adapter_reset(&model);
    for (int command = getchar(); command != EOF && command != 'q'; command = getchar()) {
        switch (command) {
            case 'r':
                adapter_reset(&model);
                break;
            case 't':
                set_taps();
                break;
            case 'f':
                frame(inputs, outputs);
                break;
            default:
                fail("unknown command");
        }
    }
    for (uint32_t i = 0; i < ADAPTER_INPUTS; i++) {
        free(inputs[i]);
    }
    for (uint32_t i = 0; i < ADAPTER_OUTPUTS; i++) {
        free(outputs[i]);
    }
    free(taps);
    free(tapped);
    return 0;
}
