/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_indexed.h"

static int32_t inside(int32_t index, int32_t size) {
    const int32_t front = index < 0 ? index + size : index;
    return front < 0 ? 0 : (front < size ? front : size - 1);
}

void mq_positions(const int32_t *index, int32_t *position, const mq_positions_params *p) {
    const int32_t *row = index;
    uint32_t left = p->rows;
    for (uint32_t i = 0; i < p->count; i++) {
        int32_t at = p->base[i];
        for (uint32_t k = 0; k < p->depth; k++) {
            at += inside(*row++, p->size[k]) * p->step[k];
        }
        position[i] = at;
        if (--left == 0) {
            row = index;
            left = p->rows;
        }
    }
}
