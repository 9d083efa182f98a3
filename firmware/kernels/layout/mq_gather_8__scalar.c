/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

void mq_gather_8(const void *x, void *y, const mq_gather_params *p) {
    const uint8_t *from = (const uint8_t *)x;
    uint8_t *to = (uint8_t *)y;
    for (uint32_t o = 0; o < p->outer_count; o++) {
        for (uint32_t m = 0; m < p->middle_count; m++) {
            const uint8_t *base = from + p->outer[o] + p->middle[m];
            for (uint32_t n = 0; n < p->inner_count; n++) {
                const uint8_t *run = base + p->inner[n];
                for (uint32_t r = 0; r < p->run; r++) {
                    *to++ = run[r];
                }
            }
        }
    }
}
