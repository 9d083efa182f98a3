/* A mask over n values of a spectrum; kernels/audio/mq_audio.h and kernels/spectrum/mq_spectrum.h have the formulas. y
 * may be x. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MASKED_H
#define MQ_MASKED_H

#include "mq_fixed.h"

static inline void mq_mask_f32(const float *x, const float *mask, float *y, uint32_t n, uint32_t complex_mask) {
    if (!complex_mask) {
        for (; n; n--, x += 2, y += 2, mask++) {
            y[0] = x[0] * mask[0];
            y[1] = x[1] * mask[0];
        }
        return;
    }
    for (; n; n--, x += 2, y += 2, mask += 2) {
        const float re = x[0];
        const float im = x[1];
        y[0] = re * mask[0] - im * mask[1];
        y[1] = re * mask[1] + im * mask[0];
    }
}

static inline void mq_mask_s32(const int32_t *x, const int16_t *mask, int32_t *y, uint32_t n, uint32_t complex_mask) {
    if (!complex_mask) {
        for (; n; n--, x += 2, y += 2, mask++) {
            const int64_t factor = mask[0];
            y[0] = (int32_t)mq_rshr64(x[0] * factor, 15);
            y[1] = (int32_t)mq_rshr64(x[1] * factor, 15);
        }
        return;
    }
    for (; n; n--, x += 2, y += 2, mask += 2) {
        const int64_t re = x[0];
        const int64_t im = x[1];
        y[0] = (int32_t)mq_rshr64(re * mask[0] - im * mask[1], 15);
        y[1] = (int32_t)mq_rshr64(re * mask[1] + im * mask[0], 15);
    }
}

#endif
