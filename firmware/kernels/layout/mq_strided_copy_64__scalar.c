/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

#include <string.h>

#include "mq_walk.h"

void mq_strided_copy_64(const void *x, void *y, const mq_strided_copy_params *p) {
    const uint64_t *from = (const uint64_t *)x;
    uint64_t *to = (uint64_t *)y;
    const uint32_t count = p->shape[5];
    const int32_t x_step = p->x_step[5];
    const int32_t y_step = p->y_step[5];
    uint32_t index[5] = {0};
    int32_t x_row = p->x_start;
    int32_t y_row = p->y_start;
    do {
        int32_t xi = x_row;
        int32_t yi = y_row;
        if (x_step == 1 && y_step == 1) {
            memcpy(to + yi, from + xi, count * sizeof *to);
            continue;
        }
        for (uint32_t i = 0; i < count; i++) {
            to[yi] = from[xi];
            xi += x_step;
            yi += y_step;
        }
    } while (mq_walk_next(index, p->shape, p->x_step, p->y_step, &x_row, &y_row));
}
