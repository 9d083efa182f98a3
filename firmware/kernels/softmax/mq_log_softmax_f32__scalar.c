/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_softmax.h"

#include "mq_float.h"

void mq_log_softmax_f32(const float *x, float *y, uint32_t outer, uint32_t count, uint32_t inner) {
    for (uint32_t o = 0; o < outer; o++) {
        for (uint32_t i = 0; i < inner; i++) {
            float largest = x[0];
            for (uint32_t k = 1; k < count; k++) {
                const float v = x[k * inner];
                largest = v > largest ? v : largest;
            }
            float sum = 0.0f;
            for (uint32_t k = 0; k < count; k++) {
                sum += mq_exp(x[k * inner] - largest);
            }
            const float log = mq_log(sum);
            for (uint32_t k = 0; k < count; k++) {
                y[k * inner] = (x[k * inner] - largest) - log;
            }
            x++;
            y++;
        }
        x += (count - 1u) * inner;
        y += (count - 1u) * inner;
    }
}
