/* Samples times a window: frames before a transform, and blocks that are added where they overlap.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_WINDOWED_H
#define MQ_WINDOWED_H

#include "mq_fixed.h"

/* y = window x */
static inline void mq_windowed_f32(const float *x, const float *window, float *y, uint32_t length) {
    for (; length; length--) {
        *y++ = *x++ * *window++;
    }
}

/* y = sum + window x; y may be before sum in the same array. */
static inline void mq_windowed_onto_f32(const float *x, const float *window, const float *sum, float *y,
                                        uint32_t length) {
    for (; length; length--) {
        *y++ = *sum++ + *x++ * *window++;
    }
}

static inline uint32_t mq_magnitude_of(int32_t x) {
    return (uint32_t)(x < 0 ? -x : x);
}

/* y = window x; returns the sum of the magnitudes of all y. */
static inline uint64_t mq_windowed_s32(const int16_t *x, const int16_t *window, int32_t *y, uint32_t length) {
    uint64_t sum = 0;
    for (uint32_t pairs = length / 2; pairs; pairs--, x += 2, window += 2, y += 2) {
        y[0] = x[0] * window[0];
        y[1] = x[1] * window[1];
        sum += mq_magnitude_of(y[0]) + mq_magnitude_of(y[1]); /* at most 2^31 */
    }
    if (length % 2) {
        y[0] = x[0] * window[0];
        sum += mq_magnitude_of(y[0]);
    }
    return sum;
}

/* y = sum + window x, without a sum where that is NULL; y may be before sum in the same array. */
static inline void mq_windowed_onto_s32(const int16_t *x, const int16_t *window, const int32_t *sum, int32_t *y,
                                        uint32_t length) {
    for (; length; length--) {
        *y++ = (sum ? *sum++ : 0) + *x++ * *window++;
    }
}

/* The same, requantised to 16 bits. */
static inline void mq_windowed_onto_s16(const int16_t *x, const int16_t *window, const int32_t *sum, int16_t *y,
                                        uint32_t length, int32_t m, int32_t shift) {
    for (; length; length--) {
        *y++ = mq_sat_s16(mq_requantise((sum ? *sum++ : 0) + *x++ * *window++, m, shift));
    }
}

#endif
