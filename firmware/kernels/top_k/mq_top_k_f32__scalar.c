/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_top_k.h"

/* Does a come before b? NaN comes last, so that the order is total. */
static int32_t before(float a, float b, int32_t largest) {
    return (largest ? a > b : a < b) || (a == a && b != b);
}

void mq_top_k_f32(const float *x, float *y, int64_t *index, const mq_top_k_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            const float *from = x + o * p->count * p->inner + i;
            float *to = y + o * p->k * p->inner + i;
            int64_t *at = index + o * p->k * p->inner + i;
            uint32_t kept = 0;
            for (uint32_t n = 0; n < p->count; n++) {
                const float value = from[n * p->inner];
                uint32_t j = kept;
                while (j > 0 && before(value, to[(j - 1) * p->inner], p->largest)) {
                    if (j < p->k) {
                        to[j * p->inner] = to[(j - 1) * p->inner];
                        at[j * p->inner] = at[(j - 1) * p->inner];
                    }
                    j--;
                }
                if (j < p->k) {
                    to[j * p->inner] = value;
                    at[j * p->inner] = (int64_t)n;
                    kept += kept < p->k ? 1u : 0u;
                }
            }
        }
    }
}
