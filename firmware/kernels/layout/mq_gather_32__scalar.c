/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

void mq_gather_32(const void *x, void *y, const mq_gather_params *p) {
    const float *from = (const float *)x;
    float *to = (float *)y;
    for (uint32_t o = 0; o < p->outer_count; o++) {
        for (uint32_t m = 0; m < p->middle_count; m++) {
            const float *base = from + p->outer[o] + p->middle[m];
            for (uint32_t n = 0; n < p->inner_count; n++) {
                const float *run = base + p->inner[n];
                for (uint32_t r = 0; r < p->run; r++) {
                    *to++ = run[r];
                }
            }
        }
    }
}
