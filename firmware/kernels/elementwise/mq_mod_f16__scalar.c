/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_elementwise.h"

#include "mq_remainder.h"
#include "mq_walk.h"

void mq_mod_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops) {
    uint32_t index[5] = {0};
    int32_t a_row = 0;
    int32_t b_row = 0;
    do {
        const mq_f16 *u = a + a_row;
        const mq_f16 *v = b + b_row;
        for (uint32_t i = 0; i < loops->shape[5]; i++) {
            *y++ = mq_f32_to_f16(mq_floor_remainder(mq_f16_to_f32(*u), mq_f16_to_f32(*v)));
            u += loops->a_step[5];
            v += loops->b_step[5];
        }
    } while (mq_walk_next(index, loops->shape, loops->a_step, loops->b_step, &a_row, &b_row));
}
