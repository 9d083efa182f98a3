/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

void mq_scatter_16(const void *x, void *y, const mq_scatter_params *p) {
    const uint16_t *from = (const uint16_t *)x;
    uint16_t *to = (uint16_t *)y;
    for (uint32_t b = 0; b < p->count; b++) {
        uint16_t *run = to + p->offset[b];
        for (uint32_t r = 0; r < p->run; r++) {
            run[r] = *from++;
        }
    }
}
