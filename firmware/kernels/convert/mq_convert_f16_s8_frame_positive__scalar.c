/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_fixed.h"
#include "mq_float.h"

void mq_convert_f16_s8_frame_positive(const mq_f16 *x, int8_t *y, float *scale, uint32_t n, uint32_t rows) {
    for (; rows > 0; rows--) {
        float largest = 0.0f;
        for (uint32_t i = 0; i < n; i++) {
            const float v = mq_f16_to_f32(x[i]);
            largest = v > largest ? v : largest;
        }
        const float inverse = largest > 0.0f ? 255.0f / largest : 0.0f;
        for (uint32_t i = 0; i < n; i++) {
            y[i] = mq_sat_s8(mq_round(mq_f16_to_f32(x[i]) * inverse) - 128);
        }
        *scale++ = largest / 255.0f;
        x += n;
        y += n;
    }
}
