/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

#include "mq_walk.h"
#include "mq_whole_types.h"

void mq_whole(const void *a, const void *b, void *y, const mq_broadcast *loops, const mq_whole_params *p) {
    int32_t at = 0;
    uint32_t index[5] = {0};
    int32_t a_row = 0;
    int32_t b_row = 0;
    do {
        int32_t u = a_row;
        int32_t v = b_row;
        for (uint32_t i = 0; i < loops->shape[5]; i++) {
            mq_whole_store(y, at++, p->y_type, p->f(mq_whole_load(a, u, p->a_type), mq_whole_load(b, v, p->b_type)));
            u += loops->a_step[5];
            v += loops->b_step[5];
        }
    } while (mq_walk_next(index, loops->shape, loops->a_step, loops->b_step, &a_row, &b_row));
}
