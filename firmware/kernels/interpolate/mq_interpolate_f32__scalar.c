/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_interpolate.h"

void mq_interpolate_f32(const float *x, float *y, const mq_interpolate_float_params *p) {
    const uint32_t inner = p->inner;
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t k = 0; k < p->y_count; k++) {
            const float *x0 = x + (uint32_t)p->low[k] * inner;
            const float *x1 = x0 + inner;
            const float weight = p->weight[k];
            for (uint32_t i = 0; i < inner; i++) {
                *y++ = x0[i] + (x1[i] - x0[i]) * weight;
            }
        }
        x += p->x_count * inner;
    }
}
