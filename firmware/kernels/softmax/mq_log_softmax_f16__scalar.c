/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_softmax.h"

#include "mq_float.h"

void mq_log_softmax_f16(const mq_f16 *x, mq_f16 *y, uint32_t outer, uint32_t count, uint32_t inner) {
    for (uint32_t o = 0; o < outer; o++) {
        for (uint32_t i = 0; i < inner; i++) {
            float largest = mq_f16_to_f32(x[0]);
            for (uint32_t k = 1; k < count; k++) {
                const float v = mq_f16_to_f32(x[k * inner]);
                largest = v > largest ? v : largest;
            }
            float sum = 0.0f;
            for (uint32_t k = 0; k < count; k++) {
                sum += mq_exp(mq_f16_to_f32(x[k * inner]) - largest);
            }
            const float log = mq_log(sum);
            for (uint32_t k = 0; k < count; k++) {
                y[k * inner] = mq_f32_to_f16((mq_f16_to_f32(x[k * inner]) - largest) - log);
            }
            x++;
            y++;
        }
        x += (count - 1u) * inner;
        y += (count - 1u) * inner;
    }
}
