/* A generated model on an emulated machine: its memory, and, in a traced build, the taps.
 *
 * The host calls the model's functions through the agent with the address of mq_model, and finds everything else by its
 * symbol. In a traced build each step of the schedule is announced, and what was to be copied out after the steps
 * before it is copied. SPDX-License-Identifier: Apache-2.0 */
#include "adapter.h"

typedef struct {
    uint32_t step;
    uint32_t bytes;
    const uint8_t *from;
    uint8_t *to;
} tap_t;

extern adapter_t mq_model;
extern const tap_t *mq_taps;
extern uint32_t mq_tap_count;
extern uint32_t mq_next_tap;
const uint8_t *mq_arena(void);
const uint8_t *mq_state(void);
void mq_trace(uint32_t step);

adapter_t mq_model;
const tap_t *mq_taps;  /* set by the host, in order of step */
uint32_t mq_tap_count; /* likewise */
uint32_t mq_next_tap;

const uint8_t *mq_arena(void) {
    return adapter_arena(&mq_model);
}

const uint8_t *mq_state(void) {
    return adapter_state(&mq_model);
}

/* Step `step` begins, so everything before it is done. Where a loop begins anew, what was copied in it is copied again.
 */
void mq_trace(uint32_t step) {
    if (step == 0) {
        mq_next_tap = 0;
    }
    while (mq_next_tap > 0 && mq_taps[mq_next_tap - 1].step >= step) {
        mq_next_tap--;
    }
    while (mq_next_tap < mq_tap_count && mq_taps[mq_next_tap].step < step) {
        const tap_t *tap = &mq_taps[mq_next_tap++];
        for (uint32_t i = 0; i < tap->bytes; i++) {
            tap->to[i] = tap->from[i];
        }
    }
}
