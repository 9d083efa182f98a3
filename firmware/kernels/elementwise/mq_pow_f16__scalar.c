/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_elementwise.h"

#include "mq_float.h"
#include "mq_walk.h"

void mq_pow_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops) {
    const uint32_t count = loops->shape[5];
    const int32_t a_step = loops->a_step[5];
    const int32_t b_step = loops->b_step[5];
    uint32_t index[5] = {0};
    int32_t a_row = 0;
    int32_t b_row = 0;
    do {
        const mq_f16 *u = a + a_row;
        const mq_f16 *v = b + b_row;
        for (uint32_t i = 0; i < count; i++) {
            const float left = mq_f16_to_f32(*u);
            const float right = mq_f16_to_f32(*v);
            *y++ = mq_f32_to_f16(mq_pow(left, right));
            u += a_step;
            v += b_step;
        }
    } while (mq_walk_next(index, loops->shape, loops->a_step, loops->b_step, &a_row, &b_row));
}
