/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_elementwise.h"

#include "mq_fixed.h"
#include "mq_walk.h"

void mq_prelu_s16(const int16_t *x, const int16_t *slope, int16_t *y, const mq_broadcast *loops,
                  const mq_prelu_params *p) {
    const uint32_t count = loops->shape[5];
    const int32_t a_step = loops->a_step[5];
    const int32_t b_step = loops->b_step[5];
    uint32_t index[5] = {0};
    int32_t a_row = 0;
    int32_t b_row = 0;
    do {
        const int16_t *u = x + a_row;
        const int16_t *v = slope + b_row;
        for (uint32_t i = 0; i < count; i++) {
            const int32_t value = *u - p->x_zero;
            const int32_t scaled =
                value < 0 ? mq_requantise(value * (*v - p->slope_zero), p->slope_multiplier, p->slope_shift)
                          : mq_requantise(value, p->multiplier, p->shift);
            *y++ = mq_sat_s16(p->y_zero + scaled);
            u += a_step;
            v += b_step;
        }
    } while (mq_walk_next(index, loops->shape, loops->a_step, loops->b_step, &a_row, &b_row));
}
