/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_fixed.h"
#include "mq_float.h"

void mq_convert_f16_s8_frame(const mq_f16 *x, int8_t *y, float *scale, uint32_t n, uint32_t rows) {
    for (; rows > 0; rows--) {
        float largest = 0.0f;
        for (uint32_t i = 0; i < n; i++) {
            const float v = mq_f16_to_f32(x[i]);
            const float magnitude = v < 0.0f ? -v : v;
            largest = magnitude > largest ? magnitude : largest;
        }
        const float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
        for (uint32_t i = 0; i < n; i++) {
            y[i] = mq_sat_s8(mq_round(mq_f16_to_f32(x[i]) * inverse));
        }
        *scale++ = largest / 127.0f;
        x += n;
        y += n;
    }
}
