/* mq_windowed.h for Helium, four samples at a time, with the same results.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_WINDOWED_H
#define MQ_MVE_WINDOWED_H

#include "mq_mve_scale.h"
#include "mq_windowed.h"

static inline void mq_mve_windowed_f32(const float *x, const float *window, float *y, uint32_t length) {
    for (uint32_t fours = length / 4; fours; fours--, x += 4, window += 4, y += 4) {
        vstrwq_f32(y, vmulq_f32(vldrwq_f32(x), vldrwq_f32(window)));
    }
    mq_windowed_f32(x, window, y, length % 4);
}

static inline void mq_mve_windowed_onto_f32(const float *x, const float *window, const float *sum, float *y,
                                            uint32_t length) {
    for (uint32_t fours = length / 4; fours; fours--, x += 4, window += 4, sum += 4, y += 4) {
        vstrwq_f32(y, vaddq_f32(vldrwq_f32(sum), vmulq_f32(vldrwq_f32(x), vldrwq_f32(window))));
    }
    mq_windowed_onto_f32(x, window, sum, y, length % 4);
}

static inline uint64_t mq_mve_windowed_s32(const int16_t *x, const int16_t *window, int32_t *y, uint32_t length) {
    uint64_t sum = 0;
    for (uint32_t fours = length / 4; fours; fours--, x += 4, window += 4, y += 4) {
        const int32x4_t product = vmulq_s32(vldrhq_s32(x), vldrhq_s32(window));
        vstrwq_s32(y, product);
        sum = vaddlvaq_u32(sum, vreinterpretq_u32_s32(vabsq_s32(product)));
    }
    return sum + mq_windowed_s32(x, window, y, length % 4);
}

/* Four values at `sum`, and the pointer behind them; zeros where it is NULL. */
static inline int32x4_t mq_next_sums(const int32_t **sum) {
    if (!*sum) {
        return vdupq_n_s32(0);
    }
    const int32x4_t v = vldrwq_s32(*sum);
    *sum += 4;
    return v;
}

static inline void mq_mve_windowed_onto_s32(const int16_t *x, const int16_t *window, const int32_t *sum, int32_t *y,
                                            uint32_t length) {
    for (uint32_t fours = length / 4; fours; fours--, x += 4, window += 4, y += 4) {
        vstrwq_s32(y, vaddq_s32(mq_next_sums(&sum), vmulq_s32(vldrhq_s32(x), vldrhq_s32(window))));
    }
    mq_windowed_onto_s32(x, window, sum, y, length % 4);
}

static inline void mq_mve_windowed_onto_s16(const int16_t *x, const int16_t *window, const int32_t *sum, int16_t *y,
                                            uint32_t length, int32_t m, int32_t shift) {
    const int32x4_t shifts = vdupq_n_s32(shift);
    for (uint32_t fours = length / 4; fours; fours--, x += 4, window += 4, y += 4) {
        const int32x4_t added = vaddq_s32(mq_next_sums(&sum), vmulq_s32(vldrhq_s32(x), vldrhq_s32(window)));
        vstrhq_s32(y, mq_narrow_lanes(added, m, shifts));
    }
    mq_windowed_onto_s16(x, window, sum, y, length % 4, m, shift);
}

#endif
