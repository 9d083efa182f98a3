/* mq_windowed.h for cores with DSP instructions, two samples at a time, with the same results.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_DSP_WINDOWED_H
#define MQ_DSP_WINDOWED_H

#include "mq_dsp.h"
#include "mq_windowed.h"

static inline uint64_t mq_dsp_windowed_s32(const int16_t *x, const int16_t *window, int32_t *y, uint32_t length) {
    uint64_t sum = 0;
    for (uint32_t pairs = length / 2; pairs; pairs--, y += 2) {
        const uint32_t two = mq_next_halves(&x);
        const uint32_t factors = mq_next_halves(&window);
        y[0] = mq_smlabb(two, factors, 0);
        y[1] = mq_smlatt(two, factors, 0);
        sum += mq_magnitude_of(y[0]) + mq_magnitude_of(y[1]); /* at most 2^31 */
    }
    return sum + mq_windowed_s32(x, window, y, length % 2);
}

static inline void mq_dsp_windowed_onto_s32(const int16_t *x, const int16_t *window, const int32_t *sum, int32_t *y,
                                            uint32_t length) {
    for (uint32_t pairs = length / 2; pairs; pairs--, y += 2) {
        const uint32_t two = mq_next_halves(&x);
        const uint32_t factors = mq_next_halves(&window);
        const int32_t first = sum ? *sum++ : 0;
        const int32_t second = sum ? *sum++ : 0;
        y[0] = mq_smlabb(two, factors, first);
        y[1] = mq_smlatt(two, factors, second);
    }
    mq_windowed_onto_s32(x, window, sum, y, length % 2);
}

static inline void mq_dsp_windowed_onto_s16(const int16_t *x, const int16_t *window, const int32_t *sum, int16_t *y,
                                            uint32_t length, int32_t m, int32_t shift) {
    for (uint32_t pairs = length / 2; pairs; pairs--, y += 2) {
        const uint32_t two = mq_next_halves(&x);
        const uint32_t factors = mq_next_halves(&window);
        const int32_t first = sum ? *sum++ : 0;
        const int32_t second = sum ? *sum++ : 0;
        y[0] = mq_sat_s16(mq_requantise(mq_smlabb(two, factors, first), m, shift));
        y[1] = mq_sat_s16(mq_requantise(mq_smlatt(two, factors, second), m, shift));
    }
    mq_windowed_onto_s16(x, window, sum, y, length % 2, m, shift);
}

#endif
