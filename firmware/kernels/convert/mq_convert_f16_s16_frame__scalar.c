/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_fixed.h"
#include "mq_float.h"

void mq_convert_f16_s16_frame(const mq_f16 *x, int16_t *y, float *scale, uint32_t n) {
    uint32_t largest = 0; /* bits of magnitudes are ordered as they are */
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t magnitude = mq_bits_of(mq_f16_to_f32(x[i])) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
    }
    const uint32_t exponent = largest >> 23; /* 2^(exponent - 127) <= max |x| < 2^(exponent - 126) */
    const uint32_t audible = exponent < 15u ? 0u : exponent < 254u ? exponent : 254u;
    const float inverse = audible ? mq_float_of((268u - audible) << 23) : 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_sat_s16(mq_round(mq_f16_to_f32(x[i]) * inverse));
    }
    *scale = audible ? mq_float_of((audible - 14u) << 23) : 0.0f;
}
