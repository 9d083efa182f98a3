/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_walk.h"
#include "mq_whole.h"

void mq_compare_f32(const float *a, const float *b, uint8_t *y, const mq_broadcast *loops, mq_relation f) {
    uint32_t index[5] = {0};
    int32_t a_row = 0;
    int32_t b_row = 0;
    do {
        int32_t u = a_row;
        int32_t v = b_row;
        for (uint32_t i = 0; i < loops->shape[5]; i++) {
            *y++ = (uint8_t)f(a[u], b[v]);
            u += loops->a_step[5];
            v += loops->b_step[5];
        }
    } while (mq_walk_next(index, loops->shape, loops->a_step, loops->b_step, &a_row, &b_row));
}
