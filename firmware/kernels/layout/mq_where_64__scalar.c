/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

#include "mq_walk.h"

void mq_where_64(const uint8_t *condition, const void *a, const void *b, void *y, const mq_where_params *p) {
    const uint64_t *left = (const uint64_t *)a;
    const uint64_t *right = (const uint64_t *)b;
    uint64_t *to = (uint64_t *)y;
    uint32_t index[5] = {0};
    int32_t condition_row = 0;
    int32_t a_row = 0;
    do {
        int32_t b_row = 0;
        for (uint32_t axis = 0; axis < 5; axis++) {
            b_row += (int32_t)index[axis] * p->b_step[axis];
        }
        for (int32_t i = 0; i < (int32_t)p->shape[5]; i++) {
            const uint64_t u = left[a_row + i * p->a_step[5]];
            const uint64_t v = right[b_row + i * p->b_step[5]];
            *to++ = condition[condition_row + i * p->condition_step[5]] ? u : v;
        }
    } while (mq_walk_next(index, p->shape, p->condition_step, p->a_step, &condition_row, &a_row));
}
