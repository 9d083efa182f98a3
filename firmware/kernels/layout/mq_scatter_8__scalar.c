/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

void mq_scatter_8(const void *x, void *y, const mq_scatter_params *p) {
    const uint8_t *from = (const uint8_t *)x;
    uint8_t *to = (uint8_t *)y;
    for (uint32_t b = 0; b < p->count; b++) {
        uint8_t *run = to + p->offset[b];
        for (uint32_t r = 0; r < p->run; r++) {
            run[r] = *from++;
        }
    }
}
