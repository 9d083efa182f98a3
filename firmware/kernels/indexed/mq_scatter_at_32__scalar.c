/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_indexed.h"

void mq_scatter_at_32(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p) {
    const int32_t *from = (const int32_t *)x;
    for (uint32_t i = 0; i < p->count; i++) {
        int32_t *to = (int32_t *)y + position[i];
        for (uint32_t r = 0; r < p->run; r++) {
            to[r] = *from++;
        }
    }
}
