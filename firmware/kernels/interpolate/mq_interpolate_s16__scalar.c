/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_interpolate.h"

#include "mq_fixed.h"

void mq_interpolate_s16(const int16_t *x, int16_t *y, const mq_interpolate_params *p) {
    const uint32_t inner = p->inner;
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t k = 0; k < p->y_count; k++) {
            const int16_t *x0 = x + (uint32_t)p->low[k] * inner;
            const int16_t *x1 = x0 + inner;
            const int32_t weight = p->weight[k];
            for (uint32_t i = 0; i < inner; i++) {
                *y++ = (int16_t)(x0[i] + mq_rshr((x1[i] - x0[i]) * weight, 15));
            }
        }
        x += p->x_count * inner;
    }
}
