/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_indexed.h"

void mq_gather_at_32(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p) {
    float *to = (float *)y;
    for (uint32_t i = 0; i < p->count; i++) {
        const float *from = (const float *)x + position[i];
        for (uint32_t r = 0; r < p->run; r++) {
            *to++ = from[r];
        }
    }
}
