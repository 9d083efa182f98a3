/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_reduce.h"

#include "mq_float.h"

void mq_logsumexp_f16(const mq_f16 *x, mq_f16 *y, uint32_t outer, uint32_t count, uint32_t inner) {
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
            *y++ = mq_f32_to_f16(largest + mq_log(sum));
            x++;
        }
        x += (count - 1u) * inner;
    }
}
