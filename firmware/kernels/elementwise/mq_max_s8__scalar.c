/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_elementwise.h"

#include "mq_fixed.h"
#include "mq_walk.h"

void mq_max_s8(const int8_t *a, const int8_t *b, int8_t *y, const mq_broadcast *loops, const mq_align_params *p) {
    const uint32_t count = loops->shape[5];
    const int32_t a_step = loops->a_step[5];
    const int32_t b_step = loops->b_step[5];
    uint32_t index[5] = {0};
    int32_t a_row = 0;
    int32_t b_row = 0;
    do {
        const int8_t *u = a + a_row;
        const int8_t *v = b + b_row;
        for (uint32_t i = 0; i < count; i++) {
            const int32_t left = mq_requantise(*u - p->a_zero, p->a_multiplier, p->a_shift);
            const int32_t right = mq_requantise(*v - p->b_zero, p->b_multiplier, p->b_shift);
            *y++ = mq_sat_s8(p->y_zero + mq_rshr(left > right ? left : right, p->fraction));
            u += a_step;
            v += b_step;
        }
    } while (mq_walk_next(index, loops->shape, loops->a_step, loops->b_step, &a_row, &b_row));
}
