/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_indexed.h"

void mq_gather_at_8(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p) {
    int8_t *to = (int8_t *)y;
    for (uint32_t i = 0; i < p->count; i++) {
        const int8_t *from = (const int8_t *)x + position[i];
        for (uint32_t r = 0; r < p->run; r++) {
            *to++ = from[r];
        }
    }
}
