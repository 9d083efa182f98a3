/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

void mq_gather_64(const void *x, void *y, const mq_gather_params *p) {
    const uint64_t *from = (const uint64_t *)x;
    uint64_t *to = (uint64_t *)y;
    for (uint32_t o = 0; o < p->outer_count; o++) {
        for (uint32_t m = 0; m < p->middle_count; m++) {
            const uint64_t *base = from + p->outer[o] + p->middle[m];
            for (uint32_t n = 0; n < p->inner_count; n++) {
                const uint64_t *run = base + p->inner[n];
                for (uint32_t r = 0; r < p->run; r++) {
                    *to++ = run[r];
                }
            }
        }
    }
}
