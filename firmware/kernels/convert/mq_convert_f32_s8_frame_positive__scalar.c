/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_fixed.h"
#include "mq_float.h"

void mq_convert_f32_s8_frame_positive(const float *x, int8_t *y, float *scale, uint32_t n, uint32_t rows) {
    for (; rows > 0; rows--) {
        float largest = 0.0f;
        for (uint32_t i = 0; i < n; i++) {
            const float v = x[i];
            largest = v > largest ? v : largest;
        }
        const float inverse = largest > 0.0f ? 255.0f / largest : 0.0f;
        for (uint32_t i = 0; i < n; i++) {
            y[i] = mq_sat_s8(mq_round(x[i] * inverse) - 128);
        }
        *scale++ = largest / 255.0f;
        x += n;
        y += n;
    }
}
