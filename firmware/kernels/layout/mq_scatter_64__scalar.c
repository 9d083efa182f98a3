/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

void mq_scatter_64(const void *x, void *y, const mq_scatter_params *p) {
    const uint64_t *from = (const uint64_t *)x;
    uint64_t *to = (uint64_t *)y;
    for (uint32_t b = 0; b < p->count; b++) {
        uint64_t *run = to + p->offset[b];
        for (uint32_t r = 0; r < p->run; r++) {
            run[r] = *from++;
        }
    }
}
