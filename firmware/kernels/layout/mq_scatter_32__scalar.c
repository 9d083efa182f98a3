/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

void mq_scatter_32(const void *x, void *y, const mq_scatter_params *p) {
    const float *from = (const float *)x;
    float *to = (float *)y;
    for (uint32_t b = 0; b < p->count; b++) {
        float *run = to + p->offset[b];
        for (uint32_t r = 0; r < p->run; r++) {
            run[r] = *from++;
        }
    }
}
