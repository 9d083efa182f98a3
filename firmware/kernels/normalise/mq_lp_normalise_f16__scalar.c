/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_normalise.h"

#include "mq_float.h"

void mq_lp_normalise_f16(const mq_f16 *x, mq_f16 *y, uint32_t outer, uint32_t count, uint32_t inner, uint32_t power) {
    for (uint32_t o = 0; o < outer; o++) {
        for (uint32_t i = 0; i < inner; i++) {
            float sum = 0.0f;
            for (uint32_t k = 0; k < count; k++) {
                const float v = mq_f16_to_f32(x[k * inner]);
                sum += power == 1u ? mq_abs(v) : v * v;
            }
            const float norm = power == 1u ? sum : MQ_SQRT(sum);
            const float scale = norm > 0.0f ? 1.0f / norm : 0.0f;
            for (uint32_t k = 0; k < count; k++) {
                y[k * inner] = mq_f32_to_f16(mq_f16_to_f32(x[k * inner]) * scale);
            }
            x++;
            y++;
        }
        x += (count - 1u) * inner;
        y += (count - 1u) * inner;
    }
}
