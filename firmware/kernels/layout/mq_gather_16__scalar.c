/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

void mq_gather_16(const void *x, void *y, const mq_gather_params *p) {
    const uint16_t *from = (const uint16_t *)x;
    uint16_t *to = (uint16_t *)y;
    for (uint32_t o = 0; o < p->outer_count; o++) {
        for (uint32_t m = 0; m < p->middle_count; m++) {
            const uint16_t *base = from + p->outer[o] + p->middle[m];
            for (uint32_t n = 0; n < p->inner_count; n++) {
                const uint16_t *run = base + p->inner[n];
                for (uint32_t r = 0; r < p->run; r++) {
                    *to++ = run[r];
                }
            }
        }
    }
}
