/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_interpolate.h"

#include "mq_float.h"

void mq_interpolate_f16(const mq_f16 *x, mq_f16 *y, const mq_interpolate_float_params *p) {
    const uint32_t inner = p->inner;
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t k = 0; k < p->y_count; k++) {
            const mq_f16 *x0 = x + (uint32_t)p->low[k] * inner;
            const mq_f16 *x1 = x0 + inner;
            const float weight = p->weight[k];
            for (uint32_t i = 0; i < inner; i++) {
                const float from = mq_f16_to_f32(x0[i]);
                *y++ = mq_f32_to_f16(from + (mq_f16_to_f32(x1[i]) - from) * weight);
            }
        }
        x += p->x_count * inner;
    }
}
